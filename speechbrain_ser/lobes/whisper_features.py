"""Whisper's log-Mel features, of the real samples of each utterance."""

import torch

# Nothing is further below the utterance's loudest number: 80 dB, as log10.
DEEPEST = 8.0
QUIETEST = 1e-10


def reflected(samples, reach, longest):
    """Returns where a wave is read that is reflected at both of its ends.

    Arguments
    ---------
    samples : torch.Tensor
        How many each wave has, at least 1, ``[batch]``.
    reach : int
        So many samples beyond the ends.
    longest : int
        Samples of the longest wave.

    Returns
    -------
    torch.Tensor
        Indices, ``[batch, longest + 2 * reach]``; however far beyond the end,
        all are below `samples`.

    Example
    -------
    >>> reflected(torch.tensor([3]), 2, 3)
    tensor([[2, 1, 0, 1, 2, 1, 0]])
    """
    places = torch.arange(-reach, longest + reach, device=samples.device)
    last = (samples - 1).unsqueeze(1)
    period = (2 * last).clamp(min=1)
    folded = places.abs().unsqueeze(0) % period
    return torch.minimum(folded, 2 * last - folded).clamp(min=0)


def log_mel(wavs, samples, filters, n_fft, hop):
    """Computes what ``WhisperFeatureExtractor`` gives of each wave alone.

    The floor depends on the loudest number of the wave itself, and the ends are
    reflected where the wave ends, not where the batch does.

    Arguments
    ---------
    wavs : torch.Tensor
        Float32, ``[batch, samples]``.
    samples : torch.Tensor
        How many of them are real, at least 1, ``[batch]``.
    filters : torch.Tensor
        ``[n_fft // 2 + 1, n_mels]``.
    n_fft, hop : int
        Samples of a window, and from one to the next.

    Returns
    -------
    torch.Tensor
        ``[batch, n_mels, time]``, a frame a hop, at least one; 0 behind the
        end of each.

    Example
    -------
    >>> filters = torch.rand(201, 80)
    >>> samples = torch.tensor([1600, 800])
    >>> log_mel(torch.randn(2, 1600), samples, filters, 400, 160).shape
    torch.Size([2, 80, 10])
    """
    longest = wavs.shape[1]
    wavs = wavs.gather(1, reflected(samples, n_fft // 2, longest))
    spectrum = torch.view_as_real(
        torch.stft(
            wavs,
            n_fft,
            hop,
            window=torch.hann_window(n_fft, device=wavs.device),
            center=False,
            return_complex=True,
        )
    )
    n_frames = max(longest // hop, 1)
    power = spectrum.square().sum(dim=3)[:, :, :n_frames]
    mels = (filters.T @ power).clamp(min=QUIETEST).log10()
    places = torch.arange(n_frames, device=wavs.device)
    beyond = places >= (samples // hop).clamp(min=1).unsqueeze(1)
    beyond = beyond.unsqueeze(1)
    loudest = mels.masked_fill(beyond, -torch.inf).amax((1, 2), keepdim=True)
    mels = (torch.maximum(mels, loudest - DEEPEST) + 4.0) / 4.0
    return mels.masked_fill(beyond, 0.0)
