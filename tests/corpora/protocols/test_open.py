"""Protocols of the open corpora and of a CSV: who is held out from whom."""

import collections
import statistics

import pytest

from speechbrain_ser.corpora.protocols import (
    emodb,
    manifest,
    nemo,
    ravdess,
    speaker_folds,
)
from speechbrain_ser.corpora.protocols.checks import split_fingerprint
from speechbrain_ser.corpora.protocols.named import PROTOCOLS
from speechbrain_ser.utils.errors import InputError
from tests.corpora.protocols.made import in_pieces, shuffled
from tests.corpora.protocols.made_open import made_csv, made_for

# The first eight digits of the SHA-256 of the splits of all folds of a made
# corpus. If one differs, the split has changed: give it another version.
PINNED = {
    "emodb-loso@1": "1c56046a",
    "emodb-shared-5fold@1": "e78143ed",
    "emodb-agreement@1": "0a8ca17c",
    "ravdess-loso@1": "d077dd49",
    "ravdess-6fold@1": "0b544644",
    "ravdess-emobox@1": "24b1cb86",
    "ravdess-intensity@1": "443c27ed",
    "ravdess-dev-6fold@1": "16fab1bf",
    "ravdess-dev-intensity@1": "d7bb2627",
    "nemo-loso@1": "84d9a9c8",
    "nemo-random@1": "b33f34ce",
    "csv-split@1": "9887a875",
    "csv-loso@1": "45acfd1a",
    "csv-5fold-speakers@1": "726e1519",
    "csv-ambiguous@1": "65a5c5cf",
}
SHARED = "emodb-shared-5fold@1"
# The protocols that divide what trains into precise and unlabelled.
DIVIDED = (
    "emodb-agreement@1",
    "ravdess-intensity@1",
    "ravdess-dev-intensity@1",
    "csv-ambiguous@1",
)
STRANGERS = [name for name in PINNED if name != SHARED]
TESTS_ALL = [
    name
    for name in PINNED
    if name not in DIVIDED and "dev" not in name and name != "csv-split@1"
]


def all_folds(name, annotation=None, **changes):
    """The parts of every fold."""
    if annotation is None:
        annotation = made_for(name)
    protocol = PROTOCOLS[name]
    return [
        protocol.split(annotation, fold, **changes)
        for fold in range(1, protocol.n_folds(annotation) + 1)
    ]


def who(annotation):
    """The speakers of a part."""
    return {entry["speaker"] for entry in annotation.values()}


@pytest.mark.parametrize("name", PINNED)
def test_a_protocol_never_changes_under_its_name(name):
    """Every fold of it."""
    parts = {
        f"{fold} {part}": annotation
        for fold, parts in enumerate(all_folds(name), 1)
        for part, annotation in parts.items()
    }
    found = split_fingerprint(parts)
    assert PINNED[name] and found.startswith(PINNED[name]), found[:8]


@pytest.mark.parametrize("name", STRANGERS)
def test_nobody_stands_on_two_sides(name):
    """Who tests is nowhere else; who validates does not train."""
    for parts in all_folds(name):
        assert all(parts.values())
        trained = who(parts["train"]) | who(parts.get("unlabelled", {}))
        assert not who(parts["test"]) & (trained | who(parts["valid"]))
        assert not who(parts["valid"]) & trained


@pytest.mark.parametrize("name", PINNED)
def test_entries_are_in_one_part_as_they_were(name):
    """Nobody is changed, and nobody made up."""
    annotation = made_for(name)
    for parts in all_folds(name, annotation):
        keys = [key for part in parts.values() for key in part]
        assert len(keys) == len(set(keys))
        for part in parts.values():
            assert list(part) == sorted(part)
            assert all(entry is annotation[key] for key, entry in part.items())
    assert annotation == made_for(name)


@pytest.mark.parametrize("name", PINNED)
def test_the_order_does_not_matter(name):
    """Nor with enrolment."""
    annotation = made_for(name)
    for changes in ({}, {"enrolment": 1}):
        first = all_folds(name, annotation, **changes)
        assert first == all_folds(name, shuffled(annotation), **changes)


@pytest.mark.parametrize("name", PINNED)
def test_pieces_stay_together(name):
    """The two pieces of an utterance are in one part, with enrolment too."""
    whole = made_for(name)
    for changes in ({}, {"enrolment": 1}):
        split = all_folds(name, in_pieces(whole), **changes)
        for parts, expected in zip(split, all_folds(name, whole, **changes)):
            assert {
                part: sorted(f"{key}-{n}" for key in found for n in (1, 2))
                for part, found in expected.items()
            } == {part: list(found) for part, found in parts.items()}


