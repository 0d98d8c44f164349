"""Parts that SpeechBrain's ``Augmenter`` lacks, and folders as their source.

All randomness comes from torch's global generator, so that who seeds it (see
`augmented_copies.drawn_by`) decides what is drawn.
"""

import functools
import math
import os
from fractions import Fraction

import torch
import torch.nn.functional as F
from torchaudio.functional import resample

from speechbrain.augment.time_domain import pink_noise_like
from speechbrain.dataio.dataio import length_to_mask, read_audio
from speechbrain.processing.signal_processing import reverberate
from speechbrain_ser.data.vocoder import stretch
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import ListOf, Number, Whole, Word

AUDIO = (".wav", ".flac", ".ogg")
SEMITONES = ListOf(Number(-60, 60), shortest=1, example="[-1, 1]")


def choose(n):
    """Returns a random index below `n`, drawn from torch's generator."""
    return int(torch.randint(n, (1,)))


def audio_files(folder):
    """Lists the audio files in a folder and its sub-folders, sorted.

    Arguments
    ---------
    folder : str

    Returns
    -------
    list of str

    Raises
    ------
    InputError
        If there is no such folder or nothing in it.
    """
    found = sorted(
        os.path.join(here, name)
        for here, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith(AUDIO) and not name.startswith(".")
    )
    if not found:
        raise InputError(
            f"{folder} holds no audio ({', '.join(AUDIO)}): give another folder "
            "for the augmentation, or null to synthesise noise and rooms"
        )
    return found


@functools.lru_cache(maxsize=256)
def read_cached(path):
    """Reads a file once; ``[samples]``."""
    return read_audio(path)


class Noise:
    """A `noise_funct` for SpeechBrain's ``AddNoise``: a folder's noise, or pink.

    Arguments
    ---------
    folder : str or None
        Noise at the corpus's sampling rate; None for 1/f noise.

    Example
    -------
    >>> Noise()(torch.zeros(2, 1600)).shape
    torch.Size([2, 1600])
    """

    def __init__(self, folder: Word(optional=True) = None):
        self.files = audio_files(folder) if folder else None

    def __call__(self, wavs):
        """Returns noise in the shape of `wavs`, ``[batch, samples]``."""
        if self.files is None:
            # one draw, turned for each utterance: an FFT is what it costs
            noise = pink_noise_like(wavs[:1])[0]
            return torch.stack([noise.roll(choose(len(noise))) for _ in wavs])
        rows = []
        for _ in wavs:
            noise = read_cached(self.files[choose(len(self.files))])
            start = choose(len(noise))
            repeats = math.ceil((start + wavs.shape[1]) / len(noise))
            rows.append(noise.repeat(repeats)[start : start + wavs.shape[1]])
        return torch.stack(rows).to(wavs)


class Reverb(torch.nn.Module):
    """Convolves with a folder's impulse responses, or with synthesised rooms.

    A synthesised room is a direct path followed by noise that decays by 60 dB in
    a random reverberation time.

    Arguments
    ---------
    folder : str or None
        Impulse responses at the corpus's sampling rate; None to synthesise.
    sample_rate : int
        In Hz.
    rt60_low : float
        Shortest reverberation time in seconds.
    rt60_high : float
        Longest reverberation time in seconds.

    Example
    -------
    >>> Reverb()(torch.randn(2, 8000)).shape
    torch.Size([2, 8000])
    """

    def __init__(
        self,
        folder: Word(optional=True) = None,
        sample_rate: Whole(1) = 16000,
        rt60_low: Number(above=0) = 0.1,
        rt60_high: Number(above=0) = 0.4,
    ):
        super().__init__()
        self.files = audio_files(folder) if folder else None
        self.sample_rate = sample_rate
        self.rt60_low = rt60_low
        self.rt60_high = rt60_high

    def room(self):
        """Synthesises an impulse response, ``[samples]``."""
        rt60 = self.rt60_low + float(torch.rand(1)) * (
            self.rt60_high - self.rt60_low
        )
        time = torch.arange(int(rt60 * self.sample_rate)) / self.sample_rate
        decay = torch.exp(-math.log(1000) * time / rt60)
        response = 0.05 * torch.randn(len(time)) * decay
        response[0] = 1.0
        return response

    def forward(self, wavs):
        """Returns the reverberated `wavs`, of their shape and mean amplitude.

        Arguments
        ---------
        wavs : torch.Tensor
            ``[batch, samples]``.

        Returns
        -------
        torch.Tensor
        """
        if self.files is None:
            response = self.room()
        else:
            response = read_cached(self.files[choose(len(self.files))])
        return reverberate(wavs, response.to(wavs), rescale_amp="avg")


class PitchShift(torch.nn.Module):
    """Shifts the pitch by some semitones; the duration stays.

    A phase vocoder stretches, resampling shrinks. The ratio is rounded to a small
    fraction (at most 2 cents off), because resampling by a ratio without common
    divisors costs seconds.

    Arguments
    ---------
    semitones : list of float
        One is drawn for each batch; negative is down.
    n_fft : int
        Samples of a vocoder window.

    Example
    -------
    >>> PitchShift()(torch.randn(2, 8000)).shape
    torch.Size([2, 8000])
    """

    def __init__(
        self,
        semitones: SEMITONES = (-3, -2, -1, 1, 2, 3),
        n_fft: Whole(4) = 512,
    ):
        super().__init__()
        self.ratios = [
            Fraction(2 ** (steps / 12)).limit_denominator(40)
            for steps in semitones
        ]
        self.n_fft = n_fft
        self.hop = n_fft // 4
        self.register_buffer(
            "window", torch.hann_window(n_fft), persistent=False
        )

    def forward(self, wavs):
        """Returns the shifted `wavs`, of their shape.

        Arguments
        ---------
        wavs : torch.Tensor
            ``[batch, samples]``.

        Returns
        -------
        torch.Tensor
        """
        ratio = self.ratios[choose(len(self.ratios))]
        window = self.window.to(wavs)
        spectrum = torch.stft(
            wavs, self.n_fft, self.hop, window=window, return_complex=True
        )
        stretched = stretch(spectrum, ratio)
        longer = torch.istft(stretched, self.n_fft, self.hop, window=window)
        shifted = resample(longer, ratio.numerator, ratio.denominator)
        out = torch.zeros_like(wavs)
        length = min(shifted.shape[1], out.shape[1])
        out[:, :length] = shifted[:, :length]
        return out


def augment_copies(augmenter, wavs, lengths):
    """Augments a batch and keeps each utterance's length.

    Arguments
    ---------
    augmenter : speechbrain.augment.augmenter.Augmenter
        With parts that keep the number of samples.
    wavs : torch.Tensor
        ``[batch, samples]``.
    lengths : torch.Tensor
        Relative lengths, ``[batch]``.

    Returns
    -------
    torch.Tensor
        The copies, ``[batch, samples]``, zero behind the end of each.
    """
    if len(wavs) == 0:
        return wavs
    longest = wavs.shape[1]
    samples = (lengths * longest).round()
    # an FFT of a length with a large prime factor costs several times more
    padded = F.pad(wavs, (0, -longest % 1024))
    copies, _ = augmenter(padded, samples / padded.shape[1])
    # volume and reverberation divide by an amplitude, which silence has not
    copies = copies[:, :longest].nan_to_num(0.0, 0.0, 0.0)
    return copies * length_to_mask(samples, longest, dtype=wavs.dtype)
