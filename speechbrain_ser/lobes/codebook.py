"""A codebook of prototypes of frames, and the loss that it is learnt by.

Reference: "An Effective Local Prototypical Mapping Network for Speech Emotion
Recognition", Xi et al. 2024 (LPMN), Eq. 1.
"""

import torch

from speechbrain_ser.lobes.pooling import valid_frames
from speechbrain_ser.utils.distributed import (
    mean_over_processes,
    sum_over_processes,
)
from speechbrain_ser.utils.exporting import exporting
from speechbrain_ser.utils.settings import Number, Switch, Whole

# Numbers in one of the work arrays; the caches of a CPU are small.
WORK_SIZE = {"cpu": 2**19, "cuda": 2**25}


def pieces(n, numbers, device):
    """Cuts a batch so that the work on a piece needs little memory.

    Arguments
    ---------
    n : int
        Utterances.
    numbers : int
        That the largest work array holds of each.
    device : torch.device

    Returns
    -------
    list of slice
    """
    if exporting():
        return [slice(None)]  # a number of pieces would be that of any batch
    step = max(1, WORK_SIZE.get(device.type, WORK_SIZE["cuda"]) // numbers)
    return [slice(i, min(i + step, n)) for i in range(0, n, step)]


class Codebook(torch.nn.Module):
    """K prototypes of the frames, and the loss that they are learnt by (Eq. 1).

    Arguments
    ---------
    n_prototypes : int
        K.
    dim : int
        Size of a frame, C.
    codebook_weight : float
        Of the first term, which moves the prototypes.
    commitment_weight : float
        Of the second term, which moves the frames.
    squared : bool
        False: Euclidean distances, as Eq. 1 is printed. True: squared ones,
        averaged over the channels as well, as in the VQ-VAE that it follows.

    Example
    -------
    >>> codebook = Codebook(n_prototypes=4, dim=2)
    >>> codebook.draw(torch.eye(2).repeat(2, 1))
    >>> float(codebook(torch.eye(2).unsqueeze(0), torch.ones(1)))
    0.0
    """

    def __init__(
        self,
        n_prototypes: Whole(1),
        dim: Whole(1),
        codebook_weight: Number(0) = 1.0,
        commitment_weight: Number(0) = 1.0,
        squared: Switch() = False,
    ):
        super().__init__()
        self.codebook_weight = codebook_weight
        self.commitment_weight = commitment_weight
        self.squared = squared
        self.prototypes = torch.nn.Parameter(torch.randn(n_prototypes, dim))
        # frames that each was the nearest of since the epoch began; whole
        # numbers, as float32 stops to count at 17 million
        self.register_buffer(
            "chosen", torch.zeros(n_prototypes, dtype=torch.long)
        )

    @torch.no_grad()
    def nearest(self, frames):
        """Returns the nearest prototype of each frame, by Euclidean distance.

        Arguments
        ---------
        frames : torch.Tensor
            ``[n, C]``.

        Returns
        -------
        torch.Tensor
            ``[n]``; the first on a tie.
        """
        prototypes = self.prototypes.to(frames)
        bias = prototypes.square().sum(dim=1) / 2
        index = torch.empty(len(frames), dtype=torch.long, device=frames.device)
        for piece in pieces(len(frames), len(prototypes), frames.device):
            closeness = torch.addmm(
                -bias, frames[piece], prototypes.T
            )  # |x|^2 / 2 - |x - p|^2 / 2
            index[piece] = closeness.argmax(dim=1)
        return index

    def forward(self, frames, lengths):
        """Computes the quantization loss (Eq. 1), a mean over valid frames.

        In training the frames of each prototype are counted.

        Arguments
        ---------
        frames : torch.Tensor
            ``[batch, time, C]``.
        lengths : torch.Tensor
            Relative lengths, ``[batch]`` in (0, 1].

        Returns
        -------
        torch.Tensor
            A scalar; with several processes scaled as
            `distributed.mean_over_processes` says.
        """
        valid = valid_frames(frames, lengths)
        with torch.autocast(frames.device.type, enabled=False):
            frames = frames[valid].to(self.prototypes.dtype)
            index = self.nearest(frames)
            if self.training:
                self.chosen += sum_over_processes(self.counts(index))
            quantized = self.prototypes[index]
            # Eq. 1
            loss = self.codebook_weight * self.distance(
                frames.detach(), quantized
            ) + self.commitment_weight * self.distance(
                frames, quantized.detach()
            )
            return mean_over_processes(loss.sum(), len(frames))

    def distance(self, frames, prototypes):
        """Returns the distance of each frame to its prototype, ``[n]``."""
        difference = frames - prototypes
        if self.squared:
            return difference.square().mean(dim=1)
        square = difference.square().sum(dim=1)
        # the gradient of a root has no limit at 0
        away = square > 0
        return torch.where(away, square.where(away, 1.0).sqrt(), 0.0)

    @torch.no_grad()
    def draw(self, frames, which=None, seed=0):
        """Sets prototypes to frames drawn at random.

        Arguments
        ---------
        frames : torch.Tensor
            ``[n, C]``, the same in every process; a frame is taken twice only
            if there are too few.
        which : torch.Tensor, optional
            Indices of the prototypes; default: all.
        seed : int
            Of the drawing.
        """
        if which is None:
            which = torch.arange(len(self.prototypes))
        draw = torch.Generator().manual_seed(seed)
        rounds = -(-len(which) // len(frames))
        order = torch.cat(
            [torch.randperm(len(frames), generator=draw) for _ in range(rounds)]
        )
        order = order[: len(which)].to(frames.device)
        self.prototypes[which.to(self.prototypes.device)] = frames[order].to(
            self.prototypes
        )

    def counts(self, index):
        """Counts the frames of each prototype, ``[K]``; see `nearest`."""
        return torch.bincount(index, minlength=len(self.chosen))

    @torch.no_grad()
    def count(self, frames, lengths):
        """Counts the valid frames whose nearest prototype each is.

        Arguments
        ---------
        frames : torch.Tensor
            ``[batch, time, C]``.
        lengths : torch.Tensor
            Relative lengths, ``[batch]`` in (0, 1].

        Returns
        -------
        torch.Tensor
            ``[K]``.

        Example
        -------
        >>> codebook = Codebook(n_prototypes=3, dim=2)
        >>> codebook.draw(torch.tensor([[1.0, 0.0], [0.0, 1.0], [9.0, 9.0]]))
        >>> frames = torch.tensor([[[0.9, 0.0], [1.1, 0.0], [8.0, 8.0]]])
        >>> sorted(codebook.count(frames, torch.tensor([2 / 3])).tolist())
        [0, 0, 2]
        """
        valid = valid_frames(frames, lengths)
        with torch.autocast(frames.device.type, enabled=False):
            frames = frames[valid].to(self.prototypes.dtype)
            return self.counts(self.nearest(frames))

    def usage(self):
        """Says how the prototypes were used since the epoch began, in training.

        See `usage_of`; each frame was assigned as it was when it was trained
        on, while frames and prototypes moved.
        """
        return usage_of(self.chosen)


def usage_of(counts):
    """Says how the prototypes of a codebook are used.

    Arguments
    ---------
    counts : torch.Tensor
        The valid frames whose nearest prototype each is (by Euclidean
        distance, as in Eq. 1), over all utterances that are looked at,
        ``[K]``; padding is none of them.

    Returns
    -------
    used : int
        Prototypes that are the nearest of at least one frame.
    perplexity : float
        exp of the entropy of their shares of the frames, with p = counts / sum:
        exp(-sum p ln p). It lies between 1 (all frames choose one prototype)
        and `used` (all of these are chosen alike); 1 where there is no frame.

    Example
    -------
    >>> used, perplexity = usage_of(torch.tensor([5.0, 5.0, 0.0]))
    >>> used, round(perplexity, 6)
    (2, 2.0)
    """
    counts = counts.double()
    share = counts / counts.sum().clamp(min=1)
    entropy = -torch.special.xlogy(share, share).sum()
    return int((counts > 0).sum()), float(entropy.exp())