@pytest.mark.parametrize("name", TESTS_ALL)
def test_folds_test_everyone_once(name):
    """And each fold's parts are the whole corpus."""
    annotation = made_for(name)
    tested = collections.Counter()
    for parts in all_folds(name, annotation):
        tested.update(list(parts["test"]))
        if name == "ravdess-emobox@1":
            assert len(who(parts["train"])) == 18
        assert sum(map(len, parts.values())) == len(annotation)
    assert tested == collections.Counter(list(annotation))


@pytest.mark.parametrize(
    "name, sizes",
    {
        "emodb-loso@1": (8, 1, 1),
        "ravdess-loso@1": (22, 1, 1),
        "ravdess-6fold@1": (16, 4, 4),
        "ravdess-emobox@1": (18, 2, 4),
        "ravdess-intensity@1": (16, 4, 4),
        "ravdess-dev-6fold@1": (8, 2, 2),
        "ravdess-dev-intensity@1": (8, 2, 2),
        "nemo-loso@1": (7, 1, 1),
        "nemo-random@1": (7, 1, 1),
        "csv-loso@1": (5, 1, 1),
    }.items(),
)
def test_how_many_speakers_train_validate_and_test(name, sizes):
    """In each fold; who tests in the next fold validates in this one."""
    folds = all_folds(name)
    for parts, following in zip(folds, folds[1:] + folds[:1]):
        found = [who(parts[part]) for part in ("train", "valid", "test")]
        assert tuple(map(len, found)) == sizes
        assert found[1] <= who(following["test"])
        if name != "ravdess-emobox@1":
            assert found[1] == who(following["test"])


@pytest.mark.parametrize(
    "name, first",
    {
        "emodb-loso@1": "03",
        "ravdess-loso@1": "01",
        "nemo-loso@1": "EB0",
        "csv-loso@1": "A",
    }.items(),
)
def test_the_first_fold_tests_the_first_speaker(name, first):
    """A number that others quote."""
    assert who(all_folds(name)[0]["test"]) == {first}


def test_folds_of_ravdess_are_balanced_by_gender():
    """Two men and two women; of the twelve one of each."""
    for name, each in (("ravdess-6fold@1", 2), ("ravdess-dev-6fold@1", 1)):
        for parts in all_folds(name):
            for part in ("valid", "test"):
                men = [int(actor) % 2 for actor in who(parts[part])]
                assert men.count(1) == men.count(0) == each


def test_tuning_never_sees_actors_13_to_24():
    """In no part of the folds made for it."""
    for name in ("ravdess-dev-6fold@1", "ravdess-dev-intensity@1"):
        for parts in all_folds(name, enrolment=1):
            assert max(max(who(part)) for part in parts.values()) <= "12"


def test_the_folds_of_emobox():
    """The test parts as its lists have them; eight classes; who validates."""
    listed = "01 11 20 21; 04 10 12 14; 08 09 19 23; 03 05 07 24; " + (
        "02 15 16 18; 06 13 17 22"
    )
    expected = [set(group.split()) for group in listed.split("; ")]
    folds = all_folds("ravdess-emobox@1")
    assert [who(parts["test"]) for parts in folds] == expected
    assert [len(parts["test"]) for parts in folds] == [240] * 6
    assert who(folds[0]["valid"]) == {"04", "10"}
    assert who(folds[5]["valid"]) == {"01", "11"}
    protocol = PROTOCOLS["ravdess-emobox@1"]
    assert len(protocol.reading["labels"]) == 8
    emotions = {e["emotion"] for e in folds[0]["test"].values()}
    assert emotions == set(protocol.reading["labels"])


def test_strong_trains_and_normal_tests():
    """Of neutral, which is never strong, the repetition says it."""
    for parts in all_folds("ravdess-intensity@1"):
        for part, entries in parts.items():
            for entry in entries.values():
                strong = entry["intensity"] == "strong"
                if entry["emotion"] == "neutral":
                    strong = entry["repetition"] == 1
                assert strong == (part in ("train", "valid"))
        assert len(parts["train"]) == len(parts["unlabelled"]) == 16 * 14
        assert len(parts["valid"]) == len(parts["test"]) == 4 * 14


