"""The picture of a table's numbers: bars with intervals."""

from speechbrain_ser.figures.style import (
    BLUE,
    COLOURS,
    PALE_BLUE,
    finish,
    legend_below,
    new_figure,
    plain_text,
    write_beside,
)


def plot_bars(path, bars, label, title, unit="run", top=None):
    """Draws means as bars from 0, one under another, with their intervals.

    Inside a bar the paper's number stands above the interval, the single
    values below it, so that none hides another.

    Arguments
    ---------
    path : str
        The PNG file to write.
    bars : list of dict
        For each bar its ``name``, its ``mean`` (None leaves a gap), the 95 %
        ``interval`` (two numbers, or None), the single ``values``, the number
        of the ``paper`` (or None) and the ``text`` behind the bar.
    label : str
        The label of the axis of numbers.
    title : str
        The title of the picture.
    unit : str
        What one of the values is: the legend says so.
    top : float
        The most that a number can be: no interval makes the axis longer.

    Returns
    -------
    str
        `path`.

    Example
    -------
    >>> target = getfixture("tmp_path") / "bars.png"
    >>> bar = {"name": "IPR", "mean": 70.0, "interval": (66.0, 74.0)}
    >>> bar |= {"values": [69.0, 71.0], "paper": 73.8, "text": "70.0"}
    >>> _ = plot_bars(target, [bar], "UA (%)", "UA", "seed")
    >>> target.exists()
    True
    """
    names = [plain_text(bar["name"], 16) for bar in bars]
    lines = sum(max(1.5, 0.5 + name.count("\n") + 1) for name in names)
    figure = new_figure(4.8, max(3.5, 1.4 + 0.27 * lines))
    axes = figure.add_subplot()
    handles = {}
    for place, bar in enumerate(bars):
        handles |= draw_bar(axes, place, bar, unit)
    set_axes(axes, names, label, top)
    if handles:
        legend_below(
            figure, handles.values(), handles.keys(), ncols=len(handles)
        )
    return finish(figure, path, title)


def draw_bar(axes, place, bar, unit):
    """Draws a bar of `plot_bars` and all that belongs to it.

    Arguments
    ---------
    axes : matplotlib.axes.Axes
    place : int
        Which bar it is, from the top.
    bar : dict
        As `plot_bars` has it.
    unit : str
        What one of the values is.

    Returns
    -------
    dict
        From the entries of the legend to what is drawn of them.
    """
    handles = {}
    if bar["mean"] is not None:
        handles["mean"] = axes.barh(
            place, bar["mean"], height=0.76, color=PALE_BLUE, zorder=2
        )
    if bar["interval"] is not None:
        low, high = bar["interval"]
        handles["95 % interval"] = axes.errorbar(
            (low + high) / 2,
            place,
            xerr=(high - low) / 2,
            fmt="none",
            ecolor="black",
            elinewidth=1.4,
            capsize=4,
            zorder=3,
        )
    if bar["values"]:
        handles[f"one {unit}"] = axes.scatter(
            bar["values"],
            [place + 0.24] * len(bar["values"]),
            s=18,
            color=BLUE,
            edgecolors="white",
            linewidths=0.5,
            zorder=4,
        )
    if bar["paper"] is not None:
        handles["paper"] = axes.scatter(
            bar["paper"],
            place - 0.24,
            s=40,
            marker="D",
            color=COLOURS[1],
            edgecolors="black",
            linewidths=0.9,
            zorder=5,
        )
    write_beside(axes, place, bar["text"], 1.01)
    return handles


def set_axes(axes, names, label, top):
    """Gives axes with bars their limits, the names of the bars and a grid."""
    axes.axvline(0, color="black", linewidth=0.8)
    if top is not None:
        axes.set_xlim(0, min(top, axes.get_xlim()[1]))
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel(plain_text(label))
