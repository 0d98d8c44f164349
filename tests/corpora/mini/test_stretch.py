"""Speech whose emotion is in one stretch."""

import numpy as np
import pytest

from speechbrain_ser.corpora.mini import stretch
from speechbrain_ser.corpora.mini.stretch import (
    EDGE,
    STRETCH,
    STRONG,
    WHOLE,
    say,
)
from speechbrain_ser.corpora.mini.voice import Speaker

MAN = Speaker("m", "M", f0=118, formants=1.0, expression=1.1)


def test_one_stretch_has_the_emotion(monkeypatch):
    """Before and behind it the voice is neutral, as it is itself."""
    asked = []

    def note(weights, speaker, rng, duration):
        asked.append((weights, speaker.expression, duration))
        return np.full(round(1000 * duration), len(asked))

    monkeypatch.setattr(stretch, "synthesize", note)
    weights, begins = {"ang": 0.7, "hap": 0.3}, []
    for k in range(50):
        asked.clear()
        samples = say(weights, MAN, np.random.default_rng(k))
        assert sorted(samples.tolist()) == samples.tolist()  # in their order
        neutral = {"neu": 1.0}
        assert [said for said, _, _ in asked] == [neutral, weights, neutral]
        strength = [expression for _, expression, _ in asked]
        assert strength == pytest.approx([1.1, STRONG * 1.1, 1.1])
        before, middle, behind = (duration for *_, duration in asked)
        assert STRETCH[0] <= middle <= STRETCH[1]
        assert before >= EDGE and behind >= EDGE - 1e-9
        assert WHOLE[0] <= before + middle + behind <= WHOLE[1]
        begins.append(before / (before + behind))
    assert min(begins) < 0.25 and max(begins) > 0.75  # anywhere


def test_the_stretch_is_louder_of_anger():
    """What is heard: a third of the frames in a loud stretch, once."""
    gains = {}
    for emotion in ("ang", "neu"):
        ratios = []
        for k in range(20):
            samples = say({emotion: 1.0}, MAN, np.random.default_rng(k))
            power = np.convolve(samples**2, np.ones(4000) / 4000, "valid")
            ratios.append(10 * np.log10(power.max() / np.median(power)))
        gains[emotion] = np.mean(ratios)
    assert gains["ang"] > gains["neu"] + 4
