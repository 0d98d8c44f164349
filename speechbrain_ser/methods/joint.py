"""The parts of the methods together, on the frames of a frozen encoder.

Each part has a switch: prototypes that sort the frames of an utterance (LPMN),
AM-softmax (GMP-ATL), an adversary against the speaker behind a gradient reversal
(DANN, MEnAN), and mixup, which is no paper's of these five ("mixup: Beyond
Empirical Risk Minimization", Zhang et al. 2018). The prototypes are the centres
of a k-means over the frames that train, so an utterance is one vector that is
computed once.
"""

import torch
import torch.nn.functional as F

import speechbrain as sb
from speechbrain_ser.brain import SERBrain
from speechbrain_ser.data.cached_features import cached_features, held_of
from speechbrain_ser.data.dataset import make_dataset
from speechbrain_ser.data.kmeans import fit_centres
from speechbrain_ser.data.parts import trained_on
from speechbrain_ser.data.standardised_reader import (
    WAYS,
    StandardisedReader,
    check_size,
)
from speechbrain_ser.lobes.local_means import LocalMeans
from speechbrain_ser.lobes.local_prototypes import LocalPrototypicalMapping
from speechbrain_ser.lobes.multitask_head import CLASSIFIED_BY
from speechbrain_ser.losses import AMSoftmaxLoss
from speechbrain_ser.schedules import ReversalRamp
from speechbrain_ser.utils.distributed import mean_over_processes, world_size
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import (
    NOTHING,
    Number,
    OneOf,
    Switch,
    Word,
    checked,
)
from speechbrain_ser.utils.vectors import unit
from speechbrain_ser.utils.waiting import on_device

# frames that a k-means of the prototypes sees
MOST_FRAMES = 100_000


