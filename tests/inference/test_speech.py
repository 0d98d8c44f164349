"""One thing to label: what is read of it, and what is refused."""

import os

import numpy as np
import pytest
import soundfile
import torch

from speechbrain_ser.inference.speech import Sound, Speech, open_all, opened
from speechbrain_ser.utils.audio import load_audio
from speechbrain_ser.utils.audio_files import AudioInfo
from speechbrain_ser.utils.errors import InputError
from tests.inference.fake import noise

FORMATS = {
    "a.wav": {},
    "b.flac": {},
    "c.mp3": {},
    "d.ogg": {},
    "e.opus": {"format": "OGG", "subtype": "OPUS"},
    "f.aiff": {},
    "g.wav": {"subtype": "FLOAT"},
}


@pytest.mark.parametrize("rate", [16000, 24000])
@pytest.mark.parametrize("name", sorted(FORMATS))
def test_what_is_read_is_what_a_recipe_reads(tmp_path, name, rate):
    """Bit for bit, at any rate, mixed too."""
    channels = 1 if rate == 16000 else 2
    path = noise(tmp_path / name, 0.7, rate, channels, **FORMATS[name])
    ours = Speech(path).read(16000)
    theirs = load_audio({"wav": path}, 16000)
    assert ours.dtype == torch.float32 and len(ours) > 11000
    assert torch.equal(ours, theirs)


def test_a_part_is_its_samples(tmp_path):
    """Start and stop in seconds, at the file's own rate."""
    path = noise(tmp_path / "a.wav", 1.0, 8000)
    whole, _ = soundfile.read(path, dtype="float32")
    part = Speech(path, start=0.25, stop=0.75).read(8000)
    assert np.array_equal(part.numpy(), whole[2000:6000])
    rest = Speech(path, start=0.25, stop=1.005).read(8000)  # rounded
    assert np.array_equal(rest.numpy(), whole[2000:])


def test_channels_are_mixed_or_chosen(tmp_path):
    """The mean of all, or one, from 1."""
    path = noise(tmp_path / "a.wav", 0.5, channels=3)
    held, _ = soundfile.read(path, dtype="float32")
    mixed = Speech(path).read(16000).numpy()
    assert np.abs(mixed - held.mean(axis=1)).max() < 1e-7
    second = Speech(path, channel=2).read(16000).numpy()
    assert np.array_equal(second, held[:, 1])
    with pytest.raises(InputError, match="3 channels.*channel 4.*from 1 to 3"):
        opened(Speech(path, channel=4))


