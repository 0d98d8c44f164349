"""Log-Mel features, standardised over a corpus and brought to one length."""

import hashlib
import json

import torch
from speechbrain.processing.features import STFT, Filterbank

DIGEST_VERSION = 1  # raise it when the same settings would give other numbers


class LogMel(torch.nn.Module):
    """Logarithmic energies of a Mel filter bank, in dB.

    SpeechBrain's ``STFT`` and ``Filterbank``, at most 80 dB below the
    utterance's largest. All of it is fixed, so `frame_cache.FrameCache` can keep
    what it gives.

    Arguments
    ---------
    n_mels : int
        Filters.
    sample_rate : int
        In Hz.
    win_length, hop_length : float
        In ms.
    n_fft : int
        Samples of the Fourier transform.

    Example
    -------
    >>> features = LogMel(n_mels=26)
    >>> frames, lengths = features(
    ...     torch.randn(2, 16000), torch.tensor([1, 0.5])
    ... )
    >>> frames.shape, (lengths * 101).round()
    (torch.Size([2, 101, 26]), tensor([101.,  51.]))
    """

    def __init__(
        self,
        n_mels=40,
        sample_rate=16000,
        win_length=25,
        hop_length=10,
        n_fft=512,
    ):
        super().__init__()
        self.settings = {
            "n_mels": n_mels,
            "sample_rate": sample_rate,
            "win_length": win_length,
            "hop_length": hop_length,
            "n_fft": n_fft,
        }
        self.dim = n_mels
        self.hop = round(hop_length * sample_rate / 1000)
        self.stft = STFT(
            sample_rate=sample_rate,
            win_length=win_length,
            hop_length=hop_length,
            n_fft=n_fft,
        )
        self.filterbank = Filterbank(
            n_mels=n_mels,
            n_fft=n_fft,
            sample_rate=sample_rate,
            f_max=sample_rate // 2,
        )

    def forward(self, wavs, lengths):
        """Computes the features.

        Arguments
        ---------
        wavs : torch.Tensor
            ``[batch, samples]``, zero behind the end of each.
        lengths : torch.Tensor
            Relative lengths, ``[batch]`` in (0, 1].

        Returns
        -------
        frames : torch.Tensor
            ``[batch, time, n_mels]``, float32; frames behind the end are
            arbitrary.
        lengths : torch.Tensor
            Relative lengths of the frames, ``[batch]``.
        """
        with torch.autocast(wavs.device.type, enabled=False):
            spectrum = self.stft(wavs.float())
            # half the time of SpeechBrain's spectral_magnitude
            power = spectrum[..., 0] ** 2 + spectrum[..., 1] ** 2
            frames = self.filterbank(power)
        samples = (lengths * wavs.shape[1]).round().long()
        return frames, self.count_frames(samples) / frames.shape[1]

    def count_frames(self, samples):
        """Returns how many frames so many samples give."""
        return samples // self.hop + 1

    # What `frame_cache.FrameCache` asks of an encoder

    def prefix(self, wavs, lengths):
        """Returns the same as the call: nothing here is trained."""
        return self(wavs, lengths)

    def prefix_digest(self):
        """Returns the SHA-256 of all that decides the features."""
        about = {"version": DIGEST_VERSION, "what": "LogMel"} | self.settings
        text = json.dumps(about, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def about_prefix(self):
        """Returns for a person what the features are."""
        return {"what": "log-Mel features in dB"} | self.settings


class Standardisation(torch.nn.Module):
    """Zero mean and unit variance in each dimension, over a whole corpus.

    Reference: Cai et al. 2021, section 4.1. Buffers keep the statistics, so a
    checkpoint has what new recordings need.

    Arguments
    ---------
    dim : int
        Size of a frame.

    Example
    -------
    >>> standardise = Standardisation(dim=1)
    >>> standardise.fit([torch.tensor([[1.0], [3.0]]), torch.tensor([[5.0]])])
    >>> standardise(torch.tensor([[3.0]]))
    tensor([[0.]])
    """

    def __init__(self, dim):
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))

    def fit(self, utterances):
        """Takes the statistics of a corpus.

        Arguments
        ---------
        utterances : iterable of torch.Tensor
            Frames of each, ``[time, dim]``; every frame counts the same.

        Raises
        ------
        ValueError
            If there is no frame.
        """
        count, total, squares = 0, 0.0, 0.0
        for frames in utterances:
            frames = frames.double()
            if count == 0:
                # near the mean, so that the difference below is exact
                origin = frames.mean(dim=0)
            count += len(frames)
            total = total + (frames - origin).sum(dim=0)
            squares = squares + ((frames - origin) ** 2).sum(dim=0)
        if count == 0:
            raise ValueError("Standardisation needs a frame or more")
        mean = total / count
        variance = (squares / count - mean**2).clamp(min=0)
        # a dimension that never changes stays as it is
        std = torch.where(variance > 0, variance, 1.0).sqrt()
        self.mean.copy_(origin + mean)
        self.std.copy_(std)

    def forward(self, frames):
        """Returns the frames ``[..., dim]``, standardised."""
        return (frames - self.mean) / self.std


def fixed_length(frames, n_frames=750):
    """Brings one utterance to a fixed number of frames.

    Reference: Cai et al. 2021, section 3.3.

    Arguments
    ---------
    frames : torch.Tensor
        ``[time, dim]``, one frame or more, without padding.
    n_frames : int
        A shorter utterance is padded at its end with the minimum that each
        dimension has in it, of a longer one the middle is kept.

    Returns
    -------
    torch.Tensor
        ``[n_frames, dim]``.

    Example
    -------
    >>> frames = torch.tensor([[1.0, 5.0], [2.0, 3.0]])
    >>> fixed_length(frames, 3)
    tensor([[1., 5.],
            [2., 3.],
            [1., 3.]])
    >>> fixed_length(torch.arange(5.0).unsqueeze(1), 3).flatten()
    tensor([1., 2., 3.])
    """
    missing = n_frames - len(frames)
    if missing > 0:
        lowest = frames.amin(dim=0, keepdim=True)
        return torch.cat([frames, lowest.expand(missing, -1)])
    start = -missing // 2
    return frames[start : start + n_frames]
