"""A small log-Mel encoder that trains from scratch on a CPU."""

import torch

from speechbrain.nnet.CNN import Conv1d
from speechbrain.nnet.normalization import LayerNorm
from speechbrain_ser.lobes.features import TOP_DB, LogMel
from speechbrain_ser.lobes.pooling import frame_mask
from speechbrain_ser.utils.settings import ListOf, Number, OneOf, Switch, Whole

# How many of the last convolutions are trained; None: all.
TRAINED = {"all": None, "none": 0, "last1": 1, "last2": 2}
STRIDES = ListOf(Whole(1), shortest=1, example="[2, 2, 1, 1]")


class ConvBlock(torch.nn.Module):
    """Convolution, layer norm and GELU; residual where shapes allow.

    Padded frames are zeroed before the convolution, so what a kernel sees
    behind the end of an utterance does not depend on its batch.

    Arguments
    ---------
    in_channels : int
    out_channels : int
    kernel_size : int
        Odd.
    stride : int

    Example
    -------
    >>> block = ConvBlock(8, 16, kernel_size=5, stride=2)
    >>> frames, lengths = block(torch.rand(2, 9, 8), torch.tensor([9, 5]))
    >>> frames.shape, lengths
    (torch.Size([2, 5, 16]), tensor([5, 3]))
    """

    def __init__(self, in_channels, out_channels, kernel_size, stride=1):
        super().__init__()
        self.stride = stride
        self.residual = stride == 1 and in_channels == out_channels
        self.conv = Conv1d(
            out_channels=out_channels,
            kernel_size=kernel_size,
            in_channels=in_channels,
            stride=stride,
            padding="same",
            padding_mode="constant",
        )
        self.norm = LayerNorm(input_size=out_channels)
        self.activation = torch.nn.GELU()

    def forward(self, frames, counts):
        """Returns the new frames ``[batch, time, channels]`` and their counts.

        Arguments
        ---------
        frames : torch.Tensor
            ``[batch, time, in_channels]``.
        counts : torch.Tensor
            Valid frames of each utterance, ``[batch]``, integers.

        Returns
        -------
        frames : torch.Tensor
        counts : torch.Tensor
        """
        masked = frames * frame_mask(frames, counts / frames.shape[1])
        out = self.activation(self.norm(self.conv(masked)))
        if self.residual:
            out = out + frames
        return out, (counts - 1) // self.stride + 1


class LogMelEncoder(torch.nn.Module):
    """Log-Mel filter bank, four convolutions: a few hundred thousand weights.

    SpeechBrain's ``Conv1d`` on `lobes.features.LogMel`. The mean of each
    log-Mel channel over the utterance is taken away when `normalize` is set.
    Frames are 40 ms apart with the default hop and strides.

    Arguments
    ---------
    n_mels : int
        Mel filters.
    channels : int
        Channels of every convolution, the size of a frame.
    strides : list of int
        One convolution each.
    kernel_size : int
        Odd.
    dropout : float
        Of the frames that come out.
    sample_rate : int
        In Hz.
    hop_length : float
        In ms.
    normalize : bool
        Whether to subtract the utterance's mean log-Mel spectrum.
    top_db : float or None
        See `lobes.features.LogMel`.
    finetune : str
        Which convolutions are trained: ``all``, the ``last2``, the ``last1`` or
        ``none``; the others stay as they begin.

    Example
    -------
    >>> encoder = LogMelEncoder(channels=16)
    >>> wavs = torch.randn(2, 16000)
    >>> frames, lengths = encoder(wavs, torch.tensor([1.0, 0.5]))
    >>> frames.shape
    torch.Size([2, 26, 16])
    >>> (lengths * 26).round()
    tensor([26., 13.])
    """

    def __init__(
        self,
        n_mels: Whole(1) = 40,
        channels: Whole(1) = 96,
        strides: STRIDES = (2, 2, 1, 1),
        kernel_size: Whole(1) = 5,
        dropout: Number(0, below=1) = 0.1,
        sample_rate: Whole(1) = 16000,
        hop_length: Number(above=0) = 10,
        normalize: Switch() = True,
        top_db: TOP_DB = 80.0,
        finetune: OneOf(*TRAINED) = "all",
    ):
        super().__init__()
        self.normalize = normalize
        self.dim = channels
        self.features = LogMel(
            n_mels, sample_rate, hop_length=hop_length, top_db=top_db
        )
        sizes = [n_mels] + [channels] * len(strides)
        self.blocks = torch.nn.ModuleList(
            ConvBlock(before, after, kernel_size, stride)
            for before, after, stride in zip(sizes, sizes[1:], strides)
        )
        self.dropout = torch.nn.Dropout(dropout)
        n_trained = TRAINED[finetune]
        if n_trained is not None:
            frozen = self.blocks[: max(len(self.blocks) - n_trained, 0)]
            frozen.requires_grad_(False)

    def forward(self, wavs, lengths):
        """Encodes waveforms.

        Arguments
        ---------
        wavs : torch.Tensor
            ``[batch, samples]``; what is behind the end of each counts as 0.
        lengths : torch.Tensor
            Relative lengths, ``[batch]`` in (0, 1].

        Returns
        -------
        frames : torch.Tensor
            ``[batch, time, channels]``; frames behind the end are arbitrary.
        lengths : torch.Tensor
            Relative lengths of the frames, ``[batch]``.
        """
        frames, lengths = self.features(wavs, lengths)
        counts = (lengths * frames.shape[1]).round().long()
        # dB of an amplitude in [-1, 1] to the order of 1
        frames = frames / 20
        if self.normalize:
            mask = frame_mask(frames, counts / frames.shape[1])
            mean = (frames * mask).sum(dim=1) / mask.sum(dim=1)
            frames = frames - mean.unsqueeze(1)
        frames = frames.to(next(self.blocks.parameters()).dtype)
        for block in self.blocks:
            frames, counts = block(frames, counts)
        return self.dropout(frames), counts / frames.shape[1]
