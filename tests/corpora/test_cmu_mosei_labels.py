"""The file of labels of CMU-MOSEI, damaged in every way."""

import json
import shutil

import h5py
import numpy as np
import pytest

from speechbrain_ser.corpora.cmu_mosei import read_cmu_mosei
from speechbrain_ser.utils.errors import InputError
from tests.corpora.cmu_mosei_tree import (
    COLUMNS,
    FEATURES,
    FIRST,
    INTERVALS,
    OTHER,
    labels_path,
    make_tree,
    refusal,
    sound_path,
    write_labels,
)


@pytest.fixture
def tree(tmp_path):
    """A corpus of two videos."""
    return make_tree(tmp_path / "MOSEI")


@pytest.mark.parametrize("place", ["labels", "a/b/c"])
def test_labels_anywhere_below(tree, place):
    """The SDK has a folder of its own."""
    (tree / place).mkdir(parents=True)
    expected = read_cmu_mosei(tree)
    target = tree / place / "CMU_MOSEI_Labels.csd"
    shutil.copy(labels_path(tree), target)
    assert read_cmu_mosei(tree) == expected
    labels_path(tree).unlink()
    assert read_cmu_mosei(tree) == expected


def test_labels_that_differ(tree):
    """The user must say which."""
    other = tree / "labels" / "CMU_MOSEI_Labels.csd"
    write_labels(other, {FIRST: (FEATURES[:1], INTERVALS[:1])})
    message = refusal(tree)
    assert f"'{labels_path(tree)}'" in message and f"'{other}'" in message
    assert "differ: give the path of the right one as labels_file" in message
    assert len(read_cmu_mosei(tree, other)) == 1
    assert len(read_cmu_mosei(tree, labels_path(tree))) == 4


def test_labels_elsewhere(tree, tmp_path):
    """By labels_file alone, of any name."""
    expected = read_cmu_mosei(tree)
    other = tmp_path / "mine.csd"
    labels_path(tree).rename(other)
    assert read_cmu_mosei(tree, str(other)) == expected
    message = refusal(tree)
    assert f"no CMU_MOSEI_Labels.csd below '{tree}': copy" in message
    assert "give its path as labels_file" in message
    for wrong in (tmp_path / "none.csd", tmp_path):
        assert f"labels_file '{wrong}' is no file" in refusal(tree, wrong)


def test_wrong_folders(tree, tmp_path):
    """Says which folder to give."""
    assert "is no folder: give the path" in refusal(tmp_path / "nowhere")
    assert "is no folder: give the path" in refusal(labels_path(tree))
    inside = f"a folder inside of CMU-MOSEI: give '{tree}'"
    assert inside in refusal(tree / "Raw")
    assert inside in refusal(sound_path(tree).parent)
    (tmp_path / "other").mkdir()
    assert "There is no CMU_MOSEI_Labels.csd" in refusal(tmp_path / "other")


def test_the_folder_above_is_read(tree):
    """Labels and recordings are looked for."""
    assert read_cmu_mosei(tree.parent) == read_cmu_mosei(tree)


@pytest.mark.parametrize(
    "content", [b"", b"<!DOCTYPE html><html>404</html>", b"\x80\x04\x95." * 99]
)
def test_labels_that_are_no_hdf5(tree, content):
    """Nothing, a page of a server, a pickle."""
    path = labels_path(tree)
    path.write_bytes(content)
    message = refusal(tree)
    assert f"'{path}' is no HDF5 file: download CMU_MOSEI_Labels" in message


