"""Pictures of the local prototypical mapping, written as PNG files.

Where in an utterance the prototypes were found, how important each prototype
is, and what is left of the accuracy with fewer of them.
"""

import math

import numpy as np
import torch
from matplotlib.colors import LogNorm
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from speechbrain.processing.features import STFT, Filterbank

from speechbrain_ser.figures.plots import (
    BLUE,
    COLOURS,
    FONT_SIZE,
    RED,
    dress,
    new_figure,
    plain_text,
    save,
)

WIDTH = 6.7  # inches: 1000 pixels
AXES_WIDTH = 400  # points, at least
MOST_PROTOTYPES = 30
LONGEST_NAME = 24
MOST_BARS = 60
MOST_COLUMNS = 500
LEAST_SHOWN = 0.1  # times chance; the colour bar ends there
MELS = 40
MEL_TICKS = {250: "0.25", 500: "0.5", 1000: "1", 2000: "2", 4000: "4"}
PALE_BLUE = "#BBDDF2"


def plot_local_mapping(
    path, wave, sample_rate, mapping, hop, winners, names, title
):
    """Draws where in an utterance each prototype was found.

    Under each other, with one axis of time: the waveform, its log-Mel
    spectrogram, how many of the shown prototypes have their maximum in each
    moment, and how similar each frame is to each prototype. The colours go by
    the logarithm, which is the cosine similarity but for a constant of the
    frame.

    Arguments
    ---------
    path : str
        The PNG file to write.
    wave : array of shape [samples]
        The waveform.
    sample_rate : int
        In Hz.
    mapping : array of shape [T, K']
        How similar each frame is to each prototype; 1 is as likely as chance.
        What is below 0.1 looks as 0.1.
    hop : float
        Seconds between frames; frame t has its centre at ``(t + 0.5) * hop``.
    winners : sequence of int
        For each prototype the frame that the max picked.
    names : sequence of str
        For each prototype the name of its row, the most important first; only
        the first 30 prototypes are shown.
    title : str
        The title of the picture.

    Returns
    -------
    str
        `path`.

    Raises
    ------
    ValueError
        If shapes do not fit each other, the mapping is not finite, or a winner
        is no frame.

    Example
    -------
    >>> target = getfixture("tmp_path") / "mapping.png"
    >>> mapping = np.array([[0.5, 1.0], [2.0, 1.1], [0.6, 1.0]])
    >>> _ = plot_local_mapping(
    ...     target,
    ...     np.sin(np.arange(9600)),
    ...     16000,
    ...     mapping,
    ...     0.2,
    ...     mapping.argmax(axis=0),
    ...     ["17 · angry 0.8", "4 · sad 0.5"],
    ...     "An utterance",
    ... )
    >>> target.exists()
    True
    """
    wave = np.array(wave, dtype=np.float32, order="C")
    mapping = np.asarray(mapping, dtype=float)
    winners, names = np.asarray(winners, dtype=int), list(names)
    check_mapping(wave, mapping, winners, names)
    frames, count = mapping.shape
    shown = min(count, MOST_PROTOTYPES)
    mapping, winners = mapping[:, :shown], winners[:shown]

    rows = max(1.3, 0.19 * shown)
    heights = [0.5, 1.4, 0.6, rows]
    figure = new_figure(WIDTH, 1.5 + sum(heights))
    stacked = figure.subplots(4, sharex=True, height_ratios=heights)
    draw_envelope(stacked[0], wave, sample_rate)
    draw_spectrogram(stacked[1], wave, sample_rate)
    draw_wins(stacked[2], winners, frames, hop)
    image = draw_heat_map(stacked[3], mapping, hop, names[:shown])
    stacked[3].scatter(
        (winners + 0.5) * hop,
        np.arange(shown),
        s=26,
        color="black",
        edgecolors="white",
        linewidths=1,
        zorder=3,
        clip_on=False,
    )
    stacked[3].set_ylabel(
        "prototype"
        if shown == count
        else f"first {shown} of {count} prototypes"
    )
    stacked[3].set_xlabel("time (s)")
    stacked[3].xaxis.set_major_locator(MaxNLocator(6))
    stacked[3].set_xlim(0, max(len(wave) / sample_rate, frames * hop))
    draw_colour_bar(figure, image, stacked[3], mapping.min() < LEAST_SHOWN)
    figure.align_ylabels(stacked[:3])
    figure.suptitle(plain_text(title))
    figure.legend(
        [winner_handle()],
        ["frame that the max picked for the prototype"],
        loc="outside lower center",
        fontsize=FONT_SIZE,
    )
    return save(figure, path)


