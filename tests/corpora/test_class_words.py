"""Class words: mapped, left out, told apart, refused."""

import pytest

from speechbrain_ser.corpora import class_words
from speechbrain_ser.corpora.class_words import ClassMap, as_mapping, map_words
from speechbrain_ser.utils.errors import InputError

ENTRIES = {
    "a": {"emotion": "happy"},
    "b": {"emotion": "angry"},
    "c": {"emotion": "fear"},
    "d": {},
}
WHERE = {key: f"row {number}" for number, key in enumerate("abcd", 2)}


def mapped(class_map=None, labels=None, entries=ENTRIES):
    """Maps made entries."""
    return map_words(entries, WHERE, as_mapping(class_map), labels, "'my.csv'")


@pytest.mark.parametrize(
    "value",
    [
        "happy=hap,angry=ang",
        " happy = hap , angry=ang ",
        {"happy": "hap", "angry": "ang"},
    ],
)
def test_words_become_classes(value):
    """Those of the map; others stay, as do entries without one."""
    assert ClassMap().mend(value) is None
    found = mapped(value)
    words = {key: entry.get("emotion") for key, entry in found.items()}
    assert words == {"a": "hap", "b": "ang", "c": "fear", "d": None}
    assert ENTRIES["a"] == {"emotion": "happy"}


@pytest.mark.parametrize("value", ["fear=,angry=", {"fear": None, "angry": ""}])
def test_to_nothing_is_left_out(value):
    """Several words may be one class, too."""
    assert ClassMap().mend(value) is None
    assert list(mapped(value)) == ["a", "d"]
    both = mapped("fear=bad,angry=bad", ["bad", "happy"])
    assert [e["emotion"] for e in both.values() if e] == ["happy", "bad", "bad"]


@pytest.mark.parametrize("word", ["1", "01", "yes", "no", "on", "off", "true"])
def test_words_stay_words(word):
    """On both sides of the map."""
    assert ClassMap().mend(f"happy={word}") is None
    assert mapped(f"happy={word}")["a"]["emotion"] == word
    entries = {"a": {"emotion": word}}
    assert mapped(None, [word], entries)["a"]["emotion"] == word
    assert mapped(f"{word}=x", None, entries)["a"]["emotion"] == "x"


@pytest.mark.parametrize(
    "value, mend",
    [
        ("happy", "give the corpus's words and their classes"),
        ("happy=hap,", "give the corpus's words"),
        ("a=b=c", "give the corpus's words"),
        ("=hap", "give the corpus's words"),
        ("a=b,a=c", "give a once"),
        (["happy"], "give the corpus's words"),
        (3, "give the corpus's words"),
        ({1: "hap"}, "write 1 in quotes"),
        ({"happy": True}, "write True in quotes"),
    ],
)
def test_what_is_no_map_is_refused(value, mend):
    """With an example."""
    assert mend in ClassMap().mend(value)


@pytest.mark.parametrize(
    "class_map, labels, reason",
    [
        (
            None,
            ["happy", "angry"],
            "row 4 has the emotion 'fear', which is not",
        ),
        (
            "happy=hap",
            ["happy", "angry", "fear"],
            "row 2 has the emotion 'hap'",
        ),
        ("happy=Fear", None, "row 4 has the emotion 'fear' and row 2 'Fear'"),
        ("happy=,angry=,fear=", None, "has no utterance of any class"),
        (None, ["happy", "angry", "fear", "sad"], "has no utterance of sad"),
    ],
)
def test_words_that_do_not_fit_are_refused(class_map, labels, reason):
    """With the row, and what to do."""
    with pytest.raises(InputError) as error:
        mapped(class_map, labels)
    assert reason in str(error.value) and "\n" not in str(error.value)


def test_words_of_the_map_that_are_nowhere_are_told(monkeypatch):
    """A map may be of two corpora; one that is the wrong way round is seen."""
    said = []
    monkeypatch.setattr(
        class_words.logger,
        "warning",
        lambda text, *more: said.append(text % more),
    )
    assert mapped("hap=happy,angry=ang")["a"]["emotion"] == "happy"
    assert said == [
        "--map has hap, which no emotion of 'my.csv' is (there are angry, "
        "fear, happy); its words stand on the left, the classes on the right"
    ]
    assert mapped("happy=hap") and len(said) == 1
