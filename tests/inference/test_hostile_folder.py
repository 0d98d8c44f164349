"""Model folders of somebody who means harm: one sentence, and nothing is run."""

import json
import os
import pathlib
import pickle
import re
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from conftest import plain_config
from speechbrain_ser.inference.description import build
from speechbrain_ser.inference.folder import load_folder, model_of
from speechbrain_ser.inference.recognizer import EmotionRecognizer
from speechbrain_ser.utils.errors import InputError
from tests.inference.kinds import KINDS

LINEAR = "torch.nn.Linear"
LOGMEL = "speechbrain_ser.lobes.features.LogMel"
NAN = float("nan")


class Ran:
    """What a pickle runs."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        """Leaves a trace."""
        return os.mkdir, (str(self.trace),)


@pytest.fixture
def folder(model_folder, tmp_path):
    """A copy of a model folder that may be spoilt."""
    return pathlib.Path(shutil.copytree(model_folder, tmp_path / "model"))


def refusal(folder, **more):
    """The sentence that a folder is refused with."""
    with pytest.raises(InputError) as error:
        load_folder(str(folder), **more)
    said = str(error.value)
    assert "\n" not in said and said.isprintable()
    assert 20 < len(said) < 1200
    return said


def rewrite(folder, change):
    """Changes what config.json says."""
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    change(config)
    path.write_text(json.dumps(config), encoding="utf-8")


def retensor(folder, change, metadata=None):
    """Changes the tensors, and what their file says of the classes."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    words = json.loads((folder / "config.json").read_text())["labels"]
    save_file(tensors, path, metadata or {"labels": json.dumps(words)})


# What config.json may call


def nested(value, times=5):
    """A value in lists in lists."""
    return nested([value], times - 1) if times else value


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "builtins.eval",
        "builtins.exec",
        "functools.partial",
        "torch.load",
        "torch.hub.load",
        "torch.nn.Module",
        "torch.nn.modules.linear.Linear",
        "speechbrain_ser.utils.files.write_json",
        "speechbrain_ser.lobes.logmel.torch.load",
        "speechbrain_ser.inference.allowed.called",
        "speechbrain_ser.experiment.hparams.load",
        "torch.nn.Linear ",
        "Torch.nn.Linear",
        "",
        "..",
        "torch.nn",
    ],
)
@pytest.mark.parametrize("how", ["call", "partial"])
def test_what_is_not_listed_is_not_called(folder, name, how):
    """Wherever it stands: as the model's part, or inside of another one."""
    told = {how: name, "args": [str(folder / "ran")]}
    for evil in (told, {"call": "torch.nn.Sequential", "args": [told]}):
        rewrite(folder, lambda c, e=evil: c["model"]["with"].update(probe=e))
        assert "it calls" in refusal(folder)
    assert not (folder / "ran").exists()


