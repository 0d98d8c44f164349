"""The Brain that all recipes share: evaluation, checkpoints, report files."""

import logging
import os
import time

import speechbrain as sb
import torch
import torch.nn.functional as F
from speechbrain.dataio.dataloader import make_dataloader
from speechbrain.nnet.schedulers import LinearScheduler, update_learning_rate
from speechbrain.utils.distributed import if_main_process
from speechbrain.utils.logger import get_logger
from tqdm.contrib import tqdm

from speechbrain_ser.data.batching import LengthBatchSampler, padding_share
from speechbrain_ser.data.dataset import entries
from speechbrain_ser.evaluation.metrics import (
    SHARES,
    classification_metrics,
    confusion_by_speaker,
    interval_report,
    mean_and_std,
    metrics_table,
)
from speechbrain_ser.evaluation.probing import speaker_probe
from speechbrain_ser.figures import plots
from speechbrain_ser.utils.checkpoints import GeneratorStates, History
from speechbrain_ser.utils.distributed import gather_batch, world_size
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.files import write_csv, write_json

logger = get_logger(__name__)

SELECTIONS = ("best", "last")


class SERBrain(sb.Brain):
    """What a speech-emotion recipe shares with all others.

    A subclass defines ``compute_forward``, which returns a dictionary with
    ``logits`` ``[batch, classes]`` and ``embeddings`` ``[batch, D]``, and
    ``compute_objectives``.

    Arguments
    ---------
    labels : list of str
        The class words, in the order of the logits.
    output_folder : str
        Where the report files go.
    batch_size : int
        Utterances a training batch and process.
    seed : int
        Of the order of the batches.
    learning_rates : dict
        Module name to learning rate; each such module has an optimizer of its
        own, with its gradient clipped by itself. The others share one, with the
        rate of `opt_class`.
    final_lr : float
        The learning rates fall in a straight line to this part of themselves
        in the last epoch; 1 keeps them.
    selection : str
        ``best``: the epoch with the highest UA on the validation part;
        ``last``: the last epoch.
    watched : DynamicItemDataset or None
        Evaluated after each of the last `watched_epochs`, for the report
        alone: nothing is chosen by it.
    watched_epochs : int
    class_weights : torch.Tensor or None
        Of the cross entropy, ``[classes]``.
    eval_batch_size : int
    num_workers : int
        Processes that read audio.
    speaker_probe : bool
        Whether the report says how well a fresh classifier names the speakers
        of the parts `probed_parts`, those that train.
    **kwargs : dict
        SpeechBrain's: modules, opt_class, hparams, run_opts, checkpointer.

    Raises
    ------
    InputError
        If `selection` is another word.
    """

    probed_parts = ("train",)  # whose speakers `speaker_probe` asks about

    def __init__(
        self,
        labels,
        output_folder,
        batch_size,
        seed=0,
        learning_rates=None,
        final_lr=1.0,
        selection="best",
        watched=None,
        watched_epochs=0,
        class_weights=None,
        eval_batch_size=16,
        num_workers=0,
        speaker_probe=False,
        **kwargs,
    ):
        if selection not in SELECTIONS:
            raise InputError(
                f"model_selection is {selection!r}: give one of "
                f"{', '.join(SELECTIONS)}"
            )
        super().__init__(**kwargs)
        self.labels = list(labels)
        self.output_folder = output_folder
        self.batch_size = batch_size
        self.seed = seed
        self.learning_rates = learning_rates or {}
        self.final_lr = final_lr
        self.selection = selection
        self.watched = watched
        self.watched_epochs = watched_epochs
        if class_weights is not None:
            class_weights = class_weights.to(self.device)
        self.class_weights = class_weights
        self.eval_batch_size = eval_batch_size
        self.num_workers = num_workers
        self.speaker_probe = speaker_probe
        self.leakage = None  # what `probe_speakers` found, for figures too
        self.history = History()
        self.collected = {}
        self.since = time.time()
        if self.checkpointer is not None:
            self.checkpointer.add_recoverable("history", self.history)
            self.checkpointer.add_recoverable("generators", GeneratorStates())

    # Training

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

    def make_dataloader(
        self, dataset, stage, ckpt_prefix="dataloader-", **loader_kwargs
    ):
        """Makes batches; see SpeechBrain's method, and `make_sampler`.

        An entry takes part from its ``first_epoch`` on (all epochs if it has
        none). The loader has a generator of its own: making an iterator draws a
        number, which would shift all later draws of a run that goes on.
        """
        training = stage == sb.Stage.TRAIN
        sampler = self.make_sampler(entries(dataset), training)
        loader = make_dataloader(
            dataset,
            batch_sampler=sampler,
            num_workers=self.num_workers,
            generator=torch.Generator(),
            **loader_kwargs,
        )
        if training:
            self.train_sampler = sampler
            if self.checkpointer is not None and ckpt_prefix is not None:
                self.checkpointer.add_recoverable(
                    ckpt_prefix + stage.name, loader
                )
        return loader

    def make_sampler(self, held, training):
        """Makes what cuts a dataset into batches, here those of like length.

        Arguments
        ---------
        held : list of dict
            The entries of the dataset.
        training : bool

        Returns
        -------
        torch.utils.data.Sampler
            Of lists of indices.
        """
        sampler = LengthBatchSampler(
            [entry["duration"] for entry in held],
            self.batch_size if training else self.eval_batch_size,
            seed=self.seed,
            first_epochs=[entry.get("first_epoch", 1) for entry in held],
            shuffle=training,
        )
        if training:
            share = padding_share(sampler.durations, sampler.batches())
            logger.info(
                f"{len(sampler)} batches an epoch, {100 * share:.1f} % padding"
            )
        else:
            sampler.set_epoch(float("inf"))
        return sampler

    def cross_entropy(self, logits, targets, weighted=True):
        """Mean cross entropy, in training over the utterances of all processes.

        Arguments
        ---------
        logits : torch.Tensor
            ``[n, classes]``.
        targets : torch.Tensor
            Class indices ``[n]`` or soft labels ``[n, classes]``.
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
        if len(logits) == 0:
            return logits.sum()
        weighted = weighted and targets.ndim == 1
        weight = self.class_weights if weighted else None
        return F.cross_entropy(logits, targets, weight) * scale

    def fit_batch(self, batch):
        """Trains on one batch; the loss it returns is that of all processes."""
        return super().fit_batch(batch) / world_size()

    def on_stage_start(self, stage, epoch=None):
        """Notes the time, sets the epoch's learning rates."""
        self.stage_start = time.time()
        self.collected = {}
        if stage == sb.Stage.TRAIN:
            factor = self.rate_factor(epoch)
            for name, optimizer in self.optimizers_dict.items():
                update_learning_rate(optimizer, self.rates[name] * factor)

    def rate_factor(self, epoch):
        """Returns by what the learning rates are multiplied, epochs from 1."""
        return LinearScheduler(1.0, self.final_lr, self.epochs)(epoch)[0]

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Keeps the losses for the epoch's row."""
        if stage == sb.Stage.TRAIN:
            self.train_row = {
                "train_loss": stage_loss,
                "seconds": round(time.time() - self.stage_start, 3),
            }
        elif stage == sb.Stage.VALID:
            self.valid_row = {"valid_loss": stage_loss}

    def _fit_valid(self, valid_set, epoch, enable):
        """Validates if there is a validation part, then ends the epoch."""
        self.valid_row = {}
        super()._fit_valid(valid_set, epoch, enable)
        if valid_set is not None:
            scores = self.validation_scores(valid_set.dataset)
            self.valid_row |= {f"valid_{k}": v for k, v in scores.items()}
        self.on_epoch_end(epoch)

    def validation_scores(self, dataset):
        """Returns what an epoch's row says of the validation part.

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
        last = epoch > self.epochs - self.watched_epochs
        if self.watched is not None and last:
            scores = self.score(self.predict(self.watched))
            watched = self.history.notes.setdefault("watched", [])
            watched.append({"epoch": epoch} | {k: scores[k] for k in SHARES})
        row = {"epoch": epoch} | self.train_row | self.valid_row
        self.history.end_epoch(row)
        line = ", ".join(
            f"{name} {value:.3f}"
            for name, value in self.history.rows[-1].items()
            if name != "epoch" and value is not None
        )
        logger.info(f"epoch {epoch}/{self.epochs}: {line}")
        if if_main_process():
            write_csv(
                os.path.join(self.output_folder, "curves.csv"),
                self.history.rows,
            )
        if self.checkpointer is not None:
            best = self.selection == "best" and "valid_UA" in self.valid_row
            meta = {"UA": self.valid_row["valid_UA"]} if best else {}
            self.checkpointer.save_and_keep_only(
                meta={"epoch": epoch} | meta,
                max_keys=["UA"] if best else [],
                verbosity=logging.DEBUG,
            )

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
            If the best epoch is to be chosen without a validation part.
        """
        if self.selection == "best" and valid_set is None:
            raise InputError(
                "the best epoch can't be chosen without a validation part: "
                "give one, or --model_selection last"
            )
        self.epochs = epoch_counter.limit
        super().fit(epoch_counter, train_set, valid_set, **kwargs)

    def on_fit_start(self):
        """Loads the last checkpoint; says so if nothing is left to train."""
        super().on_fit_start()
        if len(self.history.rows) >= self.epochs:
            logger.info(f"all {self.epochs} epochs were trained before")

    # Evaluation

    def outputs(self, predictions):
        """Returns what is kept of each utterance: name to ``[batch, ...]``."""
        return {
            "posterior": torch.softmax(predictions["logits"].float(), dim=-1),
            "embedding": predictions["embeddings"].float(),
        }

    @torch.no_grad()
    def evaluate_batch(self, batch, stage):
        """Evaluates one batch and collects its outputs by id."""
        with self.evaluation_ctx:
            predictions = self.compute_forward(batch, stage)
            loss = self.compute_objectives(predictions, batch, stage)
        outputs = {k: v.cpu() for k, v in self.outputs(predictions).items()}
        for i, key in enumerate(batch.id):
            self.collected[key] = {k: v[i] for k, v in outputs.items()}
        return loss.detach().cpu()

    def merged(self, dataset):
        """Returns what was collected, the pieces of an utterance averaged.

        Returns
        -------
        dict
            Utterance to its outputs and its ``entry``; a piece weighs by its
            duration.
        """
        pieces = {}
        for key in dataset.data_ids:
            entry = dataset.data[key]["entry"]
            if key in self.collected:
                name = entry.get("utterance", key)
                pieces.setdefault(name, []).append((entry, self.collected[key]))
        merged = {}
        for name, parts in pieces.items():
            weight = torch.tensor([entry["duration"] for entry, _ in parts])
            weight = weight / weight.sum()
            merged[name] = {
                k: sum(w * out[k] for w, (_, out) in zip(weight, parts))
                for k in parts[0][1]
            } | {"entry": parts[0][0]}
        return merged

    def predict(self, dataset):
        """Runs the model over a dataset in eval mode.

        Arguments
        ---------
        dataset : DynamicItemDataset
            Its labels may be hidden.

        Returns
        -------
        dict
            Utterance to its outputs and its ``entry``.
        """
        loader = self.make_dataloader(dataset, sb.Stage.TEST, ckpt_prefix=None)
        self.modules.eval()
        self.collected = {}
        show = if_main_process() and not self.noprogressbar
        for step, batch in enumerate(
            tqdm(loader, dynamic_ncols=True, disable=not show, leave=False), 1
        ):
            self.evaluate_batch(batch, sb.Stage.TEST)
            if self.debug and step == self.debug_batches:
                break
        return self.merged(dataset)

    def labelled(self, predictions):
        """Returns label, prediction and speaker of what has a label.

        Returns
        -------
        list of tuple
            One an utterance; the speaker may be None.
        """
        return [
            (
                p["entry"]["emotion"],
                self.labels[int(p["posterior"].argmax())],
                p["entry"].get("speaker"),
            )
            for p in predictions.values()
            if p["entry"].get("emotion") is not None
        ]

    def score(self, predictions):
        """Computes the metrics of the utterances that have a label, or None."""
        held = self.labelled(predictions)
        if not held:
            return None
        labels, guesses, _ = zip(*held)
        return classification_metrics(labels, guesses, self.labels)

    def full_score(self, predictions):
        """Adds intervals, and the confusion matrix of each speaker."""
        score = self.score(predictions)
        if score is None:
            return None
        labels, guesses, speakers = zip(*self.labelled(predictions))
        score["interval"] = interval_report(
            labels, guesses, self.labels, speakers
        )
        score["speakers"] = None
        if None not in speakers:
            score["speakers"] = confusion_by_speaker(
                labels, guesses, self.labels, speakers
            )
        return score

    def load_selected(self):
        """Loads the selected epoch's weights; the history stays whole.

        Returns
        -------
        int or None
            The epoch; None without a checkpointer.
        """
        if self.checkpointer is None:
            return None
        if not self.history.rows:
            self.checkpointer.recover_if_possible()
        history = dict(vars(self.history))
        found = None
        if self.selection == "best":
            found = self.checkpointer.find_checkpoint(max_key="UA")
        found = found or self.checkpointer.find_checkpoint()
        if found is None:
            return None
        self.checkpointer.load_checkpoint(found)
        vars(self.history).update(history)
        return found.meta.get("epoch")

    # Report

    def columns(self, prediction):
        """Returns an utterance's columns in ``predictions.csv``."""
        posterior = prediction["posterior"].tolist()
        return {
            f"posterior_{word}": round(value, 6)
            for word, value in zip(self.labels, posterior)
        }

    def write_predictions(self, parts):
        """Writes ``predictions.csv``: id, part, label, prediction and more.

        Arguments
        ---------
        parts : dict
            Part to what :meth:`predict` returned.
        """
        rows = [
            {
                "id": key,
                "part": part,
                "label": prediction["entry"].get("emotion"),
                "prediction": self.labels[
                    int(prediction["posterior"].argmax())
                ],
            }
            | self.columns(prediction)
            for part, predictions in parts.items()
            for key, prediction in predictions.items()
        ]
        write_csv(os.path.join(self.output_folder, "predictions.csv"), rows)

    def watched_mean(self):
        """Returns mean and std of the watched epochs' scores, or None."""
        rows = self.history.notes.get("watched")
        if not rows:
            return None
        result = {"epochs": [row["epoch"] for row in rows]}
        for name in SHARES:
            mean, std = mean_and_std([row[name] for row in rows])
            result[name] = {"mean": mean, "std": std}
        return result

    def figure(self, name):
        """Returns the path of a figure of the report."""
        return os.path.join(self.output_folder, "figures", f"{name}.png")

    def report(self, parts, facts, title):
        """Evaluates the selected epoch, writes the report, prints the table.

        Arguments
        ---------
        parts : dict
            Part to dataset; the confusion matrix is that of ``evaluation``.
        facts : dict
            What ``metrics.json`` says besides the metrics.
        title : str
            Of the figures and the table.
        """
        epoch = self.selected_epoch = self.load_selected()
        predictions = {
            part: self.predict(dataset) for part, dataset in parts.items()
        }
        if not if_main_process():
            return
        every = predictions | self.more_predictions(predictions)
        scores = {part: self.full_score(p) for part, p in every.items()}
        scores = {part: score for part, score in scores.items() if score}
        mean = self.watched_mean()
        self.write_predictions(every)
        if self.speaker_probe:
            self.leakage = self.probe_speakers(predictions)
        if "evaluation" in scores:
            plots.plot_confusion(
                self.figure("confusion"),
                scores["evaluation"]["confusion"],
                self.labels,
                f"{title}: evaluation",
            )
        self.draw_figures(predictions, title)
        facts = facts | self.findings()
        if self.speaker_probe:
            facts["leakage"] = self.leakage
        # last: where it is, the run is done and whole
        write_json(
            os.path.join(self.output_folder, "metrics.json"),
            facts
            | {
                "device": str(self.device),
                "wall_seconds": self.wall_seconds(),
                "selected_epoch": epoch,
                "metrics": scores,
                "evaluation_mean_of_last_epochs": mean,
            },
        )
        print(f"\n{title}, epoch {epoch}")
        print(metrics_table(scores))
        self.print_intervals(scores)
        if mean is not None:
            print(
                f"evaluation, mean of the last {len(mean['epochs'])} epochs: "
                f"WA {100 * mean['WA']['mean']:.2f}, "
                f"UA {100 * mean['UA']['mean']:.2f}"
            )
        if self.leakage is not None:
            self.print_leakage()
        print(f"report: {self.output_folder}")

    def print_intervals(self, scores):
        """Prints the bootstrap intervals of the evaluation part."""
        interval = scores.get("evaluation", {}).get("interval")
        if interval is None:
            return
        ends = ", ".join(
            f"{name} [{100 * interval[name][0]:.2f}, "
            f"{100 * interval[name][1]:.2f}]"
            for name in ("WA", "UA")
        )
        print(
            f"evaluation, {100 * interval['level']:.0f} % interval by bootstrap "
            f"over {interval['units']} {interval['over']}: {ends}"
        )

    def probe_speakers(self, predictions):
        """Asks fresh classifiers who speaks in the training utterances.

        A speed-changed copy is left out: the utterance itself, in another fold,
        would give it away.

        Arguments
        ---------
        predictions : dict
            Part to what :meth:`predict` returned.

        Returns
        -------
        dict or None
            See `probing.speaker_probe`; None, and the reason in the log, if
            nobody can be asked about.
        """
        held = [
            prediction
            for part in self.probed_parts
            for prediction in predictions.get(part, {}).values()
            if prediction["entry"].get("speaker") is not None
            and "speed" not in prediction["entry"]
        ]
        found, reason = None, "no training utterance names its speaker"
        if held:
            reason = "fewer than two speakers have two training utterances"
            found = speaker_probe(
                torch.stack([p["embedding"] for p in held]).numpy(),
                [p["entry"]["speaker"] for p in held],
            )
        if found is None:
            logger.info(f"no speaker probe: {reason}")
        return found

    def print_leakage(self):
        """Prints how much of the speaker is left."""
        found = self.leakage
        print(
            "a fresh probe names the speaker of "
            f"{100 * found['accuracy']:.1f} % of the training utterances "
            f"(non-linear {100 * found['nonlinear_accuracy']:.1f} %, chance "
            f"{100 * found['chance']:.1f} %, {found['speakers']} speakers)"
        )

    def more_predictions(self, predictions):
        """Classifies parts once more in another way; overridden by recipes.

        Arguments
        ---------
        predictions : dict
            Part to what :meth:`predict` returned.

        Returns
        -------
        dict
            The same for parts of other names, the plan's ``more_parts``.
        """
        return {}

    def findings(self):
        """Returns a method's own facts for ``metrics.json``."""
        return {}

    def draw_figures(self, predictions, title):
        """Draws a method's own figures; overridden by recipes.

        Arguments
        ---------
        predictions : dict
            Part to what :meth:`predict` returned.
        title : str
        """
        self.draw_embedding(predictions, title=title)

    def draw_embedding(self, parts, prototypes=None, title="embeddings"):
        """Draws ``embedding.png``: all parts in two dimensions."""
        shown = [
            (part, prediction)
            for part, predictions in parts.items()
            for prediction in predictions.values()
            if prediction["entry"].get("emotion") is not None
        ]
        plots.plot_embedding(
            self.figure("embedding"),
            torch.stack([p["embedding"] for _, p in shown]).numpy(),
            [p["entry"]["emotion"] for _, p in shown],
            self.labels,
            prototypes=prototypes,
            markers=[part for part, _ in shown],
            title=title,
        )
