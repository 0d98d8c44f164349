"""The three stages of GMP-ATL, a Brain each.

Reference: "GMP-ATL: Gender-augmented Multi-scale Pseudo-label Enhanced Adaptive
Transfer Learning for Speech Emotion Recognition via HuBERT", Pan et al. 2024.
"""

import numpy as np
import speechbrain as sb
import torch
import torch.nn.functional as F

from speechbrain_ser.brain import SERBrain
from speechbrain_ser.evaluation.metrics import classification_metrics
from speechbrain_ser.figures.curves import plot_curves
from speechbrain_ser.lobes.masked_prediction import draw_mask
from speechbrain_ser.lobes.multitask_head import CosineClassifier
from speechbrain_ser.losses import AMSoftmaxLoss
from speechbrain_ser.utils.distributed import (
    mean_over_processes,
    sum_over_processes,
)
from speechbrain_ser.utils.errors import InputError

LOSSES = ("ce", "am_softmax")


class MultiTaskBrain(SERBrain):
    """Stage 1: emotion and gender from one embedding (section 3.1).

    Arguments
    ---------
    alpha_e : float
        Of Eq. 1, in [0, 1].
    genders : list of str
        The words, in the order of the logits.
    **kwargs : dict
        Of `SERBrain`; the modules are ``encoder``, ``head``, ``emotion`` and
        ``gender``. The datasets give ``gender``, an index.
    """

    def __init__(self, alpha_e, genders, **kwargs):
        super().__init__(**kwargs)
        self.alpha_e = alpha_e
        self.genders = genders

    def compute_forward(self, batch, stage):
        """Encodes, pools and classifies twice."""
        batch = batch.to(self.device)
        frames, lengths = self.modules.encoder(*batch.sig)
        embeddings = self.modules.head(frames, lengths)
        return {
            "logits": self.modules.emotion(embeddings),
            "gender_logits": self.modules.gender(embeddings),
            "embeddings": embeddings,
        }

    def compute_objectives(self, predictions, batch, stage):
        """Computes Eq. 1."""
        emotion = self.cross_entropy(predictions["logits"], batch.label)
        gender = self.cross_entropy(
            predictions["gender_logits"], batch.gender, weighted=False
        )
        return self.alpha_e * emotion + (1 - self.alpha_e) * gender

    def outputs(self, predictions):
        """Adds the gender."""
        logits = predictions["gender_logits"].float()
        return super().outputs(predictions) | {"gender": logits.softmax(dim=-1)}

    def validation_scores(self, dataset):
        """Adds the UA of the gender."""
        merged = self.merged(dataset).values()
        known = [p for p in merged if p["entry"].get("gender") in self.genders]
        scores = super().validation_scores(dataset)
        if known:
            scores["gender_UA"] = classification_metrics(
                [p["entry"]["gender"] for p in known],
                [self.genders[int(p["gender"].argmax())] for p in known],
                self.genders,
            )["UA"]
        return scores


class RetrainingBrain(SERBrain):
    """Stage 2: masked prediction of the frames' pseudo-labels (section 3.2).

    Each utterance's mask comes from the seed, the epoch and its id: it is the
    same whatever the batch, the process, or how often the run was stopped.

    Arguments
    ---------
    encoder : SSLEncoder
        The module itself, with a mask embedding.
    sizes : list of int
        The number of clusters of each scale.
    mask_prob, mask_length, mask_min_spans : float, int, int
        See `draw_mask`.
    **kwargs : dict
        Of `SERBrain`; the modules are ``encoder`` and ``heads``. The datasets
        give ``frame_labels``, ``[time, scales]``.
    """

    def __init__(
        self,
        encoder,
        sizes,
        mask_prob=0.8,
        mask_length=10,
        mask_min_spans=2,
        **kwargs,
    ):
        super().__init__(selection="last", **kwargs)
        self.encoder = encoder
        self.sizes = sizes
        self.masking = (mask_prob, mask_length, mask_min_spans)
        self.hits = torch.zeros(len(sizes) + 1)

    def on_stage_start(self, stage, epoch=None):
        """Notes the epoch: masks are drawn anew in each, for training."""
        super().on_stage_start(stage, epoch)
        self.mask_epoch = epoch if stage == sb.Stage.TRAIN else 0
        self.hits = torch.zeros(len(self.sizes) + 1)

    def masks(self, ids, counts):
        """Draws the masks of a batch.

        Arguments
        ---------
        ids : list of str
        counts : list of int
            Valid frames of each utterance.

        Returns
        -------
        torch.Tensor
            Bool, ``[batch, time]``, False behind the end of each.
        """
        masked = torch.zeros(len(ids), max(counts), dtype=torch.bool)
        for row, key, count in zip(masked, ids, counts):
            mask = draw_mask(
                count, *self.masking, self.seed, self.mask_epoch, key
            )
            row[:count] = torch.from_numpy(mask)
        return masked.to(self.device)

    def compute_forward(self, batch, stage):
        """Classifies the masked frames."""
        batch = batch.to(self.device)
        wavs, lengths = batch.sig
        samples = (lengths * wavs.shape[1]).round().long()
        counts = self.encoder.count_frames(samples).tolist()
        labels, label_lengths = batch.frame_labels
        held = (label_lengths * labels.shape[1]).round().long().tolist()
        for key, count, n_labels in zip(batch.id, counts, held):
            if count != n_labels:
                raise InputError(
                    f"the utterance {key} has {count} frames, but {n_labels} "
                    "pseudo-labels: they were made for other audio, make them "
                    "again"
                )
        masked = self.masks(batch.id, counts)
        frames, _ = self.modules.encoder(wavs, lengths, masked)
        return {
            "logits": self.modules.heads(frames[masked]),
            "targets": labels[masked],
        }

    def compute_objectives(self, predictions, batch, stage):
        """Mean cross entropy of the masked frames, then of the scales."""
        targets = predictions["targets"]
        n = len(targets)
        logits = [logits.float() for logits in predictions["logits"]]
        total = sum(
            F.cross_entropy(scores, targets[:, i], reduction="sum")
            for i, scores in enumerate(logits)
        ) / len(self.sizes)
        hits = [
            (scores.argmax(dim=1) == targets[:, i]).sum()
            for i, scores in enumerate(logits)
        ]
        hits = torch.stack([*hits, torch.tensor(n, device=self.device)]).float()
        if stage != sb.Stage.TRAIN:
            self.hits += hits.cpu()
            return total / n
        hits = sum_over_processes(hits)
        shares = (hits[:-1] / hits[-1]).tolist()
        self.history.add(
            **{f"masked_accuracy_{k}": x for k, x in zip(self.sizes, shares)}
        )
        return mean_over_processes(total, n)

    def outputs(self, predictions):
        """Keeps nothing of an utterance."""
        return {}

    def validation_scores(self, dataset):
        """Returns the share of masked frames whose label is predicted."""
        shares = (self.hits[:-1] / self.hits[-1]).tolist()
        return {f"masked_accuracy_{k}": x for k, x in zip(self.sizes, shares)}


