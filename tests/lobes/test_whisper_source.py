"""Whisper's encoder is found offline, alone of what a file holds, or refused."""

import json
import os
import socket

import pytest
import safetensors.torch
import torch
import transformers

from conftest import save_ssl_model, save_whisper
from speechbrain_ser.lobes import whisper_source
from speechbrain_ser.lobes.whisper import WhisperEncoder
from speechbrain_ser.utils.errors import InputError


@pytest.fixture
def no_network(monkeypatch):
    """Makes every connection fail loudly."""

    def refuse(*args, **kwargs):
        """Stands in for socket.connect."""
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def rewrite(folder, change, old_file=False):
    """Changes the weights of a folder; returns it."""
    path = os.path.join(folder, "model.safetensors")
    state = change(safetensors.torch.load_file(path))
    if old_file:
        os.unlink(path)
        torch.save(state, os.path.join(folder, "pytorch_model.bin"))
    else:
        safetensors.torch.save_file(state, path, {"format": "pt"})
    return str(folder)


def change_json(path, **changes):
    """Changes keys of a JSON file; None deletes one."""
    held = json.loads(path.read_text()) | changes
    path.write_text(
        json.dumps({k: v for k, v in held.items() if v is not None})
    )


def renamed(prefix):
    """Puts something before each name."""
    return lambda state: {f"{prefix}{n}": v for n, v in state.items()}


def halved(state):
    """In float16, under the names of OpenAI's file on the hub."""
    return {f"model.encoder.{n}": v.half() for n, v in state.items()}


def encoded(folder, **settings):
    """Frames of a fixed wave, and the digest of all blocks."""
    encoder = WhisperEncoder(folder, None, frozen=True, **settings)
    wav = torch.sin(torch.arange(9000) / 20)[None]
    return encoder(wav, torch.ones(1))[0], encoder.prefix_digest()


def test_local_folder_never_touches_the_network(small_whisper, no_network):
    """Loading and encoding with sockets blocked."""
    encoder = WhisperEncoder(small_whisper, save_path="unused")
    frames, lengths = encoder(torch.randn(2, 8000), torch.tensor([1.0, 0.5]))
    assert frames.shape == (2, 25, 32)
    assert (lengths * 25).round().tolist() == [25, 13]


@pytest.mark.parametrize("old_file", [False, True])
@pytest.mark.parametrize("prefix", ["", "encoder.", "model.encoder."])
def test_names_as_they_are_published(small_whisper, tmp_path, prefix, old_file):
    """Bare, of a model and of a model with a head; safetensors and torch's."""
    folder = rewrite(save_whisper(tmp_path), renamed(prefix), old_file)
    frames, digest = encoded(folder)
    expected, same = encoded(small_whisper)
    assert torch.equal(frames, expected) and digest == same


def test_torch_s_older_format_is_read(small_whisper, tmp_path):
    """It can't be mapped into memory."""
    folder = save_whisper(tmp_path)
    state = safetensors.torch.load_file(tmp_path / "model.safetensors")
    os.unlink(tmp_path / "model.safetensors")
    path = tmp_path / "pytorch_model.bin"
    torch.save(state, path, _use_new_zipfile_serialization=False)
    assert torch.equal(encoded(folder)[0], encoded(small_whisper)[0])


