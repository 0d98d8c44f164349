"""The picture of agreement is in per cent."""

import numpy as np
import pytest

from speechbrain_ser.figures.agreement import plot_agreement
from tests.figures.helpers import check_picture, drawn, legend_texts

EPOCHS = list(range(1, 11))
MARKS = [(4, "end of warm-up"), (5, "best epoch")]
GAPPY = [None if epoch < 4 or epoch == 7 else 0.8 for epoch in EPOCHS]
PICTURES = {
    "agreement": lambda path: plot_agreement(
        path, EPOCHS, [0.5 + epoch / 30 for epoch in EPOCHS], GAPPY, MARKS
    ),
    "agreement, one epoch": lambda path: plot_agreement(
        path, [1], [0.5], [None]
    ),
}


@pytest.mark.parametrize("name", PICTURES)
def test_picture(name):
    """Of its size, and it shows something."""
    check_picture(PICTURES[name], (700, 2000), 500)


def test_agreement_is_in_per_cent_with_gaps():
    """What is None breaks the line."""
    figure = drawn(PICTURES["agreement"])
    assert legend_texts(figure) == [["model-generated", "prototype-assigned"]]
    model, prototype = figure.axes[0].lines[:2]
    assert model.get_ydata()[-1] == pytest.approx(100 * (0.5 + 1 / 3))
    assert np.isnan(prototype.get_ydata()).nonzero()[0].tolist() == [0, 1, 2, 6]
    assert figure.axes[0].get_ylim()[1] <= 102
