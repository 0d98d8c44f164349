"""Metrics against computations by hand and by plain loops."""

import json
import random
import tracemalloc
import warnings

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from speechbrain_ser.evaluation.metrics import (
    bootstrap_intervals,
    classification_metrics,
    confusion_by_speaker,
    interval_report,
    mean_and_std,
    metrics_table,
    scores_of_confusion,
)

CLASSES = ["ang", "hap", "sad", "neu"]
KEYS = ["WA", "UA", "macro_F1", "weighted_F1"]


def by_loops(labels, predictions, classes):
    """Computes the same metrics without scikit-learn."""
    confusion = [
        [
            sum(
                label == row and prediction == column
                for label, prediction in zip(labels, predictions)
            )
            for column in classes
        ]
        for row in classes
    ]
    recall, f1, support = {}, {}, {}
    for index, word in enumerate(classes):
        hits = confusion[index][index]
        support[word] = sum(confusion[index])
        predicted = sum(row[index] for row in confusion)
        recall[word] = hits / support[word] if support[word] else None
        f1[word] = 2 * hits / max(support[word] + predicted, 1)
    present = [word for word in classes if support[word]]
    n = len(labels)
    return {
        "n": n,
        "WA": sum(confusion[i][i] for i in range(len(classes))) / n,
        "UA": sum(recall[word] for word in present) / len(present),
        "macro_F1": sum(f1[word] for word in present) / len(present),
        "weighted_F1": sum(f1[w] * support[w] for w in present) / n,
        "recall": recall,
        "confusion": confusion,
    }


def assert_same(found, expected):
    """Compares two dictionaries of metrics."""
    assert list(found) == list(expected)
    for key, value in expected.items():
        assert found[key] == (
            value if key == "confusion" else pytest.approx(value)
        ), key


def test_by_hand_where_wa_and_ua_differ():
    """8 of 10 are right, but the rare class is never found."""
    labels = ["neu"] * 8 + ["ang"] * 2
    found = classification_metrics(labels, ["neu"] * 10, ["ang", "neu"])
    assert found["n"] == 10
    assert found["WA"] == pytest.approx(0.8)
    assert found["UA"] == pytest.approx(0.5)
    assert found["macro_F1"] == pytest.approx((0 + 16 / 18) / 2)
    assert found["weighted_F1"] == pytest.approx(0.8 * 16 / 18)
    assert found["recall"] == {"ang": 0.0, "neu": 1.0}
    assert found["confusion"] == [[0, 2], [0, 8]]


def test_rows_are_labels_and_columns_follow_the_given_order():
    """The order of classes is the caller's, not the alphabet's."""
    found = classification_metrics(
        ["sad", "sad", "ang"], ["ang", "sad", "ang"], ["sad", "ang"]
    )
    assert found["confusion"] == [[1, 1], [0, 1]]


@pytest.mark.parametrize("seed", range(20))
def test_equals_plain_loops(seed):
    """Random labels, where classes may be absent or never predicted."""
    draw = random.Random(seed)
    n = draw.randint(1, 60)
    labels = draw.choices(CLASSES[: draw.randint(1, 4)], k=n)
    predictions = draw.choices(CLASSES[draw.randint(0, 3) :], k=n)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = classification_metrics(labels, predictions, CLASSES)
    assert_same(found, by_loops(labels, predictions, CLASSES))


def test_an_absent_class_counts_only_as_a_wrong_prediction():
    """It has no recall and no part in the means, even when predicted."""
    found = classification_metrics(
        ["ang", "ang", "sad", "sad"], ["ang", "hap", "sad", "sad"], CLASSES
    )
    assert found["recall"] == {"ang": 0.5, "hap": None, "sad": 1, "neu": None}
    assert found["UA"] == pytest.approx(0.75)
    assert found["macro_F1"] == pytest.approx((2 / 3 + 1) / 2)


def test_perfect_and_all_wrong():
    """The ends of the scale."""
    perfect = classification_metrics(CLASSES, CLASSES, CLASSES)
    wrong = classification_metrics(CLASSES, CLASSES[::-1], CLASSES)
    for key in ("WA", "UA", "macro_F1", "weighted_F1"):
        assert perfect[key] == 1
        assert wrong[key] == 0


def test_values_are_plain():
    """They can be written as JSON and read back."""
    found = classification_metrics(CLASSES, ["ang"] * 4, CLASSES)
    assert json.loads(json.dumps(found)) == found
    assert type(found["UA"]) is float
    assert type(found["recall"]["ang"]) is float
    assert type(found["confusion"][0][0]) is int


@pytest.mark.parametrize(
    "labels, predictions, message",
    [
        (["ang"], ["ang", "sad"], "1 labels, but 2 predictions"),
        ([], [], "no utterances"),
        (["ang"], ["joy"], "joy"),
        (["joy"], ["ang"], "joy"),
    ],
)
def test_refuses(labels, predictions, message):
    """Length mismatch, nothing at all, unknown words."""
    with pytest.raises(ValueError, match=message):
        classification_metrics(labels, predictions, CLASSES)


