"""What a model is worth where it may say that it is not sure.

Reference: "Selective Classification for Deep Neural Networks", Geifman and
El-Yaniv 2017, section 2: risk and coverage.
"""

import numpy as np

from speechbrain_ser.scores import SHARES, classification_metrics


def coverage_curve(confidences, right):
    """Returns what is answered, and right, by the least confidence.

    Arguments
    ---------
    confidences : array-like
        ``[n]``.
    right : array-like
        Whether each answer is right, ``[n]``.

    Returns
    -------
    dict
        ``confidence``, falling; ``n``: utterances of that one or more;
        ``coverage``: their share; ``accuracy``: the share of them that is
        right. Equal confidences are one step.

    Example
    -------
    >>> found = coverage_curve([0.9, 0.5, 0.5, 0.3], [True, True, False, False])
    >>> [(step, share) for step, share in zip(found["n"], found["accuracy"])]
    [(1, 1.0), (3, 0.6666666666666666), (4, 0.5)]
    """
    confidences = np.asarray(confidences, dtype=float)
    order = np.argsort(-confidences, kind="stable")
    falling = confidences[order]
    hits = np.cumsum(np.asarray(right, dtype=float)[order])
    last = np.append(falling[1:] != falling[:-1], True)
    count = np.arange(1, len(falling) + 1)[last]
    return {
        "confidence": falling[last].tolist(),
        "n": count.tolist(),
        "coverage": (count / len(falling)).tolist(),
        "accuracy": (hits[last] / count).tolist(),
    }


def sure_scores(labels, guesses, confidences, classes, least):
    """Scores what a model is sure enough of.

    Arguments
    ---------
    labels, guesses : sequence of str
    confidences : sequence of float
    classes : list of str
    least : float
        The least confidence that counts as sure.

    Returns
    -------
    dict
        ``min_confidence``, ``n``, ``coverage`` (the share that is sure) and, of
        that, WA, UA and the F1 scores; None where nothing is sure.

    Example
    -------
    >>> words = ["ang", "sad"]
    >>> found = sure_scores(words, ["ang", "ang"], [0.9, 0.4], words, 0.6)
    >>> found["coverage"], found["WA"]
    (0.5, 1.0)
    """
    sure = [i for i, value in enumerate(confidences) if value >= least]
    found = {
        "min_confidence": least,
        "n": len(sure),
        "coverage": len(sure) / len(confidences),
    }
    if not sure:
        return found | dict.fromkeys(SHARES)
    scores = classification_metrics(
        [labels[i] for i in sure], [guesses[i] for i in sure], classes
    )
    return found | {name: scores[name] for name in SHARES}
