"""The numbers that speech emotion recognition is judged by."""

import statistics
import warnings

import numpy as np
from scipy.stats import DegenerateDataWarning, bootstrap

from speechbrain_ser.scores import SHARES, checked_words, classification_metrics

LEVEL = 0.95
RESAMPLES = 2000
BATCH_NUMBERS = 2**21  # that the bootstrap holds at once, about


def confusion_by_speaker(labels, predictions, classes, speakers):
    """Counts each speaker's confusions.

    Arguments
    ---------
    labels, predictions, classes : sequence of str
        As for `classification_metrics`.
    speakers : sequence of str
        The speaker of each utterance, in the same order.

    Returns
    -------
    dict
        Speaker to confusion matrix (rows are labels); speakers are sorted.

    Raises
    ------
    ValueError
        As `classification_metrics` does, and for another number of speakers.

    Example
    -------
    >>> confusion_by_speaker(
    ...     ["sad", "sad", "ang"],
    ...     ["sad", "ang", "ang"],
    ...     ["ang", "sad"],
    ...     ["Bob", "Bob", "Ann"],
    ... )
    {'Ann': [[1, 0], [0, 0]], 'Bob': [[0, 0], [1, 1]]}
    """
    labels, predictions, classes = checked_words(labels, predictions, classes)
    speakers = list(speakers)
    if len(speakers) != len(labels):
        raise ValueError(f"{len(labels)} labels, but {len(speakers)} speakers")
    place = {word: index for index, word in enumerate(classes)}
    counts = {
        speaker: [[0] * len(classes) for _ in classes]
        for speaker in sorted(set(speakers))
    }
    for label, prediction, speaker in zip(labels, predictions, speakers):
        counts[speaker][place[label]][place[prediction]] += 1
    return counts


def _ratio(part, whole):
    """Divides; nan where the whole is 0."""
    empty = np.full(np.shape(whole), np.nan)
    return np.divide(part, whole, out=empty, where=np.greater(whole, 0))


def scores_of_confusion(confusion):
    """Computes metrics from confusion matrices, many at once.

    They are defined as in `classification_metrics`.

    Arguments
    ---------
    confusion : array-like
        `[..., C, C]`; rows are labels, columns predictions.

    Returns
    -------
    dict
        `WA`, `UA`, `macro_F1` and `weighted_F1`, arrays `[...]`, and `recall`
        `[..., C]`. What has no utterances is nan.

    Example
    -------
    >>> found = scores_of_confusion([[0, 1, 0], [0, 3, 0], [0, 0, 0]])
    >>> float(found["WA"]), float(found["UA"])
    (0.75, 0.5)
    >>> found["recall"].tolist()
    [0.0, 1.0, nan]
    """
    confusion = np.asarray(confusion, dtype=float)
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    support = confusion.sum(axis=-1)
    recall = _ratio(hits, support)
    f1 = _ratio(2 * hits, support + confusion.sum(axis=-2))
    n, known = support.sum(axis=-1), support > 0
    return {
        "WA": _ratio(hits.sum(axis=-1), n),
        "UA": _ratio(
            np.where(known, recall, 0).sum(axis=-1), known.sum(axis=-1)
        ),
        "macro_F1": _ratio(
            np.where(known, f1, 0).sum(axis=-1), known.sum(axis=-1)
        ),
        "weighted_F1": _ratio(
            (support * np.where(known, f1, 0)).sum(axis=-1), n
        ),
        "recall": recall,
    }


