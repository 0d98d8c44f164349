"""Splits: what they hold, what they never hold, and what they refuse."""

import collections
import itertools
import math
import random

import pytest

from speechbrain_ser.corpora.protocols.splits import (
    agreement,
    ambiguity_split,
    check_classes,
    check_disjoint,
    check_speakers,
    leave_one_session_out,
    leave_one_speaker_out,
    random_k_fold,
    split_fingerprint,
    stratified_share,
)
from speechbrain_ser.utils.errors import InputError

LABELS = ["ang", "hap", "neu", "sad"]
VOTES = [
    [["x"], ["x"], ["x"]],
    [["x"], ["x"], ["x", "fru"]],
    [["x"], ["x"], ["fru"]],
    [["x"], ["fru"], ["oth"]],
]


def corpus(n_sessions=5, each=20):
    """Two speakers a session, `each` utterances of a speaker."""
    annotation = {}
    for session in range(1, n_sessions + 1):
        for sex in "FM":
            for number in range(each):
                label = LABELS[number % 4]
                votes = VOTES[(number // 4 + session) % 4]
                annotation[f"Ses{session:02}_{sex}{number:03}"] = {
                    "wav": f"{session}{sex}{number}.wav",
                    "emotion": label,
                    "speaker": f"Ses{session:02}_{sex}",
                    "session": session,
                    "votes": [
                        [label if word == "x" else word for word in words]
                        for words in votes
                    ],
                }
    return annotation


def in_pieces(annotation):
    """Each utterance split in two."""
    return {
        f"{key}-{number}": {**entry, "utterance": key}
        for key, entry in annotation.items()
        for number in (1, 2)
    }


def values(annotation, key):
    """The set of a key's values."""
    return {entry[key] for entry in annotation.values()}


def counts(annotation):
    """How many utterances each class has."""
    return collections.Counter(
        entry["emotion"] for entry in annotation.values()
    )


PROTOCOLS = {
    "session, share": lambda a: leave_one_session_out(a, 2),
    "session, session": lambda a: leave_one_session_out(a, 2, "session"),
    "speaker": lambda a: leave_one_speaker_out(a, 3),
    "random": lambda a: random_k_fold(a, 2),
    "ambiguity": lambda a: ambiguity_split(a, 30),
    "ambiguity, precise": lambda a: ambiguity_split(a, 30, precise_size=21),
    "ambiguity, session": lambda a: ambiguity_split(a, 10, held_out_session=2),
}


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
class TestEveryProtocol:
    """What holds for all of them."""

    def test_disjoint_and_unchanged(self, protocol):
        """Each entry is in one part, as it was."""
        annotation = corpus()
        keys = []
        for part in protocol(annotation).values():
            assert part
            for key, entry in part.items():
                assert entry is annotation[key]
                keys.append(key)
        assert len(keys) == len(set(keys))
        assert annotation == corpus()

    def test_the_order_does_not_matter(self, protocol):
        """Shuffled, the parts are the same to the order of their ids."""
        items = list(corpus().items())
        random.Random(1).shuffle(items)
        first, second = protocol(corpus()), protocol(dict(items))
        assert first == second
        assert [list(part) for part in first.values()] == [
            list(part) for part in second.values()
        ]

    def test_pieces_stay_together(self, protocol):
        """The pieces of an utterance are all in one part."""
        owner = {}
        for name, part in protocol(in_pieces(corpus())).items():
            for entry in part.values():
                assert owner.setdefault(entry["utterance"], name) == name


@pytest.mark.parametrize("fold", range(1, 6))
def test_session_out_with_a_share(fold):
    """The test session alone tests; 10 % of each class validate."""
    annotation = corpus()
    parts = leave_one_session_out(annotation, fold)
    assert values(parts["test"], "session") == {fold}
    assert len(parts["test"]) == 40
    for name in ("train", "valid"):
        assert values(parts[name], "session") == {1, 2, 3, 4, 5} - {fold}
    assert counts(parts["valid"]) == dict.fromkeys(LABELS, 4)
    assert sum(map(len, parts.values())) == len(annotation)


@pytest.mark.parametrize("fold, following", [(1, 2), (4, 5), (5, 1)])
def test_session_out_with_a_session(fold, following):
    """The next session validates, after the last the first."""
    parts = leave_one_session_out(corpus(), fold, "session")
    assert values(parts["test"], "session") == {fold}
    assert values(parts["valid"], "session") == {following}
    assert values(parts["train"], "session") == {1, 2, 3, 4, 5} - {
        fold,
        following,
    }


def test_session_out_orders_sessions_by_number():
    """Session 10 comes behind session 9."""
    parts = leave_one_session_out(corpus(n_sessions=11, each=4), 10)
    assert values(parts["test"], "session") == {10}


def test_session_out_depends_on_the_seed():
    """Another seed validates on other utterances."""
    drawn = {
        tuple(leave_one_session_out(corpus(), 1, seed=seed)["valid"])
        for seed in range(3)
    }
    assert len(drawn) == 3


@pytest.mark.parametrize("fold", [0, 6, -1, "1", 1.0, True, None])
def test_session_out_refuses_a_fold(fold):
    """The range is named."""
    with pytest.raises(InputError, match="fold is .* from 1 to 5"):
        leave_one_session_out(corpus(), fold)


def test_session_out_refuses_settings():
    """Another way to validate, shares out of range."""
    with pytest.raises(InputError, match="valid is 'none': set it to 'share'"):
        leave_one_session_out(corpus(), 1, "none")
    for share in (0, 1, -0.1, "0.1", True):
        with pytest.raises(InputError, match="between 0 and 1"):
            leave_one_session_out(corpus(), 1, valid_share=share)


@pytest.mark.parametrize("valid, needed", [("share", 2), ("session", 3)])
def test_session_out_needs_sessions(valid, needed):
    """One fewer is refused, as many are enough."""
    leave_one_session_out(corpus(needed), 1, valid)
    with pytest.raises(InputError, match=f"needs {needed} sessions"):
        leave_one_session_out(corpus(needed - 1), 1, valid)


@pytest.mark.parametrize("valid", ["share", "session"])
def test_session_out_refuses_a_speaker_of_two_sessions(valid):
    """Somebody of the test session speaks elsewhere, too."""
    annotation = corpus()
    annotation["Ses03_F000"]["speaker"] = "Ses01_M"
    with pytest.raises(InputError, match="'Ses01_M' stands in train and in"):
        leave_one_session_out(annotation, 1, valid)


@pytest.mark.parametrize("key", ["session", "speaker"])
@pytest.mark.parametrize(
    "split", [leave_one_session_out, leave_one_speaker_out]
)
def test_leaving_out_needs_keys(split, key):
    """An entry without them cannot be placed."""
    annotation = corpus()
    del annotation["Ses02_F003"][key]
    with pytest.raises(InputError, match=f"'Ses02_F003' has no {key}"):
        split(annotation, 1)


@pytest.mark.parametrize("fold", range(1, 11))
def test_speaker_out(fold):
    """The partner validates, the other sessions train."""
    parts = leave_one_speaker_out(corpus(), fold)
    session = (fold + 1) // 2
    sexes = "FM" if fold % 2 else "MF"
    assert values(parts["test"], "speaker") == {f"Ses{session:02}_{sexes[0]}"}
    assert values(parts["valid"], "speaker") == {f"Ses{session:02}_{sexes[1]}"}
    assert values(parts["train"], "session") == {1, 2, 3, 4, 5} - {session}
    assert sum(map(len, parts.values())) == 200


def test_speaker_out_refuses():
    """No such fold, no partner, nobody else, a speaker of two sessions."""
    with pytest.raises(InputError, match="fold is 11: .* from 1 to 10"):
        leave_one_speaker_out(corpus(), 11)
    alone = {k: v for k, v in corpus().items() if not k.startswith("Ses05_F")}
    with pytest.raises(InputError, match="Session 5 has no speaker but 'Ses05"):
        leave_one_speaker_out(alone, 9)
    with pytest.raises(InputError, match="nobody is left to train on"):
        leave_one_speaker_out(corpus(1), 1)
    moved = corpus()
    moved["Ses01_F000"]["session"] = 2
    with pytest.raises(InputError, match="speaks in the sessions 1, 2"):
        leave_one_speaker_out(moved, 1)


def test_random_folds_cover_everything_once():
    """Each utterance tests once; every class as often in each fold."""
    annotation = corpus()
    tested = []
    for fold in range(1, 6):
        parts = random_k_fold(annotation, fold)
        tested += parts["test"]
        assert counts(parts["test"]) == dict.fromkeys(LABELS, 10)
        assert counts(parts["valid"]) == dict.fromkeys(LABELS, 4)
        assert sum(map(len, parts.values())) == len(annotation)
    assert sorted(tested) == sorted(annotation)


def test_random_folds_need_no_speaker():
    """The labels are enough."""
    annotation = {str(i): {"emotion": "sad"} for i in range(20)}
    assert len(random_k_fold(annotation, 1, n_folds=4)["test"]) == 5
    first = random_k_fold(annotation, 1)
    assert first != random_k_fold(annotation, 1, seed=1)


def test_random_folds_refuse():
    """No such fold, too few folds, a class with fewer utterances."""
    with pytest.raises(InputError, match="fold is 6: .* from 1 to 5"):
        random_k_fold(corpus(), 6)
    for n_folds in (1, 2.0, "5"):
        with pytest.raises(InputError, match="n_folds is "):
            random_k_fold(corpus(), 1, n_folds)
    annotation = corpus()
    annotation["Ses01_F000"]["emotion"] = "sur"
    with pytest.raises(InputError, match="'sur' has 1 utterances for 5 folds"):
        random_k_fold(annotation, 1)


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
    assert set(shares["precise"]) == {1.0}
    assert len(parts["evaluation"]) == 30
    assert max(shares["ambiguous"]) < 1
    assert max(shares["evaluation"]) <= min(shares["ambiguous"])
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
        assert "".join(parts["evaluation"]) == expected


def test_ambiguity_by_a_share():
    """Of those that are not unanimous."""
    parts = ambiguity_split(corpus(), 0.25)
    n_ambiguous = len(parts["evaluation"]) + len(parts["ambiguous"])
    assert len(parts["evaluation"]) == round(0.25 * n_ambiguous)


def test_ambiguity_keeps_some_of_the_precise():
    """Exactly so many, of every class, the others are ambiguous."""
    whole = ambiguity_split(corpus(), 30)
    parts = ambiguity_split(corpus(), 30, precise_size=21)
    assert parts["evaluation"] == whole["evaluation"]
    assert len(parts["precise"]) == 21
    assert parts["precise"].items() <= whole["precise"].items()
    assert set(counts(parts["precise"]).values()) == {5, 6}
    assert sum(map(len, parts.values())) == 200
    other = ambiguity_split(corpus(), 30, precise_size=21, seed=1)
    assert other["precise"] != parts["precise"]
    assert other["evaluation"] == parts["evaluation"]


@pytest.mark.parametrize("session", [2, "2"])
def test_ambiguity_with_a_held_out_session(session):
    """No speaker of the evaluation set is trained on."""
    parts = ambiguity_split(corpus(), 10, held_out_session=session)
    assert len(parts["evaluation"]) == 10
    assert values(parts["evaluation"], "session") == {2}
    training = {**parts["precise"], **parts["ambiguous"]}
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
    message = f"is 400 but only {n_ambiguous} .*make evaluation_size smaller"
    with pytest.raises(InputError, match=message):
        ambiguity_split(corpus())
    with pytest.raises(InputError, match="is 150 .* in session 2 are not un"):
        ambiguity_split(corpus(), 150, held_out_session=2)
    for size in (0, -1, 1.0, 1.5, 0.0, "400", True, None):
        with pytest.raises(InputError, match="evaluation_size is .*: set it"):
            ambiguity_split(corpus(), size)
    for size in (0, 0.5, "1", True):
        with pytest.raises(InputError, match="precise_size is .*: set it"):
            ambiguity_split(corpus(), 30, precise_size=size)
    with pytest.raises(InputError, match="precise_size is 199 but only 48"):
        ambiguity_split(corpus(), 30, precise_size=199)
    with pytest.raises(InputError, match="is 9: choose among 1, 2, 3, 4, 5"):
        ambiguity_split(corpus(), 30, held_out_session=9)


def test_ambiguity_refuses_empty_parts():
    """Nothing ambiguous left, nothing precise, nothing to disagree about."""
    n_ambiguous = sum(agreement(entry)[0] < 1 for entry in corpus().values())
    with pytest.raises(InputError, match="ambiguous part would be empty"):
        ambiguity_split(corpus(), n_ambiguous)
    # What precise_size leaves over makes it up.
    ambiguity_split(corpus(), n_ambiguous, precise_size=10)
    disputed = {
        key: entry for key, entry in corpus().items() if agreement(entry)[0] < 1
    }
    with pytest.raises(InputError, match="precise part would be empty"):
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


@pytest.mark.parametrize(
    "n, share, expected",
    [(1, 0.5, 0), (2, 0.01, 1), (2, 0.99, 1), (10, 0.2, 2), (40, 0.1, 4)],
)
def test_stratified_share(n, share, expected):
    """At least one, never all, of a class; a class of one keeps it."""
    annotation = {f"a{i}": {"emotion": "ang"} for i in range(n)}
    annotation.update({f"s{i}": {"emotion": "sad"} for i in range(30)})
    rest, held_out = stratified_share(annotation, share)
    assert counts(held_out)["ang"] == expected
    assert counts(rest)["ang"] == n - expected
    assert counts(held_out)["sad"] == min(max(1, round(30 * share)), 29)
    assert {**rest, **held_out} == annotation


def test_stratified_share_of_nothing():
    """Nothing can be held out of classes of one."""
    with pytest.raises(InputError, match="No utterance can be held out of 1"):
        stratified_share({"a": {"emotion": "sad"}}, 0.5)


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
