"""How far posteriors are from how often they are right.

Reference: "On Calibration of Modern Neural Networks", Guo et al. 2017, section
2 (Eq. 2 and 3); the class-wise error is that of "Beyond temperature scaling",
Kull et al. 2019, section 2.
"""

import numpy as np

from speechbrain_ser.utils.temperature import mean_loss

BINS = 15  # of equal width, as in the paper's tables


def calibration(posteriors, labels, bins=BINS):
    """Measures posteriors against labels; lower is better.

    Arguments
    ---------
    posteriors : array-like
        ``[n, classes]``.
    labels : sequence of int
        The class of each, ``[n]``.
    bins : int

    Returns
    -------
    dict
        ``ECE``: the gap between the largest posterior and the share of right
        answers in bins of it, averaged over utterances; ``classwise_ECE``: the
        gap between any class's posterior and its share, averaged over classes
        too; ``NLL``: mean negative log-likelihood in nats; ``Brier``: mean
        squared distance from the one-hot label, 0 to 2. Few utterances have a
        larger ECE than many: the shares in the bins are noise.

    Example
    -------
    >>> found = calibration([[0.9, 0.1], [0.9, 0.1]], [0, 1])
    >>> {name: round(value, 3) for name, value in found.items()}
    {'ECE': 0.4, 'classwise_ECE': 0.4, 'NLL': 1.204, 'Brier': 0.82}
    """
    held = np.asarray(posteriors, dtype=np.float64)
    labels = np.asarray(labels)
    truth = np.eye(held.shape[1])[labels]
    right = held.argmax(axis=1) == labels
    return {
        "ECE": gap(held.max(axis=1), right, bins),
        "classwise_ECE": float(
            np.mean([gap(p, t, bins) for p, t in zip(held.T, truth.T)])
        ),
        "NLL": mean_loss(held, labels),
        "Brier": float(((held - truth) ** 2).sum(axis=1).mean()),
    }


def gap(confidences, right, bins=BINS):
    """Returns the mean over utterances of their bin's gap (Eq. 3).

    Arguments
    ---------
    confidences : numpy.ndarray
        ``[n]``, 0 to 1.
    right : numpy.ndarray
        Whether what they are of came true, ``[n]``.
    bins : int

    Returns
    -------
    float
    """
    place = bin_of(confidences, bins)
    misses = np.bincount(place, confidences - np.asarray(right, float), bins)
    return float(np.abs(misses).sum() / len(place))


def bin_of(confidences, bins=BINS):
    """Returns the bin of each confidence; its upper end belongs to it.

    Example
    -------
    >>> bin_of([0.0, 0.2, 0.21, 1.0], 5).tolist()
    [0, 0, 1, 4]
    """
    place = np.ceil(np.asarray(confidences, float) * bins).astype(int) - 1
    return place.clip(0, bins - 1)


def reliability(posteriors, labels, bins=BINS):
    """Counts how often the largest posterior is right, by how large it is.

    Arguments
    ---------
    posteriors : array-like
        ``[n, classes]``.
    labels : sequence of int
    bins : int

    Returns
    -------
    list of dict
        Of each bin that holds some, in order: ``low``, ``high``, ``n``, mean
        ``confidence`` and ``accuracy``.

    Example
    -------
    >>> (row,) = reliability([[0.9, 0.1], [0.9, 0.1]], [0, 1], 2)
    >>> row["low"], row["n"], round(row["confidence"], 3), row["accuracy"]
    (0.5, 2, 0.9, 0.5)
    """
    held = np.asarray(posteriors, dtype=np.float64)
    confidences = held.max(axis=1)
    right = held.argmax(axis=1) == np.asarray(labels)
    place = bin_of(confidences, bins)
    return [
        {
            "low": index / bins,
            "high": (index + 1) / bins,
            "n": int((place == index).sum()),
            "confidence": float(confidences[place == index].mean()),
            "accuracy": float(right[place == index].mean()),
        }
        for index in sorted(set(place.tolist()))
    ]
