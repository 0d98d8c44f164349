"""A learnt weighted sum of layers, of each kind of model."""

import pytest
import torch
import transformers
from transformers.models.whisper.modeling_whisper import (
    WhisperEncoder as Reference,
)

from speechbrain_ser.lobes.speech_encoder import KINDS, speech_encoder
from speechbrain_ser.lobes.ssl import normalize_waveform
from speechbrain_ser.utils.errors import InputError
from tests.lobes.helpers import padded, without_dropout
from tests.lobes.test_speech_encoder import save

# Waves as long as the tiny Whisper's window: transformers takes nothing else.
WINDOW = 16000


@pytest.fixture(scope="module", params=KINDS)
def folder(request, tmp_path_factory):
    """A folder of each kind."""
    return save(tmp_path_factory.mktemp(request.param), request.param)


def made(folder, **settings):
    """An encoder whose training is no chance."""
    encoder = speech_encoder(folder, "unused", weighted=True, **settings)
    if "whisper" not in folder:
        without_dropout(encoder)
    return encoder


def hidden_states(folder, wavs):
    """All layers, by transformers' own pass."""
    if "whisper" in folder:
        features = transformers.WhisperFeatureExtractor.from_pretrained(folder)
        given = features(
            list(wavs.numpy()), sampling_rate=16000, return_tensors="pt"
        )
        model = Reference.from_pretrained(folder).eval()
        states = model(**given, output_hidden_states=True).hidden_states
        return states[:-1]  # the last one has a norm more
    model = transformers.AutoModel.from_pretrained(folder).eval()
    wavs = normalize_waveform(wavs, torch.ones_like(wavs))
    return model(wavs, output_hidden_states=True).hidden_states[:-1]


@pytest.mark.parametrize("frozen_layers", [0, 1, 2])
def test_it_is_the_sum_of_transformers_layers(folder, frozen_layers):
    """Equal weights at first, then those that are given, in a plain loop."""
    encoder = made(folder, layer=2, frozen_layers=frozen_layers).eval()
    assert encoder.dim == 32
    kept = frozen_layers + 1 if frozen_layers else 1
    assert encoder.prefix_dim == 32 * kept
    wavs = torch.randn(2, WINDOW, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        states = hidden_states(folder, wavs)
        assert len(states) == 3
        for weights in ([0.0, 0.0, 0.0], [1.0, -2.0, 0.5]):
            encoder.layer_weights.copy_(torch.tensor(weights))
            shares = torch.tensor(weights).exp()
            shares = shares / shares.sum()
            expected = torch.zeros_like(states[0])
            for share, state in zip(shares, states):
                expected += share * state
            found, lengths = encoder(wavs, torch.ones(2))
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        if frozen_layers:
            prefix, _ = encoder.prefix(wavs, torch.ones(2))
            side_by_side = torch.cat(states[:kept], dim=2)
            torch.testing.assert_close(
                prefix, side_by_side, atol=1e-5, rtol=1e-5
            )
            assert torch.equal(encoder(prefix, lengths)[0], found)


def test_weights_are_learnt(folder, wavs, tmp_path):
    """Also with nothing else to learn; a checkpoint has them."""
    for settings in ({"frozen": True}, {"frozen_layers": 1}, {}):
        encoder = made(folder, layer=2, **settings).train()
        (encoder(*padded(wavs))[0] ** 3).sum().backward()
        gradient = encoder.layer_weights.grad
        assert (gradient != 0).all() and abs(float(gradient.sum())) < (
            1e-4 * float(gradient.abs().sum())
        )
        with torch.no_grad():
            encoder.layer_weights.add_(torch.tensor([1.0, 2.0, 3.0]))
        encoder.save(tmp_path / "encoder.ckpt")
        loaded = made(folder, layer=2, **settings)
        loaded.load(tmp_path / "encoder.ckpt", end_of_epoch=True)
        assert torch.equal(loaded.layer_weights, encoder.layer_weights)


def test_padding_changes_nothing(folder, wavs):
    """Alone and in a batch, of kept frames too."""
    encoder = made(folder, layer=2, frozen_layers=1).eval()
    with torch.no_grad():
        together, lengths = encoder(*padded(wavs, 16000))
        counts = (lengths * together.shape[1]).round().long()
        for wav, row, count in zip(wavs, together, counts):
            alone, _ = encoder(*padded([wav]))
            torch.testing.assert_close(alone[0], row[:count], atol=1e-5, rtol=0)


def test_masks_hide_every_layer(folder, wavs):
    """Of a kept frame that is masked none of its layers is heard."""
    encoder = made(folder, layer=2, frozen_layers=1, mask_embedding=True).eval()
    kept, lengths = encoder.prefix(*padded(wavs))
    masked = torch.rand(kept.shape[:2]) < 0.5
    other = torch.where(masked[..., None], torch.randn_like(kept), kept)
    found, _ = encoder(kept, lengths, masked)
    assert torch.equal(encoder(other, lengths, masked)[0], found)
    assert not torch.equal(encoder(other, lengths)[0], found)


def test_export_is_refused(folder, tmp_path):
    """The format has no place for the weights."""
    with pytest.raises(InputError, match="weighted False"):
        made(folder).export(str(tmp_path / "export"))


def test_frames_of_other_channels_are_refused(folder):
    """Such as those that another prefix kept."""
    encoder = made(folder, layer=2, frozen_layers=1)
    with pytest.raises(ValueError, match="have 64 channels, these have 32"):
        encoder(torch.randn(1, 9, 32), torch.ones(1))
