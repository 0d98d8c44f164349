"""The reader of MER2023 on tiny trees in both layouts, with a fake ffmpeg."""

import hashlib
import json
import logging
import os
import shutil
import stat
import subprocess
import sys
import threading

import numpy as np
import pytest
import soundfile

from speechbrain_ser.corpora import mer2023, video_sound
from speechbrain_ser.corpora.mer2023 import LABELS, read_mer2023
from speechbrain_ser.utils.errors import InputError

ROWS = [
    ("sample_00000012", "happy", "1.75"),
    ("sample_00000003", "neutral", "-0.25"),
    ("sample_00000040", "worried", "-5"),
    ("sample_00000007", "angry", "-3.0"),
]
TEST3 = [("samplenew_00000001", "sad"), ("samplenew_00000002", "surprise")]
HEADER = ("name", "discrete", "valence")

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


def write_csv(path, rows):
    """Writes a label file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(",".join(row) + "\n" for row in rows))


def write_wav(path, length):
    """Writes a sound file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full(length, 0.1), 16000)


def length_of(name):
    """The samples of a made clip."""
    return 800 + int(name[-8:])


def layout_one(root, suffix=".wav"):
    """`mer2023train/train` and `test-labels`."""
    write_csv(root / "mer2023train" / "train-label.csv", [HEADER, *ROWS])
    for name, *_ in ROWS:
        write_clip(root / "mer2023train" / "train" / (name + suffix))
    write_csv(root / "test-labels" / "test1-label.csv", [HEADER, ROWS[0]])
    write_clip(root / "test1" / (ROWS[0][0] + suffix))
    write_csv(root / "test-labels" / "test3-label.csv", [HEADER[:2], *TEST3])
    for name, _ in TEST3:
        write_clip(root / "mer2023train" / "test3" / (name + suffix))
    return root


def layout_two(root, suffix=".wav"):
    """All in one folder."""
    for part, rows in (
        ("train", [HEADER, *ROWS]),
        ("test1", [HEADER, ROWS[0]]),
        ("test3", [HEADER, *((*row, "") for row in TEST3)]),
    ):
        write_csv(root / f"{part}-label.csv", rows)
        for name, *_ in rows[1:]:
            write_clip(root / part / (name + suffix))
    return root


def write_clip(path):
    """Writes a sound file, or a text for the fake ffmpeg, and a decoy."""
    if path.suffix == ".wav":
        write_wav(path, length_of(path.stem))
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("sound")
    (path.parent / f"._{path.name}").write_bytes(b"\x00\x05\x16\x07 decoy")


