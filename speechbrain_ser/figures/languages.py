"""The picture of where languages and emotions lie in the encoder's output."""

import numpy as np

from speechbrain_ser.figures.planes import component_names, principal_components
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

MOST_POINTS = 3000  # in a panel


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
    >>> system = {"embeddings": [[1, 0], [0, 2], [3, 1]], "language": [0, 1, 1]}
    >>> system |= {
    ...     "emotion": ["low", "high", None],
    ...     "note": "told apart in 67 %",
    ... }
    >>> order = ["French", "English"], ["low", "high"]
    >>> plot_languages(target, {"base": system}, *order, "Arousal").exists()
    True
    """
    if not systems:
        raise ValueError("there is no system to draw")
    figure = new_figure(WIDTH, 1.2 + 0.1 * len(classes) + 2.6 * len(systems))
    draw_systems(figure, systems, languages, classes)
    return finish(figure, path, title)


def draw_systems(figure, systems, languages, classes):
    """Draws a row for each system, and the legends below the last one."""
    looks = {
        "language": looks_of(languages, LANGUAGE_COLOURS),
        "emotion": looks_of(classes, EMOTION_COLOURS),
    }
    shown = {"language": set(), "emotion": set()}
    panels = figure.subplots(
        len(systems), 2, sharex="row", sharey="row", squeeze=False
    )
    for row, (name, system) in zip(panels, systems.items()):
        points, shares = principal_components(system["embeddings"])
        words = {
            "language": language_names(system["language"], languages),
            "emotion": list(system["emotion"]),
        }
        check_system(name, len(points), words, classes)
        order = np.random.default_rng(0).permutation(len(points))[:MOST_POINTS]
        axis_names = component_names(shares)
        for axes, kind in zip(row, looks):
            chosen = [words[kind][place] for place in order]
            draw_points(axes, points[order], chosen, looks[kind])
            axes.set_xlabel(axis_names[0])
            shown[kind].update(chosen)
        row[0].set_ylabel(axis_names[1])
        remark = sample_remark(len(order), len(points), "drawn")
        draw_heading(row[0], name, system.get("note"), remark)
    for axes, kind in zip(panels[-1], looks):
        draw_legend(axes, kind, looks[kind], shown[kind])


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
