"""What a reference chose, in its report."""

from speechbrain_ser.evaluation.report import Report


class ProbeReport(Report):
    """Evaluates a fitted reference; says what it chose, and on whom."""

    def findings(self):
        """Returns layers and C, what they were chosen by, and who trained."""
        return {"chosen": self.brain.history.notes["chosen"]}

    def print_more(self, scores):
        """Prints what was chosen."""
        chosen = self.brain.history.notes["chosen"]
        layers = " and ".join(map(str, chosen["layers"]))
        print(
            f"layer {layers}, C {chosen['C']:g}; fitted on "
            f"{' and '.join(chosen['trained_on'])}, so that the scores of these "
            "say nothing"
        )
