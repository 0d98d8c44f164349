"""Two languages with the same classes: what of them trains and what tests.

Reference: "Unsupervised Cross-Lingual Speech Emotion Recognition Using Domain
Adversarial Neural Network", Cai et al. 2021, sections 3.3 and 4.
"""

import random

from speechbrain_ser.corpora.protocols.protocol import Protocol
from speechbrain_ser.corpora.protocols.splits import (
    check_share,
    stratified_share,
)
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import Number, OneOf, checked

Share = Number(above=0, below=1)
SplitBy = OneOf("utterance", "speaker")
# The classes' thresholds: above it an utterance is of the upper class.
BY_VALUE = {"iemocap_threshold": 2.5, "recola_threshold": 0.0}


@checked
def hold_out(annotation, share, split_by: SplitBy):
    """Holds a share of the utterances out.

    Arguments
    ---------
    annotation : dict
        Id -> entry with `emotion`.
    share : float
        Between 0 and 1.
    split_by : str
        ``utterance``: drawn at random within each class, speakers stand on both
        sides; ``speaker``: whole speakers, drawn at random until the share is
        reached.

    Returns
    -------
    rest : dict
    held_out : dict

    Raises
    ------
    InputError
        If the share is out of range, or too few speakers are there.

    Example
    -------
    >>> annotation = {
    ...     f"{speaker}{i}": {"emotion": "low", "speaker": speaker}
    ...     for speaker in "abcd"
    ...     for i in range(5)
    ... }
    >>> rest, held_out = hold_out(annotation, 0.25, "speaker")
    >>> len({entry["speaker"] for entry in held_out.values()})
    1
    """
    if split_by == "utterance":
        return stratified_share(annotation, share)
    check_share(share)
    by_speaker = _by_speaker(annotation)
    names = sorted(by_speaker)
    random.Random("speakers").shuffle(names)
    chosen = []
    while names[1:] and len(chosen) < share * len(annotation) - 1e-9:
        chosen += by_speaker[names.pop(0)]
    held_out = {key: annotation[key] for key in sorted(chosen)}
    rest = {k: e for k, e in annotation.items() if k not in held_out}
    return rest, held_out


def _by_speaker(annotation):
    """Each speaker's ids, of at least two speakers."""
    by_speaker = {}
    for key, entry in annotation.items():
        if entry.get("speaker") is None:
            raise InputError(
                f"the utterance {key} has no speaker, which --split_by speaker "
                "needs: add it, or give --split_by utterance"
            )
        by_speaker.setdefault(entry["speaker"], []).append(key)
    if len(by_speaker) < 2:
        raise InputError(
            f"--split_by speaker needs two speakers, {len(by_speaker)} is "
            "there: give --split_by utterance"
        )
    return by_speaker


@checked
def cross_lingual(
    languages,
    valid_language: OneOf("target", "source"),
    valid_share: Share,
    source_valid_share: Share,
    split_by: SplitBy,
):
    """Splits two languages: the source trains, the target tests.

    Arguments
    ---------
    languages : dict
        ``source`` and ``target`` -> annotation; utterances of the target
        without a label take no part in the split.
    valid_language : str
        ``target``: `valid_share` of the target chooses the epoch, as in the
        paper; ``source``: `source_valid_share` of the source does, and no label
        of the target is used for anything but the test. The tested utterances
        are the same in both.
    valid_share, source_valid_share : float
    split_by : str
        See `hold_out`.

    Returns
    -------
    dict
        ``train``, ``valid`` and ``test`` -> annotation.

    Raises
    ------
    InputError
        If a setting is another word or a part can't be drawn.
    """
    train = languages["source"]
    test, valid = with_labels(languages["target"]), {}
    if test:
        test, valid = hold_out(test, valid_share, split_by)
    if valid_language == "source":
        train, valid = hold_out(train, source_valid_share, split_by)
    elif not valid:
        raise InputError(
            "no utterance of the target language has a label, so it can't "
            "choose the epoch: give --valid_language source"
        )
    return {"train": train, "valid": valid, "test": test}


@checked
def mono_lingual(
    languages,
    mono_test_share: Share,
    mono_valid_share: Share,
    split_by: SplitBy,
):
    """Splits the target language alone: it trains, chooses and tests.

    Arguments
    ---------
    languages : dict
        ``target`` -> annotation; utterances without a label are left out.
    mono_test_share, mono_valid_share : float
        Of all utterances; the rest trains.
    split_by : str
        See `hold_out`.

    Returns
    -------
    dict
        ``train``, ``valid`` and ``test`` -> annotation.

    Raises
    ------
    InputError
        If a part can't be drawn.
    """
    everything = with_labels(languages["target"])
    if not everything:
        raise InputError(
            "no utterance of the target language has a label, and --system "
            "mono trains on them: give dann or base"
        )
    rest, test = hold_out(everything, mono_test_share, split_by)
    share = mono_valid_share * len(everything) / len(rest)
    train, valid = hold_out(rest, share, split_by)
    return {"train": train, "valid": valid, "test": test}


def with_labels(annotation):
    """Returns the utterances that have a label."""
    return {
        key: entry
        for key, entry in annotation.items()
        if entry.get("emotion") is not None
    }


CROSS_LINGUAL = Protocol(
    name="cross-lingual@1",
    text="all of the source language trains; of the target language a "
    "stratified 30 % chooses the epoch and 70 % tests, with the same "
    "speakers in both; transductive: all of its speech, without labels, takes "
    "part in the training of DANN",
    reading=BY_VALUE,
    splitting={
        "valid_language": "target",
        "valid_share": 0.3,
        "source_valid_share": 0.1,
        "split_by": "utterance",
    },
    function=cross_lingual,
    transductive=True,
)
MONO_LINGUAL = Protocol(
    name="mono-lingual@1",
    text="the target language alone: a stratified 70 % trains, 5 % chooses the "
    "epoch, 25 % tests; speakers are shared",
    reading=BY_VALUE,
    splitting={
        "mono_test_share": 0.25,
        "mono_valid_share": 0.05,
        "split_by": "utterance",
    },
    function=mono_lingual,
)
