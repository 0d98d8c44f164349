"""Trained models as they are used: from one utterance's waveform to posteriors.

One class a method; what each computes is what its Brain computes when it
evaluates. What is computed of an utterance alone (`frames`) is apart from what
is computed in batches, so that it can be done ahead, and kept.
"""

import numpy as np
import torch

from speechbrain.utils.data_utils import batch_pad_right
from speechbrain_ser.data.domains import SOURCE, TARGET
from speechbrain_ser.lobes.features import (
    Standardisation,
    fixed_length,
    repeated_or_middle,
)
from speechbrain_ser.losses import AMSoftmaxLoss
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


class IPRModel(EncoderModel):
    """Of `methods.ipr.IPRBrain`.

    Arguments
    ---------
    pooling, classifier : torch.nn.Module
    prototypes : PrototypeBank or None
    **kwargs : dict
        Of `EncoderModel`.
    """

    def __init__(self, encoder, pooling, classifier, prototypes=None, **kwargs):
        super().__init__(encoder, **kwargs)
        self.pooling = pooling
        self.classifier = classifier
        self.prototypes = prototypes

    def compute(self, inputs, lengths):
        """Encodes and classifies; compares with the prototypes."""
        frames, lengths = self.encoder(inputs, lengths)
        embeddings = self.pooling(frames, lengths)
        found = {
            "logits": self.classifier(embeddings),
            "embedding": embeddings,
        }
        if self.prototypes is not None:
            found["soft_label"] = self.prototypes.soft_label(embeddings)
        return found

    def own_columns(self, labels):
        """The prototypes' soft label, a column a class."""
        held = self.prototypes is not None
        return [f"soft_label_{word}" for word in labels] if held else []

    def own(self, found):
        """Returns the soft label."""
        return found["soft_label"].tolist() if "soft_label" in found else []


class LPMNModel(EncoderModel):
    """Of `methods.lpmn.LPMNBrain`.

    Arguments
    ---------
    norm, pooling, classifier : torch.nn.Module
    regressor : torch.nn.Module or None
        Of the valence.
    **kwargs : dict
        Of `EncoderModel`.
    """

    def __init__(
        self, encoder, norm, pooling, classifier, regressor=None, **kwargs
    ):
        super().__init__(encoder, **kwargs)
        self.norm = norm
        self.pooling = pooling
        self.classifier = classifier
        self.regressor = regressor

    def compute(self, inputs, lengths):
        """Encodes, maps onto the prototypes and classifies."""
        frames, lengths = self.encoder(inputs, lengths)
        pooled = self.pooling(self.norm(frames), lengths)
        if isinstance(pooled, tuple):  # and which frames won
            pooled = pooled[0]
        found = {"logits": self.classifier(pooled), "embedding": pooled}
        if self.regressor is not None:
            found["valence"] = self.regressor(pooled).squeeze(1)
        return found

    def own_columns(self, labels):
        """The valence, if it was learnt."""
        return ["valence"] if self.regressor is not None else []

    def own(self, found):
        """Returns the valence."""
        return [found["valence"].item()] if "valence" in found else []


class GMPATLModel(EncoderModel):
    """Of `methods.gmp_atl.FineTuningBrain`.

    Arguments
    ---------
    head, classifier : torch.nn.Module
    scale : float or None
        Of the cosines of AM-softmax; None: the classifier gives logits.
    channels : Standardisation or None
        Of what the encoder gives, trained blocks and all.
    **kwargs : dict
        Of `EncoderModel`.
    """

    def __init__(
        self, encoder, head, classifier, scale=None, channels=None, **kwargs
    ):
        super().__init__(encoder, **kwargs)
        self.head = head
        self.classifier = classifier
        self.loss = None if scale is None else AMSoftmaxLoss(scale=scale)
        self.channels = channels

    def compute(self, inputs, lengths):
        """Encodes, pools and classifies."""
        frames, lengths = self.encoder(inputs, lengths)
        if self.channels is not None:
            frames = self.channels(frames)
        embeddings = self.head(frames, lengths)
        scores = self.classifier(embeddings)
        return {
            "logits": scores if self.loss is None else self.loss.logits(scores),
            "embedding": embeddings,
        }


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


