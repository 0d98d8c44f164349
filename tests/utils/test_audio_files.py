"""Audio files of every broken kind."""

import struct

import numpy as np
import pytest
import soundfile

from speechbrain_ser.utils import audio_files
from speechbrain_ser.utils.audio_files import (
    AudioInfo,
    inspect_audio,
    inspect_each,
    inspect_files,
)
from speechbrain_ser.utils.errors import InputError

TONE = 0.5 * np.sin(np.arange(16000) / 10)


def write(path, samples=TONE, rate=16000, **options):
    """Writes a file and returns its path."""
    soundfile.write(path, samples, rate, **options)
    return str(path)


def write_wav(path, chunks, size=None):
    """Writes a RIFF file of (name, bytes) chunks."""
    body = b"WAVE" + b"".join(
        name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
        for name, data in chunks
    )
    size = len(body) if size is None else size
    path.write_bytes(b"RIFF" + struct.pack("<I", size) + body)
    return str(path)


PCM16 = struct.pack("<HHIIHH", 1, 1, 16000, 32000, 2, 16)


def refusal(path):
    """The sentence with which a file is refused."""
    with pytest.raises(InputError) as error:
        inspect_audio(str(path))
    message = str(error.value)
    assert str(path) in message
    assert "\n" not in message and message.endswith(".")
    return message


@pytest.mark.parametrize(
    "suffix, subtype",
    [
        ("wav", "PCM_16"),
        ("wav", "PCM_U8"),
        ("wav", "PCM_24"),
        ("wav", "FLOAT"),
        ("wav", "DOUBLE"),
        ("wav", "ULAW"),
        ("aiff", "PCM_16"),
        ("flac", "PCM_16"),
        ("ogg", "VORBIS"),
        ("mp3", "MPEG_LAYER_III"),
    ],
)
def test_good_files_of_any_format(tmp_path, suffix, subtype):
    """The header's numbers, whatever the format."""
    path = write(tmp_path / f"a.{suffix}", subtype=subtype)
    expected = soundfile.info(path)
    assert inspect_audio(path) == AudioInfo(expected.frames, 16000, 1)
    assert expected.frames >= 16000


def test_another_rate_is_allowed(tmp_path):
    """It is resampled on loading."""
    path = write(tmp_path / "a.wav", rate=44100)
    assert inspect_audio(path) == AudioInfo(16000, 44100, 1)


def test_pcm16_wav_is_not_decoded(tmp_path, monkeypatch):
    """The format of nearly every corpus costs three short reads."""
    path = write(tmp_path / "a.wav")
    monkeypatch.setattr(audio_files.soundfile, "SoundFile", None)
    assert inspect_audio(path).frames == 16000


def test_chunks_before_the_samples(tmp_path, monkeypatch):
    """A list of odd length before the samples, another chunk behind them."""
    path = write_wav(
        tmp_path / "a.wav",
        [
            (b"LIST", b"INFOodd"),
            (b"fmt ", PCM16),
            (b"data", b"\1\2" * 50),
            (b"LIST", b"INFO"),
        ],
    )
    assert soundfile.info(path).frames == 50
    monkeypatch.setattr(audio_files.soundfile, "SoundFile", None)
    assert inspect_audio(path) == AudioInfo(50, 16000, 1)


def test_a_piped_wav_of_unknown_size(tmp_path):
    """Programs that write to a pipe leave an impossible size."""
    path = write(tmp_path / "a.wav")
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    (tmp_path / "a.wav").write_bytes(data)
    assert inspect_audio(path).frames == 16000


def test_missing(tmp_path):
    """The mend: restore it or correct the path."""
    assert "is missing: restore it" in refusal(tmp_path / "a.wav")


def test_a_folder(tmp_path):
    """A folder is no file."""
    assert "cannot be read" in refusal(tmp_path)


def test_empty(tmp_path):
    """0 bytes."""
    (tmp_path / "a.wav").write_bytes(b"")
    assert "is empty (0 bytes): copy" in refusal(tmp_path / "a.wav")


@pytest.mark.parametrize(
    "content", [b"no audio at all", b"RIFF", b"<html>" * 100]
)
def test_not_audio(tmp_path, content):
    """Text with an audio file's name."""
    (tmp_path / "a.wav").write_bytes(content)
    assert "is not audio" in refusal(tmp_path / "a.wav")


@pytest.mark.parametrize("suffix", ["wav", "aiff"])
def test_no_samples(tmp_path, suffix):
    """A header and nothing else."""
    path = write(tmp_path / f"a.{suffix}", np.zeros(0))
    assert "holds no samples" in refusal(path)


