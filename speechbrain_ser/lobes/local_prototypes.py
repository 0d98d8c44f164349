"""Frames mapped onto the prototypes of a codebook, the maximum over time.

Reference: "An Effective Local Prototypical Mapping Network for Speech Emotion
Recognition", Xi et al. 2024 (LPMN), Eq. 2 and section 3.2.
"""

import torch

from speechbrain_ser.lobes.codebook import WORK_SIZE, pieces
from speechbrain_ser.lobes.pooling import valid_frames
from speechbrain_ser.utils.exporting import exporting
from speechbrain_ser.utils.settings import Number, Switch, checked

# Below this length a frame or a prototype has no direction: its cosines are 0.
NO_DIRECTION = 1e-8
# Up to so many numbers of a mapping `[batch, T, K]` the plain operations are
# taken. Measured on one thread of a CPU, forward and backward: 1.0 to 1.4 times
# faster up to 51,200, alike at 102,400 and 204,800, 0.7 to 1.2 times as fast at
# 409,600. On a GPU, where they were 1.2 to 1.5 times faster at 13 million: as
# many as `lean_max_mapping` would hold at once too.
PLAIN_UP_TO = {"cpu": 2**16, "cuda": WORK_SIZE["cuda"]}


def unit(vectors):
    """Returns vectors of length 1, and what they were multiplied by for it.

    Arguments
    ---------
    vectors : torch.Tensor
        ``[..., C]``.

    Returns
    -------
    unit : torch.Tensor
        ``[..., C]``; zero where there is no direction.
    inverse : torch.Tensor
        ``[..., 1]``: 1 / length, or 0.

    Example
    -------
    >>> unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))[0]
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    length = vectors.norm(dim=-1, keepdim=True)
    inverse = 1 / length.clamp(min=NO_DIRECTION)
    inverse = torch.where(length > NO_DIRECTION, inverse, 0.0)
    return vectors * inverse, inverse


def across(gradients, directions):
    """Takes from gradients, in place, what lies along the directions.

    A cosine changes only by what turns a vector.

    Arguments
    ---------
    gradients : torch.Tensor
        ``[..., C]``.
    directions : torch.Tensor
        Of length 1 (or 0), ``[..., C]``.

    Returns
    -------
    torch.Tensor
        `gradients`.

    Example
    -------
    >>> across(torch.tensor([[2.0, 3.0]]), torch.tensor([[0.0, 1.0]]))
    tensor([[2., 0.]])
    """
    along = (gradients * directions).sum(dim=-1, keepdim=True)
    return gradients.addcmul_(directions, along, value=-1)


class Cosines(torch.autograd.Function):
    """The product of all frames and prototypes of length 1.

    A product's own gradient would be half precise where somebody calls backward
    under autocast.
    """

    @staticmethod
    def forward(ctx, frames, prototypes):
        """Multiplies ``[..., C]`` and ``[K, C]`` to ``[..., K]``."""
        ctx.save_for_backward(frames, prototypes)
        return frames @ prototypes.T

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, upstream):
        """Returns the gradients of both."""
        frames, prototypes = ctx.saved_tensors
        with torch.autocast(frames.device.type, enabled=False):
            flat = upstream.flatten(0, -2)
            return (
                upstream @ prototypes,
                flat.T @ frames.flatten(0, -2),
            )


def naive_local_mapping(frames, prototypes, tau):
    """Maps every frame onto the prototypes (Eq. 2), as the paper writes it.

    Arguments
    ---------
    frames : torch.Tensor
        ``[..., T, C]``.
    prototypes : torch.Tensor
        ``[K, C]``.
    tau : float
        Temperature (> 0).

    Returns
    -------
    torch.Tensor
        ``[..., T, K]``; each frame's mapping sums to 1.

    Example
    -------
    >>> frame = torch.tensor([[2.0, 0.0]])
    >>> naive_local_mapping(frame, torch.eye(2), tau=1.0)
    tensor([[0.7311, 0.2689]])
    """
    cosine = Cosines.apply(unit(frames)[0], unit(prototypes)[0])
    return torch.softmax(cosine / tau, dim=-1)


def naive_max_mapping(frames, counts, prototypes, tau):
    """The mapping's maximum over the valid frames, in plain operations.

    What `lean_max_mapping` computes with less memory; `max_mapping` takes it
    where it is faster.

    Arguments
    ---------
    frames : torch.Tensor
        ``[batch, T, C]``.
    counts : torch.Tensor
        Valid frames of each utterance, ``[batch]``.
    prototypes : torch.Tensor
        ``[K, C]``.
    tau : float

    Returns
    -------
    values : torch.Tensor
        ``[batch, K]``.
    winners : torch.Tensor
        The frame that has the maximum, ``[batch, K]``.
    """
    mapping = naive_local_mapping(frames, prototypes, tau)
    behind = (
        torch.arange(frames.shape[1], device=frames.device) >= counts[:, None]
    )
    values, winners = mapping.masked_fill(behind[:, :, None], -1.0).max(dim=1)
    return values, winners


class MaxMapping(torch.autograd.Function):
    """Eq. 2 and the maximum over time, a few utterances at a time.

    The maximum needs, backward, only the frames that won a prototype; they are
    mapped again there, so that no ``[batch, T, K]`` is ever held.
    """

    @staticmethod
    def values(frames, counts, prototypes, tau):
        """See `max_mapping`; without a gradient of its own."""
        n, longest, dim = frames.shape
        directions = (unit(prototypes)[0] / tau).T.contiguous()
        best = []
        steps = torch.arange(longest, device=frames.device)
        work = pieces(n, longest * len(prototypes), frames.device)
        for piece in work or [slice(0)]:
            score = unit(frames[piece])[0] @ directions
            score = score.log_softmax(dim=-1)
            behind = steps >= counts[piece, None]
            score.masked_fill_(behind[:, :, None], -torch.inf)
            best.append(score.max(dim=1))
        values, winners = map(torch.cat, zip(*best))
        return values.exp(), winners

    @staticmethod
    def forward(ctx, frames, counts, prototypes, tau):
        """See `max_mapping`."""
        values, winners = MaxMapping.values(frames, counts, prototypes, tau)
        ctx.save_for_backward(frames, prototypes, values, winners)
        ctx.tau = tau
        ctx.mark_non_differentiable(winners)
        return values, winners

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, upstream, _):
        """Returns the gradients of frames and prototypes."""
        frames, prototypes, values, winners = ctx.saved_tensors
        # whoever calls backward under autocast gets float32 too
        with torch.autocast(frames.device.type, enabled=False):
            directions, inverse = unit(prototypes)
            frames_gradient = frames.new_zeros(frames.shape)
            gradient = torch.zeros_like(directions)
            for piece, rows, x, x_inverse, slope in cosine_gradients(
                frames, directions, values, winners, upstream, ctx.tau
            ):
                gradient.addmm_(slope.flatten(0, 1).T, x.flatten(0, 1))
                turn = across(slope @ directions, x).mul_(x_inverse)
                frames_gradient[piece].flatten(0, 1).index_copy_(
                    0, rows, turn.flatten(0, 1)
                )
            gradient = across(gradient, directions).mul_(inverse)
        return frames_gradient, None, gradient, None


def cosine_gradients(frames, directions, values, winners, upstream, tau):
    """Walks over a batch and yields the gradient by the winning cosines.

    With s the mapping of a frame t and w_j the upstream gradient times the
    maximum of each prototype j that t won, d/dcos(t, l) is
    (w_l - s_l * sum of w) / tau.

    Arguments
    ---------
    frames : torch.Tensor
        ``[batch, T, C]``.
    directions : torch.Tensor
        Prototypes of length 1, ``[K, C]``.
    values, winners : torch.Tensor
        Of the maximum, ``[batch, K]``.
    upstream : torch.Tensor
        The gradient by `values`, ``[batch, K]``.
    tau : float

    Yields
    ------
    piece : slice
        Which utterances.
    rows : torch.Tensor
        Which of their frames, one utterance behind the other, ``[n * U]``: all
        that won and some that did not.
    x : torch.Tensor
        These frames with length 1, ``[n, U, C]``.
    inverse : torch.Tensor
        1 / their lengths, ``[n, U, 1]``.
    slope : torch.Tensor
        The gradient by their cosines, ``[n, U, K]``.
    """
    n, longest, dim = frames.shape
    scaled = (directions / tau).T.contiguous()
    weights = upstream * values / tau
    numbers = len(directions) * max(longest, dim)
    for piece in pieces(n, numbers, frames.device):
        won = torch.zeros_like(frames[piece, :, 0])
        won.scatter_(1, winners[piece], 1.0)
        most = int(won.sum(dim=1).max())
        index = won.topk(most, dim=1).indices
        order = torch.arange(most, device=index.device).expand_as(index)
        place = torch.zeros_like(won, dtype=torch.long)
        place = place.scatter_(1, index, order).gather(1, winners[piece])

        first = torch.arange(len(index), device=index.device) * longest
        rows = (index + first.unsqueeze(1)).flatten()
        x = frames[piece].flatten(0, 1).index_select(0, rows)
        x, inverse = unit(x.view(*index.shape, dim))
        weight = weights[piece]
        total = weight.new_zeros(index.shape).scatter_add_(1, place, weight)
        slope = torch.softmax(x @ scaled, dim=-1)
        slope *= -total.unsqueeze(2)
        slope.scatter_add_(1, place.unsqueeze(1), weight.unsqueeze(1))
        yield piece, rows, x, inverse, slope


def lean_max_mapping(frames, counts, prototypes, tau):
    """Equal to `naive_max_mapping`, at a fraction of its memory.

    See `max_mapping` for arguments and what is returned.
    """
    return MaxMapping.apply(frames, counts, prototypes, tau)


def plain_is_faster(frames, prototypes):
    """Whether the plain operations are faster, and need little memory.

    Arguments
    ---------
    frames : torch.Tensor
        ``[batch, T, C]``.
    prototypes : torch.Tensor
        ``[K, C]``.

    Returns
    -------
    bool
        By size and kind of device, see `PLAIN_UP_TO`.
    """
    numbers = frames.shape[0] * frames.shape[1] * len(prototypes)
    return numbers <= PLAIN_UP_TO.get(frames.device.type, PLAIN_UP_TO["cuda"])


def max_mapping(frames, counts, prototypes, tau):
    """Maps frames onto prototypes (Eq. 2) and takes the maximum over time.

    In plain operations where they are faster, else with little memory.

    Arguments
    ---------
    frames : torch.Tensor
        ``[batch, T, C]``.
    counts : torch.Tensor
        Valid frames of each utterance, ``[batch]``.
    prototypes : torch.Tensor
        ``[K, C]``.
    tau : float
        Temperature (> 0).

    Returns
    -------
    values : torch.Tensor
        ``[batch, K]``.
    winners : torch.Tensor
        The frame that has the maximum, ``[batch, K]``; the first on a tie.

    Example
    -------
    >>> frames = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [5.0, 5.0]]])
    >>> max_mapping(frames, torch.tensor([2]), torch.eye(2), tau=1.0)
    (tensor([[0.7311, 0.7311]]), tensor([[0, 1]]))
    """
    if exporting():
        return MaxMapping.values(frames, counts, prototypes, tau)
    plain = plain_is_faster(frames, prototypes)
    function = naive_max_mapping if plain else lean_max_mapping
    return function(frames, counts, prototypes, tau)


class LocalPrototypicalMapping(torch.nn.Module):
    """An utterance as the best mapping of its frames onto each prototype.

    Eq. 2 and the MIL max pooling over time (section 3.2). As printed a mapping
    is about 1/K everywhere, too small for a classifier to learn from; with
    `in_chance` it is K times that less 1: 0 where a frame is as near to a
    prototype as to any. A linear classifier on it can be what one on the
    printed mapping can be, and no other.

    Arguments
    ---------
    codebook : Codebook
    tau : float
        Temperature (> 0).
    in_chance : bool
        See above; False: as printed.

    Raises
    ------
    InputError
        If the temperature is not positive.

    Example
    -------
    >>> from speechbrain_ser.lobes.codebook import Codebook
    >>> pool = LocalPrototypicalMapping(Codebook(n_prototypes=6, dim=4))
    >>> pooled, winners = pool(torch.randn(2, 9, 4), torch.tensor([1.0, 0.5]))
    >>> pooled.shape, pool.size
    (torch.Size([2, 6]), 6)
    """

    @checked
    def __init__(
        self,
        codebook,
        tau: Number(above=0) = 1.0,
        in_chance: Switch() = True,
    ):
        super().__init__()
        self.codebook = codebook
        self.tau = tau
        self.in_chance = in_chance

    @property
    def size(self):
        """Numbers that an utterance becomes, K."""
        return len(self.codebook.prototypes)

    def forward(self, frames, lengths, kept=None):
        """Maps and pools ``[batch, time, C]`` to ``[batch, K]``.

        Arguments
        ---------
        frames : torch.Tensor
            ``[batch, time, C]``.
        lengths : torch.Tensor
            Relative lengths, ``[batch]`` in (0, 1].
        kept : torch.Tensor, optional
            Indices of the K' prototypes that were selected: the softmax runs
            over them alone (section 3.3).

        Returns
        -------
        pooled : torch.Tensor
            ``[batch, K]`` or ``[batch, K']``.
        winners : torch.Tensor
            The frame that the maximum picked for each prototype.
        """
        prototypes = self.codebook.prototypes
        if kept is not None:
            prototypes = prototypes[kept]
        with torch.autocast(frames.device.type, enabled=False):
            frames = frames.to(prototypes.dtype)
            counts = valid_frames(frames, lengths).sum(dim=1)
            values, winners = max_mapping(frames, counts, prototypes, self.tau)
            if self.in_chance:
                values = len(prototypes) * values - 1
            return values, winners

    @torch.no_grad()
    def over_time(self, frames, kept=None):
        """Returns the mapping of every frame, to look at.

        Arguments
        ---------
        frames : torch.Tensor
            Of one utterance, ``[T, C]``.
        kept : torch.Tensor, optional
            As in `forward`.

        Returns
        -------
        torch.Tensor
            Times chance, that is K' times Eq. 2: ``[T, K']``.
        """
        prototypes = self.codebook.prototypes
        if kept is not None:
            prototypes = prototypes[kept]
        with torch.autocast(frames.device.type, enabled=False):
            mapping = naive_local_mapping(
                frames.to(prototypes.dtype), prototypes, self.tau
            )
        return len(prototypes) * mapping
