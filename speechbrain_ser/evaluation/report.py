"""A run's report: metrics, predictions of each utterance, pictures."""

import json
import os

import torch

from speechbrain.utils.distributed import if_main_process
from speechbrain.utils.logger import get_logger
from speechbrain_ser.evaluation.metrics import (
    confusion_by_speaker,
    interval_report,
    mean_and_std,
    metrics_table,
)
from speechbrain_ser.evaluation.probing import speaker_probe
from speechbrain_ser.evaluation.trust import Trust, fitted_on, no_temperature
from speechbrain_ser.figures.confusion import plot_confusion
from speechbrain_ser.figures.embedding import plot_embedding
from speechbrain_ser.scores import SHARES
from speechbrain_ser.utils.files import safe_name, write_csv, write_json
from speechbrain_ser.utils.settings import REPORT, Switch, checked

logger = get_logger(__name__)

METRICS = "metrics.json"


def run_key(folder):
    """Returns the key of the finished run in a folder, None without one.

    Example
    -------
    >>> run_key(getfixture("tmp_path"))
    """
    try:
        with open(os.path.join(folder, METRICS), encoding="utf-8") as file:
            return json.load(file).get("run")
    except (OSError, ValueError, AttributeError):
        return None


def run_temperature(folder):
    """Returns what the report in a run's folder says of its temperature.

    Arguments
    ---------
    folder : str

    Returns
    -------
    dict
        ``temperature``, None where there is none, and what it was fitted on; see
        `trust.fitted_on`.

    Example
    -------
    >>> run_temperature(getfixture("tmp_path"))["temperature"] is None
    True
    """
    try:
        with open(os.path.join(folder, METRICS), encoding="utf-8") as file:
            known = dict(json.load(file)["calibration"])
        return {"temperature": known["temperature"]} | {
            name: value for name, value in known.items() if name != "parts"
        }
    except (OSError, ValueError, KeyError, TypeError):
        return no_temperature("the run has no report with one")


