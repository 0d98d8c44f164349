"""The command makes a table, and makes it again without a run."""

import csv
import json
import os
import signal

import numpy as np
import pytest

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


def test_the_table_is_made_and_made_again_without_a_run(folder):
    """All pages; the second command trains nothing and gives the same."""
    done = run_command(folder, "--jobs", "2", real_pictures=True)
    assert done.returncode == 0, done.stderr
    assert "strong" in done.stdout
    assert "6/6 runs, done: " in done.stderr and "\r" not in done.stderr
    check_ledger(folder, 6)
    first, lines = pages(folder), ledger(folder)
    again = run_command(folder, real_pictures=True)
    assert again.returncode == 0 and again.stdout == done.stdout
    assert pages(folder) == first and ledger(folder) == lines


def test_folds_make_a_table(folder):
    """Mean over folds and pooled over them, from runs of several splits."""
    table = TABLE.replace("rows:", "folds: {fold: [1, 2, 3]}\nrows:").replace(
        "test}",
        "test}\n  all: {metric: UA, split: test, folds: pooled}",
    )
    write_stub(folder, table.replace("[1, 2, 3]\nfolds", "[1, 2]\nfolds"))
    done = run_command(folder, "--jobs", "2")
    assert done.returncode == 0, done.stderr
    check_ledger(folder, 12)
    assert "over 3 folds" in done.stdout and "folds together" in done.stdout
    assert "protocol stub@1, splits" in done.stdout


SHARED = """\
title: One run, several rows
script: stub_recipe.py
hparams: stub.yaml
seeds: [1, 2, 3]
rows:
  weak: {system: weak}
  strong: {system: strong}
  strong-5: {system: strong}
  strong-2: {system: strong}
reads:
  strong-5: {test: test_5}
  strong-2: {test: test_2}
columns:
  Acc: {metric: WA, split: test}
  last: {metric: WA, split: test, epochs: last}
  n: {metric: n, split: test}
  MSE: {metric: valence_MSE, split: test, better: lower}
  gain: {metric: valence_MSE, split: test}
stars:
  "*": weak
"""


def read_csv(folder, name):
    """A page's lines."""
    text = pages(folder)[name].decode()
    return list(csv.DictReader(text.splitlines()))


def test_rows_of_one_run_make_it_once(folder):
    """Their cells are its parts; an empty one that must be is no failure."""
    write_stub(folder, SHARED)
    before = run_command(folder, "--dry_run")
    assert "strong (also strong-5, strong-2), seed 3" in before.stdout
    assert "0 of 6 runs are done" in before.stdout
    done = run_command(folder, "--jobs", "2")
    assert done.returncode == 0, done.stderr
    assert "6/6 runs, done: " in done.stderr
    check_ledger(folder, 6)
    assert starts(folder) == 6
    cells = {
        (line["row"], line["column"]): line
        for line in read_csv(folder, "table.csv")
    }
    found = {}
    for path in (folder / "results" / "runs").rglob("metrics.json"):
        for part, scores in json.loads(path.read_text())["metrics"].items():
            more = "test_5" in path.read_text()
            own = found.setdefault((more, part), {"WA": [], "valence_MSE": []})
            for name, values in own.items():
                values.append(scores[name])
    for row, key in {
        "weak": (False, "test"),
        "strong": (True, "test"),
        "strong-5": (True, "test_5"),
        "strong-2": (True, "test_2"),
    }.items():
        assert cells[row, "Acc"]["splits"] == key[1]
        wa, mse = (np.array(found[key][m]) for m in ("WA", "valence_MSE"))
        assert len(wa) == 3
        for column, values in (("Acc", 100 * wa), ("MSE", mse), ("gain", mse)):
            mean, std = cells[row, column]["mean"], cells[row, column]["std"]
            assert float(mean) == pytest.approx(values.mean(), abs=1e-6)
            assert float(std) == pytest.approx(values.std(ddof=1), abs=1e-6)
        assert cells[row, "n"]["mean"] == "20.0"
        assert cells[row, "MSE"]["stars"] == ("" if row == "weak" else "*")
        # higher is better there, and so nothing is
        assert cells[row, "gain"]["stars"] == ""
        shown = f"{mse.mean():.4f} ± {mse.std(ddof=1):.4f}"
        assert shown in pages(folder)["table.md"].decode()
        whole = row in ("weak", "strong")
        assert bool(cells[row, "last"]["mean"]) == whole
        assert cells[row, "last"]["problems"] == ""
    runs = read_csv(folder, "runs.csv")
    assert len(runs) == 12 and len({run["folder"] for run in runs}) == 6
    assert "last: nothing for strong-5, strong-2" in done.stdout
    again = run_command(folder)
    assert again.returncode == 0 and starts(folder) == 6


