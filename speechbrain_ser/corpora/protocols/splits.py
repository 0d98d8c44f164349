"""Splits by session, by speaker and at random, free of what they forbid.

Every split depends on ids, labels and the seed, never on the order of the
annotation. Pieces of one utterance (key `utterance`) are never parted.
"""

import collections

import numpy as np

from speechbrain_ser.corpora.protocols.checks import (
    check_disjoint,
    check_fold,
    check_speakers,
    missing_in,
    numbered,
)
from speechbrain_ser.corpora.protocols.utterances import (
    by_emotion,
    draw,
    emotion,
    expand,
    join,
    units,
    values,
    where,
    without,
)
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import Number, OneOf, Whole, check, checked


@checked
def leave_one_session_out(
    annotation,
    fold,
    valid: OneOf("share", "session") = "share",
    valid_share: Number(above=0, below=1) = 0.1,
    seed=0,
):
    """One session tests, the others train.

    Arguments
    ---------
    annotation : dict
        Id -> entry with `session`, `speaker` and `emotion`.
    fold : int
        1 tests session 1, where sessions are whole numbers, else the first
        one, and so on.
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
        If there are too few sessions, no such fold, its session is missing, or
        a speaker of the test session speaks in another one.

    Example
    -------
    >>> annotation = {
    ...     f"{name}{i}": {"session": name, "speaker": name, "emotion": "sad"}
    ...     for name in "ABC"
    ...     for i in range(10)
    ... }
    >>> parts = leave_one_session_out(annotation, fold=1)
    >>> {name: len(part) for name, part in parts.items()}
    {'train': 18, 'valid': 2, 'test': 10}
    """
    sessions = _sessions(annotation, needed=3 if valid == "session" else 2)
    place = sessions.index(_session_of(sessions, fold))
    test = where(annotation, "session", sessions[place])
    rest = without(annotation, test)
    if valid == "session":
        following = sessions[(place + 1) % len(sessions)]
        held_out = where(rest, "session", following)
        train = without(rest, held_out)
        check_speakers(train=train, valid=held_out, test=test)
    else:
        check_speakers(train=rest, test=test)
        train, held_out = stratified_share(rest, valid_share, seed)
    return check_disjoint(train=train, valid=held_out, test=test)


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
        If there is no such fold, or it would test another speaker than in the
        whole corpus, the session has no other speaker, nobody is left to train
        on, or the speaker speaks in several sessions.

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
    speaker = _speaker_of(annotation, fold)
    other = _partner(annotation, speaker)
    test = where(annotation, "speaker", speaker)
    valid = where(annotation, "speaker", other)
    train = without(without(annotation, test), valid)
    if not train:
        raise InputError(
            f"Without '{speaker}' and '{other}' nobody is left to train on: "
            "add speakers or choose another protocol."
        )
    return check_disjoint(train=train, valid=valid, test=test)


def leave_two_speakers_out(annotation, fold):
    """Both speakers of one session test, the other sessions train.

    Nobody validates. Where a session has more than two speakers, all of them
    test.

    Arguments
    ---------
    annotation : dict
        Id -> entry with `session` and `speaker`.
    fold : int
        1 tests the first session, and so on; sessions that are numbers are
        tested by the fold of their number.

    Returns
    -------
    dict
        "train" and "test" -> annotation.

    Raises
    ------
    InputError
        If there is no such fold or session, the session has one speaker alone, nobody is
        left to train on, or a speaker of the session speaks in another one.

    Example
    -------
    >>> annotation = {
    ...     speaker: {"session": speaker[0], "speaker": speaker}
    ...     for speaker in ["1F", "1M", "2F", "2M"]
    ... }
    >>> parts = leave_two_speakers_out(annotation, fold=2)
    >>> {name: list(part) for name, part in parts.items()}
    {'train': ['1F', '1M'], 'test': ['2F', '2M']}
    """
    sessions = values(annotation, "session")
    session = _session_of(sessions, fold)
    test = where(annotation, "session", session)
    speakers = values(test, "speaker")
    if len(speakers) < 2:
        raise InputError(
            f"Session {session} has no speaker but '{speakers[0]}', and two "
            "are needed: choose another fold or protocol."
        )
    train = without(annotation, test)
    if not train:
        raise InputError(
            f"Without {join(speakers)} nobody is left to train on: add "
            "speakers or choose another protocol."
        )
    check_speakers(train=train, test=test)
    return check_disjoint(train=train, test=test)


