"""A linear classifier of standardised channels, as a fit in closed form gives."""

import torch

from speechbrain_ser.lobes.features import Standardisation
from speechbrain_ser.utils.settings import Switch, Whole


class LinearProbe(torch.nn.Module):
    """Chosen rows of an utterance, standardised, then a linear layer.

    It is trained elsewhere: `set` takes what was fitted.

    Arguments
    ---------
    n_rows : int
        Rows of an utterance, say a layer of an encoder each.
    dim : int
        Channels of a row.
    n_classes : int
    n_chosen : int
        How many rows are read.
    pairwise : bool
        Whether the layer decides between each two classes, as a support vector
        machine does; a class's logit is then its number of wins, and by how
        much it wins, in less than half a win, where these are equal.

    Attributes
    ----------
    rows : torch.Tensor
        The rows that are read, a buffer ``[n_chosen]``.
    penalty : torch.Tensor
        The C that was chosen, a buffer.

    Example
    -------
    >>> probe = LinearProbe(n_rows=3, dim=2, n_classes=4)
    >>> probe.set([1], torch.zeros(2), torch.ones(2), torch.eye(4)[:, :2])
    >>> probe(torch.tensor([[9.0, 9.0, 1.0, 2.0, 9.0, 9.0]])).detach()
    tensor([[1., 2., 0., 0.]])
    """

    def __init__(
        self,
        n_rows: Whole(1),
        dim: Whole(1),
        n_classes: Whole(2),
        n_chosen: Whole(1) = 1,
        pairwise: Switch() = False,
    ):
        super().__init__()
        self.n_rows = n_rows
        self.n_classes = n_classes
        self.pairwise = pairwise
        self.register_buffer("rows", torch.zeros(n_chosen, dtype=torch.long))
        self.register_buffer("penalty", torch.tensor(1.0))
        self.standardise = Standardisation(n_chosen * dim)
        pairs = n_classes * (n_classes - 1) // 2
        n_out = pairs if pairwise else n_classes
        self.linear = torch.nn.Linear(n_chosen * dim, n_out)

    @torch.no_grad()
    def set(self, rows, mean, std, weight, bias=0.0, penalty=1.0):
        """Takes what was fitted.

        Arguments
        ---------
        rows : list of int
        mean, std : torch.Tensor
            Of the rows' channels side by side, ``[channels]``.
        weight : torch.Tensor
            ``[classes, channels]`` or, pairwise, ``[pairs, channels]``: above 0
            for the first class of a pair, in the order 01, 02, 03, 12 ...
        bias : torch.Tensor or float
            ``[classes]`` or ``[pairs]``.
        penalty : float
        """
        self.rows.copy_(torch.as_tensor(rows))
        self.penalty.fill_(penalty)
        self.standardise.mean.copy_(mean)
        self.standardise.std.copy_(std)
        self.linear.weight.copy_(weight)
        self.linear.bias.copy_(
            torch.as_tensor(bias).expand_as(self.linear.bias)
        )

    def embed(self, vectors):
        """Reads the chosen rows, standardised.

        Arguments
        ---------
        vectors : torch.Tensor
            All rows side by side, ``[batch, n_rows * dim]``.

        Returns
        -------
        torch.Tensor
            ``[batch, n_chosen * dim]``.
        """
        rows = vectors.unflatten(-1, (self.n_rows, -1))
        return self.standardise(rows[:, self.rows].flatten(1))

    def classify(self, embeddings):
        """Returns the logits of what `embed` gives, ``[batch, n_classes]``."""
        decided = self.linear(embeddings)
        return wins(decided, self.n_classes) if self.pairwise else decided

    def forward(self, vectors):
        """Classifies utterances.

        Arguments
        ---------
        vectors : torch.Tensor
            ``[batch, n_rows * dim]``.

        Returns
        -------
        torch.Tensor
            Logits, ``[batch, n_classes]``.
        """
        return self.classify(self.embed(vectors))


def wins(decided, n_classes):
    """Turns decisions between each two classes into a number for each class.

    As scikit-learn's ``SVC`` does with ``decision_function_shape="ovr"``.

    Arguments
    ---------
    decided : torch.Tensor
        ``[batch, pairs]``, above 0 for the first class of a pair.
    n_classes : int

    Returns
    -------
    torch.Tensor
        ``[batch, n_classes]``.

    Example
    -------
    >>> wins(torch.tensor([[0.5, -1.0, -1.0]]), 3).round(decimals=3)
    tensor([[ 0.8890, -0.2000,  2.2220]])
    """
    first, second = torch.triu_indices(n_classes, n_classes, 1)
    signs = torch.zeros(len(first), n_classes).to(decided)
    pairs = torch.arange(len(first))
    signs[pairs, first], signs[pairs, second] = 1.0, -1.0
    won = (decided > 0).to(decided)
    votes = won @ signs.clamp(min=0) + (1 - won) @ (-signs).clamp(min=0)
    margin = decided @ signs
    return votes + margin / (3 * (margin.abs() + 1))
