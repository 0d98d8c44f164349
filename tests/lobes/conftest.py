"""Frames, prototypes, models and waveforms that the tests of lobes share."""

import pytest
import torch

from conftest import save_ssl_model
from speechbrain_ser.lobes import codebook as lobe
from tests.lobes.helpers import COUNTS, KINDS


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


@pytest.fixture(scope="module", params=KINDS)
def layer_norm_model(request, tmp_path_factory):
    """A folder with a tiny model of the layer-norm ("large") kind."""
    folder = tmp_path_factory.mktemp(request.param)
    return save_ssl_model(folder, request.param, norm="layer")


@pytest.fixture
def wavs():
    """Three waveforms with a mean and levels of their own."""
    generator = torch.Generator().manual_seed(0)
    lengths = (8000, 5001, 3333)
    return [
        0.1 * (i + 1) * torch.randn(n, generator=generator) + 0.05 * i
        for i, n in enumerate(lengths)
    ]
