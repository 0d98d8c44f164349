"""The methods' models as they are used, one class a method.

What each computes is what its Brain computes when it evaluates.
"""

import torch

from speechbrain_ser.data.domains import SOURCE, TARGET
from speechbrain_ser.inference.emotion_model import EncoderModel, FeatureModel
from speechbrain_ser.lobes.features import (
    Standardisation,
    fixed_length,
    repeated_or_middle,
)
from speechbrain_ser.losses import AMSoftmaxLoss


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

    @property
    def of_posterior(self):
        """It is the posterior of the last class, high."""
        return {} if self.dimension is None else {self.dimension: -1}

    def own(self, found):
        """Returns the posterior of high."""
        return [
            found["posterior"][i].item() for i in self.of_posterior.values()
        ]


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
