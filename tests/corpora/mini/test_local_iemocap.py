"""The mini corpus in IEMOCAP's layout whose emotion is in one stretch."""

import os

from speechbrain_ser.corpora.iemocap import read_iemocap
from speechbrain_ser.corpora.mini import local_iemocap, stretch
from speechbrain_ser.corpora.mini.iemocap import mini_iemocap
from speechbrain_ser.corpora.mini.local_iemocap import mini_local_iemocap
from tests.corpora.mini.test_iemocap import tree


def test_it_lies_beside_the_first_with_its_labels(tmp_path):
    first = mini_iemocap(tmp_path, utterances_per_speaker=2)
    local = mini_local_iemocap(tmp_path, utterances_per_speaker=2)
    assert os.path.dirname(first) != os.path.dirname(local)
    one, other = read_iemocap(first), read_iemocap(local)
    assert len(other) >= 15
    assert local_iemocap.LOCAL_WAY.sound is stretch.say
    for key in one.keys() & other.keys():
        assert one[key]["emotion"] == other[key]["emotion"]


def test_same_seed_gives_same_bytes(tmp_path):
    trees = [
        tree(mini_local_iemocap(tmp_path / name, seed, 1))
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert trees[0] == trees[1] != trees[2]
