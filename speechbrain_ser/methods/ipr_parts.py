"""What IPR does with D1 and D2: who trains when, in which batches."""

import functools

import torch

from speechbrain.core import Stage
from speechbrain_ser.data.accumulation import step_size
from speechbrain_ser.data.augmented_copies import AugmentedCopies
from speechbrain_ser.data.batch_copies import BatchCopies
from speechbrain_ser.data.batching import TwoPartBatchSampler
from speechbrain_ser.data.dataset import (
    UNLABELLED,
    make_dataset,
    without_labels,
)
from speechbrain_ser.data.domains import marked
from speechbrain_ser.lobes.prototypes import AMBIGUOUS, PRECISE
from speechbrain_ser.schedules import warmup_length
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.waiting import indices, on_device

SYSTEMS = ("baseline", "baseline_plus", "ipr", "supervised")
LEARN_UNLABELLED = ("baseline_plus", "ipr")


class IPRParts:
    """What IPR does with the parts of a split; a part of `ipr.IPRBrain`."""

    @classmethod
    def needs(cls, settings):
        """Adds D2 where a system learns from it."""
        needed = super().needs(settings)
        if settings["system"] in LEARN_UNLABELLED:
            why = f"--system {settings['system']} learns from unlabelled speech"
            needed["unlabelled"] = (why, None)
        return needed

    @classmethod
    def check_arguments(cls, settings):
        """Refuses a warm-up without an end, and batches without D2."""
        super().check_arguments(settings)
        if settings["system"] in LEARN_UNLABELLED:
            check_warmup(settings)
            check_composition(settings)

    @classmethod
    def check_parts(cls, parts, settings):
        """Refuses a warm-up without an end, and too little of D1."""
        super().check_parts(parts, settings)
        if settings["system"] in LEARN_UNLABELLED:
            check_warmup(settings, len(parts["train"]))
            check_composition(settings, len(parts["train"]))

    def keep_frames(self, make, n_copies):
        """Keeps the encoder's frames, those of D2's copies too, if asked to."""
        self.kept_frames, self.copies, self.batch_copies = None, None, None
        if make is not None:
            if self.system in LEARN_UNLABELLED:
                self.copies = AugmentedCopies(self.augmenter, n_copies)
            self.kept_frames = make(self.modules.encoder, copies=self.copies)
        self.frames_of = None  # entry to frames; None: the waveform

    def on_stage_start(self, stage, epoch=None):
        """Says to those who make copies which epoch it is."""
        super().on_stage_start(stage, epoch)
        if self.copies is not None and epoch is not None:
            self.copies.epoch = epoch
        if self.batch_copies is not None and stage == Stage.TRAIN:
            self.batch_copies.epoch = epoch if self.joined else None

    def accumulation_note(self):
        """Adds what IPR does with a batch as a whole."""
        if self.system == "ipr":
            return (
                "Eq. 5 compares the utterances of a batch alone, and prototypes "
                "move after each"
            )
        if self.system == "baseline_plus":
            return "of D1 and of D2 each batch has its own mean"
        return super().accumulation_note()

    def reads_waveforms(self):
        """Whether batches hold waveforms, no kept frames."""
        return self.kept_frames is None

    def make_collate(self, training):
        """Makes the copies of D2 with the batch, where waveforms are read."""
        collate = super().make_collate(training)
        joins = self.system in LEARN_UNLABELLED
        if not (training and joins and self.reads_waveforms()):
            return collate
        self.batch_copies = BatchCopies(self.augmenter, self.seed, collate)
        return self.batch_copies

    def set_parts(self, parts):
        """Makes the datasets, and says how long the warm-up is."""
        if self.kept_frames is not None:
            copies = {}
            if self.copies is not None:
                copies = self.copies.of(parts.get("unlabelled", {}))
            self.frames_of = self.kept_frames.prepare(
                parts | {"copies": copies}, self.device
            )
        if parts.get("train"):
            learnt = len(self.labelled_annotation(parts))
            self.warmup = warmup_of(vars(self), learnt)
            if self.debug:  # a trial shows what follows too
                last = min(self.debug_epochs, self.number_of_epochs)
                self.warmup = min(self.warmup, last - 1)
        super().set_parts(
            {
                name: marked(part, PRECISE)
                if part and name in ("train", "valid")
                else part
                for name, part in parts.items()
            }
        )

    def note_warmup_end(self, epoch):
        """Notes how well the warm-up alone does; nothing is chosen by it.

        Arguments
        ---------
        epoch : int
            From 1; noted is the last of the warm-up.
        """
        if self.system in LEARN_UNLABELLED and epoch == self.warmup:
            noted = {"epoch": epoch, "valid": self.valid_row.get("valid_UA")}
            if "test" in self.datasets:
                scores = self.score(self.predict(self.datasets["test"]))
                noted["test"] = scores and scores["UA"]
            self.history.notes["warmup_end"] = noted

    def make_dataset(self, annotation):
        """Gives the domain too; what is not said to be precise is ambiguous.

        Of kept frames also those of the copy that D2 has in this epoch.
        """
        more = {"domain": lambda _, entry: entry.get("domain", AMBIGUOUS)}
        if self.copies is not None:
            more["copy"] = functools.partial(
                copy_of, self.copies, self.frames_of
            )
        return make_dataset(
            annotation, self.labels, self.sample_rate, self.frames_of, more=more
        )

    def make_sampler(self, held, training):
        """Makes batches with `precise_per_batch` of D1, where it is given."""
        joins = self.system in LEARN_UNLABELLED
        if not (training and joins and self.precise_per_batch):
            return super().make_sampler(held, training)
        return TwoPartBatchSampler(
            [entry["duration"] for entry in held],
            [entry.get("domain") == PRECISE for entry in held],
            self.precise_per_batch,
            self.batch_size,
            seed=self.seed,
            first_epochs=[entry.get("first_epoch", 1) for entry in held],
            length_grid=self.grid(),
            accumulation=self.grad_accumulation_factor,
        )

    def labelled_annotation(self, parts):
        """Returns D1, with D2 where it is supervised."""
        if self.system == "supervised":
            return parts["train"] | parts["unlabelled"]
        return parts["train"]

    def training_annotation(self, parts):
        """Returns D1 and, after the warm-up and without labels, D2."""
        training = dict(self.labelled_annotation(parts))
        if self.system in LEARN_UNLABELLED:
            hidden = without_labels(parts["unlabelled"])
            training |= {
                key: entry | {"first_epoch": self.warmup + 1}
                for key, entry in hidden.items()
            }
        return training