class Report:
    """Evaluates a trained Brain and writes what there is to say.

    A method's own report overrides `load_selected`, `predict`, `columns`,
    `more_predictions`, `fit_temperature`, `findings` and `draw_figures`.

    Arguments
    ---------
    brain : SERBrain
        Trained, or with a checkpointer that finds what was.
    output_folder : str
        Where the files go.
    speaker_probe : bool
        Whether it says how well a fresh classifier names the speakers of the
        parts `probed_parts`, those that train.
    """

    probed_parts = ("train",)

    @checked
    def __init__(
        self, brain, output_folder, speaker_probe: Switch(REPORT) = False
    ):
        self.brain = brain
        self.labels = brain.labels
        self.output_folder = output_folder
        self.speaker_probe = speaker_probe
        self.leakage = None  # what `probe_speakers` found, for figures too
        self.trust = None  # how far posteriors can be trusted
        self.epoch = None
        self.scores = {}  # part to `full_score`, for figures too

    # What methods override

    def load_selected(self):
        """Loads the selected epoch into the Brain and returns it.

        Before anything is predicted.
        """
        return self.brain.load_selected()

    def columns(self, prediction):
        """Returns an utterance's columns in ``predictions.csv``."""
        posterior = prediction["posterior"].tolist()
        return {
            f"posterior_{word}": round(value, 6)
            for word, value in zip(self.labels, posterior)
        }

    def predict(self, part, dataset):
        """Returns what the Brain's ``predict`` returns of a part."""
        return self.brain.predict(dataset)

    def more_predictions(self, predictions):
        """Classifies parts once more in another way.

        Arguments
        ---------
        predictions : dict
            Part to what the Brain's ``predict`` returned.

        Returns
        -------
        dict
            The same for parts of other names, the plan's ``more_parts``.
        """
        return {}

    def fit_temperature(self, predictions):
        """Fits a temperature on what was not trained on.

        Arguments
        ---------
        predictions : dict
            Part to what the Brain's ``predict`` returned.

        Returns
        -------
        dict
            See `trust.fitted_on`.
        """
        return fitted_on("valid", predictions, self.labels)

    def findings(self):
        """Returns a method's own facts for ``metrics.json``."""
        return {}

    def draw_figures(self, predictions, title):
        """Draws a method's own figures.

        Arguments
        ---------
        predictions : dict
            Part to what the Brain's ``predict`` returned.
        title : str
        """
        self.draw_embedding(predictions, title=title)

    def print_more(self, scores):
        """Prints a method's own scores of each part."""

    # The report

    def write(self, facts, title, parts=None):
        """Evaluates the selected epoch, writes the report, prints the table.

        Arguments
        ---------
        facts : dict
            What ``metrics.json`` says besides the metrics.
        title : str
            Of the figures and the table.
        parts : dict, optional
            Part to dataset; the confusion matrix is that of ``test``. Default:
            the Brain's.

        Returns
        -------
        dict
            Part to what the Brain's ``predict`` returned.
        """
        parts = self.brain.datasets if parts is None else parts
        self.epoch = self.load_selected()
        predictions = {
            part: self.predict(part, dataset) for part, dataset in parts.items()
        }
        if not if_main_process():
            return predictions
        every = predictions | self.more_predictions(predictions)
        scores = {part: self.full_score(p) for part, p in every.items()}
        scores = {part: score for part, score in scores.items() if score}
        self.scores = scores
        temperature = self.fit_temperature(predictions)
        self.trust = Trust(self.labels, predictions, temperature)
        self.write_predictions(every)
        if self.speaker_probe:
            self.leakage = self.probe_speakers(predictions)
        if "test" in scores:
            plot_confusion(
                self.figure("confusion"),
                scores["test"]["confusion"],
                self.labels,
                f"{title}: test",
            )
        self.trust.draw(self.figure("reliability"), f"{title}: test")
        self.draw_figures(predictions, title)
        self.write_metrics(facts, scores)
        self.print_all(title, scores)
        return every

    def write_metrics(self, facts, scores):
        """Writes ``metrics.json``, last: where it is, the run is done."""
        facts = facts | self.findings()
        if self.speaker_probe:
            facts["leakage"] = self.leakage
        write_json(
            os.path.join(self.output_folder, METRICS),
            facts
            | {
                "device": str(self.brain.device),
                "wall_seconds": self.brain.wall_seconds(),
                "selected_epoch": self.epoch,
                "metrics": scores,
                "calibration": self.trust.facts,
                "test_mean_of_last_epochs": self.last_epochs_mean(),
            },
        )

    def full_score(self, predictions):
        """Adds intervals, and the confusion matrix of each speaker."""
        score = self.score(predictions)
        if score is None:
            return None
        held = self.brain.labelled(predictions)
        labels, guesses, speakers = zip(*held)
        score["interval"] = interval_report(
            labels, guesses, self.labels, speakers
        )
        score["speakers"] = None
        if None not in speakers:
            score["speakers"] = confusion_by_speaker(
                labels, guesses, self.labels, speakers
            )
        return score

    def score(self, predictions):
        """Computes the metrics of what has a label, or returns None."""
        return self.brain.score(predictions)

    def write_predictions(self, parts):
        """Writes ``predictions.csv``: id, part, label, prediction and more.

        Arguments
        ---------
        parts : dict
            Part to what the Brain's ``predict`` returned.
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

    def last_epochs_mean(self):
        """Returns mean and std of the last epochs' test scores, or None."""
        rows = self.brain.history.notes.get("last_epochs")
        if not rows:
            return None
        result = {"epochs": [row["epoch"] for row in rows]}
        for name in SHARES:
            mean, std = mean_and_std([row[name] for row in rows])
            result[name] = {"mean": mean, "std": std}
        return result

    # On the screen

    def print_all(self, title, scores):
        """Prints the table and what else a user wants to know at once."""
        epoch = "" if self.epoch is None else f", epoch {self.epoch}"
        print(f"\n{title}{epoch}")
        if scores:
            print(metrics_table(scores))
        self.print_more(scores)
        self.print_intervals(scores)
        if self.trust.line() is not None:
            print(self.trust.line())
        mean = self.last_epochs_mean()
        if mean is not None:
            print(
                f"test, mean of the last {len(mean['epochs'])} epochs: "
                f"WA {100 * mean['WA']['mean']:.2f}, "
                f"UA {100 * mean['UA']['mean']:.2f}"
            )
        if self.leakage is not None:
            self.print_leakage()
        print(f"report: {self.output_folder}")

    def print_intervals(self, scores):
        """Prints the bootstrap intervals of the test part."""
        interval = scores.get("test", {}).get("interval")
        if interval is None:
            return
        ends = ", ".join(
            f"{name} [{100 * interval[name][0]:.2f}, "
            f"{100 * interval[name][1]:.2f}]"
            for name in ("WA", "UA")
        )
        print(
            f"test, {100 * interval['level']:.0f} % interval by bootstrap "
            f"over {interval['units']} {interval['over']}: {ends}"
        )

    def print_leakage(self):
        """Prints how much of the speaker is left."""
        found = self.leakage
        print(
            "a fresh probe names the speaker of "
            f"{100 * found['accuracy']:.1f} % of the training utterances "
            f"(non-linear {100 * found['nonlinear_accuracy']:.1f} %, chance "
            f"{100 * found['chance']:.1f} %, {found['speakers']} speakers)"
        )

    # Speakers

    def probe_speakers(self, predictions):
        """Asks fresh classifiers who speaks in the training utterances.

        A speed-changed copy is left out: the utterance itself, in another fold,
        would give it away.

        Arguments
        ---------
        predictions : dict
            Part to what the Brain's ``predict`` returned.

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

    # Figures

    def figure(self, name):
        """Returns the path of a figure; of an id what may be a file's name."""
        return os.path.join(
            self.output_folder, "figures", f"{safe_name(name)}.png"
        )

    def draw_embedding(self, parts, prototypes=None, title="embeddings"):
        """Draws ``embedding.png``: all parts in two dimensions."""
        shown = [
            (part, prediction)
            for part, predictions in parts.items()
            for prediction in predictions.values()
            if prediction["entry"].get("emotion") is not None
        ]
        if not shown:
            return
        plot_embedding(
            self.figure("embedding"),
            torch.stack([p["embedding"] for _, p in shown]).numpy(),
            [p["entry"]["emotion"] for _, p in shown],
            self.labels,
            prototypes=prototypes,
            markers=[part for part, _ in shown],
            title=title,
        )
