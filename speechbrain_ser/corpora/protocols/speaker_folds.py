"""Folds of speakers: who tests is never trained on, nor who validates.

A fold's number says whom it tests, also in a corpus that is not whole: a fold
of whom nobody is there is refused, and the next one of whom somebody is there
validates.
"""

import random

from speechbrain_ser.corpora.protocols.checks import (
    check_disjoint,
    check_fold,
    check_speakers,
)
from speechbrain_ser.corpora.protocols.utterances import (
    expand,
    join,
    units,
    values,
    without,
)
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import Whole

Enrolment = Whole(0)  # utterances of each speaker
# What an utterance without labels doesn't have.
LABELS = (
    "emotion",
    "votes",
    "agreement",
    "intensity",
    "valence",
    "arousal",
    "dominance",
    "columns",
)


def speaker_folds(annotation, fold, groups, enrolment: Enrolment = 0):
    """One group of speakers tests, the next one validates, the others train.

    Arguments
    ---------
    annotation : dict
        Id -> entry with `speaker`; speakers of no group take no part.
    fold : int
        1 tests the first group, and so on.
    groups : list of list of str
        The speakers of each fold of the whole corpus. After the last one the
        first validates.
    enrolment : int
        See `enrol`.

    Returns
    -------
    dict
        "train", "valid" and "test" -> annotation, and "enrolment" if it is
        above 0.

    Raises
    ------
    InputError
        If there is no such fold, nobody of it is there, or nobody is left to
        validate or to train on.

    Example
    -------
    >>> annotation = {name: {"speaker": name} for name in "ABCD"}
    >>> parts = speaker_folds(annotation, 2, [["A"], ["B"], ["C"], ["D"]])
    >>> {name: list(part) for name, part in parts.items()}
    {'train': ['A', 'D'], 'valid': ['C'], 'test': ['B']}
    """
    tested, validating = fold_of(annotation, fold, groups)
    everyone = [speaker for group in groups for speaker in group]
    return enrol(divide(annotation, tested, validating, everyone), enrolment)


def fold_of(annotation, fold, groups):
    """Returns who tests and who validates.

    Arguments
    ---------
    annotation, fold, groups
        See `speaker_folds`.

    Returns
    -------
    tested, validating : list of str
    """
    present = set(values(annotation, "speaker"))
    check_fold(fold, len(groups), "speaker" if _alone(groups) else "group")
    following = groups[fold:] + groups[: fold - 1]
    tested = [s for s in groups[fold - 1] if s in present]
    if not tested:
        raise InputError(
            f"--fold {fold} tests {join(groups[fold - 1])}, of whom nobody is "
            f"there (there are {join(sorted(present))}): give the whole corpus, "
            "or another fold."
        )
    for group in following:
        validating = [speaker for speaker in group if speaker in present]
        if validating:
            return tested, validating
    raise InputError(
        f"Without the tested {join(tested)} no speaker is left to validate: "
        "add speakers, or choose another protocol."
    )


def _alone(groups):
    """Whether each group is one speaker."""
    return all(len(group) == 1 for group in groups)


def divide(annotation, tested, validating, everyone=None):
    """Divides an annotation by its speakers.

    Arguments
    ---------
    annotation : dict
        Id -> entry with `speaker`.
    tested, validating : list of str
    everyone : list of str, optional
        Who takes part; default: all speakers.

    Returns
    -------
    dict
        "train", "valid" and "test" -> annotation.

    Raises
    ------
    InputError
        If nobody is left to train on.
    """
    owner = dict.fromkeys(tested, "test") | dict.fromkeys(validating, "valid")
    parts = {"train": {}, "valid": {}, "test": {}}
    for key in sorted(annotation):
        speaker = annotation[key]["speaker"]
        if everyone is None or speaker in everyone:
            parts[owner.get(speaker, "train")][key] = annotation[key]
    if not parts["train"]:
        raise InputError(
            f"Without the tested {join(tested)} and the validating "
            f"{join(validating)} no speaker is left to train on: add speakers, "
            "or choose another protocol."
        )
    check_speakers(**parts)
    return check_disjoint(**parts)


def precise_alone(parts, is_precise, enrolment=0):
    """Trains and validates on what is precise, tests on what is ambiguous.

    Arguments
    ---------
    parts : dict
        Of `divide`.
    is_precise : callable
        Whether an entry is.
    enrolment : int
        See `enrol`.

    Returns
    -------
    dict
        "train" and "valid" (precise), "unlabelled" (the ambiguous ones of who
        trains) and "test" (ambiguous) -> annotation, and "enrolment".

    Raises
    ------
    InputError
        If one of them would be empty.
    """
    precise, ambiguous = {}, {}
    for name, part in parts.items():
        precise[name] = {k: e for k, e in part.items() if is_precise(e)}
        ambiguous[name] = without(part, precise[name])
    made = {
        "train": precise["train"],
        "valid": precise["valid"],
        "unlabelled": ambiguous["train"],
        "test": ambiguous["test"],
    }
    for name, part in made.items():
        kind = "precise" if name in ("train", "valid") else "ambiguous"
        if not part:
            who = values(parts[name if name in parts else "train"], "speaker")
            raise InputError(
                f"The part '{name}' would be empty, since {join(who)} have no "
                f"{kind} utterance: choose another fold, or another protocol."
            )
    return enrol(check_disjoint(**made), enrolment)


def enrol(parts, enrolment: Enrolment):
    """Takes some utterances of each tested and validating speaker.

    They are drawn without a look at labels: the same ones of a speaker in
    every fold.

    Arguments
    ---------
    parts : dict
        Part -> annotation.
    enrolment : int
        Utterances of each speaker.

    Returns
    -------
    dict
        The parts; if it is above 0, "valid" and "test" without the drawn ones
        and "enrolment" with them, without labels.

    Raises
    ------
    InputError
        If a speaker has no more than that.

    Example
    -------
    >>> entry = {"speaker": "A", "emotion": "sad"}
    >>> enrol({"test": {"a": entry, "b": entry}}, 1)["enrolment"]
    {'a': {'speaker': 'A'}}
    """
    if not enrolment:
        return parts
    made, drawn = dict(parts), {}
    held = {**parts.get("valid", {}), **parts["test"]}
    for speaker in values(held, "speaker"):
        own = {k: e for k, e in held.items() if e["speaker"] == speaker}
        ids = units(own)
        if len(ids) <= enrolment:
            raise InputError(
                f"--enrolment is {enrolment}, but '{speaker}' has {len(ids)} "
                "utterances that are held out, and one at least must be left "
                "to score: give a smaller number."
            )
        names = sorted(ids)
        random.Random(f"enrolment/{speaker}").shuffle(names)
        drawn |= expand(own, ids, names[:enrolment])
    for name in ("valid", "test"):
        if parts.get(name):
            made[name] = without(parts[name], drawn)
            if not made[name]:
                raise InputError(
                    f"--enrolment {enrolment} would leave nothing of the part "
                    f"'{name}' to score: give a smaller number."
                )
    made["enrolment"] = {
        key: {k: v for k, v in drawn[key].items() if k not in LABELS}
        for key in sorted(drawn)
    }
    return check_disjoint(**made)