@checked
def random_k_fold(
    annotation,
    fold,
    n_folds: Whole(2) = 5,
    valid_share: Number(above=0, below=1) = 0.1,
    seed=0,
):
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
    check_fold(fold, n_folds, "part")
    ids = units(annotation)
    names = sorted(ids)
    emotions = [emotion(annotation, ids[name]) for name in names]
    from sklearn.model_selection import StratifiedKFold

    _check_rarest(emotions, n_folds)
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    splits = list(folds.split(np.zeros(len(names)), emotions))
    test = expand(annotation, ids, [names[i] for i in splits[fold - 1][1]])
    rest = without(annotation, test)
    train, valid = stratified_share(rest, valid_share, seed)
    return check_disjoint(train=train, valid=valid, test=test)


def stratified_share(annotation, share: Number(above=0, below=1), seed=0):
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
    check_share(share)
    ids = units(annotation)
    classes = by_emotion(annotation, ids)
    quotas = {
        label: min(max(1, round(share * len(names))), len(names) - 1)
        for label, names in classes.items()
    }
    chosen = draw(classes, quotas, seed)
    if not chosen:
        raise InputError(
            f"No utterance can be held out of {len(annotation)}: every class "
            "needs two or more utterances, so add some."
        )
    held_out = expand(annotation, ids, chosen)
    return without(annotation, held_out), held_out


def check_share(share):
    """Raises InputError if a share to hold out, of any setting, is unfit."""
    names = {"share": "the share to hold out"}
    check(stratified_share, {"share": share}, names)


def _sessions(annotation, needed):
    """The sessions, if there are as many as needed."""
    sessions = values(annotation, "session")
    if len(sessions) < needed:
        valid = "session" if needed == 3 else "share"
        raise InputError(
            f"Leaving one session out with --valid {valid} needs {needed} "
            f"sessions but there are {len(sessions)}: add sessions or choose "
            "another protocol."
        )
    return sessions


def _session_of(sessions, fold):
    """The session that a fold tests."""
    numbers = numbered(sessions)
    last = max(numbers.values())
    check_fold(fold, last, "session")
    for session, number in numbers.items():
        if number == fold:
            return session
    raise InputError(
        f"--fold {fold} tests session {fold}, which is missing (there are "
        f"{join(sessions)}): give the whole corpus, or another fold."
    )


def _speaker_of(annotation, fold):
    """The speaker that a fold tests."""
    speakers = values(annotation, "speaker")
    sessions = numbered(values(annotation, "session"))
    check_fold(fold, len(speakers), "speaker")
    speaker = speakers[fold - 1]
    of = {
        number: values(where(annotation, "session", session), "speaker")
        for session, number in sessions.items()
    }
    own = next(number for number, held in of.items() if speaker in held)
    missing = missing_in(of, own)
    if missing:
        raise InputError(
            f"--fold {fold} would test '{speaker}', since session {missing} is "
            "missing: give the whole corpus, or a fold before it."
        )
    pairs = max(map(len, of.values())) == 2
    for number, held in of.items():
        if pairs and number < own and len(held) == 1:
            raise InputError(
                f"--fold {fold} would test '{speaker}', since session {number} "
                f"has '{held[0]}' alone and the others have two speakers: give "
                "the whole corpus, or a fold before it."
            )
    return speaker


def _partner(annotation, speaker):
    """The next speaker of a speaker's one session."""
    sessions = values(where(annotation, "speaker", speaker), "session")
    if len(sessions) > 1:
        raise InputError(
            f"Speaker '{speaker}' speaks in the sessions "
            f"{join(sessions)}: give each speaker one session to leave "
            "one speaker out."
        )
    present = values(where(annotation, "session", sessions[0]), "speaker")
    if len(present) < 2:
        raise InputError(
            f"Session {sessions[0]} has no speaker but '{speaker}', so nobody "
            "can validate: choose another fold or protocol."
        )
    return present[(present.index(speaker) + 1) % len(present)]


def _check_rarest(emotions, n_folds):
    """Refuses folds that can't all have an utterance of each class."""
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
