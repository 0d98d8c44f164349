"""Protocols with a name and a version: what a number was measured on.

A protocol never changes under its name: another split is another version.
"""

import dataclasses
from collections.abc import Callable

from speechbrain_ser.corpora import cmu_mosei
from speechbrain_ser.corpora.protocols import cross_lingual
from speechbrain_ser.corpora.protocols import splits as protocols
from speechbrain_ser.utils.errors import InputError

FOUR_CLASSES = {
    "labels": ["ang", "hap", "sad", "neu"],
    "merge_excited": True,
    "improvised_only": False,
}
# Above which an utterance is of the upper class.
BY_VALUE = {"iemocap_threshold": 2.5, "recola_threshold": 0.0}


@dataclasses.dataclass(frozen=True)
class Protocol:
    """Which utterances take part, and who is trained and evaluated on which.

    Attributes
    ----------
    text : str
        In words, those of the README's table.
    reading : dict
        The settings that choose utterances and labels.
    splitting : dict
        The settings of `function`.
    function : callable
        Annotation (or two, ``source`` and ``target``) and the settings, with
        ``fold`` where there are folds, to part -> annotation.
    folds : int
        1 if there are none.
    """

    text: str
    reading: dict
    splitting: dict
    function: Callable
    folds: int = 1


def ambiguity(annotation, valid_share, **sizes):
    """Splits by the annotators' agreement, with a share of D1 to validate.

    Arguments
    ---------
    annotation : dict
        Id -> entry with `emotion` and `votes`.
    valid_share : float or None
        Of the precise utterances, stratified; none without.
    **sizes : dict
        Of `protocols.ambiguity_split`.

    Returns
    -------
    dict
        "precise" (D1), "validation", "ambiguous" (D2) and "evaluation" (D3)
        -> annotation.
    """
    parts = protocols.ambiguity_split(annotation, **sizes)
    precise, validation = parts["precise"], {}
    if valid_share:
        precise, validation = protocols.stratified_share(precise, valid_share)
    return {
        "precise": precise,
        "validation": validation,
        "ambiguous": parts["ambiguous"],
        "evaluation": parts["evaluation"],
    }


def all_evaluated(annotation):
    """Keeps the segments of four classes; nobody is trained on them."""
    return {"evaluation": cmu_mosei.four_classes(annotation)}


PROTOCOLS = {
    "iemocap-ambiguity@1": Protocol(
        "D1: all annotators agree; D3, the evaluation: the 400 others with the "
        "least agreement; D2: the remainder; a tenth of D1 validates; speakers "
        "are shared",
        FOUR_CLASSES | {"self_evaluations": False},
        {
            "evaluation_size": 400,
            "precise_size": None,
            "held_out_session": None,
            "valid_share": 0.1,
        },
        ambiguity,
    ),
    "iemocap-5fold-loso@1": Protocol(
        "one session tests; of the other four a stratified tenth validates, "
        "the rest trains",
        FOUR_CLASSES,
        {"valid": "share", "valid_share": 0.1},
        protocols.leave_one_session_out,
        folds=5,
    ),
    "iemocap-10fold-loso@1": Protocol(
        "one speaker tests, the other one of the session validates, the other "
        "four sessions train",
        FOUR_CLASSES,
        {},
        protocols.leave_one_speaker_out,
        folds=10,
    ),
    "mer2023-5fold@1": Protocol(
        "the labelled train clips in five random parts, stratified by emotion: "
        "one tests; of the other four a stratified tenth validates, the rest "
        "trains; speakers are not known and may be shared",
        {
            "labels": [
                "neutral",
                "angry",
                "happy",
                "sad",
                "worried",
                "surprise",
            ],
        },
        {"valid_share": 0.1},
        protocols.random_k_fold,
        folds=5,
    ),
    "cross-lingual@1": Protocol(
        "all of the source language trains; of the target language a "
        "stratified 30 % chooses the epoch and 70 % tests, with the same "
        "speakers in both; all of its speech, without labels, takes part in "
        "the training of DANN",
        BY_VALUE,
        {
            "development": "target",
            "dev_share": 0.3,
            "source_dev_share": 0.1,
            "split_by": "utterance",
        },
        cross_lingual.cross_lingual,
    ),
    "mono-lingual@1": Protocol(
        "the target language alone: a stratified 70 % trains, 5 % chooses the "
        "epoch, 25 % tests; speakers are shared",
        BY_VALUE,
        {
            "mono_test_share": 0.25,
            "mono_dev_share": 0.05,
            "split_by": "utterance",
        },
        cross_lingual.mono_lingual,
    ),
    "cmu-mosei-four-classes@1": Protocol(
        "all segments with a rating of happiness, sadness or anger above zero, "
        "and those whose six ratings are zero (neutral); a prediction is right "
        "if that emotion's rating is above zero; nothing is trained on them",
        {},
        {},
        all_evaluated,
    ),
}


def split(name, annotation, fold=None, **changes):
    """Splits an annotation as a named protocol says.

    Arguments
    ---------
    name : str
        Of `PROTOCOLS`.
    annotation : dict
        Read with the protocol's `reading` settings.
    fold : int, optional
        From 1, where the protocol has folds.
    **changes : dict
        Settings that are not the protocol's; `full_name` says them.

    Returns
    -------
    dict
        Part -> annotation.

    Raises
    ------
    InputError
        If there is no such protocol, or the corpus can't be split so.

    Example
    -------
    >>> annotation = {
    ...     f"Ses0{session}{sex}_{i}": {
    ...         "session": session,
    ...         "speaker": f"Ses0{session}{sex}",
    ...         "emotion": "sad",
    ...     }
    ...     for session in range(1, 6)
    ...     for sex in "FM"
    ...     for i in range(10)
    ... }
    >>> parts = split("iemocap-10fold-loso@1", annotation, fold=1)
    >>> {name: len(part) for name, part in parts.items()}
    {'train': 80, 'valid': 10, 'test': 10}
    """
    if name not in PROTOCOLS:
        raise InputError(
            f"there is no protocol {name!r}: give one of {', '.join(PROTOCOLS)}"
        )
    protocol = PROTOCOLS[name]
    settings = protocol.splitting | changes
    if protocol.folds > 1:
        settings["fold"] = fold
    return protocol.function(annotation, **settings)


def full_name(name, settings):
    """Returns a protocol's name, and what the settings change of it.

    Arguments
    ---------
    name : str
        Of `PROTOCOLS`.
    settings : dict
        Of a recipe; those that are no concern of the protocol are passed over.

    Example
    -------
    >>> full_name("iemocap-ambiguity@1", {"seed": 1, "evaluation_size": 400})
    'iemocap-ambiguity@1'
    >>> full_name("iemocap-ambiguity@1", {"evaluation_size": 0.4})
    'iemocap-ambiguity@1 with evaluation_size 0.4'
    """
    protocol = PROTOCOLS[name]
    changed = [
        f"{key} {settings[key]}"
        for key, value in (protocol.reading | protocol.splitting).items()
        if key in settings and settings[key] != value
    ]
    return f"{name} with {', '.join(changed)}" if changed else name
