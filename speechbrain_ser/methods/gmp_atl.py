"""The three stages of GMP-ATL, a Brain each.

HuBERT learns emotion and gender (stage 1); its frames' clusters are what it is
retrained to predict where they are masked (stage 2); it is fine-tuned on
utterance emotions (stage 3). How a stage is made, kept and handed on to the next
one is in `gmp_atl_stages`.

Reference: "GMP-ATL: Gender-augmented Multi-scale Pseudo-label Enhanced Adaptive
Transfer Learning for Speech Emotion Recognition via HuBERT", Pan et al. 2024
(https://arxiv.org/abs/2405.02151).
"""

import os

import torch
import torch.nn.functional as F

import speechbrain as sb
from speechbrain_ser.lobes.masked_prediction import PseudoLabelHeads, draw_mask
from speechbrain_ser.lobes.multitask_head import CosineClassifier
from speechbrain_ser.losses import AMSoftmaxLoss
from speechbrain_ser.methods.gmp_atl_brain import StageBrain
from speechbrain_ser.methods.gmp_atl_checks import genders_of, labelled
from speechbrain_ser.scores import classification_metrics
from speechbrain_ser.utils.distributed import (
    mean_over_processes,
    sum_over_processes,
)
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import (
    Labels,
    Number,
    OneOf,
    Whole,
    Word,
    checked,
)
from speechbrain_ser.utils.waiting import on_device

LOSSES = ("ce", "am_softmax")
STARTS = ("pretrained", "multitask")
ENCODER = "encoder"  # of a stage's folder: the model that it leaves


class MultiTaskBrain(StageBrain):
    """Stage 1: emotion and gender from one embedding (section 3.1).

    Arguments
    ---------
    encoder : callable
        Makes the encoder of its ``source``.
    source : str
        The pre-trained model.
    head : callable
        Makes what gives an utterance's embedding, of its ``input_size``.
    embedding_size : int
        Of the head.
    alpha_e : float
        Of Eq. 1.
    genders : list of str
        The words, in the order of the logits, see `genders_of`.
    labels : list of str
    seed : int
    **kwargs : dict
        Of `StageBrain` and `SERBrain`.
    """

    @checked
    def __init__(
        self,
        encoder,
        source: Word(),
        head,
        embedding_size: Whole(1),
        alpha_e: Number(0, 1),
        genders,
        labels: Labels(),
        seed: Whole(0, 2**32 - 1) = 0,
        **kwargs,
    ):
        sb.utils.seed.seed_everything(seed)
        encoder = encoder(source=source)
        modules = {
            "encoder": encoder,
            "head": head(input_size=encoder.dim),
            "emotion": torch.nn.Linear(embedding_size, len(labels)),
            "gender": torch.nn.Linear(embedding_size, len(genders)),
        }
        super().__init__(modules=modules, labels=labels, seed=seed, **kwargs)
        self.alpha_e = alpha_e
        self.genders = genders

    @classmethod
    def check_parts(cls, parts, settings):
        """Refuses speakers whose gender can't be learnt."""
        super().check_parts(parts, settings)
        genders_of(labelled(parts), settings["alpha_e"])

    def more_of_entries(self):
        """Gives the gender's index too; of an unknown one the first."""
        index = {word: i for i, word in enumerate(self.genders)}
        return {"gender": lambda _, entry: index.get(entry.get("gender"), 0)}

    def compute_forward(self, batch, stage):
        """Encodes, pools and classifies twice."""
        batch = self.moved(batch)
        frames, lengths = self.encode(batch)
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


