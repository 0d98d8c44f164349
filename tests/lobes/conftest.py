"""Frames and prototypes that the tests of LPMN's lobes share."""

import pytest
import torch

from speechbrain_ser.lobes import codebook as lobe
from speechbrain_ser.lobes.codebook import Codebook
from speechbrain_ser.lobes.local_prototypes import LocalPrototypicalMapping

COUNTS = [9, 1, 6, 4]


@pytest.fixture
def batch():
    """Frames of four padded utterances, prototypes, lengths: float64."""
    torch.manual_seed(1)
    frames = torch.randn(4, 9, 5, dtype=torch.float64)
    prototypes = torch.randn(7, 5, dtype=torch.float64)
    return frames, prototypes, torch.tensor(COUNTS)


@pytest.fixture(params=[1, 100, 2**19])
def work_size(request, monkeypatch):
    """Pieces of one utterance, of a few, and all at once."""
    monkeypatch.setitem(lobe.WORK_SIZE, "cpu", request.param)


def make(prototypes, tau=0.7, **kwargs):
    """A mapping onto given prototypes, in their dtype."""
    codebook = Codebook(*prototypes.shape)
    pool = LocalPrototypicalMapping(codebook, tau, **kwargs)
    pool.to(prototypes.dtype)
    codebook.prototypes.data.copy_(prototypes)
    return pool
