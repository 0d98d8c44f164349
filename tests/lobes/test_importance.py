"""LPMN's Eq. 4 against loops in float64, and what must hold of it."""

import numpy as np
import pytest
import torch

from speechbrain_ser.lobes.importance import FisherImportance
from tests.lobes.helpers import COUNTS, make
from tests.references import lpmn as reference


def importance_of(batch, labels, weight, bias, pool, **kwargs):
    """One update of the importance, from a linear classifier."""
    frames, _, counts = batch
    frames = frames.clone().requires_grad_()
    pooled, winners = pool(frames, counts / 9)
    log_p = torch.log_softmax(pooled @ weight.T + bias, dim=1)
    log_p = log_p.gather(1, labels.unsqueeze(1)).squeeze(1)
    importance = FisherImportance(7, **kwargs).double()
    importance.update(log_p, pooled, winners, frames.detach(), counts / 9, pool)
    return importance, log_p


@pytest.fixture
def classifier():
    """Labels of the batch, and a linear classifier of three classes."""
    torch.manual_seed(2)
    labels = torch.tensor([2, 0, 1, 2])
    weight = torch.randn(3, 7, dtype=torch.float64)
    return labels, weight, torch.randn(3, dtype=torch.float64)


@pytest.mark.parametrize("in_chance", [False, True])
def test_eq_4_by_finite_differences(batch, classifier, in_chance, work_size):
    """As printed, of every coordinate of every prototype."""
    frames, prototypes, _ = batch
    prototypes = prototypes * torch.linspace(0.5, 2, 7)[:, None]
    labels, weight, bias = classifier
    pool = make(prototypes, in_chance=in_chance)
    importance, _ = importance_of(
        batch, labels, weight, bias, pool, of_direction=False
    )
    expected = reference.fisher_importance(
        frames.numpy(),
        COUNTS,
        labels.tolist(),
        prototypes.numpy(),
        0.7,
        weight.numpy(),
        bias.numpy(),
        scale=7.0 if in_chance else 1.0,
        shift=-1.0 if in_chance else 0.0,
    )
    np.testing.assert_allclose(
        importance.importance.numpy(), expected, rtol=1e-6, atol=1e-12
    )


def test_eq_4_is_brute_force_autograd_utterance_by_utterance(batch, classifier):
    """And not the square of the batch's gradient."""
    labels, weight, bias = classifier
    pool = make(batch[1])
    importance, log_p = importance_of(
        batch, labels, weight, bias, pool, of_direction=False
    )
    parameter = pool.codebook.prototypes
    each = [
        torch.autograd.grad(one, parameter, retain_graph=True)[0]
        for one in log_p
    ]
    expected = sum((g**2).sum(dim=1) for g in each) / sum(COUNTS)
    torch.testing.assert_close(importance.importance, expected)
    together = (sum(each) ** 2).sum(dim=1) / sum(COUNTS)
    assert not torch.allclose(together, expected, rtol=0.05)


def test_importance_of_a_direction_knows_no_length(batch, classifier):
    """Eq. 4 as printed grows with 1 / length squared; ours does not."""
    labels, weight, bias = classifier
    length = torch.linspace(0.1, 5, 7, dtype=torch.float64)[:, None]
    found = {}
    for name, prototypes in {
        "plain": batch[1],
        "scaled": batch[1] * length,
    }.items():
        for of_direction in (True, False):
            importance, _ = importance_of(
                batch,
                labels,
                weight,
                bias,
                make(prototypes),
                of_direction=of_direction,
            )
            found[name, of_direction] = importance.importance
    torch.testing.assert_close(found["plain", True], found["scaled", True])
    torch.testing.assert_close(
        found["plain", False], found["scaled", False] * length.squeeze(1) ** 2
    )


def test_importance_is_0_where_a_prototype_cannot_matter(batch, classifier):
    """No class hears it (and the softmax is sharp enough not to spread it)."""
    labels, weight, bias = classifier
    importance, _ = importance_of(
        batch, labels, torch.zeros_like(weight), bias, make(batch[1])
    )
    assert (importance.importance == 0).all()
    # a copy of one prototype that no class weighs: only the softmax is left
    weight[:, 3] = 0
    far = batch[1].clone()
    far[3] = -batch[0][0, 0] * 3
    sharp = make(far, tau=0.01)
    importance, _ = importance_of(batch, labels, weight, bias, sharp)
    assert importance.importance[3] < 1e-8 * importance.importance.max()


def test_moving_average_and_ranking(batch, classifier):
    """The first value starts it; the ranking is by value."""
    labels, weight, bias = classifier
    pool = make(batch[1])
    frames, _, counts = batch
    importance = FisherImportance(7, decay=0.8).double()
    singles = []
    for scale in (1.0, 0.3, 2.0):
        pooled, winners = pool(frames, counts / 9)
        log_p = torch.log_softmax(scale * pooled @ weight.T + bias, dim=1)
        log_p = log_p.gather(1, labels.unsqueeze(1)).squeeze(1)
        given = (log_p, pooled, winners, frames, counts / 9, pool)
        importance.update(*given)
        single = FisherImportance(7).double()
        single.update(*given)
        singles.append(single.importance.numpy())
    expected = reference.moving_average(singles, 0.8)
    np.testing.assert_allclose(importance.importance.numpy(), expected)
    assert importance.ranking().tolist() == list(reference.select(expected, 7))
    assert pool.codebook.prototypes.grad is None


def test_a_pass_that_overflowed_does_not_count(batch, classifier):
    """Its step is skipped too; the next one counts as ever."""
    labels, weight, bias = classifier
    pool = make(batch[1])
    frames, _, counts = batch
    found = []
    for scales in ([1.0], [torch.inf, 1.0, torch.inf]):
        importance = FisherImportance(7, decay=0.8).double()
        for scale in scales:
            pooled, winners = pool(frames, counts / 9)
            log_p = torch.log_softmax(pooled @ weight.T + bias, dim=1) * scale
            log_p = log_p.gather(1, labels.unsqueeze(1)).squeeze(1)
            importance.update(log_p, pooled, winners, frames, counts / 9, pool)
        found.append(importance.importance)
    assert torch.isfinite(found[0]).all() and torch.equal(*found)


def test_bad_arguments():
    """Refused by name."""
    with pytest.raises(ValueError, match="--decay is 1.0: .*below 1"):
        FisherImportance(2, decay=1.0)
