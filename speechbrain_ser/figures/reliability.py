"""The picture of how often a model is right, by how sure it is."""

import math

from speechbrain_ser.figures.style import (
    BLUE,
    PALE_BLUE,
    finish,
    legend_below,
    new_figure,
    plain_text,
)

Z = 1.96  # standard deviations of a 95 % interval


def plot_reliability(path, panels, title):
    """Draws the share of right answers by confidence, in panels side by side.

    Confidence is the largest posterior. Below each panel stands how many
    utterances there are. A model that says how sure
    it may be is on the diagonal; below it, it is too sure.

    Arguments
    ---------
    path : str
        The PNG file to write.
    panels : dict
        Name to what `evaluation.calibration.reliability` returns.
    title : str
        The title of the picture.

    Returns
    -------
    str
        `path`.

    Example
    -------
    >>> target = getfixture("tmp_path") / "reliability.png"
    >>> row = {"low": 0.8, "high": 0.9, "confidence": 0.85}
    >>> rows = [row | {"n": 10, "accuracy": 0.6}]
    >>> _ = plot_reliability(target, {"raw": rows}, "test")
    >>> target.exists()
    True
    """
    figure = new_figure(max(5, 1.2 + 3.1 * len(panels)), 5)
    grid = figure.subplots(
        2,
        len(panels),
        sharex=True,
        sharey="row",
        squeeze=False,
        gridspec_kw={"height_ratios": [3, 1]},
    )
    for (upper, lower), (name, rows) in zip(grid.T, panels.items()):
        handles = draw_shares(upper, rows)
        upper.set_title(plain_text(name, 34))
        draw_counts(lower, rows)
        lower.set_xlabel("confidence (%)")
    grid[0, 0].set_ylabel("right (%)")
    grid[1, 0].set_ylabel("utterances")
    columns = 3 if len(panels) > 1 else 1
    legend_below(figure, handles.values(), handles.keys(), ncols=columns)
    return finish(figure, path, title)


def draw_shares(axes, rows):
    """Draws the share that is right in each bin, and the diagonal.

    Returns
    -------
    dict
        From the entries of the legend to what is drawn of them.
    """
    (diagonal,) = axes.plot(
        [0, 100], [0, 100], color="black", linewidth=1, linestyle="--"
    )
    bars = axes.bar(
        [50 * (row["low"] + row["high"]) for row in rows],
        [100 * row["accuracy"] for row in rows],
        width=[100 * (row["high"] - row["low"]) for row in rows],
        color=PALE_BLUE,
        edgecolor="white",
        linewidth=0.5,
    )
    ends = [wilson(row["accuracy"], row["n"]) for row in rows]
    shares = [row["accuracy"] for row in rows]
    points = axes.errorbar(
        [100 * row["confidence"] for row in rows],
        [100 * share for share in shares],
        yerr=[
            [100 * (share - low) for share, (low, _) in zip(shares, ends)],
            [100 * (high - share) for share, (_, high) in zip(shares, ends)],
        ],
        fmt="o",
        color=BLUE,
        markersize=4,
        elinewidth=1,
        capsize=2,
    )
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 102)
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    return {
        "as sure as right": diagonal,
        "right": bars,
        "at the mean confidence, 95 % interval": points,
    }


def draw_counts(axes, rows):
    """Draws how many utterances each bin holds."""
    axes.bar(
        [50 * (row["low"] + row["high"]) for row in rows],
        [row["n"] for row in rows],
        width=[100 * (row["high"] - row["low"]) for row in rows],
        color=BLUE,
        edgecolor="white",
        linewidth=0.5,
    )
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)


def wilson(share, n):
    """Returns Wilson's interval of a share, which holds it.

    Reference: "Probable Inference, the Law of Succession, and Statistical
    Inference", Wilson 1927.

    Example
    -------
    >>> [round(end, 3) for end in wilson(0.5, 10)]
    [0.237, 0.763]
    """
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = math.sqrt(share * (1 - share) / n + (Z / (2 * n)) ** 2)
    half *= Z / (1 + Z**2 / n)
    return min(middle - half, share), max(middle + half, share)