class RetrainingBrain(StageBrain):
    """Stage 2: masked prediction of the frames' pseudo-labels (section 3.2).

    Each utterance's mask comes from the seed, the epoch and its id: it is the
    same whatever the batch, the process, or how often the run was stopped. The
    last epoch is kept.

    Arguments
    ---------
    encoder : callable
        Makes the encoder of its ``source``, with a ``mask_embedding``.
    source : str
        The pre-trained model.
    pseudo_labels : PseudoLabels
        Of all frames.
    start : str
        ``pretrained``, or ``multitask``: where stage 1 left the encoder.
    head_size : int
        Between the two linear layers of the head of a scale.
    multitask : str or None
        The encoder of stage 1.
    mask_prob, mask_length, mask_min_spans : float, int, int
        See `draw_mask`.
    seed : int
    **kwargs : dict
        Of `StageBrain` and `SERBrain`.
    """

    @checked
    def __init__(
        self,
        encoder,
        source: Word(),
        pseudo_labels,
        start: OneOf(*STARTS),
        head_size: Whole(1),
        multitask=None,
        mask_prob: Number(1e-6, 1) = 0.8,
        mask_length: Whole(1, 1e6) = 10,
        mask_min_spans: Whole(0, 1e6) = 2,
        seed: Whole(0, 2**32 - 1) = 0,
        **kwargs,
    ):
        sb.utils.seed.seed_everything(seed)
        begin = {"pretrained": source, "multitask": multitask}[start]
        if begin is None:
            raise InputError("give multitask, or start pretrained")
        encoder = encoder(source=begin, mask_embedding=True)
        sizes = pseudo_labels.sizes
        modules = {
            "encoder": encoder,
            "heads": PseudoLabelHeads(encoder.dim, head_size, sizes),
        }
        super().__init__(
            modules=modules, seed=seed, model_selection="last", **kwargs
        )
        self.pseudo_labels = pseudo_labels
        self.sizes = sizes
        self.masking = (mask_prob, mask_length, mask_min_spans)
        self.hits = torch.zeros(len(sizes) + 1)
        self.sample = None

    def set_parts(self, parts):
        """Keeps also a sample of the train part, as large as the valid one.

        It is evaluated as that one is, to be compared with it; without one it is
        a tenth.
        """
        super().set_parts(parts)
        if parts.get("train"):
            keys = list(parts["train"])
            n = len(parts.get("valid") or keys[::10])
            kept = keys[:: max(1, len(keys) // n)][:n]
            self.sample = self.make_dataset(
                {k: parts["train"][k] for k in kept}
            )

    def more_of_entries(self):
        """Gives the frames' pseudo-labels too, ``[time, scales]``."""
        held = self.pseudo_labels
        return {"frame_labels": lambda key, _: held.read(key)}

    def on_stage_start(self, stage, epoch=None):
        """Notes the epoch: masks are drawn anew in each, for training."""
        super().on_stage_start(stage, epoch)
        self.mask_epoch = epoch if stage == sb.Stage.TRAIN else 0
        self.hits = torch.zeros(len(self.sizes) + 1)

    def masks(self, ids, counts, longest=None):
        """Draws the masks of a batch.

        Arguments
        ---------
        ids : list of str
        counts : list of int
            Valid frames of each utterance.
        longest : int, optional
            Frames of the batch; default: of its longest utterance.

        Returns
        -------
        torch.Tensor
            Of the CPU, bool, ``[batch, longest]``, False behind the end of each.
        """
        longest = max(counts) if longest is None else longest
        masked = torch.zeros(len(ids), longest, dtype=torch.bool)
        for row, key, count in zip(masked, ids, counts):
            mask = draw_mask(
                count, *self.masking, self.seed, self.mask_epoch, key
            )
            row[:count] = torch.from_numpy(mask)
        return masked

    def count_frames(self, inputs, lengths):
        """Returns how many frames each utterance of a batch has, and all."""
        counts = (lengths * inputs.shape[1]).round().long()
        if inputs.ndim == 3:  # kept frames
            return counts, inputs.shape[1]
        samples = torch.tensor(inputs.shape[1])
        return (
            self.encoder.count_frames(counts),
            int(self.encoder.count_frames(samples)),
        )

    def compute_forward(self, batch, stage):
        """Classifies the masked frames."""
        counts, longest = self.count_frames(*batch.sig)
        counts = counts.tolist()
        labels, label_lengths = batch.frame_labels
        held = (label_lengths * labels.shape[1]).round().long().tolist()
        for key, count, n_labels in zip(batch.id, counts, held):
            if count != n_labels:
                raise InputError(
                    f"the utterance {key} has {count} frames, but {n_labels} "
                    "pseudo-labels: they were made for other audio, make them "
                    "again"
                )
        masked = self.masks(batch.id, counts, longest)
        places = tuple(
            on_device(place, self.device)
            for place in masked.nonzero(as_tuple=True)
        )
        batch = self.moved(batch)
        frames, _ = self.encode(batch, on_device(masked, self.device))
        return {
            "logits": self.modules.heads(frames[places]),
            "targets": batch.frame_labels.data[places],
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
        hits = torch.stack([*hits, torch.full_like(hits[0], n)]).float()
        if stage != sb.Stage.TRAIN:
            self.hits += hits.cpu()
            return total / max(n, 1)
        hits = sum_over_processes(hits)
        shares = hits[:-1] / hits[-1]
        self.history.add(
            hits[-1],
            **{f"masked_accuracy_{k}": x for k, x in zip(self.sizes, shares)},
        )
        return mean_over_processes(total, n)

    def accumulation_note(self):
        """Adds what the loss is a mean over."""
        return "the loss is a mean over the masked frames of each batch"

    def on_epoch_end(self, epoch):
        """Evaluates the sample of the train part too: no dropout, same masks."""
        self.mask_epoch = 0
        self.hits.zero_()
        self.predict(self.sample)
        scores = self.validation_scores(self.sample)
        self.train_row |= {f"train_{k}": v for k, v in scores.items()}
        super().on_epoch_end(epoch)

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


class FineTuningBrain(StageBrain):
    """Stage 3: utterance emotions with a margin (section 3.3).

    Arguments
    ---------
    encoder : callable
        Makes the encoder of its ``source``.
    source : str
        The pre-trained model, that is fine-tuned where there are no stages.
    head : callable
        Makes what gives an utterance's embedding, of its ``input_size``.
    embedding_size : int
        Of the head.
    loss : str
        ``am_softmax`` (Eq. 2-3) or ``ce``, cross entropy.
    margin, scale : float
        Of Eq. 2.
    stages : dict or None
        The folders of the earlier stages, by name.
    labels : list of str
    seed : int
    **kwargs : dict
        Of `StageBrain` and `SERBrain`.
    """

    @checked
    def __init__(
        self,
        encoder,
        source: Word(),
        head,
        embedding_size: Whole(1),
        loss: OneOf(*LOSSES),
        labels: Labels(),
        margin: Number(0, 2) = 0.2,
        scale: Number(1e-6, 1e6) = 30.0,
        stages=None,
        seed: Whole(0, 2**32 - 1) = 0,
        **kwargs,
    ):
        sb.utils.seed.seed_everything(seed)
        if stages:
            source = os.path.join(stages["retrained"], ENCODER)
        encoder = encoder(source=source)
        classifier, self.loss = make_classifier(
            loss, embedding_size, len(labels), margin, scale
        )
        modules = {
            "encoder": encoder,
            "head": head(input_size=encoder.dim),
            "classifier": classifier,
        }
        super().__init__(modules=modules, labels=labels, seed=seed, **kwargs)
        self.stages = stages or {}

    def compute_forward(self, batch, stage):
        """Encodes, pools and classifies."""
        batch = self.moved(batch)
        frames, lengths = self.encode(batch)
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
