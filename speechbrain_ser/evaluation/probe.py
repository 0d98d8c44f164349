"""What a reference chose, in its report."""

from speechbrain_ser.evaluation.report import Report
from speechbrain_ser.evaluation.trust import no_temperature


class ProbeReport(Report):
    """Evaluates a fitted reference; says what it chose, and on whom."""

    def findings(self):
        """Returns layers and C, what they were chosen by, and who trained."""
        return {"chosen": self.brain.history.notes["chosen"]}

    def fit_temperature(self, predictions):
        """Returns the fit's own: whoever validates is fitted on too."""
        known = self.brain.history.notes.get("calibration")
        return known or no_temperature("it was fitted without one")

    def print_more(self, scores):
        """Prints what was chosen."""
        chosen = self.brain.history.notes["chosen"]
        layers = " and ".join(map(str, chosen["layers"]))
        print(
            f"layer {layers}, C {chosen['C']:g}; fitted on "
            f"{' and '.join(chosen['trained_on'])}, so that the scores of these "
            "say nothing"
        )
