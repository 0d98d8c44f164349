"""Means that are taken off embeddings before their cosines."""

import pytest
import torch

from speechbrain_ser.lobes.centering import DomainMeans
from speechbrain_ser.lobes.prototypes import AMBIGUOUS, PRECISE, PrototypeBank
from speechbrain_ser.utils.errors import InputError

DIM = 5


def draw(n, seed=0):
    """Embeddings of two domains that lie apart, and the domains."""
    generator = torch.Generator().manual_seed(seed)
    domains = torch.arange(n) % 2
    embeddings = torch.randn(n, DIM, generator=generator)
    return embeddings + 4 * domains.unsqueeze(1) + 1, domains


def test_none_changes_nothing_and_keeps_nothing():
    """To the bit, and checkpoints are as before."""
    means = DomainMeans(DIM)
    embeddings, domains = draw(6)
    means.initialize(embeddings, domains)
    means.update(embeddings, domains)
    assert means(embeddings, domains) is embeddings
    assert list(means.state_dict()) == []


def test_each_domain_loses_its_own_mean():
    """Of all given embeddings, and nothing else."""
    means = DomainMeans(DIM, "domain")
    embeddings, domains = draw(11)
    means.initialize(embeddings, domains)
    left = means(embeddings, domains)
    for domain in (PRECISE, AMBIGUOUS):
        own = embeddings[domains == domain]
        torch.testing.assert_close(
            left[domains == domain], own - own.mean(dim=0)
        )
        torch.testing.assert_close(means(own, domain), own - own.mean(dim=0))


def test_all_lose_one_mean():
    """Whatever their domain."""
    means = DomainMeans(DIM, "all")
    embeddings, domains = draw(11)
    means.initialize(embeddings, domains)
    torch.testing.assert_close(
        means(embeddings, domains), embeddings - embeddings.mean(dim=0)
    )


@pytest.mark.parametrize("center", ["all", "domain"])
def test_running_means_equal_a_loop(center):
    """m <- momentum m + (1 - momentum) mean of the batch, by domain."""
    means = DomainMeans(DIM, center, momentum=0.8)
    means.initialize(*draw(11))
    expected = means.means.clone()
    for seed in range(4):
        embeddings, domains = draw(7, seed)
        means.update(embeddings, domains)
        for row in range(len(expected)):
            own = embeddings
            if center == "domain":
                own = embeddings[domains == row]
            expected[row] = 0.8 * expected[row] + 0.2 * own.mean(dim=0)
    torch.testing.assert_close(means.means, expected)


def test_a_domain_that_a_batch_has_none_of_stays():
    """To the bit; an empty batch moves nothing."""
    means = DomainMeans(DIM, "domain", momentum=0.5)
    embeddings, domains = draw(11)
    means.initialize(embeddings, domains)
    before = means.means.clone()
    means.update(embeddings[:0], domains[:0])
    assert torch.equal(means.means, before)
    precise = domains == PRECISE
    means.update(embeddings[precise] + 1, domains[precise])
    assert torch.equal(means.means[AMBIGUOUS], before[AMBIGUOUS])
    assert not torch.equal(means.means[PRECISE], before[PRECISE])


def test_means_travel_with_checkpoints_and_give_no_gradient():
    """A buffer; the gradient of a centred embedding is that of itself."""
    bank = PrototypeBank(2, DIM, center="domain")
    assert list(bank.state_dict()) == ["prototypes", "means.means"]
    embeddings, domains = draw(8)
    embeddings.requires_grad_()
    bank.means.initialize(embeddings, domains)
    bank.means.update(embeddings, domains)
    assert not bank.means.means.requires_grad
    bank.means(embeddings, domains).sum().backward()
    assert torch.equal(embeddings.grad, torch.ones_like(embeddings))


def test_labels_are_found_where_the_domains_lie_apart():
    """Classes that differ by little beside the gap between D1 and D2."""
    torch.manual_seed(0)
    n = 60
    labels = torch.arange(n) % 2
    side = torch.eye(DIM)[labels] - torch.eye(DIM)[1 - labels]
    noise = 0.3 * torch.randn(2, n, DIM)
    gap = torch.tensor([9.0, 3.0, 9.0, 9.0, 9.0])
    precise = side + noise[0] + 2
    ambiguous = side + noise[1] + gap
    right = {}
    for center in ("none", "domain"):
        bank = PrototypeBank(2, DIM, center=center)
        bank.means.initialize(
            torch.cat([precise, ambiguous]),
            torch.arange(2).repeat_interleave(n),
        )
        bank.initialize(precise, labels)
        found = bank.pseudo_label(ambiguous)
        right[center] = float((found == labels).float().mean())
        # precise speech has its own mean
        own = bank.pseudo_label(precise, PRECISE)
        assert (own == labels).float().mean() > 0.95
    assert right["none"] < 0.6 and right["domain"] > 0.95


def test_prototypes_move_in_the_same_room():
    """Eq. 2 and 4 of centred embeddings are those of a bank without means."""
    plain = PrototypeBank(2, DIM, gamma=0.9)
    bank = PrototypeBank(2, DIM, gamma=0.9, center="domain")
    embeddings, domains = draw(12)
    bank.means.initialize(embeddings, domains)
    left = bank.means(embeddings, domains)
    labels = torch.tensor([0, 1, 0, 1, 0, 1])
    plain.initialize(left[domains == PRECISE], labels)
    bank.initialize(embeddings[domains == PRECISE], labels)
    logits = torch.randn(6, 2)
    k, moved = embeddings[domains == AMBIGUOUS], left[domains == AMBIGUOUS]
    for each, views in ((plain, moved), (bank, k)):
        each.update(views, logits, logits)
    torch.testing.assert_close(bank.prototypes, plain.prototypes)
    torch.testing.assert_close(bank.soft_label(k), plain.soft_label(moved))


@pytest.mark.parametrize("settings", [{"center": "speaker"}, {"momentum": 1.5}])
def test_bad_settings_are_refused(settings):
    """With the name and the value."""
    ((name, value),) = settings.items()
    with pytest.raises(InputError, match=f"{name}.*{value}"):
        DomainMeans(DIM, **settings)
