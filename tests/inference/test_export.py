"""From a run to a folder to a table: the commands as they are typed."""

import csv
import json
import shutil

import pytest
import torch

from conftest import plain_config, save_ssl_model
from speechbrain_ser.corpora.mini.emodb import mini_emodb
from speechbrain_ser.inference import (
    export as exporting,
    hub,
)
from speechbrain_ser.inference.card import model_card
from speechbrain_ser.inference.description import build, describe
from speechbrain_ser.inference.encoder_place import place_of, told_of
from speechbrain_ser.inference.from_run import trained_run
from speechbrain_ser.inference.label import main as label
from speechbrain_ser.inference.models import GMPATLModel
from speechbrain_ser.inference.recognizer import EmotionRecognizer
from speechbrain_ser.lobes.speech_encoder import speech_encoder
from speechbrain_ser.utils.errors import InputError
from tests.recipes.helpers import ROOT, run_recipe

SCRIPT = ROOT / "recipes" / "AnyCorpus" / "train_probe.py"


@pytest.fixture(scope="module")
def run(tmp_path_factory, mini_cache):
    """A finished run of the probe on a mini corpus."""
    out = tmp_path_factory.mktemp("run") / "out"
    with pytest.MonkeyPatch.context() as patch:
        error = run_recipe(
            patch,
            SCRIPT.parent / "hparams" / "probe_logmel.yaml",
            *("--corpus", "emodb", "--data_folder", mini_emodb(mini_cache)),
            *("--cache_folder", out.parent / "frames", "--output_folder", out),
            *("--noprogressbar", "--device", "cpu"),
            script=SCRIPT,
        )
    assert error is None, error
    return out


