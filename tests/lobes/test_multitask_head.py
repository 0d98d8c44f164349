"""GMP-ATL's head and cosines against loops, and what they must obey."""

import numpy as np
import pytest
import torch

from speechbrain_ser.lobes.multitask_head import BLSTMHead, CosineClassifier
from tests.references import gmp_atl

CHANNELS = 5


@pytest.fixture
def head():
    """A small head with weights of its own."""
    torch.manual_seed(0)
    return BLSTMHead(CHANNELS, hidden_size=4, output_size=3)


@pytest.fixture
def frames():
    """Four utterances, of these many valid frames, and relative lengths."""
    generator = torch.Generator().manual_seed(1)
    counts = torch.tensor([7, 12, 1, 5])
    batch = torch.randn(4, 12, CHANNELS, generator=generator)
    return batch, counts


def in_numpy(head):
    """The head's weights as the reference names them."""
    held = {name: p.detach().numpy() for name, p in head.named_parameters()}
    named = {}
    for name, value in held.items():
        if name.startswith("forwards."):
            named[name.removeprefix("forwards.")] = value
        if name.startswith("backwards."):
            named[name.removeprefix("backwards.") + "_reverse"] = value
    for i, layer in ((1, 0), (2, 2)):
        named[f"weight{i}"] = held[f"projection.{layer}.weight"]
        named[f"bias{i}"] = held[f"projection.{layer}.bias"]
    return named


def test_head_equals_reference(head, frames):
    """Section 3.1; nonsense behind the end of an utterance is not read."""
    batch, counts = frames
    expected = gmp_atl.head_forward(
        batch.numpy(), counts.numpy(), in_numpy(head)
    )
    for row, count in zip(batch, counts):
        row[count:] = 1e4
    found = head(batch, counts / 12).detach()
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_padding_and_company_change_nothing(head, frames):
    """Alone, in a batch and in one padded more: the same to 1e-6."""
    batch, counts = frames
    together = head(batch, counts / 12)
    for longest in (13, 40, 53):
        more = torch.full((4, longest, CHANNELS), 1e4)
        more[:, :12] = batch
        torch.testing.assert_close(
            head(more, counts / longest), together, atol=1e-6, rtol=0
        )
    for row, count, expected in zip(batch, counts, together):
        alone = head(row[None, :count], torch.ones(1))
        torch.testing.assert_close(alone[0], expected, atol=1e-6, rtol=0)


def test_permuted_batch_gives_the_permuted_result(head, frames):
    """The order of the batch is nobody's business."""
    batch, counts = frames
    order = [2, 0, 3, 1]
    torch.testing.assert_close(
        head(batch[order], counts[order] / 12), head(batch, counts / 12)[order]
    )


@pytest.mark.parametrize("longest", [53, 97, 200])
def test_no_frame_is_lost_to_rounding(head, longest):
    """Exactly the valid frames have a gradient, for every number of them."""
    counts = torch.arange(1, longest + 1)
    lengths = counts / longest
    # so that a count that is cut off, not rounded, would be found
    assert ((lengths * longest).long() < counts).any()
    batch = torch.randn(longest, longest, CHANNELS, requires_grad=True)
    (head(batch, lengths) ** 2).sum().backward()
    reached = (batch.grad != 0).any(dim=2)
    assert torch.equal(reached, torch.arange(longest) < counts[:, None])


def test_head_in_float64(head, frames):
    """Nothing on the way rounds: finite differences agree."""
    batch, counts = frames
    head = head.double()
    batch = batch.double().requires_grad_()
    found = head(batch, counts / 12)
    assert found.dtype == torch.float64
    # the same numbers as in float32, but for rounding
    torch.testing.assert_close(
        head.float()(batch.float(), counts / 12).double(),
        found,
        atol=1e-5,
        rtol=1e-5,
    )
    head = head.double()
    torch.autograd.gradcheck(lambda x: head(x, counts / 12), batch)


def test_cosines_equal_reference():
    """Eq. 3, in float64 and in float32."""
    torch.manual_seed(0)
    classifier = CosineClassifier(6, 4).double()
    features = 50 * torch.randn(7, 6, dtype=torch.float64)
    weights = classifier.weight.detach()
    expected = gmp_atl.am_softmax_cosines(features.numpy(), weights.numpy())
    found = classifier(features).detach()
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    found = classifier.float()(features.float()).detach()
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.dtype == torch.float32


def test_cosine_classifier_has_no_bias():
    """Its one parameter is a vector for each class, none of them zero."""
    classifier = CosineClassifier(6, 4)
    ((name, weight),) = classifier.named_parameters()
    assert name == "weight" and weight.shape == (4, 6)
    assert (weight.norm(dim=1) > 0).all()
