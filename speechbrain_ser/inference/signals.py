"""Samples in memory: brought to one channel and a rate, or refused."""

import numpy as np
import torch
import torchaudio

from speechbrain_ser.corpora.protocols.checks import SHORTEST
from speechbrain_ser.utils.errors import InputError


def checked_signal(samples, rate, sample_rate, channel=None):
    """Returns samples as models take them.

    Arguments
    ---------
    samples : numpy.ndarray or torch.Tensor
        ``[time]``, ``[time, channels]`` or ``[channels, time]``; whole numbers
        count as parts of their type's largest.
    rate : int
        Theirs, in Hz.
    sample_rate : int
        That of the result.
    channel : int, optional
        From 1; default: the mean of all.

    Returns
    -------
    torch.Tensor
        ``[time]``, float32.

    Raises
    ------
    InputError
        If there is no such channel, no rate, or nothing to hear.

    Example
    -------
    >>> samples = np.array([[100, 300]] * 8000, dtype=np.int16)
    >>> signal = checked_signal(samples, 16000, 16000)
    >>> signal.shape, round(signal[0].item() * 2**15)
    (torch.Size([8000]), 200)
    """
    if isinstance(rate, bool) or not isinstance(rate, (int, np.integer)):
        raise InputError("samples need their rate: give rate=16000, in Hz")
    if rate < 1:
        raise InputError(f"the rate {rate} is none: give it in Hz")
    signal = torch.as_tensor(samples).detach().cpu()
    if signal.dtype == torch.bool or signal.is_complex():
        raise InputError(f"{signal.dtype} are no samples: give real numbers")
    if not signal.is_floating_point():
        least = torch.iinfo(signal.dtype).min
        if least == 0:
            raise InputError(f"{signal.dtype} has no sign: give other samples")
        signal = signal.float() / -least
    signal = mono(signal.float(), channel)
    if len(signal) / rate < SHORTEST:
        raise InputError(
            f"{len(signal)} samples at {rate} Hz are {len(signal) / rate:.3f} "
            f"s, and less than {SHORTEST} s says nothing: give more"
        )
    if not torch.isfinite(signal).all():
        raise InputError("there are samples that are NaN or infinite")
    if not signal.any():
        raise InputError("all samples are zero: there is nothing to hear")
    if rate != sample_rate:
        signal = torchaudio.functional.resample(signal, int(rate), sample_rate)
    return signal


def mono(signal, channel):
    """Picks a channel, or takes the mean of all."""
    if signal.ndim not in (1, 2) or signal.numel() == 0:
        raise InputError(
            f"samples of shape {list(signal.shape)} are none: give [time] or "
            "[time, channels]"
        )
    if signal.ndim == 1:
        signal = signal.unsqueeze(1)
    elif signal.shape[0] < signal.shape[1]:
        signal = signal.T
    if channel is None:
        return signal.mean(dim=1)
    if not 1 <= channel <= signal.shape[1]:
        raise InputError(
            f"there is no channel {channel} of {signal.shape[1]}: give one "
            "from 1 on"
        )
    return signal[:, channel - 1]
