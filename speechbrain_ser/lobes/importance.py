"""How much each prototype of a codebook tells of the emotion.

Reference: "An Effective Local Prototypical Mapping Network for Speech Emotion
Recognition", Xi et al. 2024 (LPMN), Eq. 4.
"""

import torch

from speechbrain_ser.lobes.local_prototypes import (
    across,
    cosine_gradients,
    unit,
)
from speechbrain_ser.lobes.pooling import frame_mask
from speechbrain_ser.utils.distributed import sum_over_processes
from speechbrain_ser.utils.settings import Number, Switch, Whole, checked


class FisherImportance(torch.nn.Module):
    """How much each prototype tells of the emotion: Eq. 4, a moving average.

    A cosine does not see a prototype's length, so that as printed a short
    prototype looks important: its gradient is larger. By default the gradient is
    that of its direction, Eq. 4 times the squared length.

    Arguments
    ---------
    n_prototypes : int
        K.
    decay : float
        How much of the average stays at each step, in [0, 1).
    of_direction : bool
        See above; False: as printed.

    Raises
    ------
    InputError
        If the decay is out of its range.

    Example
    -------
    >>> from speechbrain_ser.lobes.codebook import Codebook
    >>> from speechbrain_ser.lobes.local_prototypes import (
    ...     LocalPrototypicalMapping,
    ... )
    >>> _ = torch.manual_seed(0)
    >>> pool = LocalPrototypicalMapping(Codebook(n_prototypes=6, dim=4))
    >>> frames, lengths = torch.randn(2, 9, 4), torch.ones(2)
    >>> pooled, winners = pool(frames, lengths)
    >>> log_p = torch.log_softmax(torch.nn.Linear(6, 3)(pooled), dim=1)[:, 0]
    >>> importance = FisherImportance(6)
    >>> importance.update(log_p, pooled, winners, frames, lengths, pool)
    >>> importance.ranking().shape
    torch.Size([6])
    """

    @checked
    def __init__(
        self,
        n_prototypes: Whole(1),
        decay: Number(0, below=1) = 0.99,
        of_direction: Switch() = True,
    ):
        super().__init__()
        self.decay = decay
        self.of_direction = of_direction
        self.register_buffer("importance", torch.zeros(n_prototypes))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def update(self, log_p, pooled, winners, frames, lengths, mapping):
        """Adds a batch to the moving average; its first value is that average.

        Arguments
        ---------
        log_p : torch.Tensor
            log p(y) of each utterance's label, ``[batch]``, as it was computed
            from `pooled`.
        pooled, winners : torch.Tensor
            What the mapping returned, ``[batch, K]``.
        frames : torch.Tensor
            ``[batch, time, C]``.
        lengths : torch.Tensor
            Relative lengths, ``[batch]``.
        mapping : LocalPrototypicalMapping
        """
        # log p of an utterance depends on its own row alone
        (upstream,) = torch.autograd.grad(
            log_p.sum(), pooled, retain_graph=True
        )
        with torch.no_grad():
            total = self.of_batch(upstream, pooled, winners, frames, mapping)
            count = frame_mask(frames, lengths).sum()
            shared = sum_over_processes(torch.cat([total, count.reshape(1)]))
            new = shared[:-1] / shared[-1].clamp(min=1)
            # not of a pass that overflowed, whose step is skipped too
            fit = torch.isfinite(new).all()
            moved = self.importance.mul(self.decay)
            moved = moved.add(new, alpha=1 - self.decay)
            moved = torch.where(self.steps > 0, moved, new)
            self.importance.copy_(torch.where(fit, moved, self.importance))
            self.steps += fit

    def of_batch(self, upstream, pooled, winners, frames, mapping):
        """Returns Eq. 4's sum over the utterances of a batch, ``[K]``."""
        prototypes = mapping.codebook.prototypes
        directions, inverse = unit(prototypes)
        upstream = upstream.to(prototypes.dtype)
        values = pooled.to(prototypes.dtype)
        if mapping.in_chance:
            values = (values + 1) / len(prototypes)
            upstream = upstream * len(prototypes)
        total = torch.zeros_like(inverse).squeeze(1)
        with torch.autocast(frames.device.type, enabled=False):
            for _, _, x, _, slope in cosine_gradients(
                frames.to(prototypes.dtype),
                directions,
                values,
                winners,
                upstream,
                mapping.tau,
            ):
                # the gradient of each utterance by each direction, [n, K, C]
                gradient = across(slope.transpose(1, 2) @ x, directions)
                total += gradient.square_().sum(dim=(0, 2))
        if not self.of_direction:
            total *= inverse.squeeze(1) ** 2
        return total

    def ranking(self):
        """Returns the prototypes, the most important first, ``[K]``."""
        return self.importance.sort(descending=True, stable=True).indices