@pytest.mark.parametrize(
    "told, said",
    [
        ({"call": LINEAR, "partial": LINEAR}, "where a call belongs"),
        ({"call": LINEAR, "more": 1}, "where a call belongs"),
        ({"call": [LINEAR]}, "where a call belongs"),
        ({"call": {"call": LINEAR}}, "where a call belongs"),
        ({"__class__": LINEAR}, "where a call belongs"),
        ({}, "where a call belongs"),
        ({"call": LINEAR, "with": [1, 2]}, "the arguments of torch.nn.Linear"),
        ({"call": LINEAR, "args": {"in_features": 1}}, "the arguments of"),
        ({"call": LINEAR, "args": [1, {"x": 2}]}, "where a call belongs"),
        ({"call": LINEAR, "args": ["a", "b"]}, "Linear can't be made"),
        ({"call": LINEAR, "args": [-1, 4]}, "Linear can't be made"),
        ({"call": LINEAR, "args": [1]}, "Linear can't be made"),
        ({"call": LINEAR, "with": {"no": 1}}, "Linear can't be made"),
        ({"call": "torch.nn.Sequential", "args": [3]}, "Sequential can't be"),
        ({"call": LINEAR, "args": [10**9, 4]}, "1000000000 is no model's"),
        ({"call": LINEAR, "args": [10**400, 4]}, "has the number 1000"),
        ({"call": LINEAR, "args": [NAN, 4]}, "nan is no model's"),
        ({"call": LINEAR, "args": [float("inf"), 4]}, "inf is no model's"),
        ({"call": LINEAR, "args": [150000, 150000]}, "asks for more memory"),
        ({"call": LOGMEL, "with": {"n_mels": 10**5}}, "n_mels is 100000, and"),
        ({"call": LOGMEL, "with": {"n_fft": 10**5}}, "n_fft is 100000, and"),
        ({"call": LOGMEL, "with": {"win_length": 1e5}}, "win_length is 100000"),
        ({"call": LOGMEL, "with": {"n_mels": "all"}}, "LogMel can't be made"),
        ([0] * 2000, "a list of 2000"),
        (nested(0, 40), "nested too deep"),
        ("a word", "can't be made|does not compute|lacks|besides"),
        (7, "can't be made|does not compute|lacks|besides"),
        (None, "can't be made|does not compute|lacks|besides"),
        (
            {"partial": LINEAR, "args": [1, 4]},
            "can't be made|does not compute|besides",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
@pytest.mark.parametrize("part", ["probe", "features"])
def test_parts_that_are_none(folder, part, told, said):
    """Nothing is made that can't be, nor is memory asked for."""
    rewrite(folder, lambda c: c["model"]["with"].update({part: told}))
    assert re.search(said, refusal(folder))


def layers(config):
    """A stack of small recurrent layers that never ends."""
    config["model"]["with"]["probe"] = {
        "call": "torch.nn.Sequential",
        "args": [{"call": LINEAR, "args": [1, 1]}] * 1000,
    }
    config["model"]["with"]["features"] = {
        "call": "torch.nn.Sequential",
        "args": [config["model"]["with"]["probe"]] * 90,
    }


@pytest.mark.parametrize(
    "change, said",
    [
        (layers, "can't be read .*more than 100000|more memory"),
        (lambda c: c["model"].update(more=1), "says no model"),
        (lambda c: c.update(model=[]), "says no model"),
        (lambda c: c.update(model=None), "says no model"),
        (lambda c: c["model"].update({"with": []}), "says no model"),
        (lambda c: c["model"].update({"class": "EmotionModel"}), "no class"),
        (lambda c: c["model"].update({"class": "__loader__"}), "no class"),
        (lambda c: c["model"].update({"class": ["IPRModel"]}), "no class"),
        (lambda c: c["model"].update({"class": "IPRModel"}), "can't be made"),
        (lambda c: c["model"]["with"].update(by="all"), "by is all"),
        (lambda c: c["model"]["with"].update(by=[1]), r"by is \[1\]"),
        (lambda c: c["model"]["with"].update(channels=15), "is .16,. torch"),
        (lambda c: c["model"]["with"].update(channels=0), "."),
        (lambda c: c["model"]["with"].update(channels=None), "can't be made"),
        (lambda c: c["model"]["with"].update(self=1), "can't be made"),
        (lambda c: c.update(format=2), "has the format 2, and this version"),
        (lambda c: c.update(format="1"), "has the format 1"),
        (lambda c: c.update(format=[[1]]), "has the format"),
        (lambda c: c.pop("format"), "is no model's"),
        (lambda c: c.update(labels=c["labels"][::-1]), "in this order"),
        (lambda c: c.update(labels=c["labels"][:3]), "in this order"),
        (lambda c: c.update(labels="anger"), "labels is anger"),
        (lambda c: c.update(labels=[1, 2, 3, 4]), "labels is .1, 2"),
        (lambda c: c.update(labels=["a", "a"]), "stands there twice"),
        (lambda c: c.update(labels=["a", "b\x1b[31m"]), r"x1b\[31m"),
        (lambda c: c.update(labels=["a", "b\nc"]), "is no name or label"),
        (lambda c: c.update(labels=["", "a"]), "is no name or label"),
        (lambda c: c.update(labels=["a" * 101]), "is no name or label"),
        (lambda c: c.update(labels=["a", "\ud800"]), "ud800"),
        (lambda c: c.update(labels=[nested("a", 60)]), "nested too deep"),
        (lambda c: c.update(labels=nested("a", 40)), "labels is "),
        (lambda c: c.update(name="\u202etxt.exe"), "u202e"),
        (lambda c: c.update(name=7), "name is 7"),
        (lambda c: c.update(sample_rate=0), "sample_rate is 0"),
        (lambda c: c.update(sample_rate=True), "sample_rate is True"),
        (lambda c: c.update(sample_rate=10**12), "sample_rate is 1000"),
        (lambda c: c.update(sample_rate=10**400), "has the number 1000"),
        (lambda c: c.update(temperature=0), "temperature is 0"),
        (lambda c: c.update(temperature=NAN), "temperature is nan"),
        (lambda c: c.update(temperature="hot"), "temperature is hot"),
        (lambda c: c.update(max_seconds=1e9), "max_seconds is 10000"),
        (lambda c: c.update(batch_size=-1), "batch_size is -1"),
        (lambda c: c.pop("batch_size"), "lacks batch_size"),
        (lambda c: c.update(card=[]), "card is none"),
        (lambda c: c.update(card={"languages": 5}), "languages of the card"),
        (lambda c: c.update(card={"languages": [5]}), "languages of the card"),
        (lambda c: c.update(card={"sample_rates": "x"}), "sample_rates of"),
        (lambda c: c.update(card={"corpus": {"a": 1}}), "corpus of the card"),
        (lambda c: c.update(card={"calibration": 3}), "calibration of the"),
        (lambda c: c.update(card={"corpus": "\x1b]0;x\x07"}), "can't be read"),
        (lambda c: c.update(more="x" * (1 << 22)), "larger than 4 MB"),
        (lambda c: c.update(more=[0] * 200000), "more than 100000 values"),
        (lambda c: c.update(encoder="openai/x"), "encoder is no encoder"),
        (lambda c: c.update(encoder={"name": 1}), "encoder is no encoder"),
    ],
)
def test_what_is_said_of_a_model(folder, change, said):
    """Other kinds, sizes, versions; what a terminal would obey."""
    rewrite(folder, change)
    assert re.search(said, refusal(folder))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"[" * 100000,
        b'{"a":' * 100000,
        b"\xff\xfe\x00",
        "{}".encode("utf-16"),
        b"1" * 10000,
        b"!!python/object/apply:os.system ['true']",
        pickle.dumps({"format": 1}),
        b"\x00" * 100,
    ],
)
def test_a_config_that_is_no_json(folder, content):
    """Empty, cut off, deep, of other coding, YAML, a pickle."""
    (folder / "config.json").write_bytes(content)
    assert "config.json" in refusal(folder)


# Tensors


def fake_header(size, shape=(4,), kind="F32", end=16):
    """A file of safetensors whose header promises what is not there."""
    header = json.dumps(
        {"a": {"dtype": kind, "shape": list(shape), "data_offsets": [0, end]}}
    ).encode()
    size = len(header) if size is None else size
    return size.to_bytes(8, "little") + header


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 8,
        b"\xff" * 8,
        fake_header(None),
        fake_header(1 << 62),
        fake_header(None, (1 << 40,), end=1 << 42),
        fake_header(None, (1 << 62, 1 << 62)),
        fake_header(None, kind="OBJECT"),
        pickle.dumps([torch.ones(1)]),
        b"PK\x03\x04" + b"\0" * 60,
        b"version https://git-lfs.github.com/spec/v1\n",
    ],
)
def test_weights_that_are_no_safetensors(folder, content):
    """Empty, cut off, of sizes that nobody has, a pickle, a pointer."""
    (folder / "model.safetensors").write_bytes(content)
    assert "model.safetensors" in refusal(folder)


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda t: t.clear(), "lacks the tensors"),
        (lambda t: t.update({"x" * 10000: torch.ones(1)}), "has besides"),
        (lambda t: t.update({"\x1b[2J": torch.ones(1)}), r"x1b\[2J"),
        (lambda t: t.update({"../../x": torch.ones(1)}), "has besides"),
        (lambda t: t["standardise.std"].fill_(NAN), "holds NaN"),
        (lambda t: t["probe.rows"].fill_(99), "does not compute|posterior"),
        (lambda t: t["probe.rows"].fill_(-99), "does not compute|posterior"),
        (lambda t: t["probe.standardise.std"].fill_(0), "no posterior"),
        (
            lambda t: t["probe.linear.weight"].fill_(3e38),
            "gives no posterior of its 4 classes",
        ),
    ],
)
def test_other_tensors(folder, change, said):
    """Of other names, with numbers by which nothing is computed."""
    retensor(folder, change)
    assert re.search(said, refusal(folder))


