"""Two open corpora: no speaker on two sides, no target label that chooses."""

import itertools

import pytest

from speechbrain_ser.corpora.protocols.checks import split_fingerprint
from speechbrain_ser.corpora.protocols.named import PROTOCOLS
from speechbrain_ser.corpora.two_corpora import read_two
from speechbrain_ser.utils.errors import InputError
from tests.corpora.protocols.made import shuffled
from tests.corpora.protocols.made_open import made_emodb, made_ravdess

CROSS = PROTOCOLS["open-cross-lingual@1"]
APART = PROTOCOLS["cross-lingual-speakers@1"]
MONO = PROTOCOLS["open-mono-lingual@1"]
# As in test_open.py.
PINNED = {
    "open-cross-lingual@1": "393fce0b",
    "cross-lingual-speakers@1": "34d99ba5",
    "open-mono-lingual@1": "25ce74f7",
}


def languages(task="arousal"):
    """EMO-DB as the source and RAVDESS as the target."""
    return read_two(made_emodb, made_ravdess, task)


def who(annotation):
    """The speakers of a part."""
    return {entry["speaker"] for entry in annotation.values()}


@pytest.mark.parametrize("name", PINNED)
def test_a_protocol_never_changes_under_its_name(name):
    """The split of two made corpora."""
    found = split_fingerprint(PROTOCOLS[name].split(languages()))
    assert PINNED[name] and found.startswith(PINNED[name]), found[:8]


@pytest.mark.parametrize("protocol", [CROSS, APART, MONO])
@pytest.mark.parametrize("enrolment", [0, 3])
def test_nobody_stands_on_two_sides(protocol, enrolment):
    """In either language, whatever the order of the annotation."""
    given = languages()
    parts = protocol.split(given, enrolment=enrolment)
    assert all(parts.values())
    for one, other in itertools.combinations(("train", "valid", "test"), 2):
        assert not who(parts[one]) & who(parts[other])
    mixed = {side: shuffled(a) for side, a in given.items()}
    again = protocol.split(mixed, enrolment=enrolment)
    assert parts == again
    assert [list(p) for p in parts.values()] == [
        list(p) for p in again.values()
    ]
    if enrolment:
        held = who(parts["valid"]) | who(parts["test"])
        assert who(parts["enrolment"]) == held
        assert len(parts["enrolment"]) == enrolment * len(held)
        assert not any("emotion" in e for e in parts["enrolment"].values())


def test_no_label_of_the_target_chooses():
    """All of it tests; another labelling leaves train and valid as they were."""
    given = languages()
    parts = CROSS.split(given)
    assert set(parts["test"]) == set(given["target"])
    assert set(parts["train"]) | set(parts["valid"]) == set(given["source"])
    assert len(who(parts["valid"])) == 2 and len(who(parts["train"])) == 8
    other = given | {
        "target": {
            k: e | {"emotion": "low"} for k, e in given["target"].items()
        }
    }
    again = CROSS.split(other)
    assert again["train"] == parts["train"] and again["valid"] == parts["valid"]
    assert CROSS.transductive and "transductive" in CROSS.text


def test_the_target_may_choose_if_it_is_said():
    """Then other speakers of it test."""
    given = languages()
    parts = CROSS.split(given, valid_language="target")
    assert set(parts["train"]) == set(given["source"])
    assert set(parts["valid"]) | set(parts["test"]) == set(given["target"])
    assert not who(parts["valid"]) & who(parts["test"])
    assert 0.3 <= len(parts["valid"]) / len(given["target"]) < 0.35
    name = CROSS.full_name({"valid_language": "target"})
    assert name == "open-cross-lingual@1 with valid_language target"
    bare = given | {"target": {"x": {"wav": "x.wav", "speaker": "s"}}}
    with pytest.raises(InputError, match="give --valid_language source"):
        CROSS.split(bare, valid_language="target")
    assert CROSS.split(bare)["test"] == {}


def test_the_target_alone():
    """A quarter tests, a twentieth validates; the source takes no part."""
    given = languages()
    parts = MONO.split({"target": given["target"]})
    assert MONO.split(given) == parts
    whole = len(given["target"])
    assert 0.25 <= len(parts["test"]) / whole < 0.3
    assert 0.05 <= len(parts["valid"]) / whole < 0.1
    assert sum(map(len, parts.values())) == whole
    assert not MONO.transductive


def test_who_tests_is_not_adapted_to():
    """Half of the target's speech each; what has no label is adapted to."""
    given = languages()
    parts = APART.split(given)
    assert not who(parts["test"]) & who(parts["target"])
    assert parts["test"].keys() | parts["target"].keys() == (
        given["target"].keys()
    )
    assert 0.5 <= len(parts["test"]) / len(given["target"]) < 0.55
    whole = CROSS.split(given)
    assert parts["train"] == whole["train"] and parts["valid"] == whole["valid"]
    assert not APART.transductive and "transductive" not in APART.text
    # an unlabelled utterance goes where its speaker is not tested
    tested, other = min(who(parts["test"])), min(who(parts["target"]))
    more = {
        name: {"wav": f"{name}.wav", "speaker": name}
        for name in (tested, other, "new")
    }
    again = APART.split(given | {"target": given["target"] | more})
    assert again["test"] == parts["test"]
    assert again["target"].keys() - parts["target"].keys() == {other, "new"}
    bare = APART.split(given | {"target": more})
    assert bare["test"] == {} and bare["target"].keys() == more.keys()
    fewer = APART.split(given, target_test_share=0.2)
    assert 0.2 <= len(fewer["test"]) / len(given["target"]) < 0.25
    with pytest.raises(InputError, match="valid_language is 'target'"):
        APART.split(given, valid_language="target")


@pytest.mark.parametrize("protocol", [CROSS, APART, MONO])
def test_one_speaker_alone_is_refused(protocol):
    """Nobody is left to choose the epoch."""
    given = {
        side: {k: e | {"speaker": side} for k, e in annotation.items()}
        for side, annotation in languages().items()
    }
    with pytest.raises(InputError, match="speaker needs two speakers"):
        protocol.split(given)


def test_each_target_has_its_own_test_whoever_the_source_is():
    """Also where speakers of both are called alike, and so get a prefix."""
    plain = MONO.split({"target": made_ravdess()})
    named = MONO.split(languages())
    assert list(named["test"]) == list(plain["test"])
    assert any(s.startswith("target-") for s in who(named["test"]))
