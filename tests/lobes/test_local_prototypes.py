"""LPMN's Eq. 2 against loops in float64, and what must hold of the mapping."""

import numpy as np
import pytest
import torch

from speechbrain_ser.lobes import local_prototypes as lobe
from speechbrain_ser.lobes.codebook import Codebook
from speechbrain_ser.lobes.importance import FisherImportance
from speechbrain_ser.lobes.local_prototypes import (
    LocalPrototypicalMapping,
    lean_max_mapping,
    max_mapping,
    naive_local_mapping,
    naive_max_mapping,
)
from tests.lobes.helpers import COUNTS, make
from tests.references import lpmn as reference


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
    for function in (naive_max_mapping, lean_max_mapping):
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
        gradients(lean_max_mapping, *given),
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
        lambda x, p: lean_max_mapping(x, counts, p, 0.5)[0],
        (frames, prototypes),
    )


@pytest.fixture(params=["plain", "lean"])
def way(request, monkeypatch):
    """Both ways of the mapping, whatever the size."""
    most = {"plain": 2**40, "lean": 0}[request.param]
    monkeypatch.setitem(lobe.PLAIN_UP_TO, "cpu", most)
    return request.param


def test_the_way_is_chosen_by_size(monkeypatch):
    """Plain up to so many numbers; both are equal on either side of that."""
    taken = []
    for name in ("naive_max_mapping", "lean_max_mapping"):
        function = getattr(lobe, name)
        monkeypatch.setattr(
            lobe,
            name,
            lambda *args, name=name, function=function: (
                taken.append(name) or function(*args)
            ),
        )
    torch.manual_seed(0)
    prototypes = torch.randn(32, 3, dtype=torch.float64)
    for n_frames in (512, 513):  # 2**16 numbers, and more
        frames = torch.randn(4, n_frames, 3, dtype=torch.float64)
        counts = torch.tensor([n_frames, 1, 300, 20])
        upstream = torch.randn(4, 32, dtype=torch.float64)
        given = (frames, counts, prototypes, 0.5)
        found = max_mapping(*given)
        for function in (naive_max_mapping, lean_max_mapping):
            values, winners = function(*given)
            torch.testing.assert_close(found[0], values, atol=1e-13, rtol=0)
            assert found[1].equal(winners)
            for a, b in zip(
                gradients(max_mapping, *given, upstream),
                gradients(function, *given, upstream),
            ):
                torch.testing.assert_close(a, b, atol=1e-13, rtol=1e-12)
    assert taken[:3] == ["naive_max_mapping"] * 3
    assert taken[3:] == ["lean_max_mapping"] * 3


def test_another_device_is_taken_for_a_gpu():
    """By the size that its work arrays have; nothing is computed."""
    prototypes = torch.empty(2**10, 1, device="meta")
    for n_frames, plain in ((2**15, True), (2**15 + 1, False)):
        frames = torch.empty(1, n_frames, 1, device="meta")
        assert lobe.plain_is_faster(frames, prototypes) is plain


def test_padding_changes_nothing(batch, way):
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


@pytest.mark.parametrize("autocast", [False, True])
def test_finite_where_there_is_nothing(autocast, way):
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
    for function in (naive_max_mapping, lean_max_mapping):
        values = function(frames, counts, prototypes, 1.0)[0]
        for gradient in torch.autograd.grad(values.sum(), (frames, prototypes)):
            assert (gradient == 0).all()


@pytest.mark.parametrize("bad", [0, -1.0])
def test_bad_arguments(bad):
    """Refused by name."""
    with pytest.raises(ValueError, match=f"--tau is {bad}: .*above 0"):
        LocalPrototypicalMapping(Codebook(2, 2), tau=bad)


def test_under_autocast_all_is_float32(way):
    """Values, both gradients and Eq. 1: bit for bit, backward inside too."""
    torch.manual_seed(0)
    frames, lengths = torch.randn(3, 20, 16), torch.tensor([1.0, 0.5, 0.8])
    pool = make(torch.randn(12, 16))

    def results():
        """All numbers of a step."""
        given = frames.clone().requires_grad_()
        pool.zero_grad()
        pooled, winners = pool(given, lengths)
        loss = pooled.square().sum() + pool.codebook(given, lengths)
        loss.backward()
        found = [pooled, winners, loss, given.grad]
        found.append(pool.codebook.prototypes.grad.clone())
        found.append(pool.codebook.count(given, lengths))
        return [*found, pool.over_time(frames[0])]

    expected = results()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = results()
    for one, other in zip(expected, found):
        assert one.dtype == other.dtype and torch.equal(one, other)
