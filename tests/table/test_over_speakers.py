"""Intervals over speakers against a bootstrap by loops."""

import warnings

import numpy as np
import pytest

from speechbrain_ser.table.cells import fill
from speechbrain_ser.table.layout import Column
from tests.table.runs import (
    CLASSES,
    TEST,
    UA,
    done,
    folded,
    made_up,
    only_cell,
    scored,
    table_file,
)


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
