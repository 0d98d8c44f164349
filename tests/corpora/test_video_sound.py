"""The sound of videos, with a fake ffmpeg and, where there is one, a real one."""

import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import threading

import numpy as np
import pytest
import soundfile

from speechbrain_ser.corpora import video_sound
from speechbrain_ser.corpora.mer2023 import LABELS, read_mer2023
from speechbrain_ser.utils.errors import InputError
from tests.corpora.mer2023_tree import clip, layout_one, layout_two, write_wav

# Stands in for ffmpeg: notes its arguments, then does what the "video" says.
FAKE = """\
#!{python}
import json, os, shutil, sys
arguments = sys.argv[1:]
with open({log!r}, "a") as file:
    file.write(json.dumps(arguments) + "\\n")
with open(arguments[arguments.index("-i") + 1]) as file:
    word = file.read()
if word == "broken":
    sys.exit("some warning\\nmoov atom not found\\n")
if word == "mute":
    sys.exit("Output file #0 does not contain any stream")
if word == "dies":
    os._exit(3)
if word == "no samples":
    shutil.copy({empty!r}, arguments[-1])
if word == "sound":
    shutil.copy({wav!r}, arguments[-1])
"""


@pytest.fixture
def videos(tmp_path):
    """A tree with .avi files."""
    return layout_one(tmp_path / "MER2023", ".avi")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder for sound that nobody named."""
    monkeypatch.setenv("SPEECHBRAIN_SER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def ffmpeg(tmp_path, no_ffmpeg):
    """A PATH with the fake one; gives a function to its calls' arguments."""
    log = tmp_path / "calls.jsonl"
    write_wav(tmp_path / "sound.wav", 1234)
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16000)
    script = no_ffmpeg / "ffmpeg"
    script.write_text(
        FAKE.format(
            python=sys.executable,
            log=str(log),
            wav=str(tmp_path / "sound.wav"),
            empty=str(tmp_path / "empty.wav"),
        )
    )
    script.chmod(0o755)

    def calls():
        """The arguments of every call until now."""
        lines = log.read_text().splitlines() if log.exists() else []
        return [json.loads(line) for line in lines]

    return calls


@pytest.mark.parametrize("suffix", [".avi", ".mp4", ".AVI"])
def test_sound_is_taken_from_videos(tmp_path, suffix, ffmpeg):
    """16 kHz, mono, 16 bit, once for each clip that is asked for."""
    root = layout_one(tmp_path / "MER2023", suffix)
    folder = tmp_path / "sound"
    labels = [label for label in LABELS if label != "angry"]
    annotation = read_mer2023(root, labels, folder)
    assert list(annotation) == [f"sample_{n:08d}" for n in (3, 12, 40)]
    for name, entry in annotation.items():
        assert entry["wav"] == str(folder / "train" / f"{name}.wav")
        assert (entry["start"], entry["stop"]) == (0, 1234)
        assert entry["duration"] == 1234 / 16000
    calls = ffmpeg()
    videos = [call[call.index("-i") + 1] for call in calls]
    assert sorted(videos) == [
        str(clip(root, number, suffix=suffix)) for number in (3, 12, 40)
    ]
    for call in calls:
        options = dict(zip(call, call[1:]))
        assert (options["-ar"], options["-ac"]) == ("16000", "1")
        assert options["-c:a"] == "pcm_s16le"
        assert {"-vn", "-nostdin", "-y"} < set(call)
        assert call[-1].endswith(".wav")
    assert sorted(os.listdir(folder / "train")) == [
        f"sample_{number:08d}.wav" for number in (3, 12, 40)
    ]
    mode = stat.S_IMODE(os.stat(entry["wav"]).st_mode)
    assert mode == stat.S_IMODE(os.stat(tmp_path / "sound.wav").st_mode)


def test_without_a_folder_the_cache_keeps_the_sound(videos, cache, ffmpeg):
    """One for each corpus, from whichever folder it is read."""
    annotation = read_mer2023(videos)
    (folder,) = {os.path.dirname(e["wav"]) for e in annotation.values()}
    digest = hashlib.sha256(str(videos).encode()).hexdigest()
    place = os.path.relpath(folder, cache / "mer2023_audio")
    assert place == f"{digest[:10]}/train"
    assert read_mer2023(videos / "mer2023train") == annotation
    assert len(ffmpeg()) == 4
    other = layout_one(videos.parent / "other", ".avi")
    wavs = [entry["wav"] for entry in read_mer2023(other).values()]
    assert not set(wavs) & {entry["wav"] for entry in annotation.values()}


