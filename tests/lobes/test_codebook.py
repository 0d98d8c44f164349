"""LPMN's equations against loops in float64, and what must hold of them."""

import numpy as np
import pytest
import torch

from speechbrain_ser.lobes import codebook as lobe
from speechbrain_ser.lobes.codebook import (
    Codebook,
    FisherImportance,
    LocalPrototypicalMapping,
    max_mapping,
    naive_local_mapping,
    naive_max_mapping,
)
from tests.references import lpmn as reference

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


@pytest.mark.parametrize("tau", [1.0, 0.05])
def test_eq_2_and_the_maximum(batch, tau, work_size):
    """Plain and lean version against loops over utterances and frames."""
    frames, prototypes, counts = batch
    for x in frames:
        mapping = naive_local_mapping(x, prototypes, tau)
        expected = reference.mapping(x.numpy(), prototypes.numpy(), tau)
        np.testing.assert_allclose(mapping.numpy(), expected, atol=1e-13)
        np.testing.assert_allclose(mapping.sum(dim=1).numpy(), 1, atol=1e-13)
    expected = reference.local_prototypical_mapping(
        frames.numpy(), COUNTS, prototypes.numpy(), tau
    )
    for function in (naive_max_mapping, max_mapping):
        values, winners = function(frames, counts, prototypes, tau)
        np.testing.assert_allclose(values.numpy(), expected, atol=1e-13)
        for x, n, picked in zip(frames, COUNTS, winners):
            mapping = reference.mapping(x[:n].numpy(), prototypes.numpy(), tau)
            assert picked.tolist() == list(reference.maxpool(mapping)[1])


def gradients(function, frames, counts, prototypes, tau, upstream):
    """The gradients of frames and prototypes."""
    frames = frames.clone().requires_grad_()
    prototypes = prototypes.clone().requires_grad_()
    values = function(frames, counts, prototypes, tau)[0]
    return torch.autograd.grad((values * upstream).sum(), (frames, prototypes))


@pytest.mark.parametrize("tau", [1.0, 0.05])
def test_lean_gradients_are_the_plain_ones(batch, tau, work_size):
    """In float64, to the last digits; padded frames have none."""
    frames, prototypes, counts = batch
    upstream = torch.randn(4, 7, dtype=torch.float64)
    given = (frames, counts, prototypes, tau, upstream)
    plain, lean = (
        gradients(naive_max_mapping, *given),
        gradients(max_mapping, *given),
    )
    for a, b in zip(plain, lean):
        torch.testing.assert_close(a, b, atol=1e-13, rtol=1e-12)
    for x, n in zip(lean[0], COUNTS):
        assert (x[n:] == 0).all()


def test_gradient_by_finite_differences(batch):
    """Neither version is right because the other says so."""
    frames, prototypes, counts = batch
    frames.requires_grad_()
    prototypes.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x, p: max_mapping(x, counts, p, 0.5)[0], (frames, prototypes)
    )


def test_padding_changes_nothing(batch):
    """More padding, of any content: the same values and gradients."""
    frames, prototypes, counts = batch
    pool = make(prototypes)
    codebook = pool.codebook
    longer = torch.cat([frames, torch.full((4, 8, 5), 1e3).double()], dim=1)
    results = []
    for x in (frames, longer):
        x = x.clone().requires_grad_()
        lengths = counts / x.shape[1]
        pooled, winners = pool(x, lengths)
        loss = (pooled**2).sum() + codebook(x, lengths)
        loss.backward()
        grad = codebook.prototypes.grad.clone()
        codebook.prototypes.grad = None
        results.append((pooled, winners, loss, x.grad[:, :9], grad))
    for a, b in zip(*results):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=1e-12)


def test_permuted_batch(batch):
    """Utterances know nothing of each other."""
    frames, prototypes, counts = batch
    pool = make(prototypes)
    order = torch.tensor([2, 0, 3, 1])
    pooled = pool(frames, counts / 9)[0]
    permuted = pool(frames[order], counts[order] / 9)[0]
    torch.testing.assert_close(pooled[order], permuted)


def test_in_chance_is_k_times_the_printed_one_less_1(batch):
    """And what is looked at over time is K times it."""
    frames, prototypes, counts = batch
    printed = make(prototypes, in_chance=False)(frames, counts / 9)[0]
    pool = make(prototypes)
    torch.testing.assert_close(pool(frames, counts / 9)[0], 7 * printed - 1)
    seen = pool.over_time(frames[0])
    torch.testing.assert_close(seen.sum(dim=1), torch.full((9,), 7.0).double())


