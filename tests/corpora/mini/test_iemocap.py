"""The mini corpus: its voice, and its layout."""

import glob
import multiprocessing
import os
import re
from collections import Counter

import numpy as np
import pytest
import soundfile

from speechbrain_ser.corpora.mini.iemocap import WORDS, majority, mini_iemocap
from speechbrain_ser.corpora.mini.voice import (
    FIRST_LANGUAGE,
    PROSODY,
    SECOND_LANGUAGE,
    Speaker,
    draw_speaker,
    draw_syllables,
    synthesize,
)
from speechbrain_ser.utils.errors import InputError

WOMAN = Speaker("w", "F", f0=205, formants=1.17)
MAN = Speaker("m", "M", f0=118, formants=1.0)
CODES = {word: code for code, word in WORDS.items()}


def tree(root):
    """Reads all files below a folder: relative path -> bytes."""
    files = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                files[os.path.relpath(path, root)] = file.read()
    return files


def mean_f0(samples, sample_rate=16000):
    """Estimates f0 by autocorrelation over the louder frames."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, 640)[::320]
    energy = (frames**2).sum(axis=1)
    frames = frames[energy > 0.1 * energy.max()]
    power = np.abs(np.fft.rfft(frames, 2048)) ** 2
    lags = np.arange(sample_rate // 500, sample_rate // 60)
    curve = np.fft.irfft(power)[:, lags] / (640 - lags)
    # The first lag that is nearly the best, so that no double period wins.
    near = curve > 0.9 * curve.max(axis=1, keepdims=True)
    return np.median(sample_rate / lags[near.argmax(axis=1)])


def voices(emotion, speaker, count=12):
    """Synthesizes some utterances of an emotion."""
    return [
        synthesize({emotion: 1.0}, speaker, np.random.default_rng(k), 1.0)
        for k in range(count)
    ]


def mean_log_mel(samples):
    """Means the log energies of 26 mel bands over the louder frames."""
    bounds = 700 * (10 ** (np.linspace(0, 2840, 28) / 2595) - 1)
    bins = np.arange(257) * 16000 / 512
    bands = [
        np.clip(np.minimum((bins - a) / (b - a), (c - bins) / (c - b)), 0, None)
        for a, b, c in zip(bounds, bounds[1:], bounds[2:])
    ]
    frames = np.lib.stride_tricks.sliding_window_view(samples, 400)[::160]
    power = np.abs(np.fft.rfft(frames * np.hamming(400), 512)) ** 2
    loud = power.sum(axis=1) > 0.05 * power.sum(axis=1).mean()
    return np.log(power[loud] @ np.transpose(bands)).mean(axis=0)


def long_term_spectrum(speaker, language):
    """Means those of some emotions, without the level."""
    spectra = []
    for k, emotion in enumerate(("neu", "hap", "sad", "ang")):
        rng = np.random.default_rng(k)
        samples = synthesize(
            {emotion: 1.0}, speaker, rng, 1.5, language=language
        )
        spectra.append(mean_log_mel(samples))
    mean = np.mean(spectra, axis=0)
    return mean - mean.mean()


def blocks(root):
    """Reads the evaluations: (turn, label, ballots of E, other lines)."""
    for path in glob.glob(f"{root}/Session*/dialog/EmoEvaluation/*.txt"):
        with open(path, encoding="utf-8") as file:
            header, *rest = file.read().split("\n\n")
        assert header == "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]"
        assert rest.pop() == ""
        for block in rest:
            first, *lines = block.split("\n")
            span, turn, label, _ = first.split("\t")
            assert re.fullmatch(r"\[\d+\.\d{4} - \d+\.\d{4}\]", span)
            assert turn.startswith(os.path.basename(path)[:-4])
            ballots = [
                [CODES[word] for word in re.findall(r"(\w+);", line)]
                for line in lines
                if line.startswith("C-E")
            ]
            yield turn, label, ballots, lines


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """Makes the default corpus, which the tests only read."""
    return mini_iemocap(tmp_path_factory.mktemp("cache"))


def test_synthesize_is_seeded_and_in_range():
    one, same = (
        synthesize({"ang": 0.6, "hap": 0.4}, MAN, np.random.default_rng(3))
        for _ in range(2)
    )
    other = synthesize({"ang": 0.6, "hap": 0.4}, MAN, np.random.default_rng(4))
    assert one.dtype == np.float32 and 12800 <= len(one) <= 32000
    assert np.abs(one).max() < 1
    np.testing.assert_array_equal(one, same)
    assert len(one) != len(other) or not np.array_equal(one, other)


def test_the_first_language_is_what_it_was():
    """Samples from before there were languages."""
    samples = synthesize(
        {"ang": 0.6, "hap": 0.4}, MAN, np.random.default_rng(3), 1.0
    )
    expected = [
        *(0.002479, 0.07275, 0.019252, -0.01676),
        *(0.053027, -0.001328, -0.020947, 0.09538),
    ]
    np.testing.assert_allclose(samples[1000::2000], expected, atol=2e-6)
    named = synthesize(
        {"ang": 0.6, "hap": 0.4},
        MAN,
        np.random.default_rng(3),
        1.0,
        language=FIRST_LANGUAGE,
    )
    np.testing.assert_array_equal(samples, named)


def test_languages_differ_more_than_speakers():
    """In the long-term spectrum; everybody is nearest to the own language."""
    people = [
        draw_speaker(f"{k}", "FM"[k % 2], np.random.default_rng(k))
        for k in range(6)
    ]
    first, second = (
        np.array([long_term_spectrum(person, language) for person in people])
        for language in (FIRST_LANGUAGE, SECOND_LANGUAGE)
    )

    def distance(one, other):
        """Root mean square over the bands."""
        return np.sqrt(((one - other) ** 2).mean(axis=-1))

    apart = distance(first.mean(axis=0), second.mean(axis=0))
    for own, other in ((first, second), (second, first)):
        near = distance(own, own.mean(axis=0))
        assert apart > 2 * near.mean()
        assert (distance(own, other.mean(axis=0)) > 1.2 * near).all()


def test_the_second_language_rises_at_the_end():
    """Where the first falls."""
    changes = {FIRST_LANGUAGE: [], SECOND_LANGUAGE: []}
    for language, values in changes.items():
        for k in range(12):
            samples = synthesize(
                {"neu": 1.0},
                MAN,
                np.random.default_rng(k),
                2.0,
                language=language,
            )
            parts = samples[8000:21000], samples[26500:]
            middle, end = (mean_f0(part) for part in parts)
            values.append(12 * np.log2(end / middle))
    first, second = map(np.median, changes.values())
    assert second > max(first + 2, 0.5)


def test_the_second_language_has_quick_even_syllables():
    """Between pauses."""
    rhythms = []
    for language in (FIRST_LANGUAGE, SECOND_LANGUAGE):
        prosody = PROSODY["neu"]._replace(
            pause=0, rate=PROSODY["neu"].rate * language.rate
        )
        begins = draw_syllables(
            prosody, language, 60.0, np.random.default_rng(0)
        )[:, 0]
        lengths = np.diff(begins)
        rhythms.append((lengths.mean(), lengths.std() / lengths.mean()))
    (first, first_spread), (second, second_spread) = rhythms
    assert second < 0.8 * first and second_spread < 0.3 * first_spread


@pytest.mark.parametrize("sample_rate", [16000, 22050])
def test_synthesize_takes_duration_and_rate(sample_rate):
    samples = synthesize(
        {"neu": 1}, MAN, np.random.default_rng(0), 3.0, sample_rate
    )
    assert len(samples) == 3 * sample_rate and np.isfinite(samples).all()


def test_pitch_and_energy_follow_emotion_and_gender():
    emotions = ("exc", "ang", "neu", "sad")
    for speaker in (WOMAN, MAN):
        said = {emotion: voices(emotion, speaker) for emotion in emotions}
        f0 = {e: np.mean([mean_f0(x) for x in said[e]]) for e in emotions}
        assert f0["exc"] > f0["ang"] > f0["neu"] > f0["sad"]
        level = {e: np.mean([x.std() for x in said[e]]) for e in emotions}
        assert level["ang"] > level["neu"] > level["sad"]
    for emotion in emotions:
        woman, man = voices(emotion, WOMAN), voices(emotion, MAN)
        assert np.mean([*map(mean_f0, woman)]) > np.mean([*map(mean_f0, man)])


def test_blend_lies_between():
    weights = {"ang": 0.5, "sad": 0.5}
    mixed = [
        synthesize(weights, MAN, np.random.default_rng(k), 1.0)
        for k in range(12)
    ]
    sad, both, angry = (
        np.mean([mean_f0(samples) for samples in group])
        for group in (voices("sad", MAN), mixed, voices("ang", MAN))
    )
    assert sad < both < angry


def test_same_seed_gives_same_bytes(tmp_path):
    one = tree(mini_iemocap(tmp_path / "a", utterances_per_speaker=3))
    same = tree(mini_iemocap(tmp_path / "b", utterances_per_speaker=3))
    other = tree(mini_iemocap(tmp_path / "c", 1, utterances_per_speaker=3))
    assert one == same
    waves = [name for name in one if name.endswith("_F000.wav")]
    assert all(one[name] != other[name] for name in waves if "._" not in name)


def test_second_call_leaves_the_tree(tmp_path):
    path = mini_iemocap(tmp_path, utterances_per_speaker=1)
    readme = os.path.join(path, "README.txt")
    with open(readme, "a", encoding="utf-8") as file:
        file.write("mine\n")
    assert mini_iemocap(tmp_path, utterances_per_speaker=1) == path
    with open(readme, encoding="utf-8") as file:
        assert file.read().endswith("mine\n")
    assert os.listdir(tmp_path) == ["mini_iemocap-v1-seed0-1"]


def test_cache_folder_comes_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("SPEECHBRAIN_SER_CACHE", str(tmp_path))
    path = mini_iemocap(utterances_per_speaker=1)
    assert path.startswith(str(tmp_path))


def test_two_processes_at_once(tmp_path):
    context = multiprocessing.get_context("fork")
    jobs = [
        context.Process(target=mini_iemocap, args=(tmp_path, 0, 2))
        for _ in range(2)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [job.exitcode for job in jobs] == [0, 0]
    assert os.listdir(tmp_path) == ["mini_iemocap-v1-seed0-2"]
    whole = tree(mini_iemocap(tmp_path / "alone", utterances_per_speaker=2))
    assert tree(mini_iemocap(tmp_path, utterances_per_speaker=2)) == whole


def test_failure_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr("soundfile.write", fail)
    with pytest.raises(OSError, match="disk full"):
        mini_iemocap(tmp_path, utterances_per_speaker=1)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("seed, count", [(-1, 40), (0, 0)])
def test_bad_arguments(tmp_path, seed, count):
    with pytest.raises(
        InputError, match="is -?[0-9]+: give a whole number from"
    ):
        mini_iemocap(tmp_path, seed, count)


def test_folder_that_cannot_be_written(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(InputError, match="SPEECHBRAIN_SER_CACHE"):
        mini_iemocap(file, utterances_per_speaker=1)


def test_speakers_sessions_and_dialogs(release):
    waves = glob.glob(f"{release}/Session*/sentences/wav/*/*.wav")
    pattern = (
        r".*/Session(\d)/sentences/wav/"
        r"(Ses0\1[FM]_(?:impro\d\d[ab]?|script\d\d_\db?))/\2_([FM])\d{3}\.wav"
    )
    found = [re.fullmatch(pattern, path).groups() for path in waves]
    speakers = Counter((session, gender) for session, _, gender in found)
    assert set(speakers.values()) == {40} and len(speakers) == 10
    dialogs = {dialog for _, dialog, _ in found}
    assert {"Ses03M_impro05a", "Ses05M_script01_1b"} < dialogs
    assert len(dialogs) == 40
    assert len({(dialog, gender) for _, dialog, gender in found}) == 80
    for kind in ("F_impro", "M_impro", "F_script", "M_script"):
        assert any(kind in dialog for dialog in dialogs)


def test_waves_are_sound(release):
    for path in glob.glob(f"{release}/Session[15]/sentences/wav/*/*.wav"):
        info = soundfile.info(path)
        assert (info.samplerate, info.channels) == (16000, 1)
        assert info.subtype == "PCM_16" and 0.8 <= info.duration <= 2.0
        samples, _ = soundfile.read(path)
        assert samples.std() > 0.005 and np.abs(samples).max() < 0.96


def test_votes_agree_with_labels(release):
    four = {"ang", "hap", "exc", "sad", "neu"}
    counts = Counter()
    for _, label, ballots, _ in blocks(release):
        assert len(ballots) == 3 and majority(ballots) == label
        if label in four:
            unanimous = all(ballot == [label] for ballot in ballots)
            counts["precise" if unanimous else "ambiguous"] += 1
        counts[label] += 1
    assert sum(counts[label] for label in four | {"xxx", "fru"}) == 400
    assert counts["precise"] >= 160 and counts["ambiguous"] >= 180
    assert counts["xxx"] > 0 and counts["fru"] > 0
    assert all(counts[label] >= 30 for label in four)


def test_lines_of_the_evaluations(release):
    turns, selves, gaps = [], set(), 0
    for turn, _, _, lines in blocks(release):
        turns.append(turn)
        for line in lines:
            attributes = r"A-(\w\d):\tval [1-5]; act [1-5]; dom  [1-5]?;\t\(\)"
            categories = r"C-(\w\d):\t(\w+;)( \w+;)*\t\([\w, ]*\)"
            match = re.fullmatch(f"{attributes}|{categories}", line)
            gaps += "dom  ;" in line
            who = match[1] or match[2]
            if who[0] != "E":
                assert who == turn.rsplit("_", 1)[1][0] + turn[4]
                selves.add(turn[:5])
    assert selves == {"Ses01", "Ses02", "Ses03"}
    assert 0 < gaps < 20
    waves = glob.glob(f"{release}/Session*/sentences/wav/*/*.wav")
    assert sorted(turns) == sorted(os.path.basename(w)[:-4] for w in waves)


def test_transcriptions_name_every_turn(release):
    said, strange = set(), 0
    for path in glob.glob(f"{release}/Session*/dialog/transcriptions/*.txt"):
        with open(path, encoding="utf-8") as file:
            for line in file:
                match = re.match(r"(\S+) \[\d{3}\.\d{4}-\d{3}\.\d{4}\]: ", line)
                if match and "XX" not in line:
                    said.add(match[1])
                strange += not match
    assert said == {turn for turn, *_ in blocks(release)} and strange


def test_decoys_and_readme(release):
    folder = os.path.join(release, "Session1", "dialog", "EmoEvaluation")
    names = os.listdir(folder)
    assert "._Ses01F_impro01.txt" in names and "Categorical" in names
    with open(os.path.join(release, "README.txt"), encoding="utf-8") as file:
        assert "synthetic" in file.read()
