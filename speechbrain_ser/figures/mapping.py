"""The picture of where in an utterance the prototypes were found."""

import math

import numpy as np
from matplotlib.colors import LogNorm

from speechbrain_ser.figures.spectrogram import (
    as_wave,
    draw_envelope,
    draw_spectrogram,
    set_time,
)
from speechbrain_ser.figures.style import (
    COLOURS,
    FONT_SIZE,
    WIDTH,
    finish,
    legend_below,
    new_figure,
    point_sign,
    round_ticks,
    short_text,
)

MOST_SHOWN = 30
MOST_BARS = 60
MOST_COLUMNS = 500
LEAST_SHOWN = 0.1  # times chance; the colour bar ends there


def plot_local_mapping(
    path, wave, sample_rate, mapping, hop, winners, names, title
):
    """Draws where in an utterance each prototype was found.

    Over one axis of time: the waveform, its log-Mel spectrogram, how many of
    the shown prototypes have their maximum in each moment, and how similar
    each frame is to each prototype. The colours go by the logarithm, which is
    the cosine similarity but for a constant of the frame.

    Arguments
    ---------
    path : str
        The PNG file to write.
    wave : array of shape [samples]
        The waveform.
    sample_rate : int
        In Hz.
    mapping : array of shape [T, K']
        How similar each frame is to each prototype; 1 is as likely as chance,
        and what is below 0.1 looks as 0.1.
    hop : float
        Seconds between frames; frame t has its centre at ``(t + 0.5) * hop``.
    winners : sequence of int
        For each prototype the frame that the max picked.
    names : sequence of str
        For each prototype the name of its row, the most important first; the
        first 30 are shown.
    title : str
        The title of the picture.

    Returns
    -------
    str
        `path`.

    Raises
    ------
    ValueError
        If shapes do not fit, the mapping is not finite, or a winner no frame.

    Example
    -------
    >>> target = getfixture("tmp_path") / "mapping.png"
    >>> wave, mapping = np.sin(np.arange(9600)), [[0.5, 1], [2, 1.1], [0.6, 1]]
    >>> rows = mapping, 0.2, [1, 1], ["17 · angry 0.8", "4 · sad 0.5"]
    >>> plot_local_mapping(target, wave, 16000, *rows, "A title").exists()
    True
    """
    wave = as_wave(wave)
    mapping, winners, names = as_mapping(mapping, winners, names)
    heights = [0.5, 1.4, 0.6, max(1.3, 0.19 * min(len(names), MOST_SHOWN))]
    figure = new_figure(WIDTH, 1.5 + sum(heights))
    stacked = figure.subplots(4, sharex=True, height_ratios=heights)
    draw_envelope(stacked[0], wave, sample_rate)
    draw_spectrogram(stacked[1], wave, sample_rate)
    draw_prototypes(*stacked[2:], mapping, hop, winners, names)
    set_time(stacked[3], max(len(wave) / sample_rate, len(mapping) * hop))
    figure.align_ylabels(stacked[:3])
    return finish(figure, path, title)


def as_mapping(mapping, winners, names):
    """Gives a mapping and its winners as arrays, and the names as a list.

    Raises
    ------
    ValueError
        If shapes do not fit each other, the mapping is not finite, or a winner
        is no frame.
    """
    mapping = np.asarray(mapping, dtype=float)
    winners, names = np.asarray(winners, dtype=int), list(names)
    if mapping.ndim != 2 or not mapping.size:
        raise ValueError(f"a mapping of shape {mapping.shape}, not [T, K']")
    if not np.isfinite(mapping).all():
        raise ValueError("the mapping has values that are not finite")
    frames, count = mapping.shape
    if not count == len(winners) == len(names):
        raise ValueError(
            f"{count} prototypes, but {len(winners)} winners and "
            f"{len(names)} names"
        )
    if winners.min() < 0 or winners.max() >= frames:
        raise ValueError(f"winners must be frames from 0 to {frames - 1}")
    return mapping, winners, names


