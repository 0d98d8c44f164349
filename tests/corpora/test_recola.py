"""The reader of RECOLA on tiny trees that are written by hand."""

import json
import logging
import math
import os

import numpy as np
import pytest

from speechbrain_ser.corpora import recola
from speechbrain_ser.corpora.recola import read_recola
from tests.corpora.recola_tree import (
    FRAMES,
    RATERS,
    SPANS,
    edit,
    make_tree,
    other_rating,
    ratings_file,
    ratings_folder,
    recording_file,
    refusal,
    some_rating,
    timings_file,
    write_ratings,
    write_sound,
    write_timings,
)


@pytest.fixture
def tree(tmp_path):
    """A corpus of two recordings."""
    return make_tree(tmp_path / "RECOLA")


# -- what is read


def test_an_entry_has_every_key(tree):
    """All keys of one utterance; its mean is worked out by a plain loop."""
    ratings = []
    for frame in range(FRAMES):
        if 0.40 - 1e-9 <= 0.04 * frame < 1.00 - 1e-9:
            ratings += [some_rating(frame, k) for k in range(6)]
    assert len(ratings) == 15 * 6  # 0.40, 0.44 ... 0.96
    entry = read_recola(str(tree))["P16_001"]
    arousal, valence = entry.pop("arousal"), entry.pop("valence")
    assert entry == {
        "wav": str(recording_file(tree)),
        "start": 6400,
        "stop": 16000,
        "duration": 0.6,
        "speaker": "P16",
    }
    assert arousal == pytest.approx(sum(ratings) / len(ratings), abs=1e-12)
    assert valence != arousal and type(arousal) is type(valence) is float


def test_a_mean_by_hand(tree):
    """Frames of 0.5 within, -1 outside; one rater always says -0.1."""
    write_ratings(
        ratings_file(tree),
        lambda frame, rater: (
            -0.1 if rater == 2 else 0.5 if 10 <= frame < 25 else -1
        ),
    )
    entry = read_recola(tree)["P16_001"]
    assert entry["arousal"] == pytest.approx((5 * 0.5 - 0.1) / 6, abs=1e-12)


def test_all_utterances_are_there_and_sorted(tree):
    """Without decoys, the gold standard and other files."""
    annotation = read_recola(tree)
    ids = [f"{name}_{n:03d}" for name in ("P16", "P65") for n in (1, 2, 3)]
    assert list(annotation) == ids
    assert json.loads(json.dumps(annotation)) == annotation
    assert os.path.isabs(annotation["P65_002"]["wav"])


def test_the_row_gives_the_number(tree):
    """Rows need not be sorted; a thousandth has four digits."""
    spans = [("2.50", "3.10"), ("0.40", "1.00")]
    spans += [(f"{k / 1000:.3f}", "4.00") for k in range(998)]
    write_timings(timings_file(tree), spans)
    annotation = read_recola(tree)
    assert annotation["P16_001"]["start"] == 40000
    assert annotation["P16_002"]["start"] == 6400
    assert annotation["P16_1000"]["start"] == 997 * 16
    assert list(annotation) == sorted(annotation)


def test_samples_are_at_the_files_own_rate(tmp_path):
    """44.1 kHz."""
    root = make_tree(tmp_path / "RECOLA", rate=44100)
    entry = read_recola(root)["P16_002"]
    assert (entry["start"], entry["stop"]) == (52920, 83790)
    assert entry["duration"] == pytest.approx(0.7, abs=1e-12)


def test_the_order_of_annotators_changes_nothing(tree):
    """Not a bit, though a sum of floats depends on it."""
    expected = read_recola(tree)
    order = [3, 5, 0, 4, 2, 1]
    for name in ("P16", "P65"):
        write_ratings(
            ratings_file(tree, "arousal", name),
            lambda frame, k: some_rating(frame, order[k]),
            [RATERS[k].strip() + " " for k in order],
        )
    assert read_recola(tree) == expected


def test_ratings_that_cancel_out_are_zero(tree):
    """Which is the low class; the sum of the floats is 2.8e-17."""
    six = [0.1, 0.2, -0.3, 0.0, 0.0, 0.0]
    assert sum(six) > 0
    for sign in (1, -1):
        write_ratings(ratings_file(tree), lambda _, k: sign * six[k])
        value = read_recola(tree)["P16_001"]["arousal"]
        assert value == 0 and math.copysign(1, value) == 1


