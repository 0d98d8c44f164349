"""A trained model as it is used: from one utterance's waveform to posteriors.

What is computed of an utterance alone (`frames`) is apart from what is computed
in batches, so that it can be done ahead, and kept.
"""

import numpy as np
import torch

from speechbrain.utils.data_utils import batch_pad_right
from speechbrain_ser.lobes.features import Standardisation
from speechbrain_ser.utils.errors import InputError

# What finite numbers half precision can't hold.
MOST_IN_HALF = float(np.finfo(np.float16).max)


class EmotionModel(torch.nn.Module):
    """The base of the methods' models.

    A subclass defines ``compute`` and, where something is computed of an
    utterance alone, ``features`` and `finished`.

    Arguments
    ---------
    standardise : Standardisation or None
        Of what is computed of an utterance alone.
    by : str
        ``train``: its statistics are those of the speech that trained;
        ``speaker``: each speaker has his own.
    half : bool
        Whether what is computed of an utterance alone is rounded to half
        precision where that can hold it, as a recipe's cache does.
    """

    def __init__(self, standardise=None, by="train", half=False):
        super().__init__()
        self.standardise = standardise
        self.by = by
        self.half = half

    @property
    def features(self):
        """What is computed of an utterance alone, with ``prefix``, or None."""
        return None

    @property
    def device(self):
        """Where the model computes."""
        return next(self.parameters()).device

    # One utterance

    @torch.no_grad()
    def frames(self, wav):
        """Computes what does not depend on a batch.

        Arguments
        ---------
        wav : torch.Tensor
            ``[samples]``, float32 in [-1, 1].

        Returns
        -------
        torch.Tensor
            ``[time, channels]`` on the CPU; the waveform itself where nothing
            is computed alone.
        """
        if self.features is None:
            return wav
        lengths = torch.ones(1, device=self.device)
        with torch.autocast(self.device.type, enabled=False):
            frames, _ = self.features.prefix(
                wav.unsqueeze(0).to(self.device), lengths
            )
        frames = frames[0].float().cpu()
        if self.half and frames.abs().max() <= MOST_IN_HALF:
            return frames.half()
        return frames

    def statistics(self, held):
        """Returns a speaker's statistics.

        Arguments
        ---------
        held : list of torch.Tensor
            `frames` of all that he says.

        Returns
        -------
        Standardisation

        Raises
        ------
        InputError
            If the model standardises nothing.
        """
        if self.standardise is None:
            raise InputError(
                "this model standardises nothing, so speakers have no "
                "statistics: leave --speakers out"
            )
        own = Standardisation(held[0].shape[-1])
        own.fit(held)
        return own

    def prepared(self, frames, statistics=None):
        """Standardises `frames` and brings them to what a batch holds."""
        if self.standardise is None:
            return frames
        standardise = statistics or self.standardise
        return self.finished(standardise(frames.to(standardise.mean.device)))

    def finished(self, frames):
        """Brings standardised frames to one length; here they stay."""
        return frames

    # Batches

    @torch.no_grad()
    def forward(self, prepared):
        """Computes the outputs of a batch.

        Arguments
        ---------
        prepared : list of torch.Tensor
            Of `prepared`.

        Returns
        -------
        list of dict
            Of each utterance ``posterior`` ``[classes]``, ``embedding``
            ``[D]`` and what is the method's own, on the CPU, float32.
        """
        inputs, lengths = batch_pad_right(prepared)
        inputs, lengths = inputs.to(self.device), lengths.to(self.device)
        found = self.compute(inputs, lengths)
        logits = found.pop("logits").float()
        found["posterior"] = torch.softmax(logits, dim=-1)
        found = {name: value.float().cpu() for name, value in found.items()}
        return [
            {name: value[i] for name, value in found.items()}
            for i in range(len(prepared))
        ]

    def own_columns(self, labels):
        """Names what is the method's own, in the order of `own`."""
        return []

    @property
    def of_posterior(self):
        """Which of these are a class's posterior: name to the class's index."""
        return {}

    def own(self, found):
        """Returns the method's own numbers of an utterance, a list."""
        return []


class EncoderModel(EmotionModel):
    """One that encodes waveforms, or frames that were computed alone.

    Arguments
    ---------
    encoder : torch.nn.Module
    kept : bool
        Whether the output of its frozen blocks is computed alone.
    **kwargs : dict
        Of `EmotionModel`.
    """

    def __init__(self, encoder, kept=False, **kwargs):
        super().__init__(**kwargs)
        self.encoder = encoder
        self.kept = kept

    @property
    def features(self):
        """The encoder, where its frozen blocks are computed alone."""
        return self.encoder if self.kept else None


class FeatureModel(EmotionModel):
    """One of fixed features, computed alone.

    Arguments
    ---------
    features : torch.nn.Module
        With ``prefix``.
    **kwargs : dict
        Of `EmotionModel`.
    """

    def __init__(self, features, **kwargs):
        super().__init__(**kwargs)
        self.fixed = features

    @property
    def features(self):
        """The fixed features."""
        return self.fixed
