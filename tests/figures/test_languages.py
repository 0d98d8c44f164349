"""Pictures of adversarial training show the right numbers and hide nothing."""

import math
import os
import warnings

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.image import imread

from speechbrain_ser.figures import languages as language_plots

LANGUAGES = ["French", "English"]
CLASSES = ["low", "high"]
BLUE, ORANGE, GREEN, VERMILION = "#0072b2", "#e69f00", "#009e73", "#d55e00"
GREY, RED = "#bbbbbb", "#cc3311"


def system(n, dims=5, unlabelled=0, classes=CLASSES, **more):
    """Makes up embeddings, sorted by language as files would be."""
    draw = np.random.default_rng(n)
    language = [int(place >= 0.7 * n) for place in range(n)]
    emotion = [classes[place % len(classes)] for place in range(n)]
    emotion[:unlabelled] = [None] * unlabelled
    embeddings = draw.normal(size=(n, dims)) * np.linspace(3, 1, dims)
    embeddings[:, 0] += 4 * np.array(language)
    return {"embeddings": embeddings, "language": language} | {
        "emotion": emotion,
        **more,
    }


def draw_languages(path, systems, languages=LANGUAGES, classes=CLASSES):
    """Draws systems with a title."""
    return language_plots.plot_languages(
        path, systems, languages, classes, "Arousal"
    )


def curves(epochs, *without):
    """Makes up rows that lack some values."""
    rows = [
        {
            "epoch": epoch,
            "domain_loss": 0.7 - 0.3 / epoch,
            "domain_UA": 0.55 + 0.3 / epoch,
            "valid_UA": 0.7 - 0.1 / epoch,
        }
        for epoch in range(1, epochs + 1)
    ]
    return [
        {key: value for key, value in row.items() if key not in without}
        for row in rows
    ]


def draw_curves(path, rows, marks=(), title="DANN"):
    """Draws rows with a title."""
    return language_plots.plot_adversary(path, rows, title, marks)


NOTE = "a linear classifier tells the languages apart in 97.3 % (5 folds)"
EMOTIONS = ["ang", "hap", "sad", "neu", "fru", "exc", "surprise", "fear"]
PICTURES = {
    "base and DANN": lambda path: draw_languages(
        path, {"base": system(300, note=NOTE), "DANN": system(60, unlabelled=9)}
    ),
    "many": lambda path: draw_languages(
        path, {"base": system(3200, unlabelled=500, note=NOTE + NOTE)}
    ),
    "three utterances": lambda path: draw_languages(path, {"base": system(3)}),
    "all the same": lambda path: draw_languages(
        path, {"base": system(6) | {"embeddings": np.ones((6, 2))}}
    ),
    "no labels": lambda path: draw_languages(
        path, {"base": system(9, unlabelled=9)}
    ),
    "hard words": lambda path: draw_languages(
        path,
        {"$x{": system(40, unlabelled=9, classes=EMOTIONS, note=r"$\no{$")},
        ["the $French{ of a corpus", "$the English{ of another corpus"],
        EMOTIONS,
    ),
    "curves": lambda path: draw_curves(path, curves(50), [(31, "selected")]),
    "one epoch": lambda path: draw_curves(path, curves(1), iter([(1, "best")])),
    "two epochs": lambda path: draw_curves(path, curves(2), [(2, "selected")]),
    "long": lambda path: draw_curves(
        path, curves(300), [(300, "selected")], r"$\no{$"
    ),
    "no language classifier": lambda path: draw_curves(
        path, curves(9, "domain_loss", "domain_UA"), [(1, "selected")]
    ),
    "no development part": lambda path: draw_curves(
        path, curves(9, "domain_UA", "valid_UA")
    ),
}


@pytest.mark.parametrize("name", PICTURES)
def test_picture(name, tmp_path):
    """It is about 1000 pixels wide, with things on it and nothing beside it."""
    path = tmp_path / "new folder" / "picture.png"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert PICTURES[name](path) == path
    assert os.listdir(path.parent) == ["picture.png"]
    picture = imread(path)
    height, width, _ = picture.shape
    assert 990 <= width <= 1010
    assert height >= 570
    assert len(np.unique(picture[..., :3] @ [1, 1e3, 1e6])) > 50


