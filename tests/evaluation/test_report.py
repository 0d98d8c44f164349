"""What every run's report holds, and how it is written."""

import json
import logging

import numpy as np
import pytest

from speechbrain_ser.data.dataset import make_dataset
from speechbrain_ser.evaluation.probing import speaker_probe
from speechbrain_ser.evaluation.report import Report
from tests.test_brain import LABELS, make_brain


def test_metrics_are_written_last(tmp_path, tones, monkeypatch):
    """A run that dies while it draws has no metrics, so it is not done."""
    brain, counter = make_brain(tmp_path, epochs=1)
    data = make_dataset(tones, LABELS)
    brain.fit(counter, data, data)

    def die(*_, **__):
        """Stands in for SIGKILL."""
        raise KeyboardInterrupt

    report = Report(brain, str(tmp_path))
    monkeypatch.setattr(report, "draw_embedding", die)
    with pytest.raises(KeyboardInterrupt):
        report.write({}, "title", {"test": data})
    assert not (tmp_path / "metrics.json").exists()
    monkeypatch.undo()
    report.write({"run": "key"}, "title", {"test": data})
    assert json.loads((tmp_path / "metrics.json").read_text())["run"] == "key"


def test_report_holds_each_speaker_and_intervals(tmp_path, tones):
    """Their confusions sum to the whole; without speakers utterances count."""
    for i, entry in enumerate(tones.values()):
        entry["speaker"] = f"speaker{i % 3}"
    brain, counter = make_brain(tmp_path, epochs=1)
    data = make_dataset(tones, LABELS)
    brain.fit(counter, data, data)
    score = Report(brain, str(tmp_path)).full_score(brain.predict(data))
    summed = np.sum(list(score["speakers"].values()), axis=0)
    assert summed.tolist() == score["confusion"] and summed.sum() == 12
    assert sorted(score["speakers"]) == ["speaker0", "speaker1", "speaker2"]
    assert score["interval"]["over"] == "speakers"
    assert score["interval"]["units"] == 3
    low, high = score["interval"]["UA"]
    assert 0 <= low <= score["UA"] <= high <= 1
    for entry in tones.values():
        del entry["speaker"]
    data = make_dataset(tones, LABELS)
    score = Report(brain, str(tmp_path)).full_score(brain.predict(data))
    assert score["speakers"] is None
    assert score["interval"]["over"] == "utterances"
    assert score["interval"]["units"] == 12


def test_report_says_how_much_speaker_is_left(
    tmp_path, tones, monkeypatch, capsys
):
    """Of the training part alone; without its copies of another speed."""
    for i, entry in enumerate(tones.values()):
        entry["speaker"] = f"speaker{i % 3}"
    train = dict(list(tones.items())[:9])
    own = make_dataset(train, LABELS)
    for i, entry in enumerate(list(train.values())):
        train[f"copy{i}"] = entry | {"speed": 0.9}
    train["nobody"] = tones["tone0"] | {"speaker": None}
    parts = {
        "train": make_dataset(train, LABELS),
        "test": make_dataset(dict(list(tones.items())[9:]), LABELS),
    }
    monkeypatch.setattr(Report, "draw_figures", lambda *_: None)
    brain, _ = make_brain(tmp_path / "on")
    brain.checkpointer = None  # as it is
    report = Report(brain, str(tmp_path / "on"), speaker_probe=True)
    report.write({}, "title", parts)
    found = json.loads((tmp_path / "on" / "metrics.json").read_text())
    held = brain.predict(own).values()
    expected = speaker_probe(
        np.array([p["embedding"].tolist() for p in held], dtype=np.float32),
        [p["entry"]["speaker"] for p in held],
    )
    assert found["leakage"] == report.leakage == expected
    assert expected["utterances"] == 9 and expected["speakers"] == 3
    report.leakage |= {
        "accuracy": 0.4096,
        "nonlinear_accuracy": 0.5,
        "chance": 1,
    }
    capsys.readouterr()
    report.print_leakage()
    assert capsys.readouterr().out == (
        "a fresh probe names the speaker of 41.0 % of the training utterances "
        "(non-linear 50.0 %, chance 100.0 %, 3 speakers)\n"
    )
    brain, _ = make_brain(tmp_path / "off")
    brain.checkpointer = None  # as it is
    Report(brain, str(tmp_path / "off")).write({}, "title", parts)
    written = json.loads((tmp_path / "off" / "metrics.json").read_text())
    assert set(found) - set(written) == {"leakage"}
    assert "probe" not in capsys.readouterr().out


def test_leakage_is_there_for_figures(tmp_path, tones, monkeypatch, capsys):
    """And one line of it on the screen."""
    for i, entry in enumerate(tones.values()):
        entry["speaker"] = f"speaker{i % 2}"
    brain, _ = make_brain(tmp_path)
    brain.checkpointer = None  # as it is
    report = Report(brain, str(tmp_path), speaker_probe=True)
    drawn = []
    monkeypatch.setattr(
        report, "draw_figures", lambda *_: drawn.append(report.leakage)
    )
    report.probed_parts = ("train", "unlabelled")
    names = list(tones)
    parts = {
        part: make_dataset({key: tones[key] for key in keys}, LABELS)
        for part, keys in (
            ("train", names[:5]),
            ("unlabelled", names[5:9]),
            ("test", names[9:]),
        )
    }
    report.write({}, "title", parts)
    assert drawn == [report.leakage] and drawn[0]["utterances"] == 9
    assert capsys.readouterr().out.count("a fresh probe names") == 1


@pytest.mark.parametrize(
    ("speakers", "reason"),
    [
        ([None] * 12, "no training utterance names its speaker"),
        (["one"] * 12, "fewer than two speakers"),
        (["one"] * 11 + ["other"], "fewer than two speakers"),
    ],
)
def test_why_there_is_no_probe(
    speakers, reason, tmp_path, tones, monkeypatch, capsys, caplog
):
    """metrics.json says null, the log says why."""
    for entry, speaker in zip(tones.values(), speakers):
        entry["speaker"] = speaker
    monkeypatch.setattr(Report, "draw_figures", lambda *_: None)
    brain, _ = make_brain(tmp_path)
    brain.checkpointer = None  # as it is
    report = Report(brain, str(tmp_path), speaker_probe=True)
    with caplog.at_level(logging.INFO, logger="speechbrain_ser.evaluation"):
        report.write({}, "title", {"train": make_dataset(tones, LABELS)})
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert "leakage" in metrics and metrics["leakage"] is None
    (line,) = [r.message for r in caplog.records if "probe" in r.message]
    assert reason in line
    assert "a fresh probe" not in capsys.readouterr().out
