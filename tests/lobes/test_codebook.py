"""LPMN's Eq. 1 against loops in float64, and what must hold of a codebook."""

import numpy as np
import pytest
import torch

from speechbrain_ser.lobes.codebook import Codebook, usage_of
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


def test_counts_are_of_valid_frames_alone(batch):
    """Whatever stands in the padding, in either mode; the epoch's stay."""
    frames, prototypes, counts = batch
    codebook = Codebook(7, 5).double()
    codebook.prototypes.data.copy_(prototypes)
    valid = torch.cat([x[:n] for x, n in zip(frames, COUNTS)])
    nearest = reference.nearest(valid.numpy(), prototypes.numpy())
    expected = np.bincount(nearest, minlength=7).tolist()
    for filling in (0.0, 1e6, torch.nan):
        padded = frames.clone()
        for x, n in zip(padded, COUNTS):
            x[n:] = filling
        for training in (True, False):
            codebook.train(training)
            assert codebook.count(padded, counts / 9).tolist() == expected
    assert sum(expected) == sum(COUNTS) and not codebook.chosen.any()


def test_usage_of_made_up_counts():
    """By hand: shares 1/2, 1/4, 1/4; all on one; none at all."""
    used, perplexity = usage_of(torch.tensor([2, 0, 1, 1]))
    assert used == 3 and perplexity == pytest.approx(2**1.5)
    assert usage_of(torch.tensor([0, 9, 0])) == (1, 1.0)
    assert usage_of(torch.zeros(3, dtype=torch.long)) == (0, 1.0)


def test_an_epoch_of_many_frames_is_counted_to_the_last():
    """Float32 does not count beyond 2**24."""
    codebook = Codebook(2, 2)
    codebook.chosen[0] = 2**24
    codebook(codebook.prototypes[:1].detach().unsqueeze(0), torch.ones(1))
    assert int(codebook.chosen.max()) == 2**24 + 1
