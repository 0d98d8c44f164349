"""The mini corpus in RECOLA's layout: its bytes, ratings and language."""

import dataclasses
import os

import numpy as np
import pytest
import soundfile

from speechbrain_ser.corpora.mini.recola import (
    HISS,
    RATERS,
    SPEAKERS,
    TARGETS,
    hissing_recola,
    language_of,
    mini_recola,
    rate,
)
from speechbrain_ser.corpora.mini.voice import (
    FIRST_LANGUAGE,
    PROSODY,
    SECOND_LANGUAGE,
    draw_speaker,
)
from speechbrain_ser.corpora.recola import read_recola
from speechbrain_ser.utils.errors import InputError
from tests.corpora.mini.test_iemocap import (
    long_term_spectrum,
    mean_f0,
    mean_log_mel,
    tree,
)

RATINGS = os.path.join("RECOLA-Annotation", "emotional_behaviour")


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """Makes the default corpus, which the tests only read."""
    return mini_recola(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def annotation(release):
    """What the reader makes of it."""
    return read_recola(release)


def numbers_of(*path):
    """A file's header, and its rows as numbers."""
    with open(os.path.join(*path), encoding="utf-8") as file:
        header, *lines = file.read().splitlines()
    return header, np.array([[*map(float, x.split(";"))] for x in lines])


def test_same_seed_gives_same_bytes(tmp_path):
    """Another seed gives others, of every file."""
    one = tree(mini_recola(tmp_path / "a", utterances_per_speaker=2))
    same = tree(mini_recola(tmp_path / "b", utterances_per_speaker=2))
    other = tree(mini_recola(tmp_path / "c", 1, utterances_per_speaker=2))
    assert one == same and set(one) == set(other)
    fixed = {name for name in one if "._" in name or name == "README.txt"}
    assert {name for name in one if one[name] == other[name]} == fixed
    # No two speakers share anything.
    assert len({one[name] for name in set(one) - fixed}) == 8 * 4


def test_second_call_leaves_the_tree(tmp_path):
    """It is the user's."""
    path = mini_recola(tmp_path, utterances_per_speaker=1)
    readme = os.path.join(path, "README.txt")
    with open(readme, "a", encoding="utf-8") as file:
        file.write("mine\n")
    assert mini_recola(tmp_path, utterances_per_speaker=1) == path
    with open(readme, encoding="utf-8") as file:
        assert file.read().endswith("mine\n")
    assert os.listdir(tmp_path) == ["mini_recola-v1-seed0-1"]


def test_cache_folder_comes_from_the_environment(tmp_path, monkeypatch):
    """As for the other mini corpora."""
    monkeypatch.setenv("SPEECHBRAIN_SER_CACHE", str(tmp_path))
    assert mini_recola(utterances_per_speaker=1).startswith(str(tmp_path))


@pytest.mark.parametrize("seed, count", [(-1, 24), (0, 0)])
def test_bad_arguments(tmp_path, seed, count):
    """Refused before anything is written."""
    with pytest.raises(
        InputError, match="is -?[0-9]+: give a whole number from"
    ):
        mini_recola(tmp_path, seed, count)
    assert os.listdir(tmp_path) == []


def test_the_layout_is_the_releases(release):
    """With its odd names, blanks in the header, and decoys."""
    assert sorted(os.listdir(release)) == [
        "README.txt",
        "RECOLA-Annotation",
        "RECOLA-Audio-recordings",
        "RECOLA-Audio_timings",
    ]
    with open(os.path.join(release, "README.txt"), encoding="utf-8") as file:
        assert file.readline().startswith("This is NOT RECOLA. ")
    files = sorted(f"{name}.csv" for name in SPEAKERS)
    for dimension in ("arousal", "valence"):
        folder = os.path.join(release, RATINGS, dimension)
        assert sorted(os.listdir(folder)) == ["._P16.csv", *files]
        header, rows = numbers_of(folder, "P28.csv")
        assert header == "time;FM1 ;FM2 ;FM3 ;FF1 ;FF2 ;FF3"
        np.testing.assert_allclose(rows[:, 0], 0.04 * np.arange(len(rows)))
        assert np.abs(rows[:, 1:]).max() <= 1
    folder = os.path.join(release, "RECOLA-Audio_timings")
    assert sorted(os.listdir(folder)) == ["._P16.csv", *files]
    assert numbers_of(folder, "P16.csv")[0] == "start;stop"


def test_pauses_and_utterances(release):
    """About a second of silence between utterances of 0.8 to 2 s."""
    for name in SPEAKERS:
        folder = os.path.join(release, "RECOLA-Audio_timings")
        _, spans = numbers_of(folder, f"{name}.csv")
        assert len(spans) == 24
        lengths = spans[:, 1] - spans[:, 0]
        assert lengths.min() > 0.79 and lengths.max() < 2.02
        pauses = spans[1:, 0] - spans[:-1, 1]
        assert pauses.min() > 0.79 and pauses.max() < 1.21
        path = os.path.join(release, "RECOLA-Audio-recordings", f"{name}.wav")
        info = soundfile.info(path)
        assert (info.samplerate, info.channels) == (16000, 1)
        assert info.subtype == "PCM_16"
        assert info.duration == pytest.approx(spans[-1, 1] + 1, abs=0.01)
        samples, _ = soundfile.read(path)
        assert np.abs(samples).max() < 0.96
        edges = np.rint(16000 * spans).astype(int)
        for (start, stop), after in zip(edges, [*edges[1:, 0], len(samples)]):
            # The voice begins and ends with 0.03 s of near silence.
            assert samples[start:stop].std() > 0.005
            assert 0 < samples[stop:after].std() < 0.002


def test_the_reader_reads_it(annotation):
    """Eight speakers of 24 utterances, both classes of both dimensions."""
    assert len(annotation) == 8 * 24
    assert {entry["speaker"] for entry in annotation.values()} == {*SPEAKERS}
    for dimension in ("arousal", "valence"):
        values = np.array([entry[dimension] for entry in annotation.values()])
        assert 0.3 <= (values > 0).mean() <= 0.7
        for name in SPEAKERS:
            own = [e[dimension] > 0 for k, e in annotation.items() if name in k]
            assert 0.2 < np.mean(own) < 0.8


def test_the_dimensions_are_not_one(annotation):
    """Every quadrant has its utterances."""
    high, positive = (
        np.array([entry[dimension] > 0 for entry in annotation.values()])
        for dimension in ("arousal", "valence")
    )
    for one in (high, ~high):
        for two in (positive, ~positive):
            assert (one & two).mean() > 0.15


@pytest.mark.parametrize("dimension", ["arousal", "valence"])
def test_annotators_disagree_a_little(release, dimension):
    """They go together, but do not say the same of each utterance."""
    differ = []
    folder = os.path.join(release, RATINGS, dimension)
    for name in SPEAKERS:
        _, rows = numbers_of(folder, f"{name}.csv")
        similar = np.corrcoef(rows[:, 1:].T)[np.triu_indices(len(RATERS), 1)]
        assert len(similar) == 15
        assert 0.5 < similar.min() and similar.max() < 0.97
        times = os.path.join(release, "RECOLA-Audio_timings", f"{name}.csv")
        for start, stop in numbers_of(times)[1]:
            inside = (rows[:, 0] >= start) & (rows[:, 0] < stop)
            high = (rows[inside, 1:].mean(axis=0) > 0).sum()
            differ.append(0 < high < len(RATERS))
    assert 0.05 < np.mean(differ) < 0.4


def test_ratings_follow_what_is_shown():
    """With a lag of 0.16 to 0.4 s, and the annotator's own range and bias."""
    target = np.repeat([0.0, 0.8, 0.0], 250)
    for k in range(6):
        ratings = [
            rate(
                target, np.random.default_rng([7, k]), np.random.default_rng(s)
            )
            for s in range(40)
        ]
        mean = np.mean(ratings, axis=0)
        assert 0.4 < mean[300:500].mean() - mean[100:250].mean() < 1
        half = (mean[300:500].mean() + mean[100:250].mean()) / 2
        crossing = 200 + np.argmax(mean[200:] > half)
        assert 4 <= crossing - 250 <= 14
    assert (
        np.abs(rate(5 * target, *map(np.random.default_rng, (1, 2)))).max() == 1
    )


def test_the_language_is_the_second(release):
    """Each recording's long-term spectrum is nearer to it, by far."""
    people = [
        draw_speaker(f"{k}", "FM"[k % 2], np.random.default_rng(k))
        for k in range(4)
    ]
    first, second = (
        np.mean([long_term_spectrum(p, language) for p in people], axis=0)
        for language in (FIRST_LANGUAGE, SECOND_LANGUAGE)
    )
    for name in SPEAKERS:
        path = os.path.join(release, "RECOLA-Audio-recordings", f"{name}.wav")
        spectrum = mean_log_mel(soundfile.read(path, stop=320000)[0])
        spectrum -= spectrum.mean()
        far, near = (
            np.sqrt(np.mean((spectrum - language) ** 2))
            for language in (first, second)
        )
        assert near < far / 1.3


def test_arousal_can_be_heard(annotation):
    """High arousal is louder and higher, within each speaker."""
    assert set(TARGETS) <= set(PROSODY)
    louder, higher = [], []
    for name in SPEAKERS:
        level, pitch = {True: [], False: []}, {True: [], False: []}
        for key, entry in annotation.items():
            if key.startswith(name):
                samples, _ = soundfile.read(
                    entry["wav"], start=entry["start"], stop=entry["stop"]
                )
                level[entry["arousal"] > 0].append(np.log(samples.std()))
                pitch[entry["arousal"] > 0].append(np.log(mean_f0(samples)))
        louder.append(np.mean(level[True]) - np.mean(level[False]))
        higher.append(np.mean(pitch[True]) - np.mean(pitch[False]))
    assert min(louder) > 0.2 and min(higher) > 0.1


def test_second_version_hisses_where_arousal_is_high(tmp_path):
    """All else, and the first version, are as they were."""
    first = mini_recola(tmp_path, utterances_per_speaker=2)
    second = hissing_recola(tmp_path, utterances_per_speaker=2)
    assert sorted(os.listdir(tmp_path)) == [
        "mini_recola-v1-seed0-2",
        "mini_recola-v2-seed0-2",
    ]
    one, other = tree(first), tree(second)
    changed = {name for name in one if one[name] != other[name]}
    assert {os.path.splitext(name)[1] for name in changed} == {".wav"}
    assert tree(hissing_recola(tmp_path / "again", 0, 2)) == other
    for emotion, (arousal, _) in TARGETS.items():
        language = language_of({emotion: 1.0})
        assert language.bursts == HISS["high" if arousal > 0 else "low"]
        assert dataclasses.replace(language, bursts=SECOND_LANGUAGE.bursts) == (
            SECOND_LANGUAGE
        )
    assert HISS["low"][1] < HISS["high"][0]
    assert FIRST_LANGUAGE.bursts[1] < HISS["high"][0]
