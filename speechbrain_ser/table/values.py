"""What a run's ``metrics.json`` says of a column."""

import dataclasses
import math

import numpy as np

from speechbrain_ser.evaluation.metrics import scores_of_confusion
from speechbrain_ser.scores import SHARES
from speechbrain_ser.table.layout import DONE, LEAKAGE

RECALL = "recall_"


def value_of(run, column):
    """Reads a column's number from a run that is done.

    Arguments
    ---------
    run : speechbrain_ser.table.layout.Run
    column : speechbrain_ser.table.layout.Column

    Returns
    -------
    float
        As it is stored: shares in 0..1.

    Raises
    ------
    ValueError
        If the run has no such number; the message says so.

    Example
    -------
    >>> from speechbrain_ser.table.layout import Column, Run
    >>> run = Run("a", None, 1, "key", "folder", "done")
    >>> run.metrics = {"metrics": {"test": {"UA": 0.5}}}
    >>> value_of(run, Column("UA", "UA", ("test",)))
    0.5
    >>> run.metrics["metrics"]["valid"] = {"UA": 0.75}
    >>> value_of(run, Column("gap", "UA", ("test",), minus="valid"))
    -0.25
    """
    if column.minus is not None:
        one = dataclasses.replace(column, minus=None)
        other = dataclasses.replace(one, splits=(column.minus,))
        return value_of(run, one) - value_of(run, other)
    if column.metric in LEAKAGE:
        return number(leakage_of(run), LEAKAGE[column.metric], column.metric)
    if column.metric == "n":
        sizes = run.metrics.get("sizes") or {}
        return sum(
            number(sizes, split, f"n of {split}") for split in column.splits
        )
    split = column.splits[0]
    what = f"{column.metric} of {split}"
    if column.epochs == "last":
        what += " over the last epochs"
        last = None
        if split == "test":
            last = run.metrics.get("test_mean_of_last_epochs")
        return number((last or {}).get(column.metric) or {}, "mean", what)
    if column.speakers == "mean":
        return mean_over_speakers(run, column)
    if column.epochs == "best":
        best = (run.metrics.get("best_epoch") or {}).get(split) or {}
        return number(best, column.metric, f"{what} at the best epoch")
    metrics = metrics_of(run, split)
    if column.metric.startswith(RECALL):
        return number(metrics.get("recall") or {}, word_of(column), what)
    return number(metrics, column.metric, what)


def mean_over_speakers(run, column):
    """Gives the mean of a metric over the speakers of a part."""
    what = f"{column.metric} of {column.splits[0]} by speaker"
    speakers = list(confusions_of_speakers(run, column).values())
    if not speakers:
        raise ValueError(f"no {what}")
    confusion_of(run, column)  # or it says that there is no such metric
    values = score(column, speakers, run.metrics["labels"])
    return number({"mean": float(values.mean())}, "mean", what)


def number(numbers, key, what):
    """Takes a finite number from a dictionary, or says that it has none."""
    value = numbers.get(key)
    if value is None:
        raise ValueError(f"no {what}")
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{what} is not a finite number")
    return float(value)


def leakage_of(run):
    """Gives what the probe for speakers found, or says that it found nothing.

    A run is the same with and without it: it may have been made without.
    """
    if "leakage" not in run.metrics:
        raise ValueError(
            "made without --speaker_probe True (delete its metrics.json to "
            "have it made again)"
        )
    if run.metrics["leakage"] is None:
        raise ValueError("no two speakers could be probed")
    return run.metrics["leakage"]


def metrics_of(run, split):
    """Gives a run's metrics of one part; empty if it has none."""
    return (run.metrics.get("metrics") or {}).get(split) or {}


def word_of(column):
    """Gives the class of a ``recall_<class>`` column."""
    return column.metric[len(RECALL) :]


def done_runs(runs):
    """Gives the runs that are done."""
    return [run for run in runs if run.status == DONE]


def confusion_of(run, column):
    """Gives the confusion matrix of a column's part, or says it has none."""
    split = column.splits[0]
    confusion = metrics_of(run, split).get("confusion")
    if confusion is None:
        raise ValueError(f"no confusion matrix of {split}")
    known = column.metric in SHARES or word_of(column) in run.metrics["labels"]
    if not known:
        raise ValueError(f"no {column.metric} of {split}")
    return np.asarray(confusion)


def confusions_of_speakers(run, column):
    """Gives the confusion matrix of each speaker of a column's part.

    Empty where the part names no speakers.
    """
    return metrics_of(run, column.splits[0]).get("speakers") or {}


def score(column, confusions, labels):
    """Computes a column's metric from confusion matrices, of any axes."""
    scores = scores_of_confusion(confusions)
    if column.metric in SHARES:
        return scores[column.metric]
    return scores["recall"][..., labels.index(word_of(column))]
