"""The numbers that speech emotion recognition is judged by."""

import statistics

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    precision_recall_fscore_support,
)


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
        All class words; their order is that of the confusion matrix.

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
        If there is nothing to compare, the lengths differ, or a word is not
        among the classes.

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


def metrics_table(rows):
    """Formats metrics as aligned text, in per cent.

    Arguments
    ---------
    rows : dict
        The name of each row and its metrics (of `classification_metrics`).

    Returns
    -------
    str
        A header line and one line for each row.

    Example
    -------
    >>> found = classification_metrics(["a", "b"], ["a", "a"], ["a", "b"])
    >>> print(metrics_table({"test": found}))
    name  n  WA (%)  UA (%)  macro F1 (%)  weighted F1 (%)
    test  2   50.00   50.00         33.33            33.33
    """
    keys = {
        "WA": "WA (%)",
        "UA": "UA (%)",
        "macro_F1": "macro F1 (%)",
        "weighted_F1": "weighted F1 (%)",
    }
    cells = [["name", "n", *keys.values()]]
    for name, metrics in rows.items():
        shares = [f"{100 * metrics[key]:.2f}" for key in keys]
        cells.append([str(name), str(metrics["n"]), *shares])
    widths = [max(map(len, column)) for column in zip(*cells)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        )
        for row in cells
    )


def mean_and_std(values):
    """Gives the mean and the sample standard deviation (ddof = 1).

    Arguments
    ---------
    values : iterable of float
        For example the UA of each fold.

    Returns
    -------
    tuple of float
        The mean and the standard deviation; the latter is 0.0 for one value.

    Raises
    ------
    ValueError
        If there are no values.

    Example
    -------
    >>> mean_and_std([1.0, 2.0, 3.0])
    (2.0, 1.0)
    >>> mean_and_std([0.5])
    (0.5, 0.0)
    """
    values = [float(value) for value in values]
    mean = statistics.fmean(values)
    return mean, statistics.stdev(values) if len(values) > 1 else 0.0
