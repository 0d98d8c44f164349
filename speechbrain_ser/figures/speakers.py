"""The picture of where emotions and speakers lie in the encoder's output."""

import math

import numpy as np

from speechbrain_ser.figures.planes import plane
from speechbrain_ser.figures.points import (
    EMOTION_COLOURS,
    LANGUAGE_COLOURS,
    check_system,
    draw_heading,
    draw_legend,
    draw_points,
    looks_of,
    sample_remark,
)
from speechbrain_ser.figures.style import WIDTH, finish, new_figure

# As far apart as the first six, with any colour vision.
SPEAKER_COLOURS = LANGUAGE_COLOURS + (
    "#88CCEE",
    "#7F3C00",
    "#AA3377",
    "#DDCC77",
)
MOST_POINTS = 1000  # in a panel; 5 seconds of t-SNE
MOST_TICKS = 6


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
    >>> order = ["ang", "sad"]
    >>> plot_speakers(target, {"menan": system}, order, "Test").exists()
    True
    """
    if not rows:
        raise ValueError("there is no system to draw")
    for name, row in rows.items():
        check_row(name, row, labels)
    speakers = sorted(
        {word for row in rows.values() for word in row["speaker"]}
    )
    lines = math.ceil(max(len(speakers), len(labels) + 1) / 2)
    figure = new_figure(WIDTH, 1.2 + 0.2 * lines + 3 * len(rows))
    draw_systems(figure, rows, labels, speakers)
    return finish(figure, path, title)


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
    words = {kind: row[kind] for kind in ("emotion", "speaker")}
    check_system(name, len(embeddings), words, labels)


def draw_systems(figure, rows, labels, speakers):
    """Draws a row for each system, and the legends below the last one."""
    looks = {
        "emotion": looks_of(labels, EMOTION_COLOURS),
        "speaker": looks_of(speakers, SPEAKER_COLOURS),
    }
    shown = {"emotion": set(), "speaker": speakers}
    panels = figure.subplots(len(rows), 2, squeeze=False)
    for pair, (name, row) in zip(panels, rows.items()):
        chosen = sample(row["speaker"], row["emotion"])
        points, axis_names, remark = plane(
            np.asarray(row["embeddings"], dtype=np.float64)[chosen]
        )
        for axes, kind in zip(pair, looks):
            words = [row[kind][place] for place in chosen]
            draw_points(axes, points, words, looks[kind])
            axes.set_aspect("equal", "datalim")
            axes.set_xlabel(axis_names[0])
            if remark:
                axes.locator_params(nbins=MOST_TICKS)
            else:
                axes.set(xticks=[], yticks=[])  # The numbers mean nothing.
        left, right = pair
        right.tick_params(labelleft=False)
        left.set_ylabel(axis_names[1])
        shown["emotion"].update(row["emotion"][place] for place in chosen)
        left_out = sample_remark(len(chosen), len(row["speaker"]), "used")
        draw_heading(left, name, row.get("note"), remark, left_out)
    for axes, kind in zip(panels[-1], looks):
        draw_legend(axes, kind, looks[kind], shown[kind])


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
