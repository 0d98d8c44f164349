"""The reader of CMU-MOSEI on tiny trees that are written by hand."""

import json
import os
import shutil

import h5py
import numpy as np
import pytest
import soundfile

from speechbrain_ser.corpora import cmu_mosei
from speechbrain_ser.corpora.cmu_mosei import read_cmu_mosei
from speechbrain_ser.corpora.protocols.cmu_mosei import four_classes
from speechbrain_ser.utils.audio import load_audio
from speechbrain_ser.utils.audio_files import check_audio
from speechbrain_ser.utils.errors import InputError

COLUMNS = ["sentiment", "happy", "sad", "anger", "surprise", "disgust", "fear"]
# An example of the release: rows are not in order of time.
FIRST = "zv0Jl4TIQDc"
FEATURES = [
    [1 / 3, 2 / 3, 0, 2 / 3, 0, 0, 0],
    [1, 2, 0, 0, 0, 0, 0],
    [-7 / 3, 0, 8 / 3, 0, 0, 1 / 3, 0],
]
INTERVALS = [[3.852, 4.845], [0.764, 1.633], [1.146, 3.242]]
OTHER = "-iRBcNs9oI8"
SECONDS = 5


def labels_path(root):
    """The file of labels."""
    return root / "CMU_MOSEI_Labels.csd"


def sound_path(root, video=FIRST):
    """The recording of a video."""
    return root / "Raw" / "Audio" / "Full" / "WAV_16000" / f"{video}.wav"


def write_labels(path, videos, columns=COLUMNS):
    """Writes {video: (features, intervals)}; `columns` may be raw text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(columns, (str, bytes)):
        columns = json.dumps(columns)
    with h5py.File(path, "w") as file:
        for video, (features, intervals) in videos.items():
            group = file.create_group(f"All Labels/data/{video}")
            group["features"] = np.array(features, "f4").reshape(-1, 7)
            group["intervals"] = np.array(intervals, "f8").reshape(-1, 2)
        metadata = {"root name": '"All Labels"', "dimension names": columns}
        for key, value in metadata.items():
            place = f"All Labels/metadata/{key}"
            file.create_dataset(place, (1,), h5py.string_dtype())[0] = value


def write_sound(path, rate=16000, seconds=SECONDS, channels=1):
    """Writes a recording."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    shape = (round(seconds * rate), channels)
    soundfile.write(path, rng.uniform(-0.5, 0.5, shape), rate)


def make_tree(root):
    """Writes two videos with the quirks of the release."""
    videos = {
        FIRST: (FEATURES, INTERVALS),
        OTHER: ([[0] * 7], [[0.0, 5.0]]),
    }
    write_labels(labels_path(root), videos)
    for video in videos:
        write_sound(sound_path(root, video))
    decoy = b"\x00\x05\x16\x07\x00\x02\x00\x00" + bytes(74)
    for path in (labels_path(root), sound_path(root)):
        (path.parent / f"._{path.name}").write_bytes(decoy)
    texts = root / "Raw" / "Transcript" / "Segmented" / "Combined"
    texts.mkdir(parents=True)
    (texts / f"{FIRST}.txt").write_text(f"{FIRST}___0___3.852___4.845___Hm.\n")
    return root


@pytest.fixture
def tree(tmp_path):
    """A corpus of two videos."""
    return make_tree(tmp_path / "MOSEI")


def segment(root, start, end):
    """Gives the first video a single segment."""
    write_labels(labels_path(root), {FIRST: (FEATURES[:1], [[start, end]])})


def refusal(*arguments):
    """The one sentence with which a corpus is refused."""
    with pytest.raises(InputError) as caught:
        read_cmu_mosei(*arguments)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message
    return message


# -- what is read


def test_an_entry_has_every_key(tree):
    """All keys of one segment, and nothing to tell."""
    annotation, notes = read_cmu_mosei(str(tree))
    assert notes == []
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
    annotation, notes = read_cmu_mosei(tree)
    assert list(annotation) == [f"{FIRST}_{row}" for row in range(12)]
    for row, entry in enumerate(annotation.values()):
        assert entry["ratings"]["sentiment"] == pytest.approx(0.1 * row)
        assert entry["start"] == 1600 * (20 - row)
        assert entry["stop"] == 1600 * (25 - row)
    assert notes == []


