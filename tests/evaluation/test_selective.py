"""What is sure: against counting, one confidence at a time."""

import numpy as np
import pytest

from speechbrain_ser.evaluation.selective import coverage_curve, sure_scores
from speechbrain_ser.scores import SHARES, classification_metrics


def test_the_curve_is_what_counting_gives():
    """With ties, whatever the order."""
    rng = np.random.default_rng(0)
    confidences = rng.integers(3, 9, size=50) / 10
    right = rng.random(50) < confidences
    found = coverage_curve(confidences, right)
    assert found["confidence"] == sorted(set(confidences), reverse=True)
    for i, least in enumerate(found["confidence"]):
        sure = [r for c, r in zip(confidences, right) if c >= least]
        assert found["n"][i] == len(sure)
        assert found["coverage"][i] == pytest.approx(len(sure) / 50)
        assert found["accuracy"][i] == pytest.approx(sum(sure) / len(sure))
    order = rng.permutation(50)
    assert coverage_curve(confidences[order], right[order]) == found


def test_scores_of_what_is_sure():
    """The threshold itself is sure; classes are those that are left."""
    labels, guesses = list("aabb"), list("abbb")
    found = sure_scores(labels, guesses, [0.9, 0.6, 0.5, 0.6], ["a", "b"], 0.6)
    assert (found["n"], found["coverage"]) == (3, 0.75)
    expected = classification_metrics("aab", "abb", ["a", "b"])
    assert {n: found[n] for n in SHARES} == {n: expected[n] for n in SHARES}
    assert found["UA"] == 0.75


def test_nothing_is_sure():
    """There are no scores then."""
    found = sure_scores("ab", "ab", [0.3, 0.4], ["a", "b"], 0.5)
    assert found["coverage"] == 0 and found["UA"] is None
