"""What pictures over time have in common: an utterance's wave and spectrum."""

import math

import numpy as np
import torch
from matplotlib.ticker import MaxNLocator

from speechbrain.processing.features import STFT, Filterbank
from speechbrain_ser.figures.style import BLUE, FONT_SIZE

MELS = 40
MEL_TICKS = {250: "0.25", 500: "0.5", 1000: "1", 2000: "2", 4000: "4"}


def as_wave(wave):
    """Gives a waveform as torch can read it.

    Raises
    ------
    ValueError
        If it is not [samples], or empty.

    Example
    -------
    >>> as_wave([0.5, 1]).dtype
    dtype('float32')
    """
    wave = np.array(wave, dtype=np.float32, order="C")
    if wave.ndim != 1 or not len(wave):
        raise ValueError(f"a waveform of shape {wave.shape}, not [samples]")
    return wave


def set_time(axes, seconds):
    """Gives the lowest panel the axis of time, from 0 to so many seconds."""
    axes.set_xlabel("time (s)")
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.set_xlim(0, seconds)


def draw_envelope(axes, wave, sample_rate):
    """Draws the lowest and highest sample of each moment."""
    edges = np.linspace(0, len(wave), min(len(wave), 1000) + 1).astype(int)
    axes.fill_between(
        edges / sample_rate,
        *(
            np.append(values, values[-1])
            for values in (
                np.minimum.reduceat(wave, edges[:-1]),
                np.maximum.reduceat(wave, edges[:-1]),
            )
        ),
        step="post",
        color=BLUE,
        linewidth=0.5,
    )
    loudest = float(np.abs(wave).max()) or 1.0
    axes.set_ylim(-1.05 * loudest, 1.05 * loudest)
    axes.set_yticks([])
    axes.set_ylabel("wave")
    axes.tick_params(axis="x", length=0)


def draw_spectrogram(axes, wave, sample_rate):
    """Draws the log-Mel spectrogram with frequencies in kHz."""
    highest = min(8000, sample_rate / 2)
    decibels = log_mel(wave, sample_rate, highest)
    step = mel(highest) / (MELS + 1)  # between the centres of two filters
    axes.imshow(
        decibels,
        origin="lower",
        aspect="auto",
        cmap="magma",
        extent=(
            -0.005,
            0.01 * decibels.shape[1] - 0.005,
            0.5 * step,
            (MELS + 0.5) * step,
        ),
    )
    ticks = {hz: text for hz, text in MEL_TICKS.items() if hz < highest}
    axes.set_yticks([mel(hz) for hz in ticks], ticks.values())
    axes.tick_params(axis="y", labelsize=FONT_SIZE - 1)
    axes.set_ylabel("log-Mel (kHz)")


def log_mel(wave, sample_rate, highest):
    """Gives the log-Mel spectrogram in dB, [40, T], a frame every 10 ms.

    Arguments
    ---------
    wave : array of shape [samples]
    sample_rate : int
        In Hz.
    highest : float
        Where the last filter ends, in Hz.

    Returns
    -------
    numpy.ndarray

    Example
    -------
    >>> log_mel(np.zeros(16000, dtype=np.float32), 16000, 8000).shape
    (40, 101)
    """
    n_fft = 2 ** math.ceil(math.log2(0.025 * sample_rate))
    stft = STFT(sample_rate, win_length=25, hop_length=10, n_fft=n_fft)
    filterbank = Filterbank(
        n_mels=MELS, n_fft=n_fft, sample_rate=sample_rate, f_max=highest
    )
    with torch.no_grad():
        spectrum = stft(torch.from_numpy(wave).unsqueeze(0))
        return filterbank(spectrum.square().sum(-1))[0].numpy().T


def mel(hz):
    """Gives a frequency on the Mel scale.

    Example
    -------
    >>> round(mel(1000))
    1000
    """
    return 2595 * math.log10(1 + hz / 700)
