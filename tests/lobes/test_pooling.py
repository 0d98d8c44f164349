"""Pooling over the valid frames, against a loop."""

import numpy as np
import pytest
import torch

from speechbrain_ser.lobes.pooling import StatisticsPooling


def test_pooling_equals_a_loop():
    """Mean and standard deviation over the valid frames, in NumPy."""
    frames = torch.randn(3, 7, 2)
    counts = [7, 4, 1]
    found = StatisticsPooling("mean_std")(frames, torch.tensor(counts) / 7)
    for row, sequence, count in zip(found, frames.numpy(), counts):
        valid = sequence[:count].astype(np.float64)
        expected = [*valid.mean(axis=0), *np.sqrt(valid.var(axis=0) + 1e-5)]
        np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-5)


def test_padded_frames_get_no_gradient():
    """Nothing is learnt from padding."""
    frames = torch.randn(1, 6, 3, requires_grad=True)
    StatisticsPooling("mean_std")(frames, torch.tensor([0.5])).sum().backward()
    assert (frames.grad[0, 3:] == 0).all()
    assert (frames.grad[0, :3] != 0).any()


def test_unknown_statistics_are_refused():
    """With the choices."""
    with pytest.raises(ValueError, match="'max': .*mean, mean_std"):
        StatisticsPooling("max")