def test_half_whole_and_sharded_are_one_encoder(tmp_path, monkeypatch):
    """float32 and float16, with a decoder, in shards: one digest."""
    whole = save_whisper(tmp_path / "whole", whole=True)
    half = save_whisper(tmp_path / "half", whole=True)

    rewrite(half, lambda state: {n: v.half() for n, v in state.items()})
    model = transformers.WhisperForConditionalGeneration.from_pretrained(whole)
    features = transformers.WhisperFeatureExtractor.from_pretrained(whole)
    sharded = tmp_path / "sharded"
    model.save_pretrained(sharded, max_shard_size="20KB")
    features.save_pretrained(sharded)
    assert (sharded / "model.safetensors.index.json").exists()
    alone = tmp_path / "alone"
    encoder = model.model.encoder
    encoder.save_pretrained(alone)
    features.save_pretrained(alone)
    read = []
    inner = whisper_source.safe_open

    def watched(path, framework):
        """Tells of each file that is opened, and keeps what is asked for."""
        file = inner(path, framework=framework)
        read.append(path)
        return file

    monkeypatch.setattr(whisper_source, "safe_open", watched)
    found = [encoded(str(folder)) for folder in (whole, half, sharded, alone)]
    for folder, (frames, digest) in zip("whsa", found):
        assert frames.dtype == torch.float32
        # also of float32 numbers that float16 has to round
        assert digest == found[0][1]
        if folder == "h":
            assert not torch.equal(frames, found[0][0])
            torch.testing.assert_close(frames, found[0][0], atol=0.01, rtol=0)
        else:
            assert torch.equal(frames, found[0][0])
    # shards of the decoder alone stay closed
    shards = {path for path in read if path.startswith(f"{sharded}/")}
    index = json.loads((sharded / "model.safetensors.index.json").read_text())
    assert 1 < len(shards) < len(set(index["weight_map"].values()))


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_the_decoder_is_not_read(tmp_path, monkeypatch, name):
    """Of a whole model no tensor but the encoder's is asked for."""
    folder = save_whisper(tmp_path, whole=True)
    rewrite(folder, dict, old_file=name.endswith(".bin"))
    held = whisper_source.read_tensors(str(tmp_path / name))
    assert len(held) == 52
    assert all(key.startswith("model.encoder.") for key in held)
    mapped = []
    inner = torch.load

    def watched(*args, **kwargs):
        """What torch.load is told."""
        mapped.append(kwargs)
        return inner(*args, **kwargs)

    monkeypatch.setattr(torch, "load", watched)
    WhisperEncoder(folder, None)
    given = {"weights_only": True, "mmap": True}
    assert mapped == ([given] if name.endswith(".bin") else [])


CONV = "conv1.weight"


def without_a_block(state):
    """A model of fewer blocks than its configuration says."""
    return {k: v for k, v in state.items() if "layers.2." not in k}


def with_value(value):
    """One number of one tensor is none."""

    def change(state):
        """Of a copy."""
        weight = state[CONV].clone()
        weight[3, 3] = value
        return state | {CONV: weight}

    return change


BROKEN = {
    "no encoder": (renamed("decoder."), r"no tensor of an encoder .*give"),
    "empty": (lambda state: {}, r"no tensor of an encoder .*give"),
    "a block": (without_a_block, r"lacks 15 of .* 52 tensors \(layers.2"),
    "one": (
        lambda s: {k: v for k, v in s.items() if k != CONV},
        r"lacks 1 of .*\(conv1.weight\)",
    ),
    "extra": (
        lambda s: s | {"layers.3.fc1.bias": torch.zeros(3)},
        r"has 1 tensors .*no place for \(layers.3.fc1.bias\)",
    ),
    "sizes": (
        lambda s: s | {CONV: torch.zeros(5, 5)},
        rf"other sizes .* for 1 of .*\({CONV}\)",
    ),
    "NaN": (with_value(float("nan")), rf"NaN .* in 1 of .*\({CONV}\)"),
    "inf": (with_value(float("inf")), rf"NaN .* in 1 of .*\({CONV}\)"),
}


