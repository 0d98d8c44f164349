"""Pitch of each frame: how periodic it is, and its fundamental frequency."""

import math

import numpy as np
import torch
from torchaudio.functional import fftconvolve

from speechbrain_ser.utils.exporting import exporting
from speechbrain_ser.utils.settings import Number, Whole, checked

CUTOFF = 1000  # Hz; what lies above is not looked at
REACH = 4  # zero crossings of a filter on each side
NEIGHBOURS = 5  # whole lags on each side that a lag between is made from
ROUNDING = 1e-12  # power of rounding errors, for a wave with peak 1


class Pitch(torch.nn.Module):
    """Normalised cross-correlation (NCCF) and f0 of each frame.

    The idea of Ghahremani et al. 2014, "A pitch extraction algorithm tuned for
    automatic speech recognition": nothing is declared unvoiced. Each frame has
    a correlation, and an f0 on the best smooth path through all frames, which
    interpolates where there is no voice. All of it is fixed, in float32, and
    an utterance's frames depend on nothing else in its batch.

    Arguments
    ---------
    sample_rate : int
        In Hz, 4000 or more.
    win_length, hop_length : float
        In ms: of the two pieces that are compared, and between two frames.
    lowest, highest : float
        Range of f0 in Hz, below 1000.
    n_lags : int
        Lags that the path chooses from, evenly spaced on a log scale.
    ballast : float
        Where the power is this part of the utterance's mean, the NCCF is
        halved, so that what is much quieter does not count as a voice.
    short_lags : float
        In Hz: the search takes off each NCCF this times the lag, so that of a
        period and its multiples the period wins.
    penalty : float
        Cost of a change of f0: this times its squared log ratio.
    voiced : float
        The path follows what an NCCF is above this (Praat's threshold of
        voicing); below it nothing is heard. So f0 is held where a frame is
        but partly voiced, at the edges of a voice, and interpolated between
        two voices, in noise too.

    Raises
    ------
    InputError
        If an argument is out of its range, such as a sample rate that is too
        low to find a pitch.

    Example
    -------
    >>> wav = torch.sin(2 * torch.pi * 120 * torch.arange(16000) / 16000)
    >>> wavs = torch.stack([wav, wav])
    >>> frames = Pitch()(wavs, torch.tensor([1, 0.5]))
    >>> frames.shape, frames[1, 51:].any()
    (torch.Size([2, 101, 2]), tensor(False))
    >>> nccf, f0 = frames[0, 50]
    >>> nccf.round(decimals=2), f0.round()
    (tensor(1.), tensor(120.))
    """

    @checked
    def __init__(
        self,
        sample_rate: Whole(4 * CUTOFF) = 16000,
        win_length: Number(above=0) = 40,
        hop_length: Number(above=0) = 10,
        lowest: Number(above=0, below=CUTOFF) = 60.0,
        highest: Number(above=0, below=CUTOFF) = 500.0,
        n_lags: Whole(3) = 150,
        ballast: Number(0) = 0.001,
        short_lags: Number() = 10.0,
        penalty: Number(0) = 0.5,
        voiced: Number(0, below=1) = 0.45,
    ):
        super().__init__()
        self.settings = {
            "sample_rate": sample_rate,
            "win_length": win_length,
            "hop_length": hop_length,
            "lowest": lowest,
            "highest": highest,
            "n_lags": n_lags,
            "ballast": ballast,
            "short_lags": short_lags,
            "penalty": penalty,
            "voiced": voiced,
        }
        self.hop = round(hop_length * sample_rate / 1000)
        self.ballast = ballast
        self.voiced = voiced
        # after the low-pass filter every stride-th sample says all
        self.stride = sample_rate // (4 * CUTOFF)
        rate = sample_rate / self.stride
        low_pass = low_pass_filter(CUTOFF / sample_rate)
        high_pass = -low_pass_filter(0.75 * lowest / rate)
        high_pass[len(high_pass) // 2] += 1

        self.window = round(win_length * rate / 1000)
        first = max(int(rate / highest) - NEIGHBOURS, 0)
        last = math.ceil(rate / lowest) + NEIGHBOURS
        self.whole_lags = range(first, last + 1)
        index = torch.arange(n_lags)
        self.step = math.log(highest / lowest) / (n_lags - 1)
        f0 = highest * torch.exp(-self.step * index)
        between = torch.tensor(self.whole_lags).unsqueeze(1) - rate / f0
        weights = windowed_sinc(between, NEIGHBOURS)
        weights = weights / weights.sum(dim=0)

        self.register_buffer("low_pass", low_pass, persistent=False)
        self.register_buffer("high_pass", high_pass, persistent=False)
        self.register_buffer("weights", weights, persistent=False)
        self.register_buffer("f0", f0, persistent=False)
        self.register_buffer("favour", 1 - short_lags / f0, persistent=False)
        change = self.step * (index - index.unsqueeze(1))
        self.transition_costs = (penalty * change**2).numpy()

    def _apply(self, fn, recurse=True):
        """Moves it to a device; its filters stay in float32, as they are."""
        return super()._apply(lambda held: held.to(fn(held).device), recurse)

    def count_frames(self, samples):
        """Returns how many frames so many samples give."""
        return samples // self.hop + 1

    @torch.no_grad()
    def forward(self, wavs, lengths):
        """Computes NCCF and f0; frame ``i`` is centred at sample ``i * hop``.

        Arguments
        ---------
        wavs : torch.Tensor
            ``[batch, samples]``.
        lengths : torch.Tensor
            Relative lengths, ``[batch]`` in (0, 1].

        Returns
        -------
        torch.Tensor
            ``[batch, frames, 2]``, float32: NCCF in [-1, 1], near 1 where
            there is a voice, and f0 in Hz; zero behind the end.

        Raises
        ------
        RuntimeError
            If it is exported: the graph would hold this wave's pitch for all.
        """
        if exporting():
            raise RuntimeError(
                "Pitch can't be exported, NumPy searches its path: export what "
                "its frames go into"
            )
        samples = (lengths * wavs.shape[1]).round().long().tolist()
        n_frames = self.count_frames(wavs.shape[1])
        found = torch.zeros(len(wavs), n_frames, 2, device=wavs.device)
        with torch.autocast(wavs.device.type, enabled=False):
            # one by one: nothing can leak, and batches are no faster on a CPU
            for frames, wav, n in zip(found, wavs, samples):
                nccf = self.correlate(self.filter(wav[:n]), n)
                frames[: len(nccf)] = self.track(nccf)
        return found

    def filter(self, wav):
        """Returns the wave at the lower rate, without rumble and hiss."""
        # in float64 the smallest float32 numbers have all their digits
        wav = wav.double()
        wav = wav / wav.abs().max().clamp(min=1e-60)
        wav = (wav - wav.mean()).float()
        wav = torch.nn.functional.conv1d(
            wav.view(1, 1, -1),
            self.low_pass.view(1, 1, -1),
            stride=self.stride,
            padding=len(self.low_pass) // 2,
        )
        return fftconvolve(wav.flatten(), self.high_pass, mode="same")

    def correlate(self, wav, samples):
        """Returns the NCCF, ``[frames, n_lags]``, of a filtered wave."""
        # SpeechBrain's autocorrelate wraps a frame around its ends: 0.8 for a
        # perfect voice of 65 Hz, and up to 1.7 where a voice begins or ends
        last = self.whole_lags[-1]
        span = self.window + last
        starts = torch.arange(self.count_frames(samples), device=wav.device)
        starts = (starts * self.hop + self.stride // 2) // self.stride
        inside = starts.unsqueeze(1) + torch.arange(span, device=wav.device)
        frames = torch.nn.functional.pad(wav, (span // 2, span))[inside]
        pieces = frames.unfold(1, self.window, 1)
        powers = frames.square().unfold(1, self.window, 1).mean(dim=2)
        ballast = self.ballast * wav.square().mean() + ROUNDING
        scales = (powers + ballast).rsqrt()
        nccf = []
        for lag in self.whole_lags:
            # both pieces are as far from the frame's centre
            one = (last - lag) // 2
            two = one + lag
            product = (pieces[:, one] * pieces[:, two]).mean(dim=1)
            nccf.append(product * scales[:, one] * scales[:, two])
        return torch.stack(nccf, dim=1) @ self.weights

    def track(self, nccf):
        """Returns NCCF and f0 on the best path, ``[frames, 2]``."""
        heard = (nccf * self.favour - self.voiced).clamp(min=0)
        costs = (1 - heard).cpu().numpy()
        path = best_path(costs, self.transition_costs)
        path = torch.from_numpy(path).to(nccf.device).unsqueeze(1)
        # the peak of the parabola through three lags
        path = path.clamp(1, nccf.shape[1] - 2)
        left, middle, right = (nccf.gather(1, path + i) for i in (-1, 0, 1))
        bend = left - 2 * middle + right
        shift = torch.where(bend < 0, (left - right) / (2 * bend), 0.0)
        shift = shift.clamp(-1, 1)
        peak = middle + shift * (right - left) / 2 + shift**2 * bend / 2
        f0 = self.f0[path] * torch.exp(-self.step * shift)
        return torch.cat([peak.clamp(-1, 1), f0], dim=1)


def best_path(local_costs, transition_costs):
    """Finds the path of least cost through a row of states (Viterbi).

    Arguments
    ---------
    local_costs : numpy.ndarray
        ``[frames, states]``, one frame or more.
    transition_costs : numpy.ndarray
        ``[states, states]``, from the first to the second.

    Returns
    -------
    numpy.ndarray
        The state of each frame, ``[frames]``.

    Example
    -------
    >>> local_costs = np.array([[0, 3], [1, 0], [0, 3]])
    >>> best_path(local_costs, np.array([[0, 2], [2, 0]]))
    array([0, 0, 0])
    >>> best_path(local_costs, np.array([[0, 0.1], [0.1, 0]]))
    array([0, 1, 0])
    """
    totals = local_costs.astype(transition_costs.dtype)
    for frame in range(1, len(totals)):
        arriving = (totals[frame - 1, :, None] + transition_costs).min(axis=0)
        # small numbers keep their digits, however long the row is
        totals[frame] += arriving - arriving.min()
    path = [totals[-1].argmin()]
    for before in totals[-2::-1]:
        path.append((before + transition_costs[:, path[-1]]).argmin())
    return np.array(path[::-1])


def low_pass_filter(cutoff):
    """Returns weights that sum to 1; cutoff in parts of the sample rate."""
    reach = round(REACH / (2 * cutoff))
    time = 2 * cutoff * torch.arange(-reach, reach + 1)
    weights = windowed_sinc(time, REACH)
    return weights / weights.sum()


def windowed_sinc(time, reach):
    """Returns sinc(time) under a Hann window that ends at ``reach``."""
    window = torch.cos(torch.pi / 2 * (time / reach).clamp(-1, 1)) ** 2
    return torch.sinc(time) * window
