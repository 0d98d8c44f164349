"""Time to make a table's runs: the table command against shell loops.

The peers are what users write today: a loop that makes one run after another,
and one that starts all of a row's runs at once, each with torch's own choice of
threads. All sides make the same runs; the table command also makes the table.

> python benchmarks/table.py --seeds 4 --epochs 4
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from rows import add_rows_option, row, write_rows

from speechbrain_ser.corpora.mini.iemocap import mini_iemocap

RECIPE = pathlib.Path(__file__).parents[1] / "recipes" / "IEMOCAP"
TABLE = """\
title: The baseline of IPR
script: {recipe}/train_ipr.py
hparams: {recipe}/hparams/ipr_logmel.yaml
seeds: {seeds}
rows:
  baseline: {{system: baseline}}
columns:
  UA (%): {{metric: UA, split: test}}
"""
# Command lines of the tests, each a trial of a second.
SMOKE = ("--seeds 1 --epochs 1 --jobs 1 --data_folder {iemocap}",)


def recipe(folder, seed, epochs, corpus):
    """The command line of one run, as a shell loop has it."""
    return [
        sys.executable,
        str(RECIPE / "train_ipr.py"),
        "hparams/ipr_logmel.yaml",
        "--system=baseline",
        f"--seed={seed}",
        f"--number_of_epochs={epochs}",
        f"--data_folder={corpus}",
        f"--output_folder={folder}/{seed}",
        "--noprogressbar",
    ]


def loop(folder, seeds, epochs, corpus, at_once):
    """Makes the runs in turn, or so many at once."""
    for start in range(0, len(seeds), at_once):
        running = [
            subprocess.Popen(
                recipe(folder, seed, epochs, corpus),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for seed in seeds[start : start + at_once]
        ]
        if any(process.wait() for process in running):
            sys.exit("a run of the loop failed")


def table(folder, seeds, epochs, corpus, at_once):
    """Makes the runs and the table with the table command."""
    path = os.path.join(folder, "baseline.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(TABLE.format(recipe=RECIPE, seeds=seeds))
    done = subprocess.run(
        [sys.executable, "-m", "speechbrain_ser.table", path]
        + [f"--jobs={at_once}", f"--results_folder={folder}/results"]
        + [f"--number_of_epochs={epochs}", f"--data_folder={corpus}"],
        capture_output=True,
    )
    if done.returncode:
        sys.exit(done.stderr.decode())


def main(argv=None):
    """Prints the seconds of each side, the sides in turn."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--data_folder", help="default: the mini corpus")
    add_rows_option(parser)
    arguments = parser.parse_args(argv)
    seeds, jobs = list(range(1, arguments.seeds + 1)), arguments.jobs
    sides = {
        "shell loop": (loop, 1),
        f"shell loop, {jobs} at once": (loop, jobs),
        "table --jobs 1": (table, 1),
        f"table --jobs {jobs}": (table, jobs),
    }
    corpus = arguments.data_folder or mini_iemocap()
    os.environ.pop("OMP_NUM_THREADS", None)
    seconds = {}
    for name, (make, at_once) in sides.items():
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            make(folder, seeds, arguments.epochs, corpus, at_once)
            seconds[name] = time.perf_counter() - start
    for name, taken in seconds.items():
        ratio = seconds["shell loop"] / taken
        print(f"{name:<24} {taken:7.1f} s  {ratio:.2f} times the shell loop")
    one, own = seconds["shell loop"], seconds[f"table --jobs {jobs}"]
    told = f"{own:.1f} s", f"{one:.1f} s", one / own
    what = f"a table of {arguments.seeds} runs, --jobs {jobs}"
    write_rows(arguments.rows, [row("table", what, *told, "at least 1")])


if __name__ == "__main__":
    main()
