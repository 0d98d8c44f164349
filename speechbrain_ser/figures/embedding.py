"""The picture of embeddings and prototypes in a plane."""

import itertools

import numpy as np
from matplotlib.patheffects import withStroke
from sklearn.decomposition import PCA
from sklearn.preprocessing import normalize

from speechbrain_ser.figures.style import (
    FONT_SIZE,
    MARKERS,
    class_colour,
    class_name,
    new_figure,
    point_sign,
    save,
)


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
        The name of the part that each embedding belongs to: "train", "test".
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
    >>> points, words = [[1.0, 0.1], [0.9, 0.2], [0.0, 0.3]], ["a", "a", "b"]
    >>> plot_embedding(target, points, words, ["a", "b"]).exists()
    True
    """
    embeddings = np.asarray(embeddings, dtype=float)
    labels, classes = list(labels), list(classes)
    parts = [""] * len(labels) if markers is None else list(markers)
    check_embeddings(embeddings, labels, classes, parts)
    figure = new_figure(6.5, 4.3)
    axes = figure.add_subplot()
    axes.set_title(title)
    points, stars = project(axes, embeddings, prototypes)
    shapes = draw_parts(axes, points, labels, classes, parts)
    draw_prototypes(axes, stars, classes)
    shown = labels if prototypes is None else classes
    draw_class_legend(figure, classes, shown, len(stars))
    if markers is not None:
        draw_part_legend(figure, shapes)
    return save(figure, path)


def check_embeddings(embeddings, labels, classes, parts):
    """Refuses what does not fit together.

    Raises
    ------
    ValueError
        If there are too few embeddings or dimensions, lengths differ, or a
        label is not among the classes.
    """
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


def project(axes, embeddings, prototypes):
    """Finds the places of embeddings and prototypes, and names the axes.

    Arguments
    ---------
    axes : matplotlib.axes.Axes
    embeddings : numpy.ndarray
        ``[n, d]``; the plane is theirs.
    prototypes : array of shape [C, d]
        None for no prototypes.

    Returns
    -------
    points : numpy.ndarray
        The places of the embeddings, [n, 2].
    stars : sequence
        The places of the prototypes, [C, 2]; empty without prototypes.
    """
    pca = PCA(2, svd_solver="full")
    with np.errstate(invalid="ignore"):  # Equal points have no variance.
        points = pca.fit_transform(normalize(embeddings))
    shares = 100 * np.nan_to_num(pca.explained_variance_ratio_)
    axes.set_xlabel(
        f"first principal component ({shares[0]:.1f} % of variance)"
    )
    axes.set_ylabel(
        f"second principal component ({shares[1]:.1f} % of variance)"
    )
    axes.margins(0.15)
    if prototypes is None:
        return points, ()
    prototypes = np.asarray(prototypes, dtype=float)
    return points, pca.transform(normalize(prototypes))


def draw_parts(axes, points, labels, classes, parts):
    """Draws the points of one part after another, each part with its marker.

    Arguments
    ---------
    axes : matplotlib.axes.Axes
    points : numpy.ndarray
        Their places, [n, 2].
    labels : list of str
        The class word of each.
    classes : list of str
        All class words; their order fixes the colours.
    parts : list of str
        The name of the part of each.

    Returns
    -------
    dict
        The marker of each part, in the order in which they were drawn.
    """
    colours = np.array([class_colour(classes.index(word)) for word in labels])
    many = len(labels) > 500
    shapes = dict(zip(dict.fromkeys(parts), itertools.cycle(MARKERS)))
    for part, shape in shapes.items():
        chosen = np.array([word == part for word in parts])
        axes.scatter(
            *points[chosen].T,
            c=colours[chosen],
            marker=shape,
            s=12 if many else 30,
            alpha=0.6 if many else 0.8,
            edgecolors="none" if many else "white",
            linewidths=0.4,
        )
    return shapes


def draw_prototypes(axes, places, classes):
    """Draws each prototype as a large star with its name beside it."""
    for index, (place, word) in enumerate(zip(places, classes)):
        axes.scatter(
            *place,
            marker="*",
            s=320,
            color=class_colour(index),
            edgecolors="black",
            linewidths=1.2,
            zorder=4,
        )
        axes.annotate(
            class_name(word),
            place,
            xytext=(0, 11),
            textcoords="offset points",
            ha="center",
            fontsize=FONT_SIZE + 1,
            fontweight="bold",
            zorder=5,
            path_effects=[withStroke(linewidth=3, foreground="white")],
        )


def draw_class_legend(figure, classes, shown, stars):
    """Draws the legend of the shown classes, and of prototypes if need be."""
    entries = {
        class_name(word): point_sign(class_colour(index), "o")
        for index, word in enumerate(classes)
        if word in shown
    }
    if stars:
        entries["prototype"] = point_sign(
            "white", "*", markersize=13, markeredgecolor="black"
        )
    figure.legend(
        entries.values(),
        entries.keys(),
        loc="outside right upper",
        title="class",
        fontsize=FONT_SIZE,
    )


def draw_part_legend(figure, shapes):
    """Draws the legend of the parts and their markers."""
    figure.legend(
        [point_sign("dimgray", shape) for shape in shapes.values()],
        shapes.keys(),
        loc="outside right lower",
        title="part",
        fontsize=FONT_SIZE,
    )
