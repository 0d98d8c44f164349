"""From a table file to the runs of its grid, and what is done of them."""

import dataclasses
import difflib
import importlib.util
import json
import os
import sys

from speechbrain_ser.experiment import recipe
from speechbrain_ser.table.layout import DONE, FOREIGN, LEAKAGE, SHARES, Run
from speechbrain_ser.utils.errors import InputError

TABLES_OWN = ("seed", "output_folder", "save_folder")
UNWALKED = ("save", "figures", "env")
MINI_FIRST = 2  # seeds, and folds, on the mini corpus
# The settings that name its corpora, of a recipe that has no such list.
CORPUS_FOLDERS = ("data_folder",)


@dataclasses.dataclass
class Settings:
    """What the command line adds to a table file.

    Attributes
    ----------
    hparams : str
        The hparams file.
    overrides : dict
        Of all rows.
    arguments : list of str
        SpeechBrain's run options, as they are passed on to the recipe.
    run_opts : RunOptions
        The same, read.
    results_folder : str
    processes : int
        That train one run together.
    """

    hparams: str
    overrides: dict
    arguments: list
    run_opts: object
    results_folder: str = "results"
    processes: int = 1


@dataclasses.dataclass
class Job:
    """A run and how it is made.

    Attributes
    ----------
    run : Run
    plan : Plan
        Of the recipe.
    command : list of str
        From the recipe's script on.
    """

    run: Run
    plan: object
    command: list


def import_recipe(file):
    """Imports the recipe of a table file.

    Arguments
    ---------
    file : TableFile

    Returns
    -------
    module
        With ``plan(path, overrides)``, and perhaps tuples of str: its own
        ``METRICS`` (numbers) and ``SHARES`` (0..1, shown in per cent), and
        ``CORPUS_FOLDERS``.

    Raises
    ------
    InputError
        If it has none.
    """
    name, suffix = os.path.splitext(os.path.basename(file.script))
    if suffix != ".py":
        raise InputError(
            f"{file.where('script')}: {file.script} is no Python file: name a "
            "recipe's script"
        )
    spec = importlib.util.spec_from_file_location(name, file.script)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    if not hasattr(module, "plan"):
        raise InputError(
            f"{file.where('script')}: {file.script} has no function "
            "plan(path, overrides), which tells the table a run's settings and "
            "split: name a recipe that has one"
        )
    return module


def make_jobs(file, settings, module):
    """Plans every run of the grid, and looks which are done.

    Nothing is trained and nothing but the corpus is read.

    Arguments
    ---------
    file : TableFile
    settings : Settings
    module : module
        Of `import_recipe`.

    Returns
    -------
    list of Job
        Row by row, fold (or condition) by fold, seed by seed; a run that fills
        several rows stands at the first of them alone.

    Raises
    ------
    InputError
        With the line of the table file: an override that the recipe does not
        know, a metric or part that it does not give, a row without a
        difference, runs of one cell with different splits, another protocol.
    """
    check_settings(file, settings)
    shorten(file, settings, getattr(module, "CORPUS_FOLDERS", CORPUS_FOLDERS))
    found = finished_runs(settings.results_folder)
    jobs = []
    for row in file.rows:
        for fold in file.folds:
            planned = [
                plan_run(file, settings, module, row, fold, seed)
                for seed in file.seeds
            ]
            check_splits(file, row, fold, planned)
            jobs += planned
    check_protocols(file, jobs)
    shares = getattr(module, "SHARES", ())
    check_columns(file, jobs, [*getattr(module, "METRICS", ()), *shares])
    for name, column in file.columns.items():
        share = column.metric in shares
        file.columns[name] = dataclasses.replace(column, share=share)
    jobs = join_rows(file, jobs)
    for job in jobs:
        if all(column.metric == "n" for column in file.columns.values()):
            job.run.status = DONE
            job.run.metrics = job.plan.facts(settings.run_opts)
        else:
            look_up(job.run, found.get(job.run.key))
    return jobs


def plan_run(file, settings, module, row, fold, seed):
    """Plans one run; errors name the row's line."""
    chosen = file.overrides | settings.overrides | file.rows[row]
    chosen = chosen | file.settings_of(fold) | {"seed": seed}
    text = recipe.with_overrides("", **chosen)
    try:
        plan = module.plan(settings.hparams, text)
    except InputError as error:
        place = f"row {row}"
        if file.conditions:
            place += f", condition {fold}"
        raise InputError(
            f"{file.where('rows', row)}, {place}: {error}"
        ) from None
    key = plan.key(settings.run_opts, settings.processes)
    stem = os.path.splitext(os.path.basename(file.script))[0]
    folder = os.path.join(settings.results_folder, "runs", stem, key[:16])
    command = [file.script, settings.hparams, "--output_folder", folder]
    for name, value in chosen.items():
        command += [f"--{name}", json.dumps(value)]
    command += [*settings.arguments, "--noprogressbar"]
    run = Run(row, fold, seed, key, folder, fold_word=file.fold_word)
    return Job(run, plan, command)


def check_settings(file, settings):
    """Refuses overrides that the hparams file has no such setting for."""
    known = recipe.peek(settings.hparams, "")
    places = {
        ("overrides", name): value for name, value in file.overrides.items()
    }
    for row, overrides in file.rows.items():
        places |= {("rows", row, name): v for name, v in overrides.items()}
    for fold in file.folds:
        group = ("conditions", fold) if file.conditions else ("folds",)
        places |= {(*group, n): v for n, v in file.settings_of(fold).items()}
    for place, value in places.items():
        if place[-1] in TABLES_OWN:
            raise InputError(
                f"{file.where(*place)}: {place[-1]} is set by the table "
                "itself: take it out"
            )
        check_setting(
            file.where(*place), settings.hparams, known, place[-1], value
        )
    own = [*file.rows.values(), *map(file.settings_of, file.folds)]
    taken = set(TABLES_OWN).union(*own)
    for name, value in settings.overrides.items():
        if name in taken:
            raise InputError(
                f"--{name} can't be given for all rows: {file.path} sets it"
            )
        check_setting(f"--{name}", settings.hparams, known, name, value)


