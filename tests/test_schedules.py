"""Eq. 7 of IPR, the length of a warm-up, and the two schedules of the DANN."""

import numpy as np
import pytest

from speechbrain_ser.schedules import (
    PseudoLabelWeight,
    ReversalRamp,
    decayed_rate,
    warmup_length,
)
from tests.references import dann, ipr


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


@pytest.mark.parametrize("arguments", [(0,), (10, -0.1), (10, 0.5, 0.0)])
def test_bad_arguments_are_refused(arguments):
    """Each with what was given."""
    with pytest.raises(ValueError, match="PseudoLabelWeight needs"):
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


@pytest.mark.parametrize("arguments", [(-0.1,), (1.0, 0.0), (1.0, -1.0)])
def test_bad_ramps_are_refused(arguments):
    """With what was given."""
    with pytest.raises(ValueError, match="ReversalRamp needs"):
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