def test_only_frames_within_count(tree):
    """The start's frame does, the stop's does not."""
    write_timings(timings_file(tree), [("0.40", "0.48")])
    write_ratings(
        ratings_file(tree),
        lambda frame, _: {9: 1, 10: 0.1, 11: 0.2, 12: 1}.get(frame, 0),
    )
    assert read_recola(tree)["P16_001"]["arousal"] == pytest.approx(0.15)


@pytest.mark.parametrize(
    "span, frame",
    [(("0.41", "0.43"), 10), (("0.42", "0.44"), 11), (("0.401", "0.42"), 10)],
)
def test_a_span_without_a_frame_takes_the_nearest(tree, span, frame):
    """To its middle."""
    write_timings(timings_file(tree), [span])
    expected = sum(some_rating(frame, k) for k in range(6)) / 6
    value = read_recola(tree)["P16_001"]["arousal"]
    assert value == pytest.approx(expected, abs=1e-12)


def test_the_way_a_file_was_saved_does_not_matter(tree):
    """A byte order mark, CRLF, blanks, empty lines, no last newline."""
    expected = read_recola(tree)
    for path in (ratings_file(tree), timings_file(tree)):
        lines = path.read_text().splitlines()
        lines[1:1] = ["", "  "]
        lines[4] = " " + lines[4].replace(";", " ; ") + " "
        path.write_bytes(("\ufeff" + "\r\n".join(lines)).encode())
    assert read_recola(tree) == expected


def test_a_relative_folder_gives_absolute_paths(tree, monkeypatch):
    """An annotation stays valid in another working directory."""
    expected = read_recola(tree)
    monkeypatch.chdir(tree.parent)
    assert read_recola("RECOLA") == expected


# -- the ends of ratings and recordings


def test_utterances_after_the_ratings_are_left_out(tree, logged):
    """And counted; those that reach beyond use the frames there are."""
    spans = [*SPANS, ("3.90", "4.60"), ("4.00", "4.50"), ("4.01", "4.50")]
    write_timings(timings_file(tree), [*spans, ("4.60", "4.90")])
    annotation = read_recola(tree)
    assert [key for key in annotation if key < "P65"][-1] == "P16_005"
    frames = [some_rating(f, k) for f in (98, 99, 100) for k in range(6)]
    entry = annotation["P16_004"]
    assert entry["arousal"] == pytest.approx(np.mean(frames), abs=1e-12)
    assert (entry["start"], entry["stop"]) == (62400, 73600)
    last = np.mean([some_rating(100, k) for k in range(6)])
    assert annotation["P16_005"]["arousal"] == pytest.approx(last, abs=1e-12)
    level, text = logged[0]
    assert level == logging.INFO
    said = "Utterances that begin after the last rating, left out: 2 ("
    assert text.startswith(said) and "line 7" in text and "line 8" in text
    assert {row["usual"] for row in annotation.odd} == {"yes"}


def test_nothing_left(tree):
    """All begin after the last rating."""
    for name in ("P16", "P65"):
        write_timings(timings_file(tree, name), [("4.10", "4.60")])
    said = f"Of 2 utterances of '{tree}' 0 lie within their recordings and have"
    assert said in refusal(tree)


def test_a_stop_just_beyond_the_recording_is_clipped(tree):
    """0.05 s at most."""
    write_timings(timings_file(tree), [("3.50", "5.05"), ("3.60", "5.00")])
    annotation = read_recola(tree)
    for key in ("P16_001", "P16_002"):
        assert annotation[key]["stop"] == 80000
    assert annotation["P16_001"]["duration"] == 1.5
    write_timings(timings_file(tree), [("1.00", "2.00"), ("3.50", "5.06")])
    (row,) = read_recola(tree).odd
    assert (row["file"], row["entry"]) == (str(timings_file(tree)), "line 3")
    assert row["value"] == (
        f"3.5 s to 5.06 s of '{recording_file(tree)}', which has 5.00 s"
    )


@pytest.mark.parametrize(
    "span", [("5.01", "5.04"), ("9", "9.5"), ("1", "1e300"), ("1", "1.00001")]
)
def test_an_utterance_outside_its_recording(tree, span):
    """Or without a sample, even if there are no ratings there: left out."""
    write_timings(timings_file(tree), [span, *SPANS])
    annotation = read_recola(tree)
    assert "P16_001" not in annotation and len(annotation) == 6
    (row,) = annotation.odd
    assert row["what"] == "Utterances outside of their recording"
    assert (row["entry"], row["done"]) == ("line 2", "left out")


# -- folders and files


