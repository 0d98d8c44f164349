"""A training step that does not wait for the device, alone or one of several.

SpeechBrain reads each step's loss, for which a GPU has to be done with all that
it was asked for. Here losses are looked at together, now and then.
"""

import math

import torch

import speechbrain as sb
from speechbrain.utils.logger import get_logger
from speechbrain_ser.utils.distributed import world_size
from speechbrain_ser.utils.waiting import may_overlap, numbers

logger = get_logger(__name__)

# Steps of a device that computes on its own; a CPU is looked at in each.
SETTLED_EVERY = 50


class Stepping:
    """What a Brain does in a step; a part of `brain.SERBrain`.

    With SpeechBrain's ``grad_accumulation_factor`` the batches of a step are
    those of one large batch (`data.batching`), and each loss weighs by its
    share of the utterances: where losses are means over utterances, and nothing
    looks at a batch as a whole, the results are those of the large batch.
    """

    settled_every = None  # steps; None: as the device has it
    no_large_batch = None  # why accumulated gradients are none of a large batch
    batch_shares = None  # of the epoch's batches, where several make a step

    def fit_batch(self, batch):
        """Trains on one batch; the loss it returns is that of all processes.

        Returns
        -------
        torch.Tensor
            A scalar, on the device.
        """
        should_step = self.step % self.grad_accumulation_factor == 0
        self.on_fit_batch_start(batch, should_step)
        with self.no_sync(not should_step):
            with self.training_ctx:
                outputs = self.compute_forward(batch, sb.Stage.TRAIN)
        self.after_forward(outputs, batch)
        with self.no_sync(not should_step):
            with self.training_ctx:
                loss = self.compute_objectives(outputs, batch, sb.Stage.TRAIN)
            self.backward(loss)
        if should_step:
            self.optimizers_step()
        self.on_fit_batch_end(batch, outputs, loss, should_step)
        return loss.detach() / world_size()

    def _should_save_intra_epoch_ckpt(self, *args):
        """Not between the batches of a step, whose gradients are not kept."""
        whole = self.step % self.grad_accumulation_factor == 0
        return whole and super()._should_save_intra_epoch_ckpt(*args)

    def after_forward(self, outputs, batch):
        """Does what comes before the loss; nothing, unless overridden."""

    def moved(self, batch):
        """Moves a batch to the device, without a wait; returns it."""
        return batch.to(self.device, non_blocking=may_overlap(self.device))

    def backward(self, loss):
        """Adds a batch's share of the step's gradient."""
        factor = self.grad_accumulation_factor
        if factor > 1:
            loss = loss * (self.weight() / factor)
        scaled = self.scaler.scale(loss)
        self.check_loss_isfinite(scaled)
        scaled.backward()

    def weight(self):
        """Returns what this batch weighs in its step, 1 in the mean."""
        if not self.batch_shares or self.step > len(self.batch_shares):
            return 1.0
        return self.batch_shares[self.step - 1]

    def done(self):
        """Returns the share of the training that was over as this step began.

        The batches of one optimizer step have one answer.
        """
        parts = self.grad_accumulation_factor
        begun = (self.step - 1) // parts * parts
        return (self.epoch - 1 + begun / len(self.train_sampler)) / self.epochs

    # What was asked for and not looked at yet

    @property
    def patient(self):
        """Whether losses are looked at later."""
        return self.settle_steps() > 1

    def settle_steps(self):
        """Returns after how many steps losses are looked at."""
        if self.settled_every is not None:
            return self.settled_every
        return 1 if self.device_type == "cpu" else SETTLED_EVERY

    def check_loss_isfinite(self, loss):
        """Notes a loss before its step; see `Divergence.count_loss`."""
        self.unsettled.append((self.step, False, loss.detach()))
        if not self.patient:
            self.settle()

    def update_average(self, loss, average):
        """Takes a loss into the mean of the epoch, perhaps later.

        Arguments
        ---------
        loss : torch.Tensor
            Of a batch that trained, or was evaluated.
        average : float
            So far.

        Returns
        -------
        float
            With all that was looked at.
        """
        if self.stage != "training":
            return self.with_loss(average, float(loss))
        self.unsettled.append((self.step, True, loss.detach()))
        self.avg_train_loss = average
        if self.step % self.settle_steps() == 0:
            self.settle()
        return self.avg_train_loss

    def settle(self):
        """Looks at all losses since the last time, in their order.

        Returns
        -------
        float
            The mean loss of the epoch so far.
        """
        waiting, self.unsettled = self.unsettled, []
        held = numbers([loss for _, _, loss in waiting])
        here = self.step
        for (self.step, counted, _), loss in zip(waiting, held):
            if counted:
                self.avg_train_loss = self.with_loss(self.avg_train_loss, loss)
            else:
                self.count_loss(loss)
        self.step = here
        self.history.settle()
        return self.avg_train_loss

    def with_loss(self, average, loss):
        """Returns a mean with one loss more, that of the present step.

        Arguments
        ---------
        average, loss : float

        Returns
        -------
        float
            No number if one of them is none.
        """
        self.check_loss(loss)
        if not math.isfinite(average + loss):
            return average + loss
        average -= average / self.step
        average += loss / self.step
        return average

    # Accumulation

    def batch_weights(self, epoch):
        """Returns what an epoch's batches weigh; None where all weigh alike."""
        if self.grad_accumulation_factor == 1 or self.train_sampler is None:
            return None
        self.train_sampler.set_epoch(epoch)
        return self.train_sampler.weights()

    def tell_accumulation(self):
        """Says once if accumulated gradients are not those of a large batch."""
        why = self.accumulation_note()
        if self.grad_accumulation_factor > 1 and why:
            logger.info(
                f"--grad_accumulation_factor {self.grad_accumulation_factor}: "
                f"not the results of one batch as large as all, since {why}"
            )

    def accumulation_note(self):
        """Says why accumulated gradients are not those of a large batch.

        Returns
        -------
        str or None
            None: they are.
        """
        if self.no_large_batch is not None:
            return self.no_large_batch
        if self.class_weights is not None:
            return "class weights are relative to each batch"
        kinds = torch.nn.modules.batchnorm._BatchNorm
        if any(isinstance(module, kinds) for module in self.modules.modules()):
            return "batch norm has the statistics of each batch"
        return None