def test_truncated_labels(tree):
    """Wherever they end."""
    path = labels_path(tree)
    whole = path.read_bytes()
    for length in (20, 600, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        message = refusal(tree)
        assert f"'{path}' is truncated, damaged or not to be read" in message


def test_damaged_labels(tree):
    """No byte makes it fail in another way, nor lets a bad rating pass."""
    path = labels_path(tree)
    whole = path.read_bytes()
    # HDF5 itself can hang at a damaged heap of texts.
    heap = whole.index(b"GCOL")
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(50):
        damaged = np.frombuffer(whole, np.uint8).copy()
        places = rng.integers(heap, size=4)
        damaged[places] = rng.integers(256, size=4)
        path.write_bytes(damaged.tobytes())
        try:
            annotation = read_cmu_mosei(tree)
        except InputError as error:
            assert "\n" not in str(error) and f"'{path}'" in str(error)
            refused += 1
            continue
        refused += any(not row["usual"] for row in annotation.odd)
        for entry in annotation.values():
            sentiment, *emotions = entry["ratings"].values()
            assert -3 <= sentiment <= 3
            assert 0 <= min(emotions) and max(emotions) <= 3
    assert 5 < refused < 50


def test_an_id_that_is_no_text(tree):
    """h5py gives bytes for it."""
    path = labels_path(tree)
    content = path.read_bytes()
    assert content.count(OTHER.encode()) == 1
    path.write_bytes(content.replace(OTHER.encode(), b"-iRBcNs9oI\xff"))
    assert "damaged or not to be read (the id b'-iRB" in refusal(tree)


def change(root, name, value):
    """Puts other data in place of a video's."""
    with h5py.File(labels_path(root), "a") as file:
        video = file[f"All Labels/data/{FIRST}"]
        del video[name]
        if value is not None:
            video[name] = value


def left_out(root, *entries):
    """Why a video, or a segment, was left out; all others are there."""
    annotation = read_cmu_mosei(root)
    odd = annotation.odd
    assert [row["entry"] for row in odd] == list(entries)
    assert {row["file"] for row in odd} == {str(labels_path(root))}
    assert {row["usual"] for row in odd} == {""}
    every = {f"{FIRST}_{row}" for row in range(3)} | {f"{OTHER}_0"}
    gone = {k for k in every if k.startswith(entries)}
    assert set(annotation) == every - gone
    return odd[0]["what"]


@pytest.mark.parametrize("name, columns", [("features", 7), ("intervals", 2)])
@pytest.mark.parametrize(
    "shape, kind",
    [((3, 6), "f4"), ((3, 8), "f4"), ((7,), "f4"), ((3, 7, 1), "f4")]
    + [((3, 7), "S3"), ((3, 7), "c8"), ((), "f4"), (None, None)],
)
def test_tables_of_another_shape(tree, name, columns, shape, kind):
    """Or of no numbers, or missing."""
    value = None
    if shape is not None:
        shape = tuple(columns if n == 7 else n for n in shape)
        value = np.zeros(shape, kind)
    change(tree, name, value)
    assert left_out(tree, FIRST) == (
        "Videos without a table of 7 ratings and one of 2 times"
    )


def test_a_table_too_big_for_memory(tree):
    """Of which the file holds nothing."""
    with h5py.File(labels_path(tree), "a") as file:
        video = file[f"All Labels/data/{FIRST}"]
        del video["features"]
        video.create_dataset("features", (2**50, 7), "f4", chunks=(64, 7))
    assert "is truncated, damaged or not to be read" in refusal(tree)


def test_a_video_that_is_no_group(tree):
    """As in a file of another kind."""
    with h5py.File(labels_path(tree), "a") as file:
        del file[f"All Labels/data/{FIRST}"]
        file[f"All Labels/data/{FIRST}"] = np.zeros((3, 7))
    assert left_out(tree, FIRST).startswith("Videos without a table of 7")


@pytest.mark.parametrize("features, intervals", [(3, 2), (2, 3), (0, 3)])
def test_features_and_intervals_do_not_fit(tree, features, intervals):
    """Both counts are told."""
    labels = {
        FIRST: (FEATURES[:features], INTERVALS[:intervals]),
        OTHER: ([[0] * 7], [[0.0, 5.0]]),
    }
    write_labels(labels_path(tree), labels)
    what = "Videos with more ratings than times, or fewer"
    assert left_out(tree, FIRST) == what
    (row,) = read_cmu_mosei(tree).odd
    assert row["value"] == f"{features} and {intervals}"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["features", "intervals"])
def test_numbers_that_are_not_finite(tree, name, value):
    """Cost their segment alone."""
    values = np.array(FEATURES if name == "features" else INTERVALS)
    values[1, 1] = value
    change(tree, name, values)
    what = "Segments with ratings or times that are no finite numbers"
    assert left_out(tree, f"{FIRST}_1") == what


