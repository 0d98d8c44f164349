"""What the three stages of GMP-ATL share: modules, learning rate, its warm-up."""

import functools

from speechbrain_ser.brain import SERBrain
from speechbrain_ser.schedules import warmup_factor
from speechbrain_ser.utils.distributed import world_size
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import Number, Whole, checked


class StageBrain(SERBrain):
    """What the three stages share: modules of their own, and their rate.

    A subclass makes its modules after the generators were seeded, so that they
    are the same whatever ran before.

    Arguments
    ---------
    modules : dict
        With ``encoder``, an `SSLEncoder`.
    number_of_epochs : int
        How long it is trained.
    lr : float
    opt_class : callable
        Makes the optimizer of parameters and ``lr``.
    lr_warmup : int
        In so many optimizer steps the learning rate rises in a straight line
        from 0 to `lr` (with ``final_lr``: to what it is in that epoch); 0: none,
        as the paper says of none.
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
        checkpointer=None,
        **kwargs,
    ):
        super().__init__(
            modules=modules,
            opt_class=functools.partial(opt_class, lr=lr),
            checkpointer=None if checkpointer is None else checkpointer(),
            **kwargs,
        )
        self.number_of_epochs = number_of_epochs
        self.lr_warmup = lr_warmup
        self.encoder = modules["encoder"]  # the module itself, in DDP too
        if self.checkpointer is not None:
            self.checkpointer.add_recoverables(modules)

    @classmethod
    def check_parts(cls, parts, settings):
        """Refuses a warm-up of the learning rate that is never over."""
        super().check_parts(parts, settings)
        warmup, epochs = settings["lr_warmup"], settings["number_of_epochs"]
        n, size = len(parts["train"]), settings["batch_size"] * world_size()
        updates = epochs * -(-n // size)
        if warmup >= updates:
            raise InputError(
                f"a learning-rate warm-up of {warmup} optimizer steps is never "
                f"over: {epochs} epochs of {n} utterances in batches of {size} "
                f"are {updates}: give a smaller --lr_warmup (or that of the "
                "stage), or more epochs"
            )

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
