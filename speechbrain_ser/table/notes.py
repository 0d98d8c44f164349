"""The sentences under a table."""

import os

from speechbrain_ser.evaluation.metrics import RESAMPLES
from speechbrain_ser.table.comparisons import AT_ONCE, DRAWS, EXACT, SIGNIFICANT
from speechbrain_ser.table.layout import (
    FAILED,
    FOREIGN,
    LEAKAGE,
    MISSING,
    QUEUED,
    RUNNING,
)
from speechbrain_ser.table.units import groups_of_folds
from speechbrain_ser.table.values import done_runs
from speechbrain_ser.table.words import changes_text, listed

FEW = 3  # seeds or folds, fewer make no interval worth its name


def notes_of(file, runs, cells, remarks, joined):
    """Writes the sentences under the table."""
    done = done_runs(runs)
    notes = mean_notes(file, cells, len(set(joined)))
    notes += joined_notes(file, joined)
    notes += reading_notes(file) + condition_notes(file) + seed_notes(runs)
    if any(cell.speakers for cell in cells.values()):
        notes.append(
            "over speakers (table.html, table.csv): 95 % interval of the mean "
            "over seeds by bootstrap over the evaluated speakers (percentile, "
            f"{RESAMPLES} resamples; a class that no drawn speaker has counts in "
            "no mean)."
        )
    notes += test_notes(file, cells) + remarks
    if any(cell.paper is not None for cell in cells.values()):
        source = f"Paper: {file.source}; the" if file.source else "The"
        notes.append(f"{source} paper's column was measured by its authors.")
    notes += [*data_notes(file, done), *recipe_notes(file)]
    return notes + run_notes(runs)


def test_notes(file, cells):
    """Says what the tests are, over what, and what they can find."""
    tested = {}  # units in words -> how many
    for cell in cells.values():
        for other, p in cell.p_values.items():
            if p is not None:
                n = cell.tested[other]
                tested[f"{n} {cell.unit}"] = n
    if not tested:
        return []
    notes = [
        f"{symbol}: p < {SIGNIFICANT} against {' and '.join(others)}, "
        "paired t-test (scipy.stats.ttest_rel) over the same "
        f"{listed(tested, ' or ')}."
        for symbol, others in file.stars.items()
    ]
    least = listed(
        [f"{2 / 2**n:.2g} of {words}" for words, n in tested.items()]
    )
    notes.append(
        "p-values (table.html, table.csv): of the t-test, and of the sign-flip "
        "test of the mean difference, which supposes no normal distribution "
        f"(all changes of sign, of more than {EXACT} units {DRAWS * AT_ONCE} "
        f"drawn); its smallest possible p is {least}."
    )
    if file.correction == "holm":
        notes.append(
            "p-values and stars are corrected by Holm's method over the columns "
            "of each pair of rows."
        )
    else:
        notes.append("p-values are not corrected for the number of tests.")
    return notes


def mean_notes(file, cells, n_folds):
    """Says what means, std and intervals go over, folds being so many units."""
    columns = [c for c in file.columns.values() if c.metric != "n"]
    groups = {}
    for column in columns:
        own = [cells[row, column.name] for row in file.rows]
        own.sort(key=lambda cell: -len(cell.values))
        how = "folds"
        if file.over_seeds(column):
            how = own[0].unit
        if column.folds == "pooled":
            how = f"pooled, {own[0].unit}"
        elif how == "speakers" and column.speakers == "mean":
            how = "each of the speakers"
        number = len(file.seeds)
        if how.endswith("folds"):
            number = n_folds
        elif how.endswith("speakers"):
            number = len(own[0].values)
        groups.setdefault((how, number), []).append(column.name)
    notes = [
        sentence(file, how, number, names, alone=len(groups) == 1)
        for (how, number), names in groups.items()
    ]
    if any(how.endswith("seeds") for how, _ in groups) and len(file.seeds) > 1:
        notes.append(
            "Seeds differ by the noise of training alone, on one split: they "
            "say nothing about other speakers or other training data."
        )
    if any(how.endswith("speakers") for how, _ in groups):
        notes.append(
            "Over speakers: what interval and test say holds for the one "
            "training set that there is."
        )
    return notes


def sentence(file, how, number, names, alone):
    """Says what std and interval of some columns go over, and over how many."""
    seeds, names = len(file.seeds), ", ".join(names)
    if how == "seeds":
        plain = over("seeds", number)
        return plain if alone else f"{names}: {plain}"
    if how in ("folds", "each of the speakers"):
        unit = how.removeprefix("each of the ")
        return (
            f"{names}: a {unit[:-1]}'s value is the mean over its seeds "
            f"({seeds}); {over(unit, number)}"
        )
    whole = f"{names}: of the whole part"
    if how.startswith("pooled"):
        folds = len(file.folds)
        whole = f"{names}: of the utterances of all {folds} folds together"
    unit = how.removeprefix("pooled, ")
    if unit == "seeds":
        return f"{whole}, pooled for each seed; {over('seeds', number)}"
    return (
        f"{whole}, mean over seeds ({seeds}); "
        f"{over(unit, number, jackknife=True)}"
    )


