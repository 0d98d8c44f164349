"""From the runs of a table to its numbers."""

import math

import numpy as np

from speechbrain_ser.evaluation.metrics import resampled_interval
from speechbrain_ser.table.comparisons import add_stars
from speechbrain_ser.table.layout import (
    FAILED,
    FOREIGN,
    MISSING,
    QUEUED,
    RUNNING,
    Cell,
    Table,
)
from speechbrain_ser.table.notes import notes_of
from speechbrain_ser.table.units import joined_folds, sample_of, value_of_group
from speechbrain_ser.table.values import (
    confusion_of,
    done_runs,
    metrics_of,
    score,
    value_of,
)
from speechbrain_ser.table.words import listed


def fill(file, runs, labels):
    """Computes every cell of a table.

    The order of the runs does not matter.

    Arguments
    ---------
    file : speechbrain_ser.table.layout.TableFile
    runs : list of speechbrain_ser.table.layout.Run
        One for each row, fold (or condition) and seed; one alone where rows
        share it.
    labels : list of str, or None
        The classes of the confusion matrices.

    Returns
    -------
    speechbrain_ser.table.layout.Table

    Example
    -------
    >>> from speechbrain_ser.table.layout import Column, Run, TableFile
    >>> columns = {"UA": Column("UA", "UA", ("test",))}
    >>> file = TableFile(
    ...     "t.yaml", "T", "s.py", "h.yaml", {"a": {}}, columns, seeds=[1, 2]
    ... )
    >>> runs = [Run("a", None, seed, "key", "folder") for seed in (1, 2)]
    >>> runs[0].status = "done"
    >>> runs[0].metrics = {"metrics": {"test": {"UA": 0.625}}}
    >>> cell = fill(file, runs, None).cells["a", "UA"]
    >>> cell.mean, cell.problems
    (62.5, ['1 of 2 runs missing'])
    """
    runs = sorted(
        runs,
        key=lambda run: (
            list(file.rows).index(run.row),
            file.folds.index(run.fold),
            file.seeds.index(run.seed),
        ),
    )
    rows = {row: [run for run in runs if row in run.rows] for row in file.rows}
    cells, samples, joined = {}, {}, joined_folds(file, runs)
    for row, own in rows.items():
        for name in file.columns:
            column = file.column_of(row, name)
            cell, samples[row, name] = make_cell(file, column, own, joined)
            paper = file.paper.get(name, {}).get(row)
            cell.paper = None if paper is None else str(paper)
            cells[row, name] = cell
    remarks = add_stars(file, rows, cells, samples, joined)
    confusions = {
        row: sum_of_confusions(file, row, own, labels)
        for row, own in rows.items()
    }
    notes = notes_of(file, runs, cells, remarks, joined)
    return Table(file, runs, cells, confusions, list(labels or []), notes)


def make_cell(file, column, runs, joined):
    """Gives a row's cell and its values by unit, see `table.units`."""
    over_seeds = file.over_seeds(column)
    sample = sample_of(file, column, {}, joined)
    cell = Cell([], unit=sample.kind)
    if not column.reported:
        return cell, sample
    runs = [run for run in runs if column.covers(run.fold)]
    cell.planned = len(runs)
    problem = mixture(file, runs) or unpoolable(column)
    if problem:
        cell.problems = [problem]
        return cell, sample
    groups, cell.problems = groups_of(file, column, runs)
    # a run may stand for several seeds
    cell.runs = len({id(run) for own in groups.values() for run in own})
    sample = sample_of(file, column, groups, joined)
    cell.unit, cell.mean = sample.kind, sample.mean
    cell.values = list(sample.values.values())
    if len(cell.values) > 1:
        cell.std = float(np.std(cell.values, ddof=1))
        cell.interval = sample.interval()
    plain = column.epochs == "selected" and column.minus is None
    plain = plain and column.speakers == "pooled"
    if groups and over_seeds and column.from_confusion and plain:
        cell.speakers = over_speakers(column, list(groups.values()))
    return cell, sample


def mixture(file, runs):
    """Says why a row's runs cannot be averaged; None if they can.

    Conditions may differ in protocol and classes, the runs of one may not.
    """
    done = done_runs(runs)
    parts = [[run for run in done if run.fold == fold] for fold in file.folds]
    for key, what, sets in (
        ("protocol", "protocols", parts if file.conditions else [done]),
        ("labels", "classes", parts if file.conditions else [done]),
        ("split_sha256", "splits", parts),
    ):
        for own in sets:
            groups = {}
            for run in own:
                value = str(run.metrics.get(key))
                if key == "protocol":
                    value = file.protocol_of(run.fold, value)
                groups.setdefault(value, []).append(run)
            if len(groups) > 1:
                which = ", ".join(
                    f"{places(file, those)} {shown(key, value)}"
                    for value, those in groups.items()
                )
                return f"runs of different {what} are not averaged: {which}"
    return None


