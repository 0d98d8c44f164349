"""An utterance as the means of its kinds of frame, one kind a prototype.

What is said decides most of a frame, and a mean over all frames mixes it with
how it is said. Frames that are like one prototype say like things: how their
mean lies to the corpus's mean of such frames is how they are said.
"""

import torch

from speechbrain_ser.lobes.pooling import valid_frames
from speechbrain_ser.utils.settings import Number, Whole, checked
from speechbrain_ser.utils.vectors import precise, unit


class LocalMeans(torch.nn.Module):
    """Of each prototype, where the frames that are like it lie.

    Frame f has the part a_k = softmax_k(cos(f, p_k) / tau) in prototype k, and
    an utterance is, for each k, the sum of a_k (f - m_k) over its frames,
    divided by the sum of a_k and `prior`: m_k is the mean of such frames over
    the corpus that `fit` saw. An utterance without frames of a kind has zeros
    there. The prototypes are those of LPMN (Xi et al. 2024, Eq. 2), which keeps
    the largest a_k over time instead of what the frames are.

    Arguments
    ---------
    n_prototypes : int
        K.
    dim : int
        Channels of a frame.
    tau : float
        The lower, the more a frame is of one prototype alone.
    prior : float
        Frames' worth of no difference that each kind begins with.

    Raises
    ------
    InputError
        If an argument is out of range.

    Example
    -------
    >>> pool = LocalMeans(n_prototypes=2, dim=2, prior=0.0)
    >>> east, north = [[1.0, 0.0], [3.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]
    >>> pool.fit(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), [torch.tensor(east)])
    >>> pool(torch.tensor([[[3.0, 0.0]]]), torch.ones(1)).round()
    tensor([[1., 0., 0., 0.]])
    >>> pool(torch.tensor([north]), torch.ones(1)).shape, pool.size
    (torch.Size([1, 4]), 4)
    """

    @checked
    def __init__(
        self,
        n_prototypes: Whole(1),
        dim: Whole(1),
        tau: Number(above=0) = 0.05,
        prior: Number(0) = 1.0,
    ):
        super().__init__()
        self.tau = tau
        self.prior = prior
        self.size = n_prototypes * dim
        self.register_buffer("prototypes", torch.zeros(n_prototypes, dim))
        self.register_buffer("means", torch.zeros(n_prototypes, dim))

    def parts(self, frames):
        """Returns how much of each frame is of each prototype.

        Arguments
        ---------
        frames : torch.Tensor
            ``[..., dim]``.

        Returns
        -------
        torch.Tensor
            ``[..., K]``, float32 at least; they sum to 1.
        """
        with torch.autocast(frames.device.type, enabled=False):
            cosines = unit(frames) @ unit(self.prototypes).T
        return torch.softmax(cosines / self.tau, dim=-1)

    @torch.no_grad()
    def fit(self, prototypes, utterances):
        """Takes prototypes, and the mean of each kind over a corpus.

        Arguments
        ---------
        prototypes : torch.Tensor
            ``[K, dim]``; their direction alone counts.
        utterances : iterable of torch.Tensor
            Frames of each, ``[time, dim]``; every frame counts the same.
        """
        self.prototypes.copy_(prototypes)
        count = torch.zeros(len(prototypes), dtype=torch.float64)
        total = torch.zeros(prototypes.shape, dtype=torch.float64)
        for frames in utterances:
            frames = frames.to(self.prototypes)
            parts = self.parts(frames).double()
            count += parts.sum(dim=0).cpu()
            total += (parts.T @ frames.double()).cpu()
        # of a kind that no frame is like, nothing is known
        self.means.copy_(total / count.clamp(min=1e-6).unsqueeze(1))

    def forward(self, frames, lengths):
        """Pools ``[batch, time, dim]`` to ``[batch, K * dim]``.

        Arguments
        ---------
        frames : torch.Tensor
            ``[batch, time, dim]``.
        lengths : torch.Tensor
            Relative lengths, ``[batch]`` in (0, 1].

        Returns
        -------
        torch.Tensor
            One prototype after the other, float32 at least.
        """
        frames = precise(frames)
        valid = valid_frames(frames, lengths).unsqueeze(2)
        frames = frames.masked_fill(~valid, 0)
        parts = self.parts(frames).masked_fill(~valid, 0)
        with torch.autocast(frames.device.type, enabled=False):
            count = parts.sum(dim=1).unsqueeze(2)
            total = parts.transpose(1, 2) @ frames
            away = total - count * self.means
            kinds = away / (count + self.prior).clamp(min=1e-6)
        return kinds.flatten(1)