def over(units, number, jackknife=False):
    """Says what is shown of so many units."""
    if number < 2:
        return f"one {units[:-1]}: no std and no interval."
    few = "; of so few they say hardly anything" if number < FEW else ""
    if jackknife:
        return (
            f"std (ddof 1) of the {units}' own values, each a mean over seeds, "
            f"and 95 % interval (Student's t, by the jackknife) over {number} "
            f"{units}{few}."
        )
    return (
        "mean ± std (ddof 1) and 95 % interval (Student's t) over "
        f"{number} {units}{few}."
    )


def joined_notes(file, joined):
    """Says which folds are one unit."""
    groups = [
        " and ".join(map(str, folds)) for folds in groups_of_folds(file, joined)
    ]
    if not groups:
        return []
    return [
        f"Folds {'; '.join(groups)} train on the same utterances: they are one "
        "model, or hang together, and count once, as their mean."
    ]


def reading_notes(file):
    """Says which columns read what is no plain metric of the chosen epoch."""
    columns = [c for c in file.columns.values() if c.metric != "n"]
    notes = []
    last = [c.name for c in columns if c.epochs == "last"]
    if last:
        notes.append(
            f"{', '.join(last)}: each run's mean over its last epochs."
        )
    best = [c.name for c in columns if c.epochs == "best"]
    if best:
        notes.append(
            f"{', '.join(best)}: at the epoch of each run that did best on what "
            "validates: its part valid, or where it has none one speaker of its "
            "part test for the other, both ways averaged."
        )
    spoken = [c.name for c in columns if c.speakers == "mean"]
    if spoken:
        notes.append(
            f"{', '.join(spoken)}: the mean over the speakers of each run's part."
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
    return notes + row_notes(file)


def row_notes(file):
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
            row for row in file.rows if not file.column_of(row, name).reported
        ]
        for name in file.columns
    }
    for name, rows in empty.items():
        own = [row for row in rows if (row, name) in file.lacking]
        if own:
            notes.append(
                f"{name}: nothing for {', '.join(own)}, whose recipe reports no "
                f"{file.columns[name].metric}."
            )
        rows = [row for row in rows if row not in own]
        if rows:
            notes.append(
                f"{name}: nothing for {', '.join(rows)}, as runs report a mean "
                "over the last epochs for the part test alone."
            )
    return notes


def seed_notes(runs):
    """Says which runs stand for several seeds."""
    rows = listed(row for run in runs if run.more_seeds for row in run.rows)
    if not rows:
        return []
    return [f"{rows}: nothing is drawn there, so that all seeds are one run."]


def condition_notes(file):
    """Says what the conditions are, and which columns read which."""
    if not file.conditions:
        return []
    shown = [
        f"{name} ({changes_text(overrides) or 'nothing set'})"
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


def data_notes(file, done):
    """Names corpus, protocol and splits."""
    groups = {}
    for run in sorted(done, key=lambda run: file.folds.index(run.fold)):
        protocol = file.protocol_of(run.fold, run.metrics.get("protocol"))
        if run.metrics.get("transductive"):
            protocol += " (transductive: tested speech trains without labels)"
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
                where.append(f"rows {listed(rows)}")
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


def recipe_notes(file):
    """Names scripts and hparams files, and what is set for all rows."""
    script, hparams = map(os.path.basename, (file.script, file.hparams))
    changes = changes_text(file.overrides)
    same = f"; in all rows {changes}" if changes else ""
    notes = [f"Recipe: {script} with {hparams}{same}."]
    for row, paths in file.recipes.items():
        script, hparams = map(os.path.basename, paths)
        without = ""
        if file.unknown.get(row):
            names = ", ".join(file.unknown[row])
            without = f", which has no {names}"
        notes.append(f"Row {row}: {script} with {hparams}{without}.")
    return notes


def run_notes(runs):
    """Says what code and devices made the runs, and which are not done."""
    done = done_runs(runs)
    notes, codes = [], {}
    for run in done:
        code = str(run.metrics.get("code"))
        codes.setdefault(code[:8], []).append(run)
    # another recipe has another code, as it should
    recipes = {run.metrics.get("hparams") for run in done}
    if len(codes) > len(recipes):
        shown = "; ".join(
            f"{code} {len(own)} of {len(done)} "
            f"(rows {listed(row for run in own for row in run.rows)})"
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
                f"{listed(names, '; ')}."
            )
    return notes
