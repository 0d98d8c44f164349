"""The picture of bars has the right numbers, and all words fit."""

import pytest

from speechbrain_ser.figures.bars import plot_bars
from speechbrain_ser.figures.confusion import plot_confusion
from tests.figures.helpers import check_picture, drawn, legend_texts

BAR = {
    "name": "IPR",
    "mean": 70.0,
    "interval": (66.0, 75.0),
    "values": [68.0, 69.0, 73.0],
    "paper": 73.8,
    "text": "70.0 ± 2.6",
}
EMPTY_BAR = {
    "name": "a name of $x$ that is much too long for one line of a picture",
    "mean": None,
    "interval": None,
    "values": [],
    "paper": None,
    "text": "no result",
}
PICTURES = {
    "bars": lambda path: plot_bars(
        path, [EMPTY_BAR, BAR], "UA (%)", "$UA$ of $2", "seed"
    ),
    "bars, many": lambda path: plot_bars(
        path, [BAR, EMPTY_BAR] * 15, "UA (%)", "UA"
    ),
    "bars, nothing to show": lambda path: plot_bars(
        path, [EMPTY_BAR], "UA (%)", "UA"
    ),
}


@pytest.mark.parametrize("name", PICTURES)
def test_picture(name):
    """Of its size, and it shows something."""
    check_picture(PICTURES[name], (700, 2000), 500)


def test_bars_start_at_nought():
    """Mean, interval, values and paper stand where they must."""
    figure = drawn(PICTURES["bars"])
    (axes,) = figure.axes
    (bar,) = axes.patches
    assert (bar.get_x(), bar.get_width()) == (0, 70.0)
    assert bar.get_y() + bar.get_height() / 2 == pytest.approx(1)
    assert axes.get_xlim()[0] == 0
    interval, values, paper = axes.collections
    (((low, _), (high, _)),) = interval.get_segments()
    assert (low, high) == pytest.approx((66.0, 75.0))
    assert values.get_offsets()[:, 0].tolist() == [68.0, 69.0, 73.0]
    assert paper.get_offsets()[:, 0].tolist() == [73.8]
    for points in (values, paper):
        assert all(0.62 < y < 1.38 for y in points.get_offsets()[:, 1])
    assert [text.get_text() for text in axes.texts] == [
        *("no result", "70.0 ± 2.6")
    ]
    assert legend_texts(figure) == [
        ["mean", "95 % interval", "one seed", "paper"]
    ]


def test_bars_below_nought():
    """A bar of a negative number ends at 0."""
    bar = BAR | {"mean": -2.0, "interval": None, "values": [], "paper": None}
    figure = drawn(lambda path: plot_bars(path, [bar], "gain", "gain"))
    low, high = figure.axes[0].get_xlim()
    assert low < -2
    assert high >= 0
    assert legend_texts(figure) == [["mean"]]


@pytest.mark.parametrize("name", ["bars", "bars, many"])
def test_all_words_of_bars_fit(name):
    """Long names break into lines; nothing is cut or covers another."""
    figure = drawn(PICTURES[name])
    figure.draw_without_rendering()
    (axes,) = figure.axes
    names = [label.get_window_extent() for label in axes.get_yticklabels()]
    behind = [text.get_window_extent() for text in axes.texts]
    for box in (*names, *behind, figure.legends[0].get_window_extent()):
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1
    for upper, lower in zip(names, names[1:]):
        assert upper.y0 >= lower.y1


def test_dollars_are_no_formula(tmp_path):
    """A name that would be a wrong formula is drawn as it stands."""
    wrong = r"$\nonsense{$"
    bar = BAR | {"name": wrong}
    plot_bars(tmp_path / "bars.png", [bar], wrong, wrong)
    assert (tmp_path / "bars.png").exists()
    with pytest.raises(ValueError):
        plot_confusion(tmp_path / "raw.png", [[1]], ["ang"], wrong)
