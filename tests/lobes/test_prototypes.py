"""Eq. 2 to 4 of IPR against loops from the paper, and what they must obey."""

import numpy as np
import pytest
import torch

from speechbrain_ser.lobes.prototypes import PrototypeBank
from tests.references import ipr

CLASSES, DIM = 4, 6


def draw(n, seed=0):
    """Random float64 embeddings, logits, logits of copies and labels."""
    make = torch.Generator().manual_seed(seed)
    k = torch.randn(n, DIM, generator=make, dtype=torch.float64)
    logits = torch.randn(n, CLASSES, generator=make, dtype=torch.float64)
    noise = torch.randn(n, CLASSES, generator=make, dtype=torch.float64)
    labels = torch.arange(n) % CLASSES
    return k, logits, logits + 0.5 * noise, labels


def make_bank(**settings):
    """A bank in float64 with prototypes from random class means."""
    bank = PrototypeBank(CLASSES, DIM, **settings).double()
    k, _, _, labels = draw(12, seed=9)
    bank.initialize(k, labels)
    return bank


def test_class_means_equal_reference():
    """Eq. 2."""
    bank = make_bank()
    k, _, _, labels = draw(12, seed=9)
    expected = ipr.class_prototypes(k.numpy(), labels.numpy(), CLASSES)
    np.testing.assert_allclose(bank.prototypes, expected, rtol=1e-12)


def test_labels_equal_reference():
    """The soft label and Eq. 3; proportions sum to 1."""
    bank = make_bank(temperature=0.3)
    k = draw(9)[0]
    p = bank.prototypes.numpy()
    soft = bank.soft_label(k)
    np.testing.assert_allclose(
        soft, ipr.soft_labels(k.numpy(), p, 0.3), rtol=1e-9
    )
    np.testing.assert_allclose(soft.sum(dim=1), 1)
    np.testing.assert_array_equal(
        bank.pseudo_label(k), ipr.hard_labels(k.numpy(), p)
    )


@pytest.mark.parametrize("rule", ["agreed", "weighted"])
@pytest.mark.parametrize("gamma", [0.5, 0.99])
def test_update_equals_sequential_reference(rule, gamma):
    """Eq. 4: the closed form is the loop, over several batches."""
    bank = make_bank(gamma=gamma, temperature=0.2, update_rule=rule)
    expected = bank.prototypes.numpy().copy()
    for seed in range(3):
        k, logits, copies, _ = draw(8, seed)
        expected = ipr.updated_prototypes(
            expected,
            k.numpy(),
            logits.numpy(),
            copies.numpy(),
            gamma,
            0.2,
            rule,
        )
        bank.update(k, logits, copies)
        np.testing.assert_allclose(bank.prototypes, expected, rtol=1e-9)


def test_update_worked_by_hand():
    """One utterance of class 0, gamma 0.5: p0 <- normalize(p0 + s k)."""
    bank = PrototypeBank(2, 2, gamma=0.5, temperature=1.0)
    bank.initialize(torch.eye(2), torch.tensor([0, 1]))
    k = torch.tensor([[0.6, 0.8]])
    logits = torch.tensor([[2.0, 1.0]])
    agreed = bank.update(k, logits, logits)
    share = np.exp(0.6) / (np.exp(0.6) + np.exp(0.8))
    moved = 0.5 * np.array([1.0, 0.0]) + 0.5 * share * np.array([0.6, 0.8])
    assert agreed.tolist() == [True]
    np.testing.assert_allclose(
        bank.prototypes[0], moved / np.linalg.norm(moved), rtol=1e-6
    )
    assert bank.prototypes[1].tolist() == [0.0, 1.0]


def test_nothing_moves_without_agreement():
    """Bit for bit."""
    bank = make_bank()
    before = bank.prototypes.clone()
    k, logits, _, _ = draw(8)
    agreed = bank.update(k, logits, logits.roll(1, dims=1))
    assert not agreed.any()
    assert torch.equal(bank.prototypes, before)


def test_empty_batch_moves_nothing():
    """A batch may hold no ambiguous utterance."""
    bank = make_bank()
    before = bank.prototypes.clone()
    bank.update(torch.zeros(0, DIM), *torch.zeros(2, 0, CLASSES))
    assert torch.equal(bank.prototypes, before)


