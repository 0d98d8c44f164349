"""Pictures of adversarial training against language, written as PNG files.

Whether languages and emotions lie apart in the encoder's output, and how the
language classifier and the emotion classifier do by epoch.
"""

import math

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path
from sklearn.decomposition import PCA

from speechbrain_ser.figures.mapping import WIDTH, short_text
from speechbrain_ser.figures.plots import (
    BLUE,
    FONT_SIZE,
    MARKERS,
    RED,
    class_name,
    dress,
    new_figure,
    plain_text,
    save,
)

GREEN = "#009E73"
# Okabe and Ito's colours again. Two languages and two classes are the usual
# case, so the first two of each order are far apart with any colour vision,
# and a class does not look like a language.
LANGUAGE_COLOURS = (BLUE, "#E69F00", GREEN, "#CC79A7", "#000000", "#D55E00")
EMOTION_COLOURS = (GREEN, "#D55E00", "#56B4E9", "#000000", "#CC79A7", BLUE)
UNLABELLED_LOOK = ("#BBBBBB", "o")
MOST_POINTS = 3000  # in a panel
MOST_MARKERS = 60  # on a line
CIRCLE = math.pi / 4  # the area of the circle that is 1 wide
CHANCE_LOSS = math.log(2)
CHANCE_UAR = 50


def principal_components(embeddings):
    """Projects embeddings on their two principal components.

    The largest weight of each component is positive, so that the same
    embeddings always lie the same way round.

    Arguments
    ---------
    embeddings : array of shape [n, D]
        At least three embeddings of at least two dimensions.

    Returns
    -------
    points : numpy.ndarray
        The places of the embeddings, [n, 2] in float64.
    shares : numpy.ndarray
        The share of the variance that each component explains, in 0..1; 0
        where there is no variance.

    Raises
    ------
    ValueError
        If there are too few embeddings or dimensions, or one is not finite.

    Example
    -------
    >>> points, shares = principal_components([[0, 0], [3, 0], [6, 0]])
    >>> points.tolist(), shares.tolist()
    ([[-3.0, 0.0], [0.0, 0.0], [3.0, 0.0]], [1.0, 0.0])
    """
    embeddings = np.asarray(embeddings, dtype=np.float64)
    if embeddings.ndim != 2 or len(embeddings) < 3 or embeddings.shape[1] < 2:
        raise ValueError(
            "two principal components need at least three embeddings of two "
            f"dimensions; got an array of shape {embeddings.shape}"
        )
    if not np.isfinite(embeddings).all():
        raise ValueError("the embeddings have values that are not finite")
    pca = PCA(2, svd_solver="covariance_eigh")
    with np.errstate(invalid="ignore"):  # Equal points have no variance.
        points = pca.fit_transform(embeddings)
    largest = np.abs(pca.components_).argmax(axis=1)
    signs = np.where(pca.components_[[0, 1], largest] < 0, -1, 1)
    return points * signs, np.nan_to_num(pca.explained_variance_ratio_)


