"""Reads RECOLA as its release lies on disk.

Ringeval et al., "Introducing the RECOLA multimodal corpus of remote
collaborative and affective interactions", FG 2013: French dialogs, whose
arousal and valence six annotators rated all the time. An utterance has the
mean of all its ratings.
"""

import collections
import os
from typing import NamedTuple

import numpy as np
from speechbrain.utils.logger import get_logger

from speechbrain_ser.corpora.release import (
    Folder,
    finite,
    others,
    refuse_neighbour,
    tell_difference,
)
from speechbrain_ser.utils.audio_files import inspect_files
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import checked

logger = get_logger(__name__)

DIMENSIONS = ("arousal", "valence")
STEP = 0.04  # Seconds from one rating to the next.
EXPECTED_SPEAKERS = 23
EXPECTED_UTTERANCES = 1308
EXPECTED_RATERS = 6

_RATINGS = os.path.join("RECOLA-Annotation", "emotional_behaviour")
# What there is of each recording: where it lies, and its suffix.
_PLACES = {
    "recording": ("RECOLA-Audio-recordings", ".wav"),
    "timings": ("RECOLA-Audio_timings", ".csv"),
    "arousal": (os.path.join(_RATINGS, "arousal"), ".csv"),
    "valence": (os.path.join(_RATINGS, "valence"), ".csv"),
}
_FOLDER = Folder(
    "the path of RECOLA, the folder in which RECOLA-Audio-recordings lies"
)
# Times are written with two decimals.
_NEAR = 0.005
_BEYOND = 0.05  # So many seconds of an utterance may lack in its recording.


class _Table(NamedTuple):
    """A file of numbers: its header, rows, and the line of each row."""

    path: str
    columns: list
    values: np.ndarray
    lines: list

    def where(self, row):
        """Names a row in an error."""
        return f"'{self.path}', line {self.lines[row]}"


@checked
def read_recola(data_folder: _FOLDER):
    """Reads the utterances of RECOLA and their mean ratings.

    Arguments
    ---------
    data_folder : str
        The folder that holds `RECOLA-Audio-recordings`,
        `RECOLA-Audio_timings` and `RECOLA-Annotation`.

    Returns
    -------
    dict
        Id (`P16_001`: the recording, and the row in its timings) -> entry,
        sorted by id, with `wav`, `start`, `stop` (samples), `duration`
        (seconds), `speaker`, `arousal` and `valence` (-1 to 1: means over the
        utterance's frames and all annotators). Utterances that begin after
        the last rating are left out.

    Raises
    ------
    InputError
        If the folder is not RECOLA, a file is missing or broken, or an
        utterance lies outside its recording.

    Example
    -------
    >>> from speechbrain_ser.corpora.mini.recola import mini_recola
    >>> tree = mini_recola(getfixture("tmp_path"), utterances_per_speaker=1)
    >>> entry = read_recola(tree)["P16_001"]
    >>> entry["speaker"], -1 <= entry["arousal"] <= 1
    ('P16', True)
    """
    root = _FOLDER.opened(data_folder)
    _check_root(root)
    files = _find_files(root)
    timings = {
        name: _read_timings(paths["timings"]) for name, paths in files.items()
    }
    ratings = {
        name: [_read_ratings(paths[dimension]) for dimension in DIMENSIONS]
        for name, paths in files.items()
    }
    raters = _compare_raters([t for pair in ratings.values() for t in pair])
    for pair in ratings.values():
        _compare_lengths(*pair)
    infos = inspect_files(paths["recording"] for paths in files.values())
    annotation, unrated = {}, []
    for name, paths in files.items():
        wav = paths["recording"]
        rated, without = _utterances(
            name, wav, infos[wav], timings[name], ratings[name]
        )
        annotation |= rated
        unrated += without
    _tell_unrated(root, annotation, unrated)
    _compare_counts(root, annotation, raters)
    return dict(sorted(annotation.items()))


def _utterances(name, wav, info, timings, ratings):
    """The utterances of a recording, and the ids of those without a rating."""
    annotation, unrated = {}, []
    for row, (start, stop) in enumerate(_spans(timings, wav, info)):
        key = f"{name}_{row + 1:03d}"
        means = [_mean(table, *timings.values[row]) for table in ratings]
        if None in means:
            unrated.append(key)
            continue
        annotation[key] = {
            "wav": wav,
            **info.span(start, stop),
            "speaker": name,
            **dict(zip(DIMENSIONS, means)),
        }
    return annotation, unrated


