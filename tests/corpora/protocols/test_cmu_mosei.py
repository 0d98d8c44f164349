"""The selection of four classes."""

import pytest

from speechbrain_ser.corpora.cmu_mosei import RATINGS
from speechbrain_ser.corpora.protocols.cmu_mosei import four_classes
from speechbrain_ser.utils.errors import InputError


def rated(**ratings):
    """An entry with some ratings above zero."""
    return {"wav": "a", "ratings": dict.fromkeys(RATINGS, 0.0) | ratings}


@pytest.mark.parametrize(
    "ratings, present",
    [
        ({}, ["neu"]),
        ({"sentiment": -3.0}, ["neu"]),
        ({"sentiment": 2.0}, ["neu"]),
        ({"sentiment": 2.0, "happy": 1 / 3}, ["hap"]),
        ({"sad": 3.0}, ["sad"]),
        ({"anger": 1 / 3, "disgust": 3.0}, ["ang"]),
        ({"happy": 1 / 3, "sad": 3.0, "anger": 1.0}, ["ang", "hap", "sad"]),
        ({"sad": 1.0, "surprise": 1.0, "fear": 1.0}, ["sad"]),
        ({"surprise": 1 / 3}, None),
        ({"disgust": 2.0}, None),
        ({"fear": 2.0, "sentiment": 1.0}, None),
    ],
)
def test_four_classes(ratings, present):
    """Above zero is present; others alone are left out; nothing is neutral."""
    annotation = {"a": rated(**ratings), "z": rated(sad=1.0)}
    kept = four_classes(annotation)
    assert kept["z"] == {**rated(sad=1.0), "present": ["sad"]}
    if present is None:
        assert list(kept) == ["z"]
    else:
        assert kept["a"] == {**rated(**ratings), "present": present}
    assert annotation == {"a": rated(**ratings), "z": rated(sad=1.0)}


def test_no_segment_of_the_four_classes():
    """One sentence."""
    with pytest.raises(InputError, match="None of the 2 segments shows"):
        four_classes({"a": rated(fear=1.0), "b": rated(surprise=1.0)})
