"""The report of a model on other speech: speakers and genders by themselves."""

import json

import pytest
import torch

from speechbrain_ser.evaluation.other_speech import (
    SHOWN,
    Answers,
    OtherSpeechReport,
    grouped,
)
from speechbrain_ser.scores import classification_metrics
from tests.evaluation.test_trust import part
from tests.test_brain import LABELS


def report_of(tmp_path, predictions, **more):
    """A report that was written, and what it says."""
    answers = Answers(LABELS, "cpu", 1.25)
    answers.datasets = {"test": predictions}
    report = OtherSpeechReport(answers, str(tmp_path), **more)
    report.write({}, "model on speech")
    return report, json.loads((tmp_path / "metrics.json").read_text())


def right_of(predictions, speaker):
    """The metrics of one speaker, put together here."""
    held = [
        (p["entry"]["emotion"], LABELS[int(p["posterior"].argmax())])
        for p in predictions.values()
        if p["entry"]["speaker"] == speaker
    ]
    return classification_metrics(*zip(*held), LABELS)


def test_speakers_the_worst_first(tmp_path):
    """Each by himself; a gender that is not one is left open."""
    predictions = part(60, speakers="ABC")
    for i, prediction in enumerate(predictions.values()):
        entry = prediction["entry"]
        entry["gender"] = {"A": "F", "B": "M", "C": "FM"[i % 2]}[
            entry["speaker"]
        ]
    report, metrics = report_of(tmp_path, predictions)
    rows = report.speaker_rows(predictions)
    values = [row["UA"] for row in rows]
    assert values == sorted(values) and len(set(values)) > 1
    for row in rows:
        own = right_of(predictions, row["speaker"])
        assert row["UA"] == pytest.approx(own["UA"], abs=1e-6)
        assert row["n"] == own["n"] == 20
    genders = {row["speaker"]: row["gender"] for row in rows}
    assert genders == {"A": "F", "B": "M", "C": None}
    found = metrics["metrics"]["test"]["genders"]
    assert {g: s["n"] for g, s in found.items()} == {"F": 30, "M": 30}
    assert metrics["wall_seconds"] == 1.2 and metrics["selected_epoch"] is None
    assert "sure" not in metrics


def test_nobody_is_known(tmp_path, capsys):
    """No speakers, no genders: nothing is said of them."""
    predictions = part(20, speakers=[None])
    report, metrics = report_of(tmp_path, predictions, min_confidence=1.0)
    assert not (tmp_path / "speakers.csv").exists()
    assert metrics["metrics"]["test"]["genders"] == {}
    assert metrics["sure"]["n"] == 0
    said = capsys.readouterr().out
    assert "epoch" not in said and "speakers" not in said
    assert "confidence of 1 or more: 0.0 % of the utterances\n" in said


def test_many_speakers_are_a_line(tmp_path, capsys):
    """A row of each stands in the table."""
    names = [f"s{i:02}" for i in range(SHOWN + 1)]
    predictions = part(5 * len(names), speakers=names)
    report_of(tmp_path, predictions)
    said = capsys.readouterr().out
    assert f"UA of the {SHOWN + 1} speakers: " in said and "s07" not in said
    rows = (tmp_path / "speakers.csv").read_text().splitlines()
    assert len(rows) == SHOWN + 2


def test_own_numbers_are_columns(tmp_path):
    """Of the method, rounded."""
    predictions = part(4)
    for prediction in predictions.values():
        prediction["arousal"] = torch.tensor(0.12345678)
    report_of(tmp_path, predictions, own=["arousal"])
    head, first, *_ = (tmp_path / "predictions.csv").read_text().splitlines()
    row = dict(zip(head.split(","), first.split(",")))
    assert row["arousal"] == "0.123457" and row["speaker"] == "A"


def test_groups():
    """What is not known, or has no label, is in none."""
    predictions = {
        key: {"entry": {"gender": gender, "emotion": word}}
        for key, gender, word in (
            ("a", "M", "ang"),
            ("b", "F", "sad"),
            ("c", None, "sad"),
            ("d", "F", None),
        )
    }
    found = {
        g: list(held) for g, held in grouped(predictions, "gender").items()
    }
    assert list(found.items()) == [("F", ["b"]), ("M", ["a"])]
