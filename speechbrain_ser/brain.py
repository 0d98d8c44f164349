"""The Brain that all methods share: training, prediction, checkpoints."""

import logging
import os
import time

import torch.nn.functional as F

import speechbrain as sb
from speechbrain.nnet.schedulers import LinearScheduler, update_learning_rate
from speechbrain.utils.distributed import if_main_process
from speechbrain.utils.logger import get_logger
from speechbrain_ser.data.dataset import CLASS_WEIGHTS, UNLABELLED
from speechbrain_ser.data.loading import Loading
from speechbrain_ser.data.parts import Parts
from speechbrain_ser.divergence import Divergence
from speechbrain_ser.prediction import Predictor
from speechbrain_ser.scores import SHARES
from speechbrain_ser.stepping import Stepping
from speechbrain_ser.utils.checkpoints import GeneratorStates, History
from speechbrain_ser.utils.distributed import gather_batch, world_size
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.files import write_csv, write_text
from speechbrain_ser.utils.settings import (
    NOTHING,
    Labels,
    Number,
    OneOf,
    Values,
    Whole,
    Word,
    checked,
)

logger = get_logger(__name__)

NEVER = -100  # no class index: in training nothing is passed over


class SERBrain(Parts, Loading, Predictor, Stepping, Divergence, sb.Brain):
    """What a speech-emotion method shares with all others.

    A subclass defines ``compute_forward``, which returns a dictionary with
    ``logits`` ``[batch, classes]`` and ``embeddings`` ``[batch, D]``, and
    ``compute_objectives``.

    Arguments
    ---------
    labels : list of str
        The class words, in the order of the logits.
    output_folder : str
        Where ``curves.csv`` and ``train_log.txt`` go.
    batch_size : int
        Utterances a training batch and process.
    sample_rate : int
        In Hz.
    seed : int
        Of the order of the batches.
    learning_rates : dict
        Module name to learning rate; each such module has an optimizer of its
        own, with its gradient clipped by itself. The others share one, with the
        rate of `opt_class`.
    final_lr : float
        The learning rates fall in a straight line to this part of themselves
        in the last epoch; 1 keeps them.
    model_selection : str
        ``best``: the epoch with the highest UA on the valid part; ``last``: the
        last epoch.
    last_epochs : int
        After each of so many last ones the test part is evaluated, for the
        report alone: nothing is chosen by it.
    class_weights : str
        Of the cross entropy, see `data.dataset.class_weights`.
    eval_batch_size : int
    num_workers : int
        Processes that read audio.
    length_grid : float or None
        In seconds: waveforms that train are padded up to its multiples, and
        those of one multiple kept together, so that a GPU meets few lengths
        (see `data.length_grid`). Nothing to kept frames and features.
    **kwargs : dict
        SpeechBrain's: modules, opt_class, hparams, run_opts, checkpointer.
    """

    seedless = False  # True: nothing is drawn, runs of all seeds are one

    @checked
    def __init__(
        self,
        labels: Labels(),
        output_folder: Word(counts=NOTHING),
        batch_size: Whole(1),
        sample_rate: Whole(1) = 16000,
        seed: Whole(0, 2**32 - 1) = 0,
        learning_rates: Values(Number(above=0, optional=True)) = None,
        final_lr: Number(0) = 1.0,
        model_selection: OneOf("best", "last") = "best",
        last_epochs: Whole(0) = 0,
        class_weights: OneOf(*CLASS_WEIGHTS) = "none",
        eval_batch_size: Whole(1, counts=NOTHING) = 16,
        num_workers: Whole(0, counts=NOTHING) = 0,
        length_grid: Number(0, optional=True) = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if self.optimizer_step_limit is not None:
            # SpeechBrain's command line leaves it a word
            self.optimizer_step_limit = int(self.optimizer_step_limit)
        self.labels = list(labels)
        self.output_folder = output_folder
        self.batch_size = batch_size
        self.sample_rate = sample_rate
        self.seed = seed
        self.learning_rates = learning_rates or {}
        self.final_lr = final_lr
        self.model_selection = model_selection
        self.last_epochs = last_epochs
        self.weighting = class_weights
        self.eval_batch_size = eval_batch_size
        self.num_workers = num_workers
        self.length_grid = length_grid
        self.unsettled = []
        self.datasets = {}
        self.train_set = None
        self.class_weights = None
        self.history = History()
        self.collected = {}
        self.since = time.time()
        if self.checkpointer is not None:
            self.checkpointer.add_recoverable("history", self.history)
            self.checkpointer.add_recoverable("generators", GeneratorStates())

    def init_optimizers(self):
        """Makes one optimizer for each named learning rate, one for the rest."""
        groups = {
            name: (list(self.modules[name].parameters()), {"lr": rate})
            for name, rate in self.learning_rates.items()
            if rate is not None
        }
        named = {id(p) for params, _ in groups.values() for p in params}
        rest = [p for p in self.modules.parameters() if id(p) not in named]
        groups["rest"] = (rest, {})
        self.optimizers_dict, self.rates = {}, {}
        for name, (params, settings) in groups.items():
            params = [p for p in params if p.requires_grad]
            if params:
                optimizer = self.opt_class(params, **settings)
                self.optimizers_dict[name] = optimizer
                self.rates[name] = optimizer.param_groups[0]["lr"]
                if self.checkpointer is not None:
                    self.checkpointer.add_recoverable(
                        f"optimizer-{name}", optimizer
                    )

    def cross_entropy(self, logits, targets, weighted=True):
        """Mean cross entropy, in training over the utterances of all processes.

        Arguments
        ---------
        logits : torch.Tensor
            ``[n, classes]``.
        targets : torch.Tensor
            Class indices ``[n]`` or soft labels ``[n, classes]``; what is
            `UNLABELLED` is passed over where nothing is trained.
        weighted : bool
            Whether class indices weigh by `class_weights`.

        Returns
        -------
        torch.Tensor
            A scalar, scaled so that DDP's mean of its gradients is the gradient
            of the whole batch; 0 where there is no utterance.
        """
        logits, scale = logits.float(), 1
        if self.modules.training:
            logits, targets = gather_batch(logits), gather_batch(targets)
            scale = world_size()
        elif targets.ndim == 1:
            known = targets != UNLABELLED
            logits, targets = logits[known], targets[known]
        if len(logits) == 0:
            return logits.sum()
        weighted = weighted and targets.ndim == 1
        weight = self.class_weights if weighted else None
        return scale * F.cross_entropy(
            logits, targets, weight, ignore_index=NEVER
        )

    def on_stage_start(self, stage, epoch=None):
        """Notes the time, sets the epoch's learning rates."""
        self.stage_start = time.time()
        self.collected = {}
        if stage == sb.Stage.VALID:
            self.stage = "validation"
        if stage == sb.Stage.TRAIN:
            self.stage, self.epoch = "training", epoch
            self.check_begin(epoch)
            self.unsettled, self.batch_shares = [], self.batch_weights(epoch)
            # an epoch that goes on may have no step left
            self.sums = None if self.step else self.weight_sums()
            factor = self.rate_factor(epoch)
            for name, optimizer in self.optimizers_dict.items():
                update_learning_rate(optimizer, self.rates[name] * factor)

    def rate_factor(self, epoch):
        """Returns by what the learning rates are multiplied, epochs from 1."""
        return LinearScheduler(1.0, self.final_lr, self.epochs)(epoch)[0]

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Keeps the losses for the epoch's row."""
        if stage == sb.Stage.TRAIN:
            stage_loss = self.settle()
            self.check_epoch(stage_loss)
            self.check_trained(self.sums)
            self.train_row = {
                "train_loss": stage_loss,
                "seconds": round(time.time() - self.stage_start, 3),
            }
        elif stage == sb.Stage.VALID:
            self.valid_row = {"valid_loss": stage_loss}

    def _fit_valid(self, valid_set, epoch, enable):
        """Validates if there is a valid part, then ends the epoch."""
        self.valid_row = {}
        super()._fit_valid(valid_set, epoch, enable)
        if valid_set is not None:
            scores = self.validation_scores(valid_set.dataset)
            self.valid_row |= {f"valid_{k}": v for k, v in scores.items()}
        self.on_epoch_end(epoch)

    def validation_scores(self, dataset):
        """Returns what an epoch's row says of the valid part.

        Arguments
        ---------
        dataset : DynamicItemDataset
            Which was just evaluated.

        Returns
        -------
        dict
            Name to number.
        """
        scores = self.score(self.merged(dataset))
        return {name: scores[name] for name in SHARES}

    def on_epoch_end(self, epoch):
        """Writes the epoch's row, its log line and its checkpoint.

        Arguments
        ---------
        epoch : int
            From 1.
        """
        self.history.notes["wall_seconds"] = self.wall_seconds()
        self.since = time.time()
        last = epoch > self.epochs - self.last_epochs
        if "test" in self.datasets and last:
            scores = self.score(self.predict(self.datasets["test"]))
            rows = self.history.notes.setdefault("last_epochs", [])
            rows.append({"epoch": epoch} | {k: scores[k] for k in SHARES})
        row = {"epoch": epoch} | self.train_row | self.valid_row
        self.history.end_epoch(row)
        self.tell_epoch()
        if self.checkpointer is not None:
            best = (
                self.model_selection == "best"
                and "valid_UA" in self.valid_row
                and self.selectable(epoch)
            )
            meta = {"UA": self.valid_row["valid_UA"]} if best else {}
            self.checkpointer.save_and_keep_only(
                meta={"epoch": epoch} | meta,
                max_keys=["UA"] if best else [],
                # SpeechBrain adds to its default, which grows with each epoch
                importance_keys=[],
                verbosity=logging.DEBUG,
            )

    def tell_epoch(self, *broken):
        """Writes ``curves.csv``, ``train_log.txt`` and the last row's log line.

        Arguments
        ---------
        *broken : dict
            The row of an epoch that diverged, which is no part of the history.
        """
        rows = [*self.history.rows, *broken]
        line = ", ".join(
            f"{name} {value:{'.3f' if abs(value) < 1e6 else '.3g'}}"
            for name, value in rows[-1].items()
            if name != "epoch" and value is not None
        )
        logger.info(f"epoch {rows[-1]['epoch']}/{self.epochs}: {line}")
        if if_main_process():
            write_csv(os.path.join(self.output_folder, "curves.csv"), rows)
            path = os.path.join(self.output_folder, "train_log.txt")
            write_text(path, "".join(f"{train_log(row)}\n" for row in rows))

    def selectable(self, epoch):
        """Whether ``model_selection: best`` may choose an epoch, from 1."""
        return True

    def wall_seconds(self):
        """Returns the seconds spent so far, those of killed processes too.

        Of an epoch that was broken off, what its checkpoint does not hold is
        missing.
        """
        earlier = self.history.notes.get("wall_seconds", 0)
        return round(earlier + time.time() - self.since, 1)

    def fit(self, epoch_counter, train_set, valid_set=None, **kwargs):
        """Trains; see SpeechBrain's method.

        Raises
        ------
        InputError
            If the best epoch is to be chosen without a valid part.
        """
        if self.model_selection == "best" and valid_set is None:
            raise InputError(
                "the best epoch can't be chosen without a valid part: give "
                "one, or --model_selection last"
            )
        self.epochs = epoch_counter.limit
        if self.test_only:
            self.check_finished()
        left = self.epochs_left(epoch_counter)
        super().fit(left, train_set, valid_set, **kwargs)
        self.stage = "evaluation"

    def on_fit_start(self):
        """Loads the last checkpoint; says if nothing can be, or is, left."""
        self.check_batches()
        self.tell_accumulation()
        super().on_fit_start()
        if len(self.history.rows) >= self.epochs:
            logger.info(f"all {self.epochs} epochs were trained before")


def train_log(row):
    """Returns an epoch's row as SpeechBrain's recipes write it.

    Arguments
    ---------
    row : dict
        Name to number; nothing is said of what is None, nor of the time, so
        that the same run leaves the same file.

    Returns
    -------
    str
        A line without its end.

    Example
    -------
    >>> train_log({"epoch": 2, "train_loss": 1.5, "seconds": 3.0})
    'epoch: 2 - train_loss: 1.50e+00'
    """
    told = ", ".join(
        f"{name}: {value:.2e}"
        for name, value in row.items()
        if name not in ("epoch", "seconds") and value is not None
    )
    return f"epoch: {row['epoch']} - {told}"