def resampled_interval(
    confusions, score, level=LEVEL, resamples=RESAMPLES, seed=0, counts=None
):
    """Gives the percentile interval of a score by bootstrap.

    The order of the units does not matter.

    Arguments
    ---------
    confusions : array-like
        `[units, ..., C, C]`: the confusions of each unit (speaker or
        utterance).
    score : callable
        Turns sums over units `[resamples, ..., C, C]` into `[..., resamples]`.
    level : float
        Share of the resamples that the interval holds.
    resamples : int
        How often units are drawn with replacement.
    seed : int
        Of the draws.
    counts : sequence of int, optional
        How many units there are of each kind, where many are equal; one of
        each by default.

    Returns
    -------
    low, high : numpy.ndarray
        nan if the score of some resample is nan.

    Raises
    ------
    ValueError
        If there are fewer than two units.

    Example
    -------
    >>> low, high = resampled_interval(
    ...     [[[2, 0], [0, 2]], [[0, 2], [2, 0]]],
    ...     lambda sums: scores_of_confusion(sums)["WA"],
    ... )
    >>> float(low), float(high)
    (0.0, 1.0)
    """
    confusions, units = kinds_of(confusions, counts)
    with warnings.catch_warnings():
        # Said where a score is nan, which the caller is told by nan.
        warnings.simplefilter("ignore", DegenerateDataWarning)
        found = bootstrap(
            (units,),
            statistic_of(confusions, score),
            n_resamples=resamples,
            batch=max(1, BATCH_NUMBERS // max(len(units), confusions[0].size)),
            vectorized=True,
            confidence_level=level,
            method="percentile",
            rng=np.random.default_rng(seed),
        )
    return found.confidence_interval.low, found.confidence_interval.high


def kinds_of(confusions, counts):
    """Returns the kinds of units, and the kind of each unit."""
    confusions = np.asarray(confusions)
    if counts is None:
        confusions = np.asarray(sorted(confusions.tolist()))
        counts = np.ones(len(confusions), dtype=int)
    units = np.repeat(np.arange(len(confusions)), counts)
    if len(units) < 2:
        raise ValueError(
            f"a bootstrap needs two units or more, not {len(units)}"
        )
    return confusions, units


def statistic_of(confusions, score):
    """Returns the score of resamples ``[resamples, units]`` of confusions."""
    flat = confusions.reshape(len(confusions), -1).astype(float)

    def statistic(drawn, axis):
        """Scores resamples by how often each kind is drawn."""
        start = len(flat) * np.arange(len(drawn))[:, None]
        drawn = np.bincount(
            (drawn + start).ravel(), minlength=len(drawn) * len(flat)
        ).reshape(len(drawn), len(flat))
        return score((drawn @ flat).reshape(-1, *confusions.shape[1:]))

    return statistic


def bootstrap_intervals(
    confusions, level=LEVEL, resamples=RESAMPLES, seed=0, counts=None
):
    """Gives percentile intervals of the metrics by bootstrap over speakers.

    Arguments
    ---------
    confusions : array-like
        `[speakers, C, C]`: each speaker's confusion matrix.
    level, resamples, seed, counts
        As for `resampled_interval`.

    Returns
    -------
    dict
        `WA`, `UA`, `macro_F1` and `weighted_F1`, each `[low, high]`.

    Raises
    ------
    ValueError
        If there are fewer than two speakers.

    Example
    -------
    >>> same = [[3, 1], [0, 4]]
    >>> bootstrap_intervals([same, same, same])["WA"]
    [0.875, 0.875]
    """

    def score(sums):
        """Stacks the four metrics."""
        scores = scores_of_confusion(sums)
        return np.stack([scores[key] for key in SHARES])

    low, high = resampled_interval(
        confusions, score, level, resamples, seed, counts
    )
    return {
        key: [float(low[index]), float(high[index])]
        for index, key in enumerate(SHARES)
    }


def interval_report(labels, predictions, classes, speakers):
    """Gives 95 % intervals of the metrics, and what they go over.

    Speakers are resampled if every utterance has one and there are at least
    two, since a speaker's utterances are alike; otherwise utterances are.

    Arguments
    ---------
    labels, predictions, classes : sequence of str
        As for `classification_metrics`.
    speakers : sequence of str, or None
        The speaker of each utterance.

    Returns
    -------
    dict or None
        `level`, `over` (``speakers`` or ``utterances``), `units` (how many of
        these), `resamples`, and [low, high] of `WA`, `UA`, `macro_F1` and
        `weighted_F1`. None for fewer than two utterances.

    Raises
    ------
    ValueError
        As `confusion_by_speaker` does.

    Example
    -------
    >>> words = ["ang", "sad", "ang", "sad"]
    >>> found = interval_report(words, words, ["ang", "sad"], None)
    >>> found["over"], found["units"], found["WA"]
    ('utterances', 4, [1.0, 1.0])
    """
    labels = list(labels)
    if len(labels) < 2:
        return None
    speakers = list(speakers) if speakers is not None else [None]
    if all(speakers) and len(set(speakers)) > 1:
        over = "speakers"
        confusions = list(
            confusion_by_speaker(
                labels, predictions, classes, speakers
            ).values()
        )
        counts = None
    else:
        over = "utterances"
        # Equal utterances are one kind: a label with a prediction.
        counts = np.ravel(
            classification_metrics(labels, predictions, classes)["confusion"]
        )
        confusions = np.eye(len(counts)).reshape(-1, len(classes), len(classes))
    return {
        "level": LEVEL,
        "over": over,
        "units": len(confusions) if counts is None else len(labels),
        "resamples": RESAMPLES,
        **bootstrap_intervals(confusions, counts=counts),
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
    >>> from speechbrain_ser.scores import classification_metrics
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
