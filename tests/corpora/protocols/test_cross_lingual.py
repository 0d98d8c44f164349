"""Two languages: what trains, chooses and tests."""

import collections

import pytest

from speechbrain_ser.corpora.protocols.cross_lingual import (
    cross_lingual,
    hold_out,
    mono_lingual,
)
from speechbrain_ser.utils.errors import InputError
from tests.corpora.protocols.made import shuffled

CROSS = {
    "valid_language": "target",
    "valid_share": 0.3,
    "source_valid_share": 0.1,
    "split_by": "utterance",
}
MONO = {
    "mono_test_share": 0.25,
    "mono_valid_share": 0.05,
    "split_by": "utterance",
}


def corpus(prefix, n_speakers=10, each=20, high=4):
    """Utterances of speakers in turn; one of `high` is high, the others low."""
    return {
        f"{prefix}{speaker:02}-{i:03}": {
            "wav": f"{prefix}{speaker}{i}.wav",
            "speaker": f"{prefix}{speaker}",
            "emotion": "low" if i % high else "high",
        }
        for speaker in range(n_speakers)
        for i in range(each)
    }


@pytest.fixture
def languages():
    """60 utterances of the source, 200 of the target."""
    return {"source": corpus("s", 6, 10, 2), "target": corpus("t")}


def classes(annotation):
    """How many of each class."""
    return collections.Counter(e["emotion"] for e in annotation.values())


def speakers(annotation):
    """Who speaks."""
    return {entry["speaker"] for entry in annotation.values()}


# Holding out


@pytest.mark.parametrize("unit", ["utterance", "speaker"])
@pytest.mark.parametrize("share", [0.05, 0.1, 0.3, 0.5, 0.95])
def test_share_is_held_out(unit, share):
    """Nothing lost, nothing twice; as much as was asked for."""
    annotation = corpus("t")
    rest, held_out = hold_out(annotation, share, unit)
    assert rest | held_out == annotation
    assert not set(rest) & set(held_out)
    if unit == "speaker":
        assert not speakers(rest) & speakers(held_out)
        # whole speakers of 20, the first that reach it, one is always left
        wanted = min(-(-200 * share // 20), 9)
        assert len(speakers(held_out)) == wanted
        assert len(held_out) == 20 * wanted
    else:
        assert len(held_out) == pytest.approx(200 * share, abs=1)
        for word, count in classes(annotation).items():
            found = classes(held_out)[word]
            assert found == pytest.approx(share * count, abs=0.5)


def test_share_that_speakers_reach_exactly_takes_no_more():
    """0.3 of ten equal speakers is three, not four: no digit beyond counts."""
    for tenths in range(1, 10):
        _, held_out = hold_out(corpus("t"), tenths / 10, "speaker")
        assert len(speakers(held_out)) == tenths
    # 0.1 + 0.2 is more than 0.3
    _, held_out = hold_out(corpus("t"), 0.1 + 0.2, "speaker")
    assert len(speakers(held_out)) == 3


def test_speakers_of_other_sizes():
    """Until the share is reached: without the last of them it is not."""
    annotation = {}
    for speaker, n in enumerate([1, 30, 2, 50, 9, 8]):
        for i in range(n):
            annotation[f"{speaker}-{i}"] = {
                "speaker": speaker,
                "emotion": "low",
            }
    rest, held_out = hold_out(annotation, 0.4, "speaker")
    assert len(held_out) >= 40 and len(rest) + len(held_out) == 100
    sizes = collections.Counter(e["speaker"] for e in held_out.values())
    assert min(len(held_out) - n for n in sizes.values()) < 40


def test_speakers_are_drawn_not_counted_off():
    """The first ones by name need not be like the others."""
    names = sorted(speakers(corpus("t", 20)))
    _, held_out = hold_out(corpus("t", 20), 0.5, "speaker")
    assert sorted(speakers(held_out)) not in (names[:10], names[10:])


@pytest.mark.parametrize("unit", ["utterance", "speaker"])
def test_one_speaker_is_always_left(unit):
    """Two speakers, any share: each on one side."""
    annotation = corpus("t", 2)
    for share in (0.01, 0.99):
        rest, held_out = hold_out(annotation, share, unit)
        assert rest and held_out


@pytest.mark.parametrize("unit", ["utterance", "speaker"])
def test_order_of_the_annotation_does_not_matter(unit):
    """The same parts."""
    annotation = corpus("t")
    assert hold_out(annotation, 0.3, unit) == hold_out(
        shuffled(annotation), 0.3, unit
    )


@pytest.mark.parametrize("unit", ["utterance", "speaker"])
@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5])
def test_shares_out_of_range_are_refused(unit, share):
    """All or nothing is no share."""
    with pytest.raises(InputError, match="share to hold out is"):
        hold_out(corpus("t"), share, unit)


def test_what_cannot_be_drawn_is_refused():
    """A unit that there is not, too few speakers, one that is not known."""
    with pytest.raises(InputError, match="'session'.*utterance, speaker"):
        hold_out(corpus("t"), 0.3, "session")
    with pytest.raises(InputError, match="two speakers, 1 is there"):
        hold_out(corpus("t", 1), 0.3, "speaker")
    annotation = corpus("t")
    annotation["t03-007"]["speaker"] = None
    with pytest.raises(InputError, match="t03-007 has no speaker"):
        hold_out(annotation, 0.3, "speaker")
    hold_out(annotation, 0.3, "utterance")


# Two languages


