"""The scores that an epoch may be chosen by, of one part's predictions."""

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    precision_recall_fscore_support,
)

SHARES = ("WA", "UA", "macro_F1", "weighted_F1")


def checked_words(labels, predictions, classes):
    """Gives the three as lists; refuses what cannot be compared."""
    labels, predictions = list(labels), list(predictions)
    classes = list(classes)
    if len(labels) != len(predictions):
        raise ValueError(
            f"{len(labels)} labels, but {len(predictions)} predictions"
        )
    if not labels:
        raise ValueError("no utterances to compute metrics of")
    unknown = sorted(set(labels + predictions) - set(classes))
    if unknown:
        raise ValueError(f"{unknown} not among the classes {classes}")
    return labels, predictions, classes


def classification_metrics(labels, predictions, classes):
    """Compares predicted with annotated class words.

    Classes that no label names are left out of the means (UA, macro F1).

    Arguments
    ---------
    labels : sequence of str
        The annotated word of each utterance.
    predictions : sequence of str
        The predicted word of each utterance, in the same order.
    classes : sequence of str
        In the order of the confusion matrix.

    Returns
    -------
    dict
        `n` (utterances), `WA` (accuracy, also called WAR), `UA` (mean recall
        of the classes, also called UAR), `macro_F1`, `weighted_F1`, `recall`
        (by class; None where no label names the class) and `confusion` (rows
        are labels, columns predictions). All shares are in 0..1.

    Raises
    ------
    ValueError
        If there is nothing to compare, or a word is not among the classes.

    Example
    -------
    >>> found = classification_metrics(
    ...     ["sad", "sad", "sad", "ang"],
    ...     ["sad", "sad", "sad", "sad"],
    ...     ["ang", "sad", "neu"],
    ... )
    >>> found["WA"], found["UA"]
    (0.75, 0.5)
    >>> found["recall"]
    {'ang': 0.0, 'sad': 1.0, 'neu': None}
    >>> found["confusion"]
    [[0, 1, 0], [0, 3, 0], [0, 0, 0]]
    """
    labels, predictions, classes = checked_words(labels, predictions, classes)
    _, recall, f1, support = precision_recall_fscore_support(
        labels, predictions, labels=classes, zero_division=0
    )
    present = support > 0
    return {
        "n": len(labels),
        "WA": float(accuracy_score(labels, predictions)),
        "UA": float(recall[present].mean()),
        "macro_F1": float(f1[present].mean()),
        "weighted_F1": float(np.average(f1, weights=support)),
        "recall": {
            word: float(value) if known else None
            for word, value, known in zip(classes, recall, present)
        },
        "confusion": confusion_matrix(
            labels, predictions, labels=classes
        ).tolist(),
    }
