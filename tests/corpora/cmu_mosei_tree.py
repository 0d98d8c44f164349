"""A tiny tree in CMU-MOSEI's layout, with the oddities of the release."""

import json

import h5py
import numpy as np
import pytest
import soundfile

from speechbrain_ser.corpora.cmu_mosei import read_cmu_mosei
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


def segment(root, start, end):
    """Gives the first video a single segment."""
    write_labels(labels_path(root), {FIRST: (FEATURES[:1], [[start, end]])})


def told(*arguments):
    """What is read, and what of it was odd: (what, done), ids, usual."""
    annotation = read_cmu_mosei(*arguments)
    kinds = {}
    for row in annotation.odd:
        kind = row["what"], row["done"], row["usual"] == "yes"
        kinds.setdefault(kind, []).append(row["entry"])
    return annotation, kinds


def refusal(*arguments):
    """The one sentence with which a corpus is refused."""
    with pytest.raises(InputError) as caught:
        read_cmu_mosei(*arguments)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message
    return message
