"""DANN: cross-lingual emotion recognition against an adversary of languages.

An emotion classifier learns on one language, the source; a language classifier
behind a gradient reversal keeps the encoder from telling it from another one,
the target, whose labels nobody sees.

Reference: "Unsupervised Cross-Lingual Speech Emotion Recognition Using Domain
Adversarial Neural Network", Cai et al. 2021.
"""

import functools

import numpy as np
import torch

import speechbrain as sb
from speechbrain.utils.distributed import get_rank
from speechbrain.utils.logger import get_logger
from speechbrain_ser.brain import SERBrain
from speechbrain_ser.data.cached_features import cached_features, held_of
from speechbrain_ser.data.dataset import make_dataset
from speechbrain_ser.data.domains import (
    NAMES,
    SOURCE,
    TARGET,
    completed,
    count_sources,
    of_domain,
)
from speechbrain_ser.data.standardised_reader import (
    StandardisedReader,
    check_size,
)
from speechbrain_ser.lobes.conditional import ADVERSARIES, OuterProduct
from speechbrain_ser.lobes.domain_norm import STATISTICS
from speechbrain_ser.lobes.features import fixed_length, only_one
from speechbrain_ser.schedules import ReversalRamp, decayed_rate
from speechbrain_ser.utils.audio import place
from speechbrain_ser.utils.distributed import (
    mean_over_processes,
    sum_over_processes,
    world_size,
)
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import (
    NOTHING,
    Number,
    OneOf,
    Switch,
    Whole,
    Word,
    checked,
)

logger = get_logger(__name__)

SYSTEMS = ("dann", "base", "mono")
PENALTIES = ("l1", "l2", "none")
ONE_LANGUAGE = ("base", "mono")  # systems that train on one
WAYS = ("corpus", "speaker", "train")


