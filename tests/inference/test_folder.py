"""Model folders: written whole, read as they say, refused in a sentence."""

import json
import os
import pathlib

import pytest
import torch
from safetensors.torch import load_file, save_file

from conftest import plain_config
from speechbrain_ser.experiment.evaluate import check_outside
from speechbrain_ser.inference.export import check_free, write_folder
from speechbrain_ser.inference.folder import load_folder, model_of, read_config
from speechbrain_ser.inference.recognizer import EmotionRecognizer
from speechbrain_ser.inference.tensors import own_tensors, write_tensors
from speechbrain_ser.utils.errors import InputError
from tests.inference.kinds import KINDS


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_what_is_written_is_read(kind, tmp_path, small_wav2vec2):
    """The same bits, of every method's model, whatever was drawn between."""
    config = plain_config(**KINDS[kind](small_wav2vec2))
    source = {"source": small_wav2vec2, "save_path": "unused"}
    torch.manual_seed(3)
    model = model_of(config["model"], source)
    for tensor in own_tensors(model).values():
        if tensor.is_floating_point():
            tensor.uniform_(0.1, 0.9)
    write_folder(str(tmp_path / "model"), config, model, None)
    drawn = torch.get_rng_state()
    place = config["encoder"] and small_wav2vec2
    read, again = load_folder(str(tmp_path / "model"), place)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert read == config
    wanted, found = model.state_dict(), again.state_dict()
    assert list(wanted) == list(found)
    for name, tensor in wanted.items():
        assert torch.equal(tensor, found[name]), name
    wav = torch.randn(9000)
    results = []
    for one in (model.eval(), again):
        results.append(one([one.prepared(one.frames(wav))])[0])
    for name, value in results[0].items():
        assert torch.equal(value, results[1][name]), name


def changed(folder, tmp_path, **changes):
    """A copy of a model folder whose config.json says something else."""
    config = json.loads(pathlib.Path(folder, "config.json").read_text())
    weights = pathlib.Path(folder, "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights)
    config |= changes
    (tmp_path / "config.json").write_text(json.dumps(config))
    return str(tmp_path)


def test_no_path_of_a_machine_is_in_it(model_folder):
    """Nor a pickle; the files are those that the docs name."""
    names = sorted(os.listdir(model_folder))
    assert names == [
        "README.md",
        "config.json",
        "hyperparams.yaml",
        "model.safetensors",
    ]
    for name in names[:3]:
        text = pathlib.Path(model_folder, name).read_text(encoding="utf-8")
        assert str(pathlib.Path(model_folder).parent) not in text


def test_another_order_of_classes_is_refused(model_folder, tmp_path):
    """The file of weights says whose they are."""
    words = ["happiness", "anger", "neutral", "sadness"]
    folder = changed(model_folder, tmp_path, labels=words)
    with pytest.raises(InputError, match="in this order"):
        load_folder(folder)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"format": 2}, "has the format 2, and this version .* reads 1"),
        ({"labels": "anger"}, "labels is anger"),
        ({"labels": ["a", "a"]}, "labels is"),
        ({"sample_rate": 0}, "sample_rate is 0"),
        ({"temperature": -1}, "temperature is -1"),
        ({"encoder": "whisper"}, "no encoder's description"),
        ({"model": None}, "says no model"),
        ({"model": {"class": "EmotionModel"}}, "says no model"),
        (
            {"model": {"class": "os.system", "with": {}}},
            "there is no class os.system",
        ),
    ],
)
def test_what_a_config_can_not_say(model_folder, tmp_path, changes, words):
    """One sentence, that names the field."""
    with pytest.raises(InputError, match=words):
        load_folder(changed(model_folder, tmp_path, **changes))


def test_what_is_no_model_folder(tmp_path):
    """Missing, empty, no JSON, no model's JSON."""
    with pytest.raises(InputError, match="there is no model folder"):
        read_config(str(tmp_path / "none"))
    with pytest.raises(InputError, match="holds no config.json"):
        read_config(str(tmp_path))
    for text in ("{", "[]", "{}", "[" * 100000):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(InputError, match="can't be read|no model's"):
            read_config(str(tmp_path))


def altered(folder, tmp_path, alter):
    """A copy of a model folder with other tensors."""
    changed(folder, tmp_path)
    path = str(tmp_path / "model.safetensors")
    config = read_config(folder)
    tensors = load_file(path)
    alter(tensors)
    save_file(tensors, path, {"labels": json.dumps(config["labels"])})
    return str(tmp_path)


def one(value):
    """Sets the first weight to a value."""
    return lambda t: t["probe.linear.weight"].view(-1)[:1].fill_(value)


@pytest.mark.parametrize(
    "alter, words",
    [
        (lambda t: t.pop("probe.linear.bias"), "lacks .* probe.linear.bias"),
        (lambda t: t.update(more=torch.ones(1)), "has besides .* more"),
        (lambda t: t.update({"probe.linear.bias": torch.ones(3)}), r"\(3,\)"),
        (
            lambda t: t.update({"probe.linear.bias": torch.ones(4).half()}),
            "float16",
        ),
        (one(float("nan")), "probe.linear.weight holds NaN"),
        (one(float("inf")), "probe.linear.weight holds NaN or infinity"),
    ],
)
def test_other_tensors_are_refused(model_folder, tmp_path, alter, words):
    """Missing, too many, of other sizes and kinds, not finite."""
    with pytest.raises(InputError, match=words):
        load_folder(altered(model_folder, tmp_path, alter))


def test_weights_that_are_none(model_folder, tmp_path):
    """A broken file, none at all."""
    folder = changed(model_folder, tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(InputError, match="no file of safetensors"):
        load_folder(folder)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(InputError, match="there is no .*model.safetensors"):
        load_folder(folder)


def test_the_yaml_is_never_read(model_folder, tmp_path):
    """What it would run is not run."""
    folder = changed(model_folder, tmp_path)
    trace = tmp_path / "ran"
    (tmp_path / "hyperparams.yaml").write_text(
        f"x: !apply:pathlib.Path.touch [!apply:pathlib.Path [{trace}]]\n"
    )
    EmotionRecognizer.from_folder(folder)
    assert not trace.exists()


def test_nothing_is_written_over(tmp_path, model_folder):
    """A folder with something in it, a file, the run's own folder."""
    run = tmp_path / "run"
    run.mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").touch()
    for name in ("full", "full/a.txt"):
        with pytest.raises(InputError, match="is there already"):
            check_free(str(tmp_path / name))
    with pytest.raises(InputError, match="only read"):
        check_outside(str(run), str(run / "model"))
    check_free(str(tmp_path / "new"))
    check_outside(str(run), str(tmp_path / "new"))


def test_a_folder_is_whole_or_not_there(tmp_path, monkeypatch):
    """A write that fails leaves nothing."""
    config = plain_config()
    model = model_of(config["model"])
    target = tmp_path / "model"
    monkeypatch.setattr(
        "speechbrain_ser.inference.card.model_card", lambda *_: 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        write_folder(str(target), config, model, None)
    assert os.listdir(tmp_path) == []


def test_classes_are_in_the_weights(tmp_path):
    """As their metadata, in the order of the posteriors."""
    config = plain_config(labels=["ärger", "b", "c", "d"])
    model = model_of(config["model"])
    path = str(tmp_path / "model.safetensors")
    write_tensors(path, model, config["labels"])
    header = open(path, "rb").read()
    assert "ärger".encode() in header
