"""Training an encoder of emotion against a classifier of speakers.

Reference: "Speaker-Invariant Affective Representation Learning via Adversarial
Training", Li et al. 2020 (MEnAN).
"""

import os
from zipfile import BadZipFile

import numpy as np
import speechbrain as sb
import torch
import torch.nn.functional as F
from speechbrain.utils.distributed import infer_device
from speechbrain.utils.logger import get_logger

from speechbrain_ser.brain import SERBrain
from speechbrain_ser.data.batching import PairedBatchSampler
from speechbrain_ser.data.frame_cache import FrameCache
from speechbrain_ser.evaluation.metrics import SHARES
from speechbrain_ser.figures import speakers as speaker_plots
from speechbrain_ser.figures.curves import plot_curves
from speechbrain_ser.figures.speaker_entropy import plot_speaker_entropy
from speechbrain_ser.lobes.features import repeated_or_middle
from speechbrain_ser.lobes.speaker_invariant import standardised
from speechbrain_ser.losses import MaxEntropyLoss, entropy
from speechbrain_ser.schedules import ReversalRamp, polynomial_rate
from speechbrain_ser.utils.audio import place
from speechbrain_ser.utils.distributed import gather_batch, world_size
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.files import replacing

logger = get_logger(__name__)

SYSTEMS = ("emotion_only", "multitask", "dat", "menan")
ROW = "speakers.npz"
COLUMNS = ("embeddings", "speaker", "emotion", "name", "note")


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
    compared_folder : str or None
        The folder of a finished run, which is drawn beside this (Figure 2).
    **kwargs : dict
        Of `SERBrain`; the modules are encoder, classifier, reversal and
        speaker_classifier, which has a learning rate of its own.
    """

    def __init__(
        self,
        system,
        emotion_weight,
        ramp,
        memory,
        speaker_steps,
        speaker_batch_size,
        standardise,
        speaker_noise,
        power,
        compared_folder=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.system = system
        self.emotion_weight = emotion_weight
        self.ramp = ReversalRamp(1 - emotion_weight) if ramp else None
        self.memory = memory.to(self.device)
        self.speaker_steps = speaker_steps
        self.speaker_batch_size = speaker_batch_size
        self.standardise = standardise
        self.speaker_noise = speaker_noise
        self.power = power
        self.compared_folder = compared_folder
        # without DDP: in `menan` all processes train it on the same embeddings
        self.speaker_classifier = self.modules.speaker_classifier
        self.max_entropy = MaxEntropyLoss()
        self.in_step_1 = False

    def make_sampler(self, held, training):
        """Makes batches in random order: all utterances are of one length."""
        if not training:
            return super().make_sampler(held, training)
        return PairedBatchSampler(len(held), 0, self.batch_size, self.seed)

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

    def on_stage_start(self, stage, epoch=None):
        """Notes the epoch."""
        super().on_stage_start(stage, epoch)
        if stage == sb.Stage.TRAIN:
            self.epoch = epoch

    def fit_batch(self, batch):
        """Trains on one batch; ``menan`` in both steps of section 3.3.

        One pass through the encoder serves both. Step 1 moves SC alone, so
        after it enc(x) is still what it was: no dropout, no batch norm and no
        changed weight lies on the way from x to v.
        """
        if self.system != "menan":
            return super().fit_batch(batch)
        should_step = self.step % self.grad_accumulation_factor == 0
        self.on_fit_batch_start(batch, should_step)
        with self.no_sync(not should_step):
            with self.training_ctx:
                outputs = self.compute_forward(batch, sb.Stage.TRAIN)
        self.train_speaker_classifier(outputs["embeddings"], batch.speaker)
        with self.no_sync(not should_step):
            with self.training_ctx:
                loss = self.compute_objectives(outputs, batch, sb.Stage.TRAIN)
            scaled = self.scaler.scale(loss / self.grad_accumulation_factor)
            self.check_loss_isfinite(scaled)
            scaled.backward()
        if should_step:
            self.optimizers_step()
        self.on_fit_batch_end(batch, outputs, loss, should_step)
        return loss.detach().cpu() / world_size()

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
        draw = np.random.default_rng([self.seed, self.epoch, self.step])
        chosen = slice(None)
        self.in_step_1 = True
        for _ in range(self.speaker_steps):
            if self.memory.size:
                chosen = draw.integers(
                    len(targets), size=self.speaker_batch_size
                )
                chosen = torch.from_numpy(chosen).to(self.device)
            with self.training_ctx:
                seen = self.as_seen(vectors[chosen])
                if self.speaker_noise:
                    noise = draw.normal(
                        scale=self.speaker_noise, size=seen.shape
                    )
                    seen = seen + torch.from_numpy(noise).to(seen)
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
        batch = batch.to(self.device)
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
        """Notes also what choosing the epoch on the validation part would give.

        One speaker validates: the epoch that suits him or her may suit nobody
        else.
        """
        best = self.history.notes.get("best")
        own = self.valid_row.get("valid_UA")
        watched = self.selection == "last" and self.watched is not None
        if watched and own is not None:
            if best is None or own > best["validation"]["UA"]:
                scores = self.score(self.predict(self.watched))
                self.history.notes["best"] = {
                    "epoch": epoch,
                    "validation": {
                        k: self.valid_row[f"valid_{k}"] for k in SHARES
                    },
                    "evaluation": {k: scores[k] for k in SHARES},
                }
        super().on_epoch_end(epoch)

    def findings(self):
        """Returns what the best epoch on the validation part would have had."""
        return {"best_epoch": self.history.notes.get("best")}

    def done(self):
        """Returns the share of the training that is over."""
        steps = len(self.train_sampler)
        return (self.epoch - 1 + (self.step - 1) / steps) / self.epochs

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

    # Report

    def figure_2_row(self, predictions):
        """Returns what Figure 2 shows of this run: two unseen speakers.

        Arguments
        ---------
        predictions : dict
            Part to what `predict` returned.

        Returns
        -------
        dict
            For `speaker_plots.plot_speakers`, with arrays.
        """
        shown = [
            (
                p["embedding"].numpy(),
                p["entry"].get("speaker") or "",
                p["entry"].get("emotion") or "",
            )
            for part in ("validation", "evaluation")
            for p in predictions.get(part, {}).values()
        ]
        embeddings, speakers, emotions = map(np.array, zip(*shown))
        return {
            "embeddings": embeddings,
            "speaker": speakers,
            "emotion": emotions,
            "name": np.array(self.system),
            "note": np.array(self.leakage_note()),
        }

    def leakage_note(self):
        """Returns what the leakage probe found, if it was asked for."""
        if self.leakage is None:
            return ""
        return (
            "a fresh classifier names the speaker of "
            f"{100 * self.leakage['accuracy']:.1f} % of the training "
            f"utterances (chance {100 * self.leakage['chance']:.1f} %)"
        )

    def draw_figures(self, predictions, title):
        """Draws curves, Figure 2, beside another run if it is there, and SC."""
        plot_curves(
            self.figure("curves"),
            self.history.rows,
            [
                (
                    "loss of the emotion",
                    {"emotion_loss": "training", "valid_loss": "validation"},
                ),
                ("validation", {"valid_WA": "WA", "valid_UA": "UA"}),
            ],
            title,
        )
        own = self.figure_2_row(predictions)
        with replacing(os.path.join(self.output_folder, ROW)) as beside:
            with open(beside, "wb") as file:
                np.savez(file, **own)
        speaker_plots.plot_speakers(
            self.figure("speakers"),
            {
                str(row["name"]): drawable(row)
                for row in self.compared_row() + [own]
            },
            self.labels,
            f"{title}: speakers that do not train",
        )
        if self.system != "emotion_only":
            plot_speaker_entropy(
                self.figure("adversary"),
                self.history.rows,
                self.speaker_classifier[-1].out_features,
                title,
                marks=[(self.selected_epoch, "selected")],
            )

    def compared_row(self):
        """Returns another run's row of Figure 2 in a list, or an empty one."""
        if self.compared_folder is None:
            return []
        path = os.path.join(self.compared_folder, ROW)
        if os.path.realpath(self.compared_folder) == os.path.realpath(
            self.output_folder
        ):
            return []
        if not os.path.isfile(path):
            logger.info(
                f"figures/speakers.png shows {self.system} alone: there is no "
                f"{path}; run --system multitask, then the same command again"
            )
            return []
        try:
            with np.load(path, allow_pickle=False) as file:
                row = {name: file[name] for name in COLUMNS}
            speaker_plots.check_row(path, drawable(row), self.labels)
        except (KeyError, OSError, ValueError, EOFError, BadZipFile) as failure:
            raise InputError(
                f"{path} can't be read ({failure}): run that system again, or "
                "give another --compared_folder"
            ) from failure
        if row["name"] == self.system:
            row["name"] = f"{self.system} (compared)"
        return [row]


