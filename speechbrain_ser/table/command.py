"""Makes the runs of a table that have no result yet, and its pages."""

import os
import re
import signal
import sys

from speechbrain_ser.experiment.command_line import (
    load_speechbrain,
    whole_values,
)
from speechbrain_ser.experiment.hparams import (
    find_hparams,
    read_overrides,
    with_options,
)
from speechbrain_ser.experiment.identity import counted, digest
from speechbrain_ser.table.arguments import parse
from speechbrain_ser.table.beside import undrawn
from speechbrain_ser.table.cells import fill
from speechbrain_ser.table.execute import (
    LocalWorkers,
    Lock,
    execute,
    share_done,
    visible_gpus,
)
from speechbrain_ser.table.grid import Settings, import_recipe, make_jobs
from speechbrain_ser.table.layout import DONE, FOREIGN, MISSING, RUNNING
from speechbrain_ser.table.markup import to_text
from speechbrain_ser.table.pages import write_pages
from speechbrain_ser.table.spec import read_table
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.files import safe_name

STOPPED = 130
LONGEST = 100  # letters of a folder's name


def find_settings(options, rest, file):
    """Reads what the command line gives to all rows.

    Arguments
    ---------
    options : argparse.Namespace
    rest : list of str
    file : TableFile

    Returns
    -------
    Settings
    """
    path = options.hparams or file.hparams
    if options.hparams:
        path = find_hparams(options.hparams, file.script)
    words = whole_values([path, *rest])
    _, run_opts, text = load_speechbrain().parse_arguments(words)
    overrides = read_overrides(with_options(path, run_opts, text))
    arguments, name = [], None
    for word in rest:
        if word.startswith("--"):
            name = word[2:].split("=")[0]
        if name not in overrides:
            arguments.append(word)
    return Settings(
        path,
        overrides,
        arguments,
        run_opts,
        options.results_folder,
        options.gpus,
    )


def choose(file, options):
    """Takes the command line's seeds and folds instead of the table file's.

    Arguments
    ---------
    file : TableFile
        Changed.
    options : argparse.Namespace

    Raises
    ------
    InputError
        If the table has no folds to choose from.
    """
    if options.seeds:
        file.seeds = list(dict.fromkeys(options.seeds))
    if options.folds:
        if file.fold_setting is None:
            raise InputError(
                f"--folds can't be given: {file.path} has no folds"
            )
        file.folds = list(dict.fromkeys(options.folds))


def check_machine(options, settings):
    """Refuses a results folder that can't be made, and GPUs that are not here.

    Raises
    ------
    InputError
        Naming the option.
    """
    try:
        os.makedirs(options.results_folder, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"--results_folder {options.results_folder} can't be made "
            f"({error.strerror}): give another"
        ) from None
    there = len(visible_gpus())
    if (
        options.cluster is None
        and options.gpus > max(there, 1)
        and settings.run_opts.distributed_backend == "nccl"
    ):
        raise InputError(
            f"--gpus is {options.gpus}, and this machine has {there}: give "
            "fewer, or --distributed_backend gloo --device cpu for processes "
            "without GPUs"
        )


def make_workers(options):
    """Chooses who makes the runs: this machine or a cluster."""
    if options.cluster is None:
        return LocalWorkers(options.jobs or 1, options.gpus)
    from speechbrain_ser.table.cluster import ClusterWorkers

    return ClusterWorkers(
        options.cluster,
        os.path.join(options.results_folder, "submitit"),
        processes=options.gpus,
        n_jobs=options.jobs,
        partition=options.partition,
        minutes=options.time,
        gpus=options.gpus if options.cluster == "slurm" else 0,
    )


