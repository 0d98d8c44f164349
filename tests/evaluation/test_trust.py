"""What a report says of posteriors: on whom the temperature was fitted."""

import json

import numpy as np
import pytest
import torch

from speechbrain_ser.data.dataset import make_dataset
from speechbrain_ser.data.domains import SOURCE, TARGET
from speechbrain_ser.evaluation.calibration import calibration
from speechbrain_ser.evaluation.dann import DANNReport
from speechbrain_ser.evaluation.report import Report, run_temperature
from speechbrain_ser.evaluation.trust import Trust, fitted_on, no_temperature
from speechbrain_ser.utils.temperature import fit_temperature, tempered
from tests.test_brain import LABELS, make_brain
from tests.utils.test_temperature import made


def part(n, seed=0, speakers="AB", sharpness=2.0, **more):
    """What a Brain predicts of a part."""
    posteriors, labels = made(n, sharpness=sharpness, seed=seed)
    return {
        f"u{i}": {
            "posterior": torch.tensor(posteriors[i]),
            "embedding": torch.zeros(2),
            "entry": {
                "emotion": LABELS[labels[i]],
                "speaker": speakers[i % len(speakers)],
            }
            | more,
        }
        for i in range(n)
    }


def test_it_is_fitted_on_the_valid_part_alone():
    """And measured on each part, as it is and tempered."""
    parts = {
        "train": part(20, 1, "CD"),
        "valid": part(40, 2, "AB"),
        "test": part(30, 3, "BE"),
    }
    posteriors, labels = made(40, sharpness=2.0, seed=2)
    temperature = fit_temperature(posteriors, labels)
    fitted = fitted_on("valid", parts, LABELS)
    assert fitted == {
        "temperature": temperature,
        "fitted_on": "valid",
        "n": 40,
        "speakers": 2,
        "speakers_who_train": 0,
        "speakers_who_test": 1,
    }
    facts = Trust(LABELS, parts, fitted).facts
    assert {"temperature", "fitted_on", "n"} < facts.keys()
    posteriors, labels = made(30, sharpness=2.0, seed=3)
    assert facts["parts"]["test"] == {
        "n": 30,
        "raw": calibration(posteriors, labels),
        "tempered": calibration(tempered(posteriors, temperature), labels),
    }
    assert json.dumps(facts)


def test_speakers_who_train_too_are_said():
    """It is no temperature of speakers that are new then."""
    parts = {"valid": part(40, 2, "AB"), "train": part(9, 1, "AC")}
    parts["test"] = part(9, 4, "D")
    fitted = fitted_on("valid", parts, LABELS)
    assert fitted["speakers_who_train"] == 1
    everybody = parts | {"unlabelled": part(9, 5, "B")}
    assert fitted_on("valid", everybody, LABELS)["speakers_who_train"] == 2
    assert (
        "1 of its 2 speakers train too" in Trust(LABELS, parts, fitted).line()
    )


def test_speakers_who_are_not_known_are_said():
    """Nor is one of them counted."""
    parts = {"valid": part(40, 2, ["A", None]), "train": part(4)}
    found = fitted_on("valid", parts, LABELS)
    assert found["speakers"] is None and "speakers_who_train" not in found


def test_without_a_valid_part_the_reason_is_said():
    """No valid part; one without labels; one that says nothing."""
    found = fitted_on("valid", {"test": part(9)}, LABELS)
    assert found["temperature"] is None and "no valid part" in found["reason"]
    bare = part(9)
    for prediction in bare.values():
        prediction["entry"]["emotion"] = None
    found = fitted_on("valid", {"valid": bare}, LABELS)
    assert "with labels" in found["reason"]
    right = part(9)
    for prediction in right.values():
        word = LABELS[int(prediction["posterior"].argmax())]
        prediction["entry"]["emotion"] = word
    found = fitted_on("valid", {"valid": right}, LABELS)
    assert found["temperature"] is None and found["n"] == 9
    trust = Trust(LABELS, {"test": part(9)}, found)
    assert trust.facts["parts"]["test"]["tempered"] is None
    assert "no temperature: of the valid part all" in trust.line()
    assert Trust(LABELS, {"valid": part(3)}, found).line() is None
    assert Trust(LABELS, {"test": bare}, found).line() is None