def draw_prototypes(above, axes, mapping, hop, winners, names):
    """Draws the first prototypes of a mapping, and what they won above them.

    Arguments
    ---------
    above : matplotlib.axes.Axes
        Gets the bars of the moments.
    axes : matplotlib.axes.Axes
        Gets the mapping, the winners and the colour bar.
    mapping : numpy.ndarray
        ``[T, K']``.
    hop : float
        Seconds between frames.
    winners : numpy.ndarray
        For each prototype the frame that the max picked.
    names : list of str
        For each prototype the name of its row.
    """
    frames, count = mapping.shape
    shown = min(count, MOST_SHOWN)
    mapping, winners = mapping[:, :shown], winners[:shown]
    draw_wins(above, winners, frames, hop)
    image = draw_heat_map(axes, mapping, hop, names[:shown])
    axes.scatter(
        (winners + 0.5) * hop,
        np.arange(shown),
        s=26,
        color="black",
        edgecolors="white",
        linewidths=1,
        zorder=3,
        clip_on=False,
    )
    axes.set_ylabel(
        "prototype"
        if shown == count
        else f"first {shown} of {count} prototypes"
    )
    draw_colour_bar(image, axes, mapping.min() < LEAST_SHOWN)
    legend_below(
        axes.figure,
        [point_sign("black", "o", markeredgecolor="white")],
        ["frame that the max picked for the prototype"],
    )


def draw_wins(axes, winners, frames, hop):
    """Draws how many prototypes have their maximum in each moment.

    A moment is a frame, or some frames where there are too many for bars.
    """
    width = math.ceil(frames / MOST_BARS)
    wins = np.bincount(winners // width, minlength=math.ceil(frames / width))
    axes.bar(
        np.arange(len(wins)) * width * hop,
        wins,
        width=width * hop,
        align="edge",
        color=COLOURS[1],
        edgecolor="black",
        linewidth=0.5,
    )
    axes.set_yticks([0, wins.max()])
    axes.tick_params(axis="y", labelsize=FONT_SIZE - 1)
    axes.set_ylim(0, 1.1 * wins.max())
    axes.set_ylabel(f"won in\n{width * hop:.2g} s", fontsize=FONT_SIZE)


def draw_heat_map(axes, mapping, hop, names):
    """Draws the mapping, a row for each prototype, and returns the image.

    Chance is always within the colours, so that a glance tells whether
    anything is above it; constant values get a small range around them.
    Where frames are too many, a column is the maximum of some of them.
    """
    frames, count = mapping.shape
    low = max(min(mapping.min(), 1), LEAST_SHOWN)
    high = max(mapping.max(), 1)
    if high < 1.05 * low:
        low, high = low / 1.025, high * 1.025
    starts = np.arange(0, frames, math.ceil(frames / MOST_COLUMNS))
    image = axes.pcolormesh(
        np.append(starts, frames) * hop,
        np.arange(count + 1) - 0.5,
        np.maximum.reduceat(np.maximum(mapping, low), starts).T,
        cmap="viridis",
        norm=LogNorm(low, high),
    )
    axes.set_ylim(count - 0.5, -0.5)
    axes.set_yticks(
        range(count), [short_text(name) for name in names], fontsize=8
    )
    axes.tick_params(axis="y", length=0, pad=7)
    return image


def draw_colour_bar(image, axes, clipped):
    """Draws the colour bar, with a line at chance."""
    bar = axes.figure.colorbar(
        image,
        ax=axes,
        label="times chance",
        pad=0.02,
        extend="min" if clipped else "neither",
    )
    ticks = round_ticks(image.norm.vmin, image.norm.vmax)
    bar.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    bar.minorticks_off()
    bar.ax.tick_params(labelsize=FONT_SIZE - 1)
    for colour, width in (("black", 3), ("white", 1.5)):
        bar.ax.axhline(1, color=colour, linewidth=width)
