"""Each benchmark runs, small: its table is there and its numbers are finite."""

import contextlib
import importlib
import io
import os
import pathlib
import re
import subprocess
import sys
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
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        path = getattr(sys.modules[name], "__file__", None) or ""
        if path.startswith((str(FOLDER), str(ROOT / "recipes"))):
            del sys.modules[name]


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
        return types.SimpleNamespace(wait=lambda: done.returncode)

    return types.SimpleNamespace(
        run=run,
        Popen=popen,
        PIPE=subprocess.PIPE,
        DEVNULL=subprocess.DEVNULL,
    )


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
    try:
        module.main(line.format(**folders).split())
    finally:
        torch.set_num_threads(threads)
    said = capsys.readouterr().out
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
