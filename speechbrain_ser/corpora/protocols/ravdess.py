"""The protocols of RAVDESS."""

import functools

from speechbrain_ser.corpora.protocols.protocol import Protocol
from speechbrain_ser.corpora.protocols.speaker_folds import (
    Enrolment,
    divide,
    enrol,
    fold_of,
    precise_alone,
    speaker_folds,
)
from speechbrain_ser.corpora.protocols.utterances import values
from speechbrain_ser.utils.settings import checked

FOUR_CLASSES = {"labels": ["anger", "happiness", "neutral", "sadness"]}
EIGHT_CLASSES = {
    "labels": [
        "neutral",
        "calm",
        "happiness",
        "sadness",
        "anger",
        "fear",
        "disgust",
        "surprise",
    ]
}
ACTORS = [f"{actor:02}" for actor in range(1, 25)]  # odd: men
ALONE = [[actor] for actor in ACTORS]
# Two men and two women each; of the first twelve actors one of each.
SIX = [ACTORS[place : place + 4] for place in range(0, 24, 4)]
SIX_OF_TWELVE = [ACTORS[place : place + 2] for place in range(0, 12, 2)]
# The test parts of EmoBox (Ma et al., Interspeech 2024), `data/ravdess`.
EMOBOX = [
    ["01", "11", "20", "21"],
    ["04", "10", "12", "14"],
    ["08", "09", "19", "23"],
    ["03", "05", "07", "24"],
    ["02", "15", "16", "18"],
    ["06", "13", "17", "22"],
]


@checked
def leave_one_out(annotation, fold, enrolment: Enrolment = 0):
    """One of the 24 actors tests, the next one validates."""
    return speaker_folds(annotation, fold, ALONE, enrolment)


@checked
def six_folds(annotation, fold, enrolment: Enrolment = 0):
    """Two men and two women test, those of the next fold validate."""
    return speaker_folds(annotation, fold, SIX, enrolment)


@checked
def six_folds_of_twelve(annotation, fold, enrolment: Enrolment = 0):
    """Of actors 1 to 12 a man and a woman test, the next two validate."""
    return speaker_folds(annotation, fold, SIX_OF_TWELVE, enrolment)


@checked
def emobox(annotation, fold, enrolment: Enrolment = 0):
    """A fold of EmoBox tests, two actors of the next one validate.

    Raises
    ------
    InputError
        See `speaker_folds.speaker_folds`.
    """
    tested, following = fold_of(annotation, fold, EMOBOX)
    return enrol(divide(annotation, tested, following[:2], ACTORS), enrolment)


def is_precise(entry):
    """Whether an utterance is said strongly.

    Neutral is said in one intensity alone: its first repetitions count as
    precise, its second ones as ambiguous.

    Example
    -------
    >>> neutral = {"emotion": "neutral", "intensity": "normal"}
    >>> [is_precise(neutral | {"repetition": number}) for number in (1, 2)]
    [True, False]
    """
    if entry["emotion"] == "neutral":
        return entry["repetition"] == 1
    return entry["intensity"] == "strong"


def by_intensity(groups, annotation, fold, enrolment):
    """Trains on what is said strongly, tests on the rest, of other actors.

    Arguments
    ---------
    groups : list of list of str
        The actors of each fold.
    annotation : dict
        Id -> entry with `speaker`, `emotion`, `intensity` and `repetition`.
    fold : int
    enrolment : int
        See `speaker_folds.enrol`.

    Returns
    -------
    dict
        "train" and "valid" (precise, see `is_precise`), "unlabelled" and "test"
        (ambiguous) -> annotation.

    Raises
    ------
    InputError
        See `speaker_folds.precise_alone`.
    """
    for key in ("intensity", "repetition"):
        values(annotation, key)
    everyone = [actor for group in groups for actor in group]
    parts = divide(annotation, *fold_of(annotation, fold, groups), everyone)
    return precise_alone(parts, is_precise, enrolment)


@checked
def intensity(annotation, fold, enrolment: Enrolment = 0):
    """All actors, see `by_intensity`."""
    return by_intensity(SIX, annotation, fold, enrolment)


@checked
def intensity_of_twelve(annotation, fold, enrolment: Enrolment = 0):
    """Actors 1 to 12, see `by_intensity`."""
    return by_intensity(SIX_OF_TWELVE, annotation, fold, enrolment)


_protocol = functools.partial(
    Protocol, reading=FOUR_CLASSES, splitting={"enrolment": 0}, folds=6
)
_STRONG = (
    "precise is what is said strongly (of neutral, which has one intensity, the "
    "first repetition): it trains and validates; what the training actors say "
    "normally is unlabelled, what the tested ones say so tests"
)
LEAVE_ONE_OUT = Protocol(
    name="ravdess-loso@1",
    text="one of the 24 actors tests, the next one (after the last one the "
    "first) validates, the others train",
    reading=FOUR_CLASSES,
    splitting={"enrolment": 0},
    function=leave_one_out,
    folds=24,
)
SIX_FOLDS = _protocol(
    name="ravdess-6fold@1",
    text="two men and two women test (actors 1 to 4, 5 to 8, and so on), the "
    "next four validate, the other sixteen train",
    function=six_folds,
)
EMOBOX_FOLDS = _protocol(
    name="ravdess-emobox@1",
    text="the six folds of EmoBox, eight classes: four actors test, the first "
    "two of the next fold validate, the other eighteen train",
    reading=EIGHT_CLASSES,
    function=emobox,
)
INTENSITY = _protocol(
    name="ravdess-intensity@1",
    text=f"the folds of ravdess-6fold@1; {_STRONG}",
    function=intensity,
)
DEV_SIX_FOLDS = _protocol(
    name="ravdess-dev-6fold@1",
    text="actors 1 to 12 alone: a man and a woman test, the next two validate, "
    "the other eight train",
    function=six_folds_of_twelve,
)
DEV_INTENSITY = _protocol(
    name="ravdess-dev-intensity@1",
    text=f"the folds of ravdess-dev-6fold@1; {_STRONG}",
    function=intensity_of_twelve,
)
