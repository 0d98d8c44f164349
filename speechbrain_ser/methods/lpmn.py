"""LPMN, local prototypical mapping network.

Frames are mapped onto the prototypes of a codebook; the maximum over time is an
utterance's embedding. Eq. 1, the codebook's loss, is in `lobes.codebook`, Eq. 2,
the mapping, in `lobes.local_prototypes`, Eq. 4, the importance of prototypes, in
`lobes.importance`. What section 3.3 does with the importance, after training, is
in `evaluation.prototype_selection`.

Reference: "An Effective Local Prototypical Mapping Network for Speech Emotion
Recognition", Xi et al. 2024.
"""

import os

import numpy as np
import torch

import speechbrain as sb
from speechbrain.dataio.dataset import FilteredSortedDynamicItemDataset
from speechbrain.utils.logger import get_logger
from speechbrain_ser.brain import SERBrain
from speechbrain_ser.data.dataset import make_dataset
from speechbrain_ser.data.kept_frames import KeptFrames
from speechbrain_ser.data.standardised_reader import WAYS
from speechbrain_ser.lobes.local_prototypes import LocalPrototypicalMapping
from speechbrain_ser.methods.lpmn_checks import check_augmenter, load_codebook
from speechbrain_ser.utils.distributed import mean_over_processes, world_size
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
from speechbrain_ser.utils.waiting import indices, on_device

logger = get_logger(__name__)

# Frames that are looked at for each prototype that is drawn.
FRAMES_PER_PROTOTYPE = 4
# What `Codebook.usage` returns, in the epochs' rows and in the report.
USE = ("used_prototypes", "perplexity")
# Of the prototypes: with fewer in use the codebook has collapsed.
SHARE_USED = 0.1


