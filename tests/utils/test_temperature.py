"""One temperature: against a grid, by hand, and where there is none."""

import math

import numpy as np
import pytest

from speechbrain_ser.utils.temperature import (
    HIGHEST,
    LOWEST,
    fit_temperature,
    mean_loss,
    tempered,
    trusted_temperature,
)

SMALLEST = 1.1754943508222875e-38  # float32's


def made(n=300, classes=4, sharpness=1.0, seed=0):
    """Posteriors whose labels are drawn from them, then made sharper."""
    rng = np.random.default_rng(seed)
    held = rng.dirichlet(np.full(classes, 0.7), size=n)
    labels = [int(rng.choice(classes, p=row)) for row in held]
    held = held**sharpness
    return held / held.sum(axis=1, keepdims=True), labels


def loss_at(posteriors, labels, temperature):
    """The mean negative log-likelihood, a number at a time."""
    total = 0.0
    for row, label in zip(posteriors, labels):
        powers = [max(float(p), SMALLEST) ** (1 / temperature) for p in row]
        total -= math.log(powers[label] / math.fsum(powers))
    return total / len(labels)


@pytest.mark.parametrize("sharpness", [0.4, 1.0, 3.0])
def test_no_other_temperature_is_likelier(sharpness):
    """A grid search ends beside it."""
    posteriors, labels = made(60, sharpness=sharpness)
    fitted = fit_temperature(posteriors, labels)
    grid = [0.05 * 1.02**i for i in range(303)]
    losses = [loss_at(posteriors, labels, t) for t in grid]
    place = losses.index(min(losses))
    assert grid[place - 1] < fitted < grid[place + 1]
    assert loss_at(posteriors, labels, fitted) <= min(losses)
    shown = mean_loss(tempered(posteriors, fitted), labels)
    assert shown == pytest.approx(loss_at(posteriors, labels, fitted))


def test_a_known_distortion_is_undone():
    """What was made three times as sharp has the temperature 3, about."""
    posteriors, labels = made(20000, sharpness=3.0)
    assert fit_temperature(posteriors, labels) == pytest.approx(3, rel=0.03)
    plain, _ = made(20000)
    np.testing.assert_allclose(tempered(posteriors, 3), plain, atol=1e-12)


def test_by_hand():
    """Three of four are right at 0.9: log 9 over log 3."""
    assert fit_temperature([[0.9, 0.1]] * 4, [0, 0, 0, 1]) == 2.0
    # five of six right at 0.6: log 1.5 over log 5
    fitted = fit_temperature([[0.6, 0.4]] * 6, [0, 0, 0, 0, 0, 1])
    assert fitted == pytest.approx(math.log(1.5) / math.log(5), abs=1e-6)


def test_order_does_not_matter():
    """Of utterances and of classes."""
    posteriors, labels = made(50)
    fitted = fit_temperature(posteriors, labels)
    rng = np.random.default_rng(1)
    rows, columns = rng.permutation(50), rng.permutation(4)
    moved = [int(np.argwhere(columns == label)[0, 0]) for label in labels]
    assert fit_temperature(posteriors[:, columns], moved) == fitted
    drawn = [labels[i] for i in rows]
    assert fit_temperature(posteriors[rows], drawn) == fitted


def test_it_is_that_of_logits():
    """Of one softmax the logits are divided by it."""
    logits = [1.5, -0.5, 0.25]
    plain = [math.exp(x) for x in logits]
    cooled = [math.exp(x / 2.5) for x in logits]
    found = tempered([x / sum(plain) for x in plain], 2.5)
    assert found.tolist() == pytest.approx([x / sum(cooled) for x in cooled])


def test_none_changes_who_wins():
    """The order of the classes stays, and sums are 1."""
    posteriors, _ = made(50)
    for temperature in (LOWEST, 0.7, HIGHEST):
        found = tempered(posteriors, temperature)
        assert (found.argmax(axis=1) == posteriors.argmax(axis=1)).all()
        np.testing.assert_allclose(found.sum(axis=1), 1)


def test_nothing_at_all_is_float32s_smallest():
    """Of 0 there is no logarithm."""
    found = tempered([1.0, 0.0], 10)
    share = SMALLEST**0.1
    assert found.tolist() == pytest.approx(
        [1 / (1 + share), share / (1 + share)]
    )
    posteriors = [[1.0, 0.0]] * 9 + [[0.0, 1.0]]
    fitted = fit_temperature(posteriors, [0] * 10)
    assert fitted == HIGHEST  # log(1 / SMALLEST) / log 9 is 40
    assert math.isfinite(mean_loss(posteriors, [0] * 10))
    fitted = fit_temperature([[1.0, 1e-12]] * 9 + [[1e-12, 1.0]], [0] * 10)
    assert fitted == pytest.approx(12 * math.log(10) / math.log(9), rel=1e-5)


def test_all_right_says_nothing():
    """The likeliest were posteriors of 0 and 1."""
    for sure in (0.4, 0.9, 1.0):
        posteriors = [[sure, (1 - sure) / 2, (1 - sure) / 2]] * 5
        assert fit_temperature(posteriors, [0] * 5) == LOWEST
        found, note = trusted_temperature(posteriors, [0] * 5)
        assert found is None and "named rightly" in note


def test_bounds_are_said():
    """All wrong: as unsure as can be. Nearly equal posteriors: as sure."""
    found, note = trusted_temperature([[0.9, 0.1]] * 5, [1] * 5)
    assert found == HIGHEST and "highest" in note
    found, note = trusted_temperature([[0.501, 0.499]] * 99, [0] * 98 + [1])
    assert found == LOWEST and "lowest" in note
    assert trusted_temperature([[0.9, 0.1]] * 4, [0, 0, 0, 1]) == (2.0, None)


def test_equal_posteriors_have_no_temperature():
    """Whatever it is, they stay."""
    assert fit_temperature([[0.25] * 4] * 7, [0, 1, 1, 1, 1, 1, 1]) == 1.0


@pytest.mark.parametrize(
    ("posteriors", "labels"),
    [([], []), ([[0.5, 0.5]], [0, 1]), ([[0.5, math.nan]], [0]), ([0.5], [0])],
)
def test_what_can_not_be_fitted(posteriors, labels):
    """Nothing, another number of labels, no number, no classes."""
    with pytest.raises(ValueError):
        fit_temperature(posteriors, labels)
