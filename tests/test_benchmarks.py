"""Each benchmark runs, small: its table is there and its numbers are finite."""

import contextlib
import importlib
import io
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
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
    mini_cache,
    mini_folder,
    mini_recola_folder,
    monkeypatch,
    capsys,
    tmp_path,
):
    """A table with a comparison, every number finite."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("SPEECHBRAIN_SER_CACHE", mini_cache)
    module = importlib.import_module(name)
    if hasattr(module, "subprocess"):
        here = in_this_process(module)
        monkeypatch.setattr(module, "subprocess", here)
    folders = {"iemocap": mini_folder, "recola": mini_recola_folder}
    threads = torch.get_num_threads()
    words = line.format(**folders).split()
    left = tmp_path.with_name(f"{name}.jsonl")
    left.unlink(missing_ok=True)  # of a trial that failed
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

    def ended(command, seconds, threads):
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
    assert whole(["sh", "-c", "echo said; sleep 60 | cat"], 3) == (None, "said")
    assert whole(["sh", "-c", "echo no; exit 3"], 30) == (3, "no")
    assert time.monotonic() - began < 20


def test_an_interrupted_table_is_of_what_there_is(
    modules, monkeypatch, capsys, tmp_path
):
    """What runs is ended, nothing more is begun; the file is written."""
    summary = importlib.import_module("summary")
    whole, main_thread = summary.ended, threading.main_thread().ident

    def ended(command, seconds, threads):
        """The second would take a minute, but for Ctrl-C."""
        if command[1].endswith("batches.py"):
            return 1, "broken"
        press = (main_thread, signal.SIGINT)
        threading.Timer(0.3, signal.pthread_kill, press).start()
        return whole(["sleep", "60"], 60, threads)

    monkeypatch.setattr(summary, "ended", ended)
    out = tmp_path / "table.md"
    line = ["--only", "batches", "label", "lpmn_step", "--out", str(out)]
    began = time.monotonic()
    # whoever starts the tests in the background has them ignore it
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(SystemExit) as stop:
            summary.main(line)
    finally:
        signal.signal(signal.SIGINT, before)
    assert stop.value.code == 130 and time.monotonic() - began < 30
    said = out.read_text()
    assert "failed: broken" in said and "exit code -9" in said
    assert "Left out, as it was interrupted: lpmn_step" in said
    assert said in capsys.readouterr().out
    assert summary.RUNNING == []


@pytest.mark.parametrize(
    ("name", "line", "said"),
    [
        ("summary", "--only nosuch", "invalid choice: 'nosuch'"),
        ("summary", "--out nosuch/table.md", "no file can be there"),
        ("kmeans", "--ways our", "invalid choice: 'our'"),
    ],
)
def test_a_bad_command_line_is_told_at_once(
    name, line, said, modules, capsys, monkeypatch, tmp_path
):
    """Before anything is measured."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        importlib.import_module(name).main(line.split())
    assert said in capsys.readouterr().err


def test_beside_a_gpu_a_benchmark_has_one_thread(modules, monkeypatch):
    """Alone on a CPU it has torch's own number."""
    summary = importlib.import_module("summary")
    seen, whole = [], summary.ended
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        summary, "ended", lambda *given: seen.append(given) or (1, "")
    )
    for device in ("cuda", "cpu"):
        summary.main(["--device", device, "--only", "label", "kmeans"])
    threads = [
        (pathlib.Path(command[1]).stem, count) for command, _, count in seen
    ]
    beside, alone = threads[:2], threads[2:]
    assert sorted(beside) == [("kmeans", None), ("label", 1)]
    assert sorted(alone) == [("kmeans", None), ("label", None)]
    count = "import os; print(os.environ.get('OMP_NUM_THREADS'))"
    assert whole([sys.executable, "-c", count], 60, 3) == (0, "3")


def test_processes_are_not_forked_beside_a_gpu(modules, monkeypatch):
    """Where torch sees one, a child of the tests could run no backward."""
    processes = importlib.import_module("processes")
    for seen, way in ((True, "spawn"), (False, "fork")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda seen=seen: seen)
        assert processes.start_method() == way


def test_what_a_gpu_cannot_hold_is_too_much(modules, monkeypatch, capsys):
    """In the row too, beside what was measured."""
    memory = importlib.import_module("memory")
    peaks, rows = iter([2e9, None]), []
    for name in ("choose_attention", "make_step"):
        monkeypatch.setattr(memory, name, lambda *given: None)
    monkeypatch.setattr(memory, "peak_of", lambda *given: next(peaks))
    monkeypatch.setattr(
        memory, "write_rows", lambda _, found, at: rows.extend(found)
    )
    line = "--device cuda --sizes small --trained all --batches 2 --seconds 1 2"
    memory.main(line.split())
    assert [row["ours"] for row in rows] == ["2.00 GB", "too much"]
    assert "too much" in capsys.readouterr().out


@pytest.mark.parametrize("trained", ["copies", "last2", "frozen"])
def test_the_step_of_which_memory_is_told(trained, modules, monkeypatch):
    """It runs on a CPU as on a GPU; what is to be trained moves, no other."""
    memory = importlib.import_module("memory")
    import transformers

    plain, made = transformers.Wav2Vec2Model, []

    def kept(config):
        """Keeps the model."""
        made.append(plain(config))
        return made[-1]

    config = memory.config_of("small", trained)
    config.conv_dim = (16,) * 7
    monkeypatch.setattr(transformers, "Wav2Vec2Model", kept)
    step = memory.make_step(config, trained, "cpu")
    before = {n: p.detach().clone() for n, p in made[0].named_parameters()}
    step(torch.randn(2, 8000))
    moved = {n for n, p in made[0].named_parameters() if not p.equal(before[n])}
    assert all(
        p.requires_grad for n, p in made[0].named_parameters() if n in moved
    )
    blocks = {n.split(".")[2] for n in moved if "encoder.layers." in n}
    counts = {"copies": 3, "last2": 2, "frozen": 0}
    assert (
        len(blocks) == counts[trained] == memory.trained_blocks(config, trained)
    )
    assert not any("feature_extractor" in n for n in moved)
