"""The rows that `all.sh` makes its table of; any benchmark may leave some.

A row says what was measured, what ours took and what the peer took, their ratio
and the goal of that ratio, in plain values, so that one line of JSON is one row.
"""

import json
import os
import platform

import torch

NAMES = ("benchmark", "what", "ours", "peer", "ratio", "goal", "met")
GOALS = {
    "at least": lambda ratio, bound: ratio >= bound,
    "at most": lambda ratio, bound: ratio <= bound,
}


def add_rows_option(parser):
    """Adds ``--rows FILE`` to a benchmark's command line.

    Arguments
    ---------
    parser : argparse.ArgumentParser
    """
    parser.add_argument(
        "--rows", metavar="FILE", help="adds the results to it as JSON lines"
    )


def row(benchmark, what, ours, peer, ratio=None, goal=None):
    """Makes a row; whether its goal is met follows from ratio and goal.

    Arguments
    ---------
    benchmark : str
        Its file's name, without the end.
    what : str
        What is compared, with its sizes.
    ours, peer : str
        With their units; a peer that there is not is ``""``.
    ratio : float, optional
        As the goal means it; None: nothing is compared.
    goal : str, optional
        ``at least 2`` or ``at most 1.15``, of the ratio; None: there is none.

    Returns
    -------
    dict
        With the keys `NAMES`; ``met`` is None where there is no goal.

    Example
    -------
    >>> row("x", "an epoch", "2.0 s", "6.2 s", 3.1, "at least 3")["met"]
    True
    """
    met = None
    if goal is not None and ratio is not None:
        words, bound = goal.rsplit(" ", 1)
        met = GOALS[words](ratio, float(bound))
    return dict(zip(NAMES, (benchmark, what, ours, peer, ratio, goal, met)))


def machine(device="cpu", threads=None):
    """Names what was measured on.

    Arguments
    ---------
    device : str
    threads : int, optional
        Of the processes that were measured; default: of this one.

    Returns
    -------
    str
        A GPU's name, or the CPU's kind with the number of threads; torch.
    """
    version = f"torch {torch.__version__.split('+')[0]}"
    if str(device).startswith("cuda"):
        return f"{torch.cuda.get_device_name(device)}, {version}"
    threads = f"{threads or torch.get_num_threads()} of {os.cpu_count()}"
    return f"{platform.machine()} CPU, {threads} threads, {version}"


def write_rows(path, rows, device="cpu", threads=None):
    """Adds rows to a file of JSON lines, each with its machine.

    Arguments
    ---------
    path : str or None
        None: nothing is written.
    rows : list of dict
        See `row`.
    device : str
        On which they were measured.
    threads : int, optional
        See `machine`.
    """
    if path is None:
        return
    where = {"machine": machine(device, threads)}
    with open(path, "a", encoding="utf-8") as file:
        for one in rows:
            file.write(json.dumps(one | where) + "\n")
