"""The mini corpus whose speakers prefer emotions."""

import os
from collections import Counter

import numpy as np
import pytest

from speechbrain_ser.corpora.iemocap import read_iemocap
from speechbrain_ser.corpora.mini.habitual_iemocap import (
    HABIT,
    PREFERRED,
    draw_weights,
    mini_habitual_iemocap,
)
from speechbrain_ser.corpora.mini.iemocap import draw_label, mini_iemocap
from speechbrain_ser.corpora.mini.voice import Speaker
from tests.corpora.mini.test_iemocap import tree


def test_the_session_that_tests_is_that_of_the_first(tmp_path):
    """Byte for byte; the others lie beside it with other labels."""
    first = mini_iemocap(tmp_path, utterances_per_speaker=4)
    habitual = mini_habitual_iemocap(tmp_path, utterances_per_speaker=4)
    assert os.path.dirname(first) != os.path.dirname(habitual)
    one, other = tree(first), tree(habitual)
    session = {name for name in one if name.startswith("Session1")}
    assert len(session) > 10
    assert {name: one[name] for name in session} == {
        name: other[name] for name in other if name.startswith("Session1")
    }
    labels = [
        {key: entry["emotion"] for key, entry in read_iemocap(root).items()}
        for root in (first, habitual)
    ]
    assert len(labels[1]) >= 30 and labels[0] != labels[1]


def test_same_seed_gives_same_bytes(tmp_path):
    trees = [
        tree(mini_habitual_iemocap(tmp_path / name, seed, 1))
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert trees[0] == trees[1] != trees[2]


def test_habits():
    """Each class has as many who prefer it, a woman or a man of any session."""
    assert sorted(Counter(PREFERRED.values()).values()) == [2, 2, 2, 2]
    assert {name[:5] for name in PREFERRED} == {
        "Ses02",
        "Ses03",
        "Ses04",
        "Ses05",
    }
    for name in ("Ses01F", *PREFERRED):
        speaker = Speaker(name, name[-1], 150, 1.0)
        drawn, plain = [], []
        for index in range(400):
            rng = np.random.default_rng(index)
            weights = draw_weights(index, speaker, rng)
            label, precise = draw_label(index)
            drawn.append(next(iter(weights)))
            plain.append(label)
            assert (len(weights) == 1) == precise
        share = np.mean([label == PREFERRED.get(name) for label in drawn])
        before = np.mean([label == PREFERRED.get(name) for label in plain])
        expected = HABIT + (1 - HABIT) * before if name in PREFERRED else 0
        assert share == pytest.approx(expected, abs=0.08)
        assert (drawn == plain) == (name == "Ses01F")