def sides(batch, device):
    """Returns where a batch's precise utterances are, and its ambiguous ones.

    They are looked for once, before the batch is moved: a device would be waited
    for.

    Arguments
    ---------
    batch : PaddedBatch
        With ``label``; it keeps what was found.
    device : torch.device or str
        Of what is going to be indexed.

    Returns
    -------
    precise, ambiguous : torch.Tensor
        Indices.

    Example
    -------
    >>> from types import SimpleNamespace
    >>> labels = torch.tensor([2, UNLABELLED, 0])
    >>> sides(SimpleNamespace(label=labels), "cpu")
    (tensor([0, 2]), tensor([1]))
    """
    if not hasattr(batch, "sides"):
        held = batch.label == UNLABELLED
        batch.sides = tuple(
            on_device(indices(own), device) for own in (~held, held)
        )
    return batch.sides


def copy_of(copies, read, key, entry):
    """Returns the frames of an utterance's copy in this epoch.

    Arguments
    ---------
    copies : AugmentedCopies
    read : callable
        Entry to frames.
    key : str
    entry : dict
        Who has no ``first_epoch`` has no copy: one frame of its own stands in.

    Returns
    -------
    torch.Tensor
        ``[time, channels]``.
    """
    if "first_epoch" not in entry:
        return read(entry)[:1]
    return read(entry | {"copy": copies.number(key)})


def joined(first, second):
    """Joins two batches of waveforms or frames, padded to the longer one.

    Arguments
    ---------
    first, second : tuple of torch.Tensor
        ``[batch, time, ...]`` and relative lengths ``[batch]``.

    Returns
    -------
    inputs : torch.Tensor
    lengths : torch.Tensor

    Example
    -------
    >>> one = torch.ones(1, 2), torch.ones(1)
    >>> joined(one, (torch.ones(1, 4), torch.ones(1)))
    (tensor([[1., 1., 0., 0.],
            [1., 1., 1., 1.]]), tensor([0.5000, 1.0000]))
    """
    parts = first, second
    longest = max(given.shape[1] for given, _ in parts)
    n = sum(len(given) for given, _ in parts)
    inputs = first[0].new_zeros((n, longest, *first[0].shape[2:]))
    at = 0
    for given, _ in parts:
        inputs[at : at + len(given), : given.shape[1]] = given
        at += len(given)
    lengths = [held * (given.shape[1] / longest) for given, held in parts]
    return inputs, torch.cat(lengths)


def warmup_of(settings, n_precise):
    """Returns the epochs of the warm-up.

    Arguments
    ---------
    settings : dict
        With ``warmup_epochs`` and ``warmup_updates``; see `step_size`.
    n_precise : int
        Utterances that an epoch of it trains on.

    Returns
    -------
    int
    """
    return warmup_length(
        settings["warmup_epochs"],
        settings["warmup_updates"],
        -(-n_precise // step_size(settings)),
    )


def check_warmup(settings, n_precise=None):
    """Refuses a warm-up that is not over before the last epoch.

    Arguments
    ---------
    settings : dict
        Of the Brain.
    n_precise : int, optional
        The size of D1; without it `warmup_epochs` alone is judged.

    Raises
    ------
    InputError
        With the numbers.
    """
    epochs, last = settings["warmup_epochs"], settings["number_of_epochs"]
    what = f"--warmup_epochs {epochs}"
    if n_precise is not None and warmup_of(settings, n_precise) > epochs:
        epochs = warmup_of(settings, n_precise)
        what = (
            f"--warmup_updates {settings['warmup_updates']}, which are "
            f"{epochs} epochs of D1's {n_precise} utterances,"
        )
    if epochs >= last:
        raise InputError(
            f"--system {settings['system']} learns from D2 after the warm-up, "
            f"but with {what} of --number_of_epochs {last} it never ends: give "
            "a shorter warm-up or more epochs"
        )


def check_composition(settings, n_precise=None):
    """Refuses batches without D2, or with more of D1 than there is.

    Arguments
    ---------
    settings : dict
        Of the Brain.
    n_precise : int, optional
        The size of D1.

    Raises
    ------
    InputError
    """
    wanted, size = settings.get("precise_per_batch"), settings["batch_size"]
    if wanted is None:
        return
    if wanted >= size:
        raise InputError(
            f"--precise_per_batch {wanted} leaves no place for D2 in batches "
            f"of --batch_size {size}: give less than {size}"
        )
    at_once = wanted * step_size(settings) // size
    if n_precise is not None and at_once > n_precise:
        several = settings.get("grad_accumulation_factor", 1) > 1
        or_else = ", or a smaller --grad_accumulation_factor" * several
        raise InputError(
            f"--precise_per_batch {wanted} takes {at_once} utterances of D1 "
            f"at once, but D1 has {n_precise}: give less{or_else}"
        )
