"""Pictures of results, written as PNG files.

Only matplotlib's object-oriented API is used: no pyplot, no backend choice and
no global state, so drawing never disturbs a notebook or needs a display.
"""

import itertools
import textwrap

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from sklearn.decomposition import PCA
from sklearn.preprocessing import normalize

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
BLUE, RED = "#0072B2", "#CC3311"
MARKERS = ("o", "^", "s", "D", "v", "P", "X")
FONT_SIZE = 9
TYPICAL_WIDTH = 280  # of axes beside a legend, in points


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


def plot_confusion(path, confusion, classes, title):
    """Draws a confusion matrix: share of each row in per cent, and counts.

    Arguments
    ---------
    path : str
        The PNG file to write.
    confusion : list of list of int
        Counts; rows are annotated, columns predicted classes.
    classes : sequence of str
        The class words, in the order of the matrix.
    title : str
        The title of the picture.

    Returns
    -------
    str
        `path`.

    Example
    -------
    >>> target = getfixture("tmp_path") / "confusion.png"
    >>> _ = plot_confusion(target, [[8, 2], [1, 9]], ["ang", "sad"], "Fold 1")
    >>> target.exists()
    True
    """
    counts = np.asarray(confusion)
    totals = counts.sum(axis=1, keepdims=True)
    shares = 100 * counts / np.maximum(totals, 1)
    size = len(classes)
    figure = new_figure(max(4.8, 1.6 + 0.8 * size), max(3.6, 1.4 + 0.55 * size))
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for row, column in itertools.product(range(size), repeat=2):
        share, count = shares[row, column], counts[row, column]
        axes.text(
            column,
            row,
            f"{share:.1f} %\n({count})" if totals[row, 0] else "–\n(0)",
            ha="center",
            va="center",
            fontsize=FONT_SIZE,
            color="white" if share > 55 else "black",
        )
    names = [class_name(word) for word in classes]
    turned = {"rotation": 30, "ha": "right"} if size > 5 else {}
    axes.set_xticks(range(size), names, **turned)
    axes.set_yticks(range(size), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("annotated")
    axes.set_title(title)
    figure.colorbar(image, label="share of the annotated class (%)")
    return save(figure, path)


def plot_curves(path, rows, panels, title, marks=()):
    """Draws values by epoch, in panels under each other.

    Values that are missing or None are skipped: the line goes on to the next.

    Arguments
    ---------
    path : str
        The PNG file to write.
    rows : list of dict
        One for each epoch, with the key "epoch".
    panels : list of tuple
        For each panel the label of its y axis, and a dict from the keys in
        `rows` to the names in the legend.
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
    >>> target = getfixture("tmp_path") / "curves.png"
    >>> _ = plot_curves(
    ...     target,
    ...     [{"epoch": 1, "loss": 1.2}, {"epoch": 2, "loss": 0.9}],
    ...     [("loss", {"loss": "training"})],
    ...     "Training",
    ... )
    >>> target.exists()
    True
    """
    marks = list(marks)
    figure = new_figure(6.5, max(4, 1 + 2 * len(panels)))
    stacked = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for axes, (label, keys) in zip(stacked, panels):
        for index, (key, name) in enumerate(keys.items()):
            known = [row for row in rows if row.get(key) is not None]
            if known:
                axes.plot(
                    [row["epoch"] for row in known],
                    [float(row[key]) for row in known],
                    label=name,
                    **line_look(index),
                )
        axes.set_ylabel(label)
        dress(axes, marks if axes is stacked[0] else unnamed(marks))
        if axes.get_legend_handles_labels()[0]:
            axes.legend(
                loc="center left",
                bbox_to_anchor=(1.01, 0.5),
                fontsize=FONT_SIZE,
            )
    stacked[-1].set_xlabel("epoch")
    figure.suptitle(title)
    return save(figure, path)


def plot_prototype_similarity(path, epochs, similarities, classes, marks=()):
    """Draws how similar the prototypes of each two classes are, by epoch.

    Arguments
    ---------
    path : str
        The PNG file to write.
    epochs : sequence of int
        The epochs.
    similarities : sequence
        For each epoch the [C][C] matrix of cosine similarities, or None.
    classes : sequence of str
        The class words, in the order of the matrices.
    marks : iterable of tuple
        Epochs to mark with a vertical line, each with its text.

    Returns
    -------
    str
        `path`.

    Example
    -------
    >>> target = getfixture("tmp_path") / "similarity.png"
    >>> _ = plot_prototype_similarity(
    ...     target,
    ...     [1, 2],
    ...     [[[1, 0.9], [0.9, 1]], [[1, 0.2], [0.2, 1]]],
    ...     ["ang", "sad"],
    ... )
    >>> target.exists()
    True
    """
    pairs = list(itertools.combinations(range(len(classes)), 2))
    figure = new_figure(6.8, max(4, 0.6 + 0.2 * len(pairs)))
    axes = figure.add_subplot()
    for index, (first, second) in enumerate(pairs):
        axes.plot(
            epochs,
            [
                np.nan if matrix is None else float(matrix[first][second])
                for matrix in similarities
            ],
            label=f"{class_name(classes[first])} – "
            f"{class_name(classes[second])}",
            **line_look(index),
        )
    axes.set_xlabel("epoch")
    axes.set_ylabel("cosine similarity between prototypes")
    dress(axes, marks)
    if pairs:
        figure.legend(
            loc="outside right center", fontsize=FONT_SIZE, handlelength=3.5
        )
    figure.suptitle("Similarity of the class prototypes")
    return save(figure, path)


def plot_agreement(path, epochs, model, prototype, marks=()):
    """Draws how often two kinds of pseudo-labels equal the held labels.

    Arguments
    ---------
    path : str
        The PNG file to write.
    epochs : sequence of int
        The epochs.
    model : sequence of float
        The agreement of the model's own labels, in 0..1; None leaves a gap.
    prototype : sequence of float
        The agreement of the labels assigned by prototypes, likewise.
    marks : iterable of tuple
        Epochs to mark with a vertical line, each with its text.

    Returns
    -------
    str
        `path`.

    Example
    -------
    >>> target = getfixture("tmp_path") / "agreement.png"
    >>> _ = plot_agreement(target, [1, 2], [0.5, 0.6], [None, 0.7])
    >>> target.exists()
    True
    """
    figure = new_figure()
    axes = figure.add_subplot()
    for values, name, colour, marker in (
        (model, "model-generated", BLUE, "o"),
        (prototype, "prototype-assigned", RED, "s"),
    ):
        axes.plot(
            epochs,
            [np.nan if value is None else 100 * value for value in values],
            label=name,
            color=colour,
            marker=marker,
            markersize=4,
            linewidth=1.8,
        )
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, -2), min(high, 102))
    axes.set_xlabel("epoch")
    axes.set_ylabel("agreement with the held labels (%)")
    dress(axes, marks)
    figure.legend(loc="outside lower center", ncols=2, fontsize=FONT_SIZE)
    figure.suptitle("Agreement of the pseudo-labels with the held labels")
    return save(figure, path)


