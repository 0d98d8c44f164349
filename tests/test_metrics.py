"""Metrics against computations by hand and by plain loops."""

import json
import random
import warnings

import pytest

from speechbrain_ser.metrics import (
    classification_metrics,
    mean_and_std,
    metrics_table,
)

CLASSES = ["ang", "hap", "sad", "neu"]


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
