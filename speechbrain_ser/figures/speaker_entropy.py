"""The picture of how the speaker classifier, the adversary, does by epoch."""

import math

from speechbrain_ser.figures.epochs import (
    draw_level,
    draw_with_gaps,
    dress,
    unnamed,
)
from speechbrain_ser.figures.style import (
    BLUE,
    WIDTH,
    finish,
    new_figure,
    write_beside,
)

MAXIMUM_ROOM = 1.1  # times the maximum of the entropy


def plot_speaker_entropy(path, rows, n_speakers, title, marks=()):
    """Draws how unsure and how right the speaker classifier is, by epoch.

    The upper panel has the mean entropy of its output, below the largest that
    there can be; the lower one its accuracy, with the level of chance. What is
    missing, None or not finite leaves a gap; a panel with no value at all says
    so.

    Arguments
    ---------
    path : str
        The PNG file to write.
    rows : list of dict
        One for each epoch, with the keys ``epoch``, ``speaker_entropy`` in
        nats and ``speaker_accuracy`` in 0..1.
    n_speakers : int
        How many speakers the classifier tells apart.
    title : str
        The title of the picture.
    marks : iterable of tuple
        Epochs to mark with a vertical line, each with its text.

    Returns
    -------
    str
        `path`.

    Raises
    ------
    ValueError
        If there are fewer than two speakers.

    Example
    -------
    >>> target = getfixture("tmp_path") / "entropy.png"
    >>> rows = [{"epoch": 1, "speaker_entropy": 1.2, "speaker_accuracy": 0.6}]
    >>> plot_speaker_entropy(target, rows, 8, "MEnAN", [(1, "best")]).exists()
    True
    """
    if n_speakers < 2:
        raise ValueError(
            f"a speaker classifier has at least two speakers, not {n_speakers}"
        )
    marks = list(marks)
    figure = new_figure(WIDTH, 5)
    upper, lower = figure.subplots(2, sharex=True)
    draw_entropy(upper, rows, n_speakers)
    draw_accuracy(lower, rows, n_speakers)
    lower.set_xlabel("epoch (over the batches that train)")
    set_epochs(lower, [row["epoch"] for row in rows] + [e for e, _ in marks])
    dress(upper, marks)
    dress(lower, unnamed(marks))
    return finish(figure, path, title)


def draw_entropy(axes, rows, n_speakers):
    """Draws the entropy in nats, below its maximum."""
    most = math.log(n_speakers)
    values = draw_or_say(axes, rows, "speaker_entropy", 1)
    draw_level(axes, most)
    write_beside(axes, most, f"log({n_speakers}) = {most:.2f},\nthe maximum")
    # From 0: a small change shall not look like a large one.
    axes.set_ylim(0, MAXIMUM_ROOM * max(most, *values))
    axes.set_ylabel("entropy (nats)")


def draw_accuracy(axes, rows, n_speakers):
    """Draws the accuracy in per cent, with the level of chance."""
    chance = 100 / n_speakers
    values = draw_or_say(axes, rows, "speaker_accuracy", 100)
    draw_level(axes, chance)
    text = f"chance,\n1/{n_speakers} = {chance:.3g} %"
    write_beside(axes, chance, text)
    axes.set_ylim(0, min(104, 1.2 * max(chance, *values)))
    axes.set_ylabel("accuracy (%)")


def draw_or_say(axes, rows, key, scale):
    """Draws a value by epoch, or says that there is none.

    Arguments
    ---------
    axes : matplotlib.axes.Axes
    rows : list of dict
        One for each epoch.
    key : str
        The key of the value.
    scale : float
        What the value is multiplied by.

    Returns
    -------
    list of float
        The drawn values, and 0.
    """
    values = draw_with_gaps(axes, rows, key, scale, color=BLUE, marker="o")
    if not values:
        axes.text(
            0.5,
            0.5,
            "no values",
            transform=axes.transAxes,
            ha="center",
            va="center",
            color="dimgray",
            backgroundcolor="white",
        )
    return [0.0, *values]


def set_epochs(axes, epochs):
    """Gives the axis of epochs some room at both ends."""
    if epochs:
        first, last = min(epochs), max(epochs)
        room = max(0.5, 0.03 * (last - first))
        axes.set_xlim(first - room, last + room)
