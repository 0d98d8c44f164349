"""The reader of CMU-MOSEI on tiny trees that are written by hand."""

import json
import logging
import os
import shutil

import numpy as np
import pytest
import soundfile

from speechbrain_ser.corpora import cmu_mosei
from speechbrain_ser.corpora.cmu_mosei import read_cmu_mosei
from speechbrain_ser.corpora.protocols.cmu_mosei import four_classes
from speechbrain_ser.utils.audio import load_audio
from speechbrain_ser.utils.audio_entries import check_audio
from tests.corpora.cmu_mosei_tree import (
    COLUMNS,
    FEATURES,
    FIRST,
    INTERVALS,
    OTHER,
    labels_path,
    make_tree,
    refusal,
    segment,
    sound_path,
    told,
    write_labels,
    write_sound,
)

BEFORE = "Segments that begin before their recording"
AFTER = "Segments that end after their recording"


@pytest.fixture
def tree(tmp_path):
    """A corpus of two videos."""
    return make_tree(tmp_path / "MOSEI")


# -- what is read


def test_an_entry_has_every_key(tree):
    """All keys of one segment, and nothing to tell."""
    annotation, odd = told(str(tree))
    assert odd == {}
    ratings = annotation[f"{FIRST}_2"].pop("ratings")
    assert annotation[f"{FIRST}_2"] == {
        "wav": str(sound_path(tree)),
        "start": 18336,  # 1.146 * 16000
        "stop": 51872,
        "duration": 33536 / 16000,
        "video": FIRST,
    }
    assert list(ratings) == COLUMNS
    assert list(ratings.values()) == pytest.approx(FEATURES[2], abs=1e-6)
    assert all(type(value) is float for value in ratings.values())
    json.dumps(annotation)


def test_rows_keep_their_numbers(tree):
    """Not in order of time, and 10 comes after 9."""
    spans = [[0.1 * (20 - k), 0.1 * (20 - k) + 0.5] for k in range(12)]
    features = [[0.1 * k] + [0] * 6 for k in range(12)]
    write_labels(labels_path(tree), {FIRST: (features, spans)})
    annotation, odd = told(tree)
    assert list(annotation) == [f"{FIRST}_{row}" for row in range(12)]
    for row, entry in enumerate(annotation.values()):
        assert entry["ratings"]["sentiment"] == pytest.approx(0.1 * row)
        assert entry["start"] == 1600 * (20 - row)
        assert entry["stop"] == 1600 * (25 - row)
    assert odd == {}


def test_the_reader_and_the_loader_agree(tree):
    """At another rate too: start and stop are the file's own samples."""
    path = sound_path(tree)
    write_sound(path, rate=8000)
    samples, _ = soundfile.read(path, dtype="float32")
    annotation = read_cmu_mosei(tree)
    check_audio(annotation)
    entry = annotation[f"{FIRST}_0"]
    assert (entry["start"], entry["stop"]) == (30816, 38760)
    assert entry["duration"] == pytest.approx(0.993)
    loaded = load_audio(entry, sample_rate=8000).numpy()
    np.testing.assert_array_equal(loaded, samples[30816:38760])
    assert len(load_audio(entry)) == 2 * len(loaded)


@pytest.mark.parametrize(
    "video", ["-iRBcNs9oI8", "_gr7o5ynhnw", "iiK8YX8oH1_", "81406"]
)
def test_odd_ids(tree, video):
    """Signs at both ends, and plain numbers."""
    write_labels(labels_path(tree), {video: (FEATURES, INTERVALS)})
    write_sound(sound_path(tree, video))
    annotation, odd = told(tree)
    assert list(annotation) == [f"{video}_{row}" for row in range(3)]
    assert annotation[f"{video}_0"]["video"] == video
    assert annotation[f"{video}_0"]["wav"] == str(sound_path(tree, video))
    assert odd == {}


def test_overlapping_segments_and_videos_without_rows(tree):
    """Both are fine."""
    spans = [[0.5, 2.5], [0.5, 2.5], [1.0, 3.0]]
    videos = {FIRST: (FEATURES, spans), OTHER: ([], [])}
    write_labels(labels_path(tree), videos)
    annotation, odd = told(tree)
    assert len(annotation) == 3 and odd == {}


def test_a_relative_folder_gives_absolute_paths(tree, monkeypatch):
    """An annotation stays valid in another working directory."""
    expected = read_cmu_mosei(tree)
    monkeypatch.chdir(tree.parent)
    assert read_cmu_mosei("MOSEI") == expected
    relative = os.path.join("MOSEI", "CMU_MOSEI_Labels.csd")
    assert read_cmu_mosei("MOSEI", relative) == expected


# -- where segments and recordings end


def test_a_negative_start_is_the_beginning(tree):
    """And told."""
    segment(tree, -0.487, 1.0)
    annotation, odd = told(tree)
    entry = annotation[f"{FIRST}_0"]
    assert (entry["start"], entry["stop"]) == (0, 16000)
    assert entry["duration"] == 1.0
    assert odd == {(BEFORE, "cut to it", True): [f"{FIRST}_0"]}


