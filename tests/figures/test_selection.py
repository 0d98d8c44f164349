"""Pictures of kept prototypes show the right numbers."""

import os

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb

from speechbrain_ser.figures.selection import plot_importance, plot_selection
from tests.figures.helpers import check_picture, check_words, drawn, texts

SIZES = [512, 60, 200, 128]
SELECTED = [63.0, 61.0, 64.0, 62.0]
RANDOM = [62.0, 48.0, 59.0, 55.0]
HEAVY = np.exp(np.linspace(0, 8, 100))
PICTURES = {
    "importance": lambda path: plot_importance(
        path, [*HEAVY, 0, 0], [60, 20, 102], "Importance"
    ),
    "importance, flat": lambda path: plot_importance(
        path, np.ones(8), [3, 7], "Importance"
    ),
    "importance, none": lambda path: plot_importance(
        path, np.zeros(8), [3], "Importance"
    ),
    "importance, one": lambda path: plot_importance(
        path, [2.0], [], "Importance"
    ),
    "selection": lambda path: plot_selection(
        path, SIZES, SELECTED, RANDOM, 63.5, "UA (%)", "Selection"
    ),
    "selection, intervals": lambda path: plot_selection(
        *(path, SIZES, SELECTED, RANDOM, 63.5, "UA (%)", "Selection"),
        intervals={
            "selected": [(50, 70), (51, 71), None, (52, 72)],
            "random": [(40, 66), (41, 60), (30, 68), (45, 65)],
            "full": [(55, 70)],
        },
    ),
    "selection, flat": lambda path: plot_selection(
        path, SIZES, [50] * 4, [50] * 4, 50, "UA (%)", "Selection"
    ),
    "selection, one size": lambda path: plot_selection(
        path, [60], [50], [45], 52, "UA (%)", "Selection"
    ),
    "selection, crowded": lambda path: plot_selection(
        path, range(10, 300, 5), [50] * 58, [45] * 58, 52, "UA (%)", "Selection"
    ),
}


@pytest.mark.parametrize("name", PICTURES)
def test_picture(name):
    """It shows something; no two texts overlap, and all are whole."""
    figure = check_picture(PICTURES[name], (990, 1010), 590)
    check_words(figure)


def test_importance_by_hand():
    """Sorted, with the share that each cut keeps; zeros are counted."""
    figure = drawn(
        lambda path: plot_importance(
            path, [1.0, 0.0, 6.0, 3.0], [2, 1, 2], "Importance"
        ),
    )
    (axes,) = figure.axes
    for steps in axes.patches:
        values, edges, _ = steps.get_data()
        assert values.tolist() == [6, 3, 1, 0]
        assert edges.tolist() == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert [line.get_xdata()[0] for line in axes.lines] == [1.5, 2.5]
    assert texts(axes.texts) == ["1: 60 %", "2: 90 %"]
    assert axes.get_xlabel() == (
        "rank of the prototype (1 of 4 have importance 0)"
    )
    assert axes.get_yscale() == "linear"
    assert axes.get_ylim()[0] == 0


def test_importance_of_many_sizes_is_logarithmic():
    """From below the smallest positive value, but over six decades at most."""
    axes = drawn(PICTURES["importance"]).axes[0]
    assert axes.get_yscale() == "log"
    low, high = axes.get_ylim()
    assert 0.5 < low < 1
    assert np.exp(8) < high < 2 * np.exp(8)
    values = HEAVY[::-1]
    assert texts(axes.texts) == [
        f"20: {100 * sum(values[:20]) / sum(values):.0f} %",
        f"60: {100 * sum(values[:60]) / sum(values):.0f} %",
        "102: 100 %",
    ]
    figure = drawn(
        lambda path: plot_importance(
            path, [1.0, 1e-3, 1e-3, 1e-20], [1], "Importance"
        ),
    )
    assert figure.axes[0].get_ylim()[0] == pytest.approx(1e-6)


def test_no_importance_has_no_share():
    """Nothing is divided by nought."""
    axes = drawn(PICTURES["importance, none"]).axes[0]
    assert texts(axes.texts) == ["3: –"]
    assert axes.get_ylim() == (0, 1)


def test_selection_by_hand():
    """Two lines by rising size, and one for all prototypes."""
    figure = drawn(PICTURES["selection"])
    (axes,) = figure.axes
    selected, random, full = axes.lines
    for line, values in ((selected, [61, 62, 64, 63]), (random, None)):
        assert line.get_xdata().tolist() == [60, 128, 200, 512]
        assert line.get_ydata().tolist() == (values or [48, 55, 59, 62])
    assert list(full.get_ydata()) == [63.5, 63.5]
    assert axes.get_xscale() == "log"
    assert axes.get_xticks().tolist() == [60, 128, 200, 512]
    assert texts(axes.get_xticklabels()) == ["60", "128", "200", "512"]
    assert axes.get_ylabel() == "UA (%)"
    assert texts(figure.legends[0].get_texts()) == [
        *("most important (Fisher)", "random", "all, fresh probe")
    ]


def test_intervals_stand_at_their_size():
    """Of each size its own, beside each other; the whole axis is shown."""
    axes = drawn(PICTURES["selection, intervals"]).axes[0]
    assert axes.get_ylim() == (0, 100)
    found = {}
    for bar in axes.collections:
        ((place, low), (_, high)) = bar.get_segments()[0].tolist()
        found.setdefault(to_hex(bar.get_color()[0]), []).append(
            (round(place, 2), low, high)
        )
    selected, random = (to_hex(line.get_color()) for line in axes.lines[:2])
    assert found[selected] == [
        (59.4, 51, 71),
        (126.72, 52, 72),
        (506.88, 50, 70),
    ]
    assert [ends[1:] for ends in found[random]] == [
        *((41, 60), (45, 65), (30, 68), (40, 66))
    ]
    (band,) = axes.patches
    assert band.get_y() == 55 and band.get_height() == 15


def test_selection_is_told_apart_without_colours():
    """Dashes and markers differ, and each line is dark enough."""
    lines = drawn(PICTURES["selection"]).axes[0].lines
    assert len({line.get_linestyle() for line in lines}) == 3
    assert len({line.get_marker() for line in lines}) == 3
    for line in lines:
        assert np.dot(to_rgb(line.get_color()), [0.3, 0.59, 0.11]) < 0.6


def test_a_gap_in_a_selection():
    """None leaves a gap."""
    figure = drawn(
        lambda path: plot_selection(
            path, [1, 2, 3], [5, None, 7], [1, 2, 3], 8, "UA (%)", "Selection"
        ),
    )
    values = figure.axes[0].lines[0].get_ydata()
    assert np.isnan(values).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("importance", "kept"),
    [
        ([], []),
        ([1, -1], [1]),
        ([1, np.nan], [1]),
        ([1, np.inf], [1]),
        ([1, 2], [0]),
        ([1, 2], [3]),
    ],
)
def test_wrong_importance_is_refused(tmp_path, importance, kept):
    """A value that is no importance, or a cut that is no rank."""
    with pytest.raises(ValueError):
        plot_importance(tmp_path / "picture.png", importance, kept, "Wrong")
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("sizes", "selected", "random"),
    [([], [], []), ([1, 2], [1], [1, 2]), ([1, 2], [1, 2], [1])],
)
def test_wrong_selection_is_refused(tmp_path, sizes, selected, random):
    """Each size needs both results."""
    with pytest.raises(ValueError, match="sizes"):
        plot_selection(
            tmp_path / "picture.png", sizes, selected, random, 1, "UA", "Wrong"
        )
    assert not os.listdir(tmp_path)
