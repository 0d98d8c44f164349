"""The picture of speakers shows the right numbers."""

import os

import numpy as np
import pytest
from matplotlib.colors import to_hex

from speechbrain_ser.figures import planes, speakers
from speechbrain_ser.figures.speakers import plot_speakers, sample
from tests.figures.helpers import (
    CLASSES,
    check_legends,
    check_picture,
    check_repeats,
    check_words,
    drawn,
    drawn_points,
    legends,
    scores,
    speaker_system,
    texts,
)

BLUE, ORANGE, GREEN, VERMILION = "#0072b2", "#e69f00", "#009e73", "#d55e00"
SKY, GREY = "#56b4e9", "#bbbbbb"
FELT = {"ang": GREEN, "hap": VERMILION, "sad": SKY, "neu": "#000000"}
FELT |= {None: GREY}
CORNERS = {"o": 26, "^": 4, "s": 5, "D": 5}
TEN = [f"{number:02d}" for number in range(1, 11)]


def draw_systems(path, systems, classes=CLASSES, title="Fold 1"):
    """Draws systems with a title."""
    return plot_speakers(path, systems, classes, title)


NOTE = "a fresh probe names the speaker in 57.0 % (chance 50 %)"
PICTURES = {
    "multitask and MEnAN": lambda path: draw_systems(
        path,
        {
            "multitask": speaker_system(30, note=NOTE),
            "menan": speaker_system(24),
        },
    ),
    "ten speakers": lambda path: draw_systems(
        path,
        {"base": speaker_system(1010, TEN, unlabelled=9, note=NOTE + NOTE)},
    ),
    "three rows": lambda path: draw_systems(
        path,
        {
            "one": speaker_system(1, note=NOTE),
            "five": speaker_system(5, note=NOTE),
            "same": speaker_system(20) | {"embeddings": np.ones((20, 4))},
        },
    ),
    "one feature": lambda path: draw_systems(
        path, {"": speaker_system(20, dims=1)}
    ),
    "hard words": lambda path: draw_systems(
        path,
        {
            "$x{": speaker_system(
                40, ["$F{ of a long name", "$the M{"], note=r"$\no{$"
            )
        },
        [*CLASSES, "fru", "exc", "surprise", "fear"],
        r"$\no{$",
    ),
}


@pytest.fixture
def quick(monkeypatch):
    """Replaces t-SNE by the first two of the standardised features."""

    def first_two(features, start):
        """Does nothing that takes time."""
        assert features.shape[0] == len(start)
        return features[:, [0, min(1, features.shape[1] - 1)]]

    monkeypatch.setattr(planes, "neighbour_map", first_two)


@pytest.mark.parametrize("name", PICTURES)
def test_picture(name, quick):
    """It shows something, texts touch nothing, legends cover nothing."""
    figure = check_picture(PICTURES[name], (990, 1010), 600)
    check_words(figure)
    check_legends(figure)


def test_a_second_picture_is_the_same():
    """With the true t-SNE; nothing is left over from the first picture."""
    check_repeats(PICTURES["multitask and MEnAN"])


def test_points_have_the_colours_of_emotion_and_speaker(quick):
    """Each utterance once in each panel, at the same place."""
    systems = {
        "a": speaker_system(300, unlabelled=9),
        "b": speaker_system(60, ["M", "X"]),
    }
    figure = drawn(lambda path: draw_systems(path, systems))
    spoken = {
        "F": (BLUE, "o"),
        "M": (ORANGE, "^"),
        "X": (GREEN, "s"),
    }
    markers = dict(zip(FELT.values(), "o^sDo"))
    felt = {word: (colour, markers[colour]) for word, colour in FELT.items()}
    for row, one in enumerate(systems.values()):
        expected = np.transpose(
            [scores(feature) for feature in one["embeddings"].T[:2].tolist()]
        )
        left, right = figure.axes[2 * row : 2 * row + 2]
        for axes, words, looks in (
            (left, one["emotion"], felt),
            (right, one["speaker"], spoken),
        ):
            places, colours, paths = drawn_points(axes)
            found = []
            for place in places:
                distances = np.abs(expected - place).max(axis=1)
                assert distances.min() < 1e-9
                found.append(int(distances.argmin()))
            assert sorted(found) == list(range(len(expected)))
            assert colours == [looks[words[i]][0] for i in found]
            assert [len(path.vertices) for path in paths] == [
                CORNERS[looks[words[i]][1]] for i in found
            ]
            assert axes.get_xlabel() == "t-SNE 1"
            assert not len(axes.get_xticks()) and not len(axes.get_yticks())
        assert left.get_ylabel() == "t-SNE 2"
        assert right.get_ylabel() == ""


def test_both_panels_have_one_scale(quick):
    """For both directions too, and all points lie inside."""
    one = speaker_system(40)
    one["embeddings"][0] = 50  # far away in both directions
    for systems in ({"a": one}, {"a": speaker_system(7)}):
        figure = drawn(lambda path, now=systems: draw_systems(path, now))
        left, right = figure.axes
        for limits in ("get_xlim", "get_ylim"):
            np.testing.assert_allclose(
                getattr(left, limits)(), getattr(right, limits)()
            )
        for axes in (left, right):
            width, height = axes.transData.transform([1, 1]) - (
                axes.transData.transform([0, 0])
            )
            assert width == pytest.approx(height)
            places, _, _ = drawn_points(axes)
            low, high = np.transpose([axes.get_xlim(), axes.get_ylim()])
            assert (low < places).all() and (places < high).all()