def test_agreement_is_judged_by_who_trains():
    """By their median; nothing of the tested or validating speaker moves it."""
    annotation = made_for("emodb-agreement@1")
    for key, entry in annotation.items():
        if entry["speaker"] in ("03", "08"):
            entry["agreement"] = 0.3 if "a00" in key else 0.99
    fold = PROTOCOLS["emodb-agreement@1"].split(annotation, 1)
    trains = [
        e["agreement"]
        for e in annotation.values()
        if e["speaker"] not in ("03", "08")
    ]
    median = statistics.median(trains)
    assert median == 0.9
    for part in ("train", "valid"):
        assert all(e["agreement"] >= median for e in fold[part].values())
    for part in ("unlabelled", "test"):
        assert all(e["agreement"] < median for e in fold[part].values())
    whole = [e for e in annotation.values() if e["speaker"] not in ("03", "08")]
    assert len(fold["train"]) + len(fold["unlabelled"]) == len(whole)
    strict = PROTOCOLS["emodb-agreement@1"].split(
        annotation, 1, least_agreement=0.95
    )
    assert {e["agreement"] for e in strict["train"].values()} == {1.0, 0.95}


def test_without_agreement_it_is_said_what_to_give():
    """The file and where it belongs."""
    annotation = made_for("emodb-agreement@1")
    del next(iter(annotation.values()))["agreement"]
    with pytest.raises(InputError, match="agreement.csv.*--data_folder") as e:
        PROTOCOLS["emodb-agreement@1"].split(annotation, 1)
    assert "\n" not in str(e.value)


def test_a_random_half_of_each_speaker_is_unlabelled():
    """Half of each; the same ones in all folds; whatever their labels."""
    name = "nemo-random@1"
    folds = all_folds(name)
    seen = {}
    for parts in folds:
        for speaker in who(parts["train"]):
            half = {k for k in parts["unlabelled"] if k.startswith(speaker)}
            rest = {k for k in parts["train"] if k.startswith(speaker)}
            assert len(half) == len(rest) == 12
            assert seen.setdefault(speaker, half) == half
        assert len(parts["test"]) == len(parts["valid"]) == 24
    other = {
        key: entry | {"emotion": "anger"}
        for key, entry in made_for(name).items()
    }
    assert [list(p["unlabelled"]) for p in all_folds(name, other)] == [
        list(p["unlabelled"]) for p in folds
    ]
    assert "ambiguous" not in PROTOCOLS[name].text.replace("not ambiguous", "")


@pytest.mark.parametrize("name", PINNED)
def test_enrolment_is_taken_out_of_what_is_scored(name):
    """So many of each held-out speaker, without labels, the rest unchanged."""
    for plain, parts in zip(all_folds(name), all_folds(name, enrolment=2)):
        assert list(parts) == [*plain, "enrolment"]
        for part in plain:
            if part not in ("valid", "test"):
                assert parts[part] == plain[part]
        held = plain["valid"] | plain["test"]
        left = parts["valid"] | parts["test"]
        assert left | parts["enrolment"] != held  # their labels are gone
        assert set(left) | set(parts["enrolment"]) == set(held)
        assert not set(left) & set(parts["enrolment"])
        count = collections.Counter(
            entry["speaker"] for entry in parts["enrolment"].values()
        )
        assert count == dict.fromkeys(who(held), 2)
        for key, entry in parts["enrolment"].items():
            assert not set(entry) & set(speaker_folds.LABELS)
            kept = {k: v for k, v in held[key].items() if k in entry}
            assert entry == kept and {"wav", "speaker"} <= set(entry)


def test_enrolment_is_drawn_without_a_look_at_labels():
    """Other emotions, the same utterances; and one speaker's in every fold."""
    name = "nemo-loso@1"
    annotation = made_for(name)
    other = {k: e | {"emotion": "anger"} for k, e in annotation.items()}
    drawn = [p["enrolment"] for p in all_folds(name, enrolment=5)]
    assert drawn == [
        p["enrolment"] for p in all_folds(name, other, enrolment=5)
    ]
    by_speaker = collections.defaultdict(set)
    for fold in drawn:
        for speaker in who(fold):
            own = frozenset(k for k in fold if k.startswith(speaker))
            by_speaker[speaker].add(own)
    assert {len(sets) for sets in by_speaker.values()} == {1}
    emotions = {key.split("_")[1] for fold in drawn for key in fold}
    assert len(emotions) == 4


