"""Embeddings moved to the mean of their domain, so that cosines tell classes.

Embeddings of one encoder mostly point the same way, and those of two kinds of
speech two ways: their cosines then say little of the class.
"""

import torch
import torch.nn.functional as F

from speechbrain_ser.utils.settings import Number, OneOf, Whole, checked
from speechbrain_ser.utils.vectors import precise

CENTERS = ("none", "all", "domain")


class DomainMeans(torch.nn.Module):
    """The means of the embeddings of two domains, which it takes off them.

    :meth:`initialize` sets the means to those of given embeddings,
    :meth:`update` moves them after a batch; no gradient does. They are a buffer.

    Arguments
    ---------
    dim : int
        Size of an embedding, D.
    center : str
        ``none``: embeddings stay as they are; ``all``: one mean is taken off
        all; ``domain``: of each domain its own.
    momentum : float
        How much of a mean stays at each batch, in [0, 1].

    Raises
    ------
    InputError
        If an argument is out of its range.

    Example
    -------
    >>> means = DomainMeans(dim=2, center="domain")
    >>> both = torch.tensor([[1.0, 0.0], [3.0, 0.0], [8.0, 8.0]])
    >>> means.initialize(both, torch.tensor([0, 0, 1]))
    >>> means(both[:1], 0), means(both[:1], 1)
    (tensor([[-1.,  0.]]), tensor([[-7., -8.]]))
    """

    @checked
    def __init__(
        self,
        dim: Whole(1),
        center: OneOf(*CENTERS) = "none",
        momentum: Number(0, 1) = 0.99,
    ):
        super().__init__()
        self.center = center
        self.momentum = momentum
        if center != "none":
            rows = {"all": 1, "domain": 2}[center]
            self.register_buffer("means", torch.zeros(rows, dim))

    def forward(self, embeddings, domains):
        """Takes the means off.

        Arguments
        ---------
        embeddings : torch.Tensor
            ``[batch, D]``.
        domains : torch.Tensor or int
            0 or 1, of each of them ``[batch]`` or of all.

        Returns
        -------
        torch.Tensor
            ``[batch, D]``, in float32 at least where something is taken off.
        """
        if self.center == "none":
            return embeddings
        if self.center == "all":
            return precise(embeddings) - self.means[0]
        return precise(embeddings) - self.means[domains]

    def batch_means(self, embeddings, domains):
        """Returns the means of a batch, and how many embeddings each is of.

        Returns
        -------
        means : torch.Tensor
            ``[1 or 2, D]``, 0 where there is no embedding.
        count : torch.Tensor
            ``[1 or 2, 1]``.
        """
        embeddings = embeddings.detach().to(self.means)
        domains = domains.to(embeddings.device)
        if self.center == "all":
            domains = torch.zeros_like(domains)
        member = F.one_hot(domains, len(self.means)).T.to(embeddings)
        count = member.sum(dim=1, keepdim=True)
        with torch.autocast(embeddings.device.type, enabled=False):
            return member @ embeddings / count.clamp(min=1), count

    @torch.no_grad()
    def initialize(self, embeddings, domains):
        """Sets the means to those of all embeddings.

        Arguments
        ---------
        embeddings : torch.Tensor
            ``[n, D]``.
        domains : torch.Tensor
            Of each, ``[n]``, 0 or 1.
        """
        if self.center != "none":
            self.means.copy_(self.batch_means(embeddings, domains)[0])

    @torch.no_grad()
    def update(self, embeddings, domains):
        """Moves the means to those of a batch; what it has none of stays.

        Under DDP give gathered tensors, so that all processes take the same
        step.

        Arguments
        ---------
        embeddings : torch.Tensor
            ``[batch, D]``.
        domains : torch.Tensor
            Of each, ``[batch]``, 0 or 1.
        """
        if self.center == "none":
            return
        means, count = self.batch_means(embeddings, domains)
        step = (1 - self.momentum) * (count > 0)
        self.means.copy_(self.means + step * (means - self.means))
