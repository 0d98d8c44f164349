"""Calibration: by hand, by plain loops, and on drawn labels."""

import math

import numpy as np
import pytest

from speechbrain_ser.evaluation.calibration import (
    BINS,
    bin_of,
    calibration,
    reliability,
)
from tests.utils.test_temperature import made


def by_loops(confidences, right, bins):
    """Eq. 3, a bin at a time."""
    total = 0.0
    for b in range(bins):
        low, high = b / bins, (b + 1) / bins
        inside = [
            (c, r)
            for c, r in zip(confidences, right)
            if low < c <= high or (b == 0 and c == 0)
        ]
        if inside:
            accuracy = sum(r for _, r in inside) / len(inside)
            confidence = sum(c for c, _ in inside) / len(inside)
            share = len(inside) / len(confidences)
            total += share * abs(accuracy - confidence)
    return total


def test_all_four_against_plain_loops():
    """Of drawn posteriors, none of them at an end of a bin."""
    held, labels = made(120, sharpness=2.0)
    found = calibration(held, labels)
    rows = held.tolist()
    right = [row.index(max(row)) == label for row, label in zip(rows, labels)]
    assert found["ECE"] == pytest.approx(by_loops(map_max(rows), right, BINS))
    of_classes = [
        by_loops([row[c] for row in rows], [x == c for x in labels], BINS)
        for c in range(4)
    ]
    assert found["classwise_ECE"] == pytest.approx(sum(of_classes) / 4)
    losses = [-math.log(row[label]) for row, label in zip(rows, labels)]
    assert found["NLL"] == pytest.approx(sum(losses) / len(losses))
    squares = [
        sum((p - (c == label)) ** 2 for c, p in enumerate(row))
        for row, label in zip(rows, labels)
    ]
    assert found["Brier"] == pytest.approx(sum(squares) / len(squares))


def map_max(rows):
    """The largest of each row."""
    return [max(row) for row in rows]


def test_by_hand():
    """Four at 0.9, three of them right; six at 0.6, three right."""
    held = [[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 6
    labels = [0, 0, 0, 1] + [0, 0, 0, 1, 1, 1]
    found = calibration(held, labels)
    assert found["ECE"] == pytest.approx(0.4 * 0.15 + 0.6 * 0.1)
    rows = reliability(held, labels)
    assert [row["n"] for row in rows] == [6, 4]
    assert [row["accuracy"] for row in rows] == [0.5, 0.75]
    assert [row["confidence"] for row in rows] == pytest.approx([0.6, 0.9])
    assert rows[0]["low"] < 0.6 <= rows[0]["high"]


def test_ends():
    """Sure and right: nothing is wrong. Sure and wrong: all is."""
    sure = [[1.0, 0.0], [0.0, 1.0]]
    found = calibration(sure, [0, 1])
    assert [round(value, 9) for value in found.values()] == [0, 0, 0, 0]
    found = calibration(sure, [1, 0])
    assert found["ECE"] == 1 and found["Brier"] == 2
    assert found["NLL"] == pytest.approx(126 * math.log(2))  # float32's least
    assert bin_of([0, 1e-9, 1 / 15, 1]).tolist() == [0, 0, 0, 14]


def test_labels_drawn_from_posteriors_are_calibrated():
    """Many of them: nearly no error; sharpened ones are too sure."""
    held, labels = made(20000)
    assert calibration(held, labels)["ECE"] < 0.01
    sharp, labels = made(20000, sharpness=3.0)
    found = calibration(sharp, labels)
    gap = sharp.max(axis=1).mean() - (sharp.argmax(axis=1) == labels).mean()
    assert found["ECE"] == pytest.approx(gap, abs=0.01) and gap > 0.1


def test_few_utterances_have_a_larger_error():
    """As the docstring says: noise in the bins."""
    few = [calibration(*made(30, seed=seed))["ECE"] for seed in range(20)]
    assert np.mean(few) > 0.08


def test_order_does_not_matter():
    """Of utterances and of classes."""
    held, labels = made(60)
    plain = calibration(held, labels)
    rows, columns = np.arange(60)[::-1], [2, 0, 3, 1]
    moved = calibration(
        held[rows][:, columns], [columns.index(labels[i]) for i in rows]
    )
    assert moved == pytest.approx(plain)


def test_a_curve_gives_the_error():
    """Its gaps, by how many are in them."""
    held, labels = made(200, sharpness=2.0)
    rows = reliability(held, labels)
    assert sum(row["n"] for row in rows) == 200
    total = sum(
        row["n"] * abs(row["accuracy"] - row["confidence"]) for row in rows
    )
    assert total / 200 == pytest.approx(calibration(held, labels)["ECE"])
    assert rows == sorted(rows, key=lambda row: row["low"])
