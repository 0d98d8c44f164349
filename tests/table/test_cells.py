"""Means of runs against NumPy and scikit-learn called directly."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import recall_score

from speechbrain_ser.table.cells import fill
from speechbrain_ser.table.layout import Column
from speechbrain_ser.table.values import value_of
from tests.table.runs import (
    CLASSES,
    TEST,
    absent,
    done,
    folded,
    made_up,
    only_cell,
    scored,
    table_file,
    ua,
    unbalanced,
    with_ua,
)


def test_over_seeds():
    """In per cent; the interval is SciPy's."""
    shares = [0.5, 0.625, 0.55, 0.7]
    file = table_file(seeds=[1, 2, 3, 4])
    cell = only_cell(file, with_ua("ours", shares))
    values = 100 * np.array(shares)
    assert cell.values == pytest.approx(values)
    assert cell.mean == pytest.approx(59.375)
    assert cell.std == pytest.approx(np.std(values, ddof=1))
    assert cell.interval == pytest.approx(
        stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    )
    assert (cell.unit, cell.runs, cell.planned) == ("seeds", 4, 4)
    assert cell.problems == []
    assert cell.speakers is None


def test_one_seed_has_neither_std_nor_interval():
    """The mean is its value."""
    table = fill(table_file(seeds=[7]), with_ua("ours", [0.5], None, 7), None)
    cell = table.cells["ours", "UA"]
    assert (cell.mean, cell.std, cell.interval) == (50.0, None, None)
    assert table.labels == []
    assert "one seed: no std and no interval." in table.notes


def test_equal_values_have_an_interval_of_no_width():
    """Not nan."""
    cell = only_cell(table_file(), with_ua("ours", [0.5] * 3))
    assert (cell.std, cell.interval) == (0.0, (50.0, 50.0))


def test_over_folds():
    """A fold is one unit, however many seeds it has."""
    shares = {"a": [0.2, 0.4], "b": [0.6, 0.7], "c": [0.9, 1.0]}
    runs = [
        run
        for fold, own in shares.items()
        for run in with_ua("ours", own, fold)
    ]
    file = table_file(seeds=[1, 2], fold_setting="fold", folds=["a", "b", "c"])
    cell = only_cell(file, runs)
    assert cell.values == pytest.approx([30, 65, 95])
    assert cell.std == pytest.approx(np.std([30, 65, 95], ddof=1))
    assert cell.interval == pytest.approx(
        stats.t.interval(0.95, 2, 190 / 3, stats.sem([30, 65, 95]))
    )
    assert (cell.unit, cell.runs, cell.planned) == ("folds", 6, 6)


def test_columns_read_what_they_name():
    """Shares in per cent, other numbers as they are."""
    columns = [
        Column("size", "n", ("train", "test")),
        Column("anger", "recall_ang", TEST),
        Column("error", "ccc_error", TEST, better="lower"),
        Column("last", "UA", TEST, epochs="last"),
        Column("train", "WA", ("train",)),
        Column("own", "UA", ("valid",), epochs="best"),
        Column("gap", "UA", TEST, epochs="best", minus="valid"),
    ]
    metrics = {"UA": 0.5, "ccc_error": 3.5, "recall": {"ang": 0.25}}
    run = done(
        "ours",
        1,
        test=metrics,
        test_mean_of_last_epochs={
            "epochs": [2, 3],
            "UA": {"mean": 0.45, "std": 0.1},
        },
        best_epoch={
            "epoch": 2,
            "valid": {"UA": 0.625},
            "test": {"UA": 0.75},
        },
    )
    run.metrics["metrics"]["train"] = {"WA": 0.9}
    with pytest.raises(ValueError, match="no UA of train over the last"):
        value_of(run, Column("x", "UA", ("train",), epochs="last"))
    assert [value_of(run, column) for column in columns] == [
        100,
        0.25,
        3.5,
        0.45,
        0.9,
        0.625,
        0.125,
    ]
    file = table_file(columns=columns, seeds=[1])
    table = fill(file, [run], CLASSES)
    assert [cell.mean for cell in table.cells.values()] == [
        100,
        25,
        3.5,
        45,
        90,
        62.5,
        12.5,
    ]
    assert "last: each run's mean over its last epochs." in table.notes
    said = "own, gap: at the epoch of each run that did best on what validates"
    assert any(note.startswith(said) for note in table.notes)


