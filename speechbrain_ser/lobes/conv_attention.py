"""A convolution, a large pooling and an attention over a fixed length.

Reference: "Unsupervised Cross-Lingual Speech Emotion Recognition Using Domain
Adversarial Neural Network", Cai et al. 2021, section 2.1 and 4.1.
"""

import torch
import torch.nn.functional as F

from speechbrain_ser.lobes.pooling import valid_frames
from speechbrain_ser.utils.settings import Whole
from speechbrain_ser.utils.waiting import at_once


class GlobalAttention(torch.nn.Module):
    """Averages frames, weighted by how well each answers one learnt query.

    Arguments
    ---------
    dim : int
        Size of a frame.

    Example
    -------
    >>> attention = GlobalAttention(dim=4)
    >>> attention(torch.rand(2, 8, 4)).shape
    torch.Size([2, 4])
    """

    def __init__(self, dim: Whole(1)):
        super().__init__()
        self.query = torch.nn.Parameter(torch.empty(dim))
        torch.nn.init.normal_(self.query, std=dim**-0.5)

    def forward(self, frames, lengths=None):
        """Returns the attentive vector of each utterance.

        Arguments
        ---------
        frames : torch.Tensor
            ``[batch, time, dim]``.
        lengths : torch.Tensor, optional
            Relative lengths, ``[batch]`` in (0, 1]; default: all frames count.

        Returns
        -------
        torch.Tensor
            ``[batch, dim]``.
        """
        return self.attend(frames, lengths)[0]

    def attend(self, frames, lengths=None):
        """Returns the attentive vector and the weight of each frame.

        Arguments
        ---------
        frames : torch.Tensor
            ``[batch, time, dim]``.
        lengths : torch.Tensor, optional
            Relative lengths, ``[batch]`` in (0, 1].

        Returns
        -------
        vector : torch.Tensor
            a_f, ``[batch, dim]``.
        weights : torch.Tensor
            s, ``[batch, time]``, which sum to 1.
        """
        if lengths is not None:
            counts = (lengths * frames.shape[1]).round()
            places = torch.arange(frames.shape[1], device=frames.device)
            behind = places >= counts.unsqueeze(1)
            # a weight of 0 does not hide a NaN, nor does a gradient of 0
            frames = frames.masked_fill(behind.unsqueeze(-1), 0)
        scores = frames @ self.query
        if lengths is not None:
            scores = scores.masked_fill(behind, -torch.inf)
        # Eq. 1
        weights = scores.float().softmax(dim=1).to(frames.dtype)
        # Eq. 2
        return (weights.unsqueeze(1) @ frames).squeeze(1), weights


