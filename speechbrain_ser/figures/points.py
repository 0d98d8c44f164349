"""What pictures of embeddings by group have in common: systems and points.

Each system is a row of two panels with the same points, each panel in the
colours of another kind of word: language, emotion, speaker.
"""

import math

import numpy as np
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path

from speechbrain_ser.figures.style import (
    BLUE,
    FONT_SIZE,
    GREEN,
    MARKERS,
    class_name,
    plain_text,
    point_sign,
    short_text,
)

# Okabe and Ito's colours again. Two languages and two classes are the usual
# case, so the first two of each order are far apart with any colour vision,
# and a class does not look like a language.
LANGUAGE_COLOURS = (BLUE, "#E69F00", GREEN, "#CC79A7", "#000000", "#D55E00")
EMOTION_COLOURS = (GREEN, "#D55E00", "#56B4E9", "#000000", "#CC79A7", BLUE)
UNLABELLED_LOOK = ("#BBBBBB", "o")
CIRCLE = math.pi / 4  # the area of the circle that is 1 wide


def check_system(name, count, words, classes):
    """Refuses lists of another length, and emotions that are no class.

    Arguments
    ---------
    name : str
        The name of the system.
    count : int
        The number of its embeddings.
    words : dict
        For each kind of word, ``emotion`` among them, the word of each
        embedding.
    classes : sequence of str
        All class words.

    Raises
    ------
    ValueError
        If one is so.

    Example
    -------
    >>> check_system("base", 1, {"emotion": ["calm"]}, ["low", "high"])
    Traceback (most recent call last):
    ValueError: base: 'calm' is not among the classes ['low', 'high']
    """
    if any(len(one) != count for one in words.values()):
        counts = [f"{len(one)} {kind}s" for kind, one in words.items()]
        raise ValueError(
            f"{name}: {count} embeddings, but {' and '.join(counts)}"
        )
    unknown = [one for one in words["emotion"] if one not in (None, *classes)]
    if unknown:
        raise ValueError(
            f"{name}: {unknown[0]!r} is not among the classes {list(classes)}"
        )


def looks_of(words, colours):
    """Gives each word its colour and marker; None is faint.

    Example
    -------
    >>> looks_of(["low"], ["red"])
    {'low': ('red', 'o'), None: ('#BBBBBB', 'o')}
    """
    return {
        word: (colours[index % len(colours)], MARKERS[index % len(MARKERS)])
        for index, word in enumerate(words)
    } | {None: UNLABELLED_LOOK}


def draw_points(axes, points, words, looks):
    """Draws points in their order, each with the look of its word.

    Points without a word come first: they are the background of the others.
    """
    order = sorted(range(len(words)), key=lambda i: words[i] is not None)
    colours, markers = zip(*(looks[words[place]] for place in order))
    drawn = axes.scatter(
        *points[order].T,
        c=colours,
        s=float(np.clip(12000 / len(points), 9, 28)),
        alpha=0.65,
        edgecolors="none",
    )
    # One collection, as separate ones would lie upon each other.
    shapes = {marker: shape(marker) for marker in set(markers)}
    drawn.set_paths([shapes[marker] for marker in markers])
    axes.margins(0.05)
    axes.tick_params(labelsize=FONT_SIZE - 1)
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)


def shape(marker):
    """Gives the outline of a marker, of the same area for all of them.

    A plain triangle is smaller than a circle, and its class would look rarer.
    """
    style = MarkerStyle(marker)
    path = style.get_path().transformed(style.get_transform())
    (corners,) = path.to_polygons()
    x, y = corners.T
    area = abs(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2
    return Path(path.vertices * math.sqrt(CIRCLE / area), path.codes)


def draw_heading(axes, name, note, *remarks):
    """Writes a system's name, its note and remarks above its left panel.

    Arguments
    ---------
    axes : matplotlib.axes.Axes
        The left panel.
    name : str
        The name of the system.
    note : str
        Stands behind the name; None for no note.
    *remarks : str
        A line each; those that are empty are left out.
    """
    heading = plain_text(f"{name}: {note}" if note else name, 84)
    axes.set_title(
        "\n".join(filter(None, [heading, *remarks])),
        loc="left",
        fontsize=FONT_SIZE + 1,
    )


def sample_remark(shown, count, what):
    """Says how many of the utterances are shown, if not all.

    Example
    -------
    >>> sample_remark(3000, 9000, "drawn"), sample_remark(10, 10, "drawn")
    ('3000 random ones of 9000 utterances are drawn', '')
    """
    if shown == count:
        return ""
    return f"{shown} random ones of {count} utterances are {what}"


def draw_legend(axes, title, looks, shown):
    """Draws the legend of the shown words below the lowest panel."""
    entries = {
        "no label" if word is None else short_text(class_name(word)): look
        for word, look in looks.items()
        if word in shown
    }
    widest = max(len(text) for text in entries)
    axes.legend(
        [point_sign(*look) for look in entries.values()],
        entries.keys(),
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        borderaxespad=4.5,  # times the size of the font: below the label
        ncols=1 if widest > 14 else 2,
        title=title,
        fontsize=FONT_SIZE,
    )
