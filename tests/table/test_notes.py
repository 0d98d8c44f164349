"""What stands under and beside the numbers."""

import random

import numpy as np
import pytest

from speechbrain_ser.corpora.protocols import named as named_protocols
from speechbrain_ser.table.cells import fill
from speechbrain_ser.table.layout import Column
from tests.table.runs import (
    CLASSES,
    TEST,
    UA,
    absent,
    done,
    folded,
    made_up,
    scored,
    table_file,
    unbalanced,
    with_ua,
)


def test_the_papers_numbers():
    """As the file has them, beside ours."""
    file = table_file(
        ["base", "ours"],
        source="Table 3",
        paper={"UA": {"ours": "71.20", "base": 70.5}},
    )
    table = fill(file, with_ua("ours", [0.5] * 3), CLASSES)
    assert table.cells["ours", "UA"].paper == "71.20"
    assert table.cells["base", "UA"].paper == "70.5"
    assert (
        "Paper: Table 3; the paper's column was measured by its authors."
        in table.notes
    )
    assert not any(
        "paper" in note for note in fill(table_file(), [], CLASSES).notes
    )


def test_confusions_are_summed_over_runs():
    """Of the test part, else of the first column's."""
    data = unbalanced()
    file = table_file(seeds=[1, 2], fold_setting="fold", folds=["a", "b"])
    runs = folded(data)
    expected = np.sum(
        [run.metrics["metrics"]["test"]["confusion"] for run in runs],
        axis=0,
    ).tolist()
    table = fill(file, runs, CLASSES)
    assert table.confusions == {"ours": expected}
    assert sum(map(sum, expected)) == 204
    assert table.labels == CLASSES
    assert fill(file, runs, CLASSES[::-1]).confusions == {"ours": None}
    for run in runs:
        metrics = run.metrics["metrics"]
        metrics["valid"] = metrics.pop("test")
    assert fill(file, runs, CLASSES).confusions == {"ours": None}
    file.columns = {"UA": Column("UA", "UA", ("valid",))}
    assert fill(file, runs, CLASSES).confusions == {"ours": expected}
    for run in runs:
        run.metrics["metrics"]["test"] = scored(["ang"], ["sad"])
    assert np.sum(fill(file, runs, CLASSES).confusions["ours"]) == 4


def test_transductive_runs_are_noted():
    """Beside their protocol, and no others."""
    runs = with_ua("ours", [0.5, 0.6, 0.7], transductive=True)
    assert (
        "Data: corpus nemo, protocol p@1 (transductive: tested speech trains "
        "without labels), split 29f14884."
    ) in fill(table_file(), runs, CLASSES).notes
    runs = with_ua("ours", [0.5, 0.6, 0.7], transductive=False)
    notes = fill(table_file(), runs, CLASSES).notes
    assert not any("transductive" in note for note in notes)


def test_code_and_devices_are_noted():
    """The code only where it differs."""
    runs = with_ua("ours", [0.5, 0.6, 0.7])
    notes = fill(table_file(), runs, CLASSES).notes
    assert "Devices: cpu." in notes
    assert not any("code" in note for note in notes)
    assert "Data: corpus nemo, protocol p@1, split 29f14884." in notes
    runs[2].metrics.update(code="beef" * 16, device="cuda")
    table = fill(table_file(), runs, CLASSES)
    assert "Devices: cpu, cuda." in table.notes
    assert (
        "Different versions of the code made the runs: beefbeef 1 of 3 "
        "(rows ours); c0de 2 of 3 (rows ours)." in table.notes
    )
    assert table.cells["ours", "UA"].mean == pytest.approx(60)


