"""Every picture can be read back, shows something and leaves nothing else."""

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from matplotlib.image import imread

from speechbrain_ser.figures import plots

CLASSES = ["ang", "hap", "sad", "neu"]
EPOCHS = list(range(1, 11))
MARKS = [(4, "end of warm-up"), (5, "best epoch")]


def similarities(epochs, classes=CLASSES):
    """Makes up a matrix of similarities for each epoch."""
    size = len(classes)
    return [np.full((size, size), 1 / epoch).tolist() for epoch in epochs]


def clusters(n, classes=CLASSES):
    """Makes up embeddings, their labels and the prototypes."""
    draw = np.random.default_rng(0)
    prototypes = draw.normal(size=(len(classes), 8))
    indices = np.arange(n) % len(classes)
    embeddings = prototypes[indices] + 0.3 * draw.normal(size=(n, 8))
    return embeddings, [classes[index] for index in indices], prototypes


def curve_rows(epochs):
    """Makes up rows of which some lack a value."""
    return [
        {"epoch": epoch, "loss": 1 / epoch, "UA": None if epoch % 2 else 0.6}
        for epoch in epochs
    ]


PANELS = [("loss", {"loss": "training"}), ("UA", {"UA": "valid", "x": "no"})]
GAPPY = [None if epoch < 4 or epoch == 7 else 0.8 for epoch in EPOCHS]
POINTS = clusters(60)
MANY = clusters(600)
ONE_EACH = clusters(4)
BAR = {
    "name": "IPR",
    "mean": 70.0,
    "interval": (66.0, 75.0),
    "values": [68.0, 69.0, 73.0],
    "paper": 73.8,
    "text": "70.0 ± 2.6",
}
EMPTY_BAR = {
    "name": "a name of $x$ that is much too long for one line of a picture",
    "mean": None,
    "interval": None,
    "values": [],
    "paper": None,
    "text": "no result",
}
PICTURES = {
    "confusion": lambda path: plots.plot_confusion(
        path, [[8, 2], [1, 9]], ["ang", "sad"], "Fold 1"
    ),
    "confusion, absent class": lambda path: plots.plot_confusion(
        path, [[8, 2, 0], [0, 0, 0], [0, 1, 7]], CLASSES[:3], "Fold 1"
    ),
    "confusion, eight classes": lambda path: plots.plot_confusion(
        path, np.eye(8, dtype=int), list("abcdefgh"), "Fold 1"
    ),
    "curves": lambda path: plots.plot_curves(
        path, curve_rows(EPOCHS), PANELS, "Training", MARKS
    ),
    "curves, one epoch": lambda path: plots.plot_curves(
        path, curve_rows([1]), PANELS, "Training", iter(MARKS[:1])
    ),
    "similarity": lambda path: plots.plot_prototype_similarity(
        path, EPOCHS, [None] + similarities(EPOCHS[1:]), CLASSES, MARKS
    ),
    "similarity, one epoch": lambda path: plots.plot_prototype_similarity(
        path, [1], similarities([1]), CLASSES
    ),
    "similarity, eight classes": lambda path: plots.plot_prototype_similarity(
        path, EPOCHS, similarities(EPOCHS, "abcdefgh"), "abcdefgh"
    ),
    "agreement": lambda path: plots.plot_agreement(
        path, EPOCHS, [0.5 + epoch / 30 for epoch in EPOCHS], GAPPY, MARKS
    ),
    "agreement, one epoch": lambda path: plots.plot_agreement(
        path, [1], [0.5], [None]
    ),
    "bars": lambda path: plots.plot_bars(
        path, [EMPTY_BAR, BAR], "UA (%)", "$UA$ of $2", "seed"
    ),
    "bars, many": lambda path: plots.plot_bars(
        path, [BAR, EMPTY_BAR] * 15, "UA (%)", "UA"
    ),
    "bars, nothing to show": lambda path: plots.plot_bars(
        path, [EMPTY_BAR], "UA (%)", "UA"
    ),
    "embedding": lambda path: plots.plot_embedding(
        path, *POINTS[:2], CLASSES, title="Test"
    ),
    "embedding, everything": lambda path: plots.plot_embedding(
        path,
        *MANY[:2],
        CLASSES,
        MANY[2],
        ["train", "test"] * 300,
        "Test",
    ),
    "embedding, one of each": lambda path: plots.plot_embedding(
        path, *ONE_EACH[:2], CLASSES, ONE_EACH[2]
    ),
    "embedding, absent class": lambda path: plots.plot_embedding(
        path, *POINTS[:2], ["fru", *CLASSES]
    ),
    "embedding, all the same": lambda path: plots.plot_embedding(
        path, np.ones((4, 3)), CLASSES, CLASSES
    ),
}


