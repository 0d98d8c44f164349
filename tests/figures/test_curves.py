"""The picture of a training skips what is missing."""

import pytest

from speechbrain_ser.figures.curves import plot_curves
from tests.figures.helpers import check_picture, drawn

EPOCHS = list(range(1, 11))
MARKS = [(4, "end of warm-up"), (5, "best epoch")]


def curve_rows(epochs):
    """Makes up rows of which some lack a value."""
    return [
        {"epoch": epoch, "loss": 1 / epoch, "UA": None if epoch % 2 else 0.6}
        for epoch in epochs
    ]


PANELS = [("loss", {"loss": "train"}), ("UA", {"UA": "valid", "x": "no"})]
PICTURES = {
    "curves": lambda path: plot_curves(
        path, curve_rows(EPOCHS), PANELS, "Training", MARKS
    ),
    "curves, one epoch": lambda path: plot_curves(
        path, curve_rows([1]), PANELS, "Training", iter(MARKS[:1])
    ),
}


@pytest.mark.parametrize("name", PICTURES)
def test_picture(name):
    """Of its size, and it shows something."""
    check_picture(PICTURES[name], (700, 2000), 500)


def test_curves_skip_what_is_missing():
    """The line joins the known values; a curve with none has no entry."""
    upper, lower = drawn(PICTURES["curves"]).axes
    assert upper.lines[0].get_xdata().tolist() == EPOCHS
    assert lower.lines[0].get_xdata().tolist() == [2, 4, 6, 8, 10]
    assert lower.get_legend_handles_labels()[1] == ["valid"]
    assert lower.get_xlabel() == "epoch"
    assert [text.get_text() for text in upper.texts] == [
        *("end of warm-up", "best epoch")
    ]