class DANNModel(FeatureModel):
    """Of `methods.dann.DANNBrain`.

    Arguments
    ---------
    features, encoder, norm, classifier : torch.nn.Module
    standardise, source_standardise : Standardisation
        Of the corpus that was tested, and of the other one.
    n_frames : int
        See `lobes.features.fixed_length`.
    dimension : str or None
        What its two classes are of, the second one being high.
    domain : int
        Whose batch norm counts, `TARGET` or `SOURCE`.
    **kwargs : dict
        Of `FeatureModel`.
    """

    def __init__(
        self,
        features,
        encoder,
        norm,
        classifier,
        n_frames,
        source_standardise=None,
        dimension=None,
        domain=TARGET,
        **kwargs,
    ):
        super().__init__(features, **kwargs)
        self.encoder = encoder
        self.norm = norm
        self.classifier = classifier
        self.source_standardise = source_standardise
        self.n_frames = n_frames
        self.dimension = dimension
        self.domain = domain

    def prepared(self, frames, statistics=None):
        """Standardises by the domain's corpus."""
        if statistics is None and self.domain == SOURCE:
            statistics = self.source_standardise
        return super().prepared(frames, statistics)

    def finished(self, frames):
        """Pads or cuts to the fixed length."""
        return fixed_length(frames, self.n_frames)

    def compute(self, inputs, lengths):
        """Encodes, normalises by the domain's statistics and classifies."""
        vectors = self.encoder(inputs)
        domains = torch.full(
            (len(inputs),), float(self.domain), device=inputs.device
        )
        embeddings = self.norm.of("emotion", vectors, domains)
        return {"logits": self.classifier(embeddings), "embedding": embeddings}

    def own_columns(self, labels):
        """How likely the dimension is high."""
        return [] if self.dimension is None else [self.dimension]

    def own(self, found):
        """Returns the posterior of high, before any temperature."""
        if self.dimension is None:
            return []
        return [found["posterior"][-1].item()]


class MEnANModel(FeatureModel):
    """Of `methods.menan.MEnANBrain`.

    Arguments
    ---------
    features, encoder, classifier : torch.nn.Module
    n_frames : int
        See `lobes.features.repeated_or_middle`.
    **kwargs : dict
        Of `FeatureModel`.
    """

    def __init__(self, features, encoder, classifier, n_frames, **kwargs):
        super().__init__(features, **kwargs)
        self.encoder = encoder
        self.classifier = classifier
        self.n_frames = n_frames

    def finished(self, frames):
        """Repeats, or takes the middle."""
        return repeated_or_middle(frames, self.n_frames)

    def compute(self, inputs, lengths):
        """Encodes, v = enc(x), and classifies the emotion."""
        embeddings = self.encoder(inputs)
        return {"logits": self.classifier(embeddings), "embedding": embeddings}


class ProbeModel(FeatureModel):
    """Of `methods.probe.ProbeBrain`.

    Arguments
    ---------
    features : LayerStatistics or Functionals
    probe : LinearProbe
    channels : int
        Of a row of the features, those that the probe reads.
    **kwargs : dict
        Of `FeatureModel`.
    """

    def __init__(self, features, probe, channels, **kwargs):
        standardise = Standardisation(probe.n_rows * channels)
        super().__init__(features, standardise=standardise, **kwargs)
        self.probe = probe
        self.channels = channels

    def frames(self, wav):
        """Returns all rows side by side, ``[1, rows * channels]``."""
        return super().frames(wav)[:, : self.channels].reshape(1, -1)

    def prepared(self, frames, statistics=None):
        """Standardises by the speaker where his statistics are given.

        A probe that was trained on speech as it is standardises it by what
        trained; a speaker's statistics then stand in for these.
        """
        vector = frames[0]
        if statistics is None:
            return vector
        vector = statistics(vector)
        if self.by == "train":
            rows = self.probe.rows.cpu()
            of_train = self.probe.standardise
            vector = vector.unflatten(0, (-1, self.channels)).clone()
            chosen = vector[rows].flatten()
            chosen = chosen * of_train.std.cpu() + of_train.mean.cpu()
            vector[rows] = chosen.unflatten(0, (-1, self.channels))
            vector = vector.flatten()
        return vector

    def compute(self, inputs, lengths):
        """Classifies; the embedding is what the linear layer sees."""
        embeddings = self.probe.embed(inputs)
        return {
            "logits": self.probe.classify(embeddings),
            "embedding": embeddings,
        }
