"""From the runs of a table to its numbers."""

import dataclasses
import math
import os

import numpy as np
from scipy import stats

from speechbrain_ser.evaluation.metrics import (
    LEVEL,
    RESAMPLES,
    resampled_interval,
    scores_of_confusion,
)
from speechbrain_ser.table.layout import (
    DONE,
    FAILED,
    FOREIGN,
    LEAKAGE,
    MISSING,
    QUEUED,
    RUNNING,
    SHARES,
    Cell,
    Table,
)

SIGNIFICANT = 0.05
RECALL = "recall_"
FEW = 3  # seeds or folds, fewer make no interval worth its name
NAMED = 5  # things that a note names before it says how many more there are


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
    >>> columns = {"UA": Column("UA", "UA", ("evaluation",))}
    >>> file = TableFile(
    ...     "t.yaml", "T", "s.py", "h.yaml", {"a": {}}, columns, seeds=[1, 2]
    ... )
    >>> runs = [Run("a", None, seed, "key", "folder") for seed in (1, 2)]
    >>> runs[0].status = "done"
    >>> runs[0].metrics = {"metrics": {"evaluation": {"UA": 0.625}}}
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
    cells, units = {}, {}
    for row, own in rows.items():
        for name in file.columns:
            column = file.column_of(row, name)
            cell, units[row, name] = _cell(file, column, own)
            paper = file.paper.get(name, {}).get(row)
            cell.paper = None if paper is None else str(paper)
            cells[row, name] = cell
    remarks = _add_stars(file, rows, cells, units)
    confusions = {
        row: _sum_of_confusions(file, row, own, labels)
        for row, own in rows.items()
    }
    notes = _notes(file, runs, cells, remarks)
    return Table(file, runs, cells, confusions, list(labels or []), notes)


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
    >>> run.metrics = {"metrics": {"evaluation": {"UA": 0.5}}}
    >>> value_of(run, Column("UA", "UA", ("evaluation",)))
    0.5
    >>> run.metrics["metrics"]["validation"] = {"UA": 0.75}
    >>> value_of(run, Column("gap", "UA", ("evaluation",), minus="validation"))
    -0.25
    """
    if column.minus is not None:
        one = dataclasses.replace(column, minus=None)
        other = dataclasses.replace(one, splits=(column.minus,))
        return value_of(run, one) - value_of(run, other)
    if column.metric in LEAKAGE:
        return _number(_leakage(run), LEAKAGE[column.metric], column.metric)
    if column.metric == "n":
        sizes = run.metrics.get("sizes") or {}
        return sum(
            _number(sizes, split, f"n of {split}") for split in column.splits
        )
    split = column.splits[0]
    what = f"{column.metric} of {split}"
    if column.epochs == "last":
        what += " over the last epochs"
        last = None
        if split == "evaluation":
            last = run.metrics.get("evaluation_mean_of_last_epochs")
        return _number((last or {}).get(column.metric) or {}, "mean", what)
    if column.epochs == "best":
        best = (run.metrics.get("best_epoch") or {}).get(split) or {}
        return _number(best, column.metric, f"{what} at the best epoch")
    metrics = _metrics(run, split)
    if column.metric.startswith(RECALL):
        return _number(metrics.get("recall") or {}, _word(column), what)
    return _number(metrics, column.metric, what)


def _number(numbers, key, what):
    """Takes a finite number from a dictionary, or says that it has none."""
    value = numbers.get(key)
    if value is None:
        raise ValueError(f"no {what}")
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{what} is not a finite number")
    return float(value)


def _leakage(run):
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


def _metrics(run, split):
    """Gives a run's metrics of one part; empty if it has none."""
    return (run.metrics.get("metrics") or {}).get(split) or {}


def _word(column):
    """Gives the class of a ``recall_<class>`` column."""
    return column.metric[len(RECALL) :]


def _done(runs):
    """Gives the runs that are done."""
    return [run for run in runs if run.status == DONE]


def _over_seeds(file, column):
    """Says whether a column's mean goes over seeds, not over folds."""
    return (
        column.folds == "pooled"
        or len(file.folds) == 1
        or bool(file.conditions)
    )


def _folds_of(file, column):
    """Gives the folds, or conditions, that a column reads."""
    return [fold for fold in file.folds if column.covers(fold)]


