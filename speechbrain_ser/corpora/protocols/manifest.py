"""The protocols of a corpus that a CSV lists."""

import random

from speechbrain_ser.corpora.protocols.ambiguity import agreement
from speechbrain_ser.corpora.protocols.checks import (
    check_disjoint,
    check_speakers,
    warn_once,
)
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
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import Labels, Word, checked

N_FOLDS = 5
VOTES, INTENSITY = "votes", "intensity"
PRECISE = ("strong", "precise", "yes", "1")


@checked
def given_split(annotation, enrolment: Enrolment = 0):
    """The parts that the entries name themselves.

    Arguments
    ---------
    annotation : dict
        Id -> entry with `split`: train, valid, test or unlabelled.
    enrolment : int
        See `speaker_folds.enrol`.

    Returns
    -------
    dict
        "train", "valid" and "test" -> annotation, and "unlabelled" if there is
        such an entry.

    Raises
    ------
    InputError
        If an entry has no split, nobody trains or tests, or a speaker who
        tests or validates stands in another part too.
    """
    parts = {"train": {}, "valid": {}, "test": {}}
    for key in sorted(annotation):
        part = annotation[key].get("split")
        if part is None:
            raise InputError(
                f"Entry '{key}' has no split, which this protocol needs: fill "
                "in the column split (train, valid, test), or choose another "
                "protocol, such as csv-loso@1."
            )
        parts.setdefault(part, {})[key] = annotation[key]
    for part in ("train", "test"):
        if not parts[part]:
            raise InputError(
                f"No utterance has the split {part}: give it to some in the "
                "column split, or choose another protocol, such as csv-loso@1."
            )
    trained = parts["train"] | parts.get("unlabelled", {})
    check_speakers(train=trained, valid=parts["valid"], test=parts["test"])
    return enrol(check_disjoint(**parts), enrolment)


@checked
def leave_one_out(annotation, fold, enrolment: Enrolment = 0):
    """One speaker tests, the next one in alphabetical order validates."""
    return speaker_folds(annotation, fold, _alone(annotation), enrolment)


@checked
def five_folds(annotation, fold, enrolment: Enrolment = 0):
    """A fifth of the speakers tests, another fifth validates."""
    return speaker_folds(annotation, fold, dealt(annotation), enrolment)


@checked
def by_column(
    annotation,
    fold,
    ambiguous_column: Word(optional=True) = None,
    precise_words: Labels(optional=True) = None,
    enrolment: Enrolment = 0,
):
    """Five folds of speakers, divided by what a column says.

    Arguments
    ---------
    annotation : dict
        Id -> entry with `speaker` and the column.
    fold : int
    ambiguous_column : str, optional
        Default: intensity if there is one, else votes, of which the unanimous
        ones for the emotion are precise.
    precise_words : list of str, optional
        What stands in the column of a precise utterance; default: `PRECISE`.
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
        If the column is missing, no utterance has such a word, or a part would
        be empty.
    """
    column = ambiguous_column or _column(annotation)
    _check_column(annotation, column, precise_words)
    precise = PRECISE if precise_words is None else precise_words

    def is_precise(entry):
        """Whether it is precise."""
        if column == VOTES:
            return agreement(entry)[0] == 1
        return str(cell(entry, column)) in precise

    if any("split" in entry for entry in annotation.values()):
        warn_once(
            "csv-ambiguous@1 makes folds of its own, whatever the column split "
            "says; csv-split@1 follows it, with unlabelled as a fourth part"
        )
    groups = dealt(annotation)
    parts = divide(annotation, *fold_of(annotation, fold, groups))
    return precise_alone(parts, is_precise, enrolment)


def _check_column(annotation, column, precise_words):
    """Refuses a column that is missing, or says of nobody that he is precise."""
    for key, entry in annotation.items():
        if cell(entry, column) is None:
            raise InputError(
                f"Entry '{key}' has no {column}, which tells precise "
                "utterances from ambiguous ones: fill in this column, name "
                "another one by --ambiguous_column, or choose another "
                "protocol."
            )
    words = sorted({str(cell(e, column)) for e in annotation.values()})
    precise = PRECISE if precise_words is None else precise_words
    if column != VOTES and not set(words) & set(precise):
        raise InputError(
            f"--precise_words is {precise_words!r}: give what stands in the "
            f"column {column} of precise utterances, of {', '.join(words[:9])}"
        )


def _column(annotation):
    """The column that is there."""
    there = any(INTENSITY in entry for entry in annotation.values())
    return INTENSITY if there else VOTES


def cell(entry, column):
    """Returns what an entry has in a column; None if it has none.

    Example
    -------
    >>> entry = {"intensity": "strong", "columns": {"mood": "odd"}}
    >>> [cell(entry, name) for name in ("intensity", "mood", "age")]
    ['strong', 'odd', None]
    """
    return entry.get(column, entry.get("columns", {}).get(column))


def _alone(annotation):
    """Each speaker alone."""
    return [[speaker] for speaker in values(annotation, "speaker")]


def dealt(annotation):
    """Deals the speakers into groups, those of one gender evenly if it is known.

    Arguments
    ---------
    annotation : dict
        Id -> entry with `speaker`, perhaps `gender`.

    Returns
    -------
    list of list of str

    Raises
    ------
    InputError
        If there are fewer speakers than groups.

    Example
    -------
    >>> annotation = {name: {"speaker": name} for name in "ABCDEF"}
    >>> sorted(map(len, dealt(annotation)))
    [1, 1, 1, 1, 2]
    """
    speakers = values(annotation, "speaker")
    if len(speakers) < N_FOLDS:
        raise InputError(
            f"{N_FOLDS} folds of speakers need {N_FOLDS} of them, and there "
            f"are {len(speakers)}: add speakers, or choose csv-loso@1."
        )
    genders = {}
    for key in sorted(annotation):
        entry = annotation[key]
        genders.setdefault(entry["speaker"], entry.get("gender", ""))
    random.Random("speakers").shuffle(speakers)
    speakers.sort(key=lambda speaker: genders[speaker])
    return [speakers[place::N_FOLDS] for place in range(N_FOLDS)]


def _count_speakers(annotation):
    """How many speakers there are."""
    return len(values(annotation, "speaker"))


GIVEN = Protocol(
    name="csv-split@1",
    text="who trains, validates and tests stands in the column `split`; nobody "
    "who validates or tests is trained on",
    reading={},
    splitting={"enrolment": 0},
    function=given_split,
)
LEAVE_ONE_OUT = Protocol(
    name="csv-loso@1",
    text="one speaker tests, the next one in alphabetical order (after the "
    "last one the first) validates, the others train; as many folds as "
    "speakers",
    reading={},
    splitting={"enrolment": 0},
    function=leave_one_out,
    folds=None,
    count=_count_speakers,
)
FIVE_FOLDS = Protocol(
    name="csv-5fold-speakers@1",
    text="the speakers in five random groups, of each gender as many where it "
    "is known: one tests, the next one validates, the others train",
    reading={},
    splitting={"enrolment": 0},
    function=five_folds,
    folds=N_FOLDS,
)
AMBIGUOUS = Protocol(
    name="csv-ambiguous@1",
    text="the groups of csv-5fold-speakers@1; precise is what has a given word "
    "in a given column (by default the intensity, if there is one), or what "
    "all votes agree on: it trains and validates; the others of who trains "
    "are unlabelled, those of the tested speakers test",
    reading={},
    splitting={
        "ambiguous_column": None,
        "precise_words": None,
        "enrolment": 0,
    },
    function=by_column,
    folds=N_FOLDS,
)
