"""What MEnAN finds: Figure 2, how uncertain SC is, what choosing epochs gives."""

import os
from zipfile import BadZipFile

import numpy as np

from speechbrain.utils.logger import get_logger
from speechbrain_ser.evaluation.report import Report, run_key
from speechbrain_ser.figures.curves import plot_curves
from speechbrain_ser.figures.speaker_entropy import plot_speaker_entropy
from speechbrain_ser.figures.speakers import check_row, plot_speakers
from speechbrain_ser.scores import SHARES
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.files import replacing
from speechbrain_ser.utils.settings import REPORT, Word, checked

logger = get_logger(__name__)

ROW = "speakers.npz"
COLUMNS = ("embeddings", "speaker", "emotion", "name", "note")
UNSEEN = ("valid", "test")  # parts of speakers who don't train


class MEnANReport(Report):
    """The report of `methods.menan.MEnANBrain`.

    Arguments
    ---------
    brain : MEnANBrain
    output_folder : str
    compared_folder : str or None
        The folder of a finished run, which is drawn beside this (Figure 2).
    **kwargs : dict
        Of `Report`.
    """

    @checked
    def __init__(
        self,
        brain,
        output_folder,
        compared_folder: Word(optional=True, counts=REPORT) = None,
        **kwargs,
    ):
        super().__init__(brain, output_folder, **kwargs)
        self.compared_folder = compared_folder
        self.compared = None  # key of the run that Figure 2 shows beside this

    def findings(self):
        """Returns what choosing the epoch would have given, and who is in Figure 2.

        ``directions`` has whom the model was tested on to the epoch, who would
        have chosen it and the scores of both, see
        `methods.menan_parts.note_best_epochs`.
        """
        beside = {"compared": self.compared} if self.compared else {}
        directions = self.brain.history.notes.get("best")
        if not directions:
            return {"best_epoch": None} | beside
        own = list(directions.values())
        means = {
            part: {
                name: float(np.mean([held[part][name] for held in own]))
                for name in SHARES
            }
            for part in UNSEEN
        }
        return {"best_epoch": {"directions": directions} | means} | beside

    def draw_figures(self, predictions, title):
        """Draws curves, Figure 2, beside another run if it is there, and SC."""
        rows = self.brain.history.rows
        unseen = ("valid", {"valid_WA": "WA", "valid_UA": "UA"})
        if "valid" not in self.brain.datasets:
            names = {"test_WA": "WA", "test_UA": "UA"}
            unseen = ("test (chooses nothing)", names)
        plot_curves(
            self.figure("curves"),
            rows,
            [
                (
                    "loss of the emotion",
                    {"emotion_loss": "training", "valid_loss": "valid"},
                ),
                unseen,
            ],
            title,
        )
        own = self.figure_2_row(predictions)
        with replacing(os.path.join(self.output_folder, ROW)) as beside:
            with open(beside, "wb") as file:
                np.savez(file, **own)
        plot_speakers(
            self.figure("speakers"),
            {
                str(row["name"]): drawable(row)
                for row in self.compared_row() + [own]
            },
            self.labels,
            f"{title}: speakers that do not train",
        )
        if self.brain.system != "emotion_only":
            plot_speaker_entropy(
                self.figure("adversary"),
                rows,
                self.brain.speaker_classifier[-1].out_features,
                title,
                marks=[(self.epoch, "selected")],
            )

    def figure_2_row(self, predictions):
        """Returns what Figure 2 shows of this run: two unseen speakers.

        Arguments
        ---------
        predictions : dict
            Part to what the Brain's ``predict`` returned.

        Returns
        -------
        dict
            For `figures.speakers.plot_speakers`, with arrays.
        """
        shown = [
            (
                p["embedding"].numpy(),
                p["entry"].get("speaker") or "",
                p["entry"].get("emotion") or "",
            )
            for part in UNSEEN
            for p in predictions.get(part, {}).values()
        ]
        embeddings, speakers, emotions = map(np.array, zip(*shown))
        return {
            "embeddings": embeddings,
            "speaker": speakers,
            "emotion": emotions,
            "name": np.array(self.brain.system),
            "note": np.array(self.leakage_note()),
        }

    def leakage_note(self):
        """Returns what the leakage probe found, if it was asked for."""
        if self.leakage is None:
            return ""
        return (
            "a fresh classifier names the speaker of "
            f"{100 * self.leakage['accuracy']:.1f} % of the training "
            f"utterances (chance {100 * self.leakage['chance']:.1f} %)"
        )

    def compared_row(self):
        """Returns another run's row of Figure 2 in a list, or an empty one."""
        if self.compared_folder is None:
            return []
        path = os.path.join(self.compared_folder, ROW)
        if os.path.realpath(self.compared_folder) == os.path.realpath(
            self.output_folder
        ):
            return []
        system = self.brain.system
        if not os.path.isfile(path):
            logger.info(
                f"figures/speakers.png shows {system} alone: there is no "
                f"{path}; run --system multitask, then the same command again"
            )
            return []
        try:
            with np.load(path, allow_pickle=False) as file:
                row = {name: file[name] for name in COLUMNS}
            check_row(path, drawable(row), self.labels)
        except (KeyError, OSError, ValueError, EOFError, BadZipFile) as failure:
            raise InputError(
                f"{path} can't be read ({failure}): run that system again, or "
                "give another --compared_folder"
            ) from failure
        if row["name"] == system:
            row["name"] = f"{system} (compared)"
        self.compared = run_key(self.compared_folder)
        return [row]


def drawable(row):
    """Returns a row of `ROW`'s arrays for `figures.speakers.plot_speakers`."""
    return {
        "embeddings": row["embeddings"],
        "speaker": row["speaker"].tolist(),
        "emotion": [word or None for word in row["emotion"].tolist()],
        "note": str(row["note"]),
    }