def test_the_reader_and_the_loader_agree(tree):
    """At another rate too: start and stop are the file's own samples."""
    path = sound_path(tree)
    write_sound(path, rate=8000)
    samples, _ = soundfile.read(path, dtype="float32")
    annotation, _ = read_cmu_mosei(tree)
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
    annotation, notes = read_cmu_mosei(tree)
    assert list(annotation) == [f"{video}_{row}" for row in range(3)]
    assert annotation[f"{video}_0"]["video"] == video
    assert annotation[f"{video}_0"]["wav"] == str(sound_path(tree, video))
    assert notes == []


def test_overlapping_segments_and_videos_without_rows(tree):
    """Both are fine."""
    spans = [[0.5, 2.5], [0.5, 2.5], [1.0, 3.0]]
    videos = {FIRST: (FEATURES, spans), OTHER: ([], [])}
    write_labels(labels_path(tree), videos)
    annotation, notes = read_cmu_mosei(tree)
    assert len(annotation) == 3 and notes == []


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
    annotation, notes = read_cmu_mosei(tree)
    entry = annotation[f"{FIRST}_0"]
    assert (entry["start"], entry["stop"]) == (0, 16000)
    assert entry["duration"] == 1.0
    assert notes == [
        f"Segments that begin before their recording, cut to it: 1 ({FIRST}_0)."
    ]


@pytest.mark.parametrize("end", [5.1, 80.0, 1e300])
def test_an_end_behind_the_recording_is_its_end(tree, end):
    """And told; the recording's end itself is not."""
    segment(tree, 4.0, end)
    annotation, notes = read_cmu_mosei(tree)
    entry = annotation[f"{FIRST}_0"]
    assert (entry["start"], entry["stop"]) == (64000, 80000)
    assert entry["duration"] == 1.0
    assert notes == [
        f"Segments that end after their recording, cut to it: 1 ({FIRST}_0)."
    ]
    segment(tree, 4.0, 5.0)
    assert read_cmu_mosei(tree) == (annotation, [])


def test_both_ends_are_cut(tree):
    """The whole recording is left."""
    segment(tree, -1, 6)
    annotation, notes = read_cmu_mosei(tree)
    entry = annotation[f"{FIRST}_0"]
    assert (entry["start"], entry["stop"]) == (0, 80000)
    assert len(notes) == 2


@pytest.mark.parametrize(
    "span, words",
    [
        ([5.0, 6.0], "of which less than 0.1 s lies within"),
        ([1e300, 1e301], "of which less than 0.1 s lies within"),
        ([4.91, 6.0], "of which less than 0.1 s lies within"),
        ([-2.0, -1.0], "of which less than 0.1 s lies within"),
        ([-2.0, 0.09], "of which less than 0.1 s lies within"),
        ([2.0, 2.09], "of which less than 0.1 s lies within"),
        ([2.0, 2.0], "that do not end after they begin"),
        ([2.0, 1.0], "that do not end after they begin"),
        ([9.0, 8.0], "that do not end after they begin"),
    ],
)
def test_segments_that_are_left_out(tree, span, words):
    """Told once each; the others stay, and keep their numbers."""
    labels = {FIRST: (FEATURES, [INTERVALS[0], span, INTERVALS[2]])}
    write_labels(labels_path(tree), labels)
    annotation, notes = read_cmu_mosei(tree)
    assert list(annotation) == [f"{FIRST}_0", f"{FIRST}_2"]
    (note,) = notes
    assert words in note and note.endswith(f", left out: 1 ({FIRST}_1).")


@pytest.mark.parametrize("span", [[4.88, 6.0], [-1.0, 0.12], [2.0, 2.12]])
def test_a_short_segment_stays(tree, span):
    """0.12 s are enough."""
    segment(tree, *span)
    annotation, _ = read_cmu_mosei(tree)
    assert annotation[f"{FIRST}_0"]["duration"] == pytest.approx(0.12)