@pytest.mark.parametrize(
    "metadata",
    [
        {"other": "[]"},
        {"labels": "not json"},
        {"labels": "x" * 100000},
        {"labels": '["anger"]'},
        {"labels": "\x1b[31m"},
    ],
)
def test_weights_of_other_classes(folder, metadata):
    """Or of nobody knows which."""
    retensor(folder, lambda tensors: None, metadata)
    assert "is of the classes" in refusal(folder)


def test_more_classes_than_the_model_has(folder):
    """Both files say so, and nobody's label would be right."""
    words = ["a", "b", "c", "d", "e"]
    rewrite(folder, lambda c: c.update(labels=words))
    retensor(folder, lambda t: None, {"labels": json.dumps(words)})
    assert "gives no posterior of its 5 classes" in refusal(folder)


# Files


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_files_that_are_none(folder, name):
    """Folders, pipes, devices, links to nowhere and round."""
    path = folder / name
    for make in (
        path.mkdir,
        lambda: os.mkfifo(path),
        lambda: path.symlink_to("/dev/zero"),
        lambda: path.symlink_to(folder / "nowhere"),
        lambda: path.symlink_to(path),
    ):
        if path.is_dir():
            path.rmdir()
        else:
            path.unlink()
        make()
        assert name in refusal(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_link_to_the_same_content_is_fit(folder, tmp_path, name):
    """As the cache of a hub has it."""
    os.replace(folder / name, tmp_path / "blob")
    (folder / name).symlink_to(tmp_path / "blob")
    assert load_folder(str(folder))


def test_what_lies_beside_is_not_looked_at(folder):
    """YAML that runs code, modules of the names that Python imports, pickles."""
    trace = folder / "ran"
    call = f"x: !apply:os.mkdir [{trace}]\n"
    for name in ("hyperparams.yaml", "config.yaml", "custom.py", "torch.py"):
        text = (
            call if name.endswith("yaml") else f"import os; os.mkdir('{trace}')"
        )
        (folder / name).write_text(text)
    for name in ("pytorch_model.bin", "model.ckpt", "label_encoder.txt"):
        (folder / name).write_bytes(pickle.dumps(Ran(trace)))
    (folder / "speechbrain_ser").mkdir()
    (folder / "speechbrain_ser" / "__init__.py").write_text("1 / 0")
    recognizer = EmotionRecognizer.from_folder(folder, device="cpu")
    assert recognizer.label(torch.randn(8000), rate=16000).label
    assert not trace.exists()


# Encoders


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory, small_wav2vec2):
    """A model folder that holds a copy of its encoder."""
    from speechbrain_ser.inference.encoder_place import told_of
    from speechbrain_ser.inference.export import write_folder
    from speechbrain_ser.inference.tensors import speech_model_of

    config = plain_config(**KINDS["LPMN"](small_wav2vec2))
    source = {"source": small_wav2vec2, "save_path": "unused"}
    model = model_of(config["model"], source)
    _, encoder = speech_model_of(model)
    config["encoder"] = told_of(encoder, "some/encoder", copied=True)
    folder = tmp_path_factory.mktemp("with_encoder") / "model"
    write_folder(str(folder), config, model, encoder)
    assert load_folder(str(folder))
    return folder


