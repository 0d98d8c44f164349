"""Batches of waveforms in few lengths: padded up to multiples of a step.

A GPU plans its work for each length that is new to it. So training batches are
brought to multiples of a step, and utterances of one multiple are kept together
(see `batching.LengthBatchSampler`). What is added is padding like any other: the
relative lengths are those of the padded length.

Models that mask all padding (the layer-norm kind, "large") give the same. Those of
the group-norm kind ("base") have a norm over the time, which sees it: with a share
p of zeros what comes out of it is 1 / sqrt(1 - p) times as large. With random
weights of wav2vec 2.0 base's shape (4 blocks) the frames of an utterance changed by
1.7 % at p = 3.5 %, the grid's share at IEMOCAP's durations in batches of 8, and by
2.4 % at 5 %; without the grid p is 1.8 %.
"""

import numpy as np
import torch
import torch.nn.functional as F

from speechbrain.dataio.batch import PaddedBatch, PaddedData

# Of a step: a duration that is so little above a multiple is a rounding error.
SLACK = 1e-6


def multiples(durations, step):
    """Returns how many steps each duration takes, as whole numbers.

    Arguments
    ---------
    durations : np.ndarray
        In seconds.
    step : float
        In seconds.

    Returns
    -------
    np.ndarray

    Example
    -------
    >>> multiples(np.array([0.1, 0.5, 0.51]), 0.25)
    array([1, 2, 3])
    """
    return np.ceil(np.asarray(durations) / step - SLACK).astype(int)


class GridBatch:
    """Makes a batch whose waveforms have a length that is a multiple of a step.

    Arguments
    ---------
    step : int
        In samples.

    Example
    -------
    >>> batch = GridBatch(4)([{"id": "a", "sig": torch.ones(6)}])
    >>> batch.sig.data.shape, batch.sig.lengths
    (torch.Size([1, 8]), tensor([0.7500]))
    """

    def __init__(self, step):
        self.step = step

    def __call__(self, examples):
        """Collates examples, dictionaries with ``sig`` ``[samples]``."""
        batch = PaddedBatch(examples)
        wavs = batch.sig.data
        wavs = F.pad(wavs, (0, -wavs.shape[1] % self.step))
        lengths = [len(example["sig"]) for example in examples]
        batch.sig = PaddedData(wavs, torch.tensor(lengths) / wavs.shape[1])
        return batch
