"""Splits of an annotation, each free of what its protocol forbids.

Every split depends on ids, labels and the seed, never on the order of the
annotation. Pieces of one utterance (key `utterance`) are never parted.
"""

import collections
import hashlib
import json
import math
import random

import numpy as np
from sklearn.model_selection import StratifiedKFold

from speechbrain_ser.utils.errors import InputError


def leave_one_session_out(
    annotation, fold, valid="share", valid_share=0.1, seed=0
):
    """One session tests, the others train.

    Arguments
    ---------
    annotation : dict
        Id -> entry with `session`, `speaker` and `emotion`.
    fold : int
        1 tests the first session, and so on.
    valid : str
        "share" holds a stratified share of the training utterances out for
        validation, so its speakers are also trained on; "session" takes the
        next session (after the last one the first).
    valid_share : float
        Between 0 and 1; used with "share".
    seed : int
        Which utterances are held out; used with "share".

    Returns
    -------
    dict
        "train", "valid" and "test" -> annotation.

    Raises
    ------
    InputError
        If there are too few sessions, no such fold, or a speaker of the test
        session speaks in another one.

    Example
    -------
    >>> annotation = {
    ...     f"{session}{i}": {
    ...         "session": session,
    ...         "speaker": session,
    ...         "emotion": "sad",
    ...     }
    ...     for session in "ABC"
    ...     for i in range(10)
    ... }
    >>> parts = leave_one_session_out(annotation, fold=1)
    >>> {name: len(part) for name, part in parts.items()}
    {'train': 18, 'valid': 2, 'test': 10}
    """
    if valid not in ("share", "session"):
        raise InputError(f"valid is {valid!r}: set it to 'share' or 'session'.")
    sessions = _values(annotation, "session")
    needed = 3 if valid == "session" else 2
    if len(sessions) < needed:
        raise InputError(
            f"Leaving one session out with valid '{valid}' needs {needed} "
            f"sessions but there are {len(sessions)}: add sessions or choose "
            "another protocol."
        )
    _check_fold(fold, len(sessions), "session")
    test = _where(annotation, "session", sessions[fold - 1])
    rest = _without(annotation, test)
    if valid == "session":
        held_out = _where(rest, "session", sessions[fold % len(sessions)])
        train = _without(rest, held_out)
        check_speakers(train=train, valid=held_out, test=test)
    else:
        check_speakers(train=rest, test=test)
        train, held_out = stratified_share(rest, valid_share, seed)
    return _checked({"train": train, "valid": held_out, "test": test})


def leave_one_speaker_out(annotation, fold):
    """One speaker tests, the other one of the session validates.

    Where a session has more than two speakers, the next in alphabetical order
    (after the last one the first) validates and the others train.

    Arguments
    ---------
    annotation : dict
        Id -> entry with `speaker` and `session`.
    fold : int
        1 tests the first speaker in alphabetical order, and so on.

    Returns
    -------
    dict
        "train", "valid" and "test" -> annotation.

    Raises
    ------
    InputError
        If there is no such fold, the session has no other speaker, nobody is
        left to train on, or the speaker speaks in several sessions.

    Example
    -------
    >>> annotation = {
    ...     speaker: {"session": speaker[0], "speaker": speaker}
    ...     for speaker in ["1F", "1M", "2F", "2M"]
    ... }
    >>> parts = leave_one_speaker_out(annotation, fold=3)
    >>> {name: list(part) for name, part in parts.items()}
    {'train': ['1F', '1M'], 'valid': ['2M'], 'test': ['2F']}
    """
    speakers = _values(annotation, "speaker")
    _values(annotation, "session")
    _check_fold(fold, len(speakers), "speaker")
    speaker = speakers[fold - 1]
    test = _where(annotation, "speaker", speaker)
    sessions = _values(test, "session")
    if len(sessions) > 1:
        raise InputError(
            f"Speaker '{speaker}' speaks in the sessions "
            f"{_join(sessions)}: give each speaker one session to leave "
            "one speaker out."
        )
    present = _values(_where(annotation, "session", sessions[0]), "speaker")
    if len(present) < 2:
        raise InputError(
            f"Session {sessions[0]} has no speaker but '{speaker}', so nobody "
            "can validate: choose another fold or protocol."
        )
    other = present[(present.index(speaker) + 1) % len(present)]
    valid = _where(annotation, "speaker", other)
    train = _without(_without(annotation, test), valid)
    if not train:
        raise InputError(
            f"Without '{speaker}' and '{other}' nobody is left to train on: "
            "add speakers or choose another protocol."
        )
    return _checked({"train": train, "valid": valid, "test": test})