@pytest.mark.parametrize("name", PICTURES)
def test_picture(name, tmp_path):
    """It is a picture of about 6 x 4 inches or more, with things on it."""
    path = tmp_path / "new folder" / "picture.png"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert PICTURES[name](path) == path
    assert os.listdir(path.parent) == ["picture.png"]
    picture = imread(path)
    height, width, depth = picture.shape
    assert width >= 700
    assert height >= 500
    assert len(np.unique(picture.reshape(-1, depth), axis=0)) > 50


def test_a_failure_leaves_the_old_picture(tmp_path):
    """Nothing is written before everything is known to be right."""
    path = tmp_path / "picture.png"
    path.write_text("old")
    embeddings, labels, _ = clusters(8)
    for bad in (
        (embeddings, labels[1:], CLASSES),
        (embeddings, labels, CLASSES[1:]),
        (embeddings[:1], labels[:1], CLASSES),
        (embeddings, labels, CLASSES, None, ["train"]),
    ):
        with pytest.raises(ValueError):
            plots.plot_embedding(path, *bad)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["picture.png"]


def drawn(monkeypatch, draw):
    """Gives the figure that a plot function would have written."""
    figures = []
    monkeypatch.setattr(
        plots, "save", lambda figure, path: figures.append(figure)
    )
    draw("unused.png")
    return figures[0]


def legend_texts(figure):
    """Gives the entries of all legends that belong to the figure."""
    return [
        [text.get_text() for text in legend.get_texts()]
        for legend in figure.legends
    ]


def test_confusion_shows_shares_of_rows_and_counts(monkeypatch):
    """An absent class has no shares."""
    figure = drawn(monkeypatch, PICTURES["confusion, absent class"])
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == [
        *("80.0 %\n(8)", "20.0 %\n(2)", "0.0 %\n(0)"),
        *["–\n(0)"] * 3,
        *("0.0 %\n(0)", "12.5 %\n(1)", "87.5 %\n(7)"),
    ]
    assert axes.get_xlabel() == "predicted"
    assert axes.get_ylabel() == "annotated"
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        *("anger", "happiness", "sadness")
    ]


def test_curves_skip_what_is_missing(monkeypatch):
    """The line joins the known values; a curve with none has no entry."""
    upper, lower = drawn(monkeypatch, PICTURES["curves"]).axes
    assert upper.lines[0].get_xdata().tolist() == EPOCHS
    assert lower.lines[0].get_xdata().tolist() == [2, 4, 6, 8, 10]
    assert lower.get_legend_handles_labels()[1] == ["valid"]
    assert lower.get_xlabel() == "epoch"
    assert [text.get_text() for text in upper.texts] == [
        *("end of warm-up", "best epoch")
    ]


def test_similarity_has_a_line_for_each_pair(monkeypatch):
    """Four classes make six pairs, all looking different."""
    figure = drawn(monkeypatch, PICTURES["similarity"])
    assert legend_texts(figure) == [
        [
            "anger – happiness",
            "anger – sadness",
            "anger – neutral",
            "happiness – sadness",
            "happiness – neutral",
            "sadness – neutral",
        ]
    ]
    first = figure.axes[0].lines[0].get_ydata()
    assert np.isnan(first[0])
    assert first[1:] == pytest.approx([1 / epoch for epoch in EPOCHS[1:]])


def test_lines_look_different():
    """As many as eight classes have pairs."""
    assert len({str(plots.line_look(index)) for index in range(28)}) == 28


def test_agreement_is_in_per_cent_with_gaps(monkeypatch):
    """What is None breaks the line."""
    figure = drawn(monkeypatch, PICTURES["agreement"])
    assert legend_texts(figure) == [["model-generated", "prototype-assigned"]]
    model, prototype = figure.axes[0].lines[:2]
    assert model.get_ydata()[-1] == pytest.approx(100 * (0.5 + 1 / 3))
    assert np.isnan(prototype.get_ydata()).nonzero()[0].tolist() == [0, 1, 2, 6]
    assert figure.axes[0].get_ylim()[1] <= 102


