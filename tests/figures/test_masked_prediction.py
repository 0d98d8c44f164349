"""The picture of masked prediction has the right numbers."""

import pytest
from matplotlib.colors import to_rgb

from speechbrain_ser.figures.masked_prediction import plot_masked_accuracy
from tests.figures.helpers import check_picture, check_words, drawn, texts

SCALES = (16, 64, 512, 2048, 4096)


def accuracy_rows(sizes, epochs=20):
    """Makes up a training in which every number is another."""
    return [
        {"epoch": epoch}
        | {
            f"{part}masked_accuracy_{size}": low + epoch / 50 / (place + 1)
            for place, size in enumerate(sizes)
            for part, low in (("train_", 0.1), ("valid_", 0.05))
        }
        for epoch in range(1, epochs + 1)
    ]


def draw_accuracy(path, sizes, rows=None, title="Stage 2"):
    """Draws a training of these scales."""
    return plot_masked_accuracy(
        path,
        accuracy_rows(sizes) if rows is None else rows,
        sizes,
        {
            "train": {size: 1.5 / size for size in sizes},
            "valid": {size: 1.9 / size for size in sizes},
        },
        title,
    )


PICTURES = {
    "accuracy": lambda path: draw_accuracy(path, (64, 512, 4096)),
    "accuracy, one scale": lambda path: draw_accuracy(path, (64,)),
    "accuracy, five scales": lambda path: draw_accuracy(path, SCALES),
    "accuracy, one epoch": lambda path: draw_accuracy(
        path, (64,), accuracy_rows((64,), 1)
    ),
    "accuracy, no epoch": lambda path: draw_accuracy(path, (64,), []),
}


@pytest.mark.parametrize("name", PICTURES)
def test_picture(name):
    """It shows something; no two texts overlap, and all are whole."""
    figure = check_picture(PICTURES[name], (990, 1010), 590, 20)
    check_words(figure)


def look(line):
    """Gives the colour, dashes and marker of a line."""
    return to_rgb(line.get_color()), line.get_linestyle(), line.get_marker()


def legend_looks(legend):
    """Gives for each name in a legend the colour, dashes and marker."""
    return {
        text.get_text(): look(handle)
        for text, handle in zip(legend.get_texts(), legend.legend_handles)
    }


def curves(figure, axes):
    """Gives the points of each line by its name in the legend."""
    (legend,) = figure.legends
    names = {look: name for name, look in legend_looks(legend).items()}
    assert len(names) == len(legend.get_texts())
    return {
        names[look(line)]: (list(line.get_xdata()), list(line.get_ydata()))
        for line in axes.lines
    }


def test_accuracy_by_hand():
    """Each curve and level, in per cent, in the panel of its scale."""
    sizes = (512, 64)
    rows = [
        {
            "epoch": 1,
            "train_masked_accuracy_64": 0.25,
            "train_masked_accuracy_512": 0.0625,
            "valid_masked_accuracy_64": 0.125,
        },
        {
            "epoch": 2,
            "train_masked_accuracy_64": 0.5,
            "train_masked_accuracy_512": None,
            "valid_masked_accuracy_64": None,
        },
        {
            "epoch": 4,
            "train_masked_accuracy_64": 0.75,
            "train_masked_accuracy_512": 0.1875,
            "valid_masked_accuracy_64": 0.375,
        },
    ]
    figure = drawn(
        lambda path: plot_masked_accuracy(
            path,
            rows,
            sizes,
            {
                "train": {64: 0.0625, 512: 0.03125},
                "valid": {64: 0.125, 512: 0.015625},
            },
            "Stage 2",
        ),
    )
    large, small = figure.axes
    assert curves(figure, small) == {
        "train": ([1, 2, 4], [25, 50, 75]),
        "valid": ([1, 4], [12.5, 37.5]),
        "most frequent label, train": ([0, 1], [6.25, 6.25]),
        "most frequent label, valid": ([0, 1], [12.5, 12.5]),
    }
    assert curves(figure, large) == {
        "train": ([1, 4], [6.25, 18.75]),
        "most frequent label, train": ([0, 1], [3.125, 3.125]),
        "most frequent label, valid": ([0, 1], [1.5625, 1.5625]),
    }
    assert [axes.get_title() for axes in figure.axes] == [
        "512 clusters",
        "64 clusters",
    ]
    for axes, top in ((large, 18.75), (small, 75)):
        assert axes.lines[-1].get_linestyle() == ":"
        low, high = axes.get_ylim()
        assert low == 0 and top < high < 1.3 * top
    assert texts([figure._supylabel]) == ["masked-prediction accuracy (%)"]
    assert small.get_xlabel() == "epoch"
    assert texts([figure._suptitle]) == ["Stage 2"]


def test_without_a_valid_part_the_legend_has_none():
    """Only what is drawn is named."""
    rows = [{"epoch": 1, "train_masked_accuracy_64": 0.5}]
    figure = drawn(
        lambda path: plot_masked_accuracy(
            path, rows, (64,), {"train": {64: 0.02}}, "Stage 2"
        )
    )
    (legend,) = figure.legends
    assert texts(legend.get_texts()) == ["train", "most frequent label, train"]


def test_training_is_not_compared_with_evaluation():
    """What dropout and other masks made of the train part is not drawn."""
    rows = [{"epoch": 1, "masked_accuracy_64": 0.25}]
    rows[0]["train_masked_accuracy_64"] = 0.5
    figure = drawn(lambda path: draw_accuracy(path, (64,), rows))
    assert curves(figure, figure.axes[0])["train"] == ([1], [50])
    assert "valid" not in curves(figure, figure.axes[0])


def test_curves_are_told_apart_with_and_without_colours():
    """Markers or dashes differ; a part's curve and level share its colour."""
    lines = drawn(PICTURES["accuracy, one scale"]).axes[0].lines
    assert len({look(line)[1:] for line in lines}) == 4
    assert len({look(line)[0] for line in lines}) == 2