def test_the_line_has_both_errors():
    """In per cent; a note stands behind it."""
    fitted = {"temperature": 1.5, "fitted_on": "valid", "n": 7, "note": "few"}
    trust = Trust(LABELS, {"test": part(30, 3)}, fitted)
    raw, cooled = (trust.facts["parts"]["test"][k] for k in ("raw", "tempered"))
    assert trust.line() == (
        f"test, calibration error {100 * raw['ECE']:.1f} %, with temperature "
        f"1.50 {100 * cooled['ECE']:.1f} % (fitted on valid, 7 utterances); few"
    )


def written(tmp_path, tones, parts, capsys, report=Report):
    """What a report of a Brain that learnt nothing writes and prints."""
    brain, _ = make_brain(tmp_path)
    brain.checkpointer = None  # as it is
    keys = list(tones)
    parts = {
        name: make_dataset({k: tones[k] for k in keys[a:b]}, LABELS)
        for name, (a, b) in parts.items()
    }
    report(brain, str(tmp_path)).write({}, "title", parts)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    return metrics, capsys.readouterr().out, brain, parts


def test_every_report_has_it(tmp_path, tones, capsys):
    """In metrics.json, on the screen and as a picture."""
    for i, entry in enumerate(tones.values()):
        entry["speaker"] = f"s{i % 3}"
    metrics, out, brain, parts = written(
        *(tmp_path, tones, {"valid": (0, 8), "test": (8, 12)}, capsys)
    )
    found = metrics["calibration"]
    held = brain.predict(parts["valid"]).values()
    posteriors = np.stack([p["posterior"].numpy() for p in held])
    labels = [LABELS.index(p["entry"]["emotion"]) for p in held]
    assert found["temperature"] == pytest.approx(
        fit_temperature(posteriors, labels), rel=1e-4
    )
    assert found["fitted_on"] == "valid" and found["n"] == 8
    assert found["parts"].keys() == {"valid", "test"}
    assert out.count("test, calibration error") == 1
    assert (tmp_path / "figures" / "reliability.png").exists()
    known = run_temperature(str(tmp_path))
    assert known["temperature"] == found["temperature"]
    assert "parts" not in known


def test_no_test_part_no_picture(tmp_path, tones, capsys):
    """Nor a line."""
    metrics, out, *_ = written(tmp_path, tones, {"valid": (0, 8)}, capsys)
    assert metrics["calibration"]["parts"].keys() == {"valid"}
    assert "calibration" not in out
    assert not (tmp_path / "figures" / "reliability.png").exists()


def test_predictions_stay_as_they_are(tmp_path, tones, capsys):
    """The columns are the model's, not tempered."""
    *_, brain, parts = written(
        *(tmp_path, tones, {"valid": (0, 8), "test": (8, 12)}, capsys)
    )
    rows = (tmp_path / "predictions.csv").read_text().splitlines()
    first = next(iter(brain.predict(parts["valid"]).values()))
    shown = [float(x) for x in rows[1].split(",")[-4:]]
    assert shown == pytest.approx(first["posterior"].tolist(), abs=1e-6)


@pytest.mark.parametrize(
    ("system", "domain", "heard"),
    [("dann", TARGET, True), ("base", TARGET, False), ("dann", SOURCE, False)],
)
def test_of_which_language_it_is(system, domain, heard, tmp_path):
    """The target's speech trains DANN, without its labels."""
    brain, _ = make_brain(tmp_path)
    brain.system = system
    report = DANNReport(brain, str(tmp_path))
    found = report.fit_temperature({"valid": part(40, domain=domain)})
    assert found["language"] == ("source", "target")[domain]
    assert found["heard_in_training"] is heard and found["temperature"]
    said = Trust(LABELS, {"test": part(9)}, found).line()
    assert said.endswith("trained too, without its labels") is heard
    assert "language" not in report.fit_temperature({})


def test_a_broken_report_has_none(tmp_path):
    """Nor one of an earlier version."""
    for text in ("{", "[]", '{"calibration": null}', "{}"):
        (tmp_path / "metrics.json").write_text(text)
        assert run_temperature(str(tmp_path)) == no_temperature(
            "the run has no report with one"
        )
