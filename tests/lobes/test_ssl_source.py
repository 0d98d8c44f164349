"""SSL models are found offline, refused in a sentence, written for transformers."""

import json
import os
import shutil
import socket

import pytest
import safetensors.torch
import torch
import transformers

from conftest import save_ssl_model
from speechbrain_ser.lobes.small_hubert import fresh_hubert
from speechbrain_ser.lobes.ssl import SSLEncoder
from speechbrain_ser.utils.errors import InputError
from tests.lobes.helpers import KINDS, padded


@pytest.fixture
def no_network(monkeypatch):
    """Makes every connection fail loudly."""

    def refuse(*args, **kwargs):
        """Stands in for socket.connect."""
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_local_folder_never_touches_the_network(layer_norm_model, no_network):
    """Loading and encoding with sockets blocked."""
    encoder = SSLEncoder(layer_norm_model, save_path="unused")
    frames, lengths = encoder(torch.randn(2, 4000), torch.tensor([1.0, 0.5]))
    assert frames.shape == (2, 49, 32)
    assert (lengths * 49).round().tolist() == [49, 24]


@pytest.mark.parametrize(
    "removed, said",
    [
        ("config.json", "no config.json"),
        ("model.safetensors", "no weights"),
        ("preprocessor_config.json", "no preprocessor_config.json"),
    ],
)
def test_incomplete_folder_is_named(tmp_path, removed, said):
    """What is missing and how it is made."""
    save_ssl_model(tmp_path)
    os.unlink(tmp_path / removed)
    with pytest.raises(InputError, match=f"{tmp_path}.*{said}.*save"):
        SSLEncoder(str(tmp_path), save_path="unused")


