"""The reader of MER2023 on tiny trees in both layouts."""

import logging
import os

import numpy as np
import pytest
import soundfile

from speechbrain_ser.corpora import mer2023
from speechbrain_ser.corpora.mer2023 import read_mer2023
from speechbrain_ser.utils.errors import InputError
from tests.corpora.mer2023_tree import (
    HEADER,
    ROWS,
    TEST3,
    layout_one,
    layout_two,
    length_of,
    write_csv,
    write_wav,
)


@pytest.fixture(params=[layout_one, layout_two])
def tree(request, tmp_path):
    """A tree with .wav files, in each layout."""
    return request.param(tmp_path / "MER2023")


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


def test_of_several_channels_the_mean_is_meant(tmp_path):
    """Of a clip's sound that lies there as a .wav."""
    root = layout_two(tmp_path)
    before = read_mer2023(str(root))
    key, entry = next(iter(before.items()))
    wav, rate = soundfile.read(entry["wav"])
    soundfile.write(entry["wav"], np.stack([wav, wav], axis=1), rate)
    mixed = before | {key: entry | {"channel": "mix"}}
    assert read_mer2023(str(root)) == mixed


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


def with_last_line(root, line):
    """Puts another line in place of the last of four; returns the file."""
    path = root / "train-label.csv"
    lines = path.read_text().splitlines()
    text = "\n".join([*lines[:4], line, ""])
    path.write_bytes(text.encode(errors="surrogateescape"))
    return path


@pytest.mark.parametrize(
    "line, what",
    [
        ("sample_00000007,rage,1", "Lines whose emotion is none of neutral, "),
        ("sample_00000007,,1", "Lines without an emotion"),
        ("sample_00000007,Unknown,1", "Lines without an emotion"),
        ("sample_00000007,n/a,1", "Lines without an emotion"),
        ("sample_00000012,sad,1", "Lines of a clip that an earlier line"),
        (",sad,1", "Lines that name no clip"),
        ("sample_00000007,sad", "Lines with other fields than the header's"),
        ("sample_00000007,sad,1,5", "Lines with other fields than the"),
        ("sample_00000008,sad,1", "Clips that are missing, as .avi"),
    ],
)
def test_a_broken_line_costs_no_corpus(tmp_path, line, what):
    """Each is left out, and named with its file and line."""
    root = layout_two(tmp_path)
    path = with_last_line(root, line)
    annotation = read_mer2023(root)
    assert list(annotation) == [f"sample_{n:08d}" for n in (3, 12, 40)]
    (row,) = annotation.odd
    assert row["what"].startswith(what) and row["done"] == "left out"
    where = (str(path), "line 5")
    if "missing" in what:
        where = (str(root / "train"), "sample_00000008")
    assert (row["file"], row["entry"]) == where


@pytest.mark.parametrize(
    "text, kept, done",
    [
        ("low", None, "taken as not known"),
        ("", None, "taken as not known"),
        ("nan", None, "taken as not known"),
        ("-inf", None, "taken as not known"),
        ("-55", None, "taken as not known"),
        ("5.25", 5, "clamped to it"),
        ("-6", -5, "clamped to it"),
    ],
)
def test_an_odd_valence_costs_no_clip(tmp_path, text, kept, done):
    """Its emotion is as good as any."""
    root = layout_two(tmp_path)
    with_last_line(root, f"sample_00000007,sad,{text}")
    annotation = read_mer2023(root)
    assert annotation["sample_00000007"].get("valence") == kept
    (row,) = annotation.odd
    assert (row["entry"], row["value"]) == ("line 5", text)
    assert row["done"] == done


def test_text_in_another_encoding(tmp_path):
    """Is no CSV in UTF-8."""
    path = with_last_line(layout_two(tmp_path), "\udcff\udcfe,sad,1")
    with pytest.raises(InputError, match="cannot be read as CSV") as caught:
        read_mer2023(tmp_path)
    assert f"'{path}'" in str(caught.value)


@pytest.mark.parametrize(
    "odd, total, refused", [(5, 9, 0), (6, 10, 1), (6, 600, 0), (7, 600, 1)]
)
def test_more_than_one_in_a_hundred_and_more_than_five(
    tmp_path, odd, total, refused
):
    """Whichever of both is more is still taken."""
    root = layout_two(tmp_path)
    rows = [(f"sample_{n:08d}", "sad", "1") for n in range(total - odd)]
    for name, *_ in rows:
        path = root / "train" / f"{name}.wav"
        if not path.exists():
            write_wav(path, 100)
    rows += [(f"sample_{n:08d}", "rage", "1") for n in range(900, 900 + odd)]
    write_csv(root / "train-label.csv", [HEADER, *rows])
    if not refused:
        assert len(read_mer2023(root)) == total - odd
        return
    with pytest.raises(InputError, match=f"{odd} of {total} lines of") as error:
        read_mer2023(root)
    assert f"line {total - odd + 2}: Lines whose emotion" in str(error.value)


@pytest.mark.parametrize(
    "text, message",
    [
        ("sample_00000012,happy,1\n", "line 1 is 'sample_00000012,happy,1'"),
        ("name,discrete\na,sad\n", "not the header 'name,discrete,valence'"),
        ("name,discrete,valence\n", "holds no clip that can be read"),
        ("name,discrete,valence\na,rage,1\n", "holds no clip that can be read"),
        ("", "holds no clip that can be read"),
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
    annotation = read_mer2023(tree)
    assert list(annotation) == [f"sample_{n:08d}" for n in (7, 12, 40)]
    (row,) = annotation.odd
    assert row["entry"] == "sample_00000003"
    assert row["file"] == str(path.parent)
    for name in annotation:
        (path.parent / f"{name}.wav").unlink()
    message = (
        f"'{path.parent}' has none of the 4 clips, such as sample_00000003"
    )
    with pytest.raises(InputError, match=message):
        read_mer2023(tree)


def test_a_decoy_is_no_clip(tmp_path):
    """Even if a table made from a listing of files names it."""
    root = layout_two(tmp_path)
    write_csv(
        root / "train-label.csv", [HEADER, ("._sample_00000003", "sad", "1")]
    )
    with pytest.raises(InputError, match="none of the 1 clips, such as ._sam"):
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
    (row,) = read_mer2023(tree).odd
    assert f"'{path}' is empty" in row["value"]
    for other in path.parent.glob("sample*.wav"):
        other.write_bytes(b"")
    with pytest.raises(InputError, match="is empty.*3 more files are bad"):
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
