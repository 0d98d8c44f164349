"""Pictures of which prototypes are kept: importance, and what it is worth."""

import math

import numpy as np
from matplotlib.ticker import NullLocator

from speechbrain_ser.figures.epochs import dress
from speechbrain_ser.figures.style import (
    BLUE,
    FONT_SIZE,
    PALE_BLUE,
    RED,
    WIDTH,
    finish,
    legend_below,
    new_figure,
    plain_text,
)

AXES_WIDTH = 400  # points, at least


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
    figure = new_figure(WIDTH, 4)
    axes = figure.add_subplot()
    draw_steps(axes, values)
    dress(axes, [(n + 0.5, kept_text(values, n)) for n in sorted(set(kept))])
    return finish(figure, path, title)


def draw_steps(axes, values):
    """Draws values, sorted from the highest down, as steps."""
    size = len(values)
    positive = values[values > 0]
    wide = len(positive) > 0 and positive[0] > 10 * np.median(positive)
    floor = max(positive[-1] / 1.5, 1e-6 * positive[0]) if wide else 0
    edges = np.arange(size + 1) + 0.5
    tops = np.maximum(values, floor)
    axes.stairs(tops, edges, baseline=floor, fill=True, color=PALE_BLUE)
    axes.stairs(tops, edges, baseline=floor, color=BLUE, linewidth=1.6)
    axes.set_yscale("log" if wide else "linear")
    axes.set_ylim(floor, (1.5 if wide else 1.08) * values[0] or 1)
    axes.set_xlim(0.5, size + 0.5)
    none = size - len(positive)
    axes.set_xlabel(
        "rank of the prototype"
        + (f" ({none} of {size} have importance 0)" if none else "")
    )
    axes.set_ylabel("importance")


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


def plot_selection(
    path, sizes, selected, random, full, metric, title, intervals=None
):
    """Draws how well fewer prototypes do, on an axis from 0 to 100.

    Arguments
    ---------
    path : str
        The PNG file to write.
    sizes : sequence of int
        Numbers of prototypes, in any order.
    selected : sequence of float
        For each size the result of the most important ones, in per cent.
    random : sequence of float
        For each size the result of as many random ones.
    full : float
        The result of a fresh probe on all prototypes.
    metric : str
        The label of the axis of results, with their unit.
    title : str
        The title of the picture.
    intervals : dict, optional
        ``selected``, ``random``, ``full``: for each result its ends, or None.

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
    if not 0 < len(sizes) == len(selected) == len(random):
        raise ValueError(
            f"{len(sizes)} sizes, but {len(selected)} results of selected and "
            f"{len(random)} of random prototypes"
        )
    intervals, figure = intervals or {}, new_figure(WIDTH, 4)
    axes = figure.add_subplot()
    draw_results(axes, sizes, selected, random, intervals)
    axes.axhline(
        full, label="all, fresh probe", color="black", linestyle=":", zorder=1.5
    )
    for ends in filter(None, intervals.get("full", [])):
        axes.axhspan(*ends, color="black", alpha=0.08, linewidth=0, zorder=0.5)
    axes.set_ylim(0, 100)
    axes.set_ylabel(plain_text(metric))
    legend_below(figure, ncols=3)
    return finish(figure, path, title)


def draw_results(axes, sizes, selected, random, intervals):
    """Draws both kinds of results by size, on a logarithmic axis of sizes.

    The intervals stand a little left and right of their size.
    """
    order = np.argsort(sizes, kind="stable")
    sizes = np.asarray(sizes)[order]
    looks = {
        "selected": ("most important (Fisher)", BLUE, "-", "o", 8),
        "random": ("random", RED, "--", "s", 5),
    }
    for key, values, aside in (
        ("selected", selected, 0.99),
        ("random", random, 1.01),
    ):
        name, colour, style, marker, size = looks[key]
        ends = intervals.get(key) or [None] * len(sizes)
        for place, index in zip(sizes, order):
            if ends[index] is not None:
                axes.vlines(place * aside, *ends[index], color=colour)
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
    axes.set_xscale("log")
    axes.set_xlim(sizes[0] / 1.15, sizes[-1] * 1.15)
    axes.set_xticks(sizes, uncrowded(sizes, *axes.get_xlim()))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(alpha=0.3)
    axes.set_xlabel("number of prototypes")


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
