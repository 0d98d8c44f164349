"""The picture of the mapping shows the right numbers in the right places."""

import os

import numpy as np
import pytest

from speechbrain_ser.figures.mapping import plot_local_mapping
from tests.figures.helpers import (
    check_picture,
    check_words,
    drawn,
    noise,
    texts,
)

RATE = 16000
HOP = 0.02


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
    return plot_local_mapping(
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
    return plot_local_mapping(
        path, np.zeros(800), RATE, np.ones((2, 3)), HOP, [0] * 3, "abc", ""
    )


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
}


@pytest.mark.parametrize("name", PICTURES)
def test_picture(name):
    """It shows something; no two texts overlap, and all are whole."""
    figure = check_picture(PICTURES[name], (990, 1010), 590)
    check_words(figure)


def test_mapping_by_hand():
    """Each row, winner and bar stands at its time."""
    mapping = np.array([[0.5, 1.0], [2.0, 4.0], [0.01, 3.0]])
    figure = drawn(lambda path: draw_mapping(path, mapping))
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


def test_panels_share_the_axis_of_time():
    """All begin and end at the same pixel and second."""
    figure = drawn(PICTURES["mapping"])
    places = [axes.get_position() for axes in figure.axes[:4]]
    for axes, place in zip(figure.axes[:4], places):
        assert axes.get_xlim() == pytest.approx((0, 90 * HOP))
        assert (place.x0, place.x1) == pytest.approx(
            (places[0].x0, places[0].x1)
        )
    # the wave may be longer than its frames
    figure = drawn(
        lambda path: draw_mapping(path, [[1.0], [2.0]], samples=RATE),
    )
    assert figure.axes[0].get_xlim() == (0, 1)


def test_only_the_first_thirty_are_shown():
    """The bars count the shown ones alone; long names are cut."""
    mapping = softmax_mapping(20, 40)
    names = ["a name that is much too long", *(str(n) for n in range(39))]
    figure = drawn(lambda path: draw_mapping(path, mapping, names=names))
    _, _, wins, heat, _ = figure.axes
    assert heat.get_ylabel() == "first 30 of 40 prototypes"
    labels = texts(heat.get_yticklabels())
    assert labels == ["a name that is much too…", *names[1:30]]
    assert heat.collections[0].get_array().shape == (30, 20)
    expected = [0] * 20
    for prototype in range(30):
        expected[int(np.argmax(mapping[:, prototype]))] += 1
    assert [patch.get_height() for patch in wins.patches] == expected


def test_long_utterance_keeps_every_maximum():
    """A column is the maximum, and a bar the sum, of some frames."""
    mapping = softmax_mapping(1201, 3)
    figure = drawn(lambda path: draw_mapping(path, mapping))
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


def test_chance_is_always_within_the_colours():
    """Above, below, or nothing but chance."""
    for values, expected in (
        ([[3.0], [4.0]], (1, 4)),
        ([[0.3], [0.4]], (0.3, 1)),
        ([[1.0], [1.0]], (1 / 1.025, 1.025)),
    ):
        figure = drawn(lambda path, v=values: draw_mapping(path, v))
        mesh = figure.axes[3].collections[0]
        assert mesh.get_clim() == pytest.approx(expected)


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
        plot_local_mapping(
            path, wave, RATE, mapping, HOP, winners, names, "Wrong"
        )
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["picture.png"]
