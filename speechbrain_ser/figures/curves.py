"""The picture of a training: losses and metrics by epoch."""

from speechbrain_ser.figures.epochs import draw_known, dress, unnamed
from speechbrain_ser.figures.style import (
    legend_beside,
    line_look,
    new_figure,
    save,
)


def plot_curves(path, rows, panels, title, marks=()):
    """Draws values by epoch, in panels under each other.

    Values that are missing or None are skipped: the line goes on to the next.

    Arguments
    ---------
    path : str
        The PNG file to write.
    rows : list of dict
        One for each epoch, with the key "epoch".
    panels : list of tuple
        For each panel the label of its y axis, and a dict from the keys in
        `rows` to the names in the legend.
    title : str
        The title of the picture.
    marks : iterable of tuple
        Epochs to mark with a vertical line, each with its text.

    Returns
    -------
    str
        `path`.

    Example
    -------
    >>> target = getfixture("tmp_path") / "curves.png"
    >>> _ = plot_curves(
    ...     target,
    ...     [{"epoch": 1, "loss": 1.2}, {"epoch": 2, "loss": 0.9}],
    ...     [("loss", {"loss": "train"})],
    ...     "Training",
    ... )
    >>> target.exists()
    True
    """
    marks = list(marks)
    figure = new_figure(6.5, max(4, 1 + 2 * len(panels)))
    stacked = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for axes, (label, keys) in zip(stacked, panels):
        for index, (key, name) in enumerate(keys.items()):
            draw_known(axes, rows, key, label=name, **line_look(index))
        axes.set_ylabel(label)
        dress(axes, marks if axes is stacked[0] else unnamed(marks))
        if axes.get_legend_handles_labels()[0]:
            legend_beside(axes)
    stacked[-1].set_xlabel("epoch")
    figure.suptitle(title)
    return save(figure, path)
