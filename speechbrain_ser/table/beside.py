"""Runs of a table that are drawn beside each other, as a paper's Figure 2.

A table file says ``compared: {MEnAN: Multi-task model}``: the report of each run
of the row MEnAN shows the run of the other row with the same fold and seed. The
folder of that run counts for the report alone, so that whichever of both was
finished first, nothing is trained again.
"""

import dataclasses
import json

from speechbrain_ser.experiment.hparams import peek, with_overrides
from speechbrain_ser.table.finished import look_up
from speechbrain_ser.table.layout import DONE
from speechbrain_ser.table.refusals import check_name, mapping, need
from speechbrain_ser.utils.errors import InputError

SETTING = "compared_folder"  # of a recipe whose report shows another run


def read_compared(value, rows):
    """Row -> the row that is drawn beside it."""
    compared = {}
    for row, other in mapping(("compared",), value).items():
        place = ("compared", row)
        check_name(place, row, rows, "row")
        check_name(place, other, rows, "row")
        need(other != row, place, f"{row!r} is beside itself: give another row")
        compared[row] = other
    return compared


def pairs(file, jobs):
    """Lists the runs that show another one.

    Arguments
    ---------
    file : TableFile
    jobs : list of Job

    Returns
    -------
    list of tuple
        Row, its job and the other job, of the same fold and seed; those that
        read parts of one run are no pair.
    """
    of = {
        (row, job.run.fold, seed): job
        for job in jobs
        for row in job.run.rows
        for seed in job.run.seeds
    }
    found = []
    for job in jobs:
        for row in job.run.rows:
            other = file.compared.get(row)
            other = of.get((other, job.run.fold, job.run.seed))
            if other is not None and other is not job:
                found.append((row, job, other))
                break
    return found


def aim(file, jobs, settings, elsewhere):
    """Tells each such run where the other one is; looks it up once more.

    Arguments
    ---------
    file : TableFile
    jobs : list of Job
        Looked up: where they are is known. Those that show another run are
        changed.
    settings : Settings
        Of `grid`.
    elsewhere : dict
        Of `finished.finished_runs`.

    Raises
    ------
    InputError
        If the recipe shows no other run, or a row names its folder itself.
    """
    for row, job, other in pairs(file, jobs):
        plan, place = job.plan, file.where("compared", row)
        if SETTING not in plan.settings:
            raise InputError(
                f"{place}: {plan.path} has no setting {SETTING}: delete "
                "compared, this recipe draws no other run"
            )
        if f"--{SETTING}" in job.arguments:
            raise InputError(
                f"{place}: row {row} has a {SETTING} of its own: delete one"
            )
        folder = other.run.folder
        text = with_overrides(plan.overrides, **{SETTING: folder})
        job.plan = dataclasses.replace(
            plan, overrides=text, settings=peek(plan.path, text)
        )
        job.run.report = job.plan.report_key(
            settings.run_opts, settings.processes
        )
        job.arguments = [
            f"--{SETTING}",
            json.dumps(folder),
            *job.arguments,
        ]
        if other.run.status == DONE:
            job.run.compared = other.run.key
        look_up(job.run, elsewhere.get(job.run.key, ()))


def undrawn(file, jobs):
    """Lists finished runs whose report does not show the other one yet.

    Arguments
    ---------
    file : TableFile
    jobs : list of Job
        After they were executed.

    Returns
    -------
    list of Job
        To be executed once more, which reports them anew.
    """
    again = []
    for _, job, other in pairs(file, jobs):
        if job.run.status == other.run.status == DONE:
            job.run.compared = other.run.key
            look_up(job.run)
            again += [job] * (job.run.status != DONE)
    return again
