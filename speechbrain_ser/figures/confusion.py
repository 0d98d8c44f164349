"""The picture of a confusion matrix."""

import itertools

import numpy as np

from speechbrain_ser.figures.style import (
    FONT_SIZE,
    class_name,
    new_figure,
    save,
)


def plot_confusion(path, confusion, classes, title):
    """Draws a confusion matrix: share of each row in per cent, and counts.

    Arguments
    ---------
    path : str
        The PNG file to write.
    confusion : list of list of int
        Counts; rows are annotated, columns predicted classes.
    classes : sequence of str
        The class words, in the order of the matrix.
    title : str
        The title of the picture.

    Returns
    -------
    str
        `path`.

    Example
    -------
    >>> target = getfixture("tmp_path") / "confusion.png"
    >>> _ = plot_confusion(target, [[8, 2], [1, 9]], ["ang", "sad"], "Fold 1")
    >>> target.exists()
    True
    """
    counts = np.asarray(confusion)
    totals = counts.sum(axis=1, keepdims=True)
    shares = 100 * counts / np.maximum(totals, 1)
    size = len(classes)
    figure = new_figure(max(4.8, 1.6 + 0.8 * size), max(3.6, 1.4 + 0.55 * size))
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    write_cells(axes, shares, counts)
    names = [class_name(word) for word in classes]
    turned = {"rotation": 30, "ha": "right"} if size > 5 else {}
    axes.set_xticks(range(size), names, **turned)
    axes.set_yticks(range(size), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("annotated")
    axes.set_title(title)
    figure.colorbar(image, label="share of the annotated class (%)")
    return save(figure, path)


def write_cells(axes, shares, counts):
    """Writes share and count into each cell; an absent class has no shares."""
    present = counts.any(axis=1)
    for row, column in itertools.product(*map(range, counts.shape)):
        share, count = shares[row, column], counts[row, column]
        axes.text(
            column,
            row,
            f"{share:.1f} %\n({count})" if present[row] else "–\n(0)",
            ha="center",
            va="center",
            fontsize=FONT_SIZE,
            color="white" if share > 55 else "black",
        )
