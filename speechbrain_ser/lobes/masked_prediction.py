"""Masked prediction of frame pseudo-labels: HuBERT's masks, a head a scale.

References: "HuBERT: Self-Supervised Speech Representation Learning by Masked
Prediction of Hidden Units", Hsu et al. 2021, section III.B; "GMP-ATL:
Gender-augmented Multi-scale Pseudo-label Enhanced Adaptive Transfer Learning for
Speech Emotion Recognition via HuBERT", Pan et al. 2024, section 3.2.
"""

import contextlib
import hashlib

import numpy as np
import torch

from speechbrain_ser.utils.settings import ListOf, Number, Whole


@contextlib.contextmanager
def numpy_seed(*parts):
    """Seeds NumPy's global generator within a block alone.

    Arguments
    ---------
    *parts : str or int
        The same parts give the same seed, in any process.
    """
    digest = hashlib.sha256(repr(parts).encode()).digest()
    state = np.random.get_state()
    np.random.seed(np.frombuffer(digest, dtype=np.uint32))
    try:
        yield
    finally:
        np.random.set_state(state)


def draw_mask(
    n_frames,
    mask_prob: Number(1e-6, 1),
    mask_length: Whole(1, 1e6),
    min_spans: Whole(0, 1e6),
    *seed,
):
    """Draws the frames of an utterance that are masked, as HuBERT does.

    transformers draws spans of `mask_length` frames, which may overlap. An
    utterance that is not longer than a span gets one that leaves a frame to see,
    if it has two.

    Arguments
    ---------
    n_frames : int
    mask_prob : float
        The share of masked frames if no spans overlapped.
    mask_length : int
        Frames of a span.
    min_spans : int
        Spans of an utterance at least, if they fit.
    *seed : str or int
        Say seed, epoch and utterance: who else is in the batch doesn't matter.

    Returns
    -------
    numpy.ndarray
        Bool, ``[n_frames]``; at least one is True.

    Example
    -------
    >>> draw_mask(4, 0.5, 10, 1, "seed").sum()
    np.int64(3)
    """
    from transformers.models.hubert.modeling_hubert import _compute_mask_indices

    if n_frames <= mask_length:  # one span, whatever the share
        mask_prob, mask_length, min_spans = 0, max(n_frames - 1, 1), 1
    with numpy_seed(*seed):
        return _compute_mask_indices(
            (1, n_frames), mask_prob, mask_length, min_masks=max(min_spans, 1)
        )[0]


class PseudoLabelHeads(torch.nn.Module):
    """One head for each scale of the pseudo-labels: linear, ReLU, linear.

    Arguments
    ---------
    input_size : int
        Channels of the frames.
    hidden_size : int
        Units between the two linear layers.
    sizes : list of int
        The number of clusters of each scale.

    Example
    -------
    >>> heads = PseudoLabelHeads(8, 6, [4, 16])
    >>> [logits.shape[1] for logits in heads(torch.randn(3, 8))]
    [4, 16]
    """

    def __init__(
        self,
        input_size: Whole(1),
        hidden_size: Whole(1),
        sizes: ListOf(Whole(1), shortest=1, example="[64, 512]"),
    ):
        super().__init__()
        self.heads = torch.nn.ModuleList(
            torch.nn.Sequential(
                torch.nn.Linear(input_size, hidden_size),
                torch.nn.ReLU(),
                torch.nn.Linear(hidden_size, size),
            )
            for size in sizes
        )

    def forward(self, frames):
        """Computes the logits of frames.

        Arguments
        ---------
        frames : torch.Tensor
            ``[n, input_size]``.

        Returns
        -------
        list of torch.Tensor
            ``[n, size]`` for each scale.
        """
        return [head(frames) for head in self.heads]
