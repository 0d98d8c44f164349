"""Batches of utterances of like length, and of utterances of two domains."""

import numpy as np
from speechbrain.utils.distributed import get_rank, is_distributed_initialized
from torch.utils.data import Sampler

from speechbrain_ser.utils.distributed import world_size
from speechbrain_ser.utils.settings import Number, Switch, Whole, checked


class LengthBatchSampler(Sampler):
    """Cuts the utterances, sorted by length, into batches; shuffles these.

    In each epoch the durations are jittered before they are sorted, so that
    batches differ from epoch to epoch while little padding is needed. All
    batches but one are full. Order and jitter depend on the seed and the epoch
    alone, so a run that goes on from a checkpoint sees the same batches.

    With several processes the batches are those of one process with
    ``batch_size * world size``, and each process gets its slice of each.

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
        self.epoch = 1

    def set_epoch(self, epoch):
        """Says which epoch comes next, from 1."""
        self.epoch = epoch

    def batches(self):
        """Returns this epoch's batches over all processes, lists of indices."""
        taking_part = np.flatnonzero(self.first_epochs <= self.epoch)
        lengths = self.durations[taking_part]
        if self.shuffle:
            draw = np.random.default_rng([self.seed, self.epoch])
            lengths = lengths * (
                1 + self.jitter * draw.normal(size=len(lengths))
            )
        order = taking_part[np.argsort(lengths, kind="stable")]
        size = self.batch_size * (world_size() if self.shuffle else 1)
        batches = [order[i : i + size] for i in range(0, len(order), size)]
        if self.shuffle:
            # every process needs an utterance of every batch
            batches = [b for b in batches if len(b) >= world_size()]
            batches = [batches[i] for i in draw.permutation(len(batches))]
        return [batch.tolist() for batch in batches]

    def __iter__(self):
        """Yields this process's slice of each batch."""
        share = self.shuffle and is_distributed_initialized()
        for batch in self.batches():
            if share:
                batch = np.array_split(batch, world_size())[get_rank()].tolist()
            yield batch

    def __len__(self):
        """Returns the number of batches of the present epoch."""
        return len(self.batches())


class PairedBatchSampler(Sampler):
    """Batches of so many utterances of a source and as many of a target.

    An epoch is one pass over the source in random order. The target goes
    through its own random orders, one after the other, whatever the epochs: in
    the long run each of its utterances comes as often as any other. The order
    of the source is the same with and without a target, and all order depends on
    the seed and the epoch alone.

    With several processes the batches are those of one process with
    ``batch_size * world size``, and each process gets its slice of both halves.
    A last batch that is too small for batch norm in each process is left out.

    Arguments
    ---------
    n_source : int
        Their indices are 0 to n_source - 1.
    n_target : int
        Their indices follow; 0: there is no target.
    batch_size : int
        Utterances of the source in a batch and process.
    seed : int

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
        self.epoch = 1

    def set_epoch(self, epoch):
        """Says which epoch comes next, from 1."""
        self.epoch = epoch

    def source_batches(self):
        """Returns this epoch's batches of the source over all processes."""
        draw = np.random.default_rng([self.seed, self.epoch])
        order = draw.permutation(self.n_source)
        size = self.batch_size * world_size()
        batches = [order[i : i + size] for i in range(0, len(order), size)]
        smallest = max(2, world_size())
        return [batch for batch in batches if len(batch) >= smallest]

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


def padding_share(durations, batches):
    """Returns the share of padding among all samples of the batches.

    Arguments
    ---------
    durations : list of float
    batches : list of list of int

    Returns
    -------
    float

    Example
    -------
    >>> padding_share([1.0, 3.0, 2.0], [[0, 1], [2]])
    0.25
    """
    speech = sum(durations[i] for batch in batches for i in batch)
    held = sum(len(b) * max(durations[i] for i in b) for b in batches)
    return 1 - speech / held
