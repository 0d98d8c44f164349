"""Eq. 5 of IPR, Eq. 2-3 of GMP-ATL, Eq. 2 of MEnAN against loops, and what they
must obey."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch

from speechbrain_ser.lobes.multitask_head import CosineClassifier
from speechbrain_ser.losses import (
    AMSoftmaxLoss,
    MaxEntropyLoss,
    PrototypeContrastiveLoss,
    entropy,
)
from tests.references import gmp_atl, ipr, menan

ALONE = """
import sys
from speechbrain_ser.losses import MaxEntropyLoss
import torch
loss = MaxEntropyLoss()(torch.zeros(1, 2))
print(round(float(loss), 4))
print(sorted(name for name in sys.modules if name.startswith("speechbrain_ser")))
print({"transformers", "matplotlib", "sklearn", "h5py", "soundfile"}
      & set(sys.modules))
"""


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
    with pytest.raises(ValueError, match="temperature is 0: .*above 0"):
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


@pytest.mark.parametrize(
    "name, value",
    [("margin", -0.1), ("margin", 2.1), ("scale", 0.0), ("scale", 1e7)],
)
def test_bad_margin_and_scale_are_refused(name, value):
    """With what was given."""
    with pytest.raises(ValueError, match=f"--{name} is {value}: give a numb"):
        AMSoftmaxLoss(**{name: value})


# Eq. 2 of MEnAN


def draw_logits(n=6, classes=8, scale=3.0, seed=1):
    """Random float64 logits, away from 0."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, classes, generator=generator, dtype=torch.float64)
    return scale * logits + 5


def slope_of(logits):
    """The loss and its gradient."""
    logits = logits.clone().requires_grad_()
    loss = MaxEntropyLoss()(logits)
    loss.backward()
    return loss.detach(), logits.grad


