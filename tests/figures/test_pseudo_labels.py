"""The picture of pseudo-labels over time has each at its time."""

import os

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from speechbrain_ser.figures.pseudo_labels import (
    plot_labels_over_time,
    segment_colours,
)
from speechbrain_ser.figures.style import COLOURS
from tests.figures.helpers import (
    check_picture,
    check_words,
    drawn,
    noise,
    texts,
)

RATE = 16000
SCALES = (16, 64, 512, 2048, 4096)


def draw_labels(path, labels, sizes, samples=None, rate=RATE, title="One"):
    """Draws labels, 50 frames a second, over noise of the same length."""
    samples = round(len(labels) * rate / 50) if samples is None else samples
    return plot_labels_over_time(
        path, noise(samples), rate, labels, sizes, title
    )


def random_labels(frames, sizes):
    """Makes up labels of each scale."""
    generator = np.random.default_rng(2)
    return np.stack(
        [generator.integers(0, size, frames) for size in sizes], axis=1
    )


PICTURES = {
    "labels": lambda path: draw_labels(
        path, random_labels(150, (64, 512, 4096)), (64, 512, 4096)
    ),
    "labels, one scale": lambda path: draw_labels(
        path, random_labels(150, (64,)), (64,), rate=8000
    ),
    "labels, five scales, long": lambda path: draw_labels(
        path, random_labels(1500, SCALES), SCALES
    ),
    "labels, one frame": lambda path: draw_labels(
        path, [[3]], (64,), samples=40
    ),
    "labels, silence": lambda path: plot_labels_over_time(
        path, np.zeros(800), RATE, np.zeros((2, 2)), (2, 4), "$x{"
    ),
}


@pytest.mark.parametrize("name", PICTURES)
def test_picture(name):
    """It shows something; no two texts overlap, and all are whole."""
    figure = check_picture(PICTURES[name], (990, 1010), 590, 20)
    check_words(figure)


def segments(axes):
    """Gives the start, end and colour of each segment of a strip."""
    (collection,) = axes.collections
    found = []
    for outline, colour in zip(
        collection.get_paths(), collection.get_facecolors()
    ):
        box = outline.get_extents()
        assert (box.y0, box.y1) == axes.get_ylim() == (0, 1)
        found.append((box.x0, box.x1, to_rgb(colour)))
    return found


def test_segments_by_hand():
    """A run is one segment; the frames cover the wave evenly."""
    labels = np.array([[0, 7], [0, 7], [1, 7], [0, 7], [0, 7]], dtype=np.uint16)
    figure = drawn(
        lambda path: draw_labels(path, labels, (2, 8), samples=2 * RATE),
    )
    spectrogram, first, second = figure.axes
    (a, b, c), (d,) = segments(first), segments(second)
    assert [a[:2], b[:2], c[:2]] == [
        pytest.approx(pair) for pair in ((0, 0.8), (0.8, 1.2), (1.2, 2))
    ]
    assert d[:2] == pytest.approx((0, 2))
    assert a[2] == c[2] != b[2]
    assert texts(first.get_yticklabels()) == ["2 clusters"]
    assert texts(second.get_yticklabels()) == ["8 clusters"]
    assert texts(first.texts) == ["3 segments\n1.0 changes/s"]
    assert texts(second.texts) == ["1 segment\n0.0 changes/s"]
    assert spectrogram.get_ylabel() == "log-Mel (kHz)"
    assert second.get_xlabel() == "time (s)"
    assert texts([figure._suptitle]) == ["One"]


@pytest.mark.parametrize("frames", [3, 300])
def test_each_frame_has_the_segment_of_its_label(frames):
    """The segments of each scale give its labels back."""
    sizes = (4, 12, 4096)
    labels = random_labels(frames, sizes)
    figure = drawn(lambda path: draw_labels(path, labels, sizes))
    for axes, column in zip(figure.axes[1:], labels.T):
        found = segments(axes)
        runs = 1 + np.count_nonzero(column[1:] != column[:-1])
        assert len(found) == runs
        rate = (runs - 1) / (frames / 50)
        assert texts(axes.texts) == [f"{runs} segments\n{rate:.1f} changes/s"]
        ends = [start for start, _, _ in found[1:]]
        assert ends == pytest.approx([end for _, end, _ in found[:-1]])
        colours = {}
        for frame, label in enumerate(column):
            time = (frame + 0.5) / 50
            (colour,) = [one[2] for one in found if one[0] < time < one[1]]
            assert colours.setdefault(label, colour) == colour
        for before, after in zip(found, found[1:]):
            distance = np.abs(np.subtract(before[2], after[2])).max()
            assert distance > 0.1


def test_neighbours_differ_however_many_there_are():
    """All pairs of 30 clusters are neighbours: 30 colours."""
    labels = []
    for first in range(30):
        for second in range(first):
            labels.extend([first, second])
    labels = [
        label
        for place, label in enumerate(labels)
        if not place or label != labels[place - 1]
    ]
    colours = segment_colours(labels)
    assert len(set(zip(labels, colours))) == len(set(colours)) == 30


def test_the_palette_is_used_in_full():
    """Clusters that follow each other only once share colours evenly."""
    colours = segment_colours(list(range(800)))
    counts = [colours.count(colour) for colour in set(colours)]
    assert len(counts) == len(COLOURS)
    assert max(counts) < 2 * min(counts)


def test_panels_share_the_axis_of_time():
    """All begin and end at the same pixel and second."""
    figure = drawn(PICTURES["labels"])
    places = [axes.get_position() for axes in figure.axes]
    for axes, place in zip(figure.axes, places):
        assert axes.get_xlim() == pytest.approx((0, 3))
        assert (place.x0, place.x1) == pytest.approx(
            (places[0].x0, places[0].x1)
        )
    heights = [place.y0 for place in places]
    assert heights == sorted(heights, reverse=True)


def test_the_spectrogram_is_that_of_the_wave():
    """A click is bright where it is."""
    wave = np.zeros(2 * RATE)
    wave[RATE // 2] = 0.5
    figure = drawn(
        lambda path: plot_labels_over_time(
            path, wave, RATE, [[0], [1]], [2], "Click"
        ),
    )
    (image,) = figure.axes[0].images
    left, right, _, _ = image.get_extent()
    energy = np.asarray(image.get_array()).sum(axis=0)
    share = (energy.argmax() + 0.5) / len(energy)
    assert left + share * (right - left) == pytest.approx(0.5, abs=0.02)


ONES = np.ones((4, 2), dtype=int)


@pytest.mark.parametrize(
    ("message", "samples", "labels", "sizes"),
    [
        ("waveform", 0, ONES, [2, 4]),
        ("not .time, 3", 800, ONES, [2, 4, 8]),
        ("not .time, 2", 800, ONES[0], [2, 4]),
        ("not .time, 2", 800, ONES[:0], [2, 4]),
        ("labels of 4 clusters go from 0 to 3", 800, 4 * ONES, [8, 4]),
        ("labels of 2 clusters go from 0 to 1", 800, -ONES, [2, 4]),
    ],
)
def test_wrong_labels_leave_the_old_picture(
    tmp_path, message, samples, labels, sizes
):
    """Nothing is written before everything is known to fit."""
    path = tmp_path / "picture.png"
    path.write_text("old")
    with pytest.raises(ValueError, match=message):
        draw_labels(path, labels, sizes, samples=samples)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["picture.png"]
