"""What lies in the results folder: which runs are done, and which anew."""

import json

import pytest

from speechbrain_ser.table.finished import finished_runs, look_up
from speechbrain_ser.table.layout import Run
from speechbrain_ser.utils.files import write_json
from tests.table.stub import TABLE, ledger, run_command, write_stub

SHORT = TABLE.replace("seeds: [1, 2, 3]", "seeds: [1]")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the stub's table, one seed."""
    monkeypatch.setenv("STUB_LEDGER", str(tmp_path / "ledger"))
    write_stub(tmp_path, SHORT)
    return tmp_path


def report_otherwise(folder):
    """Changes how the stub reports, as a new version would."""
    script = folder / "stub_recipe.py"
    text = script.read_text()
    assert "REPORT = 1 " in text
    script.write_text(text.replace("REPORT = 1 ", "REPORT = 2 "))


def reports(folder):
    """The digest of each run's report, by its folder."""
    return {
        path.parent: json.loads(path.read_text())["report"]
        for path in (folder / "results").rglob("metrics.json")
    }


def kinds(folder):
    """Counts starts, epochs and ends."""
    words = [line.split()[0] for line in ledger(folder).elements()]
    return [words.count(kind) for kind in ("start", "epoch", "done")]


def test_a_changed_report_is_made_anew_without_training(folder):
    """By the same command, in the same folders; then all is done."""
    assert run_command(folder).returncode == 0
    before = reports(folder)
    assert kinds(folder) == [2, 8, 2]
    report_otherwise(folder)
    listed = run_command(folder, "--dry_run").stdout
    assert listed.count("  to be reported anew\n") == 2
    assert "0 of 2 runs are done" in listed
    done = run_command(folder)
    assert done.returncode == 0, done.stderr
    assert kinds(folder) == [4, 8, 4]
    after = reports(folder)
    assert set(after) == set(before)
    assert not set(after.values()) & set(before.values())
    assert run_command(folder).returncode == 0
    assert kinds(folder) == [4, 8, 4]


def test_a_run_made_by_hand_is_reported_anew_where_it_lies(folder):
    """Its checkpoints are there, and nowhere else."""
    run_command(folder)
    moved = folder / "results" / "by hand #1" / "strong"
    moved.parent.mkdir()
    runs = sorted((folder / "results" / "runs" / "stub_recipe").iterdir())
    runs[0].rename(moved)
    before = reports(folder)
    report_otherwise(folder)
    assert run_command(folder).returncode == 0
    after = reports(folder)
    assert set(after) == set(before) == {moved, runs[1]}
    assert after[moved] != before[moved]
    assert kinds(folder) == [4, 8, 4]


def test_a_run_that_cannot_be_reported_anew_has_failed(folder):
    """It is not tried for ever, and its cell says so."""
    run_command(folder)
    report_otherwise(folder)
    text = (folder / "stub_recipe.py").read_text()
    old = "def main(path, arguments):\n"
    assert old in text
    text = text.replace(old, f'{old}    sys.exit("error: no disk")\n')
    (folder / "stub_recipe.py").write_text(text)
    done = run_command(folder)
    assert done.returncode == 1
    assert done.stdout.count("1 of 1 runs failed") == 2
    assert "error: no disk" in done.stderr


def made(folder, run, report=None):
    """Writes a run's metrics; returns their folder."""
    found = {"run": run} if report is None else {"run": run, "report": report}
    write_json(folder / "metrics.json", found)
    return str(folder)


def test_of_several_folders_the_one_with_the_right_report(tmp_path):
    """Else the run's own, whose report is made anew."""
    own = made(tmp_path / "own", "key", "old")
    older = made(tmp_path / "older", "key")
    right = made(tmp_path / "right", "key", "new")
    for elsewhere, place, status in (
        ([older, right], right, "done"),
        ([older], own, "missing"),
        ([], own, "missing"),
    ):
        run = Run("a", None, 1, "key", own, report="new")
        look_up(run, elsewhere)
        assert (run.folder, run.status) == (place, status)
        assert (run.note == "") == (status == "done")
    # a run without a folder of its own
    run = Run("a", None, 1, "key", str(tmp_path / "none"), report="new")
    look_up(run, [older])
    assert (run.folder, run.status) == (older, "missing")
    # whoever asks for no report takes any
    run = Run("a", None, 1, "key", own)
    look_up(run)
    assert run.status == "done"
    # another run's folder stays another's
    run = Run("a", None, 1, "other", own, report="new")
    look_up(run, [right])
    assert (run.folder, run.status) == (own, "foreign")
    assert finished_runs(tmp_path) == {"key": [older, own, right]}