def plot_importance(path, importance, kept, title):
    """Draws the importance of all prototypes, from the highest down.

    The axis is logarithmic, over six decades at most, where the highest value
    is more than ten times the median one. Prototypes without any importance
    are counted in the label.

    Arguments
    ---------
    path : str
        The PNG file to write.
    importance : sequence of float
        Of each prototype, in any order, not negative.
    kept : sequence of int
        How many prototypes a selection keeps; each gets a line, with the share
        of the summed importance that it keeps.
    title : str
        The title of the picture.

    Returns
    -------
    str
        `path`.

    Raises
    ------
    ValueError
        If an importance is negative or not finite, or more prototypes are to
        be kept than there are.

    Example
    -------
    >>> target = getfixture("tmp_path") / "importance.png"
    >>> _ = plot_importance(target, [0.1, 3.0, 0.9], [1, 2], "Importance")
    >>> target.exists()
    True
    """
    values = np.sort(np.asarray(importance, dtype=float))[::-1]
    size = len(values)
    if not size or not np.isfinite(values).all() or values[-1] < 0:
        raise ValueError("importance must be finite, not negative, not empty")
    wrong = [number for number in kept if not 1 <= number <= size]
    if wrong:
        raise ValueError(f"cannot keep {wrong} of {size} prototypes")

    positive = values[values > 0]
    wide = len(positive) > 0 and positive[0] > 10 * np.median(positive)
    floor = max(positive[-1] / 1.5, 1e-6 * positive[0]) if wide else 0
    figure = new_figure(WIDTH, 4)
    axes = figure.add_subplot()
    edges = np.arange(size + 1) + 0.5
    tops = np.maximum(values, floor)
    axes.stairs(tops, edges, baseline=floor, fill=True, color=PALE_BLUE)
    axes.stairs(tops, edges, baseline=floor, color=BLUE, linewidth=1.6)
    axes.set_yscale("log" if wide else "linear")
    axes.set_ylim(floor, (1.5 if wide else 1.08) * values[0] or 1)
    axes.set_xlim(0.5, size + 0.5)
    dress(axes, [(n + 0.5, kept_text(values, n)) for n in sorted(set(kept))])
    none = size - len(positive)
    axes.set_xlabel(
        "rank of the prototype"
        + (f" ({none} of {size} have importance 0)" if none else "")
    )
    axes.set_ylabel("importance")
    figure.suptitle(plain_text(title))
    return save(figure, path)


def plot_selection(path, sizes, selected, random, full, metric, title):
    """Draws how well fewer prototypes do, selected or drawn by chance.

    Arguments
    ---------
    path : str
        The PNG file to write.
    sizes : sequence of int
        Numbers of prototypes, in any order.
    selected : sequence of float
        For each size the result of the most important prototypes.
    random : sequence of float
        For each size the result of as many random ones.
    full : float
        The result of a fresh probe on all prototypes.
    metric : str
        The label of the axis of results, with their unit.
    title : str
        The title of the picture.

    Returns
    -------
    str
        `path`.

    Raises
    ------
    ValueError
        If there are no sizes, or not as many results as sizes.

    Example
    -------
    >>> target = getfixture("tmp_path") / "selection.png"
    >>> _ = plot_selection(
    ...     target, [60, 200], [61, 63], [55, 62], 63.5, "UA (%)", "Selection"
    ... )
    >>> target.exists()
    True
    """
    if not len(sizes) or not len(sizes) == len(selected) == len(random):
        raise ValueError(
            f"{len(sizes)} sizes, but {len(selected)} results of selected and "
            f"{len(random)} of random prototypes"
        )
    order = np.argsort(sizes, kind="stable")
    sizes = np.asarray(sizes)[order]
    figure = new_figure(WIDTH, 4)
    axes = figure.add_subplot()
    for values, name, colour, style, marker, size in (
        (selected, "most important (Fisher)", BLUE, "-", "o", 8),
        (random, "random", RED, "--", "s", 5),
    ):
        axes.plot(
            sizes,
            np.asarray(values, dtype=float)[order],
            label=name,
            color=colour,
            linestyle=style,
            marker=marker,
            markersize=size,
            markeredgecolor="white",
            markeredgewidth=0.5,
            linewidth=1.8,
        )
    axes.axhline(
        full, label="all, fresh probe", color="black", linestyle=":", zorder=1.5
    )
    axes.set_xscale("log")
    axes.set_xlim(sizes[0] / 1.15, sizes[-1] * 1.15)
    axes.set_xticks(sizes, uncrowded(sizes, *axes.get_xlim()))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(alpha=0.3)
    axes.set_xlabel("number of prototypes")
    axes.set_ylabel(plain_text(metric))
    figure.suptitle(plain_text(title))
    figure.legend(loc="outside lower center", ncols=3, fontsize=FONT_SIZE)
    return save(figure, path)


def check_mapping(wave, mapping, winners, names):
    """Refuses what does not fit together.

    Raises
    ------
    ValueError
        If shapes do not fit each other, the mapping is not finite, or a winner
        is no frame.
    """
    if wave.ndim != 1 or not len(wave):
        raise ValueError(f"a waveform of shape {wave.shape}, not [samples]")
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


def draw_envelope(axes, wave, sample_rate):
    """Draws the lowest and highest sample of each moment."""
    edges = np.linspace(0, len(wave), min(len(wave), 1000) + 1).astype(int)
    axes.fill_between(
        edges / sample_rate,
        *(
            np.append(values, values[-1])
            for values in (
                np.minimum.reduceat(wave, edges[:-1]),
                np.maximum.reduceat(wave, edges[:-1]),
            )
        ),
        step="post",
        color=BLUE,
        linewidth=0.5,
    )
    loudest = float(np.abs(wave).max()) or 1.0
    axes.set_ylim(-1.05 * loudest, 1.05 * loudest)
    axes.set_yticks([])
    axes.set_ylabel("wave")
    axes.tick_params(axis="x", length=0)


