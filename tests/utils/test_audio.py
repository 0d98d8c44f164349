"""Loading audio, at another speed too."""

import copy
import math

import numpy as np
import pytest
import torch
import torchaudio

from speechbrain.augment.time_domain import SpeedPerturb
from speechbrain_ser.utils.audio import load_audio, place, with_speeds
from speechbrain_ser.utils.audio_entries import check_audio
from speechbrain_ser.utils.errors import InputError
from tests.utils.test_audio_files import TONE, write


def test_load_gives_the_samples(tmp_path):
    """A part of the file, and all of it."""
    path = write(tmp_path / "a.wav", subtype="FLOAT")
    expected = torch.tensor(TONE, dtype=torch.float32)
    part = load_audio({"wav": path, "start": 100, "stop": 300})
    assert part.dtype == torch.float32
    torch.testing.assert_close(part, expected[100:300])
    torch.testing.assert_close(load_audio({"wav": path}), expected)
    torch.testing.assert_close(
        load_audio({"wav": path, "start": 100}), expected[100:]
    )


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_load_resamples(tmp_path, rate):
    """Start and stop count at the file's rate; the tone stays in place."""
    time = np.arange(2 * rate) / rate
    path = write(tmp_path / "a.wav", np.sin(2 * np.pi * 440 * time), rate)
    entry = {"wav": path, "start": rate // 2, "stop": 3 * rate // 2}
    signal = load_audio(entry)
    assert signal.shape == (16000,)
    expected = torch.sin(
        2 * torch.pi * 440 * (torch.arange(16000) / 16000 + 0.5)
    )
    inside = slice(500, -500)
    torch.testing.assert_close(
        signal[inside], expected[inside], atol=0.02, rtol=0
    )
    assert load_audio(entry, sample_rate=8000).shape == (8000,)


def test_load_refuses_what_it_cannot_use(tmp_path):
    """A missing file, with the sentence of the inspection; a channel."""
    with pytest.raises(InputError, match="is missing"):
        load_audio({"wav": str(tmp_path / "no.wav")})
    path = write(tmp_path / "a.wav", np.stack([TONE, TONE], axis=1))
    for channel in (0, 3):
        with pytest.raises(InputError, match=f"channel {channel} of '{path}'"):
            load_audio({"wav": path, "channel": channel})
    mono = write(tmp_path / "b.wav")
    with pytest.raises(InputError, match="channel 2 of .*, which has 1: corr"):
        load_audio({"wav": mono, "channel": 2})


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_channels_are_mixed_or_one_is_taken(tmp_path, channels):
    """Their mean, of a part of the file too, before it is resampled."""
    tones = np.stack([TONE * (1 + k) / 9 for k in range(channels)], axis=1)
    path = write(tmp_path / "a.wav", tones, subtype="FLOAT")
    entry = {"wav": path, "channel": "mix", "start": 10, "stop": 300}
    expected = torch.tensor(tones[10:300].mean(axis=1), dtype=torch.float32)
    torch.testing.assert_close(load_audio(entry), expected)
    assert load_audio(entry, 8000).shape == (145,)
    del entry["channel"]
    torch.testing.assert_close(load_audio(entry), expected)
    for number in range(1, channels + 1):
        one = torch.tensor(tones[10:300, number - 1], dtype=torch.float32)
        assert torch.equal(load_audio(entry | {"channel": number}), one)
    assert check_audio({"a": entry | {"duration": 290 / 16000}})


# Speed


SPEEDS = [0.8, 0.9, 1.1, 1.2]


def pitch_of(signal):
    """The frequency of a tone in Hz, by the highest line of its spectrum."""
    n = len(signal)
    spectrum = np.abs(np.fft.rfft(signal.numpy() * np.hanning(n), 16 * n))
    return spectrum.argmax() * 16000 / (16 * n)


@pytest.mark.parametrize("rate", [16000, 8000, 48000])
@pytest.mark.parametrize("speed", SPEEDS + [2])
def test_speed_moves_length_and_pitch(tmp_path, speed, rate):
    """Twice as fast is half as long and an octave higher, at any rate."""
    time = np.arange(rate) / rate
    tone = np.sin(2 * np.pi * 440 * time)
    path = write(tmp_path / "a.wav", tone, rate, subtype="FLOAT")
    signal = load_audio({"wav": path, "speed": speed})
    assert len(signal) == math.ceil(16000 / speed)
    assert pitch_of(signal) == pytest.approx(440 * speed, abs=0.5)
    assert signal.abs().max() == pytest.approx(1, abs=0.1)
    half = load_audio({"wav": path, "speed": speed}, sample_rate=8000)
    assert len(half) == math.ceil(8000 / speed)


@pytest.mark.parametrize("speed", SPEEDS)
def test_speed_is_speechbrains(tmp_path, speed):
    """Its SpeedPerturb that has this speed alone."""
    path = write(tmp_path / "a.wav", subtype="FLOAT")
    found = load_audio({"wav": path, "speed": speed})
    perturb = SpeedPerturb(16000, speeds=[round(100 * speed)])
    expected = perturb(load_audio({"wav": path})[None])[0]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("rate", [16000, 48000])
def test_speed_is_of_the_part(tmp_path, rate):
    """Start and stop count in the file, whatever the speed."""
    time = np.arange(3 * rate) / rate
    # one pitch a second
    tone = np.sin(
        2 * np.pi * np.select([time < 1, time < 2], [300, 500], 700) * time
    )
    path = write(tmp_path / "a.wav", tone, rate, subtype="FLOAT")
    entry = {"wav": path, "start": rate, "stop": 2 * rate}
    signal = load_audio(entry | {"speed": 0.8})
    assert len(signal) == 20000
    assert pitch_of(signal) == pytest.approx(400, abs=0.5)
    only = write(
        tmp_path / "b.wav", tone[rate : 2 * rate], rate, subtype="FLOAT"
    )
    assert torch.equal(signal, load_audio({"wav": only, "speed": 0.8}))


def test_speed_of_one_changes_nothing(tmp_path):
    """Not a bit."""
    expected = torch.tensor(TONE, dtype=torch.float32)
    path = write(tmp_path / "b.wav", subtype="FLOAT")
    assert torch.equal(load_audio({"wav": path, "speed": 1}), expected)
    assert torch.equal(load_audio({"wav": path, "speed": 1.0}), expected)


@pytest.mark.parametrize("rate", [11025, 22050, 44100])
def test_speed_and_rate_by_small_filters(tmp_path, rate, monkeypatch):
    """One step would need filters for thousands of phases."""
    asked, real = [], torchaudio.functional.resample

    def resample(signal, old, new):
        """Notes what it is asked for."""
        divisor = math.gcd(old, new)
        asked.append((old // divisor, new // divisor))
        return real(signal, old, new)

    path = write(tmp_path / "a.wav", rate=rate, subtype="FLOAT")
    monkeypatch.setattr(torchaudio.functional, "resample", resample)
    got = load_audio({"wav": path, "speed": 0.9})
    assert len(got) == pytest.approx(len(TONE) / rate / 0.9 * 16000, abs=2)
    assert max(map(max, asked)) <= 640 and asked[-1] == (9, 10)


def test_copies_follow_their_utterance(tmp_path):
    """All that an entry says, but for speed and duration."""
    path = write(tmp_path / "a.wav")
    annotation = {
        "a": {"wav": path, "duration": 1.0, "speaker": "A", "emotion": "sad"},
        "b": {
            "wav": path,
            "start": 2000,
            "stop": 10000,
            "duration": 0.5,
            "speaker": "B",
            "emotion": "ang",
        },
    }
    before = copy.deepcopy(annotation)
    found = with_speeds(annotation, SPEEDS + [2])
    assert annotation == before
    names = ["0.8", "0.9", "1.1", "1.2", "2"]
    assert list(found) == ["a", "b"] + [
        f"{key}-speed{name}" for name in names for key in "ab"
    ]
    for key, entry in annotation.items():
        assert found[key] == entry and "speed" not in found[key]
        for name in names:
            entry_copy = dict(found[f"{key}-speed{name}"])
            assert entry_copy["speed"] == float(name)
            samples = len(load_audio(entry_copy))
            assert samples == math.ceil(16000 * entry_copy["duration"])
            duration = entry_copy.pop("duration") * entry_copy.pop("speed")
            assert duration == pytest.approx(entry["duration"])
            assert entry_copy | {"duration": entry["duration"]} == entry
    assert check_audio(found) is found
    assert with_speeds(annotation, []) == annotation


def test_place_names_the_speech():
    """File, part, speed and channel, and nothing else of an entry."""
    entry = {"wav": "a.wav", "start": 5, "stop": 9, "duration": 1.0}
    others = [
        entry | {"wav": "b.wav"},
        entry | {"start": 6},
        entry | {"stop": 10},
        entry | {"channel": "mix"},
        entry | {"channel": 1},
        entry | {"channel": 2},
        *with_speeds({"a": entry}, SPEEDS).values(),
    ]
    assert len({place(entry) for entry in others}) == 11
    assert place(entry | {"emotion": "sad", "duration": 2.0}) == place(entry)
    assert place(entry | {"speed": 1}) == place(entry)
    assert place({"wav": "a.wav"}) == place({"wav": "a.wav", "speaker": "A"})
