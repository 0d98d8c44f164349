"""What the tests of all pictures have in common."""

import contextlib
import functools
import math
import warnings

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from speechbrain_ser.figures import style

CLASSES = ["ang", "hap", "sad", "neu"]
DPI = 150


class Saved:
    """Stands for the file that a picture is written to."""


def draw_anew(draw):
    """Gives the figure that a plot function writes, laid out.

    It goes through `style.save`, once; nothing is written, nobody warned.
    """
    figures = []

    def keep(figure, beside, **how):
        assert beside is Saved and how == {"format": "png", "dpi": DPI}
        figures.append(figure)

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("error")
        patch.setattr(
            style, "replacing", lambda path: contextlib.nullcontext(Saved)
        )
        patch.setattr(Figure, "savefig", keep)
        assert draw("picture.png") == "picture.png"
        (figure,) = figures
        figure.draw_without_rendering()
    return figure


@functools.lru_cache(maxsize=32)
def drawn(draw):
    """Gives a figure as `draw_anew` does, the same one for the same function.

    So nobody may change it.
    """
    return draw_anew(draw)


def pixels(figure):
    """Gives the colours of a figure that is laid out, small, as numbers."""
    figure.set_layout_engine("none")
    figure.canvas.draw()
    colours = np.asarray(figure.canvas.buffer_rgba())[:, :, :3]
    return colours.astype(int) @ [1, 256, 65536]


def check_picture(draw, width, height, colours=50):
    """It has the right size and things on it; gives the figure.

    `width` is what it is within, `height` the least, both in pixels.
    """
    figure = drawn(draw)
    across, up = DPI * figure.get_size_inches()
    assert width[0] <= across <= width[1]
    assert up >= height
    assert len(np.unique(pixels(figure))) > colours
    return figure


def check_repeats(draw):
    """A second picture is the same, whatever the global random state is."""
    first = pixels(draw_anew(draw))
    np.random.seed(1)
    np.testing.assert_array_equal(pixels(draw_anew(draw)), first)


def texts(labels):
    """Gives the words of drawn texts."""
    return [label.get_text() for label in labels]


def legends(figure):
    """Gives all legends: the figure's, its parts' and those of the axes."""
    found = [one for part in (figure, *figure.subfigs) for one in part.legends]
    return found + [
        axes.get_legend() for axes in figure.axes if axes.get_legend()
    ]


def legend_texts(figure):
    """Gives the entries of each legend."""
    return [texts(legend.get_texts()) for legend in legends(figure)]


def words_of(figure):
    """Gives all texts that can be seen on a figure that is laid out."""
    words = [figure._suptitle, figure._supxlabel, figure._supylabel]
    for legend in legends(figure):
        words.extend([legend.get_title(), *legend.get_texts()])
    for axes in figure.axes:
        words.extend([*axes.texts, axes.title, axes._left_title])
        for axis in (axes.xaxis, axes.yaxis):
            if axis.get_visible():
                words.extend([axis.label, axis.offsetText])
                low, high = sorted(axis.get_view_interval())
                for tick in axis.get_major_ticks():
                    if low <= tick.get_loc() <= high:
                        words.extend([tick.label1, tick.label2])
    return [
        word
        for word in words
        if word is not None and word.get_visible() and word.get_text()
    ]


def check_words(figure):
    """No two texts overlap, and none leaves the picture."""
    boxes = [
        (word.get_text(), word.get_window_extent()) for word in words_of(figure)
    ]
    assert len(boxes) > 5
    for place, (text, box) in enumerate(boxes):
        assert box.x0 >= 0 and box.x1 <= figure.bbox.x1, text
        assert box.y0 >= 0 and box.y1 <= figure.bbox.y1, text
        for other_text, other in boxes[:place]:
            assert not box.overlaps(other), (text, other_text)


def check_legends(figure):
    """Legends stay inside the picture and cover neither axes nor each other."""
    for legend in legends(figure):
        box = legend.get_window_extent()
        assert box.x0 >= 0 and box.x1 <= figure.bbox.x1
        assert box.y0 >= 0
        for other in (*figure.axes, *legends(figure)):
            if other is not legend:
                assert not box.overlaps(other.get_window_extent())


def drawn_points(axes):
    """Gives the places, colours and outlines of points in drawing order."""
    (points,) = axes.collections
    colours = [to_hex(colour) for colour in points.get_facecolors()]
    return np.asarray(points.get_offsets()), colours, points.get_paths()


def by_svd(embeddings):
    """Computes two principal components; the largest weight is positive."""
    embeddings = np.asarray(embeddings, dtype=np.float64)
    centred = embeddings - embeddings.mean(axis=0)
    _, sizes, weights = np.linalg.svd(centred, full_matrices=False)
    for row in weights:
        if row[np.argmax(np.abs(row))] < 0:
            row *= -1
    return centred @ weights[:2].T, (sizes**2 / (sizes**2).sum())[:2]


def noise(samples):
    """Makes up a waveform."""
    return np.random.default_rng(0).normal(size=samples).astype(np.float32) / 9


def speaker_system(n, speakers=("F", "M"), unlabelled=0, dims=5, **more):
    """Makes up embeddings, sorted by speaker as files would be."""
    draw = np.random.default_rng(n)
    speaker = [place * len(speakers) // n for place in range(n)]
    emotion = [CLASSES[place % 4] for place in range(n)]
    emotion[:unlabelled] = [None] * unlabelled
    embeddings = draw.normal(size=(n, dims)) * np.linspace(3, 1, dims)
    embeddings[:, 0] += 4 * np.array(speaker)
    return {
        "embeddings": embeddings,
        "emotion": emotion,
        "speaker": [speakers[place] for place in speaker],
        **more,
    }


def scores(values):
    """Standardises a list of numbers."""
    mean = math.fsum(values) / len(values)
    squares = math.fsum((value - mean) ** 2 for value in values)
    return [(v - mean) / math.sqrt(squares / len(values)) for v in values]
