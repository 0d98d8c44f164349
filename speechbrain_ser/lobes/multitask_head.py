"""What GMP-ATL puts on top of HuBERT to classify utterances.

Reference: "GMP-ATL: Gender-augmented Multi-scale Pseudo-label Enhanced Adaptive
Transfer Learning for Speech Emotion Recognition via HuBERT", Pan et al. 2024,
sections 3.1 and 3.3, Figure 1.
"""

import torch
import torch.nn.functional as F

from speechbrain_ser.lobes.pooling import StatisticsPooling, valid_frames
from speechbrain_ser.utils.settings import OneOf, Whole
from speechbrain_ser.utils.vectors import unit

CLASSIFIED_BY = ("am_softmax", "cross_entropy")


class BLSTMHead(torch.nn.Module):
    """Frames to an utterance's embedding: BLSTM, mean, linear, ReLU, linear.

    Arguments
    ---------
    input_size : int
        Channels of the frames.
    hidden_size : int
        Units of the LSTM in each direction.
    output_size : int
        Of both linear layers.

    Example
    -------
    >>> head = BLSTMHead(input_size=8, hidden_size=6, output_size=5)
    >>> head(torch.randn(2, 20, 8), torch.tensor([1.0, 0.5])).shape
    torch.Size([2, 5])
    """

    def __init__(
        self,
        input_size: Whole(1),
        hidden_size: Whole(1) = 256,
        output_size: Whole(1) = 256,
    ):
        super().__init__()
        # one LSTM a direction: as packed sequences, which a bidirectional one
        # needs for padded frames, they take 20 times as long on a CPU
        self.forwards = torch.nn.LSTM(input_size, hidden_size, batch_first=True)
        self.backwards = torch.nn.LSTM(
            input_size, hidden_size, batch_first=True
        )
        self.pooling = StatisticsPooling("mean")
        self.projection = torch.nn.Sequential(
            torch.nn.Linear(2 * hidden_size, output_size),
            torch.nn.ReLU(),
            torch.nn.Linear(output_size, output_size),
        )

    def forward(self, frames, lengths):
        """Computes the embeddings.

        Arguments
        ---------
        frames : torch.Tensor
            ``[batch, time, channels]``.
        lengths : torch.Tensor
            Relative lengths, ``[batch]`` in (0, 1].

        Returns
        -------
        torch.Tensor
            ``[batch, output_size]``.
        """
        if lacks_half(frames.device):
            with torch.autocast("cpu", enabled=False):
                states = self.both_ways(frames.float(), lengths)
        else:
            states = self.both_ways(frames, lengths)
        pooled = self.pooling(states, lengths)
        return self.projection(pooled.to(self.projection[0].weight.dtype))

    def both_ways(self, frames, lengths):
        """Returns the states of both directions, ``[batch, time, 2 units]``."""
        order = reversed_order(frames, lengths)
        states, _ = self.forwards(frames)
        back, _ = self.backwards(frames.gather(1, order.expand_as(frames)))
        return torch.cat([states, back], dim=2)  # the mean needs no order


def lacks_half(device):
    """Whether autocast would ask for an LSTM in a type that a device has not.

    oneDNN fails then, say on processors without AVX-512.
    """
    if device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return False
    if torch.get_autocast_dtype("cpu") == torch.bfloat16:
        return not torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return not torch.ops.mkldnn._is_mkldnn_fp16_supported()


def reversed_order(frames, lengths):
    """Returns where each frame is when the valid ones are turned around.

    Arguments
    ---------
    frames : torch.Tensor
        ``[batch, time, channels]``.
    lengths : torch.Tensor
        Relative lengths, ``[batch]`` in (0, 1].

    Returns
    -------
    torch.Tensor
        ``[batch, time, 1]``; padded frames stay where they are.

    Example
    -------
    >>> reversed_order(torch.zeros(1, 4, 1), torch.tensor([0.75])).flatten()
    tensor([2, 1, 0, 3])
    """
    mask = valid_frames(frames, lengths)
    place = torch.arange(frames.shape[1], device=frames.device)
    last = mask.sum(dim=1, keepdim=True) - 1
    return torch.where(mask, last - place, place).unsqueeze(2)


class CosineClassifier(torch.nn.Module):
    """The cosine of an embedding with a vector for each class (Eq. 3).

    Arguments
    ---------
    input_size : int
        Of the embeddings.
    n_classes : int

    Example
    -------
    >>> classifier = CosineClassifier(2, 2)
    >>> _ = classifier.weight.data.copy_(torch.tensor([[2.0, 0], [0, 9.0]]))
    >>> classifier(torch.tensor([[5.0, 0.0]]))
    tensor([[1., 0.]], grad_fn=...)
    """

    def __init__(self, input_size: Whole(1), n_classes: Whole(1)):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.empty(n_classes, input_size))
        torch.nn.init.xavier_uniform_(self.weight)

    def forward(self, embeddings):
        """Computes the cosines.

        Arguments
        ---------
        embeddings : torch.Tensor
            ``[batch, input_size]``.

        Returns
        -------
        torch.Tensor
            ``[batch, n_classes]``, in float32 at least: times a scale of 30,
            half precision would blur them.
        """
        with torch.autocast(embeddings.device.type, enabled=False):
            return F.linear(unit(embeddings), unit(self.weight))


def make_classifier(
    loss: OneOf(*CLASSIFIED_BY), input_size: Whole(1), n_classes: Whole(1)
):
    """Makes the classifier that a loss asks for: of cosines, or linear.

    Arguments
    ---------
    loss : str
        ``am_softmax`` or ``cross_entropy``.
    input_size, n_classes : int

    Returns
    -------
    torch.nn.Module

    Example
    -------
    >>> make_classifier("cross_entropy", 3, 2)
    Linear(in_features=3, out_features=2, bias=True)
    """
    if loss == "am_softmax":
        return CosineClassifier(input_size, n_classes)
    return torch.nn.Linear(input_size, n_classes)
