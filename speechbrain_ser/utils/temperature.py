"""One number that makes posteriors more or less sure, and none right or wrong.

Reference: "On Calibration of Modern Neural Networks", Guo et al. 2017, section
4.2. There logits are divided by the temperature; here posteriors are raised to
its inverse and normalised, which is the same of one softmax, and is defined for
the mean over the pieces of an utterance too.
"""

import numpy as np

LOWEST, HIGHEST = 0.05, 20.0
# float32's smallest normal number; a smaller posterior, such as 0, is taken so
TINY = 2.0**-126
STEPS = 60  # of the bisection: to 1e-17 of the range
DIGITS = 6


def tempered(posteriors, temperature):
    """Raises posteriors to ``1 / temperature`` and normalises them.

    Arguments
    ---------
    posteriors : array-like
        ``[..., classes]``; what is below `TINY` is taken for it.
    temperature : float
        Above 0; more than 1 makes them less sure.

    Returns
    -------
    numpy.ndarray
        ``[..., classes]``, float64, of the same order.

    Example
    -------
    >>> tempered([0.8, 0.2], 2).round(3).tolist()
    [0.667, 0.333]
    """
    return _softmax(logarithms(posteriors) / temperature)


def logarithms(posteriors):
    """Returns the logarithms of posteriors, of 0 that of `TINY`."""
    return np.log(np.clip(np.asarray(posteriors, dtype=np.float64), TINY, None))


def fit_temperature(posteriors, labels):
    """Returns the temperature under which the labels are the likeliest.

    The negative log-likelihood is convex in the temperature's inverse, so its
    slope is bisected.

    Arguments
    ---------
    posteriors : array-like
        ``[n, classes]``, of speech that was not trained on.
    labels : sequence of int
        The class of each, ``[n]``.

    Returns
    -------
    float
        From `LOWEST` to `HIGHEST`; 1 where all posteriors are alike, which none
        changes.

    Raises
    ------
    ValueError
        If there is nothing to fit on, or a posterior is no number.

    Example
    -------
    >>> fit_temperature([[0.9, 0.1]] * 4, [0, 0, 0, 1])
    2.0
    """
    held = logarithms(posteriors)
    labels = np.asarray(labels)
    if held.ndim != 2 or len(held) == 0 or len(held) != len(labels):
        raise ValueError(f"posteriors {held.shape}, labels {labels.shape}")
    if not np.isfinite(held).all():
        raise ValueError("a posterior is no number")
    own = held[np.arange(len(held)), labels]
    if np.ptp(held, axis=1).max() < 1e-9:
        return 1.0

    def slope(inverse):
        """Of the negative log-likelihood, by the temperature's inverse."""
        expected = (_softmax(inverse * held) * held).sum(axis=1)
        return np.mean(expected - own)

    low, high = 1 / HIGHEST, 1 / LOWEST
    if slope(high) <= 0:
        return LOWEST
    if slope(low) >= 0:
        return HIGHEST
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return float(round(1 / middle, DIGITS))


def trusted_temperature(posteriors, labels):
    """Fits a temperature, and says if it is none to be used.

    Arguments
    ---------
    posteriors, labels
        See `fit_temperature`.

    Returns
    -------
    temperature : float or None
        None where the likelihood would have posteriors of 0 and 1: so few that
        all were right say nothing of how often the model errs.
    note : str or None
        What is to be said of it.

    Example
    -------
    >>> trusted_temperature([[0.9, 0.1]], [0])
    (None, 'all of it is named rightly, which says nothing of how sure to be')
    """
    fitted = fit_temperature(posteriors, labels)
    if fitted == LOWEST:
        right = np.argmax(posteriors, axis=1) == np.asarray(labels)
        if right.all():
            return None, (
                "all of it is named rightly, which says nothing of how sure to "
                "be"
            )
        return fitted, f"the lowest that is tried is the best, {LOWEST:g}"
    if fitted == HIGHEST:
        return fitted, (
            f"the highest that is tried is the best, {HIGHEST:g}: the "
            "posteriors tell nearly nothing"
        )
    return fitted, None


def mean_loss(posteriors, labels):
    """Returns the mean negative log-likelihood of the labels, in nats.

    Example
    -------
    >>> round(mean_loss([[0.5, 0.5]], [0]), 4)
    0.6931
    """
    held = logarithms(posteriors)
    return float(-held[np.arange(len(held)), np.asarray(labels)].mean())


def _softmax(values):
    """Softmax over the last axis."""
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)
