"""What several tests of the lobes need."""

import torch

from speechbrain_ser.lobes.codebook import Codebook
from speechbrain_ser.lobes.local_prototypes import LocalPrototypicalMapping

KINDS = ("wav2vec2", "hubert", "wavlm")
# Valid frames of the utterances of `conftest.batch`.
COUNTS = [9, 1, 6, 4]


def padded(wavs, longest=None):
    """Pads a list of waveforms; returns the batch and relative lengths."""
    longest = longest or max(len(wav) for wav in wavs)
    batch = torch.zeros(len(wavs), longest)
    for row, wav in zip(batch, wavs):
        row[: len(wav)] = wav
    return batch, torch.tensor([len(wav) / longest for wav in wavs])


def without_dropout(encoder):
    """Sets every dropout to 0, so that train mode is no chance."""
    for module in encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    for block in encoder.model.encoder.layers:
        block.attention.dropout = 0.0
    return encoder


def make(prototypes, tau=0.7, **kwargs):
    """A mapping onto given prototypes, in their dtype."""
    codebook = Codebook(*prototypes.shape)
    pool = LocalPrototypicalMapping(codebook, tau, **kwargs)
    pool.to(prototypes.dtype)
    codebook.prototypes.data.copy_(prototypes)
    return pool