def shown(key, value):
    """Shows eight digits of a hash, and other values as they are."""
    return value[:8] if key.endswith("sha256") else value


def places(file, runs):
    """Names runs of one row by seed, and by fold if the table has several."""
    several = len(file.folds) > 1
    names = [
        f"{file.fold_word} {run.fold}, seed {run.seed_text}"
        if several
        else f"seed {run.seed_text}"
        for run in runs
    ]
    return f"{listed(names, ' and ')} {'has' if len(runs) == 1 else 'have'}"


def unpoolable(column):
    """Says why a column cannot go over all folds together; None if it can."""
    if column.folds != "pooled":
        return None
    if not column.from_confusion:
        return f"{column.metric} cannot be pooled over folds"
    if column.epochs == "last":
        return "a mean over the last epochs cannot be pooled over folds"
    if column.epochs == "best":
        return "the best epoch cannot be pooled over folds"
    return None


def groups_of(file, column, runs):
    """Groups the runs that have a number by seed or fold, and says what lacks.

    A seed needs all folds or conditions that the column reads, a fold one run.
    """
    pooled = column.folds == "pooled"
    over_seeds = file.over_seeds(column)
    folds = file.folds_of(column)
    units = file.seeds if over_seeds else range(len(file.folds))
    groups = {unit: [] for unit in units}
    lacking = {}
    for run in done_runs(runs):
        try:
            (confusion_of if pooled else value_of)(run, column)
        except ValueError as error:
            lacking.setdefault(str(error), []).append(run)
        else:
            own = run.seeds if over_seeds else [file.folds.index(run.fold)]
            for unit in own:
                groups[unit].append(run)
    problems = status_problems(runs) + [
        f"{len(own)} of {len(runs)} runs without a value: {reason}"
        for reason, own in lacking.items()
    ]
    needed = len(folds) if over_seeds else 1
    if len(folds) > 1 and any(groups.values()):
        problems += [
            f"seed {unit} is left out: it has {len(own)} of {needed} "
            f"{file.fold_word}s"
            if over_seeds
            else f"fold {file.folds[unit]} is left out: it has no value"
            for unit, own in groups.items()
            if len(own) < needed
        ]
    kept = {unit: own for unit, own in groups.items() if len(own) >= needed}
    if pooled:
        for unit, own in list(kept.items()):
            if math.isnan(value_of_group(column, own)):
                problems.append(f"seed {unit} has no {column.metric}")
                del kept[unit]
    return kept, problems


def status_problems(runs):
    """Counts the runs that are not done, by status."""
    problems = []
    for status in (FAILED, MISSING, FOREIGN, RUNNING, QUEUED):
        own = [run for run in runs if run.status == status]
        if own:
            text = f"{len(own)} of {len(runs)} runs {status}"
            reasons = listed([run.note for run in own if run.note], "; ")
            if status == FOREIGN and reasons:
                text += f": {reasons}"
            problems.append(text)
    return problems


def over_speakers(column, units):
    """Gives the interval of the units' mean by bootstrap over speakers.

    All units are evaluated on the same drawn speakers. None if there are
    fewer than two, not the same in all units, or if the metric does not exist
    for some draws: a class may be spoken by few. Nor is there one of a mean
    over conditions.
    """
    if column.folds != "pooled" and any(len(runs) > 1 for runs in units):
        return None
    summed = []
    for runs in units:
        sums = {}
        for run in runs:
            speakers = metrics_of(run, column.splits[0]).get("speakers") or {}
            if not speakers:
                return None
            for speaker, confusion in speakers.items():
                sums[speaker] = sums.get(speaker, 0) + np.asarray(confusion)
        summed.append(sums)
    names = sorted(summed[0])
    if len(names) < 2 or any(sorted(sums) != names for sums in summed):
        return None
    labels = units[0][0].metrics["labels"]
    low, high = resampled_interval(
        [[sums[name] for sums in summed] for name in names],
        lambda drawn: score(column, drawn, labels).mean(axis=-1),
    )
    if np.isnan([low, high]).any():
        return None
    return 100 * float(low), 100 * float(high)


def sum_of_confusions(file, row, runs, labels):
    """Sums a row's confusion matrices; None if they do not go together."""
    done = done_runs(runs)
    if not done or mixture(file, runs):
        return None
    known = list(labels) if labels else done[0].metrics.get("labels")
    if any(run.metrics.get("labels") != known for run in done):
        return None
    first = next(iter(file.columns.values())).splits[0]
    for split in ("test", first):
        part = file.part_of(row, split)
        found = [metrics_of(run, part).get("confusion") for run in done]
        if None not in found:
            return np.sum(found, axis=0).tolist()
    return None
