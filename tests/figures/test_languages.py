"""The picture of languages shows the right numbers and hides nothing."""

import os

import numpy as np
import pytest
from matplotlib.colors import to_hex

from speechbrain_ser.figures.languages import plot_languages
from tests.figures.helpers import (
    by_svd,
    check_legends,
    check_picture,
    check_repeats,
    check_words,
    drawn,
    drawn_points,
    legends,
    texts,
)

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
    return plot_languages(path, systems, languages, classes, "Arousal")


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
}


@pytest.mark.parametrize("name", PICTURES)
def test_picture(name):
    """It shows something, texts touch nothing, legends cover nothing."""
    figure = check_picture(PICTURES[name], (990, 1010), 570)
    check_words(figure)
    check_legends(figure)


def test_a_second_picture_is_the_same():
    """Nothing is left over from the first, and the sample is no other."""
    check_repeats(PICTURES["base and DANN"])


def utterances(places, expected):
    """Finds which utterance each drawn point is."""
    found = []
    for place in places:
        distances = np.abs(expected - place).max(axis=1)
        assert distances.min() < 1e-9
        found.append(int(distances.argmin()))
    return found


def test_points_have_the_colours_of_language_and_emotion():
    """Each utterance once in each panel, in the plane of its own system."""
    systems = {"base": system(300), "DANN": system(60, unlabelled=9)}
    figure = drawn(lambda path: draw_languages(path, systems))
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


def test_no_language_hides_another():
    """Sorted utterances are drawn mixed; those without a label first."""
    systems = {"base": system(300, unlabelled=100)}
    figure = drawn(lambda path: draw_languages(path, systems))
    _, colours, _ = drawn_points(figure.axes[0])
    for part in (colours[:100], colours[100:200], colours[200:]):
        assert 15 < part.count(ORANGE) < 45  # 30 where they are mixed
    _, colours, _ = drawn_points(figure.axes[1])
    assert colours[:100] == [GREY] * 100
    for part in (colours[100:200], colours[200:]):
        assert 30 < part.count(GREEN) < 70
        assert GREY not in part


def test_a_language_is_a_place_or_a_name():
    """Both make the same picture."""
    numbers = system(30)
    names = numbers | {"language": [LANGUAGES[i] for i in numbers["language"]]}
    array = numbers | {"language": np.array(numbers["language"])}
    pictures = [
        drawn_points(
            drawn(
                lambda path, one=one: draw_languages(path, {"": one}),
            ).axes[0]
        )[1]
        for one in (numbers, names, array)
    ]
    assert pictures[0] == pictures[1] == pictures[2]
    assert pictures[0].count(ORANGE) == 9


def test_of_many_utterances_a_sample_is_drawn():
    """3000 are all drawn; of more a row says how many; the plane is of all."""
    figure = drawn(
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


def test_the_note_stands_above_the_left_panel():
    """Behind the system's name; without one the name alone."""
    figure = drawn(PICTURES["base and DANN"])
    titles = [axes.get_title("left") for axes in figure.axes]
    assert titles == [f"base: {NOTE}", "", "DANN", ""]
    assert figure._suptitle.get_text() == "Arousal"


def test_legends_name_what_is_drawn():
    """In any row; colours and markers do not shift for those left out."""
    figure = drawn(PICTURES["base and DANN"])
    languages, emotions = legends(figure)
    assert texts(languages.get_texts()) == LANGUAGES
    assert texts(emotions.get_texts()) == ["low", "high", "no label"]
    figure = drawn(
        lambda path: draw_languages(
            path,
            {"": system(9, classes=["hap", "sad"]) | {"language": [2] * 9}},
            ["French", "English", "Polish"],
            ["ang", "hap", "sad"],
        ),
    )
    languages, emotions = legends(figure)
    assert texts(languages.get_texts()) == ["Polish"]
    assert texts(emotions.get_texts()) == ["happiness", "sadness"]
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
