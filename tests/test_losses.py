"""Eq. 5 of IPR, Eq. 2-3 of GMP-ATL against loops, and what they must obey."""

import numpy as np
import pytest
import torch

from speechbrain_ser.lobes.multitask_head import CosineClassifier
from speechbrain_ser.losses import AMSoftmaxLoss, PrototypeContrastiveLoss
from tests.references import gmp_atl, ipr


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


def draw_classes(n, dim=6, classes=4, seed=0):
    """Random float64 features, a cosine classifier and labels."""
    torch.manual_seed(seed)
    classifier = CosineClassifier(dim, classes).double()
    features = torch.randn(n, dim, dtype=torch.float64)
    return features, classifier, torch.randint(classes, (n,))


def in_float64(features, classifier, labels, margin=0.2, scale=30.0):
    """Eq. 2 of GMP-ATL by the reference, from tensors of any dtype."""
    return gmp_atl.am_softmax_loss(
        features.detach().double().numpy(),
        classifier.weight.detach().double().numpy(),
        labels.numpy(),
        scale,
        margin,
    )


@pytest.mark.parametrize("n", [1, 7])
@pytest.mark.parametrize("margin, scale", [(0.2, 30.0), (0.5, 1.0), (0.0, 8.0)])
def test_am_softmax_equals_reference(n, margin, scale):
    """Eq. 2 and 3 of GMP-ATL, also for a batch of one."""
    features, classifier, labels = draw_classes(n)
    found = AMSoftmaxLoss(margin, scale)(classifier(features), labels)
    expected = in_float64(features, classifier, labels, margin, scale)
    assert float(found.detach()) == pytest.approx(expected, rel=1e-12)


def test_am_softmax_gradient_equals_finite_differences():
    """Of the reference, for features and for weights."""
    features, classifier, labels = draw_classes(5)
    features.requires_grad_()
    AMSoftmaxLoss(0.2, 30.0)(classifier(features), labels).backward()
    by_features, by_weights = gmp_atl.am_softmax_gradients(
        features.detach().numpy(),
        classifier.weight.detach().numpy(),
        labels.numpy(),
        30.0,
        0.2,
    )
    assert np.abs(by_features).max() > 0.1 < np.abs(by_weights).max()
    np.testing.assert_allclose(features.grad, by_features, atol=1e-6)
    np.testing.assert_allclose(classifier.weight.grad, by_weights, atol=1e-6)


def test_am_softmax_without_margin_is_scaled_cosine_softmax():
    """Of the reference, and of torch's own cosine."""
    features, classifier, labels = draw_classes(9)
    loss = AMSoftmaxLoss(0.0, 30.0)(classifier(features), labels)
    found = float(loss.detach())
    weights = classifier.weight.detach()
    expected = gmp_atl.scaled_cosine_softmax_loss(
        features.numpy(), weights.numpy(), labels.numpy(), 30.0
    )
    assert found == pytest.approx(expected, rel=1e-12)
    cosines = torch.cosine_similarity(features[:, None], weights[None], dim=2)
    plain = torch.nn.functional.cross_entropy(30.0 * cosines, labels)
    assert found == pytest.approx(float(plain), rel=1e-9)


def test_larger_margin_never_lowers_the_loss():
    """Utterance by utterance; where a class can be mistaken, it raises it."""
    margins = [0.0, 0.05, 0.2, 0.5, 1.0, 2.0]
    for seed in range(200):
        features, classifier, labels = draw_classes(1, seed=seed)
        scale = [0.5, 4.0, 30.0][seed % 3]
        with torch.no_grad():
            cosines = classifier(features)
            losses = [
                float(AMSoftmaxLoss(m, scale)(cosines, labels)) for m in margins
            ]
        assert losses == sorted(losses)
        assert losses[-1] > losses[0]


def test_lengths_of_features_and_weights_do_not_matter():
    """Only their directions do."""
    features, classifier, labels = draw_classes(6)
    before = classifier(features).detach()
    longer = 10.0 ** torch.linspace(-4, 4, 6, dtype=torch.float64)[:, None]
    with torch.no_grad():
        classifier.weight.mul_(longer[1:5])
        torch.testing.assert_close(classifier(longer * features), before)
        assert not torch.allclose(classifier(-features), before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_margin_touches_the_target_alone(dtype):
    """And nothing when an utterance is classified."""
    cosines = torch.tensor([[0.5, -0.25, 0.125], [1.0, 0.0, -1.0]], dtype=dtype)
    loss = AMSoftmaxLoss(margin=0.25, scale=4.0)
    assert loss.logits(cosines).dtype == torch.float32
    assert loss.logits(cosines).tolist() == [[2, -1, 0.5], [4, 0, -4]]
    found = loss.logits(cosines, torch.tensor([2, 0]))
    assert found.tolist() == [[2, -1, -0.5], [3, 0, -4]]


@pytest.mark.parametrize("case", ["half", "bfloat16", "module", "autocast"])
def test_am_softmax_is_exact_in_half_precision(case):
    """Close to float64, with a tolerance that rounded cosines would miss."""
    features, classifier, labels = draw_classes(16)
    given = {"half": torch.float16, "autocast": torch.float32}
    given = given.get(case, torch.bfloat16)
    features = features.to(given).requires_grad_()
    classifier.to(given if case == "module" else torch.float32)
    loss = AMSoftmaxLoss(0.2, 30.0)
    with torch.autocast("cpu", torch.bfloat16, enabled=case == "autocast"):
        cosines = classifier(features)
        found = loss(cosines, labels)
    found.backward()
    expected = in_float64(features, classifier, labels)
    assert cosines.dtype == found.dtype == torch.float32
    assert float(found.detach()) == pytest.approx(expected, abs=1e-4)
    rounded = loss(cosines.detach().bfloat16(), labels)
    assert abs(float(rounded) - expected) > 1e-3
    for gradient in (features.grad, classifier.weight.grad):
        assert gradient.isfinite().all() and gradient.abs().max() > 0.01


def test_zero_feature_has_a_finite_loss():
    """Its cosines are 0; what the others learn is what they learn without it."""
    features, classifier, labels = draw_classes(3)
    features[1] = 0.0
    gradients = []
    for kept in ([0, 1, 2], [0, 2]):
        given = features[kept].requires_grad_()
        cosines = classifier(given)
        loss = AMSoftmaxLoss(0.2, 30.0)(cosines, labels[kept])
        (len(kept) * loss).backward()
        assert loss.isfinite() and given.grad.isfinite().all()
        gradients.append([given.grad[[0, -1]], classifier.weight.grad])
        classifier.zero_grad(set_to_none=True)
        if len(kept) == 3:
            assert cosines[1].tolist() == [0.0] * 4
    for one, other in zip(*gradients):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("margin, scale", [(-0.1, 30.0), (0.2, 0.0)])
def test_bad_margin_and_scale_are_refused(margin, scale):
    """With what was given."""
    with pytest.raises(ValueError, match=f"got {margin} and {scale}"):
        AMSoftmaxLoss(margin, scale)