def test_wrong_folders(tree, tmp_path):
    """Says which folder to give."""
    assert "is no folder: give the path" in refusal(tmp_path / "nowhere")
    assert f"the folder above RECOLA: give '{tree}'" in refusal(tmp_path)
    inside = f"a folder inside of RECOLA: give '{tree}'"
    assert inside in refusal(recording_file(tree).parent)
    assert inside in refusal(ratings_folder(tree, "arousal"))
    assert inside in refusal(tree / "RECOLA-Annotation")
    other = tmp_path / "a" / "b" / "c" / "d"
    other.mkdir(parents=True)
    assert "is not RECOLA: give the folder in which" in refusal(other)


@pytest.mark.parametrize(
    "place",
    [
        "RECOLA-Audio-recordings",
        "RECOLA-Audio_timings",
        "RECOLA-Annotation/emotional_behaviour/valence",
    ],
)
def test_a_missing_part(tree, place):
    """Named with its odd name."""
    (tree / place).rename(tree / "elsewhere")
    assert f"'{tree}' has no folder '{place}': unpack" in refusal(tree)


def test_empty_folders(tree):
    """Only decoys."""
    for path in tree.rglob("P*.*"):
        path.unlink()
    assert f"'{tree}' holds no recording" in refusal(tree)


@pytest.mark.parametrize("kind", range(4))
def test_a_missing_file(tree, kind):
    """Whichever of the four."""
    path = [
        recording_file(tree, "P65"),
        timings_file(tree, "P65"),
        ratings_file(tree, "arousal", "P65"),
        ratings_file(tree, "valence", "P65"),
    ][kind]
    path.unlink()
    message = refusal(tree)
    assert f"has no '{path}' beside it: copy that" in message
    assert "take away the other files of P65." in message


def test_ratings_without_a_recording(tree):
    """A second missing file is counted."""
    write_ratings(ratings_file(tree, "arousal", "P17"), some_rating)
    write_ratings(ratings_file(tree, "valence", "P17"), some_rating)
    message = refusal(tree)
    assert f"has no '{recording_file(tree, 'P17')}' beside it" in message
    assert "files of P17 (1 more is missing)." in message


def test_recordings_are_inspected(tree):
    """As audio's inspection says it; of several channels the mean is meant."""
    path = recording_file(tree, "P65")
    write_sound(path, channels=2)
    read = read_recola(tree)
    mixed = {entry["wav"] for entry in read.values() if "channel" in entry}
    assert mixed == {str(path)}
    path.write_bytes(b"")
    assert "P65.wav' is empty (0 bytes)" in refusal(tree)


# -- ratings


@pytest.mark.parametrize(
    "line, text, words",
    [
        (1, "time;FM1 ;FM2 ;FM3 ;FF1 ;FF2", ["line 2 has 7 fields", "has 6"]),
        (
            1,
            "0.00;0;0;0;0;0;0",
            ["line 1 is '0.00;0;0;0;0;0;0' and not a head"],
        ),
        (1, "time;FM1;FM1;FM3;FF1;FF2;FF3", ["line 1 is 'time;FM1;FM1;"]),
        (1, "time;FM1;;FM3;FF1;FF2;FF3", ["line 1 is 'time;FM1;;FM3"]),
        (1, "time", ["line 1 is 'time' and not a header"]),
    ],
)
def test_broken_headers(tree, line, text, words):
    """Each is named with its file and line."""
    path = ratings_file(tree, "valence", "P65")
    edit(path, line, text)
    message = refusal(tree)
    for word in words:
        assert word in message
    assert f"'{path}'" in message


LEFT, CLAMPED = "left out", "clamped to it"