def test_the_order_of_runs_does_not_matter():
    """Nor does it change a digit."""
    runs = []
    for row in ("base", "ours"):
        for seed in range(1, 5):
            for fold in "ab":
                found = made_up(40, f"{row}{seed}{fold}", speakers=5)
                runs.append(done(row, seed, fold, scored(*found)))
    runs[5] = absent("base", 3, "failed", fold="b")
    runs[9].metrics["code"] = "other"
    columns = [UA, Column("all", "macro_F1", TEST, folds="pooled")]
    file = table_file(
        ["ours", "base"],
        columns,
        seeds=[4, 1, 3, 2],
        fold_setting="fold",
        folds=["b", "a"],
        stars={"*": ("base",)},
    )
    first = fill(file, runs, CLASSES)
    assert first.cells["ours", "all"].speakers
    for seed in range(3):
        shuffled = list(runs)
        random.Random(seed).shuffle(shuffled)
        assert shuffled != runs
        assert fill(file, shuffled, CLASSES) == first


def test_the_setting_that_names_the_fold_is_no_other_protocol():
    """Each fold's protocol names its fold; that is no mixture."""
    name = "iemocap-ambiguity@1 with test_size 0.4, held_out_session"
    runs = [
        run for fold in (1, 2, 3) for run in with_ua("ours", [fold / 10], fold)
    ]
    for run in runs:
        run.metrics["protocol"] = f"{name} {run.fold}"
        run.metrics["split_sha256"] = str(run.fold) * 64
    file = table_file(
        ["ours"],
        seeds=[run.seed for run in runs[:1]],
        fold_setting="held_out_session",
        folds=[1, 2, 3],
    )
    table = fill(file, runs, CLASSES)
    cell = table.cells["ours", "UA"]
    assert cell.mean == pytest.approx(20) and cell.problems == []
    data = [note for note in table.notes if note.startswith("Data")]
    assert len(data) == 1
    assert "iemocap-ambiguity@1 with test_size 0.4, splits 1111" in data[0]
    runs[2].metrics["protocol"] = f"{name} 3, valid_share 0.2"
    cell = fill(file, runs, CLASSES).cells["ours", "UA"]
    assert cell.mean is None and "different protocols" in cell.problems[0]


def test_what_is_set_for_all_rows_is_said():
    """A shortened table can't pass for the whole one."""
    runs = with_ua("ours", [0.2, 0.4])
    file = table_file(["ours"], seeds=[run.seed for run in runs])
    file.overrides = {"number_of_epochs": 2, "lr": 0.1}
    table = fill(file, runs, CLASSES)
    assert (
        "Recipe: train.py with h.yaml; in all rows number_of_epochs 2, lr 0.1."
    ) in table.notes
    assert table.notes[0].endswith(
        "2 seeds; of so few they say hardly anything."
    )


def test_the_mini_corpus_is_said_to_be_synthetic():
    """Whichever page is read."""
    runs = with_ua("ours", [0.2, 0.4])
    for run in runs:
        run.metrics["corpus"] = "mini"
    file = table_file(["ours"], seeds=[run.seed for run in runs])
    table = fill(file, runs, CLASSES)
    assert any("synthetic" in note for note in table.notes)


def test_a_protocol_whose_folds_are_its_own():
    """Its full name does not say the fold; the splits are told by fold."""
    name = "iemocap-5fold-loso@1"
    runs = []
    for fold in (1, 2, 3, 4, 5):
        runs += with_ua("ours", [fold / 10], fold, split_sha256=str(fold) * 64)
        settings = {"fold": fold, "valid_share": 0.2}
        protocol = named_protocols.full_name(name, settings)
        runs[-1].metrics["protocol"] = protocol
    file = table_file(seeds=[1], fold_setting="fold", folds=[1, 2, 3, 4, 5])
    table = fill(file, runs, CLASSES)
    cell = table.cells["ours", "UA"]
    assert cell.mean == pytest.approx(30) and cell.problems == []
    data = [note for note in table.notes if note.startswith("Data")]
    assert data == [
        f"Data: corpus nemo, protocol {name} with valid_share 0.2, splits "
        + ", ".join(f"{str(fold) * 8} (fold {fold})" for fold in range(1, 6))
        + "."
    ]
