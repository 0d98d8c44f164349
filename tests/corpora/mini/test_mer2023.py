"""The mini corpus in MER2023's layout: its bytes, labels and voices."""

import collections
import csv
import os

import numpy as np
import pytest
import soundfile

from speechbrain_ser.corpora import mer2023
from speechbrain_ser.corpora.mer2023 import LABELS, read_mer2023
from speechbrain_ser.corpora.mini.mer2023 import (
    VALENCE,
    VOICES,
    class_sizes,
    draw_valence,
    mini_mer2023,
)
from speechbrain_ser.corpora.mini.voice import PROSODY, Speaker, synthesize
from speechbrain_ser.corpora.protocols import named as named_protocols
from speechbrain_ser.utils.errors import InputError
from tests.corpora.mini.test_iemocap import mean_f0, tree


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """Makes the default corpus, which the tests only read."""
    return mini_mer2023(tmp_path_factory.mktemp("cache"))


def rows_of(*path):
    """The rows of a label file, header first."""
    with open(os.path.join(*path), encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def test_same_seed_gives_same_bytes(tmp_path):
    one = tree(mini_mer2023(tmp_path / "a", utterances=12))
    same = tree(mini_mer2023(tmp_path / "b", utterances=12))
    other = tree(mini_mer2023(tmp_path / "c", seed=1, utterances=12))
    assert one == same
    shared = [name for name in one if name in other and "._" not in name]
    labels = [name for name in shared if name.endswith(".csv")]
    assert len(labels) == 3
    assert all(one[name] != other[name] for name in labels)
    sounds = {data for name, data in one.items() if name.endswith(".wav")}
    others = {data for name, data in other.items() if name.endswith(".wav")}
    # All but the decoys, which are one.
    assert len(sounds) == 12 + 6 + 6 + 1 and len(sounds & others) == 1


def test_second_call_leaves_the_tree(tmp_path):
    path = mini_mer2023(tmp_path, utterances=6)
    readme = os.path.join(path, "README.txt")
    with open(readme, "a", encoding="utf-8") as file:
        file.write("mine\n")
    assert mini_mer2023(tmp_path, utterances=6) == path
    with open(readme, encoding="utf-8") as file:
        assert file.read().endswith("mine\n")
    assert os.listdir(tmp_path) == ["mini_mer2023-v1-seed0-6"]


def test_cache_folder_comes_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("SPEECHBRAIN_SER_CACHE", str(tmp_path))
    assert mini_mer2023(utterances=6).startswith(str(tmp_path))


@pytest.mark.parametrize("seed, count", [(-1, 300), (0, 5), (0, 5001)])
def test_bad_arguments(tmp_path, seed, count):
    with pytest.raises(
        InputError, match="is -?[0-9]+: give a whole number from"
    ):
        mini_mer2023(tmp_path, seed, count)


@pytest.mark.parametrize("count", [6, 7, 13, 75, 300, 3373, 5000])
def test_every_class_has_clips_and_all_make_the_total(count):
    sizes = class_sizes(count)
    assert list(sizes) == list(LABELS)
    assert sum(sizes.values()) == count
    assert min(sizes.values()) >= max(1, count // 15)


def test_classes_are_about_as_frequent_as_in_the_release():
    """The rarest is more frequent, at neutral's cost."""
    release = dict(zip(LABELS, mer2023.EXPECTED_COUNTS["train"]))
    sizes = class_sizes(3373)
    for label in ("angry", "happy", "sad", "worried"):
        assert sizes[label] == release[label]
    more = sizes["surprise"] - release["surprise"]
    assert more > 0 and sizes["neutral"] == release["neutral"] - more


def test_the_layout_is_the_first_one(release):
    assert sorted(os.listdir(release)) == [
        "README.txt",
        "mer2023train",
        "test-labels",
        "test1",
    ]
    train = os.path.join(release, "mer2023train")
    assert sorted(os.listdir(train)) == [
        "._train-label.csv",
        "test3",
        "train",
        "train-label.csv",
    ]
    with open(os.path.join(release, "README.txt"), encoding="utf-8") as file:
        assert file.readline().startswith("This is NOT MER2023")
    names = os.listdir(os.path.join(train, "train"))
    decoys = [name for name in names if name.startswith("._")]
    assert len(decoys) == 1 and decoys[0][2:] in names
    assert len(names) == 301


def test_the_label_files(release):
    train = rows_of(release, "mer2023train", "train-label.csv")
    test1 = rows_of(release, "test-labels", "test1-label.csv")
    test3 = rows_of(release, "test-labels", "test3-label.csv")
    assert train[0] == test1[0] == ["name", "discrete", "valence"]
    assert test3[0] == ["name", "discrete"]
    counts = collections.Counter(row[1] for row in train[1:])
    assert counts == class_sizes(300) and min(counts.values()) >= 20
    # Neither by class nor by number.
    assert train[1:] != sorted(train[1:])
    assert train[1:] != sorted(train[1:], key=lambda row: row[1])
    names = [row[0] for row in train[1:] + test1[1:] + test3[1:]]
    assert len(names) == len({name[-8:] for name in names}) == 360
    assert all(name.startswith("samplenew_") for name in names[-30:])
    assert all(name.startswith("sample_") for name in names[:-30])
    for row in train[1:] + test1[1:]:
        value = float(row[2])
        assert -5 <= value <= 4.25 and (4 * value).is_integer()


def test_the_reader_reads_it(release):
    for part, count in (("train", 300), ("test1", 30), ("test3", 30)):
        annotation = read_mer2023(release, part=part)
        assert len(annotation) == count
        assert {entry["emotion"] for entry in annotation.values()} == {*LABELS}
    parts = named_protocols.split(
        "mer2023-5fold@1", read_mer2023(release), fold=5
    )
    sizes = [len(parts[part]) for part in ("train", "valid", "test")]
    assert sum(sizes) == 300 and sizes[2] == 60 and 22 <= sizes[1] <= 26


def test_waves_are_sound(release):
    for entry in read_mer2023(release, part="test1").values():
        info = soundfile.info(entry["wav"])
        assert (info.samplerate, info.channels) == (16000, 1)
        assert info.subtype == "PCM_16" and 0.8 <= info.duration <= 2.0
        samples, _ = soundfile.read(entry["wav"])
        assert samples.std() > 0.005 and np.abs(samples).max() < 0.96


def test_valence_goes_by_emotion(release):
    """Its order of the classes is the table's."""
    values = collections.defaultdict(list)
    for entry in read_mer2023(release).values():
        values[entry["emotion"]].append(entry["valence"])
    means = {label: np.mean(values[label]) for label in LABELS}
    assert means["happy"] > means["surprise"] > means["worried"]
    assert means["neutral"] > means["worried"] > means["angry"]
    assert means["worried"] > means["sad"]
    assert all(np.std(values[label]) > 0.3 for label in LABELS)


def test_valence_is_clipped(monkeypatch):
    """To the release's range."""
    monkeypatch.setitem(VALENCE, "happy", (40.0,))
    monkeypatch.setitem(VALENCE, "sad", (-40.0,))
    rng = np.random.default_rng(0)
    assert draw_valence({"happy": 1.0}, rng) == 4.25
    assert draw_valence({"sad": 1.0}, rng) == -5


def test_each_emotion_has_a_voice_of_its_own():
    """Surprise is highest; worry is softer and faster than neutral speech."""
    assert set(VOICES) == set(LABELS) and set(VOICES.values()) <= set(PROSODY)
    assert len(set(VOICES.values())) == 6
    speaker = Speaker("w", "F", f0=205, formants=1.17)
    said = {
        emotion: [
            synthesize({voice: 1.0}, speaker, np.random.default_rng(k), 1.0)
            for k in range(12)
        ]
        for emotion, voice in VOICES.items()
    }
    f0 = {e: np.mean([mean_f0(x) for x in said[e]]) for e in LABELS}
    level = {e: np.mean([x.std() for x in said[e]]) for e in LABELS}
    assert f0["surprise"] > max(f0["happy"], f0["angry"]) > f0["neutral"]
    assert f0["worried"] > f0["neutral"] > f0["sad"]
    assert level["worried"] < level["neutral"] < level["surprise"]