@pytest.mark.parametrize(
    "line, text, what, done, value",
    [
        (7, "0.20;0.1;0.1;0.1;0.1;0.1", "Lines with other fields", LEFT, ""),
        (7, "0.20;0;0;0;0;0;0;", "Lines with other fields", LEFT, ""),
        (7, "0.20,0.1,0.1,0.1,0.1,0,0", "Lines with other fields", LEFT, ""),
        (7, "0.20;0;0;;0;0;0", "Ratings that are no", LEFT, "nan of FM3"),
        (7, "0.20;0;0;0;0;0;", "Ratings that are no", LEFT, "nan of FF3"),
        (7, "0.20;0;0;0;0;nan;0", "Ratings that are no", LEFT, "nan of FF2"),
        (7, "0.20;0;-inf;0;0;0;0", "Ratings that are no", LEFT, "nan of FM2"),
        (7, "0.20;0;0;low;0;0;0", "Ratings that are no", LEFT, "nan of FM3"),
        (7, "0.20;0;1.01;0;0;0;0", "Ratings outside", CLAMPED, "1.01 of FM2"),
        (7, "0.20;0;0;0;0;0;-2", "Ratings far outside", LEFT, "-2 of FF3"),
        (7, "0,20;0;0;0;0;0;0", "Ratings at another time", LEFT, "nan s"),
        (7, "0.24;0;0;0;0;0;0", "Ratings at another time", LEFT, "0.24 s"),
        (7, "99.2;0;0;0;0;0;0", "Ratings at another time", LEFT, "99.2 s"),
        (7, "0.21;0;0;0;0;0;0", "Ratings at another time", LEFT, "0.21 s"),
        (7, None, "Ratings that lack before", "passed over", "1 lines"),
        (2, None, "Ratings that lack before", "passed over", "1 lines"),
    ],
)
def test_an_odd_rating_costs_no_corpus(tree, line, text, what, done, value):
    """It is mended or left out; nothing else changes."""
    expected = read_recola(tree)
    path = ratings_file(tree, "valence", "P65")
    edit(path, line, text)
    annotation = read_recola(tree)
    row = annotation.odd[0]
    assert row["what"].startswith(what) and row["done"] == done
    assert row["value"] == value or not value
    assert (row["file"], row["entry"]) == (str(path), f"line {line}")
    assert annotation == expected  # 0.20 s is in no utterance


def test_a_rating_of_one_annotator_is_left_out_of_the_mean(tree):
    """The others' stay; so do all of another time."""
    write_timings(timings_file(tree), [("0.20", "0.28"), ("0.40", "0.44")])
    edit(ratings_file(tree), 7, "0.20;0.1;0.2;nan;0.4;0.5;9")
    edit(ratings_file(tree), 8, "0.24;0.1;0.1;0.1;0.1;0.1;0.1")
    edit(ratings_file(tree), 12, "0.40;nan;nan;nan;nan;nan;nan")
    annotation = read_recola(tree)
    assert annotation["P16_001"]["arousal"] == pytest.approx(1.8 / 10)
    assert "P16_002" not in annotation
    assert annotation.odd[0]["what"] == "Utterances without a rating"


def test_many_odd_ratings_are_no_corpus(tree):
    """6 of 404 lines: one sentence, with file and line."""
    path = ratings_file(tree)
    for line in range(7, 13):
        edit(path, line, f"{0.04 * (line - 2):.2f};0;0;nan;0;0;0")
    message = refusal(tree)
    assert "6 of 404 lines of ratings in" in message
    assert f"'{path}', line 7: Ratings that are no numbers: nan of" in message


def test_a_comma_in_each_number(tree):
    """As Excel writes it in half of Europe."""
    path = ratings_file(tree)
    path.write_text(path.read_text().replace(".", ","))
    assert "with a decimal point" in refusal(tree)


def test_lines_are_counted_with_empty_ones(tree):
    """The number is the editor's."""
    path = ratings_file(tree)
    edit(path, 7, "0.20;0;0;0;0;0;nan")
    edit(path, 4, "\n\n" + path.read_text().splitlines()[3])
    (row,) = read_recola(tree).odd
    assert (row["file"], row["entry"]) == (str(path), "line 9")


@pytest.mark.parametrize("sign, word", [(",", "commas"), ("\t", "tabs")])
def test_another_separator(tree, sign, word):
    """Of ratings and of timings."""
    for path in (ratings_file(tree), timings_file(tree)):
        text = path.read_text()
        path.write_text(text.replace(";", sign))
        message = refusal(tree)
        assert f"'{path}', line 1 is separated by {word}: save" in message
        path.write_text(text)


def test_annotators_that_other_recordings_have(tree):
    """A file that was saved without one of the columns."""
    path = ratings_file(tree, "valence", "P65")
    write_ratings(path, other_rating, RATERS[:2] + RATERS[3:])
    message = refusal(tree)
    assert f"'{path}', line 1 lacks the annotator FM3, whom '" in message


def test_fewer_annotators_everywhere_are_read_and_warned_of(tree, logged):
    """Some leave FF3 out."""
    for name in ("P16", "P65"):
        for dimension in ("arousal", "valence"):
            path = ratings_file(tree, dimension, name)
            write_ratings(path, lambda _, k: 0.1 * k, RATERS[:5])
    assert read_recola(tree)["P16_001"]["valence"] == pytest.approx(0.2)
    assert "5 annotators" in logged[-1][1]


def test_one_dimension_ends_earlier(tree):
    """A file that was cut off."""
    path = ratings_file(tree, "valence")
    write_ratings(path, other_rating, frames=70)
    message = refusal(tree)
    assert f"'{path}' ends at 2.76 s, but '{ratings_file(tree)}'" in message


