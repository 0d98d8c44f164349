"""Refuses a table that its recipe can't make, with the line of the file."""

import difflib

from speechbrain_ser.experiment import renamed
from speechbrain_ser.experiment.hparams import peek
from speechbrain_ser.table.layout import LEAKAGE, SHARES
from speechbrain_ser.utils.errors import InputError

TABLES_OWN = ("seed", "output_folder", "save_folder")


def check_settings(file, settings):
    """Refuses overrides that the hparams files have no such setting for.

    What is set for all rows may be unknown to a row with a hparams file of its
    own, which is noted, not to all of them. What names the fold or condition
    must be known to all.
    """
    of_row = {
        row: file.recipes[row][1] if row in file.recipes else settings.hparams
        for row in file.rows
    }
    known = {path: peek(path, "") for path in of_row.values()}
    for row, overrides in file.rows.items():
        for name, value in overrides.items():
            place = ("rows", row, name)
            check_setting(
                place_of(file, *place), of_row[row], known, name, value
            )
    for fold in file.folds:
        group = ("conditions", fold) if file.conditions else ("folds",)
        for name, value in file.settings_of(fold).items():
            where = place_of(file, *group, name)
            for path in known:
                check_setting(where, path, known, name, value)
    own = [*file.rows.values(), *map(file.settings_of, file.folds)]
    taken = set(TABLES_OWN).union(*own)
    for name in settings.overrides:
        if name in taken:
            raise InputError(
                f"--{name} can't be given for all rows: {file.path} sets it"
            )
    shared = {n: place_of(file, "overrides", n) for n in file.overrides}
    shared |= {name: f"--{name}" for name in settings.overrides}
    values = file.overrides | settings.overrides
    for name, where in shared.items():
        having = [path for path in known if name in known[path]]
        for path in having or list(known)[:1]:
            check_setting(where, path, known, name, values[name])
    for row in file.recipes:
        missing = [name for name in values if name not in known[of_row[row]]]
        file.unknown[row] = missing


def place_of(file, *place):
    """Names a setting's place; refuses one that the table sets itself."""
    where = file.where(*place)
    if place[-1] in TABLES_OWN:
        raise InputError(
            f"{where}: {place[-1]} is set by the table itself: take it out"
        )
    return where


def check_setting(where, hparams, known, name, value):
    """Refuses a setting that is not there, or of another kind.

    Arguments
    ---------
    where : str
        Begins the sentence.
    hparams : str
        The hparams file.
    known : dict
        Hparams file to its settings.
    name : str
    value : object

    Raises
    ------
    InputError
    """
    known = known[hparams]
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        meant = f" (is {near[0]} meant?)" if near else ""
        now = renamed.new_name(renamed.SETTINGS, name)
        if now in known:
            meant = f": {name} is now called {now}"
        raise InputError(f"{where}: {hparams} has no setting {name}{meant}")
    kinds = {bool: "switch", int: "number", float: "number"}
    wanted = kinds.get(type(known[name]))
    if wanted and value is not None and kinds.get(type(value)) != wanted:
        raise InputError(
            f"{where}: {name} is {known[name]} in {hparams}, and {value!r} is "
            f"no {wanted}: give one"
        )


def check_splits(file, row, fold, jobs):
    """Refuses a cell whose seeds have different splits."""
    for job in jobs[1:]:
        if job.plan.split != jobs[0].plan.split:
            raise InputError(
                f"{file.where('rows', row)}: {jobs[0].run.name}, and "
                f"{job.run.name}, have different splits "
                f"({jobs[0].plan.split[:8]} and {job.plan.split[:8]}) and can't "
                "stand in one cell: take a protocol whose split does not depend "
                "on the seed, or make the parts rows or folds"
            )