@pytest.mark.parametrize(
    "column, reason",
    [
        (Column("x", "n", ("valid",)), "no n of valid"),
        (Column("x", "recall_hap", TEST), "no recall_hap of test"),
        (Column("x", "recall_joy", TEST), "no recall_joy of test"),
        (Column("x", "ccc", TEST), "no ccc of test"),
        (Column("x", "loss", TEST), "loss of test is not a finite"),
        (Column("x", "recall", TEST), "recall of test is not a finite"),
        (Column("x", "UA", ("valid",)), "no UA of valid"),
        (
            Column("x", "UA", TEST, epochs="last"),
            "no UA of test over the last epochs",
        ),
        (
            Column("x", "UA", TEST, epochs="best"),
            "no UA of test at the best epoch",
        ),
        (Column("x", "recall_joy", TEST, folds="pooled"), "no recall_joy of"),
    ],
)
def test_a_run_without_the_number(column, reason):
    """It is left out and said; the other run still counts."""
    metrics = {
        "loss": float("nan"),
        "recall": {"ang": 0.5, "hap": None},
        "confusion": np.eye(4, dtype=int).tolist(),
    }
    if column.folds != "pooled":
        with pytest.raises(ValueError, match=reason):
            value_of(done("ours", 1, test=metrics), column)
    cell = only_cell(
        table_file(columns=[column], seeds=[1]),
        [done("ours", 1, test=metrics)],
    )
    assert (cell.mean, cell.values, cell.runs) == (None, [], 0)
    (problem,) = cell.problems
    assert problem.startswith(f"1 of 1 runs without a value: {reason}")


# Runs that are not there


def test_runs_left_out_are_counted_by_status():
    """The mean is over the others, and nothing is silent."""
    runs = with_ua("ours", [0.5, 0.7]) + [
        absent("ours", 3, "failed", "out of memory"),
        absent("ours", 4, "missing"),
        absent("ours", 5, "missing"),
        absent("ours", 6, "foreign", "made by other settings"),
        absent("ours", 7, "running"),
        absent("ours", 8, "queued"),
    ]
    table = fill(table_file(seeds=range(1, 9)), runs, CLASSES)
    cell = table.cells["ours", "UA"]
    assert cell.mean == pytest.approx(60)
    assert (cell.runs, cell.planned) == (2, 8)
    assert cell.problems == [
        "1 of 8 runs failed",
        "2 of 8 runs missing",
        "1 of 8 runs foreign: made by other settings",
        "1 of 8 runs running",
        "1 of 8 runs queued",
    ]
    assert table.notes[-5:] == [
        "1 of 8 runs failed: ours, seed 3 (out of memory).",
        "2 of 8 runs are missing: ours, seed 4; ours, seed 5.",
        "1 of 8 runs is foreign: ours, seed 6 (made by other settings).",
        "1 of 8 runs is running: ours, seed 7.",
        "1 of 8 runs is queued: ours, seed 8.",
    ]


def test_nothing_is_there_yet():
    """No numbers, no tests, no data; the runs are named but for many."""
    file = table_file(["a", "b"], seeds=range(4), stars={"*": ("a",)})
    runs = [absent(row, seed, "missing") for row in "ab" for seed in range(4)]
    table = fill(file, runs, None)
    cell = table.cells["b", "UA"]
    assert (cell.mean, cell.values, cell.stars) == (None, [], "")
    assert cell.p_values == {"a": None}
    assert cell.problems == ["4 of 4 runs missing"]
    assert table.confusions == {"a": None, "b": None}
    assert table.notes == [
        "mean ± std (ddof 1) and 95 % interval (Student's t) over 4 seeds.",
        "Seeds differ by the noise of training alone, on one split: they say "
        "nothing about other speakers or other training data.",
        "Recipe: train.py with h.yaml.",
        "8 of 8 runs are missing: a, seed 0; a, seed 1; a, seed 2; a, seed 3; "
        "b, seed 0; 3 more.",
    ]


def test_folds_that_are_not_whole():
    """One with part of its seeds counts, one without runs is left out."""
    runs = (
        with_ua("ours", [0.2, 0.4], "a")
        + with_ua("ours", [0.6], "b")
        + [absent("ours", 2, "failed", fold="b")]
        + [absent("ours", seed, "missing", fold="c") for seed in (1, 2)]
    )
    file = table_file(seeds=[1, 2], fold_setting="f", folds=["a", "b", "c"])
    cell = only_cell(file, runs)
    assert cell.values == pytest.approx([30, 60])
    assert (cell.runs, cell.planned) == (3, 6)
    assert cell.problems == [
        "1 of 6 runs failed",
        "2 of 6 runs missing",
        "fold c is left out: it has no value",
    ]


