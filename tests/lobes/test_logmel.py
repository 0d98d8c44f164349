"""The log-Mel encoder: padding and order change nothing."""

import pytest
import torch

from speechbrain_ser.lobes.logmel import LogMelEncoder
from speechbrain_ser.lobes.pooling import StatisticsPooling
from tests.lobes.helpers import padded


def embed(encoder, wavs, longest=None):
    """Mean and standard deviation of the frames of each waveform."""
    return StatisticsPooling("mean_std")(*encoder(*padded(wavs, longest)))


@pytest.fixture
def wavs():
    """Four waveforms of odd lengths."""
    generator = torch.Generator().manual_seed(0)
    lengths = (16000, 9137, 20481, 641)
    return [0.1 * torch.randn(n, generator=generator) for n in lengths]


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("training", [False, True])
def test_padding_changes_no_embedding(wavs, normalize, training):
    """Alone, in a batch and in a batch padded more: the same to 1e-5."""
    encoder = LogMelEncoder(channels=16, dropout=0.0, normalize=normalize)
    encoder.train(training)
    together = embed(encoder, wavs)
    torch.testing.assert_close(
        embed(encoder, wavs, 40000), together, atol=1e-5, rtol=0
    )
    for wav, row in zip(wavs, together):
        torch.testing.assert_close(
            embed(encoder, [wav])[0], row, atol=1e-5, rtol=0
        )


def test_permuted_batch_gives_permuted_embeddings(wavs):
    """The order of the batch is nobody's business."""
    encoder = LogMelEncoder(channels=16).eval()
    order = [2, 0, 3, 1]
    torch.testing.assert_close(
        embed(encoder, [wavs[i] for i in order]), embed(encoder, wavs)[order]
    )


def test_loudness_is_removed_only_on_request(wavs):
    """Doubling the amplitude adds a constant to every log-Mel channel."""
    torch.manual_seed(0)
    for normalize, same in ((True, True), (False, False)):
        encoder = LogMelEncoder(channels=16, normalize=normalize).eval()
        found = embed(encoder, [2 * wavs[0]]), embed(encoder, [wavs[0]])
        assert torch.allclose(*found, atol=1e-4) == same


@pytest.mark.parametrize(
    "finetune, trained",
    [("none", []), ("last1", [3]), ("last2", [2, 3]), ("all", [0, 1, 2, 3])],
)
def test_the_named_convolutions_are_trained(finetune, trained):
    """The others have no gradient; the frames are the same."""
    wavs, lengths = torch.randn(1, 4000), torch.ones(1)
    torch.manual_seed(0)
    plain = LogMelEncoder(8, 6).eval()
    torch.manual_seed(0)
    encoder = LogMelEncoder(8, 6, finetune=finetune).eval()
    assert torch.equal(encoder(wavs, lengths)[0], plain(wavs, lengths)[0])
    moved = {
        int(name.split(".")[1])
        for name, weight in encoder.named_parameters()
        if weight.requires_grad
    }
    assert sorted(moved) == trained


def test_the_floor_is_that_of_the_features():
    """Of 30 dB or of none."""
    for top_db in (30.0, None):
        encoder = LogMelEncoder(8, 6, top_db=top_db)
        assert encoder.features.settings["top_db"] == top_db
