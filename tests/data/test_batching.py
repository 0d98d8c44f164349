"""Batches of like length and of two domains: complete, full, reproducible."""

import collections

import numpy as np
import pytest

from speechbrain_ser.data import batching
from speechbrain_ser.data.batching import (
    LengthBatchSampler,
    PairedBatchSampler,
    TwoPartBatchSampler,
    padding_share,
)

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


# Two parts, the second of which joins later


def two_parts(n_first=103, n_second=100, n=3, size=8, join=2, **settings):
    """A sampler of the first and, from epoch `join` on, the second part."""
    durations = np.random.default_rng(1).gamma(4, 0.7, n_first + n_second)
    return TwoPartBatchSampler(
        durations,
        [True] * n_first + [False] * n_second,
        n,
        size,
        first_epochs=[1] * n_first + [join] * n_second,
        **settings,
    )


@pytest.mark.parametrize(
    "sizes", [(103, 100, 3, 8), (20, 100, 3, 8), (103, 9, 7, 8), (3, 50, 3, 4)]
)
def test_each_batch_has_its_composition(sizes):
    """And all of the second part is seen once an epoch."""
    n_first, n_second, n, size = sizes
    sampler = two_parts(*sizes)
    for epoch in (2, 3, 4):
        batches = epoch_of(sampler, epoch)
        assert len(batches) == len(sampler) == -(-n_second // (size - n))
        first = [[i for i in b if i < n_first] for b in batches]
        second = [[i for i in b if i >= n_first] for b in batches]
        assert [len(b) for b in first] == [n] * len(batches)
        assert all(len(set(b)) == n for b in first)
        rest = n_second % (size - n) or size - n
        assert sorted(map(len, second)) == sorted(
            [rest] + [size - n] * (len(batches) - 1)
        )
        assert sorted(i for b in second for i in b) == list(
            range(n_first, n_first + n_second)
        )
        assert all(type(i) is int for b in batches for i in b)


def test_before_the_second_part_joins_batches_are_of_like_length():
    """Those of the sampler that knows of no parts, to the last index."""
    sampler = two_parts(join=3)
    plain = LengthBatchSampler(
        sampler.durations, 8, first_epochs=sampler.first_epochs
    )
    for epoch in (1, 2):
        assert epoch_of(sampler, epoch) == epoch_of(plain, epoch)


@pytest.mark.parametrize("n_first", [102, 103, 30])
def test_the_first_part_is_heard_evenly(n_first):
    """In the long run each as often as any other, in orders that differ."""
    sampler = two_parts(n_first, 100, join=1)
    heard = collections.Counter(range(n_first))
    for epoch in range(1, 200):
        batches = epoch_of(sampler, epoch)
        heard.update(i for b in batches for i in b if i < n_first)
    mean = sum(heard.values()) / n_first
    assert mean > 100
    assert max(heard.values()) < 1.1 * mean
    assert min(heard.values()) > 0.9 * mean
    assert epoch_of(sampler, 1) != epoch_of(sampler, 2)


def test_two_parts_need_little_padding():
    """Both halves of a batch are of like length."""
    sampler = two_parts(1000, 2000, join=1)
    assert padding_share(sampler.durations, list(sampler)) < 0.05


def test_two_parts_drawn_again_are_the_same():
    """A run that goes on sees the same, whatever it drew before."""
    whole = two_parts(seed=5)
    epochs = {epoch: epoch_of(whole, epoch) for epoch in (1, 2, 3, 4)}
    resumed = two_parts(seed=5)
    for epoch in (3, 4, 2):
        assert epoch_of(resumed, epoch) == epochs[epoch]
    assert epoch_of(two_parts(seed=6), 2) != epochs[2]


@pytest.mark.parametrize("n_second", [100, 97, 1])
def test_processes_share_both_parts(monkeypatch, n_second):
    """Two of 4, one of the first part each, are one of 8 with two."""
    one = two_parts(103, n_second, n=2, size=8)
    one = [epoch_of(one, epoch) for epoch in (1, 2, 3)]
    monkeypatch.setattr(batching, "world_size", lambda: 2)
    monkeypatch.setattr(batching, "is_distributed_initialized", lambda: True)
    slices = []
    for rank in (0, 1):
        monkeypatch.setattr(batching, "get_rank", lambda rank=rank: rank)
        sampler = two_parts(103, n_second, n=1, size=4)
        slices.append([epoch_of(sampler, epoch) for epoch in (1, 2, 3)])
    for epoch, whole, *parts in zip((1, 2, 3), one, *slices):
        assert len(whole) == len(parts[0]) == len(parts[1])
        for batch, *own in zip(whole, *parts):
            assert sorted(own[0] + own[1]) == sorted(batch)
            if epoch > 1:
                for half in own:
                    assert sum(i < 103 for i in half) == 1


@pytest.mark.parametrize("sizes", [(103, 100, 8, 8), (2, 100, 3, 8)])
def test_a_composition_that_can_not_be_is_refused(sizes):
    """No place for the second part, or too little of the first."""
    with pytest.raises(ValueError, match="TwoPartBatchSampler can't take"):
        two_parts(*sizes)


# Two domains

# n_source, n_target, batch_size, utterances of the source an epoch
SIZES = [
    (20, 17, 6, 20),
    (20, 3, 6, 20),
    (20, 1, 6, 20),
    (20, 100, 6, 20),
    (19, 7, 6, 18),
    (5, 5, 32, 5),
    (2, 2, 2, 2),
]


def epoch_of(sampler, epoch):
    """The batches of an epoch."""
    sampler.set_epoch(epoch)
    return list(sampler)


@pytest.mark.parametrize("n_source, n_target, size, taken", SIZES)
def test_a_pass_over_the_source(n_source, n_target, size, taken):
    """Each once an epoch, in full batches; as many of the target behind it."""
    sampler = PairedBatchSampler(n_source, n_target, size)
    orders = []
    for epoch in (1, 2, 3):
        batches = epoch_of(sampler, epoch)
        assert len(batches) == len(sampler)
        first = [batch[: len(batch) // 2] for batch in batches]
        second = [batch[len(batch) // 2 :] for batch in batches]
        assert [len(b) for b in first] == [len(b) for b in second]
        assert all(len(b) == size for b in first[:-1])
        assert 2 <= len(first[-1]) <= size
        source = [i for b in first for i in b]
        assert len(set(source)) == len(source) == taken
        assert set(source) <= set(range(n_source))
        target = {i for b in second for i in b}
        assert target <= set(range(n_source, n_source + n_target))
        assert all(type(i) is int for b in batches for i in b)
        orders.append(source)
    if n_source > 5:
        assert len(set(map(tuple, orders))) == 3
        # the one that is left out is another one in each epoch
        assert {i for o in orders for i in o} == set(range(n_source))


@pytest.mark.parametrize("n_target", [1, 17, 100])
def test_the_source_knows_nothing_of_the_target(n_target):
    """Its order is that of a run without a target: dann's is base's."""
    alone = PairedBatchSampler(20, 0, 6, seed=4)
    both = PairedBatchSampler(20, n_target, 6, seed=4)
    for epoch in (1, 2, 5):
        halves = [b[: len(b) // 2] for b in epoch_of(both, epoch)]
        assert halves == epoch_of(alone, epoch)


@pytest.mark.parametrize("n_source, n_target, size, taken", SIZES)
def test_the_target_is_heard_evenly(n_source, n_target, size, taken):
    """After any number of epochs no one two times more than another."""
    sampler = PairedBatchSampler(n_source, n_target, size, seed=2)
    heard = collections.Counter(range(n_source, n_source + n_target))
    rounds = []
    for epoch in range(1, 12):
        stream = [i for b in epoch_of(sampler, epoch) for i in b[len(b) // 2 :]]
        heard.update(stream)
        rounds += stream
        assert max(heard.values()) - min(heard.values()) <= 1
        assert len(rounds) == epoch * taken
    # each turn has an order of its own
    turns = [
        tuple(rounds[i : i + n_target])
        for i in range(0, len(rounds) - n_target + 1, n_target)
    ]
    assert all(len(set(turn)) == n_target for turn in turns)
    if n_target > 4 and len(turns) > 1:
        assert len(set(turns)) > len(turns) / 2


def test_an_epoch_drawn_again_is_the_same():
    """A run that goes on sees the same; seeds and epochs differ in both."""
    sampler = PairedBatchSampler(20, 17, 6, seed=3)
    epochs = [epoch_of(sampler, epoch) for epoch in (1, 2, 3)]
    resumed = PairedBatchSampler(20, 17, 6, seed=3)
    assert [epoch_of(resumed, epoch) for epoch in (3, 1, 2)] == [
        epochs[2],
        epochs[0],
        epochs[1],
    ]
    # also in the middle: iterating draws nothing that is kept
    iterator = iter(resumed)
    next(iterator)
    assert list(resumed) == epochs[1]
    other = epoch_of(PairedBatchSampler(20, 17, 6, seed=4), 1)
    assert list(PairedBatchSampler(20, 17, 6, seed=3)) == epochs[0]
    for batches in (other, epochs[1]):
        for half in (slice(0, 6), slice(6, 12)):
            assert batches[0][half] != epochs[0][0][half]


@pytest.mark.parametrize("n_source", [21, 22, 27, 28])
@pytest.mark.parametrize("n_target", [0, 5, 30])
def test_processes_share_both_halves(monkeypatch, n_source, n_target):
    """Two of 4 see, side by side, what one of 8 sees: of each half a part."""
    one = [
        epoch_of(PairedBatchSampler(n_source, n_target, 8), epoch)
        for epoch in (1, 2)
    ]
    monkeypatch.setattr(batching, "world_size", lambda: 2)
    monkeypatch.setattr(batching, "is_distributed_initialized", lambda: True)
    slices = []
    for rank in (0, 1):
        monkeypatch.setattr(batching, "get_rank", lambda rank=rank: rank)
        sampler = PairedBatchSampler(n_source, n_target, 4)
        slices.append([epoch_of(sampler, epoch) for epoch in (1, 2)])
    for whole, *parts in zip(one, *slices):
        assert len(whole) == len(parts[0]) == len(parts[1])
        for batch, *own in zip(whole, *parts):
            source = [[i for i in b if i < n_source] for b in own]
            target = [[i for i in b if i >= n_source] for b in own]
            assert source[0] + source[1] + target[0] + target[1] == batch
            for s, t, b in zip(source, target, own):
                assert s + t == b and len(s) >= 1
                assert len(t) == (len(s) if n_target else 0)


def test_every_process_gets_something(monkeypatch):
    """Of 4 processes, a last batch of three is left out, one of four not."""
    monkeypatch.setattr(batching, "world_size", lambda: 4)
    for n_source, count in ((19, 2), (20, 3), (16, 2)):
        assert len(PairedBatchSampler(n_source, 5, 2)) == count


@pytest.mark.parametrize("arguments", [(1, 5, 4), (5, -1, 4)])
def test_too_few_for_batch_norm_are_refused(arguments):
    """A batch has two of the source, or no variance."""
    with pytest.raises(ValueError, match="PairedBatchSampler needs two"):
        PairedBatchSampler(*arguments)
    with pytest.raises(ValueError, match="--batch_size is 1: .*from 2"):
        PairedBatchSampler(5, 5, 1)


# A grid of lengths, and batches that make a step together


def test_the_grid_leaves_few_lengths_and_little_padding():
    """Of IEMOCAP's durations, as benchmarks/batches.py draws them."""
    durations = iemocap_durations(1600)
    grid = LengthBatchSampler(durations, 8, length_grid=0.25)
    plain = LengthBatchSampler(durations, 8)
    seen, seen_plain = set(), set()
    for epoch in (1, 2, 3):
        batches = epoch_of(grid, epoch)
        assert sorted(i for b in batches for i in b) == list(range(1600))
        assert padding_share(durations, batches, 0.25) < 0.06
        lengths = {-(-max(durations[i] for i in b) // 0.25) for b in batches}
        exact = {max(durations[i] for i in b) for b in epoch_of(plain, epoch)}
        assert len(lengths) <= len(exact) / 3
        seen |= lengths
        seen_plain |= exact
    # a later epoch has none that is new
    assert len(seen) <= len(seen_plain) / 8


def test_the_grid_draws_other_batches_in_each_epoch():
    """The same again for a run that goes on; another order for a seed."""
    durations = iemocap_durations(400)
    sampler = LengthBatchSampler(durations, 8, length_grid=0.25)
    epochs = {epoch: epoch_of(sampler, epoch) for epoch in (1, 2, 3)}
    assert len({str(sorted(map(sorted, b))) for b in epochs.values()}) == 3
    again = LengthBatchSampler(durations, 8, length_grid=0.25)
    assert epoch_of(again, 3) == epochs[3]
    other = LengthBatchSampler(durations, 8, seed=1, length_grid=0.25)
    assert epoch_of(other, 3) != epochs[3]


def test_no_grid_is_as_it_was():
    """0 is off, as null is; evaluation has no grid."""
    expected = list(LengthBatchSampler(DURATIONS, 8))
    assert list(LengthBatchSampler(DURATIONS, 8, length_grid=0.0)) == expected
    still = LengthBatchSampler(DURATIONS, 8, shuffle=False, length_grid=0.25)
    assert list(still) == list(LengthBatchSampler(DURATIONS, 8, shuffle=False))


def test_two_parts_on_the_grid():
    """Their composition stays, and few lengths occur."""
    plain = two_parts(400, 600, join=1)
    grid = two_parts(400, 600, join=1, length_grid=0.25)
    for sampler in (plain, grid):
        batches = list(sampler)
        assert {sum(i < 400 for i in b) for b in batches} == {3}
        second = sorted(i for b in batches for i in b if i >= 400)
        assert second == list(range(400, 1000))
    durations = grid.durations
    assert padding_share(durations, list(grid), 0.25) < 0.08
    lengths = {-(-max(durations[i] for i in b) // 0.25) for b in grid}
    assert len(lengths) <= len(list(plain)) / 3


@pytest.mark.parametrize("accumulation", [2, 3])
@pytest.mark.parametrize("grid", [None, 0.25])
def test_accumulated_batches_are_those_of_a_large_one(
    accumulation, grid, monkeypatch
):
    """Side by side; with two processes too. Weights are shares."""
    k = accumulation
    large = LengthBatchSampler(DURATIONS, 4 * k, length_grid=grid)
    small = LengthBatchSampler(DURATIONS, 4, length_grid=grid, accumulation=k)
    wholes = [b for b in epoch_of(large, 2) if len(b) >= k]
    of_two = [b for b in wholes if len(b) >= 2 * k]
    batches = epoch_of(small, 2)
    assert len(batches) == len(small) == k * len(wholes)
    for i, whole in enumerate(wholes):
        own = batches[k * i : k * (i + 1)]
        assert sum(own, []) == whole
        weights = small.weights()[k * i : k * (i + 1)]
        assert weights == pytest.approx([k * len(b) / len(whole) for b in own])
    monkeypatch.setattr(batching, "world_size", lambda: 2)
    monkeypatch.setattr(batching, "is_distributed_initialized", lambda: True)
    slices = []
    for rank in (0, 1):
        monkeypatch.setattr(batching, "get_rank", lambda rank=rank: rank)
        two = LengthBatchSampler(DURATIONS, 2, length_grid=grid, accumulation=k)
        slices.append(epoch_of(two, 2))
    joined = [a + b for a, b in zip(*slices)]
    places = range(0, len(joined), k)
    steps = [sorted(sum(joined[i : i + k], [])) for i in places]
    assert sorted(steps) == sorted(map(sorted, of_two))
    assert all(len(b) for own in slices for b in own)


@pytest.mark.parametrize("n_target", [0, 17])
def test_accumulated_pairs_are_those_of_a_large_batch(n_target):
    """Of the source and of the target."""
    large = PairedBatchSampler(24, n_target, 6)
    small = PairedBatchSampler(24, n_target, 2, accumulation=3)
    batches = epoch_of(small, 2)
    halves = 2 if n_target else 1
    wholes = [b for b in epoch_of(large, 2) if len(b) >= 6 * halves]
    assert len(small) == len(batches) == len(small.weights()) == 3 * len(wholes)
    for i, whole in enumerate(wholes):
        own = sum(batches[3 * i : 3 * i + 3], [])
        assert sorted(own) == sorted(whole)


def test_accumulated_two_parts():
    """Each batch has its share of both, each step those of the large one."""
    large = two_parts(103, 100, 2, 8, join=1)
    small = two_parts(103, 100, 1, 4, join=1, accumulation=2)
    batches = epoch_of(small, 2)
    for i, whole in enumerate(epoch_of(large, 2)):
        own = batches[2 * i : 2 * i + 2]
        assert sorted(own[0] + own[1]) == sorted(whole)
        assert [sum(j < 103 for j in b) for b in own] == [1, 1]


def iemocap_durations(n):
    """Seconds as IEMOCAP's, none over 15; mean 4.4."""
    draw = np.random.default_rng(0).lognormal(1.3, 0.64, n)
    return draw.clip(0.6, 15.0)
