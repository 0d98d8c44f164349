"""The picture of the speaker classifier shows the right numbers."""

import math
import os

import numpy as np
import pytest
from matplotlib.colors import to_hex

from speechbrain_ser.figures.speaker_entropy import plot_speaker_entropy
from tests.figures.helpers import (
    check_legends,
    check_picture,
    check_repeats,
    check_words,
    drawn,
)

BLUE, ORANGE, GREEN, VERMILION = "#0072b2", "#e69f00", "#009e73", "#d55e00"


def curves(epochs, *without):
    """Makes up rows that lack some values."""
    rows = [
        {
            "epoch": epoch,
            "speaker_entropy": 2 - 1 / epoch,
            "speaker_accuracy": 0.2 + 0.6 / epoch,
        }
        for epoch in range(1, epochs + 1)
    ]
    return [
        {key: value for key, value in row.items() if key not in without}
        for row in rows
    ]


def draw_curves(path, rows, marks=(), title="MEnAN", n_speakers=8):
    """Draws rows with a title."""
    return plot_speaker_entropy(path, rows, n_speakers, title, marks)


PICTURES = {
    "curves": lambda path: draw_curves(path, curves(50), [(31, "selected")]),
    "one epoch": lambda path: draw_curves(path, curves(1), iter([(1, "best")])),
    "two epochs": lambda path: draw_curves(path, curves(2), [(2, "selected")]),
    "long": lambda path: draw_curves(
        path, curves(300), [(300, "selected"), (1, "first")], r"$\no{$", 1000
    ),
    "no accuracy": lambda path: draw_curves(
        path, curves(9, "speaker_accuracy"), [(1, "selected")], n_speakers=2
    ),
    "no speaker classifier": lambda path: draw_curves(
        path, curves(9, "speaker_accuracy", "speaker_entropy"), [(5, "best")]
    ),
    "no epochs": lambda path: draw_curves(path, []),
}


@pytest.mark.parametrize("name", PICTURES)
def test_picture(name):
    """It shows something, texts touch nothing, legends cover nothing."""
    figure = check_picture(PICTURES[name], (990, 1010), 600)
    check_words(figure)
    check_legends(figure)


def test_a_second_picture_is_the_same():
    """Nothing is left over from the first."""
    check_repeats(PICTURES["two epochs"])


def test_curves_by_hand():
    """Each value in its panel, with the highest entropy and chance."""
    rows = curves(4)
    rows[1]["speaker_entropy"] = None
    rows[2]["speaker_accuracy"] = math.nan
    del rows[3]["speaker_accuracy"]
    figure = drawn(lambda path: draw_curves(path, rows, [(3, "selected")]))
    upper, lower = figure.axes
    nan = math.nan
    for axes, expected, level, text in (
        (
            upper,
            [1, nan, 2 - 1 / 3, 1.75],
            2.0794415,
            "log(8) = 2.08,\nthe maximum",
        ),
        (lower, [80, 50, nan, nan], 12.5, "chance,\n1/8 = 12.5 %"),
    ):
        curve, line, mark = axes.lines
        assert list(curve.get_xdata()) == [1, 2, 3, 4]
        np.testing.assert_allclose(curve.get_ydata(), expected)
        assert to_hex(curve.get_color()) == BLUE
        assert list(line.get_ydata()) == pytest.approx([level, level])
        assert list(line.get_xdata()) == [0, 1]  # all of the width
        assert line.get_linestyle() == "--"
        assert list(mark.get_xdata()) == [3, 3]
        label = axes.texts[0]
        assert label.get_text() == text
        box = label.get_window_extent()
        height = axes.transData.transform([0, level])[1]
        assert (box.y0 + box.y1) / 2 == pytest.approx(height, abs=4)
        assert box.x0 > axes.get_window_extent().x1
        low, high = axes.get_ylim()
        assert low == 0
        assert high > max(level, np.nanmax(expected))
    names = [text.get_text() for text in (*upper.texts[1:], *lower.texts[1:])]
    assert names == ["selected", ""]
    assert upper.get_ylabel() == "entropy (nats)"
    assert lower.get_ylabel() == "accuracy (%)"
    assert upper.get_xlabel() == ""
    assert lower.get_xlabel() == "epoch (over the batches that train)"
    assert upper.get_xlim() == lower.get_xlim() == (0.5, 4.5)
    assert figure._suptitle.get_text() == "MEnAN"


def test_the_level_of_other_numbers_of_speakers():
    """The texts go with them, and the axes hold line and curve."""
    figure = drawn(
        lambda path: draw_curves(
            path,
            [{"epoch": 1, "speaker_entropy": 0, "speaker_accuracy": 1}],
            n_speakers=3,
        ),
    )
    upper, lower = figure.axes
    assert upper.texts[0].get_text() == "log(3) = 1.10,\nthe maximum"
    assert lower.texts[0].get_text() == "chance,\n1/3 = 33.3 %"
    assert 1.15 < upper.get_ylim()[1] < 1.3
    assert 100 < lower.get_ylim()[1] < 110
    # A classifier of nothing but errors does not hide chance.
    figure = drawn(
        lambda path: draw_curves(
            path, [{"epoch": 1, "speaker_accuracy": 0}], n_speakers=50
        ),
    )
    assert 2 < figure.axes[1].get_ylim()[1] < 3


def test_one_epoch_is_seen():
    """As a marker, inside the axes; so are marks at other epochs."""
    figure = drawn(PICTURES["one epoch"])
    for axes in figure.axes:
        curve = axes.lines[0]
        assert (curve.get_marker(), curve.get_markevery()) == ("o", None)
        assert axes.get_xlim() == (0.5, 1.5)
    figure = drawn(
        lambda path: draw_curves(path, curves(4), iter([(7, "end")])),
    )
    assert [len(axes.lines) for axes in figure.axes] == [3, 3]
    assert figure.axes[0].get_xlim() == (0.5, 7.5)


def test_a_long_run_has_markers_only_between_gaps():
    """Values every fifth epoch are seen although no line joins them."""
    rows = curves(300)
    for row in rows:
        if row["epoch"] % 5:
            row["speaker_accuracy"] = None
    figure = drawn(lambda path: draw_curves(path, rows))
    entropy, accuracy = (axes.lines[0] for axes in figure.axes)
    assert entropy.get_markevery() == []
    assert accuracy.get_markevery() == list(range(4, 300, 5))
    figure = drawn(PICTURES["curves"])
    assert figure.axes[0].lines[0].get_markevery() is None
    assert figure.axes[0].lines[0].get_linewidth() > entropy.get_linewidth()


def test_no_value_is_said():
    """In the panel that lacks them, and only there."""
    without = {"speaker_accuracy": [1], "speaker_entropy": [0]}
    for key, panels in without.items():
        figure = drawn(
            lambda path, key=key: draw_curves(path, curves(5, key)),
        )
        assert [
            place
            for place, axes in enumerate(figure.axes)
            if "no values" in [text.get_text() for text in axes.texts]
        ] == panels
        assert [len(axes.lines) for axes in figure.axes] == [
            1 if place in panels else 2 for place in (0, 1)
        ]
        for axes in figure.axes:
            assert axes.get_xlim() == (0.5, 5.5)


def test_one_speaker_is_refused(tmp_path):
    """Nothing is written, and nothing old is lost."""
    path = tmp_path / "picture.png"
    path.write_text("old")
    with pytest.raises(ValueError, match="at least two speakers, not 1"):
        draw_curves(path, curves(3), n_speakers=1)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["picture.png"]