def test_no_fold_has_runs():
    """The count of runs says it all."""
    file = table_file(seeds=[1], fold_setting="f", folds=["a", "b"])
    runs = [absent("ours", 1, "queued", fold=fold) for fold in "ab"]
    assert only_cell(file, runs).problems == ["2 of 2 runs queued"]


def test_different_splits_are_not_averaged():
    """Within a row and a fold; the other row keeps its numbers."""
    runs = [
        done(row, seed, test=scored(["ang", "sad"], ["ang", "ang"]))
        for row in ("ours", "base")
        for seed in (1, 2, 3)
    ]
    runs[0].metrics["split_sha256"] = "abcd1234" * 8
    runs[1].metrics["split_sha256"] = "ffff0000" * 8
    runs[2].metrics["split_sha256"] = "abcd1234" * 8
    table = fill(table_file(["base", "ours"]), runs, CLASSES)
    cell = table.cells["ours", "UA"]
    assert (cell.mean, cell.std, cell.values) == (None, None, [])
    assert cell.problems == [
        "runs of different splits are not averaged: "
        "seed 1 and seed 3 have abcd1234, seed 2 has ffff0000"
    ]
    assert table.cells["base", "UA"].mean == 50
    assert table.confusions["ours"] is None
    assert table.confusions["base"] == [
        [3, 0, 0, 0],
        [0] * 4,
        [3, 0, 0, 0],
        [0] * 4,
    ]
    assert (
        "Data: corpus nemo, protocol p@1, splits 29f14884 (rows base), "
        "abcd1234 (rows ours), ffff0000 (rows ours)." in table.notes
    )


def test_each_fold_has_a_split_of_its_own():
    """Only two within a fold are refused."""
    file = table_file(seeds=[1, 2], fold_setting="fold", folds=["a", "b"])
    runs = with_ua("ours", [0.5, 0.5], "a", split_sha256="1" * 64)
    runs += with_ua("ours", [0.7, 0.7], "b", split_sha256="2" * 64)
    table = fill(file, runs, CLASSES)
    assert table.cells["ours", "UA"].mean == pytest.approx(60)
    assert (
        "Data: corpus nemo, protocol p@1, splits 11111111 (fold a), "
        "22222222 (fold b)." in table.notes
    )
    runs[3].metrics["split_sha256"] = "3" * 64
    cell = only_cell(file, runs)
    assert cell.mean is None
    assert cell.problems == [
        "runs of different splits are not averaged: "
        "fold b, seed 1 has 22222222, fold b, seed 2 has 33333333"
    ]


@pytest.mark.parametrize(
    "key, value, problem",
    [
        (
            "protocol",
            "q@2",
            "runs of different protocols are not averaged: "
            "fold a, seed 1 has p@1, fold b, seed 1 has q@2",
        ),
        (
            "labels",
            ["x", "y"],
            "runs of different classes are not averaged: "
            "fold a, seed 1 has ['ang', 'hap', 'sad', 'neu'], "
            "fold b, seed 1 has ['x', 'y']",
        ),
    ],
)
def test_different_protocols_are_not_averaged(key, value, problem):
    """Nor are they across folds."""
    file = table_file(seeds=[1], fold_setting="fold", folds=["a", "b"])
    runs = with_ua("ours", [0.5], "a") + with_ua("ours", [0.7], "b")
    runs[1].metrics[key] = value
    cell = only_cell(file, runs)
    assert (cell.mean, cell.values) == (None, [])
    assert cell.problems == [problem]


# Pooled folds


