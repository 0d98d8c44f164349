"""Eq. 7 of IPR, the length of a warm-up, the schedules of the DANN and of MEnAN."""

import numpy as np
import pytest
import torch

from speechbrain_ser.schedules import (
    PseudoLabelWeight,
    ReversalRamp,
    decayed_rate,
    polynomial_rate,
    warmup_length,
)
from tests.references import dann, ipr, menan


@pytest.mark.parametrize("growth", [2.0, 10.0, 100.0])
@pytest.mark.parametrize("maximum", [0.5, 1.0])
def test_weight_equals_reference(growth, maximum):
    """Eq. 7 at every epoch of 50."""
    beta = PseudoLabelWeight(50, maximum, growth)
    expected = [
        ipr.pseudo_label_weight(epoch, 50, maximum, growth)
        for epoch in range(51)
    ]
    np.testing.assert_allclose([beta(e) for e in range(51)], expected)


def test_weight_rises_ever_faster_to_half_way():
    """0 at the start, 0.5 from half-way on, convex in between."""
    beta = PseudoLabelWeight(50)
    values = np.array([beta(epoch) for epoch in range(51)])
    assert values[0] == 0 and values[25] == values[50] == 0.5
    rises = np.diff(values[:26])
    assert (rises > 0).all() and (np.diff(rises) > 0).all()
    assert (values[25:] == 0.5).all()


def test_growth_of_one_is_a_straight_line():
    """The limit of Eq. 7 for r -> 1."""
    line = PseudoLabelWeight(10, 0.5, 1.0)
    nearly = PseudoLabelWeight(10, 0.5, 1.0001)
    for epoch in range(11):
        assert line(epoch) == pytest.approx(nearly(epoch), abs=1e-4)
    assert line(2.5) == 0.25


@pytest.mark.parametrize(
    "name, arguments",
    [("n_epochs", (0,)), ("maximum", (10, -0.1)), ("growth", (10, 0.5, 0.0))],
)
def test_bad_arguments_are_refused(name, arguments):
    """Each with what was given."""
    with pytest.raises(ValueError, match=f"--{name} is {arguments[-1]}: give"):
        PseudoLabelWeight(*arguments)


def test_warmup_counts_epochs_and_updates():
    """Whichever is longer."""
    assert warmup_length(10, 0, 7) == 10
    assert warmup_length(1, 300, 97) == 4
    assert warmup_length(2, 300, 150) == 2
    assert warmup_length(2, 301, 150) == 3


@pytest.mark.parametrize("maximum", [0.0, 0.1, 1.0, 3.0])
@pytest.mark.parametrize("steepness", [1.0, 10.0])
def test_ramp_equals_reference(maximum, steepness):
    """Ganin's, at a hundred places."""
    ramp = ReversalRamp(maximum, steepness)
    places = np.linspace(0, 1, 101)
    np.testing.assert_allclose(
        [ramp(p) for p in places],
        [dann.reversal_ramp(p, maximum, steepness) for p in places],
        rtol=1e-12,
        atol=1e-15,
    )


def test_ramp_begins_at_0_and_rises_ever_slower():
    """To nearly 1, when nothing else is said."""
    values = np.array([ReversalRamp()(p) for p in np.linspace(0, 1, 51)])
    assert values[0] == 0 and 0.9999 < values[-1] < 1
    rises = np.diff(values)
    assert (rises > 0).all() and (np.diff(rises) < 0).all()


@pytest.mark.parametrize(
    "name, arguments",
    [
        ("maximum", (-0.1,)),
        ("steepness", (1.0, 0.0)),
        ("steepness", (1.0, -1.0)),
    ],
)
def test_bad_ramps_are_refused(name, arguments):
    """With what was given."""
    with pytest.raises(ValueError, match=f"--{name} is {arguments[-1]}: give"):
        ReversalRamp(*arguments)


@pytest.mark.parametrize(
    "settings", [(), (1e-2, 0.5, 1e-3), (1e-3, 1.0, 1e-3), (1e-3, 0.93, 0.0)]
)
def test_rate_equals_reference(settings):
    """Each of a hundred epochs, from 1."""
    epochs = range(1, 101)
    np.testing.assert_allclose(
        [decayed_rate(epoch, *settings) for epoch in epochs],
        [dann.learning_rate(epoch, *settings) for epoch in epochs],
        rtol=1e-9,
    )


def test_rate_of_the_paper_by_hand():
    """The first is whole, each next 7 % less, the last the floor."""
    assert decayed_rate(1) == 1e-3
    assert decayed_rate(3) == pytest.approx(1e-3 * 0.93 * 0.93)
    # 0.93^41 is 0.0510, 0.93^42 is 0.0475
    assert decayed_rate(42) > 5e-5 and decayed_rate(43) == 5e-5


@pytest.mark.parametrize("n_epochs", [1, 7, 300])
@pytest.mark.parametrize("power", [0.0, 0.9, 1.0, 2.0])
def test_polynomial_rate_equals_reference_and_torch(n_epochs, power):
    """Each epoch: 1 at first, never quite 0, and as torch steps."""
    found = [
        polynomial_rate(epoch, n_epochs, power)
        for epoch in range(1, n_epochs + 1)
    ]
    expected = [
        menan.polynomial_rate(epoch, n_epochs, power)
        for epoch in range(1, n_epochs + 1)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    step = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = torch.optim.lr_scheduler.PolynomialLR(step, n_epochs, power)
    by_torch = []
    for _ in range(n_epochs):
        by_torch.append(step.param_groups[0]["lr"])
        step.step()
        schedule.step()
    # torch multiplies from epoch to epoch
    np.testing.assert_allclose(found, by_torch, rtol=1e-9)
    assert found[0] == 1 and found[-1] > 0


def test_polynomial_rate_by_hand():
    """A straight line unless another power is given."""
    found = [polynomial_rate(epoch, 4) for epoch in (1, 2, 3, 4)]
    assert found == [1, 0.75, 0.5, 0.25]
    assert polynomial_rate(3, 4, power=2) == 0.25
