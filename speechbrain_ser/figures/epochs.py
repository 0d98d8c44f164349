"""What pictures by epoch have in common: curves with gaps, marked epochs."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from speechbrain_ser.figures.style import FONT_SIZE

TYPICAL_WIDTH = 280  # of axes beside a legend, in points
MOST_MARKERS = 60  # on a line


def dress(axes, marks):
    """Gives axes by epoch whole-number ticks, a grid and marked epochs.

    The texts of the marks stand above the axes, in more lines than one where
    they would touch.

    Arguments
    ---------
    axes : matplotlib.axes.Axes
        Everything else is already drawn on them.
    marks : iterable of tuple
        Epochs to mark with a vertical line, each with its text.
    """
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)
    marks = sorted(marks)
    for epoch, _ in marks:
        axes.axvline(
            epoch, color="dimgray", linestyle="--", linewidth=1.2, zorder=1.5
        )
    first, last = axes.get_xlim()
    ends = []  # of the last text in each line; 0..1 is the width of the axes
    for epoch, text in marks:
        share = (epoch - first) / (last - first)
        width = len(text) * FONT_SIZE * 0.6 / TYPICAL_WIDTH
        side = "left" if share < 0.25 else "right" if share > 0.75 else "center"
        start = share - width * {"left": 0, "center": 0.5, "right": 1}[side]
        line = next(
            (line for line, end in enumerate(ends) if end < start), len(ends)
        )
        ends[line : line + 1] = [start + width + 0.02]
        axes.annotate(
            text,
            (epoch, 1),
            xycoords=axes.get_xaxis_transform(),
            xytext=(0, 4 + 1.4 * FONT_SIZE * line),
            textcoords="offset points",
            ha=side,
            color="dimgray",
            fontsize=FONT_SIZE,
        )


def unnamed(marks):
    """Gives the same marks without their texts."""
    return [(epoch, "") for epoch, _ in marks]


def draw_known(axes, rows, key, scale=1, **look):
    """Draws a value by epoch; the line skips rows that lack it or have None.

    Arguments
    ---------
    axes : matplotlib.axes.Axes
    rows : list of dict
        One for each epoch, with the key ``epoch``.
    key : str
        The key of the value.
    scale : float
        What the value is multiplied by.
    **look : dict
        The settings of the line, see `Axes.plot`.

    Returns
    -------
    list of matplotlib.lines.Line2D
        The line; empty if no row has the value.
    """
    known = [row for row in rows if row.get(key) is not None]
    if not known:
        return []
    return axes.plot(
        [row["epoch"] for row in known],
        [scale * float(row[key]) for row in known],
        **look,
    )


def draw_with_gaps(axes, rows, key, scale=1, **look):
    """Draws a value by epoch; the line breaks where it is missing.

    With many epochs the line is thin, and only values between two gaps have a
    marker. With no value at all there is no line.

    Arguments
    ---------
    axes : matplotlib.axes.Axes
    rows : list of dict
        One for each epoch, with the key ``epoch``.
    key : str
        The key of the value.
    scale : float
        What the value is multiplied by.
    **look : dict
        Further settings of the line, see `Axes.plot`.

    Returns
    -------
    list of float
        The drawn values.
    """
    values = scale * values_of(rows, key)
    known = np.isfinite(values)
    few = len(rows) <= MOST_MARKERS
    if known.any():
        axes.plot(
            [row["epoch"] for row in rows],
            values,
            linewidth=1.8 if few else 1.1,
            markersize=4,
            markevery=None if few else alone(known),
            **look,
        )
    return values[known].tolist()


def draw_level(axes, height, color="black", **more):
    """Draws a dashed line over the whole width of the axes."""
    axes.axhline(
        height, color=color, linestyle="--", linewidth=1, zorder=1.5, **more
    )


def values_of(rows, key):
    """Gives a value of each row, NaN where there is none that is finite.

    Example
    -------
    >>> values_of([{"loss": 1}, {}, {"loss": None}], "loss").tolist()
    [1.0, nan, nan]
    """
    values = [row.get(key) for row in rows]
    values = [np.nan if value is None else float(value) for value in values]
    values = np.array(values, dtype=np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def alone(known):
    """Gives the places of values between two gaps, which no line would show.

    Example
    -------
    >>> alone(np.array([True, False, True, True]))
    [0]
    """
    beside = np.concatenate([[False], known, [False]])
    return np.flatnonzero(known & ~beside[:-2] & ~beside[2:]).tolist()
