"""Padding of every encoder and pooling: nothing in, and no gradient out."""

import pytest
import torch

from conftest import save_ssl_model, save_whisper
from speechbrain_ser.lobes.codebook import Codebook
from speechbrain_ser.lobes.conv_attention import (
    ConvAttentionEncoder,
    GlobalAttention,
)
from speechbrain_ser.lobes.features import LogMel, LogMelPitchEnergy
from speechbrain_ser.lobes.frame_pooling import make_norm, make_pooling
from speechbrain_ser.lobes.local_prototypes import LocalPrototypicalMapping
from speechbrain_ser.lobes.logmel import LogMelEncoder
from speechbrain_ser.lobes.multitask_head import BLSTMHead
from speechbrain_ser.lobes.pooling import MaxPooling, StatisticsPooling
from speechbrain_ser.lobes.speaker_invariant import MEnANEncoder
from speechbrain_ser.lobes.ssl import SSLEncoder
from speechbrain_ser.lobes.whisper import WhisperEncoder
from tests.lobes.helpers import KINDS, without_dropout

# Each of two utterances, the second is a third shorter.
LONGEST, SHORTER = 48, 32
DIM = 6
CONV = {"filters": 5, "kernel_size": 4, "stride": 2, "pool_size": 2}
# On frames [batch, time, DIM] and lengths; what each gives of an utterance.
ON_FRAMES = {
    "mean": lambda: StatisticsPooling("mean"),
    "mean_std": lambda: StatisticsPooling("mean_std"),
    "max": MaxPooling,
    "average of frame_pooling": lambda: make_pooling("average", None),
    "norm and max": lambda: torch.nn.ModuleList([make_norm(DIM), MaxPooling()]),
    "mapping": lambda: LocalPrototypicalMapping(Codebook(7, DIM)),
    "codebook": lambda: Codebook(7, DIM),
    "attention": lambda: GlobalAttention(DIM),
    "ConvAttentionEncoder": lambda: ConvAttentionEncoder(DIM, LONGEST, **CONV),
    "MEnANEncoder": lambda: MEnANEncoder(DIM, 4),
    "BLSTMHead": lambda: BLSTMHead(DIM, 4, 5),
}
# On waveforms: they give frames and their lengths.
ON_WAVES = {
    "LogMel": lambda _: LogMel(8),
    "LogMelPitchEnergy": lambda _: LogMelPitchEnergy(8),
    "LogMelEncoder": lambda _: LogMelEncoder(8, 6),
} | {
    kind: lambda folder, kind=kind: SSLEncoder(
        save_ssl_model(folder, kind, "layer"), "unused", layer=2
    )
    for kind in KINDS
}
ON_WAVES |= {
    f"Whisper, padded {padded}": lambda folder, padded=padded: WhisperEncoder(
        save_whisper(folder), None, padded=padded
    )
    for padded in (False, True)
}
NO_GRADIENT = ("LogMelPitchEnergy",)  # its pitch has none


def embed(module, frames, lengths):
    """All that a lobe says of frames, as one tensor, by utterance if it may."""
    if isinstance(module, torch.nn.ModuleList):
        norm, pool = module
        return pool(norm(frames), lengths)
    found = module(frames, lengths)
    return found[0] if isinstance(found, tuple) else found


def filled(inputs, end, filling):
    """The same, with something else behind the second one's end."""
    inputs = inputs.detach().clone()
    inputs[1, end:] = filling
    return inputs


@pytest.mark.parametrize("name", ON_FRAMES)
def test_padded_frames(name):
    """Bit for bit the same whatever stands there; its gradient exactly 0."""
    torch.manual_seed(0)
    module = ON_FRAMES[name]().eval()
    frames = torch.randn(2, LONGEST, DIM)
    lengths = torch.tensor([1.0, SHORTER / LONGEST])
    given = filled(frames, SHORTER, 0.0).requires_grad_()
    found = embed(module, given, lengths)
    weights = torch.randn_like(found)
    (weights * found).sum().backward()
    assert (given.grad[1, SHORTER:] == 0).all()
    assert (given.grad[:, : SHORTER // 2] != 0).any()
    for filling in (1e3, -1e3, frames[1, SHORTER:]):
        other = filled(frames, SHORTER, filling).requires_grad_()
        assert torch.equal(embed(module, other, lengths), found)
        (weights * embed(module, other, lengths)).sum().backward()
        assert (other.grad[1, SHORTER:] == 0).all()
        assert torch.equal(other.grad[:, :SHORTER], given.grad[:, :SHORTER])


@pytest.mark.parametrize("name", ON_WAVES)
def test_padded_samples(name, tmp_path):
    """What is behind the end of a wave: the same, to rounding and exactly 0."""
    torch.manual_seed(0)
    module = ON_WAVES[name](tmp_path).eval()
    if name in KINDS:
        without_dropout(module)
    longest, end = 6000, 4000
    wavs = 0.1 * torch.randn(2, longest)
    lengths = torch.tensor([1.0, end / longest])

    def of_the_second(wavs):
        """Its valid frames."""
        frames, counts = module(wavs, lengths)
        n = int((counts[1] * frames.shape[1]).round())
        return frames[1, :n]

    given = filled(wavs, end, 0.0).requires_grad_()
    found = of_the_second(given)
    other = filled(wavs, end, wavs[1, end:])
    torch.testing.assert_close(of_the_second(other), found, atol=0, rtol=0)
    if name in NO_GRADIENT:
        return
    (torch.randn_like(found) * found).sum().backward()
    assert (given.grad[1, end:] == 0).all()
    assert (given.grad[1, : end // 2] != 0).any()
