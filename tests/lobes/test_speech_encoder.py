"""One front: the folder says what kind of model it holds."""

import pytest
import torch
import transformers

from conftest import save_ssl_model, save_whisper
from speechbrain_ser.lobes.speech_encoder import KINDS, speech_encoder
from speechbrain_ser.lobes.speech_model import SpeechModel, positions
from speechbrain_ser.lobes.ssl import SSLEncoder
from speechbrain_ser.lobes.whisper import WhisperEncoder
from speechbrain_ser.utils.errors import InputError
from tests.lobes.helpers import padded, without_dropout


def save(folder, kind):
    """Saves a tiny model of a kind that padding does not matter to."""
    if kind == "whisper":
        return save_whisper(folder)
    return save_ssl_model(folder, kind, "layer")


@pytest.fixture(scope="module", params=KINDS)
def folder(request, tmp_path_factory):
    """A folder of each kind."""
    return save(tmp_path_factory.mktemp(request.param), request.param)


@pytest.mark.parametrize(
    "settings",
    [
        {"layer": 2},
        {"frozen": True, "weighted": True},
        {"frozen_layers": 1, "mask_embedding": True},
        {"freeze_feature_extractor": False, "gradient_checkpointing": True},
    ],
)
def test_it_is_the_class_of_the_kind(folder, settings, wavs):
    """With all of its settings: the same numbers, the same that is trained."""
    torch.manual_seed(3)
    found = speech_encoder(folder, "unused", **settings).eval()
    kind = WhisperEncoder if "whisper" in folder else SSLEncoder
    assert type(found) is kind and isinstance(found, SpeechModel)
    torch.manual_seed(3)
    expected = kind(folder, "unused", **settings).eval()
    one, two = found.state_dict(), expected.state_dict()
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    for name, parameter in expected.named_parameters():
        twin = found.get_parameter(name)
        assert twin.requires_grad == parameter.requires_grad, name
    given = padded(wavs)
    assert torch.equal(found(*given)[0], expected(*given)[0])
    assert found.layer == settings.get("layer", 3) and found.n_layers == 3
    assert not found.padding_matters and found.sample_rate == 16000


def test_padded_is_of_whisper_alone(folder):
    """Another kind refuses it with the way out."""
    if "whisper" in folder:
        assert speech_encoder(folder, None, padded=True).padded
    else:
        with pytest.raises(InputError, match="padded False"):
            speech_encoder(folder, "unused", padded=True)


def test_another_sampling_rate_is_refused(folder):
    """With the one that it takes."""
    with pytest.raises(InputError, match="not of 8000: .*sample_rate 16000"):
        speech_encoder(folder, "unused", sample_rate=8000)


def test_other_models_are_refused(tmp_path):
    """Named with those that are known; a folder that is not there too."""
    config = transformers.BertConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1
    )
    transformers.BertModel(config).save_pretrained(tmp_path)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    with pytest.raises(InputError, match="bert model: .*wavlm, whisper"):
        speech_encoder(str(tmp_path), "unused")
    with pytest.raises(InputError, match="there is no folder"):
        speech_encoder(str(tmp_path / "nowhere"), "unused")


def test_masked_frames_of_a_prefix(folder, wavs):
    """At the first trained block: the embedding and where the frame stands."""
    encoder = speech_encoder(
        folder, "unused", layer=2, frozen_layers=1, mask_embedding=True
    )
    without_dropout(encoder) if "whisper" not in folder else None
    encoder.train()
    kept, lengths = encoder.prefix(*padded(wavs))
    masked = torch.rand(kept.shape[:2]) < 0.5
    found, _ = encoder(kept, lengths, masked)
    assert torch.equal(encoder(*padded(wavs), masked)[0], found)
    # by hand: the same frames given as kept ones
    embedding = encoder._mask_parameter()
    given = kept.clone()
    for row, col in masked.nonzero().tolist():
        given[row, col] = embedding + positions(kept.shape[1], 32)[col]
    torch.testing.assert_close(found, encoder(given, lengths)[0])
    # what was there is not heard, where it was told apart by its place
    other = torch.where(masked[..., None], torch.randn_like(kept), kept)
    assert torch.equal(encoder(other, lengths, masked)[0], found)
    both = masked & (torch.arange(kept.shape[1]) < 20)
    first = found[0][both[0]]
    assert (torch.pdist(first) > 1e-3).all()
    (found**3).sum().backward()
    assert (embedding.grad != 0).all()
    blocks = encoder._blocks()
    assert all(p.grad is not None for p in blocks[1].parameters())
    assert all(p.grad is None for p in blocks[0].parameters())


def test_masked_frames_of_whisper_without_an_embedding(tmp_path):
    """It has none of its own."""
    encoder = speech_encoder(save_whisper(tmp_path), None, frozen_layers=1)
    masked = torch.ones(1, 12, dtype=torch.bool)
    with pytest.raises(ValueError, match="mask_embedding"):
        encoder(torch.randn(1, 12, 32), torch.ones(1), masked)


def test_positions_tell_frames_apart():
    """Of any size: no two rows alike, none larger than one."""
    for dim in (5, 32):
        found = positions(1500, dim)
        assert found.shape == (1500, dim) and found.abs().max() <= 1
        assert torch.pdist(found).min() > 0.05
        assert found[7, 0] == torch.tensor(7.0).sin()