def _listed(names, separator=", "):
    """Joins different names, and counts them where there are many."""
    names = list(dict.fromkeys(names))
    more = len(names) - NAMED
    end = [f"{more} more"] if more > 0 else []
    return separator.join(names[:NAMED] + end)


# One cell


def _cell(file, column, runs):
    """Gives a row's cell and its values by unit."""
    over_seeds = _over_seeds(file, column)
    cell = Cell([], unit="seeds" if over_seeds else "folds")
    if not _reported(column):
        return cell, {}
    runs = [run for run in runs if column.covers(run.fold)]
    cell.planned = len(runs)
    problem = _mixture(file, runs) or _unpoolable(column)
    if problem:
        cell.problems = [problem]
        return cell, {}
    groups, cell.problems = _groups(file, column, runs)
    scale = 100 if column.percent else 1
    units = {
        unit: scale * _value_of_unit(column, own)
        for unit, own in groups.items()
    }
    cell.values = list(units.values())
    cell.runs = sum(map(len, groups.values()))
    n = len(cell.values)
    if n:
        cell.mean = float(np.mean(cell.values))
    if n > 1:
        cell.std = float(np.std(cell.values, ddof=1))
        half = stats.t.ppf((1 + LEVEL) / 2, n - 1) * cell.std / math.sqrt(n)
        cell.interval = (float(cell.mean - half), float(cell.mean + half))
    plain = column.epochs == "selected" and column.minus is None
    if n and over_seeds and column.from_confusion and plain:
        cell.speakers = _over_speakers(column, list(groups.values()))
    return cell, units


def _reported(column):
    """Says whether runs report such a number: last epochs of one part alone."""
    return column.epochs != "last" or column.splits == ("evaluation",)


def _mixture(file, runs):
    """Says why a row's runs cannot be averaged; None if they can.

    Conditions may differ in protocol and classes, the runs of one may not.
    """
    done = _done(runs)
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
                    f"{_places(file, those)} {_shown(key, value)}"
                    for value, those in groups.items()
                )
                return f"runs of different {what} are not averaged: {which}"
    return None


def _shown(key, value):
    """Shows eight digits of a hash, and other values as they are."""
    return value[:8] if key.endswith("sha256") else value


def _places(file, runs):
    """Names runs of one row by seed, and by fold if the table has several."""
    several = len(file.folds) > 1
    names = [
        f"{file.fold_word} {run.fold}, seed {run.seed}"
        if several
        else f"seed {run.seed}"
        for run in runs
    ]
    return f"{_listed(names, ' and ')} {'has' if len(runs) == 1 else 'have'}"


def _unpoolable(column):
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


def _groups(file, column, runs):
    """Groups the runs that have a number by unit; says who is left out.

    A seed needs all folds or conditions that the column reads, a fold one run.
    """
    pooled = column.folds == "pooled"
    over_seeds = _over_seeds(file, column)
    folds = _folds_of(file, column)
    units = file.seeds if over_seeds else range(len(file.folds))
    groups = {unit: [] for unit in units}
    lacking = {}
    for run in _done(runs):
        try:
            (_confusion if pooled else value_of)(run, column)
        except ValueError as error:
            lacking.setdefault(str(error), []).append(run)
        else:
            unit = run.seed if over_seeds else file.folds.index(run.fold)
            groups[unit].append(run)
    problems = _status_problems(runs) + [
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
            if math.isnan(_value_of_unit(column, own)):
                problems.append(f"seed {unit} has no {column.metric}")
                del kept[unit]
    return kept, problems


def _status_problems(runs):
    """Counts the runs that are not done, by status."""
    problems = []
    for status in (FAILED, MISSING, FOREIGN, RUNNING, QUEUED):
        own = [run for run in runs if run.status == status]
        if own:
            text = f"{len(own)} of {len(runs)} runs {status}"
            reasons = _listed([run.note for run in own if run.note], "; ")
            if status == FOREIGN and reasons:
                text += f": {reasons}"
            problems.append(text)
    return problems


def _value_of_unit(column, runs):
    """Gives a fold's mean over seeds, or a seed's value over what it reads.

    Folds are pooled there, of conditions it is the mean.
    """
    if column.folds == "pooled":
        pooled = sum(_confusion(run, column) for run in runs)
        return float(_score(column, pooled, runs[0].metrics["labels"]))
    return float(np.mean([value_of(run, column) for run in runs]))


def _confusion(run, column):
    """Gives the confusion matrix of a column's part, or says it has none."""
    split = column.splits[0]
    confusion = _metrics(run, split).get("confusion")
    if confusion is None:
        raise ValueError(f"no confusion matrix of {split}")
    known = column.metric in SHARES or _word(column) in run.metrics["labels"]
    if not known:
        raise ValueError(f"no {column.metric} of {split}")
    return np.asarray(confusion)


def _score(column, confusions, labels):
    """Computes a column's metric from confusion matrices `[..., C, C]`."""
    scores = scores_of_confusion(confusions)
    if column.metric in SHARES:
        return scores[column.metric]
    return scores["recall"][..., labels.index(_word(column))]


def _over_speakers(column, units):
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
            speakers = _metrics(run, column.splits[0]).get("speakers") or {}
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
        lambda drawn: _score(column, drawn, labels).mean(axis=-1),
    )
    if np.isnan([low, high]).any():
        return None
    return 100 * float(low), 100 * float(high)