def check_setting(where, hparams, known, name, value):
    """Refuses a setting that is not there, or of another kind.

    Arguments
    ---------
    where : str
        Begins the sentence.
    hparams : str
        The hparams file.
    known : dict
        Its settings.
    name : str
    value : object

    Raises
    ------
    InputError
    """
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        meant = f" (is {near[0]} meant?)" if near else ""
        raise InputError(f"{where}: {hparams} has no setting {name}{meant}")
    kinds = {bool: "switch", int: "number", float: "number"}
    wanted = kinds.get(type(known[name]))
    if wanted and value is not None and kinds.get(type(value)) != wanted:
        raise InputError(
            f"{where}: {name} is {known[name]} in {hparams}, and {value!r} is "
            f"no {wanted}: give one"
        )


def shorten(file, settings, corpus_folders):
    """Keeps the first seeds and folds where there is only the mini corpus.

    Arguments
    ---------
    file : TableFile
        Conditions are other experiments: all of them stay.
    settings : Settings
    corpus_folders : tuple of str
        The settings that name the recipe's corpora: without any of them the
        mini corpus takes their place.
    """
    overrides = recipe.with_overrides(
        "", **(file.overrides | settings.overrides)
    )
    chosen = recipe.peek(settings.hparams, overrides)
    given = [name for name in corpus_folders if chosen.get(name) is not None]
    if not given and not chosen.get("skip_prep"):
        seeds, folds = len(file.seeds), len(file.folds)
        file.seeds, kept = file.seeds[:MINI_FIRST], "seeds"
        if not file.conditions:
            file.folds, kept = file.folds[:MINI_FIRST], "seeds and folds"
        if (seeds, folds) != (len(file.seeds), len(file.folds)):
            missing = " and no ".join(f"--{name}" for name in corpus_folders)
            recipe.say_once(
                f"No {missing}: the first {MINI_FIRST} {kept} "
                "alone, as the embedded mini corpus shows the way and no more."
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

    Conditions may have protocols of their own, each a single one.
    """
    first = {}
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


def join_rows(file, jobs):
    """Joins rows that read different parts of the same run.

    Arguments
    ---------
    file : TableFile
    jobs : list of Job

    Returns
    -------
    list of Job
        Each run once.

    Raises
    ------
    InputError
        If two rows, or two folds or conditions of a row, are the same run
        otherwise.
    """
    owner = {}
    for job in jobs:
        run = job.run
        first = owner.setdefault(run.key, job).run
        if first is run:
            continue
        if (first.fold, first.seed) != (run.fold, run.seed):
            what = "the condition" if file.conditions else file.fold_setting
            raise InputError(
                f"{file.where_fold(run.fold)}: {run.name}, is the same run as "
                f"{first.name}: {what} makes no difference there"
            )
        for other in first.rows:
            if file.same_reading(run.row, other):
                raise InputError(
                    f"{file.where('rows', run.row)}: row {run.row} is the same "
                    f"run as row {other}: give it a setting that makes a "
                    "difference, or under reads another part of the run"
                )
        first.more_rows += (run.row,)
    return list(owner.values())


def check_columns(file, jobs, metrics):
    """Refuses a metric or a part that the recipe does not report."""
    plans = {(job.run.row, job.run.fold): job.plan for job in jobs}
    for fold in file.folds:
        check_metrics(file, fold, plans[jobs[0].run.row, fold], metrics)
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
        for split in column.parts:
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
            column.metric not in SHARES or column.splits != ("evaluation",)
        ):
            raise InputError(
                f"{file.where('columns', name, 'epochs')}: the mean of the last "
                f"epochs is there for {', '.join(SHARES)} of evaluation alone"
            )
        if column.epochs == "best" and (
            column.metric not in SHARES
            or not {"validation", "evaluation"}.issuperset(column.parts)
        ):
            raise InputError(
                f"{file.where('columns', name, 'epochs')}: the best epoch is "
                f"there for {', '.join(SHARES)} of validation and evaluation"
            )


def finished_runs(results_folder):
    """Finds all finished runs, wherever they lie in the results folder.

    Arguments
    ---------
    results_folder : str

    Returns
    -------
    dict
        Key of the run to its folder.
    """
    found = {}
    for folder, names, files in os.walk(results_folder):
        names[:] = sorted(set(names).difference(UNWALKED))
        if "metrics.json" in files:
            metrics = read_json(os.path.join(folder, "metrics.json"))
            if metrics is not None and "run" in metrics:
                found.setdefault(metrics["run"], folder)
    return found


def read_json(path):
    """Reads a JSON object; None where there is none that is whole."""
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def look_up(run, elsewhere=None):
    """Sets a run's status by what lies in its folder.

    Arguments
    ---------
    run : Run
        Its status, note, folder and metrics are set.
    elsewhere : str, optional
        Another folder that holds the same run.
    """
    own = os.path.join(run.folder, "metrics.json")
    if elsewhere is not None and not os.path.exists(own):
        run.folder = elsewhere
    metrics = read_json(os.path.join(run.folder, "metrics.json"))
    if metrics is not None and metrics.get("run") == run.key:
        run.status, run.note, run.metrics = DONE, "", metrics
    elif os.path.exists(own):
        run.status = FOREIGN
        run.note = (
            f"{own} is not of this run (other settings, split or code, or "
            "broken): delete its folder"
        )
