"""The picture of how the language classifier, the adversary, does by epoch."""

import math

from speechbrain_ser.figures.epochs import draw_level, draw_with_gaps, dress
from speechbrain_ser.figures.style import (
    BLUE,
    GREEN,
    RED,
    WIDTH,
    finish,
    legend_below,
    new_figure,
)

CHANCE_LOSS = math.log(2)
CHANCE_UAR = 50


def plot_adversary(path, rows, title, marks=()):
    """Draws the language classifier's and the emotion classifier's way.

    The loss of the language classifier has the left axis, the recalls the
    right one, each with the level of chance. What is missing, None or not
    finite leaves a gap; a curve with no value at all has no line, and an axis
    with no line is not drawn.

    Arguments
    ---------
    path : str
        The PNG file to write.
    rows : list of dict
        One for each epoch, with the keys ``epoch``, ``domain_loss`` in nats,
        and ``domain_UA`` and ``valid_UA`` in 0..1.
    title : str
        The title of the picture.
    marks : iterable of tuple
        Epochs to mark with a vertical line, each with its text.

    Returns
    -------
    str
        `path`.

    Example
    -------
    >>> target = getfixture("tmp_path") / "adversary.png"
    >>> rows = [
    ...     {"epoch": 1, "domain_loss": 0.4, "domain_UA": 0.9},
    ...     {"epoch": 2, "domain_loss": 0.6, "valid_UA": 0.6},
    ... ]
    >>> plot_adversary(target, rows, "DANN", [(2, "selected")]).exists()
    True
    """
    figure = new_figure(WIDTH, 4.4)
    left = figure.add_subplot()
    right = left.twinx()
    draw_loss(left, rows)
    draw_recalls(right, rows)
    handles = [*left.lines, *right.lines]
    for axes in (left, right):
        axes.yaxis.set_visible(bool(axes.lines))
    left.set_xlabel("epoch")
    dress(left, marks)
    if handles:
        legend_below(figure, handles=handles, ncols=3)
    return finish(figure, path, title)


def draw_loss(axes, rows):
    """Draws the loss of the language classifier, with its axis in blue."""
    look = {"color": BLUE, "linestyle": "-", "marker": "o"}
    draw_with_gaps(axes, rows, "domain_loss", label="domain loss", **look)
    if axes.lines:
        draw_level(axes, CHANCE_LOSS, color=BLUE, label="chance, log 2")
    axes.set_ylabel("domain loss", color=BLUE)
    axes.tick_params(axis="y", colors=BLUE)


def draw_recalls(axes, rows):
    """Draws the recalls of both classifiers in per cent."""
    for key, name, colour, style, marker in (
        ("domain_UA", "domain UAR", GREEN, "-.", "s"),
        ("valid_UA", "emotion UAR, development", RED, "-", "^"),
    ):
        look = {"color": colour, "linestyle": style, "marker": marker}
        draw_with_gaps(axes, rows, key, 100, label=name, **look)
    if axes.lines:
        draw_level(axes, CHANCE_UAR, label="chance, 50 %")
    axes.set_ylabel("UAR (%)")
