"""The report of a trained model on speech that it was not made for."""

import os
import types

from speechbrain_ser.evaluation.metrics import metrics_table
from speechbrain_ser.evaluation.report import Report
from speechbrain_ser.evaluation.selective import coverage_curve, sure_scores
from speechbrain_ser.evaluation.trust import no_temperature
from speechbrain_ser.figures.confusion import plot_confusion
from speechbrain_ser.figures.coverage import plot_coverage
from speechbrain_ser.prediction import Predictor
from speechbrain_ser.scores import SHARES
from speechbrain_ser.utils.files import write_csv
from speechbrain_ser.utils.temperature import tempered

SHOWN = 30  # speakers at most that the screen has a row for


class Answers(Predictor):
    """What a model answered; stands in for a Brain.

    Arguments
    ---------
    labels : list of str
        The model's.
    device : str
    seconds : float
        That it took.
    """

    def __init__(self, labels, device="cpu", seconds=0.0):
        self.labels = list(labels)
        self.device = device
        self.seconds = seconds
        self.datasets = {}
        self.history = types.SimpleNamespace(rows=[], notes={})

    def load_selected(self):
        """Returns None: there is no epoch to choose."""
        return None

    def predict(self, dataset):
        """Returns what was answered, which is given for the dataset."""
        return dataset

    def wall_seconds(self):
        """Returns how long the answers took."""
        return round(self.seconds, 1)


class OtherSpeechReport(Report):
    """Reports answers on other speech, also by gender and by speaker.

    Arguments
    ---------
    answers : Answers
    output_folder : str
    fitted : dict
        What is said of the model's own temperature, see `trust.fitted_on`.
    min_confidence : float or None
        What is less sure than this, at that temperature, is "unsure"; the
        scores of the rest are told beside those of all.
    own : list of str
        The method's own columns, whose numbers a prediction has by name.
    """

    def __init__(
        self,
        answers,
        output_folder,
        fitted=None,
        min_confidence=None,
        own=(),
    ):
        super().__init__(answers, output_folder)
        self.fitted = fitted or no_temperature("the model has none")
        self.min_confidence = min_confidence
        self.own = list(own)

    def fit_temperature(self, predictions):
        """Returns the model's own temperature: none is fitted here."""
        return self.fitted

    def confidences(self, part="test"):
        """Returns the largest posterior of what has a label, tempered."""
        found = self.trust.posteriors(part)
        return found.get("tempered", found["raw"]).max(axis=1).tolist()

    def columns(self, prediction):
        """Adds confidence, the method's own numbers, speaker and gender.

        The posteriors are the model's, the confidence is the largest of them at
        its temperature.
        """
        entry = prediction["entry"]
        posterior = prediction["posterior"].numpy()
        sure = tempered(posterior, self.trust.temperature or 1).max()
        return (
            super().columns(prediction)
            | {"tempered_confidence": round(float(sure), 6)}
            | {name: round(float(prediction[name]), 6) for name in self.own}
            | {name: entry.get(name) for name in ("speaker", "gender")}
        )

    def full_score(self, predictions):
        """Adds the scores of each gender."""
        score = super().full_score(predictions)
        if score is not None:
            score["genders"] = {
                gender: self.score(held)
                for gender, held in grouped(predictions, "gender").items()
            }
        return score

    def findings(self):
        """Says how sure it would be at best, how much it is sure of, and right."""
        if not self.scores:
            return {}
        found = {"temperature_of_these_labels": self.trust.best()}
        if self.min_confidence is not None:
            found["sure"] = self.sure()
        return found

    def sure(self):
        """Returns the scores of what is sure enough, of ``test``."""
        held = self.brain.labelled(self.brain.datasets["test"])
        labels, guesses, _ = zip(*held)
        return sure_scores(
            labels,
            guesses,
            self.confidences(),
            self.labels,
            self.min_confidence,
        )

    def draw_figures(self, predictions, title):
        """Draws confusions by gender, coverage, embeddings; lists speakers."""
        score = self.scores["test"]
        for gender, own in score["genders"].items():
            plot_confusion(
                self.figure(f"confusion_{gender}"),
                own["confusion"],
                self.labels,
                f"{title}: {gender}",
            )
        held = self.brain.labelled(predictions["test"])
        plot_coverage(
            self.figure("coverage"),
            coverage_curve(
                self.confidences(), [word == guess for word, guess, _ in held]
            ),
            title,
            self.min_confidence,
        )
        if len(held) > 1:
            self.draw_embedding(predictions, title=title)
        rows = self.speaker_rows(predictions["test"])
        if rows:
            path = os.path.join(self.output_folder, "speakers.csv")
            write_csv(path, rows)

    def speaker_rows(self, predictions):
        """Returns a row of scores for each speaker, the worst first."""
        rows = []
        for speaker, held in grouped(predictions, "speaker").items():
            score = self.score(held)
            genders = {p["entry"].get("gender") for p in held.values()}
            row = {
                "speaker": speaker,
                "gender": genders.pop() if len(genders) == 1 else None,
                "n": score["n"],
            }
            row |= {name: round(score[name], 6) for name in SHARES}
            for word, share in score["recall"].items():
                known = None if share is None else round(share, 6)
                row[f"recall_{word}"] = known
            rows.append(row)
        return sorted(rows, key=lambda row: row["UA"])

    def print_more(self, scores):
        """Prints the scores by gender and speaker, and of what is sure."""
        score = scores.get("test")
        if score is None:
            return
        if len(score["genders"]) > 1:
            print(metrics_table(score["genders"]))
        rows = self.speaker_rows(self.brain.datasets["test"])
        if 1 < len(rows) <= SHOWN:
            print(metrics_table({row["speaker"]: row for row in rows}))
        elif len(rows) > SHOWN:
            ends = rows[0], rows[-1]
            worst, best = (f"{100 * row['UA']:.2f}" for row in ends)
            print(f"UA of the {len(rows)} speakers: {worst} to {best}")
        best = self.trust.best()
        if best is not None:
            print(
                f"by these labels a temperature of {best:.2f} would be the best; "
                "it is used for nothing"
            )
        if self.min_confidence is not None:
            found = self.sure()
            of = ""
            if found["n"]:
                shares = (f"{n} {100 * found[n]:.2f}" for n in ("WA", "UA"))
                of = f", of these {', '.join(shares)}"
            print(
                f"confidence of {self.min_confidence:g} or more: "
                f"{100 * found['coverage']:.1f} % of the utterances{of}"
            )


def grouped(predictions, name):
    """Parts predictions that have a label by what their entries say.

    Arguments
    ---------
    predictions : dict
        Utterance to its outputs and ``entry``.
    name : str
        Of the entry, such as ``gender``; those without it are left out.

    Returns
    -------
    dict
        Value, sorted, to utterance to outputs.
    """
    found = {}
    for key, prediction in predictions.items():
        entry = prediction["entry"]
        if entry.get("emotion") is not None and entry.get(name) is not None:
            found.setdefault(entry[name], {})[key] = prediction
    return dict(sorted(found.items()))
