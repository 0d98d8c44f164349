"""What is said and drawn of GMP-ATL's clusters and pseudo-labels."""

import csv
import json
import os

import pytest
import torch

from speechbrain_ser.data.pseudo_labelling import make_pseudo_labels
from speechbrain_ser.data.pseudo_labels import PseudoLabels
from speechbrain_ser.evaluation import gmp_atl
from speechbrain_ser.evaluation.gmp_atl import (
    GMPATLReport,
    check_figure_utterances,
    information_of,
    most_frequent,
    one_a_class,
    tell,
)
from speechbrain_ser.utils.errors import InputError
from tests.test_brain import LABELS, make_brain

SIZES = [4, 8]


class Frames:
    """In place of a cache: numbers that go by the utterance's class."""

    def read(self, entry):
        """A few frames."""
        place = LABELS.index(entry["emotion"])
        noise = torch.arange(entry["frames"]) % 3 / 9
        return (place + noise).unsqueeze(1)

    def count(self, entry):
        """How many."""
        return entry["frames"]


@pytest.fixture
def parts(tones):
    """Eight tones train, two validate, two test."""
    for i, entry in enumerate(tones.values()):
        entry |= {"gender": "FM"[i // 2 % 2], "frames": 5 + i}
    keys = list(tones)
    cuts = {"train": keys[:8], "valid": keys[8:10], "test": keys[10:]}
    return {
        part: {key: tones[key] for key in held} for part, held in cuts.items()
    }


@pytest.fixture
def labels(parts, tmp_path):
    """Their pseudo-labels, of train and valid."""
    folder = tmp_path / "labels"
    labelled = parts["train"] | parts["valid"]
    make_pseudo_labels(
        folder, Frames(), parts["train"], labelled, SIZES, show=False
    )
    return PseudoLabels(folder)


def test_most_frequent_label():
    """By hand: 3 of 5 frames, 2 of 5."""
    held = {
        "a": torch.tensor([[1, 0], [1, 7]]),
        "b": torch.tensor([[0, 7], [1, 2], [3, 3]]),
        "not asked": torch.tensor([[2, 5]] * 9),
    }
    labels = type("Labels", (), {"sizes": SIZES, "read": held.get})
    assert most_frequent(labels, ["a", "b"]) == {4: 3 / 5, 8: 2 / 5}


def test_information_is_of_what_is_known(labels, parts):
    """Clusters that are the classes tell all of them; no gender, no word."""
    information, sizes = information_of(labels, parts["train"])
    assert information["emotion"][4]["nmi"] == pytest.approx(1)
    assert set(information) == {"emotion", "gender"}
    for size in SIZES:
        assert len(sizes[size]) == size
        assert sizes[size].sum() == sum(
            entry["frames"] for entry in parts["train"].values()
        )
    for entry in parts["train"].values():
        del entry["gender"]
    assert set(information_of(labels, parts["train"])[0]) == {"emotion"}


def test_figure_utterances_must_have_labels(parts):
    """Those of the test part have none."""
    for names in (None, [], "tone0", "tone0, tone9", ["tone8", "tone1"]):
        check_figure_utterances({"figure_utterances": names}, parts)
    check_figure_utterances({}, parts)
    for name in ("tone11", "nobody"):
        with pytest.raises(InputError) as caught:
            given = {"figure_utterances": f"tone0,{name}"}
            check_figure_utterances(given, parts)
        said = f"--figure_utterances {name}: it has no pseudo-labels"
        assert said in str(caught.value)


def test_one_a_class_is_about_four_seconds_long():
    """Of equally near ones the first in the alphabet."""
    part = {
        "a": {"emotion": "sad", "duration": 1.0},
        "c": {"emotion": "sad", "duration": 3.5},
        "b": {"emotion": "sad", "duration": 4.5},
        "d": {"emotion": "ang", "duration": 9.0},
    }
    assert one_a_class(part, ["ang", "sad"]) == ["d", "b"]


def report_of(folder, parts, labels, stages=None, **more):
    """A report, of a Brain that begins at stages with these labels."""
    brain, _ = make_brain(folder / "run")
    brain.set_parts(parts)
    brain.stages = {"labels": labels.folder, "retrained": "elsewhere"}
    return GMPATLReport(brain, str(folder / "run"), stages=stages, **more)


def held_by(folder):
    """All files below a folder."""
    return {
        os.path.join(home, name)
        for home, _, names in os.walk(folder)
        for name in names
    }


def test_an_id_is_no_path(parts, labels, tmp_path, monkeypatch):
    """An utterance that is called ../../up is drawn in the run's folder."""
    name = "../../up"
    part = {name: parts["train"].pop("tone0")} | parts["train"]
    parts["train"] = part
    folder = tmp_path / "other"
    make_pseudo_labels(folder, Frames(), part, part, SIZES, show=False)
    before = held_by(tmp_path)
    report = report_of(
        tmp_path, parts, PseudoLabels(folder), figure_utterances=[name]
    )
    report.draw_labels(PseudoLabels(folder))
    (drawn,) = held_by(tmp_path) - before
    assert os.path.dirname(drawn) == str(tmp_path / "run" / "figures")
    assert os.path.basename(drawn).startswith("labels_.._.._up")


def test_pictures_and_facts_of_the_stages_are_the_run_s(
    parts, labels, tmp_path, monkeypatch
):
    """Copied as they are; pseudo-labels of one a class are drawn."""
    stage = tmp_path / "stages" / "labels-1"
    (stage / "figures").mkdir(parents=True)
    (stage / "figures" / "clusters.png").write_bytes(b"a picture")
    found = {"labels": {"folder": str(stage), "layer": -3}}
    report = report_of(tmp_path, parts, labels, stages=found)
    assert report.findings() == {"stages": found}
    drawn = []
    monkeypatch.setattr(
        gmp_atl,
        "plot_labels_over_time",
        lambda path, *_: drawn.append(os.path.basename(path)),
    )
    monkeypatch.setattr(gmp_atl, "plot_curves", lambda *_: None)
    monkeypatch.setattr(report, "draw_embedding", lambda *_, **__: None)
    report.draw_figures({}, "title")
    figures = tmp_path / "run" / "figures"
    assert (figures / "clusters.png").read_bytes() == b"a picture"
    names = [f"labels_{key}.png" for key in one_a_class(parts["train"], LABELS)]
    assert drawn == names and len(names) == 4
    # a run without stages has neither
    plain = report_of(tmp_path, parts, labels)
    plain.brain.stages = {}
    assert plain.findings() == {}
    monkeypatch.setattr(plain, "draw_embedding", lambda *_, **__: None)
    drawn.clear()
    plain.draw_figures({}, "title")
    assert drawn == []


def test_stages_are_described_again_from_their_folders(
    labels, parts, tmp_path, monkeypatch
):
    """Without a model: the rows of curves.csv, the labels; the same facts."""
    folder = tmp_path / "retrained"
    folder.mkdir()
    rows = [
        {"epoch": 1, "train_masked_accuracy_4": 1 / 3},
        {"epoch": 2, "train_masked_accuracy_4": 0.5},
    ]
    with open(folder / "curves.csv", "w", encoding="utf-8") as file:
        rows[0]["valid_masked_accuracy_4"] = ""
        rows[1]["valid_masked_accuracy_4"] = 0.1
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    drawn = []
    monkeypatch.setattr(
        gmp_atl, "plot_masked_accuracy", lambda *args: drawn.append(args)
    )
    stages = {"labels": labels.folder}
    facts = gmp_atl.describe_retraining(None, str(folder), parts, stages)
    own = {p: most_frequent(labels, parts[p]) for p in ("train", "valid")}
    assert own["train"] != own["valid"]
    assert facts == {
        "most_frequent": own["valid"],
        "train_most_frequent": own["train"],
    }
    (path, read, sizes, frequent, _) = drawn[0]
    assert path == str(folder / "figures" / "masked_prediction.png")
    assert read[0] == {"epoch": 1, "train_masked_accuracy_4": 1 / 3}
    assert read[1]["valid_masked_accuracy_4"] == 0.1
    # each part beside its own most frequent label
    assert sizes == SIZES and frequent == own
    parts["valid"] = {}
    facts = gmp_atl.describe_retraining(None, str(folder), parts, stages)
    assert facts["most_frequent"] == most_frequent(labels, parts["train"])


def test_what_is_told_of_a_stage(capsys):
    """As it is read from its file, where numbers of clusters are words."""
    information = {"emotion": {"4": {"nmi": 0.25, "chance": 0.0312}}}
    found = {"information": information, "most_frequent": {"4": 0.5}}
    tell(json.loads(json.dumps({"layer": -3} | found)))
    assert capsys.readouterr().out == (
        "  normalised mutual information with the emotion, by clusters: "
        "4: 0.250 (chance 0.031)\n"
    )
    facts = {"epoch": 2, "most_frequent": {"4": 0.5}}
    facts |= {"masked_accuracy_4": 0.1, "train_masked_accuracy_4": 0.25}
    tell(facts)
    assert "4 clusters: 25.0 % of the masked" in capsys.readouterr().out
    tell(facts | {"valid_masked_accuracy_4": 0.75})
    assert "4 clusters: 75.0 % of the masked" in capsys.readouterr().out
    tell({"epoch": 3, "valid_UA": 0.5})
    said = "  epoch 3, valid: UA of the emotion 50.0 %\n"
    assert capsys.readouterr().out == said