def test_order_matters_only_within_a_class():
    """Utterances of other classes in between change nothing."""
    k, logits, _, _ = draw(8)
    named = logits.argmax(dim=1)
    order = torch.argsort(named, stable=True)
    one, other = make_bank(), make_bank()
    one.update(k, logits, logits)
    other.update(k[order], logits[order], logits[order])
    np.testing.assert_allclose(one.prototypes, other.prototypes, rtol=1e-12)


def test_prototypes_are_a_buffer_without_gradient():
    """Checkpoints carry them; no gradient reaches or leaves them."""
    bank = PrototypeBank(CLASSES, DIM)
    assert list(bank.parameters()) == []
    assert list(bank.state_dict()) == ["prototypes"]
    k = torch.randn(3, DIM, requires_grad=True)
    bank.initialize(torch.randn(8, DIM), torch.arange(8) % CLASSES)
    bank(k).sum().backward()
    assert k.grad.abs().sum() > 0 and not bank.prototypes.requires_grad


def test_length_of_an_embedding_does_not_matter():
    """Cosines: scaled embeddings have the same labels."""
    bank = make_bank()
    k = draw(5)[0]
    np.testing.assert_allclose(bank(k), bank(7.5 * k), rtol=1e-9)


def test_similarity_is_the_cosine_matrix():
    """Figure 2: 1 on the diagonal, symmetric."""
    found = make_bank().similarity()
    np.testing.assert_allclose(found.diagonal(), 1)
    np.testing.assert_allclose(found, found.T)


def test_half_precision_embeddings_are_taken():
    """Under autocast embeddings come as bfloat16."""
    bank = PrototypeBank(CLASSES, DIM)
    k, logits, _, labels = draw(8)
    bank.initialize(k.bfloat16(), labels)
    bank.update(k.bfloat16(), logits.bfloat16(), logits.bfloat16())
    assert bank.prototypes.dtype == torch.float32
    assert torch.isfinite(bank.prototypes).all()


def near_one(n, dim=64):
    """Embeddings whose cosines are above 0.999, their logits and labels."""
    make = torch.Generator().manual_seed(0)
    common = torch.randn(dim, generator=make)
    labels = torch.arange(n) % CLASSES
    towards = torch.randn(CLASSES, dim, generator=make)[labels]
    noise = torch.randn(n, dim, generator=make)
    logits = torch.randn(n, CLASSES, generator=make)
    return common + 0.01 * towards + 0.02 * noise, logits, labels


def test_autocast_changes_no_label():
    """Where cosines are near 1 bfloat16 would name other classes."""
    k, logits, labels = near_one(400)
    banks = []
    for half in (False, True):
        bank = PrototypeBank(CLASSES, k.shape[1])
        banks.append([bank])
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            bank.initialize(k, labels)
            banks[-1] += [bank(k), bank.soft_label(k), bank.pseudo_label(k)]
            bank.update(k, logits, logits)
            banks[-1] += [bank.similarity(), bank.prototypes.clone()]
    for full, half in zip(banks[0][1:], banks[1][1:]):
        assert full.dtype == half.dtype and torch.equal(full, half)
    assert banks[0][1].min() > 0.999
    # bfloat16 would change them
    rounded = k.bfloat16() @ banks[0][-1].bfloat16().T
    assert (rounded.argmax(dim=1) != banks[0][3]).float().mean() > 0.2


def test_missing_class_is_refused():
    """Named by its index."""
    bank = PrototypeBank(CLASSES, DIM)
    with pytest.raises(ValueError, match=r"class \[3\]"):
        bank.initialize(torch.randn(3, DIM), torch.arange(3))


@pytest.mark.parametrize(
    "settings",
    [{"gamma": 1.5}, {"temperature": 0.0}, {"update_rule": "sometimes"}],
)
def test_bad_settings_are_refused(settings):
    """With the name and the value."""
    name, value = next(iter(settings.items()))
    with pytest.raises(ValueError, match=f"{name}.*{value}"):
        PrototypeBank(CLASSES, DIM, **settings)
