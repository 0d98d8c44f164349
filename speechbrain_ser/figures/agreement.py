"""The picture of how often pseudo-labels equal the held labels."""

import numpy as np

from speechbrain_ser.figures.epochs import dress
from speechbrain_ser.figures.style import (
    BLUE,
    RED,
    finish,
    legend_below,
    new_figure,
)


def plot_agreement(path, epochs, model, prototype, marks=()):
    """Draws how often two kinds of pseudo-labels equal the held labels.

    Arguments
    ---------
    path : str
        The PNG file to write.
    epochs : sequence of int
        The epochs.
    model : sequence of float
        The agreement of the model's own labels, in 0..1; None leaves a gap.
    prototype : sequence of float
        The agreement of the labels assigned by prototypes, likewise.
    marks : iterable of tuple
        Epochs to mark with a vertical line, each with its text.

    Returns
    -------
    str
        `path`.

    Example
    -------
    >>> target = getfixture("tmp_path") / "agreement.png"
    >>> _ = plot_agreement(target, [1, 2], [0.5, 0.6], [None, 0.7])
    >>> target.exists()
    True
    """
    figure = new_figure()
    axes = figure.add_subplot()
    for values, name, colour, marker in (
        (model, "model-generated", BLUE, "o"),
        (prototype, "prototype-assigned", RED, "s"),
    ):
        axes.plot(
            epochs,
            [np.nan if value is None else 100 * value for value in values],
            label=name,
            color=colour,
            marker=marker,
            markersize=4,
            linewidth=1.8,
        )
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -2), min(high, 102))
    axes.set_xlabel("epoch")
    axes.set_ylabel("agreement with the held labels (%)")
    dress(axes, marks)
    legend_below(figure, ncols=2)
    title = "Agreement of the pseudo-labels with the held labels"
    return finish(figure, path, title)
