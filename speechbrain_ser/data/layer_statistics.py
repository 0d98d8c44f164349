"""Mean and deviation of each layer of a speech encoder, for the frame cache."""

import hashlib

import torch

from speechbrain_ser.lobes.pooling import valid_frames

VERSION = 1  # raise it when the same encoder would give other numbers


class LayerStatistics(torch.nn.Module):
    """What an utterance is in each layer: mean and deviation of its frames.

    `frame_cache.FrameCache` takes it for an encoder whose "frames" are layers:
    so all layers are computed in one pass, and kept.

    Arguments
    ---------
    encoder : SpeechModel or LogMel
        Of `speech_encoder` with ``frozen: True``: its prefix gives one layer,
        or with ``weighted: True`` all layers side by side. Fixed features are
        one layer.

    Example
    -------
    >>> from speechbrain_ser.lobes.features import LogMel
    >>> statistics = LayerStatistics(LogMel(n_mels=26))
    >>> rows, _ = statistics(torch.randn(2, 16000), torch.tensor([1, 0.5]))
    >>> rows.shape
    torch.Size([2, 1, 52])
    """

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder
        self.n_rows = encoder.prefix_dim // encoder.dim
        self.dim = self.prefix_dim = 2 * encoder.dim

    @torch.no_grad()
    def prefix(self, wavs, lengths):
        """Computes the statistics of each layer over the valid frames.

        Arguments
        ---------
        wavs : torch.Tensor
            16 kHz, ``[batch, samples]``, zero behind the end of each.
        lengths : torch.Tensor
            Relative lengths, ``[batch]`` in (0, 1].

        Returns
        -------
        rows : torch.Tensor
            ``[batch, layers, 2 * channels]``: the means, then the deviations
            (of n, 0 for one frame), which `deviation` parts.
        lengths : torch.Tensor
            Ones, ``[batch]``.
        """
        frames, lengths = self.encoder.prefix(wavs, lengths)
        valid = valid_frames(frames, lengths).unsqueeze(2)
        # inner layers have channels of some thousands
        frames = frames.double().masked_fill(~valid, 0)
        count = valid.sum(1)
        mean = frames.sum(1) / count
        away = (frames - mean.unsqueeze(1)).masked_fill(~valid, 0)
        deviation = (away.square().sum(1) / count).sqrt()
        rows = [x.unflatten(1, (self.n_rows, -1)) for x in (mean, deviation)]
        return torch.cat(rows, dim=2).float(), torch.ones_like(lengths)

    forward = prefix

    def count_frames(self, samples):
        """Returns the number of layers, whatever the number of samples."""
        return torch.full_like(torch.as_tensor(samples), self.n_rows)

    def prefix_digest(self):
        """Returns the SHA-256 of all that decides the statistics."""
        text = f"layer statistics {VERSION} {self.encoder.prefix_digest()}"
        return hashlib.sha256(text.encode()).hexdigest()

    def about_prefix(self):
        """Returns for a person what the rows are."""
        return self.encoder.about_prefix() | {
            "what": "mean and deviation of each layer of a speech model",
            "rows": "layers, the input of the first block before all",
        }
