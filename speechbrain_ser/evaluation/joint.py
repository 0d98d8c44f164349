"""What the parts together find."""

from speechbrain_ser.evaluation.report import Report
from speechbrain_ser.evaluation.trust import no_temperature
from speechbrain_ser.figures.curves import plot_curves


class JointReport(Report):
    """The report of `methods.joint.JointBrain`."""

    def findings(self):
        """Says on whom it was trained."""
        more = ["valid"] if self.brain.valid_trains else []
        return {"trained_on": ["train", *more]}

    def fit_temperature(self, predictions):
        """Fits none where the validating speakers were trained on."""
        if self.brain.valid_trains:
            return no_temperature("the validating speakers train too")
        return super().fit_temperature(predictions)

    def draw_figures(self, predictions, title):
        """Draws the curves and the embeddings."""
        rows = self.brain.history.rows
        losses = {"emotion_loss": "emotion", "speaker_loss": "speaker"}
        curves = [
            (
                "training loss",
                {k: v for k, v in losses.items() if k in rows[-1]},
            )
        ]
        if not self.brain.valid_trains and "valid_UA" in rows[-1]:
            curves.append(("valid", {"valid_WA": "WA", "valid_UA": "UA"}))
        plot_curves(self.figure("curves"), rows, curves, title)
        super().draw_figures(predictions, title)

    def print_more(self, scores):
        """Says whose scores say nothing."""
        if self.brain.valid_trains:
            print(
                "the validating speakers train too, so that the scores of train "
                "and valid say nothing"
            )
