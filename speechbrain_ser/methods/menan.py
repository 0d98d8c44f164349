"""Training an encoder of emotion against a classifier of speakers.

Reference: "Speaker-Invariant Affective Representation Learning via Adversarial
Training", Li et al. 2020 (MEnAN).
"""

import functools

import numpy as np
import torch
import torch.nn.functional as F

import speechbrain as sb
from speechbrain_ser.brain import SERBrain
from speechbrain_ser.data.cached_features import cached_features
from speechbrain_ser.data.dataset import make_dataset
from speechbrain_ser.data.standardised_reader import (
    WAYS,
    StandardisedReader,
    check_size,
)
from speechbrain_ser.lobes.features import only_one, repeated_or_middle
from speechbrain_ser.lobes.speaker_invariant import standardised
from speechbrain_ser.losses import MaxEntropyLoss, entropy
from speechbrain_ser.methods.menan_parts import (
    SYSTEMS,
    Speed,
    by_speaker,
    note_best_epochs,
    speaker_draws,
    training_speakers,
)
from speechbrain_ser.schedules import ReversalRamp, polynomial_rate
from speechbrain_ser.scores import SHARES
from speechbrain_ser.utils.audio import with_speeds
from speechbrain_ser.utils.distributed import gather_batch, world_size
from speechbrain_ser.utils.settings import (
    NOTHING,
    ListOf,
    Number,
    OneOf,
    Switch,
    Whole,
    Word,
    checked,
)


