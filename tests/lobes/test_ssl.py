"""SSL encoders: offline, frozen, of the right layer, untouched by padding."""

import copy
import os
import socket

import pytest
import torch

from conftest import save_ssl_model
from speechbrain_ser.errors import InputError
from speechbrain_ser.lobes.pooling import StatisticsPooling
from speechbrain_ser.lobes.ssl import SSLEncoder, normalize_waveform
from tests.lobes.test_encoders import padded

KINDS = ("wav2vec2", "hubert", "wavlm")


@pytest.fixture(scope="module", params=KINDS)
def layer_norm_model(request, tmp_path_factory):
    """A folder with a tiny model of the layer-norm ("large") kind."""
    folder = tmp_path_factory.mktemp(request.param)
    return save_ssl_model(folder, request.param, norm="layer")


@pytest.fixture
def no_network(monkeypatch):
    """Makes every connection fail loudly."""

    def refuse(*args, **kwargs):
        """Stands in for socket.connect."""
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def wavs():
    """Three waveforms with a mean and levels of their own."""
    generator = torch.Generator().manual_seed(0)
    lengths = (8000, 5001, 3333)
    return [
        0.1 * (i + 1) * torch.randn(n, generator=generator) + 0.05 * i
        for i, n in enumerate(lengths)
    ]


def embed(encoder, wavs, longest=None):
    """Mean frame of each waveform."""
    return StatisticsPooling("mean")(*encoder(*padded(wavs, longest)))


def test_local_folder_never_touches_the_network(layer_norm_model, no_network):
    """Loading and encoding with sockets blocked."""
    encoder = SSLEncoder(layer_norm_model, save_path="unused")
    frames, lengths = encoder(torch.randn(2, 4000), torch.tensor([1.0, 0.5]))
    assert frames.shape == (2, 49, 32)
    assert (lengths * 49).round().tolist() == [49, 24]


@pytest.mark.parametrize("training", [False, True])
def test_padding_changes_no_embedding(layer_norm_model, wavs, training):
    """Layer-norm kind: alone and padded to twice its length, to 1e-5."""
    encoder = SSLEncoder(layer_norm_model, save_path="unused")
    for module in encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    encoder.model.config.attention_dropout = 0.0
    for layer in encoder.model.encoder.layers:
        layer.attention.dropout = 0.0
    encoder.train(training)
    with torch.no_grad():
        together = embed(encoder, wavs, 16000)
        for wav, row in zip(wavs, together):
            torch.testing.assert_close(
                embed(encoder, [wav])[0], row, atol=1e-5, rtol=0
            )


def test_permuted_batch_gives_permuted_embeddings(small_wav2vec2, wavs):
    """Also for the group-norm kind."""
    encoder = SSLEncoder(small_wav2vec2, save_path="unused").eval()
    with torch.no_grad():
        found = embed(encoder, wavs[::-1]).flip(0)
        torch.testing.assert_close(found, embed(encoder, wavs))


@pytest.mark.parametrize("layer", [0, 1, 2, 3, -1, -3])
def test_layer_is_the_one_asked_for(small_wav2vec2, layer, wavs):
    """In train mode too, 20 times: layerdrop never shifts it."""
    encoder = SSLEncoder(small_wav2vec2, save_path="unused", layer=layer)
    for module in encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    for block in encoder.model.encoder.layers:
        block.attention.dropout = 0.0
    batch, lengths = padded(wavs[:1])
    encoder.eval()
    with torch.no_grad():
        states = encoder.model(batch, output_hidden_states=True).hidden_states
        assert len(states) == 4
        encoder.train()
        for _ in range(20):
            torch.testing.assert_close(
                encoder(batch, lengths)[0], states[layer]
            )


def test_frozen_stays_frozen_in_train_mode(small_wav2vec2, wavs):
    """Eval mode, no gradient, and two passes of one input are equal."""
    encoder = SSLEncoder(small_wav2vec2, save_path="unused", frozen=True)
    encoder.train()
    assert not any(m.training for m in encoder.model.modules())
    first, _ = encoder(*padded(wavs))
    assert not first.requires_grad
    assert torch.equal(first, encoder(*padded(wavs))[0])


def test_frozen_prefix_changes_not_a_bit(small_wav2vec2, wavs):
    """After a step the first block is what it was, the second is not."""
    encoder = SSLEncoder(small_wav2vec2, save_path="unused", frozen_layers=1)
    encoder.train()
    before = copy.deepcopy(encoder.state_dict())
    step = torch.optim.SGD(
        [p for p in encoder.parameters() if p.requires_grad], lr=0.1
    )
    # the sum of a layer-normed output has no gradient
    (encoder(*padded(wavs))[0] ** 3).sum().backward()
    step.step()
    changed = {
        name.split("layers.")[1][0] if "encoder.layers" in name else name
        for name, value in encoder.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert {"1", "2"} <= changed
    assert "0" not in changed
    assert not any("feature" in name or "pos_conv" in name for name in changed)
    assert not encoder.model.encoder.layers[0].training
    assert encoder.model.encoder.layers[1].training


def test_blocks_above_the_layer_get_no_gradient(small_wav2vec2):
    """DDP refuses parameters that a step does not use."""
    encoder = SSLEncoder(small_wav2vec2, save_path="unused", layer=1)
    encoder(torch.randn(1, 4000), torch.ones(1))[0].sum().backward()
    for name, parameter in encoder.named_parameters():
        if parameter.requires_grad:
            unused = name.startswith("model.encoder.layer_norm")
            assert unused or parameter.grad is not None, name


def test_gradient_checkpointing_gives_the_same_gradient(small_wav2vec2, wavs):
    """It saves memory, nothing else."""
    gradients = []
    for checkpointing in (False, True):
        encoder = SSLEncoder(
            small_wav2vec2,
            save_path="unused",
            gradient_checkpointing=checkpointing,
        ).train()
        torch.manual_seed(3)
        (encoder(*padded(wavs))[0] ** 3).sum().backward()
        gradients.append(encoder.model.encoder.layers[0])
    for one, other in zip(*(m.parameters() for m in gradients)):
        torch.testing.assert_close(one.grad, other.grad)


def test_waveform_is_normalised_over_its_valid_part():
    """Zero mean and unit variance, whatever lies behind."""
    wav = torch.tensor([[2.0, 4.0, 6.0, 9.0, 9.0]])
    mask = torch.tensor([[1.0, 1.0, 1.0, 0.0, 0.0]])
    found = normalize_waveform(wav, mask)[0]
    assert found[3:].tolist() == [0, 0]
    assert found[:3].mean().abs() < 1e-6
    assert float(found[:3].var(correction=0)) == pytest.approx(1, abs=1e-5)


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
    import transformers

    config = transformers.BertConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1
    )
    transformers.BertModel(config).save_pretrained(tmp_path)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    with pytest.raises(InputError, match="bert model.*wav2vec2, hubert, wavlm"):
        SSLEncoder(str(tmp_path), save_path="unused")


@pytest.mark.parametrize("setting", [{"layer": 4}, {"frozen_layers": 9}])
def test_numbers_outside_the_model_are_refused(small_wav2vec2, setting):
    """With the number of layers it has."""
    with pytest.raises(InputError, match="3"):
        SSLEncoder(small_wav2vec2, save_path="unused", **setting)
