"""Pictures of pseudo-labels show the right numbers in the right places."""

import os
import warnings

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from speechbrain_ser.figures import pseudo_labels as pseudo_label_plots

RATE = 16000
SCALES = (16, 64, 512, 2048, 4096)


def noise(samples):
    """Makes up a waveform."""
    return np.random.default_rng(0).normal(size=samples).astype(np.float32) / 9


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
    return pseudo_label_plots.plot_clusters(
        path, sizes, information(scales), title
    )


def draw_labels(path, labels, sizes, samples=None, rate=RATE, title="One"):
    """Draws labels, 50 frames a second, over noise of the same length."""
    samples = round(len(labels) * rate / 50) if samples is None else samples
    return pseudo_label_plots.plot_labels_over_time(
        path, noise(samples), rate, labels, sizes, title
    )


def random_labels(frames, sizes):
    """Makes up labels of each scale."""
    generator = np.random.default_rng(2)
    return np.stack(
        [generator.integers(0, size, frames) for size in sizes], axis=1
    )


def accuracy_rows(sizes, epochs=20):
    """Makes up a training in which every number is another."""
    return [
        {"epoch": epoch}
        | {
            f"{part}masked_accuracy_{size}": low + epoch / 50 / (place + 1)
            for place, size in enumerate(sizes)
            for part, low in (("", 0.1), ("valid_", 0.05))
        }
        for epoch in range(1, epochs + 1)
    ]


def draw_accuracy(path, sizes, rows=None, title="Stage 2"):
    """Draws a training of these scales."""
    return pseudo_label_plots.plot_masked_accuracy(
        path,
        accuracy_rows(sizes) if rows is None else rows,
        sizes,
        {size: 1.5 / size for size in sizes},
        title,
    )


PICTURES = {
    "clusters": lambda path: draw_clusters(path, (64, 512, 4096)),
    "clusters, one scale": lambda path: draw_clusters(path, (64,)),
    "clusters, five scales": lambda path: draw_clusters(path, SCALES),
    "clusters, nothing said": lambda path: pseudo_label_plots.plot_clusters(
        path,
        {2: [5, 5], 3: [10, 0, 0]},
        {"emotion": {scale: {"nmi": 0, "chance": 0} for scale in (2, 3)}},
        r"$\no{$ " * 12,
    ),
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
    "labels, silence": lambda path: pseudo_label_plots.plot_labels_over_time(
        path, np.zeros(800), RATE, np.zeros((2, 2)), (2, 4), "$x{"
    ),
    "accuracy": lambda path: draw_accuracy(path, (64, 512, 4096)),
    "accuracy, one scale": lambda path: draw_accuracy(path, (64,)),
    "accuracy, five scales": lambda path: draw_accuracy(path, SCALES),
    "accuracy, one epoch": lambda path: draw_accuracy(
        path, (64,), accuracy_rows((64,), 1)
    ),
    "accuracy, no epoch": lambda path: draw_accuracy(path, (64,), []),
}


@pytest.mark.parametrize("name", PICTURES)
def test_picture(name, tmp_path):
    """It is a picture about 1000 pixels wide, with things on it."""
    path = tmp_path / "new folder" / "picture.png"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert PICTURES[name](path) == path
    assert os.listdir(path.parent) == ["picture.png"]
    picture = imread(path)
    height, width, _ = picture.shape
    assert 990 <= width <= 1010
    assert height >= 590
    numbers = (255 * picture[:, :, :3]).astype(int) @ [1, 256, 65536]
    assert len(np.unique(numbers)) > 20


def drawn(monkeypatch, draw):
    """Gives the figure that a plot function would have written, laid out."""
    figures = []
    monkeypatch.setattr(
        pseudo_label_plots, "save", lambda figure, path: figures.append(figure)
    )
    draw("unused.png")
    figures[0].draw_without_rendering()
    return figures[0]


def texts(labels):
    """Gives the words of drawn texts."""
    return [label.get_text() for label in labels]


