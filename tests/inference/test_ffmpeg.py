"""Formats that need ffmpeg, by a program that stands in for it."""

import os
import stat
import sys

import pytest
import soundfile
import torch

from speechbrain_ser.inference import ffmpeg
from speechbrain_ser.inference.speech import Speech, opened
from speechbrain_ser.utils.errors import InputError
from tests.inference.fake import noise

# Takes a WAV that is called something else for what it can decode.
PROGRAM = """#!{python}
import sys
words = sys.argv[1:]
with open({log!r}, "a") as log:
    print(*words, sep="|", file=log)
name = words[words.index("-i") + 1].removeprefix("file:")
data = open(name, "rb").read()
if data.startswith(b"broken"):
    sys.exit("[mov @ 0x{{:x}}] moov atom not found".format(id(data)))
if data.startswith(b"silent"):
    sys.exit("Stream map '' matches no streams.")
import soundfile
if data.startswith(b"cut"):
    print("[in#0] stream 0: partial file", file=sys.stderr)
    sys.exit(0)
samples, rate = soundfile.read(name, dtype="int16", always_2d=True)
import io
out = io.BytesIO()
soundfile.write(out, samples, rate, "PCM_16", "BIG", "AU")
sound = out.getvalue()
# as to a pipe: the size is not known
sys.stdout.buffer.write(sound[:8] + b"\\xff" * 4 + sound[12:])
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A folder on PATH that holds an ffmpeg; gives the log of its calls."""
    home, log = tmp_path / "bin", tmp_path / "log"
    home.mkdir()
    path = home / "ffmpeg"
    path.write_text(PROGRAM.format(python=sys.executable, log=str(log)))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(home))
    monkeypatch.setattr(ffmpeg, "DECODED", ffmpeg.Decoded(kept=2))
    return log


def other_name(path, name):
    """Gives a WAV another name; returns it."""
    wav = noise(path.with_suffix(".wav"), 1.0, 8000, channels=2)
    os.rename(wav, path.with_name(name))
    return str(path.with_name(name))


def test_sound_is_decoded_at_its_own_rate(tmp_path, program):
    """Then it is read as any other; one decoding serves all pieces."""
    path = other_name(tmp_path / "x", "-ä b,#.m4a")
    data, _ = soundfile.read(path, dtype="float32")
    sound = opened(Speech(path, channel=2))
    assert (sound.info.frames, sound.info.sample_rate) == (8000, 8000)
    assert sound.info.channels == 2
    assert torch.equal(sound.read(8000), torch.from_numpy(data[:, 1].copy()))
    halves = [sound.read(8000, *span) for span in sound.pieces(0.5)]
    assert torch.equal(torch.cat(halves), sound.read(8000))
    (call,) = program.read_text().splitlines()
    words = call.split("|")
    assert words[words.index("-i") + 1] == f"file:{path}"
    assert "-nostdin" in words
    assert words[words.index("-protocol_whitelist") + 1] == "file,pipe"


def test_few_are_kept(tmp_path, program):
    """The others are decoded again."""
    sounds = [
        opened(Speech(other_name(tmp_path / "x", f"{i}.mp4"))) for i in range(4)
    ]
    held = ffmpeg.DECODED._held
    assert len(held) == 2
    for sound in sounds[2:]:
        sound.read(16000)
    assert len(program.read_text().splitlines()) == 4
    sounds[0].read(16000)
    assert len(program.read_text().splitlines()) == 5


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"broken", r"read by ffmpeg \(moov atom not found\): convert it"),
        (b"silent", "has no sound"),
        (b"cut", "is truncated"),
        (b"", "empty"),
    ],
)
def test_what_ffmpeg_can_not_read_is_one_sentence(
    tmp_path, program, data, said
):
    """The same one each time: no address is in it."""
    path = tmp_path / "a.mov"
    path.write_bytes(data)
    sentences = set()
    for _ in range(2):
        with pytest.raises(InputError, match=said) as caught:
            opened(Speech(str(path)))
        sentences.add(str(caught.value))
    assert len(sentences) == 1


def test_without_ffmpeg_it_is_said(tmp_path, monkeypatch):
    """What is missing, and how it comes."""
    path = other_name(tmp_path / "x", "a.m4a")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(ffmpeg, "DECODED", ffmpeg.Decoded())
    with pytest.raises(ffmpeg.MachineError, match="apt install ffmpeg"):
        opened(Speech(path))
