"""Splits: what they hold, what they never hold, and what they refuse."""

import pytest

from speechbrain_ser.corpora.protocols.ambiguity import ambiguity_split
from speechbrain_ser.corpora.protocols.splits import (
    leave_one_session_out,
    leave_one_speaker_out,
    leave_two_speakers_out,
    random_k_fold,
    stratified_share,
)
from speechbrain_ser.utils.errors import InputError
from tests.corpora.protocols.made import (
    LABELS,
    corpus,
    counts,
    in_pieces,
    shuffled,
    values,
)

PROTOCOLS = {
    "session, share": lambda a: leave_one_session_out(a, 2),
    "session, session": lambda a: leave_one_session_out(a, 2, "session"),
    "speaker": lambda a: leave_one_speaker_out(a, 3),
    "two speakers": lambda a: leave_two_speakers_out(a, 3),
    "random": lambda a: random_k_fold(a, 2),
    "ambiguity": lambda a: ambiguity_split(a, 30, valid_share=0.1),
    "ambiguity, precise": lambda a: ambiguity_split(a, 30, 21, valid_share=0.2),
    "ambiguity, session": lambda a: ambiguity_split(a, 10, None, 2, 0.1),
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
        first, second = protocol(corpus()), protocol(shuffled(corpus()))
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


def test_session_out_of_a_missing_session():
    """It is named; the others test what their numbers say."""
    rest = {k: e for k, e in corpus().items() if e["session"] != 2}
    for fold in (1, 3, 4, 5):
        parts = leave_one_session_out(rest, fold)
        assert values(parts["test"], "session") == {fold}
    match = r"--fold 2 tests session 2, which is missing \(there are 1, 3, 4, 5"
    with pytest.raises(InputError, match=match):
        leave_one_session_out(rest, 2)
    named = {k: e | {"session": f"day {e['session']}"} for k, e in rest.items()}
    found = leave_one_session_out(named, 2)["test"]
    assert values(found, "session") == {"day 3"}  # words have no number


def test_speaker_out_of_a_missing_session():
    """Behind it each fold would test another speaker than in the corpus."""
    rest = {k: e for k, e in corpus().items() if e["session"] != 2}
    assert values(leave_one_speaker_out(rest, 2)["test"], "speaker") == {
        "Ses01_M"
    }
    match = "--fold 3 would test 'Ses03_F', since session 2 is missing"
    with pytest.raises(InputError, match=match):
        leave_one_speaker_out(rest, 3)
    rest = {k: e for k, e in corpus().items() if not k.startswith("Ses02_F")}
    match = "--fold 4 would test 'Ses03_F', since session 2 has 'Ses02_M' al"
    with pytest.raises(InputError, match=match):
        leave_one_speaker_out(rest, 4)


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
    with pytest.raises(InputError, match="--fold is .* from 1 to 5"):
        leave_one_session_out(corpus(), fold)


def test_session_out_refuses_settings():
    """Another way to validate, shares out of range."""
    with pytest.raises(
        InputError, match="--valid is 'none': give one of share"
    ):
        leave_one_session_out(corpus(), 1, "none")
    for share in (0, 1, -0.1, "0.1", True):
        match = "--valid_share is .*: give a number above 0 to below 1"
        with pytest.raises(InputError, match=match):
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
    "split",
    [leave_one_session_out, leave_one_speaker_out, leave_two_speakers_out],
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


@pytest.mark.parametrize("fold", range(1, 6))
def test_two_speakers_out(fold):
    """Both of the session test, the other sessions train, nobody validates."""
    parts = leave_two_speakers_out(corpus(), fold)
    assert list(parts) == ["train", "test"]
    both = {f"Ses{fold:02}_{sex}" for sex in "FM"}
    assert values(parts["test"], "speaker") == both
    assert values(parts["train"], "session") == {1, 2, 3, 4, 5} - {fold}
    assert sum(map(len, parts.values())) == 200
    # what the two folds of one speaker each train on
    for single in (2 * fold - 1, 2 * fold):
        pair = leave_one_speaker_out(corpus(), single)
        assert pair["train"] == parts["train"]
        assert pair["valid"] | pair["test"] == parts["test"]


def test_two_speakers_out_refuses():
    """No such fold, one speaker alone, nobody else, one of two sessions."""
    with pytest.raises(InputError, match="fold is 6: .* from 1 to 5"):
        leave_two_speakers_out(corpus(), 6)
    alone = {k: v for k, v in corpus().items() if not k.startswith("Ses05_F")}
    with pytest.raises(InputError, match="Session 5 has no speaker but 'Ses05"):
        leave_two_speakers_out(alone, 5)
    assert leave_two_speakers_out(alone, 4)["train"]
    with pytest.raises(InputError, match="nobody is left to train on"):
        leave_two_speakers_out(corpus(1), 1)
    moved = corpus()
    moved["Ses01_F000"]["session"] = 2
    with pytest.raises(InputError, match="stands in train and in test"):
        leave_two_speakers_out(moved, 1)


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
        with pytest.raises(
            InputError, match="--n_folds is .*: give a whole number from 2"
        ):
            random_k_fold(corpus(), 1, n_folds)
    annotation = corpus()
    annotation["Ses01_F000"]["emotion"] = "sur"
    with pytest.raises(InputError, match="'sur' has 1 utterances for 5 folds"):
        random_k_fold(annotation, 1)


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


@pytest.mark.parametrize("share", [0, 1, -0.1, "0.1", True])
def test_stratified_share_refuses_a_share(share):
    """All or nothing is no share, whatever the setting is called."""
    match = "share to hold out is .*: give a number above 0 to below 1"
    with pytest.raises(InputError, match=match):
        stratified_share(corpus(), share)
