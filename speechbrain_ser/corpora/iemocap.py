"""Reads IEMOCAP as its full release lies on disk.

Busso et al., "IEMOCAP: interactive emotional dyadic motion capture database",
Language Resources and Evaluation 42, 2008: ten actors in five sessions.
"""

import collections
import functools
import os
import re

from speechbrain_ser.corpora.release import (
    Classes,
    Folder,
    check_labels,
    count_table,
    rating,
    refuse_neighbour,
    tell_difference,
    with_audio_alone,
)
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.logger import LateLogger
from speechbrain_ser.utils.missing import is_missing
from speechbrain_ser.utils.odd_entries import OddEntries, Read
from speechbrain_ser.utils.settings import Switch, checked

logger = LateLogger(__name__)

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
EXPECTED_DIALOGS = 151
DIMENSIONS = ("valence", "arousal", "dominance")  # in the order of the files
SCALE = (1, 5)

_EVALUATIONS = os.path.join("dialog", "EmoEvaluation")
_NUMBER = r"(-?\d+(?:\.\d*)?)"
_SUMMARY = re.compile(
    rf"\[{_NUMBER} - {_NUMBER}\]\t"
    r"((Ses(\d+)[FM]_(impro|script)\w*)_([FM])\d+)\t"
    r"([a-z]{3})\t\[([^\[\],]*),([^\[\],]*)(?:,([^\[\],]*))?\]\s*"
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
        IEMOCAP_full_release, with Session1 to Session5 in it.
    merge_excited : bool
        Whether `exc` becomes `hap`, in labels and in votes.
    labels : list of str or None
        Utterances with these labels are taken; None: all, the emotion of those
        without a majority is "xxx".
    self_evaluations : bool
        Whether the actors' own labels count among `votes`.
    improvised_only : bool
    with_audio : bool
        Without a look at it there are no `start`, `stop` and `duration`.

    Returns
    -------
    dict
        Id -> entry, sorted by id, with `wav`, `start`, `stop`, `duration`
        (seconds), `emotion`, `speaker` ("Ses01_F"), `gender` ("F" or "M"),
        `session` (1 to 5), `dialog`, `style` ("improvised" or "scripted"),
        `votes` (the labels that each annotator gave), `self_votes`, and, if
        known, `valence`, `arousal`, `dominance` (1 to 5). Its `odd` is what was
        odd, see `utils.odd_entries`, and left out if it can't be used.

    Raises
    ------
    InputError
        If it is not IEMOCAP, a setting is unfit, or too much is odd.

    Example
    -------
    >>> tree = getfixture("mini_folder")
    >>> sorted({entry["session"] for entry in read_iemocap(tree).values()})
    [1, 2, 3, 4, 5]
    """
    known = _known_labels(labels, merge_excited)
    root = _FOLDER.opened(data_folder)
    annotation, codes, odd = {}, collections.Counter(), OddEntries()
    files, how = _label_files(root), (merge_excited, self_evaluations)
    for code, key, entry in _utterances(files, *how, odd):
        codes[code] += 1
        scripted = entry["style"] == "scripted"
        if entry["emotion"] in known and not (improvised_only and scripted):
            annotation[key] = entry
    of = f"utterances of '{root}'"
    odd.settle(max(codes.total(), len(odd.rows)), of)
    _check_found(root, annotation, known, codes, len(files))
    found = with_audio_alone(annotation, of) if with_audio else Read(annotation)
    return Read(sorted(found.items()), odd.rows + found.odd)


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


def _label_files(root):
    """The label file of each dialog, and the folder of its session's audio."""
    return [
        (os.path.join(folder, name), os.path.join(session, "sentences", "wav"))
        for session in _find_sessions(root)
        for folder in [session / _EVALUATIONS]
        for name in sorted(os.listdir(folder))
        if name[0] != "." and name.endswith(".txt")
    ]


def _utterances(files, merge_excited, self_evaluations, odd):
    """Yields each utterance's code in the release, its id and its entry."""
    seen = {}
    for path, audio in files:
        for summary, votes, self_votes in _read_dialog(
            path, merge_excited, odd
        ):
            key, code = summary[3], summary[8]
            if key in seen:
                raise InputError(
                    f"The utterance {key} stands in '{seen[key]}' and in "
                    f"'{path}': keep one of them."
                )
            seen[key] = path
            entry = _entry(summary, audio) | _ratings(path, summary, odd)
            if merge_excited and code == "exc":
                entry["emotion"] = "hap"
            entry["votes"] = votes + self_votes * self_evaluations
            entry["self_votes"] = self_votes
            yield code, key, entry


def _ratings(path, summary, odd):
    """The dimensions of an utterance that are known."""
    known = {}
    for name, text in zip(DIMENSIONS, summary.group(9, 10, 11)):

        def told(what, done, value):
            """Notes an odd rating; a missing dominance the release has too."""
            usual = name == "dominance" and what == "that are missing"
            kind = f"Ratings of {name} {what}"
            odd.add(path, summary[3], kind, done, value, usual)

        value = rating((text or "").strip(), *SCALE, told)
        if value is not None:
            known[name] = value
    return known


def _entry(summary, audio):
    """What the summary of an utterance says of it, but its ratings."""
    key, dialog, number, style, sex, code = summary.group(3, 4, 5, 6, 7, 8)
    return {
        "wav": os.path.join(audio, dialog, key + ".wav"),
        "emotion": code,
        "speaker": f"Ses{number}_{sex}",
        "gender": sex,
        "session": int(number),
        "dialog": dialog,
        "style": "improvised" if style == "impro" else "scripted",
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


def _read_dialog(path, merge_excited, odd):
    """Reads one file of EmoEvaluation.

    Arguments
    ---------
    path : str
        The file.
    merge_excited : bool
        Whether `exc` becomes `hap` in the votes.
    odd : OddEntries
        Given the lines that can't be read.

    Returns
    -------
    list of tuple
        For each utterance the match of its summary line, the annotators'
        votes and the actors' own.
    """
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        lines = file.read().split("\n")
    utterances = []
    current = None  # votes and own votes of the utterance that is read
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("%"):
            continue
        what = "Lines that can't be read"
        if line.startswith("["):
            summary, current = _SUMMARY.fullmatch(line), ([], [])
            if summary and summary[8] in _KNOWN:
                utterances.append((summary, *current))
                continue
            what = "Utterances whose summary can't be read"
        elif line.startswith(("C-", "A-")) and current is not None:
            labels = _vote(line, merge_excited)
            if labels is not None:
                if labels:
                    current[line[2] != "E"].append(list(labels))
                continue
            what = "Annotators' lines that can't be read"
        odd.add(path, f"line {number}", what, "left out", line.strip())
    if not utterances:
        odd.add(path, "all of it", "Label files without labels", "left out")
    return utterances


def _vote(line, merge_excited):
    """An annotator's labels, of attributes none; None if it can't be read."""
    fields = line.split("\t", 2)
    if len(fields) < 2 or not _ANNOTATOR.fullmatch(fields[0]):
        return None
    # Attributes are taken from the summary, their mean.
    return _parse_labels(fields[1], merge_excited) if line[0] == "C" else ()


@functools.lru_cache(maxsize=None)
def _parse_labels(field, merge_excited):
    """'Neutral; Anger;' -> ('neu', 'ang'); None if a word is unknown."""
    words = [word.strip().lower() for word in field.split(";")]
    codes = [CODES.get(word) for word in words if not is_missing(word)]
    if None in codes:
        return None
    if merge_excited:
        codes = ["hap" if code == "exc" else code for code in codes]
    return tuple(dict.fromkeys(codes))


def _check_found(root, annotation, labels, codes, n_files):
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
            "has %d utterances in %d label files; the full release of IEMOCAP "
            "has %d in %d, so results cannot be compared with published ones",
            total,
            n_files,
            EXPECTED_UTTERANCES,
            EXPECTED_DIALOGS,
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
