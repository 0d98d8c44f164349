"""What every split keeps to, and its hash."""

import hashlib
import json

import pytest

from speechbrain_ser.corpora.protocols.checks import (
    check_classes,
    check_disjoint,
    check_filled,
    check_fold,
    check_speakers,
    long_enough,
    split_fingerprint,
)
from speechbrain_ser.utils.errors import InputError


def test_check_speakers():
    """The speaker and both parts are named; strangers pass."""
    first, second = {"a": {"speaker": "A"}}, {"b": {"speaker": "B"}}
    check_speakers(train=first, test=second)
    with pytest.raises(InputError, match="'A' stands in train and in valid"):
        check_speakers(train=first, test=second, valid={"c": first["a"]})
    with pytest.raises(InputError, match="'c' has no speaker"):
        check_speakers(train=first, test={"c": {}})


def test_check_disjoint():
    """An id, or another piece of the same utterance."""
    check_disjoint(train={"a": {}}, test={"b": {}})
    with pytest.raises(InputError, match="'a' stands in train and in test"):
        check_disjoint(train={"a": {}}, test={"a": {}})
    with pytest.raises(InputError, match="'a' stands in train and in test"):
        check_disjoint(
            train={"a-1": {"utterance": "a"}}, test={"a-2": {"utterance": "a"}}
        )


def test_check_classes():
    """The part and all missing classes are named."""
    annotation = {"a": {"emotion": "sad"}}
    check_classes(annotation, ["sad"], "valid")
    with pytest.raises(
        InputError, match="'valid' has no utterance of ang, neu"
    ):
        check_classes(annotation, ["ang", "sad", "neu"], "valid")


def test_split_fingerprint():
    """Part, id and label count; path and order do not."""
    base = {"train": {"a": {"emotion": "sad", "wav": "x"}}, "test": {}}
    same = {"test": {}, "train": {"a": {"emotion": "sad", "wav": "y"}}}
    assert split_fingerprint(base) == split_fingerprint(same)
    assert len(split_fingerprint(base)) == 64
    others = [
        {"train": {"a": {"emotion": "neu"}}, "test": {}},
        {"train": {"b": {"emotion": "sad"}}, "test": {}},
        {"train": {}, "test": {"a": {"emotion": "sad"}}},
        {"train": {"a": {"emotion": "sad"}}, "valid": {}},
    ]
    found = {split_fingerprint(parts) for parts in [base, *others]}
    assert len(found) == 5
    two = {"train": {"a": {"emotion": "sad"}, "b": {"emotion": "neu"}}}
    turned = {"train": dict(reversed(two["train"].items()))}
    assert split_fingerprint(two) == split_fingerprint(turned)


@pytest.mark.parametrize("fold", [0, 6, -1, "1", 1.0, True, None])
def test_check_fold(fold):
    """The range is named, and what a fold is."""
    check_fold(5, 5, "session")
    match = "--fold is .*: give a whole number from 1 to 5, one for each sess"
    with pytest.raises(InputError, match=match):
        check_fold(fold, 5, "session")


def test_split_fingerprint_has_the_names_that_parts_once_had():
    """So that a split is known again, whatever its parts are called."""

    def digest(**parts):
        """As it was computed before."""
        content = [
            [name, [[key, part[key].get("emotion")] for key in sorted(part)]]
            for name, part in sorted(parts.items())
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    a, b, c, d = ({key: {"emotion": "sad"}} for key in "abcd")
    assert split_fingerprint(
        {"train": a, "valid": b, "test": c, "target": d}
    ) == digest(train=a, validation=b, evaluation=c, target=d)
    for unlabelled in (d, {}):
        assert split_fingerprint(
            {"train": a, "valid": b, "unlabelled": unlabelled, "test": c}
        ) == digest(precise=a, validation=b, ambiguous=unlabelled, evaluation=c)


def spoken(**seconds):
    """A part with utterances of such durations."""
    return {key: {"duration": value} for key, value in seconds.items()}


def test_what_is_shorter_than_a_window_is_left_out(caplog):
    """Counted and named; a window's length is enough."""
    parts = {
        "train": spoken(a=0.01, b=0.025, c=2.0),
        "test": spoken(d=0.0249, e=1.0) | {"f": {}},
    }
    found = long_enough(parts)
    assert {k: list(v) for k, v in found.items()} == {
        "train": ["b", "c"],
        "test": ["e", "f"],
    }
    assert "2 of 6 utterances are shorter than one window" in caplog.text
    assert "a (10 ms), d (24.9 ms)" in caplog.text
    assert len(parts["train"]) == 3
    whole = {"train": spoken(b=1.0)}
    assert long_enough(whole) is whole


@pytest.mark.parametrize(
    "short, total, fit", [(5, 20, True), (6, 20, False), (6, 600, True)]
)
def test_many_short_utterances_are_an_error(short, total, fit):
    """More than five and more than 1 %."""
    part = spoken(**{f"u{i}": 0.01 if i < short else 1 for i in range(total)})
    if fit:
        assert len(long_enough({"train": part})["train"]) < total
    else:
        match = "6 of 20 .*: u0 .*, ...; correct or delete"
        with pytest.raises(InputError, match=match):
            long_enough({"train": part})


@pytest.mark.parametrize(
    "parts, said",
    [
        ({"train": {}}, "'train' has no utterance:"),
        ({"train": {"a": {}}, "test": {}}, "'test' has no utterance:"),
        ({"test": {"a": {}}}, "'test' has no utterance with a label"),
        ({"valid": {"a": {"emotion": None}}}, "'valid' has no utterance with"),
    ],
)
def test_empty_parts_are_refused(parts, said):
    """Unless nobody knows the labels of what is tested."""
    with pytest.raises(InputError, match=said):
        check_filled(parts)
    check_filled({"train": {"a": {}}, "test": {}, "target": {"b": {}}})
    check_filled({"train": {"a": {}}, "valid": {}})
