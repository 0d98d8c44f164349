"""SSL encoders: of the right layer, untouched by padding, with masked frames."""

import json

import pytest
import torch
import transformers

from conftest import save_ssl_model
from speechbrain_ser.lobes.pooling import StatisticsPooling
from speechbrain_ser.lobes.small_hubert import fresh_hubert
from speechbrain_ser.lobes.ssl import SSLEncoder, normalize_waveform
from speechbrain_ser.utils.errors import InputError
from tests.lobes.helpers import KINDS, padded, without_dropout


def embed(encoder, wavs, longest=None):
    """Mean frame of each waveform."""
    return StatisticsPooling("mean")(*encoder(*padded(wavs, longest)))


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
        assert torch.equal(one.grad, other.grad)


def test_waveform_is_normalised_over_its_valid_part():
    """Zero mean and unit variance, whatever lies behind."""
    wav = torch.tensor([[2.0, 4.0, 6.0, 9.0, 9.0]])
    mask = torch.tensor([[1.0, 1.0, 1.0, 0.0, 0.0]])
    found = normalize_waveform(wav, mask)[0]
    assert found[3:].tolist() == [0, 0]
    assert found[:3].mean().abs() < 1e-6
    assert float(found[:3].var(correction=0)) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("setting", [{"layer": 4}, {"frozen_layers": 9}])
def test_numbers_outside_the_model_are_refused(small_wav2vec2, setting):
    """With the number of layers it has."""
    with pytest.raises(InputError, match="3"):
        SSLEncoder(small_wav2vec2, save_path="unused", **setting)


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