@pytest.mark.parametrize("name", ["base and DANN", "two epochs"])
def test_a_second_picture_is_the_same(name, tmp_path):
    """Nothing is left over from the first, and the sample is no other."""
    first, second = tmp_path / "1.png", tmp_path / "2.png"
    PICTURES[name](first)
    np.random.seed(1)
    PICTURES[name](second)
    assert first.read_bytes() == second.read_bytes()


def drawn(monkeypatch, draw):
    """Gives the figure that a plot function would have written, laid out."""
    figures = []
    monkeypatch.setattr(
        language_plots, "save", lambda figure, path: figures.append(figure)
    )
    draw("unused.png")
    figures[0].draw_without_rendering()
    return figures[0]


def legends(figure):
    """Gives all legends: the figure's and those of the axes."""
    return figure.legends + [
        axes.get_legend() for axes in figure.axes if axes.get_legend()
    ]


def texts(legend):
    """Gives the words of a legend."""
    return [text.get_text() for text in legend.get_texts()]


@pytest.mark.parametrize("name", PICTURES)
def test_no_words_touch(monkeypatch, name):
    """No two texts overlap, none leaves the picture, legends cover nothing."""
    figure = drawn(monkeypatch, PICTURES[name])
    words = [figure._suptitle]
    for legend in legends(figure):
        words.extend([legend.get_title(), *legend.get_texts()])
        box = legend.get_window_extent()
        assert box.x0 >= 0 and box.x1 <= figure.bbox.x1
        for other in (*figure.axes, *legends(figure)):
            if other is not legend:
                assert not box.overlaps(other.get_window_extent())
    for axes in figure.axes:
        words.extend([*axes.texts, axes._left_title])
        for axis in (axes.xaxis, axes.yaxis):
            if axis.get_visible():
                words.append(axis.label)
                low, high = sorted(axis.get_view_interval())
                for tick in axis.get_major_ticks():
                    if low <= tick.get_loc() <= high:
                        words.extend([tick.label1, tick.label2])
    boxes = [
        (word.get_text(), word.get_window_extent())
        for word in words
        if word.get_visible() and word.get_text()
    ]
    assert len(boxes) > 5
    for place, (text, box) in enumerate(boxes):
        assert box.x0 >= 0 and box.x1 <= figure.bbox.x1, text
        assert box.y0 >= 0 and box.y1 <= figure.bbox.y1, text
        for other_text, other in boxes[:place]:
            assert not box.overlaps(other), (text, other_text)


def by_svd(embeddings):
    """Computes two principal components, with the weights as rows."""
    embeddings = np.asarray(embeddings, dtype=np.float64)
    centred = embeddings - embeddings.mean(axis=0)
    _, sizes, weights = np.linalg.svd(centred, full_matrices=False)
    for row in weights:
        if row[np.argmax(np.abs(row))] < 0:
            row *= -1
    return centred @ weights[:2].T, (sizes**2 / (sizes**2).sum())[:2]


@pytest.mark.parametrize(("n", "dims"), [(50, 7), (3, 2), (4, 30)])
@pytest.mark.parametrize("sign", [1, -1])
def test_principal_components_equal_svd(n, dims, sign):
    """Places, signs and shares, for more and fewer points than dimensions."""
    embeddings = sign * system(n, dims)["embeddings"]
    points, shares = language_plots.principal_components(embeddings)
    assert points.dtype == np.float64
    expected, expected_shares = by_svd(embeddings)
    np.testing.assert_allclose(points, expected, atol=1e-10)
    np.testing.assert_allclose(shares, expected_shares, atol=1e-12)
    single = embeddings.astype(np.float32)
    points, _ = language_plots.principal_components(single)
    assert points.dtype == np.float64
    np.testing.assert_allclose(points, by_svd(single)[0], atol=1e-10)


def test_signs_do_not_depend_on_the_library(monkeypatch):
    """Its versions have other rules for them."""

    class Flipped(language_plots.PCA):
        """One that turns the first component round."""

        def fit_transform(self, embeddings):
            """Fits, then flips."""
            points = super().fit_transform(embeddings)
            self.components_[0] *= -1
            return points * [-1, 1]

    embeddings = system(20)["embeddings"]
    monkeypatch.setattr(language_plots, "PCA", Flipped)
    points, _ = language_plots.principal_components(embeddings)
    np.testing.assert_allclose(points, by_svd(embeddings)[0], atol=1e-10)