def check_protocols(file, jobs):
    """Refuses a protocol that is not the file's, or not one in all folds.

    Conditions may have protocols of their own, each a single one. A row with a
    recipe of its own has the protocol of the others.
    """
    first = {}
    check_references(file, jobs)
    for job in jobs:
        run = job.run
        own = file.protocol_of(run.fold, job.plan.protocol)
        place, others = run.row, "folds"
        if file.conditions:
            place, others = (run.row, run.fold), "seeds"
        other = first.setdefault(place, own)
        if own != other:
            raise InputError(
                f"{file.where_fold(run.fold)}: {run.name}, has the protocol "
                f"{own}, other {others} have {other}: they can't be averaged"
            )
        name = job.plan.protocol.split(" with ")[0]
        if run.row == jobs[0].run.row and file.protocol not in (None, name):
            where = f" in condition {run.fold}" if file.conditions else ""
            raise InputError(
                f"{file.where('protocol')}: the recipe's protocol is {name}"
                f"{where}, not {file.protocol}: give that, or take the line out"
            )


def check_references(file, jobs):
    """Refuses a row whose own recipe has another protocol than the others."""
    names = {
        (job.run.row, job.run.fold): job.plan.protocol.split(" with ")[0]
        for job in jobs
    }
    others = [row for row in file.rows if row not in file.recipes]
    for row in file.recipes if others else ():
        for fold in file.folds:
            own, name = names[row, fold], names[others[0], fold]
            if own != name:
                raise InputError(
                    f"{file.where('rows', row)}: row {row} has the protocol "
                    f"{own}, row {others[0]} has {name}: give both the same, "
                    "their numbers can't be compared"
                )


def check_columns(file, jobs, metrics):
    """Refuses a metric or a part that the recipe does not report.

    A metric that a row's own recipe alone does not report is noted.

    Arguments
    ---------
    file : TableFile
    jobs : list of Job
    metrics : dict
        Row to the metrics that its recipe names.
    """
    plans = {(job.run.row, job.run.fold): job.plan for job in jobs}
    every = {metric for own in metrics.values() for metric in own}
    for fold in file.folds:
        check_metrics(file, fold, plans[jobs[0].run.row, fold], every)
    for row in file.recipes:
        for name, column in file.columns.items():
            if column.metric in every.difference(metrics[row]):
                file.lacking.add((row, name))
    for (row, fold), plan in plans.items():
        check_parts(file, row, fold, plan)


def columns_of(file, fold):
    """Lists the columns that read a fold's or a condition's runs, by name."""
    return [
        (name, column)
        for name, column in file.columns.items()
        if column.covers(fold)
    ]


def check_parts(file, row, fold, plan):
    """Refuses a part, or the probe, that a row's runs do not report."""
    known = [*plan.parts, *plan.more_parts]
    for name, column in columns_of(file, fold):
        if column.metric in LEAKAGE:
            if not plan.settings.get("speaker_probe"):
                raise InputError(
                    f"{file.where('columns', name, 'metric')}: in row {row} no "
                    "probe looks for speakers: give speaker_probe: True under "
                    "overrides, or take the column out"
                )
            continue
        # what the best epoch reports is no part of a plan
        for split in () if column.epochs == "best" else column.parts:
            part = file.part_of(row, split)
            key = "minus" if split == column.minus else "split"
            place = ("columns", name, key)
            if split in file.reads.get(row, {}):
                place = ("reads", row, split)
            if part not in known:
                raise InputError(
                    f"{file.where(*place)}: in row {row} the recipe has no "
                    f"part {part}: give one of {', '.join(known)}"
                )


def check_metrics(file, fold, plan, metrics):
    """Refuses a metric that the recipe does not report."""
    known = [*SHARES, "n", *LEAKAGE, *metrics]
    known += [f"recall_{word}" for word in plan.settings["labels"]]
    for name, column in columns_of(file, fold):
        where = file.where("columns", name, "metric")
        if column.metric not in known:
            raise InputError(
                f"{where}: there is no metric {column.metric}: give one of "
                f"{', '.join(known)}"
            )
        if column.epochs == "last" and (
            column.metric not in SHARES or column.splits != ("test",)
        ):
            raise InputError(
                f"{file.where('columns', name, 'epochs')}: the mean of the last "
                f"epochs is there for {', '.join(SHARES)} of test alone"
            )
        if column.epochs == "best" and (
            column.metric not in SHARES
            or not {"valid", "test"}.issuperset(column.parts)
        ):
            raise InputError(
                f"{file.where('columns', name, 'epochs')}: the best epoch is "
                f"there for {', '.join(SHARES)} of valid and test"
            )
