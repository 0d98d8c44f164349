"""Directions: of any vector, with a gradient that has a limit."""

import pytest
import torch

from speechbrain_ser.lobes.multitask_head import CosineClassifier
from speechbrain_ser.lobes.prototypes import PrototypeBank
from speechbrain_ser.losses import AMSoftmaxLoss, PrototypeContrastiveLoss
from speechbrain_ser.utils.vectors import SHORTEST, precise, unit

N, DIM = 8, 6
LABELS = torch.arange(N) % 4


def soft_labels(embeddings):
    """Of IPR's prototypes, sharpened by the temperature."""
    bank = PrototypeBank(4, DIM, temperature=0.1)
    bank.initialize(torch.eye(DIM)[:4], torch.arange(4))
    return torch.nn.functional.nll_loss(
        bank.soft_label(embeddings).log(), LABELS
    )


def centred_labels(embeddings):
    """The same with embeddings that lie on the mean that is taken off."""
    bank = PrototypeBank(4, DIM, temperature=0.1, center="domain")
    bank.initialize(torch.eye(DIM)[:4], torch.arange(4))
    bank.means.means.fill_(3.0)
    return torch.nn.functional.nll_loss(
        bank.soft_label(embeddings + 3.0).log(), LABELS
    )


def contrastive(embeddings):
    """Eq. 5 of IPR, with copies that are fixed."""
    torch.manual_seed(1)
    copies = torch.randn(N, DIM)
    return PrototypeContrastiveLoss(0.1)(embeddings, copies, LABELS, LABELS)


def am_softmax(embeddings):
    """Eq. 2 and 3 of GMP-ATL."""
    torch.manual_seed(1)
    classifier = CosineClassifier(DIM, 4)
    return AMSoftmaxLoss(0.2, 30.0)(classifier(embeddings), LABELS)


LOSSES = (soft_labels, centred_labels, contrastive, am_softmax)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("size", [0.0, 1e-20, 1e-9, 1e-5, SHORTEST])
def test_gradient_at_a_short_embedding_is_bounded(loss, size):
    """Whatever is made of cosines: at most 1 / SHORTEST times a slope."""
    torch.manual_seed(0)
    embeddings = torch.randn(N, DIM)
    embeddings[::2] *= size / embeddings[::2].norm(dim=1, keepdim=True)
    embeddings.requires_grad_()
    value = loss(embeddings)
    value.backward()
    slope = embeddings.grad
    assert value.isfinite() and slope.isfinite().all()
    # a slope of 30 or less per unit of a cosine, twice for two sides
    assert slope.norm(dim=1).max() < 60 / SHORTEST
    if size:
        assert (slope[1::2].norm(dim=1) > 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ordinary_vectors_are_as_normalised_ever(dtype):
    """To the bit, value and gradient, down to 1.01 SHORTEST."""
    torch.manual_seed(0)
    vectors = torch.randn(9, DIM, dtype=dtype)
    scales = torch.logspace(-3.9, 4, 9, dtype=dtype).unsqueeze(1)
    vectors = vectors / vectors.norm(dim=1, keepdim=True) * scales
    weight = torch.randn(9, DIM, dtype=dtype)
    found = []
    for make in (unit, torch.nn.functional.normalize):
        given = vectors.clone().requires_grad_()
        made = make(given)
        (made * weight).sum().backward()
        found.append((made.detach(), given.grad))
    for one, other in zip(*found):
        assert torch.equal(one, other)
        assert one.dtype == dtype


def test_gradient_is_right_on_both_sides():
    """Finite differences, of short vectors and of ordinary ones."""
    torch.manual_seed(0)
    for size in (SHORTEST / 4, 1.0):
        vectors = torch.randn(3, DIM, dtype=torch.float64)
        vectors *= size / vectors.norm(dim=1, keepdim=True)
        vectors.requires_grad_()
        torch.autograd.gradcheck(unit, vectors, eps=size * 1e-4)


def test_half_precision_becomes_float32():
    """And float64 stays what it is."""
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        assert unit(torch.ones(2, 3, dtype=dtype)).dtype == torch.float32
    assert precise(torch.ones(1, dtype=torch.float64)).dtype == torch.float64
