"""The means of an utterance's kinds of frame, against loops in NumPy."""

import numpy as np
import pytest
import torch

from speechbrain_ser.lobes.local_means import LocalMeans
from speechbrain_ser.lobes.utterance_pooling import (
    KINDS,
    make_utterance_pooling,
    vector_size,
)
from speechbrain_ser.utils.errors import InputError

K, DIM, TAU, PRIOR = 3, 5, 0.2, 1.5
LENGTHS = torch.tensor([1.0, 0.5, 0.75])


@pytest.fixture
def drawn():
    """Prototypes, a corpus of utterances, and a padded batch."""
    generator = torch.Generator().manual_seed(0)
    prototypes = torch.randn(K, DIM, generator=generator)
    corpus = [
        torch.randn(n, DIM, generator=generator) + 1 for n in (7, 1, 12, 30)
    ]
    return prototypes, corpus, torch.randn(3, 8, DIM, generator=generator)


def share(frame, prototypes):
    """How much of a frame is of each prototype: a softmax of cosines."""
    cosines = [
        np.dot(frame, p) / np.linalg.norm(frame) / np.linalg.norm(p)
        for p in prototypes
    ]
    powers = np.exp(np.array(cosines) / TAU)
    return powers / powers.sum()


def expected(prototypes, corpus, frames):
    """The vector of one utterance, frame by frame."""
    means = np.zeros((K, DIM))
    weights = np.zeros(K)
    for utterance in corpus:
        for frame in utterance:
            for k, part in enumerate(share(frame, prototypes)):
                means[k] += part * frame
                weights[k] += part
    means /= weights[:, None]
    away, count = np.zeros((K, DIM)), np.zeros(K)
    for frame in frames:
        for k, part in enumerate(share(frame, prototypes)):
            away[k] += part * (frame - means[k])
            count[k] += part
    return (away / (count + PRIOR)[:, None]).reshape(-1)


def test_as_in_loops(drawn):
    """Each utterance of a padded batch, in double precision."""
    prototypes, corpus, frames = drawn
    pool = LocalMeans(K, DIM, TAU, PRIOR).double()
    pool.fit(prototypes.double(), [x.double() for x in corpus])
    found = pool(frames.double(), LENGTHS)
    for i, n in enumerate((8, 4, 6)):
        own = expected(
            prototypes.double().numpy(),
            [x.double().numpy() for x in corpus],
            frames[i, :n].double().numpy(),
        )
        np.testing.assert_allclose(found[i].numpy(), own, rtol=1e-9, atol=1e-12)


def test_padding_and_order_change_nothing(drawn):
    """More behind the end, even NaN, and the frames in another order."""
    prototypes, corpus, frames = drawn
    pool = LocalMeans(K, DIM, TAU, PRIOR)
    pool.fit(prototypes, corpus)
    alone = pool(frames, LENGTHS)
    more = torch.cat([frames, torch.full((3, 8, DIM), torch.nan)], dim=1)
    more[1, 4:] = torch.inf
    assert torch.allclose(pool(more, LENGTHS / 2), alone, atol=1e-6)
    turned = pool(frames[:1].flip(1), LENGTHS[:1])
    assert torch.allclose(turned, alone[:1], atol=1e-6)


def test_a_corpus_lies_at_its_own_mean(drawn):
    """All of it as one utterance is zero, and a shift is a shift of each kind."""
    prototypes, corpus, _ = drawn
    pool = LocalMeans(K, DIM, tau=1e3, prior=0.0)
    pool.fit(prototypes, corpus)
    whole = torch.cat(corpus).unsqueeze(0)
    zero = pool(whole, torch.ones(1))
    assert zero.abs().max() < 1e-5
    # at so high a tau all frames are of all kinds alike
    shift = torch.arange(DIM) / 10
    moved = pool(whole + shift, torch.ones(1)).view(K, DIM)
    assert torch.allclose(moved, shift.expand(K, DIM), atol=1e-3)


def test_a_kind_that_is_not_there_is_zero():
    """Of an utterance, and of a corpus; nothing is NaN."""
    pool = LocalMeans(2, 2, tau=0.001, prior=0.0)
    east = torch.tensor([[1.0, 0.0], [2.0, 0.0]])
    pool.fit(torch.eye(2), [east])
    found = pool(3 * east.unsqueeze(0), torch.ones(1))
    assert found.tolist() == [[3.0, 0.0, 0.0, 0.0]]


def test_gradients_reach_the_frames_that_are_valid(drawn):
    """And no others."""
    prototypes, corpus, frames = drawn
    pool = LocalMeans(K, DIM, TAU, PRIOR)
    pool.fit(prototypes, corpus)
    frames.requires_grad_()
    pool(frames, LENGTHS).square().sum().backward()
    reached = frames.grad.abs().sum(2) > 0
    assert reached.sum(1).tolist() == [8, 4, 6]
    assert reached[1, :4].all()


@pytest.mark.parametrize("kind", KINDS)
def test_each_word_makes_a_pooling_of_its_size(kind):
    """As long as it says."""
    pool = make_utterance_pooling(kind, dim=DIM, n_prototypes=4)
    found = pool(torch.randn(2, 6, DIM), torch.tensor([1.0, 0.5]))
    found = found[0] if isinstance(found, tuple) else found
    assert found.shape == (2, vector_size(kind, DIM, 4))


@pytest.mark.parametrize(
    "settings", [{"tau": 0}, {"prior": -1}, {"n_prototypes": 0}]
)
def test_bad_arguments(settings):
    """Are refused by name."""
    with pytest.raises(InputError, match=next(iter(settings))):
        LocalMeans(**({"n_prototypes": K, "dim": DIM} | settings))