@pytest.mark.parametrize("count", [24, 1000])
def test_too_much_enrolment_is_refused(count):
    """One utterance at least is scored."""
    with pytest.raises(InputError, match=f"--enrolment is {count}, but 'EB0'"):
        all_folds("nemo-loso@1", enrolment=count)
    assert len(all_folds("nemo-loso@1", enrolment=23)[0]["test"]) == 1


@pytest.mark.parametrize("value", [-1, 0.5, True, "ten", None])
@pytest.mark.parametrize("name", PINNED)
def test_enrolment_is_a_whole_number(name, value):
    """By one sentence."""
    with pytest.raises(InputError, match="--enrolment is .*whole number"):
        all_folds(name, enrolment=value)


@pytest.mark.parametrize("name", STRANGERS)
def test_one_speaker_alone_is_refused(name):
    """Nobody is left to validate or to train."""
    annotation = made_for(name)
    first = min(who(annotation))
    alone = {k: e | {"speaker": first} for k, e in annotation.items()}
    with pytest.raises(InputError, match="[Ss]peaker") as error:
        PROTOCOLS[name].split(alone, 1)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["emodb-loso@1", "nemo-loso@1"])
def test_a_fold_tests_whom_its_number_says(name):
    """Without a speaker his fold is refused; the others test as before."""
    annotation = made_for(name)
    folds = all_folds(name, annotation)
    missing = next(iter(who(folds[1]["test"])))
    rest = {k: e for k, e in annotation.items() if e["speaker"] != missing}
    for fold, whole in enumerate(folds, 1):
        if fold == 2:
            with pytest.raises(InputError, match=f"tests {missing}, of whom"):
                PROTOCOLS[name].split(rest, fold)
            continue
        parts = PROTOCOLS[name].split(rest, fold)
        assert parts["test"] == whole["test"]
        following = folds[2 if fold == 1 else fold % len(folds)]
        assert who(parts["valid"]) == who(following["test"])


@pytest.mark.parametrize("name", PINNED)
def test_bad_folds_are_refused(name):
    """With those that there are."""
    protocol = PROTOCOLS[name]
    if protocol.folds == 1:
        return
    annotation = made_for(name)
    count = protocol.n_folds(annotation)
    for fold in (0, count + 1, None, "1", 1.0):
        with pytest.raises(InputError, match=f"whole number from 1 to {count}"):
            protocol.split(annotation, fold)
    mend = protocol.declarations()["fold"].mend
    assert mend(1) is None and mend(0) is not None
    assert (mend(count + 1) is None) == (name == "csv-loso@1")


def test_every_setting_is_declared():
    """So that a recipe refuses a bad one before it reads."""
    for name in PINNED:
        protocol = PROTOCOLS[name]
        assert set(protocol.splitting) <= set(protocol.declarations()), name


# A CSV


def test_the_given_split_is_kept():
    """Part for part, with unlabelled ones."""
    annotation = made_csv()
    for entry in annotation.values():
        if entry["speaker"] == "D":
            entry["split"] = "unlabelled"
    parts = PROTOCOLS["csv-split@1"].split(annotation)
    for part, entries in parts.items():
        assert entries == {
            k: e for k, e in annotation.items() if e["split"] == part
        }
    assert who(parts["unlabelled"]) == {"D"}


@pytest.mark.parametrize("one, other", ["FA", "EA", "FE", "FD"])
def test_a_speaker_on_two_sides_of_a_given_split_is_refused(one, other):
    """Tested or validating, and trained on, with labels or without."""
    annotation = made_csv()
    for entry in annotation.values():
        if entry["speaker"] == "D":
            entry["split"] = "unlabelled"
    key = next(k for k, e in annotation.items() if e["speaker"] == one)
    annotation[key]["speaker"] = other
    with pytest.raises(InputError, match=f"Speaker '{other}' stands in"):
        PROTOCOLS["csv-split@1"].split(annotation)


def test_a_given_split_must_train_and_test():
    """What is missing is named; nobody needs to validate."""
    annotation = made_csv()
    for part in ("train", "test"):
        rest = {k: e for k, e in annotation.items() if e["split"] != part}
        with pytest.raises(InputError, match=f"has the split {part}"):
            PROTOCOLS["csv-split@1"].split(rest)
    rest = {k: e for k, e in annotation.items() if e["split"] != "valid"}
    assert PROTOCOLS["csv-split@1"].split(rest)["valid"] == {}
    del annotation["A/0.wav"]["split"]
    with pytest.raises(InputError, match="'A/0.wav' has no split"):
        PROTOCOLS["csv-split@1"].split(annotation)