def test_principal_components_by_hand():
    """A long axis and a short one, each with its share."""
    points, shares = language_plots.principal_components(
        [[1, 12], [1, 8], [2, 10], [0, 10]]
    )
    np.testing.assert_allclose(
        points, [[2, 0], [-2, 0], [0, 1], [0, -1]], atol=1e-12
    )
    np.testing.assert_allclose(shares, [0.8, 0.2])


def test_equal_embeddings_have_no_variance():
    """Nothing is divided by nought, and nothing warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        points, shares = language_plots.principal_components(np.ones((5, 4)))
    assert not points.any()
    assert shares.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("message", "embeddings"),
    [
        ("at least three", np.ones((2, 4))),
        ("at least three", np.ones((4, 1))),
        ("at least three", np.ones(9)),
        ("at least three", []),
        ("not finite", [[1, 2], [3, 4], [5, np.nan]]),
        ("not finite", [[1, 2], [3, 4], [5, np.inf]]),
    ],
)
def test_no_components(message, embeddings):
    """Too few embeddings or dimensions, or a number that is none."""
    with pytest.raises(ValueError, match=message):
        language_plots.principal_components(embeddings)


def drawn_points(axes):
    """Gives the places, colours and outlines of points in drawing order."""
    (points,) = axes.collections
    colours = [to_hex(colour) for colour in points.get_facecolors()]
    return np.asarray(points.get_offsets()), colours, points.get_paths()


def utterances(places, expected):
    """Finds which utterance each drawn point is."""
    found = []
    for place in places:
        distances = np.abs(expected - place).max(axis=1)
        assert distances.min() < 1e-9
        found.append(int(distances.argmin()))
    return found


def test_points_have_the_colours_of_language_and_emotion(monkeypatch):
    """Each utterance once in each panel, in the plane of its own system."""
    systems = {"base": system(300), "DANN": system(60, unlabelled=9)}
    figure = drawn(monkeypatch, lambda path: draw_languages(path, systems))
    for row, one in enumerate(systems.values()):
        expected, shares = by_svd(one["embeddings"])
        left, right = figure.axes[2 * row : 2 * row + 2]
        for axes, words, looks in (
            (left, one["language"], {0: BLUE, 1: ORANGE}),
            (right, one["emotion"], {"low": GREEN, "high": VERMILION}),
        ):
            places, colours, paths = drawn_points(axes)
            found = utterances(places, expected)
            assert sorted(found) == list(range(len(expected)))
            looks = looks | {None: GREY}
            assert colours == [looks[words[i]] for i in found]
            # as many corners as a circle or a triangle has
            corners = {GREEN: 26, BLUE: 26, GREY: 26, ORANGE: 4, VERMILION: 4}
            assert [len(p.vertices) for p in paths] == [
                corners[colour] for colour in colours
            ]
            label = f"PC 1 ({100 * shares[0]:.1f} % of variance)"
            assert axes.get_xlabel() == label
            low, high = axes.get_xlim()
            assert low < expected[:, 0].min() < expected[:, 0].max() < high
            low, high = axes.get_ylim()
            assert low < expected[:, 1].min() < expected[:, 1].max() < high
        assert (
            left.get_ylabel() == f"PC 2 ({100 * shares[1]:.1f} % of variance)"
        )
        assert left.get_shared_x_axes().joined(left, right)
        assert left.get_shared_y_axes().joined(left, right)


def test_no_language_hides_another(monkeypatch):
    """Sorted utterances are drawn mixed; those without a label first."""
    systems = {"base": system(300, unlabelled=100)}
    figure = drawn(monkeypatch, lambda path: draw_languages(path, systems))
    _, colours, _ = drawn_points(figure.axes[0])
    for part in (colours[:100], colours[100:200], colours[200:]):
        assert 15 < part.count(ORANGE) < 45  # 30 where they are mixed
    _, colours, _ = drawn_points(figure.axes[1])
    assert colours[:100] == [GREY] * 100
    for part in (colours[100:200], colours[200:]):
        assert 30 < part.count(GREEN) < 70
        assert GREY not in part


def test_all_markers_are_of_one_area():
    """No class looks rarer because its marker is small."""
    side = np.linspace(-1, 1, 401)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    for marker in language_plots.MARKERS:
        outline = language_plots.shape(marker)
        area = 4 * outline.contains_points(grid).mean()
        assert area == pytest.approx(math.pi / 4, rel=0.02), marker


def test_a_language_is_a_place_or_a_name(monkeypatch):
    """Both make the same picture."""
    numbers = system(30)
    names = numbers | {"language": [LANGUAGES[i] for i in numbers["language"]]}
    array = numbers | {"language": np.array(numbers["language"])}
    pictures = [
        drawn_points(
            drawn(
                monkeypatch,
                lambda path, one=one: draw_languages(path, {"": one}),
            ).axes[0]
        )[1]
        for one in (numbers, names, array)
    ]
    assert pictures[0] == pictures[1] == pictures[2]
    assert pictures[0].count(ORANGE) == 9


def test_of_many_utterances_a_sample_is_drawn(monkeypatch):
    """3000 are all drawn; of more, the row says how many; the plane is of all."""
    figure = drawn(
        monkeypatch,
        lambda path: draw_languages(
            path, {"a": system(3000), "b": system(3500, note="mixed")}
        ),
    )
    expected, _ = by_svd(system(3500)["embeddings"])
    assert len(drawn_points(figure.axes[0])[0]) == 3000
    assert figure.axes[0].get_title("left") == "a"
    places, colours, _ = drawn_points(figure.axes[2])
    assert len(set(utterances(places, expected))) == 3000
    assert 800 < colours.count(ORANGE) < 1000  # 900 on average
    np.testing.assert_array_equal(places, drawn_points(figure.axes[3])[0])
    assert figure.axes[2].get_title("left") == (
        "b: mixed\n3000 random ones of 3500 utterances are drawn"
    )


def test_the_note_stands_above_the_left_panel(monkeypatch):
    """Behind the system's name; without one the name alone."""
    figure = drawn(monkeypatch, PICTURES["base and DANN"])
    titles = [axes.get_title("left") for axes in figure.axes]
    assert titles == [f"base: {NOTE}", "", "DANN", ""]
    assert figure._suptitle.get_text() == "Arousal"


