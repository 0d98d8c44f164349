"""The picture of coverage: the surest ones first, the mark where it is asked."""

import pytest

from speechbrain_ser.figures.coverage import plot_coverage
from tests.figures.helpers import (
    check_legends,
    check_picture,
    check_words,
    drawn,
    legend_texts,
)

CURVE = {
    "confidence": [0.99, 0.9, 0.7, 0.4],
    "n": [1, 10, 15, 20],
    "coverage": [0.05, 0.5, 0.75, 1.0],
    "accuracy": [0.0, 0.9, 0.8, 0.7],
}
FEW = {name: values[:1] for name, values in CURVE.items()} | {"coverage": [1]}
PICTURES = {
    "marked": lambda path: plot_coverage(path, CURVE, "test", 0.65),
    "none sure": lambda path: plot_coverage(path, CURVE, "test", 0.995),
    "not asked": lambda path: plot_coverage(path, CURVE, "test"),
    "few": lambda path: plot_coverage(path, FEW, "test", 0.5),
}


@pytest.mark.parametrize("name", PICTURES)
def test_picture(name):
    """Of its size; all words fit."""
    figure = check_picture(PICTURES[name], (700, 1000), 400)
    check_words(figure)
    check_legends(figure)


def test_what_is_drawn():
    """From ten utterances on; the mark is the least sure one that counts."""
    axes = drawn(PICTURES["marked"]).axes[0]
    curve, level, mark = axes.lines
    assert curve.get_xdata().tolist() == pytest.approx([50, 75, 100])
    assert curve.get_ydata().tolist() == pytest.approx([90, 80, 70])
    assert level.get_ydata()[0] == pytest.approx(70)
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (75, 80)
    assert legend_texts(drawn(PICTURES["marked"]))[0][-1] == (
        "confidence of 0.65 or more"
    )


@pytest.mark.parametrize("name", ["none sure", "not asked"])
def test_nothing_is_marked(name):
    """Where nothing is sure, or nobody asked."""
    assert len(drawn(PICTURES[name]).axes[0].lines) == 2
