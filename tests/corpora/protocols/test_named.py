"""Named protocols: what they promise, and that they never change."""

import collections

import pytest

from speechbrain_ser.corpora.protocols import named as named_protocols
from speechbrain_ser.corpora.protocols.ambiguity import ambiguity_split
from speechbrain_ser.corpora.protocols.checks import split_fingerprint
from speechbrain_ser.utils.errors import InputError
from tests.corpora.protocols import test_open, test_open_lingual
from tests.corpora.protocols.made import corpus
from tests.references import menan

# The first eight digits of the split's SHA-256 (of the first fold) on a made
# corpus. If one differs, the split has changed: give it another version.
PINNED = {
    "iemocap-ambiguity@1": "522b32f1",
    "iemocap-5fold-loso@1": "63998470",
    "iemocap-10fold-loso@1": "4703740b",
    "iemocap-5fold-two-speakers@1": "b29dae69",
    "mer2023-5fold@1": "63a620eb",
    "cross-lingual@1": "72bb5dbe",
    "mono-lingual@1": "3c0ec99d",
    "cmu-mosei-four-classes@1": "e3c67b83",
}
# Those of open corpora and of a CSV are tested on their own.
OPEN = {**test_open.PINNED, **test_open_lingual.PINNED}
OTHERS = [name for name in named_protocols.PROTOCOLS if name not in OPEN]
SMALL = {"iemocap-ambiguity@1": {"test_size": 40}}
# The same with split_by speaker, which numbers are also told of.
BY_SPEAKER = {"cross-lingual@1": "b49d8d81", "mono-lingual@1": "eb849bf0"}
LINGUAL = ["cross-lingual@1", "mono-lingual@1"]
# One after the other: each emotion alone, several, and none.
RATINGS = [
    {"happy": 1 / 3},
    {"sad": 2.0, "fear": 1.0},
    {"anger": 3.0, "happy": 2 / 3, "sad": 1 / 3},
    {"surprise": 1.0},
    {},
    {"disgust": 1 / 3, "anger": 1 / 3},
    {"fear": 1 / 3},
]


def test_every_protocol_is_pinned():
    """Once, by its name."""
    assert list(named_protocols.PROTOCOLS) == [*PINNED, *OPEN]


def parts_of(name, fold=1, **changes):
    """A protocol's split of a made corpus, or of two."""
    made = corpus(each=40)
    if name in LINGUAL:
        source = {f"fr-{key}": entry for key, entry in corpus(each=12).items()}
        made = {"source": source, "target": made}
    elif name == "cmu-mosei-four-classes@1":
        made = rated_corpus()
    return named_protocols.split(
        name, made, fold=fold, **(SMALL.get(name, {}) | changes)
    )


def rated_corpus():
    """The made corpus with ratings as CMU-MOSEI has them, no emotion."""
    made = {}
    for number, (key, entry) in enumerate(corpus(each=40).items()):
        ratings = dict.fromkeys((*menan.RATED, "sentiment"), 0.0)
        ratings["sentiment"] = -1.0
        ratings |= RATINGS[number % len(RATINGS)]
        made[key] = {"wav": entry["wav"], "ratings": ratings}
    return made


@pytest.mark.parametrize("name", OTHERS)
def test_a_protocol_never_changes_under_its_name(name):
    """The split of a corpus is what it was when the protocol was named."""
    found = split_fingerprint(parts_of(name))
    assert found.startswith(PINNED[name]), found


@pytest.mark.parametrize("name", LINGUAL)
def test_nor_does_its_split_by_speaker(name):
    """Which speakers are held out is what it was."""
    found = split_fingerprint(parts_of(name, split_by="speaker"))
    assert found.startswith(BY_SPEAKER[name]), found


@pytest.mark.parametrize(
    "name",
    [
        "iemocap-5fold-loso@1",
        "iemocap-10fold-loso@1",
        "iemocap-5fold-two-speakers@1",
    ],
)
def test_folds_test_everyone_once_and_no_one_trained_on(name):
    """Each utterance tests in one fold; its speaker trains in none."""
    tested = collections.Counter()
    for fold in range(1, named_protocols.PROTOCOLS[name].folds + 1):
        parts = parts_of(name, fold)
        tested.update(list(parts["test"]))
        speakers = {
            part: {entry["speaker"] for entry in annotation.values()}
            for part, annotation in parts.items()
        }
        others = speakers["train"] | speakers.get("valid", set())
        assert not speakers["test"] & others
        if name == "iemocap-10fold-loso@1":
            assert len(speakers["test"]) == len(speakers["valid"]) == 1
            assert not speakers["valid"] & speakers["train"]
            assert len(speakers["train"]) == 8
        if name == "iemocap-5fold-two-speakers@1":
            assert list(speakers) == ["train", "test"]
            assert len(speakers["test"]) == 2 and len(speakers["train"]) == 8
    assert tested == collections.Counter(list(corpus(each=40)))