@pytest.mark.parametrize("split_by", ["utterance", "speaker"])
def test_the_source_trains_and_the_target_tests(languages, split_by):
    """All of the source; of the target 30 % choose and 70 % test."""
    parts = cross_lingual(languages, **(CROSS | {"split_by": split_by}))
    assert parts["train"] == languages["source"]
    assert parts["valid"] | parts["test"] == languages["target"]
    sizes = {name: len(part) for name, part in parts.items()}
    assert sizes == {"train": 60, "valid": 60, "test": 140}
    if split_by == "utterance":
        assert classes(parts["valid"]) == {"low": 45, "high": 15}
    else:
        assert not speakers(parts["valid"]) & speakers(parts["test"])


@pytest.mark.parametrize("split_by", ["utterance", "speaker"])
def test_development_on_the_source_takes_nothing_of_the_target(
    languages, split_by
):
    """And tests the same utterances, so that the two can be compared."""
    settings = CROSS | {"split_by": split_by}
    paper = cross_lingual(languages, **settings)
    strict = cross_lingual(
        languages, **(settings | {"valid_language": "source"})
    )
    assert strict["test"] == paper["test"]
    assert strict["train"] | strict["valid"] == languages["source"]
    assert not set(strict["train"]) & set(strict["valid"])
    if split_by == "speaker":
        assert not speakers(strict["train"]) & speakers(strict["valid"])
        assert len(speakers(strict["valid"])) == 1
    else:
        assert classes(strict["valid"]) == {"low": 3, "high": 3}


@pytest.mark.parametrize("valid_language", ["target", "source"])
def test_unlabelled_utterances_of_the_target_take_no_part(
    languages, valid_language
):
    """They neither choose nor test, and move no share."""
    settings = CROSS | {"valid_language": valid_language}
    expected = cross_lingual(languages, **settings)
    more = {
        f"u{i}": {"wav": "u.wav", "emotion": None, "speaker": f"u{i}"}
        for i in range(50)
    } | {"v": {"wav": "v.wav"}}
    languages["target"] = shuffled(languages["target"] | more)
    assert cross_lingual(languages, **settings) == expected


def test_target_without_any_label(languages):
    """Nothing tests; only the source can choose."""
    for entry in languages["target"].values():
        entry["emotion"] = None
    with pytest.raises(InputError, match="--valid_language source"):
        cross_lingual(languages, **CROSS)
    parts = cross_lingual(languages, **(CROSS | {"valid_language": "source"}))
    assert parts["test"] == {} and len(parts["valid"]) == 6


def test_other_developments_are_refused(languages):
    """With those that there are."""
    with pytest.raises(InputError, match="'test'.*target, source"):
        cross_lingual(languages, **(CROSS | {"valid_language": "test"}))
    for share in ({"valid_share": 0}, {"valid_share": 1}):
        with pytest.raises(
            InputError, match="--valid_share is .*: give a number"
        ):
            cross_lingual(languages, **(CROSS | share))
    with pytest.raises(InputError, match="--source_valid_share is 1.0: give"):
        cross_lingual(
            languages,
            **(CROSS | {"valid_language": "source", "source_valid_share": 1.0}),
        )


@pytest.mark.parametrize("split_by", ["utterance", "speaker"])
@pytest.mark.parametrize("valid_language", ["target", "source"])
def test_same_parts_whatever_the_order(languages, split_by, valid_language):
    """Of both annotations."""
    settings = CROSS | {"split_by": split_by, "valid_language": valid_language}
    other = {name: shuffled(part) for name, part in languages.items()}
    assert cross_lingual(other, **settings) == cross_lingual(
        languages, **settings
    )
    settings = MONO | {"split_by": split_by}
    assert mono_lingual(other, **settings) == mono_lingual(
        languages, **settings
    )


# One language


def test_mono_shares_are_of_all_utterances(languages):
    """70, 5 and 25 %, within each class; the source is not looked at."""
    parts = mono_lingual({"target": languages["target"]}, **MONO)
    everything = {}
    for part in parts.values():
        assert not set(part) & set(everything)
        everything |= part
    assert everything == languages["target"]
    sizes = {name: len(part) for name, part in parts.items()}
    assert sizes == {"train": 140, "valid": 10, "test": 50}
    assert classes(parts["test"])["high"] == 12
    assert classes(parts["valid"])["high"] in (2, 3)
    larger = mono_lingual(languages, **(MONO | {"mono_valid_share": 0.3}))
    sizes = {name: len(part) for name, part in larger.items()}
    assert sizes["valid"] == pytest.approx(60, abs=1)
    assert larger["test"] == parts["test"]


def test_mono_by_speaker_has_no_speaker_on_two_sides(languages):
    """Of the three."""
    settings = MONO | {"split_by": "speaker", "mono_valid_share": 0.15}
    parts = mono_lingual(languages, **settings)
    who = [speakers(part) for part in parts.values()]
    assert sum(map(len, who)) == len(set().union(*who)) == 10
    sizes = {name: len(speakers(part)) for name, part in parts.items()}
    assert sizes == {"train": 5, "valid": 2, "test": 3}


def test_mono_leaves_out_what_has_no_label(languages):
    """And has nothing to do without any."""
    expected = mono_lingual(languages, **MONO)
    languages["target"] |= {"u": {"wav": "u.wav", "emotion": None}}
    assert mono_lingual(languages, **MONO) == expected
    with pytest.raises(InputError, match="mono trains on them"):
        mono_lingual({"target": {"u": {"emotion": None}}}, **MONO)
    with pytest.raises(InputError, match="mono trains on them"):
        mono_lingual({"target": {}}, **MONO)


def test_mono_shares_that_leave_nothing_are_refused(languages):
    """0.5 and 0.5 of all would train on nobody."""
    shares = {"mono_test_share": 0.5, "mono_valid_share": 0.5}
    for split_by in ("utterance", "speaker"):
        with pytest.raises(InputError, match="share to hold out"):
            mono_lingual(languages, **(shares | {"split_by": split_by}))
