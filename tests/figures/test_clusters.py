"""The picture of clusters shows the right numbers in the right places."""

import os

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from speechbrain_ser.figures.clusters import plot_clusters
from tests.figures.helpers import check_picture, check_words, drawn, texts

SCALES = (16, 64, 512, 2048, 4096)


def information(scales, emotion=0.03):
    """Makes up what clusters say, more with every scale."""
    return {
        name: {
            scale: {"nmi": top * (place + 1), "chance": 0.3 * top * place}
            for place, scale in enumerate(scales)
        }
        for name, top in (("emotion", emotion), ("gender", 0.11))
    }


def draw_clusters(path, scales, title="Clusters"):
    """Draws made-up sizes with a heavy tail and some empty clusters."""
    generator = np.random.default_rng(1)
    sizes = {
        scale: np.floor(3e5 / scale * generator.lognormal(-1, 1.5, scale))
        for scale in scales
    }
    return plot_clusters(path, sizes, information(scales), title)


PICTURES = {
    "clusters": lambda path: draw_clusters(path, (64, 512, 4096)),
    "clusters, one scale": lambda path: draw_clusters(path, (64,)),
    "clusters, five scales": lambda path: draw_clusters(path, SCALES),
    "clusters, nothing said": lambda path: plot_clusters(
        path,
        {2: [5, 5], 3: [10, 0, 0]},
        {"emotion": {scale: {"nmi": 0, "chance": 0} for scale in (2, 3)}},
        r"$\no{$ " * 12,
    ),
}


@pytest.mark.parametrize("name", PICTURES)
def test_picture(name):
    """It shows something; no two texts overlap, and all are whole."""
    figure = check_picture(PICTURES[name], (990, 1010), 590, 20)
    check_words(figure)


SMALL = {4: [5, 0, 20, 10], 2: [15, 20]}
SAID = {
    "emotion": {
        4: {"nmi": 0.2, "chance": 0.05},
        2: {"nmi": 0.1, "chance": 0.15},
    },
    "gender": {
        2: {"nmi": 0.3, "chance": 0.01},
        4: {"nmi": 0.4, "chance": 0.02},
    },
}


def draw_small(path):
    """Draws six clusters."""
    return plot_clusters(path, SMALL, SAID, "Six")


def legend_looks(legend):
    """Gives for each name in a legend the colour, dashes and marker."""
    return {
        text.get_text(): look(handle)
        for text, handle in zip(legend.get_texts(), legend.legend_handles)
    }


def look(line):
    """Gives the colour, dashes and marker of a line."""
    return to_rgb(line.get_color()), line.get_linestyle(), line.get_marker()


def test_sizes_by_hand():
    """From the largest down, over the share of the rank, without the empty."""
    figure = drawn(draw_small)
    axes = figure.axes[0]
    four, two = axes.lines
    assert four.get_xdata().tolist() == [25, 50, 75]
    assert four.get_ydata().tolist() == [20, 10, 5]
    assert two.get_xdata().tolist() == [50, 100]
    assert two.get_ydata().tolist() == [20, 15]
    names = ["4 clusters\n(1 empty)", "2 clusters"]
    assert legend_looks(axes.get_legend()) == {
        names[0]: look(four),
        names[1]: look(two),
    }
    assert axes.get_xscale() == axes.get_yscale() == "log"
    assert axes.get_xlabel() == "rank of the cluster (% of all clusters)"
    assert axes.get_ylabel() == "frames of the cluster"
    for axis in (axes.xaxis, axes.yaxis):
        shown = [float(text) for text in texts(axis.get_ticklabels())]
        assert shown == axis.get_ticklocs().tolist()
        assert len(shown) >= 3
    assert texts([figure._suptitle]) == ["Six"]


def test_information_by_hand():
    """Each bar and each level of chance is that of its word and scale."""
    figure = drawn(draw_small)
    _, emotion, gender = figure.axes
    lines = figure.axes[0].lines
    for axes, name, values, chances in (
        (emotion, "emotion", [0.2, 0.1], [0.05, 0.15]),
        (gender, "gender", [0.4, 0.3], [0.02, 0.01]),
    ):
        assert axes.get_title() == f"{name} of the utterance"
        assert texts(axes.get_xticklabels()) == ["4", "2"]
        assert axes.get_xlabel() == "number of clusters"
        bars = axes.patches
        assert [bar.get_height() for bar in bars] == values
        assert [bar.get_y() for bar in bars] == [0, 0]
        centres = [bar.get_x() + bar.get_width() / 2 for bar in bars]
        assert centres == pytest.approx(axes.get_xticks().tolist())
        # a scale has the colour of its curve
        assert [to_rgb(bar.get_facecolor()) for bar in bars] == [
            to_rgb(line.get_color()) for line in lines
        ]
        (levels,) = axes.collections
        for centre, chance, level in zip(
            centres, chances, levels.get_segments()
        ):
            assert level[:, 1].tolist() == [chance, chance]
            assert level[:, 0].mean() == pytest.approx(centre)
        for value, chance, text in zip(values, chances, axes.texts):
            assert text.get_text() == f"{value:.3f}"
            assert text.xy[1] == max(value, chance)
        assert axes.get_ylim()[0] == 0
        assert axes.get_ylim()[1] > max(values + chances)
    assert emotion.get_ylabel() == "normalised mutual\ninformation"
    (legend,) = figure.subfigs[1].legends
    assert texts(legend.get_texts()) == [
        "chance: the same with the words permuted over the utterances"
    ]
    assert to_rgb(legend.legend_handles[0].get_color()) == to_rgb(
        emotion.collections[0].get_colors()[0]
    )


def test_scales_are_told_apart_without_colours():
    """Markers differ."""
    figure = drawn(PICTURES["clusters, five scales"])
    lines = figure.axes[0].lines
    assert len({line.get_marker() for line in lines}) == 5
    assert len({line.get_color() for line in lines}) == 5


@pytest.mark.parametrize(
    "sizes", [{4: [1, 2, 3]}, {4: [1, 2, 3, 4, 5]}, {2: [0, 0]}, {2: []}]
)
def test_wrong_sizes_are_refused(tmp_path, sizes):
    """One for each cluster, and not all empty."""
    with pytest.raises(ValueError, match=f"frames of {next(iter(sizes))} "):
        plot_clusters(
            tmp_path / "picture.png", sizes, information(sizes), "Wrong"
        )
    assert not os.listdir(tmp_path)
