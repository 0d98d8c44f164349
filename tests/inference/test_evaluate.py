"""ser-evaluate: a made-up model on tones, from the words typed to the report."""

import csv
import json
import pathlib

import numpy as np
import pytest
import soundfile

from speechbrain_ser.inference import evaluate as command
from speechbrain_ser.inference.answers import answers_of, speech_of
from speechbrain_ser.inference.recognizer import EmotionRecognizer
from speechbrain_ser.scores import classification_metrics
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.temperature import tempered
from tests import pictures
from tests.inference.fake import Fake

LOUD = {"low": 0.05, "high": 0.4}


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch):
    """What pictures show is for tests/figures."""
    pictures.make_small(monkeypatch.setattr)


@pytest.fixture
def model(monkeypatch, tmp_path):
    """A made-up model, and the folder that it is taken from."""
    fake = Fake()
    more = {"corpus": "EMO-DB", "protocol": "emodb-loso@1"}
    fake.card = fake.card | more

    def from_folder(folder, encoder_folder=None, device=None):
        """Stands in for `EmotionRecognizer.from_folder`."""
        fake.asked_for = folder, encoder_folder, device
        return fake

    monkeypatch.setattr(EmotionRecognizer, "from_folder", from_folder)
    return fake


@pytest.fixture
def speech(tmp_path):
    """Two speakers, stereo; a file that holds two utterances; a table."""
    rng = np.random.default_rng(0)
    rows = ["file,emotion,speaker,gender,start,stop"]
    for i in range(8):
        word = ("quiet", "high", "odd")[i % 3]
        size = LOUD["low" if word == "quiet" else "high"]
        wave = size * rng.uniform(-1, 1, size=(8000 + 800 * i, 2))
        soundfile.write(tmp_path / f"a {i}.wav", wave, 16000, "FLOAT")
        rows.append(f"a {i}.wav,{word},{'XY'[i % 2]},{'FM'[i % 2]},,")
    wave = rng.uniform(-1, 1, size=48000)
    wave *= np.repeat([LOUD["low"], LOUD["high"], 0.0], 16000)
    soundfile.write(tmp_path / "long.wav", wave, 16000, "FLOAT")
    rows += ["long.wav,quiet,X,F,0,1", "long.wav,high,Y,M,1,2"]
    rows += ["long.wav,high,Y,M,2,3"]  # silent
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def run(speech, out, *words):
    """Runs the command; returns metrics, predictions and speakers."""
    more = ["--manifest", str(speech), "--output_folder", str(out)]
    command.main(["model", *more, "--map", "quiet=low", *words])
    return (
        json.loads((out / "metrics.json").read_text()),
        rows_of(out / "predictions.csv"),
        rows_of(out / "speakers.csv"),
    )


def rows_of(path):
    """The rows of a table."""
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_report(model, speech, tmp_path, capsys):
    """Scores are of its own predictions; what is left out is said."""
    out = tmp_path / "out"
    _, rows, _ = run(speech, tmp_path / "before")
    least = (
        sum(sorted(float(row["tempered_confidence"]) for row in rows)[3:5]) / 2
    )
    capsys.readouterr()
    metrics, rows, speakers = run(speech, out, "--min_confidence", str(least))
    said = capsys.readouterr().out
    assert len(rows) == 8 and metrics["sizes"] == {"test": 8}
    score = metrics["metrics"]["test"]
    expected = classification_metrics(
        [row["label"] for row in rows],
        [row["prediction"] for row in rows],
        model.labels,
    )
    assert {name: score[name] for name in expected} == expected
    assert score["recall"]["grün"] is None
    assert metrics["classes"]["left_out"] == {"odd": 2}
    assert metrics["classes"]["classes_without_speech"] == ["grün"]
    (reason,) = metrics["failed"].values()
    assert "only zeros" in reason
    for text in ("odd 2", "nobody shows grün", "the model says nothing: 1 ("):
        assert said.count(text) == 1
    assert score["interval"]["units"] == 2
    assert set(score["speakers"]) == {"X", "Y"}
    assert sum(s["n"] for s in score["genders"].values()) == 8
    assert {row["speaker"]: row["gender"] for row in speakers} == {
        "X": "F",
        "Y": "M",
    }
    sure = [row for row in rows if float(row["tempered_confidence"]) >= least]
    assert metrics["sure"]["n"] == len(sure)
    assert len(sure) == 4
    hits = [row["label"] == row["prediction"] for row in sure]
    assert metrics["sure"]["WA"] == pytest.approx(np.mean(hits))
    assert f"{100 * len(sure) / 8:.1f} % of the utterances" in said
    assert {path.stem for path in (out / "figures").iterdir()} == {
        *("confusion", "confusion_F", "confusion_M", "coverage"),
        *("embedding", "reliability"),
    }


