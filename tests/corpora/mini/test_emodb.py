"""The mini corpora in EMO-DB's and RAVDESS's layout: bytes, labels, folds."""

import collections
import logging
import os
import statistics

import pytest

from speechbrain_ser.corpora.emodb import read_emodb
from speechbrain_ser.corpora.mini.emodb import SPEAKERS, mini_emodb
from speechbrain_ser.corpora.mini.ravdess import (
    ACTORS,
    EMOTIONS,
    mini_ravdess,
    weights_of,
)
from speechbrain_ser.corpora.protocols.named import PROTOCOLS
from speechbrain_ser.corpora.ravdess import COUNTS, read_ravdess
from speechbrain_ser.corpora.recordings import FOUR
from speechbrain_ser.utils.errors import InputError
from tests.corpora.mini.test_iemocap import tree


@pytest.fixture(scope="module")
def emodb(tmp_path_factory):
    """The mini EMO-DB with two sentences, which the tests only read."""
    return mini_emodb(tmp_path_factory.mktemp("cache"), sentences=2)


@pytest.fixture(scope="module")
def ravdess(tmp_path_factory):
    """The mini RAVDESS with one sentence, which the tests only read."""
    return mini_ravdess(tmp_path_factory.mktemp("cache"), sentences=1)


def test_same_seed_gives_same_bytes(tmp_path):
    """Another one other voices."""
    one = tree(mini_emodb(tmp_path / "a", sentences=1))
    assert one == tree(mini_emodb(tmp_path / "b", sentences=1))
    other = tree(mini_emodb(tmp_path / "c", seed=1, sentences=1))
    assert sorted(one) == sorted(other)
    same = {name for name in one if one[name] == other[name]}
    assert {os.path.basename(name) for name in same} == {
        "README.txt",
        "._03a01Wa.wav",
    }


def test_more_sentences_leave_the_first_ones(tmp_path, emodb):
    """As they were."""
    fewer, more = tree(mini_emodb(tmp_path, sentences=1)), tree(emodb)
    sounds = [name for name in fewer if name.endswith(".wav")]
    assert len(sounds) == 25
    assert all(fewer[name] == more[name] for name in sounds)


def test_a_second_call_leaves_the_tree(tmp_path, monkeypatch):
    """And takes the cache's folder from the environment."""
    monkeypatch.setenv("SPEECHBRAIN_SER_CACHE", str(tmp_path))
    path = mini_emodb(sentences=1)
    assert path.startswith(str(tmp_path))
    with open(os.path.join(path, "README.txt"), "a") as file:
        file.write("mine\n")
    assert mini_emodb(sentences=1) == path
    with open(os.path.join(path, "README.txt")) as file:
        assert file.read().endswith("mine\n")


@pytest.mark.parametrize("make", [mini_emodb, mini_ravdess])
@pytest.mark.parametrize("seed, count", [(-1, 1), (0, 0), (0, 9)])
def test_bad_arguments(tmp_path, make, seed, count):
    """By one sentence."""
    with pytest.raises(InputError, match="is -?[0-9]: give a whole number"):
        make(tmp_path, seed, count)


def test_emodb_is_read_as_the_release(emodb, logged):
    """All speakers say all sentences in four classes; it says what it is."""
    read = read_emodb(emodb)
    assert len(read) == 6 * 4 * 2 and read.odd == []
    assert [level for level, _ in logged] == [logging.INFO]
    count = collections.Counter(
        (e["speaker"], e["gender"], e["emotion"]) for e in read.values()
    )
    assert count == {
        (speaker, gender, word): 2
        for speaker, gender in SPEAKERS.items()
        for word in FOUR
    }
    heard = [entry["agreement"] for entry in read.values()]
    assert min(heard) >= 0.8 and max(heard) == 1.0
    assert statistics.median(heard) > min(heard)
    assert all(0.8 <= e["duration"] <= 2 for e in read.values())


def test_ravdess_is_read_as_the_release(ravdess, logged):
    """Eight emotions, two intensities but of neutral."""
    read = read_ravdess(ravdess, list(COUNTS))
    assert len(read) == len(ACTORS) * 30 and read.odd == []
    assert [level for level, _ in logged] == [logging.INFO]
    count = collections.Counter(
        (e["emotion"], e["intensity"]) for e in read.values()
    )
    assert len(count) == 15 and set(count.values()) == {12}
    assert ("neutral", "strong") not in count
    assert len(read_ravdess(ravdess)) == len(ACTORS) * 14


def test_what_is_said_strongly_is_further_from_neutral():
    """In the blend of each emotion; weights add up to one."""
    for emotion in EMOTIONS:
        normal, strong = (weights_of(emotion, word) for word in ("01", "02"))
        assert sum(normal.values()) == sum(strong.values()) == 1
        if emotion != "01":
            assert normal.get("neu", 0) > strong.get("neu", 0)
    assert weights_of("01", "01") == {"neu": 1.0}


@pytest.mark.parametrize(
    "name", [n for n in PROTOCOLS if n.startswith(("emodb-", "ravdess-"))]
)
def test_each_protocol_splits_its_mini_corpus(name, emodb, ravdess):
    """The first fold, in which each part has all classes."""
    labels = PROTOCOLS[name].reading["labels"]
    read = read_emodb(emodb, labels) if name.startswith("emodb") else None
    read = read or read_ravdess(ravdess, labels)
    for enrolment in (0, 1):
        if enrolment and name.startswith("emodb"):
            continue  # two sentences are too few
        parts = PROTOCOLS[name].split(read, 1, enrolment=enrolment)
        assert {e["emotion"] for e in parts["train"].values()} == set(labels)
        assert all(parts.values())
