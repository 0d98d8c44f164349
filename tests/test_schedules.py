"""Eq. 7 of IPR and the length of a warm-up."""

import numpy as np
import pytest

from speechbrain_ser.schedules import PseudoLabelWeight, warmup_length
from tests.references import ipr


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
