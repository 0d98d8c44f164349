"""Two open corpora of different languages: what of them trains and what tests.

No label of the target chooses anything, and no speaker stands on two sides.
"""

from speechbrain_ser.corpora.protocols.checks import check_disjoint
from speechbrain_ser.corpora.protocols.cross_lingual import (
    Share,
    SplitBy,
    hold_out,
    mono_lingual,
    with_labels,
)
from speechbrain_ser.corpora.protocols.protocol import Protocol
from speechbrain_ser.corpora.protocols.speaker_folds import Enrolment, enrol
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import OneOf, checked

# Classes of each dimension, see `corpora.two_corpora`; ratings come first.
BY_WORD = {
    "high_arousal": ["anger", "happiness"],
    "low_arousal": ["neutral", "sadness"],
    "high_valence": ["happiness", "neutral"],
    "low_valence": ["anger", "sadness"],
    "source_threshold": None,
    "target_threshold": None,
}


@checked
def cross_lingual(
    languages,
    valid_language: OneOf("source", "target") = "source",
    valid_share: Share = 0.3,
    source_valid_share: Share = 0.2,
    split_by: SplitBy = "speaker",
    enrolment: Enrolment = 0,
):
    """Splits two languages: the source trains, the target tests.

    Arguments
    ---------
    languages : dict
        ``source`` and ``target`` -> annotation; utterances of the target
        without a label are not tested.
    valid_language : str
        ``source``: `source_valid_share` of the source chooses the epoch, and
        all of the target tests; ``target``: `valid_share` of the target does,
        and the rest of it tests.
    valid_share, source_valid_share : float
    split_by : str
        See `cross_lingual.hold_out`.
    enrolment : int
        See `speaker_folds.enrol`.

    Returns
    -------
    dict
        ``train``, ``valid`` and ``test`` -> annotation.

    Raises
    ------
    InputError
        If a part can't be drawn.
    """
    train, test = languages["source"], with_labels(languages["target"])
    if valid_language == "source":
        train, valid = hold_out(train, source_valid_share, split_by)
    elif test:
        test, valid = hold_out(test, valid_share, split_by)
    else:
        raise InputError(
            "no utterance of the target language has a label, so it can't "
            "choose the epoch: give --valid_language source"
        )
    return _sorted({"train": train, "valid": valid, "test": test}, enrolment)


@checked
def speakers_apart(
    languages,
    valid_language: OneOf("source") = "source",
    source_valid_share: Share = 0.2,
    target_test_share: Share = 0.5,
    split_by: OneOf("speaker") = "speaker",
    enrolment: Enrolment = 0,
):
    """Splits two languages: who tests is not adapted to.

    Arguments
    ---------
    languages : dict
        ``source`` and ``target`` -> annotation; utterances of the target
        without a label are not tested.
    valid_language, split_by : str
        There is one way here; they are settings of `cross_lingual`.
    source_valid_share, target_test_share : float
        Of the source the speakers who choose the epoch, of the target those who
        test; both are whole speakers.
    enrolment : int
        See `speaker_folds.enrol`.

    Returns
    -------
    dict
        ``train``, ``valid``, ``test``, and ``target``, the other speakers of the
        target -> annotation.

    Raises
    ------
    InputError
        If a part can't be drawn.
    """
    train, valid = hold_out(languages["source"], source_valid_share, split_by)
    known = with_labels(languages["target"])
    target, test = languages["target"], {}
    if known:
        _, test = hold_out(known, target_test_share, split_by)
        tested = {entry["speaker"] for entry in test.values()}
        target = {
            key: entry
            for key, entry in target.items()
            if entry.get("speaker") not in tested
        }
    parts = _sorted({"train": train, "valid": valid, "test": test}, enrolment)
    return parts | {"target": dict(sorted(target.items()))}


@checked
def target_alone(
    languages,
    mono_test_share: Share = 0.25,
    mono_valid_share: Share = 0.05,
    split_by: SplitBy = "speaker",
    enrolment: Enrolment = 0,
):
    """Splits the target language alone; see `cross_lingual.mono_lingual`."""
    parts = mono_lingual(languages, mono_test_share, mono_valid_share, split_by)
    return _sorted(parts, enrolment)


def _sorted(parts, enrolment):
    """The parts, in an order that is not the annotation's."""
    parts = {name: dict(sorted(part.items())) for name, part in parts.items()}
    return enrol(check_disjoint(**parts), enrolment)


CROSS_LINGUAL = Protocol(
    name="open-cross-lingual@1",
    text="of the source language speakers with a fifth of the utterances choose "
    "the epoch, the others train; all of the target language tests; "
    "transductive: all of its speech, without labels, takes part in the "
    "training of DANN",
    reading=BY_WORD,
    splitting={
        "valid_language": "source",
        "valid_share": 0.3,
        "source_valid_share": 0.2,
        "split_by": "speaker",
        "enrolment": 0,
    },
    function=cross_lingual,
    transductive=True,
)
SPEAKERS_APART = Protocol(
    name="cross-lingual-speakers@1",
    text="of the source language speakers with a fifth of the utterances choose "
    "the epoch, the others train; of the target language speakers with half of "
    "the utterances test; the speech of its others, without labels, takes part "
    "in the training of DANN",
    reading=BY_WORD,
    splitting={
        "valid_language": "source",
        "source_valid_share": 0.2,
        "target_test_share": 0.5,
        "split_by": "speaker",
        "enrolment": 0,
    },
    function=speakers_apart,
)
MONO_LINGUAL = Protocol(
    name="open-mono-lingual@1",
    text="the target language alone: speakers with at least a quarter of the "
    "utterances test, others with at least a twentieth choose the epoch, the "
    "rest train",
    reading=BY_WORD,
    splitting={
        "mono_test_share": 0.25,
        "mono_valid_share": 0.05,
        "split_by": "speaker",
        "enrolment": 0,
    },
    function=target_alone,
)