@pytest.mark.parametrize("change, said", BROKEN.values(), ids=BROKEN)
def test_tensors_that_are_not_the_encoder_s_are_refused(tmp_path, change, said):
    """The folder, the first names and how many, in one sentence."""
    folder = rewrite(save_whisper(tmp_path), change)
    with pytest.raises(InputError, match=f"^{tmp_path} .*{said}") as error:
        WhisperEncoder(folder, None)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "removed, said",
    [
        ("config.json", "no config.json"),
        ("model.safetensors", "no weights"),
        ("preprocessor_config.json", "no preprocessor_config.json.*copy it"),
    ],
)
def test_incomplete_folder_is_named(tmp_path, removed, said):
    """What is missing and how it is made."""
    save_whisper(tmp_path)
    os.unlink(tmp_path / removed)
    with pytest.raises(InputError, match=f"{tmp_path}.*{said}"):
        WhisperEncoder(str(tmp_path), None)


@pytest.mark.parametrize("content", [b"", b"no weights", None])
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_files_that_are_no_weights_are_refused(tmp_path, name, content):
    """Empty, something else, or broken off in the middle."""
    folder = save_whisper(tmp_path)
    rewrite(folder, dict, old_file=name.endswith(".bin"))
    whole = (tmp_path / name).read_bytes()
    half = whole[: len(whole) // 2] if content is None else content
    (tmp_path / name).write_bytes(half)
    with pytest.raises(InputError, match=f"in {tmp_path} can't be loaded"):
        WhisperEncoder(folder, None)


class Code:
    """Runs when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("ran",)


def test_no_code_of_a_file_is_run(tmp_path, monkeypatch):
    """A file of torch holds any object; only tensors are taken."""
    monkeypatch.chdir(tmp_path)
    folder = save_whisper(tmp_path / "model")
    rewrite(folder, lambda state: state | {"x": Code()}, old_file=True)
    with pytest.raises(InputError, match="can't be loaded"):
        WhisperEncoder(folder, None)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "file, changes, said",
    [
        ("preprocessor_config", {"sampling_rate": 8000}, "8000 Hz.* 16000 Hz"),
        ("preprocessor_config", {"feature_size": 9}, "9 Mel .* takes 20"),
        ("preprocessor_config", {"chunk_length": 30}, "3000 frames .*50 pos"),
        ("config", {"d_model": 64}, "other sizes"),
        ("config", {"encoder_layers": 4}, "lacks 15"),
        ("config", {"encoder_layers": 2}, "has 15 tensors"),
        ("config", {"encoder_attention_heads": 5}, "can't be loaded"),
        ("config", {"model_type": None}, "can't be loaded"),
        ("config", {"d_model": "many"}, "can't be loaded"),
    ],
)
def test_configurations_that_do_not_fit_are_refused(
    tmp_path, file, changes, said
):
    """In one sentence that names the folder."""
    save_whisper(tmp_path)
    change_json(tmp_path / f"{file}.json", **changes)
    with pytest.raises(InputError, match=said) as error:
        WhisperEncoder(str(tmp_path), None)
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_model_of_another_kind_is_refused(tmp_path):
    """Named with what is wanted."""
    with pytest.raises(InputError, match="wav2vec2 model: give a Whisper"):
        WhisperEncoder(save_ssl_model(tmp_path), None)


def as_hub_keeps_it(folder, cache, name):
    """Lays a folder out as a download of the hub lies in its cache."""
    repository = cache / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123")
    for file in os.listdir(folder):
        (snapshot / file).write_bytes((folder / file).read_bytes())


@pytest.mark.parametrize("old_file", [False, True])
def test_a_hub_name_is_found_where_it_was_kept(
    tmp_path, monkeypatch, no_network, old_file
):
    """Without a network; what is not there is said in a sentence."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("transformers.utils.hub.is_offline_mode", lambda: True)
    folder = rewrite(save_whisper(tmp_path / "model"), dict, old_file)
    as_hub_keeps_it(tmp_path / "model", tmp_path / "kept", "some/whisper")
    encoder = WhisperEncoder("some/whisper", str(tmp_path / "kept"))
    expected = WhisperEncoder(folder, None)
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, expected.state_dict()[name])
    with pytest.raises(InputError, match="some/other.*local-dir"):
        WhisperEncoder("some/other", str(tmp_path / "kept"))
