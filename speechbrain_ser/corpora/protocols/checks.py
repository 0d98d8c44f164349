"""What every split must keep to, and the name that tells it from others."""

import functools
import hashlib
import json

from speechbrain_ser.corpora.protocols.utterances import join, units, values
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.logger import LateLogger
from speechbrain_ser.utils.settings import Whole

logger = LateLogger(__name__)

# In seconds: the window of the features, and the first of the speech models.
SHORTEST = 0.025
# So many utterances may be unfit, or this share of all.
FEW, SMALL_SHARE = 5, 0.01
SHOWN = 5  # of them are named
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


def check_filled(parts):
    """Raises InputError if a part that trains or tests has no utterance.

    Arguments
    ---------
    parts : dict
        Name of the part -> annotation. A target whose labels nobody knows
        stands in for the test.

    Raises
    ------
    InputError
        Names the part.

    Example
    -------
    >>> check_filled({"train": {"a": {"emotion": "sad"}}})
    >>> check_filled({"test": {}})
    Traceback (most recent call last):
    speechbrain_ser.utils.errors.InputError: The part 'test' has no utterance...
    """
    for name in ("train", "test"):
        hidden = name == "test" and parts.get("target")
        if name in parts and not parts[name] and not hidden:
            raise InputError(
                f"The part '{name}' has no utterance: take another split, or "
                "add utterances."
            )
    for name in ("valid", "test"):
        held = parts.get(name, {}).values()
        if held and all(entry.get("emotion") is None for entry in held):
            raise InputError(
                f"The part '{name}' has no utterance with a label: add labels, "
                "or name it otherwise if they are not known."
            )


def long_enough(parts):
    """Leaves out utterances that are shorter than one window, and says so.

    Arguments
    ---------
    parts : dict
        Name of the part -> annotation, with `duration` in seconds.

    Returns
    -------
    dict
        The parts without them.

    Raises
    ------
    InputError
        If they are more than five and more than 1 % of all.

    Example
    -------
    >>> part = {"a": {"duration": 0.01}, "b": {"duration": 1.0}}
    >>> long_enough({"train": part})
    {'train': {'b': {'duration': 1.0}}}
    """
    short = {
        key: entry["duration"]
        for part in parts.values()
        for key, entry in part.items()
        if entry.get("duration", SHORTEST) < SHORTEST
    }
    if not short:
        return parts
    total = sum(map(len, parts.values()))
    named = [f"{key} ({1000 * s:.3g} ms)" for key, s in sorted(short.items())]
    named = join(named[:SHOWN] + ["..."] * (len(named) > SHOWN))
    said = (
        f"{len(short)} of {total} utterances are shorter than one window of "
        f"{1000 * SHORTEST:.3g} ms: {named}"
    )
    if len(short) > FEW and len(short) > SMALL_SHARE * total:
        raise InputError(f"{said}; correct or delete them.")
    warn_once(f"{said}; they are left out")
    return {
        name: {key: entry for key, entry in part.items() if key not in short}
        for name, part in parts.items()
    }


@functools.lru_cache(maxsize=None)
def warn_once(said):
    """Warns, once in a process: a table plans its runs many times."""
    logger.warning(said)


def numbered(names):
    """Returns which number each of some sessions has: name -> number.

    Whole numbers, also in words, are themselves; others are counted from 1 in
    order.

    Arguments
    ---------
    names : list of int or str
        Sorted.

    Example
    -------
    >>> numbered([1, 3]), numbered(["a", "b"])
    ({1: 1, 3: 3}, {'a': 1, 'b': 2})
    """
    if names and all(str(name).isdecimal() for name in names):
        return {name: int(name) for name in names}
    return {name: place for place, name in enumerate(names, 1)}


def missing_in(numbers, last):
    """Says which of the numbers from 1 are not there.

    Example
    -------
    >>> missing_in([1, 3], 5)
    '2, 4, 5'
    """
    return join(n for n in range(1, last + 1) if n not in set(numbers))


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


def check_words(annotation, labels, path):
    """Refuses an emotion that is none of the labels, and names its file.

    Arguments
    ---------
    annotation : dict
        Id to entry.
    labels : list of str
        The class words.
    path : str
        Of the annotation.

    Raises
    ------
    InputError
    """
    for key, entry in annotation.items():
        word = entry.get("emotion")
        if word is not None and word not in labels:
            raise InputError(
                f"{path}: the utterance {key} has the emotion {word!r}, "
                f"which is not among the labels {', '.join(labels)}: correct "
                "it, or give --labels"
            )