def test_groups_of_speakers_are_even_and_balanced():
    """Of sizes that differ by one, and so do the women in them."""
    annotation = {
        f"{speaker}{n}": {
            "speaker": f"s{speaker:02}",
            "gender": "FM"[speaker % 2],
        }
        for speaker in range(23)
        for n in range(3)
    }
    groups = manifest.dealt(annotation)
    assert sorted(s for g in groups for s in g) == sorted(who(annotation))
    assert {len(group) for group in groups} == {4, 5}
    women = [sum(int(s[1:]) % 2 == 0 for s in group) for group in groups]
    assert max(women) - min(women) <= 1
    few = {k: e for k, e in annotation.items() if e["speaker"] < "s04"}
    with pytest.raises(
        InputError, match="5 of them, and there are 4.*csv-loso"
    ):
        manifest.dealt(few)


def test_what_is_ambiguous_stands_in_a_column():
    """Intensity or votes by default; else a column and its words."""
    name = "csv-ambiguous@1"
    for changes, precise in (
        ({}, lambda e: e["votes"][0] == e["votes"][1]),
        (
            {"ambiguous_column": "sure"},
            lambda e: e["columns"]["sure"] == "yes",
        ),
        (
            {"ambiguous_column": "gender", "precise_words": ["F"]},
            lambda e: e["gender"] == "F",
        ),
    ):
        annotation = made_csv()
        if "gender" in changes.values():
            for number, entry in enumerate(annotation.values()):
                entry["gender"] = "FM"[number % 2]
        if not changes:
            strong = {k: dict(e) for k, e in annotation.items()}
            for entry in strong.values():
                entry["intensity"] = "strong" if precise(entry) else "weak"
                entry["votes"] = [["x"], ["y"]]
            assert [
                {part: list(p) for part, p in parts.items()}
                for parts in all_folds(name, strong)
            ] == [
                {part: list(p) for part, p in parts.items()}
                for parts in all_folds(name, annotation)
            ]
        for parts in all_folds(name, annotation, **changes):
            for part, entries in parts.items():
                good = part in ("train", "valid")
                assert all(precise(e) == good for e in entries.values())


def test_a_split_that_is_not_followed_is_told(monkeypatch):
    """Of csv-ambiguous@1, whose folds are its own."""
    said = []
    monkeypatch.setattr(manifest, "warn_once", said.append)
    without = {
        k: {n: v for n, v in e.items() if n != "split"}
        for k, e in made_csv().items()
    }
    expected = all_folds("csv-ambiguous@1", without)
    assert said == []
    for parts, plain in zip(all_folds("csv-ambiguous@1"), expected):
        assert list(parts["test"]) == list(plain["test"])
    assert "column split" in said[0] and "csv-split@1" in said[0]


def test_a_column_that_is_missing_is_named():
    """And the words that stand in one."""
    split = PROTOCOLS["csv-ambiguous@1"].split
    with pytest.raises(InputError, match="no mood.*--ambiguous_column"):
        split(made_csv(), 1, ambiguous_column="mood", precise_words=["a"])
    with pytest.raises(InputError, match="--precise_words is .*'ja'.*no, yes"):
        split(made_csv(), 1, ambiguous_column="sure", precise_words=["ja"])
    mixed = made_csv()
    for entry in mixed.values():
        entry["columns"]["sure"] = "yes" if entry["speaker"] == "A" else "no"
    with pytest.raises(InputError, match="have no precise utterance"):
        for fold in range(1, 6):
            split(mixed, fold, ambiguous_column="sure")
    without = {
        k: {n: v for n, v in e.items() if n != "votes"}
        for k, e in made_csv().items()
    }
    with pytest.raises(InputError, match="has no votes"):
        split(without, 1)


def test_lists_of_speakers_are_the_readers():
    """A protocol knows no reader, but the same speakers and classes."""
    from speechbrain_ser.corpora import (
        emodb as emodb_reader,
        nemo as nemo_reader,
        ravdess as ravdess_reader,
    )
    from speechbrain_ser.corpora.recordings import FOUR

    assert emodb.SPEAKERS == sorted(emodb_reader.SPEAKERS)
    assert nemo.SPEAKERS == sorted(nemo_reader.GENDERS)
    assert ravdess.EIGHT_CLASSES["labels"] == list(ravdess_reader.COUNTS)
    for module in (emodb, nemo, ravdess):
        assert module.FOUR_CLASSES["labels"] == list(FOUR)
