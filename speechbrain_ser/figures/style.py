"""What the pictures have in common: colours, words, legends, files.

Only matplotlib's object-oriented API is used: no pyplot, no backend choice and
no global state, so drawing never disturbs a notebook or needs a display.
"""

import textwrap

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator

from speechbrain_ser.utils.files import replacing

CLASS_NAMES = {
    "ang": "anger",
    "hap": "happiness",
    "sad": "sadness",
    "neu": "neutral",
    "exc": "excitement",
    "fru": "frustration",
}

# Okabe and Ito's palette, told apart with any colour vision. Lines have it in
# another order, without the faint yellow.
COLOURS = (
    "#D55E00",
    "#E69F00",
    "#0072B2",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#000000",
    "#F0E442",
)
LINE_COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
)
LINE_STYLES = ("-", "--", ":", "-.")
BLUE, RED, GREEN = "#0072B2", "#CC3311", "#009E73"
PALE_BLUE = "#BBDDF2"
MARKERS = ("o", "^", "s", "D", "v", "P", "X")
FONT_SIZE = 9
WIDTH = 6.7  # inches: 1000 pixels
LONGEST_NAME = 24


def class_name(word):
    """Gives the full name of a class word; unknown words stay as they are.

    Example
    -------
    >>> class_name("hap"), class_name("disgust")
    ('happiness', 'disgust')
    """
    return CLASS_NAMES.get(word, str(word))


def class_colour(index):
    """Gives the colour of the class at this place in the order of classes."""
    return COLOURS[index % len(COLOURS)]


def line_look(index):
    """Gives the colour, dashes and markers of a line; 28 lines differ."""
    style = index // len(LINE_COLOURS) % len(LINE_STYLES)
    return {
        "color": LINE_COLOURS[index % len(LINE_COLOURS)],
        "linestyle": LINE_STYLES[style],
        "marker": MARKERS[style],
        "markersize": 3.5,
        "linewidth": 1.6,
    }


def plain_text(text, width=60):
    """Breaks a text into lines, and keeps dollars from starting a formula.

    Example
    -------
    >>> plain_text("$5 a run", 6)
    '\\\\$5 a\\nrun'
    """
    return "\n".join(textwrap.wrap(str(text), width)).replace("$", "\\$")


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


def point_sign(colour, marker, **look):
    """Gives the sign of a kind of points in a legend."""
    return Line2D([], [], color=colour, marker=marker, linestyle="", **look)


def legend_below(figure, *entries, **settings):
    """Gives a figure a legend below its axes, see `Figure.legend`."""
    figure.legend(
        *entries, loc="outside lower center", fontsize=FONT_SIZE, **settings
    )


def legend_beside(axes):
    """Gives axes a legend of their own at the right."""
    axes.legend(
        loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize=FONT_SIZE
    )


def write_beside(axes, height, text, place=1.015):
    """Writes a text at the right of the axes, at this height in their units.

    Arguments
    ---------
    axes : matplotlib.axes.Axes
    height : float
        Of the middle of the text.
    text : str
    place : float
        Where the text begins; 0..1 is the width of the axes.
    """
    axes.annotate(
        text,
        (place, height),
        xycoords=axes.get_yaxis_transform(),
        va="center",
        fontsize=FONT_SIZE,
    )


def new_figure(width=6, height=4):
    """Gives an empty figure, in inches, that no global state knows of."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def finish(figure, path, title):
    """Writes a figure under its title, in plain text, and returns `path`."""
    figure.suptitle(plain_text(title))
    return save(figure, path)


def save(figure, path):
    """Writes a figure as PNG, whole or not at all, and returns `path`."""
    with replacing(path) as beside:
        figure.savefig(beside, format="png", dpi=150)
    return path
