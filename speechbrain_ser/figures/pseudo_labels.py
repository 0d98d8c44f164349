"""Pictures of frame pseudo-labels, written as PNG files.

How large the clusters are and what they say about emotion and gender, the
pseudo-labels of an utterance over time, and how well masked frames' labels
are predicted.
"""

import itertools

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from speechbrain_ser.figures.mapping import WIDTH, draw_spectrogram, round_ticks
from speechbrain_ser.figures.plots import (
    BLUE,
    COLOURS,
    FONT_SIZE,
    LINE_COLOURS,
    LINE_STYLES,
    MARKERS,
    RED,
    dress,
    new_figure,
    plain_text,
    save,
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
        For each kind of word, such as ``emotion``, and for each scale, what
        `cluster_information.cluster_information` gives; at least one kind.
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
    >>> _ = plot_clusters(
    ...     target,
    ...     {2: [30, 10], 4: [20, 10, 10, 0]},
    ...     {
    ...         "emotion": {
    ...             2: {"nmi": 0.1, "chance": 0.02},
    ...             4: {"nmi": 0.2, "chance": 0.04},
    ...         }
    ...     },
    ...     "Clusters",
    ... )
    >>> target.exists()
    True
    """
    sizes = {scale: np.sort(counts)[::-1] for scale, counts in sizes.items()}
    for scale, counts in sizes.items():
        if len(counts) != scale or not counts.any():
            raise ValueError(
                f"{len(counts)} sizes with {sum(counts)} frames of {scale} "
                "clusters"
            )
    figure = new_figure(WIDTH, 5.8)
    top, bottom = figure.subfigures(2)
    draw_sizes(top.add_subplot(), sizes)
    panels = bottom.subplots(1, len(information), squeeze=False)[0]
    for axes, (name, found) in zip(panels, information.items()):
        draw_information(axes, {scale: found[scale] for scale in sizes})
        axes.set_title(plain_text(f"{name} of the utterance"), fontsize=10)
    panels[0].set_ylabel("normalised mutual\ninformation")
    bottom.legend(
        [Line2D([], [], color="black", linewidth=2)],
        ["chance: the same with the words permuted over the utterances"],
        loc="outside lower center",
        fontsize=FONT_SIZE,
    )
    figure.suptitle(plain_text(title))
    return save(figure, path)


def plot_labels_over_time(path, wave, sample_rate, labels, sizes, title):
    """Draws the pseudo-labels of an utterance under its spectrogram.

    Each scale is a strip, and each run of equal labels a segment of it.
    Within a strip a cluster has one colour, and neighbours never have the
    same; clusters that are no neighbours may share one. The number of
    segments and the changes in a second stand at the right.

    Arguments
    ---------
    path : str
        The PNG file to write.
    wave : array of shape [samples]
        The waveform.
    sample_rate : int
        In Hz.
    labels : array of int, of shape [time, scales]
        The cluster of each frame; frames cover the wave evenly.
    sizes : sequence of int
        The number of clusters of each scale.
    title : str
        The title of the picture.

    Returns
    -------
    str
        `path`.

    Raises
    ------
    ValueError
        If shapes do not fit each other, or a label is no cluster.

    Example
    -------
    >>> target = getfixture("tmp_path") / "labels.png"
    >>> _ = plot_labels_over_time(
    ...     target,
    ...     np.sin(np.arange(9600)),
    ...     16000,
    ...     [[0, 3], [0, 1], [1, 1]],
    ...     [2, 4],
    ...     "An utterance",
    ... )
    >>> target.exists()
    True
    """
    wave = np.array(wave, dtype=np.float32, order="C")
    labels = np.asarray(labels, dtype=int)
    check_labels(wave, labels, sizes)
    duration = len(wave) / sample_rate
    heights = [1.6, *[0.45] * len(sizes)]
    figure = new_figure(WIDTH, 2 + sum(heights))
    stacked = figure.subplots(len(heights), sharex=True, height_ratios=heights)
    draw_spectrogram(stacked[0], wave, sample_rate)
    for axes, size, column in zip(stacked[1:], sizes, labels.T):
        draw_segments(axes, column, duration)
        axes.set_yticks([0.5], [f"{size} clusters"])
    stacked[-1].tick_params(axis="x", length=3.5)
    stacked[-1].set_xlabel("time (s)")
    stacked[-1].xaxis.set_major_locator(MaxNLocator(6))
    stacked[-1].set_xlim(0, duration)
    figure.suptitle(plain_text(title))
    figure.supxlabel(
        "A change of colour is a change of the frame's pseudo-label;\n"
        "clusters that are never neighbours may share a colour.",
        fontsize=FONT_SIZE,
    )
    return save(figure, path)


def plot_masked_accuracy(path, rows, sizes, most_frequent, title):
    """Draws how well the labels of masked frames are predicted, by epoch.

    Values that are missing or None are skipped: the line goes on to the next.

    Arguments
    ---------
    path : str
        The PNG file to write.
    rows : list of dict
        One for each epoch, with the key ``epoch``, and ``masked_accuracy_64``
        (of the training) and ``valid_masked_accuracy_64`` in 0..1 for the
        scale of 64 clusters.
    sizes : sequence of int
        The number of clusters of each scale.
    most_frequent : dict
        For each scale the share, in 0..1, of the most frequent label: the
        accuracy of always predicting it.
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
    ...         {"epoch": 1, "masked_accuracy_64": 0.1},
    ...         {"epoch": 2, "masked_accuracy_64": 0.2},
    ...     ],
    ...     [64],
    ...     {64: 0.05},
    ...     "Stage 2",
    ... )
    >>> target.exists()
    True
    """
    figure = new_figure(WIDTH, max(4, 1.1 + 1.6 * len(sizes)))
    stacked = figure.subplots(len(sizes), sharex=True, squeeze=False)[:, 0]
    handles = {}
    for axes, size in zip(stacked, sizes):
        for part, name, colour, marker in (
            ("", "training", BLUE, "o"),
            ("valid_", "validation", RED, "s"),
        ):
            key = f"{part}masked_accuracy_{size}"
            known = [row for row in rows if row.get(key) is not None]
            if known:
                (handles[name],) = axes.plot(
                    [row["epoch"] for row in known],
                    [100 * float(row[key]) for row in known],
                    color=colour,
                    marker=marker,
                    markersize=4,
                    linewidth=1.8,
                )
        handles["most frequent label"] = axes.axhline(
            100 * most_frequent[size], color="black", linestyle="--", zorder=1.5
        )
        axes.set_ylim(0, max(1.08 * axes.get_ylim()[1], 1e-3))
        axes.set_title(f"{size} clusters", fontsize=10)
        dress(axes, ())
    stacked[-1].set_xlabel("epoch")
    figure.supylabel("masked-prediction accuracy (%)", fontsize=10)
    figure.suptitle(plain_text(title))
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside lower center",
        ncols=len(handles),
        fontsize=FONT_SIZE,
    )
    return save(figure, path)


def check_labels(wave, labels, sizes):
    """Refuses what does not fit together.

    Raises
    ------
    ValueError
        If shapes do not fit each other, or a label is no cluster.
    """
    if wave.ndim != 1 or not len(wave):
        raise ValueError(f"a waveform of shape {wave.shape}, not [samples]")
    if labels.ndim != 2 or not labels.size or labels.shape[1] != len(sizes):
        raise ValueError(
            f"labels of shape {labels.shape}, not [time, {len(sizes)}]"
        )
    for size, column in zip(sizes, labels.T):
        if column.min() < 0 or column.max() >= size:
            raise ValueError(
                f"labels of {size} clusters go from 0 to {size - 1}, not "
                f"from {column.min()} to {column.max()}"
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
    axes.legend(
        loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=FONT_SIZE
    )


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


def draw_segments(axes, labels, duration):
    """Draws the labels of one scale as a strip of segments."""
    starts = np.flatnonzero(np.diff(labels, prepend=-1))
    edges = np.append(starts, len(labels)) * duration / len(labels)
    colours = segment_colours(labels[starts].tolist())
    axes.broken_barh(
        list(zip(edges[:-1], np.diff(edges))),
        (0, 1),
        facecolors=colours,
        linewidth=0,
        antialiased=False,
    )
    axes.set_ylim(0, 1)
    axes.tick_params(axis="both", length=0)
    changes = (len(starts) - 1) / duration
    noun = "segment" if len(starts) == 1 else "segments"
    axes.annotate(
        f"{len(starts)} {noun}\n{changes:.1f} changes/s",
        (1.015, 0.5),
        xycoords="axes fraction",
        va="center",
        fontsize=FONT_SIZE,
    )


def segment_colours(labels):
    """Gives each label a colour that no neighbour of it has.

    Arguments
    ---------
    labels : list of int
        The labels of segments; no two in a row are equal.

    Returns
    -------
    list of tuple
        The colour of each segment; equal labels have equal colours.

    Example
    -------
    >>> colours = segment_colours([7, 300, 7, 5])
    >>> colours[0] == colours[2], len(set(colours))
    (True, 3)
    """
    neighbours = {label: set() for label in labels}
    for first, second in itertools.pairwise(labels):
        neighbours[first].add(second)
        neighbours[second].add(first)
    chosen = {}
    uses = [0] * len(COLOURS)
    # Those with the most neighbours first, while there is most to choose from.
    for label in sorted(
        neighbours, key=lambda one: (-len(neighbours[one]), one)
    ):
        taken = {chosen.get(other) for other in neighbours[label]}
        free = [number for number in range(len(uses)) if number not in taken]
        if not free:
            free = [len(uses)]
            uses.append(0)
        chosen[label] = min(free, key=uses.__getitem__)
        uses[chosen[label]] += 1
    colours = shades(len(uses))
    return [colours[chosen[label]] for label in labels]


def shades(count):
    """Gives as many different colours: the palette, then paler ones.

    Example
    -------
    >>> len(set(shades(20)))
    20
    """
    levels = -(-count // len(COLOURS))
    colours = []
    for level in range(levels):
        white = 0.75 * level / levels
        for colour in COLOURS:
            colours.append(
                tuple(white + (1 - white) * part for part in to_rgb(colour))
            )
    return colours[:count]
