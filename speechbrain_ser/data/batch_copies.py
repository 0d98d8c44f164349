"""Augmented copies of a batch, made where the batch is read.

That is ahead of the step, by a loader's worker process if it has one.
"""

from speechbrain.dataio.batch import PaddedBatch
from speechbrain.utils.data_utils import batch_pad_right
from speechbrain_ser.data.augmentation import augment_copies
from speechbrain_ser.data.augmented_copies import drawn_by
from speechbrain_ser.data.dataset import UNLABELLED


class BatchCopies:
    """Makes batches that hold a ``copy`` of each unlabelled utterance.

    What is drawn for a batch hangs on the seed, the epoch and the ids of its
    utterances alone. So no generator has to be kept for a run that goes on, and
    copies are the same whichever process makes them, and in whatever order.

    Arguments
    ---------
    augmenter : speechbrain.augment.augmenter.Augmenter
        With parts that keep the number of samples.
    seed : int
    collate : callable
        Makes a batch of examples.

    Attributes
    ----------
    epoch : int or None
        Which it is; None: no copies are made. Whoever trains sets it, before
        the epoch's first batch is asked for.

    Example
    -------
    >>> import torch
    >>> from speechbrain.augment.augmenter import Augmenter
    >>> from speechbrain.augment.time_domain import DropChunk
    >>> make = BatchCopies(Augmenter(augmentations=[DropChunk()]), seed=1)
    >>> make.epoch = 5
    >>> batch = make(
    ...     [
    ...         {"id": "a", "sig": torch.randn(9000), "label": 2},
    ...         {"id": "b", "sig": torch.randn(8000), "label": UNLABELLED},
    ...     ]
    ... )
    >>> batch.copy.data.shape, batch.copy.lengths.round(decimals=4)
    (torch.Size([2, 8000]), tensor([1.0000e-04, 1.0000e+00]))
    """

    def __init__(self, augmenter, seed=0, collate=PaddedBatch):
        self.augmenter = augmenter
        self.seed = seed
        self.collate = collate
        self.epoch = None

    def __call__(self, examples):
        """Makes a batch of examples with ``id``, ``sig`` and ``label``.

        Returns
        -------
        PaddedBatch
            Of who is labelled the copy is a sample of its own.
        """
        if self.epoch is None:
            return self.collate(examples)
        examples = [e | {"copy": e["sig"][:1]} for e in examples]
        copied = [e for e in examples if e["label"] == UNLABELLED]
        if copied:
            wavs, lengths = batch_pad_right([e["sig"] for e in copied])
            ids = [e["id"] for e in copied]
            with drawn_by(f"{self.seed} {self.epoch} {ids}"):
                made = augment_copies(self.augmenter, wavs, lengths)
            for example, copy in zip(copied, made):
                example["copy"] = copy[: len(example["sig"])]
        return self.collate(examples)
