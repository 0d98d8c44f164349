"""What turns an utterance's kept frames into one vector, chosen by a word."""

from speechbrain_ser.lobes.codebook import Codebook
from speechbrain_ser.lobes.local_means import LocalMeans
from speechbrain_ser.lobes.local_prototypes import LocalPrototypicalMapping
from speechbrain_ser.lobes.pooling import MaxPooling, StatisticsPooling
from speechbrain_ser.utils.settings import Number, OneOf, Switch, Whole

KINDS = ("local_means", "lpmn", "average", "average_deviation", "max")


def make_utterance_pooling(
    kind: OneOf(*KINDS),
    dim: Whole(1),
    n_prototypes: Whole(1) = 12,
    tau: Number(above=0) = 0.05,
    prior: Number(0) = 1.0,
    in_chance: Switch() = True,
):
    """Makes what turns frames into an utterance's vector.

    Arguments
    ---------
    kind : str
        ``local_means``: see `LocalMeans`; ``lpmn``: see
        `LocalPrototypicalMapping`, Eq. 2 of Xi et al. 2024; ``average``,
        ``average_deviation`` (with the standard deviation) or ``max`` over the
        frames.
    dim : int
        Channels of a frame.
    n_prototypes, tau : int, float
        Of the first two.
    prior : float
        Of `LocalMeans`.
    in_chance : bool
        Of `LocalPrototypicalMapping`.

    Returns
    -------
    torch.nn.Module
    """
    if kind == "local_means":
        return LocalMeans(n_prototypes, dim, tau, prior)
    if kind == "lpmn":
        codebook = Codebook(n_prototypes, dim)
        return LocalPrototypicalMapping(codebook, tau, in_chance)
    if kind == "max":
        return MaxPooling()
    statistics = "mean" if kind == "average" else "mean_std"
    return StatisticsPooling(statistics)


def vector_size(
    kind: OneOf(*KINDS), dim: Whole(1), n_prototypes: Whole(1) = 12
):
    """Returns the size of such a vector.

    Example
    -------
    >>> vector_size("local_means", 512), vector_size("lpmn", 512)
    (6144, 12)
    >>> vector_size("average_deviation", 512), vector_size("max", 512)
    (1024, 512)
    """
    sizes = {
        "local_means": n_prototypes * dim,
        "lpmn": n_prototypes,
        "average_deviation": 2 * dim,
    }
    return sizes.get(kind, dim)
