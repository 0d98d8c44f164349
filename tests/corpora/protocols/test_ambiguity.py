"""The split by agreement: what it holds and what it refuses."""

import itertools
import math

import pytest

from speechbrain_ser.corpora.protocols.ambiguity import (
    agreement,
    ambiguity_split,
)
from speechbrain_ser.utils.errors import InputError
from tests.corpora.protocols.made import LABELS, corpus, counts, values


@pytest.mark.parametrize(
    "votes, share, distribution",
    [
        ([["neu"], ["neu"], ["neu"]], 1, [1]),
        ([["neu"], ["neu", "ang"], ["neu"]], 2.5 / 3, [2.5 / 3, 0.5 / 3]),
        ([["neu"], ["ang"], ["neu"]], 2 / 3, [2 / 3, 1 / 3]),
        ([["neu"], ["ang"], ["sad"]], 1 / 3, [1 / 3] * 3),
        ([["neu", "ang", "sad"], ["neu"]], 2 / 3, [2 / 3, 1 / 6, 1 / 6]),
        ([["ang"], ["sad"]], 0, [0.5, 0.5]),
        ([["neu"], [], ["neu"]], 1, [1]),
    ],
)
def test_agreement(votes, share, distribution):
    """Worked out by hand."""
    found = agreement({"emotion": "neu", "votes": votes})
    entropy = -sum(p * math.log(p) for p in distribution)
    assert found == pytest.approx((share, entropy))
    if share == 1:
        assert found == (1.0, 0.0)


def test_agreement_does_not_depend_on_the_annotators_order():
    """To the last bit, or ties would be broken by chance."""
    votes = [["neu", *"abcde"[:others]] for others in (0, 0, 0, 2)]
    found = {
        agreement({"emotion": "neu", "votes": turned})
        for turned in itertools.permutations(votes)
    }
    assert len(found) == 1


@pytest.mark.parametrize("votes", [[], [[]], None])
def test_agreement_needs_votes(votes):
    """The file is named."""
    entry = {"emotion": "neu", "wav": "/data/a.wav", "votes": votes}
    with pytest.raises(InputError, match="/data/a.wav.* has no votes"):
        agreement(entry)


def test_ambiguity_sizes_and_contents():
    """D1 unanimous, D3 the least agreed upon, D2 between them."""
    annotation = corpus()
    parts = ambiguity_split(annotation, 30)
    shares = {
        name: [agreement(entry)[0] for entry in part.values()]
        for name, part in parts.items()
    }
    assert set(shares["train"]) == {1.0}
    assert len(parts["test"]) == 30
    assert max(shares["unlabelled"]) < 1
    assert max(shares["test"]) <= min(shares["unlabelled"])
    assert sum(map(len, parts.values())) == len(annotation)


def test_ambiguity_breaks_ties_by_entropy_then_id():
    """Equal shares: more entropy first; equal entropy: the id."""

    def entry(*votes):
        """An utterance labelled neu."""
        return {"emotion": "neu", "votes": [vote.split() for vote in votes]}

    annotation = {
        "a": entry("neu", "neu"),
        "f": entry("neu", "ang"),
        "e": entry("neu", "ang"),
        "d": entry("neu", "ang sad"),
        "c": entry("neu", "neu", "ang"),
    }
    for size, expected in enumerate(["d", "de", "def"], 1):
        parts = ambiguity_split(annotation, size)
        assert "".join(parts["test"]) == expected


def test_ambiguity_by_a_share():
    """Of those that are not unanimous."""
    parts = ambiguity_split(corpus(), 0.25)
    n_ambiguous = len(parts["test"]) + len(parts["unlabelled"])
    assert len(parts["test"]) == round(0.25 * n_ambiguous)


def test_ambiguity_keeps_some_of_the_precise():
    """Exactly so many, of every class, the others are ambiguous."""
    whole = ambiguity_split(corpus(), 30)
    parts = ambiguity_split(corpus(), 30, precise_size=21)
    assert parts["test"] == whole["test"]
    assert len(parts["train"]) == 21
    assert parts["train"].items() <= whole["train"].items()
    assert set(counts(parts["train"]).values()) == {5, 6}
    assert sum(map(len, parts.values())) == 200
    other = ambiguity_split(corpus(), 30, precise_size=21, seed=1)
    assert other["train"] != parts["train"]
    assert other["test"] == parts["test"]


