"""The picture of clusters: how large they are, and what they say."""

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from speechbrain_ser.figures.style import (
    FONT_SIZE,
    LINE_COLOURS,
    LINE_STYLES,
    MARKERS,
    WIDTH,
    finish,
    legend_below,
    legend_beside,
    new_figure,
    plain_text,
    round_ticks,
)


def plot_clusters(path, sizes, information, title):
    """Draws how large the clusters are, and what they say of the utterances.

    At the top, for each scale, the frames of each cluster from the largest
    down; clusters without frames are counted in the legend. Below, for each
    kind of word, the normalised mutual information as bars, with the level of
    chance.

    Arguments
    ---------
    path : str
        The PNG file to write.
    sizes : dict
        For each scale (number of clusters), the number of frames of each
        cluster in any order.
    information : dict
        For each kind of word, such as ``emotion``, at least one, and for each
        scale a dict with ``nmi`` and the level of ``chance``, see
        `evaluation.cluster_information.cluster_information`.
    title : str
        The title of the picture.

    Returns
    -------
    str
        `path`.

    Raises
    ------
    ValueError
        If a scale has another number of sizes, or no frames.

    Example
    -------
    >>> target = getfixture("tmp_path") / "clusters.png"
    >>> sizes = {2: [30, 10], 4: [20, 10, 10, 0]}
    >>> found = {scale: {"nmi": 0.1, "chance": 0.02} for scale in sizes}
    >>> plot_clusters(target, sizes, {"emotion": found}, "Clusters").exists()
    True
    """
    sizes = {scale: np.sort(counts)[::-1] for scale, counts in sizes.items()}
    check_sizes(sizes)
    figure = new_figure(WIDTH, 5.8)
    top, bottom = figure.subfigures(2)
    draw_sizes(top.add_subplot(), sizes)
    panels = bottom.subplots(1, len(information), squeeze=False)[0]
    for axes, (name, found) in zip(panels, information.items()):
        draw_information(axes, {scale: found[scale] for scale in sizes})
        axes.set_title(plain_text(f"{name} of the utterance"), fontsize=10)
    panels[0].set_ylabel("normalised mutual\ninformation")
    legend_below(
        bottom,
        [Line2D([], [], color="black", linewidth=2)],
        ["chance: the same with the words permuted over the utterances"],
    )
    return finish(figure, path, title)


def check_sizes(sizes):
    """Refuses sizes that are not those of clusters.

    Raises
    ------
    ValueError
        If a scale has another number of sizes, or no frames.
    """
    for scale, counts in sizes.items():
        if len(counts) != scale or not counts.any():
            raise ValueError(
                f"{len(counts)} sizes with {sum(counts)} frames of {scale} "
                "clusters"
            )


def draw_sizes(axes, sizes):
    """Draws the sorted sizes of the clusters of each scale."""
    for index, (scale, counts) in enumerate(sizes.items()):
        filled = np.count_nonzero(counts)
        empty = scale - filled
        axes.plot(
            100 * np.arange(1, filled + 1) / scale,
            counts[:filled],
            label=f"{scale} clusters" + (f"\n({empty} empty)" if empty else ""),
            color=LINE_COLOURS[index],
            linestyle=LINE_STYLES[index % len(LINE_STYLES)],
            marker=MARKERS[index],
            markevery=0.1 if filled > 20 else 1,
            markersize=5,
            linewidth=1.8,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        ticks = round_ticks(*axis.get_view_interval())
        axis.set_ticks(ticks, [f"{tick:,.10g}" for tick in ticks])
        axis.set_minor_locator(NullLocator())
    axes.grid(alpha=0.3)
    axes.set_xlabel("rank of the cluster (% of all clusters)")
    axes.set_ylabel("frames of the cluster")
    legend_beside(axes)


def draw_information(axes, found):
    """Draws the information of each scale as a bar, with a line at chance."""
    values = [one["nmi"] for one in found.values()]
    chances = [one["chance"] for one in found.values()]
    places = np.arange(len(found))
    axes.bar(places, values, width=0.6, color=LINE_COLOURS[: len(found)])
    axes.hlines(chances, places - 0.4, places + 0.4, color="black", linewidth=2)
    for place, value, chance in zip(places, values, chances):
        axes.annotate(
            f"{value:.3f}",
            (place, max(value, chance)),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            fontsize=FONT_SIZE - 1,
        )
    axes.set_ylim(0, 1.2 * max(*values, *chances, 1e-3))
    axes.set_xlim(-0.6, len(found) - 0.4)
    axes.set_xticks(places, [str(scale) for scale in found], fontsize=FONT_SIZE)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.set_xlabel("number of clusters")
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
