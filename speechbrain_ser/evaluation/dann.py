"""What DANN finds: Figures 2 and 3, and how well the language can be told."""

import os
from zipfile import BadZipFile

import numpy as np

from speechbrain.utils.logger import get_logger
from speechbrain_ser.data.domains import NAMES, SOURCE, TARGET
from speechbrain_ser.evaluation.probing import language_probe
from speechbrain_ser.evaluation.report import Report, run_key
from speechbrain_ser.figures.adversary import plot_adversary
from speechbrain_ser.figures.languages import plot_languages
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.files import replacing
from speechbrain_ser.utils.settings import REPORT, Word, checked

logger = get_logger(__name__)

ROW = "languages.npz"
COLUMNS = ("embeddings", "language", "emotion", "name", "note")


class DANNReport(Report):
    """The report of `methods.dann.DANNBrain`.

    Arguments
    ---------
    brain : DANNBrain
    output_folder : str
    compared_folder : str or None
        The folder of a finished run of ``base``, which is drawn beside this.
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
        self.language_left = None
        self.compared = None  # key of the run that Figure 2 shows beside this

    def findings(self):
        """Returns how well the language can be told, and who is in Figure 2."""
        found = {"language_probe_UA": self.language_left}
        return found | ({"compared": self.compared} if self.compared else {})

    def fit_temperature(self, predictions):
        """Adds of which language the valid part is, which decides its worth.

        Of ``dann`` the target's was heard in training, without its labels.
        """
        facts = super().fit_temperature(predictions)
        for prediction in list(predictions.get("valid", {}).values())[:1]:
            domain = prediction["entry"].get("domain", TARGET)
            facts["language"] = NAMES[domain]
            heard = self.brain.system == "dann" and domain == TARGET
            facts["heard_in_training"] = heard
            if heard:
                more = [facts["note"]] if "note" in facts else []
                more.append("that speech trained too, without its labels")
                facts["note"] = "; ".join(more)
        return facts

    def draw_figures(self, predictions, title):
        """Draws Figure 2, of ``base`` beside it if that run is there, and 3."""
        if self.brain.system == "mono":
            return
        own = self.figure_2_row(predictions)
        with replacing(os.path.join(self.output_folder, ROW)) as beside:
            with open(beside, "wb") as file:
                np.savez(file, **own)
        rows = [own]
        if self.brain.system == "dann":
            rows = self.compared_row() + rows
            plot_adversary(
                self.figure("adversary"),
                self.brain.history.rows,
                title,
                marks=[(self.epoch, "selected")],
            )
        plot_languages(
            self.figure("languages"),
            {
                str(row["name"]): {
                    "embeddings": row["embeddings"],
                    "language": row["language"].tolist(),
                    "emotion": [word or None for word in row["emotion"]],
                    "note": str(row["note"]),
                }
                for row in rows
            },
            NAMES,
            self.labels,
            title,
        )

    def figure_2_row(self, predictions):
        """Returns what Figure 2 shows of this run.

        Arguments
        ---------
        predictions : dict
            Part to what the Brain's ``predict`` returned: the source that
            trains, and the target that tests, or all of it if nothing is known
            of it.

        Returns
        -------
        dict
            For `figures.languages.plot_languages`, with arrays.
        """
        tested = "test" if "test" in predictions else "target"
        shown = [
            (p["embedding"].numpy(), language, p["entry"].get("emotion") or "")
            for part, language in (("train", SOURCE), (tested, TARGET))
            for p in predictions[part].values()
        ]
        embeddings, languages, emotions = map(np.array, zip(*shown))
        self.language_left = language_probe(embeddings, languages)
        note = ""
        if self.language_left is not None:
            note = (
                "a linear classifier tells the language with "
                f"{100 * self.language_left:.1f} % UA"
            )
        return {
            "embeddings": embeddings,
            "language": languages,
            "emotion": emotions,
            "name": np.array(f"{self.brain.system} ({self.brain.norm.way})"),
            "note": np.array(note),
        }

    def compared_row(self):
        """Returns ``base``'s row of Figure 2 in a list, empty without a run."""
        if self.compared_folder is None:
            return []
        path = os.path.join(self.compared_folder, ROW)
        if not os.path.isfile(path):
            logger.info(
                f"figures/languages.png shows dann alone: there is no {path}; "
                "run --system base, then the same command again"
            )
            return []
        try:
            with np.load(path, allow_pickle=False) as file:
                row = {name: file[name] for name in COLUMNS}
        except (KeyError, OSError, ValueError, EOFError, BadZipFile) as failure:
            raise InputError(
                f"{path} can't be read ({failure}): run --system base again, "
                "or give another --compared_folder"
            ) from failure
        self.compared = run_key(self.compared_folder)
        return [row]