def test_the_protocols_own_folds_make_a_table(folder):
    """One protocol, and a split for each of its five folds."""
    table = TABLE.replace(
        "rows:",
        "folds: {fold: [1, 2, 3, 4, 5]}\noverrides: {loso: True}\n"
        "protocol: stub-loso@1\nrows:",
    ).replace("[1, 2, 3]\n", "[1]\n", 1)
    write_stub(folder, table)
    done = run_command(folder, "--jobs", "2")
    assert done.returncode == 0, done.stderr
    check_ledger(folder, 10)
    assert "over 5 folds" in done.stdout
    (data,) = (
        line for line in done.stdout.splitlines() if line.startswith("Data:")
    )
    assert "protocol stub-loso@1, splits" in data
    assert [f"(fold {fold})" in data for fold in range(1, 6)] == [True] * 5
    write_stub(folder, table.replace("protocol: stub-", "protocol: "))
    done = run_command(folder)
    assert done.returncode == 1
    assert "protocol is stub-loso@1, not loso@1" in done.stderr


def test_a_shortened_table_lies_elsewhere_and_says_so(folder):
    """It never takes the place of the whole one."""
    run_command(folder)
    whole = pages(folder)
    short = run_command(folder, "--number_of_epochs", "2", "--seconds", "0")
    assert "in all rows number_of_epochs 2, seconds 0." in short.stdout
    assert pages(folder) == whole
    where = folder / "results" / "tables" / "stub_table" / "stub"
    names = {path.name for path in where.iterdir()}
    assert names == {"stub", "stub+number_of_epochs=2+seconds=0"}
    for name in ("table.md", "table.html", "table.tex"):
        text = (where / "stub+number_of_epochs=2+seconds=0" / name).read_text()
        assert "epochs" in text and "in all rows" in text


def test_what_is_broken_off_is_listed_with_its_share(folder):
    """--dry_run says how far a killed run came."""
    started = ("--number_of_epochs", "40", "--seconds", "0.05")
    child = start_command(folder, *started)
    until(child, lambda: epochs(folder) >= 4)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    done = run_command(folder, "--number_of_epochs", "40", "--dry_run")
    assert done.stdout.count("% of its epochs are done") == 1


def test_bad_places_are_one_sentence(folder):
    """A results folder that is a file; GPUs that are not here."""
    (folder / "results").write_text("")
    done = run_command(folder)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert "can't be made" in done.stderr
    (folder / "results").unlink()
    done = run_command(folder, "--gpus", "200")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert "--gpus is 200, and this machine has" in done.stderr


def test_dry_run_runs_nothing(folder):
    """And says what is done."""
    before = run_command(folder, "--dry_run")
    assert before.stdout.count("missing") == 6
    assert "0 of 6 runs are done" in before.stdout
    assert not (folder / "ledger").exists()
    assert not (folder / "results").exists()
    run_command(folder, "--seeds", "1")
    after = run_command(folder, "--dry_run")
    assert after.stdout.count("missing") == 4
    assert "2 of 6 runs are done" in after.stdout


def test_tables_share_runs(folder):
    """Another table with one row in common trains the other row alone."""
    run_command(folder)
    before = starts(folder)
    other = TABLE.replace("  strong: {system: strong}\n", "").replace(
        "weak: {system: weak}", "plain: {}\n  long: {number_of_epochs: 5}"
    )
    write_stub(folder, other.replace('  "*": weak', '  "*": plain'))
    assert run_command(folder).returncode == 0
    assert starts(folder) == before + 3


def test_runs_made_by_hand_are_found(folder):
    """Wherever they lie in the results folder."""
    run_command(folder)
    runs = folder / "results" / "runs" / "stub_recipe"
    moved = folder / "results" / "mine" / "strong"
    moved.parent.mkdir()
    sorted(runs.iterdir())[0].rename(moved)
    done = run_command(folder, "--dry_run")
    assert "6 of 6 runs are done" in done.stdout
    assert str(moved) in done.stdout
