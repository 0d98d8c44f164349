"""SSL encoders: offline, frozen, of the right layer, untouched by padding,
with masked frames, written for transformers to read.
"""

import copy
import json
import os
import shutil
import socket

import pytest
import torch
import transformers

from conftest import save_ssl_model
from speechbrain_ser.lobes.pooling import StatisticsPooling
from speechbrain_ser.lobes.small_hubert import fresh_hubert
from speechbrain_ser.lobes.ssl import (
    SSLEncoder,
    frozen_blocks,
    normalize_waveform,
)
from speechbrain_ser.utils.errors import InputError
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


@pytest.mark.parametrize("norm", ["group", "layer"])
@pytest.mark.parametrize("kind", KINDS)
def test_masked_pass_is_transformers_own(tmp_path, kind, norm):
    """The same frames masked, the same weights, every layer."""
    save_ssl_model(tmp_path, kind, norm)
    full = transformers.AutoModel.from_pretrained(tmp_path).eval()
    wavs, ones = torch.randn(2, 5000), torch.ones(2)
    given = normalize_waveform(wavs, torch.ones_like(wavs))
    masked = torch.rand(2, 62) < 0.5
    with torch.no_grad():
        states = full(
            given if norm == "layer" else wavs,
            mask_time_indices=masked,
            output_hidden_states=True,
        ).hidden_states
        for layer in (0, 2, -1):
            encoder = SSLEncoder(str(tmp_path), "unused", layer=layer).eval()
            found, _ = encoder(wavs, ones, masked)
            torch.testing.assert_close(found, states[layer])
            assert not torch.allclose(encoder(wavs, ones)[0], found)


def test_only_masked_frames_are_replaced(layer_norm_model, wavs):
    """By the embedding; what is behind the end stays zero."""

    class Nothing(torch.nn.Module):
        """In place of what mixes the frames."""

        def forward(self, frames):
            """Zero."""
            return torch.zeros_like(frames)

    encoder = SSLEncoder(
        layer_norm_model, "unused", layer=0, mask_embedding=True
    ).eval()
    encoder.model.encoder.pos_conv_embed = Nothing()
    masked = torch.rand(3, 99) < 0.5
    plain, lengths = encoder(*padded(wavs))
    found, _ = encoder(*padded(wavs), masked)
    valid = torch.arange(99) < (lengths * 99).round()[:, None]
    assert (masked & ~valid).any() and (masked & valid).any()
    assert torch.equal(found[~masked], plain[~masked])
    assert (found[~valid] == 0).all()
    embedding = encoder.model.masked_spec_embed
    assert (found[masked & valid] == embedding).all()
    assert not (plain[masked & valid] == embedding).any()


def test_what_is_masked_is_not_heard(layer_norm_model):
    """Sound that reaches masked frames alone changes nothing."""
    encoder = SSLEncoder(layer_norm_model, "unused", mask_embedding=True).eval()
    encoder.normalize_wav = False  # the mean of all samples would tell
    wavs = torch.randn(1, 4000)
    # frame t hears samples 80 t to 80 t + 105
    masked = (torch.arange(49) >= 10) & (torch.arange(49) < 20)
    other = wavs.clone()
    other[0, 9 * 80 + 105 : 20 * 80] = torch.randn(775)
    with torch.no_grad():
        one, two = (
            encoder(w, torch.ones(1), masked[None])[0] for w in (wavs, other)
        )
        assert torch.equal(one, two)
        one, two = (encoder(w, torch.ones(1))[0] for w in (wavs, other))
        assert not torch.allclose(one, two)
        # one sample more on either side is heard
        for sample in (9 * 80 + 104, 20 * 80):
            other = wavs.clone()
            other[0, sample] += 3.0
            found, _ = encoder(other, torch.ones(1), masked[None])
            before, _ = encoder(wavs, torch.ones(1), masked[None])
            assert not torch.equal(found, before)