@pytest.mark.parametrize("end", [5.1, 80.0, 1e300])
def test_an_end_behind_the_recording_is_its_end(tree, end):
    """And told; the recording's end itself is not."""
    segment(tree, 4.0, end)
    annotation, odd = told(tree)
    entry = annotation[f"{FIRST}_0"]
    assert (entry["start"], entry["stop"]) == (64000, 80000)
    assert entry["duration"] == 1.0
    assert odd == {(AFTER, "cut to it", True): [f"{FIRST}_0"]}
    segment(tree, 4.0, 5.0)
    assert told(tree) == (annotation, {})


def test_both_ends_are_cut(tree):
    """The whole recording is left."""
    segment(tree, -1, 6)
    annotation, odd = told(tree)
    entry = annotation[f"{FIRST}_0"]
    assert (entry["start"], entry["stop"]) == (0, 80000)
    assert [what for what, *_ in odd] == [BEFORE, AFTER]


@pytest.mark.parametrize(
    "span, words, usual",
    [
        ([5.0, 6.0], "of less than 0.1 s within their recording", True),
        ([1e300, 1e301], "of less than 0.1 s within their recording", True),
        ([4.91, 6.0], "of less than 0.1 s within their recording", True),
        ([-2.0, -1.0], "of less than 0.1 s within their recording", True),
        ([-2.0, 0.09], "of less than 0.1 s within their recording", True),
        ([2.0, 2.09], "of less than 0.1 s within their recording", True),
        ([2.0, 2.0], "that do not end after they begin", False),
        ([2.0, 1.0], "that do not end after they begin", False),
        ([9.0, 8.0], "that do not end after they begin", False),
    ],
)
def test_segments_that_are_left_out(tree, span, words, usual):
    """Told once each; the others stay, and keep their numbers."""
    labels = {FIRST: (FEATURES, [INTERVALS[0], span, INTERVALS[2]])}
    write_labels(labels_path(tree), labels)
    annotation, odd = told(tree)
    assert list(annotation) == [f"{FIRST}_0", f"{FIRST}_2"]
    assert odd == {(f"Segments {words}", "left out", usual): [f"{FIRST}_1"]}


@pytest.mark.parametrize("span", [[4.88, 6.0], [-1.0, 0.12], [2.0, 2.12]])
def test_a_short_segment_stays(tree, span):
    """0.12 s are enough."""
    segment(tree, *span)
    annotation = read_cmu_mosei(tree)
    assert annotation[f"{FIRST}_0"]["duration"] == pytest.approx(0.12)


def test_what_is_usual_is_told_and_never_too_much(tree, logged):
    """Six of six: counted, five are named."""
    late = [[1.0, 6.0]] * 3
    labels = {FIRST: (FEATURES, late), OTHER: (FEATURES, late)}
    write_labels(labels_path(tree), labels)
    assert len(read_cmu_mosei(tree)) == 6
    ((level, text),) = logged
    assert level == logging.INFO
    assert text.startswith(f"{AFTER}, cut to it: 6 ('{labels_path(tree)}', ")
    assert text.count("1 s to 6 s") == 5 and text.endswith("; ...).")


def test_too_many_that_are_not(tree):
    """Six of twelve: one sentence."""
    wrong = [[3.0, 2.0]] * 3 + [[0.0, 1.0]] * 3
    labels = {FIRST: (FEATURES * 2, wrong), OTHER: (FEATURES * 2, wrong)}
    write_labels(labels_path(tree), labels)
    message = refusal(tree)
    assert f"6 of 12 segments of '{labels_path(tree)}' are odd" in message
    assert f"{OTHER}_0: Segments that do not end after they begin" in message


def test_nothing_left(tree):
    """All segments lie behind their recordings."""
    segment(tree, 7.0, 9.0)
    message = refusal(tree)
    assert f"Of the segments in '{labels_path(tree)}' 1 lie outside" in message
    assert f"in '{sound_path(tree).parent}', 0 within: download" in message


def test_times_in_thousandths(tree):
    """Most segments lie behind their recordings: that is not usual."""
    times = [[1000 * s, 1000 * e] for s, e in INTERVALS]
    write_labels(
        labels_path(tree),
        {FIRST: (FEATURES, times), OTHER: ([[0] * 7], [[0.0, 5000.0]])},
    )
    assert "3 lie outside of their recordings" in refusal(tree)


# -- recordings


def test_videos_without_a_recording_are_left_out(tree):
    """And counted with their segments."""
    videos = {f"v{k}": (FEATURES[:2], INTERVALS[:2]) for k in range(4)}
    videos[FIRST] = FEATURES, INTERVALS
    write_labels(labels_path(tree), videos)
    annotation, odd = told(tree)
    assert list(annotation) == [f"{FIRST}_{row}" for row in range(3)]
    what = "Videos, of 5, without a recording"
    assert odd == {(what, "left out", True): ["v0", "v1", "v2", "v3"]}
    rows = annotation.odd
    assert {row["file"] for row in rows} == {str(sound_path(tree).parent)}
    assert {row["value"] for row in rows} == {"2 segments"}