@pytest.mark.parametrize("file", [ratings_file, timings_file])
def test_files_without_numbers(tree, file):
    """Empty, a header alone, not text."""
    path = file(tree)
    header = path.read_text().splitlines()[0]
    for text in (b"", header.encode() + b"\n\n"):
        path.write_bytes(text)
        assert f"'{path}' holds no row of numbers" in refusal(tree)
    path.write_bytes(b"start;stop\n\xff\xfe\n")
    assert f"'{path}' cannot be read as text in UTF-8" in refusal(tree)


# -- timings


@pytest.mark.parametrize(
    "line, text, words",
    [
        (1, "begin;end", "line 1 is 'begin;end' and not a header such as 'st"),
        (1, "start;stop;text", "line 1 is 'start;stop;text' and not a header"),
        (1, "0.10;0.20", "line 1 is '0.10;0.20' and not a header"),
    ],
)
def test_broken_headers_of_timings(tree, line, text, words):
    """Each is named with its file and line."""
    path = timings_file(tree, "P65")
    edit(path, line, text)
    message = refusal(tree)
    assert f"'{path}', {words}" in message


@pytest.mark.parametrize(
    "line, text, what",
    [
        (3, "1.20;1.20", "Utterances that do not end after they begin"),
        (3, "1.90;1.20", "Utterances that do not end after they begin"),
        (3, "nan;1.20", "Utterances whose times are no numbers"),
        (3, "1.20;inf", "Utterances whose times are no numbers"),
        (3, "1.20;", "Utterances whose times are no numbers"),
        (3, "1,20;1,90", "Utterances whose times are no numbers"),
        (3, "1.20", "Lines with other fields than the header's"),
        (3, "0.4;1.0", "Utterances that an earlier line has too"),
    ],
)
def test_an_odd_timing_costs_its_utterance_alone(tree, line, text, what):
    """The others keep their numbers."""
    expected = read_recola(tree)
    path = timings_file(tree, "P65")
    edit(path, line, text)
    annotation = read_recola(tree)
    (row,) = annotation.odd
    assert (row["file"], row["entry"]) == (str(path), f"line {line}")
    assert (row["what"], row["done"]) == (what, "left out")
    del expected["P65_002"]
    assert annotation == expected


def test_a_start_before_the_recording_is_its_beginning(tree):
    """Told, as in other corpora."""
    edit(timings_file(tree, "P65"), 3, "-0.10;1.20")
    annotation = read_recola(tree)
    entry = annotation["P65_002"]
    assert (entry["start"], entry["stop"]) == (0, 19200)
    (row,) = annotation.odd
    assert row["done"] == "cut to it" and row["value"] == "-0.1 s to 1.2 s"


def test_overlapping_utterances_are_read(tree):
    """Only the same one twice is refused."""
    write_timings(timings_file(tree), [("0.4", "1.0"), ("0.4", "1.2")])
    assert {"P16_001", "P16_002"} < set(read_recola(tree))


# -- counts


def test_the_release_is_read_without_a_word(tree, logged, monkeypatch):
    """And its counts are the paper's."""
    assert recola.EXPECTED_SPEAKERS == 23
    assert recola.EXPECTED_UTTERANCES == 1308
    assert recola.EXPECTED_RATERS == 6
    monkeypatch.setattr(recola, "EXPECTED_SPEAKERS", 2)
    monkeypatch.setattr(recola, "EXPECTED_UTTERANCES", 6)
    read_recola(tree)
    assert logged == []


@pytest.mark.parametrize("name, value", [("SPEAKERS", 3), ("UTTERANCES", 7)])
def test_other_counts_are_warned_of(tree, logged, monkeypatch, name, value):
    """Either of them."""
    monkeypatch.setattr(recola, "EXPECTED_SPEAKERS", 2)
    monkeypatch.setattr(recola, "EXPECTED_UTTERANCES", 6)
    monkeypatch.setattr(recola, f"EXPECTED_{name}", value)
    read_recola(tree)
    ((level, text),) = logged
    assert level == logging.WARNING
    assert "has 2 speakers, 6 utterances and 6 annotators" in text
    assert "cannot be compared" in text


def test_another_corpus_in_the_layout_is_only_mentioned(tree, logged):
    """When its README says so."""
    readme = tree / "README.txt"
    readme.write_text("This is NOT RECOLA. It is another.")
    read_recola(tree)
    readme.write_text("This is RECOLA.")
    read_recola(tree)
    assert [level for level, _ in logged] == [logging.INFO, logging.WARNING]
