"""Reads RECOLA as its release lies on disk.

Ringeval et al., "Introducing the RECOLA multimodal corpus of remote
collaborative and affective interactions", FG 2013: French dialogs, whose
arousal and valence six annotators rated all the time. An utterance has the
mean of all its ratings.
"""

import collections
import os

import numpy as np

from speechbrain_ser.corpora.recola_tables import (
    STEP,
    compare_lengths,
    compare_raters,
    read_ratings,
    read_timings,
)
from speechbrain_ser.corpora.release import (
    Folder,
    others,
    refuse_neighbour,
    tell_difference,
)
from speechbrain_ser.utils.audio_files import inspect_files
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.odd_entries import OddEntries, Read
from speechbrain_ser.utils.settings import checked

DIMENSIONS = ("arousal", "valence")
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
_BEYOND = 0.05  # So many seconds of an utterance may lack in its recording.


@checked
def read_recola(data_folder: _FOLDER):
    """Reads the utterances of RECOLA and their mean ratings.

    Arguments
    ---------
    data_folder : str
        Holds `RECOLA-Audio-recordings`, `RECOLA-Audio_timings` and
        `RECOLA-Annotation`.

    Returns
    -------
    dict
        Id (`P16_001`: the recording, and the row in its timings) -> entry,
        sorted by id, with `wav`, `start`, `stop` (samples), `duration`
        (seconds), `speaker`, `arousal` and `valence` (-1 to 1: means over the
        utterance's frames and all annotators). Its `odd` is what was odd, see
        `utils.odd_entries`.

    Raises
    ------
    InputError
        If it is not RECOLA, a file is missing or unfit, or too much is odd.

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
    odd, odd_ratings = OddEntries(), OddEntries()
    timings = {
        name: read_timings(own["timings"], odd) for name, own in files.items()
    }
    ratings = {
        name: [read_ratings(own[word], odd_ratings) for word in DIMENSIONS]
        for name, own in files.items()
    }
    tables = [table for pair in ratings.values() for table in pair]
    raters = compare_raters(tables)
    for pair in ratings.values():
        compare_lengths(*pair)
    infos = inspect_files(paths["recording"] for paths in files.values())
    annotation = {}
    for name, paths in files.items():
        wav = paths["recording"]
        annotation |= _utterances(
            name, wav, infos[wav], timings[name], ratings[name], odd
        )
    lines = sum(table.total for table in tables)
    odd_ratings.settle(lines, f"lines of ratings in '{root}'")
    rows = sum(table.total for table in timings.values())
    odd.settle(rows, f"utterances of '{root}'")
    _compare_counts(root, annotation, raters, rows)
    return Read(sorted(annotation.items()), odd.rows + odd_ratings.rows)


def _utterances(name, wav, info, timings, ratings, odd):
    """The utterances of a recording that can be used."""
    annotation, seen = {}, set()
    for row, span in enumerate(map(tuple, timings.values)):
        samples, what = _samples(*span, info)
        if span in seen:
            what = "Utterances that an earlier line has too"
        seen.add(span)
        means, usual = [None], False
        if what is None:
            means = [_mean(table, *span) for table in ratings]
            ends = [table.values[-1, 0] for table in ratings]
            usual = span[0] > min(ends)
            if usual:
                what = "Utterances that begin after the last rating"
            elif None in means:
                what = "Utterances without a rating"
        value = "{:g} s to {:g} s".format(*span)
        if what is not None:
            of = f"{value} of '{wav}', which has {info.duration:.2f} s"
            odd.add(*timings.where(row), what, "left out", of, usual)
            continue
        if span[0] < 0:
            what = "Utterances that begin before their recording"
            odd.add(*timings.where(row), what, "cut to it", value)
        annotation[f"{name}_{timings.numbers[row]:03d}"] = {
            "wav": wav,
            **info.span(*samples),
            "speaker": name,
            **dict(zip(DIMENSIONS, means)),
        }
    return annotation


def _samples(start, stop, info):
    """The first sample of an utterance and the one past its last.

    Returns
    -------
    samples : tuple or None
    what : str or None
        Why there are none.
    """
    if not np.isfinite(start) or not np.isfinite(stop):
        return None, "Utterances whose times are no numbers"
    if stop <= start:
        return None, "Utterances that do not end after they begin"
    first, last = (
        round(min(max(time, 0.0), info.duration) * info.sample_rate)
        for time in (start, stop)
    )
    if stop - info.duration > _BEYOND or first >= last:
        return None, "Utterances outside of their recording"
    return (first, last), None


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


def _mean(ratings, start, stop):
    """The mean of all ratings from start to stop; None if there are none.

    A span without any, which is a short one, has the nearest one's.
    """
    time, values = ratings.values[:, 0], ratings.values[:, 1:]
    first, last = np.searchsorted(time, (start, stop))
    if first == last:
        away = np.abs(time - (start + stop) / 2)
        first = away.argmin()
        last = first + (away[first] <= STEP)
    frames = values[first:last]
    frames = frames[~np.isnan(frames)]
    if not frames.size:
        return None
    # The sum has few decimals: rounded, the annotators' order does not matter,
    # and ratings that cancel out are 0, which decides upon a class.
    return round(float(frames.sum()), 9) / frames.size + 0.0


def _compare_counts(root, annotation, raters, total):
    """Refuses less than half of it; logs how it differs from the release."""
    if 2 * len(annotation) < total or not annotation:
        raise InputError(
            f"Of {total} utterances of '{root}' {len(annotation)} lie within "
            "their recordings and have ratings: copy ratings and timings again "
            "from the release."
        )
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