def _tell_unrated(root, annotation, unrated):
    """Says how many utterances are left out; refuses if all are."""
    if not annotation:
        raise InputError(
            f"All utterances of '{root}' begin after their last rating: copy "
            "the ratings and timings again from the release."
        )
    if unrated:
        logger.warning(
            "%d utterances begin after the last rating of their recording and "
            "are left out (the first is %s)",
            len(unrated),
            unrated[0],
        )


def _check_root(root):
    """Refuses a folder that is not that of the corpus."""
    if _places_in(root):
        return
    refuse_neighbour(root, "RECOLA", _places_in, levels=3)
    raise InputError(
        f"--data_folder '{root}' is not RECOLA: give the folder in which "
        "RECOLA-Audio-recordings, RECOLA-Audio_timings and RECOLA-Annotation "
        "lie."
    )


def _places_in(folder):
    """Which of the places of RECOLA's files a folder has."""
    return [
        place
        for place, _ in _PLACES.values()
        if os.path.isdir(os.path.join(folder, place))
    ]


def _find_files(root):
    """For each recording the paths of all that there is of it."""
    found = collections.defaultdict(dict)
    for kind, (place, suffix) in _PLACES.items():
        folder = os.path.join(root, place)
        if not os.path.isdir(folder):
            raise InputError(
                f"'{root}' has no folder '{place}': unpack that part of the "
                "release there too (mind '-' and '_' in its name)."
            )
        for file in sorted(os.listdir(folder)):
            stem, ending = os.path.splitext(file)
            if ending.lower() == suffix and not file.startswith("."):
                found[stem][kind] = os.path.join(folder, file)
    if not found:
        raise InputError(
            f"'{root}' holds no recording: copy the files of "
            "RECOLA-Audio-recordings again from the release."
        )
    missing = [
        (name, os.path.join(root, place, name + suffix))
        for name in sorted(found)
        for kind, (place, suffix) in _PLACES.items()
        if kind not in found[name]
    ]
    if missing:
        (name, path), *rest = missing
        there = next(iter(found[name].values()))
        more = others(rest, "missing", shown=0)
        raise InputError(
            f"'{there}' has no '{path}' beside it: copy that from the release, "
            f"or take away the other files of {name}{more}."
        )
    return {name: found[name] for name in sorted(found)}


def _read_timings(path):
    """Reads when the utterances of a recording start and stop."""
    table = _read_table(
        path, lambda columns: columns == ["start", "stop"], "start;stop"
    )
    seen = {}
    for row, span in enumerate(map(tuple, table.values)):
        start, stop = span
        if start < 0:
            raise InputError(
                f"{table.where(row)} starts at {start:g} s, before its "
                "recording: correct the line."
            )
        if stop <= start:
            raise InputError(
                f"{table.where(row)} starts at {start:g} s and stops at "
                f"{stop:g} s: make the stop later than the start."
            )
        if span in seen:
            raise InputError(
                f"{table.where(row)} is the same utterance as line "
                f"{table.lines[seen[span]]}: delete one of them."
            )
        seen[span] = row
    return table


def _read_ratings(path):
    """Reads the ratings of a recording in one dimension."""
    table = _read_table(
        path, _is_ratings_header, "time;FM1;FM2;FM3;FF1;FF2;FF3"
    )
    time, values = table.values[:, 0], table.values[:, 1:]
    due = STEP * np.arange(len(time))
    late = np.abs(time - due) > _NEAR
    if late.any():
        row = late.argmax()
        raise InputError(
            f"{table.where(row)} has the time {time[row]:g} s where "
            f"{due[row]:.2f} s is due (one rating each {STEP} s from 0): copy "
            "the file again from the release."
        )
    outside = np.abs(values) > 1
    if outside.any():
        row, column = np.argwhere(outside)[0]
        raise InputError(
            f"{table.where(row)} has the rating {values[row, column]:g} of "
            f"{table.columns[1 + column]}: make it a number from -1 to 1."
        )
    return table


def _is_ratings_header(columns):
    """Whether they are the time and annotators, each once."""
    unique = len(set(columns)) == len(columns)
    return columns[0] == "time" and len(columns) > 1 and all(columns) and unique


