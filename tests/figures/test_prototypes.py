"""The picture of prototypes has a line for each pair."""

import numpy as np
import pytest

from speechbrain_ser.figures.prototypes import plot_prototype_similarity
from tests.figures.helpers import check_picture, drawn, legend_texts

CLASSES = ["ang", "hap", "sad", "neu"]
EPOCHS = list(range(1, 11))
MARKS = [(4, "end of warm-up"), (5, "best epoch")]


def similarities(epochs, classes=CLASSES):
    """Makes up a matrix of similarities for each epoch."""
    size = len(classes)
    return [np.full((size, size), 1 / epoch).tolist() for epoch in epochs]


PICTURES = {
    "similarity": lambda path: plot_prototype_similarity(
        path, EPOCHS, [None] + similarities(EPOCHS[1:]), CLASSES, MARKS
    ),
    "similarity, one epoch": lambda path: plot_prototype_similarity(
        path, [1], similarities([1]), CLASSES
    ),
    "similarity, eight classes": lambda path: plot_prototype_similarity(
        path, EPOCHS, similarities(EPOCHS, "abcdefgh"), "abcdefgh"
    ),
}


@pytest.mark.parametrize("name", PICTURES)
def test_picture(name):
    """Of its size, and it shows something."""
    check_picture(PICTURES[name], (700, 2000), 500)


def test_similarity_has_a_line_for_each_pair():
    """Four classes make six pairs, all looking different."""
    figure = drawn(PICTURES["similarity"])
    assert legend_texts(figure) == [
        [
            "anger – happiness",
            "anger – sadness",
            "anger – neutral",
            "happiness – sadness",
            "happiness – neutral",
            "sadness – neutral",
        ]
    ]
    first = figure.axes[0].lines[0].get_ydata()
    assert np.isnan(first[0])
    assert first[1:] == pytest.approx([1 / epoch for epoch in EPOCHS[1:]])