def make_classifier(loss, input_size, n_classes, margin=0.2, scale=30.0):
    """Makes the last layer of stage 3, and its loss.

    Arguments
    ---------
    loss : str
        ``am_softmax`` (Eq. 2-3) or ``ce``, plain cross entropy.
    input_size : int
        Of the embeddings.
    n_classes : int
    margin, scale : float
        See `AMSoftmaxLoss`.

    Returns
    -------
    classifier : torch.nn.Module
    loss : AMSoftmaxLoss or None
    """
    if loss == "ce":
        return torch.nn.Linear(input_size, n_classes), None
    classifier = CosineClassifier(input_size, n_classes)
    return classifier, AMSoftmaxLoss(margin, scale)


class FineTuningBrain(SERBrain):
    """Stage 3: utterance emotions with a margin (section 3.3).

    Arguments
    ---------
    loss : AMSoftmaxLoss or None
        None: cross entropy.
    facts : dict
        What the report says of the earlier stages.
    **kwargs : dict
        Of `SERBrain`; the modules are ``encoder``, ``head`` and ``classifier``.
    """

    def __init__(self, loss, facts=None, **kwargs):
        super().__init__(**kwargs)
        self.loss = loss
        self.facts = facts or {}

    def compute_forward(self, batch, stage):
        """Encodes, pools and classifies."""
        batch = batch.to(self.device)
        frames, lengths = self.modules.encoder(*batch.sig)
        embeddings = self.modules.head(frames, lengths)
        scores = self.modules.classifier(embeddings)
        return {
            "scores": scores,
            "logits": self.loss.logits(scores) if self.loss else scores,
            "embeddings": embeddings,
        }

    def compute_objectives(self, predictions, batch, stage):
        """Computes Eq. 2, or the cross entropy."""
        logits = predictions["scores"]
        if self.loss is not None:
            logits = self.loss.logits(logits, batch.label)
        return self.cross_entropy(logits, batch.label)

    def findings(self):
        """Says what the earlier stages gave."""
        return self.facts

    def draw_figures(self, predictions, title):
        """Draws curves and embeddings."""
        plot_curves(
            self.figure("curves"),
            self.history.rows,
            [
                (
                    "loss",
                    {"train_loss": "training", "valid_loss": "validation"},
                ),
                ("validation", {"valid_WA": "WA", "valid_UA": "UA"}),
            ],
            title,
        )
        self.draw_embedding(predictions, title=title)


def most_frequent(labels, ids):
    """Returns the share of the most frequent pseudo-label of each scale.

    Arguments
    ---------
    labels : PseudoLabels
    ids : iterable of str
        The utterances.

    Returns
    -------
    dict
        Scale to share.
    """
    counts = {size: np.zeros(size, dtype=np.int64) for size in labels.sizes}
    for key in ids:
        held = labels.read(key).numpy()
        for i, size in enumerate(labels.sizes):
            counts[size] += np.bincount(held[:, i], minlength=size)
    return {
        size: float(count.max() / count.sum()) for size, count in counts.items()
    }
