"""What turns frames into an utterance's embedding, chosen by a word.

Reference: "An Effective Local Prototypical Mapping Network for Speech Emotion
Recognition", Xi et al. 2024 (LPMN), section 3.2 and Table 2.
"""

from speechbrain_ser.lobes.local_prototypes import LocalPrototypicalMapping
from speechbrain_ser.lobes.pooling import MaxPooling, StatisticsPooling
from speechbrain_ser.utils.settings import Number, OneOf, Switch, Whole

POOLINGS = ("lpmn", "average", "max")


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
