"""What is done of a table's runs: their folders and reports."""

import json
import os

from speechbrain_ser.table.layout import DONE, FOREIGN, MISSING

METRICS = "metrics.json"
UNWALKED = ("save", "figures", "env")


def finished_runs(results_folder):
    """Finds all finished runs, wherever they lie in the results folder.

    Arguments
    ---------
    results_folder : str

    Returns
    -------
    dict
        Key of the run to the list of its folders.
    """
    found = {}
    for folder, names, files in os.walk(results_folder):
        names[:] = sorted(set(names).difference(UNWALKED))
        if METRICS in files:
            metrics = read_json(os.path.join(folder, METRICS))
            key = (metrics or {}).get("run")
            if isinstance(key, str):
                found.setdefault(key, []).append(folder)
    return found


def read_json(path):
    """Reads a JSON object; None where there is none that is whole."""
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def look_up(run, elsewhere=()):
    """Sets a run's status by what lies in its folder.

    A finished run that is reported in another way counts as missing: the
    recipe's command on its folder reports it anew, without training.

    Arguments
    ---------
    run : Run
        Its status, note, folder and metrics are set.
    elsewhere : iterable of str
        Other folders that hold the same run.
    """
    own = os.path.join(run.folder, METRICS)
    metrics = read_json(own)
    if os.path.exists(own) and (metrics or {}).get("run") != run.key:
        run.status = FOREIGN
        run.note = (
            f"{own} is not of this run (other settings, split or code, or "
            "broken): delete its folder"
        )
        return
    finished = []
    for folder in (run.folder, *elsewhere):
        metrics = read_json(os.path.join(folder, METRICS)) or {}
        if metrics.get("run") == run.key:
            finished.append(folder)
            if run.report in (
                None,
                metrics.get("report"),
            ) and run.compared in (None, metrics.get("compared")):
                run.status, run.note, run.metrics = DONE, "", metrics
                run.folder = folder
                return
    if finished:
        run.folder = finished[0]
        run.status, run.note = MISSING, "to be reported anew"
