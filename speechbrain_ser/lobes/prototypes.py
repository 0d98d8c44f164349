"""Class prototypes that label ambiguous speech and move with it.

Reference: "Iterative Prototype Refinement for Ambiguous Speech Emotion
Recognition", Sun et al. 2024 (https://arxiv.org/abs/2408.00325).
"""

import torch
import torch.nn.functional as F

from speechbrain_ser.lobes.centering import CENTERS, DomainMeans
from speechbrain_ser.utils.settings import Number, OneOf, Whole, checked
from speechbrain_ser.utils.vectors import precise, unit

UPDATES = ("agreed", "weighted")
PRECISE, AMBIGUOUS = 0, 1  # the two domains of speech


class PrototypeBank(torch.nn.Module):
    """One prototype a class: Eq. 2 to 4 of IPR.

    Embeddings and prototypes are L2-normalised before every product, so that a
    similarity is a cosine. Training changes the prototypes by :meth:`initialize`
    and :meth:`update`, never by a gradient; they are a buffer. Until then they
    are zero. All is computed in float32 at least, under autocast too: where
    cosines are near 1, half precision names other classes.

    Arguments
    ---------
    n_classes : int
        Number of classes, C.
    dim : int
        Size of an embedding, D.
    gamma : float
        How much of a prototype stays at each moving-average step, in [0, 1].
    temperature : float
        Divides the similarities before the softmax of the soft label (> 0).
    update_rule : str
        ``agreed``: Eq. 4 as printed, an utterance moves only the class that the
        classifier names for it and for its augmented copy alike.
        ``weighted``: such an utterance moves all classes by the proportions of
        its soft label, as the paper's text has it.
    center : str
        What is taken off an embedding before it is normalised, see
        `DomainMeans`: ``none``, as the paper has it; ``all``; or ``domain``:
        the mean of precise speech off precise, that of ambiguous speech off
        ambiguous. The means are moved by ``means.update``.
    center_momentum : float
        How much of a mean stays at each batch.

    Raises
    ------
    InputError
        If an argument is out of its range.

    Example
    -------
    >>> bank = PrototypeBank(n_classes=2, dim=3)
    >>> bank.initialize(torch.eye(3)[:2], torch.tensor([0, 1]))
    >>> bank.pseudo_label(torch.tensor([[0.1, 2.0, 0.0]]))
    tensor([1])
    >>> bank.soft_label(torch.tensor([[1.0, 1.0, 0.0]]))
    tensor([[0.5000, 0.5000]])
    """

    @checked
    def __init__(
        self,
        n_classes: Whole(1),
        dim: Whole(1),
        gamma: Number(0, 1) = 0.99,
        temperature: Number(above=0) = 0.1,
        update_rule: OneOf(*UPDATES) = "agreed",
        center: OneOf(*CENTERS) = "none",
        center_momentum: Number(0, 1) = 0.99,
    ):
        super().__init__()
        self.gamma = gamma
        self.temperature = temperature
        self.update_rule = update_rule
        self.register_buffer("prototypes", torch.zeros(n_classes, dim))
        self.means = DomainMeans(dim, center, center_momentum)

    def centred(self, embeddings, domains=AMBIGUOUS):
        """Returns embeddings as they are compared, not normalised yet.

        Arguments
        ---------
        embeddings : torch.Tensor
            ``[batch, D]``.
        domains : torch.Tensor or int
            `PRECISE` or `AMBIGUOUS`, of each of them ``[batch]`` or of all.

        Returns
        -------
        torch.Tensor
            ``[batch, D]``, in the precision of the prototypes.
        """
        return self.means(embeddings.to(self.prototypes.dtype), domains)

    def forward(self, embeddings, domains=AMBIGUOUS):
        """Returns the similarity of each embedding to each prototype.

        Arguments
        ---------
        embeddings : torch.Tensor
            ``[batch, D]``, of any length.
        domains : torch.Tensor or int
            See `centred`.

        Returns
        -------
        torch.Tensor
            Cosines, ``[batch, C]``.
        """
        views = unit(self.centred(embeddings, domains))
        with torch.autocast(views.device.type, enabled=False):
            return views @ precise(self.prototypes).T

    def soft_label(self, embeddings, domains=AMBIGUOUS):
        """Returns the ambiguous soft label: proportions, ``[batch, C]``."""
        cosines = self(embeddings, domains)
        return torch.softmax(cosines / self.temperature, dim=-1)

    def pseudo_label(self, embeddings, domains=AMBIGUOUS):
        """Returns the most similar class of each embedding (Eq. 3), [batch]."""
        return self(embeddings, domains).argmax(dim=-1)

    @property
    def known(self):
        """Whether the prototypes were set, in this run or before it went on."""
        return bool(self.prototypes.any())

    def similarity(self):
        """Returns the cosines between the prototypes (Figure 2), ``[C, C]``."""
        with torch.autocast(self.prototypes.device.type, enabled=False):
            prototypes = precise(self.prototypes)
            return prototypes @ prototypes.T

    @torch.no_grad()
    def initialize(self, embeddings, labels):
        """Sets each prototype to the mean of its class (Eq. 2).

        Arguments
        ---------
        embeddings : torch.Tensor
            Of the precise utterances, ``[n, D]``; their mean is known already.
        labels : torch.Tensor
            Their classes, ``[n]``, integers.

        Raises
        ------
        ValueError
            If a class has no utterance.
        """
        views = unit(self.centred(embeddings.to(self.prototypes), PRECISE))
        membership = F.one_hot(labels.to(views.device), len(self.prototypes))
        count = membership.sum(dim=0)
        if (count == 0).any():
            missing = (count == 0).nonzero().flatten().tolist()
            raise ValueError(f"no embedding of class {missing} to average")
        # Eq. 2
        with torch.autocast(views.device.type, enabled=False):
            mean = membership.T.to(views) @ views / count.unsqueeze(1)
        self.prototypes.copy_(unit(mean))

    @torch.no_grad()
    def update(self, embeddings, logits, logits_augmented):
        """Moves the prototypes towards utterances that are agreed upon (Eq. 4).

        The moving average runs over the batch in its order, in closed form, and
        what has moved is normalised once at the end. Soft labels are those of the
        prototypes before the batch. Under DDP give gathered tensors (see
        :func:`speechbrain_ser.utils.distributed.gather_batch`), so that all processes
        take the same step.

        Arguments
        ---------
        embeddings : torch.Tensor
            Of the ambiguous utterances, k, ``[batch, D]``.
        logits : torch.Tensor
            The classifier's outputs for them, ``[batch, C]``.
        logits_augmented : torch.Tensor
            The classifier's outputs for their augmented copies, ``[batch, C]``.

        Returns
        -------
        torch.Tensor
            Whether each utterance was agreed upon, ``[batch]``, bool.
        """
        named = logits.argmax(dim=-1)
        agreed = named == logits_augmented.argmax(dim=-1)
        views = unit(self.centred(embeddings))
        share = self.soft_label(embeddings)
        moves = agreed.unsqueeze(1).expand_as(share)
        if self.update_rule == "agreed":
            moves = moves & F.one_hot(named, len(self.prototypes)).bool()
        # Eq. 4 for the n samples of a class, unrolled:
        # p <- gamma^n p + (1 - gamma) sum_j gamma^(n - j) k_j s_j
        moves = moves.to(share)
        count = moves.sum(dim=0)
        later = count - moves.cumsum(dim=0)
        weight = (1 - self.gamma) * self.gamma**later * share * moves
        moved = (self.gamma**count).unsqueeze(1) * self.prototypes
        with torch.autocast(views.device.type, enabled=False):
            moved = unit(moved + weight.T @ views)
        touched = (count > 0).unsqueeze(1)
        self.prototypes.copy_(torch.where(touched, moved, self.prototypes))
        return agreed