class CodebookBrain(SERBrain):
    """Learns a codebook by the quantization loss alone (Eq. 1).

    Arguments
    ---------
    codebook : Codebook or None
        None: there is none (the baselines of LPMN).
    frame_dim : int
        Size of the encoder's frames, C.
    codebook_file : str or None
        A codebook that was learnt before, see ``train_codebook.py``; None: the
        prototypes begin as frames drawn from the training part.
    reseed_dead : bool
        Whether prototypes that were no frame's nearest in an epoch are drawn
        anew.
    augmenter : Augmenter or None
        SpeechBrain's, for the training's waveforms.
    cache : bool
        Whether what the encoder's frozen blocks give is computed once and kept,
        in half precision where that can hold it.
    cache_folder : str or None
        Where it is kept; runs can share it.
    standardisation : Standardisation or None
    standardise_by : str
        Of what is kept, see `KeptFrames`.
    **kwargs : dict
        Of `SERBrain`; the modules are ``encoder``, ``norm`` and ``codebook``.
    """

    @checked
    def __init__(
        self,
        codebook,
        frame_dim: Whole(1),
        codebook_file: Word(optional=True, counts=NOTHING) = None,
        reseed_dead: Switch() = False,
        augmenter=None,
        cache: Switch() = False,
        cache_folder: Word(optional=True, counts=NOTHING) = None,
        standardisation=None,
        standardise_by: OneOf(*WAYS) = "train",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.codebook = codebook
        self.codebook_file = codebook_file
        self.reseed_dead = reseed_dead
        self.augmenter = augmenter
        self.kept_frames = None
        if cache:
            self.kept_frames = KeptFrames(
                self.modules.encoder,
                cache_folder,
                self.sample_rate,
                standardisation,
                standardise_by,
            )
        self.read = None  # entry to frames; None: the waveform
        self.numbers = ()  # of an entry, which batches hold
        self.check_frames(frame_dim)
        check_augmenter(cache, augmenter)

    # Parts

    @classmethod
    def check_arguments(cls, settings):
        """Refuses a codebook that is missing."""
        file = settings.get("codebook_file")
        if file is not None and not os.path.isfile(file):
            raise InputError(
                f"there is no codebook {file}: give the codebook.ckpt that "
                "train_codebook.py wrote"
            )

    def check_frames(self, frame_dim):
        """Refuses a size of frames that is not what the encoder gives."""
        dim = self.modules.encoder.dim
        if dim != frame_dim:
            raise InputError(
                f"frame_dim is {frame_dim}, but the encoder's frames have "
                f"{dim} channels: set --frame_dim {dim}"
            )

    def set_parts(self, parts):
        """Makes the datasets; fills the cache of frames if there is one."""
        if self.kept_frames is not None:
            self.read = self.kept_frames.prepare(parts, self.device)
        super().set_parts(parts)

    def reads_waveforms(self):
        """Whether batches hold waveforms, no kept frames."""
        return self.read is None

    def make_dataset(self, annotation):
        """Makes a dataset of waveforms, or of kept frames."""
        return make_dataset(
            annotation, self.labels, self.sample_rate, self.read, self.numbers
        )

    # Training

    def encode(self, batch, stage):
        """Returns the frames ``[batch, time, C]`` and their lengths."""
        batch = self.moved(batch)
        inputs, lengths = batch.sig
        if stage == sb.Stage.TRAIN and self.augmenter is not None:
            inputs, lengths = self.augmenter(inputs, lengths)
        return self.frames(inputs, lengths)

    def frames(self, inputs, lengths):
        """Encodes waveforms, or what the frozen blocks gave of them."""
        frames, lengths = self.modules.encoder(inputs, lengths)
        return self.modules.norm(frames), lengths

    def accumulation_note(self):
        """Adds what is a mean over frames."""
        if self.codebook is not None:
            return "Eq. 1 is a mean over the frames of each batch"
        return super().accumulation_note()

    def compute_forward(self, batch, stage):
        """Returns the frames and their lengths."""
        return self.encode(batch, stage)

    def compute_objectives(self, predictions, batch, stage):
        """Computes Eq. 1."""
        return self.modules.codebook(*predictions)

    def on_fit_start(self):
        """Sets the prototypes, unless a checkpoint did."""
        super().on_fit_start()
        if self.codebook is not None and self.optimizer_step == 0:
            if self.codebook_file is not None:
                load_codebook(self.codebook, self.codebook_file)
            else:
                every = torch.arange(len(self.codebook.prototypes))
                self.draw_prototypes(every)

    def on_epoch_end(self, epoch):
        """Notes how the prototypes were used; draws the dead ones anew.

        Over the frames that were trained on in this epoch, of all processes,
        see `Codebook.usage`; a collapse is said in the epoch in which it comes.
        """
        if self.codebook is not None:
            use = dict(zip(USE, self.codebook.usage()))
            text = self.collapse(**use)
            last = self.history.rows[-1] if self.history.rows else None
            before = last and self.collapse(
                **{name: last[name] for name in USE}
            )
            if text and not before:
                logger.warning(text)
            self.train_row |= use
            dead = (self.codebook.chosen == 0).nonzero().flatten()
            if self.reseed_dead and len(dead) and epoch < self.epochs:
                self.draw_prototypes(dead, epoch)
            self.codebook.chosen.zero_()
        super().on_epoch_end(epoch)

    def collapse(self, used_prototypes, perplexity):
        """Says in a sentence that frames lie on few prototypes, or nothing.

        Arguments
        ---------
        used_prototypes : int
        perplexity : float
            See `codebook.usage_of`.

        Returns
        -------
        str or None
            None where both are at least a tenth of K.
        """
        n = len(self.codebook.prototypes)
        if min(used_prototypes, perplexity) >= SHARE_USED * n:
            return None
        mend = "give fewer --n_prototypes, or --reseed_dead True"
        encoder = self.modules.encoder.parameters()
        if self.codebook.commitment_weight and any(
            weight.requires_grad for weight in encoder
        ):
            mend = (
                "Eq. 1's second term draws the trained blocks' frames together, "
                "give a lower --commitment_weight than "
                f"{self.codebook.commitment_weight:g}"
            )
        return (
            f"only {used_prototypes:g} of {n} prototypes are used, perplexity "
            f"{perplexity:.1f}: {mend}"
        )

    @torch.no_grad()
    def draw_prototypes(self, which, epoch=0):
        """Sets prototypes to random frames of the training part."""
        ids = list(self.train_set.data_ids)
        order = np.random.default_rng([self.seed, epoch]).permutation(len(ids))
        wanted = FRAMES_PER_PROTOTYPE * len(which)
        self.modules.eval()
        frames = []
        for start in range(0, len(ids), self.eval_batch_size):
            some = order[start : start + self.eval_batch_size]
            frames += self.frames_of(self.train_set, [ids[i] for i in some])
            if sum(map(len, frames)) >= wanted:
                break
        self.codebook.draw(torch.cat(frames), which, seed=self.seed + epoch)
        if world_size() > 1:
            torch.distributed.broadcast(self.codebook.prototypes.data, 0)

    def frames_of(self, dataset, ids):
        """Returns the valid frames of utterances, each ``[time, C]``."""
        chosen = FilteredSortedDynamicItemDataset(dataset, ids)
        loader = self.make_dataloader(chosen, sb.Stage.TEST, ckpt_prefix=None)
        found = []
        for batch in loader:
            with self.evaluation_ctx:
                frames, lengths = self.encode(batch, sb.Stage.TEST)
            counts = (lengths * frames.shape[1]).round().long().clamp(min=1)
            found += [x[:n].float() for x, n in zip(frames, counts.tolist())]
        return found


class LPMNBrain(CodebookBrain):
    """Local prototypical mapping network, and the poolings it is compared with.

    Arguments
    ---------
    importance : FisherImportance
    augmenter : Augmenter or None
        See `CodebookBrain`.
    quantization_weight : float
        Of Eq. 1 in the loss.
    emotion_weight, valence_weight : float
        Of the cross entropy, and of the squared error of the valence (0: there
        is no valence).
    **kwargs : dict
        Of `CodebookBrain`, whose codebook is the pooling's; the modules are
        ``encoder``, ``norm``, ``pooling``, ``classifier`` and, for valence,
        ``regressor``.
    """

    @checked
    def __init__(
        self,
        importance,
        augmenter,
        quantization_weight: Number(0) = 1.0,
        emotion_weight: Number(0) = 1.0,
        valence_weight: Number(0) = 0.0,
        **kwargs,
    ):
        self.pooling = kwargs["modules"]["pooling"]
        self.lpmn = isinstance(self.pooling, LocalPrototypicalMapping)
        codebook = self.pooling.codebook if self.lpmn else None
        super().__init__(codebook, augmenter=augmenter, **kwargs)
        self.importance = importance.to(self.device)
        self.quantization_weight = quantization_weight
        self.emotion_weight = emotion_weight
        self.valence_weight = valence_weight
        if valence_weight:
            self.numbers = ("valence",)
        # sets of prototypes by name (None: all) that `outputs` pools on as well
        self.kept = {}
        self.counts = None  # of the frames that `predict` saw

    @classmethod
    def check_arguments(cls, settings):
        """Refuses also to augment kept frames, and to learn no emotion."""
        super().check_arguments(settings)
        if settings.get("emotion_weight") == 0:
            raise InputError(
                "--emotion_weight is 0: give a number above 0, since the report "
                "is on emotions"
            )
        # an object in the hparams file is no plain argument
        augmenter = settings.get("augmenter", "an object")
        check_augmenter(settings.get("cache", False), augmenter)

    @classmethod
    def check_parts(cls, parts, settings):
        """Refuses to learn the valence of utterances that have none."""
        if settings.get("valence_weight"):
            held = [e for e in parts["train"].values() if "valence" in e]
            if not held:
                raise InputError(
                    "no utterance of the train part has a valence: add it to "
                    "--train_annotation, or give --valence_weight 0"
                )

    def compute_forward(self, batch, stage):
        """Encodes, maps onto the prototypes and classifies."""
        rated = None
        if self.valence_weight:
            rated = indices(~batch.valence.isnan())
            rated = on_device(rated, self.device)
        frames, lengths = self.encode(batch, stage)
        pooled, winners = self.modules.pooling(frames, lengths), None
        if self.lpmn:
            pooled, winners = pooled  # Eq. 2, Y = maxpool(D)
        predictions = {
            "logits": self.modules.classifier(pooled),
            "embeddings": pooled,
            "winners": winners,
            "frames": frames,
            "lengths": lengths,
            "rated": rated,
        }
        if self.valence_weight:
            predictions["valence"] = self.modules.regressor(pooled).squeeze(1)
        return predictions

    def compute_objectives(self, predictions, batch, stage):
        """Computes cross entropy, squared error of the valence and Eq. 1."""
        loss = self.cross_entropy(predictions["logits"], batch.label)
        loss = self.emotion_weight * loss
        training = stage == sb.Stage.TRAIN
        if self.valence_weight:
            error = predictions["valence"].float() - batch.valence.float()
            error = error[predictions["rated"]].square()
            total, n = error.sum(), len(error)
            mean = (
                mean_over_processes(total, n) if training else total / max(n, 1)
            )
            loss = loss + self.valence_weight * mean
        if training and self.lpmn:
            frames, lengths = predictions["frames"], predictions["lengths"]
            quantization = self.codebook(frames, lengths)  # Eq. 1
            self.history.add(
                quantization_loss=quantization.detach() / world_size()
            )
            loss = loss + self.quantization_weight * quantization
            log_p = torch.log_softmax(predictions["logits"].float(), dim=1)
            self.importance.update(  # Eq. 4
                log_p.gather(1, batch.label.unsqueeze(1)).squeeze(1),
                predictions["embeddings"],
                predictions["winners"],
                frames.detach(),
                lengths,
                self.pooling,
            )
        return loss

    def accumulation_note(self):
        """Adds what is a mean over the utterances with a valence."""
        if self.valence_weight and not self.lpmn:
            return "the valence's error is a mean over what of a batch has one"
        return super().accumulation_note()

    def predict(self, dataset):
        """Predicts, and counts the frames of each prototype on the way.

        All processes predict all of it: `counts` are of each utterance once.
        """
        if self.lpmn:
            self.counts = torch.zeros_like(self.codebook.chosen)
        return super().predict(dataset)

    def outputs(self, predictions):
        """Adds the valence, and what is pooled from sets of prototypes."""
        outputs = super().outputs(predictions)
        if self.counts is not None:
            self.counts += self.codebook.count(
                predictions["frames"], predictions["lengths"]
            )
        if self.valence_weight:
            outputs["valence"] = predictions["valence"].float()
        for name, kept in self.kept.items():
            frames, lengths = predictions["frames"], predictions["lengths"]
            outputs[f"pooled_{name}"] = self.pooling(frames, lengths, kept)[0]
        return outputs
