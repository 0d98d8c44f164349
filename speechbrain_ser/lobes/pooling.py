"""Pooling over the valid frames of an utterance."""

import torch

from speechbrain_ser.utils.settings import OneOf, checked
from speechbrain_ser.utils.vectors import precise

STATISTICS = ("mean", "mean_std")


def valid_frames(frames, lengths):
    """Tells which frames of a padded batch are valid.

    Arguments
    ---------
    frames : torch.Tensor
        ``[batch, time, channels]``.
    lengths : torch.Tensor
        Relative lengths, ``[batch]`` in (0, 1].

    Returns
    -------
    torch.Tensor
        Bool, ``[batch, time]``; an utterance has one frame at least.

    Example
    -------
    >>> valid_frames(torch.zeros(2, 3, 1), torch.tensor([1.0, 0.67]))
    tensor([[ True,  True,  True],
            [ True,  True, False]])
    """
    longest = frames.shape[1]
    count = (lengths * longest).round().clamp(min=1)
    # SpeechBrain's length_to_mask would write the batch's size into a graph
    places = torch.arange(longest, device=lengths.device)
    return places < count.unsqueeze(1)


def frame_mask(frames, lengths):
    """Marks the valid frames of a padded batch, to multiply with.

    Arguments
    ---------
    frames : torch.Tensor
        ``[batch, time, channels]``.
    lengths : torch.Tensor
        Relative lengths, ``[batch]`` in (0, 1].

    Returns
    -------
    torch.Tensor
        1 for a valid frame, else 0; ``[batch, time, 1]``, the frames' dtype.

    Example
    -------
    >>> frame_mask(torch.zeros(2, 4, 1), torch.tensor([1.0, 0.5])).squeeze(2)
    tensor([[1., 1., 1., 1.],
            [1., 1., 0., 0.]])
    """
    return valid_frames(frames, lengths).unsqueeze(2).to(frames.dtype)


class StatisticsPooling(torch.nn.Module):
    """Mean, and standard deviation if wanted, over the valid frames.

    Unlike SpeechBrain's layer of this name it adds no noise to the mean, so that
    an utterance has one embedding.

    Arguments
    ---------
    statistics : str
        ``mean`` or ``mean_std`` (twice the channels).

    Raises
    ------
    InputError
        If `statistics` is another word.

    Example
    -------
    >>> pool = StatisticsPooling("mean")
    >>> frames = torch.tensor([[[1.0], [3.0], [100.0]]])
    >>> pool(frames, torch.tensor([2 / 3]))
    tensor([[2.]])
    """

    @checked
    def __init__(self, statistics: OneOf(*STATISTICS) = "mean"):
        super().__init__()
        self.statistics = statistics

    def forward(self, frames, lengths):
        """Pools ``[batch, time, channels]`` to ``[batch, channels]`` (or twice).

        Arguments
        ---------
        frames : torch.Tensor
            ``[batch, time, channels]``.
        lengths : torch.Tensor
            Relative lengths, ``[batch]`` in (0, 1].

        Returns
        -------
        torch.Tensor
        """
        frames = precise(frames)
        mask = frame_mask(frames, lengths)
        count = mask.sum(dim=1)
        mean = (frames * mask).sum(dim=1) / count
        if self.statistics == "mean":
            return mean
        deviation = (frames - mean.unsqueeze(1)) * mask
        variance = (deviation**2).sum(dim=1) / count
        # the gradient of a root has no limit at 0
        return torch.cat([mean, (variance + 1e-5).sqrt()], dim=1)


class MaxPooling(torch.nn.Module):
    """Maximum over the valid frames, channel by channel.

    Example
    -------
    >>> pool = MaxPooling()
    >>> frames = torch.tensor([[[1.0], [-3.0], [100.0]]])
    >>> pool(frames, torch.tensor([2 / 3]))
    tensor([[1.]])
    """

    def forward(self, frames, lengths):
        """Pools ``[batch, time, channels]`` to ``[batch, channels]``.

        Arguments
        ---------
        frames : torch.Tensor
            ``[batch, time, channels]``.
        lengths : torch.Tensor
            Relative lengths, ``[batch]`` in (0, 1].

        Returns
        -------
        torch.Tensor
        """
        behind = ~valid_frames(frames, lengths).unsqueeze(2)
        return precise(frames).masked_fill(behind, -torch.inf).amax(dim=1)
