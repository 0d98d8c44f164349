"""From a table file to the runs of its grid."""

import dataclasses
import importlib.util
import json
import os
import sys

from speechbrain_ser.experiment.command_line import say_once
from speechbrain_ser.experiment.hparams import peek, with_overrides
from speechbrain_ser.table.beside import aim
from speechbrain_ser.table.finished import finished_runs, look_up
from speechbrain_ser.table.grid_checks import (
    check_columns,
    check_protocols,
    check_settings,
    check_splits,
)
from speechbrain_ser.table.layout import DONE, Run
from speechbrain_ser.utils.errors import InputError

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
    recipe : list of str
        The recipe's script and hparams file.
    arguments : list of str
        Of the recipe, but for the run's folder.
    """

    run: Run
    plan: object
    recipe: list
    arguments: list

    @property
    def command(self):
        """The command line, from the recipe's script on."""
        folder = ["--output_folder", self.run.folder]
        return [*self.recipe, *folder, *self.arguments]


def import_recipe(file, row=None):
    """Imports the recipe of a table file, or that of one of its rows.

    Arguments
    ---------
    file : TableFile
    row : str, optional
        One that names a recipe of its own.

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
    script, place = file.script, ("script",)
    if row is not None:
        script, place = file.recipes[row][0], ("rows", row, "script")
    name, suffix = os.path.splitext(os.path.basename(script))
    if suffix != ".py":
        raise InputError(
            f"{file.where(*place)}: {script} is no Python file: name a "
            "recipe's script"
        )
    spec = importlib.util.spec_from_file_location(name, script)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    if not hasattr(module, "plan"):
        raise InputError(
            f"{file.where(*place)}: {script} has no function "
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
        Of `import_recipe`; those of rows with a recipe of their own are
        imported here.

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
    modules = recipes_of(file, module)
    shorten(file, settings, getattr(module, "CORPUS_FOLDERS", CORPUS_FOLDERS))
    found = finished_runs(settings.results_folder)
    jobs = []
    for row in file.rows:
        for fold in file.folds:
            planned = [
                plan_run(file, settings, modules[row], row, fold, seed)
                for seed in file.seeds
            ]
            check_splits(file, row, fold, planned)
            jobs += planned
    check_protocols(file, jobs)
    known = {row: metrics_of(own) for row, own in modules.items()}
    check_columns(file, jobs, known)
    for name, column in file.columns.items():
        shares = [getattr(own, "SHARES", ()) for own in modules.values()]
        share = any(column.metric in own for own in shares)
        file.columns[name] = dataclasses.replace(column, share=share)
    jobs = join_rows(file, jobs)
    for job in jobs:
        if all(column.metric == "n" for column in file.columns.values()):
            job.run.status = DONE
            job.run.metrics = job.plan.facts(settings.run_opts)
        else:
            look_up(job.run, found.get(job.run.key, ()))
    aim(file, jobs, settings, found)
    return jobs


def recipes_of(file, module):
    """Imports the recipes that rows name; each script once.

    Returns
    -------
    dict
        Row to module.
    """
    modules = {file.script: module}
    for row, (script, _) in file.recipes.items():
        if script not in modules:
            modules[script] = import_recipe(file, row)
    return {row: modules[file.recipe_of(row)[0]] for row in file.rows}


def metrics_of(module):
    """Lists the metrics that a recipe names besides those of all recipes."""
    return [*getattr(module, "METRICS", ()), *getattr(module, "SHARES", ())]


def plan_run(file, settings, module, row, fold, seed):
    """Plans one run; errors name the row's line."""
    script, hparams = file.script, settings.hparams
    if row in file.recipes:
        script, hparams = file.recipes[row]
    chosen = {
        name: value
        for name, value in (file.overrides | settings.overrides).items()
        if name not in file.unknown.get(row, ())
    }
    chosen = chosen | file.rows[row] | file.settings_of(fold) | {"seed": seed}
    text = with_overrides("", **chosen)
    try:
        plan = module.plan(hparams, text)
    except InputError as error:
        place = f"row {row}"
        if file.conditions:
            place += f", condition {fold}"
        raise InputError(
            f"{file.where('rows', row)}, {place}: {error}"
        ) from None
    decisive = settings.run_opts, settings.processes
    key = plan.key(*decisive)
    stem = os.path.splitext(os.path.basename(script))[0]
    folder = os.path.join(settings.results_folder, "runs", stem, key[:16])
    arguments = []
    for name, value in chosen.items():
        arguments += [f"--{name}", json.dumps(value)]
    arguments += [*settings.arguments, "--noprogressbar"]
    run = Run(row, fold, seed, key, folder, fold_word=file.fold_word)
    run.report = plan.report_key(*decisive)
    return Job(run, plan, [script, hparams], arguments)


def shorten(file, settings, corpus_folders):
    """Keeps the first seeds and folds where there is only the mini corpus.

    Not of a table that is of the mini corpus: whose `overrides` say so by
    ``corpus_name: mini``.

    Arguments
    ---------
    file : TableFile
        Conditions are other experiments: all of them stay.
    settings : Settings
    corpus_folders : tuple of str
        The settings that name the recipe's corpora: without any of them the
        mini corpus takes their place.
    """
    overrides = with_overrides("", **(file.overrides | settings.overrides))
    chosen = peek(settings.hparams, overrides)
    mini = any(name in chosen for name in corpus_folders) and all(
        chosen.get(name) is None for name in corpus_folders
    )
    own = file.overrides.get("corpus_name") == "mini"
    if mini and not own and not chosen.get("skip_prep"):
        seeds, folds = len(file.seeds), len(file.folds)
        file.seeds, kept = file.seeds[:MINI_FIRST], "seeds"
        if not file.conditions:
            file.folds, kept = file.folds[:MINI_FIRST], "seeds and folds"
        if (seeds, folds) != (len(file.seeds), len(file.folds)):
            missing = " and no ".join(f"--{name}" for name in corpus_folders)
            say_once(
                f"No {missing}: the first {MINI_FIRST} {kept} "
                "alone, as the embedded mini corpus shows the way and no more."
            )


def join_rows(file, jobs):
    """Joins rows that read different parts of the same run.

    And the seeds of a run in which nothing is drawn.

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
        seedless = getattr(job.plan, "seedless", False)
        if first.fold != run.fold or (first.seed != run.seed and not seedless):
            what = "the condition" if file.conditions else file.fold_setting
            raise InputError(
                f"{file.where_fold(run.fold)}: {run.name}, is the same run as "
                f"{first.name}: {what} makes no difference there"
            )
        if run.seed not in first.seeds:
            first.more_seeds += (run.seed,)
        if run.row in first.rows:
            continue
        for other in first.rows:
            if file.same_reading(run.row, other):
                raise InputError(
                    f"{file.where('rows', run.row)}: row {run.row} is the same "
                    f"run as row {other}: give it a setting that makes a "
                    "difference, or under reads another part of the run"
                )
        first.more_rows += (run.row,)
    return list(owner.values())