@pytest.mark.parametrize(
    "suffix, subtype, size",
    [
        ("wav", "PCM_16", 20000),
        ("wav", "PCM_16", 44),
        ("wav", "PCM_16", 40),
        ("wav", "PCM_16", 32042),
        ("wav", "PCM_24", 20000),
        ("wav", "FLOAT", 20000),
        ("aiff", "PCM_16", 20000),
        ("flac", "PCM_16", 6000),
    ],
)
def test_truncated(tmp_path, suffix, subtype, size):
    """An interrupted copy, which libsndfile may take for a short file."""
    path = tmp_path / f"a.{suffix}"
    write(path, subtype=subtype)
    path.write_bytes(path.read_bytes()[:size])
    assert "is truncated" in refusal(path)


@pytest.mark.parametrize("suffix", ["wav", "flac"])
@pytest.mark.parametrize("channels", [2, 6])
def test_several_channels(tmp_path, suffix, channels):
    """As good as one; an entry then says that their mean is meant."""
    samples = np.stack([TONE] * channels, axis=1)
    path = write(tmp_path / f"a.{suffix}", samples)
    found = inspect_audio(path)
    assert found == AudioInfo(len(TONE), 16000, channels)
    assert inspect_each([path]) == ({path: found}, {})
    assert found.span(0, 8000)["channel"] == "mix"
    assert "channel" not in AudioInfo(len(TONE), 16000, 1).span()


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_U8", "PCM_24", "FLOAT"])
def test_all_zeros(tmp_path, subtype):
    """Silence to the last bit."""
    path = write(tmp_path / "a.wav", np.zeros(100000), subtype=subtype)
    assert "holds only zeros" in refusal(path)


@pytest.mark.parametrize("place", [0, 99999])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_a_silent_middle_is_no_silence(tmp_path, place, subtype):
    """The middle is zero, one sample at an end is not."""
    samples = np.zeros(100000)
    samples[place] = 0.5
    path = write(tmp_path / "a.wav", samples, subtype=subtype)
    assert inspect_audio(path).frames == 100000


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 70000, 99999])
def test_not_finite(tmp_path, subtype, value, place):
    """One sample anywhere."""
    samples = np.full(100000, 0.1)
    samples[place] = value
    path = write(tmp_path / "a.wav", samples, subtype=subtype)
    assert "NaN or infinite: export it again" in refusal(path)


def test_inspects_each_file_once(tmp_path, monkeypatch):
    """Entries that share a file share its inspection."""
    path = write(tmp_path / "a.wav")
    calls = []
    inspect = audio_files.inspect_audio
    monkeypatch.setattr(
        audio_files,
        "inspect_audio",
        lambda p: calls.append(p) or inspect(p),
    )
    assert inspect_files([path] * 3) == {path: AudioInfo(16000, 16000, 1)}
    assert calls == [path]


def test_lists_the_other_bad_files(tmp_path):
    """The first in full, five more by name, the rest by number."""
    good = write(tmp_path / "good.wav")
    bad = [str(tmp_path / f"{i}.wav") for i in range(7)]
    with pytest.raises(InputError) as error:
        inspect_files([good, *bad])
    message = str(error.value)
    assert message.startswith(f"The audio file '{bad[0]}' is missing")
    assert "(6 more files are bad: " in message
    assert bad[5] in message and bad[6] not in message
    with pytest.raises(InputError) as error:
        inspect_files(bad[:1])
    assert "more" not in str(error.value)


@pytest.fixture
def lines(monkeypatch):
    """What is logged."""
    told = []
    monkeypatch.setattr(
        audio_files.logger,
        "info",
        lambda text, *values: told.append(text % values),
    )
    return told


def test_other_rates_are_logged_once(tmp_path, lines):
    """One line for all files, none when all have the rate."""
    paths = [
        write(tmp_path / f"{rate}.wav", rate=rate)
        for rate in (16000, 44100, 8000)
    ]
    inspect_files(paths)
    assert lines == [
        f"2 files are not at 16000 Hz (e.g. {paths[1]} at 44100) and are "
        "resampled on loading"
    ]
    inspect_files(paths[:1])
    inspect_each(paths, told=False)
    assert len(lines) == 1


def test_several_channels_are_logged_once(tmp_path, lines):
    """One line for all files, none when all are mono."""
    paths = [
        write(tmp_path / f"{n}.wav", np.stack([TONE] * n, axis=1))
        for n in (1, 3, 2)
    ]
    inspect_files([*paths, paths[1]])
    assert lines == [
        f"2 files have several channels (e.g. {paths[1]} has 3): their mean is "
        "taken where no channel is named"
    ]
    inspect_files(paths[:1])
    inspect_each(paths, told=False)
    assert len(lines) == 1
