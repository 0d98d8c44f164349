"""A tiny tree in RECOLA's layout, with the oddities of the release."""

import numpy as np
import pytest
import soundfile

from speechbrain_ser.corpora.recola import read_recola
from speechbrain_ser.utils.errors import InputError

RATERS = ["FM1 ", "FM2 ", "FM3 ", "FF1 ", "FF2 ", "FF3"]
SPANS = [("0.40", "1.00"), ("1.20", "1.90"), ("2.50", "3.10")]
FRAMES = 101  # 0.00 to 4.00 s.
SECONDS = 5


def ratings_folder(root, dimension):
    """Where the ratings of a dimension lie."""
    return root / "RECOLA-Annotation" / "emotional_behaviour" / dimension


def ratings_file(root, dimension="arousal", name="P16"):
    """The ratings of a recording."""
    return ratings_folder(root, dimension) / f"{name}.csv"


def timings_file(root, name="P16"):
    """The timings of a recording."""
    return root / "RECOLA-Audio_timings" / f"{name}.csv"


def recording_file(root, name="P16"):
    """The sound of a recording."""
    return root / "RECOLA-Audio-recordings" / f"{name}.wav"


def write_text(path, lines):
    """Writes lines, and makes the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def write_ratings(path, rating, raters=RATERS, frames=FRAMES):
    """Writes rating(frame, rater's number) for each frame and annotator."""
    lines = [";".join(["time", *raters])]
    for frame in range(frames):
        cells = [rating(frame, k) for k in range(len(raters))]
        row = [f"{0.04 * frame:.2f}", *(f"{cell:.2f}" for cell in cells)]
        lines.append(";".join(row))
    write_text(path, lines)


def write_sound(path, rate=16000, seconds=SECONDS, channels=1):
    """Writes a recording."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (round(seconds * rate), channels)
    soundfile.write(path, np.full(shape, 0.1), rate)


def write_timings(path, spans):
    """Writes rows of texts."""
    write_text(path, ["start;stop", *map(";".join, spans)])


def some_rating(frame, rater):
    """No two frames or raters alike."""
    return round(((7 * frame + 31 * rater) % 199 - 99) / 100, 2)


def other_rating(frame, rater):
    """For the other dimension."""
    return -some_rating(frame + 5, rater) / 2


def make_tree(root, names=("P16", "P65"), rate=16000):
    """Writes a small corpus with the quirks of the release."""
    for name in names:
        write_sound(recording_file(root, name), rate)
        write_timings(timings_file(root, name), SPANS)
        write_ratings(ratings_file(root, "arousal", name), some_rating)
        write_ratings(ratings_file(root, "valence", name), other_rating)
    decoy = b"\x00\x05\x16\x07\x00\x02\x00\x00" + bytes(74)
    for path in (
        ratings_file(root),
        ratings_file(root, "valence"),
        timings_file(root),
        recording_file(root),
    ):
        (path.parent / f"._{path.name}").write_bytes(decoy)
    write_ratings(
        ratings_folder(root, "gold_standard") / "arousal" / "P99.csv",
        some_rating,
        ["GS"],
    )
    write_text(ratings_folder(root, "arousal") / "notes.txt", ["mine"])
    (root / "RECOLA-Audio-features").mkdir()
    return root


def edit(path, line, text):
    """Replaces a line, counted from 1; `text` may be None."""
    lines = path.read_text().splitlines()
    lines[line - 1 : line] = [] if text is None else [text]
    write_text(path, lines)


def refusal(root):
    """The one sentence with which a corpus is refused."""
    with pytest.raises(InputError) as caught:
        read_recola(root)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message
    return message
