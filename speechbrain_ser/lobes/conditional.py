"""What an adversary sees of an utterance: its embedding, or each class's.

Reference: "Conditional Adversarial Domain Adaptation", Long et al. 2018 (CDAN).
"""

import torch

from speechbrain_ser.utils.settings import OneOf, Whole

ADVERSARIES = ("plain", "conditional")


class OuterProduct(torch.nn.Module):
    """Multiplies each number of an embedding with each class's posterior.

    A linear adversary behind it has weights of its own for each class: it
    compares the domains class by class, where a plain one compares mixtures,
    which differ already where one domain has more of a class (Long et al. 2018,
    Eq. 5). No gradient flows into the posterior.

    Example
    -------
    >>> embeddings = torch.tensor([[1.0, 2.0, 3.0]])
    >>> OuterProduct()(embeddings, torch.tensor([[0.9, 0.1]]))
    tensor([[0.9000, 1.8000, 2.7000, 0.1000, 0.2000, 0.3000]])
    """

    def forward(self, embeddings, posterior):
        """Returns the product, class after class.

        Arguments
        ---------
        embeddings : torch.Tensor
            ``[batch, D]``.
        posterior : torch.Tensor
            ``[batch, classes]``.

        Returns
        -------
        torch.Tensor
            ``[batch, classes * D]``.
        """
        posterior = posterior.detach().to(embeddings.dtype)
        return (posterior.unsqueeze(2) * embeddings.unsqueeze(1)).flatten(1)


def seen_size(
    adversary: OneOf(*ADVERSARIES), dim: Whole(1), n_classes: Whole(2)
):
    """Returns the size of what an adversary sees.

    Arguments
    ---------
    adversary : str
        ``plain``: the embedding; ``conditional``: `OuterProduct`.
    dim : int
        Of the embedding.
    n_classes : int

    Returns
    -------
    int

    Example
    -------
    >>> seen_size("plain", 64, 2), seen_size("conditional", 64, 2)
    (64, 128)
    """
    return dim * (n_classes if adversary == "conditional" else 1)