def random_k_fold(annotation, fold, n_folds=5, valid_share=0.1, seed=0):
    """Folds of utterances drawn at random, stratified by emotion.

    Speakers stand in several parts: the numbers say nothing about strangers.

    Arguments
    ---------
    annotation : dict
        Id -> entry with `emotion`.
    fold : int
        The fold that tests, 1 to `n_folds`.
    n_folds : int
        At least 2.
    valid_share : float
        Share of the remaining utterances held out for validation.
    seed : int
        Which utterances fall into which fold.

    Returns
    -------
    dict
        "train", "valid" and "test" -> annotation.

    Raises
    ------
    InputError
        If there is no such fold or a class has fewer utterances than folds.

    Example
    -------
    >>> annotation = {str(i): {"emotion": "sad"} for i in range(20)}
    >>> parts = random_k_fold(annotation, fold=1)
    >>> {name: len(part) for name, part in parts.items()}
    {'train': 14, 'valid': 2, 'test': 4}
    """
    if not _is_whole(n_folds) or n_folds < 2:
        raise InputError(
            f"n_folds is {n_folds!r}: set it to a whole number, 2 or more."
        )
    _check_fold(fold, n_folds, "part")
    units = _units(annotation)
    names = sorted(units)
    emotions = [_emotion(annotation, units[name]) for name in names]
    rarest, count = min(
        sorted(collections.Counter(emotions).items()),
        key=lambda item: item[1],
        default=(None, 0),
    )
    if count < n_folds:
        raise InputError(
            f"The class '{rarest}' has {count} utterances for {n_folds} "
            f"folds: set n_folds to at most {max(count, 2)} or leave the "
            "class out."
        )
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    splits = list(folds.split(np.zeros(len(names)), emotions))
    test = _expand(annotation, units, [names[i] for i in splits[fold - 1][1]])
    rest = _without(annotation, test)
    train, valid = stratified_share(rest, valid_share, seed)
    return _checked({"train": train, "valid": valid, "test": test})


def agreement(entry):
    """How far the annotators agree with an utterance's label.

    Each annotator has one vote, shared equally among the labels that he or
    she names.

    Arguments
    ---------
    entry : dict
        With `emotion` and `votes`, a list of each annotator's labels.

    Returns
    -------
    share : float
        The label's part of all votes, 0 to 1.
    entropy : float
        Of the distribution of votes, in nats.

    Raises
    ------
    InputError
        If there are no votes.

    Example
    -------
    >>> votes = [["neu"], ["neu", "ang"], ["neu"], ["neu"]]
    >>> share, entropy = agreement({"emotion": "neu", "votes": votes})
    >>> share, round(entropy, 4)
    (0.875, 0.3768)
    """
    ballots = [set(labels) for labels in entry.get("votes") or [] if labels]
    if not ballots:
        raise InputError(
            f"An utterance labelled '{entry['emotion']}' "
            f"({entry.get('wav', 'no wav')}) has no votes: give each "
            "annotator's labels as 'votes', or choose a protocol that needs "
            "none."
        )
    # fsum is exact, so that equal votes in another order give equal floats.
    shares = {
        label: math.fsum(
            1 / len(ballot) for ballot in ballots if label in ballot
        )
        / len(ballots)
        for label in sorted(set().union(*ballots))
    }
    entropy = -math.fsum(p * math.log(p) for p in shares.values())
    return shares.get(entry["emotion"], 0.0), max(entropy, 0.0)


