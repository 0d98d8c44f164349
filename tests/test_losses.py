"""Eq. 5 of IPR against a loop from the paper, and what it must obey."""

import numpy as np
import pytest
import torch

from speechbrain_ser.losses import PrototypeContrastiveLoss
from tests.references import ipr


def draw(n, dim=5, classes=3, seed=0):
    """Random float64 views and pseudo-labels."""
    generator = torch.Generator().manual_seed(seed)
    make = {"generator": generator, "dtype": torch.float64}
    labels = torch.randint(classes, (2, n), generator=generator)
    return torch.randn(n, dim, **make), torch.randn(n, dim, **make), *labels


@pytest.mark.parametrize("n", [1, 2, 7])
@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_equals_reference(n, temperature):
    """Also for one utterance and its copy, which are each other's only."""
    k, copy, labels, copy_labels = draw(n)
    loss = PrototypeContrastiveLoss(temperature)(k, copy, labels, copy_labels)
    expected = ipr.contrastive_loss(
        k.numpy(),
        copy.numpy(),
        labels.numpy(),
        copy_labels.numpy(),
        temperature,
    )
    assert float(loss) == pytest.approx(expected, rel=1e-9)


def test_gradient_equals_finite_differences():
    """Of the reference, in float64."""
    k, copy, labels, copy_labels = draw(4)
    k.requires_grad_()
    loss = PrototypeContrastiveLoss(0.5)(k, copy, labels, copy_labels)
    loss.backward()

    def at(value, i, j):
        """The reference with one number changed."""
        changed = k.detach().numpy().copy()
        changed[i, j] += value
        return ipr.contrastive_loss(
            changed, copy.numpy(), labels.numpy(), copy_labels.numpy(), 0.5
        )

    slope = np.array(
        [
            [(at(1e-5, i, j) - at(-1e-5, i, j)) / 2e-5 for j in range(5)]
            for i in range(4)
        ]
    )
    np.testing.assert_allclose(k.grad, slope, atol=1e-7)


def test_order_of_the_batch_does_not_matter():
    """A permuted batch has the same loss."""
    k, copy, labels, copy_labels = draw(6)
    order = torch.randperm(6)
    loss = PrototypeContrastiveLoss(0.2)
    assert torch.allclose(
        loss(k, copy, labels, copy_labels),
        loss(k[order], copy[order], labels[order], copy_labels[order]),
    )


def test_sharing_a_label_pulls_together():
    """Two equal utterances cost less as positives than as negatives."""
    views = torch.tensor([[1.0, 0.0], [0.9, 0.1], [-1.0, 0.2]])
    loss = PrototypeContrastiveLoss(0.5)
    near = torch.tensor([0, 0, 1])
    far = torch.tensor([0, 1, 0])
    assert loss(views, views, near, near) < loss(views, views, far, far)


def test_empty_batch_gives_zero():
    """A batch may hold no ambiguous utterance."""
    k = torch.zeros(0, 5, requires_grad=True)
    none = torch.zeros(0, dtype=torch.long)
    loss = PrototypeContrastiveLoss()(k, k, none, none)
    loss.backward()
    assert float(loss.detach()) == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_finite_in_half_precision(dtype):
    """Values and gradients, for equal and opposite views."""
    k = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]], dtype=dtype)
    k.requires_grad_()
    labels = torch.tensor([0, 1, 0])
    loss = PrototypeContrastiveLoss(0.05)(k, k, labels, labels)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(k.grad).all()


def test_bad_temperature_is_refused():
    """With what was given."""
    with pytest.raises(ValueError, match="temperature must be > 0, got 0"):
        PrototypeContrastiveLoss(0)