def test_parts_have_folders_of_their_own(videos, cache, ffmpeg):
    """test1 here holds a clip of the same name."""
    (entry,) = read_mer2023(videos, part="test1").values()
    train = read_mer2023(videos)["sample_00000012"]
    assert entry["wav"] != train["wav"]
    assert os.path.dirname(entry["wav"]).endswith("test1")


def test_sound_is_taken_again_only_from_changed_videos(
    videos, tmp_path, ffmpeg
):
    """Newer ones, those with an old date put there later, and lost sound."""
    folder = tmp_path / "sound"
    first = read_mer2023(videos, audio_folder=folder)
    assert read_mer2023(videos, audio_folder=folder) == first
    assert len(ffmpeg()) == 4
    os.unlink(first["sample_00000012"]["wav"])
    later = os.stat(clip(videos, 3)).st_mtime + 100
    os.utime(clip(videos, 3), (later, later))
    # A copy keeps its old date; that it is new shows in its ctime.
    copy = clip(videos, 7).with_name("copy")
    copy.write_text("sound")
    os.utime(copy, (1e9, 1e9))
    os.replace(copy, clip(videos, 7))
    read_mer2023(videos, audio_folder=folder)
    again = [call[call.index("-i") + 1][-6:-4] for call in ffmpeg()[4:]]
    assert sorted(again) == ["03", "07", "12"]


def test_taken_sound_needs_no_ffmpeg(videos, tmp_path, ffmpeg, no_ffmpeg):
    """Once it is there."""
    first = read_mer2023(videos, audio_folder=tmp_path / "sound")
    (no_ffmpeg / "ffmpeg").unlink()
    assert read_mer2023(videos, audio_folder=tmp_path / "sound") == first


def test_a_stop_leaves_whole_files_and_the_next_call_goes_on(
    videos, tmp_path, ffmpeg, monkeypatch
):
    """What had not begun is not begun."""
    folder = tmp_path / "sound" / "train"
    monkeypatch.setattr(video_sound.os, "cpu_count", lambda: 1)
    real = subprocess.run
    started, stopped = [], threading.Event()

    def run(*arguments, **options):
        """The first is done; while the second waits, the user stops."""
        started.append(arguments)
        if len(started) == 2:
            assert stopped.wait(20)
        return real(*arguments, **options)

    class Stops:
        """A progress bar at which Ctrl-C is pressed after the first clip."""

        def __init__(self, jobs, *_, **__):
            self.jobs = jobs

        def __iter__(self):
            yield next(iter(self.jobs))
            threading.Timer(0.2, stopped.set).start()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(video_sound.subprocess, "run", run)
        patch.setattr(video_sound, "tqdm", Stops)
        with pytest.raises(KeyboardInterrupt):
            read_mer2023(videos, audio_folder=folder.parent)
    assert len(started) == 2 and len(os.listdir(folder)) == 2
    assert len(read_mer2023(videos, audio_folder=folder.parent)) == 4
    assert len(ffmpeg()) == 4


def test_several_run_at_once(videos, tmp_path, ffmpeg, monkeypatch):
    """Two wait for each other."""
    monkeypatch.setattr(video_sound.os, "cpu_count", lambda: 2)
    meeting = threading.Barrier(2)
    real = subprocess.run

    def run(*arguments, **options):
        """Fails if it stays alone."""
        meeting.wait(20)
        return real(*arguments, **options)

    monkeypatch.setattr(video_sound.subprocess, "run", run)
    assert len(read_mer2023(videos, audio_folder=tmp_path / "sound")) == 4


def test_missing_ffmpeg(videos, tmp_path, no_ffmpeg):
    """Says what to install, or where wavs go."""
    folder = videos / "dataset-process" / "audio"
    message = rf"4 clips are videos.*no ffmpeg on PATH.*install.*'{folder}'"
    with pytest.raises(InputError, match=message):
        read_mer2023(videos, audio_folder=tmp_path / "sound")
    assert not (tmp_path / "sound").exists()


