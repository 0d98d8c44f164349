"""What every split must keep to, and the name that tells it from others."""

import hashlib
import json

from speechbrain_ser.corpora.protocols.utterances import join, units, values
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import Whole

# What the parts were called when splits got their hash: it stays what it was.
HASHED = {"valid": "validation", "test": "evaluation"}
HASHED_BESIDE_UNLABELLED = HASHED | {
    "train": "precise",
    "unlabelled": "ambiguous",
}


def check_speakers(**parts):
    """Raises InputError if a speaker stands in two parts.

    Arguments
    ---------
    **parts : dict
        Name of the part -> annotation with `speaker`.

    Raises
    ------
    InputError
        Names the speaker and both parts.

    Example
    -------
    >>> parts = {"train": {"a": {"speaker": "A"}}}
    >>> check_speakers(**parts, test={"b": {"speaker": "B"}})
    >>> try:
    ...     check_speakers(**parts, test={"b": {"speaker": "A"}})
    ... except InputError as error:
    ...     print(str(error).split(":")[0])
    Speaker 'A' stands in train and in test
    """
    owner = {}
    for name, annotation in parts.items():
        for speaker in values(annotation, "speaker"):
            if speaker in owner:
                raise InputError(
                    f"Speaker '{speaker}' stands in {owner[speaker]} and in "
                    f"{name}: give every speaker to one part."
                )
            owner[speaker] = name


def check_disjoint(**parts):
    """Raises InputError if an utterance, or pieces of it, is in two parts.

    Arguments
    ---------
    **parts : dict
        Name of the part -> annotation.

    Returns
    -------
    dict
        The parts.

    Raises
    ------
    InputError
        Names the utterance and both parts.

    Example
    -------
    >>> list(check_disjoint(train={"a": {}}, test={"b": {}}))
    ['train', 'test']
    """
    owner = {}
    for name, annotation in parts.items():
        for unit in units(annotation):
            if unit in owner:
                raise InputError(
                    f"Utterance '{unit}' stands in {owner[unit]} and in "
                    f"{name}: give every utterance to one part."
                )
            owner[unit] = name
    return parts


def check_classes(annotation, labels, part_name):
    """Raises InputError if a class has no utterance.

    Arguments
    ---------
    annotation : dict
        Id -> entry with `emotion`.
    labels : list of str
        The classes.
    part_name : str
        Named in the error.

    Raises
    ------
    InputError
        Names the classes and the part.

    Example
    -------
    >>> check_classes({"a": {"emotion": "sad"}}, ["sad"], "train")
    """
    present = {entry.get("emotion") for entry in annotation.values()}
    missing = [label for label in labels if label not in present]
    if missing:
        raise InputError(
            f"The part '{part_name}' has no utterance of {join(missing)}: "
            "take another split, or leave the class out of the labels."
        )


def check_fold(fold, n_folds, what):
    """Raises InputError if there is no such fold.

    Arguments
    ---------
    fold : int
        From 1.
    n_folds : int
    what : str
        What a fold leaves out.

    Example
    -------
    >>> check_fold(6, 5, "session")
    Traceback (most recent call last):
    speechbrain_ser.utils.errors.InputError: --fold is 6: give a whole number...
    """
    mend = Whole(1, n_folds).mend(fold)
    if mend is not None:
        raise InputError(f"--fold is {fold!r}: {mend}, one for each {what}")


def split_fingerprint(parts):
    """A name for a split: equal for equal parts, wherever the audio lies.

    Arguments
    ---------
    parts : dict
        Name of the part -> annotation with `emotion`.

    Returns
    -------
    str
        SHA-256 over the parts' names, ids and labels, in hexadecimal.

    Example
    -------
    >>> part = {"a": {"emotion": "sad", "wav": "here.wav"}}
    >>> moved = {"a": {"emotion": "sad", "wav": "there.wav"}}
    >>> split_fingerprint({"test": part}) == split_fingerprint({"test": moved})
    True
    """
    hashed = HASHED_BESIDE_UNLABELLED if "unlabelled" in parts else HASHED
    named = {hashed.get(name, name): part for name, part in parts.items()}
    content = [
        [name, [[key, part[key].get("emotion")] for key in sorted(part)]]
        for name, part in sorted(named.items())
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
