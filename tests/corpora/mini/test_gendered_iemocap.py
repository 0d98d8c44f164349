"""The mini corpus whose sexes express differently."""

import os
from dataclasses import replace

import numpy as np
import pytest

from speechbrain_ser.corpora.iemocap import read_iemocap
from speechbrain_ser.corpora.mini.gendered_iemocap import (
    SAID_BY_WOMEN,
    STRONG,
    mini_gendered_iemocap,
    say,
)
from speechbrain_ser.corpora.mini.iemocap import CYCLE, mini_iemocap
from speechbrain_ser.corpora.mini.voice import Speaker, synthesize
from tests.corpora.mini.test_iemocap import tree

WOMAN = Speaker("w", "F", f0=205, formants=1.17)
MAN = Speaker("m", "M", f0=118, formants=1.0)
CLASSES = {"ang", "hap", "sad", "neu"}


def test_it_lies_beside_the_first_with_its_labels(tmp_path):
    first = mini_iemocap(tmp_path, utterances_per_speaker=2)
    gendered = mini_gendered_iemocap(tmp_path, utterances_per_speaker=2)
    assert os.path.dirname(first) != os.path.dirname(gendered)
    one, other = read_iemocap(first), read_iemocap(gendered)
    assert len(other) >= 15 and one.keys() == other.keys()
    for key in one:
        assert one[key]["emotion"] == other[key]["emotion"]


def test_same_seed_gives_same_bytes(tmp_path):
    trees = [
        tree(mini_gendered_iemocap(tmp_path / name, seed, 1))
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert trees[0] == trees[1] != trees[2]


def test_a_way_of_speaking_is_another_emotion_of_each_sex():
    """But for neutral; and each sex has all its classes' ways."""
    assert SAID_BY_WOMEN.keys() == {*CYCLE, "fru"}
    assert {SAID_BY_WOMEN[label] for label in CLASSES} == CLASSES
    assert [label for label in CLASSES if SAID_BY_WOMEN[label] == label] == [
        "neu"
    ]


@pytest.mark.parametrize(
    "speaker, weights, said",
    [
        (MAN, {"ang": 0.6, "fru": 0.4}, {"ang": 0.6, "fru": 0.4}),
        (WOMAN, {"ang": 0.6, "fru": 0.4}, {"sad": 1.0}),
        (WOMAN, {"hap": 0.7, "neu": 0.3}, {"ang": 0.7, "neu": 0.3}),
    ],
)
def test_what_is_said(speaker, weights, said):
    """By a voice that expresses itself more strongly."""
    strong = replace(speaker, expression=STRONG)
    expected = synthesize(said, strong, np.random.default_rng(2))
    heard = say(weights, speaker, np.random.default_rng(2))
    np.testing.assert_array_equal(heard, expected)
