"""The picture of the language classifier shows the right numbers."""

import math
import os
import warnings

import numpy as np
import pytest
from matplotlib.colors import to_hex

from speechbrain_ser.figures.adversary import plot_adversary
from tests.figures.helpers import (
    check_legends,
    check_picture,
    check_repeats,
    check_words,
    drawn,
    texts,
)

BLUE, ORANGE, GREEN, VERMILION = "#0072b2", "#e69f00", "#009e73", "#d55e00"
GREY, RED = "#bbbbbb", "#cc3311"


def curves(epochs, *without):
    """Makes up rows that lack some values."""
    rows = [
        {
            "epoch": epoch,
            "domain_loss": 0.7 - 0.3 / epoch,
            "domain_UA": 0.55 + 0.3 / epoch,
            "valid_UA": 0.7 - 0.1 / epoch,
        }
        for epoch in range(1, epochs + 1)
    ]
    return [
        {key: value for key, value in row.items() if key not in without}
        for row in rows
    ]


def draw_curves(path, rows, marks=(), title="DANN"):
    """Draws rows with a title."""
    return plot_adversary(path, rows, title, marks)


PICTURES = {
    "curves": lambda path: draw_curves(path, curves(50), [(31, "selected")]),
    "one epoch": lambda path: draw_curves(path, curves(1), iter([(1, "best")])),
    "two epochs": lambda path: draw_curves(path, curves(2), [(2, "selected")]),
    "long": lambda path: draw_curves(
        path, curves(300), [(300, "selected")], r"$\no{$"
    ),
    "no language classifier": lambda path: draw_curves(
        path, curves(9, "domain_loss", "domain_UA"), [(1, "selected")]
    ),
    "no valid part": lambda path: draw_curves(
        path, curves(9, "domain_UA", "valid_UA")
    ),
}


@pytest.mark.parametrize("name", PICTURES)
def test_picture(name):
    """It shows something, texts touch nothing, legends cover nothing."""
    figure = check_picture(PICTURES[name], (990, 1010), 570)
    check_words(figure)
    check_legends(figure)


def test_a_second_picture_is_the_same():
    """Nothing is left over from the first."""
    check_repeats(PICTURES["two epochs"])


def lines(axes):
    """Gives the lines of the axes by name."""
    return {line.get_label(): line for line in axes.lines}


def test_curves_by_hand():
    """Each value on its axis in its colour, with the two levels of chance."""
    rows = curves(4)
    rows[1]["domain_loss"] = None
    rows[2]["valid_UA"] = math.nan
    rows[0]["domain_loss"] = math.inf
    del rows[3]["domain_UA"]
    figure = drawn(lambda path: draw_curves(path, rows, [(3, "selected")]))
    left, right = figure.axes
    nan = math.nan
    for axes, name, expected, colour, marker in (
        (left, "domain loss", [nan, nan, 0.6, 0.625], BLUE, "o"),
        (right, "domain UAR", [85, 70, 65, nan], GREEN, "s"),
        (right, "emotion UAR, development", [60, 65, nan, 67.5], RED, "^"),
    ):
        line = lines(axes)[name]
        assert line.get_xdata().tolist() == [1, 2, 3, 4]
        np.testing.assert_allclose(line.get_ydata(), expected)
        assert to_hex(line.get_color()) == colour
        assert line.get_marker() == marker
    for axes, name, level in (
        (left, "chance, log 2", -0.5 * math.log(0.25)),
        (right, "chance, 50 %", 50),
    ):
        line = lines(axes)[name]
        assert list(line.get_ydata()) == pytest.approx([level, level])
        assert list(line.get_xdata()) == [0, 1]  # all of the width
        assert line.get_linestyle() == "--"
        low, high = axes.get_ylim()
        assert low < level < high
    assert len(right.lines) == 3
    assert right.yaxis.get_ticks_position() == "right"
    assert right.yaxis.get_label_position() == "right"
    assert (left.get_xlabel(), left.get_ylabel()) == ("epoch", "domain loss")
    assert right.get_ylabel() == "UAR (%)"
    assert [text.get_text() for text in left.texts] == ["selected"]
    assert left.lines[-1].get_xdata()[0] == 3
    assert texts(figure.legends[0].get_texts()) == [
        *("domain loss", "chance, log 2", "domain UAR"),
        *("emotion UAR, development", "chance, 50 %"),
    ]


@pytest.mark.parametrize(
    ("without", "shown", "entries"),
    [
        (["domain_loss"], (False, True), ["domain UAR", "emotion UAR"]),
        (["valid_UA"], (True, True), ["domain loss", "domain UAR"]),
        (["domain_UA", "valid_UA"], (True, False), ["domain loss"]),
        (["domain_loss", "domain_UA", "valid_UA"], (False, False), []),
    ],
)
def test_no_value_no_line(without, shown, entries):
    """Nor an axis or a level of chance with nothing to compare."""
    figure = drawn(lambda path: draw_curves(path, curves(5, *without)))
    left, right = figure.axes
    assert (left.yaxis.get_visible(), right.yaxis.get_visible()) == shown
    assert ("chance, log 2" in lines(left)) == shown[0]
    assert ("chance, 50 %" in lines(right)) == shown[1]
    names = [
        name for legend in figure.legends for name in texts(legend.get_texts())
    ]
    assert [
        name.split(",")[0] for name in names if not name.startswith("chance")
    ] == entries


def test_no_epochs_make_an_empty_picture(tmp_path):
    """A run that ended before its first epoch does not fail here."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert draw_curves(tmp_path / "picture.png", [])
    assert os.listdir(tmp_path) == ["picture.png"]


def test_a_long_run_has_markers_only_between_gaps():
    """Values every fifth epoch are seen although no line joins them."""
    rows = curves(300)
    for row in rows:
        if row["epoch"] % 5:
            row["valid_UA"] = None
    figure = drawn(lambda path: draw_curves(path, rows))
    left, right = (lines(axes) for axes in figure.axes)
    assert left["domain loss"].get_markevery() == []
    assert right["domain UAR"].get_markevery() == []
    assert right["emotion UAR, development"].get_markevery() == list(
        range(4, 300, 5)
    )
    figure = drawn(PICTURES["curves"])
    assert lines(figure.axes[0])["domain loss"].get_markevery() is None
