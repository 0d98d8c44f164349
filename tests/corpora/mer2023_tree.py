"""Tiny trees in both of MER2023's layouts."""

import numpy as np
import soundfile

ROWS = [
    ("sample_00000012", "happy", "1.75"),
    ("sample_00000003", "neutral", "-0.25"),
    ("sample_00000040", "worried", "-5"),
    ("sample_00000007", "angry", "-3.0"),
]
TEST3 = [("samplenew_00000001", "sad"), ("samplenew_00000002", "surprise")]
HEADER = ("name", "discrete", "valence")


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


def clip(root, number, part="train", suffix=".avi"):
    """The path of a clip of the first layout."""
    return root / "mer2023train" / part / f"sample_{number:08d}{suffix}"
