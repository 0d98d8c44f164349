"""DANN's report: Figures 2 and 3, and the row of `base` beside them."""

import functools

import numpy as np
import pytest
import torch

from speechbrain_ser.data.dataset import entries
from speechbrain_ser.evaluation import dann
from speechbrain_ser.evaluation.probing import language_probe
from speechbrain_ser.utils.errors import InputError
from tests.methods.dann_brain import LABELS, build_brain, fit


@pytest.fixture
def build(tmp_path):
    """A function of settings that builds the Brain and its datasets."""
    return functools.partial(build_brain, tmp_path)


@pytest.fixture
def drawn(monkeypatch):
    """What the plots are given."""
    held = {}
    for name in ("plot_languages", "plot_adversary"):
        monkeypatch.setattr(
            dann,
            name,
            lambda path, *args, name=name, **kwargs: held.update(
                {name: (path, args, kwargs)}
            ),
        )
    return held


def report_of(brain):
    """The report as the recipe makes it, of the second epoch."""
    report = brain.built["report"](brain, brain.output_folder)
    report.epoch = 2
    return report


def run_to_the_figures(build, folder, **settings):
    """Trains and draws; returns report and predictions."""
    folder.mkdir(exist_ok=True)
    brain = build(output_folder=str(folder), **settings)
    fit(brain)
    report = report_of(brain)
    predictions = {
        part: brain.predict(brain.datasets[part]) for part in ("train", "test")
    }
    next(iter(predictions["test"].values()))["entry"]["emotion"] = None
    report.draw_figures(predictions, "a title")
    return report, predictions


def test_figure_2_has_the_row_of_base(build, drawn, tmp_path):
    """As base wrote it, above that of dann; unlabelled ones are None again."""
    run_to_the_figures(build, tmp_path / "base", system="base")
    _, (rows, *_), _ = drawn.pop("plot_languages")
    assert list(rows) == ["base (bn1)"] and "plot_adversary" not in drawn
    expected = rows["base (bn1)"]
    report, predictions = run_to_the_figures(
        build,
        tmp_path / "dann",
        compared_folder=str(tmp_path / "base"),
        batch_norm="bn2",
    )
    path, (rows, names, labels, title), _ = drawn["plot_languages"]
    assert path == str(tmp_path / "dann" / "figures" / "languages.png")
    assert list(rows) == ["base (bn1)", "dann (bn2)"]
    assert names == ("source", "target") and labels == LABELS
    assert title == "a title"
    for key, value in expected.items():
        if key == "embeddings":
            np.testing.assert_array_equal(rows["base (bn1)"][key], value)
        else:
            assert rows["base (bn1)"][key] == value
    own = rows["dann (bn2)"]
    held = [*predictions["train"].items(), *predictions["test"].items()]
    assert own["language"] == [int(key[0] == "t") for key, _ in held]
    assert own["emotion"] == [p["entry"]["emotion"] for _, p in held]
    assert own["emotion"].count(None) == 1
    vectors = torch.stack([p["embedding"] for _, p in held]).numpy()
    np.testing.assert_array_equal(own["embeddings"], vectors)
    told = language_probe(vectors, np.array(own["language"]))
    assert f"{100 * told:.1f} % UA" in own["note"]
    assert report.findings() == {"language_probe_UA": told}
    _, (history, title), more = drawn["plot_adversary"]
    assert history == report.brain.history.rows and title == "a title"
    assert more == {"marks": [(2, "selected")]}


def test_figure_2_without_base(build, drawn, tmp_path):
    """dann alone, and no error; mono has one language, and draws nothing."""
    missing = str(tmp_path / "nothing")
    report, predictions = run_to_the_figures(
        build, tmp_path / "dann", compared_folder=missing
    )
    assert list(drawn.pop("plot_languages")[1][0]) == ["dann (bn1)"]
    assert report.compared_row() == []
    drawn.clear()
    report.brain.system = "mono"
    report.draw_figures(predictions, "a title")
    assert not drawn


def test_figure_2_of_a_target_without_labels(build, drawn, tmp_path):
    """All of it is reported and shown, in no class; the probe may have none."""

    def hide(parts):
        """As if the source chose the epoch and nothing tested."""
        chosen = sorted(parts["train"])[:4]
        parts["valid"] = {k: parts["train"].pop(k) for k in chosen}
        parts["test"] = {}

    brain = build(hide, batch_norm="bn3")
    assert set(brain.datasets) == {"train", "valid", "target"}
    assert "target" not in build().datasets

    def hide_some(parts):
        """Three of those that would test have no label."""
        for key in list(parts["test"])[:3]:
            hidden.append(parts["test"].pop(key)["wav"])

    hidden = []
    some = build(hide_some).datasets
    assert hidden == [e["wav"] for e in entries(some["target"])]
    fit(brain)
    report = report_of(brain)
    predictions = {
        part: brain.predict(brain.datasets[part])
        for part in ("train", "target")
    }
    report.draw_figures(predictions, "a title")
    row = drawn["plot_languages"][1][0]["dann (bn3)"]
    assert row["language"] == [0] * 16 + [1] * 17
    assert row["emotion"][16:] == [None] * 17
    assert None not in row["emotion"][:16]
    assert report.language_left is not None
    one = dict(list(predictions["target"].items())[:1])
    row = report.figure_2_row({"train": predictions["train"], "target": one})
    assert str(row["note"]) == "" and report.findings() == {
        "language_probe_UA": None
    }


def damage(whole, how):
    """Bytes that are no file of arrays any more."""
    return {
        "empty": b"",
        "text": b"these are no arrays",
        "cut": whole[: len(whole) // 2],
        "one byte short": whole[:-1],
        "npy": b"\x93NUMPY" + whole[:50],
    }[how]


@pytest.mark.parametrize(
    "how",
    ["empty", "text", "cut", "one byte short", "npy", "pickle", "foreign"],
)
def test_unreadable_rows_are_refused(build, tmp_path, how):
    """In a sentence that names the file."""
    path = tmp_path / "languages.npz"
    if how == "pickle":
        np.savez(path, embeddings=np.array([{}], dtype=object))
    else:
        np.savez(path, embeddings=np.zeros((3, 2)))
        if how != "foreign":
            path.write_bytes(damage(path.read_bytes(), how))
    report = report_of(build(compared_folder=str(tmp_path)))
    with pytest.raises(
        InputError, match=f"{path} can't be read.*--system base"
    ):
        report.compared_row()
