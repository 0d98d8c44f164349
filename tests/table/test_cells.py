"""Numbers of tables against NumPy, SciPy and scikit-learn called directly."""

import random
import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import recall_score

from speechbrain_ser.corpora.protocols import named as named_protocols
from speechbrain_ser.evaluation.metrics import confusion_by_speaker
from speechbrain_ser.scores import classification_metrics
from speechbrain_ser.table.cells import fill
from speechbrain_ser.table.layout import Column, Run, TableFile
from speechbrain_ser.table.values import value_of

CLASSES = ["ang", "hap", "sad", "neu"]
TEST = ("test",)
UA = Column("UA", "UA", TEST)
SPLIT = "29f14884" + "0" * 56


def table_file(rows=("ours",), columns=(UA,), seeds=(1, 2, 3), **more):
    """A table file with these rows and columns."""
    return TableFile(
        "t.yaml",
        "T",
        "train.py",
        "h.yaml",
        {row: {} for row in rows},
        {column.name: column for column in columns},
        list(seeds),
        **more,
    )


def done(row, seed, fold=None, test=None, **more):
    """A run that is done, with these metrics of the test part."""
    metrics = {
        "labels": CLASSES,
        "protocol": "p@1",
        "corpus": "nemo",
        "split_sha256": SPLIT,
        "parts_sha256": {"train": "p", "test": f"e{fold}"},
        "device": "cpu",
        "code": "c0de",
        "sizes": {"train": 70, "test": 30},
        "metrics": {"test": test},
        "test_mean_of_last_epochs": None,
    }
    metrics.update(more)
    return Run(row, fold, seed, "key", "folder", "done", metrics=metrics)


def with_ua(row, shares, fold=None, first_seed=1, **more):
    """Runs of consecutive seeds with these UA."""
    return [
        done(row, seed, fold, {"UA": share}, **more)
        for seed, share in enumerate(shares, first_seed)
    ]


def absent(row, seed, status, note="", fold=None):
    """A run without metrics."""
    return Run(row, fold, seed, "key", "folder", status, note)


def made_up(n, seed, classes=CLASSES, speakers=6, skill=0.6):
    """Random labels, predictions and speakers."""
    draw = random.Random(seed)
    labels = draw.choices(classes, k=n)
    predictions = [
        label if draw.random() < skill else draw.choice(CLASSES)
        for label in labels
    ]
    return labels, predictions, [f"s{i % speakers}" for i in range(n)]


def scored(labels, predictions, speakers=None):
    """What the recipe writes of a part."""
    found = classification_metrics(labels, predictions, CLASSES)
    found["speakers"] = speakers and confusion_by_speaker(
        labels, predictions, CLASSES, speakers
    )
    return found


def ua(labels, predictions):
    """The mean recall of the classes that labels name, by scikit-learn."""
    return recall_score(
        labels, predictions, labels=sorted(set(labels)), average="macro"
    )


def only_cell(file, runs):
    """The one cell of a table."""
    (cell,) = fill(file, runs, CLASSES).cells.values()
    return cell


# Mean, std and interval


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
    said = "own, gap: at the epoch of each run that did best on its part"
    assert f"{said} valid." in table.notes


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


def unbalanced():
    """Two folds of different size, classes and skill, for two seeds."""
    data = {}
    for seed in (1, 2):
        data["a", seed] = made_up(90, seed, skill=0.9)
        data["b", seed] = made_up(12, 10 + seed, ["ang", "hap"], skill=0.2)
    return data


