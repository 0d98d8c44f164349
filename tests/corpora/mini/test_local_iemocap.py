"""The mini corpus whose emotion is in one stretch."""

import os

import numpy as np
import pytest

from speechbrain_ser.corpora.iemocap import read_iemocap
from speechbrain_ser.corpora.mini import local_iemocap
from speechbrain_ser.corpora.mini.iemocap import mini_iemocap
from speechbrain_ser.corpora.mini.local_iemocap import (
    EDGE,
    STRETCH,
    STRONG,
    WHOLE,
    mini_local_iemocap,
    say,
)
from speechbrain_ser.corpora.mini.voice import Speaker
from tests.corpora.mini.test_iemocap import tree

MAN = Speaker("m", "M", f0=118, formants=1.0, expression=1.1)


def test_it_lies_beside_the_first_with_its_labels(tmp_path):
    first = mini_iemocap(tmp_path, utterances_per_speaker=2)
    local = mini_local_iemocap(tmp_path, utterances_per_speaker=2)
    assert os.path.dirname(first) != os.path.dirname(local)
    one, other = read_iemocap(first), read_iemocap(local)
    assert len(other) >= 15
    for key in one.keys() & other.keys():
        assert one[key]["emotion"] == other[key]["emotion"]


def test_same_seed_gives_same_bytes(tmp_path):
    trees = [
        tree(mini_local_iemocap(tmp_path / name, seed, 1))
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert trees[0] == trees[1] != trees[2]


def test_one_stretch_has_the_emotion(monkeypatch):
    """Before and behind it the voice is neutral, as it is itself."""
    asked = []

    def note(weights, speaker, rng, duration):
        asked.append((weights, speaker.expression, duration))
        return np.full(round(1000 * duration), len(asked))

    monkeypatch.setattr(local_iemocap, "synthesize", note)
    weights, begins = {"ang": 0.7, "hap": 0.3}, []
    for k in range(50):
        asked.clear()
        samples = say(weights, MAN, np.random.default_rng(k))
        assert sorted(samples.tolist()) == samples.tolist()  # in their order
        neutral = {"neu": 1.0}
        assert [said for said, _, _ in asked] == [neutral, weights, neutral]
        strength = [expression for _, expression, _ in asked]
        assert strength == pytest.approx([1.1, STRONG * 1.1, 1.1])
        before, stretch, behind = (duration for *_, duration in asked)
        assert STRETCH[0] <= stretch <= STRETCH[1]
        assert before >= EDGE and behind >= EDGE - 1e-9
        assert WHOLE[0] <= before + stretch + behind <= WHOLE[1]
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