def test_pieces_are_equal_and_whole():
    """No sample is lost or read twice, none is too long."""
    for frames in (1, 999, 1000, 1001, 12345):
        for longest in (0.1, 1.0, 7.0):
            sound = Sound(Speech("a"), AudioInfo(frames, 100, 1))
            pieces = sound.pieces(longest)
            ends = [end for _, end in pieces]
            assert [start for start, _ in pieces] == [0, *ends[:-1]]
            assert ends[-1] == frames
            sizes = [end - start for start, end in pieces]
            assert max(sizes) - min(sizes) <= 1
            assert max(sizes) <= 100 * longest + 1
            assert len(pieces) == max(1, -(-frames // round(100 * longest)))


def test_pieces_are_read_one_by_one(tmp_path):
    """Together they are the whole, of a compressed file too."""
    for name in ("a.flac", "b.ogg", "c.mp3"):
        path = noise(tmp_path / name, 2.3)
        sound = opened(Speech(path))
        pieces = [sound.read(16000, *span) for span in sound.pieces(0.5)]
        assert len(pieces) == 5
        difference = torch.cat(pieces) - sound.read(16000)
        assert difference.abs().max() < 1e-3, name


def bad_files(folder):
    """Files that can't be labelled: name to what is said of them."""
    good = noise(folder / "good.wav", 1.0)
    data = open(good, "rb").read()
    flac = open(noise(folder / "good.flac", 1.0), "rb").read()
    (folder / "empty.wav").touch()
    (folder / "empty.mp3").touch()
    (folder / "empty.m4a").touch()
    (folder / "words.wav").write_text("these are words, no sound")
    (folder / "words.mp3").write_text("these are words, no sound")
    (folder / "cut.wav").write_bytes(data[:5000])
    (folder / "cut.flac").write_bytes(flac[:5000])
    noise(folder / "short.wav", 0.005)
    soundfile.write(folder / "silent.wav", np.zeros(16000), 16000)
    soundfile.write(folder / "silent.mp3", np.zeros(16000), 16000)
    soundfile.write(folder / "none.wav", np.zeros(0), 16000)
    holes = np.full(16000, 0.1)
    for name, value in (("nan.wav", np.nan), ("inf.wav", np.inf)):
        holes[8000] = value
        soundfile.write(folder / name, holes, 16000, subtype="FLOAT")
    (folder / "folder.wav").mkdir()
    return {
        "empty.wav": "empty .0 bytes",
        "empty.mp3": "empty .0 bytes",
        "empty.m4a": "empty .0 bytes",
        "words.wav": "not audio that libsndfile reads",
        "words.mp3": "not audio that libsndfile reads",
        "cut.wav": "truncated",
        "cut.flac": "truncated",
        "short.wav": "5 ms of speech.*25 ms or more",
        "silent.wav": "only zeros",
        "silent.mp3": "only zeros",
        "none.wav": "no samples",
        "nan.wav": "NaN or infinite",
        "inf.wav": "NaN or infinite",
        "folder.wav": "is a folder",
        "not there.wav": "missing",
        "zero\0byte.wav": "zero byte in its name",
        "gr\udcfcn.wav": "not UTF-8: rename it",
    }


def test_what_is_bad_is_one_sentence(tmp_path):
    """That names the file and the mend."""
    for name, said in bad_files(tmp_path).items():
        with pytest.raises(InputError, match=said) as caught:
            Speech(os.path.join(tmp_path, name)).read(16000)
        sentence = str(caught.value)
        sentence.encode("utf-8")
        assert sentence.endswith(".") and "\n" not in sentence
        shown = name.replace("\0", "\\0").replace("\udcfc", "\\udcfc")
        assert shown in sentence


def test_a_part_that_is_not_there(tmp_path):
    """Behind the end, empty, or silent."""
    samples = np.zeros((16000, 2))
    samples[4000:, 0] = 0.1
    path = str(tmp_path / "a.wav")
    soundfile.write(path, samples, 16000)
    for part, said in (
        ({"start": 0.5, "stop": 2.0}, "0.5 to 2 are asked for.*has 1.000"),
        ({"start": 0.5, "stop": 0.4}, "0.5 to 0.4 are asked for"),
        ({"start": 3.0}, "3 to 1 are asked for"),
        ({"start": 0.1, "stop": 0.11}, "10 ms of speech"),
        ({"start": 0.0, "stop": 0.2}, "only zeros in those seconds"),
        ({"channel": 2}, "only zeros in channel 2"),
    ):
        with pytest.raises(InputError, match=said):
            Speech(path, **part).read(16000)
    assert Speech(path, channel=1).read(16000).any()


def test_many_are_looked_at_and_none_stops_another(tmp_path):
    """In the order given."""
    good = [noise(tmp_path / f"{i}.wav", 0.1 + i / 10) for i in range(5)]
    paths = [*good[:2], str(tmp_path / "gone.wav"), *good[2:]]
    found = open_all([Speech(path) for path in paths])
    assert [isinstance(each, InputError) for each in found] == [
        each == paths[2] for each in paths
    ]
    seconds = [each.duration for each in found if isinstance(each, Sound)]
    assert seconds == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


def test_what_is_known_is_not_looked_at(tmp_path):
    """A file whose header was read before."""
    info = AudioInfo(16000, 16000, 1)
    (found,) = open_all([Speech(str(tmp_path / "gone.wav"))], {0: info})
    assert found.info == info


def test_a_file_that_changes_is_said(tmp_path):
    """Between the look and the reading."""
    path = noise(tmp_path / "a.wav", 1.0)
    sound = opened(Speech(path))
    noise(tmp_path / "a.wav", 2.0)
    with pytest.raises(InputError, match="was changed while"):
        sound.read(16000)
    os.unlink(path)
    with pytest.raises(InputError, match="can't be read any more"):
        sound.read(16000)
