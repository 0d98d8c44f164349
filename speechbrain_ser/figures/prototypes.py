"""The picture of how similar the class prototypes are."""

import itertools

import numpy as np

from speechbrain_ser.figures.epochs import dress
from speechbrain_ser.figures.style import (
    FONT_SIZE,
    class_name,
    finish,
    line_look,
    new_figure,
)


def plot_prototype_similarity(path, epochs, similarities, classes, marks=()):
    """Draws how similar the prototypes of each two classes are, by epoch.

    Arguments
    ---------
    path : str
        The PNG file to write.
    epochs : sequence of int
        The epochs.
    similarities : sequence
        For each epoch the [C][C] matrix of cosine similarities, or None.
    classes : sequence of str
        The class words, in the order of the matrices.
    marks : iterable of tuple
        Epochs to mark with a vertical line, each with its text.

    Returns
    -------
    str
        `path`.

    Example
    -------
    >>> target = getfixture("tmp_path") / "similarity.png"
    >>> similarities = [[[1, 0.9], [0.9, 1]], [[1, 0.2], [0.2, 1]]]
    >>> _ = plot_prototype_similarity(
    ...     target, [1, 2], similarities, ["ang", "sad"]
    ... )
    >>> target.exists()
    True
    """
    pairs = list(itertools.combinations(range(len(classes)), 2))
    figure = new_figure(6.8, max(4, 0.6 + 0.2 * len(pairs)))
    axes = figure.add_subplot()
    for index, (first, second) in enumerate(pairs):
        names = class_name(classes[first]), class_name(classes[second])
        values = [
            np.nan if matrix is None else float(matrix[first][second])
            for matrix in similarities
        ]
        axes.plot(epochs, values, label=" – ".join(names), **line_look(index))
    axes.set_xlabel("epoch")
    axes.set_ylabel("cosine similarity between prototypes")
    dress(axes, marks)
    if pairs:
        figure.legend(
            loc="outside right center", fontsize=FONT_SIZE, handlelength=3.5
        )
    return finish(figure, path, "Similarity of the class prototypes")
