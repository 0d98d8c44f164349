"""The picture of how well the labels of masked frames are predicted."""

from speechbrain_ser.figures.epochs import draw_known, dress
from speechbrain_ser.figures.style import (
    BLUE,
    RED,
    WIDTH,
    finish,
    legend_below,
    new_figure,
)

LOOKS = (("train", BLUE, "o", "--"), ("valid", RED, "s", ":"))


def plot_masked_accuracy(path, rows, sizes, most_frequent, title):
    """Draws how well the labels of masked frames are predicted, by epoch.

    Values that are missing or None are skipped: the line goes on to the next.

    Arguments
    ---------
    path : str
        The PNG file to write.
    rows : list of dict
        One for each epoch, with the key ``epoch``, and
        ``train_masked_accuracy_64`` and ``valid_masked_accuracy_64`` in 0..1
        for the scale of 64 clusters, both evaluated after the epoch in the same
        way.
    sizes : sequence of int
        The number of clusters of each scale.
    most_frequent : dict
        For ``train``, and ``valid`` if there is one, and for each scale the
        share, in 0..1, of the part's most frequent label: the accuracy of
        always predicting it.
    title : str
        The title of the picture.

    Returns
    -------
    str
        `path`.

    Example
    -------
    >>> target = getfixture("tmp_path") / "accuracy.png"
    >>> _ = plot_masked_accuracy(
    ...     target,
    ...     [
    ...         {"epoch": 1, "train_masked_accuracy_64": 0.1},
    ...         {"epoch": 2, "train_masked_accuracy_64": 0.2},
    ...     ],
    ...     [64],
    ...     {"train": {64: 0.05}},
    ...     "Stage 2",
    ... )
    >>> target.exists()
    True
    """
    figure = new_figure(WIDTH, max(4, 1.1 + 1.6 * len(sizes)))
    stacked = figure.subplots(len(sizes), sharex=True, squeeze=False)[:, 0]
    handles = {}
    for axes, size in zip(stacked, sizes):
        shares = {part: held[size] for part, held in most_frequent.items()}
        handles |= draw_scale(axes, rows, size, shares)
    stacked[-1].set_xlabel("epoch")
    figure.supylabel("masked-prediction accuracy (%)", fontsize=10)
    legend_below(figure, handles.values(), handles.keys(), ncols=len(handles))
    return finish(figure, path, title)


def draw_scale(axes, rows, size, shares):
    """Draws the accuracies of one scale, with those of most frequent labels.

    Arguments
    ---------
    axes : matplotlib.axes.Axes
    rows : list of dict
        One for each epoch, as `plot_masked_accuracy` has them.
    size : int
        The number of clusters.
    shares : dict
        Part to the share of its most frequent label, in 0..1.

    Returns
    -------
    dict
        From the entries of the legend to the lines.
    """
    curves, levels = {}, {}
    for part, colour, marker, dashes in LOOKS:
        look = {"color": colour, "marker": marker}
        look |= {"markersize": 4, "linewidth": 1.8}
        key = f"{part}_masked_accuracy_{size}"
        for line in draw_known(axes, rows, key, 100, **look):
            curves[part] = line
        if part in shares:
            levels[f"most frequent label, {part}"] = axes.axhline(
                100 * shares[part],
                color=colour,
                linestyle=dashes,
                zorder=1.5,
            )
    axes.set_ylim(0, max(1.08 * axes.get_ylim()[1], 1e-3))
    axes.set_title(f"{size} clusters", fontsize=10)
    dress(axes, ())
    return curves | levels
