"""Each benchmark runs, small: its table is there and its numbers are finite."""

import contextlib
import importlib
import io
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import types

import pytest
import torch

import speechbrain as sb
from speechbrain_ser.experiment.hparams import find_hparams
from speechbrain_ser.inference import label as label_command
from speechbrain_ser.table import command as table_command
from tests.recipes.helpers import ROOT, import_script

FOLDER = ROOT / "benchmarks"
COMMANDS = sorted(
    path.stem
    for path in FOLDER.glob("*.py")
    if "__main__" in path.read_text(encoding="utf-8")
)
# What a table's head, or its only line, says of the comparison.
COMPARED = ("ratio", "share", "times", "faster")
# Of a row, see benchmarks/rows.py.
NAMES = ("benchmark", "what", "ours", "peer", "ratio", "goal", "met")


def trials():
    """Each benchmark with each of its command lines."""
    for name in COMMANDS:
        text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
        given = re.search(r"^SMOKE = (\(.*?\)\n)", text, re.M | re.S)
        assert given, f"benchmarks/{name}.py has no SMOKE"
        for line in eval(given[1]):
            yield pytest.param(name, line, id=f"{name} {line}")


@pytest.fixture
def modules(monkeypatch):
    """Imports from the folder, as Python does for a script; undone later."""
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in ("recipes/IEMOCAP", "recipes/RECOLA"):
        monkeypatch.syspath_prepend(str(ROOT / name))
    paths = [*FOLDER.glob("*.py"), *ROOT.glob("recipes/*/*.py")]
    names = {path.stem for path in paths}
    for name in names:  # of other tests: another corpus' script
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield
    for name in names:
        sys.modules.pop(name, None)


def in_this_process(module):
    """What a benchmark may call of `subprocess`, without another torch.

    A run of a recipe and those of a table are only planned: their settings are
    checked, the corpus is read and split, nothing is trained.
    """

    def run(command, **kwargs):
        """Does what the command would do; keeps what it prints."""
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            if command[1] == module.__file__:
                code = module.main(command[2:])
            elif pathlib.Path(command[1]).parent == FOLDER:
                other = importlib.import_module(pathlib.Path(command[1]).stem)
                code = other.main(command[2:])
            elif command[1:3] == ["-m", "speechbrain_ser.label"]:
                code = label_command.main(command[3:])
            elif command[1] == "-c":
                code = 0  # what it imports is imported here
            elif command[1:3] == ["-m", "speechbrain_ser.table"]:
                code = table_command.main([*command[3:], "--dry_run"])
            else:
                path, _, overrides = sb.parse_arguments(command[2:])
                recipe = import_script(pathlib.Path(command[1])).RECIPE
                recipe.plan(find_hparams(path, command[1]), overrides)
                code = 0
        return subprocess.CompletedProcess(
            command, code or 0, said.getvalue(), b""
        )

    def popen(command, **kwargs):
        """A process that has ended."""
        done = run(command)
        if hasattr(kwargs.get("stdout"), "write"):
            kwargs["stdout"].write(done.stdout)
        return types.SimpleNamespace(wait=lambda timeout=None: done.returncode)

    return types.SimpleNamespace(
        run=run,
        Popen=popen,
        PIPE=subprocess.PIPE,
        STDOUT=subprocess.STDOUT,
        DEVNULL=subprocess.DEVNULL,
        TimeoutExpired=subprocess.TimeoutExpired,
    )


def check_rows(name, path):
    """What a benchmark leaves for the table of all: whole rows, its own."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.unlink()
    assert rows
    for row in rows:
        assert list(row) == [*NAMES, "machine"]
        assert row["benchmark"] == name
        assert row["what"] and row["ours"] and "torch" in row["machine"]
        compared = row["goal"] is not None
        assert (row["met"] is not None) == compared
        assert not compared or row["ratio"] is not None


@pytest.mark.parametrize(("name", "line"), [*trials()])
def test_benchmark_runs(
    name,
    line,
    modules,
    mini_folder,
    mini_recola_folder,
    monkeypatch,
    capsys,
    tmp_path,
):
    """A table with a comparison, every number finite."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    module = importlib.import_module(name)
    if hasattr(module, "subprocess"):
        here = in_this_process(module)
        monkeypatch.setattr(module, "subprocess", here)
    folders = {"iemocap": mini_folder, "recola": mini_recola_folder}
    threads = torch.get_num_threads()
    words = line.format(**folders).split()
    left = tmp_path.with_name("rows.jsonl")
    if hasattr(module, "write_rows"):
        words += ["--rows", str(left)]
    try:
        module.main(words)
    finally:
        torch.set_num_threads(threads)
    said = capsys.readouterr().out
    if hasattr(module, "write_rows"):
        check_rows(name, left)
    assert any(word in said for word in COMPARED), said
    assert not re.search(r"\b(nan|inf)\b", said, re.I), said
    last = [row for row in said.splitlines() if row.strip()][-1]
    assert re.search(r"\d\.\d", last), said
    assert os.listdir(tmp_path) == []


def test_every_benchmark_is_described():
    """The folder's README names each command, and the head how it is run."""
    told = (FOLDER / "README.md").read_text(encoding="utf-8")
    for name in COMMANDS:
        text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
        assert f"{name}.py" in told, name
        assert f"> python benchmarks/{name}.py" in text, name


def test_all_in_one_command(modules, monkeypatch, capsys, tmp_path):
    """Each benchmark is in it, on a CPU or on a GPU; limits hold."""
    summary = importlib.import_module("summary")
    lanes = [*summary.planned("cpu"), *summary.planned("cuda")]
    items = [item for lane in lanes for item in lane]
    assert {name for name, *_ in items} == set(COMMANDS) - {"summary"}
    assert {name for name, *_ in lanes[0]} == set(COMMANDS) - {"summary"}
    for name, line, most in items:
        text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
        assert "add_rows_option" in text, name
        for option in re.findall(r"--(\w+)", line):
            assert f'"--{option}"' in text, (name, option)
        assert 30 <= most <= 200
    text = (FOLDER / "all.sh").read_text(encoding="utf-8")
    assert os.access(FOLDER / "all.sh", os.X_OK) and "summary.py" in text
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="torch sees no GPU here"):
        summary.main(["--device", "cuda"])


def test_what_fails_does_not_stop_the_table(modules, monkeypatch, tmp_path):
    """It is a row with the reason; what is over time is ended, or left out."""
    summary = importlib.import_module("summary")

    def ended(command, seconds):
        """One fails, one takes too long, one leaves nothing."""
        if command[1].endswith("label.py"):
            return None, ""
        return int(command[1].endswith("batches.py")), "line\nbroken: x"

    whole = summary.ended
    monkeypatch.setattr(summary, "ended", ended)
    out = tmp_path / "table.md"
    line = ["--only", "batches", "label", "lpmn_step", "--out", str(out)]
    summary.main(line)
    rows = out.read_text().splitlines()[2:]
    assert len(rows) == 3 and "failed: broken: x" in rows[0]
    assert "ended after 90 s" in rows[1] and "left no row" in rows[2]
    summary.main([*line, "--minutes", "0"])
    assert "Left out, as time was over: batches, label" in out.read_text()
    # what is ended takes along what it started
    began = time.monotonic()
    assert whole(["sh", "-c", "echo said; sleep 60 | cat"], 0.5) == (
        None,
        "said",
    )
    assert whole(["sh", "-c", "echo no; exit 3"], 30) == (3, "no")
    assert time.monotonic() - began < 20
