"""Cross-lingual speech emotion recognition with an adversary that tells languages.

Reference: "Unsupervised Cross-Lingual Speech Emotion Recognition Using Domain
Adversarial Neural Network", Cai et al. 2021.
"""

import os
from zipfile import BadZipFile

import numpy as np
import speechbrain as sb
import torch
from speechbrain.utils.distributed import get_rank, infer_device
from speechbrain.utils.logger import get_logger

from speechbrain_ser.brain import SERBrain
from speechbrain_ser.data.batching import PairedBatchSampler
from speechbrain_ser.data.frame_cache import FrameCache
from speechbrain_ser.evaluation.probing import language_probe
from speechbrain_ser.figures import languages as language_plots
from speechbrain_ser.figures.adversary import plot_adversary
from speechbrain_ser.lobes.features import fixed_length
from speechbrain_ser.schedules import ReversalRamp, decayed_rate
from speechbrain_ser.utils.audio import place
from speechbrain_ser.utils.distributed import (
    mean_over_processes,
    sum_over_processes,
    world_size,
)
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.files import replacing

logger = get_logger(__name__)

SYSTEMS = ("dann", "base", "mono")
PENALTIES = ("l1", "l2", "none")
SOURCE, TARGET = 0, 1
ROW = "languages.npz"
COLUMNS = ("embeddings", "language", "emotion", "name", "note")