@pytest.fixture
def with_encoder(encoder_folder, tmp_path):
    """A copy of it that may be spoilt."""
    return pathlib.Path(shutil.copytree(encoder_folder, tmp_path / "model"))


@pytest.mark.parametrize(
    "name",
    [
        "/etc",
        "..",
        "../model",
        "./encoder",
        "a/../b",
        "a/b/c",
        "C:\\models",
        "~/model",
        "file:///etc",
        "https://example.org/a",
        "a b",
        "",
        "tests",
        ".hidden/a",
        "a/b\n",
        "ä/b",
    ],
)
def test_the_name_of_an_encoder_is_no_path(with_encoder, name, monkeypatch):
    """Nothing is loaded from where a folder's author says."""
    monkeypatch.chdir(pathlib.Path(__file__).parents[2])

    def change(config):
        """Says that the encoder is elsewhere."""
        config["encoder"] |= {"name": name, "copied": False}

    rewrite(with_encoder, change)
    assert "which is no hub name" in refusal(with_encoder)


@pytest.mark.parametrize(
    "name",
    ["pytorch_model.bin", "x.py", "adapter_config.json", "a.pt", "b.pkl"],
)
def test_nothing_is_unpickled_of_an_encoder(with_encoder, name):
    """Beside its weights, or in their place."""
    inside = with_encoder / "encoder"
    trace = with_encoder / "ran"
    (inside / name).write_bytes(pickle.dumps(Ran(trace)))
    assert name in refusal(with_encoder)
    (inside / "model.safetensors").unlink()
    refusal(with_encoder)
    assert not trace.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Evil"}},
        {"auto_map": {"AutoModel": "evil--evil.Evil"}, "hidden_size": 7},
        {"model_type": "bert"},
        {"model_type": None},
        {"hidden_size": 64},
        {"hidden_size": 10**7},
        {"hidden_size": "x"},
        {"num_hidden_layers": -1},
        {"num_hidden_layers": 10**3},
        {"conv_dim": []},
        {"conv_dim": [16] * 9},
        {"quantization_config": {"quant_method": "bitsandbytes"}},
        {"attn_implementation": "kernels-community/evil"},
        {"_attn_implementation": "flash_attention_2"},
        {"hidden_act": "evil"},
        {"feat_extract_activation": "os.system"},
        {"dtype": "evil"},
    ],
    ids=str,
)
def test_what_an_encoder_says_of_itself(with_encoder, change, monkeypatch):
    """Other sizes, other classes, code to be run: refused, or not heard."""
    monkeypatch.setattr("builtins.input", lambda *words: 1 / 0)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    path = with_encoder / "encoder" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    try:
        load_folder(str(with_encoder))
    except InputError as refused:
        assert str(refused).isprintable()


