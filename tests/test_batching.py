"""Batches of like length: complete, full, reproducible, little padding."""

import numpy as np
import pytest

from speechbrain_ser import batching
from speechbrain_ser.batching import LengthBatchSampler, padding_share

DURATIONS = np.random.default_rng(0).gamma(4, 0.7, size=203).tolist()


def test_every_utterance_once_in_full_batches():
    """In each epoch; only one batch may be smaller."""
    sampler = LengthBatchSampler(DURATIONS, 8)
    for epoch in (1, 2):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert sorted(i for b in batches for i in b) == list(range(203))
        assert sorted(map(len, batches)) == [3] + [8] * 25
        assert len(sampler) == 26


def test_epochs_differ_and_repeat():
    """Order and composition change; an epoch drawn again is the same."""
    sampler = LengthBatchSampler(DURATIONS, 8)
    first = list(sampler)
    sampler.set_epoch(2)
    second = list(sampler)
    assert {tuple(sorted(b)) for b in first} != {
        tuple(sorted(b)) for b in second
    }
    sampler.set_epoch(1)
    assert list(sampler) == first
    assert list(LengthBatchSampler(DURATIONS, 8, seed=1)) != first


def test_little_padding():
    """At most 3 per cent, where random batches waste a third."""
    sampler = LengthBatchSampler(DURATIONS * 8, 8)
    assert padding_share(sampler.durations, list(sampler)) < 0.03
    order = np.random.default_rng(1).permutation(203)
    random = [order[i : i + 8] for i in range(0, 203, 8)]
    assert padding_share(DURATIONS, random) > 0.25


def test_utterances_join_at_their_epoch():
    """The ambiguous part comes after the warm-up."""
    first = [1] * 100 + [3] * 103
    sampler = LengthBatchSampler(DURATIONS, 8, first_epochs=first)
    for epoch, expected in ((1, 100), (2, 100), (3, 203)):
        sampler.set_epoch(epoch)
        seen = [i for b in sampler for i in b]
        assert sorted(seen) == list(range(expected))


def test_evaluation_is_in_order_of_length():
    """Nothing is random there."""
    sampler = LengthBatchSampler(DURATIONS, 8, shuffle=False)
    flat = [DURATIONS[i] for b in sampler for i in b]
    assert flat == sorted(flat)


def test_processes_share_the_batches_of_one(monkeypatch):
    """Two processes of 4 see, side by side, what one of 8 sees."""
    one = list(LengthBatchSampler(DURATIONS, 8))
    monkeypatch.setattr(batching, "world_size", lambda: 2)
    monkeypatch.setattr(batching, "is_distributed_initialized", lambda: True)
    slices = []
    for rank in (0, 1):
        monkeypatch.setattr(batching, "get_rank", lambda rank=rank: rank)
        slices.append(list(LengthBatchSampler(DURATIONS, 4)))
    assert [a + b for a, b in zip(*slices)] == one


@pytest.mark.parametrize(
    "arguments",
    [
        {"batch_size": 0},
        {"batch_size": 2, "jitter": -1},
        {"batch_size": 2, "first_epochs": [1]},
    ],
)
def test_bad_arguments_are_refused(arguments):
    """Before anything is drawn."""
    with pytest.raises(ValueError):
        LengthBatchSampler(DURATIONS, **arguments)
