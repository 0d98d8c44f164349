"""IPR, iterative prototype refinement for ambiguous speech emotion.

Precise utterances (D1, the train part) give class prototypes; these label
ambiguous ones (D2, unlabelled), which refine them in turn.

Reference: "Iterative Prototype Refinement for Ambiguous Speech Emotion
Recognition", Sun et al. 2024 (https://arxiv.org/abs/2408.00325).
"""

import torch

import speechbrain as sb
from speechbrain_ser.brain import SERBrain
from speechbrain_ser.data.dataset import UNLABELLED
from speechbrain_ser.lobes.prototypes import AMBIGUOUS, PRECISE
from speechbrain_ser.methods.ipr_parts import (
    LEARN_UNLABELLED,
    SYSTEMS,
    IPRParts,
    joined,
    sides,
)
from speechbrain_ser.utils.distributed import (
    gather_batch,
    sum_over_processes,
    world_size,
)
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import Number, OneOf, Switch, Whole, checked


class IPRBrain(IPRParts, SERBrain):
    """Iterative prototype refinement and the systems it is compared with.

    Arguments
    ---------
    system : str
        ``baseline``: D1; ``baseline_plus``: D1 and unlabelled D2 with the
        model's own soft labels; ``ipr``: D1 and unlabelled D2 with prototypes;
        ``supervised``: labelled D1 and D2 (Table 3).
    number_of_epochs : int
        Of the whole training; a system that learns from D2 refuses a warm-up
        that does not end before the last one.
    warmup_epochs : int
        On D1 alone; 0: prototypes begin as the class means of the untrained
        encoder.
    warmup_updates : int
        At least so many optimizer steps of warm-up.
    embedding_dim : int
        What encoder and pooling give.
    alpha, mu : float
        Weights of the precise and the contrastive loss (Eq. 6).
    pseudo_label_weight : callable
        Epoch, from 0, to the weight of the pseudo-labels, beta (Eq. 7).
    contrastive_loss : torch.nn.Module
        Eq. 5.
    augmenter : Augmenter
        SpeechBrain's, for the copies of D2 (section 2.3).
    pseudo_label : str
        ``hard`` (Eq. 3) or ``soft``.
    pseudo_label_view : str
        Which view of an utterance learns its pseudo-label: ``plain`` (x^k of
        Eq. 6), ``augmented`` or ``both``.
    pseudo_label_filter : str
        ``all``, or ``agreed``: where the classifier names the prototypes' class.
    precise_per_batch : int or None
        After the warm-up, utterances of D1 in each batch and process; the
        others are of D2, and an epoch is one pass over D2 with D1 in rounds of
        its own, see `TwoPartBatchSampler`. None: as they come, and an epoch is
        one pass over D1 and D2 together. Nothing to a system that does not
        learn from unlabelled D2.
    agreement_curve : bool
        Whether D2's held labels are compared with the pseudo-labels after each
        epoch (Figure 3).
    kept_frames : callable or None
        Makes the `KeptFrames` of the encoder, whose frames are then read
        instead of waveforms; its ``copies`` are those of D2.
    n_copies : int
        Of each utterance of D2, of which an epoch takes one; of kept frames
        alone.
    **kwargs : dict
        Of `SERBrain`; the modules are ``encoder``, ``pooling``, ``classifier``
        and ``prototypes``.
    """

    @checked
    def __init__(
        self,
        system: OneOf(*SYSTEMS),
        number_of_epochs: Whole(1),
        warmup_epochs: Whole(0),
        warmup_updates: Whole(0),
        embedding_dim: Whole(1),
        alpha: Number(above=0),
        mu: Number(0),
        pseudo_label_weight,
        contrastive_loss,
        augmenter,
        pseudo_label: OneOf("hard", "soft") = "hard",
        pseudo_label_view: OneOf("plain", "augmented", "both") = "plain",
        pseudo_label_filter: OneOf("all", "agreed") = "all",
        precise_per_batch: Whole(1, optional=True) = None,
        agreement_curve: Switch() = False,
        kept_frames=None,
        n_copies: Whole(1) = 4,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.system = system
        self.number_of_epochs = number_of_epochs
        self.warmup_epochs = warmup_epochs
        self.warmup_updates = warmup_updates
        self.alpha, self.mu = alpha, mu
        self.pseudo_label_weight = pseudo_label_weight
        self.contrastive_loss = contrastive_loss
        self.augmenter = augmenter
        self.pseudo_label = pseudo_label
        self.pseudo_label_view = pseudo_label_view
        self.pseudo_label_filter = pseudo_label_filter
        self.precise_per_batch = precise_per_batch
        self.agreement_curve = agreement_curve
        self.warmup = None
        self.keep_frames(kept_frames, n_copies)
        self.check_embedding(embedding_dim)

    def check_embedding(self, embedding_dim):
        """Refuses an embedding size that encoder and pooling do not give.

        Arguments
        ---------
        embedding_dim : int

        Raises
        ------
        InputError
            Naming both sizes.
        """
        encoder = self.modules.encoder.eval()
        with torch.no_grad():
            frames, lengths = encoder(
                torch.zeros(1, self.sample_rate, device=self.device),
                torch.ones(1, device=self.device),
            )
            dim = self.modules.pooling(frames, lengths).shape[1]
        if dim != embedding_dim:
            raise InputError(
                f"embedding_dim is {embedding_dim}, but the encoder and the "
                f"pooling give {dim}: set --embedding_dim {dim}"
            )

    # Training, Eq. 1 to 7

    @property
    def joined(self):
        """Whether unlabelled D2 takes part in the present epoch."""
        return self.system in LEARN_UNLABELLED and self.epoch > self.warmup

    def compute_forward(self, batch, stage):
        """Encodes and classifies; in training the copies of D2 as well."""
        _, ambiguous = sides(batch, self.device)
        batch = self.moved(batch)
        wavs, lengths = batch.sig
        n = len(wavs)
        if stage == sb.Stage.TRAIN and self.joined:
            copies = batch.copy.data[ambiguous], batch.copy.lengths[ambiguous]
            wavs, lengths = joined((wavs, lengths), copies)
        # Eq. 1
        frames, lengths = self.modules.encoder(wavs, lengths)
        embeddings = self.modules.pooling(frames, lengths)
        logits = self.modules.classifier(embeddings)
        return {
            "logits": logits[:n],
            "embeddings": embeddings[:n],
            "domains": batch.domain,
            "copy_logits": logits[n:],
            "copy_embeddings": embeddings[n:],
        }

    def compute_objectives(self, predictions, batch, stage):
        """Computes Eq. 6: precise, pseudo-labelled and contrastive loss."""
        logits, labels = predictions["logits"], batch.label
        precise, ambiguous = sides(batch, self.device)
        loss = self.cross_entropy(logits[precise], labels[precise])
        if stage != sb.Stage.TRAIN:
            return loss
        self.note_loss("precise_loss", loss, len(precise))
        loss = self.alpha * loss
        if self.joined:
            k, k_logits = (
                predictions["embeddings"][ambiguous],
                logits[ambiguous],
            )
            copy, copy_logits = (
                predictions["copy_embeddings"],
                predictions["copy_logits"],
            )
            beta = self.pseudo_label_weight(self.epoch - 1)  # Eq. 7
            if self.system == "ipr":
                pseudo = self.prototype_loss(k, k_logits, copy, copy_logits)
                loss = loss + self.mu * self.contrastive(k, copy)
            else:
                # taken from the plain view for the copy: of one and the same
                # pass the gradient would be zero
                own = torch.softmax(k_logits.detach().float(), dim=-1)
                pseudo = self.cross_entropy(copy_logits, own)
                self.note_loss("pseudo_loss", pseudo, len(ambiguous))
            loss = loss + beta * pseudo
        return loss

    def prototype_loss(self, k, k_logits, copy, copy_logits):
        """Cross entropy of the classifier and the prototypes' pseudo-labels."""
        prototypes = self.modules.prototypes
        assigned = prototypes.pseudo_label(k)  # Eq. 3
        target = assigned
        if self.pseudo_label == "soft":
            target = prototypes.soft_label(k).detach()
        used = torch.ones_like(assigned, dtype=torch.bool)
        learnt = slice(None)
        if self.pseudo_label_filter == "agreed":
            learnt = used = k_logits.argmax(dim=-1) == assigned
        self.note_share("pseudo_labels_used", gather_batch(used))
        views = {"plain": [k_logits], "augmented": [copy_logits]}
        views["both"] = [k_logits, copy_logits]
        losses = [
            self.cross_entropy(view[learnt], target[learnt])
            for view in views[self.pseudo_label_view]
        ]
        loss = sum(losses) / len(losses)
        self.note_loss("pseudo_loss", loss, used.sum())
        return loss

    def note_loss(self, name, loss, learnt):
        """Notes a loss for the epoch's mean over the utterances that have it.

        Arguments
        ---------
        name : str
        loss : torch.Tensor
            Of `cross_entropy`.
        learnt : int or torch.Tensor
            Of how many utterances of this process it is.
        """
        count = learnt
        if world_size() > 1:
            count = torch.as_tensor(learnt, device=loss.device)
            count = sum_over_processes(count)
        self.history.add(count, **{name: loss.detach() / world_size()})

    def note_share(self, name, held, counts=True):
        """Notes of which share of all processes' utterances something holds."""
        if len(held):
            self.history.add(len(held) * counts, **{name: held.float().mean()})

    def contrastive(self, k, copy):
        """Contrastive loss over the utterances of all processes (Eq. 5)."""
        bank = self.modules.prototypes
        k, copy = gather_batch(k), gather_batch(copy)
        loss = self.contrastive_loss(
            bank.centred(k),
            bank.centred(copy),
            bank.pseudo_label(k),
            bank.pseudo_label(copy),
        )
        self.history.add(len(k), contrastive_loss=loss.detach())
        return loss * world_size()

    def on_fit_start(self):
        """Sets the prototypes, where no warm-up and no earlier run did."""
        super().on_fit_start()
        bank = self.modules.prototypes
        if self.system == "ipr" and not self.warmup and not bank.known:
            self.set_prototypes()

    def on_fit_batch_end(self, batch, outputs, loss, should_step):
        """Moves the prototypes (Eq. 4), then what they are centred by."""
        if not (self.system == "ipr" and self.joined):
            return
        bank = self.modules.prototypes
        _, ambiguous = sides(batch, self.device)
        before = {k: v.clone() for k, v in bank.named_buffers()}
        agreed = bank.update(
            gather_batch(outputs["embeddings"][ambiguous]),
            gather_batch(outputs["logits"][ambiguous]),
            gather_batch(outputs["copy_logits"]),
        )
        self.note_share("views_agree", agreed, torch.isfinite(loss))
        bank.means.update(
            gather_batch(outputs["embeddings"]),
            gather_batch((batch.label == UNLABELLED).long()),
        )
        with torch.no_grad():
            # a step that is skipped moves no prototype either
            for name, buffer in bank.named_buffers():
                kept = torch.where(torch.isfinite(loss), buffer, before[name])
                buffer.copy_(kept)

    def selectable(self, epoch):
        """An epoch of the warm-up is none of a system that learns from D2."""
        return self.system not in LEARN_UNLABELLED or epoch > self.warmup

    def on_epoch_end(self, epoch):
        """Sets the prototypes while the warm-up lasts; notes both figures."""
        if self.system == "ipr":
            if epoch <= self.warmup:
                self.set_prototypes()
            self.history.notes.setdefault("similarity", []).append(
                self.modules.prototypes.similarity().tolist()
            )
        if self.agreement_curve and "unlabelled" in self.datasets:
            predictions = self.predict(self.datasets["unlabelled"])
            self.train_row |= self.agreement(predictions)
        self.note_warmup_end(epoch)
        super().on_epoch_end(epoch)

    def set_prototypes(self):
        """Sets the prototypes to the class means of D1 (Eq. 2).

        Where embeddings are centred, first the means of D1 and D2.
        """
        bank = self.modules.prototypes
        held = self.predict(self.datasets["train"]).values()
        precise = torch.stack([p["embedding"] for p in held]).to(self.device)
        if bank.means.center != "none":
            others = self.predict(self.datasets["unlabelled"]).values()
            others = torch.stack([p["embedding"] for p in others])
            domains = [PRECISE] * len(precise) + [AMBIGUOUS] * len(others)
            bank.means.initialize(
                torch.cat([precise, others.to(self.device)]),
                torch.tensor(domains),
            )
        index = {word: i for i, word in enumerate(self.labels)}
        bank.initialize(
            precise, torch.tensor([index[p["entry"]["emotion"]] for p in held])
        )

    def agreement(self, predictions):
        """Compares both kinds of pseudo-label with the held labels."""
        kinds = {"model_agreement": "posterior"}
        if self.system == "ipr":
            kinds["prototype_agreement"] = "soft_label"
        held = [
            p
            for p in predictions.values()
            if p["entry"].get("emotion") is not None
        ]
        if not held:
            return {}
        return {
            name: sum(
                self.labels[int(p[kind].argmax())] == p["entry"]["emotion"]
                for p in held
            )
            / len(held)
            for name, kind in kinds.items()
        }

    def outputs(self, predictions):
        """Adds the prototypes' soft label."""
        outputs = super().outputs(predictions)
        if self.system == "ipr":
            outputs["soft_label"] = self.modules.prototypes.soft_label(
                predictions["embeddings"], predictions["domains"]
            )
        return outputs
