"""HuBERT's masks against a plain simulation; heads against a loop."""

import math
import random

import numpy as np
import pytest
import torch

from speechbrain_ser.lobes.masked_prediction import (
    PseudoLabelHeads,
    draw_mask,
    numpy_seed,
)
from tests.references import gmp_atl

HUBERT = (0.8, 10, 2)  # mask_prob, mask_length, min_spans


def spans(mask):
    """Lengths of the runs of masked frames."""
    runs = "".join("#" if masked else " " for masked in mask).split()
    return [len(run) for run in runs]


def simulated_share(n, prob, length, min_spans, chance):
    """The share of frames that HuBERT masks in one draw, by its rule.

    prob * n / length spans, rounded up or down by chance, begin at different
    frames; a frame is masked if any of them holds it.
    """
    n_spans = max(int(prob * n / length + chance.random()), min_spans)
    masked = set()
    for start in chance.sample(range(n - length + 1), n_spans):
        masked.update(range(start, start + length))
    return len(masked) / n


@pytest.mark.parametrize("setting", [HUBERT, (0.065, 10, 0), (1.0, 4, 5)])
@pytest.mark.parametrize("n", range(1, 31))
def test_some_frame_is_masked_whatever_the_length(n, setting):
    """And some is left to see where the utterance is shorter than a mask."""
    length = setting[1]
    for seed in range(10):
        mask = draw_mask(n, *setting, seed)
        assert mask.shape == (n,) and mask.dtype == bool
        assert mask.any()
        if 1 < n <= length:
            assert spans(mask) == [n - 1]


@pytest.mark.parametrize("n", [2, 6, 10])
def test_both_ends_of_a_short_utterance_are_seen(n):
    """Over many draws; the frame that is left is not always the same."""
    seen = {int((~draw_mask(n, *HUBERT, i)).argmax()) for i in range(60)}
    assert seen == {0, n - 1}


@pytest.mark.parametrize(
    "n, setting",
    [(50, HUBERT), (300, HUBERT), (300, (0.065, 10, 2)), (120, (0.5, 4, 1))],
)
def test_share_of_masked_frames_is_huberts(n, setting):
    """The mean over many draws, against plain loops."""
    chance = random.Random(0)
    found = [draw_mask(n, *setting, "share", i).mean() for i in range(600)]
    expected = [simulated_share(n, *setting, chance) for _ in range(600)]
    error = np.hypot(np.std(found), np.std(expected)) / np.sqrt(600)
    assert abs(np.mean(found) - np.mean(expected)) < 4 * error
    assert error < 0.01


def test_share_of_the_papers_setting_by_counting():
    """24 of 291 frames begin a span; up to 10 of these reach a frame."""
    found = [draw_mask(300, *HUBERT, i).mean() for i in range(600)]
    reaching = [min(t + 1, 10, 300 - t) for t in range(300)]
    missed = [math.comb(291 - k, 24) / math.comb(291, 24) for k in reaching]
    assert np.mean(found) == pytest.approx(1 - np.mean(missed), abs=0.006)


@pytest.mark.parametrize("min_spans", [1, 3])
def test_spans_are_whole(min_spans):
    """At least a mask long, and as many as are asked for if none meet."""
    seen = set()
    for i in range(200):
        held = spans(draw_mask(400, 0.001, 10, min_spans, i))
        assert min(held) >= 10
        assert sum(held) <= 10 * min_spans
        seen.add(len(held))
    assert max(seen) == min_spans
    for i in range(50):
        assert min(spans(draw_mask(200, *HUBERT, i))) >= 10


def test_every_frame_may_be_masked():
    """Also the first and the last of an utterance."""
    masked = sum(draw_mask(40, *HUBERT, i).astype(int) for i in range(300))
    assert masked.min() > 0 and masked.max() < 300


def test_mask_depends_on_its_arguments_alone():
    """Not on what was drawn before; and on each of them."""
    given = (200, *HUBERT, 7, 3, "Ses01F_impro01_F000")
    mask = draw_mask(*given)
    np.random.seed(123)
    torch.manual_seed(5)
    assert np.array_equal(draw_mask(*given), mask)
    for i, other in enumerate((0.5, 5, 40, 8, 4, "Ses01F_impro01_F001"), 1):
        changed = [*given[:i], other, *given[i + 1 :]]
        assert not np.array_equal(draw_mask(*changed), mask), other


def test_masks_are_those_of_any_process():
    """Drawn once and written down; a mask that moves is another training."""
    mask = draw_mask(30, 0.5, 6, 1, 1, 2, "a")
    assert np.flatnonzero(mask).tolist() == list(range(7, 22))


def test_global_generator_is_left_alone():
    """Also if the block fails."""
    np.random.seed(0)
    expected = np.random.rand(3)
    np.random.seed(0)
    draw_mask(50, *HUBERT, 1)
    with pytest.raises(ZeroDivisionError):
        with numpy_seed("a"):
            np.random.rand()
            raise ZeroDivisionError
    assert np.array_equal(np.random.rand(3), expected)


def test_parts_of_a_seed_are_kept_apart():
    """1, 23 is not 12, 3; and a number is not a word."""
    drawn = []
    for parts in ((1, 23), (12, 3), ("1", "23"), (123,)):
        with numpy_seed(*parts):
            drawn.append(np.random.rand())
    assert len(set(drawn)) == 4


def test_heads_equal_a_loop():
    """Linear, ReLU, linear, each scale with weights of its own."""
    torch.manual_seed(0)
    heads = PseudoLabelHeads(6, 5, [4, 16, 7]).double()
    frames = torch.randn(3, 6, dtype=torch.float64)
    found = [logits.detach() for logits in heads(frames)]
    assert [tuple(logits.shape) for logits in found] == [
        (3, 4),
        (3, 16),
        (3, 7),
    ]
    cut_off = 0
    for head, logits in zip(heads.heads, found):
        one, other = (
            (layer.weight.detach().numpy(), layer.bias.detach().numpy())
            for layer in (head[0], head[2])
        )
        for frame, row in zip(frames.numpy(), logits):
            hidden = gmp_atl.linear(frame, *one)
            cut_off += (hidden < 0).sum()
            expected = gmp_atl.linear(np.maximum(hidden, 0), *other)
            np.testing.assert_allclose(row, expected, rtol=1e-12)
    assert 0 < cut_off < 3 * 3 * 5


def test_a_scale_teaches_its_own_head():
    """And the frames, which the scales share."""
    heads = PseudoLabelHeads(6, 5, [4, 16])
    frames = torch.randn(3, 6, requires_grad=True)
    heads(frames)[1].sum().backward()
    assert all(p.grad is None for p in heads.heads[0].parameters())
    assert all(p.grad is not None for p in heads.heads[1].parameters())
    assert frames.grad.abs().sum() > 0