@pytest.fixture(params=[layout_one, layout_two])
def tree(request, tmp_path):
    """A tree with .wav files, in each layout."""
    return request.param(tmp_path / "MER2023")


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
def no_ffmpeg(tmp_path, monkeypatch):
    """A PATH without ffmpeg."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


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


def clip(root, number, part="train", suffix=".avi"):
    """The path of a clip of the first layout."""
    return root / "mer2023train" / part / f"sample_{number:08d}{suffix}"


# -- labels


def test_an_entry_has_every_key(tmp_path):
    """All keys of one clip, written out."""
    root = layout_two(tmp_path)
    assert read_mer2023(str(root))["sample_00000003"] == {
        "wav": str(root / "train" / "sample_00000003.wav"),
        "start": 0,
        "stop": 803,
        "duration": 803 / 16000,
        "emotion": "neutral",
        "valence": -0.25,
    }


def test_both_layouts_are_read_and_sorted(tree):
    """Emotions and valences as in the file, without the decoys."""
    annotation = read_mer2023(tree)
    assert list(annotation) == sorted(name for name, *_ in ROWS)
    for name, emotion, valence in ROWS:
        assert annotation[name]["emotion"] == emotion
        assert annotation[name]["valence"] == float(valence)
        assert annotation[name]["stop"] == length_of(name)


def test_test_parts(tree):
    """test3 has no valence, whether the column is missing or empty."""
    (entry,) = read_mer2023(tree, part="test1").values()
    assert (entry["emotion"], entry["valence"]) == ("happy", 1.75)
    assert os.path.dirname(entry["wav"]) == str(tree / "test1")
    annotation = read_mer2023(tree, part="test3")
    assert [(n, e["emotion"]) for n, e in annotation.items()] == TEST3
    assert not any("valence" in entry for entry in annotation.values())


def test_the_folder_of_train_is_understood(tmp_path):
    """And its test parts are found from there."""
    root = layout_one(tmp_path / "MER2023")
    inside = root / "mer2023train"
    for part in ("train", "test1", "test3"):
        whole = read_mer2023(root, part=part)
        assert read_mer2023(inside, part=part) == whole


def test_a_relative_folder_gives_absolute_paths(tree, monkeypatch):
    """An annotation stays valid in another working directory."""
    monkeypatch.chdir(tree.parent)
    entries = read_mer2023(tree.name).values()
    assert all(os.path.isabs(entry["wav"]) for entry in entries)


def test_labels_select(tree):
    """Only these, and only their clips are needed."""
    for path in tree.rglob("train/sample_00000007.wav"):
        path.unlink()
    annotation = read_mer2023(tree, labels=["happy", "neutral"])
    assert list(annotation) == ["sample_00000003", "sample_00000012"]
    with pytest.raises(InputError, match="no clip with a label among sad:"):
        read_mer2023(tree, labels=["sad"])


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"labels": ["hap"]}, r"--labels is \['hap'\]: give words among neu"),
        ({"labels": []}, r"--labels is \[\]: give words"),
        ({"labels": "sad"}, "--labels is 'sad': give a list in brackets"),
        ({"part": "valid"}, "--part is 'valid': give one of train, test1"),
    ],
)
def test_wrong_settings(tree, settings, message):
    """Refused with what there is."""
    with pytest.raises(InputError, match=message):
        read_mer2023(tree, **settings)


def test_the_way_a_table_was_saved_does_not_matter(tmp_path):
    """A byte order mark, CRLF, blanks, empty lines, another order."""
    root = layout_two(tmp_path)
    lines = ["", "valence, name ,discrete", ""]
    lines += [f"{row[2]} , {row[0]} ,{row[1]} " for row in ROWS] + [",,", ""]
    expected = read_mer2023(root)
    data = "\ufeff" + "\r\n".join(lines)
    (root / "train-label.csv").write_bytes(data.encode())
    assert read_mer2023(root) == expected


@pytest.mark.parametrize(
    "line, message",
    [
        ("sample_00000007,rage,1", "line 5 has the emotion 'rage': make it"),
        ("sample_00000007,,1", "line 5 has the emotion '': make it one of"),
        ("sample_00000007,sad,low", "line 5 has the valence 'low': make"),
        ("sample_00000007,sad,", "line 5 has the valence '': make"),
        ("sample_00000007,sad,nan", "line 5 has the valence 'nan': make"),
        ("sample_00000007,sad,-inf", "line 5 has the valence '-inf': make"),
        ("sample_00000012,sad,1", "line 5 names .*12', which line 2 names"),
        (",sad,1", "line 5 names no clip: correct"),
        ("sample_00000007,sad", "line 5 has 2 fields but the header has 3"),
        ("sample_00000007,sad,1,5", "line 5 has 4 fields but the header"),
        ("\udcff\udcfe,sad,1", "cannot be read as CSV in UTF-8"),
    ],
)
def test_broken_lines(tmp_path, line, message):
    """Each is named with its file and line."""
    root = layout_two(tmp_path)
    path = root / "train-label.csv"
    lines = path.read_text().splitlines()
    text = "\n".join([*lines[:4], line, ""])
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=message) as caught:
        read_mer2023(root)
    assert f"'{path}'" in str(caught.value)


@pytest.mark.parametrize(
    "text, message",
    [
        ("sample_00000012,happy,1\n", "line 1 is 'sample_00000012,happy,1'"),
        ("name,discrete\na,sad\n", "not the header 'name,discrete,valence'"),
        ("name,discrete,valence\n", "holds no clip"),
        ("", "holds no clip"),
    ],
)
def test_wrong_tables(tmp_path, text, message):
    """No header, no valences, nothing."""
    root = layout_two(tmp_path)
    (root / "train-label.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_mer2023(root)


# -- folders


def test_wrong_folders(tree, tmp_path):
    """Says which folder to give."""
    with pytest.raises(InputError, match="is no folder: give the path"):
        read_mer2023(tmp_path / "nowhere")
    with pytest.raises(InputError, match=f"above MER2023: give '{tree}'"):
        read_mer2023(tree.parent)
    train = next(path for path in tree.rglob("train") if path.is_dir())
    inside = f"inside of MER2023: give '{train.parent}'"
    with pytest.raises(InputError, match=inside):
        read_mer2023(train)
    with pytest.raises(InputError, match=f"of MER2023: give '{tree}'"):
        read_mer2023(tree / "test1")
    other = tmp_path / "other" / "empty"
    other.mkdir(parents=True)
    with pytest.raises(InputError, match="is not MER2023: give the folder in"):
        read_mer2023(other)


def test_missing_tables(tree):
    """What to unpack depends on what there is."""
    for path in tree.rglob("test3-label.csv"):
        path.unlink()
    with pytest.raises(InputError, match="no test3-label.csv.*test-labels.zip"):
        read_mer2023(tree, part="test3")
    with pytest.raises(InputError, match="neither test2-label.csv nor the"):
        read_mer2023(tree, part="test2")
    for path in tree.rglob("train-label.csv"):
        path.unlink()
    with pytest.raises(InputError, match="no train-label.csv.*2023train.zip"):
        read_mer2023(tree)


def test_missing_clips(tree):
    """A decoy, or another kind of file, is no clip."""
    (path,) = tree.rglob("train/sample_00000003.wav")
    path.rename(path.with_suffix(".txt"))
    with pytest.raises(InputError) as caught:
        read_mer2023(tree)
    message = str(caught.value)
    assert "'sample_00000003'" in message and "line 3)" in message
    assert f"lies in '{path.parent}'." in message
    (path.parent / "sample_00000012.wav").unlink()
    with pytest.raises(InputError, match=r"\(1 more is missing: 'sample_.*12'"):
        read_mer2023(tree)


def test_a_decoy_is_no_clip(tmp_path):
    """Even if a table made from a listing of files names it."""
    root = layout_two(tmp_path)
    write_csv(
        root / "train-label.csv", [HEADER, ("._sample_00000003", "sad", "1")]
    )
    with pytest.raises(InputError, match="'._sample_00000003' .* is missing"):
        read_mer2023(root)


def test_converted_sound_comes_first_and_then_wav(tree, no_ffmpeg):
    """Even beside the video."""
    train = next(path for path in tree.rglob("train") if path.is_dir())
    (train / "sample_00000003.avi").write_text("sound")
    (train / "sample_00000007.wav").unlink()
    converted = train.parent / "dataset-process" / "audio"
    for number in (7, 12):
        write_wav(converted / f"sample_{number:08d}.wav", 900)
    annotation = read_mer2023(tree)
    folders = {
        int(name[-8:]): os.path.dirname(entry["wav"])
        for name, entry in annotation.items()
    }
    assert folders == {
        3: str(train),
        7: str(converted),
        12: str(converted),
        40: str(train),
    }
    assert annotation["sample_00000007"]["stop"] == 900


def test_bad_sound_files_are_named(tree):
    """By the inspection of audio."""
    (path,) = tree.rglob("train/sample_00000003.wav")
    path.write_bytes(b"")
    with pytest.raises(InputError, match=f"'{path}' is empty"):
        read_mer2023(tree)


# -- counts


def test_the_release_is_read_without_a_word(tmp_path, logged, monkeypatch):
    """And its counts are the published ones."""
    counts = mer2023.EXPECTED_COUNTS
    assert [sum(c) for c in counts.values()] == [3373, 411, 412, 834]
    assert counts["train"] == (871, 822, 689, 383, 462, 146)
    monkeypatch.setitem(counts, "train", (1, 1, 1, 0, 1, 0))
    root = layout_two(tmp_path)
    read_mer2023(root)
    # All are counted, whichever are taken.
    read_mer2023(root, labels=["happy"])
    assert logged == []


def test_other_counts_are_warned_of(tmp_path, logged):
    """With a row for each class."""
    read_mer2023(layout_two(tmp_path))
    ((level, text),) = logged
    assert level == logging.WARNING
    assert "has 4 labelled clips in train" in text and "has 3373" in text
    rows = [line.split() for line in text.splitlines()[2:]]
    assert rows == [
        ["neutral", "1", "871"],
        ["angry", "1", "822"],
        ["happy", "1", "689"],
        ["sad", "0", "383"],
        ["worried", "1", "462"],
        ["surprise", "0", "146"],
    ]


def test_same_total_with_other_labels_is_warned_of(
    tmp_path, logged, monkeypatch
):
    """A total proves little."""
    monkeypatch.setitem(mer2023.EXPECTED_COUNTS, "train", (4, 0, 0, 0, 0, 0))
    read_mer2023(layout_two(tmp_path))
    assert [level for level, _ in logged] == [logging.WARNING]


def test_another_corpus_in_the_layout_is_only_mentioned(tmp_path, logged):
    """When its README says so."""
    root = layout_one(tmp_path / "x")
    (root / "README.txt").write_text("This is NOT MER2023. It is another.")
    read_mer2023(root)
    read_mer2023(root / "mer2023train")
    assert [level for level, _ in logged] == [logging.INFO] * 2


# -- sound of videos


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
    ],
)
def test_bad_videos(videos, tmp_path, ffmpeg, word, message):
    """The others' sound is kept, theirs is not."""
    clip(videos, 7).write_text(word)
    with pytest.raises(InputError, match=message) as caught:
        read_mer2023(videos, audio_folder=tmp_path / "sound")
    assert "more" not in str(caught.value)
    assert sorted(os.listdir(tmp_path / "sound" / "train")) == [
        f"sample_{number:08d}.wav" for number in (3, 12, 40)
    ]
    clip(videos, 3).write_text("broken")
    with pytest.raises(InputError, match=r"\(1 more is bad: 's.*07.avi'\)\.$"):
        read_mer2023(videos, audio_folder=tmp_path / "sound")
    for number in (3, 7):
        clip(videos, number).write_text("sound")
    assert len(read_mer2023(videos, audio_folder=tmp_path / "sound")) == 4


def test_what_can_be_seen_is_said_before_ffmpeg_starts(
    videos, tmp_path, ffmpeg
):
    """An empty video, a missing clip, a broken sound file, a bad label."""
    clip(videos, 7).write_bytes(b"")
    with pytest.raises(InputError, match="video '.*07.avi' is empty"):
        read_mer2023(videos, audio_folder=tmp_path / "sound")
    clip(videos, 7).unlink()
    with pytest.raises(InputError, match="clip 'sample_00000007'"):
        read_mer2023(videos, audio_folder=tmp_path / "sound")
    clip(videos, 7, suffix=".wav").write_text("no sound")
    with pytest.raises(InputError, match="07.wav' is not audio"):
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
    with pytest.raises(InputError, match="03.avi' cannot be written"):
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
    with pytest.raises(InputError, match="03.avi' has no sound"):
        read_mer2023(root, audio_folder=tmp_path / "sound")
    mute.write_text("no video at all")
    with pytest.raises(InputError, match="cannot read the video '.*03.avi'"):
        read_mer2023(root, audio_folder=tmp_path / "sound")
