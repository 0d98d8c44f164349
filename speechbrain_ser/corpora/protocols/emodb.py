"""The protocols of EMO-DB."""

import statistics

from speechbrain_ser.corpora.protocols.checks import check_disjoint
from speechbrain_ser.corpora.protocols.protocol import Protocol
from speechbrain_ser.corpora.protocols.speaker_folds import (
    Enrolment,
    divide,
    enrol,
    fold_of,
    precise_alone,
    speaker_folds,
)
from speechbrain_ser.corpora.protocols.splits import random_k_fold
from speechbrain_ser.corpora.protocols.utterances import units
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import Number, checked

FOUR_CLASSES = {"labels": ["anger", "happiness", "neutral", "sadness"]}
SPEAKERS = ["03", "08", "09", "10", "11", "12", "13", "14", "15", "16"]
FOLDS = [[speaker] for speaker in SPEAKERS]


@checked
def leave_one_out(annotation, fold, enrolment: Enrolment = 0):
    """One of the ten speakers tests, the next one validates."""
    return speaker_folds(annotation, fold, FOLDS, enrolment)


@checked
def shared_folds(annotation, fold, enrolment: Enrolment = 0):
    """Five stratified folds of utterances; all speakers stand in all parts."""
    parts = random_k_fold(annotation, fold, n_folds=5, valid_share=0.1)
    return enrol(check_disjoint(**parts), enrolment)


@checked
def by_agreement(
    annotation,
    fold,
    least_agreement: Number(0, 1, optional=True) = None,
    enrolment: Enrolment = 0,
):
    """Folds of speakers, divided by how many listeners named the emotion.

    Arguments
    ---------
    annotation : dict
        Id -> entry with `speaker` and `agreement`.
    fold : int
        1 tests the first speaker, and so on.
    least_agreement : float, optional
        Of a precise utterance; default: the median of the speakers who train.
    enrolment : int
        See `speaker_folds.enrol`.

    Returns
    -------
    dict
        "train" and "valid" (precise), "unlabelled" and "test" (the others, of
        who trains and of who tests) -> annotation.

    Raises
    ------
    InputError
        If an agreement is not known, or a part would be empty.
    """
    for key, entry in annotation.items():
        if entry.get("agreement") is None:
            raise InputError(
                f"The utterance {key} has no agreement, which this protocol "
                "needs: put agreement.csv (file,recognised_pct) or the "
                "release's erkennung.txt into --data_folder, or choose another "
                "protocol."
            )
    parts = divide(annotation, *fold_of(annotation, fold, FOLDS), SPEAKERS)
    if least_agreement is None:
        least_agreement = statistics.median(
            parts["train"][keys[0]]["agreement"]
            for keys in units(parts["train"]).values()
        )

    def is_precise(entry):
        """Whether enough listeners named the emotion."""
        return entry["agreement"] >= least_agreement

    return precise_alone(parts, is_precise, enrolment)


LEAVE_ONE_OUT = Protocol(
    name="emodb-loso@1",
    text="one of the ten speakers tests, the next one (after the last one the "
    "first) validates, the other eight train",
    reading=FOUR_CLASSES,
    splitting={"enrolment": 0},
    function=leave_one_out,
    folds=10,
)
SHARED = Protocol(
    name="emodb-shared-5fold@1",
    text="the utterances in five random parts, stratified by emotion: one "
    "tests; of the other four a stratified tenth validates, the rest trains; "
    "all ten speakers are shared",
    reading=FOUR_CLASSES,
    splitting={"enrolment": 0},
    function=shared_folds,
    folds=5,
)
AGREEMENT = Protocol(
    name="emodb-agreement@1",
    text="one of the ten speakers tests, the next one validates; precise is "
    "what at least as many listeners named rightly as in the median of the "
    "speakers who train: it trains and validates; the others of who trains "
    "are unlabelled, those of the tested speaker test",
    reading=FOUR_CLASSES,
    splitting={"least_agreement": None, "enrolment": 0},
    function=by_agreement,
    folds=10,
)