def log_mel(wave, sample_rate, highest):
    """Gives the log-Mel spectrogram in dB, [40, T], a frame every 10 ms.

    Arguments
    ---------
    wave : array of shape [samples]
    sample_rate : int
        In Hz.
    highest : float
        Where the last filter ends, in Hz.

    Returns
    -------
    numpy.ndarray

    Example
    -------
    >>> log_mel(np.zeros(16000, dtype=np.float32), 16000, 8000).shape
    (40, 101)
    """
    n_fft = 2 ** math.ceil(math.log2(0.025 * sample_rate))
    stft = STFT(sample_rate, win_length=25, hop_length=10, n_fft=n_fft)
    filterbank = Filterbank(
        n_mels=MELS, n_fft=n_fft, sample_rate=sample_rate, f_max=highest
    )
    with torch.no_grad():
        spectrum = stft(torch.from_numpy(wave).unsqueeze(0))
        return filterbank(spectrum.square().sum(-1))[0].numpy().T


def draw_spectrogram(axes, wave, sample_rate):
    """Draws the log-Mel spectrogram with frequencies in kHz."""
    highest = min(8000, sample_rate / 2)
    decibels = log_mel(wave, sample_rate, highest)
    step = mel(highest) / (MELS + 1)  # between the centres of two filters
    axes.imshow(
        decibels,
        origin="lower",
        aspect="auto",
        cmap="magma",
        extent=(
            -0.005,
            0.01 * decibels.shape[1] - 0.005,
            0.5 * step,
            (MELS + 0.5) * step,
        ),
    )
    ticks = {hz: text for hz, text in MEL_TICKS.items() if hz < highest}
    axes.set_yticks([mel(hz) for hz in ticks], ticks.values())
    axes.tick_params(axis="y", labelsize=FONT_SIZE - 1)
    axes.set_ylabel("log-Mel (kHz)")


def mel(hz):
    """Gives a frequency on the Mel scale.

    Example
    -------
    >>> round(mel(1000))
    1000
    """
    return 2595 * math.log10(1 + hz / 700)


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


def draw_colour_bar(figure, image, axes, clipped):
    """Draws the colour bar, with a line at chance."""
    bar = figure.colorbar(
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


def round_ticks(low, high):
    """Gives round numbers within a range of a logarithmic axis.

    Example
    -------
    >>> [float(tick) for tick in round_ticks(0.1, 6)]
    [0.1, 0.2, 0.5, 1.0, 2.0, 5.0]
    >>> [float(tick) for tick in round_ticks(0.6, 1.9)]
    [0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8]
    """
    if high < 5 * low:
        locator = MaxNLocator(7, steps=[1, 2, 2.5, 5, 10])
    else:
        subs = (1, 3) if high > 60 * low else (1, 2, 5)
        locator = LogLocator(subs=subs, numticks=20)
    ticks = [round(tick, 6) for tick in locator.tick_values(low, high)]
    return [tick for tick in ticks if low <= tick <= high]


def winner_handle():
    """Gives the sign of a winning frame in a legend."""
    return Line2D(
        [],
        [],
        color="black",
        marker="o",
        markeredgecolor="white",
        linestyle="",
    )


def short_text(text):
    """Cuts a text to one line of at most 24 characters.

    Example
    -------
    >>> short_text("17 · angry 0.8"), short_text("a much too long name of it")
    ('17 · angry 0.8', 'a much too long name of…')
    """
    line = " ".join(str(text).split())
    if len(line) > LONGEST_NAME:
        line = line[: LONGEST_NAME - 1] + "…"
    return plain_text(line)


def kept_text(values, number):
    """Says which share of the sum the first of the sorted values have.

    Example
    -------
    >>> kept_text([3.0, 1.0, 0.0], 1), kept_text([0.0, 0.0], 1)
    ('1: 75 %', '1: –')
    """
    total = sum(values)
    if not total:
        return f"{number}: –"
    return f"{number}: {100 * sum(values[:number]) / total:.0f} %"


def uncrowded(sizes, first, last):
    """Gives the texts of ticks, empty where they would touch the one before.

    Arguments
    ---------
    sizes : sequence of int
        The ticks, in rising order.
    first : float
        Where the logarithmic axis begins.
    last : float
        Where it ends.

    Returns
    -------
    list of str

    Example
    -------
    >>> uncrowded([8, 64, 65, 512], 7, 600)
    ['8', '64', '', '512']
    """
    texts, end = [], -math.inf
    for size in sizes:
        text = str(size)
        place = AXES_WIDTH * math.log(size / first) / math.log(last / first)
        half = 0.35 * len(text) * FONT_SIZE
        free = place - half > end
        texts.append(text if free else "")
        end = place + half if free else end
    return texts