def test_table_is_aligned():
    """Every line has the same width, and values are in per cent."""
    found = classification_metrics(["ang"] * 3, ["ang", "ang", "sad"], CLASSES)
    table = metrics_table({"fold 1": found, "mean of all": found})
    header, *lines = table.splitlines()
    assert len(lines) == 2
    assert {len(line) for line in lines} == {len(header)}
    assert lines[0].split() == ["fold", "1", "3"] + ["66.67"] * 2 + [
        "80.00",
        "80.00",
    ]
    assert lines[1].startswith("mean of all  3")


def test_mean_and_std():
    """The sample deviation divides by n - 1."""
    assert mean_and_std([2, 4, 4, 4, 5, 5, 7, 9]) == pytest.approx(
        (5, (32 / 7) ** 0.5)
    )
    assert mean_and_std([0.7]) == (0.7, 0.0)
    with pytest.raises(ValueError):
        mean_and_std([])


def made_up(n, speakers, seed):
    """Random labels, predictions and speakers that differ in skill."""
    draw = random.Random(seed)
    names = [f"s{i}" for i in range(speakers)]
    skill = {name: draw.random() for name in names}
    who = names + draw.choices(names, k=n - speakers)
    labels = draw.choices(CLASSES, weights=[5, 1, 2, 3], k=n)
    predictions = [
        label if draw.random() < skill[name] else draw.choice(CLASSES)
        for label, name in zip(labels, who)
    ]
    return labels, predictions, who


def loop_intervals(groups, resamples, seed):
    """Bootstraps lists of (label, prediction) pairs, one a unit, by loops."""
    rng = np.random.default_rng(seed)
    found = {key: [] for key in KEYS}
    for _ in range(resamples):
        pairs = [
            pair
            for unit in rng.integers(len(groups), size=len(groups))
            for pair in groups[unit]
        ]
        metrics = by_loops(*zip(*pairs), CLASSES)
        for key in KEYS:
            found[key].append(metrics[key])
    return {key: np.quantile(found[key], [0.025, 0.975]) for key in KEYS}


