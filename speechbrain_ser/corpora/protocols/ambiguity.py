"""The split by the annotators' agreement.

Reference: "Iterative Prototype Refinement for Ambiguous Speech Emotion
Recognition", Sun et al. 2024, section 3.1: D1 is labelled unanimously, D3 is
the most ambiguous, D2 is what lies between.
"""

import math

from speechbrain_ser.corpora.protocols.checks import (
    check_disjoint,
    check_speakers,
)
from speechbrain_ser.corpora.protocols.splits import stratified_share
from speechbrain_ser.corpora.protocols.utterances import (
    by_emotion,
    draw,
    expand,
    join,
    units,
    values,
)
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import Number, Setting, Whole, checked


class Size(Setting):
    """A number of utterances, or a share of those that there are.

    Example
    -------
    >>> Size().mend(400), Size().mend(0.4)
    (None, None)
    >>> Size().mend(1.5)
    'give a whole number of utterances from 1, or a share between 0 and 1'
    """

    def mend(self, value):
        """Returns both, if it is neither."""
        if Whole(1).mend(value) is None:
            return None
        if type(value) is float and 0 < value < 1:
            return None
        return (
            "give a whole number of utterances from 1, or a share between 0 "
            "and 1"
        )


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


@checked
def ambiguity_split(
    annotation,
    test_size: Size() = 400,
    precise_size: Whole(1, optional=True) = None,
    held_out_session: Setting() = None,
    valid_share: Number(0, below=1, optional=True) = None,
    seed=0,
):
    """Splits by the annotators' agreement.

    Arguments
    ---------
    annotation : dict
        Id -> entry with `emotion` and `votes`.
    test_size : int or float
        Utterances of D3, the test; a number between 0 and 1 is a share of
        those that are not unanimous.
    precise_size : int, optional
        Keeps so many of the unanimous in D1, stratified by emotion; the others
        come to D2.
    held_out_session : str or int, optional
        Draws D3 from this session alone and leaves its other utterances out,
        so that no tested speaker is trained on.
    valid_share : float, optional
        Of D1, stratified; 0 or None: no validation.
    seed : int
        Which utterances `precise_size` keeps and which validate.

    Returns
    -------
    dict
        "train" and "valid" (D1, unanimous), "unlabelled" (D2) and "test" (D3,
        least agreed upon: least share for the label, then most entropy, then
        id) -> annotation.

    Raises
    ------
    InputError
        If a size can't be had, a part would be empty, or votes are missing.

    Example
    -------
    >>> votes = {"a": ["sad", "sad"], "b": ["sad", "neu"], "c": ["neu", "neu"]}
    >>> annotation = {
    ...     key: {"emotion": "sad", "votes": [[word] for word in words]}
    ...     for key, words in votes.items()
    ... }
    >>> parts = ambiguity_split(annotation, test_size=1)
    >>> {name: list(part) for name, part in parts.items()}
    {'train': ['a'], 'valid': [], 'unlabelled': ['b'], 'test': ['c']}
    """
    d1, d2, d3 = _by_agreement(
        annotation, test_size, precise_size, held_out_session, seed
    )
    if held_out_session is not None:
        check_speakers(train=d1 | d2, test=d3)
    train, valid = d1, {}
    if valid_share:
        train, valid = stratified_share(d1, valid_share, seed)
    return check_disjoint(train=train, valid=valid, unlabelled=d2, test=d3)


def _by_agreement(annotation, test_size, precise_size, session, seed):
    """The annotations D1, D2 and D3; for the arguments see the caller."""
    ids = units(annotation)
    held_out = set(ids)
    if session is not None:
        held_out = _utterances_of(annotation, ids, session)
    agreements = {
        name: agreement(annotation[keys[0]]) for name, keys in ids.items()
    }
    candidates = sorted(
        (name for name in held_out if agreements[name][0] < 1),
        key=lambda name: (agreements[name][0], -agreements[name][1], name),
    )
    size = _count(test_size, len(candidates), session)
    test = set(candidates[:size])
    training = set(ids) - (test if session is None else held_out)
    precise = {name for name in training if agreements[name][0] == 1}
    if precise_size is not None:
        precise = _keep_precise(annotation, ids, precise, precise_size, seed)
    ambiguous = training - precise
    for part, names, mend in (
        ("train", precise, "choose a corpus with unanimous votes"),
        (
            "unlabelled",
            ambiguous,
            "make --test_size or --precise_size smaller",
        ),
    ):
        if not names:
            raise InputError(
                f"The {part} part would be empty ({len(training)} utterances "
                f"to train on, {size} to test): {mend}."
            )
    return [
        expand(annotation, ids, part) for part in (precise, ambiguous, test)
    ]


def _utterances_of(annotation, ids, session):
    """The utterances of one session."""
    sessions = values(annotation, "session")
    # A command line gives '5' where the annotation may have 5.
    if str(session) not in map(str, sessions):
        raise InputError(
            f"--held_out_session is {session!r}: give one of {join(sessions)}"
        )
    return {
        name
        for name, keys in ids.items()
        if str(annotation[keys[0]]["session"]) == str(session)
    }


def _count(size, available, session):
    """The number of utterances that `test_size` means."""
    inside = "" if session is None else f" in session {session}"
    count = size
    if isinstance(size, float):
        count = max(1, round(size * available))
    if available == 0:
        raise InputError(
            f"No utterance{inside} has annotators who disagree, so "
            "--test_size cannot be met: choose a corpus or session with "
            "ambiguous votes."
        )
    if count > available:
        raise InputError(
            f"--test_size is {size} but only {available} utterances"
            f"{inside} are not unanimous: make --test_size smaller, or "
            "give a share such as 0.1."
        )
    return count


def _keep_precise(annotation, ids, precise, size, seed):
    """A stratified subset of the unanimous utterances of exactly `size`."""
    if size > len(precise):
        raise InputError(
            f"--precise_size is {size} but only {len(precise)} utterances are "
            "unanimous: make --precise_size smaller or leave it out."
        )
    classes = by_emotion(annotation, {name: ids[name] for name in precise})
    exact = {
        label: size * len(names) / len(precise)
        for label, names in classes.items()
    }
    quotas = {label: math.floor(quota) for label, quota in exact.items()}
    by_remainder = sorted(exact, key=lambda label: quotas[label] - exact[label])
    for label in by_remainder[: size - sum(quotas.values())]:
        quotas[label] += 1
    return draw(classes, quotas, seed)
