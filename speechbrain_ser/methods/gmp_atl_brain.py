"""What the three stages of GMP-ATL share: encoder, learning rate, its warm-up."""

import functools

import torch

import speechbrain as sb
from speechbrain_ser.brain import SERBrain
from speechbrain_ser.data.accumulation import step_size
from speechbrain_ser.data.dataset import make_dataset
from speechbrain_ser.data.kept_frames import cached_reader
from speechbrain_ser.lobes.features import Standardisation
from speechbrain_ser.methods.gmp_atl_checks import check_trained
from speechbrain_ser.schedules import warmup_factor
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import (
    NOTHING,
    Number,
    Switch,
    Whole,
    Word,
    checked,
)


class StageBrain(SERBrain):
    """What the three stages share: modules of their own, and their rate.

    A subclass makes its modules after the generators were seeded, so that they
    are the same whatever ran before.

    Arguments
    ---------
    modules : dict
        With ``encoder``, a `SpeechModel`.
    number_of_epochs : int
        How long it is trained.
    lr : float
    opt_class : callable
        Makes the optimizer of parameters and ``lr``.
    lr_warmup : int
        In so many optimizer steps the learning rate rises in a straight line
        from 0 to `lr` (with ``final_lr``: to what it is in that epoch); 0: none,
        as the paper says of none.
    cache : bool
        Whether what the encoder's frozen blocks give is computed once and kept,
        in half precision where that can hold it.
    cache_folder : str or None
        Where it is kept; runs can share it.
    standardise : bool
        Whether the encoder's channels are standardised: by the frames of the
        train part, as the encoder gives them when the stage begins.
    checkpointer : callable or None
        Makes the checkpointer, whose folder is not there before; it gets the
        modules.
    **kwargs : dict
        Of `SERBrain`.
    """

    @checked
    def __init__(
        self,
        modules,
        number_of_epochs: Whole(1),
        lr: Number(above=0),
        opt_class,
        lr_warmup: Whole(0) = 0,
        cache: Switch() = False,
        cache_folder: Word(optional=True, counts=NOTHING) = None,
        standardise: Switch() = False,
        checkpointer=None,
        **kwargs,
    ):
        check_trained(modules["encoder"])
        if standardise:
            lobe = Standardisation(modules["encoder"].dim)
            modules = modules | {"standardise": lobe}
        super().__init__(
            modules=modules,
            opt_class=functools.partial(opt_class, lr=lr),
            checkpointer=None if checkpointer is None else checkpointer(),
            **kwargs,
        )
        self.number_of_epochs = number_of_epochs
        self.lr_warmup = lr_warmup
        self.encoder = modules["encoder"]  # the module itself, in DDP too
        self.cache = cache
        self.cache_folder = cache_folder
        self.read = None  # entry to frames; None: the waveform
        if self.checkpointer is not None:
            self.checkpointer.add_recoverables(modules)

    @classmethod
    def check_parts(cls, parts, settings):
        """Refuses a warm-up of the learning rate that is never over."""
        super().check_parts(parts, settings)
        warmup, epochs = settings["lr_warmup"], settings["number_of_epochs"]
        n, size = len(parts["train"]), step_size(settings)
        updates = epochs * -(-n // size)
        if warmup >= updates:
            raise InputError(
                f"a learning-rate warm-up of {warmup} optimizer steps is never "
                f"over: {epochs} epochs of {n} utterances, {size} a step, "
                f"are {updates}: give a smaller --lr_warmup (or that of the "
                "stage), or more epochs"
            )

    # Frames

    def set_parts(self, parts):
        """Makes the datasets; fills the cache of frames if there is one."""
        if self.cache:
            self.read = cached_reader(
                self.cache_folder,
                self.encoder,
                self.sample_rate,
                parts,
                self.device,
            )
        super().set_parts(parts)

    def reads_waveforms(self):
        """Whether batches hold waveforms, no kept frames."""
        return self.read is None

    def make_dataset(self, annotation):
        """Makes a dataset of waveforms, or of kept frames."""
        return make_dataset(
            annotation,
            self.labels,
            self.sample_rate,
            self.read,
            more=self.more_of_entries(),
        )

    def more_of_entries(self):
        """Returns what else a dataset gives, see `make_dataset`."""
        return {}

    def encode(self, batch, masked=None):
        """Returns the frames of a batch, standardised if they are to be."""
        frames, lengths = self.modules.encoder(*batch.sig, masked)
        if "standardise" in self.modules:
            frames = self.modules.standardise(frames)
        return frames, lengths

    def on_fit_start(self):
        """Takes the statistics of the frames, unless a checkpoint had them."""
        super().on_fit_start()
        if "standardise" in self.modules and self.optimizer_step == 0:
            self.modules.standardise.fit(self.frames_that_train())

    def frames_that_train(self):
        """Yields the encoder's frames of each utterance, ``[time, dim]``."""
        self.modules.eval()
        for batch in self.make_dataloader(
            self.train_set, sb.Stage.TEST, ckpt_prefix=None
        ):
            with torch.no_grad(), self.evaluation_ctx:
                inputs, lengths = batch.to(self.device).sig
                frames, lengths = self.encoder(inputs, lengths)
            counts = (lengths * frames.shape[1]).round().long().clamp(min=1)
            for row, n in zip(frames, counts.tolist()):
                yield row[:n].float()

    # Training

    def on_fit_batch_start(self, batch, should_step):
        """Sets the learning rates of the next step while they rise."""
        super().on_fit_batch_start(batch, should_step)
        if self.optimizer_step >= self.lr_warmup:
            return
        factor = self.rate_factor(self.epoch)
        factor *= warmup_factor(self.optimizer_step + 1, self.lr_warmup)
        for name, optimizer in self.optimizers_dict.items():
            for group in optimizer.param_groups:
                group["lr"] = self.rates[name] * factor