@pytest.mark.parametrize("seed", range(20))
def test_scores_of_confusion_equal_those_of_labels(seed):
    """A stack of matrices, where classes may be absent or not predicted."""
    draw = random.Random(seed)
    expected = []
    for _ in range(6):
        n = draw.randint(1, 40)
        labels = draw.choices(CLASSES[: draw.randint(1, 4)], k=n)
        predictions = draw.choices(CLASSES[draw.randint(0, 3) :], k=n)
        expected.append(classification_metrics(labels, predictions, CLASSES))
    stack = np.reshape([one["confusion"] for one in expected], (2, 3, 4, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = scores_of_confusion(stack)
        alone = scores_of_confusion(expected[0]["confusion"])
    assert list(found) == [*KEYS, "recall"]
    for key in KEYS:
        assert found[key].shape == (2, 3)
        assert found[key].ravel() == pytest.approx(
            [one[key] for one in expected]
        )
        assert float(alone[key]) == pytest.approx(expected[0][key])
    recall = [
        [np.nan if value is None else value for value in one["recall"].values()]
        for one in expected
    ]
    np.testing.assert_allclose(found["recall"].reshape(6, 4), recall)


def test_scores_of_nothing_are_nan():
    """Without a warning, and beside a matrix that has scores."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = scores_of_confusion([np.zeros((2, 2)), [[0, 1], [0, 3]]])
    for key in KEYS:
        assert np.isnan(found[key]).tolist() == [True, False]
    assert np.isnan(found["recall"]).tolist() == [[True, True], [False, False]]


def test_confusion_by_speaker_equals_scikit_learn():
    """Each speaker's utterances alone; speakers are sorted."""
    labels, predictions, who = made_up(80, 5, seed=1)
    found = confusion_by_speaker(labels, predictions, CLASSES, who)
    assert list(found) == sorted(set(who))
    for name, matrix in found.items():
        own = [i for i in range(80) if who[i] == name]
        assert (
            matrix
            == confusion_matrix(
                [labels[i] for i in own],
                [predictions[i] for i in own],
                labels=CLASSES,
            ).tolist()
        )
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(
    "labels, predictions, speakers, message",
    [
        (["ang"], ["ang", "sad"], ["a"], "1 labels, but 2 predictions"),
        (["ang"], ["ang"], ["a", "b"], "1 labels, but 2 speakers"),
        ([], [], [], "no utterances"),
        (["ang"], ["joy"], ["a"], "joy"),
    ],
)
def test_confusion_by_speaker_refuses(labels, predictions, speakers, message):
    """As the metrics do."""
    with pytest.raises(ValueError, match=message):
        confusion_by_speaker(labels, predictions, CLASSES, speakers)


@pytest.mark.parametrize("over", ["speakers", "utterances"])
def test_intervals_equal_a_bootstrap_by_loops(over):
    """Ends differ by the noise of the draws alone."""
    labels, predictions, who = made_up(120, 8, seed=2)
    pairs = list(zip(labels, predictions))
    if over == "speakers":
        groups = [
            [pair for pair, one in zip(pairs, who) if one == name]
            for name in sorted(set(who))
        ]
        found = interval_report(labels, predictions, CLASSES, who)
    else:
        groups = [[pair] for pair in pairs]
        found = interval_report(labels, predictions, CLASSES, None)
    assert list(found) == ["level", "over", "units", "resamples", *KEYS]
    assert found["level"] == 0.95
    assert found["over"] == over
    assert found["units"] == len(groups)
    assert found["resamples"] == 2000
    expected = loop_intervals(groups, 4000, seed=5)
    for key in KEYS:
        low, high = found[key]
        width = expected[key][1] - expected[key][0]
        assert low < high
        assert [low, high] == pytest.approx(expected[key], abs=0.07 * width)
    assert json.loads(json.dumps(found)) == found


def test_the_level_and_the_seed_count():
    """80 % is what lies between the tenths of 20000 draws by hand."""
    confusions = [
        [[9, 1], [4, 6]],
        [[2, 8], [1, 9]],
        [[7, 0], [3, 0]],
        [[5, 5], [5, 5]],
    ]
    rng = np.random.default_rng(9)
    sums = np.array(confusions)[rng.integers(4, size=(20000, 4))].sum(axis=1)
    wa = np.trace(sums, axis1=1, axis2=2) / sums.sum(axis=(1, 2))
    found = bootstrap_intervals(confusions, level=0.8, resamples=20000)
    assert found["WA"] == pytest.approx(
        np.quantile(wa, [0.1, 0.9]).tolist(), abs=0.01
    )
    many = [
        bootstrap_intervals(confusions, resamples=50, seed=s) for s in (0, 1)
    ]
    assert many[0] != many[1]
    assert many[0] == bootstrap_intervals(confusions, resamples=50, seed=0)
    assert many[0] == bootstrap_intervals(confusions[::-1], resamples=50)


def test_speakers_that_are_all_right_or_all_wrong():
    """Their utterances are not independent: the interval is far wider."""
    who = [f"s{i // 20}" for i in range(200)]
    labels = CLASSES * 50
    predictions = [
        label if i // 20 % 2 else CLASSES[CLASSES.index(label) - 1]
        for i, label in enumerate(labels)
    ]
    speakers = interval_report(labels, predictions, CLASSES, who)
    alone = interval_report(labels, predictions, CLASSES, None)
    assert (speakers["over"], alone["over"]) == ("speakers", "utterances")
    # The quantiles of a binomial of 10 (of 200) with 0.5.
    assert speakers["WA"] == pytest.approx([0.2, 0.8])
    assert alone["WA"] == pytest.approx([0.43, 0.57], abs=0.011)


def test_order_does_not_matter():
    """Shuffled utterances give the very same intervals."""
    labels, predictions, who = made_up(90, 6, seed=3)
    order = list(range(90))
    random.Random(4).shuffle(order)
    shuffled = [[x[i] for i in order] for x in (labels, predictions, who)]
    assert interval_report(labels, predictions, CLASSES, who) == (
        interval_report(*shuffled[:2], CLASSES, shuffled[2])
    )
    assert interval_report(labels, predictions, CLASSES, None) == (
        interval_report(*shuffled[:2], CLASSES, None)
    )


@pytest.mark.parametrize(
    "speakers", [None, ["a"] * 4, ["a", "b", None, "b"], ["a", "b", "", "b"]]
)
def test_utterances_stand_in_for_speakers(speakers):
    """Where there are none, or one, or some utterance has none."""
    found = interval_report(CLASSES, ["ang"] * 4, CLASSES, speakers)
    assert (found["over"], found["units"]) == ("utterances", 4)


def test_too_few_for_an_interval():
    """One utterance has none, one speaker neither."""
    assert interval_report([], [], CLASSES, None) is None
    assert interval_report(["ang"], ["ang"], CLASSES, ["a"]) is None
    with pytest.raises(ValueError, match="two units or more, not 1"):
        bootstrap_intervals([[[1, 0], [0, 1]]])


def test_a_large_corpus_needs_little_memory():
    """Ten thousand utterances of a thousand speakers, in bounded batches."""
    labels, predictions, who = made_up(10000, 1000, seed=6)
    for speakers in (who, None):
        tracemalloc.start()
        found = interval_report(labels, predictions, CLASSES, speakers)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert found["WA"][0] < found["WA"][1]
        assert peak < 150e6