def test_padding_changes_no_masked_pass(layer_norm_model, wavs):
    """Alone and padded to twice the length, to 1e-5, frame by frame."""
    encoder = SSLEncoder(layer_norm_model, "unused").eval()
    masked = torch.rand(3, 199) < 0.5
    with torch.no_grad():
        together, _ = encoder(*padded(wavs, 16000), masked)
        for wav, row, mask in zip(wavs, together, masked):
            count = (len(wav) - 105) // 80 + 1
            alone, _ = encoder(*padded([wav]), mask[None, :count])
            torch.testing.assert_close(alone[0], row[:count], atol=1e-5, rtol=0)


@pytest.mark.parametrize("drawn", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_mask_embedding_is_trained_on_request_alone(tmp_path, kind, drawn):
    """Made where the model has none; DDP must meet no other parameter."""
    save_ssl_model(tmp_path, kind, "layer")
    if drawn:
        path = tmp_path / "config.json"
        config = json.loads(path.read_text()) | {"mask_time_prob": 0.0}
        path.write_text(json.dumps(config))
    masked = torch.arange(49)[None] < 20
    given = torch.randn(1, 4000), torch.ones(1)
    for wanted in (False, True):
        encoder = SSLEncoder(str(tmp_path), "unused", mask_embedding=wanted)
        name = "model.masked_spec_embed"
        held = dict(encoder.named_parameters())
        assert (name in held) == (wanted or not drawn)
        embedding = held.get(name)
        if wanted or not drawn:
            (encoder(*given, masked)[0] ** 3).sum().backward()
            assert embedding.requires_grad == wanted
            assert (embedding.grad is not None) == wanted
        if wanted:
            assert (embedding.grad != 0).any()
            assert all(
                p.grad is not None for p in held.values() if p.requires_grad
            )


def test_frames_are_not_masked_before_frozen_blocks(small_wav2vec2):
    """It would be the cached prefix that had to know the mask."""
    with pytest.raises(ValueError, match="frozen blocks"):
        SSLEncoder(
            small_wav2vec2, "unused", frozen_layers=1, mask_embedding=True
        )
    encoder = SSLEncoder(small_wav2vec2, "unused", frozen_layers=1)
    masked = torch.ones(1, 49, dtype=torch.bool)
    with pytest.raises(ValueError, match="frozen blocks"):
        encoder(torch.randn(1, 4000), torch.ones(1), masked)


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


def save_base_strides(folder):
    """A tiny model with the convolutions of HuBERT base: 400 samples, 320."""
    config = transformers.HubertConfig(
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        conv_dim=(4,) * 7,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
    )
    transformers.HubertModel(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize(
    "make, field, longest",
    [
        (save_base_strides, 400, 4000),
        (save_ssl_model, 105, 1500),
        (lambda folder: fresh_hubert(16, 1, 4, folder=folder), 960, 2700),
    ],
)
def test_frames_are_counted_for_every_length(tmp_path, make, field, longest):
    """Alone and padded: what the convolutions give, and the lengths say."""
    encoder = SSLEncoder(make(tmp_path), "unused", layer=0).eval()
    lengths = torch.arange(field, longest)
    counts = encoder.count_frames(lengths)
    convolve = encoder.model.feature_extractor
    with torch.inference_mode():
        given = [convolve(torch.zeros(1, n)).shape[2] for n in lengths.tolist()]
        assert counts.tolist() == given
        assert given[0] == 1 and given[-1] > 5
        for part in torch.arange(len(lengths)).split(400):
            samples = lengths[part]
            batch = torch.zeros(len(part), int(samples.max()))
            frames, relative = encoder(batch, samples / batch.shape[1])
            assert frames.shape[1] == counts[part].max()
            found = (relative * frames.shape[1]).round().long()
            assert torch.equal(found, counts[part])


def test_too_short_for_a_frame_counts_as_one(small_wav2vec2):
    """Padded in a batch it has one, of what little there is."""
    encoder = SSLEncoder(small_wav2vec2, "unused").eval()
    samples = torch.tensor([4000, 1, 50, 104])
    frames, lengths = encoder(torch.randn(4, 4000), samples / 4000)
    assert (lengths * 49).round().tolist() == [49, 1, 1, 1]
    assert frames.isfinite().all()