def legend_looks(legend):
    """Gives for each name in a legend the colour, dashes and marker."""
    return {
        text.get_text(): look(handle)
        for text, handle in zip(legend.get_texts(), legend.legend_handles)
    }


def look(line):
    """Gives the colour, dashes and marker of a line."""
    return to_rgb(line.get_color()), line.get_linestyle(), line.get_marker()


@pytest.mark.parametrize("name", PICTURES)
def test_no_words_touch(monkeypatch, name):
    """No two texts overlap, and none leaves the picture."""
    figure = drawn(monkeypatch, PICTURES[name])
    words = [figure._suptitle, figure._supxlabel, figure._supylabel]
    for part in (figure, *figure.subfigs):
        words.extend(text for one in part.legends for text in one.get_texts())
    for axes in figure.axes:
        words.extend([*axes.texts, axes.title])
        words.extend([axes.xaxis.label, axes.yaxis.label])
        words.extend([axes.xaxis.offsetText, axes.yaxis.offsetText])
        if axes.get_legend():
            words.extend(axes.get_legend().get_texts())
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in axis.get_major_ticks():
                if low <= tick.get_loc() <= high:
                    words.extend([tick.label1, tick.label2])
    boxes = [
        (word.get_text(), word.get_window_extent())
        for word in words
        if word is not None and word.get_visible() and word.get_text()
    ]
    assert len(boxes) > 5
    for place, (text, box) in enumerate(boxes):
        assert box.x0 >= 0 and box.x1 <= figure.bbox.x1, text
        assert box.y0 >= 0 and box.y1 <= figure.bbox.y1, text
        for other_text, other in boxes[:place]:
            assert not box.overlaps(other), (text, other_text)


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
    return pseudo_label_plots.plot_clusters(path, SMALL, SAID, "Six")


def test_sizes_by_hand(monkeypatch):
    """From the largest down, over the share of the rank, without the empty."""
    figure = drawn(monkeypatch, draw_small)
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


def test_information_by_hand(monkeypatch):
    """Each bar and each level of chance is that of its word and scale."""
    figure = drawn(monkeypatch, draw_small)
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


def test_scales_are_told_apart_without_colours(monkeypatch):
    """Markers differ."""
    figure = drawn(monkeypatch, PICTURES["clusters, five scales"])
    lines = figure.axes[0].lines
    assert len({line.get_marker() for line in lines}) == 5
    assert len({line.get_color() for line in lines}) == 5


@pytest.mark.parametrize(
    "sizes", [{4: [1, 2, 3]}, {4: [1, 2, 3, 4, 5]}, {2: [0, 0]}, {2: []}]
)
def test_wrong_sizes_are_refused(tmp_path, sizes):
    """One for each cluster, and not all empty."""
    with pytest.raises(ValueError, match=f"frames of {next(iter(sizes))} "):
        pseudo_label_plots.plot_clusters(
            tmp_path / "picture.png", sizes, information(sizes), "Wrong"
        )
    assert not os.listdir(tmp_path)


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