def plot_languages(path, systems, languages, classes, title):
    """Draws embeddings by language and by emotion, a row for each system.

    Each system has a plane of its own, that of its two principal components.
    The same points are drawn at the left in the colours of the languages, at
    the right in those of the emotions. They are drawn in random order, so that
    no language hides another; of more than 3000 utterances a random sample is
    drawn (the plane is that of all), and the row says so.

    Arguments
    ---------
    path : str
        The PNG file to write.
    systems : dict
        For each system, by name, a dict with ``embeddings`` [n, D], the
        ``language`` of each (its place in `languages`, or its name), the
        ``emotion`` of each (a class word, or None for no label), and where
        there is something to say above the row, a ``note``.
    languages : sequence of str
        The names of all languages; their order fixes colours and markers.
    classes : sequence of str
        All class words; their order fixes colours and markers.
    title : str
        The title of the picture.

    Returns
    -------
    str
        `path`.

    Raises
    ------
    ValueError
        If there is no system, lengths differ, there are too few embeddings
        or one is not finite, or a language or an emotion is not known.

    Example
    -------
    >>> target = getfixture("tmp_path") / "languages.png"
    >>> system = {
    ...     "embeddings": [[1.0, 0.1], [0.9, 0.2], [0.0, 0.3]],
    ...     "language": [0, 1, 1],
    ...     "emotion": ["low", "high", None],
    ...     "note": "languages told apart in 67 %",
    ... }
    >>> _ = plot_languages(
    ...     target,
    ...     {"base": system},
    ...     ["French", "English"],
    ...     ["low", "high"],
    ...     "Arousal",
    ... )
    >>> target.exists()
    True
    """
    if not systems:
        raise ValueError("there is no system to draw")
    # The name of each language, and of each emotion, that has points.
    spoken, felt = set(), set()
    language_looks = looks_of(languages, LANGUAGE_COLOURS)
    emotion_looks = looks_of(classes, EMOTION_COLOURS)
    figure = new_figure(WIDTH, 1.2 + 0.1 * len(classes) + 2.6 * len(systems))
    panels = figure.subplots(
        len(systems), 2, sharex="row", sharey="row", squeeze=False
    )
    for (left, right), (name, system) in zip(panels, systems.items()):
        points, shares = principal_components(system["embeddings"])
        names = language_names(system["language"], languages)
        emotions = list(system["emotion"])
        check_system(name, len(points), names, emotions, classes)
        order = np.random.default_rng(0).permutation(len(points))[:MOST_POINTS]
        for axes, words, looks, shown in (
            (left, names, language_looks, spoken),
            (right, emotions, emotion_looks, felt),
        ):
            words = [words[place] for place in order]
            draw_points(axes, points[order], words, looks)
            axes.set_xlabel(f"PC 1 ({100 * shares[0]:.1f} % of variance)")
            shown.update(words)
        left.set_ylabel(f"PC 2 ({100 * shares[1]:.1f} % of variance)")
        left.set_title(
            row_title(name, system.get("note"), len(points)),
            loc="left",
            fontsize=FONT_SIZE + 1,
        )
    draw_legend(left, "language", language_looks, spoken)
    draw_legend(right, "emotion", emotion_looks, felt)
    figure.suptitle(plain_text(title))
    return save(figure, path)


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
    >>> _ = plot_adversary(
    ...     target,
    ...     [
    ...         {"epoch": 1, "domain_loss": 0.4, "domain_UA": 0.9},
    ...         {"epoch": 2, "domain_loss": 0.6, "valid_UA": 0.6},
    ...     ],
    ...     "DANN",
    ...     [(2, "selected")],
    ... )
    >>> target.exists()
    True
    """
    figure = new_figure(WIDTH, 4.4)
    left = figure.add_subplot()
    right = left.twinx()
    epochs = [row["epoch"] for row in rows]
    few = len(epochs) <= MOST_MARKERS
    handles = []
    for axes, level, level_name, level_colour, curves in (
        (
            left,
            CHANCE_LOSS,
            "chance, log 2",
            BLUE,
            [("domain_loss", 1, "domain loss", BLUE, "-", "o")],
        ),
        (
            right,
            CHANCE_UAR,
            "chance, 50 %",
            "black",
            [
                ("domain_UA", 100, "domain UAR", GREEN, "-.", "s"),
                ("valid_UA", 100, "emotion UAR, development", RED, "-", "^"),
            ],
        ),
    ):
        for key, scale, name, colour, style, marker in curves:
            values = scale * values_of(rows, key)
            known = np.isfinite(values)
            if known.any():
                axes.plot(
                    epochs,
                    values,
                    label=name,
                    color=colour,
                    linestyle=style,
                    linewidth=1.8 if few else 1.1,
                    marker=marker,
                    markersize=4,
                    markevery=None if few else alone(known),
                )
        axes.yaxis.set_visible(bool(axes.lines))
        if axes.lines:
            axes.axhline(
                level,
                label=level_name,
                color=level_colour,
                linestyle="--",
                linewidth=1,
                zorder=1.5,
            )
        handles.extend(axes.lines)
    left.set_xlabel("epoch")
    left.set_ylabel("domain loss", color=BLUE)
    left.tick_params(axis="y", colors=BLUE)
    right.set_ylabel("UAR (%)")
    dress(left, marks)
    if handles:
        figure.legend(
            handles=handles,
            loc="outside lower center",
            ncols=3,
            fontsize=FONT_SIZE,
        )
    figure.suptitle(plain_text(title))
    return save(figure, path)


def language_names(spoken, languages):
    """Gives the name of each utterance's language, from its name or place.

    Raises
    ------
    ValueError
        If one is neither.

    Example
    -------
    >>> language_names([0, "English"], ["French", "English"])
    ['French', 'English']
    """
    places = range(len(languages))
    unknown = [
        word for word in spoken if word not in languages and word not in places
    ]
    if unknown:
        raise ValueError(
            f"{unknown[0]!r} is neither one of the languages "
            f"{list(languages)} nor the place of one"
        )
    return [
        word if isinstance(word, str) else languages[word] for word in spoken
    ]


def check_system(name, count, names, emotions, classes):
    """Refuses lists of another length, and emotions that are no class.

    Raises
    ------
    ValueError
        If one is so.
    """
    if not count == len(names) == len(emotions):
        raise ValueError(
            f"{name}: {count} embeddings, but {len(names)} languages and "
            f"{len(emotions)} emotions"
        )
    unknown = [word for word in emotions if word not in (None, *classes)]
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


def row_title(name, note, count):
    """Says what a row shows: its system, its note, and what is left out.

    Example
    -------
    >>> row_title("base", "mixed", 10)
    'base: mixed'
    >>> row_title("base", None, 9000)
    'base\\n3000 random ones of 9000 utterances are drawn'
    """
    text = plain_text(f"{name}: {note}" if note else name, 84)
    if count > MOST_POINTS:
        text += f"\n{MOST_POINTS} random ones of {count} utterances are drawn"
    return text


def draw_legend(axes, title, looks, shown):
    """Draws the legend of the shown words below the lowest panel."""
    entries = {
        "no label" if word is None else short_text(class_name(word)): look
        for word, look in looks.items()
        if word in shown
    }
    widest = max(len(text) for text in entries)
    axes.legend(
        [
            Line2D([], [], color=colour, marker=marker, linestyle="")
            for colour, marker in entries.values()
        ],
        entries.keys(),
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        borderaxespad=4.5,  # times the size of the font: below the label
        ncols=1 if widest > 14 else 2,
        title=title,
        fontsize=FONT_SIZE,
    )


def values_of(rows, key):
    """Gives a value of each row, NaN where there is none that is finite.

    Example
    -------
    >>> values_of([{"loss": 1}, {}, {"loss": None}], "loss").tolist()
    [1.0, nan, nan]
    """
    values = [row.get(key) for row in rows]
    values = [np.nan if value is None else float(value) for value in values]
    values = np.array(values, dtype=np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def alone(known):
    """Gives the places of values between two gaps, which no line would show.

    Example
    -------
    >>> alone(np.array([True, False, True, True]))
    [0]
    """
    beside = np.concatenate([[False], known, [False]])
    return np.flatnonzero(known & ~beside[:-2] & ~beside[2:]).tolist()
