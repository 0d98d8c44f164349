"""Pictures of training against the speaker, written as PNG files.

Where emotions and speakers lie in the encoder's output, and how unsure the
speaker classifier becomes by epoch.
"""

import math

import numpy as np
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from speechbrain_ser.figures.languages import (
    EMOTION_COLOURS,
    LANGUAGE_COLOURS,
    MOST_MARKERS,
    alone,
    draw_legend,
    draw_points,
    looks_of,
    principal_components,
    row_title,
    values_of,
)
from speechbrain_ser.figures.mapping import WIDTH
from speechbrain_ser.figures.plots import (
    BLUE,
    FONT_SIZE,
    dress,
    new_figure,
    plain_text,
    save,
    unnamed,
)

# As far apart as the first six, with any colour vision.
SPEAKER_COLOURS = LANGUAGE_COLOURS + (
    "#88CCEE",
    "#7F3C00",
    "#AA3377",
    "#DDCC77",
)
MOST_POINTS = 1000  # in a panel; 5 seconds of t-SNE
LEAST_POINTS = 10  # for neighbours to mean something
PERPLEXITY = 30
ROUNDING = 1e-6  # of a number in single precision, by far
MOST_TICKS = 6
MAXIMUM_ROOM = 1.1  # times the maximum of the entropy


