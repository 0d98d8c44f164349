"""The protocols of nEMO."""

import random

from speechbrain_ser.corpora.protocols.checks import check_disjoint
from speechbrain_ser.corpora.protocols.protocol import Protocol
from speechbrain_ser.corpora.protocols.speaker_folds import (
    Enrolment,
    divide,
    enrol,
    fold_of,
    speaker_folds,
)
from speechbrain_ser.corpora.protocols.utterances import (
    expand,
    units,
    values,
    where,
    without,
)
from speechbrain_ser.utils.settings import Number, checked

FOUR_CLASSES = {"labels": ["anger", "happiness", "neutral", "sadness"]}
SPEAKERS = ["EB0", "IC0", "KD0", "KS0", "MK0", "MP0", "SM0", "TP0", "WR0"]
FOLDS = [[speaker] for speaker in SPEAKERS]


@checked
def leave_one_out(annotation, fold, enrolment: Enrolment = 0):
    """One of the nine speakers tests, the next one validates."""
    return speaker_folds(annotation, fold, FOLDS, enrolment)


@checked
def random_half(
    annotation,
    fold,
    unlabelled_share: Number(above=0, below=1) = 0.5,
    enrolment: Enrolment = 0,
):
    """Folds of speakers; some of what trains is unlabelled, drawn at random.

    Nothing tells the unlabelled utterances from the others: they are not
    ambiguous.

    Arguments
    ---------
    annotation : dict
        Id -> entry with `speaker`.
    fold : int
        1 tests the first speaker, and so on.
    unlabelled_share : float
        Of the utterances of each speaker who trains, drawn without a look at
        labels: the same ones in every fold.
    enrolment : int
        See `speaker_folds.enrol`.

    Returns
    -------
    dict
        "train", "valid", "unlabelled" and "test" -> annotation; all of the
        validating and the tested speaker take part.

    Raises
    ------
    InputError
        See `speaker_folds.speaker_folds`.
    """
    parts = divide(annotation, *fold_of(annotation, fold, FOLDS), SPEAKERS)
    drawn = {}
    for speaker in values(parts["train"], "speaker"):
        own = where(parts["train"], "speaker", speaker)
        ids = units(own)
        names = sorted(ids)
        random.Random(f"random/{speaker}").shuffle(names)
        count = round(unlabelled_share * len(names))
        drawn |= expand(own, ids, names[:count])
    made = {
        "train": without(parts["train"], drawn),
        "valid": parts["valid"],
        "unlabelled": {key: drawn[key] for key in sorted(drawn)},
        "test": parts["test"],
    }
    return enrol(check_disjoint(**made), enrolment)


LEAVE_ONE_OUT = Protocol(
    name="nemo-loso@1",
    text="one of the nine speakers tests, the next one (after the last one the "
    "first) validates, the other seven train",
    reading=FOUR_CLASSES,
    splitting={"enrolment": 0},
    function=leave_one_out,
    folds=9,
)
RANDOM = Protocol(
    name="nemo-random@1",
    text="the folds of nemo-loso@1; of each speaker who trains a random half is "
    "unlabelled: random, not ambiguous; the tested speaker tests whole",
    reading=FOUR_CLASSES,
    splitting={"unlabelled_share": 0.5, "enrolment": 0},
    function=random_half,
    folds=9,
)
