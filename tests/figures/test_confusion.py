"""The picture of a confusion matrix has the right numbers."""

import numpy as np
import pytest

from speechbrain_ser.figures.confusion import plot_confusion
from tests.figures.helpers import check_picture, drawn

CLASSES = ["ang", "hap", "sad", "neu"]
PICTURES = {
    "confusion": lambda path: plot_confusion(
        path, [[8, 2], [1, 9]], ["ang", "sad"], "Fold 1"
    ),
    "confusion, absent class": lambda path: plot_confusion(
        path, [[8, 2, 0], [0, 0, 0], [0, 1, 7]], CLASSES[:3], "Fold 1"
    ),
    "confusion, eight classes": lambda path: plot_confusion(
        path, np.eye(8, dtype=int), list("abcdefgh"), "Fold 1"
    ),
}


@pytest.mark.parametrize("name", PICTURES)
def test_picture(name):
    """Of its size, and it shows something."""
    check_picture(PICTURES[name], (700, 2000), 500)


def test_confusion_shows_shares_of_rows_and_counts():
    """An absent class has no shares."""
    figure = drawn(PICTURES["confusion, absent class"])
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == [
        *("80.0 %\n(8)", "20.0 %\n(2)", "0.0 %\n(0)"),
        *["–\n(0)"] * 3,
        *("0.0 %\n(0)", "12.5 %\n(1)", "87.5 %\n(7)"),
    ]
    assert axes.get_xlabel() == "predicted"
    assert axes.get_ylabel() == "annotated"
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        *("anger", "happiness", "sadness")
    ]
