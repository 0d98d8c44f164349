"""SSL encoders: offline, frozen, of the right layer, untouched by padding."""

import copy
import os
import socket

import pytest
import torch
import transformers

from conftest import save_ssl_model
from speechbrain_ser.errors import InputError
from speechbrain_ser.lobes.pooling import StatisticsPooling
from speechbrain_ser.lobes.ssl import (
    SSLEncoder,
    frozen_blocks,
    normalize_waveform,
)
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
    without_dropout(encoder).train(training)
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


def without_dropout(encoder):
    """Sets every dropout to 0, so that train mode is no chance."""
    for module in encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    for block in encoder.model.encoder.layers:
        block.attention.dropout = 0.0
    return encoder


@pytest.mark.parametrize("norm", ["group", "layer"])
@pytest.mark.parametrize("kind", KINDS)
def test_layer_is_the_one_asked_for(tmp_path, kind, norm, wavs):
    """Transformers' own full pass; the blocks above are not even held."""
    save_ssl_model(tmp_path, kind, norm)
    full = transformers.AutoModel.from_pretrained(tmp_path).eval()
    batch, lengths = padded(wavs)
    samples = torch.tensor([len(wav) for wav in wavs])
    mask = torch.arange(batch.shape[1]) < samples[:, None]
    if norm == "layer":  # the folder says that waveforms are normalised
        batch = normalize_waveform(batch, mask.float())
    with torch.no_grad():
        states = full(
            batch, attention_mask=mask.long(), output_hidden_states=True
        ).hidden_states
    for layer in (0, 1, 2, 3, -1, -3):
        encoder = SSLEncoder(str(tmp_path), save_path="unused", layer=layer)
        without_dropout(encoder)
        for training in (False, True):
            encoder.train(training)
            with torch.no_grad():
                found, _ = encoder(*padded(wavs))
            torch.testing.assert_close(found, states[layer])
        assert len(encoder.model.encoder.layers) == layer % 4
        held = "".join(encoder.state_dict())
        assert f"encoder.layers.{layer % 4}." not in held


@pytest.mark.parametrize("norm", ["group", "layer"])
@pytest.mark.parametrize("kind", KINDS)
def test_going_on_from_the_prefix_is_the_whole_pass(tmp_path, kind, norm, wavs):
    """Output and gradients, also in bf16 and with checkpointing."""
    save_ssl_model(tmp_path, kind, norm)
    for setting in ({}, {"gradient_checkpointing": True}):
        encoder = SSLEncoder(
            str(tmp_path), "unused", layer=2, frozen_layers=1, **setting
        )
        without_dropout(encoder).train()
        kept, lengths = encoder.prefix(*padded(wavs))
        assert not kept.requires_grad
        found = []
        for given in (padded(wavs), (kept, lengths), (kept.double(), lengths)):
            frames, counts = encoder(*given)
            assert torch.equal(counts, lengths)
            (frames**3).sum().backward()
            gradients = [
                p.grad for p in encoder.parameters() if p.requires_grad
            ]
            found.append([frames, *gradients])
            encoder.zero_grad(set_to_none=True)
        for one, other, third in zip(*found):
            assert torch.equal(one, other)
            assert torch.equal(one, third)
        with torch.autocast("cpu", torch.bfloat16):
            rounded, _ = encoder(kept.half(), lengths)
        (rounded.float() ** 3).sum().backward()
        torch.testing.assert_close(
            rounded.float(), found[1][0], atol=0.1, rtol=0.05
        )


def test_padded_frames_change_nothing(layer_norm_model, wavs):
    """Nonsense behind the end of the prefix's frames is not attended to."""
    encoder = SSLEncoder(layer_norm_model, "unused", frozen_layers=1).eval()
    kept, lengths = encoder.prefix(*padded(wavs[2:]))
    behind = torch.full((1, 7, encoder.dim), 99.0)
    longer = torch.cat([kept, behind], dim=1)
    shorter = lengths * kept.shape[1] / longer.shape[1]
    with torch.no_grad():
        alone, _ = encoder(kept, lengths)
        found, counts = encoder(longer, shorter)
    torch.testing.assert_close(found[:, : kept.shape[1]], alone)
    assert float(counts * longer.shape[1]) == pytest.approx(kept.shape[1])


