"""MEnAN's report: Figure 2, the best epoch on the valid part, SC."""

import collections
import functools
import os
import shutil

import numpy as np
import pytest

from speechbrain_ser.data.dataset import entries
from speechbrain_ser.evaluation import menan
from speechbrain_ser.evaluation.menan import MEnANReport
from speechbrain_ser.methods.menan import SYSTEMS
from speechbrain_ser.scores import SHARES
from speechbrain_ser.utils.errors import InputError
from tests.methods.menan_brain import (
    LABELS,
    TRAINING,
    build_brain,
    corpus,
    fit,
    stir,
)


@pytest.fixture
def build(tmp_path):
    """A function of settings that builds the Brain and its datasets."""
    return functools.partial(build_brain, tmp_path)


def reported(brain, compared_folder=None):
    """The report of a Brain, before anything is written."""
    if compared_folder is not None:
        compared_folder = str(compared_folder)
    return MEnANReport(brain, brain.output_folder, compared_folder)


def test_what_choosing_the_epoch_would_give(build):
    """Where the last is taken: the first best one, and how it does unseen."""
    brain = build(system="emotion_only", number_of_epochs=4)
    held, original = [], brain.on_epoch_end
    words = [e["emotion"] for e in entries(brain.datasets["test"])]
    often = sorted(range(4), key=lambda i: words.count(brain.labels[i]))
    order = [often[0], often[3], often[0], often[3]]
    brain.validation_scores = lambda dataset: {
        "UA": [0.2, 0.6, 0.6, 0.5][brain.epoch - 1],
        "WA": brain.epoch / 10,
        "macro_F1": brain.epoch / 20,
        "weighted_F1": brain.epoch / 30,
    }

    def on_epoch_end(epoch):
        """Evaluates too, and moves the classifier so that it matters."""
        bias = brain.modules.classifier[-1].bias
        bias.data.zero_()[order[epoch - 1]] = 100
        held.append(brain.score(brain.predict(brain.datasets["test"])))
        original(epoch)

    brain.on_epoch_end = on_epoch_end
    fit(brain)
    assert held[0]["WA"] != held[1]["WA"]
    scores = {
        "valid": {
            "UA": 0.6,
            "WA": 0.2,
            "macro_F1": 0.1,
            "weighted_F1": 2 / 30,
        },
        "test": {name: held[1][name] for name in SHARES},
    }
    found = reported(brain).findings()["best_epoch"]
    (one,) = found.pop("directions").items()
    assert one == ("test", {"epoch": 2, "chosen_by": "valid"} | scores)
    assert found == scores
    brain = build(system="emotion_only", model_selection="best")
    fit(brain)
    assert reported(brain).findings() == {"best_epoch": None}


def test_each_speaker_would_choose_for_the_other(build):
    """Without a valid part: by hand from each epoch's predictions."""
    brain = build(system="emotion_only", number_of_epochs=5)
    both = {**corpus("T", 9), **corpus("U", 8)}
    brain.set_parts({"train": TRAINING, "test": both})
    assert "valid" not in brain.datasets
    held, original = [], brain.on_epoch_end
    order = [3, 1, 0, 2, 1]

    def on_epoch_end(epoch):
        """Lets another class be named in each epoch, and evaluates too."""
        bias = brain.modules.classifier[-1].bias
        bias.data.zero_()[order[epoch - 1]] = 100
        found = brain.predict(brain.datasets["test"])
        own = {
            who: {k: p for k, p in found.items() if k[0] == who} for who in "TU"
        }
        held.append({who: brain.score(p) for who, p in own.items()})
        held[-1]["both"] = brain.score(found)
        original(epoch)

    brain.on_epoch_end = on_epoch_end
    brain.fit(brain.built["epoch_counter"], brain.train_set)
    best = reported(brain).findings()["best_epoch"]
    assert list(best["directions"]) == ["T", "U"]
    for tested, chooser in (("T", "U"), ("U", "T")):
        found = best["directions"][tested]
        shares = [scores[chooser]["UA"] for scores in held]
        place = shares.index(max(shares))  # the first of them
        assert found["epoch"] == place + 1 and found["chosen_by"] == chooser
        for name in SHARES:
            assert found["valid"][name] == held[place][chooser][name]
            assert found["test"][name] == held[place][tested][name]
    for part in ("valid", "test"):
        for name in SHARES:
            two = [own[part][name] for own in best["directions"].values()]
            assert best[part][name] == pytest.approx(sum(two) / 2)
    for row, scores in zip(brain.history.rows, held):
        assert row["test_UA"] == scores["both"]["UA"]
        assert "valid_UA" not in row
    # one speaker alone has nobody who chooses
    brain = build(system="emotion_only")
    brain.set_parts({"train": TRAINING, "test": corpus("T", 9)})
    brain.fit(brain.built["epoch_counter"], brain.train_set)
    assert reported(brain).findings() == {"best_epoch": None}


# Figures


@pytest.fixture
def drawn(monkeypatch):
    """What the figures are given, by name of the function."""
    found = collections.defaultdict(list)
    for module, name in (
        (menan, "plot_curves"),
        (menan, "plot_speakers"),
        (menan, "plot_speaker_entropy"),
    ):
        monkeypatch.setattr(
            module,
            name,
            lambda path, *args, _name=name, **kwargs: found[_name].append(
                (os.path.basename(path), args, kwargs)
            ),
        )
    return found


