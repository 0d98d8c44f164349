"""Pictures of the mapping show the right numbers in the right places."""

import os
import warnings

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from speechbrain_ser.figures import mapping as mapping_plots

RATE = 16000
HOP = 0.02


def noise(samples):
    """Makes up a waveform."""
    return np.random.default_rng(0).normal(size=samples).astype(np.float32) / 9


def softmax_mapping(frames, count, temperature=0.2):
    """Makes up a mapping in units of chance."""
    cosine = np.random.default_rng(1).uniform(-1, 1, size=(frames, count))
    weights = np.exp(cosine / temperature)
    return count * weights / weights.sum(axis=1, keepdims=True)


def draw_mapping(
    path, mapping, samples=None, hop=HOP, rate=RATE, names=None, title="One"
):
    """Draws a mapping over noise of the same length."""
    mapping = np.asarray(mapping)
    frames, count = mapping.shape
    return mapping_plots.plot_local_mapping(
        path,
        noise(round(frames * hop * rate) if samples is None else samples),
        rate,
        mapping,
        hop,
        mapping.argmax(axis=0),
        names or [f"{index} · angry 0.8" for index in range(count)],
        title,
    )


def draw_silence(path):
    """Draws a mapping over silence that is chance everywhere."""
    return mapping_plots.plot_local_mapping(
        path, np.zeros(800), RATE, np.ones((2, 3)), HOP, [0] * 3, "abc", ""
    )