def test_digest_knows_all_that_decides_the_prefix(tmp_path):
    """One weight, the depth, the norm of waveforms, an epsilon; not more."""

    def make(**setting):
        """An encoder of the same folder."""
        return SSLEncoder(str(tmp_path), "unused", **setting)

    save_ssl_model(tmp_path)
    encoder = make(frozen_layers=1)
    digest = encoder.prefix_digest()
    assert len(digest) == 64
    assert make(frozen_layers=1).train().prefix_digest() == digest
    assert make(frozen_layers=1, layer=2).prefix_digest() == digest
    assert make(layer=1, frozen=True).prefix_digest() == digest
    last = encoder.model.encoder.layers[1].final_layer_norm.bias
    with torch.no_grad():
        last.add_(1)
    assert encoder.prefix_digest() == digest
    others = {make(frozen_layers=2).prefix_digest()}
    for part in (
        encoder.model.encoder.layers[0].final_layer_norm.bias,
        encoder.model.encoder.layer_norm.weight,
        encoder.model.encoder.pos_conv_embed.conv.bias,
        encoder.model.feature_extractor.conv_layers[0].conv.weight,
    ):
        with torch.no_grad():
            part.view(-1)[0].add_(1e-3)
        others.add(encoder.prefix_digest())
    encoder.model.config.layer_norm_eps = 0.1
    others.add(encoder.prefix_digest())
    encoder.normalize_wav = True
    others.add(encoder.prefix_digest())
    assert len(others | {digest}) == 8


def test_without_frozen_blocks_there_is_no_prefix(small_wav2vec2):
    """Each way to ask for it says what to do."""
    encoder = SSLEncoder(small_wav2vec2, save_path="unused")
    for ask in (
        encoder.prefix_digest,
        lambda: encoder.prefix(torch.randn(1, 4000), torch.ones(1)),
        lambda: encoder(torch.randn(1, 9, 32), torch.ones(1)),
    ):
        with pytest.raises(InputError, match="freeze blocks"):
            ask()


def test_frozen_blocks_of_a_setting():
    """The table of the paper."""
    found = [frozen_blocks(19, word) for word in ("none", "last1", "last2")]
    assert found == [19, 18, 17]
    with pytest.raises(InputError, match="none, last1, last2"):
        frozen_blocks(19, "all")
    with pytest.raises(InputError, match="1 blocks"):
        frozen_blocks(1, "last2")


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
    # the norm in front of the first block is as frozen as the block
    assert changed == {"1", "2"}
    assert not encoder.model.encoder.layers[0].training
    assert encoder.model.encoder.layers[1].training


@pytest.mark.parametrize("norm", ["group", "layer"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_has_a_gradient_is_used(tmp_path, kind, norm):
    """DDP refuses parameters that a step does not use."""
    save_ssl_model(tmp_path, kind, norm)
    encoder = SSLEncoder(str(tmp_path), save_path="unused", layer=1)
    (encoder(torch.randn(1, 4000), torch.ones(1))[0] ** 3).sum().backward()
    for name, parameter in encoder.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name


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


def test_checkpoint_holds_what_is_trained(small_wav2vec2, tmp_path):
    """And loads only behind the frozen weights that it was trained with."""
    encoder = SSLEncoder(small_wav2vec2, "unused", frozen_layers=2)
    with torch.no_grad():
        for parameter in encoder.model.encoder.layers[2].parameters():
            parameter.add_(1.0)
    path = tmp_path / "encoder.ckpt"
    encoder.save(path)
    held = torch.load(path, weights_only=True)
    names = {name for name, p in encoder.named_parameters() if p.requires_grad}
    assert held.keys() == names | {"prefix_sha256"}
    fresh = SSLEncoder(small_wav2vec2, "unused", frozen_layers=2)
    fresh.load(path, end_of_epoch=True)
    for name, value in encoder.state_dict().items():
        assert value.equal(fresh.state_dict()[name]), name
    other = SSLEncoder(small_wav2vec2, "unused", frozen_layers=2)
    with torch.no_grad():
        other.model.encoder.layers[0].attention.k_proj.weight[0, 0] += 1
    with pytest.raises(InputError, match="other frozen weights"):
        other.load(path, end_of_epoch=True)
    whole = SSLEncoder(small_wav2vec2, "unused")
    whole.save(path)
    assert (
        torch.load(path, weights_only=True).keys() == whole.state_dict().keys()
    )
