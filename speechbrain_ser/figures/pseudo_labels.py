"""The picture of an utterance's frame pseudo-labels over time."""

import itertools

import numpy as np
from matplotlib.colors import to_rgb

from speechbrain_ser.figures.spectrogram import (
    as_wave,
    draw_spectrogram,
    set_time,
)
from speechbrain_ser.figures.style import (
    COLOURS,
    FONT_SIZE,
    WIDTH,
    finish,
    new_figure,
    write_beside,
)

NOTE = (
    "A change of colour is a change of the frame's pseudo-label;\n"
    "clusters that are never neighbours may share a colour."
)


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
    >>> wave, labels = np.sin(np.arange(9600)), [[0, 3], [0, 1], [1, 1]]
    >>> _ = plot_labels_over_time(
    ...     target, wave, 16000, labels, [2, 4], "An utterance"
    ... )
    >>> target.exists()
    True
    """
    wave, labels = as_wave(wave), np.asarray(labels, dtype=int)
    check_labels(labels, sizes)
    duration = len(wave) / sample_rate
    heights = [1.6, *[0.45] * len(sizes)]
    figure = new_figure(WIDTH, 2 + sum(heights))
    stacked = figure.subplots(len(heights), sharex=True, height_ratios=heights)
    draw_spectrogram(stacked[0], wave, sample_rate)
    for axes, size, column in zip(stacked[1:], sizes, labels.T):
        draw_segments(axes, column, duration)
        axes.set_yticks([0.5], [f"{size} clusters"])
    stacked[-1].tick_params(axis="x", length=3.5)
    set_time(stacked[-1], duration)
    figure.supxlabel(NOTE, fontsize=FONT_SIZE)
    return finish(figure, path, title)


def check_labels(labels, sizes):
    """Refuses what does not fit together.

    Raises
    ------
    ValueError
        If shapes do not fit each other, or a label is no cluster.
    """
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
    write_beside(axes, 0.5, f"{len(starts)} {noun}\n{changes:.1f} changes/s")


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