def test_notes_count_and_name_three(tree):
    """Of all videos together."""
    late = [[1.0, 6.0]] * 3
    labels = {FIRST: (FEATURES, late), OTHER: (FEATURES, late)}
    write_labels(labels_path(tree), labels)
    annotation, (note,) = read_cmu_mosei(tree)
    assert len(annotation) == 6
    named = f"{OTHER}_0, {OTHER}_1, {OTHER}_2, ..."
    assert note.endswith(f"cut to it: 6 ({named}).")


def test_nothing_left(tree):
    """All segments lie behind their recordings."""
    segment(tree, 7.0, 9.0)
    message = refusal(tree)
    assert f"No segment in '{labels_path(tree)}' lies within" in message
    assert f"recording in '{sound_path(tree).parent}': download" in message


# -- recordings


def test_videos_without_a_recording_are_left_out(tree):
    """And counted with their segments."""
    videos = {f"v{k}": (FEATURES[:2], INTERVALS[:2]) for k in range(4)}
    videos[FIRST] = FEATURES, INTERVALS
    write_labels(labels_path(tree), videos)
    annotation, notes = read_cmu_mosei(tree)
    assert list(annotation) == [f"{FIRST}_{row}" for row in range(3)]
    assert notes == [
        f"Videos without a recording in '{sound_path(tree).parent}', left "
        "out: 4 of 5, with 8 segments (v0, v1, v2, ...)."
    ]


@pytest.mark.parametrize("place", ["Audio/Full/WAV_16000", "wav", "."])
def test_recordings_in_another_folder(tree, place):
    """Of whatever name, and with whatever suffix's letters."""
    folder = tree / place
    folder.mkdir(parents=True, exist_ok=True)
    for video in (FIRST, OTHER):
        sound_path(tree, video).rename(folder / f"{video}.WAV")
    annotation, notes = read_cmu_mosei(tree)
    assert len(annotation) == 4 and notes == []
    wav = annotation[f"{FIRST}_0"]["wav"]
    assert os.path.samefile(wav, folder / f"{FIRST}.WAV")


def test_the_releases_folder_comes_first(tree):
    """Even if another has more of the videos."""
    write_sound(tree / "A" / f"{FIRST}.wav", seconds=4)
    write_sound(tree / "A" / f"{OTHER}.wav", seconds=4)
    sound_path(tree, OTHER).unlink()
    annotation, notes = read_cmu_mosei(tree)
    assert {e["wav"] for e in annotation.values()} == {str(sound_path(tree))}
    assert "left out: 1 of 2, with 1 segments (-iRBcNs9oI8)." in notes[0]


def test_else_the_folder_with_most_videos(tree):
    """Segments' own files are no recordings."""
    sound_path(tree).parent.rename(tree / "Z")
    write_sound(tree / "A" / f"{FIRST}.wav", seconds=4)
    write_sound(tree / "B" / f"{FIRST}_0.wav", seconds=1)
    write_sound(tree / "B" / f"{FIRST}_1.wav", seconds=1)
    write_sound(tree / "B" / f"{FIRST}_2.wav", seconds=1)
    write_sound(tree / "WAV_16000" / "other.wav", seconds=1)
    annotation, notes = read_cmu_mosei(tree)
    folders = {os.path.dirname(e["wav"]) for e in annotation.values()}
    assert folders == {str(tree / "Z")} and notes == []


def test_links_are_followed(tree, tmp_path):
    """Also one that leads up again."""
    elsewhere = tmp_path / "disk" / "Raw"
    elsewhere.parent.mkdir()
    (tree / "Raw").rename(elsewhere)
    (tree / "Raw").symlink_to(elsewhere)
    (tree / "again").symlink_to(tree)
    annotation, notes = read_cmu_mosei(tree)
    assert annotation[f"{FIRST}_0"]["wav"] == str(sound_path(tree))
    assert notes == []
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
    """Stereo, empty, truncated, or a decoy's bytes; others are counted."""
    path = sound_path(tree)
    whole = path.read_bytes()
    write_sound(path, channels=2)
    assert f"'{path}' has 2 channels: convert it to mono" in refusal(tree)
    path.write_bytes(b"")
    assert f"'{path}' is empty (0 bytes)" in refusal(tree)
    path.write_bytes(whole[:60000])
    assert f"'{path}' is truncated" in refusal(tree)
    path.write_bytes(b"no sound")
    sound_path(tree, OTHER).write_bytes(b"")
    assert "(1 more file is bad" in refusal(tree)


