"""Batches of utterances of like length, and of utterances of two parts."""

import numpy as np
from torch.utils.data import Sampler

from speechbrain.utils.distributed import get_rank, is_distributed_initialized
from speechbrain_ser.data.accumulation import part_weights
from speechbrain_ser.data.length_grid import multiples
from speechbrain_ser.utils.distributed import world_size
from speechbrain_ser.utils.settings import Number, Switch, Whole, checked


class LengthBatchSampler(Sampler):
    """Cuts the utterances, sorted by length, into batches; shuffles these.

    In each epoch the durations are jittered before they are sorted, so that
    batches differ from epoch to epoch while little padding is needed. All
    batches but one are full. Order and jitter depend on the seed and the epoch
    alone, so a run that goes on from a checkpoint sees the same batches.

    With several processes the batches are those of one process with
    ``batch_size * world size``, and each process gets its slice of each. So it
    is with gradients that are accumulated: batches are those of ``batch_size *
    accumulation``, cut into so many that follow each other.

    Arguments
    ---------
    durations : list of float
        In seconds, one an utterance.
    batch_size : int
        Utterances a batch and process.
    seed : int
    jitter : float
        Standard deviation of the factor on each duration.
    first_epochs : list of int or None
        The epoch (from 1) from which on each utterance takes part; None: all
        from the first.
    shuffle : bool
        False: no jitter, ascending durations; for evaluation.
    length_grid : float or None
        In seconds: instead of the jitter, utterances that take as many steps of
        it are in random order, so that the batches, padded up to its multiples
        (see `length_grid.GridBatch`), have few lengths. None or 0: no grid.
    accumulation : int
        Batches that make an optimizer step.

    Raises
    ------
    ValueError
        If an argument is out of range or two lists differ in length.

    Example
    -------
    >>> sampler = LengthBatchSampler([3.0, 1.0, 2.0, 9.0], 2, shuffle=False)
    >>> list(sampler)
    [[1, 2], [0, 3]]
    """

    @checked
    def __init__(
        self,
        durations,
        batch_size: Whole(1),
        seed: Whole(0) = 0,
        jitter: Number(0) = 0.015,
        first_epochs=None,
        shuffle: Switch() = True,
        length_grid: Number(0, optional=True) = None,
        accumulation: Whole(1) = 1,
    ):
        self.durations = np.asarray(durations, dtype=np.float64)
        if first_epochs is None:
            first_epochs = np.ones(len(self.durations), dtype=int)
        self.first_epochs = np.asarray(first_epochs)
        if len(self.first_epochs) != len(self.durations):
            raise ValueError("durations and first_epochs differ in length")
        self.batch_size = batch_size
        self.seed = seed
        self.jitter = jitter
        self.shuffle = shuffle
        self.length_grid = length_grid
        self.accumulation = accumulation
        self.epoch = 1

    def set_epoch(self, epoch):
        """Says which epoch comes next, from 1."""
        self.epoch = epoch

    def jittered(self, indices, draw):
        """Returns the lengths of utterances as they are sorted by."""
        if self.length_grid:
            steps = multiples(self.durations[indices], self.length_grid)
            return steps + draw.random(size=len(indices))
        noise = draw.normal(size=len(indices))
        return self.durations[indices] * (1 + self.jitter * noise)

    def taking_part(self):
        """Returns the indices of the utterances of the present epoch."""
        return np.flatnonzero(self.first_epochs <= self.epoch)

    def batches(self):
        """Returns this epoch's batches over all processes, lists of indices."""
        return [part for whole in self.wholes() for part in self.parts(whole)]

    def parts(self, whole):
        """Returns the batches that make the optimizer step of a whole one."""
        if not self.shuffle:
            return [whole]
        count = self.accumulation
        return [self.slice(whole, i, count) for i in range(count)]

    def weights(self):
        """Returns what each batch of this epoch weighs in its optimizer step.

        Returns
        -------
        list of float
            Mean 1 over those of a step: a batch's share of the utterances.
        """
        return part_weights(map(self.parts, self.wholes()))

    def wholes(self):
        """Returns what each optimizer step of this epoch sees, of all processes."""
        taking_part = self.taking_part()
        lengths = self.durations[taking_part]
        if self.shuffle:
            draw = np.random.default_rng([self.seed, self.epoch])
            lengths = self.jittered(taking_part, draw)
        order = taking_part[np.argsort(lengths, kind="stable")]
        shares = world_size() * self.accumulation if self.shuffle else 1
        size = self.batch_size * shares
        batches = [order[i : i + size] for i in range(0, len(order), size)]
        if self.shuffle:
            # every process needs an utterance of every batch
            batches = [b for b in batches if len(b) >= shares]
            batches = [batches[i] for i in draw.permutation(len(batches))]
        return [batch.tolist() for batch in batches]

    def __iter__(self):
        """Yields this process's slice of each batch."""
        share = self.shuffle and is_distributed_initialized()
        for batch in self.batches():
            if share:
                batch = self.slice(batch, get_rank(), world_size())
            yield batch

    def slice(self, batch, index, count):
        """Returns one of so many shares of a batch, say a process's."""
        return np.array_split(batch, count)[index].tolist()

    def __len__(self):
        """Returns the number of batches of the present epoch."""
        return len(self.batches())