@pytest.mark.parametrize("n, classes", [(1, 8), (6, 8), (5, 2), (3, 1)])
@pytest.mark.parametrize("scale", [0.1, 3.0, 40.0])
def test_entropy_equals_reference(n, classes, scale):
    """In float64: the mean over utterances of a sum over speakers."""
    logits = draw_logits(n, classes, scale)
    found = MaxEntropyLoss()(logits)
    assert found.dtype == torch.float64 and found.shape == ()
    expected = menan.entropy(logits.numpy())
    assert float(found) == pytest.approx(-expected, rel=1e-10, abs=1e-14)
    each = [menan.entropy(row[None]) for row in logits.numpy()]
    np.testing.assert_allclose(entropy(logits), each, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("classes", [2, 8, 100])
@pytest.mark.parametrize("level", [0.0, -1e4, 1e4])
def test_uniform_output_has_the_largest_entropy(classes, level):
    """log(n), where the gradient is 0; all others have less."""
    logits = torch.full((3, classes), level)
    loss, gradient = slope_of(logits)
    assert float(loss) == pytest.approx(-math.log(classes), rel=1e-6)
    torch.testing.assert_close(gradient, torch.zeros(3, classes))
    logits[1, 0] += 1
    assert slope_of(logits)[0] > loss + 1e-4


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("size", [200.0, 1e4, 1e30])
def test_certain_output_has_no_entropy(dtype, size):
    """0, and so is the gradient, whatever class it is sure of."""
    logits = torch.zeros(4, 8, dtype=dtype)
    for i, place in enumerate((0, 3, 7)):
        logits[i, place] = size
    logits[3, 1:] = -size
    loss, gradient = slope_of(logits)
    assert abs(float(loss)) < 1e-80 > float(gradient.abs().max())
    # likewise where two share it
    logits = torch.tensor([[size, size, -size]], dtype=dtype)
    loss, gradient = slope_of(logits)
    assert float(loss) == pytest.approx(-math.log(2))
    assert gradient.isfinite().all() and gradient.abs().max() < 1e-6


@pytest.mark.parametrize("scale", [0.5, 3.0, 20.0])
def test_entropy_gradient_equals_finite_differences(scale):
    """Of the reference, also where it is nearly certain."""
    logits = draw_logits(3, 5, scale)
    found = slope_of(logits)[1].numpy()
    expected = np.zeros((3, 5))
    for i, j in np.ndindex(3, 5):
        more, less = logits.numpy().copy(), logits.numpy().copy()
        more[i, j] += 1e-5
        less[i, j] -= 1e-5
        rise = menan.entropy(less) - menan.entropy(more)
        expected[i, j] = rise / 2e-5
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_order_of_classes_and_utterances_does_not_matter():
    """Nor what is added to all logits of an utterance."""
    logits = draw_logits()
    found = MaxEntropyLoss()(logits)
    moved = logits[torch.randperm(6)][:, torch.randperm(8)]
    moved = moved + torch.arange(6)[:, None]
    torch.testing.assert_close(MaxEntropyLoss()(moved), found)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("size", [1.0, 20.0, 1e4])
def test_entropy_in_half_precision(dtype, size):
    """As exact as the logits: computed in float32, finite with 1e4."""
    pattern = torch.tensor([[1.0, -1.0, 0.5, 0.0], [-1.0, -1.0, -1.0, -1.0]])
    logits = (size * pattern).to(dtype)
    loss, gradient = slope_of(logits)
    assert loss.dtype == torch.float32 and gradient.dtype == dtype
    assert gradient.isfinite().all()
    exact = logits.double()
    expected, slope = slope_of(exact)
    assert float(expected) == pytest.approx(-menan.entropy(exact.numpy()))
    torch.testing.assert_close(loss, expected.float(), atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(
        gradient.double(), slope, atol=torch.finfo(dtype).eps, rtol=0.01
    )
    with torch.autocast("cpu", dtype):
        assert torch.equal(MaxEntropyLoss()(logits), loss)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_a_class_of_minus_infinity_is_not_there(dtype):
    """Who masks a class has the entropy, and the gradient, of the others."""
    logits = draw_logits(2, 4).to(dtype)
    masked = torch.cat([logits, torch.full((2, 1), -torch.inf).to(dtype)], 1)
    expected, slope = slope_of(logits)
    found, gradient = slope_of(masked)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradient[:, :4], slope)
    assert gradient[:, 4].tolist() == [0, 0]


def test_log_probabilities_have_their_own_entropy():
    """Eq. 2 of what is one already, also of a certain one's."""
    logits = draw_logits()
    torch.testing.assert_close(
        entropy(logits.log_softmax(dim=1)), entropy(logits)
    )
    shares = torch.tensor([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]])
    expected = torch.tensor([1.5 * math.log(2), 0.0])
    torch.testing.assert_close(entropy(shares.log()), expected)


def losses_of(k, cosines, labels, half):
    """All losses of this file on the same embeddings, and their gradients."""
    found = []
    for given, loss in (
        (
            k,
            lambda x: PrototypeContrastiveLoss(0.1)(x, x + 0.1, labels, labels),
        ),
        (cosines, lambda x: AMSoftmaxLoss(0.2, 30.0)(x, labels)),
        (cosines, MaxEntropyLoss()),
    ):
        given = given.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            value = loss(given)
        value.backward()
        found += [value.detach(), given.grad]
    return found


def test_autocast_changes_no_loss():
    """Value and gradient are those of float32, to the bit."""
    torch.manual_seed(0)
    k = torch.randn(12, 40) * 0.02 + torch.randn(40)
    cosines, labels = torch.rand(12, 4), torch.arange(12) % 4
    full = losses_of(k, cosines, labels, False)
    half = losses_of(k, cosines, labels, True)
    for one, other in zip(full, half):
        assert one.dtype == other.dtype == torch.float32
        assert torch.equal(one, other)


def test_losses_are_importable_alone():
    """Without the Brain, the corpora and all that reads models or draws."""
    done = subprocess.run(
        [sys.executable, "-c", ALONE], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    value, ours, others = done.stdout.splitlines()
    assert value == "-0.6931" and others == "set()"
    assert ours == str(
        ["speechbrain_ser", "speechbrain_ser._torch_pair"]
        + ["speechbrain_ser.losses", "speechbrain_ser.utils"]
        + ["speechbrain_ser.utils.errors", "speechbrain_ser.utils.settings"]
        + ["speechbrain_ser.utils.vectors"]
    )
