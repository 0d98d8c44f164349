"""Class prototypes that label ambiguous speech and move with it.

Reference: "Iterative Prototype Refinement for Ambiguous Speech Emotion
Recognition", Sun et al. 2024 (https://arxiv.org/abs/2408.00325).
"""

import torch
import torch.nn.functional as F

from speechbrain_ser.utils.settings import Number, OneOf, Whole, checked

UPDATES = ("agreed", "weighted")


class PrototypeBank(torch.nn.Module):
    """One prototype a class: Eq. 2 to 4 of IPR.

    Embeddings and prototypes are L2-normalised before every product, so that a
    similarity is a cosine. Training changes the prototypes by :meth:`initialize`
    and :meth:`update`, never by a gradient; they are a buffer.

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
    ):
        super().__init__()
        self.gamma = gamma
        self.temperature = temperature
        self.update_rule = update_rule
        self.register_buffer("prototypes", torch.zeros(n_classes, dim))

    def forward(self, embeddings):
        """Returns the similarity of each embedding to each prototype.

        Arguments
        ---------
        embeddings : torch.Tensor
            ``[batch, D]``, of any length.

        Returns
        -------
        torch.Tensor
            Cosines, ``[batch, C]``.
        """
        unit = F.normalize(embeddings.to(self.prototypes.dtype), dim=-1)
        return unit @ self.prototypes.T

    def soft_label(self, embeddings):
        """Returns the ambiguous soft label: proportions, ``[batch, C]``."""
        return torch.softmax(self(embeddings) / self.temperature, dim=-1)

    def pseudo_label(self, embeddings):
        """Returns the most similar class of each embedding (Eq. 3), [batch]."""
        return self(embeddings).argmax(dim=-1)

    def similarity(self):
        """Returns the cosines between the prototypes (Figure 2), ``[C, C]``."""
        return self.prototypes @ self.prototypes.T

    @torch.no_grad()
    def initialize(self, embeddings, labels):
        """Sets each prototype to the mean of its class (Eq. 2).

        Arguments
        ---------
        embeddings : torch.Tensor
            Of the precise utterances, ``[n, D]``.
        labels : torch.Tensor
            Their classes, ``[n]``, integers.

        Raises
        ------
        ValueError
            If a class has no utterance.
        """
        unit = F.normalize(embeddings.to(self.prototypes), dim=-1)
        membership = F.one_hot(labels.to(unit.device), len(self.prototypes))
        count = membership.sum(dim=0)
        if (count == 0).any():
            missing = (count == 0).nonzero().flatten().tolist()
            raise ValueError(f"no embedding of class {missing} to average")
        # Eq. 2
        mean = membership.T.to(unit) @ unit / count.unsqueeze(1)
        self.prototypes.copy_(F.normalize(mean, dim=-1))

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
        unit = F.normalize(embeddings.to(self.prototypes.dtype), dim=-1)
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
        moved = F.normalize(moved + weight.T @ unit, dim=-1)
        touched = (count > 0).unsqueeze(1)
        self.prototypes.copy_(torch.where(touched, moved, self.prototypes))
        return agreed
