"""LPMN's Eq. 1 against loops in float64, and what must hold of a codebook."""

import numpy as np
import pytest
import torch

from speechbrain_ser.lobes.codebook import Codebook
from speechbrain_ser.lobes.local_prototypes import naive_local_mapping
from tests.lobes.helpers import COUNTS
from tests.references import lpmn as reference


@pytest.mark.parametrize("squared", [False, True])
def test_eq_1(batch, squared):
    """Value and both gradients, with their stop-gradients and weights."""
    frames, prototypes, counts = batch
    codebook = Codebook(7, 5, 0.6, 1.7, squared).double()
    codebook.prototypes.data.copy_(prototypes)
    frames.requires_grad_()
    loss = codebook(frames, counts / 9)
    loss.backward()
    valid = np.concatenate(
        [x[:n] for x, n in zip(frames.detach().numpy(), COUNTS)]
    )
    given = (valid, prototypes.numpy(), 0.6, 1.7, squared)
    expected = reference.quantization_loss(*given)
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    by_frames, by_prototypes = reference.quantization_gradients(*given)
    found = np.concatenate([x[:n] for x, n in zip(frames.grad.numpy(), COUNTS)])
    np.testing.assert_allclose(found, by_frames, atol=1e-12)
    np.testing.assert_allclose(
        codebook.prototypes.grad.numpy(), by_prototypes, atol=1e-12
    )
    for x, n in zip(frames.grad, COUNTS):
        assert (x[n:] == 0).all()


def test_eq_1_where_frame_and_prototype_are_one():
    """The root has no gradient at 0: it is 0 there, not NaN."""
    codebook = Codebook(2, 2)
    codebook.draw(torch.eye(2))
    frames = torch.eye(2).unsqueeze(0).requires_grad_()
    loss = codebook(frames, torch.ones(1))
    loss.backward()
    assert loss.item() == 0
    assert (frames.grad == 0).all() and (codebook.prototypes.grad == 0).all()


def test_nearest_and_usage(batch, work_size):
    """The Euclidean distance decides, not the cosine; counts by hand."""
    frames, prototypes, counts = batch
    prototypes = prototypes * torch.linspace(0.2, 3, 7)[:, None]
    codebook = Codebook(7, 5).double()
    codebook.prototypes.data.copy_(prototypes)
    valid = torch.cat([x[:n] for x, n in zip(frames, COUNTS)])
    nearest = reference.nearest(valid.numpy(), prototypes.numpy())
    assert codebook.nearest(valid).tolist() == list(nearest)
    cosine = naive_local_mapping(valid, prototypes, 1.0).argmax(dim=1)
    assert cosine.tolist() != list(nearest)
    codebook(frames, counts / 9)
    codebook(frames, counts / 9)
    chosen = np.bincount(nearest, minlength=7) * 2
    assert codebook.chosen.tolist() == chosen.tolist()
    used, perplexity = codebook.usage()
    assert used == (chosen > 0).sum()
    assert perplexity == pytest.approx(reference.perplexity(chosen))
    codebook.eval()
    codebook(frames, counts / 9)
    assert codebook.chosen.tolist() == chosen.tolist()


def test_drawn_prototypes_are_frames():
    """Each another one while there are enough; only those that are named."""
    codebook = Codebook(6, 2)
    before = codebook.prototypes.detach().clone()
    frames = torch.arange(20.0).reshape(10, 2)
    codebook.draw(frames, torch.tensor([1, 4]))
    held = codebook.prototypes.detach()
    assert torch.equal(held[[0, 2, 3, 5]], before[[0, 2, 3, 5]])
    rows = {tuple(row) for row in frames.tolist()}
    assert tuple(held[1].tolist()) in rows and not torch.equal(held[1], held[4])
    codebook.draw(frames[:4])
    assert len(codebook.prototypes.unique(dim=0)) == 4