class TwoPartBatchSampler(LengthBatchSampler):
    """Batches with so many utterances of a first part, the others of a second.

    As long as the second part takes no part, batches are those of
    `LengthBatchSampler`. Then an epoch is one pass over the second part: each of
    its utterances once, `batch_size - n_first` a batch. The first part goes
    through rounds of its own, one after the other, whatever the epochs: in the
    long run each of its utterances comes as often as any other, never twice in
    a batch. All batches have this composition, but one that holds the rest of
    the second part. Both halves of a batch are of like length, and all order
    depends on the seed and the epoch alone.

    With several processes the batches are those of one process with
    ``batch_size * world size`` and ``n_first * world size``, and each process
    gets its slice of both halves.

    Arguments
    ---------
    durations : list of float
        In seconds, one an utterance.
    is_first : list of bool
        Which of them are of the first part.
    n_first : int
        Utterances of the first part in a batch and process.
    batch_size : int
        Utterances of both in a batch and process, above `n_first`.
    seed, jitter, first_epochs : int, float, list of int or None
    length_grid, accumulation : float or None, int
        See `LengthBatchSampler`.
    shuffle : bool
        False: batches are those of `LengthBatchSampler`; for evaluation.

    Raises
    ------
    ValueError
        If the first part can't fill a batch's share of it.

    Example
    -------
    >>> sampler = TwoPartBatchSampler(
    ...     [1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 4.0],
    ...     [True, True, True, False, False, False, False],
    ...     n_first=1,
    ...     batch_size=3,
    ... )
    >>> [[sampler.is_first[i].item() for i in batch] for batch in sampler]
    [[True, False, False], [True, False, False]]
    """

    @checked
    def __init__(
        self,
        durations,
        is_first,
        n_first: Whole(1),
        batch_size: Whole(2),
        seed: Whole(0) = 0,
        jitter: Number(0) = 0.015,
        first_epochs=None,
        shuffle: Switch() = True,
        length_grid: Number(0, optional=True) = None,
        accumulation: Whole(1) = 1,
    ):
        super().__init__(
            durations,
            batch_size,
            seed,
            jitter,
            first_epochs,
            shuffle,
            length_grid,
            accumulation,
        )
        self.is_first = np.asarray(is_first, dtype=bool)
        self.n_first = n_first
        self.shares = world_size() * accumulation
        needed = n_first * self.shares
        if n_first >= batch_size or self.is_first.sum() < needed:
            raise ValueError(
                f"TwoPartBatchSampler can't take {n_first} of the first "
                f"part's {self.is_first.sum()} utterances in a batch of "
                f"{batch_size} of {world_size()} processes, "
                f"{accumulation} a step"
            )

    def wholes(self):
        """Returns what each optimizer step of this epoch sees, of all processes."""
        second = self.taking_part()
        second = second[~self.is_first[second]]
        if not (self.shuffle and len(second)):
            return super().wholes()
        draw = np.random.default_rng([self.seed, self.epoch])
        order = second[np.argsort(self.jittered(second, draw), kind="stable")]
        size = (self.batch_size - self.n_first) * self.shares
        halves = [order[i : i + size] for i in range(0, len(order), size)]
        groups = self.groups(len(halves))
        batches = [[*g, *half] for g, half in zip(groups, halves)]
        return [
            [int(i) for i in batches[j]] for j in draw.permutation(len(batches))
        ]

    def groups(self, count):
        """Returns this epoch's groups of the first part, short ones first."""
        first = int(self.first_epochs[~self.is_first].min())
        place = (self.epoch - first) * count
        whole = self.is_first.sum() // (self.n_first * self.shares)
        taken, end = [], place + count
        while place < end:
            turn, start = divmod(place, whole)
            taken += self.round(turn)[start : start + end - place]
            place = (turn + 1) * whole
        return sorted(taken, key=lambda group: self.durations[group].mean())

    def round(self, turn):
        """Returns the groups of one round, in random order.

        Utterances that don't fill a group are left out, others each round.
        """
        draw = np.random.default_rng([self.seed, 0, turn])
        size = self.n_first * self.shares
        order = draw.permutation(np.flatnonzero(self.is_first))
        order = order[: len(order) // size * size]
        order = order[np.argsort(self.jittered(order, draw), kind="stable")]
        groups = order.reshape(-1, size)
        return list(groups[draw.permutation(len(groups))])

    def slice(self, batch, index, count):
        """Returns one of so many shares of both halves of a batch."""
        held = np.asarray(batch)
        first = self.is_first[held]
        if first.all():
            return super().slice(batch, index, count)
        return [
            i
            for half in (held[first], held[~first])
            for i in np.array_split(half, count)[index].tolist()
        ]


class PairedBatchSampler(Sampler):
    """Batches of so many utterances of a source and as many of a target.

    An epoch is one pass over the source in random order. The target goes
    through its own random orders, one after the other, whatever the epochs: in
    the long run each of its utterances comes as often as any other. The order
    of the source is the same with and without a target, and all order depends on
    the seed and the epoch alone.

    With several processes the batches are those of one process with
    ``batch_size * world size``, and each process gets its slice of both halves;
    with accumulated gradients those of ``batch_size * accumulation``, cut into
    so many. A last batch that is too small for batch norm in each process is
    left out.

    Arguments
    ---------
    n_source : int
        Their indices are 0 to n_source - 1.
    n_target : int
        Their indices follow; 0: there is no target.
    batch_size : int
        Utterances of the source in a batch and process.
    seed : int
    accumulation : int
        Batches that make an optimizer step.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Example
    -------
    >>> sampler = PairedBatchSampler(n_source=4, n_target=3, batch_size=2)
    >>> [len(batch) for batch in sampler]
    [4, 4]
    >>> sorted(i for batch in sampler for i in batch[:2])
    [0, 1, 2, 3]
    """

    @checked
    def __init__(
        self,
        n_source,
        n_target,
        batch_size: Whole(2),
        seed: Whole(0) = 0,
        accumulation: Whole(1) = 1,
    ):
        if n_source < 2 or n_target < 0:
            raise ValueError(
                "PairedBatchSampler needs two utterances of the source and 0 "
                f"or more of the target, got {n_source} and {n_target}"
            )
        self.n_source = n_source
        self.n_target = n_target
        self.batch_size = batch_size
        self.seed = seed
        self.accumulation = accumulation
        self.epoch = 1

    def set_epoch(self, epoch):
        """Says which epoch comes next, from 1."""
        self.epoch = epoch

    def source_batches(self):
        """Returns this epoch's batches of the source over all processes."""
        return [part for parts in self.steps() for part in parts]

    def steps(self):
        """Returns of each optimizer step its batches of the source."""
        draw = np.random.default_rng([self.seed, self.epoch])
        order = draw.permutation(self.n_source)
        size = self.batch_size * world_size() * self.accumulation
        wholes = [order[i : i + size] for i in range(0, len(order), size)]
        smallest = max(2, world_size()) * self.accumulation
        return [
            np.array_split(whole, self.accumulation)
            for whole in wholes
            if len(whole) >= smallest
        ]

    def weights(self):
        """Returns what each batch weighs; see `LengthBatchSampler.weights`."""
        return part_weights(self.steps())

    def target_stream(self, first, count):
        """Returns indices of the target: `count` of the stream, from `first`."""
        taken, place = [], first
        while place < first + count:
            turn, start = divmod(place, self.n_target)
            draw = np.random.default_rng([self.seed, 0, turn])
            order = self.n_source + draw.permutation(self.n_target)
            taken.append(order[start : start + first + count - place])
            place += len(taken[-1])
        return np.concatenate(taken)

    def __iter__(self):
        """Yields this process's slice: the source's indices, the target's."""
        batches = self.source_batches()
        count = sum(map(len, batches))
        if self.n_target:
            stream = self.target_stream((self.epoch - 1) * count, count)
        for batch in batches:
            halves = [batch]
            if self.n_target:
                halves.append(stream[: len(batch)])
                stream = stream[len(batch) :]
            if is_distributed_initialized():
                halves = [
                    np.array_split(half, world_size())[get_rank()]
                    for half in halves
                ]
            yield np.concatenate(halves).tolist()

    def __len__(self):
        """Returns the number of batches of an epoch."""
        return len(self.source_batches())


def padding_share(durations, batches, step=None):
    """Returns the share of padding among all samples of the batches.

    Arguments
    ---------
    durations : list of float
    batches : list of list of int
    step : float or None
        To whose multiples batches are padded, in seconds.

    Returns
    -------
    float
        0 where there is no batch.

    Example
    -------
    >>> padding_share([1.0, 3.0, 2.0], [[0, 1], [2]])
    0.25
    """
    if not batches:
        return 0.0
    speech = sum(durations[i] for batch in batches for i in batch)
    longest = np.array([max(durations[i] for i in b) for b in batches])
    if step:
        longest = step * multiples(longest, step)
    return 1 - speech / float(longest @ np.array([len(b) for b in batches]))
