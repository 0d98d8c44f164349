"""Training that is worth nothing ends by one sentence, not by a number.

SpeechBrain leaves losses that are no numbers out of its mean, so that an epoch
of them reads 0, and trains on with weights that are none.
"""

import math

import torch

from speechbrain.utils.logger import get_logger
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.finite import first_of, not_finite

logger = get_logger(__name__)


class Divergence:
    """What ends a training that went wrong; a part of `brain.SERBrain`.

    A step that was skipped, as SpeechBrain skips one whose half precision
    overflows, ends nothing until `nonfinite_patience` of an epoch is at an end.
    """

    epoch = None  # that is trained
    stage = "evaluation"  # for the error

    def count_loss(self, loss):
        """Counts a loss that is no number, as SpeechBrain does.

        Arguments
        ---------
        loss : float
            Before its step.

        Raises
        ------
        InputError
            If there were more of them in this epoch than `nonfinite_patience`.
        """
        if math.isfinite(loss):
            return
        self.nonfinite_count += 1
        said = f"the loss is {loss}"
        logger.warning(f"{self.where()}: {said}")
        if self.nonfinite_count > self.nonfinite_patience:
            said += f" for the {self.nonfinite_count}th time in this epoch"
            self.diverged(said, train_loss=loss)

    def check_loss(self, loss):
        """Refuses the weights that a loss that is no number left, if broken."""
        if not math.isfinite(loss):
            self.check_weights(f"the loss is {loss} and", train_loss=loss)

    def check_weights(self, said="", **row):
        """Refuses weights, and what else a module holds, that are no numbers.

        Arguments
        ---------
        said : str
            What is known besides.
        **row : dict
            Of the epoch's row.
        """
        broken = self.broken_modules()
        if broken:
            held = f"the weights of {broken} hold NaN or infinite values"
            self.diverged(f"{said} {held}".strip(), **row)

    def check_epoch(self, loss):
        """Refuses what an epoch of training leaves, if it is no number.

        Arguments
        ---------
        loss : float
            Its mean. One that is no number is fit where steps are skipped, of
            which not all were.
        """
        self.stage = "after training"
        self.check_weights(train_loss=loss)
        skips = self.scaler.is_enabled() or self.skip_nonfinite_grads
        some = self.nonfinite_count < self.step
        if not (math.isfinite(loss) or (skips and some)):
            self.diverged(f"the loss is {loss}", train_loss=loss)

    def broken_modules(self):
        """Names the modules that hold what is no number; empty if none does."""
        return first_of(
            name
            for name, module in self.modules.items()
            if not_finite(module.state_dict())
        )

    def check_begin(self, epoch):
        """Refuses to train what is no number from the beginning."""
        broken = self.broken_modules()
        if broken:
            raise InputError(
                f"before epoch {epoch} the weights of {broken} hold NaN or "
                "infinite values: give a model, codebook or checkpoint that "
                "holds none"
            )

    def check_outputs(self, ids, outputs, loss=None):
        """Refuses what is predicted if it is no number.

        Arguments
        ---------
        ids : list of str
            The utterances of a batch.
        outputs : dict
            Name to ``[batch, ...]``.
        loss : torch.Tensor, optional
            Of the batch.
        """
        broken = not_finite(outputs)
        if broken:
            of = [
                key
                for i, key in enumerate(ids)
                if not_finite({name: outputs[name][i] for name in broken})
            ]
            said = f"the {first_of(broken)} of {first_of(of)} is not finite"
            self.check_weights(f"{said} and", valid_loss=float("nan"))
            self.diverged(said, valid_loss=float("nan"))
        if loss is not None and not torch.isfinite(loss):
            said = f"the loss of {first_of(ids)} is {float(loss)}"
            self.diverged(said, valid_loss=float(loss))

    def where(self):
        """Says in which epoch, and where in it, the training is."""
        place = "" if self.epoch is None else f"epoch {self.epoch}, "
        if self.stage == "training" and self.step:
            return f"{place}step {self.step}"
        return f"{place}{self.stage}"

    def diverged(self, said, **row):
        """Ends the run: what was saved before stays, nothing more is.

        Arguments
        ---------
        said : str
            What is no number.
        **row : dict
            Name to what ``curves.csv`` and the log say of this epoch.

        Raises
        ------
        InputError
            Always.
        """
        mend = "lower learning rates or a smaller --max_grad_norm"
        if self.precision != "fp32":
            mend = f"--precision fp32, {mend}"
        if self.stage == "evaluation":
            raise InputError(
                f"{self.where()}: {said}: look at that speech, or train with "
                f"{mend}"
            )
        self.tell_epoch({"epoch": self.epoch} | row)
        done = len(self.history.rows)
        kept = f" (this one keeps epoch {done})" if done else ""
        raise InputError(
            f"{self.where()}: {said}, the training has diverged: give {mend}, "
            f"and another --output_folder{kept}"
        )

    # Training that changes nothing

    def weight_sums(self):
        """Returns a number for each trained tensor, which a step changes."""
        sums = [
            p.detach().sum(dtype=torch.float64)
            for p in self.modules.parameters()
            if p.requires_grad
        ]
        return torch.stack(sums).cpu() if sums else torch.zeros(0)

    def check_trained(self, before):
        """Refuses an epoch after which all weights are what they were.

        Arguments
        ---------
        before : torch.Tensor or None
            Of `weight_sums`; None: the epoch was begun by another process.

        Raises
        ------
        InputError
            With what may be the cause.
        """
        still = [
            optimizer.param_groups[0]["lr"] == 0
            for optimizer in self.optimizers_dict.values()
        ]
        if before is None or (still and all(still)):
            return
        if not torch.equal(before, self.weight_sums()):
            return
        raise InputError(
            f"epoch {self.epoch} of {self.step} batches has changed no weight: "
            "give larger learning rates, or look in the log why steps were "
            "skipped"
        )

    def check_batches(self):
        """Refuses an epoch that is too short for an optimizer step."""
        if self.train_sampler is None:
            return  # the loader is the caller's
        batches = len(self.train_sampler)
        if self.debug and self.debug_batches > 0:
            batches = min(batches, self.debug_batches)
        if batches == 0:
            factor = self.grad_accumulation_factor
            or_else = f" or --grad_accumulation_factor below {factor}"
            raise InputError(
                "an epoch would have no batch: give more training data, or a "
                "smaller --batch_size or fewer processes"
                + or_else
                * (factor > 1)
            )
        if batches < self.grad_accumulation_factor:
            raise InputError(
                f"--grad_accumulation_factor is {self.grad_accumulation_factor}"
                f", but an epoch has {batches} batches: give {batches} or less"
            )

    def epochs_left(self, epoch_counter):
        """Yields epochs, none after the last optimizer step that is wanted."""
        for epoch in epoch_counter:
            if self._optimizer_step_limit_exceeded:
                return
            yield epoch

    def check_finished(self):
        """Refuses to report a run, without training, that was not trained.

        Its report would be taken for that of the whole run.
        """
        if self.checkpointer is not None:
            self.checkpointer.recover_if_possible()
        done = len(self.history.rows)
        if done < self.epochs and not self._optimizer_step_limit_exceeded:
            raise InputError(
                f"{self.output_folder} holds a run that was trained for {done} "
                f"of {self.epochs} epochs: go on without --test_only"
            )

    def _save_intra_epoch_ckpt(self):
        """Saves within an epoch, but no weights that are no numbers."""
        self.settle()
        self.check_weights(train_loss=self.avg_train_loss)
        super()._save_intra_epoch_ckpt()