def draw(brain, leakage=None, compared_folder=None):
    """Draws the figures of a Brain."""
    report = reported(brain, compared_folder)
    report.epoch, report.leakage = 2, leakage
    predictions = {
        name: brain.predict(data) for name, data in brain.datasets.items()
    }
    report.draw_figures(predictions, "a title")
    return predictions


def test_curves_and_figure_2_without_a_valid_part(build, drawn):
    """The test part's, said to choose nothing; both speakers are of it."""
    brain = build()
    both = {**corpus("T", 9), **corpus("U", 8)}
    brain.set_parts({"train": TRAINING, "test": both})
    draw(brain)
    ((_, (_, panels, _), _),) = drawn["plot_curves"]
    assert panels[1] == (
        "test (chooses nothing)",
        {"test_WA": "WA", "test_UA": "UA"},
    )
    row = drawn["plot_speakers"][0][1][0]["menan"]
    assert row["speaker"] == ["T"] * 9 + ["U"] * 8


@pytest.mark.parametrize("system", SYSTEMS)
def test_figure_2_shows_unseen_speakers(build, drawn, system):
    """Valid and test, not who trains; then SC, if there is one."""
    brain = build(system=system)
    brain.history.rows = [{"epoch": 1, "speaker_entropy": 1.0}]
    found = {"accuracy": 0.625, "chance": 0.2}
    predictions = draw(brain, found)
    ((name, (rows, panels, title), _),) = drawn["plot_curves"]
    assert (name, title) == ("curves.png", "a title")
    assert rows is brain.history.rows
    assert [list(curves) for _, curves in panels] == [
        ["emotion_loss", "valid_loss"],
        ["valid_WA", "valid_UA"],
    ]
    ((name, (rows, labels, title), _),) = drawn["plot_speakers"]
    assert (name, labels) == ("speakers.png", LABELS)
    assert title == "a title: speakers that do not train"
    ((key, row),) = rows.items()
    assert key == system
    assert row["speaker"] == ["V"] * 7 + ["T"] * 9
    both = {**corpus("V", 7), **corpus("T", 9)}
    assert row["emotion"] == [entry["emotion"] for entry in both.values()]
    for i, utterance in enumerate(both):
        part = "valid" if utterance[0] == "V" else "test"
        expected = predictions[part][utterance]["embedding"].numpy()
        assert np.array_equal(row["embeddings"][i], expected)
    assert "62.5 %" in row["note"] and "20.0 %" in row["note"]
    if system == "emotion_only":
        assert not drawn["plot_speaker_entropy"]
        return
    ((name, (held, n, title), kwargs),) = drawn["plot_speaker_entropy"]
    assert (name, n, title) == ("adversary.png", 5, "a title")
    assert held == brain.history.rows
    assert kwargs == {"marks": [(2, "selected")]}


def test_figure_2_without_words(build, drawn):
    """No probe: no note. A speaker without a name: none is made up."""
    brain = build()
    entry = brain.datasets["valid"].data["V00"]["entry"]
    gone = {k: v for k, v in entry.items() if k != "speaker"}
    brain.datasets["valid"].data["V00"]["entry"] = gone
    draw(brain)
    row = drawn["plot_speakers"][0][1][0]["menan"]
    assert row["note"] == ""
    assert row["speaker"][:2] == ["", "V"]


def test_another_run_is_drawn_above(build, drawn, tmp_path, caplog):
    """If it is there, is another, and can be drawn; else the log tells."""
    other, mine = tmp_path / "other", tmp_path / "mine"
    brain = build(system="multitask", output_folder=str(other))
    stir(brain)
    draw(brain)

    def rows(compared_folder):
        """What is drawn above it."""
        return reported(brain, compared_folder).compared_row()

    brain = build(output_folder=str(mine))
    assert rows(None) == []
    with caplog.at_level("INFO", logger="speechbrain_ser.evaluation.menan"):
        assert "alone" not in caplog.text
        # its own folder, by whatever name
        assert rows(other / ".." / "mine") == []
        assert "alone" not in caplog.text
        assert rows(tmp_path / "nowhere") == []
        assert "menan alone" in caplog.text and "nowhere" in caplog.text
    drawn.clear()
    draw(brain, compared_folder=other)
    found = drawn["plot_speakers"][0][1][0]
    assert list(found) == ["multitask", "menan"]
    one, two = found.values()
    assert not np.array_equal(one["embeddings"], two["embeddings"])
    for name in ("speaker", "emotion", "note"):
        assert one[name] == two[name]
    shutil.copytree(mine, tmp_path / "same")
    assert [str(row["name"]) for row in rows(tmp_path / "same")] == [
        "menan (compared)"
    ]
    with np.load(mine / menan.ROW) as file:
        row = dict(file)
    path = other / menan.ROW
    whole = path.read_bytes()

    def refused():
        """One sentence that names the file."""
        with pytest.raises(InputError, match="--compared_folder") as error:
            rows(other)
        said = str(error.value)
        assert said.startswith(f"{path} can't be read") and "\n" not in said

    for damaged in (b"no figure", whole[:300], b"", whole[:-30]):
        path.write_bytes(damaged)
        refused()
    for spoilt in (
        {"speaker": row["speaker"][1:]},
        {"emotion": np.array(["joy"] * 16)},
        {"embeddings": row["embeddings"] * np.nan},
        {"note": np.array({}, dtype=object)},
    ):
        with open(path, "wb") as file:
            np.savez(file, **row | spoilt)
        refused()
    with open(path, "wb") as file:
        np.savez(file, embeddings=row["embeddings"])
    refused()
