"""What turns frames into an utterance's embedding, chosen by a word.

Reference: "An Effective Local Prototypical Mapping Network for Speech Emotion
Recognition", Xi et al. 2024 (LPMN), section 3.2 and Table 2.
"""

import torch

from speechbrain.nnet.normalization import LayerNorm
from speechbrain_ser.lobes.local_prototypes import LocalPrototypicalMapping
from speechbrain_ser.lobes.pooling import MaxPooling, StatisticsPooling
from speechbrain_ser.utils.settings import Number, OneOf, Switch, Whole

POOLINGS = ("lpmn", "average", "max")


def make_norm(dim: Whole(1), norm_frames: Switch() = True):
    """Makes what the encoder's frames go through before they are pooled.

    Not in the paper: inner blocks of HuBERT large have a few huge channels,
    which decide every cosine by themselves.

    Arguments
    ---------
    dim : int
        Size of a frame.
    norm_frames : bool
        Whether each frame is normalised over its channels (layer norm without
        weights); False: frames stay as they are, as printed.

    Returns
    -------
    torch.nn.Module

    Example
    -------
    >>> frames = torch.tensor([[0.0, 8.0], [3.0, -3.0]])
    >>> make_norm(2)(frames).round()
    tensor([[-1.,  1.],
            [ 1., -1.]])
    >>> make_norm(2, norm_frames=False)(frames) is frames
    True
    """
    if not norm_frames:
        return torch.nn.Identity()
    return LayerNorm(input_size=dim, elementwise_affine=False)


def make_pooling(
    kind: OneOf(*POOLINGS),
    codebook,
    tau: Number(above=0) = 1.0,
    in_chance: Switch() = True,
):
    """Makes what turns frames into an utterance's embedding.

    Arguments
    ---------
    kind : str
        ``lpmn``, or ``average`` or ``max`` of the frames: the paper's
        Baseline-AP and Baseline-MP.
    codebook : Codebook
    tau, in_chance : float, bool
        See `LocalPrototypicalMapping`.

    Returns
    -------
    torch.nn.Module
    """
    if kind == "average":
        return StatisticsPooling("mean")
    if kind == "max":
        return MaxPooling()
    return LocalPrototypicalMapping(codebook, tau, in_chance)


def pooled_size(
    kind: OneOf(*POOLINGS), n_prototypes: Whole(1), frame_dim: Whole(1)
):
    """Returns the size of an embedding of `make_pooling`.

    Example
    -------
    >>> pooled_size("lpmn", 1024, 768), pooled_size("max", 1024, 768)
    (1024, 768)
    """
    return n_prototypes if kind == "lpmn" else frame_dim