SIZES = [512, 60, 200, 128]
SELECTED = [63.0, 61.0, 64.0, 62.0]
RANDOM = [62.0, 48.0, 59.0, 55.0]
HEAVY = np.exp(np.linspace(0, 8, 100))
PICTURES = {
    "mapping": lambda path: draw_mapping(
        path, softmax_mapping(90, 12, 1.0), rate=8000
    ),
    "mapping, many": lambda path: draw_mapping(path, softmax_mapping(700, 40)),
    "mapping, one frame": lambda path: draw_mapping(
        path, softmax_mapping(1, 8), samples=40
    ),
    "mapping, one sample": lambda path: draw_mapping(path, [[3.0]], samples=1),
    "mapping, nought": lambda path: draw_mapping(path, np.zeros((20, 2))),
    "mapping, silence": draw_silence,
    "mapping, hard words": lambda path: draw_mapping(
        path, softmax_mapping(20, 2), names=["$x{" * 20, ""], title=r"$\no{$"
    ),
    "importance": lambda path: mapping_plots.plot_importance(
        path, [*HEAVY, 0, 0], [60, 20, 102], "Importance"
    ),
    "importance, flat": lambda path: mapping_plots.plot_importance(
        path, np.ones(8), [3, 7], "Importance"
    ),
    "importance, none": lambda path: mapping_plots.plot_importance(
        path, np.zeros(8), [3], "Importance"
    ),
    "importance, one": lambda path: mapping_plots.plot_importance(
        path, [2.0], [], "Importance"
    ),
    "selection": lambda path: mapping_plots.plot_selection(
        path, SIZES, SELECTED, RANDOM, 63.5, "UA (%)", "Selection"
    ),
    "selection, flat": lambda path: mapping_plots.plot_selection(
        path, SIZES, [50] * 4, [50] * 4, 50, "UA (%)", "Selection"
    ),
    "selection, one size": lambda path: mapping_plots.plot_selection(
        path, [60], [50], [45], 52, "UA (%)", "Selection"
    ),
    "selection, crowded": lambda path: mapping_plots.plot_selection(
        path, range(10, 300, 5), [50] * 58, [45] * 58, 52, "UA (%)", "Selection"
    ),
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
    height, width, depth = picture.shape
    assert 990 <= width <= 1010
    assert height >= 590
    assert len(np.unique(picture.reshape(-1, depth), axis=0)) > 50


def drawn(monkeypatch, draw):
    """Gives the figure that a plot function would have written, laid out."""
    figures = []
    monkeypatch.setattr(
        mapping_plots, "save", lambda figure, path: figures.append(figure)
    )
    draw("unused.png")
    figures[0].draw_without_rendering()
    return figures[0]


def texts(labels):
    """Gives the words of drawn texts."""
    return [label.get_text() for label in labels]


@pytest.mark.parametrize("name", PICTURES)
def test_no_words_touch(monkeypatch, name):
    """No two texts overlap, and none leaves the picture."""
    figure = drawn(monkeypatch, PICTURES[name])
    words = [figure._suptitle]
    for legend in figure.legends:
        words.extend(legend.get_texts())
    for axes in figure.axes:
        words.extend([*axes.texts, axes.xaxis.label, axes.yaxis.label])
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in axis.get_major_ticks():
                if low <= tick.get_loc() <= high:
                    words.extend([tick.label1, tick.label2])
    boxes = [
        (word.get_text(), word.get_window_extent())
        for word in words
        if word.get_visible() and word.get_text()
    ]
    assert len(boxes) > 5
    for place, (text, box) in enumerate(boxes):
        assert box.x0 >= 0 and box.x1 <= figure.bbox.x1, text
        assert box.y0 >= 0 and box.y1 <= figure.bbox.y1, text
        for other_text, other in boxes[:place]:
            assert not box.overlaps(other), (text, other_text)


def test_mapping_by_hand(monkeypatch):
    """Each row, winner and bar stands at its time."""
    mapping = np.array([[0.5, 1.0], [2.0, 4.0], [0.01, 3.0]])
    figure = drawn(monkeypatch, lambda path: draw_mapping(path, mapping))
    wave, spectrogram, wins, heat, bar = figure.axes
    mesh, markers = heat.collections
    # what is below a tenth of chance looks as a tenth
    assert mesh.get_array().tolist() == [[0.5, 2.0, 0.1], [1.0, 4.0, 3.0]]
    assert mesh.get_clim() == (0.1, 4.0)
    corners = mesh.get_coordinates()
    np.testing.assert_allclose(corners[0, :, 0], [0, HOP, 2 * HOP, 3 * HOP])
    np.testing.assert_allclose(corners[:, 0, 1], [-0.5, 0.5, 1.5])
    assert heat.get_ylim() == (1.5, -0.5)  # the first at the top
    assert texts(heat.get_yticklabels()) == ["0 · angry 0.8", "1 · angry 0.8"]
    np.testing.assert_allclose(
        markers.get_offsets(), [[1.5 * HOP, 0], [1.5 * HOP, 1]]
    )
    assert markers.get_edgecolors()[0, :3].tolist() == [1, 1, 1]
    assert [patch.get_height() for patch in wins.patches] == [0, 2, 0]
    np.testing.assert_allclose(
        [patch.get_x() for patch in wins.patches], [0, HOP, 2 * HOP]
    )
    assert heat.get_ylabel() == "prototype"
    assert heat.get_xlabel() == "time (s)"
    assert bar.get_ylabel() == "times chance"
    assert [label for label in texts(bar.get_yticklabels()) if label] == [
        *("0.1", "0.2", "0.5", "1", "2")
    ]


def test_panels_share_the_axis_of_time(monkeypatch):
    """All begin and end at the same pixel and second."""
    figure = drawn(monkeypatch, PICTURES["mapping"])
    places = [axes.get_position() for axes in figure.axes[:4]]
    for axes, place in zip(figure.axes[:4], places):
        assert axes.get_xlim() == pytest.approx((0, 90 * HOP))
        assert (place.x0, place.x1) == pytest.approx(
            (places[0].x0, places[0].x1)
        )
    # the wave may be longer than its frames
    figure = drawn(
        monkeypatch,
        lambda path: draw_mapping(path, [[1.0], [2.0]], samples=RATE),
    )
    assert figure.axes[0].get_xlim() == (0, 1)


def test_only_the_first_thirty_are_shown(monkeypatch):
    """The bars count the shown ones alone; long names are cut."""
    mapping = softmax_mapping(20, 40)
    names = ["a name that is much too long", *(str(n) for n in range(39))]
    figure = drawn(
        monkeypatch, lambda path: draw_mapping(path, mapping, names=names)
    )
    _, _, wins, heat, _ = figure.axes
    assert heat.get_ylabel() == "first 30 of 40 prototypes"
    labels = texts(heat.get_yticklabels())
    assert labels == ["a name that is much too…", *names[1:30]]
    assert heat.collections[0].get_array().shape == (30, 20)
    expected = [0] * 20
    for prototype in range(30):
        expected[int(np.argmax(mapping[:, prototype]))] += 1
    assert [patch.get_height() for patch in wins.patches] == expected


def test_long_utterance_keeps_every_maximum(monkeypatch):
    """A column is the maximum, and a bar the sum, of some frames."""
    mapping = softmax_mapping(1201, 3)
    figure = drawn(monkeypatch, lambda path: draw_mapping(path, mapping))
    _, _, wins, heat, _ = figure.axes
    mesh = heat.collections[0]
    shown = np.asarray(mesh.get_array())
    assert shown.shape == (3, 401)  # three frames a column
    for column in range(401):
        highest = mapping[3 * column : 3 * column + 3].max(axis=0)
        np.testing.assert_allclose(shown[:, column], np.maximum(highest, 0.1))
    edges = np.asarray(mesh.get_coordinates()[0, :, 0])
    np.testing.assert_allclose(edges[[1, -1]], [3 * HOP, 1201 * HOP])
    width = 21  # the fewest frames that make at most 60 bars
    assert len(wins.patches) == 58
    assert wins.get_ylabel() == "won in\n0.42 s"
    expected = [0] * 58
    for winner in mapping.argmax(axis=0):
        expected[winner // width] += 1
    assert [patch.get_height() for patch in wins.patches] == expected
    assert wins.patches[1].get_x() == pytest.approx(width * HOP)


def test_chance_is_always_within_the_colours(monkeypatch):
    """Above, below, or nothing but chance."""
    for values, expected in (
        ([[3.0], [4.0]], (1, 4)),
        ([[0.3], [0.4]], (0.3, 1)),
        ([[1.0], [1.0]], (1 / 1.025, 1.025)),
    ):
        figure = drawn(
            monkeypatch, lambda path, v=values: draw_mapping(path, v)
        )
        mesh = figure.axes[3].collections[0]
        assert mesh.get_clim() == pytest.approx(expected)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_spectrogram_shows_a_tone_at_its_time_and_height(monkeypatch, rate):
    """1 kHz, in the second of three parts alone."""
    seconds = np.arange(3 * rate) / rate
    wave = np.where(
        (seconds >= 1) & (seconds < 2), np.sin(2 * np.pi * 1000 * seconds), 0
    )
    figure = drawn(
        monkeypatch,
        lambda path: mapping_plots.plot_local_mapping(
            path, wave, rate, np.ones((3, 1)), 1.0, [0], ["a"], "Tone"
        ),
    )
    axes = figure.axes[1]
    (image,) = axes.images
    energy = 10 ** (np.asarray(image.get_array()) / 10)
    left, right, bottom, top = image.get_extent()
    times = left + (np.arange(energy.shape[1]) + 0.5) * (
        (right - left) / energy.shape[1]
    )
    total = energy.sum(axis=0)
    assert np.average(times, weights=total) == pytest.approx(1.5, abs=0.01)
    assert total[(times < 0.95) | (times > 2.05)].max() < 1e-6 * total.max()
    row = energy.sum(axis=1).argmax()
    height = bottom + (row + 0.5) * (top - bottom) / len(energy)
    labels = texts(axes.get_yticklabels())
    tick = axes.get_yticks()[labels.index("1")]
    assert abs(height - tick) <= (top - bottom) / len(energy)


def test_envelope_holds_the_extremes(monkeypatch):
    """A single loud sample is seen, where it is."""
    wave = np.zeros(3 * RATE)
    wave[RATE] = 0.5
    wave[2 * RATE] = -0.25
    figure = drawn(
        monkeypatch,
        lambda path: mapping_plots.plot_local_mapping(
            path, wave, RATE, np.ones((3, 1)), 1.0, [0], ["a"], "Clicks"
        ),
    )
    corners = figure.axes[0].collections[0].get_paths()[0].vertices
    seconds, values = corners.T
    assert values.max() == 0.5
    assert values.min() == -0.25
    assert seconds[values == 0.5] == pytest.approx(1, abs=0.01)
    assert seconds[values == -0.25] == pytest.approx(2, abs=0.01)


def test_importance_by_hand(monkeypatch):
    """Sorted, with the share that each cut keeps; zeros are counted."""
    figure = drawn(
        monkeypatch,
        lambda path: mapping_plots.plot_importance(
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


def test_importance_of_many_sizes_is_logarithmic(monkeypatch):
    """From below the smallest positive value, but over six decades at most."""
    axes = drawn(monkeypatch, PICTURES["importance"]).axes[0]
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
        monkeypatch,
        lambda path: mapping_plots.plot_importance(
            path, [1.0, 1e-3, 1e-3, 1e-20], [1], "Importance"
        ),
    )
    assert figure.axes[0].get_ylim()[0] == pytest.approx(1e-6)


def test_no_importance_has_no_share(monkeypatch):
    """Nothing is divided by nought."""
    axes = drawn(monkeypatch, PICTURES["importance, none"]).axes[0]
    assert texts(axes.texts) == ["3: –"]
    assert axes.get_ylim() == (0, 1)


def test_selection_by_hand(monkeypatch):
    """Two lines by rising size, and one for all prototypes."""
    figure = drawn(monkeypatch, PICTURES["selection"])
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


def test_selection_is_told_apart_without_colours(monkeypatch):
    """Dashes and markers differ, and each line is dark enough."""
    lines = drawn(monkeypatch, PICTURES["selection"]).axes[0].lines
    assert len({line.get_linestyle() for line in lines}) == 3
    assert len({line.get_marker() for line in lines}) == 3
    for line in lines:
        assert np.dot(to_rgb(line.get_color()), [0.3, 0.59, 0.11]) < 0.6


def test_a_gap_in_a_selection(monkeypatch):
    """None leaves a gap."""
    figure = drawn(
        monkeypatch,
        lambda path: mapping_plots.plot_selection(
            path, [1, 2, 3], [5, None, 7], [1, 2, 3], 8, "UA (%)", "Selection"
        ),
    )
    values = figure.axes[0].lines[0].get_ydata()
    assert np.isnan(values).tolist() == [False, True, False]


WAVE = noise(800)
ONES = np.ones((2, 3))


@pytest.mark.parametrize(
    ("message", "wave", "mapping", "winners", "names"),
    [
        ("waveform", ONES, ONES, [0, 0, 0], "abc"),
        ("waveform", WAVE[:0], ONES, [0, 0, 0], "abc"),
        ("mapping of shape", WAVE, ONES[0], [0, 0, 0], "abc"),
        ("mapping of shape", WAVE, ONES[:0], [0, 0, 0], "abc"),
        ("not finite", WAVE, ONES * np.nan, [0, 0, 0], "abc"),
        ("3 prototypes", WAVE, ONES, [0, 0], "abc"),
        ("3 prototypes", WAVE, ONES, [0, 0, 0], "ab"),
        ("0 to 1", WAVE, ONES, [0, 0, 2], "abc"),
        ("0 to 1", WAVE, ONES, [0, 0, -1], "abc"),
    ],
)
def test_a_wrong_mapping_leaves_the_old_picture(
    tmp_path, message, wave, mapping, winners, names
):
    """Nothing is written before everything is known to fit."""
    path = tmp_path / "picture.png"
    path.write_text("old")
    with pytest.raises(ValueError, match=message):
        mapping_plots.plot_local_mapping(
            path, wave, RATE, mapping, HOP, winners, names, "Wrong"
        )
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["picture.png"]


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
        mapping_plots.plot_importance(
            tmp_path / "picture.png", importance, kept, "Wrong"
        )
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("sizes", "selected", "random"),
    [([], [], []), ([1, 2], [1], [1, 2]), ([1, 2], [1, 2], [1])],
)
def test_wrong_selection_is_refused(tmp_path, sizes, selected, random):
    """Each size needs both results."""
    with pytest.raises(ValueError, match="sizes"):
        mapping_plots.plot_selection(
            tmp_path / "picture.png", sizes, selected, random, 1, "UA", "Wrong"
        )
    assert not os.listdir(tmp_path)


def test_any_layout_of_the_wave_will_do(monkeypatch):
    """Read-only, reversed or a list: nothing warns, one wave one picture."""
    frozen = noise(800)
    frozen.setflags(write=False)
    pictures = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for wave in (frozen, frozen[::-1], frozen.tolist()):
            figure = drawn(
                monkeypatch,
                lambda path, wave=wave: mapping_plots.plot_local_mapping(
                    path, wave, RATE, ONES, HOP, [0, 1, 0], "abc", ""
                ),
            )
            canvas = FigureCanvasAgg(figure)
            canvas.draw()
            pictures.append(np.asarray(canvas.buffer_rgba()).copy())
    assert np.array_equal(pictures[0], pictures[2])
    assert not np.array_equal(pictures[0], pictures[1])
