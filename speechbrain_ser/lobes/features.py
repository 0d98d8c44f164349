"""Log-Mel features, pitch and energy; standardised, and brought to one length."""

import hashlib
import json
import math

import torch

from speechbrain.processing.features import STFT, Filterbank
from speechbrain_ser.lobes.pitch import CUTOFF, Pitch
from speechbrain_ser.utils.settings import Number, Whole

TOP_DB = Number(above=0, optional=True)
DIGEST_VERSION = 1  # raise it when the same settings would give other numbers


def digest(what, settings):
    """Returns the SHA-256 of the settings of features.

    Arguments
    ---------
    what : str
        The features.
    settings : dict

    Returns
    -------
    str

    Example
    -------
    >>> digest("LogMel", {"n_mels": 26})[:8]
    '441c45ce'
    """
    about = {"version": DIGEST_VERSION, "what": what} | settings
    text = json.dumps(about, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def ended(wavs, lengths):
    """Silences what is behind the end of each wave.

    Arguments
    ---------
    wavs : torch.Tensor
        ``[batch, samples]``.
    lengths : torch.Tensor
        Relative lengths, ``[batch]`` in (0, 1].

    Returns
    -------
    wavs : torch.Tensor
        The same with zeros there.
    samples : torch.Tensor
        How many each has, ``[batch]``.

    Example
    -------
    >>> ended(torch.ones(1, 4), torch.tensor([0.5]))
    (tensor([[1., 1., 0., 0.]]), tensor([2]))
    """
    samples = (lengths * wavs.shape[1]).round().long()
    places = torch.arange(wavs.shape[1], device=wavs.device)
    return wavs.masked_fill(places >= samples.unsqueeze(1), 0), samples


class LogMel(torch.nn.Module):
    """Logarithmic energies of a Mel filter bank, in dB.

    SpeechBrain's ``STFT`` and ``Filterbank``. All of it is fixed, so
    `frame_cache.FrameCache` can keep what it gives.

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
    top_db : float or None
        The floor: nothing is further below the largest energy of its own
        utterance (SpeechBrain's; no paper says it), so that the quiet frames of
        an utterance depend on its loudest one. None: the same floor for all,
        an energy of 1e-10, which is -100 dB.

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
        n_mels: Whole(1) = 40,
        sample_rate: Whole(1) = 16000,
        win_length: Number(above=0) = 25,
        hop_length: Number(above=0) = 10,
        n_fft: Whole(1) = 512,
        top_db: TOP_DB = 80.0,
    ):
        super().__init__()
        self.settings = {
            "n_mels": n_mels,
            "sample_rate": sample_rate,
            "win_length": win_length,
            "hop_length": hop_length,
            "n_fft": n_fft,
            "top_db": None if top_db is None else float(top_db),
        }
        self.dim = self.prefix_dim = n_mels
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
            top_db=math.inf if top_db is None else top_db,
        )

    def forward(self, wavs, lengths):
        """Computes the features.

        Arguments
        ---------
        wavs : torch.Tensor
            ``[batch, samples]``; what is behind the end of each counts as 0.
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
        wavs, samples = ended(wavs, lengths)
        with torch.autocast(wavs.device.type, enabled=False):
            spectrum = self.stft(wavs.float())
            # half the time of SpeechBrain's spectral_magnitude
            power = spectrum[..., 0] ** 2 + spectrum[..., 1] ** 2
            frames = self.filterbank(power)
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
        return digest("LogMel", self.settings)

    def about_prefix(self):
        """Returns for a person what the features are."""
        return {"what": "log-Mel features in dB"} | self.settings


class LogMelPitchEnergy(torch.nn.Module):
    """Log-Mel energies, NCCF, f0 in Hz and log energy of each frame.

    All of it is fixed, so `frame_cache.FrameCache` can keep what it gives.

    Reference: Li et al. 2020, section 5: 40 + 2 + 1 = 43 channels.

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
    lowest_f0, highest_f0 : float
        In Hz, see `lobes.pitch.Pitch`.
    top_db : float or None
        See `LogMel`.

    Example
    -------
    >>> features = LogMelPitchEnergy()
    >>> frames, lengths = features(torch.randn(1, 16000), torch.ones(1))
    >>> frames.shape
    torch.Size([1, 101, 43])
    """

    def __init__(
        self,
        n_mels: Whole(1) = 40,
        sample_rate: Whole(4 * CUTOFF) = 16000,
        win_length: Number(above=0) = 40,
        hop_length: Number(above=0) = 10,
        n_fft: Whole(1) = 1024,
        lowest_f0: Number(above=0, below=CUTOFF) = 60.0,
        highest_f0: Number(above=0, below=CUTOFF) = 500.0,
        top_db: TOP_DB = 80.0,
    ):
        super().__init__()
        self.log_mel = LogMel(
            n_mels, sample_rate, win_length, hop_length, n_fft, top_db
        )
        self.pitch = Pitch(
            sample_rate, win_length, hop_length, lowest_f0, highest_f0
        )
        self.window = round(win_length * sample_rate / 1000)
        self.dim = self.prefix_dim = n_mels + 3

    def forward(self, wavs, lengths):
        """Computes the features.

        Arguments
        ---------
        wavs : torch.Tensor
            ``[batch, samples]``; what is behind the end of each counts as 0.
        lengths : torch.Tensor
            Relative lengths, ``[batch]`` in (0, 1].

        Returns
        -------
        frames : torch.Tensor
            ``[batch, time, n_mels + 3]``, float32; frames behind the end are
            arbitrary.
        lengths : torch.Tensor
            Relative lengths of the frames, ``[batch]``.
        """
        wavs = ended(wavs.float(), lengths)[0]
        mels, frame_lengths = self.log_mel(wavs, lengths)
        pitch = self.pitch(wavs, lengths)
        energy = self.log_energy(wavs)
        return torch.cat([mels, pitch, energy], dim=2), frame_lengths

    def log_energy(self, wavs):
        """Returns the mean power of each frame in dB, ``[batch, time, 1]``."""
        half = self.window // 2
        padded = torch.nn.functional.pad(wavs, (half, half))
        frames = padded.unfold(1, 2 * half, self.log_mel.hop)
        power = frames.square().mean(dim=2, keepdim=True)
        # that of one step of 16 bits: below it there is nothing to hear
        return 10 * power.clamp(min=2.0**-30).log10()

    # What `frame_cache.FrameCache` asks of an encoder

    def count_frames(self, samples):
        """Returns how many frames so many samples give."""
        return self.log_mel.count_frames(samples)

    def prefix(self, wavs, lengths):
        """Returns the same as the call: nothing here is trained."""
        return self(wavs, lengths)

    def prefix_digest(self):
        """Returns the SHA-256 of all that decides the features."""
        return digest("LogMelPitchEnergy", self.settings())

    def about_prefix(self):
        """Returns for a person what the features are."""
        return {
            "what": "log-Mel energies in dB, NCCF, f0 in Hz, energy in dB"
        } | self.settings()

    def settings(self):
        """Returns all that decides the features."""
        return {"log_mel": self.log_mel.settings, "pitch": self.pitch.settings}


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

    def __init__(self, dim: Whole(1)):
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
        """Standardises frames, whose last axis is `dim`."""
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


def only_one(frames):
    """Returns the one frame that there is.

    Example
    -------
    >>> only_one(torch.ones(1, 2))
    tensor([1., 1.])
    """
    (frame,) = frames
    return frame


def repeated_or_middle(frames, n_frames):
    """Brings one utterance to a fixed number of frames by its own speech.

    Reference: Li et al. 2020, section 5: 14 s.

    Arguments
    ---------
    frames : torch.Tensor
        ``[time, dim]``, one frame or more, without padding.
    n_frames : int
        A shorter utterance is repeated from its start, of a longer one the
        middle is kept.

    Returns
    -------
    torch.Tensor
        ``[n_frames, dim]``.

    Example
    -------
    >>> frames = torch.arange(3.0).unsqueeze(1)
    >>> repeated_or_middle(frames, 5).flatten()
    tensor([0., 1., 2., 0., 1.])
    >>> repeated_or_middle(frames, 1).flatten()
    tensor([1.])
    """
    surplus = len(frames) - n_frames
    if surplus >= 0:
        return frames[surplus // 2 : surplus // 2 + n_frames]
    return frames[torch.arange(n_frames) % len(frames)]