def test_mer2023_folds_test_every_clip_once():
    """Stratified: each part has its share of each class."""
    name = "mer2023-5fold@1"
    sizes = {"neu": 101, "ang": 52, "sur": 11}
    annotation = {
        f"sample_{label}{number:03}": {"emotion": label}
        for label, size in sizes.items()
        for number in range(size)
    }
    tested = collections.Counter()
    for fold in range(1, named_protocols.PROTOCOLS[name].folds + 1):
        parts = named_protocols.split(name, annotation, fold=fold)
        whole = parts["train"] | parts["valid"] | parts["test"]
        assert whole == annotation
        assert sum(map(len, parts.values())) == len(annotation)
        tested.update(list(parts["test"]))
        for label, size in sizes.items():
            counts = {
                part: [entry["emotion"] for entry in each.values()].count(label)
                for part, each in parts.items()
            }
            assert counts["test"] == pytest.approx(size / 5, abs=1)
            assert counts["valid"] == pytest.approx(0.08 * size, abs=1)
    assert tested == collections.Counter(list(annotation))


def test_mer2023_takes_all_of_its_labels():
    """In the reader's order."""
    from speechbrain_ser.corpora.mer2023 import LABELS

    reading = named_protocols.PROTOCOLS["mer2023-5fold@1"].reading
    assert reading == {"labels": list(LABELS)}


def test_ambiguity_validates_on_a_tenth_of_d1():
    """The parts are the agreement split's, but for the share of D1."""
    parts = parts_of("iemocap-ambiguity@1")
    plain = ambiguity_split(corpus(each=40), test_size=40)
    precise = parts["train"] | parts["valid"]
    assert precise == plain["train"]
    assert parts["unlabelled"] == plain["unlabelled"]
    assert parts["test"] == plain["test"]
    assert len(parts["valid"]) == pytest.approx(len(precise) / 10, abs=2)
    without = named_protocols.split(
        "iemocap-ambiguity@1",
        corpus(each=40),
        test_size=40,
        valid_share=None,
    )
    assert without["valid"] == {}
    assert without["train"] == plain["train"]


def test_shares_of_the_two_languages():
    """Those of the paper: 30 and 70 %; 70, 5 and 25 %."""
    cross = parts_of("cross-lingual@1")
    sizes = {name: len(part) for name, part in cross.items()}
    assert sizes == {"train": 120, "valid": 120, "test": 280}
    assert all(key.startswith("fr-") for key in cross["train"])
    mono = parts_of("mono-lingual@1")
    sizes = {name: len(part) for name, part in mono.items()}
    assert sizes == {"train": 280, "valid": 20, "test": 100}


@pytest.mark.parametrize("name", LINGUAL)
def test_changes_reach_the_split(name):
    """Each setting of the protocol changes the parts."""
    before = split_fingerprint(parts_of(name))
    splitting = named_protocols.PROTOCOLS[name].splitting
    found = {before}
    for key, value in splitting.items():
        if key == "source_valid_share":
            continue  # which is used with the next one
        other = {"target": "source", "utterance": "speaker"}
        changed = other.get(value) or value / 2
        found.add(split_fingerprint(parts_of(name, **{key: changed})))
    count = len(splitting) - ("source_valid_share" in splitting)
    assert len(found) == 1 + count
    if "source_valid_share" in splitting:
        parts = parts_of(name, valid_language="source", source_valid_share=0.2)
        assert len(parts["valid"]) == 24


@pytest.mark.parametrize("name", LINGUAL)
def test_the_recipe_has_the_settings_of_the_two_languages(name):
    """Its defaults are the protocol; the name says what else is given."""
    from speechbrain_ser.experiment import hparams
    from tests.recipes.helpers import ROOT

    path = ROOT / "recipes" / "RECOLA" / "hparams" / "dann.yaml"
    settings = hparams.peek(str(path), "")
    assert named_protocols.full_name(name, settings) == name
    protocol = named_protocols.PROTOCOLS[name]
    for key in protocol.reading | protocol.splitting:
        found = named_protocols.full_name(name, settings | {key: "else"})
        assert found == f"{name} with {key} else"
        assert key in settings