class JointBrain(SERBrain):
    """Trains a small head on one vector an utterance.

    Arguments
    ---------
    features : SpeechModel
        A frozen encoder, whose frames are kept.
    frame_standardisation : Standardisation
        Of the frames, over the train part.
    pooling : torch.nn.Module
        Of `make_utterance_pooling`; prototypes are set here.
    standardisation : Standardisation
        Of the vectors.
    cache_folder : str
        Where frames are kept; runs can share it.
    standardise_by : str
        Of the vectors, see `StandardisedReader`.
    loss : str
        ``am_softmax`` of a cosine classifier, or ``cross_entropy`` of a linear
        one.
    margin, scale : float
        Of AM-softmax.
    adversary : float
        The most by which the gradient of the speaker classifier is reversed; it
        rises from 0 (`schedules.ReversalRamp`). 0: there is none.
    mixup : float
        alpha of the Beta distribution of the shares; 0: nothing is mixed.
    valid_trains : bool
        Whether the validating speakers train too, as they do in the references,
        which have no epoch to choose either.
    **kwargs : dict
        Of `SERBrain`; the modules are ``projection``, ``classifier``,
        ``reversal`` and ``speaker_classifier``.
    """

    @checked
    def __init__(
        self,
        features,
        frame_standardisation,
        pooling,
        standardisation,
        cache_folder: Word(needed="for the frames", counts=NOTHING),
        standardise_by: OneOf(*WAYS) = "train",
        loss: OneOf(*CLASSIFIED_BY) = "am_softmax",
        margin: Number(0, 2) = 0.2,
        scale: Number(1e-6, 1e6) = 10.0,
        adversary: Number(0) = 0.0,
        mixup: Number(0) = 0.0,
        valid_trains: Switch() = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.features = features
        self.frame_standardisation = frame_standardisation
        self.pooling = pooling
        self.standardisation = standardisation
        check_size(features, frame_standardisation)
        self.cache_folder = cache_folder
        if self.checkpointer is not None and self.has_prototypes:
            self.checkpointer.add_recoverable("pooling", pooling)
        self.reader = StandardisedReader(standardisation, by=standardise_by)
        self.am = AMSoftmaxLoss(margin, scale) if loss == "am_softmax" else None
        self.ramp = ReversalRamp(adversary) if adversary else None
        self.mixup = torch.distributions.Beta(mixup, mixup) if mixup else None
        self.valid_trains = valid_trains
        self.speakers = {}
        self.held, self.parts = {}, {}

    @property
    def has_prototypes(self):
        """Whether the pooling has prototypes, which what trains decides."""
        kinds = (LocalMeans, LocalPrototypicalMapping)
        return isinstance(self.pooling, kinds)

    # Parts

    @classmethod
    def check_arguments(cls, settings):
        """Refuses to choose an epoch by who trains."""
        super().check_arguments(settings)
        chosen = settings.get("model_selection", "best") == "best"
        if settings.get("valid_trains") and chosen:
            raise InputError(
                "--valid_trains True leaves nobody to choose an epoch by: give "
                "--model_selection last, or --valid_trains False"
            )

    @classmethod
    def check_parts(cls, parts, settings):
        """Refuses an adversary that has no two speakers to tell apart."""
        super().check_parts(parts, settings)
        if settings.get("adversary"):
            names = speakers_of(trained_on(parts, settings["valid_trains"]))
            if None in names or len(names) < 2:
                raise InputError(
                    "the adversary needs two speakers or more that train, and "
                    "all of them named: add them, or give --adversary 0"
                )

    def set_parts(self, parts):
        """Computes frames and vectors, numbers the speakers."""
        self.held = cached_features(
            self.cache_folder,
            self.features,
            parts.values(),
            self.sample_rate,
            self.device,
            "frames of the frozen blocks",
        )
        if parts.get("train"):
            trained = trained_on(parts, self.valid_trains)
            self.fit_pooling(held_of(self.held, trained.values()))
            names = sorted(speakers_of(trained), key=str)
            self.speakers = {name: i for i, name in enumerate(names)}
            parts = parts | {"train": trained}
        self.parts = parts
        self.compute_vectors()
        super().set_parts(parts)

    def compute_vectors(self):
        """Pools all frames that are held, and takes the vectors' statistics."""
        for key, frames in self.held.items():
            self.reader.held[key] = self.vector(frames)
        self.reader.fit(self.parts)

    def load_selected(self):
        """Loads the selected epoch; see `Predictor.load_selected`.

        Where nothing trains, prototypes are those of the checkpoint.
        """
        epoch = super().load_selected()
        if self.train_set is None:
            self.compute_vectors()
        return epoch

    def fit_pooling(self, held):
        """Sets frames' statistics and prototypes by what trains.

        Arguments
        ---------
        held : list of torch.Tensor
            Frames of each utterance, ``[time, dim]``.
        """
        self.frame_standardisation.fit(held)
        if not self.has_prototypes:
            return
        held = [self.frame_standardisation(frames.float()) for frames in held]
        frames = torch.cat(held)
        if len(frames) > MOST_FRAMES:
            draw = torch.Generator().manual_seed(self.seed)
            drawn = torch.randperm(len(frames), generator=draw)
            frames = frames[drawn[:MOST_FRAMES].sort().values]
        of_codebook = isinstance(self.pooling, LocalPrototypicalMapping)
        owner = self.pooling.codebook if of_codebook else self.pooling
        centres = fit_centres(
            unit(frames).numpy(), len(owner.prototypes), self.seed
        )
        centres = torch.from_numpy(centres)
        if of_codebook:
            owner.prototypes.data.copy_(centres)
        else:
            owner.fit(centres, held)

    @torch.no_grad()
    def vector(self, frames):
        """Pools an utterance's frames, ``[time, dim]``, to ``[1, size]``."""
        frames = self.frame_standardisation(frames.float()).unsqueeze(0)
        pooled = self.pooling(frames, torch.ones(1))
        return pooled[0] if isinstance(pooled, tuple) else pooled

    def reads_waveforms(self):
        """Whether batches hold waveforms: they hold features."""
        return False

    def make_dataset(self, annotation):
        """Makes a dataset of vectors ``[size]`` and speakers, -1 a stranger."""
        return make_dataset(
            annotation,
            self.labels,
            read=lambda entry: self.reader(entry)[0],
            more={
                "speaker": lambda key, entry: self.speakers.get(
                    entry.get("speaker"), -1
                )
            },
        )

    def make_sampler(self, held, training):
        """Makes batches in random order: all vectors are of one length."""
        if not training:
            return super().make_sampler(held, training)
        return self.random_batches(len(held))

    # Training

    def compute_forward(self, batch, stage):
        """Projects and classifies; in training mixed vectors."""
        mixes = stage == sb.Stage.TRAIN and self.mixup is not None
        drawn = self.mixture(len(batch)) if mixes else None
        batch = self.moved(batch)
        vectors, targets, speakers = batch.sig.data, None, None
        if stage == sb.Stage.TRAIN:
            targets = F.one_hot(batch.label, len(self.labels)).float()
            speakers = F.one_hot(batch.speaker, len(self.speakers)).float()
            if drawn is not None:
                vectors, targets, speakers = mixed(
                    *drawn, vectors, targets, speakers
                )
        embeddings = self.modules.projection(vectors)
        predictions = {
            "logits": self.modules.classifier(embeddings),
            "embeddings": embeddings,
            "targets": targets,
            "speakers": speakers,
        }
        if self.am is not None:
            cosines = predictions["logits"]
            if targets is None:
                predictions["logits"] = self.am.logits(cosines)
            else:
                predictions["logits"] = self.am.angular(cosines, targets)
        if self.ramp is not None and stage == sb.Stage.TRAIN:
            self.modules.reversal.scale = self.ramp(self.done())
            reversed_ = self.modules.reversal(embeddings)
            predictions["speaker_logits"] = self.modules.speaker_classifier(
                reversed_
            )
        return predictions

    def mixture(self, n):
        """Draws by which share each of `n` is mixed, and with which other one."""
        share = self.mixup.sample().item()
        return share, on_device(torch.randperm(n), self.device)

    def accumulation_note(self):
        """Adds what mixup does."""
        if self.mixup is not None:
            return "mixup takes two utterances of one batch"
        return super().accumulation_note()

    def compute_objectives(self, predictions, batch, stage):
        """Computes the loss of the emotion, and of the adversary."""
        logits = predictions["logits"]
        if stage != sb.Stage.TRAIN:
            return self.cross_entropy(logits, batch.label)
        loss = soft_cross_entropy(
            logits, predictions["targets"], self.class_weights
        )
        self.history.add(emotion_loss=loss.detach() / world_size())
        if self.ramp is not None:
            of_speakers = soft_cross_entropy(
                predictions["speaker_logits"], predictions["speakers"]
            )
            self.history.add(speaker_loss=of_speakers.detach() / world_size())
            loss = loss + of_speakers
        return loss


def mixed(share, other, *tensors):
    """Mixes each row with another of the batch, all tensors by one share.

    Arguments
    ---------
    share : float
    other : torch.Tensor
        Of each row the index of the other one, ``[batch]``.
    *tensors : tuple of torch.Tensor
        ``[batch, ...]``.

    Returns
    -------
    list of torch.Tensor

    Example
    -------
    >>> mixed(0.75, torch.tensor([1, 0]), torch.tensor([0.0, 4.0]))
    [tensor([1., 3.])]
    """
    return [share * x + (1 - share) * x[other] for x in tensors]


def speakers_of(annotation):
    """Returns who speaks; None is one who is not known."""
    return {entry.get("speaker") for entry in annotation.values()}


def soft_cross_entropy(logits, targets, weights=None):
    """Mean cross entropy with shares of classes, each class by its weight.

    Arguments
    ---------
    logits, targets : torch.Tensor
        ``[batch, classes]``.
    weights : torch.Tensor or None
        ``[classes]``.

    Returns
    -------
    torch.Tensor
        A scalar; of one-hot targets it is that of `SERBrain.cross_entropy`.

    Example
    -------
    >>> even = torch.tensor([[0.5, 0.5]])
    >>> soft_cross_entropy(torch.zeros(1, 2), even)
    tensor(0.6931)
    """
    if weights is not None:
        targets = targets * weights
    logs = logits.float().log_softmax(dim=1)
    return mean_over_processes(-(targets * logs).sum(), targets.sum())


def fill_in(settings, parts):
    """Returns how many speakers train, once they are read.

    Arguments
    ---------
    settings : dict
        Of a hparams file, see `experiment.hparams.peek`.
    parts : dict or None
        Part to annotation.

    Returns
    -------
    dict
        Setting to value.

    Example
    -------
    >>> train = {"a": {"speaker": "B"}, "b": {"speaker": "A"}}
    >>> fill_in({"valid_trains": False}, {"train": train})
    {'n_speakers': 2}
    """
    if parts is None:
        return {}
    names = speakers_of(trained_on(parts, settings["valid_trains"]))
    return {"n_speakers": len(names)}