def test_hub_name_without_network_is_one_sentence(tmp_path, monkeypatch):
    """The name, the cause and what to do on a machine without a network."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="someone/nothing.*local-dir"):
        SSLEncoder("someone/nothing", save_path=str(tmp_path))


def test_missing_folder_is_not_taken_for_a_hub_name(tmp_path):
    """A path that does not exist."""
    with pytest.raises(InputError, match="there is no folder"):
        SSLEncoder(str(tmp_path / "nowhere"), save_path="unused")


def test_model_of_another_kind_is_refused(tmp_path):
    """Named with those that are known."""
    config = transformers.BertConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1
    )
    transformers.BertModel(config).save_pretrained(tmp_path)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    with pytest.raises(InputError, match="bert model.*wav2vec2, hubert, wavlm"):
        SSLEncoder(str(tmp_path), save_path="unused")


PROJECTION = "feature_projection.projection.weight"


def half(state):
    """Every other weight."""
    return dict(list(state.items())[::2])


def without_a_block(state):
    """A model of fewer blocks than its configuration says."""
    return {k: v for k, v in state.items() if "encoder.layers.2." not in k}


def smaller(state):
    """One of another size."""
    return state | {PROJECTION: torch.zeros(5, 5)}


def with_value(value):
    """One number of one weight is none."""

    def change(state):
        """Of a copy."""
        weight = state[PROJECTION].clone()
        weight[3, 3] = value
        return state | {PROJECTION: weight}

    return change


BROKEN = {
    "half": (half, r"lacks 3\d of the model's weights \(encoder\..*, \.\.\."),
    "a block": (without_a_block, r"lacks 16 .*\(encoder.layers.2"),
    "nothing": (lambda state: {}, "lacks 6[12] of the model's weights"),
    "another model": (lambda s: {"a.b": s[PROJECTION]}, "lacks 6[12] of"),
    "sizes": (smaller, rf"other sizes .* for 1 of .*\({PROJECTION}\)"),
    "NaN": (with_value(float("nan")), rf"NaN .* in 1 of .*\({PROJECTION}\)"),
    "inf": (with_value(float("inf")), rf"NaN .* in 1 of .*\({PROJECTION}\)"),
}


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


@pytest.mark.parametrize("change, said", BROKEN.values(), ids=BROKEN)
def test_weights_that_would_be_random_are_refused(tmp_path, change, said):
    """The folder, the first keys and how many; no training can begin."""
    rewrite(save_ssl_model(tmp_path, "hubert"), change)
    with pytest.raises(InputError, match=f"^{tmp_path} .*{said}") as error:
        SSLEncoder(str(tmp_path), save_path="unused")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"no weights", None])
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_files_that_are_no_weights_are_refused(tmp_path, name, content):
    """Empty, something else, or broken off in the middle."""
    folder = save_ssl_model(tmp_path)
    rewrite(folder, dict, old_file=name.endswith(".bin"))
    path = tmp_path / name
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(InputError, match=f"in {tmp_path} can't be loaded"):
        SSLEncoder(folder, save_path="unused")


@pytest.mark.parametrize("old_file", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_weights_as_the_hub_has_them_are_taken(tmp_path, kind, old_file):
    """Old names, a prefix, heads of the pre-training, no mask embedding."""
    folder = save_ssl_model(tmp_path, kind)
    before = SSLEncoder(folder, "unused").model.state_dict()

    def as_published(state):
        """Renames all weights."""
        names = {
            "parametrizations.weight.original0": "weight_g",
            "parametrizations.weight.original1": "weight_v",
        }
        found = {"lm_head.weight": torch.zeros(4, 32)}
        for name, value in state.items():
            for new, old in names.items():
                name = name.replace(new, old)
            found[f"{kind}.{name}"] = value
        del found[f"{kind}.masked_spec_embed"]
        return found

    rewrite(folder, as_published, old_file)
    after = SSLEncoder(folder, "unused").model.state_dict()
    for name in before.keys() - {"masked_spec_embed"}:
        assert torch.equal(before[name], after[name]), name


def changed(encoder):
    """Moves every weight a little, as training would."""
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    return encoder.eval()


@pytest.mark.parametrize("norm", ["group", "layer"])
@pytest.mark.parametrize("kind", KINDS)
def test_export_is_the_same_model(tmp_path, kind, norm, wavs):
    """Bit for bit, for this lobe and for transformers, at any layer."""
    source = save_ssl_model(tmp_path / "source", kind, norm)
    masked = torch.rand(3, 99) < 0.5
    for layer, n_blocks in ((-1, 3), (2, 2)):
        encoder = changed(
            SSLEncoder(source, "unused", layer=layer, mask_embedding=True)
        )
        folder = str(tmp_path / f"export{n_blocks}")
        encoder.export(folder)
        assert encoder.model.config.num_hidden_layers == 3
        model, told = transformers.AutoModel.from_pretrained(
            folder, output_loading_info=True
        )
        assert not any(told.values()), told
        assert len(model.encoder.layers) == n_blocks
        loaded = SSLEncoder(folder, "unused").eval()
        assert loaded.layer == n_blocks
        assert loaded.normalize_wav == (norm == "layer")
        with torch.no_grad():
            for given in ((), (masked,)):
                one, counts = encoder(*padded(wavs), *given)
                two, same = loaded(*padded(wavs), *given)
                assert torch.equal(one, two) and torch.equal(counts, same)


def test_export_of_a_drawn_embedding(tmp_path):
    """It stays in the model that had none before."""
    source = fresh_hubert(16, 2, 4, folder=tmp_path / "fresh")
    path = os.path.join(source, "config.json")
    with open(path, encoding="utf-8") as file:
        config = json.load(file) | {"mask_time_prob": 0.0}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(config, file)
    assert not hasattr(SSLEncoder(source, "unused").model, "masked_spec_embed")
    encoder = SSLEncoder(source, "unused", mask_embedding=True)
    encoder.export(str(tmp_path / "export"))
    loaded = SSLEncoder(str(tmp_path / "export"), "unused")
    assert torch.equal(
        loaded.model.masked_spec_embed, encoder.model.masked_spec_embed
    )


class Killed(BaseException):
    """In place of a signal."""


def kill_at(monkeypatch, when):
    """Kills what changes files at its `when`-th time; halfway if it deletes.

    Returns
    -------
    list
        Grows with each time.
    """
    times = []

    def deadly(work, halfway=None):
        """Wraps one function."""

        def run(*args, **kwargs):
            """Works until it is time."""
            times.append(work)
            if len(times) == when:
                if halfway is not None:
                    halfway(*args)
                raise Killed
            return work(*args, **kwargs)

        return run

    def half_deleted(folder, *_):
        """What a killed rmtree leaves."""
        if os.path.isdir(folder):
            os.unlink(os.path.join(folder, sorted(os.listdir(folder))[0]))

    extractor = transformers.Wav2Vec2FeatureExtractor
    model = transformers.Wav2Vec2Model
    for owner, name, halfway in (
        (os, "replace", None),
        (shutil, "rmtree", half_deleted),
        (model, "save_pretrained", None),
        (extractor, "save_pretrained", None),
    ):
        work = getattr(owner, name)
        monkeypatch.setattr(owner, name, deadly(work, halfway))
    return times


def bias_of(folder):
    """The number by which the exports of a test are told apart."""
    model = SSLEncoder(str(folder), "unused").model
    return float(model.encoder.layers[0].final_layer_norm.bias.detach()[0])


def test_export_is_whole_or_not_there(small_wav2vec2, tmp_path):
    """Killed at any of its steps, and then made again."""
    encoder = SSLEncoder(small_wav2vec2, "unused")
    bias = encoder.model.encoder.layers[0].final_layer_norm.bias.data
    home = tmp_path / "home"
    folder = home / "encoder"
    steps, found, when = 1, set(), 0
    while when < steps:
        when += 1
        shutil.rmtree(home, ignore_errors=True)
        bias[0] = 1.0
        encoder.export(str(folder))
        (folder / "stale").touch()
        bias[0] = 2.0
        with pytest.MonkeyPatch.context() as patch:
            times = kill_at(patch, when)
            try:
                encoder.export(str(folder))
            except Killed:
                found.add(bias_of(folder) if folder.exists() else None)
            steps = max(steps, len(times) + 1)
        assert encoder.model.config.num_hidden_layers == 3
        encoder.export(str(folder))
        assert bias_of(folder) == 2.0
        assert os.listdir(home) == ["encoder"]
        assert sorted(os.listdir(folder)) == [
            "config.json",
            "model.safetensors",
            "preprocessor_config.json",
        ]
    assert len(times) < when and steps > 4
    assert found >= {1.0, 2.0}