class DANNBrain(SERBrain):
    """Trains encoder and emotion classifier, and the language classifier.

    ``base`` and ``mono`` train on one language: ``dann`` with beta 0 trains the
    same encoder as ``base``, but for the rounding of sums, if batch norm keeps
    the target out of the emotion classifier's way (bn2, bn3, none).

    The entries of all parts say their ``domain``, see `data.domains`; those that
    don't are of the language that is tested.

    Arguments
    ---------
    system : str
        Of `SYSTEMS`.
    batch_size : int
        Of the source, and as many of the target.
    alpha : float
        Weight of the emotion loss (Eq. 7), also in ``base`` and ``mono``;
        1 - alpha is that of the language loss.
    beta : float
        Scale of the reversed gradient (Eq. 4).
    ramp : bool
        Whether beta rises from 0 to its value (`schedules.ReversalRamp`) or is
        the same from the beginning.
    decay : float
        Of the learning rate, for each epoch.
    lowest_lr : float
        It falls no further.
    penalty : str
        ``l1`` or ``l2``: sum of absolute or squared weights, of convolution and
        classifiers, without biases, attention query and batch norm; or ``none``.
    penalty_weight : float
    features : LogMel, a speech encoder or PooledLayers
        What is computed of all speech, once, and held in memory.
    source_standardisation, target_standardisation : Standardisation
        Of each corpus; fitted where there is a train part, else as they were
        loaded.
    n_frames : int or None
        See `lobes.features.fixed_length`; None: of an utterance the features are
        one vector, which the encoder takes.
    cache_folder : str
        Where features are kept before they are standardised.
    standardise_by : str
        ``corpus``: as above, the target by what of it is learnt from;
        ``speaker``: each speaker by all that he says; ``train``: both by what
        trains of the source, so that the adversary meets the difference.
    adversary : str
        ``plain``, as in the paper; ``conditional``: the language classifier sees
        the embedding once for each emotion, times its posterior
        (`lobes.conditional.OuterProduct`); not in the paper.
    **kwargs : dict
        Of `SERBrain`; the modules are encoder, norm, dropout, classifier,
        reversal and language_classifier.
    """

    @checked
    def __init__(
        self,
        system: OneOf(*SYSTEMS),
        batch_size: Whole(2),
        alpha: Number(above=0, high=1),
        beta: Number(0),
        ramp: Switch(),
        decay: Number(above=0),
        lowest_lr: Number(0),
        penalty: OneOf(*PENALTIES),
        penalty_weight: Number(0),
        features,
        source_standardisation,
        target_standardisation,
        n_frames: Whole(1, optional=True),
        cache_folder: Word(needed="for the features", counts=NOTHING),
        standardise_by: OneOf(*WAYS) = "corpus",
        adversary: OneOf(*ADVERSARIES) = "plain",
        **kwargs,
    ):
        super().__init__(batch_size=batch_size, **kwargs)
        self.system = system
        self.alpha = alpha
        self.ramp = ReversalRamp(beta) if ramp else None
        self.decay = decay
        self.lowest_lr = lowest_lr
        self.penalty = penalty
        self.penalty_weight = penalty_weight
        self.features = features
        self.cache_folder = cache_folder
        self.n_frames = n_frames
        finish = only_one
        if n_frames is not None:
            finish = functools.partial(fixed_length, n_frames=n_frames)
        self.joined = OuterProduct() if adversary == "conditional" else None
        for standardise in (source_standardisation, target_standardisation):
            check_size(features, standardise)
        self.standardise_by = standardise_by
        by = "speaker" if standardise_by == "speaker" else "train"
        self.readers = [
            StandardisedReader(standardise, finish, by)
            for standardise in (source_standardisation, target_standardisation)
        ]
        # without DDP around it
        self.norm = self.modules.norm
        if self.norm.way != "none":
            self.no_large_batch = "batch norm has statistics of each batch"
        self.reversal = self.modules.reversal
        self.domain = None

    # Parts

    @classmethod
    def needs(cls, settings):
        """Adds the target's speech where the adversary learns from it."""
        needed = super().needs(settings)
        if settings["system"] == "dann":
            why = "--system dann learns from the target's speech"
            needed["target"] = (why, "--system base")
        return needed

    def set_parts(self, parts):
        """Computes the features and makes the datasets.

        That of ``target`` holds what is in no other part: its labels nobody
        knows, its predictions are what is wanted.
        """
        tested = SOURCE if self.system == "mono" else TARGET
        parts = {name: completed(part, tested) for name, part in parts.items()}
        self.compute_features(parts)
        super().set_parts(parts)
        others = [part for name, part in parts.items() if name != "target"]
        known = {place(entry) for part in others for entry in part.values()}
        self.datasets.pop("target", None)
        unknown = {
            key: entry
            for key, entry in parts.get("target", {}).items()
            if place(entry) not in known
        }
        if unknown:
            self.datasets["target"] = self.make_dataset(unknown)

    def compute_features(self, parts):
        """Computes the features of all parts, and their statistics.

        They are kept in memory: 104 bytes a frame with the paper's sizes, and
        78 kB for an utterance as it is read.

        Arguments
        ---------
        parts : dict
            Part to annotation.
        """
        for domain, name in enumerate(NAMES):
            corpus = [of_domain(part, domain) for part in parts.values()]
            if not any(corpus):
                continue
            held = cached_features(
                self.cache_folder,
                self.features,
                corpus,
                self.sample_rate,
                self.device,
                f"features of the {name}",
            )
            reader = self.readers[domain]
            reader.held |= held
            reader.know_speakers(dict(zip(parts, corpus)))
            if parts.get("train"):
                reader.standardise.fit(self.counted(parts, domain, held))

    def counted(self, parts, domain, held):
        """Returns the features that a corpus is standardised by.

        Arguments
        ---------
        parts : dict
            Part to annotation.
        domain : int
        held : dict
            Place to features, of this corpus.

        Returns
        -------
        list of torch.Tensor
        """
        if self.standardise_by == "train":
            return held_of(self.readers[SOURCE].held, parts["train"].values())
        learnt = of_domain(parts.get("target", {}), domain)
        if not learnt:
            return list(held.values())
        known = {place(entry) for entry in learnt.values()}
        return [frames for key, frames in held.items() if key in known]

    def reads_waveforms(self):
        """Whether batches hold waveforms: they hold features."""
        return False

    def make_dataset(self, annotation):
        """Makes a dataset of features ``[n_frames, dim]`` and domains."""
        return make_dataset(
            annotation,
            self.labels,
            read=functools.partial(read_by_domain, self.readers),
            numbers=["domain"],
        )

    def training_annotation(self, parts):
        """Returns the source and, if it is learnt from, the target."""
        learnt = ["train", "target"] if self.system == "dann" else ["train"]
        return {
            f"{name}/{key}": entry
            for name in learnt
            for key, entry in parts[name].items()
        }

    def make_sampler(self, held, training):
        """Makes batches of source and target."""
        if not training:
            return super().make_sampler(held, training)
        n_target = sum(entry["domain"] == TARGET for entry in held)
        sampler = self.random_batches(len(held) - n_target, n_target)
        of_two = (
            f" of the source and {n_target} of the target" if n_target else ""
        )
        logger.info(
            f"{len(sampler)} batches an epoch, {sampler.n_source} "
            f"utterances{of_two}"
        )
        return sampler

    # Training, Eq. 3 to 10 and sections 4.1 and 4.2.2

    def rate_factor(self, epoch):
        """Returns by what the learning rates are multiplied (section 4.1)."""
        lowest = self.lowest_lr / self.rates["rest"]
        return decayed_rate(epoch, 1.0, self.decay, lowest)

    def fit_batch(self, batch):
        """Trains on one batch; with bn4 on its source, then on its target.

        Each step's dropout has a seed of its own: ``base``, which draws nothing
        for a target, drops in the source what ``dann`` does.
        """
        step = [self.seed, self.epoch, self.step, get_rank() or 0]
        seed = np.random.SeedSequence(step).generate_state(1, np.uint64)[0]
        torch.manual_seed(int(seed) >> 1)
        if self.ramp is not None:
            self.reversal.scale = self.ramp(self.done())
        if self.norm.way != "bn4" or self.system != "dann":
            return super().fit_batch(batch)
        total = 0
        for self.domain in (SOURCE, TARGET):
            total = total + super().fit_batch(batch)
        self.domain = None
        return total

    def compute_forward(self, batch, stage):
        """Encodes and classifies; in training the languages as well."""
        n = count_sources(batch)
        batch = self.moved(batch)
        features, domains = batch.sig.data, batch.domain
        if stage != sb.Stage.TRAIN:
            vectors = self.modules.encoder(features)
            embeddings = self.norm.of("emotion", vectors, domains)
            logits = self.modules.classifier(embeddings)
            return {"logits": logits, "embeddings": embeddings}
        if self.domain is not None:
            # a batch begins with its source
            own = slice(n) if self.domain == SOURCE else slice(n, None)
            features, domains = features[own], domains[own]
            n = n if self.domain == SOURCE else 0
        vectors = self.modules.encoder(features)
        emotion, language = self.modules.norm(vectors[:n], vectors[n:])
        # both classifiers lose the same numbers of an utterance
        kept = [self.modules.dropout(torch.ones_like(language[:n]))]
        if n < len(vectors):
            kept.append(self.modules.dropout(torch.ones_like(language[n:])))
        predictions = {
            "logits": self.modules.classifier(emotion * kept[0]),
            "embeddings": emotion,
        }
        if self.system == "dann":
            seen = language * torch.cat(kept)
            if self.joined is not None:
                posterior = self.modules.classifier(language).softmax(dim=1)
                seen = self.joined(seen, posterior)
            # Eq. 3 and 4
            predictions["languages"] = self.modules.language_classifier(
                self.modules.reversal(seen)
            )
            predictions["domains"] = domains.long()
        return predictions

    def compute_objectives(self, predictions, batch, stage):
        """Computes Eq. 7 and the penalty."""
        logits = predictions["logits"]
        labels = batch.label[: len(logits)]
        if stage != sb.Stage.TRAIN:
            known = labels >= 0
            return self.cross_entropy(logits[known], labels[known])
        loss = mean_over_processes(self.penalty_weight * self.weights(), 1)
        # Eq. 5; the target's turn of bn4 has none, but DDP needs a gradient
        emotion_loss = self.cross_entropy(logits, labels)
        loss = loss + self.alpha * emotion_loss
        if len(logits):
            self.history.add(emotion_loss=emotion_loss.detach() / world_size())
        if self.system == "dann":
            languages, domains = (
                predictions["languages"],
                predictions["domains"],
            )
            # Eq. 6
            language_loss = self.cross_entropy(
                languages, domains, weighted=False
            )
            # Eq. 7
            loss = loss + (1 - self.alpha) * language_loss
            self.watch_languages(languages, domains, language_loss)
        return loss

    def watch_languages(self, logits, domains, loss):
        """Notes loss and UA of the language classifier, for Figure 3."""
        right = logits.argmax(dim=1) == domains
        of = torch.stack([domains == SOURCE, domains == TARGET])
        counts = torch.stack([(right & of).sum(dim=1), of.sum(dim=1)])
        hits, n = sum_over_processes(counts)
        recalls = (hits / n.clamp(min=1)).double()
        self.history.add(
            domain_loss=loss.detach() / world_size(),
            domain_UA=recalls.sum() / (n > 0).sum(),
        )

    def weights(self):
        """Returns the sum that the penalty keeps small."""
        if self.penalty == "none":
            return torch.zeros((), device=self.device)
        power = {"l1": torch.abs, "l2": torch.square}[self.penalty]
        used = [self.modules.encoder, self.modules.classifier]
        if self.system == "dann":
            used.append(self.modules.language_classifier)
        return sum(
            power(weight).sum()
            for module in used
            for weight in module.parameters()
            if weight.ndim > 1
        )


def read_by_domain(readers, entry):
    """Reads an entry's features by its domain's reader."""
    return readers[entry["domain"]](entry)


def check_together(settings):
    """Refuses settings that do not go together.

    Arguments
    ---------
    settings : dict
        Of a hparams file, see `experiment.hparams.peek`.

    Raises
    ------
    InputError

    Example
    -------
    >>> check_together({"system": "base", "batch_norm": "bn2"})
    Traceback (most recent call last):
    speechbrain_ser.utils.errors.InputError: --batch_norm bn2 combines two ...
    """
    system, way = settings["system"], settings["batch_norm"]
    if system in ONE_LANGUAGE and way in set(STATISTICS) - {"bn1"}:
        raise InputError(
            f"--batch_norm {way} combines two languages and --system {system} "
            "trains on one: give bn1, which is then plain batch norm, or none"
        )
