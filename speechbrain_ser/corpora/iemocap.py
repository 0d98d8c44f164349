"""Reads IEMOCAP as its full release lies on disk.

Busso et al., "IEMOCAP: interactive emotional dyadic motion capture database",
Language Resources and Evaluation 42, 2008: ten actors in five sessions.
"""

import collections
import functools
import os
import re

from speechbrain.utils.logger import get_logger

from speechbrain_ser.corpora.release import (
    Classes,
    Folder,
    check_labels,
    count_table,
    refuse_neighbour,
    tell_difference,
)
from speechbrain_ser.utils.audio_files import inspect_files
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import Switch, checked

logger = get_logger(__name__)

LABELS = ("ang", "hap", "sad", "neu")
CODES = {
    "anger": "ang",
    "happiness": "hap",
    "excited": "exc",
    "sadness": "sad",
    "neutral": "neu",
    "neutral state": "neu",
    "frustration": "fru",
    "fear": "fea",
    "surprise": "sur",
    "disgust": "dis",
    "other": "oth",
}
NO_MAJORITY = "xxx"
SESSIONS = tuple(f"Session{number}" for number in range(1, 6))
# Of the full release, with excited in hap.
EXPECTED_UTTERANCES = 10039
EXPECTED_COUNTS = {"ang": 1103, "hap": 1636, "sad": 1084, "neu": 1708}

_EVALUATIONS = os.path.join("dialog", "EmoEvaluation")
_NUMBER = r"(-?\d+(?:\.\d*)?)"
_SUMMARY = re.compile(
    rf"\[{_NUMBER} - {_NUMBER}\]\t"
    r"((Ses(\d+)[FM]_(impro|script)\w*)_([FM])\d+)\t"
    rf"([a-z]{{3}})\t\[{_NUMBER}, {_NUMBER}, {_NUMBER}\]\s*"
)
_ANNOTATOR = re.compile(r"[CA]-[EFM]\d+:")
_KNOWN = {*CODES.values(), NO_MAJORITY}
_FOLDER = Folder(
    "the path of IEMOCAP_full_release, the folder in which Session1 lies"
)


@checked
def read_iemocap(
    data_folder: _FOLDER,
    merge_excited: Switch() = True,
    labels: Classes() = LABELS,
    self_evaluations: Switch() = False,
    improvised_only: Switch() = False,
    with_audio: Switch() = True,
):
    """Reads the labels of IEMOCAP and the length of every audio file.

    Arguments
    ---------
    data_folder : str
        The folder IEMOCAP_full_release, with Session1 to Session5 in it.
    merge_excited : bool
        Whether `exc` becomes `hap`, in labels and in votes.
    labels : list of str or None
        Utterances with these labels are taken; None: all, the emotion of those
        without a majority is "xxx".
    self_evaluations : bool
        Whether the actors' own labels count among `votes`.
    improvised_only : bool
        Whether the scripted dialogs are left out.
    with_audio : bool
        Without a look at it, `start`, `stop` and `duration` are left out.

    Returns
    -------
    dict
        Id -> entry, sorted by id, with `wav`, `start`, `stop`, `duration`
        (seconds), `emotion`, `speaker` ("Ses01_F"), `gender` ("F" or "M"),
        `session` (1 to 5), `dialog`, `style` ("improvised" or "scripted"),
        `votes` (the labels that each annotator gave), `self_votes`, and
        `valence`, `arousal`, `dominance` (1 to 5).

    Raises
    ------
    InputError
        If the folder is not IEMOCAP, or a line, file or setting is broken.

    Example
    -------
    >>> tree = getfixture("mini_folder")
    >>> sorted({entry["session"] for entry in read_iemocap(tree).values()})
    [1, 2, 3, 4, 5]
    """
    known = _known_labels(labels, merge_excited)
    root = _FOLDER.opened(data_folder)
    annotation, codes = {}, collections.Counter()
    for code, key, entry in _utterances(root, merge_excited, self_evaluations):
        codes[code] += 1
        scripted = entry["style"] == "scripted"
        if entry["emotion"] in known and not (improvised_only and scripted):
            annotation[key] = entry
    _check_found(root, annotation, known, codes)
    if with_audio:
        infos = inspect_files(entry["wav"] for entry in annotation.values())
        for entry in annotation.values():
            entry |= infos[entry["wav"]].span()
    return {key: annotation[key] for key in sorted(annotation)}


def read_labels(data_folder, **selection):
    """Reads the labels of IEMOCAP without a look at the audio.

    Arguments
    ---------
    data_folder : str
    **selection : dict
        See `read_iemocap`.

    Returns
    -------
    dict
        As from `read_iemocap`, without `start`, `stop` and `duration`.

    Example
    -------
    >>> entries = read_labels(getfixture("mini_folder"), labels=["sad"])
    >>> {entry["emotion"] for entry in entries.values()}
    {'sad'}
    """
    return read_iemocap(data_folder, **selection, with_audio=False)


def _known_labels(labels, merge_excited):
    """The labels that are taken, if they are IEMOCAP's."""
    if labels is None:
        return sorted(_KNOWN)
    known, why = list(dict.fromkeys(CODES.values())), ""
    if merge_excited:
        known.remove("exc")
        why = " (exc is merged into hap)" if "exc" in labels else ""
    check_labels(labels, known, why)
    return labels