def _sum_of_confusions(file, row, runs, labels):
    """Sums a row's confusion matrices; None if they do not go together."""
    done = _done(runs)
    if not done or _mixture(file, runs):
        return None
    known = list(labels) if labels else done[0].metrics.get("labels")
    if any(run.metrics.get("labels") != known for run in done):
        return None
    first = next(iter(file.columns.values())).splits[0]
    for split in ("evaluation", first):
        part = file.part_of(row, split)
        found = [_metrics(run, part).get("confusion") for run in done]
        if None not in found:
            return np.sum(found, axis=0).tolist()
    return None


# Tests of rows against each other


def _add_stars(file, rows, cells, units):
    """Tests rows against those of the symbols; gives remarks for the notes."""
    columns = [
        name
        for name, column in file.columns.items()
        if column.metric not in ("n", "leakage_chance")
    ]
    remarks = {}
    for row in rows:
        symbols = {
            symbol: others
            for symbol, others in file.stars.items()
            if row not in others
        }
        against = dict.fromkeys(sum(map(tuple, symbols.values()), ()))
        for name in columns:
            cell, beaten = cells[row, name], set()
            for other in against:
                p, better, remark = _compare(
                    file, name, rows, units, row, other
                )
                cell.p_values[other] = p
                if p is not None and p < SIGNIFICANT and better:
                    beaten.add(other)
                if remark:
                    remarks.setdefault(remark, []).append(name)
            cell.stars = _strongest(symbols, beaten)
    return [
        f"{remark}."
        if len(set(names)) == len(columns)
        else f"{remark} ({_listed(names)})."
        for remark, names in remarks.items()
    ]


def _strongest(symbols, beaten):
    """Joins the symbols that hold, without those that others imply."""
    holding = {
        symbol: set(others)
        for symbol, others in symbols.items()
        if beaten.issuperset(others)
    }
    return "".join(
        symbol
        for symbol, others in holding.items()
        if not any(others < more for more in holding.values())
    )


def _compare(file, name, rows, units, row, other):
    """Tests a row against another one.

    Returns
    -------
    tuple
        The p-value or None, whether the row is better, and what is to be
        said about the test (or None).
    """
    mine, theirs = units[row, name], units[other, name]
    column, their_column = (file.column_of(r, name) for r in (row, other))
    if not mine or not theirs:
        return None, False, None
    over_seeds = _over_seeds(file, column)
    unit = "seeds" if over_seeds else "folds"
    planned = len(file.seeds if over_seeds else file.folds)
    if planned < 2:
        return None, False, f"there are no tests: they need two {unit}"
    common = [unit for unit in mine if unit in theirs]
    folds = [
        fold
        for index, fold in enumerate(_folds_of(file, column))
        if over_seeds or index in common
    ]
    none = f"there is no test of {row} against {other}"
    if any(
        _parts(column, rows[row], fold)
        != _parts(their_column, rows[other], fold)
        for fold in folds
    ):
        return None, False, f"{none}: they are evaluated on different parts"
    if len(common) < 2:
        return None, False, f"{none}: they have fewer than two {unit} in common"
    pairs = np.array([(mine[unit], theirs[unit]) for unit in common])
    differences = pairs[:, 0] - pairs[:, 1]
    size = 100 if column.percent else np.abs(pairs).max()
    if np.ptp(differences) <= 1e-9 * size:
        return None, False, f"{none}: all differences are the same"
    p = float(stats.ttest_rel(pairs[:, 0], pairs[:, 1]).pvalue)
    better = differences.mean() * (-1 if column.better == "lower" else 1) > 0
    remark = None
    if len(common) < planned:
        remark = (
            f"the test of {row} against {other} is over "
            f"{len(common)} of {planned} {unit}"
        )
    return p, better, remark


