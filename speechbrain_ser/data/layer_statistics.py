"""Mean and deviation of each layer of a speech encoder, for the frame cache."""

import hashlib

import torch

from speechbrain_ser.lobes.pooling import valid_frames
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import Setting, Switch, checked

EXAMPLE = "3, or '[2, 3]' for both side by side"
VERSION = 1  # raise it when the same encoder would give other numbers


class Layers(Setting):
    """A layer, or several.

    Example
    -------
    >>> Layers().mend([2, 3]), Layers().mend("last")
    (None, "give 3, or '[2, 3]' for both side by side")
    """

    def mend(self, value):
        """Returns an example, if it is none of them."""
        values = value if isinstance(value, (list, tuple)) else [value]
        fit = len(values) > 0 and all(
            type(item) is int and item >= 0 for item in values
        )
        return None if fit else f"give {EXAMPLE}"


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


class PooledLayers(LayerStatistics):
    """One vector of an utterance: means, and deviations, of some layers.

    All layers are kept, as `LayerStatistics` keeps them and for whom it does;
    `taken` takes of what is kept what is wanted.

    Arguments
    ---------
    encoder : SpeechModel or LogMel
        See `LayerStatistics`.
    layers : int or list of int
        0 is the input of the first block.
    deviations : bool
        Whether a layer's deviations stand behind its means.

    Attributes
    ----------
    dim : int
        Size of the vector.

    Raises
    ------
    InputError
        If there is no such layer.

    Example
    -------
    >>> from speechbrain_ser.lobes.features import LogMel
    >>> pooled = PooledLayers(LogMel(n_mels=26), layers=0)
    >>> rows, _ = pooled(torch.randn(2, 16000), torch.tensor([1, 0.5]))
    >>> pooled.taken(rows[0]).shape, pooled.dim
    (torch.Size([1, 26]), 26)
    """

    @checked
    def __init__(
        self,
        encoder,
        layers: Layers(),
        deviations: Switch() = False,
    ):
        super().__init__(encoder)
        self.layers = [layers] if isinstance(layers, int) else list(layers)
        self.channels = encoder.dim * (2 if deviations else 1)
        for layer in self.layers:
            if layer >= self.n_rows:
                raise InputError(
                    f"--layer is {layer}, but the encoder gives the layers 0 "
                    f"to {self.n_rows - 1}: give one of them, or several as "
                    "'[2, 3]'"
                )
        self.dim = len(self.layers) * self.channels

    def taken(self, rows):
        """Returns the vector of an utterance of which all layers are kept.

        Arguments
        ---------
        rows : torch.Tensor
            ``[n_rows, prefix_dim]``.

        Returns
        -------
        torch.Tensor
            ``[1, dim]``.
        """
        return rows[self.layers, : self.channels].reshape(1, -1)


def taken(features, kept):
    """Returns what is wanted of what is kept of an utterance; often all of it.

    Arguments
    ---------
    features : torch.nn.Module
        With ``prefix``.
    kept : torch.Tensor
        What that gives of an utterance, ``[time, prefix_dim]``.

    Returns
    -------
    torch.Tensor

    Example
    -------
    >>> from speechbrain_ser.lobes.features import LogMel
    >>> taken(LogMel(n_mels=2), torch.zeros(9, 2)).shape
    torch.Size([9, 2])
    """
    take = getattr(features, "taken", None)
    return kept if take is None else take(kept)


def taken_size(features):
    """Returns the number of channels of what `taken` returns."""
    return features.dim if hasattr(features, "taken") else features.prefix_dim