def test_legends_name_what_is_drawn(monkeypatch):
    """In any row; colours and markers do not shift for those left out."""
    figure = drawn(monkeypatch, PICTURES["base and DANN"])
    languages, emotions = legends(figure)
    assert texts(languages) == LANGUAGES
    assert texts(emotions) == ["low", "high", "no label"]
    figure = drawn(
        monkeypatch,
        lambda path: draw_languages(
            path,
            {"": system(9, classes=["hap", "sad"]) | {"language": [2] * 9}},
            ["French", "English", "Polish"],
            ["ang", "hap", "sad"],
        ),
    )
    languages, emotions = legends(figure)
    assert texts(languages) == ["Polish"]
    assert texts(emotions) == ["happiness", "sadness"]
    for axes, legend, expected in (
        (figure.axes[0], languages, [(GREEN, "s")]),
        (figure.axes[1], emotions, [(VERMILION, "^"), ("#56b4e9", "s")]),
    ):
        looks = [
            (to_hex(handle.get_color()), handle.get_marker())
            for handle in legend.legend_handles
        ]
        assert looks == expected
        assert set(drawn_points(axes)[1]) == {colour for colour, _ in looks}


@pytest.mark.parametrize(
    ("message", "changes"),
    [
        ("one: 9 embeddings, but 8 languages", {"language": [0] * 8}),
        ("9 languages and 8 emotions", {"emotion": ["low"] * 8}),
        ("'calm' is not among", {"emotion": ["low"] * 8 + ["calm"]}),
        ("2 is neither", {"language": [0] * 8 + [2]}),
        ("-1 is neither", {"language": [-1] * 9}),
        ("'Polish' is neither", {"language": ["Polish"] * 9}),
        ("None is neither", {"language": [None] * 9}),
        ("not finite", {"embeddings": np.full((9, 2), np.nan)}),
    ],
)
def test_a_wrong_system_leaves_the_old_picture(tmp_path, message, changes):
    """Nothing is written before everything is known to fit."""
    path = tmp_path / "picture.png"
    path.write_text("old")
    with pytest.raises(ValueError, match=message):
        draw_languages(path, {"good": system(9), "one": system(9) | changes})
    with pytest.raises(ValueError, match="no system"):
        draw_languages(path, {})
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["picture.png"]


