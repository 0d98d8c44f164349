"""What of a table is independent: the units of std, interval and tests.

A unit is a fold, averaged over its seeds. Folds that train on the same
utterances are one unit: with one seed they are one model, and with several they
hang together. Where there are no folds a unit is a speaker of the evaluated
part, averaged over the seeds; where the part names no speakers, a seed: seeds on
one split differ by the noise of training alone.
"""

import dataclasses
import math

import numpy as np
from scipy import stats

from speechbrain_ser.evaluation.metrics import LEVEL
from speechbrain_ser.table.values import (
    confusion_of,
    confusions_of_speakers,
    done_runs,
    score,
    value_of,
)

FOLDS, SPEAKERS, SEEDS = "folds", "speakers", "seeds"


@dataclasses.dataclass
class Sample:
    """A row's numbers in a column, as the column shows them.

    Attributes
    ----------
    kind : str
        What a unit is: `FOLDS`, `SPEAKERS` or `SEEDS`.
    values : dict
        Unit to value.
    mean : float or None
        What the cell shows: the mean of the values or, where utterances of
        all units are counted together, the metric of them, averaged over seeds.
    others : dict or None
        Unit to what `mean` would be without it; None: `mean` is that of
        `values`.
    """

    kind: str
    values: dict = dataclasses.field(default_factory=dict)
    mean: float = None
    others: dict = None

    def interval(self):
        """Returns the 95 % interval of `mean` by Student's t, or None.

        Its standard error is that of the jackknife over the units; for a mean
        it is the usual one.

        Example
        -------
        >>> plain = Sample(SEEDS, {1: 2.0, 2: 4.0, 3: 9.0}, 5.0)
        >>> left_out = {1: 6.5, 2: 5.5, 3: 3.0}
        >>> again = dataclasses.replace(plain, others=left_out)
        >>> [round(end, 6) for end in plain.interval()]
        [-3.956686, 13.956686]
        >>> [round(end, 6) for end in again.interval()]
        [-3.956686, 13.956686]
        """
        n = len(self.values)
        if n < 2:
            return None
        if self.others is None:
            error = np.std(list(self.values.values()), ddof=1) / math.sqrt(n)
        else:
            error = np.std(list(self.others.values())) * math.sqrt(n - 1)
        half = stats.t.ppf((1 + LEVEL) / 2, n - 1) * error
        return float(self.mean - half), float(self.mean + half)


def joined_folds(file, runs):
    """Says which folds are one unit, as they train on the same utterances.

    Folds that are one in any row are one in all: rows are compared in the same
    units.

    Arguments
    ---------
    file : TableFile
    runs : list of Run

    Returns
    -------
    list of int
        For each of the table's folds the first one that it is one unit with.
    """
    owner = list(range(len(file.folds)))
    if file.conditions:
        return owner
    first = {}
    for run in done_runs(runs):
        part = (run.metrics.get("parts_sha256") or {}).get("train")
        if part is not None:
            here = file.folds.index(run.fold)
            there = first.setdefault((run.row, part), here)
            pair = {owner[here], owner[there]}
            owner = [min(pair) if one in pair else one for one in owner]
    return owner


def groups_of_folds(file, joined):
    """Lists the folds that are one unit with others, unit by unit."""
    groups = {}
    for fold, unit in zip(file.folds, joined):
        groups.setdefault(unit, []).append(fold)
    return [own for own in groups.values() if len(own) > 1]


def sample_of(file, column, groups, joined):
    """Computes a row's numbers by unit.

    Arguments
    ---------
    file : TableFile
    column : Column
        As the row reads it.
    groups : dict
        Seed, or the index of a fold, to its runs; each has its value.
    joined : list of int
        See `joined_folds`.

    Returns
    -------
    Sample
    """
    over_seeds = file.over_seeds(column)
    kind = SEEDS if over_seeds else FOLDS
    if not groups:
        return Sample(kind)
    scale = 100 if column.percent else 1
    values = {
        unit: scale * value_of_group(column, own)
        for unit, own in groups.items()
    }
    if not over_seeds:
        together = {}
        for fold, value in values.items():
            together.setdefault(joined[fold], []).append(value)
        values = {u: float(np.mean(own)) for u, own in together.items()}
    mean = float(np.mean(list(values.values())))
    if over_seeds:
        found = counted_together(file, column, list(groups.values()), joined)
        if found is not None:
            kind, own, others = found
            return Sample(
                kind,
                {unit: scale * value for unit, value in own.items()},
                mean,
                others and {u: scale * value for u, value in others.items()},
            )
    return Sample(kind, values, mean)


def value_of_group(column, runs):
    """Gives a fold's mean over seeds, or a seed's value over what it reads.

    Folds are pooled there, of conditions it is the mean.
    """
    if column.folds == "pooled":
        pooled = sum(confusion_of(run, column) for run in runs)
        return float(score(column, pooled, runs[0].metrics["labels"]))
    return float(np.mean([value_of(run, column) for run in runs]))


def counted_together(file, column, groups, joined):
    """Parts what is counted together into folds or speakers.

    Arguments
    ---------
    file : TableFile
    column : Column
    groups : list of list of Run
        Seed by seed.
    joined : list of int

    Returns
    -------
    tuple or None
        What a unit is; unit to its own value, and to the value of all others
        together (None where the mean is that of the values). None as a whole
        where there are fewer than two units, or one without a value.
    """
    if column.folds == "pooled" and len(file.folds) > 1:
        kind, pieces = FOLDS, pieces_of_folds(file, column, groups, joined)
    else:
        kind, pieces = SPEAKERS, pieces_of_speakers(column, groups)
    if not pieces or len(pieces[0]) < 2:
        return None
    names = sorted(pieces[0])
    if any(sorted(own) != names for own in pieces):
        return None
    labels = groups[0][0].metrics["labels"]
    matrices = np.array([[own[name] for name in names] for own in pieces])
    rest = matrices.sum(axis=1, keepdims=True) - matrices
    values, others = (
        dict(zip(names, score(column, held, labels).mean(axis=0).tolist()))
        for held in (matrices, rest)
    )
    if not np.isfinite([*values.values(), *others.values()]).all():
        return None
    return kind, values, None if column.speakers == "mean" else others


def pieces_of_folds(file, column, groups, joined):
    """Sums the confusions of each unit of folds, seed by seed."""
    pieces = []
    for runs in groups:
        own = {}
        for run in runs:
            unit = joined[file.folds.index(run.fold)]
            own[unit] = own.get(unit, 0) + confusion_of(run, column)
        pieces.append(own)
    return pieces


def pieces_of_speakers(column, groups):
    """Gives the confusions of each speaker, seed by seed; None without such.

    Of a mean over conditions there are none, nor of what is no single
    evaluation of one part.
    """
    single = column.epochs == "selected" and column.minus is None
    if not (column.from_confusion and single):
        return None
    if any(len(runs) > 1 for runs in groups):
        return None
    return [confusions_of_speakers(run, column) for (run,) in groups]
