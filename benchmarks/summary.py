"""Runs the benchmarks one after another and makes one table of their rows.

`all.sh` calls it. Each benchmark is a process of its own with a limit of time;
what fails or takes too long is a row that says so, and the others go on. After
``--minutes`` in all, or after Ctrl-C, nothing is begun any more, and what runs is
ended: what was left out is said. What a benchmark prints goes to the standard error.

> python benchmarks/summary.py --device cuda --out table.md
"""

import argparse
import ast
import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

import torch
from rows import row

FOLDER = pathlib.Path(__file__).resolve().parent
# Benchmark, its command line, the most seconds it may take.
CPU = (
    ("prepare_corpus", "", 60),
    ("batches", "--iemocap_durations --epochs 2 --seeds 1", 120),
    ("dann_step", "--threads 1 --rounds 3", 90),
    ("menan_step", "--threads 1 --utterances 4 --rounds 2", 90),
    ("pitch_features", "--utterances 4 --rounds 2 --voices 1 --snr 10", 60),
    ("label", "--threads 1 --files 100 --rounds 3 --starts 1", 90),
    ("lpmn_step", "--encoder logmel --threads 1", 60),
    ("table", "--seeds 2 --epochs 2", 120),
)
ALONE_ON_CPU = (
    ("ipr_step", "--encoder logmel --steps 30 --workers 0 1", 90),
    ("lpmn_mapping", "--threads 1 --steps 3 --size 32 100 64 128", 60),
    ("kmeans", "--size 60000 160 --k 64 --iterations 5", 60),
    ("front_end", "--batch 1 --seconds 1 --turns 3", 60),
    ("processes", "", 120),
    ("frame_cache", "--blocks 4 --epochs 2 --utterances 4", 60),
    ("gpu_epoch", "--small --utterances 64 --num_workers 0", 90),
    ("memory", "--batches 8 --seconds 6 15", 60),
)
# Beside them run those of the CPU, with a thread each.
CUDA = (
    ("gpu_epoch", "--device cuda", 200),
    ("memory", "--device cuda", 120),
    ("front_end", "--device cuda", 60),
    ("lpmn_mapping", "--device cuda", 60),
    (
        "kmeans",
        "--size 400000 768 --k 64 512 --ways ours --threads 8 --device cuda",
        120,
    ),
    ("ipr_step", "--encoder both --steps 20 --device cuda", 90),
    ("lpmn_step", "--encoder both --steps 20 --device cuda", 60),
    ("frame_cache", "--size large --device cuda", 60),
)
NO_GPU = (
    "all.sh cuda: torch sees no GPU here; without the word it runs the "
    "benchmarks of the CPU"
)
# Command lines of the tests, each a trial of a second.
SMOKE = ("--smoke --only memory front_end",)
RUNNING = []  # processes, of all lanes


def planned(device):
    """Lists what is run: name, command line, seconds.

    Returns
    -------
    list of tuple
        Of lists that run side by side: a GPU's beside those of the CPU.
    """
    return (CUDA, CPU) if device == "cuda" else (ALONE_ON_CPU + CPU,)


def trial_of(name):
    """Returns a benchmark's first trial of the tests."""
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    given = re.search(r"^SMOKE = (\(.*?\)\n)", text, re.M | re.S)
    line = ast.literal_eval(given[1])[0]
    # without a corpus it takes the mini corpus
    return re.sub(r"--\w+ \{\w+\} ?", "", line)


def run(name, line, seconds, folder, threads=None):
    """Runs a benchmark.

    Arguments
    ---------
    name : str
    line : str
        Its command line.
    seconds : float
        After which it is ended.
    folder : str
        For its rows.
    threads : int, optional
        Of torch; default: its own choice.

    Returns
    -------
    list of dict
        See `rows.row`; what failed is a row without numbers.
    """
    path = os.path.join(folder, f"{name}.jsonl")
    command = [sys.executable, str(FOLDER / f"{name}.py"), *line.split()]
    began = time.monotonic()
    code, said = ended([*command, "--rows", path], seconds, threads)
    took = time.monotonic() - began
    print(f"== {name} {line}: {took:.0f} s\n{said}", file=sys.stderr)
    wrong = code and (said.splitlines() or [f"exit code {code}"])[-1:]
    if code is None:
        wrong = [f"ended after {seconds:.0f} s"]
    found = []
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            found = [json.loads(line) for line in file]
    if wrong or not found:
        why = wrong[0] if wrong else "it left no row"
        found.append(row(name, f"failed: {why}"[:150], "", ""))
    return found