@pytest.mark.parametrize(
    "column, value, kept",
    [
        (0, 3.01, 3),
        (0, -3.5, -3),
        (0, 3.8, None),
        (1, -1 / 3, 0),
        (3, 3.5, None),
        (6, 4, None),
    ],
)
def test_ratings_out_of_range(tree, column, value, kept):
    """Clamped where they are near; the ends themselves are in range."""
    values = np.array(FEATURES, "f4")
    values[2] = [-3, 0, 3, 0, 3, 3, 3]
    change(tree, "features", values)
    whole = read_cmu_mosei(tree)
    assert len(whole) == 4 and whole.odd == []
    values[2, column] = value
    change(tree, "features", values)
    annotation = read_cmu_mosei(tree)
    (row,) = annotation.odd
    assert row["entry"] == f"{FIRST}_2"
    assert row["value"] == f"{COLUMNS[column]} {np.float32(value):g}"
    if kept is None:
        assert row["entry"] not in annotation and row["done"] == "left out"
    else:
        ratings = annotation[row["entry"]]["ratings"]
        assert list(ratings.values())[column] == kept
        assert row["done"] == "clamped to it"


@pytest.mark.parametrize("kind", ["f8", "i2"])
def test_other_kinds_of_numbers(tree, kind):
    """As long as they are numbers."""
    values = np.array([[1, 2, 0, 1, 0, 0, 3]] * 3, kind)
    change(tree, "features", values)
    ratings = read_cmu_mosei(tree)[f"{FIRST}_0"]["ratings"]
    assert list(ratings.values()) == [1, 2, 0, 1, 0, 0, 3]


@pytest.mark.parametrize(
    "columns",
    [
        [COLUMNS[0], *COLUMNS[2:], COLUMNS[1]],
        [*COLUMNS[1:], COLUMNS[0]],
        COLUMNS[:6],
        [*COLUMNS, "trust"],
        list(range(7)),
        [],
    ],
)
def test_columns_in_another_order(tree, columns):
    """When the file says so."""
    write_labels(labels_path(tree), {FIRST: (FEATURES, INTERVALS)}, columns)
    message = refusal(tree)
    named = ", ".join(map(str, columns))
    assert f"'{labels_path(tree)}' names its columns {named}, " in message
    assert f"where {', '.join(COLUMNS)} are due" in message


@pytest.mark.parametrize(
    "columns",
    [
        [
            "Sentiment",
            "Happiness",
            "sadness",
            "Anger",
            "SURPRISE",
            "dis",
            "fear",
        ],
        "",
        '""',
        "null",
        "not JSON",
        b'"\xff"',
    ],
)
def test_columns_that_are_named_otherwise_or_not(tree, columns):
    """Words of the same beginning are the same; no list says nothing."""
    expected = read_cmu_mosei(tree)[f"{FIRST}_0"]
    labels = {FIRST: (FEATURES, INTERVALS)}
    write_labels(labels_path(tree), labels, columns)
    assert read_cmu_mosei(tree)[f"{FIRST}_0"] == expected


@pytest.mark.parametrize("value", [None, 7, [1, 2], "scalar"])
def test_metadata_of_another_kind(tree, value):
    """It is only looked at where it is one text, in a list or not."""
    with h5py.File(labels_path(tree), "a") as file:
        metadata = file["All Labels/metadata"]
        del metadata["dimension names"]
        if value == "scalar":
            metadata["dimension names"] = json.dumps(COLUMNS[::-1])
        elif value is not None:
            metadata["dimension names"] = value
    if value == "scalar":
        assert "names its columns fear, disgust" in refusal(tree)
    else:
        assert len(read_cmu_mosei(tree)) == 4


@pytest.mark.parametrize("lacks", ["All Labels", "All Labels/data"])
def test_a_file_of_something_else(tree, lacks):
    """Without labels, or with a table in their place."""
    path = labels_path(tree)
    for value in (None, np.zeros(3)):
        with h5py.File(path, "a") as file:
            del file[lacks]
            if value is not None:
                file[lacks] = value
        assert f"'{path}' has no group 'All Labels/data': give" in refusal(tree)
        write_labels(path, {FIRST: (FEATURES, INTERVALS)})


@pytest.mark.parametrize("videos", [{}, {FIRST: ([], [])}])
def test_no_segment(tree, videos):
    """No video, or only empty ones."""
    with h5py.File(labels_path(tree), "w") as file:
        file.create_group("All Labels/data")
    if videos:
        write_labels(labels_path(tree), videos)
    assert f"'{labels_path(tree)}' holds no segment" in refusal(tree)