def _parts(column, runs, fold):
    """Gives the hashes of the parts that a column is computed on, by run."""
    return {
        tuple(
            (run.metrics.get("parts_sha256") or {}).get(
                part, run.metrics.get("split_sha256")
            )
            for part in column.parts
        )
        for run in _done(runs)
        if run.fold == fold
    }


# Notes


def _notes(file, runs, cells, remarks):
    """Writes the sentences under the table."""
    done = _done(runs)
    notes = _mean_notes(file) + _condition_notes(file)
    if any(cell.speakers for cell in cells.values()):
        notes.append(
            "over speakers (table.html, table.csv): 95 % interval of the mean "
            "over seeds by bootstrap over the evaluated speakers (percentile, "
            f"{RESAMPLES} resamples; a class that no drawn speaker has counts in "
            "no mean)."
        )
    if any(
        p is not None for cell in cells.values() for p in cell.p_values.values()
    ):
        units = _listed(
            [
                f"{len(getattr(file, c.unit))} {c.unit}"
                for c in cells.values()
                if any(p is not None for p in c.p_values.values())
            ],
            " or ",
        )
        notes += [
            f"{symbol}: p < {SIGNIFICANT} against {' and '.join(others)}, "
            f"paired t-test (scipy.stats.ttest_rel) over the same {units}."
            for symbol, others in file.stars.items()
        ]
    notes += remarks
    if any(cell.paper is not None for cell in cells.values()):
        source = f"Paper: {file.source}; the" if file.source else "The"
        notes.append(f"{source} paper's column was measured by its authors.")
    notes += [*_data_notes(file, done), _recipe_note(file)]
    return notes + _run_notes(runs)


def _mean_notes(file):
    """Says what means and intervals go over."""

    def over(units, number):
        """Says what is shown of so many units."""
        if number < 2:
            return "one seed: no std and no interval."
        few = "; of so few they say hardly anything" if number < FEW else ""
        return (
            "mean ± std (ddof 1) and 95 % interval (Student's t) over "
            f"{number} {units}{few}."
        )

    columns = [c for c in file.columns.values() if c.metric != "n"]
    notes = []
    if not columns:
        return notes
    if len(file.folds) == 1 or file.conditions:
        notes.append(over("seeds", len(file.seeds)))
    else:
        pooled = [c.name for c in columns if c.folds == "pooled"]
        means = [c.name for c in columns if c.folds != "pooled"]
        if means:
            notes.append(
                f"{', '.join(means)}: a fold's value is the mean over its "
                f"seeds ({len(file.seeds)}); {over('folds', len(file.folds))}"
            )
        if pooled:
            notes.append(
                f"{', '.join(pooled)}: of the utterances of all "
                f"{len(file.folds)} folds together, pooled for each seed; "
                f"{over('seeds', len(file.seeds))}"
            )
    last = [c.name for c in columns if c.epochs == "last"]
    if last:
        notes.append(
            f"{', '.join(last)}: each run's mean over its last epochs."
        )
    best = [c.name for c in columns if c.epochs == "best"]
    if best:
        notes.append(
            f"{', '.join(best)}: at the epoch of each run that did best on its "
            "validation part."
        )
    differences = [f"{c.name} ({c.formula})" for c in columns if c.minus]
    if differences:
        notes.append(
            f"Differences between two parts of a run: {', '.join(differences)}."
        )
    probed = [c.name for c in columns if c.metric in LEAKAGE]
    if probed:
        notes.append(
            f"{', '.join(probed)}: of the utterances that train, the share whose "
            "speaker a fresh classifier names from the frozen embedding, each "
            "held out once (probing.speaker_probe)."
        )
    return notes + _reading_notes(file)


