"""What is left of a codebook that was learnt: its prototypes, how they came."""

import os

import torch

from speechbrain.utils.distributed import if_main_process
from speechbrain_ser.evaluation.report import Report
from speechbrain_ser.figures.curves import plot_curves
from speechbrain_ser.utils.files import replacing, write_json


class CodebookReport(Report):
    """The report of `methods.lpmn.CodebookBrain`, which classifies nothing.

    ``codebook.ckpt`` is what LPMN begins with, ``codebook.json`` says what it
    was learnt from.
    """

    def write(self, facts, title):
        """Writes the prototypes, the curves and what they come from.

        Arguments
        ---------
        facts : dict
            What ``codebook.json`` says besides.
        title : str
        """
        self.epoch = self.load_selected()
        if not if_main_process():
            return
        rows = self.brain.history.rows
        plot_curves(
            self.figure("curves"),
            rows,
            [
                ("quantization loss (Eq. 1)", {"train_loss": "training"}),
                (
                    "prototypes",
                    {"used_prototypes": "used", "perplexity": "perplexity"},
                ),
            ],
            "codebook",
        )
        prototypes = self.brain.codebook.prototypes.detach().cpu()
        path = os.path.join(self.output_folder, "codebook.ckpt")
        with replacing(path) as beside:
            # given a path, torch would write its random name into the file
            with open(beside, "wb") as file:
                torch.save({"prototypes": prototypes}, file)
        write_json(
            os.path.join(self.output_folder, "codebook.json"),
            facts
            | {
                "wall_seconds": self.brain.wall_seconds(),
                "last_epoch": rows[-1],
            },
        )
        print(
            f"codebook: {path} ({rows[-1]['used_prototypes']:.0f} of "
            f"{len(prototypes)} prototypes used, perplexity "
            f"{rows[-1]['perplexity']:.1f})"
        )