def test_segments_by_hand(monkeypatch):
    """A run is one segment; the frames cover the wave evenly."""
    labels = np.array([[0, 7], [0, 7], [1, 7], [0, 7], [0, 7]], dtype=np.uint16)
    figure = drawn(
        monkeypatch,
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
def test_each_frame_has_the_segment_of_its_label(monkeypatch, frames):
    """The segments of each scale give its labels back."""
    sizes = (4, 12, 4096)
    labels = random_labels(frames, sizes)
    figure = drawn(monkeypatch, lambda path: draw_labels(path, labels, sizes))
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
    colours = pseudo_label_plots.segment_colours(labels)
    assert len(set(zip(labels, colours))) == len(set(colours)) == 30


def test_the_palette_is_used_in_full():
    """Clusters that follow each other only once share colours evenly."""
    colours = pseudo_label_plots.segment_colours(list(range(800)))
    counts = [colours.count(colour) for colour in set(colours)]
    assert len(counts) == len(pseudo_label_plots.COLOURS)
    assert max(counts) < 2 * min(counts)


def test_panels_share_the_axis_of_time(monkeypatch):
    """All begin and end at the same pixel and second."""
    figure = drawn(monkeypatch, PICTURES["labels"])
    places = [axes.get_position() for axes in figure.axes]
    for axes, place in zip(figure.axes, places):
        assert axes.get_xlim() == pytest.approx((0, 3))
        assert (place.x0, place.x1) == pytest.approx(
            (places[0].x0, places[0].x1)
        )
    heights = [place.y0 for place in places]
    assert heights == sorted(heights, reverse=True)


def test_the_spectrogram_is_that_of_the_wave(monkeypatch):
    """A click is bright where it is."""
    wave = np.zeros(2 * RATE)
    wave[RATE // 2] = 0.5
    figure = drawn(
        monkeypatch,
        lambda path: pseudo_label_plots.plot_labels_over_time(
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


def curves(figure, axes):
    """Gives the points of each line by its name in the legend."""
    (legend,) = figure.legends
    names = {look: name for name, look in legend_looks(legend).items()}
    assert len(names) == len(legend.get_texts())
    return {
        names[look(line)]: (list(line.get_xdata()), list(line.get_ydata()))
        for line in axes.lines
    }


def test_accuracy_by_hand(monkeypatch):
    """Each curve and level, in per cent, in the panel of its scale."""
    sizes = (512, 64)
    rows = [
        {
            "epoch": 1,
            "masked_accuracy_64": 0.25,
            "masked_accuracy_512": 0.0625,
            "valid_masked_accuracy_64": 0.125,
        },
        {
            "epoch": 2,
            "masked_accuracy_64": 0.5,
            "masked_accuracy_512": None,
            "valid_masked_accuracy_64": None,
        },
        {
            "epoch": 4,
            "masked_accuracy_64": 0.75,
            "masked_accuracy_512": 0.1875,
            "valid_masked_accuracy_64": 0.375,
        },
    ]
    figure = drawn(
        monkeypatch,
        lambda path: pseudo_label_plots.plot_masked_accuracy(
            path, rows, sizes, {64: 0.0625, 512: 0.03125}, "Stage 2"
        ),
    )
    large, small = figure.axes
    assert curves(figure, small) == {
        "training": ([1, 2, 4], [25, 50, 75]),
        "validation": ([1, 4], [12.5, 37.5]),
        "most frequent label": ([0, 1], [6.25, 6.25]),
    }
    assert curves(figure, large) == {
        "training": ([1, 4], [6.25, 18.75]),
        "most frequent label": ([0, 1], [3.125, 3.125]),
    }
    assert [axes.get_title() for axes in figure.axes] == [
        "512 clusters",
        "64 clusters",
    ]
    for axes, top in ((large, 18.75), (small, 75)):
        assert axes.lines[-1].get_linestyle() == "--"
        low, high = axes.get_ylim()
        assert low == 0 and top < high < 1.3 * top
    assert texts([figure._supylabel]) == ["masked-prediction accuracy (%)"]
    assert small.get_xlabel() == "epoch"
    assert texts([figure._suptitle]) == ["Stage 2"]


def test_without_validation_the_legend_has_none(monkeypatch):
    """Only what is drawn is named."""
    rows = [{"epoch": 1, "masked_accuracy_64": 0.5}]
    figure = drawn(monkeypatch, lambda path: draw_accuracy(path, (64,), rows))
    (legend,) = figure.legends
    assert texts(legend.get_texts()) == ["training", "most frequent label"]


def test_curves_are_told_apart_with_and_without_colours(monkeypatch):
    """Markers or dashes differ, and so do colours."""
    lines = drawn(monkeypatch, PICTURES["accuracy, one scale"]).axes[0].lines
    assert len({look(line)[1:] for line in lines}) == 3
    assert len({look(line)[0] for line in lines}) == 3
