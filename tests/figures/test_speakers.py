"""Pictures of training against the speaker show the right numbers."""

import math
import os
import warnings

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.image import imread
from threadpoolctl import threadpool_info, threadpool_limits

from speechbrain_ser.figures import speakers as speaker_plots

CLASSES = ["ang", "hap", "sad", "neu"]
BLUE, ORANGE, GREEN, VERMILION = "#0072b2", "#e69f00", "#009e73", "#d55e00"
SKY, GREY = "#56b4e9", "#bbbbbb"
FELT = {"ang": GREEN, "hap": VERMILION, "sad": SKY, "neu": "#000000"}
FELT |= {None: GREY}
CORNERS = {"o": 26, "^": 4, "s": 5, "D": 5}
TEN = [f"{number:02d}" for number in range(1, 11)]


def system(n, speakers=("F", "M"), unlabelled=0, dims=5, **more):
    """Makes up embeddings, sorted by speaker as files would be."""
    draw = np.random.default_rng(n)
    speaker = [place * len(speakers) // n for place in range(n)]
    emotion = [CLASSES[place % 4] for place in range(n)]
    emotion[:unlabelled] = [None] * unlabelled
    embeddings = draw.normal(size=(n, dims)) * np.linspace(3, 1, dims)
    embeddings[:, 0] += 4 * np.array(speaker)
    return {
        "embeddings": embeddings,
        "emotion": emotion,
        "speaker": [speakers[place] for place in speaker],
        **more,
    }


def draw_systems(path, systems, classes=CLASSES, title="Fold 1"):
    """Draws systems with a title."""
    return speaker_plots.plot_speakers(path, systems, classes, title)


def curves(epochs, *without):
    """Makes up rows that lack some values."""
    rows = [
        {
            "epoch": epoch,
            "speaker_entropy": 2 - 1 / epoch,
            "speaker_accuracy": 0.2 + 0.6 / epoch,
        }
        for epoch in range(1, epochs + 1)
    ]
    return [
        {key: value for key, value in row.items() if key not in without}
        for row in rows
    ]


def draw_curves(path, rows, marks=(), title="MEnAN", n_speakers=8):
    """Draws rows with a title."""
    return speaker_plots.plot_speaker_entropy(
        path, rows, n_speakers, title, marks
    )


NOTE = "a fresh probe names the speaker in 57.0 % (chance 50 %)"
PICTURES = {
    "multitask and MEnAN": lambda path: draw_systems(
        path, {"multitask": system(30, note=NOTE), "menan": system(24)}
    ),
    "ten speakers": lambda path: draw_systems(
        path, {"base": system(1010, TEN, unlabelled=9, note=NOTE + NOTE)}
    ),
    "three rows": lambda path: draw_systems(
        path,
        {
            "one": system(1, note=NOTE),
            "five": system(5, note=NOTE),
            "same": system(20) | {"embeddings": np.ones((20, 4))},
        },
    ),
    "one feature": lambda path: draw_systems(path, {"": system(20, dims=1)}),
    "hard words": lambda path: draw_systems(
        path,
        {"$x{": system(40, ["$F{ of a long name", "$the M{"], note=r"$\no{$")},
        [*CLASSES, "fru", "exc", "surprise", "fear"],
        r"$\no{$",
    ),
    "curves": lambda path: draw_curves(path, curves(50), [(31, "selected")]),
    "one epoch": lambda path: draw_curves(path, curves(1), iter([(1, "best")])),
    "two epochs": lambda path: draw_curves(path, curves(2), [(2, "selected")]),
    "long": lambda path: draw_curves(
        path, curves(300), [(300, "selected"), (1, "first")], r"$\no{$", 1000
    ),
    "no accuracy": lambda path: draw_curves(
        path, curves(9, "speaker_accuracy"), [(1, "selected")], n_speakers=2
    ),
    "no speaker classifier": lambda path: draw_curves(
        path, curves(9, "speaker_accuracy", "speaker_entropy"), [(5, "best")]
    ),
    "no epochs": lambda path: draw_curves(path, []),
}


@pytest.fixture
def quick(monkeypatch):
    """Replaces t-SNE by the first two of the standardised features."""

    def first_two(features, start):
        """Does nothing that takes time."""
        assert features.shape[0] == len(start)
        return features[:, [0, min(1, features.shape[1] - 1)]]

    monkeypatch.setattr(speaker_plots, "neighbour_map", first_two)


@pytest.mark.parametrize("name", PICTURES)
def test_picture(name, quick, tmp_path):
    """It is about 1000 pixels wide, with things on it and nothing beside it."""
    path = tmp_path / "new folder" / "picture.png"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert PICTURES[name](path) == path
    assert os.listdir(path.parent) == ["picture.png"]
    picture = imread(path)
    height, width, _ = picture.shape
    assert 990 <= width <= 1010
    assert height >= 600
    assert len(np.unique(picture[..., :3] @ [1, 1e3, 1e6])) > 50


@pytest.mark.parametrize("name", ["multitask and MEnAN", "two epochs"])
def test_a_second_picture_is_the_same(name, tmp_path):
    """With the true t-SNE; nothing is left over from the first picture."""
    first, second = tmp_path / "1.png", tmp_path / "2.png"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PICTURES[name](first)
    np.random.seed(1)
    PICTURES[name](second)
    assert first.read_bytes() == second.read_bytes()


def drawn(monkeypatch, draw):
    """Gives the figure that a plot function would have written, laid out."""
    figures = []
    monkeypatch.setattr(
        speaker_plots, "save", lambda figure, path: figures.append(figure)
    )
    draw("unused.png")
    figures[0].draw_without_rendering()
    return figures[0]


def legends(figure):
    """Gives the legends of all axes."""
    return [axes.get_legend() for axes in figure.axes if axes.get_legend()]


def texts(legend):
    """Gives the words of a legend."""
    return [text.get_text() for text in legend.get_texts()]


@pytest.mark.parametrize("name", PICTURES)
def test_no_words_touch(monkeypatch, quick, name):
    """No two texts overlap, none leaves the picture, legends cover nothing."""
    figure = drawn(monkeypatch, PICTURES[name])
    words = [figure._suptitle]
    for legend in legends(figure):
        words.extend([legend.get_title(), *legend.get_texts()])
        box = legend.get_window_extent()
        assert box.x0 >= 0 and box.x1 <= figure.bbox.x1
        assert box.y0 >= 0
        for other in (*figure.axes, *legends(figure)):
            if other is not legend:
                assert not box.overlaps(other.get_window_extent())
    for axes in figure.axes:
        words.extend([*axes.texts, axes._left_title])
        for axis in (axes.xaxis, axes.yaxis):
            words.append(axis.label)
            low, high = sorted(axis.get_view_interval())
            for tick in axis.get_major_ticks():
                if low <= tick.get_loc() <= high:
                    words.append(tick.label1)
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


def scores(values):
    """Standardises a list of numbers."""
    mean = math.fsum(values) / len(values)
    squares = math.fsum((value - mean) ** 2 for value in values)
    return [(v - mean) / math.sqrt(squares / len(values)) for v in values]


def drawn_points(axes):
    """Gives the places, colours and outlines of points in drawing order."""
    (points,) = axes.collections
    colours = [to_hex(colour) for colour in points.get_facecolors()]
    return np.asarray(points.get_offsets()), colours, points.get_paths()


def test_points_have_the_colours_of_emotion_and_speaker(monkeypatch, quick):
    """Each utterance once in each panel, at the same place."""
    systems = {
        "a": system(300, unlabelled=9),
        "b": system(60, ["M", "X"]),
    }
    figure = drawn(monkeypatch, lambda path: draw_systems(path, systems))
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


def test_both_panels_have_one_scale(monkeypatch, quick):
    """For both directions too, and all points lie inside."""
    one = system(40)
    one["embeddings"][0] = 50  # far away in both directions
    for systems in ({"a": one}, {"a": system(7)}):
        figure = drawn(
            monkeypatch, lambda path, now=systems: draw_systems(path, now)
        )
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


def test_no_speaker_hides_another(monkeypatch, quick):
    """Sorted utterances are drawn mixed; those without a label first."""
    one = system(300, unlabelled=100)
    figure = drawn(monkeypatch, lambda path: draw_systems(path, {"": one}))
    _, colours, _ = drawn_points(figure.axes[0])
    assert colours[:100] == [GREY] * 100
    assert GREY not in colours[100:]
    _, colours, _ = drawn_points(figure.axes[1])
    for part in (colours[10:110], colours[110:200], colours[200:]):
        assert 0.35 < part.count(ORANGE) / len(part) < 0.65


def test_ten_speakers_all_look_different(monkeypatch, quick):
    """Each has a colour of its own, in order of the names, in all rows."""
    systems = {"a": system(40, TEN[::-1]), "b": system(20, TEN[8:])}
    figure = drawn(monkeypatch, lambda path: draw_systems(path, systems))
    emotions, speakers = legends(figure)
    assert emotions is figure.axes[2].get_legend()
    assert speakers is figure.axes[3].get_legend()
    assert emotions.get_title().get_text() == "emotion"
    assert speakers.get_title().get_text() == "speaker"
    assert texts(emotions) == ["anger", "happiness", "sadness", "neutral"]
    assert texts(speakers) == TEN
    looks = [to_hex(line.get_color()) for line in speakers.legend_handles]
    assert len(set(looks)) == 10
    markers = [line.get_marker() for line in speakers.legend_handles]
    assert len(set(markers)) == 7
    assert set(drawn_points(figure.axes[3])[1]) == set(looks[8:])


def test_legends_name_what_is_drawn(monkeypatch, quick):
    """In any row; colours do not shift for those left out."""
    one = system(12) | {"emotion": ["neu"] * 12}
    figure = drawn(monkeypatch, lambda path: draw_systems(path, {"": one}))
    emotions, _ = legends(figure)
    assert texts(emotions) == ["neutral"]
    assert to_hex(emotions.legend_handles[0].get_color()) == FELT["neu"]
    systems = {"a": system(12, unlabelled=12), "b": one}
    figure = drawn(monkeypatch, lambda path: draw_systems(path, systems))
    assert texts(legends(figure)[0]) == ["neutral", "no label"]


def test_headings(monkeypatch, quick):
    """The note behind the name; then what is not as usual."""
    monkeypatch.setattr(speaker_plots, "MOST_POINTS", 50)
    systems = {
        "a": system(50, note=NOTE),
        "b": system(51),
        "c": system(9, note=NOTE),
        "d": system(60) | {"embeddings": np.ones((60, 3))},
    }
    figure = drawn(monkeypatch, lambda path: draw_systems(path, systems))
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
    chosen = speaker_plots.sample(speakers, emotions)
    assert len(chosen) == len(set(chosen)) == 1000
    pairs = [(speakers[place], emotions[place]) for place in chosen]
    assert set(pairs) == set(zip(speakers, emotions))
    assert 760 < sum(speaker == "big" for speaker, _ in pairs) < 840
    half = [speaker for speaker, _ in pairs[:500]]
    assert 360 < half.count("big") < 440
    np.random.seed(3)
    assert speaker_plots.sample(speakers, emotions) == chosen
    chosen = speaker_plots.sample(speakers[:1000], emotions[:1000])
    assert sorted(chosen) == list(range(1000))


def by_svd(features):
    """Computes two principal components; the largest weight is positive."""
    _, sizes, weights = np.linalg.svd(features, full_matrices=False)
    for row in weights:
        if row[np.argmax(np.abs(row))] < 0:
            row *= -1
    return features @ weights[:2].T, (sizes**2 / (sizes**2).sum())[:2]


@pytest.mark.parametrize("n", [3, 5, 9])
def test_few_points_lie_in_the_plane_of_principal_components(n):
    """Of the standardised features, with their shares of the variance."""
    embeddings = system(n)["embeddings"]
    # The same ones in another batch differ by rounding.
    noise = 1e-9 * np.random.default_rng(0).normal(size=(4 * n, 5))
    points, names, remark = speaker_plots.plane(
        np.tile(embeddings, (4, 1)) + noise
    )
    features = np.transpose([scores(row) for row in embeddings.T.tolist()])
    expected, shares = by_svd(features)
    np.testing.assert_allclose(points, np.tile(expected, (4, 1)), atol=1e-7)
    assert names == (
        f"PC 1 ({100 * shares[0]:.1f} % of variance)",
        f"PC 2 ({100 * shares[1]:.1f} % of variance)",
    )
    assert remark.startswith(f"only {n} different embeddings:")


@pytest.mark.parametrize(
    ("embeddings", "expected", "different"),
    [
        ([[5.0, 7.0]], [[0, 0]], 1),
        ([[5.0]], [[0, 0]], 1),
        ([[5.0], [9.0]], [[-1, 0], [1, 0]], 2),
        ([[0.3, 0.7]] * 7, [[0, 0]] * 7, 1),
        ([[0.3], [0.3 + 1e-8]] * 20, [[0, 0]] * 40, 1),
        ([[0.0, 1.0], [0.0, 3.0]], [[-1, 0], [1, 0]], 2),
    ],
)
def test_points_that_have_no_plane(embeddings, expected, different):
    """Nothing is divided by nought, and rounding is no difference."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        points, _, remark = speaker_plots.plane(np.array(embeddings))
    np.testing.assert_allclose(points, expected, atol=1e-12)
    assert remark.startswith(f"only {different} different embedding")


def test_a_dead_feature_adds_nothing():
    """Nor does noise of rounding on one that does not change."""
    embeddings = system(8)["embeddings"]
    expected, _, _ = speaker_plots.plane(embeddings)
    noise = np.random.default_rng(0).normal(size=(8, 1))
    more = np.hstack([embeddings, np.zeros((8, 1)), 7 + 1e-7 * noise])
    points, _, _ = speaker_plots.plane(more)
    np.testing.assert_allclose(points, expected, atol=1e-9)


def corners():
    """Makes up four tight groups of 12 at the corners of a long rectangle."""
    draw = np.random.default_rng(0)
    group = np.arange(48) % 4
    embeddings = 0.05 * draw.normal(size=(48, 6))
    embeddings[:, :3] += 3.0 * np.where(group < 2, -1, 1)[:, None]
    embeddings[:, 3:5] += np.where(group % 2, -1.0, 1)[:, None]
    return embeddings, group


def test_t_sne_keeps_groups():
    """Neighbours stay neighbours."""
    embeddings, group = corners()
    points, names, remark = speaker_plots.plane(embeddings)
    assert (names, remark) == (("t-SNE 1", "t-SNE 2"), "")
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    distances += np.where(np.eye(48), np.inf, 0)
    assert (group[distances.argmin(axis=1)] == group).all()


def test_t_sne_does_not_see_the_scale_of_a_feature():
    """Powers of two change no digit; nor does the state of the generator."""
    embeddings, _ = corners()
    points, _, _ = speaker_plots.plane(embeddings[:24])
    np.random.seed(5)
    scaled = embeddings[:24] * [1, 2, 1024, 0.5, 1 / 64, 4096]
    np.testing.assert_array_equal(speaker_plots.plane(scaled)[0], points)


def test_t_sne_of_equal_points():
    """Ten groups of the same points are ten places."""
    embeddings = np.random.default_rng(0).normal(size=(10, 3))
    points, _, remark = speaker_plots.plane(np.repeat(embeddings, 9, axis=0))
    assert remark == ""
    assert np.isfinite(points).all()
    groups = points.reshape(10, 9, 2)
    centres = groups.mean(axis=1)
    gaps = np.linalg.norm(centres[:, None] - centres, axis=2)
    inside = np.abs(groups - centres[:, None]).max()
    assert inside < 0.1 * gaps[gaps > 0].min()


@pytest.mark.parametrize(("n", "perplexity"), [(10, 3), (91, 30), (300, 30)])
def test_how_t_sne_is_called(monkeypatch, n, perplexity):
    """A small start, neighbours fewer than points, one thread."""
    calls = []

    class Recorder:
        """Stands for scikit-learn's."""

        def __init__(self, **settings):
            """Keeps the settings."""
            calls.append(settings)

        def fit_transform(self, features):
            """Notes the threads."""
            calls[-1]["threads"] = {
                pool["num_threads"] for pool in threadpool_info()
            }
            return features[:, :2]

    monkeypatch.setattr(speaker_plots, "TSNE", Recorder)
    embeddings = system(n)["embeddings"]
    with threadpool_limits(2):
        speaker_plots.plane(embeddings)
    (call,) = calls
    assert call["threads"] == {1}
    assert call["perplexity"] == perplexity
    assert call["init"].std(axis=0)[0] == pytest.approx(1e-4)
    features = np.transpose([scores(row) for row in embeddings.T.tolist()])
    expected, _ = by_svd(features)
    np.testing.assert_allclose(
        call["init"] * expected[:, 0].std() / 1e-4, expected, atol=1e-5
    )


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
    monkeypatch.setattr(speaker_plots, "neighbour_map", None)
    path = tmp_path / "picture.png"
    path.write_text("old")
    with pytest.raises(ValueError, match=message):
        draw_systems(path, {"good": system(20), "one": system(9) | changes})
    with pytest.raises(ValueError, match="no system"):
        draw_systems(path, {})
    with pytest.raises(ValueError, match="at least two speakers, not 1"):
        draw_curves(path, curves(3), n_speakers=1)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["picture.png"]


def test_curves_by_hand(monkeypatch):
    """Each value in its panel, with the highest entropy and chance."""
    rows = curves(4)
    rows[1]["speaker_entropy"] = None
    rows[2]["speaker_accuracy"] = math.nan
    del rows[3]["speaker_accuracy"]
    figure = drawn(
        monkeypatch, lambda path: draw_curves(path, rows, [(3, "selected")])
    )
    upper, lower = figure.axes
    nan = math.nan
    for axes, expected, level, text in (
        (
            upper,
            [1, nan, 2 - 1 / 3, 1.75],
            2.0794415,
            "log(8) = 2.08,\nthe maximum",
        ),
        (lower, [80, 50, nan, nan], 12.5, "chance,\n1/8 = 12.5 %"),
    ):
        curve, line, mark = axes.lines
        assert list(curve.get_xdata()) == [1, 2, 3, 4]
        np.testing.assert_allclose(curve.get_ydata(), expected)
        assert to_hex(curve.get_color()) == BLUE
        assert list(line.get_ydata()) == pytest.approx([level, level])
        assert list(line.get_xdata()) == [0, 1]  # all of the width
        assert line.get_linestyle() == "--"
        assert list(mark.get_xdata()) == [3, 3]
        label = axes.texts[0]
        assert label.get_text() == text
        box = label.get_window_extent()
        height = axes.transData.transform([0, level])[1]
        assert (box.y0 + box.y1) / 2 == pytest.approx(height, abs=4)
        assert box.x0 > axes.get_window_extent().x1
        low, high = axes.get_ylim()
        assert low == 0
        assert high > max(level, np.nanmax(expected))
    names = [text.get_text() for text in (*upper.texts[1:], *lower.texts[1:])]
    assert names == ["selected", ""]
    assert upper.get_ylabel() == "entropy (nats)"
    assert lower.get_ylabel() == "accuracy (%)"
    assert upper.get_xlabel() == ""
    assert lower.get_xlabel() == "epoch (over the batches that train)"
    assert upper.get_xlim() == lower.get_xlim() == (0.5, 4.5)
    assert figure._suptitle.get_text() == "MEnAN"


def test_the_level_of_other_numbers_of_speakers(monkeypatch):
    """The texts go with them, and the axes hold line and curve."""
    figure = drawn(
        monkeypatch,
        lambda path: draw_curves(
            path,
            [{"epoch": 1, "speaker_entropy": 0, "speaker_accuracy": 1}],
            n_speakers=3,
        ),
    )
    upper, lower = figure.axes
    assert upper.texts[0].get_text() == "log(3) = 1.10,\nthe maximum"
    assert lower.texts[0].get_text() == "chance,\n1/3 = 33.3 %"
    assert 1.15 < upper.get_ylim()[1] < 1.3
    assert 100 < lower.get_ylim()[1] < 110
    # A classifier of nothing but errors does not hide chance.
    figure = drawn(
        monkeypatch,
        lambda path: draw_curves(
            path, [{"epoch": 1, "speaker_accuracy": 0}], n_speakers=50
        ),
    )
    assert 2 < figure.axes[1].get_ylim()[1] < 3


def test_one_epoch_is_seen(monkeypatch):
    """As a marker, inside the axes; so are marks at other epochs."""
    figure = drawn(monkeypatch, PICTURES["one epoch"])
    for axes in figure.axes:
        curve = axes.lines[0]
        assert (curve.get_marker(), curve.get_markevery()) == ("o", None)
        assert axes.get_xlim() == (0.5, 1.5)
    figure = drawn(
        monkeypatch,
        lambda path: draw_curves(path, curves(4), iter([(7, "end")])),
    )
    assert [len(axes.lines) for axes in figure.axes] == [3, 3]
    assert figure.axes[0].get_xlim() == (0.5, 7.5)


def test_a_long_run_has_markers_only_between_gaps(monkeypatch):
    """Values every fifth epoch are seen although no line joins them."""
    rows = curves(300)
    for row in rows:
        if row["epoch"] % 5:
            row["speaker_accuracy"] = None
    figure = drawn(monkeypatch, lambda path: draw_curves(path, rows))
    entropy, accuracy = (axes.lines[0] for axes in figure.axes)
    assert entropy.get_markevery() == []
    assert accuracy.get_markevery() == list(range(4, 300, 5))
    figure = drawn(monkeypatch, PICTURES["curves"])
    assert figure.axes[0].lines[0].get_markevery() is None
    assert figure.axes[0].lines[0].get_linewidth() > entropy.get_linewidth()


def test_no_value_is_said(monkeypatch):
    """In the panel that lacks them, and only there."""
    without = {"speaker_accuracy": [1], "speaker_entropy": [0]}
    for key, panels in without.items():
        figure = drawn(
            monkeypatch,
            lambda path, key=key: draw_curves(path, curves(5, key)),
        )
        assert [
            place
            for place, axes in enumerate(figure.axes)
            if "no values" in [text.get_text() for text in axes.texts]
        ] == panels
        assert [len(axes.lines) for axes in figure.axes] == [
            1 if place in panels else 2 for place in (0, 1)
        ]
        for axes in figure.axes:
            assert axes.get_xlim() == (0.5, 5.5)