def test_recordings_of_no_segment_are_not_inspected(tree):
    """The release has more videos than labels."""
    sound_path(tree, "another").write_bytes(b"no sound")
    assert len(read_cmu_mosei(tree)[0]) == 4


# -- the file of labels


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
    assert len(read_cmu_mosei(tree, other)[0]) == 1
    assert len(read_cmu_mosei(tree, labels_path(tree))[0]) == 4


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
            annotation, _ = read_cmu_mosei(tree)
        except InputError as error:
            assert "\n" not in str(error) and f"'{path}'" in str(error)
            refused += 1
            continue
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
    message = refusal(tree)
    assert f"'{labels_path(tree)}', video '{FIRST}' has no {name}" in message
    assert f"numbers with {columns} columns: give an undamaged" in message


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
    assert f"video '{FIRST}' has no features" in refusal(tree)


@pytest.mark.parametrize("features, intervals", [(3, 2), (2, 3), (0, 3)])
def test_features_and_intervals_do_not_fit(tree, features, intervals):
    """Both counts are told."""
    labels = {FIRST: (FEATURES[:features], INTERVALS[:intervals])}
    write_labels(labels_path(tree), labels)
    message = refusal(tree)
    assert (
        f"video '{FIRST}' has {features} features but {intervals} " in message
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["features", "intervals"])
def test_numbers_that_are_not_finite(tree, name, value):
    """Told with their row; also of a video without a recording."""
    values = np.array(FEATURES if name == "features" else INTERVALS)
    values[1, 1] = value
    change(tree, name, values)
    expected = f"video '{FIRST}', row 1 has {name} that are no finite numbers"
    assert expected in refusal(tree)
    sound_path(tree).unlink()
    assert expected in refusal(tree)


@pytest.mark.parametrize(
    "column, value, words",
    [
        (0, 3.01, "3.01 as sentiment, which goes from -3 to 3"),
        (0, -3.5, "-3.5 as sentiment, which goes from -3 to 3"),
        (1, -1 / 3, "-0.333333 as happy, which goes from 0 to 3"),
        (3, 3.5, "3.5 as anger, which goes from 0 to 3"),
        (6, 4, "4 as fear, which goes from 0 to 3"),
    ],
)
def test_ratings_out_of_range(tree, column, value, words):
    """Told with their row; the ends themselves are in range."""
    values = np.array(FEATURES, "f4")
    values[2] = [-3, 0, 3, 0, 3, 3, 3]
    change(tree, "features", values)
    assert len(read_cmu_mosei(tree)[0]) == 4
    values[2, column] = value
    change(tree, "features", values)
    assert f"video '{FIRST}', row 2 has {words}: down" in refusal(tree)


@pytest.mark.parametrize("kind", ["f8", "i2"])
def test_other_kinds_of_numbers(tree, kind):
    """As long as they are numbers."""
    values = np.array([[1, 2, 0, 1, 0, 0, 3]] * 3, kind)
    change(tree, "features", values)
    ratings = read_cmu_mosei(tree)[0][f"{FIRST}_0"]["ratings"]
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
    expected = read_cmu_mosei(tree)[0][f"{FIRST}_0"]
    labels = {FIRST: (FEATURES, INTERVALS)}
    write_labels(labels_path(tree), labels, columns)
    assert read_cmu_mosei(tree)[0][f"{FIRST}_0"] == expected


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
        assert len(read_cmu_mosei(tree)[0]) == 4


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


def test_four_classes_of_what_is_read(tree):
    """The example's rows, worked by hand."""
    kept = four_classes(read_cmu_mosei(tree)[0])
    assert {key: entry["present"] for key, entry in kept.items()} == {
        f"{OTHER}_0": ["neu"],
        f"{FIRST}_0": ["ang", "hap"],
        f"{FIRST}_1": ["hap"],
        f"{FIRST}_2": ["sad"],
    }