def test_selection_runs_the_softmax_over_the_kept(batch):
    """Section 3.3; K' = K in another order is the mapping permuted."""
    frames, prototypes, counts = batch
    pool = make(prototypes, in_chance=False)
    kept = torch.tensor([5, 0, 3])
    pooled = pool(frames, counts / 9, kept)[0]
    for x, n, row in zip(frames, COUNTS, pooled):
        mapping = reference.selected_mapping(
            x[:n].numpy(), prototypes.numpy(), kept.tolist(), 0.7
        )
        np.testing.assert_allclose(
            row.detach().numpy(), mapping.max(axis=0), atol=1e-13
        )
    everything = pool(frames, counts / 9)[0]
    order = torch.tensor([6, 1, 0, 2, 5, 4, 3])
    torch.testing.assert_close(
        pool(frames, counts / 9, order)[0], everything[:, order]
    )


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


@pytest.mark.parametrize("autocast", [False, True])
def test_finite_where_there_is_nothing(autocast):
    """One frame, a frame of zeros, bf16: all gradients are finite."""
    torch.manual_seed(0)
    pool = LocalPrototypicalMapping(Codebook(16, 8))
    linear = torch.nn.Linear(8, 8)
    head = torch.nn.Linear(16, 3)
    x = torch.randn(3, 5, 8)
    x[1] = 0
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        frames = linear(x) * (x.abs().sum(dim=2, keepdim=True) > 0)
        lengths = torch.tensor([0.2, 1.0, 0.6])
        pooled, winners = pool(frames, lengths)
        logits = head(pooled)
        loss = logits.float().logsumexp(dim=1).sum()
        loss = loss + pool.codebook(frames, lengths)
        log_p = torch.log_softmax(logits.float(), dim=1)[:, 0]
        importance = FisherImportance(16)
        importance.update(
            log_p, pooled, winners, frames.detach(), lengths, pool
        )
    loss.backward()
    assert pooled.dtype == torch.float32
    for parameter in (
        *pool.parameters(),
        *linear.parameters(),
        *head.parameters(),
    ):
        assert parameter.grad.isfinite().all()
    assert pool.codebook.prototypes.grad.abs().sum() > 0
    assert importance.importance.isfinite().all()


def test_the_classifier_can_learn_at_k_1024():
    """As printed its weights' gradients are a thousandth; ours are of use.

    Frames are as a normalised encoder gives them, prototypes are frames.
    """
    torch.manual_seed(0)
    frames = torch.nn.functional.layer_norm(torch.randn(16, 50, 256), (256,))
    labels = torch.arange(16) % 4
    size = {}
    for in_chance in (True, False):
        codebook = Codebook(1024, 256)
        codebook.draw(frames.flatten(0, 1))
        pool = LocalPrototypicalMapping(codebook, 1.0, in_chance)
        head = torch.nn.Linear(1024, 4)
        pooled, _ = pool(frames, torch.ones(16))
        spread = pooled.std(dim=0).mean()
        torch.nn.functional.cross_entropy(head(pooled), labels).backward()
        size[in_chance] = float(head.weight.grad.norm()), float(spread)
    assert size[True][0] > 0.1 and size[True][1] > 0.01
    # a learning rate of 0.0001 would need thousands of epochs
    assert size[False][0] < 0.005 and size[False][1] < 0.001


def test_plain_version_is_finite_too():
    """A frame and a prototype of zeros: they have no direction, no gradient."""
    frames = torch.zeros(1, 2, 3, requires_grad=True)
    prototypes = torch.zeros(2, 3, requires_grad=True)
    counts = torch.tensor([2])
    for function in (naive_max_mapping, max_mapping):
        values = function(frames, counts, prototypes, 1.0)[0]
        for gradient in torch.autograd.grad(values.sum(), (frames, prototypes)):
            assert (gradient == 0).all()


@pytest.mark.parametrize("bad", [0, -1.0])
def test_bad_arguments(bad):
    """Refused by name."""
    with pytest.raises(ValueError, match="tau"):
        LocalPrototypicalMapping(Codebook(2, 2), tau=bad)
    with pytest.raises(ValueError, match="decay"):
        FisherImportance(2, decay=1.0)