def ambiguity_split(
    annotation,
    evaluation_size=400,
    precise_size=None,
    held_out_session=None,
    seed=0,
):
    """Splits by the annotators' agreement.

    The unanimous utterances are precise. Of the others those with the least
    agreement (least share for the label, then most entropy, then id) are the
    evaluation set, the remainder is ambiguous.

    Arguments
    ---------
    annotation : dict
        Id -> entry with `emotion` and `votes`.
    evaluation_size : int or float
        Utterances of the evaluation set; a number between 0 and 1 is a share
        of those that are not unanimous.
    precise_size : int, optional
        Keeps so many of the unanimous as precise, stratified by emotion; the
        others become ambiguous.
    held_out_session : str or int, optional
        Draws the evaluation set from this session alone and leaves its other
        utterances out, so that no evaluated speaker is trained on.
    seed : int
        Which utterances `precise_size` keeps.

    Returns
    -------
    dict
        "precise", "ambiguous" and "evaluation" -> annotation.

    Raises
    ------
    InputError
        If a size cannot be had, a part would be empty, or an entry has no
        votes.

    Example
    -------
    >>> annotation = {
    ...     "a": {"emotion": "sad", "votes": [["sad"], ["sad"]]},
    ...     "b": {"emotion": "sad", "votes": [["sad"], ["sad", "neu"]]},
    ...     "c": {"emotion": "sad", "votes": [["sad"], ["neu"]]},
    ... }
    >>> parts = ambiguity_split(annotation, evaluation_size=1)
    >>> {name: list(part) for name, part in parts.items()}
    {'precise': ['a'], 'ambiguous': ['b'], 'evaluation': ['c']}
    """
    units = _units(annotation)
    held_out = units
    if held_out_session is not None:
        held_out = _units_of_session(annotation, units, held_out_session)
    agreements = {
        name: agreement(annotation[ids[0]]) for name, ids in units.items()
    }
    candidates = sorted(
        (name for name in held_out if agreements[name][0] < 1),
        key=lambda name: (agreements[name][0], -agreements[name][1], name),
    )
    size = _evaluation_size(evaluation_size, len(candidates), held_out_session)
    evaluation = set(candidates[:size])
    if held_out_session is None:
        training = set(units) - evaluation
    else:
        training = set(units) - set(held_out)
    precise = {name for name in training if agreements[name][0] == 1}
    if precise_size is not None:
        precise = _keep_precise(annotation, units, precise, precise_size, seed)
    names = {
        "precise": precise,
        "ambiguous": training - precise,
        "evaluation": evaluation,
    }
    mends = {
        "precise": "choose a corpus with unanimous votes",
        "ambiguous": "make evaluation_size or precise_size smaller",
    }
    for part, mend in mends.items():
        if not names[part]:
            raise InputError(
                f"The {part} part would be empty ({len(training)} utterances "
                f"to train on, {size} to evaluate): {mend}."
            )
    parts = {
        part: _expand(annotation, units, chosen)
        for part, chosen in names.items()
    }
    if held_out_session is not None:
        check_speakers(
            training={**parts["precise"], **parts["ambiguous"]},
            evaluation=parts["evaluation"],
        )
    return _checked(parts)


def stratified_share(annotation, share, seed=0):
    """Holds a share of every class out.

    Arguments
    ---------
    annotation : dict
        Id -> entry with `emotion`.
    share : float
        Between 0 and 1. A class of two or more utterances gives at least one
        and keeps at least one; a class of one keeps it.
    seed : int
        Which utterances are held out.

    Returns
    -------
    rest : dict
        Annotation.
    held_out : dict
        Annotation.

    Raises
    ------
    InputError
        If `share` is out of range or nothing can be held out.

    Example
    -------
    >>> annotation = {str(i): {"emotion": "sad"} for i in range(10)}
    >>> rest, held_out = stratified_share(annotation, 0.2)
    >>> len(rest), len(held_out)
    (8, 2)
    """
    if (
        isinstance(share, bool)
        or not isinstance(share, (int, float))
        or not 0 < share < 1
    ):
        raise InputError(
            f"The share to hold out is {share!r}: set it between 0 and 1, "
            "e.g. valid_share 0.1."
        )
    units = _units(annotation)
    classes = _by_emotion(annotation, units)
    quotas = {
        label: min(max(1, round(share * len(names))), len(names) - 1)
        for label, names in classes.items()
    }
    chosen = _draw(classes, quotas, seed)
    if not chosen:
        raise InputError(
            f"No utterance can be held out of {len(annotation)}: every class "
            "needs two or more utterances, so add some."
        )
    held_out = _expand(annotation, units, chosen)
    return _without(annotation, held_out), held_out


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
        for speaker in _values(annotation, "speaker"):
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

    Raises
    ------
    InputError
        Names the utterance and both parts.

    Example
    -------
    >>> check_disjoint(train={"a": {}}, test={"b": {}})
    """
    owner = {}
    for name, annotation in parts.items():
        for unit in _units(annotation):
            if unit in owner:
                raise InputError(
                    f"Utterance '{unit}' stands in {owner[unit]} and in "
                    f"{name}: give every utterance to one part."
                )
            owner[unit] = name


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
    present = {entry["emotion"] for entry in annotation.values()}
    missing = [label for label in labels if label not in present]
    if missing:
        raise InputError(
            f"The part '{part_name}' has no utterance of {_join(missing)}: "
            "take another split, or leave the class out of the labels."
        )


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
    content = [
        [name, [[key, part[key].get("emotion")] for key in sorted(part)]]
        for name, part in sorted(parts.items())
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _units(annotation):
    """Utterance -> its ids, which are several if it was split in pieces."""
    units = {}
    for key in sorted(annotation):
        unit = annotation[key].get("utterance", key)
        units.setdefault(unit, []).append(key)
    return units


def _expand(annotation, units, names):
    """The entries of some utterances, sorted by id."""
    keys = sorted(key for name in names for key in units[name])
    return {key: annotation[key] for key in keys}


def _emotion(annotation, ids):
    """The label of an utterance."""
    return annotation[ids[0]]["emotion"]


def _by_emotion(annotation, units):
    """Label -> its utterances, both sorted."""
    classes = collections.defaultdict(list)
    for name in sorted(units):
        classes[_emotion(annotation, units[name])].append(name)
    return dict(sorted(classes.items()))


def _draw(classes, quotas, seed):
    """Draws so many utterances of each class as its quota says."""
    chosen = set()
    for label, names in classes.items():
        names = list(names)
        random.Random(f"{seed}/{label}").shuffle(names)
        chosen.update(names[: quotas[label]])
    return chosen


def _values(annotation, key):
    """The sorted values of a key that every entry must have."""
    values = set()
    for name, entry in annotation.items():
        if entry.get(key) is None:
            raise InputError(
                f"Entry '{name}' has no {key}, which this protocol needs: "
                f"add '{key}' to the annotation or choose another protocol."
            )
        values.add(entry[key])
    return sorted(values, key=lambda value: (isinstance(value, str), value))


def _where(annotation, key, value):
    """The entries whose `key` is `value`, sorted by id."""
    return {
        name: annotation[name]
        for name in sorted(annotation)
        if annotation[name][key] == value
    }


def _without(annotation, other):
    """The entries that are not in `other`, sorted by id."""
    return {
        name: annotation[name]
        for name in sorted(annotation)
        if name not in other
    }


def _checked(parts):
    """The parts, if no utterance is in two of them."""
    check_disjoint(**parts)
    return parts


def _is_whole(value):
    """Whether a setting is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def _check_fold(fold, n_folds, what):
    """Raises InputError if there is no such fold."""
    if not _is_whole(fold) or not 1 <= fold <= n_folds:
        raise InputError(
            f"fold is {fold!r}: set it to a whole number from 1 to {n_folds}, "
            f"one for each {what}."
        )