def list_runs(jobs):
    """Prints the runs and what is done of them."""
    width = max(len(job.run.name) for job in jobs)
    for job in jobs:
        if job.run.status == MISSING and Lock(job.run.folder).held():
            job.run.status = RUNNING
        note = f"  {job.run.note}" if job.run.note else ""
        if job.run.status != DONE and not note and share_done(job):
            note = f"  {100 * share_done(job):.0f} % of its epochs are done"
        print(
            f"{job.run.name.ljust(width)}  {job.run.status.ljust(7)}  "
            f"{job.run.folder}{note}"
        )
    done = sum(job.run.status == DONE for job in jobs)
    print(f"{done} of {len(jobs)} runs are done")


def folder_name(hparams, changes):
    """Names a folder for a hparams file and the settings that are changed.

    What is too long or no name for a folder has a digest behind it.

    Example
    -------
    >>> folder_name("hparams/ipr.yaml", {"seed": 3, "lr": 0.1})
    'ipr+lr=0.1+seed=3'
    >>> folder_name("ipr.yaml", {"labels": ["a/b"]})
    'ipr+labels=_a_b_+...'
    """
    name = os.path.splitext(os.path.basename(hparams))[0]
    name += "".join(f"+{key}={changes[key]}" for key in sorted(changes))
    kept = re.sub(r"[^\w.+=-]+", "_", name)[:LONGEST]
    return kept if kept == name else f"{kept}+{digest(changes)[:8]}"


def write_table(file, settings, jobs):
    """Prints the table and writes its pages.

    What the command line changes for all rows stands in the notes and in the
    folder's name, so that a shortened table never passes for the whole one.

    Returns
    -------
    bool
        Whether every cell that runs belong in has a number.
    """
    own = [job for job in jobs if job.run.row not in file.recipes]
    plan = (own or jobs)[0].plan
    changes = counted(plan.path, settings.overrides)
    changes.pop("corpus_name", None)
    folder = os.path.join(
        settings.results_folder,
        "tables",
        safe_name(file.name),
        safe_name(plan.settings["corpus_name"]),
        folder_name(plan.path, changes),
    )
    file.hparams, file.overrides = plan.path, file.overrides | changes
    table = fill(file, [job.run for job in jobs], plan.settings["labels"])
    print(f"\n{to_text(table)}")
    write_pages(table, folder)
    print(f"\npage: {os.path.join(folder, 'table.html')}")
    return all(
        cell.mean is not None or not cell.planned
        for cell in table.cells.values()
    )


def main(arguments):
    """Makes the table; returns the exit code.

    Arguments
    ---------
    arguments : list of str
        The command line.

    Returns
    -------
    int
        0 if every run has its result and every cell a number, else 1.
    """
    options, rest = parse(arguments)
    file = read_table(options.table)
    settings = find_settings(options, rest, file)
    choose(file, options)
    jobs = make_jobs(file, settings, import_recipe(file))
    if options.dry_run:
        list_runs(jobs)
        return 0
    check_machine(options, settings)
    try:
        execute(jobs, make_workers(options))
        again = undrawn(file, jobs)
        if again:
            execute(again, make_workers(options))
    except KeyboardInterrupt:
        write_table(file, settings, jobs)
        print("stopped; the same command goes on where it was")
        return STOPPED
    whole = write_table(file, settings, jobs)
    lost = [job.run for job in jobs if job.run.status != DONE]
    for run in lost:
        print(f"{run.status}: {run.name}: {run.note}", file=sys.stderr)
    if any(run.status == FOREIGN for run in lost):
        print("foreign runs are never overwritten", file=sys.stderr)
    return 1 if lost or not whole else 0


def interrupt(*_):
    """Makes SIGTERM end the command as Ctrl-C does."""
    raise KeyboardInterrupt


def run(arguments):
    """Ends the process with the table's exit code, errors in one sentence."""
    signal.signal(signal.SIGTERM, interrupt)
    try:
        sys.exit(main(arguments))
    except InputError as failure:
        sys.exit(f"error: {failure}")
    except KeyboardInterrupt:
        sys.exit(STOPPED)