def plot_embedding(
    path, embeddings, labels, classes, prototypes=None, markers=None, title=""
):
    """Draws embeddings in the plane of their two principal components.

    Embeddings and prototypes are scaled to length 1; the plane is fitted on
    the embeddings alone.

    Arguments
    ---------
    path : str
        The PNG file to write.
    embeddings : array of shape [n, d]
        At least two embeddings of at least two dimensions.
    labels : sequence of str
        The class word of each embedding.
    classes : sequence of str
        All class words; their order fixes the colours.
    prototypes : array of shape [C, d]
        The prototype of each class, in the order of `classes`.
    markers : sequence of str
        The name of the part that each embedding belongs to.
    title : str
        The title of the picture.

    Returns
    -------
    str
        `path`.

    Raises
    ------
    ValueError
        If there are too few embeddings or dimensions, lengths differ, or a
        label is not among the classes.

    Example
    -------
    >>> target = getfixture("tmp_path") / "embedding.png"
    >>> points = [[1.0, 0.1, 0.0], [0.9, 0.2, 0.1], [0.0, 0.3, 1.0]]
    >>> _ = plot_embedding(
    ...     target, points, ["ang", "ang", "sad"], ["ang", "sad"]
    ... )
    >>> target.exists()
    True
    """
    embeddings = np.asarray(embeddings, dtype=float)
    labels, classes = list(labels), list(classes)
    parts = np.asarray([""] * len(labels) if markers is None else markers)
    if embeddings.ndim != 2 or min(embeddings.shape) < 2:
        raise ValueError(
            "a picture needs at least two embeddings of two dimensions; got "
            f"an array of shape {embeddings.shape}"
        )
    if not len(embeddings) == len(labels) == len(parts):
        raise ValueError(
            f"{len(embeddings)} embeddings, but {len(labels)} labels and "
            f"{len(parts)} markers"
        )
    unknown = sorted(set(labels) - set(classes))
    if unknown:
        raise ValueError(f"{unknown} not among the classes {classes}")

    pca = PCA(2, svd_solver="full")
    with np.errstate(invalid="ignore"):  # Equal points have no variance.
        points = pca.fit_transform(normalize(embeddings))
    variance = 100 * np.nan_to_num(pca.explained_variance_ratio_)
    colours = np.array([class_colour(classes.index(word)) for word in labels])
    many = len(labels) > 500

    figure = new_figure(6.5, 4.3)
    axes = figure.add_subplot()
    part_names = list(dict.fromkeys(parts.tolist()))
    shapes = dict(zip(part_names, itertools.cycle(MARKERS)))
    for part, shape in shapes.items():
        chosen = parts == part
        axes.scatter(
            *points[chosen].T,
            c=colours[chosen],
            marker=shape,
            s=12 if many else 30,
            alpha=0.6 if many else 0.8,
            edgecolors="none" if many else "white",
            linewidths=0.4,
        )
    names = [class_name(word) for word in classes]
    shown = [
        index
        for index, word in enumerate(classes)
        if prototypes is not None or word in labels
    ]
    handles = [
        Line2D([], [], color=class_colour(index), marker="o", linestyle="")
        for index in shown
    ]
    entries = [names[index] for index in shown]
    if prototypes is not None:
        stars = pca.transform(normalize(np.asarray(prototypes, dtype=float)))
        for index, (star, name) in enumerate(zip(stars, names)):
            draw_star(axes, star, class_colour(index), name)
        handles.append(star_handle())
        entries.append("prototype")
    figure.legend(
        handles,
        entries,
        loc="outside right upper",
        title="class",
        fontsize=FONT_SIZE,
    )
    if markers is not None:
        figure.legend(
            [
                Line2D([], [], color="dimgray", marker=shape, linestyle="")
                for shape in shapes.values()
            ],
            part_names,
            loc="outside right lower",
            title="part",
            fontsize=FONT_SIZE,
        )
    axes.margins(0.15)
    axes.set_xlabel(
        f"first principal component ({variance[0]:.1f} % of variance)"
    )
    axes.set_ylabel(
        f"second principal component ({variance[1]:.1f} % of variance)"
    )
    axes.set_title(title)
    return save(figure, path)


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
        if bar["mean"] is not None:
            handles["mean"] = axes.barh(
                place, bar["mean"], height=0.76, color="#BBDDF2", zorder=2
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
        axes.annotate(
            bar["text"],
            (1.01, place),
            xycoords=axes.get_yaxis_transform(),
            va="center",
            fontsize=FONT_SIZE,
        )
    axes.axvline(0, color="black", linewidth=0.8)
    if top is not None:
        axes.set_xlim(0, min(top, axes.get_xlim()[1]))
    axes.set_yticks(range(len(bars)), names)
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel(plain_text(label))
    figure.suptitle(plain_text(title))
    if handles:
        figure.legend(
            handles.values(),
            handles.keys(),
            loc="outside lower center",
            ncols=len(handles),
            fontsize=FONT_SIZE,
        )
    return save(figure, path)


def plain_text(text, width=60):
    """Breaks a text into lines, and keeps dollars from starting a formula.

    Example
    -------
    >>> plain_text("$5 a run", 6)
    '\\\\$5 a\\nrun'
    """
    return "\n".join(textwrap.wrap(str(text), width)).replace("$", "\\$")


def draw_star(axes, place, colour, name):
    """Draws a prototype as a large star with its name beside it."""
    axes.scatter(
        *place,
        marker="*",
        s=320,
        color=colour,
        edgecolors="black",
        linewidths=1.2,
        zorder=4,
    )
    axes.annotate(
        name,
        place,
        xytext=(0, 11),
        textcoords="offset points",
        ha="center",
        fontsize=FONT_SIZE + 1,
        fontweight="bold",
        zorder=5,
        path_effects=[withStroke(linewidth=3, foreground="white")],
    )


def star_handle():
    """Gives the sign of a prototype in a legend."""
    return Line2D(
        [],
        [],
        color="white",
        marker="*",
        markersize=13,
        markeredgecolor="black",
        linestyle="",
    )


def dress(axes, marks):
    """Gives axes by epoch whole-number ticks, a grid and marked epochs.

    The texts of the marks stand above the axes, in more lines than one where
    they would touch.
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


def new_figure(width=6, height=4):
    """Gives an empty figure, in inches, that no global state knows of."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure, path):
    """Writes a figure as PNG, whole or not at all, and returns `path`."""
    with replacing(path) as beside:
        figure.savefig(beside, format="png", dpi=150)
    return path
