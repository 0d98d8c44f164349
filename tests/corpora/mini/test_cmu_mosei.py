"""The mini corpus in CMU-MOSEI's layout: its bytes, ratings and voices."""

import json
import os
import time
from collections import Counter

import h5py
import numpy as np
import pytest
import soundfile

from speechbrain_ser.corpora.cmu_mosei import read_cmu_mosei
from speechbrain_ser.corpora.iemocap import read_iemocap
from speechbrain_ser.corpora.mini.cmu_mosei import (
    CYCLE,
    TARGETS,
    draw_ratings,
    mini_mosei,
)
from speechbrain_ser.corpora.mini.voice import (
    FIRST_LANGUAGE,
    PROSODY,
    SECOND_LANGUAGE,
    draw_speaker,
)
from speechbrain_ser.corpora.protocols.cmu_mosei import four_classes
from speechbrain_ser.utils.audio import load_audio
from speechbrain_ser.utils.errors import InputError
from tests.corpora.mini.test_iemocap import (
    long_term_spectrum,
    mean_f0,
    mean_log_mel,
    tree,
)

LABELS = "CMU_MOSEI_Labels.csd"
SOUND = os.path.join("Raw", "Audio", "Full", "WAV_16000")
COLUMNS = ["sentiment", "happy", "sad", "anger", "surprise", "disgust", "fear"]


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """Makes the default corpus, which the tests only read."""
    return mini_mosei(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def read(release):
    """What the reader makes of it."""
    return read_cmu_mosei(release)


@pytest.fixture(scope="module")
def labels(release):
    """What the file of labels says: video -> (features, intervals)."""
    with h5py.File(os.path.join(release, LABELS)) as file:
        return {
            video: (group["features"][()], group["intervals"][()])
            for video, group in file["All Labels/data"].items()
        }


def test_same_seed_gives_same_bytes(tmp_path):
    """Whatever the time; another seed gives others, of every file."""
    one = tree(mini_mosei(tmp_path / "a", videos=2))
    time.sleep(1.1)  # HDF5 files may hold the second at which they are made.
    same = tree(mini_mosei(tmp_path / "b", videos=2))
    other = tree(mini_mosei(tmp_path / "c", 1, videos=2))
    assert one == same and set(one) == set(other)
    fixed = {name for name in one if "._" in name or name == "README.txt"}
    assert {name for name in one if one[name] == other[name]} == fixed
    assert len(set(one) - fixed) == 1 + 2


def test_second_call_leaves_the_tree(tmp_path):
    """It is the user's."""
    path = mini_mosei(tmp_path, videos=1)
    readme = os.path.join(path, "README.txt")
    with open(readme, "a", encoding="utf-8") as file:
        file.write("mine\n")
    assert mini_mosei(tmp_path, videos=1) == path
    with open(readme, encoding="utf-8") as file:
        assert file.read().endswith("mine\n")
    assert os.listdir(tmp_path) == ["mini_mosei-v1-seed0-1"]


def test_cache_folder_comes_from_the_environment(tmp_path, monkeypatch):
    """As for the other mini corpora."""
    monkeypatch.setenv("SPEECHBRAIN_SER_CACHE", str(tmp_path))
    assert mini_mosei(videos=1).startswith(str(tmp_path))


@pytest.mark.parametrize("seed, count", [(-1, 12), (0, 0)])
def test_bad_arguments(tmp_path, seed, count):
    """Refused before anything is written."""
    with pytest.raises(
        InputError, match="is -?[0-9]+: give a whole number from"
    ):
        mini_mosei(tmp_path, seed, count)
    assert os.listdir(tmp_path) == []


def test_the_layout_is_the_releases(release, labels):
    """With decoys, odd ids, and labels without sound."""
    assert sorted(os.listdir(release)) == [
        f"._{LABELS}",
        LABELS,
        "README.txt",
        "Raw",
    ]
    with open(os.path.join(release, "README.txt"), encoding="utf-8") as file:
        assert file.readline().startswith("This is NOT CMU-MOSEI. ")
    files = sorted(os.listdir(os.path.join(release, SOUND)))
    decoys = [file for file in files if file.startswith("._")]
    assert len(decoys) == 1 and decoys[0][2:] in files
    videos = {file[:-4] for file in files if file not in decoys}
    assert len(videos) == 12
    assert set(labels) - videos == {"mini_silent"}
    assert {len(video) for video in labels} == {6, 11}
    assert {video[0] for video in videos} == {"-", "_", "m", "0"}
    assert any(video.endswith("_") for video in videos)
    for name in (f"._{LABELS}", os.path.join(SOUND, decoys[0])):
        with open(os.path.join(release, name), "rb") as file:
            assert file.read(4) == b"\x00\x05\x16\x07"


def test_the_file_of_labels(release):
    """Kinds, shapes and metadata as the SDK writes them."""
    with h5py.File(os.path.join(release, LABELS)) as file:
        assert list(file) == ["All Labels"]
        assert list(file["All Labels"]) == ["data", "metadata"]
        metadata = file["All Labels/metadata"]
        for name in metadata:
            assert metadata[name].shape == (1,)
            json.loads(metadata[name][0])
        assert json.loads(metadata["dimension names"][0]) == COLUMNS
        assert json.loads(metadata["root name"][0]) == "All Labels"
        for group in file["All Labels/data"].values():
            assert sorted(group) == ["features", "intervals"]
            assert group["features"].dtype == np.float32
            assert group["intervals"].dtype == np.float64
            count = len(group["features"])
            assert group["features"].shape == (count, 7)
            assert group["intervals"].shape == (count, 2)


def test_ratings_are_means_of_three(labels):
    """Thirds within the scales; several emotions, one, or none."""
    ratings = np.concatenate([values for values, _ in labels.values()])
    ratings = ratings.astype(float)
    np.testing.assert_allclose(3 * ratings, np.rint(3 * ratings), atol=1e-5)
    assert ratings[:, 0].min() >= -3 and ratings[:, 0].min() < -1
    assert ratings.max() <= 3 and ratings[:, 0].max() > 1
    assert ratings[:, 1:].min() == 0 and not np.signbit(ratings[:, 1:]).any()
    several = Counter((ratings[:, 1:] > 0).sum(axis=1))
    assert several[0] >= 8 and several[1] >= 20 and several[2] >= 5
    # A third is a rating that not all annotators gave.
    assert (np.abs(ratings * 3 % 3) > 0.5).mean() > 0.1


def test_ratings_follow_the_emotions():
    """Zero stays zero, and shares count."""
    rng = np.random.default_rng(0)
    for emotion, target in TARGETS.items():
        drawn = [draw_ratings({emotion: 1.0}, rng) for _ in range(200)]
        np.testing.assert_allclose(np.mean(drawn, axis=0), target, atol=0.15)
        zero = np.array(target[1:]) == 0
        assert not np.array(drawn)[:, 1:][:, zero].any()
    both = [draw_ratings({"ang": 0.6, "sad": 0.4}, rng) for _ in range(200)]
    mean = np.mean(both, axis=0)
    assert mean[2] == pytest.approx(0.88, abs=0.15)
    assert mean[3] == pytest.approx(1.32, abs=0.15)


def test_intervals(release, labels):
    """Out of order, overlapping, and one beyond each end."""
    unordered, overlaps, early, late, lengths = 0, 0, [], [], []
    for video, (_, intervals) in labels.items():
        lengths += [*(intervals[:, 1] - intervals[:, 0])]
        np.testing.assert_allclose(intervals, np.round(intervals, 3), atol=0)
        if video == "mini_silent":
            continue
        assert 4 <= len(intervals) <= 5
        unordered += (np.diff(intervals[:, 0]) < 0).any()
        ordered = intervals[np.argsort(intervals[:, 0])]
        overlaps += (ordered[1:, 0] < ordered[:-1, 1]).sum()
        early += [video] * (intervals[:, 0] < 0).sum()
        path = os.path.join(release, SOUND, f"{video}.wav")
        info = soundfile.info(path)
        assert (info.samplerate, info.channels) == (16000, 1)
        assert info.subtype == "PCM_16"
        late += [video] * (intervals[:, 1] > info.duration).sum()
        samples, _ = soundfile.read(path)
        assert 0.05 < np.abs(samples).max() < 0.97
    assert unordered >= 10 and overlaps >= 5
    assert early == ["-mini_mos00"] and late == ["000011"]
    assert min(lengths) > 1 and max(lengths) < 3


def test_speech_lies_in_the_segments(release, labels):
    """And next to nothing outside of them."""
    for video, (_, intervals) in labels.items():
        path = os.path.join(release, SOUND, f"{video}.wav")
        if os.path.isfile(path):
            samples, _ = soundfile.read(path)
            outside = np.ones(len(samples), bool)
            for start, end in np.rint(16000 * intervals).astype(int):
                outside[max(start, 0) : end] = False
                assert samples[max(start, 0) : end].std() > 0.01
            assert 0 < samples[outside].std() < 0.001


@pytest.mark.parametrize("videos", [1, 2, 3])
def test_few_videos_have_the_quirks_too(tmp_path, videos):
    """A missing recording, and one segment cut at each end."""
    annotation = read_cmu_mosei(mini_mosei(tmp_path, videos=videos))
    assert len(annotation) == 4 * videos + videos // 2
    assert len({row["what"] for row in annotation.odd}) == 3
    assert [row["usual"] for row in annotation.odd] == ["yes"] * 3


def test_the_reader_reads_it(read):
    """All segments but those without sound; each quirk is told."""
    assert len(read) == 54
    assert len({entry["video"] for entry in read.values()}) == 12
    missing, early, late = (row["what"] for row in read.odd)
    assert missing == "Videos, of 13, without a recording"
    assert read.odd[0]["entry"] == "mini_silent"
    assert early == "Segments that begin before their recording"
    assert late == "Segments that end after their recording"


def test_four_classes_of_it(read):
    """No class is rare or in most segments, and some segments have none."""
    kept = four_classes(read)
    assert 4 <= len(read) - len(kept) <= 10
    present = Counter(w for e in kept.values() for w in e["present"])
    assert set(present) == {"ang", "hap", "sad", "neu"}
    assert max(present.values()) < 0.4 * len(kept)
    assert min(present.values()) > 0.2 * len(kept)
    assert any(len(entry["present"]) == 2 for entry in kept.values())


def test_the_voices_are_those_of_the_mini_iemocap(release, read):
    """The first language, women and men."""
    assert {name for weights in CYCLE for name in weights} <= set(PROSODY)
    people = [
        draw_speaker(f"{k}", "FM"[k % 2], np.random.default_rng(k))
        for k in range(4)
    ]
    first, second = (
        np.mean([long_term_spectrum(p, language) for p in people], axis=0)
        for language in (FIRST_LANGUAGE, SECOND_LANGUAGE)
    )
    pitch, spectra = [], []
    for video in sorted({entry["video"] for entry in read.values()}):
        path = os.path.join(release, SOUND, f"{video}.wav")
        samples, _ = soundfile.read(path, stop=160000)
        spectra.append(mean_log_mel(samples))
        pitch.append(mean_f0(samples))
    spectrum = np.mean(spectra, axis=0)
    spectrum -= spectrum.mean()
    near, far = (
        np.sqrt(np.mean((spectrum - language) ** 2))
        for language in (first, second)
    )
    assert near < far / 2
    assert sum(f0 > 180 for f0 in pitch) >= 4 <= sum(f0 < 180 for f0 in pitch)


def describe(entry):
    """Level, its range, pitch and spectrum of a segment."""
    samples = load_audio(entry).numpy().astype(float)
    bands = mean_log_mel(samples)
    frames = samples[: len(samples) // 400 * 400].reshape(-1, 400)
    energy = np.log(frames.std(axis=1) + 1e-4)
    return np.array(
        [
            *np.percentile(energy, (25, 50, 90)),
            np.log(mean_f0(samples)),
            bands[:4].mean() - bands[12:].mean(),
            bands[18:].mean(),
        ]
    )


def test_what_the_mini_iemocap_teaches_holds_here(mini_folder, read):
    """Nearest means of a few features do clearly better than one class."""
    groups = {"ang": [], "hap": [], "sad": [], "neu": []}
    for entry in read_iemocap(mini_folder).values():
        word = {"exc": "hap"}.get(entry["emotion"], entry["emotion"])
        if word in groups:
            groups[word].append(describe(entry))
    spread = np.std(np.concatenate([*groups.values()]), axis=0)
    means = {word: np.mean(group, axis=0) for word, group in groups.items()}
    kept, right = four_classes(read), 0
    for entry in kept.values():
        here = describe(entry)
        nearest = min(
            means, key=lambda word: np.sum(((here - means[word]) / spread) ** 2)
        )
        right += nearest in entry["present"]
    most = Counter(w for e in kept.values() for w in e["present"])
    assert right > 1.4 * max(most.values())