def lines(axes):
    """Gives the lines of the axes by name."""
    return {line.get_label(): line for line in axes.lines}


def test_curves_by_hand(monkeypatch):
    """Each value on its axis in its colour, with the two levels of chance."""
    rows = curves(4)
    rows[1]["domain_loss"] = None
    rows[2]["valid_UA"] = math.nan
    rows[0]["domain_loss"] = math.inf
    del rows[3]["domain_UA"]
    figure = drawn(
        monkeypatch, lambda path: draw_curves(path, rows, [(3, "selected")])
    )
    left, right = figure.axes
    nan = math.nan
    for axes, name, expected, colour, marker in (
        (left, "domain loss", [nan, nan, 0.6, 0.625], BLUE, "o"),
        (right, "domain UAR", [85, 70, 65, nan], GREEN, "s"),
        (right, "emotion UAR, development", [60, 65, nan, 67.5], RED, "^"),
    ):
        line = lines(axes)[name]
        assert line.get_xdata().tolist() == [1, 2, 3, 4]
        np.testing.assert_allclose(line.get_ydata(), expected)
        assert to_hex(line.get_color()) == colour
        assert line.get_marker() == marker
    for axes, name, level in (
        (left, "chance, log 2", -0.5 * math.log(0.25)),
        (right, "chance, 50 %", 50),
    ):
        line = lines(axes)[name]
        assert list(line.get_ydata()) == pytest.approx([level, level])
        assert list(line.get_xdata()) == [0, 1]  # all of the width
        assert line.get_linestyle() == "--"
        low, high = axes.get_ylim()
        assert low < level < high
    assert len(right.lines) == 3
    assert right.yaxis.get_ticks_position() == "right"
    assert right.yaxis.get_label_position() == "right"
    assert (left.get_xlabel(), left.get_ylabel()) == ("epoch", "domain loss")
    assert right.get_ylabel() == "UAR (%)"
    assert [text.get_text() for text in left.texts] == ["selected"]
    assert left.lines[-1].get_xdata()[0] == 3
    assert texts(figure.legends[0]) == [
        *("domain loss", "chance, log 2", "domain UAR"),
        *("emotion UAR, development", "chance, 50 %"),
    ]


@pytest.mark.parametrize(
    ("without", "shown", "entries"),
    [
        (["domain_loss"], (False, True), ["domain UAR", "emotion UAR"]),
        (["valid_UA"], (True, True), ["domain loss", "domain UAR"]),
        (["domain_UA", "valid_UA"], (True, False), ["domain loss"]),
        (["domain_loss", "domain_UA", "valid_UA"], (False, False), []),
    ],
)
def test_no_value_no_line(monkeypatch, without, shown, entries):
    """Nor an axis or a level of chance with nothing to compare."""
    figure = drawn(
        monkeypatch, lambda path: draw_curves(path, curves(5, *without))
    )
    left, right = figure.axes
    assert (left.yaxis.get_visible(), right.yaxis.get_visible()) == shown
    assert ("chance, log 2" in lines(left)) == shown[0]
    assert ("chance, 50 %" in lines(right)) == shown[1]
    names = [name for legend in figure.legends for name in texts(legend)]
    assert [
        name.split(",")[0] for name in names if not name.startswith("chance")
    ] == entries


def test_no_epochs_make_an_empty_picture(tmp_path):
    """A run that ended before its first epoch does not fail here."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert draw_curves(tmp_path / "picture.png", [])
    assert os.listdir(tmp_path) == ["picture.png"]


def test_a_long_run_has_markers_only_between_gaps(monkeypatch):
    """Values every fifth epoch are seen although no line joins them."""
    rows = curves(300)
    for row in rows:
        if row["epoch"] % 5:
            row["valid_UA"] = None
    figure = drawn(monkeypatch, lambda path: draw_curves(path, rows))
    left, right = (lines(axes) for axes in figure.axes)
    assert left["domain loss"].get_markevery() == []
    assert right["domain UAR"].get_markevery() == []
    assert right["emotion UAR, development"].get_markevery() == list(
        range(4, 300, 5)
    )
    figure = drawn(monkeypatch, PICTURES["curves"])
    assert lines(figure.axes[0])["domain loss"].get_markevery() is None