class ConvAttentionEncoder(torch.nn.Module):
    """Encodes log-Mel features of a fixed length as one vector.

    Convolution over time, ReLU, max pooling; the attentive vector is appended
    to what the pooling gives, and all is flattened in order of time. With the
    paper's sizes: 750 frames, 247 after the convolution, 8 after the pooling,
    9 x 200 = 1800 numbers. Batch norm and dropout come behind it, see
    :class:`DomainBatchNorm`.

    Arguments
    ---------
    n_mels : int
        Size of a frame.
    n_frames : int
        Frames of an utterance.
    filters : int
    kernel_size, stride : int
        Of the convolution, in frames.
    pool_size : int
        Frames that the pooling makes one; what is left at the end is dropped.

    Raises
    ------
    ValueError
        If the frames are too few for one pooled frame.

    Example
    -------
    >>> encoder = ConvAttentionEncoder()
    >>> encoder(torch.rand(2, 750, 26)).shape, encoder.dim
    (torch.Size([2, 1800]), 1800)
    """

    def __init__(
        self,
        n_mels: Whole(1) = 26,
        n_frames: Whole(1) = 750,
        filters: Whole(1) = 200,
        kernel_size: Whole(1) = 10,
        stride: Whole(1) = 3,
        pool_size: Whole(1) = 30,
    ):
        super().__init__()
        self.shape = (n_frames, n_mels)
        self.pool_size = pool_size
        self.n_pooled = ((n_frames - kernel_size) // stride + 1) // pool_size
        if self.n_pooled < 1:
            raise ValueError(
                f"{n_frames} frames are too few for a convolution of "
                f"{kernel_size} by {stride} and a pooling of {pool_size}"
            )
        self.dim = (self.n_pooled + 1) * filters
        self.conv = torch.nn.Conv1d(n_mels, filters, kernel_size, stride)
        self.attention = GlobalAttention(filters)

    def forward(self, features, lengths=None):
        """Encodes utterances.

        Arguments
        ---------
        features : torch.Tensor
            ``[batch, n_frames, n_mels]``, see
            :func:`speechbrain_ser.lobes.features.fixed_length`.
        lengths : torch.Tensor, optional
            Relative lengths, ``[batch]`` in (0, 1]: whatever stands behind the
            end of an utterance is replaced by its minimum in each dimension,
            as section 3.3 pads, and gets no gradient. Default: all frames
            count, such as what ``fixed_length`` padded.

        Returns
        -------
        torch.Tensor
            ``[batch, dim]``.

        Raises
        ------
        ValueError
            If the features have another size.
        """
        if lengths is not None:
            behind = ~valid_frames(features, lengths).unsqueeze(2)
            lowest = features.detach().masked_fill(behind, torch.inf)
            lowest = lowest.amin(dim=1, keepdim=True)
            features = torch.where(behind, lowest, features)
        pooled = self.pooled(features)
        attentive = self.attention(pooled).unsqueeze(1)
        return torch.cat([pooled, attentive], dim=1).flatten(1)

    def pooled(self, features):
        """Returns the pooled frames.

        Arguments
        ---------
        features : torch.Tensor
            ``[batch, n_frames, n_mels]``.

        Returns
        -------
        torch.Tensor
            ``[batch, n_pooled, filters]``.
        """
        if features.shape[1:] != self.shape:
            raise ValueError(
                "ConvAttentionEncoder needs features [batch, "
                f"{self.shape[0]}, {self.shape[1]}], got "
                f"{list(features.shape)}: see lobes.features.fixed_length"
            )
        (size,), (stride,) = self.conv.kernel_size, self.conv.stride
        # self.conv as a product of matrices: on a CPU 1.4 times as fast
        kernel = self.conv.weight.transpose(1, 2).flatten(1)
        windows = features.flatten(1).unfold(
            1, size * self.shape[1], stride * self.shape[1]
        )[:, : self.n_pooled * self.pool_size]
        windows = windows.unflatten(1, (self.n_pooled, self.pool_size))
        # all windows of a padding are the same: one is computed, unless
        # somebody asks for its gradient, which would be that of this one alone,
        # or would have to wait until it is known which these are
        asked = features.requires_grad and torch.is_grad_enabled()
        if asked or not at_once(features):
            frames = F.linear(windows, kernel, self.conv.bias)
            return F.relu(frames.max(dim=2).values)
        speech = self.holds_speech(features)
        frames = F.linear(windows[speech], kernel, self.conv.bias)
        padding = F.linear(windows[:, -1, -1], kernel, self.conv.bias)
        pooled = padding.unsqueeze(1).expand(-1, self.n_pooled, -1)
        pooled = pooled.masked_scatter(
            speech.unsqueeze(-1), frames.max(dim=1).values
        )
        # ReLU and maximum can change places, here it costs a thirtieth
        return F.relu(pooled)

    def holds_speech(self, features):
        """Tells which pooled frames see more than the last frame repeated.

        Arguments
        ---------
        features : torch.Tensor
            ``[batch, n_frames, n_mels]``.

        Returns
        -------
        torch.Tensor
            ``[batch, n_pooled]``, bool.
        """
        differs = (features != features[:, -1:]).any(dim=2)
        places = torch.arange(1, self.shape[0] + 1, device=features.device)
        ends = (differs * places).amax(dim=1)
        hop = self.pool_size * self.conv.stride[0]
        starts = torch.arange(self.n_pooled, device=features.device) * hop
        return starts < ends.unsqueeze(1)
