"""The speaker probe: found where it is, chance where it is not."""

import warnings

import numpy as np
import pytest

from speechbrain_ser.evaluation import probing
from speechbrain_ser.evaluation.probing import speaker_probe


def noise(rows, columns, seed=0):
    """Standard normal numbers."""
    return np.random.default_rng(seed).normal(size=(rows, columns))


def named(*counts):
    """So many utterances of each speaker, shuffled."""
    names = np.repeat([f"s{i}" for i in range(len(counts))], counts)
    return np.random.default_rng(1).permutation(names)


def numbers(speakers):
    """The speakers as 0, 1, ..."""
    return np.unique(speakers, return_inverse=True)[1]


def test_a_speaker_is_found():
    """Far apart: each utterance is named, by both classifiers."""
    speakers = named(10, 10, 10, 10)
    embeddings = noise(40, 5)
    embeddings[:, 1:] += 20 * np.eye(4)[numbers(speakers)]
    found = speaker_probe(embeddings.astype(np.float32), speakers.tolist())
    assert found == {
        "accuracy": 1.0,
        "UA": 1.0,
        "nonlinear_accuracy": 1.0,
        "chance": 0.25,
        "speakers": 4,
        "utterances": 40,
        "left_out": 0,
    }


def test_what_was_learnt_by_heart_does_not_count():
    """Noise of many numbers, which any of the classifiers fits to 100 %."""
    found = speaker_probe(noise(200, 300), named(50, 50, 50, 50))
    # three standard deviations of a coin of 1/4
    assert abs(found["accuracy"] - 0.25) < 3 * (0.25 * 0.75 / 200) ** 0.5
    assert abs(found["nonlinear_accuracy"] - 0.25) < 0.092


def test_a_copy_would_give_its_utterance_away():
    """Why the caller leaves speed-changed copies out."""
    speakers, embeddings = named(30, 30), noise(60, 200, 4)
    alone = speaker_probe(embeddings, speakers)
    twice = speaker_probe(
        np.concatenate([embeddings, embeddings + 0.1 * noise(60, 200, 2)]),
        np.concatenate([speakers, speakers]),
    )
    assert alone["nonlinear_accuracy"] < 0.7 < twice["nonlinear_accuracy"]


def test_embeddings_that_say_nothing():
    """All alike: the most frequent speaker is named, 30 of 50."""
    found = speaker_probe(np.ones((50, 3)), named(30, 10, 10))
    assert found["accuracy"] == found["chance"] == 30 / 50
    assert found["nonlinear_accuracy"] == 30 / 50
    assert found["UA"] == pytest.approx((1 + 0 + 0) / 3)


def test_only_the_other_classifier_finds_a_ring():
    """One speaker around the other."""
    speakers = named(80, 80)
    directions = noise(160, 2)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    embeddings = directions * np.where(speakers == "s0", 1.0, 3.0)[:, None]
    found = speaker_probe(embeddings, speakers)
    assert found["accuracy"] < 0.65 and found["nonlinear_accuracy"] > 0.97


def test_only_a_weak_penalty_finds_a_hidden_speaker():
    """In the small difference of two large numbers."""
    speakers = named(100, 100)
    large = noise(200, 1)
    small = 0.2 * (numbers(speakers)[:, None] - 0.5)
    embeddings = np.concatenate([large, large + small], axis=1)
    embeddings += 0.03 * noise(200, 2, 3)
    assert speaker_probe(embeddings, speakers)["accuracy"] > 0.95


def test_scales_of_the_numbers_do_not_matter():
    """The speaker is in the smallest of them."""
    speakers = named(40, 40)
    embeddings = noise(80, 4) * [1e4, 1.0, 1e3, 1e-4]
    embeddings[:, 3] += 1e-3 * numbers(speakers)
    found = speaker_probe(embeddings, speakers)
    assert found["accuracy"] > 0.95 and found["nonlinear_accuracy"] > 0.95


def test_the_penalty_is_chosen_by_the_other_folds(monkeypatch):
    """By hand: one is right in fold 0, one in fold 1, and two never."""
    right = {0.01: [0], 0.1: [1], 1.0: [], 10.0: []}
    seen = []

    def guess(model, inputs, told, cv):
        """Stands in for fitting."""
        fold = cv.test_fold
        seen.append((told.tolist(), fold.tolist()))
        names = told[::-1]  # wrong, as both speakers have as many
        if not hasattr(model, "probability"):
            return np.where(np.isin(fold, right[model.C]), told, names)
        return names

    monkeypatch.setattr(probing, "cross_val_predict", guess)
    embeddings, speakers = np.eye(4), ["a", "b", "a", "b"]
    found = speaker_probe(embeddings, speakers, folds=2)
    assert seen[0] == (["a", "a", "b", "b"], [0, 1, 0, 1])
    # what fold 1 chooses for fold 0 is wrong there, and the other way round
    assert found["accuracy"] == found["UA"] == 0
    right |= {0.01: [], 0.1: [0, 1]}
    assert speaker_probe(embeddings, speakers, folds=2)["accuracy"] == 1


def test_each_speaker_is_in_all_folds(monkeypatch):
    """As evenly as can be, and each utterance is held out once."""
    original, seen = probing.cross_val_predict, []
    monkeypatch.setattr(
        probing,
        "cross_val_predict",
        lambda model, inputs, told, cv: (
            seen.append((told, cv)) or original(model, inputs, told, cv=cv)
        ),
    )
    speaker_probe(noise(43, 2), named(23, 12, 8), folds=4)
    for told, cv in seen:
        held = [test for _, test in cv.split()]
        assert sorted(np.concatenate(held)) == list(range(43))
        for name, count in (("s0", 23), ("s1", 12), ("s2", 8)):
            counts = [int((told[test] == name).sum()) for test in held]
            assert len(counts) == 4 and sum(counts) == count
            assert max(counts) - min(counts) <= 1


def test_speakers_with_few_utterances():
    """One: left out and counted. Two: each is held out once, no warning."""
    speakers = np.array([*"aabbccde"])
    embeddings = 9.0 * np.eye(5)[numbers(speakers)] + 0.1 * noise(8, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = speaker_probe(embeddings, speakers)
    assert found["speakers"] == 3 and found["utterances"] == 6
    assert found["left_out"] == 2 and found["chance"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("speakers", ["aaaa", "aaab", "abcd", ""])
def test_nobody_to_tell_apart(speakers):
    """One speaker, or no two that have two utterances."""
    assert speaker_probe(noise(len(speakers), 3), [*speakers]) is None


def test_embeddings_without_speakers():
    """Lengths that do not fit are no probe."""
    with pytest.raises(ValueError, match="12 embeddings, but 2 speakers"):
        speaker_probe(noise(12, 3), ["a", "b"])


def test_many_utterances_are_drawn_from():
    """Of each speaker alike, at random, always the same ones."""
    speakers = np.repeat(["a", "b", "c"], [150, 150, 20])
    embeddings = noise(320, 4)
    # the first ones give the speaker away, most do not
    first = np.r_[:40, 150:190]
    embeddings[first] += 30 * np.eye(4)[numbers(speakers)[first]]
    found = speaker_probe(embeddings, speakers, size=120)
    assert found["utterances"] == 40 + 40 + 20 and found["speakers"] == 3
    assert found["chance"] == 40 / 100
    assert found["accuracy"] < 0.8
    assert speaker_probe(embeddings, speakers, size=120) == found
    assert speaker_probe(embeddings, speakers, size=120, seed=1) != found
    assert speaker_probe(embeddings, speakers, size=1)["utterances"] == 6