class DANNBrain(SERBrain):
    """Trains encoder and emotion classifier, and the language classifier.

    ``base`` and ``mono`` train on one language: ``dann`` with beta 0 trains the
    same encoder as ``base``, but for the rounding of sums, if batch norm keeps
    the target out of the emotion classifier's way (bn2, bn3, none).

    Arguments
    ---------
    system : str
        Of `SYSTEMS`.
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
    base_folder : str or None
        The folder of a finished run of ``base``, which is drawn beside this.
    **kwargs : dict
        Of `SERBrain`; the modules are encoder, norm, dropout, classifier,
        reversal and language_classifier.
    """

    def __init__(
        self,
        system,
        alpha,
        beta,
        ramp,
        decay,
        lowest_lr,
        penalty,
        penalty_weight,
        base_folder=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.system = system
        self.alpha = alpha
        self.ramp = ReversalRamp(beta) if ramp else None
        self.decay = decay
        self.lowest_lr = lowest_lr
        self.penalty = penalty
        self.penalty_weight = penalty_weight
        self.base_folder = base_folder
        # without DDP around it
        self.norm = self.modules.norm
        self.reversal = self.modules.reversal
        self.domain = None
        self.language_left = None

    def make_sampler(self, held, training):
        """Makes batches of source and target."""
        if not training:
            return super().make_sampler(held, training)
        n_target = sum(entry["domain"] == TARGET for entry in held)
        sampler = PairedBatchSampler(
            len(held) - n_target, n_target, self.batch_size, self.seed
        )
        of_two = (
            f" of the source and {n_target} of the target" if n_target else ""
        )
        logger.info(
            f"{len(sampler)} batches an epoch, {sampler.n_source} "
            f"utterances{of_two}"
        )
        return sampler

    def rate_factor(self, epoch):
        """Returns by what the learning rates are multiplied (section 4.1)."""
        lowest = self.lowest_lr / self.rates["rest"]
        return decayed_rate(epoch, 1.0, self.decay, lowest)

    def on_stage_start(self, stage, epoch=None):
        """Notes the epoch."""
        super().on_stage_start(stage, epoch)
        if stage == sb.Stage.TRAIN:
            self.epoch = epoch

    def fit_batch(self, batch):
        """Trains on one batch; with bn4 on its source, then on its target.

        Each step's dropout has a seed of its own: ``base``, which draws nothing
        for a target, drops in the source what ``dann`` does.
        """
        place = [self.seed, self.epoch, self.step, get_rank() or 0]
        seed = np.random.SeedSequence(place).generate_state(1, np.uint64)[0]
        torch.manual_seed(int(seed) >> 1)
        if self.ramp is not None:
            steps = len(self.train_sampler)
            done = (self.epoch - 1 + (self.step - 1) / steps) / self.epochs
            self.reversal.scale = self.ramp(done)
        if self.norm.way != "bn4" or self.system != "dann":
            return super().fit_batch(batch)
        total = 0
        for self.domain in (SOURCE, TARGET):
            total = total + super().fit_batch(batch)
        self.domain = None
        return total

    def compute_forward(self, batch, stage):
        """Encodes and classifies; in training the languages as well."""
        batch = batch.to(self.device)
        features, domains = batch.sig.data, batch.domain
        if stage != sb.Stage.TRAIN:
            vectors = self.modules.encoder(features)
            embeddings = self.norm.of("emotion", vectors, domains)
            logits = self.modules.classifier(embeddings)
            return {"logits": logits, "embeddings": embeddings}
        if self.domain is not None:
            features = features[domains == self.domain]
            domains = domains[domains == self.domain]
        n = int((domains == SOURCE).sum())
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
            # Eq. 3 and 4
            reversed_ = self.modules.reversal(language * torch.cat(kept))
            predictions["languages"] = self.modules.language_classifier(
                reversed_
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
        counts = torch.stack(
            [
                torch.stack([right[domains == d].sum(), (domains == d).sum()])
                for d in (SOURCE, TARGET)
            ]
        )
        recalls = [
            (hits / n).item() for hits, n in sum_over_processes(counts) if n
        ]
        self.history.add(
            domain_loss=loss.detach() / world_size(),
            domain_UA=sum(recalls) / len(recalls),
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

    # Report

    def figure_2_row(self, predictions):
        """Returns what Figure 2 shows of this run.

        Arguments
        ---------
        predictions : dict
            Part to what `predict` returned: the source that trains, and the
            target that tests, or all of it if nothing is known of it.

        Returns
        -------
        dict
            For `language_plots.plot_languages`, with arrays.
        """
        tested = "evaluation" if "evaluation" in predictions else "target"
        shown = [
            (p["embedding"].numpy(), language, p["entry"].get("emotion") or "")
            for part, language in (("train", SOURCE), (tested, TARGET))
            for p in predictions[part].values()
        ]
        embeddings, languages, emotions = map(np.array, zip(*shown))
        self.language_left = language_probe(embeddings, languages)
        note = ""
        if self.language_left is not None:
            note = (
                "a linear classifier tells the language with "
                f"{100 * self.language_left:.1f} % UA"
            )
        return {
            "embeddings": embeddings,
            "language": languages,
            "emotion": emotions,
            "name": np.array(f"{self.system} ({self.norm.way})"),
            "note": np.array(note),
        }

    def draw_figures(self, predictions, title):
        """Draws Figure 2, of ``base`` beside it if that run is there, and 3."""
        if self.system == "mono":
            return
        own = self.figure_2_row(predictions)
        with replacing(os.path.join(self.output_folder, ROW)) as beside:
            with open(beside, "wb") as file:
                np.savez(file, **own)
        rows = [own]
        if self.system == "dann":
            rows = self.base_row() + rows
            plot_adversary(
                self.figure("adversary"),
                self.history.rows,
                title,
                marks=[(self.selected_epoch, "selected")],
            )
        language_plots.plot_languages(
            self.figure("languages"),
            {
                str(row["name"]): {
                    "embeddings": row["embeddings"],
                    "language": row["language"].tolist(),
                    "emotion": [word or None for word in row["emotion"]],
                    "note": str(row["note"]),
                }
                for row in rows
            },
            ("source", "target"),
            self.labels,
            title,
        )

    def base_row(self):
        """Returns ``base``'s row of Figure 2 in a list, empty without a run."""
        if self.base_folder is None:
            return []
        path = os.path.join(self.base_folder, ROW)
        if not os.path.isfile(path):
            logger.info(
                f"figures/languages.png shows dann alone: there is no {path}; "
                "run --system base, then the same command again"
            )
            return []
        try:
            with np.load(path, allow_pickle=False) as row:
                return [{name: row[name] for name in COLUMNS}]
        except (KeyError, OSError, ValueError, EOFError, BadZipFile) as failure:
            raise InputError(
                f"{path} can't be read ({failure}): run --system base again, "
                "or give another --base_folder"
            ) from failure

    def findings(self):
        """Returns how well the language can still be told."""
        return {"language_probe_UA": self.language_left}


def fixed_features(
    parts,
    features,
    standardisations,
    cache_folder,
    n_frames,
    sample_rate=16000,
    device=None,
):
    """Computes the features of all parts, each corpus standardised by itself.

    They are kept in memory: 78 kB for an utterance with the paper's sizes.

    Arguments
    ---------
    parts : dict
        Part to annotation, whose entries say their `domain`, 0 or 1.
    features : LogMel
    standardisations : list of Standardisation
        Of source and target; fitted here on all utterances of the corpus.
    cache_folder : str
        Where features are kept before they are standardised.
    n_frames : int
        See `lobes.features.fixed_length`.
    sample_rate : int
        In Hz.
    device : str or None
        Where they are computed; None: SpeechBrain's best guess.

    Returns
    -------
    callable
        Entry to its features ``[n_frames, dim]``, the `read` of
        `dataio.make_dataset`.
    """
    cache = FrameCache(cache_folder, features, sample_rate, half=False)
    held = {}
    for domain, standardise in enumerate(standardisations):
        corpus = {
            place(entry): entry
            for part in parts.values()
            for entry in part.values()
            if entry["domain"] == domain
        }
        if not corpus:
            continue
        computed = cache.fill(corpus, features, device or infer_device())
        logger.info(
            f"features of the {('source', 'target')[domain]}: {computed} "
            f"utterances computed, {len(corpus) - computed} were in "
            f"{cache.folder}"
        )
        frames = {key: cache.read(entry) for key, entry in corpus.items()}
        standardise.fit(frames.values())
        for key, utterance in frames.items():
            held[key] = fixed_length(standardise(utterance), n_frames)
    return lambda entry: held[place(entry)]
