"""The picture of reliability: shares in their bins, points on their confidence."""

import numpy as np
import pytest

from speechbrain_ser.figures.reliability import plot_reliability, wilson
from tests.figures.helpers import (
    check_legends,
    check_picture,
    check_words,
    drawn,
    legend_texts,
    texts,
)

ROWS = [
    {"low": 0.4, "high": 0.6, "n": 8, "confidence": 0.52, "accuracy": 0.25},
    {"low": 0.8, "high": 1.0, "n": 30, "confidence": 0.97, "accuracy": 0.9},
]
TWO = {"as it is: error 9.1 %": ROWS, "temperature 2.17: error 2.1 %": ROWS[:1]}
PICTURES = {
    "two": lambda path: plot_reliability(path, TWO, "ipr on $2"),
    "one": lambda path: plot_reliability(
        path, {"as it is: error 100.0 %": ROWS}, "a long title " * 8
    ),
}


@pytest.mark.parametrize("name", PICTURES)
def test_picture(name):
    """Of its size; all words fit."""
    figure = check_picture(PICTURES[name], (700, 2000), 500)
    check_words(figure)
    check_legends(figure)
    assert len(legend_texts(figure)[0]) == 3


def test_shares_and_counts_stand_in_their_bins():
    """In per cent."""
    figure = drawn(PICTURES["two"])
    upper, other, lower, _ = figure.axes
    bars = [(b.get_x(), b.get_width(), b.get_height()) for b in upper.patches]
    assert bars == [
        pytest.approx((40, 20, 25)),
        pytest.approx((80, 20, 90)),
    ]
    counts = [bar.get_height() for bar in lower.patches]
    assert counts == [8, 30]
    assert len(other.patches) == 1
    diagonal, points = upper.lines[:2]
    assert diagonal.get_xdata()[1] == diagonal.get_ydata()[1] == 100
    assert points.get_xdata().tolist() == pytest.approx([52, 97])
    assert points.get_ydata().tolist() == pytest.approx([25, 90])
    assert upper.get_xlim() == (0, 100)
    assert texts(axes.title for axes in (upper, other)) == list(TWO)


def test_intervals_are_wilsons():
    """The ends are where the score test is at its limit."""
    for share, n in ((0.25, 8), (0.9, 30), (1.0, 3), (0.0, 3)):
        low, high = wilson(share, n)
        assert 0 <= low <= share <= high <= 1
        for end in (low, high):
            if end != share:
                z = abs(share - end) / np.sqrt(end * (1 - end) / n)
                assert z == pytest.approx(1.96)
    (bars,) = [
        c for c in drawn(PICTURES["one"]).axes[0].collections if c.get_visible()
    ]
    ends = [segment[:, 1].tolist() for segment in bars.get_segments()]
    expected = [wilson(row["accuracy"], row["n"]) for row in ROWS]
    assert np.allclose(ends, [[100 * a, 100 * b] for a, b in expected])