def test_it_says_whose_model_it_is(model, speech, tmp_path, capsys):
    """And that nothing was trained; who may have trained it."""
    metrics, *_ = run(speech, tmp_path / "out", "--encoder_folder", "here")
    assert model.asked_for == ("model", "here", None)
    assert metrics["model"] == "fake" and metrics["model_sha256"] == "f" * 64
    assert metrics["trained_on"] == "EMO-DB"
    assert metrics["trained_by"] == "emodb-loso@1"
    assert metrics["nothing_was_trained_or_chosen_here"] is True
    assert metrics["speakers_may_have_trained"] is False
    assert "may have trained" not in capsys.readouterr().out
    model.card["corpus"] = "mine"
    metrics, *_ = run(speech, tmp_path / "other")
    assert metrics["speakers_may_have_trained"] is True
    assert capsys.readouterr().out.count("may have trained it") == 1
    del model.card["corpus"]
    run(speech, tmp_path / "third")
    assert "does not say on whom" in capsys.readouterr().out


def test_its_own_temperature(model, speech, tmp_path, capsys):
    """Posteriors stay raw; confidences and the calibration have it."""
    raw, rows, _ = run(speech, tmp_path / "raw")
    assert raw["calibration"]["temperature"] is None
    assert raw["calibration"]["reason"] == "the model has none"
    model.temperature = 2.5
    model.card["calibration"] = {"fitted_on": "valid"}
    middle = sorted(float(row["tempered_confidence"]) for row in rows)[4]
    found, cooled, _ = run(
        speech, tmp_path / "cooled", "--min_confidence", str(middle)
    )
    sure = sum(float(row["tempered_confidence"]) >= middle for row in cooled)
    assert found["sure"]["n"] == sure < 4
    assert model.temperature == 2.5
    names = [f"posterior_{word}" for word in model.labels]
    for row, other in zip(rows, cooled):
        assert [row[n] for n in names] == [other[n] for n in names]
        values = [float(row[n]) for n in names]
        assert float(row["tempered_confidence"]) == pytest.approx(
            max(values), abs=1e-5
        )
        assert float(other["tempered_confidence"]) == pytest.approx(
            tempered(values, 2.5).max(), abs=1e-5
        )
    assert found["calibration"]["fitted_on"] == "valid of EMO-DB"
    parts = [m["calibration"]["parts"]["test"] for m in (raw, found)]
    assert parts[0]["raw"] == parts[1]["raw"] and parts[0]["tempered"] is None
    assert parts[1]["tempered"]["NLL"] != parts[1]["raw"]["NLL"]
    assert "temperature 2.50" in capsys.readouterr().out
    best = raw["temperature_of_these_labels"]
    assert best == found["temperature_of_these_labels"]


@pytest.mark.parametrize(
    ("words", "by", "expected"),
    [
        ([], "train", "train"),
        ([], "speaker", "speaker"),
        (["--speakers", "column"], "train", "speaker"),
        (["--speakers", "all"], "train", "all"),
    ],
)
def test_by_whom_it_is_standardised(
    words, by, expected, model, speech, tmp_path
):
    """As the model was made, unless it is said."""
    model.by = by
    metrics, *_ = run(speech, tmp_path / "out", *words)
    assert metrics["standardise_by"] == expected
    assert model.by == ("train" if expected == "train" else "speaker")


def test_speakers_change_what_is_said(model, speech, tmp_path):
    """Each by what he says, and all as if one spoke, are two models."""
    found = [
        run(speech, tmp_path / word, "--speakers", word)[1]
        for word in ("column", "all")
    ]
    shown = [[row["posterior_low"] for row in rows] for rows in found]
    assert shown[0] != shown[1]


def test_speakers_that_can_not_be(model, tones):
    """One sentence, before anything is computed."""
    model.by = "speaker"
    with pytest.raises(InputError, match="--speakers column, or all"):
        answers_of(model, tones, "no")
    with pytest.raises(InputError, match="tone0 has no speaker"):
        answers_of(model, tones, "column")
    assert model.framed == 0


