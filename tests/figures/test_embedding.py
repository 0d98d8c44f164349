"""The picture of embeddings shows directions, classes and parts."""

import os

import numpy as np
import pytest

from speechbrain_ser.figures.embedding import plot_embedding
from speechbrain_ser.figures.style import class_colour
from tests.figures.helpers import check_picture, drawn, legend_texts

CLASSES = ["ang", "hap", "sad", "neu"]


def clusters(n, classes=CLASSES):
    """Makes up embeddings, their labels and the prototypes."""
    draw = np.random.default_rng(0)
    prototypes = draw.normal(size=(len(classes), 8))
    indices = np.arange(n) % len(classes)
    embeddings = prototypes[indices] + 0.3 * draw.normal(size=(n, 8))
    return embeddings, [classes[index] for index in indices], prototypes


POINTS = clusters(60)
MANY = clusters(600)
ONE_EACH = clusters(4)
PICTURES = {
    "embedding": lambda path: plot_embedding(
        path, *POINTS[:2], CLASSES, title="Test"
    ),
    "embedding, everything": lambda path: plot_embedding(
        path,
        *MANY[:2],
        CLASSES,
        MANY[2],
        ["train", "test"] * 300,
        "Test",
    ),
    "embedding, one of each": lambda path: plot_embedding(
        path, *ONE_EACH[:2], CLASSES, ONE_EACH[2]
    ),
    "embedding, absent class": lambda path: plot_embedding(
        path, *POINTS[:2], ["fru", *CLASSES]
    ),
    "embedding, all the same": lambda path: plot_embedding(
        path, np.ones((4, 3)), CLASSES, CLASSES
    ),
}


@pytest.mark.parametrize("name", PICTURES)
def test_picture(name):
    """Of its size, and it shows something."""
    check_picture(PICTURES[name], (700, 2000), 500)


def test_a_failure_leaves_the_old_picture(tmp_path):
    """Nothing is written before everything is known to be right."""
    path = tmp_path / "picture.png"
    path.write_text("old")
    embeddings, labels, _ = clusters(8)
    for bad in (
        (embeddings, labels[1:], CLASSES),
        (embeddings, labels, CLASSES[1:]),
        (embeddings[:1], labels[:1], CLASSES),
        (embeddings, labels, CLASSES, None, ["train"]),
    ):
        with pytest.raises(ValueError):
            plot_embedding(path, *bad)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["picture.png"]


def test_embedding_legends():
    """Classes without points are left out; colours do not shift."""
    figure = drawn(PICTURES["embedding, absent class"])
    names = ["anger", "happiness", "sadness", "neutral"]
    assert legend_texts(figure) == [names]
    handle = figure.legends[0].legend_handles[0]
    assert handle.get_color() == class_colour(1)

    figure = drawn(PICTURES["embedding, everything"])
    assert legend_texts(figure) == [[*names, "prototype"], ["train", "test"]]
    assert [text.get_text() for text in figure.axes[0].texts] == names
    assert "% of variance" in figure.axes[0].get_xlabel()


def test_embedding_ignores_length():
    """Embeddings and prototypes are projected as directions."""

    def places(scale):
        embeddings, labels, prototypes = POINTS
        figure = drawn(
            lambda path: plot_embedding(
                path, scale * embeddings, labels, CLASSES, scale * prototypes
            ),
        )
        return np.concatenate(
            [part.get_offsets() for part in figure.axes[0].collections]
        )

    np.testing.assert_allclose(places(1), places(7), atol=1e-9)
