"""What IPR finds: soft labels, how the prototypes move, Figures 2 and 3."""

from speechbrain_ser.evaluation.report import Report
from speechbrain_ser.figures.agreement import plot_agreement
from speechbrain_ser.figures.curves import plot_curves
from speechbrain_ser.figures.prototypes import plot_prototype_similarity
from speechbrain_ser.lobes.prototypes import AMBIGUOUS
from speechbrain_ser.methods.ipr_parts import LEARN_UNLABELLED


class IPRReport(Report):
    """The report of `methods.ipr.IPRBrain`.

    Arguments
    ---------
    brain : IPRBrain
    **kwargs : dict
        Of `Report`.
    """

    probed_parts = ("train", "unlabelled")  # of every system the same speech

    def columns(self, prediction):
        """Adds the prototypes' soft label and pseudo-label."""
        columns = super().columns(prediction)
        if self.brain.system == "ipr":
            soft = prediction["soft_label"]
            for word, value in zip(self.labels, soft.tolist()):
                columns[f"soft_label_{word}"] = round(value, 6)
            columns["pseudo_label"] = self.labels[int(soft.argmax())]
        return columns

    def findings(self):
        """Says how long the warm-up was, and which epochs could be chosen."""
        first = self.brain.number_of_epochs
        if self.brain.model_selection == "best":
            learns = self.brain.system in LEARN_UNLABELLED
            first = self.brain.warmup + 1 if learns else 1
        return {
            "warmup_epochs": self.brain.warmup,
            "first_selectable_epoch": first,
        } | self.warmup_end()

    def warmup_end(self):
        """Returns the UA of valid and test at the warm-up's end, if noted."""
        noted = self.brain.history.notes.get("warmup_end")
        return {} if noted is None else {"warmup_end": noted}

    def print_all(self, title, scores):
        """Ends with what D2 gave, where there was a warm-up without it."""
        super().print_all(title, scores)
        noted = self.brain.history.notes.get("warmup_end")
        if noted is not None:
            for line in gains(
                noted, self.epoch, scores, self.last_epochs_mean()
            ):
                print(line)
            print(f"the epochs between: {self.figure('curves')}")

    def draw_figures(self, predictions, title):
        """Draws training curves, Figures 2 and 3, and the embeddings."""
        rows = self.brain.history.rows
        epochs = [row["epoch"] for row in rows]
        marks = []
        if self.brain.system in LEARN_UNLABELLED:
            marks = [(self.brain.warmup, "end of warm-up")]
        self.draw_curves(rows, title, marks)
        if any("model_agreement" in row for row in rows):
            plot_agreement(
                self.figure("pseudo_label_agreement"),
                epochs,
                [row.get("model_agreement") for row in rows],
                [row.get("prototype_agreement") for row in rows],
                marks,
            )
        prototypes = None
        if self.brain.system == "ipr":
            bank = self.brain.modules.prototypes
            predictions = centred(predictions, bank)
            prototypes = bank.prototypes.cpu().numpy()
            plot_prototype_similarity(
                self.figure("prototype_similarity"),
                epochs,
                self.brain.history.notes["similarity"],
                self.labels,
                marks,
            )
        self.draw_embedding(predictions, prototypes, title)

    def draw_curves(self, rows, title, marks):
        """Draws the losses and the valid part's scores."""
        losses = {
            "train_loss": "train, total",
            "precise_loss": "precise",
            "pseudo_loss": "pseudo-labelled",
            "contrastive_loss": "contrastive",
            "valid_loss": "valid",
        }
        shares = {"valid_WA": "WA", "valid_UA": "UA"}
        plot_curves(
            self.figure("curves"),
            rows,
            [("loss", losses), ("valid", shares)],
            title,
            marks,
        )


def gains(warmup_end, epoch, scores, last=None):
    """Says what a system gained over its own warm-up, a line a part.

    Arguments
    ---------
    warmup_end : dict
        ``epoch``, and the UA of ``valid`` and ``test`` after it, or None.
    epoch : int
        The chosen one.
    scores : dict
        Part to its scores at the chosen epoch.
    last : dict or None
        See `Report.last_epochs_mean`.

    Returns
    -------
    list of str

    Example
    -------
    >>> before = {"epoch": 9, "valid": 0.9, "test": None}
    >>> gains(before, 20, {"valid": {"UA": 0.875}})
    ['valid UA 90.0 after the warm-up (epoch 9), 87.5 in epoch 20 (-2.5)']
    """
    lines = []
    for part in ("valid", "test"):
        before, after = warmup_end.get(part), scores.get(part)
        if before is None or after is None:
            continue
        line = (
            f"{part} UA {100 * before:.1f} after the warm-up "
            f"(epoch {warmup_end['epoch']}), {100 * after['UA']:.1f} in epoch "
            f"{epoch} ({100 * (after['UA'] - before):+.1f})"
        )
        if part == "test" and last is not None:
            mean = last["UA"]["mean"]
            line += (
                f", {100 * mean:.1f} in the mean of the last "
                f"{len(last['epochs'])} epochs ({100 * (mean - before):+.1f})"
            )
        lines.append(line)
    return lines


def centred(predictions, bank):
    """Returns predictions whose embeddings are as prototypes are compared.

    Arguments
    ---------
    predictions : dict
        Part to utterance to its outputs and ``entry``.
    bank : PrototypeBank

    Returns
    -------
    dict
    """
    device = bank.prototypes.device
    return {
        part: {
            key: p
            | {
                "embedding": bank.centred(
                    p["embedding"].to(device)[None],
                    p["entry"].get("domain", AMBIGUOUS),
                )[0].cpu()
            }
            for key, p in held.items()
        }
        for part, held in predictions.items()
    }