def test_an_entry_is_read_as_a_recipe_reads_it(speech, tmp_path):
    """To the sample, of any rate and channel."""
    from speechbrain_ser.inference.speech import opened
    from speechbrain_ser.utils.audio import load_audio

    rng = np.random.default_rng(3)
    for rate in (11025, 16000, 44100):
        path = str(tmp_path / f"{rate}.wav")
        soundfile.write(path, rng.uniform(-0.5, 0.5, (rate, 2)), rate)
        for start, stop, channel in (
            (0, rate, "mix"),
            (1, rate - 7, 1),
            (12 * 97, 7 * 971, 2),
        ):
            entry = {"wav": path, "start": start, "stop": stop}
            entry |= {"duration": (stop - start) / rate, "channel": channel}
            sound = opened(speech_of("a", entry))
            assert sound.span == (start, stop)
            assert (sound.read(16000) == load_audio(entry)).all()


def test_nothing_is_said_of_any(model, tones):
    """Then there is no report."""
    for entry in tones.values():
        soundfile.write(entry["wav"], np.zeros(9000), 16000)
    with pytest.raises(InputError, match="no utterance could be labelled"):
        answers_of(model, tones)


def test_the_folder_is_its_own(model, speech, tmp_path, monkeypatch):
    """The same evaluation again; another one, or other files, are refused."""
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    first, *_ = run(speech, out)
    again, *_ = run(speech, out)
    for metrics in (first, again):
        del metrics["wall_seconds"]
    assert first == again
    with pytest.raises(SystemExit, match="another --output_folder"):
        run(speech, out, "--min_confidence", "0.3")
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("x")
    with pytest.raises(SystemExit, match="holds something else"):
        run(speech, other)
    assert [path.name for path in other.iterdir()] == ["mine.txt"]
    with pytest.raises(SystemExit, match="is a file"):
        run(speech, other / "mine.txt")
    with pytest.raises(SystemExit, match="only read"):
        run(speech, pathlib.Path("model") / "report")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--min_confidence", "1.5"], "from 0 to 1"),
        (["--min_confidence", "much"], "from 0 to 1"),
        (["--labels", "low,,high"], "give words"),
        (["--speakers", "folder"], "invalid choice"),
    ],
)
def test_wrong_words(words, said, capsys):
    """argparse's own sentence and code."""
    with pytest.raises(SystemExit) as stop:
        command.main(["model", "--manifest", "a.csv", *words])
    assert stop.value.code == 2 and said in capsys.readouterr().err


def test_errors_are_one_sentence(model, speech, tmp_path):
    """Of the corpus, the classes, the place."""
    with pytest.raises(SystemExit, match="^error: no corpus is named"):
        command.main(["model"])
    with pytest.raises(SystemExit, match="^error: --labels has 'fear'"):
        run(speech, tmp_path / "out", "--labels", "fear")
    assert not (tmp_path / "out").exists()


def test_fewer_classes_are_asked_for(model, speech, tmp_path):
    """The others are left out."""
    metrics, rows, _ = run(speech, tmp_path / "out", "--labels", "[high]")
    assert {row["label"] for row in rows} == {"high"}
    assert metrics["classes"]["left_out"] == {"low": 4, "odd": 2}


def test_a_true_model_folder(model_folder, tones, tmp_path):
    """Each utterance gets what `label` says of its file."""
    true = EmotionRecognizer.from_folder(model_folder, device="cpu")
    words = dict(zip(("ang", "hap", "sad", "neu"), true.labels))
    lines = [f"{k}.wav,{e['emotion']},s" for k, e in tones.items()]
    table = tmp_path / "mine.csv"
    table.write_text("\n".join(["file,emotion,speaker", *lines]) + "\n")
    out = tmp_path / "out"
    command.main(
        [model_folder, "--manifest", str(table), "--device", "cpu"]
        + ["--map", ",".join(f"{a}={b}" for a, b in words.items())]
        + ["--output_folder", str(out)]
    )
    rows = rows_of(out / "predictions.csv")
    assert {row["label"] for row in rows} == set(words.values())
    for row in rows:
        outcome = true.label(str(tmp_path / row["id"]))
        shown = [float(row[f"posterior_{w}"]) for w in true.labels]
        values = np.array([outcome.posterior[w] for w in true.labels])
        if true.temperature != 1:
            values = tempered(values, 1 / true.temperature)
        assert shown == pytest.approx(values.tolist(), abs=2e-6)
        assert float(row["tempered_confidence"]) == pytest.approx(
            outcome.confidence, abs=2e-6
        )
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["model_sha256"] == true.digest


def test_temperatures_are_one():
    """The recogniser's, of tensors, is that of reports, of arrays."""
    import torch

    from speechbrain_ser.inference import recognizer

    held = torch.tensor([0.7, 0.3 - 1e-12, 1e-12, 0.0])
    for temperature in (0.5, 1.0, 3.0):
        found = recognizer.with_temperature(held, temperature)
        expected = tempered(held.numpy(), temperature)
        assert found.tolist() == pytest.approx(expected.tolist(), abs=1e-6)
