"""Runs of a grid: each once, whatever is killed and whoever else works."""

import json
import os
import random
import signal
import subprocess
import time

import pytest

from speechbrain_ser.table.execute import Lock, threads_each
from tests.table.stub import (
    TABLE,
    check_ledger,
    epochs,
    ledger,
    pages,
    run_command,
    start_command,
    starts,
    until,
    write_stub,
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the stub's table."""
    monkeypatch.setenv("STUB_LEDGER", str(tmp_path / "ledger"))
    write_stub(tmp_path)
    return tmp_path


def test_runs_use_the_package_that_planned_them(folder):
    """Another one may be installed; its code would have another version."""
    import speechbrain_ser
    from speechbrain_ser.table import execute

    script = folder / "where.py"
    script.write_text("import speechbrain_ser as s; print(s.__file__)")
    lock = Lock(folder)
    lock.acquire()
    execute.launch([str(script)], str(folder), lock).wait()
    assert (
        folder / execute.LOG
    ).read_text().strip() == speechbrain_ser.__file__


def test_the_reason_is_the_error_not_the_frame_around_it(tmp_path):
    """torchrun ends its log with a line of signs."""
    from speechbrain_ser.table.execute import LOG, reason

    assert reason(tmp_path) == []
    (tmp_path / LOG).write_text(
        "Traceback (most recent call last):\n[rank0]: ValueError: too few\n"
        "traceback: no\n=======\n"
    )
    assert reason(tmp_path) == ["[rank0]: ValueError: too few"]
    (tmp_path / LOG).write_text("killed\n")
    assert reason(tmp_path) == ["killed"]


def test_threads_are_shared(folder):
    """Two runs side by side have half of the cores each, at least one."""
    run_command(folder, "--jobs", "2")
    cores = len(os.sched_getaffinity(0))
    limit = int(os.environ.get("OMP_NUM_THREADS") or cores)
    given = {line.split()[2] for line in ledger(folder) if "start" in line}
    assert given == {str(max(1, min(limit, cores // 2)))}
    assert threads_each(1) <= cores


def test_a_failed_run_stops_no_other(folder):
    """It is shown with its log and code; the exit code says so."""
    table = TABLE.replace("strong: {system: strong}", "bad: {system: broken}")
    write_stub(folder, table)
    done = run_command(folder)
    assert done.returncode == 1
    assert done.stderr.count("failed: bad, seed") == 9  # with its log, too
    assert "RuntimeError: this system is broken" in done.stderr
    assert "exit code 1" in done.stderr
    assert "3 of 3 runs failed" in done.stdout
    check_ledger(folder, 3)
    again = run_command(folder)
    assert again.returncode == 1
    assert starts(folder) == 9  # the failed ones are tried again


def test_a_foreign_run_is_never_used_or_overwritten(folder):
    """Results of other settings in a run's folder: said in the cell."""
    run_command(folder)
    path = next((folder / "results" / "runs").rglob("metrics.json"))
    metrics = json.loads(path.read_text())
    metrics["run"] = "another"
    path.write_text(json.dumps(metrics))
    done = run_command(folder)
    assert done.returncode == 1
    assert "1 of 3 runs foreign" in done.stdout and str(path) in done.stderr
    assert json.loads(path.read_text()) == metrics
    path.write_text("{half")
    assert run_command(folder).returncode == 1
    assert path.read_text() == "{half"


def test_killed_at_ten_random_moments(folder, tmp_path_factory):
    """The same table; no run is done twice, none is lost."""
    draw = random.Random(3)
    arguments = ("--number_of_epochs", "8", "--seconds", "0.1", "--jobs", "2")
    whole = tmp_path_factory.mktemp("whole")
    for place in (folder, whole):
        write_stub(
            place, TABLE.replace("[1, 2, 3]", "[1, 2, 3, 4, 5, 6, 7, 8]")
        )
    expected = run_command(whole, *arguments[:-1], "8")
    assert expected.returncode == 0
    name = "stub+number_of_epochs=8+seconds=0.1"
    wanted = pages(whole, name)
    (folder / "ledger").unlink()
    kills = 0
    for how in random.Random(4).sample(["group", "table", "interrupt"] * 4, 10):
        before = starts(folder)
        child = start_command(folder, *arguments)
        # what an earlier one left running starts nothing: this one is at work
        until(child, lambda before=before: starts(folder) > before)
        time.sleep(draw.uniform(0, 0.4))
        kills += child.returncode is None
        if how == "group":
            os.killpg(child.pid, signal.SIGKILL)
        elif how == "table":
            child.kill()  # what it started goes on
        else:
            child.send_signal(signal.SIGINT)
        child.wait()
        assert child.returncode == (130 if how == "interrupt" else -9)
    assert kills == 10
    done = run_command(folder, *arguments)
    assert done.returncode == 0, done.stderr
    check_ledger(folder, 16)
    assert pages(folder, name) == wanted


def test_two_commands_at_once(folder):
    """No run is done twice; both give the whole table."""
    arguments = ("--number_of_epochs", "6", "--seconds", "0.05", "--jobs", "2")
    both = [start_command(folder, *arguments) for _ in range(2)]
    for child in both:
        assert child.wait().returncode == 0, child.stderr
    assert both[0].stdout == both[1].stdout
    check_ledger(folder, 6)
    assert starts(folder) == 6


def test_interrupted_says_so_and_leaves_a_table(folder):
    """Ctrl-C: code 130, the table names what is missing, children end."""
    started = ("--number_of_epochs", "50", "--seconds", "0.1")
    child = start_command(folder, *started)
    until(child, lambda: epochs(folder))
    os.killpg(child.pid, signal.SIGINT)
    assert child.wait().returncode == 130
    assert "stopped; the same command goes on" in child.stdout
    assert "3 of 3 runs missing" in child.stdout
    after = ledger(folder).total()
    time.sleep(0.5)
    assert ledger(folder).total() == after


def test_a_lock_ends_with_its_last_holder(tmp_path):
    """A child that inherits it keeps it; when it dies the lock is free."""
    one, other = Lock(tmp_path), Lock(tmp_path)
    assert one.acquire() and not other.acquire()
    child = subprocess.Popen(["sleep", "60"], pass_fds=(one.file.fileno(),))
    one.release()
    assert not other.acquire() and other.held()
    child.kill()
    child.wait()
    assert not other.held() and other.acquire()
    assert not Lock(tmp_path / "nowhere").held()
    assert not (tmp_path / "nowhere").exists()


def test_several_processes_are_started_by_torchrun(tmp_path, monkeypatch):
    """One is not; what a recipe prints goes to its log."""
    from speechbrain_ser.table import execute

    started = []
    monkeypatch.setattr(
        execute.subprocess, "Popen", lambda line, **_: started.append(line)
    )
    lock = Lock(tmp_path)
    lock.acquire()
    for processes in (1, 2):
        execute.launch(["train.py", "h.yaml"], str(tmp_path), lock, processes)
    assert started[0][1:] == ["train.py", "h.yaml"]
    assert started[1][1:] == [
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node=2",
        "train.py",
        "h.yaml",
    ]


def test_runs_side_by_side_take_the_gpus_in_turn(monkeypatch):
    """Of those that the command itself may use; a single one is shared."""
    from speechbrain_ser.table.execute import LocalWorkers

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6")
    name = "CUDA_VISIBLE_DEVICES"
    single = LocalWorkers(n_jobs=4)
    given = [dict(single.environment(slot))[name] for slot in range(4)]
    assert given == ["4", "5", "6", "4"]
    double = LocalWorkers(n_jobs=2, processes=2)
    given = [dict(double.environment(slot))[name] for slot in range(2)]
    assert given == ["4,5", "6,4"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4")
    assert name not in dict(single.environment(0))


def test_what_a_killed_command_left_running_is_waited_for(folder):
    """The next command neither doubles the run nor breaks it off."""
    write_stub(folder, TABLE.replace("[1, 2, 3]", "[1]"))
    arguments = ("--number_of_epochs", "50", "--seconds", "0.15")
    child = start_command(folder, *arguments)
    until(child, lambda: epochs(folder))
    child.kill()
    done = run_command(folder, *arguments)
    assert done.returncode == 0, done.stderr
    check_ledger(folder, 2)
    assert starts(folder) == 2


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    """A file where the run's folder should be."""
    from speechbrain_ser.utils.errors import InputError

    (tmp_path / "run").write_text("")
    with pytest.raises(InputError, match="can't be written and locked.*give"):
        Lock(tmp_path / "run").acquire()
