"""Any two corpora with two classes of one dimension."""

import pytest

from speechbrain_ser.corpora.two_corpora import read_two
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.odd_entries import Read

WORDS = ("anger", "happiness", "neutral", "sadness")


def corpus(name, **more):
    """A reader of four utterances of a corpus."""
    entries = {
        f"{name}{place}": {
            "wav": f"/{name}/{place}.wav",
            "emotion": word,
            "speaker": f"{name}-s{place % 2}",
            **more,
        }
        for place, word in enumerate(WORDS)
    }
    return lambda: Read(entries, [{"entry": name}])


def refusal(*args, **more):
    """The sentence of a reading."""
    with pytest.raises(InputError) as error:
        read_two(*args, **more)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "task, classes",
    [
        ("arousal", ["high", "high", "low", "low"]),
        ("valence", ["negative", "positive", "positive", "negative"]),
    ],
)
def test_words_say_the_class(task, classes):
    """Of both; nothing else of an entry changes, nor what was odd."""
    read = read_two(corpus("a"), corpus("b"), task)
    assert list(read) == ["source", "target"]
    for side, name in (("source", "a"), ("target", "b")):
        given = corpus(name)()
        assert [e["emotion"] for e in read[side].values()] == classes
        assert read[side].odd == given.odd
        for key, entry in read[side].items():
            assert entry | {"emotion": given[key]["emotion"]} == given[key]


def test_lists_of_words_are_settings():
    """Others than the four, in one of the two."""
    fear = {"z": {"wav": "z.wav", "emotion": "fear"}}
    said = refusal(lambda: fear, corpus("b"))
    assert said == (
        "The source's utterance z has the emotion 'fear', which is in neither "
        "--low_arousal nor --high_arousal: add it to one of them, or leave it "
        "out of --emotions."
    )
    read = read_two(
        lambda: fear, corpus("b"), high_arousal=["fear", *WORDS[:2]]
    )
    assert read["source"]["z"]["emotion"] == "high"
    both = refusal(corpus("a"), corpus("b"), low_arousal=["anger"])
    assert "--high_arousal and --low_arousal both have anger" in both


def test_ratings_come_first():
    """Above the threshold is high; each side has its own."""
    rated = corpus("a", arousal=2.5, valence=-1.0)
    read = read_two(rated, corpus("b"), source_threshold=2.4)
    assert {e["emotion"] for e in read["source"].values()} == {"high"}
    read = read_two(rated, corpus("b"), source_threshold=2.5)
    assert {e["emotion"] for e in read["source"].values()} == {"low"}
    assert [e["emotion"] for e in read["target"].values()][:1] == ["high"]
    said = refusal(corpus("b"), rated, "valence", source_threshold=1.0)
    assert "has a rating of valence: give --target_threshold" in said


def test_one_corpus_twice_is_refused():
    """The same files, whatever the ids."""
    said = refusal(corpus("a"), corpus("a"))
    assert "The target's utterance a0 is the source's a0" in said
    assert "--target_corpus with --target_folder" in said


def test_names_that_both_have_are_told_apart():
    """Speakers and ids, of pieces too; else nothing is renamed."""

    def numbered(folder):
        """A reader of a corpus whose names are numbers."""
        return lambda: {
            str(n): {
                "wav": f"/{folder}/{n}.wav",
                "emotion": "anger",
                "speaker": "03",
                "utterance": "u",
            }
            for n in range(2)
        }

    read = read_two(numbered("a"), numbered("b"))
    assert list(read["source"]) == ["source-0", "source-1"]
    assert read["target"]["target-1"]["speaker"] == "target-03"
    assert read["target"]["target-1"]["utterance"] == "target-u"
    without = {"x": {"wav": "x.wav", "emotion": "anger"}}
    other = {"y": {"wav": "y.wav", "emotion": "anger"}}
    read = read_two(lambda: without, lambda: other)
    assert read["source"] == {"x": {"wav": "x.wav", "emotion": "high"}}


def test_who_has_no_label_stays_without():
    """A target of which nobody knows the labels."""
    bare = {"x": {"wav": "x.wav"}}
    assert read_two(corpus("a"), lambda: bare)["target"] == bare


@pytest.mark.parametrize(
    "more, reason",
    [
        ({"task": "mood"}, "--task is 'mood': give one of arousal, valence"),
        (
            {"source_threshold": "low"},
            "--source_threshold is 'low': give a num",
        ),
        ({"high_valence": "joy"}, "--high_valence is 'joy': give a list"),
    ],
)
def test_bad_settings(more, reason):
    """One sentence each."""
    assert refusal(corpus("a"), corpus("b"), **more).startswith(reason)