def plot_speakers(path, rows, labels, title):
    """Draws embeddings by emotion and by speaker, a row for each system.

    Each system has a t-SNE of its own, of standardised features; the same
    points are drawn at the left in the colours of the emotions, at the right
    in those of the speakers. Of more than 1000 utterances a fixed random
    sample is used, with every speaker in each of their emotions, and the row
    says so. With fewer than 10 different embeddings a t-SNE means nothing:
    the row then shows the two principal components and says so.

    Arguments
    ---------
    path : str
        The PNG file to write.
    rows : dict
        For each system, by name, a dict with ``embeddings`` [n, D], the
        ``emotion`` of each (a class word, or None for no label), the
        ``speaker`` of each, and where there is something to say above the
        row, a ``note``.
    labels : sequence of str
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
        If there is no system or one has no embeddings, lengths differ, an
        embedding is not finite, or an emotion is not among the labels.

    Example
    -------
    >>> target = getfixture("tmp_path") / "speakers.png"
    >>> system = {
    ...     "embeddings": [[1.0, 0.1], [0.9, 0.2], [0.0, 0.3]],
    ...     "emotion": ["ang", "sad", None],
    ...     "speaker": ["Ses01F", "Ses01F", "Ses01M"],
    ...     "note": "a fresh probe names the speaker in 52 %",
    ... }
    >>> _ = plot_speakers(
    ...     target, {"menan": system}, ["ang", "sad"], "Unseen speakers"
    ... )
    >>> target.exists()
    True
    """
    if not rows:
        raise ValueError("there is no system to draw")
    for name, row in rows.items():
        check_row(name, row, labels)
    speakers = sorted(
        {word for row in rows.values() for word in row["speaker"]}
    )
    speaker_looks = looks_of(speakers, SPEAKER_COLOURS)
    emotion_looks = looks_of(labels, EMOTION_COLOURS)
    lines = math.ceil(max(len(speakers), len(labels) + 1) / 2)
    figure = new_figure(WIDTH, 1.2 + 0.2 * lines + 3 * len(rows))
    panels = figure.subplots(len(rows), 2, squeeze=False)
    felt = set()
    for (left, right), (name, row) in zip(panels, rows.items()):
        chosen = sample(row["speaker"], row["emotion"])
        points, axis_names, remark = plane(
            np.asarray(row["embeddings"], dtype=np.float64)[chosen]
        )
        for axes, words, looks in (
            (left, row["emotion"], emotion_looks),
            (right, row["speaker"], speaker_looks),
        ):
            draw_points(axes, points, [words[i] for i in chosen], looks)
            axes.set_aspect("equal", "datalim")
            axes.set_xlabel(axis_names[0])
            if remark:
                axes.locator_params(nbins=MOST_TICKS)
            else:
                axes.set(xticks=[], yticks=[])  # The numbers mean nothing.
        right.tick_params(labelleft=False)
        left.set_ylabel(axis_names[1])
        felt.update(row["emotion"][i] for i in chosen)
        heading = [row_title(name, row.get("note"), len(chosen)), remark]
        if len(chosen) < len(row["speaker"]):
            heading.append(
                f"{len(chosen)} random ones of {len(row['speaker'])} "
                "utterances are used"
            )
        left.set_title(
            "\n".join(filter(None, heading)),
            loc="left",
            fontsize=FONT_SIZE + 1,
        )
    draw_legend(left, "emotion", emotion_looks, felt)
    draw_legend(right, "speaker", speaker_looks, speakers)
    figure.suptitle(plain_text(title))
    return save(figure, path)


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
    >>> _ = plot_speaker_entropy(
    ...     target,
    ...     [
    ...         {"epoch": 1, "speaker_entropy": 1.2, "speaker_accuracy": 0.6},
    ...         {"epoch": 2, "speaker_entropy": 2.0, "speaker_accuracy": 0.2},
    ...     ],
    ...     8,
    ...     "MEnAN",
    ...     [(2, "selected")],
    ... )
    >>> target.exists()
    True
    """
    if n_speakers < 2:
        raise ValueError(
            f"a speaker classifier has at least two speakers, not {n_speakers}"
        )
    marks = list(marks)
    most = math.log(n_speakers)
    chance = 100 / n_speakers
    figure = new_figure(WIDTH, 5)
    upper, lower = figure.subplots(2, sharex=True)
    entropies = draw_curve(
        upper,
        rows,
        ("speaker_entropy", 1),
        (most, f"log({n_speakers}) = {most:.2f},\nthe maximum"),
    )
    accuracies = draw_curve(
        lower,
        rows,
        ("speaker_accuracy", 100),
        (chance, f"chance,\n1/{n_speakers} = {chance:.3g} %"),
    )
    # From 0: a small change shall not look like a large one.
    upper.set_ylim(0, MAXIMUM_ROOM * max(most, *entropies))
    lower.set_ylim(0, min(104, 1.2 * max(chance, *accuracies)))
    upper.set_ylabel("entropy (nats)")
    lower.set_ylabel("accuracy (%)")
    lower.set_xlabel("epoch (over the batches that train)")
    epochs = [row["epoch"] for row in rows] + [epoch for epoch, _ in marks]
    if epochs:
        first, last = min(epochs), max(epochs)
        room = max(0.5, 0.03 * (last - first))
        lower.set_xlim(first - room, last + room)
    dress(upper, marks)
    dress(lower, unnamed(marks))
    figure.suptitle(plain_text(title))
    return save(figure, path)


def check_row(name, row, labels):
    """Refuses a system that has nothing to draw, or lists that do not fit.

    Raises
    ------
    ValueError
        If it is so.
    """
    embeddings = np.asarray(row["embeddings"], dtype=np.float64)
    if embeddings.ndim != 2 or not embeddings.size:
        raise ValueError(
            f"{name}: a picture needs embeddings; got an array of shape "
            f"{embeddings.shape}"
        )
    if not np.isfinite(embeddings).all():
        raise ValueError(f"{name}: an embedding has values that are not finite")
    if not len(embeddings) == len(row["emotion"]) == len(row["speaker"]):
        raise ValueError(
            f"{name}: {len(embeddings)} embeddings, but {len(row['emotion'])} "
            f"emotions and {len(row['speaker'])} speakers"
        )
    unknown = [word for word in row["emotion"] if word not in (None, *labels)]
    if unknown:
        raise ValueError(
            f"{name}: {unknown[0]!r} is not among the labels {list(labels)}"
        )


def sample(speakers, emotions):
    """Gives the places of at most 1000 utterances, in random order.

    The order is the same each time. First comes one utterance of each speaker
    in each of their emotions, so that none is left out.

    Example
    -------
    >>> sorted(sample(["a", "a", "b"], ["sad", "sad", None]))
    [0, 1, 2]
    """
    order = np.random.default_rng(0).permutation(len(speakers)).tolist()
    found = {}
    for place in order:
        found.setdefault((speakers[place], emotions[place]), place)
    first = set(found.values())
    order.sort(key=lambda place: place not in first)
    return order[:MOST_POINTS]


def plane(embeddings):
    """Lays embeddings into a plane, by t-SNE where there are enough of them.

    Arguments
    ---------
    embeddings : numpy.ndarray
        ``[n, D]``, finite.

    Returns
    -------
    points : numpy.ndarray
        Their places, [n, 2].
    axis_names : tuple of str
        What the two axes are.
    remark : str
        Why this is no t-SNE; empty where it is one.

    Example
    -------
    >>> points, axis_names, remark = plane(np.array([[1.0, 5.0], [3.0, 5.0]]))
    >>> points.tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    >>> remark
    'only 2 different embeddings: principal components, no t-SNE'
    """
    features = standardised(embeddings)
    # Three times the same points have the same plane, and are never too few.
    enough = np.tile(np.pad(features, [(0, 0), (0, 1)]), (3, 1))
    points, shares = principal_components(enough)
    points = points[: len(features)]
    different = len(np.unique(features.round(6), axis=0))
    if different >= LEAST_POINTS:
        return neighbour_map(features, points), ("t-SNE 1", "t-SNE 2"), ""
    axis_names = tuple(
        f"PC {number} ({100 * share:.1f} % of variance)"
        for number, share in enumerate(shares, start=1)
    )
    plural = "s" if different > 1 else ""
    return (
        points,
        axis_names,
        f"only {different} different embedding{plural}: principal components, "
        "no t-SNE",
    )


def neighbour_map(features, start):
    """Computes a t-SNE that starts at the given places, of any size.

    With more than one thread it takes many times longer where other work runs
    on the machine.
    """
    start = 1e-4 * start / start[:, 0].std()
    with threadpool_limits(1):
        return TSNE(
            perplexity=min(PERPLEXITY, (len(features) - 1) / 3),
            init=start.astype(np.float32),
            random_state=0,
        ).fit_transform(features)


def standardised(embeddings):
    """Gives each feature mean 0 and deviation 1; 0 where it does not change.

    Example
    -------
    >>> standardised(np.array([[1.0, 0.1], [3.0, 0.1 + 1e-9]])).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """
    spread = embeddings.std(axis=0)
    still = spread <= ROUNDING * np.abs(embeddings).max(axis=0)
    centred = embeddings - embeddings.mean(axis=0)
    return np.where(still, 0, centred / np.where(still, 1, spread))


def draw_curve(axes, rows, source, level):
    """Draws a value by epoch, and a level with its text beside the axes.

    Arguments
    ---------
    axes : matplotlib.axes.Axes
    rows : list of dict
        One for each epoch.
    source : tuple
        The key of the value, and what to multiply it by.
    level : tuple
        The height of the dashed line, and its text.

    Returns
    -------
    list of float
        The drawn values, and 0.
    """
    key, scale = source
    values = scale * values_of(rows, key)
    known = np.isfinite(values)
    few = len(rows) <= MOST_MARKERS
    if known.any():
        axes.plot(
            [row["epoch"] for row in rows],
            values,
            color=BLUE,
            linewidth=1.8 if few else 1.1,
            marker="o",
            markersize=4,
            markevery=None if few else alone(known),
        )
    else:
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
    height, text = level
    axes.axhline(height, color="black", linestyle="--", linewidth=1, zorder=1.5)
    axes.annotate(
        text,
        (1.015, height),
        xycoords=axes.get_yaxis_transform(),
        va="center",
        fontsize=FONT_SIZE,
        annotation_clip=False,
    )
    return [0.0, *values[known].tolist()]
