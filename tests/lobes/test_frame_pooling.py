"""A pooling by its word, and the size of what it gives."""

import pytest
import torch

from speechbrain_ser.lobes.codebook import Codebook
from speechbrain_ser.lobes.frame_pooling import (
    POOLINGS,
    make_pooling,
    pooled_size,
)
from speechbrain_ser.lobes.local_prototypes import LocalPrototypicalMapping


@pytest.mark.parametrize("kind", POOLINGS)
def test_size_is_that_of_the_embedding(kind):
    """Of each of the words."""
    pool = make_pooling(kind, Codebook(6, 4), tau=0.5, in_chance=False)
    pooled = pool(torch.randn(2, 9, 4), torch.tensor([1.0, 0.5]))
    if kind == "lpmn":
        assert isinstance(pool, LocalPrototypicalMapping)
        assert (pool.tau, pool.in_chance) == (0.5, False)
        pooled, _ = pooled
    assert pooled.shape == (2, pooled_size(kind, 6, 4))
