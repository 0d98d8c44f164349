"""The protocol of CMU-MOSEI: models that IEMOCAP trained are tested on it."""

from speechbrain_ser.corpora.protocols.protocol import Protocol
from speechbrain_ser.utils.errors import InputError

# What IEMOCAP calls three of the emotions that are rated.
CLASSES = {"ang": "anger", "hap": "happy", "sad": "sad"}


def four_classes(annotation):
    """Keeps the segments of four classes, and says which classes each shows.

    Li et al., "Speaker-invariant affective representation learning via
    adversarial training", ICASSP 2020, section 6: a segment is kept if the
    rating of happiness, sadness or anger is above zero, and a prediction is
    right if the rating of that emotion is. A segment whose six emotions are
    all zero is kept as neutral. On the official release this is meant to give
    the paper's 22,323 segments, which could not be checked here.

    Arguments
    ---------
    annotation : dict
        Id -> entry with `ratings`, as the corpus is read; not changed.

    Returns
    -------
    dict
        Id -> entry of those that are kept, each with `present`: the list of
        `ang`, `hap` and `sad` that it shows, or `["neu"]`.

    Raises
    ------
    InputError
        If no segment is kept.

    Example
    -------
    >>> names = ["happy", "sad", "anger", "surprise", "disgust", "fear"]
    >>> zero = dict.fromkeys(["sentiment", *names], 0.0)
    >>> annotation = {
    ...     "a": {"ratings": {**zero, "happy": 1 / 3, "anger": 2.0}},
    ...     "b": {"ratings": {**zero, "sentiment": -1.0}},
    ...     "c": {"ratings": {**zero, "surprise": 1.0}},
    ... }
    >>> {k: e["present"] for k, e in four_classes(annotation).items()}
    {'a': ['ang', 'hap'], 'b': ['neu']}
    """
    kept = {}
    for key, entry in annotation.items():
        shown = {
            emotion
            for emotion, rating in entry["ratings"].items()
            if emotion != "sentiment" and rating > 0
        }
        present = [
            word for word, emotion in CLASSES.items() if emotion in shown
        ]
        if not shown:
            present = ["neu"]
        if present:
            kept[key] = {**entry, "present": present}
    if not kept:
        raise InputError(
            f"None of the {len(annotation)} segments shows happiness, sadness "
            "or anger, nor is neutral: give others of CMU-MOSEI."
        )
    return kept


def all_tested(annotation):
    """Keeps the segments of four classes; nobody is trained on them."""
    return {"test": four_classes(annotation)}


FOUR_CLASSES = Protocol(
    name="cmu-mosei-four-classes@1",
    text="all segments with a rating of happiness, sadness or anger above zero, "
    "and those whose six ratings are zero (neutral); a prediction is right "
    "if that emotion's rating is above zero; nothing is trained on them",
    reading={},
    splitting={},
    function=all_tested,
)