@pytest.mark.parametrize(
    "change, said",
    [
        ({"attn_implementation": "a/kernel"}, "may be code of a hub"),
        ({"_attn_implementation": "a/kernel"}, "may be code of a hub"),
        ({"num_hidden_layers": 10**3}, "no encoder has more than 200"),
        ({"encoder_layers": 1e9}, "no encoder has more than 200"),
        ({"hidden_size": 12800}, "asks for more memory"),
    ],
    ids=str,
)
def test_what_must_not_be_heard_of_an_encoder(with_encoder, change, said):
    """Kernels that transformers would fetch and run; sizes beyond the file's."""
    path = with_encoder / "encoder" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert said in refusal(with_encoder)


@pytest.mark.parametrize(
    "told, said",
    [
        (None, "can't be made|names an encoder"),
        ({"name": "a/b", "copied": True, "prefix_sha256": "0" * 64}, "differ"),
        ({"name": "a/b", "copied": True, "prefix_sha256": None}, "differ"),
    ],
)
def test_another_encoder_than_was_trained_with(with_encoder, told, said):
    """Or one of which nothing is known."""
    rewrite(with_encoder, lambda c: c.update(encoder=told))
    assert re.search(said, refusal(with_encoder))


def test_a_place_in_the_description_is_not_heard():
    """The encoder's source is that of the user alone."""
    name = "speechbrain_ser.lobes.speech_encoder.speech_encoder"
    told = {"call": name, "with": {"source": "/etc", "save_path": "/tmp"}}
    with pytest.raises(InputError, match="speech_encoder can't be made"):
        build(told)