def test_embedding_legends(monkeypatch):
    """Classes without points are left out; colours do not shift."""
    figure = drawn(monkeypatch, PICTURES["embedding, absent class"])
    names = ["anger", "happiness", "sadness", "neutral"]
    assert legend_texts(figure) == [names]
    handle = figure.legends[0].legend_handles[0]
    assert handle.get_color() == plots.class_colour(1)

    figure = drawn(monkeypatch, PICTURES["embedding, everything"])
    assert legend_texts(figure) == [[*names, "prototype"], ["train", "test"]]
    assert [text.get_text() for text in figure.axes[0].texts] == names
    assert "% of variance" in figure.axes[0].get_xlabel()


def test_embedding_ignores_length(monkeypatch):
    """Embeddings and prototypes are projected as directions."""

    def places(scale):
        embeddings, labels, prototypes = POINTS
        figure = drawn(
            monkeypatch,
            lambda path: plots.plot_embedding(
                path, scale * embeddings, labels, CLASSES, scale * prototypes
            ),
        )
        return np.concatenate(
            [part.get_offsets() for part in figure.axes[0].collections]
        )

    np.testing.assert_allclose(places(1), places(7), atol=1e-9)


def test_bars_start_at_nought(monkeypatch):
    """Mean, interval, values and paper stand where they must."""
    figure = drawn(monkeypatch, PICTURES["bars"])
    (axes,) = figure.axes
    (bar,) = axes.patches
    assert (bar.get_x(), bar.get_width()) == (0, 70.0)
    assert bar.get_y() + bar.get_height() / 2 == pytest.approx(1)
    assert axes.get_xlim()[0] == 0
    interval, values, paper = axes.collections
    (((low, _), (high, _)),) = interval.get_segments()
    assert (low, high) == pytest.approx((66.0, 75.0))
    assert values.get_offsets()[:, 0].tolist() == [68.0, 69.0, 73.0]
    assert paper.get_offsets()[:, 0].tolist() == [73.8]
    for points in (values, paper):
        assert all(0.62 < y < 1.38 for y in points.get_offsets()[:, 1])
    assert [text.get_text() for text in axes.texts] == [
        *("no result", "70.0 ± 2.6")
    ]
    assert legend_texts(figure) == [
        ["mean", "95 % interval", "one seed", "paper"]
    ]


def test_bars_below_nought(monkeypatch):
    """A bar of a negative number ends at 0."""
    bar = BAR | {"mean": -2.0, "interval": None, "values": [], "paper": None}
    figure = drawn(
        monkeypatch, lambda path: plots.plot_bars(path, [bar], "gain", "gain")
    )
    low, high = figure.axes[0].get_xlim()
    assert low < -2
    assert high >= 0
    assert legend_texts(figure) == [["mean"]]


@pytest.mark.parametrize("name", ["bars", "bars, many"])
def test_all_words_of_bars_fit(monkeypatch, name):
    """Long names break into lines; nothing is cut or covers another."""
    figure = drawn(monkeypatch, PICTURES[name])
    figure.draw_without_rendering()
    (axes,) = figure.axes
    names = [label.get_window_extent() for label in axes.get_yticklabels()]
    behind = [text.get_window_extent() for text in axes.texts]
    for box in (*names, *behind, figure.legends[0].get_window_extent()):
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1
    for upper, lower in zip(names, names[1:]):
        assert upper.y0 >= lower.y1


def test_dollars_are_no_formula(tmp_path):
    """A name that would be a wrong formula is drawn as it stands."""
    wrong = r"$\nonsense{$"
    bar = BAR | {"name": wrong}
    plots.plot_bars(tmp_path / "bars.png", [bar], wrong, wrong)
    assert (tmp_path / "bars.png").exists()
    with pytest.raises(ValueError):
        plots.plot_confusion(tmp_path / "raw.png", [[1]], ["ang"], wrong)


def test_pyplot_is_never_imported(tmp_path):
    """No display, no global state, no chosen backend."""
    code = (
        "import sys, matplotlib\n"
        "from speechbrain_ser.figures.plots import plot_agreement\n"
        f"plot_agreement({str(tmp_path / 'a.png')!r}, [1], [0.5], [0.6])\n"
        "print('matplotlib.pyplot' in sys.modules)\n"
    )
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.stdout.strip() == "False", done.stderr
