"""The picture of what a model is worth where it may say that it is not sure."""

from speechbrain_ser.figures.style import (
    BLUE,
    RED,
    finish,
    legend_below,
    new_figure,
)

FEW = 10  # utterances; the share of fewer is left out, it jumps


def plot_coverage(path, curve, title, least=None):
    """Draws the share of right answers by the share that is answered.

    Arguments
    ---------
    path : str
        The PNG file to write.
    curve : dict
        As `evaluation.selective.coverage_curve` returns it.
    title : str
        The title of the picture.
    least : float, optional
        The least confidence that counts as sure: it is marked, if some is.

    Returns
    -------
    str
        `path`.

    Example
    -------
    >>> target = getfixture("tmp_path") / "coverage.png"
    >>> curve = {"confidence": [0.9, 0.4], "n": [10, 20]}
    >>> curve |= {"coverage": [0.5, 1.0], "accuracy": [1.0, 0.6]}
    >>> _ = plot_coverage(target, curve, "test", 0.6)
    >>> target.exists()
    True
    """
    figure = new_figure(5.2, 4)
    axes = figure.add_subplot()
    coverage = [100 * value for value in curve["coverage"]]
    accuracy = [100 * value for value in curve["accuracy"]]
    few = min(FEW, curve["n"][-1])
    first = next(i for i, n in enumerate(curve["n"]) if n >= few)
    handles = {}
    (handles["the surest ones"],) = axes.plot(
        coverage[first:], accuracy[first:], color=BLUE, linewidth=1.8
    )
    handles["all of it"] = axes.axhline(
        accuracy[-1], color="black", linewidth=1, linestyle="--"
    )
    sure = [c for c in curve["confidence"] if least is not None and c >= least]
    if sure:
        place = len(sure) - 1
        (mark,) = axes.plot(
            coverage[place], accuracy[place], "o", color=RED, markersize=7
        )
        handles[f"confidence of {least:g} or more"] = mark
    axes.set_xlim(0, 102)
    axes.set_ylim(max(0, min(accuracy[first:]) - 5), 102)
    axes.set_xlabel("answered (%)")
    axes.set_ylabel("of that right (%)")
    axes.grid(alpha=0.3)
    legend_below(figure, handles.values(), handles.keys(), ncols=len(handles))
    return finish(figure, path, title)
