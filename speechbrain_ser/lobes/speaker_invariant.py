"""An encoder of emotion and the classifiers on it, Table 1 of MEnAN.

Reference: "Speaker-Invariant Affective Representation Learning via Adversarial
Training", Li et al. 2020, section 3.1 and Table 1.
"""

import torch

from speechbrain_ser.lobes.pooling import MaxPooling, StatisticsPooling
from speechbrain_ser.utils.exporting import exporting
from speechbrain_ser.utils.settings import ListOf, Whole


class MEnANEncoder(torch.nn.Module):
    """ENC: two convolutions, a GRU, a linear layer, statistics over time.

    Without dropout and batch norm: an utterance has the same embedding in
    training and in evaluation, and whoever is in the batch with it.

    Arguments
    ---------
    n_features : int
        Size of a frame.
    channels : int
        Of each layer.
    kernel_sizes : tuple of int
        Of both convolutions, in frames.
    stride : int
        Of both.

    Example
    -------
    >>> encoder = MEnANEncoder()
    >>> encoder(torch.rand(2, 1401, 43)).shape, encoder.dim
    (torch.Size([2, 96]), 96)
    >>> sum(weight.numel() for weight in encoder.parameters())
    26339
    """

    def __init__(
        self,
        n_features: Whole(1) = 43,
        channels: Whole(1) = 32,
        kernel_sizes: ListOf(Whole(1), shortest=1, example="[10, 5]") = (10, 5),
        stride: Whole(1) = 2,
    ):
        super().__init__()
        self.dim = 3 * channels
        self.convs = torch.nn.ModuleList()
        self.activations = torch.nn.ModuleList()
        for size in kernel_sizes:
            self.convs.append(
                torch.nn.Conv1d(n_features, channels, size, stride)
            )
            self.activations.append(torch.nn.PReLU())
            n_features = channels
        self.gru = torch.nn.GRU(channels, channels, batch_first=True)
        self.linear = torch.nn.Linear(channels, channels)
        self.activation = torch.nn.PReLU()
        self.mean_std = StatisticsPooling("mean_std")
        self.max = MaxPooling()

    def count_frames(self, frames):
        """Returns how many frames the convolutions make of so many."""
        for conv in self.convs:
            frames = (frames - conv.kernel_size[0]) // conv.stride[0] + 1
        return frames

    def forward(self, features, lengths=None):
        """Encodes utterances.

        Arguments
        ---------
        features : torch.Tensor
            ``[batch, time, n_features]``.
        lengths : torch.Tensor, optional
            Relative lengths, ``[batch]`` in (0, 1]; default: all frames count.

        Returns
        -------
        torch.Tensor
            v = enc(x), ``[batch, dim]``: mean, standard deviation and maximum.

        Raises
        ------
        ValueError
            If an utterance is too short for the convolutions.
        """
        longest = features.shape[1]
        short = len(features) and self.count_frames(longest) < 1
        if lengths is None:
            lengths = torch.ones(len(features), device=features.device)
            counts = self.count_frames((lengths * longest).round().long())
        else:
            counts = self.count_frames((lengths * longest).round().long())
            # an exported graph has no branch that depends on numbers
            short = not exporting() and len(counts) and counts.min() < 1
        if short:
            raise ValueError(
                "an utterance is too short for MEnANEncoder's convolutions: "
                "repeat it, see lobes.features.repeated_or_middle"
            )
        frames = features.transpose(1, 2)
        for conv, activation in zip(self.convs, self.activations):
            frames = activation(conv(frames))
        frames, _ = self.gru(frames.transpose(1, 2))
        frames = self.activation(self.linear(frames))
        lengths = counts / frames.shape[1]
        pooled = [self.mean_std(frames, lengths), self.max(frames, lengths)]
        return torch.cat(pooled, dim=1)


class MEnANClassifier(torch.nn.Sequential):
    """EC and SC: three linear layers with PReLU between them.

    Arguments
    ---------
    n_classes : int
        Emotions, or speakers.
    input_size : int
    hidden_sizes : tuple of int

    Example
    -------
    >>> MEnANClassifier(n_classes=4)(torch.rand(2, 96)).shape
    torch.Size([2, 4])
    """

    def __init__(
        self,
        n_classes,
        input_size: Whole(1) = 96,
        hidden_sizes: ListOf(Whole(1), example="[32, 10]") = (32, 10),
    ):
        layers = []
        for size in hidden_sizes:
            layers += [torch.nn.Linear(input_size, size), torch.nn.PReLU()]
            input_size = size
        super().__init__(*layers, torch.nn.Linear(input_size, n_classes))


class EmbeddingMemory(torch.nn.Module):
    """The embeddings of the last utterances, on which SC can learn once more.

    Not in the paper: an SC that sees each embedding once stays far behind the
    encoder, and what it does not find is not removed. Buffers keep them, so a
    run that goes on from a checkpoint has the same.

    Arguments
    ---------
    size : int
        Utterances.
    dim : int
        Size of an embedding.

    Example
    -------
    >>> memory = EmbeddingMemory(size=3, dim=1)
    >>> for batch in ([[1.0], [2.0]], [[3.0], [4.0]]):
    ...     memory.add(torch.tensor(batch), torch.tensor([0, 1]))
    >>> embeddings, speakers = memory.held()
    >>> embeddings.flatten().tolist(), speakers.tolist()
    ([2.0, 3.0, 4.0], [1, 0, 1])
    """

    def __init__(self, size: Whole(0, 1e9), dim: Whole(1)):
        super().__init__()
        self.size = size
        self.register_buffer("embeddings", torch.zeros(size, dim))
        self.register_buffer("speakers", torch.full((size,), -1))
        self.n_held = None  # of a loaded one not known yet

    def _load_from_state_dict(self, *args):
        """Forgets how many there were."""
        self.n_held = None
        super()._load_from_state_dict(*args)

    def add(self, embeddings, speakers):
        """Adds a batch; the oldest fall out.

        Arguments
        ---------
        embeddings : torch.Tensor
            ``[batch, dim]``; kept without their gradient.
        speakers : torch.Tensor
            Indices, ``[batch]``.
        """
        for held, new in (
            (self.embeddings, embeddings.detach()),
            (self.speakers, speakers),
        ):
            held.copy_(torch.cat([held, new])[len(new) :])
        if self.n_held is not None:
            self.n_held = min(self.n_held + len(speakers), self.size)

    def held(self):
        """Returns embeddings ``[n, dim]`` and speakers ``[n]``, oldest first."""
        if self.n_held is None:  # the one look at the device
            self.n_held = int((self.speakers >= 0).sum())
        first = self.size - self.n_held
        return self.embeddings[first:].clone(), self.speakers[first:].clone()


def standardised(embeddings, epsilon=1e-5):
    """Brings each dimension to zero mean and unit variance over a batch.

    Not in the paper: an encoder can hide speakers from SC by making small what
    tells them, where whoever standardises first still finds it. After this it
    gains nothing by that.

    Arguments
    ---------
    embeddings : torch.Tensor
        ``[batch, dim]``.
    epsilon : float
        Added to the variance.

    Returns
    -------
    torch.Tensor
        ``[batch, dim]``; zero where there is one utterance alone.

    Example
    -------
    >>> standardised(torch.tensor([[0.0], [20.0]])).flatten().round()
    tensor([-1.,  1.])
    """
    centred = embeddings - embeddings.mean(dim=0)
    return centred / (centred.square().mean(dim=0) + epsilon).sqrt()
