"""A light encoder of utterances that are one vector already."""

import torch

from speechbrain_ser.utils.settings import ListOf, Number, Whole


class PooledEncoder(torch.nn.Module):
    """Encodes an utterance's vector, as pooled frames of a frozen model are.

    A linear map, after hidden layers with ReLU if wanted. Dropout comes before
    each layer, also the first: the channels of a pooled layer say the same many
    times, and few utterances would be learnt by heart.

    Arguments
    ---------
    input_size : int
        Size of an utterance's vector.
    size : int
        Of the embedding.
    hidden_sizes : list of int
        Of the hidden layers; of none, the map is linear.
    dropout : float
        Share of the numbers that are dropped before each layer.

    Attributes
    ----------
    dim : int
        Size of the embedding.

    Example
    -------
    >>> encoder = PooledEncoder(input_size=6, size=4, hidden_sizes=[8])
    >>> encoder(torch.rand(2, 6)).shape, encoder.dim
    (torch.Size([2, 4]), 4)
    """

    def __init__(
        self,
        input_size: Whole(1),
        size: Whole(1) = 64,
        hidden_sizes: ListOf(
            Whole(1), example="'[256]', or '[]' for none"
        ) = (),
        dropout: Number(0, 0.99) = 0.5,
    ):
        super().__init__()
        layers = []
        for hidden in hidden_sizes:
            layers += [torch.nn.Dropout(dropout)]
            layers += [torch.nn.Linear(input_size, hidden), torch.nn.ReLU()]
            input_size = hidden
        layers += [torch.nn.Dropout(dropout), torch.nn.Linear(input_size, size)]
        self.layers = torch.nn.Sequential(*layers)
        self.dim = size

    def forward(self, vectors):
        """Encodes utterances.

        Arguments
        ---------
        vectors : torch.Tensor
            ``[batch, input_size]``.

        Returns
        -------
        torch.Tensor
            ``[batch, size]``.
        """
        return self.layers(vectors)
