"""Other people's words: which of them a model knows."""

import logging

import pytest

from speechbrain_ser.corpora.mini.emodb import mini_emodb
from speechbrain_ser.inference.other_corpus import (
    may_have_trained,
    read_corpus,
    shared_classes,
)
from speechbrain_ser.utils.errors import InputError


@pytest.fixture
def table(tones, tmp_path):
    """A manifest of the tones: three are not labelled."""

    def write(header="file,emotion,speaker,split", lines=None):
        """Writes it; returns its path."""
        lines = lines or [
            f"{key}.wav,{entry['emotion']},s{i % 3},test"
            for i, (key, entry) in enumerate(tones.items())
        ]
        path = tmp_path / "mine.csv"
        path.write_text("\n".join([header, *lines]) + "\n")
        return str(path)

    return write


def test_a_manifest(table):
    """By its name, with all its words."""
    name, entries, unlabelled = read_corpus(None, None, table())
    assert (name, len(entries), unlabelled) == ("mine", 12, 0)
    assert {e["emotion"] for e in entries.values()} == {
        *("ang", "hap", "sad", "neu")
    }


def test_its_words_are_mapped(table):
    """Several to one; to nothing: left out."""
    mapped = "ang=high,hap=high,neu=low,sad="
    _, entries, _ = read_corpus(None, None, table(), mapped)
    words = [e["emotion"] for e in entries.values()]
    assert (words.count("high"), words.count("low"), len(words)) == (6, 3, 9)


def test_what_has_no_emotion_is_counted(table):
    """It is read, and left out."""
    lines = ["tone0.wav,ang,a,test", "tone1.wav,,b,unlabelled"]
    _, entries, unlabelled = read_corpus(None, None, table(lines=lines))
    assert list(entries) == ["tone0.wav"] and unlabelled == 1


def test_an_open_corpus_with_all_its_classes(mini_cache):
    """Not the four alone; its words are mapped too."""
    folder = mini_emodb(mini_cache)
    name, entries, _ = read_corpus("emodb", folder, None, "anger=ang")
    assert name == "EMO-DB" and entries
    assert "ang" in {e["emotion"] for e in entries.values()}


def test_a_map_of_no_word_is_said(table, caplog):
    """Its words may be those of another corpus."""
    with caplog.at_level(logging.WARNING):
        read_corpus(None, None, table(), "joy=hap")
    assert "--map has joy" in caplog.text


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ((None, None, None), "no corpus is named"),
        (("timit", "x", None), "give one of emodb"),
        (("emodb", None, None), "--data_folder"),
        (("emodb", None, "a.csv"), "give the manifest alone"),
        ((None, None, "nowhere.csv"), "nowhere.csv"),
    ],
)
def test_what_is_not_clear(asked, said):
    """One sentence."""
    with pytest.raises(InputError, match=said):
        read_corpus(*asked)


ENTRIES = {
    key: {"emotion": word}
    for key, word in zip("abcdef", ["ang", "ang", "sad", "calm", "calm", "joy"])
}


def test_classes_that_one_side_lacks():
    """Counted on the corpus's side, named on the model's."""
    kept, facts = shared_classes(ENTRIES, ["sad", "ang", "neu"])
    assert list(kept) == ["a", "b", "c"]
    assert facts["left_out"] == {"calm": 2, "joy": 1}
    assert facts["classes_without_speech"] == ["neu"]
    kept, facts = shared_classes(ENTRIES, ["sad", "ang", "neu"], ["sad"])
    assert list(kept) == ["c"] and facts["left_out"]["ang"] == 2
    assert facts["classes_without_speech"] == ["ang", "neu"]


def test_nothing_is_shared():
    """The sentence says what there is, and --map."""
    with pytest.raises(
        InputError, match="there are ang, calm, joy, sad.*--map"
    ):
        shared_classes(ENTRIES, ["anger", "sadness"])
    with pytest.raises(InputError, match="'fear', which the model does not"):
        shared_classes(ENTRIES, ["ang", "sad"], ["fear"])
    with pytest.raises(InputError, match="of --labels' classes neu"):
        shared_classes(ENTRIES, ["ang", "neu"], ["neu"])


def test_who_may_have_trained():
    """By the corpus's name alone, however it is written."""
    assert may_have_trained("EMO-DB", {"corpus": "EMO-DB"})
    assert may_have_trained("nEMO", {"corpus": "EMO-DB to nEMO"})
    assert may_have_trained("nEMO", {"corpus": "EMO-DB"}) is False
    assert may_have_trained("nEMO", {}) is None