def ended(command, seconds, threads=None):
    """Runs a command, and ends it with all that it started when time is over.

    Arguments
    ---------
    command : list of str
    seconds : float
    threads : int, optional
        See `run`.

    Returns
    -------
    code : int or None
        None where it was ended.
    said : str
        What it printed.
    """
    given = {"OMP_NUM_THREADS": str(threads)} if threads else {}
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=os.environ | given,
        )
        RUNNING.append(process)
        try:
            code = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            kill(process)
            process.wait()
            code = None
        RUNNING.remove(process)
        log.seek(0)
        return code, log.read().strip()


def kill(process):
    """Ends a process with all that it started."""
    with contextlib.suppress(ProcessLookupError):  # it has ended
        os.killpg(process.pid, signal.SIGKILL)


def number(value):
    """Returns a ratio in a few digits; nothing of None."""
    return "" if value is None else f"{value:.3g}"


def table(rows):
    """Returns Markdown.

    Arguments
    ---------
    rows : list of dict

    Returns
    -------
    str

    Example
    -------
    >>> one = row("x", "a|b", "1 s", "3 s", 3.0, "at least 2")
    >>> print(table([one]).splitlines()[-1])
    | x | a/b | 1 s | 3 s | 3 | at least 2 | yes |  |
    """
    names = ("benchmark", "what", "ours", "peer", "ratio", "goal", "met")
    lines = [f"| {' | '.join((*names, 'machine'))} |", "|---" * 8 + "|"]
    for one in rows:
        met = {True: "yes", False: "no", None: ""}[one["met"]]
        cells = [one["benchmark"], one["what"], one["ours"], one["peer"]]
        cells += [number(one["ratio"]), one["goal"] or "", met]
        cells.append(one.get("machine", ""))
        clean = [str(cell).replace("|", "/") for cell in cells]
        lines.append(f"| {' | '.join(clean)} |")
    return "\n".join(lines) + "\n"


def run_lane(lane, arguments, folder):
    """Runs benchmarks one after another.

    Arguments
    ---------
    lane : tuple
        Of `planned`.
    arguments : argparse.Namespace
        With the time at which all ends, which Ctrl-C sets to 0.
    folder : str

    Returns
    -------
    found : list of dict
    left_out : list of str
    """
    found, left_out = [], []
    threads = 1 if lane is CPU else None  # it is, beside a GPU's lane alone
    for name, line, most in lane:
        if arguments.only and name not in arguments.only:
            continue
        left = arguments.end - time.monotonic()
        if left < 5:
            left_out.append(name)
            continue
        line = trial_of(name) if arguments.smoke else line
        found += run(name, line, min(most, left), folder, threads)
    return found, left_out


def run_all(arguments):
    """Runs the lanes side by side.

    Returns
    -------
    found : list of dict
    left_out : list of str
        See `run_lane`; after Ctrl-C what there is till then.
    """
    lanes = planned(arguments.device)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        pool = stack.enter_context(
            concurrent.futures.ThreadPoolExecutor(len(lanes))
        )
        done = [pool.submit(run_lane, x, arguments, folder) for x in lanes]
        try:
            concurrent.futures.wait(done)
        except KeyboardInterrupt:
            arguments.end = 0.0
            while concurrent.futures.wait(done, 0.1).not_done:
                for process in RUNNING[:]:
                    kill(process)
        found, left_out = zip(*[lane.result() for lane in done])
    return sum(found, []), sum(left_out, [])


def parsed(argv):
    """Reads the command line; what would be lost at the end is refused."""
    names = sorted(name for name, *_ in ALONE_ON_CPU + CPU)
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--out", help="a file for the table, besides")
    parser.add_argument("--minutes", type=float, default=8.5, help="of all")
    parser.add_argument(
        "--only", nargs="+", choices=names, help="default: all", metavar="NAME"
    )
    parser.add_argument(
        "--smoke", action="store_true", help="as the tests run each"
    )
    arguments = parser.parse_args(argv)
    out = pathlib.Path(arguments.out or "table.md")
    if not out.parent.is_dir() or out.is_dir():
        parser.error(f"--out {out}: no file can be there")
    return arguments


def main(argv=None):
    """Runs all, prints the table."""
    arguments = parsed(argv)
    if arguments.device == "cuda" and not torch.cuda.is_available():
        sys.exit(NO_GPU)
    arguments.end = time.monotonic() + 60 * arguments.minutes
    found, left_out = run_all(arguments)
    made = table(found)
    if left_out:
        why = "time was over" if arguments.end else "it was interrupted"
        made += f"\nLeft out, as {why}: {', '.join(left_out)}\n"
    print(made)
    if arguments.out:
        beside = f"{arguments.out}.part"
        pathlib.Path(beside).write_text(made, encoding="utf-8")
        os.replace(beside, arguments.out)
    if not arguments.end:
        sys.exit(130)


if __name__ == "__main__":
    main()