def _read_table(path, is_header, example):
    """Reads a file of numbers that are separated by ';', under a header.

    Arguments
    ---------
    path : str
        The file.
    is_header : callable
        Whether a list of columns is right.
    example : str
        A right header, for errors.

    Returns
    -------
    _Table
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.readlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"'{path}' cannot be read as text in UTF-8 ({error}): copy it "
            "again from the release."
        ) from None
    lines = [n for n, line in enumerate(text, 1) if line.strip()]
    rows = [text[n - 1] for n in lines]
    if len(rows) < 2:
        raise InputError(
            f"'{path}' holds no row of numbers: copy it again from the release."
        )
    header = rows.pop(0)
    for sign, word in ((",", "commas"), ("\t", "tabs")):
        if sign in header and ";" not in header:
            raise InputError(
                f"'{path}', line {lines[0]} is separated by {word}: save the "
                "file with ';' between the columns."
            )
    columns = [cell.strip() for cell in header.split(";")]
    if not is_header(columns):
        raise InputError(
            f"'{path}', line {lines[0]} is '{';'.join(columns)}' and not a "
            f"header such as '{example}': copy the file again from the release."
        )
    lines = lines[1:]
    try:
        values = np.loadtxt(rows, delimiter=";", comments=None, ndmin=2)
        good = values.shape[1] == len(columns) and np.isfinite(values).all()
    except ValueError:
        good = False
    if not good:
        # Slowly, so that the line and what is wrong with it can be told.
        values = np.array(
            [
                _parse_row(f"'{path}', line {number}", row, columns)
                for number, row in zip(lines, rows)
            ]
        )
    return _Table(path, columns, values, lines)


def _parse_row(where, row, columns):
    """'0.04;0.10' -> [0.04, 0.1]."""
    cells = [cell.strip() for cell in row.split(";")]
    if len(cells) != len(columns):
        raise InputError(
            f"{where} has {len(cells)} fields but the header has "
            f"{len(columns)} ({';'.join(columns)}): correct the line or copy "
            "the file again from the release."
        )
    values = []
    for cell, column in zip(cells, columns):
        if not cell:
            raise InputError(
                f"{where} has nothing under {column}: copy the file again from "
                "the release."
            )
        value = finite(cell)
        if value is None:
            raise InputError(
                f"{where} has '{cell}' under {column}: make it a finite number "
                "with a decimal point."
            )
        values.append(value)
    return values


def _compare_raters(tables):
    """Gives how many annotators there are, if they are the same everywhere."""
    first = {}
    for table in tables:
        for rater in table.columns[1:]:
            first.setdefault(rater, table.path)
    for table in tables:
        for rater in sorted(first.keys() - set(table.columns)):
            raise InputError(
                f"'{table.path}', line 1 lacks the annotator {rater}, whom "
                f"'{first[rater]}' has: copy the file again from the release."
            )
    return len(first)


def _compare_lengths(arousal, valence):
    """Refuses ratings of a recording that end earlier in one dimension."""
    short, long = sorted((arousal, valence), key=lambda t: len(t.values))
    if len(short.values) < len(long.values):
        raise InputError(
            f"'{short.path}' ends at {short.values[-1, 0]:.2f} s, but "
            f"'{long.path}' at {long.values[-1, 0]:.2f} s: copy both again "
            "from the release."
        )


def _spans(timings, wav, info):
    """The first sample of each utterance, and the one past its last."""
    spans = []
    for row, (start, stop) in enumerate(timings.values):
        first, last = (
            round(min(time, info.duration) * info.sample_rate)
            for time in (start, stop)
        )
        if stop - info.duration > _BEYOND or first >= last:
            raise InputError(
                f"{timings.where(row)} means {start:g} s to {stop:g} s of "
                f"'{wav}', which has {info.duration:.2f} s: correct the line "
                "or copy the recording again from the release."
            )
        spans.append((first, last))
    return spans


def _mean(ratings, start, stop):
    """The mean of all ratings from start to stop; None if they ended before.

    A span without any, which is a short one, has the nearest one's.
    """
    time, values = ratings.values[:, 0], ratings.values[:, 1:]
    if start > time[-1]:
        return None
    first, last = np.searchsorted(time, (start, stop))
    if first == last:
        first = np.abs(time - (start + stop) / 2).argmin()
        last = first + 1
    frames = values[first:last]
    # The sum has few decimals: rounded, the annotators' order does not matter,
    # and ratings that cancel out are 0, which decides upon a class.
    return round(float(frames.sum()), 9) / frames.size + 0.0


def _compare_counts(root, annotation, raters):
    """Logs how what was found differs from the release."""
    speakers = len({entry["speaker"] for entry in annotation.values()})
    found = (speakers, len(annotation), raters)
    if found == (EXPECTED_SPEAKERS, EXPECTED_UTTERANCES, EXPECTED_RATERS):
        return
    tell_difference(
        root,
        "RECOLA",
        "has %d speakers, %d utterances and %d annotators; the release of "
        "RECOLA that papers use has %d, %d and %d, so results cannot be "
        "compared with published ones",
        *found,
        EXPECTED_SPEAKERS,
        EXPECTED_UTTERANCES,
        EXPECTED_RATERS,
    )
