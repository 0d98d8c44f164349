"""Reads IEMOCAP as its full release lies on disk.

Busso et al., "IEMOCAP: interactive emotional dyadic motion capture database",
Language Resources and Evaluation 42, 2008: ten actors in five sessions.
"""

import collections
import functools
import os
import re
from pathlib import Path

from speechbrain.utils.logger import get_logger

from speechbrain_ser.utils.audio_files import inspect_files
from speechbrain_ser.utils.errors import InputError

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


def read_iemocap(
    data_folder,
    merge_excited=True,
    labels=LABELS,
    self_evaluations=False,
    improvised_only=False,
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

    Returns
    -------
    dict
        Id -> entry, sorted by id, with `wav`, `start`, `stop`, `duration`
        (seconds), `emotion`, `speaker` (such as "Ses01_F"), `gender` ("F" or
        "M"), `session` (1 to 5), `dialog`, `style` ("improvised" or
        "scripted"), `votes` (the labels that each annotator gave),
        `self_votes`, and `valence`, `arousal`, `dominance` (1 to 5).

    Raises
    ------
    InputError
        If the folder is not IEMOCAP, a line in it is broken, a setting is
        wrong, or an audio file is missing or broken.

    Example
    -------
    >>> from speechbrain_ser.corpora.mini.iemocap import mini_iemocap
    >>> tree = mini_iemocap(getfixture("tmp_path"), utterances_per_speaker=4)
    >>> entries = read_iemocap(tree).values()
    >>> sorted({entry["session"] for entry in entries})
    [1, 2, 3, 4, 5]
    """
    annotation = read_labels(
        data_folder, merge_excited, labels, self_evaluations, improvised_only
    )
    infos = inspect_files(entry["wav"] for entry in annotation.values())
    for entry in annotation.values():
        info = infos[entry["wav"]]
        entry["start"], entry["stop"] = 0, info.frames
        entry["duration"] = info.duration
    return annotation


def read_labels(
    data_folder,
    merge_excited=True,
    labels=LABELS,
    self_evaluations=False,
    improvised_only=False,
):
    """Reads the labels of IEMOCAP without a look at the audio.

    Arguments
    ---------
    data_folder : str
        As for `read_iemocap`, like all other arguments.
    merge_excited : bool
        Whether `exc` becomes `hap`.
    labels : list of str or None
        Utterances with these labels are taken; None: all.
    self_evaluations : bool
        Whether the actors' own labels count among `votes`.
    improvised_only : bool
        Whether the scripted dialogs are left out.

    Returns
    -------
    dict
        As from `read_iemocap`, without `start`, `stop` and `duration`.

    Raises
    ------
    InputError
        If the folder is not IEMOCAP, a line in it is broken or a setting is
        wrong.

    Example
    -------
    >>> from speechbrain_ser.corpora.mini.iemocap import mini_iemocap
    >>> tree = mini_iemocap(getfixture("tmp_path"), utterances_per_speaker=4)
    >>> entries = read_labels(tree, labels=["sad"]).values()
    >>> {entry["emotion"] for entry in entries}
    {'sad'}
    """
    labels = _check_labels(labels, merge_excited)
    root = Path(os.path.abspath(data_folder))
    annotation = {}
    seen = {}
    codes = collections.Counter()
    for session in _find_sessions(root):
        folder = session / _EVALUATIONS
        audio = os.path.join(session, "sentences", "wav")
        for name in sorted(os.listdir(folder)):
            path = os.path.join(folder, name)
            if name[0] == "." or not name.endswith(".txt"):
                continue
            for summary, votes, self_votes in _read_dialog(path, merge_excited):
                key, dialog, number, style, sex, code = summary.group(
                    3, 4, 5, 6, 7, 8
                )
                if key in seen:
                    raise InputError(
                        f"The utterance {key} stands in '{seen[key]}' and in "
                        f"'{path}': keep one of them."
                    )
                seen[key] = path
                codes[code] += 1
                if merge_excited and code == "exc":
                    code = "hap"
                if labels is not None and code not in labels:
                    continue
                if improvised_only and style != "impro":
                    continue
                annotation[key] = {
                    "wav": os.path.join(audio, dialog, key + ".wav"),
                    "emotion": code,
                    "speaker": f"Ses{number}_{sex}",
                    "gender": sex,
                    "session": int(number),
                    "dialog": dialog,
                    "style": "improvised" if style == "impro" else "scripted",
                    "votes": (
                        votes + self_votes if self_evaluations else votes
                    ),
                    "self_votes": self_votes,
                    "valence": float(summary[9]),
                    "arousal": float(summary[10]),
                    "dominance": float(summary[11]),
                }
    if not annotation:
        raise InputError(
            f"'{data_folder}' has no utterance with a label among "
            f"{', '.join(labels or _KNOWN)}: name other labels or unpack the "
            "whole release."
        )
    _compare_counts(root, codes)
    return {key: annotation[key] for key in sorted(annotation)}


def _check_labels(labels, merge_excited):
    """The labels as a tuple, if they are IEMOCAP's; None: all."""
    if labels is None:
        return None
    known = list(dict.fromkeys(CODES.values()))
    if merge_excited:
        known.remove("exc")
    labels = (labels,) if isinstance(labels, str) else tuple(labels)
    wrong = [label for label in labels if label not in known]
    if wrong or not labels:
        merged = " (exc is merged into hap)" if "exc" in wrong else ""
        raise InputError(
            f"labels is {list(labels)}: choose among {', '.join(known)}"
            f"{merged}."
        )
    return labels


def _find_sessions(root):
    """The folders Session1, Session2, ... of a release."""
    if not root.is_dir():
        raise InputError(
            f"data_folder '{root}' is no folder: give the path of "
            "IEMOCAP_full_release."
        )
    sessions = _sessions_in(root)
    if not sessions:
        if (root / _EVALUATIONS).is_dir():
            raise InputError(
                f"data_folder '{root}' is one session: give the folder above "
                f"it, '{root.parent}'."
            )
        for child in sorted(root.iterdir()):
            if child.is_dir() and _sessions_in(child):
                raise InputError(
                    f"data_folder '{root}' is the folder above IEMOCAP: give "
                    f"'{child}'."
                )
        raise InputError(
            f"data_folder '{root}' is not IEMOCAP: give the folder "
            "IEMOCAP_full_release, in which Session1/dialog/EmoEvaluation "
            "lies."
        )
    return sessions


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


_KNOWN = {*CODES.values(), NO_MAJORITY}


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


def _compare_counts(root, codes):
    """Logs how the labels found differ from those of the full release."""
    total = sum(codes.values())
    found = {label: codes[label] for label in EXPECTED_COUNTS}
    found["hap"] += codes["exc"]
    if total == EXPECTED_UTTERANCES:
        if found != EXPECTED_COUNTS:
            rows = ["class  found  expected"] + [
                f"{label:5}  {found[label]:5}  {expected:8}"
                for label, expected in EXPECTED_COUNTS.items()
            ]
            logger.warning(
                "'%s' has all %d utterances but other labels than the "
                "release (exc counted as hap):\n%s",
                root,
                total,
                "\n".join(rows),
            )
    elif _says_other_corpus(root):
        logger.info(
            "'%s' is laid out as IEMOCAP but is not IEMOCAP: --corpus gives it "
            "its name",
            root,
        )
    else:
        logger.warning(
            "'%s' has %d utterances; the full release of IEMOCAP has %d, so "
            "results cannot be compared with published ones",
            root,
            total,
            EXPECTED_UTTERANCES,
        )


def _says_other_corpus(root):
    """Whether the tree's README says that it is something else."""
    try:
        with open(root / "README.txt", encoding="utf-8") as file:
            return file.readline().startswith("This is NOT IEMOCAP")
    except (OSError, UnicodeDecodeError):
        return False
