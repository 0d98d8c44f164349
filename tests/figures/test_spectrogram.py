"""Wave and spectrum of an utterance are drawn where they are."""

import warnings

import numpy as np
import pytest

from speechbrain_ser.figures.mapping import plot_local_mapping
from tests.figures.helpers import drawn, noise, pixels, texts

RATE = 16000
HOP = 0.02
ONES = np.ones((2, 3))


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_spectrogram_shows_a_tone_at_its_time_and_height(rate):
    """1 kHz, in the second of three parts alone."""
    seconds = np.arange(3 * rate) / rate
    wave = np.where(
        (seconds >= 1) & (seconds < 2), np.sin(2 * np.pi * 1000 * seconds), 0
    )
    figure = drawn(
        lambda path: plot_local_mapping(
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


def test_envelope_holds_the_extremes():
    """A single loud sample is seen, where it is."""
    wave = np.zeros(3 * RATE)
    wave[RATE] = 0.5
    wave[2 * RATE] = -0.25
    figure = drawn(
        lambda path: plot_local_mapping(
            path, wave, RATE, np.ones((3, 1)), 1.0, [0], ["a"], "Clicks"
        ),
    )
    corners = figure.axes[0].collections[0].get_paths()[0].vertices
    seconds, values = corners.T
    assert values.max() == 0.5
    assert values.min() == -0.25
    assert seconds[values == 0.5] == pytest.approx(1, abs=0.01)
    assert seconds[values == -0.25] == pytest.approx(2, abs=0.01)


def test_any_layout_of_the_wave_will_do():
    """Read-only, reversed or a list: nothing warns, one wave one picture."""
    frozen = noise(800)
    frozen.setflags(write=False)
    pictures = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for wave in (frozen, frozen[::-1], frozen.tolist()):
            figure = drawn(
                lambda path, wave=wave: plot_local_mapping(
                    path, wave, RATE, ONES, HOP, [0, 1, 0], "abc", ""
                ),
            )
            pictures.append(pixels(figure))
    assert np.array_equal(pictures[0], pictures[2])
    assert not np.array_equal(pictures[0], pictures[1])
