"""A table file over the stub recipe, and commands on it."""

import collections
import os
import pathlib
import shutil
import time

from tests import pictures, processes

HERE = pathlib.Path(__file__).parent
HPARAMS = """\
seed: 0
corpus_name: stub
system: weak
fold: null
loso: False
split_by_seed: False
data_folder: here
output_folder: null
number_of_epochs: 4
seconds: 0.01
"""
# What a table of conditions sets.
CROSS_HPARAMS = f"""{HPARAMS}\
direction: there
task: arousal
first_folder: null
second_folder: null
"""
CROSS = """\
title: There and back
script: stub_recipe.py
hparams: stub.yaml
seeds: [1, 2, 3]
conditions:
  there arousal: {direction: there, task: arousal}
  there valence: {direction: there, task: valence}
  back arousal: {direction: back, task: arousal}
rows:
  weak: {system: weak}
  strong: {system: strong}
columns:
  there arousal: {metric: UA, split: test, condition: there arousal}
  there valence: {metric: UA, split: test, condition: there valence}
  back: {metric: UA, split: test, condition: back arousal}
  average: {metric: UA, split: test}
stars:
  "*": weak
"""
TABLE = """\
title: Strong and weak
script: stub_recipe.py
hparams: stub.yaml
seeds: [1, 2, 3]
rows:
  weak: {system: weak}
  strong: {system: strong}
columns:
  Acc: {metric: WA, split: test}
stars:
  "*": weak
"""


PAGES = ("table.md", "table.csv", "table.tex", "table.html", "runs.csv")


def write_stub(folder, table=TABLE, hparams=HPARAMS):
    """Writes recipe, hparams and table file; returns the table's path."""
    shutil.copy(HERE / "stub_recipe.py", folder)
    (folder / "stub.yaml").write_text(hparams)
    path = folder / "stub_table.yaml"
    path.write_text(table, encoding="utf-8")
    return path


def words(folder, *arguments):
    """The table command's words."""
    return [
        str(folder / "stub_table.yaml"),
        "--results_folder",
        str(folder / "results"),
        *map(str, arguments),
    ]


def lead_a_group(real_pictures, *line):
    """Is the command, with all that it starts, in a group of its own."""
    os.setsid()
    if not real_pictures:
        pictures.make_small()
    processes.as_script("speechbrain_ser.table", *line)


def start_command(folder, *arguments, real_pictures=False):
    """Starts the table command as a user would; its pictures are small."""
    line = words(folder, *arguments)
    return processes.start(lead_a_group, real_pictures, *line)


def run_command(folder, *arguments, real_pictures=False):
    """Runs the table command to its end."""
    return start_command(folder, *arguments, real_pictures=real_pictures).wait()


def until(child, holds):
    """Waits until something holds, while the command runs."""
    while not holds():
        assert child.returncode is None, child.stderr
        time.sleep(0.02)


def ledger(folder):
    """Counts what the stub recipe wrote down."""
    path = folder / "ledger"
    lines = path.read_text().splitlines() if path.exists() else []
    return collections.Counter(lines)


def check_ledger(folder, n_runs):
    """Every run is done once, no epoch twice, never two at one run."""
    lines = ledger(folder)
    kinds = collections.Counter(line.split()[0] for line in lines)
    assert kinds["CLASH"] == 0
    repeated = [
        line
        for line, count in lines.items()
        if count > 1 and not line.startswith("start")
    ]
    assert repeated == []
    metrics = list((folder / "results" / "runs").rglob("metrics.json"))
    assert len(metrics) == n_runs


def pages(folder, name="stub"):
    """The table's files."""
    where = folder / "results" / "tables" / "stub_table" / "stub" / name
    return {name: (where / name).read_bytes() for name in PAGES}


def epochs(folder):
    """Counts the epochs that were trained."""
    return sum("epoch" in line for line in ledger(folder).elements())


def starts(folder):
    """Counts how often a run was started."""
    return sum(line.startswith("start") for line in ledger(folder).elements())