def test_no_speaker_hides_another(quick):
    """Sorted utterances are drawn mixed; those without a label first."""
    one = speaker_system(300, unlabelled=100)
    figure = drawn(lambda path: draw_systems(path, {"": one}))
    _, colours, _ = drawn_points(figure.axes[0])
    assert colours[:100] == [GREY] * 100
    assert GREY not in colours[100:]
    _, colours, _ = drawn_points(figure.axes[1])
    for part in (colours[10:110], colours[110:200], colours[200:]):
        assert 0.35 < part.count(ORANGE) / len(part) < 0.65


def test_ten_speakers_all_look_different(quick):
    """Each has a colour of its own, in order of the names, in all rows."""
    systems = {
        "a": speaker_system(40, TEN[::-1]),
        "b": speaker_system(20, TEN[8:]),
    }
    figure = drawn(lambda path: draw_systems(path, systems))
    emotions, speakers = legends(figure)
    assert emotions is figure.axes[2].get_legend()
    assert speakers is figure.axes[3].get_legend()
    assert emotions.get_title().get_text() == "emotion"
    assert speakers.get_title().get_text() == "speaker"
    assert texts(emotions.get_texts()) == [
        "anger",
        "happiness",
        "sadness",
        "neutral",
    ]
    assert texts(speakers.get_texts()) == TEN
    looks = [to_hex(line.get_color()) for line in speakers.legend_handles]
    assert len(set(looks)) == 10
    markers = [line.get_marker() for line in speakers.legend_handles]
    assert len(set(markers)) == 7
    assert set(drawn_points(figure.axes[3])[1]) == set(looks[8:])


def test_legends_name_what_is_drawn(quick):
    """In any row; colours do not shift for those left out."""
    one = speaker_system(12) | {"emotion": ["neu"] * 12}
    figure = drawn(lambda path: draw_systems(path, {"": one}))
    emotions, _ = legends(figure)
    assert texts(emotions.get_texts()) == ["neutral"]
    assert to_hex(emotions.legend_handles[0].get_color()) == FELT["neu"]
    systems = {"a": speaker_system(12, unlabelled=12), "b": one}
    figure = drawn(lambda path: draw_systems(path, systems))
    assert texts(legends(figure)[0].get_texts()) == ["neutral", "no label"]


def test_headings(monkeypatch, quick):
    """The note behind the name; then what is not as usual."""
    monkeypatch.setattr(speakers, "MOST_POINTS", 50)
    systems = {
        "a": speaker_system(50, note=NOTE),
        "b": speaker_system(51),
        "c": speaker_system(9, note=NOTE),
        "d": speaker_system(60) | {"embeddings": np.ones((60, 3))},
    }
    figure = drawn(lambda path: draw_systems(path, systems))
    few = "different embeddings: principal components, no t-SNE"
    assert [axes.get_title("left") for axes in figure.axes] == [
        *(f"a: {NOTE}", ""),
        *("b\n50 random ones of 51 utterances are used", ""),
        *(f"c: {NOTE}\nonly 9 {few}", ""),
        "d\nonly 1 different embedding: principal components, no t-SNE\n"
        "50 random ones of 60 utterances are used",
        "",
    ]
    assert figure._suptitle.get_text() == "Fold 1"
    assert len(drawn_points(figure.axes[2])[0]) == 50
    assert figure.axes[4].get_xlabel().startswith("PC 1 (")
    assert figure.axes[4].get_ylabel().startswith("PC 2 (")
    assert 3 <= len(figure.axes[4].get_xticks()) <= 9
    for axes, shown in ((figure.axes[4], True), (figure.axes[5], False)):
        tick = axes.yaxis.get_major_ticks()[0]
        assert tick.label1.get_visible() is shown


def test_a_sample_keeps_all_speakers():
    """In each of their emotions; the others by chance; always the same ones."""
    speakers = ["big"] * 4000 + ["small"] * 998 + ["rare"] * 2
    emotions = ["sad"] * 2000 + ["hap"] * 2999 + [None]
    chosen = sample(speakers, emotions)
    assert len(chosen) == len(set(chosen)) == 1000
    pairs = [(speakers[place], emotions[place]) for place in chosen]
    assert set(pairs) == set(zip(speakers, emotions))
    assert 760 < sum(speaker == "big" for speaker, _ in pairs) < 840
    half = [speaker for speaker, _ in pairs[:500]]
    assert 360 < half.count("big") < 440
    np.random.seed(3)
    assert sample(speakers, emotions) == chosen
    chosen = sample(speakers[:1000], emotions[:1000])
    assert sorted(chosen) == list(range(1000))


@pytest.mark.parametrize(
    ("message", "changes"),
    [
        ("one: 9 embeddings, but 8 emotions", {"emotion": ["sad"] * 8}),
        ("9 emotions and 8 speakers", {"speaker": ["F"] * 8}),
        ("'calm' is not among", {"emotion": ["sad"] * 8 + ["calm"]}),
        ("one: .* not finite", {"embeddings": np.full((9, 2), np.nan)}),
        ("one: .* not finite", {"embeddings": np.full((9, 2), np.inf)}),
        (
            r"one: a picture needs embeddings.*\(0,\)",
            {"embeddings": [], "emotion": [], "speaker": []},
        ),
        ("one: a picture needs", {"embeddings": np.ones(9)}),
        ("one: a picture needs", {"embeddings": np.ones((9, 0))}),
    ],
)
def test_a_wrong_system_leaves_the_old_picture(
    monkeypatch, tmp_path, message, changes
):
    """It is refused before any time is spent on another system."""
    monkeypatch.setattr(planes, "neighbour_map", None)
    path = tmp_path / "picture.png"
    path.write_text("old")
    with pytest.raises(ValueError, match=message):
        draw_systems(
            path,
            {"good": speaker_system(20), "one": speaker_system(9) | changes},
        )
    with pytest.raises(ValueError, match="no system"):
        draw_systems(path, {})
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["picture.png"]