def drawable(row):
    """Returns a row of `ROW`'s arrays for `speaker_plots.plot_speakers`."""
    return {
        "embeddings": row["embeddings"],
        "speaker": row["speaker"].tolist(),
        "emotion": [word or None for word in row["emotion"].tolist()],
        "note": str(row["note"]),
    }


def framed_features(
    parts,
    features,
    standardisation,
    cache_folder,
    sample_rate,
    n_frames,
    device,
):
    """Computes the features of all parts, standardised as those that train.

    They are kept in memory, without the repetition: 17 kB for a second.

    Arguments
    ---------
    parts : dict
        Part to annotation; ``training`` is what the statistics are of.
    features : LogMelPitchEnergy
    standardisation : Standardisation
        Fitted here, if there is a part ``training``.
    cache_folder : str
        Where features are kept before they are standardised.
    sample_rate : int
        In Hz.
    n_frames : int
        See `lobes.features.repeated_or_middle`.
    device : str or None
        Where they are computed; None: SpeechBrain's best guess.

    Returns
    -------
    callable
        Entry to its features ``[n_frames, dim]``, the `read` of
        `dataio.make_dataset`.
    """
    cache = FrameCache(cache_folder, features, sample_rate, half=False)
    speech = {
        place(entry): entry
        for part in parts.values()
        for entry in part.values()
    }
    computed = cache.fill(speech, features, device or infer_device())
    logger.info(
        f"features: {computed} utterances computed, "
        f"{len(speech) - computed} were in {cache.folder}"
    )
    held = {key: cache.read(entry) for key, entry in speech.items()}
    if "training" in parts:
        learnt = dict.fromkeys(map(place, parts["training"].values()))
        standardisation.fit(held[key] for key in learnt)
    for key, frames in held.items():
        held[key] = standardisation(frames)
    return lambda entry: repeated_or_middle(held[place(entry)], n_frames)