def test_exported_and_labelled(run, tmp_path, monkeypatch, capsys):
    """The table of the tested files says what the recipe predicted."""
    folder = tmp_path / "model"
    exporting.main([str(run), str(folder), "--name", "mine"])
    assert "mine, anger, happiness, neutral, sadness" in capsys.readouterr().out
    tested = json.loads((run / "test.json").read_text())
    (tmp_path / "list.txt").write_text(
        "".join(f"{entry['wav']}\n" for entry in tested.values())
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    words = ["--list", "list.txt", "--model", "model", "--device", "cpu"]
    assert label([*words, "--csv", "out.csv", "--temperature", "1"]) == 0
    with open("out.csv", encoding="utf-8") as file:
        said = {row["file"]: row for row in csv.DictReader(file)}
    with open(run / "predictions.csv", encoding="utf-8") as file:
        predicted = {row["id"]: row for row in csv.DictReader(file)}
    assert len(said) == len(tested) > 0
    for key, entry in tested.items():
        row = said[entry["wav"]]
        assert row["label"] == predicted[key]["prediction"]
        assert row["model"] == "mine" and not row["error"]
        for word in ("anger", "happiness", "neutral", "sadness"):
            written = float(row[f"posterior_{word}"])
            wanted = float(predicted[key][f"posterior_{word}"])
            assert abs(written - wanted) <= 5.1e-5


def test_what_the_folder_says(run, tmp_path):
    """Temperature, scores and data are the run's; pictures go along."""
    config = exporting.export(str(run), str(tmp_path / "model"))
    metrics = json.loads((run / "metrics.json").read_text())
    assert config["temperature"] == metrics["calibration"]["temperature"]
    card, test = config["card"], metrics["metrics"]["test"]
    assert card["scores"]["test"]["UA"] == test["UA"]
    assert card["protocol"] == "emodb-loso@1" and card["languages"] == ["de"]
    assert card["sample_rates"] == [16000]
    text = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    ends = [100 * end for end in test["interval"]["UA"]]
    assert f"{ends[0]:.1f} to {ends[1]:.1f}" in text
    assert f"{config['temperature']:.3g}" in text
    for name in ("confusion.png", "reliability.png"):
        assert name in text and (tmp_path / "model" / name).is_file()
    read = EmotionRecognizer.from_folder(tmp_path / "model")
    assert read.temperature == config["temperature"]
    assert max(map(len, text.splitlines())) <= 120


def test_a_moved_run_is_as_good(run, tmp_path):
    """Nothing of it says where it was."""
    moved = tmp_path / "elsewhere" / "run"
    shutil.copytree(run, moved)
    one = exporting.export(str(run), str(tmp_path / "a"))
    other = exporting.export(str(moved), str(tmp_path / "b"))
    assert one == other
    weights = [(tmp_path / n / "model.safetensors").read_bytes() for n in "ab"]
    assert weights[0] == weights[1]


def test_what_is_no_run(run, tmp_path, model_folder):
    """One sentence each, and nothing is written."""
    cases = {
        model_folder: "holds no run",
        tmp_path / "none": "holds no run",
    }
    for folder, words in cases.items():
        with pytest.raises(InputError, match=words):
            exporting.export(str(folder), str(tmp_path / "model"))
    bare = tmp_path / "bare"
    shutil.copytree(run, bare)
    shutil.rmtree(bare / "save")
    with pytest.raises(InputError, match="has no checkpoint"):
        exporting.export(str(bare), str(tmp_path / "model"))
    with pytest.raises(InputError, match="leave --encoder_folder out"):
        exporting.export(
            str(run), str(tmp_path / "model"), encoder_folder=str(tmp_path)
        )
    assert not (tmp_path / "model").exists()


def test_loading_a_run_draws_nothing(run):
    """And what was drawn before goes on as if it had not been loaded."""
    torch.manual_seed(5)
    state = torch.get_rng_state()
    trained_run(str(run), device="cpu")
    assert torch.equal(torch.get_rng_state(), state)


def test_what_stands_in_the_yaml_of_strangers():
    """What is no part of a model is not described, a plain value is."""
    from ruamel.yaml import YAML

    nodes = YAML(typ="rt").load(
        "a: !new:collections.Counter\n"
        "b: !apply:builtins.len [[1, 2, 3]]\n"
        "c: !new:torch.nn.Dropout\n    p: !apply:builtins.round [0.5, 1]\n"
    )
    with pytest.raises(InputError, match="collections.Counter"):
        describe(nodes["a"])
    assert describe(nodes["b"]) == 3
    told = {"call": "torch.nn.Dropout", "with": {"p": 0.5}}
    assert describe(nodes["c"]) == told
    assert build(told).p == 0.5


def test_where_an_encoder_lies(tmp_path, small_wav2vec2, monkeypatch):
    """Copied, named, given; one that was trained is always copied."""
    monkeypatch.setattr(hub, "reachable", lambda endpoint: True)
    told = {"name": "a/b", "copied": False, "prefix_sha256": None}
    assert place_of("m", told)["source"] == "a/b"
    assert place_of("m", told, str(tmp_path))["source"] == str(tmp_path)
    assert place_of("m", None) is None
    with pytest.raises(InputError, match="there is no folder"):
        place_of("m", told, str(tmp_path / "none"))
    with pytest.raises(InputError, match="copy the model folder whole"):
        place_of(str(tmp_path), told | {"copied": True})
    frozen = speech_encoder(small_wav2vec2, "unused", frozen=True)
    assert told_of(frozen, "a/b")["copied"] is False
    assert told_of(frozen, "a/b")["prefix_sha256"] == frozen.prefix_digest()
    trained = speech_encoder(small_wav2vec2, "unused")
    assert told_of(trained, "a/b")["copied"] is True
    with pytest.raises(InputError, match="no hub name"):
        told_of(frozen, "../b c")


def test_another_encoder_is_refused(tmp_path, small_wav2vec2):
    """One of the same sizes whose weights differ."""
    from speechbrain_ser.inference.folder import model_of
    from tests.inference.kinds import gmp_atl

    config = plain_config(**gmp_atl(small_wav2vec2))
    source = {"source": small_wav2vec2, "save_path": "unused"}
    model = model_of(config["model"], source)
    assert isinstance(model, GMPATLModel)
    folder = str(tmp_path / "model")
    exporting.write_folder(folder, config, model, None)
    other = save_ssl_model(tmp_path / "other")
    from safetensors.torch import load_file, save_file

    path = tmp_path / "other" / "model.safetensors"
    weights = load_file(path)
    name = next(n for n in weights if "layers.0" in n and "weight" in n)
    weights[name] = weights[name] + 0.01
    save_file(weights, path, {"format": "pt"})
    with pytest.raises(InputError, match="its weights differ"):
        EmotionRecognizer.from_folder(folder, other)
    EmotionRecognizer.from_folder(folder, small_wav2vec2)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_a_shorter_encoder_gives_the_same_layers(layer, small_wav2vec2):
    """Bit by bit, and a digest of its own."""
    settings = {"frozen": True, "weighted": True}
    whole = speech_encoder(small_wav2vec2, "unused", **settings).eval()
    short = speech_encoder(small_wav2vec2, "unused", **settings).eval()
    short.shorten(layer)
    wavs, lengths = torch.randn(2, 8000), torch.tensor([1.0, 0.6])
    frames, _ = whole.prefix(wavs, lengths)
    fewer, _ = short.prefix(wavs, lengths)
    assert fewer.shape[2] == short.prefix_dim == (layer + 1) * 32
    assert torch.equal(fewer, frames[..., : short.prefix_dim])
    fresh = speech_encoder(small_wav2vec2, "unused", layer=layer, **settings)
    assert short.prefix_digest() == fresh.prefix_digest()
    assert short.prefix_digest() != whole.prefix_digest()
    names = {name for name, _ in short.named_parameters()}
    assert names == {name for name, _ in fresh.named_parameters()}


def test_a_card_of_little():
    """What is not known is left out, licences that are not known are asked."""
    config = plain_config(card={"method": "IPR"}, temperature=None)
    text = model_card(config)
    assert "by IPR" in text and "No temperature was fitted" in text
    assert "corpus's own licence" in text and "None" not in text
    config["card"]["corpus"] = "EMO-DB"
    assert "CC0" in model_card(config)
