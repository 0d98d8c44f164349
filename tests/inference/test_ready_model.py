"""The model in the package, and the tool that made it."""

import importlib.util
import json
import pathlib
import re

import pytest
import torch

from speechbrain_ser.corpora.mini.emodb import mini_emodb
from speechbrain_ser.corpora.mini.ravdess import mini_ravdess
from speechbrain_ser.inference import evaluate
from speechbrain_ser.inference.folder import read_config
from speechbrain_ser.inference.label import READY, load_model
from speechbrain_ser.inference.recognizer import EmotionRecognizer
from speechbrain_ser.inference.tensors import read_tensors
from speechbrain_ser.utils.errors import InputError
from tests.recipes.helpers import ROOT

SHARED = ROOT.parent / "shared"
WHISPER = SHARED / "models" / "whisper-base-encoder"


@pytest.fixture(scope="module")
def tool():
    """The tool as a module."""
    path = ROOT / "tools" / "make_model.py"
    spec = importlib.util.spec_from_file_location("make_model", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tool_makes_a_model(
    tool, tmp_path, mini_cache, small_whisper, monkeypatch
):
    """Of all speakers, its scores of one left out; reports go on its card."""
    text = tool.HPARAMS.read_text(encoding="utf-8")
    for key, value in {"layer": 1, "penalties": "[0.1]"}.items():
        text = re.sub(rf"(?m)^{key}: .*$", f"{key}: {value}", text)
    (tmp_path / "probe.yaml").write_text(text, encoding="utf-8")
    monkeypatch.setattr(tool, "HPARAMS", tmp_path / "probe.yaml")
    corpora = mini_emodb(mini_cache), mini_ravdess(mini_cache)
    words = ["--encoder_folder", small_whisper, "--cache_folder"]
    words += [str(tmp_path / "frames"), "--emodb", corpora[0]]
    first = str(tmp_path / "first")
    tool.main([first, *words])
    card = read_config(first)["card"]
    assert card["speakers"] == 6 and card["sizes"] == {"train": 96}
    assert card["scores"]["a speaker left out"]["n"] == 96
    assert card["calibration"]["fitted_on"] == "held-out speakers"
    assert not (tmp_path / "first" / "LICENSE").exists()
    report = str(tmp_path / "report")
    evaluate.main(
        [first, "--encoder_folder", small_whisper, "--corpus", "ravdess"]
        + ["--data_folder", corpora[1], "--output_folder", report]
        + ["--device", "cpu"]
    )
    second = tmp_path / "second"
    tool.main([str(second), *words, "--evaluated", report])
    one, other = (pathlib.Path(p, "model.safetensors") for p in (first, second))
    assert one.read_bytes() == other.read_bytes()
    found = json.loads(pathlib.Path(report, "metrics.json").read_text())
    scores = read_config(str(second))["card"]["scores"]
    told = scores["RAVDESS, as it is"]
    assert told["UA"] == found["metrics"]["test"]["UA"]
    assert f"{100 * told['UA']:.1f}" in (second / "README.md").read_text()
    with pytest.raises(SystemExit, match="reports another model"):
        tool.main(
            [str(tmp_path / "third"), *words, "--ravdess", corpora[1]]
            + ["--evaluated", report]
        )
    assert not (tmp_path / "third").exists()


def test_a_licence_that_is_shared_alike(tool, tmp_path):
    """Where a corpus asks for it; CC0 asks for nothing."""
    tool.write_licence(str(tmp_path), ["EMO-DB"])
    assert not (tmp_path / "LICENSE").exists()
    tool.write_licence(str(tmp_path), ["EMO-DB", "RAVDESS", "nEMO"])
    text = (tmp_path / "LICENSE").read_text()
    assert "RAVDESS and nEMO are" in text and "CC BY-NC-SA 4.0" in text


def test_the_ready_model_is_whole():
    """Small, of four classes, honest: it says what it is worth elsewhere."""
    config = read_config(READY)
    tensors, _ = read_tensors(str(pathlib.Path(READY, "model.safetensors")))
    size = sum(p.stat().st_size for p in pathlib.Path(READY).iterdir())
    assert size < 50_000 and all(t.isfinite().all() for t in tensors.values())
    assert config["labels"] == ["anger", "happiness", "neutral", "sadness"]
    assert config["card"]["corpus"] == "EMO-DB"
    assert config["encoder"]["name"] == "openai/whisper-base"
    parts = " ".join(config["card"]["scores"])
    assert "a speaker left out" in parts
    assert "RAVDESS" in parts and "nEMO" in parts


@pytest.mark.skipif(not WHISPER.is_dir(), reason="no Whisper at hand")
def test_it_names_what_german_actors_show():
    """Real speech, four utterances a class, with the copy of Whisper."""
    from speechbrain_ser.corpora.emodb import read_emodb

    folder = SHARED / "corpora" / "emodb"
    if not folder.is_dir():
        pytest.skip("no EMO-DB at hand")
    recognizer = EmotionRecognizer.from_folder(READY, WHISPER, "cpu")
    read = read_emodb(str(folder), recognizer.labels)
    some = [
        entry
        for word in recognizer.labels
        for entry in [e for e in read.values() if e["emotion"] == word][:4]
    ]
    said = recognizer.label_batch([entry["wav"] for entry in some])
    right = [s.label == e["emotion"] for s, e in zip(said, some)]
    assert sum(right) >= 15 and len(right) == 16
    frames = recognizer.frames(torch.randn(16000))
    assert frames.shape == (1, 4 * 512)  # no block above the third


def test_the_command_takes_it():
    """Without --model; without an encoder it says what to give."""
    from speechbrain_ser.inference.arguments import parse

    options = parse(["a.wav", "--encoder_folder", "nowhere"])
    with pytest.raises(InputError, match="there is no folder nowhere"):
        load_model(options)


def test_it_is_called_ready(monkeypatch, tmp_path):
    """Wherever a model is asked for, unless a folder is called so."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="there is no folder nowhere"):
        EmotionRecognizer.from_folder("ready", "nowhere")
    (tmp_path / "ready").mkdir()
    with pytest.raises(InputError, match="ready holds no config.json"):
        EmotionRecognizer.from_folder("ready", "nowhere")