def _reading_notes(file):
    """Says which rows read other parts, and what there is not of these."""
    notes = []
    read = [
        f"{row} ({', '.join(f'{part} as {split}' for split, part in own.items())})"
        for row, own in file.reads.items()
    ]
    if read:
        notes.append(f"Rows read other parts of a run: {', '.join(read)}.")
    empty = {
        name: [
            row for row in file.rows if not _reported(file.column_of(row, name))
        ]
        for name in file.columns
    }
    for name, rows in empty.items():
        if rows:
            notes.append(
                f"{name}: nothing for {', '.join(rows)}, as runs report a mean "
                "over the last epochs for the part evaluation alone."
            )
    return notes


def _condition_notes(file):
    """Says what the conditions are, and which columns read which."""
    if not file.conditions:
        return []
    shown = [
        f"{name} ({_changes(overrides) or 'nothing set'})"
        for name, overrides in file.conditions.items()
    ]
    notes = [f"Conditions: {', '.join(shown)}."]
    own = [
        name if name == column.condition else f"{name} ({column.condition})"
        for name, column in file.columns.items()
        if column.condition is not None
    ]
    if own:
        notes.append(f"Of the runs of one condition: {', '.join(own)}.")
    means = [n for n, column in file.columns.items() if not column.condition]
    if means:
        notes.append(
            f"{', '.join(means)}: a seed's value is its mean over all "
            f"{len(shown)} conditions; a seed that lacks one is left out."
        )
    return notes


def _changes(overrides):
    """Lists settings and their values."""
    return ", ".join(f"{name} {value}" for name, value in overrides.items())


def _data_notes(file, done):
    """Names corpus, protocol and splits."""
    groups = {}
    for run in sorted(done, key=lambda run: file.folds.index(run.fold)):
        protocol = file.protocol_of(run.fold, run.metrics.get("protocol"))
        data = run.metrics.get("corpus"), protocol
        split = str(run.metrics.get("split_sha256"))[:8]
        place = file.folds.index(run.fold), split
        groups.setdefault(data, {}).setdefault(place, []).extend(run.rows)
    notes = []
    for (corpus, protocol), splits in groups.items():
        folds = [fold for fold, _ in splits]
        shown = []
        for (fold, split), rows in splits.items():
            where = []
            if len(file.folds) > 1:
                where.append(f"{file.fold_word} {file.folds[fold]}")
            if len(groups) > 1 or folds.count(fold) > 1:
                where.append(f"rows {_listed(rows)}")
            shown.append(split + (f" ({', '.join(where)})" if where else ""))
        notes.append(
            f"Data: corpus {corpus}, protocol {protocol}, "
            f"split{'s' if len(shown) > 1 else ''} {', '.join(shown)}."
        )
        if corpus == "mini":
            notes.append(
                "The mini corpus is synthetic voices: its numbers say nothing "
                "about a real one."
            )
    return list(dict.fromkeys(notes))


def _recipe_note(file):
    """Names script and hparams file, and what is set for all rows."""
    script, hparams = map(os.path.basename, (file.script, file.hparams))
    changes = _changes(file.overrides)
    same = f"; in all rows {changes}" if changes else ""
    return f"Recipe: {script} with {hparams}{same}."


def _run_notes(runs):
    """Says what code and devices made the runs, and which are not done."""
    done = _done(runs)
    notes, codes = [], {}
    for run in done:
        code = str(run.metrics.get("code"))
        codes.setdefault(code[:8], []).append(run)
    if len(codes) > 1:
        shown = "; ".join(
            f"{code} {len(own)} of {len(done)} "
            f"(rows {_listed(row for run in own for row in run.rows)})"
            for code, own in sorted(codes.items())
        )
        notes.append(f"Different versions of the code made the runs: {shown}.")
    devices = {run.metrics["device"] for run in done if "device" in run.metrics}
    if devices:
        notes.append(f"Devices: {', '.join(sorted(devices))}.")
    for status in (FAILED, MISSING, FOREIGN, RUNNING, QUEUED):
        own = [run for run in runs if run.status == status]
        if own:
            verb = (
                "" if status == FAILED else "is " if len(own) == 1 else "are "
            )
            names = [
                f"{run.name} ({run.note})" if run.note else run.name
                for run in own
            ]
            notes.append(
                f"{len(own)} of {len(runs)} runs {verb}{status}: "
                f"{_listed(names, '; ')}."
            )
    return notes