@pytest.mark.parametrize(
    "word, message",
    [
        ("broken", r"ffmpeg cannot read the video '.*07.avi' \(moov atom not"),
        ("dies", r"cannot read the video '.*07.avi' \(exit code 3\)"),
        ("mute", "video '.*07.avi' has no sound: copy"),
        ("no samples", "video '.*07.avi' has no sound: copy"),
        ("nothing", "video '.*07.avi' has no sound: copy"),
        ("", "video '.*07.avi' is empty"),
    ],
)
def test_bad_videos(videos, tmp_path, ffmpeg, word, message):
    """The others' sound is kept, theirs is not, and they are left out."""
    clip(videos, 7).write_text(word)
    annotation = read_mer2023(videos, audio_folder=tmp_path / "sound")
    (row,) = annotation.odd
    assert row["entry"] == "sample_00000007" not in annotation
    assert re.search(message, str(row["value"]))
    assert sorted(os.listdir(tmp_path / "sound" / "train")) == [
        f"sample_{number:08d}.wav" for number in (3, 12, 40)
    ]
    clip(videos, 3).write_text("broken")
    odd = read_mer2023(videos, audio_folder=tmp_path / "sound").odd
    assert [row["entry"][-2:] for row in odd] == ["03", "07"]
    for number in (3, 7):
        clip(videos, number).write_text("sound")
    assert len(read_mer2023(videos, audio_folder=tmp_path / "sound")) == 4


def test_videos_that_are_all_bad(videos, tmp_path, ffmpeg):
    """The first is named, the others are counted."""
    for number in (3, 7, 12, 40):
        clip(videos, number).write_text("mute")
    said = r"03.avi' has no sound.* \(3 more videos are bad: .*07.avi'"
    with pytest.raises(InputError, match=said):
        read_mer2023(videos, audio_folder=tmp_path / "sound")


def test_too_many_missing_clips_are_said_before_ffmpeg_starts(
    videos, tmp_path, ffmpeg
):
    """Which may take an hour."""
    table = videos / "mer2023train" / "train-label.csv"
    with open(table, "a") as file:
        file.writelines(f"sample_{n:08d},sad,1\n" for n in range(50, 56))
    with pytest.raises(InputError, match="6 of 10 clips of train in"):
        read_mer2023(videos, audio_folder=tmp_path / "sound")
    assert ffmpeg() == []


def test_a_folder_for_sound_that_cannot_be_made(videos, tmp_path, ffmpeg):
    """Names the setting."""
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="set audio_folder to one that can"):
        read_mer2023(videos, audio_folder=tmp_path / "file")
    assert ffmpeg() == []


def test_an_ffmpeg_that_cannot_be_started(videos, tmp_path, ffmpeg, no_ffmpeg):
    """Such as one for another machine."""
    (no_ffmpeg / "ffmpeg").write_bytes(b"\x7fELF of another machine")
    with pytest.raises(InputError, match="03.avi' cannot be written.*3 more"):
        read_mer2023(videos, audio_folder=tmp_path / "sound")


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
def test_the_real_ffmpeg(tmp_path):
    """Stereo sound at 44.1 kHz of an .avi; one clip without, one broken."""
    root = layout_two(tmp_path / "MER2023")
    train = root / "train"
    for path in train.glob("s*.wav"):
        path.unlink()
        time = np.arange(44100) / 44100
        tone = 0.3 * np.sin(2 * np.pi * 440 * time)
        source = tmp_path / path.name
        soundfile.write(source, np.stack([tone, tone], 1), 44100)
        video = ["-f", "lavfi", "-i", "color=s=64x64:d=1:r=10"]
        command = ["ffmpeg", "-v", "error", "-i", str(source), *video]
        target = str(path.with_suffix(".avi"))
        subprocess.run([*command, "-c:a", "pcm_s16le", target], check=True)
    annotation = read_mer2023(root, audio_folder=tmp_path / "sound")
    for entry in annotation.values():
        samples, rate = soundfile.read(entry["wav"])
        assert rate == 16000 and abs(len(samples) - 16000) < 200
        spectrum = np.abs(np.fft.rfft(samples))
        assert spectrum.argmax() * rate / len(samples) == pytest.approx(
            440, abs=2
        )
    mute = train / "sample_00000003.avi"
    subprocess.run(["ffmpeg", "-v", "error", "-y", *video, mute], check=True)
    (row,) = read_mer2023(root, audio_folder=tmp_path / "sound").odd
    assert "03.avi' has no sound" in str(row["value"])
    mute.write_text("no video at all")
    (row,) = read_mer2023(root, audio_folder=tmp_path / "sound").odd
    assert "cannot read the video" in str(row["value"])