def _units_of_session(annotation, units, session):
    """The utterances of one session."""
    sessions = _values(annotation, "session")
    # A command line gives '5' where the annotation may have 5.
    if str(session) not in map(str, sessions):
        raise InputError(
            f"held_out_session is {session!r}: choose among {_join(sessions)}."
        )
    return [
        name
        for name, ids in units.items()
        if str(annotation[ids[0]]["session"]) == str(session)
    ]


def _evaluation_size(size, available, session):
    """The number of utterances that `evaluation_size` means."""
    where = "" if session is None else f" in session {session}"
    if isinstance(size, float) and 0 < size < 1:
        count = max(1, round(size * available))
    elif _is_whole(size) and size >= 1:
        count = size
    else:
        raise InputError(
            f"evaluation_size is {size!r}: set it to a whole number of "
            "utterances or to a share between 0 and 1."
        )
    if available == 0:
        raise InputError(
            f"No utterance{where} has annotators who disagree, so "
            "evaluation_size cannot be met: choose a corpus or session with "
            "ambiguous votes."
        )
    if count > available:
        raise InputError(
            f"evaluation_size is {size} but only {available} utterances"
            f"{where} are not unanimous: make evaluation_size smaller, or "
            "give a share such as 0.1."
        )
    return count


def _keep_precise(annotation, units, precise, size, seed):
    """A stratified subset of the unanimous utterances of exactly `size`."""
    if not _is_whole(size) or size < 1:
        raise InputError(
            f"precise_size is {size!r}: set it to a whole number of "
            "utterances, or leave it out for all unanimous ones."
        )
    if size > len(precise):
        raise InputError(
            f"precise_size is {size} but only {len(precise)} utterances are "
            "unanimous: make precise_size smaller or leave it out."
        )
    classes = _by_emotion(annotation, {name: units[name] for name in precise})
    exact = {
        label: size * len(names) / len(precise)
        for label, names in classes.items()
    }
    quotas = {label: math.floor(quota) for label, quota in exact.items()}
    by_remainder = sorted(exact, key=lambda label: quotas[label] - exact[label])
    for label in by_remainder[: size - sum(quotas.values())]:
        quotas[label] += 1
    return _draw(classes, quotas, seed)


def _join(values):
    """'a, b, c'."""
    return ", ".join(str(value) for value in values)