def _utterances(root, merge_excited, self_evaluations):
    """Yields each utterance's code in the release, its id and its entry."""
    seen = {}
    for session in _find_sessions(root):
        folder = session / _EVALUATIONS
        audio = os.path.join(session, "sentences", "wav")
        for name in sorted(os.listdir(folder)):
            path = os.path.join(folder, name)
            if name[0] == "." or not name.endswith(".txt"):
                continue
            for summary, votes, self_votes in _read_dialog(path, merge_excited):
                key, code = summary[3], summary[8]
                if key in seen:
                    raise InputError(
                        f"The utterance {key} stands in '{seen[key]}' and in "
                        f"'{path}': keep one of them."
                    )
                seen[key] = path
                entry = _entry(summary, audio)
                if merge_excited and code == "exc":
                    entry["emotion"] = "hap"
                entry["votes"] = votes + self_votes * self_evaluations
                entry["self_votes"] = self_votes
                yield code, key, entry


def _entry(summary, audio):
    """What the summary of an utterance says of it."""
    key, dialog, number, style, sex, code = summary.group(3, 4, 5, 6, 7, 8)
    return {
        "wav": os.path.join(audio, dialog, key + ".wav"),
        "emotion": code,
        "speaker": f"Ses{number}_{sex}",
        "gender": sex,
        "session": int(number),
        "dialog": dialog,
        "style": "improvised" if style == "impro" else "scripted",
        "valence": float(summary[9]),
        "arousal": float(summary[10]),
        "dominance": float(summary[11]),
    }


def _find_sessions(root):
    """The folders Session1, Session2, ... of a release."""
    sessions = _sessions_in(root)
    if sessions:
        names = {session.name for session in sessions}
        missing = [name for name in SESSIONS if name not in names]
        if missing:
            logger.warning("'%s' lacks %s", root, ", ".join(missing))
        return sessions
    if (root / _EVALUATIONS).is_dir():
        raise InputError(
            f"--data_folder '{root}' is one session: give the folder above "
            f"it, '{root.parent}'."
        )
    refuse_neighbour(root, "IEMOCAP", _sessions_in, levels=0)
    raise InputError(
        f"--data_folder '{root}' is not IEMOCAP: give the folder "
        "IEMOCAP_full_release, in which Session1/dialog/EmoEvaluation lies."
    )


def _sessions_in(folder):
    """The session folders with labels directly in `folder`, in order."""
    numbered = {}
    for child in folder.iterdir():
        number = re.fullmatch(r"Session(\d+)", child.name)
        if number and (child / _EVALUATIONS).is_dir():
            numbered[int(number[1])] = child
    return [numbered[number] for number in sorted(numbered)]


def _read_dialog(path, merge_excited):
    """Reads one file of EmoEvaluation.

    Arguments
    ---------
    path : str
        The file.
    merge_excited : bool
        Whether `exc` becomes `hap` in the votes.

    Returns
    -------
    list of tuple
        For each utterance the match of its summary line, the annotators'
        votes and the actors' own.
    """
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = file.read().split("\n")
    utterances = []
    votes = self_votes = None
    for number, line in enumerate(lines, 1):
        if line.startswith("["):
            summary = _SUMMARY.fullmatch(line)
            if not summary or summary[8] not in _KNOWN:
                raise _broken(path, number, line, "a summary")
            votes, self_votes = [], []
            utterances.append((summary, votes, self_votes))
        elif line.startswith(("C-", "A-")):
            fields = line.split("\t", 2)
            if (
                votes is None
                or len(fields) < 2
                or not _ANNOTATOR.fullmatch(fields[0])
            ):
                raise _broken(path, number, line, "an annotator's line")
            # Attributes are taken from the summary, their mean.
            if line[0] == "C":
                labels = _parse_labels(fields[1], merge_excited)
                if labels is None:
                    raise _broken(path, number, line, "an annotator's labels")
                if labels:
                    own = line[2] != "E"
                    (self_votes if own else votes).append(list(labels))
        elif line.strip() and not line.startswith("%"):
            raise _broken(path, number, line, "a line")
    return utterances


@functools.lru_cache(maxsize=None)
def _parse_labels(field, merge_excited):
    """'Neutral; Anger;' -> ('neu', 'ang'); None if a word is unknown."""
    words = [word.strip().lower() for word in field.split(";")]
    codes = [CODES.get(word) for word in words if word]
    if None in codes:
        return None
    if merge_excited:
        codes = ["hap" if code == "exc" else code for code in codes]
    return tuple(dict.fromkeys(codes))


def _broken(path, number, line, what):
    """The error for a line that cannot be read."""
    return InputError(
        f"'{path}', line {number} is not {what} of IEMOCAP: '{line.strip()}'; "
        "correct it or copy the file again from the release."
    )


def _check_found(root, annotation, labels, codes):
    """Refuses an empty annotation; tells how the tree is not the release."""
    if not annotation:
        raise InputError(
            f"'{root}' has no utterance with a label among "
            f"{', '.join(labels)}: name other labels or unpack the whole "
            "release."
        )
    total = sum(codes.values())
    found = {label: codes[label] for label in EXPECTED_COUNTS}
    found["hap"] += codes["exc"]
    if total != EXPECTED_UTTERANCES:
        tell_difference(
            root,
            "IEMOCAP",
            "has %d utterances; the full release of IEMOCAP has %d, so "
            "results cannot be compared with published ones",
            total,
            EXPECTED_UTTERANCES,
        )
    elif found != EXPECTED_COUNTS:
        tell_difference(
            root,
            "IEMOCAP",
            "has all %d utterances but other labels than the release (exc "
            "counted as hap):\n%s",
            total,
            count_table(found, EXPECTED_COUNTS),
        )