class MEnANBrain(SERBrain):
    """Trains ENC, EC and SC, by one of four systems.

    ``menan`` in two steps for each batch (section 3.3). The others in one:
    ``emotion_only`` by the emotion loss, ``multitask`` by the weighted sum of
    both cross entropies, ``dat`` by the same with the gradient of the speaker
    loss reversed on its way into the encoder.

    Arguments
    ---------
    system : str
        Of `SYSTEMS`.
    batch_size : int
    emotion_weight : float
        lambda (Eq. 5).
    ramp : bool
        Whether 1 - lambda rises from 0 to its value (`schedules.ReversalRamp`)
        in ``menan``, or is the same from the beginning, as in the paper.
    memory : EmbeddingMemory
        Of no size: SC learns on the batch alone, as in the paper.
    speaker_steps : int
        Steps of SC for each of ENC and EC; 1 in the paper.
    speaker_batch_size : int
        Embeddings of each such step, drawn from the memory.
    standardise : bool
        Whether SC of ``menan`` sees standardised embeddings; not in the paper,
        see `lobes.speaker_invariant.standardised`.
    speaker_noise : float
        Standard deviation of the Gaussian noise on what SC of ``menan`` learns
        on; not in the paper. Without it an encoder against an SC of many steps
        loses the emotion too.
    power : float
        Of the polynomial decay of the learning rates.
    features : LogMelPitchEnergy, a speech encoder or PooledLayers
        What is computed of all speech, once, and held in memory: 17 kB for a
        second. Of an encoder, the output of its frozen blocks.
    standardisation : Standardisation
        Of the features; fitted on what trains, else as it was loaded.
    duration : float or None
        Of what the encoder sees, in seconds, see
        `lobes.features.repeated_or_middle`; None: of an utterance the features
        are one vector, which the encoder takes.
    speeds : list of float
        Of the copies that train besides, see `utils.audio.with_speeds`.
    cache_folder : str
        Where features are kept before they are standardised.
    standardise_by : str
        See `StandardisedReader`.
    **kwargs : dict
        Of `SERBrain`; the modules are encoder, classifier, reversal and
        speaker_classifier, which has a learning rate of its own.
    """

    @checked
    def __init__(
        self,
        system: OneOf(*SYSTEMS),
        batch_size: Whole(2),
        emotion_weight: Number(above=0, high=1),
        ramp: Switch(),
        memory,
        speaker_steps: Whole(1),
        speaker_batch_size: Whole(2),
        standardise: Switch(),
        speaker_noise: Number(0),
        power: Number(0),
        features,
        standardisation,
        duration: Number(0.3, optional=True),
        speeds: ListOf(Speed(), example="'[0.9, 1.1]', or '[]' for none"),
        cache_folder: Word(needed="for the features", counts=NOTHING),
        standardise_by: OneOf(*WAYS) = "train",
        **kwargs,
    ):
        super().__init__(batch_size=batch_size, **kwargs)
        self.system = system
        self.emotion_weight = emotion_weight
        self.ramp = ReversalRamp(1 - emotion_weight) if ramp else None
        self.memory = memory.to(self.device)
        self.speaker_steps = speaker_steps
        self.speaker_batch_size = speaker_batch_size
        self.standardise = standardise
        self.speaker_noise = speaker_noise
        self.power = power
        self.features = features
        self.standardisation = standardisation
        self.n_frames, finish = None, only_one
        if duration is not None:
            n_samples = torch.tensor(round(duration * self.sample_rate))
            self.n_frames = int(features.count_frames(n_samples))
            finish = functools.partial(
                repeated_or_middle, n_frames=self.n_frames
            )
        check_size(features, standardisation)
        # kept without the repetition, which is long
        self.reader = StandardisedReader(
            standardisation, finish, standardise_by, keep=duration is None
        )
        self.speeds = speeds
        self.cache_folder = cache_folder
        # without DDP: in `menan` all processes train it on the same embeddings
        self.speaker_classifier = self.modules.speaker_classifier
        self.max_entropy = MaxEntropyLoss()
        self.in_step_1 = False
        if system == "menan":
            self.no_large_batch = "SC learns after each batch"
        self.speakers = {}

    # Parts

    @classmethod
    def check_parts(cls, parts, settings):
        """Refuses a train part without speakers, or of one alone."""
        super().check_parts(parts, settings)
        training_speakers(parts["train"])

    def set_parts(self, parts):
        """Computes the features, numbers the speakers, makes the datasets."""
        self.compute_features(parts)
        if parts.get("train"):
            names = training_speakers(parts["train"])
            self.speakers = {name: i for i, name in enumerate(names)}
        super().set_parts(parts)

    def compute_features(self, parts):
        """Computes the features of all parts; what trains gives the statistics."""
        training = {}
        if parts.get("train"):
            training = self.training_annotation(parts)
        held = cached_features(
            self.cache_folder,
            self.features,
            [training, *parts.values()],
            self.sample_rate,
            self.device,
        )
        self.reader.held |= held
        self.reader.fit(parts | ({"train": training} if training else {}))

    def reads_waveforms(self):
        """Whether batches hold waveforms: they hold features."""
        return False

    def make_dataset(self, annotation):
        """Makes a dataset of features and speakers.

        A speaker is a number, -1 of those who do not train.
        """

        def number(key, entry):
            """Looks up who speaks."""
            return self.speakers.get(entry.get("speaker"), -1)

        return make_dataset(
            annotation,
            self.labels,
            read=self.reader,
            more={"speaker": number},
        )

    def training_annotation(self, parts):
        """Returns the train part and its copies at other speeds."""
        return with_speeds(parts["train"], self.speeds)

    def labelled_annotation(self, parts):
        """Returns the same: a copy has its utterance's label."""
        return self.training_annotation(parts)

    def make_sampler(self, held, training):
        """Makes batches in random order: all utterances are of one length."""
        if not training:
            return super().make_sampler(held, training)
        return self.random_batches(len(held))

    # Training, Eq. 1 to 5

    def rate_factor(self, epoch):
        """Returns by what the learning rates are multiplied (Table 1)."""
        return polynomial_rate(epoch, self.epochs, self.power)

    def freeze_optimizers(self, optimizers):
        """Returns the optimizers that take this step."""
        of_speakers = {"speaker_classifier"}
        moved = {
            "emotion_only": set(optimizers) - of_speakers,
            "multitask": set(optimizers),
            "dat": set(optimizers),
            "menan": of_speakers
            if self.in_step_1
            else set(optimizers) - of_speakers,
        }[self.system]
        return {name: optimizers[name] for name in optimizers if name in moved}

    def after_forward(self, outputs, batch):
        """Step 1 of ``menan`` (section 3.3), on the pass that serves both.

        It moves SC alone, so after it enc(x), with what dropout left of it, is
        still what it was.
        """
        if self.system == "menan":
            self.train_speaker_classifier(outputs["embeddings"], batch.speaker)

    def train_speaker_classifier(self, embeddings, speakers):
        """Step 1: trains SC alone, on what ENC gives (Eq. 1).

        Arguments
        ---------
        embeddings : torch.Tensor
            v, ``[batch, D]``; no gradient flows into them.
        speakers : torch.Tensor
            Indices, ``[batch]``.
        """
        vectors = gather_batch(embeddings.detach())
        targets = gather_batch(speakers)
        self.memory.add(vectors, targets)
        if self.memory.size:
            vectors, targets = self.memory.held()
        drawn = speaker_draws(
            np.random.default_rng([self.seed, self.epoch, self.step]),
            vectors,
            self.speaker_steps,
            self.speaker_batch_size if self.memory.size else None,
            self.speaker_noise,
        )
        self.in_step_1 = True
        for chosen, noise in zip(*drawn):
            with self.training_ctx:
                seen = self.as_seen(vectors[chosen])
                if noise is not None:
                    seen = seen + noise.to(seen)
                logits = self.speaker_classifier(seen)
                # Eq. 1
                loss = F.cross_entropy(logits.float(), targets[chosen])
            self.scaler.scale(loss).backward()
            self.optimizers_step()
        self.in_step_1 = False
        self.history.add(speaker_loss=loss.detach())

    def as_seen(self, embeddings):
        """Returns embeddings as SC of ``menan`` sees them."""
        return standardised(embeddings) if self.standardise else embeddings

    def compute_forward(self, batch, stage):
        """Encodes, v = enc(x), and classifies the emotion."""
        batch = self.moved(batch)
        embeddings = self.modules.encoder(batch.sig.data)
        logits = self.modules.classifier(embeddings)
        return {"logits": logits, "embeddings": embeddings}

    def compute_objectives(self, predictions, batch, stage):
        """Computes the loss of the system, Eq. 5 for ``menan``."""
        logits, labels = predictions["logits"], batch.label
        if stage != sb.Stage.TRAIN:
            return self.cross_entropy(logits, labels)
        # Eq. 4
        emotion_loss = self.cross_entropy(logits, labels)
        self.history.add(emotion_loss=emotion_loss.detach() / world_size())
        if self.system == "emotion_only":
            return emotion_loss
        embeddings, weight = predictions["embeddings"], self.emotion_weight
        if self.system == "menan":
            if self.ramp is not None:
                weight = 1 - self.ramp(self.done())
            speakers = gather_batch(batch.speaker)
            speaker_logits = self.judge(gather_batch(embeddings))
            # Eq. 5; DDP's averaging divides by the processes
            loss = weight * emotion_loss + (1 - weight) * (
                self.max_entropy(speaker_logits) * world_size()
            )
        else:
            if self.system == "dat":
                embeddings = self.modules.reversal(embeddings)
            speaker_logits = self.modules.speaker_classifier(embeddings)
            speaker_loss = self.cross_entropy(
                speaker_logits, batch.speaker, weighted=False
            )
            self.history.add(speaker_loss=speaker_loss.detach() / world_size())
            loss = weight * emotion_loss + (1 - weight) * speaker_loss
            speakers = gather_batch(batch.speaker)
            speaker_logits = gather_batch(speaker_logits)
        guesses = speaker_logits.argmax(dim=1)
        self.history.add(
            speaker_entropy=entropy(speaker_logits.detach()).mean(),
            speaker_accuracy=(guesses == speakers).float().mean(),
        )
        return loss

    def on_epoch_end(self, epoch):
        """Scores the test part, and notes what choosing the epoch would give.

        For the curves and the report alone: it chooses nothing. One speaker
        validates, another one tests, and the other way round (section 5): an
        epoch that suits the one may suit nobody else.
        """
        if self.model_selection == "last" and "test" in self.datasets:
            predictions = self.predict(self.datasets["test"])
            whole = self.shares(predictions)
            best = self.history.notes.setdefault("best", {})
            if "valid" in self.datasets:
                own = {k: self.valid_row[f"valid_{k}"] for k in SHARES}
                scores = {"test": whole, "valid": own}
                note_best_epochs(best, epoch, scores, tested=["test"])
            else:
                groups = by_speaker(predictions)
                scores = {who: self.shares(own) for who, own in groups.items()}
                note_best_epochs(best, epoch, scores)
            self.valid_row |= {f"test_{k}": v for k, v in whole.items()}
        super().on_epoch_end(epoch)

    def shares(self, predictions):
        """Returns the scores of predictions: those of `SHARES` alone."""
        scores = self.score(predictions)
        return {name: scores[name] for name in SHARES}

    def judge(self, embeddings):
        """Returns what SC says, frozen: the gradient only passes through it.

        Arguments
        ---------
        embeddings : torch.Tensor
            ``[batch, D]``.

        Returns
        -------
        torch.Tensor
            Logits, ``[batch, speakers]``.
        """
        classifier = self.speaker_classifier
        weights = {n: p.detach() for n, p in classifier.named_parameters()}
        return torch.func.functional_call(
            classifier, weights, self.as_seen(embeddings)
        )