def test_pooled_folds_are_those_of_all_utterances():
    """As scikit-learn has it on the joined labels; the mean is not that."""
    data = unbalanced()
    columns = [
        Column("pooled", "UA", TEST, folds="pooled"),
        Column("mean", "UA", TEST),
        Column("hap", "recall_hap", TEST, folds="pooled"),
    ]
    file = table_file(
        columns=columns, seeds=[1, 2], fold_setting="fold", folds=["a", "b"]
    )
    table = fill(file, folded(data), CLASSES)
    joined = {
        seed: [data["a", seed][k] + data["b", seed][k] for k in (0, 1)]
        for seed in (1, 2)
    }
    pooled = table.cells["ours", "pooled"]
    assert pooled.mean == pytest.approx(
        np.mean([100 * ua(*joined[s]) for s in (1, 2)])
    )
    # std and interval are over folds
    own = [np.mean([100 * ua(*data[f, s][:2]) for s in (1, 2)]) for f in "ab"]
    assert pooled.values == pytest.approx(own)
    assert pooled.std == pytest.approx(np.std(own, ddof=1))
    half = stats.t.ppf(0.975, 1) * abs(own[0] - own[1]) / 2  # by jackknife
    assert pooled.interval == pytest.approx(
        (pooled.mean - half, pooled.mean + half)
    )
    assert (pooled.unit, pooled.runs, pooled.planned) == ("folds", 4, 4)
    assert table.cells["ours", "hap"].mean == pytest.approx(
        np.mean(
            [
                100 * recall_score(*joined[s], labels=["hap"], average="macro")
                for s in (1, 2)
            ]
        )
    )
    mean = table.cells["ours", "mean"]
    by_fold = [
        np.mean([100 * ua(*data[f, s][:2]) for s in (1, 2)]) for f in "ab"
    ]
    assert mean.values == pytest.approx(by_fold)
    assert mean.unit == "folds"
    assert mean.speakers is None
    assert pooled.mean > mean.mean + 10
    assert sorted(table.notes[:2]) == [
        "mean: a fold's value is the mean over its seeds (2); mean ± std "
        "(ddof 1) and 95 % interval (Student's t) over 2 folds; of so few they "
        "say hardly anything.",
        "pooled, hap: of the utterances of all 2 folds together, mean over "
        "seeds (2); std (ddof 1) of the folds' own values, each a mean over "
        "seeds, and 95 % interval (Student's t, by the jackknife) over 2 "
        "folds; of so few they say hardly anything.",
    ]


def test_a_seed_without_all_folds_is_not_pooled():
    """The other seed is the cell."""
    data = unbalanced()
    runs = folded(data)
    runs[1] = absent("ours", 1, "failed", fold="b")
    file = table_file(
        columns=[Column("UA", "UA", TEST, folds="pooled")],
        seeds=[1, 2],
        fold_setting="fold",
        folds=["a", "b"],
    )
    cell = only_cell(file, runs)
    labels, predictions = (data["a", 2][k] + data["b", 2][k] for k in (0, 1))
    assert cell.mean == pytest.approx(100 * ua(labels, predictions))
    own = [100 * ua(*data[fold, 2][:2]) for fold in "ab"]
    assert cell.values == pytest.approx(own)
    assert (cell.runs, cell.planned) == (2, 4)
    assert cell.problems == [
        "1 of 4 runs failed",
        "seed 1 is left out: it has 1 of 2 folds",
    ]


@pytest.mark.parametrize(
    "column, problem",
    [
        (Column("x", "n", TEST, folds="pooled"), "n cannot be pooled"),
        (Column("x", "ccc", TEST, folds="pooled"), "ccc cannot be pooled"),
        (
            Column("x", "UA", TEST, epochs="last", folds="pooled"),
            "a mean over the last epochs cannot be pooled",
        ),
        (
            Column("x", "UA", TEST, epochs="best", folds="pooled"),
            "the best epoch cannot be pooled",
        ),
    ],
)
def test_what_cannot_be_pooled(column, problem):
    """It has no confusion matrix."""
    file = table_file(
        columns=[column], seeds=[1, 2], fold_setting="f", folds=["a", "b"]
    )
    cell = only_cell(file, folded(unbalanced()))
    assert (cell.mean, cell.values) == (None, [])
    assert cell.problems == [f"{problem} over folds"]


def test_a_pooled_class_without_utterances():
    """It has no recall."""
    labels, predictions, who = made_up(20, 1, ["ang", "sad"])
    column = Column("x", "recall_hap", TEST, folds="pooled")
    runs = [done("ours", 1, test=scored(labels, predictions, who))]
    cell = only_cell(table_file(columns=[column], seeds=[1]), runs)
    assert (cell.mean, cell.speakers) == (None, None)
    assert cell.problems == ["seed 1 has no recall_hap"]