def folded(data, row="ours"):
    """The runs of such data."""
    return [
        done(row, seed, fold, scored(*found))
        for (fold, seed), found in data.items()
    ]


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
    expected = [100 * ua(*joined[s]) for s in (1, 2)]
    assert pooled.values == pytest.approx(expected)
    assert pooled.std == pytest.approx(np.std(expected, ddof=1))
    assert (pooled.unit, pooled.runs, pooled.planned) == ("seeds", 4, 4)
    assert table.cells["ours", "hap"].values == pytest.approx(
        [
            100 * recall_score(*joined[s], labels=["hap"], average="macro")
            for s in (1, 2)
        ]
    )
    mean = table.cells["ours", "mean"]
    by_fold = [
        np.mean([100 * ua(*data[f, s][:2]) for s in (1, 2)]) for f in "ab"
    ]
    assert mean.values == pytest.approx(by_fold)
    assert mean.unit == "folds"
    assert mean.speakers is None
    assert pooled.mean > mean.mean + 10
    assert table.notes[:2] == [
        "mean: a fold's value is the mean over its seeds (2); mean ± std "
        "(ddof 1) and 95 % interval (Student's t) over 2 folds; of so few they "
        "say hardly anything.",
        "pooled, hap: of the utterances of all 2 folds together, pooled for "
        "each seed; mean ± std (ddof 1) and 95 % interval (Student's t) over "
        "2 seeds; of so few they say hardly anything.",
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
    assert cell.values == pytest.approx([100 * ua(labels, predictions)])
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


# Intervals over speakers


def speaker_loops(per_unit, metric, resamples=3000):
    """Bootstraps speakers by loops: the mean over units on the same draw."""
    rng = np.random.default_rng(11)
    names = sorted(set(per_unit[0][2]))
    means = []
    for _ in range(resamples):
        drawn = rng.choice(names, size=len(names))
        scores = []
        for labels, predictions, who in per_unit:
            pairs = [
                (label, prediction)
                for name in drawn
                for label, prediction, one in zip(labels, predictions, who)
                if one == name
            ]
            scores.append(metric(*zip(*pairs)))
        means.append(100 * np.mean(scores))
    return np.quantile(means, [0.025, 0.975])


def test_interval_over_speakers_of_seeds():
    """The same speakers are drawn for all seeds, whose scores are averaged."""
    data = [made_up(36, seed, skill=0.3 + seed / 5) for seed in (1, 2)]
    # A speaker that is always wrong, in both seeds.
    for labels, predictions, who in data:
        for i, name in enumerate(who):
            if name == "s0":
                predictions[i] = CLASSES[CLASSES.index(labels[i]) - 1]
    runs = [
        done("ours", seed, test=scored(*found))
        for seed, found in enumerate(data, 1)
    ]
    table = fill(
        table_file(columns=[Column("WA", "WA", TEST)], seeds=[1, 2]),
        runs,
        CLASSES,
    )
    cell = table.cells["ours", "WA"]
    low, high = speaker_loops(data, lambda a, b: np.mean(np.equal(a, b)))
    assert low < cell.mean < high
    assert cell.speakers == pytest.approx((low, high), abs=1.5)
    # Draws of their own for each seed would make it narrower.
    assert high - low > 15
    assert any("over the evaluated speakers" in note for note in table.notes)


def test_interval_over_speakers_of_pooled_folds():
    """A seed's speakers are those of all folds; one speaks in both."""
    data = {}
    for seed in (1, 2):
        for fold in "ab":
            labels, predictions, who = made_up(
                24, seed + 10 * (fold == "b"), skill=0.9 if fold == "a" else 0.3
            )
            data[fold, seed] = (
                labels,
                predictions,
                [name if name == "s0" else fold + name for name in who],
            )
    file = table_file(
        columns=[
            Column("pooled", "WA", TEST, folds="pooled"),
            Column("mean", "WA", TEST),
        ],
        seeds=[1, 2],
        fold_setting="fold",
        folds=["a", "b"],
    )
    table = fill(file, folded(data), CLASSES)
    joined = [
        [data["a", seed][k] + data["b", seed][k] for k in range(3)]
        for seed in (1, 2)
    ]
    expected = speaker_loops(joined, lambda a, b: np.mean(np.equal(a, b)))
    assert table.cells["ours", "pooled"].speakers == pytest.approx(
        expected, abs=1.5
    )
    assert table.cells["ours", "mean"].speakers is None


@pytest.mark.parametrize(
    "what, speakers",
    [
        ("none", [None, None]),
        ("none in one run", [["a", "b"] * 10, None]),
        ("one", [["a"] * 20, ["a"] * 20]),
        ("other ones", [["a", "b"] * 10, ["a", "c"] * 10]),
    ],
)
def test_no_interval_over_speakers(what, speakers):
    """Without speakers, with one, or with other ones."""
    runs = [
        done("ours", seed, test=scored(*made_up(20, seed)[:2], who))
        for seed, who in enumerate(speakers, 1)
    ]
    cell = only_cell(table_file(seeds=[1, 2]), runs)
    assert cell.mean is not None
    assert cell.speakers is None


def test_metrics_that_have_no_interval_over_speakers():
    """Utterances, the last epochs, and a class that only one speaker has."""
    labels = ["ang", "sad", "neu", "hap"] * 5
    who = ["a", "b", "c", "d"] * 5
    runs = [
        done(
            "ours",
            1,
            test=scored(labels, labels, who),
            test_mean_of_last_epochs={"UA": {"mean": 0.5}},
        )
    ]
    columns = [
        UA,
        Column("n", "n", TEST),
        Column("last", "UA", TEST, epochs="last"),
        Column("ang", "recall_ang", TEST),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = fill(table_file(columns=columns, seeds=[1]), runs, CLASSES)
    assert {key[1]: cell.speakers for key, cell in table.cells.items()} == {
        "UA": (100, 100),
        "n": None,
        "last": None,
        "ang": None,
    }
    assert all(cell.mean is not None for cell in table.cells.values())


# Stars


def test_p_values_are_scipys_and_go_to_the_better_row():
    """Paired by seed; the worse row has the same p and no star."""
    ours, base, even = (
        [0.70, 0.72, 0.69, 0.75],
        [0.60, 0.66, 0.61, 0.64],
        [0.71, 0.69, 0.74, 0.70],
    )
    runs = with_ua("ours", ours) + with_ua("base", base) + with_ua("even", even)
    file = table_file(
        ["base", "even", "ours"], seeds=[1, 2, 3, 4], stars={"*": ("base",)}
    )
    table = fill(file, runs, CLASSES)
    for row, shares in (("ours", ours), ("even", even)):
        cell = table.cells[row, "UA"]
        assert cell.p_values == pytest.approx(
            {"base": stats.ttest_rel(shares, base).pvalue}
        )
    assert table.cells["ours", "UA"].p_values["base"] < 0.01
    assert table.cells["ours", "UA"].stars == "*"
    assert table.cells["base", "UA"].p_values == {}
    assert (
        "*: p < 0.05 against base, paired t-test (scipy.stats.ttest_rel) over "
        "the same 4 seeds." in table.notes
    )
    against = table_file(
        ["base", "even", "ours"],
        seeds=[1, 2, 3, 4],
        stars={"*": ("ours",), "+": ("even",)},
    )
    cells = fill(against, runs, CLASSES).cells
    assert cells["base", "UA"].p_values["ours"] < 0.01
    assert cells["base", "UA"].stars == ""
    assert cells["ours", "UA"].p_values["even"] > 0.05
    assert cells["ours", "UA"].stars == ""


def test_lower_is_better():
    """Of an error, the lower mean has the star."""
    column = Column("error", "err", TEST, better="lower")
    runs = [
        done(row, seed, test={"err": value})
        for row, values in (("a", [3.0, 3.1, 3.3]), ("b", [2.0, 2.2, 2.1]))
        for seed, value in enumerate(values, 1)
    ]
    file = table_file("ab", [column], stars={"*": ("a",), "+": ("b",)})
    cells = fill(file, runs, CLASSES).cells
    assert cells["b", "error"].stars == "*"
    assert cells["a", "error"].stars == ""
    assert cells["a", "error"].p_values["b"] < 0.05


def test_a_star_that_another_implies_is_dropped():
    """Only with all of its rows beaten does the stronger one stand."""
    noise = [0.0, 0.01, -0.01, 0.005]
    shares = {
        "a": [0.4] * 4,
        "b": [0.5, 0.52, 0.48, 0.5],
        "both": [0.6 + x for x in noise],
        "one": [0.44 + x for x in noise],
    }
    runs = [r for row, own in shares.items() for r in with_ua(row, own)]
    stars = {"*": ("a",), "**": ("a", "b"), "†": ("b",)}
    file = table_file(shares, seeds=[1, 2, 3, 4], stars=stars)
    cells = fill(file, runs, CLASSES).cells
    assert cells["both", "UA"].stars == "**"
    assert cells["one", "UA"].stars == "*"
    assert set(cells["one", "UA"].p_values) == {"a", "b"}
    # A row that a symbol names cannot have it.
    assert cells["b", "UA"].stars == "*"
    assert cells["a", "UA"].stars == ""
    assert set(cells["a", "UA"].p_values) == {"b"}
    # Different rows imply nothing: both stay.
    file.stars = {"*": ("a",), "†": ("b",)}
    assert fill(file, runs, CLASSES).cells["both", "UA"].stars == "*†"


def test_tests_go_over_the_common_seeds():
    """Which is said, and the better mean is over these too."""
    ours, base = [0.70, 0.72, 0.69], [0.60, 0.66, 0.61, 0.99]
    runs = with_ua("ours", ours) + [absent("ours", 4, "failed")]
    runs += with_ua("base", base)
    file = table_file(
        ["base", "ours"], seeds=[1, 2, 3, 4], stars={"*": ("base",)}
    )
    table = fill(file, runs, CLASSES)
    cell = table.cells["ours", "UA"]
    assert cell.mean < table.cells["base", "UA"].mean
    assert cell.p_values == pytest.approx(
        {"base": stats.ttest_rel(ours, base[:3]).pvalue}
    )
    assert cell.stars == "*"
    assert "the test of ours against base is over 3 of 4 seeds." in table.notes


def test_tests_over_folds_and_pooled():
    """Pairs are folds where the mean is over folds."""
    shares = {
        "base": {"a": [0.4, 0.5], "b": [0.6, 0.7], "c": [0.5, 0.5]},
        "ours": {"a": [0.6, 0.6], "b": [0.8, 0.85], "c": [0.7, 0.62]},
    }
    runs = [
        run
        for row, folds in shares.items()
        for fold, own in folds.items()
        for run in with_ua(row, own, fold)
    ]
    file = table_file(
        ["base", "ours"],
        seeds=[1, 2],
        fold_setting="fold",
        folds=["a", "b", "c"],
        stars={"*": ("base",)},
    )
    table = fill(file, runs, CLASSES)
    means = {
        row: [np.mean(own) for own in folds.values()]
        for row, folds in shares.items()
    }
    cell = table.cells["ours", "UA"]
    assert cell.p_values == pytest.approx(
        {"base": stats.ttest_rel(means["ours"], means["base"]).pvalue}
    )
    assert cell.stars == "*"
    assert any(note.endswith("the same 3 folds.") for note in table.notes)
    # A row without one of the folds.
    fewer = [
        run
        if (run.row, run.fold) != ("base", "b")
        else absent("base", run.seed, "failed", fold="b")
        for run in runs
    ]
    table = fill(file, fewer, CLASSES)
    assert table.cells["ours", "UA"].p_values == pytest.approx(
        {"base": stats.ttest_rel([0.6, 0.66], [0.45, 0.5]).pvalue}
    )
    assert "the test of ours against base is over 2 of 3 folds." in table.notes
    # Another evaluated part in one fold: no test.
    for run in runs:
        if (run.row, run.fold) == ("ours", "c"):
            run.metrics["parts_sha256"] = {"test": "other"}
    assert fill(file, runs, CLASSES).cells["ours", "UA"].p_values == {
        "base": None
    }


@pytest.mark.parametrize(
    "ours, parts, note",
    [
        ([0.75, 0.625], "eNone", "over 2 of 3 seeds."),
        ([0.75], "eNone", "they have fewer than two seeds in common."),
        ([0.75, 0.75, 0.75], "eNone", "all differences are the same."),
        ([0.5, 0.5, 0.5], "eNone", "all differences are the same."),
        ([0.9, 0.8, 0.9], "x", "they are evaluated on different parts."),
    ],
)
def test_when_there_is_no_test(ours, parts, note):
    """Too few seeds, no variance, other utterances; the note says which."""
    runs = with_ua("ours", ours, parts_sha256={"train": "q", "test": parts})
    runs += [absent("ours", s, "missing") for s in range(len(ours) + 1, 4)]
    runs += with_ua("base", [0.5, 0.5, 0.5])
    file = table_file(["base", "ours"], stars={"*": ("base",)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = fill(file, runs, CLASSES)
    cell = table.cells["ours", "UA"]
    assert cell.stars == ""
    (said,) = [text for text in table.notes if "of ours against base" in text]
    assert said.endswith(note)
    tested = note == "over 2 of 3 seeds."
    assert (cell.p_values["base"] is not None) == tested
    assert any(text.startswith("*: ") for text in table.notes) == tested


def test_equal_differences_but_for_rounding():
    """They have no variance either."""
    base = [0.57, 0.58, 0.59]
    ours = [share + 0.1 for share in base]
    assert np.ptp(100 * np.array(ours) - 100 * np.array(base)) > 0
    runs = with_ua("base", base) + with_ua("ours", ours)
    file = table_file(["base", "ours"], stars={"*": ("base",)})
    cell = fill(file, runs, CLASSES).cells["ours", "UA"]
    assert (cell.p_values, cell.stars) == ({"base": None}, "")


def test_a_remark_names_its_columns():
    """Where others have their test."""
    columns = [UA, Column("WA", "WA", TEST), Column("n", "n", TEST)]
    runs = [
        done(row, seed, test={"UA": share, "WA": wa})
        for row, pairs in (
            ("base", [(0.5, 0.5), (0.5, 0.5), (0.5, 0.5)]),
            ("ours", [(0.7, 0.7), (0.7, 0.8), (0.7, 0.9)]),
        )
        for seed, (share, wa) in enumerate(pairs, 1)
    ]
    file = table_file(["base", "ours"], columns, stars={"*": ("base",)})
    table = fill(file, runs, CLASSES)
    assert (
        "there is no test of ours against base: all differences are the same "
        "(UA)." in table.notes
    )
    assert table.cells["ours", "n"].p_values == {}


def test_one_seed_cannot_be_tested():
    """Said once, not for every pair."""
    runs = [r for row in "abc" for r in with_ua(row, [0.5])]
    file = table_file("abc", seeds=[1], stars={"*": ("a",)})
    table = fill(file, runs, CLASSES)
    assert [note for note in table.notes if "test" in note] == [
        "there are no tests: they need two seeds."
    ]


def test_parts_without_a_hash_are_those_of_the_split():
    """The valid part has none of its own."""
    column = Column("UA", "UA", ("valid",))
    file = table_file(["base", "ours"], [column], stars={"*": ("base",)})

    def p_value(split):
        """Tests two rows where one has this split."""
        runs = with_ua("base", [0.5, 0.6, 0.5])
        runs += with_ua("ours", [0.7, 0.7, 0.8], split_sha256=split)
        for run in runs:
            metrics = run.metrics["metrics"]
            metrics["valid"] = metrics["test"]
        return fill(file, runs, None).cells["ours", "UA"].p_values["base"]

    assert p_value(SPLIT) == pytest.approx(
        stats.ttest_rel([0.7, 0.7, 0.8], [0.5, 0.6, 0.5]).pvalue
    )
    assert p_value("0" * 64) is None


# The rest of the table


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


# Rows that read other parts of a run


def shared_runs(seeds=(1, 2, 3), folds=(None,)):
    """Runs of one row, and runs that three rows read, one part each."""
    runs = []
    for seed in seeds:
        for fold in folds:
            who = f"{seed}{fold}"
            runs.append(
                done("base", seed, fold, scored(*made_up(40, who, skill=0.2)))
            )
            parts = {
                part: scored(*made_up(40, f"{part}{who}", skill=skill))
                for part, skill in (
                    ("test", 0.8),
                    ("test_512", 0.6),
                )
            }
            parts["test_200"] = scored(["ang", "sad"], ["ang", "ang"])
            run = done("all", seed, fold)
            run.more_rows = ("ps-512", "ps-200")
            run.metrics["metrics"] = parts
            run.metrics["test_mean_of_last_epochs"] = {"UA": {"mean": 0.75}}
            for facts in ("parts_sha256", "sizes"):
                of_all = run.metrics[facts]["test"]
                for part in ("test_512", "test_200"):
                    run.metrics[facts][part] = of_all
            runs.append(run)
    return runs


READS = {
    "ps-512": {"test": "test_512"},
    "ps-200": {"test": "test_200"},
}
ROWS = ("base", "all", "ps-512", "ps-200")


def own_runs(runs):
    """The same numbers as runs of each row's own, without any reading."""
    found = []
    for run in runs:
        for row in run.rows:
            part = READS.get(row, {}).get("test", "test")
            metrics = {"test": run.metrics["metrics"][part]}
            own = done(row, run.seed, run.fold, **run.metrics)
            own.metrics["metrics"] = metrics
            found.append(own)
    return found


@pytest.mark.parametrize("folds", [(None,), ("a", "b")])
def test_a_row_reads_its_part_in_all_numbers(folds):
    """As if each row had runs of its own that report nothing else."""
    columns = [
        UA,
        Column("sad", "recall_sad", TEST),
        Column("n", "n", ("train", "test")),
    ]
    more = {}
    if len(folds) > 1:
        columns.append(Column("pooled", "WA", TEST, folds="pooled"))
        more = {"fold_setting": "fold", "folds": list(folds)}
    file = table_file(
        ROWS,
        columns,
        reads=READS,
        stars={"*": ("base",), "+": ("ps-200",)},
        **more,
    )
    plain = table_file(ROWS, columns, stars=file.stars, **more)
    runs = shared_runs(folds=folds)
    random.Random(1).shuffle(runs)
    table, expected = (
        fill(file, runs, CLASSES),
        fill(plain, own_runs(runs), CLASSES),
    )
    assert table.cells == expected.cells
    assert table.confusions == expected.confusions
    assert len({str(matrix) for matrix in table.confusions.values()}) == 4
    means = {table.cells[row, "UA"].mean for row in ROWS}
    assert len(means) == 4 and table.cells["ps-200", "UA"].mean == 50
    speakers = "pooled" if len(folds) > 1 else "UA"
    assert table.cells["ps-512", speakers].speakers is not None
    p = stats.ttest_rel(
        table.cells["ps-512", "UA"].values, table.cells["base", "UA"].values
    ).pvalue
    assert table.cells["ps-512", "UA"].p_values["base"] == pytest.approx(p)
    assert table.cells["ps-512", "n"].mean == 100
    assert len(table.runs) == 6 * len(folds)
    assert (
        "Rows read other parts of a run: ps-512 (test_512 as test), "
        "ps-200 (test_200 as test)." in table.notes
    )
    assert not any("Rows read" in note for note in expected.notes)


def test_a_part_has_no_mean_over_the_last_epochs():
    """The cell is empty, no run is missing from it, and a note says why."""
    columns = [UA, Column("last", "UA", TEST, epochs="last")]
    file = table_file(ROWS[1:], columns, reads=READS, stars={"*": ("ps-200",)})
    runs = [run for run in shared_runs() if run.row == "all"]
    table = fill(file, runs, CLASSES)
    assert table.cells["all", "last"].mean == 75
    for row in ("ps-512", "ps-200"):
        cell = table.cells[row, "last"]
        assert (cell.mean, cell.values, cell.problems) == (None, [], [])
        assert (cell.runs, cell.planned) == (0, 0)
        assert table.cells[row, "UA"].runs == 3
    assert table.cells["all", "last"].p_values == {"ps-200": None}
    assert (
        "last: nothing for ps-512, ps-200, as runs report a mean over the last "
        "epochs for the part test alone." in table.notes
    )


def test_a_run_that_fills_several_rows_counts_once():
    """In the notes; each of its rows lacks it."""
    runs = [run for run in shared_runs() if run.row == "all"]
    runs[1].metrics["code"] = "beef"
    runs[2] = absent("all", 3, "missing")
    runs[2].more_rows = ("ps-512", "ps-200")
    table = fill(table_file(ROWS[1:], reads=READS), runs, CLASSES)
    for row in ROWS[1:]:
        assert table.cells[row, "UA"].problems == ["1 of 3 runs missing"]
    assert table.notes[-1] == (
        "1 of 3 runs is missing: all (also ps-512, ps-200), seed 3."
    )
    assert (
        "Different versions of the code made the runs: beef 1 of 2 (rows all, "
        "ps-512, ps-200); c0de 1 of 2 (rows all, ps-512, ps-200)."
        in table.notes
    )


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
