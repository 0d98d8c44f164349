"""The mini corpus in MER2023's layout whose emotion is in one stretch."""

import os
import pathlib

import numpy as np
import soundfile

from speechbrain_ser.corpora.mer2023 import read_mer2023
from speechbrain_ser.corpora.mini.local_mer2023 import mini_local_mer2023
from speechbrain_ser.corpora.mini.mer2023 import mini_mer2023
from speechbrain_ser.corpora.mini.stretch import WHOLE
from tests.corpora.mini.test_iemocap import tree


def loudest(path):
    """How far the loudest quarter second lies above the median one, in dB."""
    samples, rate = soundfile.read(path)
    power = np.convolve(samples**2, np.ones(rate // 4) / (rate // 4), "valid")
    return 10 * np.log10(power.max() / np.median(power))


def test_it_lies_beside_the_first_and_is_neutral_but_for_a_stretch(tmp_path):
    """Same labels and valences; the angry stretch stands out, once."""
    first = mini_mer2023(tmp_path, utterances=40)
    local = mini_local_mer2023(tmp_path, utterances=40)
    name = "mini_mer2023-v2-local-seed0-40"
    assert pathlib.Path(local).parts[-2:] == (name, "MER2023")
    one, other = read_mer2023(first), read_mer2023(local)
    assert one.keys() == other.keys() and len(one) >= 40
    gains = {"angry": [], "neutral": []}
    for key, entry in other.items():
        assert entry["emotion"] == one[key]["emotion"]
        assert entry.get("valence") == one[key].get("valence")
        assert WHOLE[0] - 0.01 <= entry["duration"] <= WHOLE[1] + 0.01
        if entry["emotion"] in gains:
            gains[entry["emotion"]].append(loudest(entry["wav"]))
    assert np.mean(gains["angry"]) > np.mean(gains["neutral"]) + 2
    by_first = [
        loudest(e["wav"]) for e in one.values() if e["emotion"] == "angry"
    ]
    assert np.mean(gains["angry"]) > np.mean(by_first) + 2


def test_same_seed_gives_same_bytes(tmp_path):
    """And another one others."""
    trees = [
        tree(mini_local_mer2023(os.path.join(tmp_path, name), seed, 6))
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert trees[0] == trees[1] != trees[2]