@pytest.mark.parametrize("place", ["Audio/Full/WAV_16000", "wav", "."])
def test_recordings_in_another_folder(tree, place):
    """Of whatever name, and with whatever suffix's letters."""
    folder = tree / place
    folder.mkdir(parents=True, exist_ok=True)
    for video in (FIRST, OTHER):
        sound_path(tree, video).rename(folder / f"{video}.WAV")
    annotation, odd = told(tree)
    assert len(annotation) == 4 and odd == {}
    wav = annotation[f"{FIRST}_0"]["wav"]
    assert os.path.samefile(wav, folder / f"{FIRST}.WAV")


def test_the_releases_folder_comes_first(tree):
    """Even if another has more of the videos."""
    write_sound(tree / "A" / f"{FIRST}.wav", seconds=4)
    write_sound(tree / "A" / f"{OTHER}.wav", seconds=4)
    sound_path(tree, OTHER).unlink()
    annotation, odd = told(tree)
    assert {e["wav"] for e in annotation.values()} == {str(sound_path(tree))}
    what = "Videos, of 2, without a recording"
    assert odd == {(what, "left out", True): [OTHER]}


def test_else_the_folder_with_most_videos(tree):
    """Segments' own files are no recordings."""
    sound_path(tree).parent.rename(tree / "Z")
    write_sound(tree / "A" / f"{FIRST}.wav", seconds=4)
    write_sound(tree / "B" / f"{FIRST}_0.wav", seconds=1)
    write_sound(tree / "B" / f"{FIRST}_1.wav", seconds=1)
    write_sound(tree / "B" / f"{FIRST}_2.wav", seconds=1)
    write_sound(tree / "WAV_16000" / "other.wav", seconds=1)
    annotation, odd = told(tree)
    folders = {os.path.dirname(e["wav"]) for e in annotation.values()}
    assert folders == {str(tree / "Z")} and odd == {}


def test_links_are_followed(tree, tmp_path):
    """Also one that leads up again."""
    elsewhere = tmp_path / "disk" / "Raw"
    elsewhere.parent.mkdir()
    (tree / "Raw").rename(elsewhere)
    (tree / "Raw").symlink_to(elsewhere)
    (tree / "again").symlink_to(tree)
    annotation, odd = told(tree)
    assert annotation[f"{FIRST}_0"]["wav"] == str(sound_path(tree))
    assert odd == {}
    tables, folders = cmu_mosei._look_through(tree)
    assert tables == [str(labels_path(tree))] and len(folders) == 1


def test_no_recording_at_all(tree):
    """Says where they belong."""
    shutil.rmtree(tree / "Raw" / "Audio")
    place = sound_path(tree, OTHER)
    assert "There is no recording of any video of" in refusal(tree)
    assert f"so that there is for example '{place}'" in refusal(tree)
    write_sound(tree / "Raw" / "Audio" / "Full" / "WAV_16000" / "other.wav")
    assert "There is no recording of any video of" in refusal(tree)


def test_recordings_are_inspected(tree):
    """Empty, truncated: its segments are left out; all bad: refused."""
    path = sound_path(tree)
    whole = path.read_bytes()
    for content, said in (
        (b"", "is empty (0 bytes)"),
        (whole[:60000], "is truncated"),
        (b"no sound", "is not audio"),
    ):
        path.write_bytes(content)
        annotation = read_cmu_mosei(tree)
        assert list(annotation) == [f"{OTHER}_0"]
        assert len(annotation.odd) == 3
        for row in annotation.odd:
            assert row["file"] == str(path) and said in row["value"]
    sound_path(tree, OTHER).write_bytes(b"")
    assert "(1 more file is bad" in refusal(tree)


def test_of_several_channels_the_mean_is_meant(tree):
    """Of that recording alone."""
    path = sound_path(tree)
    before = read_cmu_mosei(tree)
    write_sound(path, channels=2)
    assert read_cmu_mosei(tree) == {
        key: entry | ({"channel": "mix"} if entry["wav"] == str(path) else {})
        for key, entry in before.items()
    }


def test_recordings_of_no_segment_are_not_inspected(tree):
    """The release has more videos than labels."""
    sound_path(tree, "another").write_bytes(b"no sound")
    assert len(read_cmu_mosei(tree)) == 4


def test_four_classes_of_what_is_read(tree):
    """The example's rows, worked by hand."""
    kept = four_classes(read_cmu_mosei(tree))
    assert {key: entry["present"] for key, entry in kept.items()} == {
        f"{OTHER}_0": ["neu"],
        f"{FIRST}_0": ["ang", "hap"],
        f"{FIRST}_1": ["hap"],
        f"{FIRST}_2": ["sad"],
    }