@pytest.mark.parametrize("session", [2, "2"])
def test_ambiguity_with_a_held_out_session(session):
    """No tested speaker is trained on."""
    parts = ambiguity_split(corpus(), 10, held_out_session=session)
    assert len(parts["test"]) == 10
    assert values(parts["test"], "session") == {2}
    training = {**parts["train"], **parts["unlabelled"]}
    assert values(training, "session") == {1, 3, 4, 5}
    assert len(training) == 160


def test_ambiguity_with_a_held_out_session_checks_the_speakers():
    """A speaker of that session speaks in another one."""
    annotation = corpus()
    for entry in annotation.values():
        if entry["speaker"] == "Ses03_F":
            entry["speaker"] = "Ses02_F"
    with pytest.raises(InputError, match="Speaker 'Ses02_F' stands in"):
        ambiguity_split(annotation, 10, held_out_session=2)


def test_ambiguity_refuses_sizes():
    """Both numbers and the mend."""
    n_ambiguous = sum(agreement(entry)[0] < 1 for entry in corpus().values())
    message = f"is 400 but only {n_ambiguous} .*make --test_size smaller"
    with pytest.raises(InputError, match=message):
        ambiguity_split(corpus())
    with pytest.raises(InputError, match="is 150 .* in session 2 are not un"):
        ambiguity_split(corpus(), 150, held_out_session=2)
    for size in (0, -1, 1.0, 1.5, 0.0, "400", True, None):
        with pytest.raises(
            InputError, match="--test_size is .*: give a whole number of"
        ):
            ambiguity_split(corpus(), size)
    for size in (0, 0.5, "1", True):
        with pytest.raises(
            InputError, match="--precise_size is .*: give a whole number from 1"
        ):
            ambiguity_split(corpus(), 30, precise_size=size)
    with pytest.raises(InputError, match="--precise_size is 199 but only 48"):
        ambiguity_split(corpus(), 30, precise_size=199)
    with pytest.raises(InputError, match="is 9: give one of 1, 2, 3, 4, 5"):
        ambiguity_split(corpus(), 30, held_out_session=9)


def test_ambiguity_refuses_empty_parts():
    """Nothing ambiguous left, nothing precise, nothing to disagree about."""
    n_ambiguous = sum(agreement(entry)[0] < 1 for entry in corpus().values())
    with pytest.raises(InputError, match="unlabelled part would be empty"):
        ambiguity_split(corpus(), n_ambiguous)
    # What precise_size leaves over makes it up.
    ambiguity_split(corpus(), n_ambiguous, precise_size=10)
    disputed = {
        key: entry for key, entry in corpus().items() if agreement(entry)[0] < 1
    }
    with pytest.raises(InputError, match="train part would be empty"):
        ambiguity_split(disputed, 10)
    with pytest.raises(InputError, match="No utterance has annotators who dis"):
        ambiguity_split(
            {k: e for k, e in corpus().items() if k not in disputed}, 10
        )


def test_ambiguity_needs_votes():
    """Of every utterance."""
    annotation = corpus()
    del annotation["Ses02_F003"]["votes"]
    with pytest.raises(InputError, match="2F3.wav.* has no votes"):
        ambiguity_split(annotation, 10)


@pytest.mark.parametrize("share", [None, 0])
def test_ambiguity_without_validation(share):
    """All unanimous utterances train."""
    parts = ambiguity_split(corpus(), 30, valid_share=share)
    assert parts["valid"] == {}
    assert len(parts["train"]) == sum(
        agreement(entry)[0] == 1 for entry in corpus().values()
    )


def test_ambiguity_validates_on_a_share_of_each_unanimous_class():
    """Nothing else changes."""
    whole = ambiguity_split(corpus(), 30)
    parts = ambiguity_split(corpus(), 30, valid_share=0.25)
    assert parts["train"] | parts["valid"] == whole["train"]
    assert counts(parts["valid"]) == dict.fromkeys(LABELS, 3)
    for name in ("unlabelled", "test"):
        assert parts[name] == whole[name]
    for wrong in (1, -0.1, "0.1", True):
        with pytest.raises(InputError, match="--valid_share is .*: give a n"):
            ambiguity_split(corpus(), 30, valid_share=wrong)