def test_cmu_mosei_is_evaluated_and_trains_nobody():
    """Whom the reference selects, with the right answers that it finds."""
    made = rated_corpus()
    parts = named_protocols.split("cmu-mosei-four-classes@1", made)
    assert list(parts) == ["test"]
    expected = {
        key: menan.mosei_present(
            {name: entry["ratings"][name] for name in menan.RATED}
        )
        for key, entry in made.items()
    }
    expected = {key: answers for key, answers in expected.items() if answers}
    assert 0 < len(expected) < len(made)
    found = {k: set(e["present"]) for k, e in parts["test"].items()}
    assert found == expected
    protocol = named_protocols.PROTOCOLS["cmu-mosei-four-classes@1"]
    assert protocol.folds == 1
    assert not protocol.reading | protocol.splitting


def test_unknown_protocols_are_refused():
    """With those that there are."""
    with pytest.raises(InputError, match="'loso'.*iemocap-5fold-loso@1"):
        named_protocols.split("loso", corpus())


def test_the_name_says_every_change():
    """A number of a changed protocol can't pass for one of the named one."""
    protocol = named_protocols.PROTOCOLS["iemocap-ambiguity@1"]
    settings = protocol.reading | protocol.splitting | {"lr": 0.1}
    name = "iemocap-ambiguity@1"
    assert named_protocols.full_name(name, settings) == name
    for key in protocol.reading | protocol.splitting:
        found = named_protocols.full_name(name, settings | {key: "else"})
        assert found == f"{name} with {key} else"
    for key in protocol.reading | protocol.splitting:
        assert key in import_settings(), key


def import_settings():
    """The settings of the IPR recipe's YAML."""
    from speechbrain_ser.experiment import hparams
    from tests.recipes.helpers import ROOT

    path = ROOT / "recipes" / "IEMOCAP" / "hparams" / "ipr.yaml"
    return hparams.peek(str(path), "")


@pytest.mark.parametrize("left_out", ["session 2", "speaker 2F", "session 5"])
@pytest.mark.parametrize("name", OTHERS)
def test_a_fold_tests_whom_its_number_says(name, left_out):
    """In a corpus that is not whole as in the whole one, or it is refused."""
    protocol = named_protocols.PROTOCOLS[name]
    kind, who = left_out.split()
    whole = corpus()
    if protocol.folds == 1 or len(sessions_tested(protocol, whole, 1)) > 1:
        pytest.skip("no fold of it is a session or a speaker")
    key = f"Ses0{who[0]}" + ("_F" if kind == "speaker" else "")
    rest = {k: e for k, e in whole.items() if not k.startswith(key)}
    refused = []
    for fold in range(1, protocol.folds + 1):
        expected = sessions_tested(protocol, whole, fold)
        try:
            found = protocol.split(rest, fold)["test"]
        except InputError as error:
            refused.append((fold, str(error)))
            continue
        assert {e["session"] for e in found.values()} == expected
        assert set(found) <= set(protocol.split(whole, fold)["test"])
    if kind == "session":
        # all that test a missing session; the message names it
        assert len(refused) >= protocol.folds // 5
        assert all(
            f"session {who}" in said or "from 1 to" in said
            for _, said in refused
        )
        assert 1 not in dict(refused)


def sessions_tested(protocol, annotation, fold):
    """The sessions that a fold tests."""
    if protocol.name in LINGUAL:
        return {1, 2}
    found = protocol.split(annotation, fold)["test"]
    return {entry["session"] for entry in found.values()}


@pytest.mark.parametrize("name", OTHERS)
def test_one_speaker_alone_is_refused(name):
    """Where strangers are to be tested, by one sentence."""
    protocol = named_protocols.PROTOCOLS[name]
    alone = {
        key: entry | {"speaker": "Ses01_F"} for key, entry in corpus().items()
    }
    changes = {"split_by": "speaker"} if name in LINGUAL else {}
    if name == "iemocap-ambiguity@1":
        changes = SMALL[name] | {"held_out_session": 2, "test_size": 5}
    if name in ("mer2023-5fold@1", "cmu-mosei-four-classes@1"):
        pytest.skip("its speakers are not known, or none is trained on")
    given = alone
    if name in LINGUAL:
        given = {"source": corpus(), "target": alone}
    with pytest.raises(InputError, match="[Ss]peaker") as error:
        protocol.split(given, 1, **changes)
    assert "\n" not in str(error.value)
