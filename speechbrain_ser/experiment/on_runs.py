"""An experiment without training: finished runs of another recipe are tested."""

import os

from speechbrain.utils.distributed import if_main_process, infer_device
from speechbrain_ser.experiment.experiment import Experiment
from speechbrain_ser.experiment.finished_runs import load_weights
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import NOTHING, Setting, Values, Word


class OnRuns(Experiment):
    """Tests the models of finished runs, one a fold, on another corpus.

    All of the corpus is tested on. Its protocol gives each entry ``present``,
    the words that are right.

    Arguments
    ---------
    runs_folder : str
        Above a finished run for each fold.
    chosen : dict
        Setting to value: which of the runs; None: all are alike.
    runs : Kind
        What runs there are to choose from. What its `alike` names is taken from
        them.
    modules : tuple of str
        What is loaded of each.
    words : tuple of str
        The class words that can be right.
    **kwargs : dict
        Of `Experiment`. The report is made of a folder and a device; it builds
        the modules of a model and writes what it finds. What `about` returns
        has ``system`` and ``trained_on``.
    """

    def __init__(
        self,
        runs_folder: Word(counts=NOTHING),
        chosen: Values(Setting()),
        runs=None,
        modules=(),
        words=(),
        **kwargs,
    ):
        super().__init__(fill_in=self.taken, files=self.weights, **kwargs)
        self.runs_folder = runs_folder
        self.chosen = chosen
        self.runs = runs
        self.modules = modules
        self.words = words

    def found(self):
        """Returns the runs, in order of the folds."""
        return self.runs.find(self.runs_folder, self.chosen)

    def taken(self, settings, parts):
        """Returns the settings that the runs have, where they are left open.

        Arguments
        ---------
        settings : dict
        parts : dict or None
            None before they are read.

        Returns
        -------
        dict

        Raises
        ------
        InputError
            If the runs tell words apart that nobody can be right with.
        """
        if parts is not None:
            return {}
        first = self.found()[0]
        for word in first.settings["labels"]:
            if word not in self.words:
                raise InputError(
                    f"{first.folder} was trained to tell {word!r} too, which is "
                    "never right here: give models of "
                    f"{', '.join(self.words)}"
                )
        chosen = {
            setting: first.get(self.runs.chosen[setting])
            for setting, value in self.chosen.items()
            if value is None
        }
        return chosen | {n: first.settings[n] for n in self.runs.alike}

    def weights(self, settings):
        """Returns the files of the models: what they hold counts."""
        return {
            f"fold {run.facts['fold']} {name}": os.path.join(folder, file)
            for run in self.found()
            for folder in [run.checkpoint(self.modules)]
            for name in self.modules
            for file in [f"{name}.ckpt"]
        }

    # The parts

    def make_parts(self, settings):
        """Reads the corpus; all that its protocol keeps is tested on."""
        annotation = self.read()
        parts = {
            part: {
                key: entry | {"emotion": "+".join(entry["present"])}
                for key, entry in kept.items()
            }
            for part, kept in self.protocol.split(annotation).items()
        }
        return parts, self.protocol.full_name(settings)

    def check(self, parts, accumulation=1):
        """Refuses nothing: an entry may have several words."""

    def print_split(self, planned):
        """Prints the protocol."""
        if if_main_process():
            print(f"{self.corpus_name}, {planned.protocol}", flush=True)

    def title(self, settings):
        """Returns the title of figure and table."""
        about = self.about(settings)
        return (
            f"{about['system']}, trained on {about['trained_on']}, on "
            f"{self.corpus_name}"
        )

    # The models

    def execute(self, planned, run_opts):
        """Loads the models, tests and reports.

        Arguments
        ---------
        planned : Plan
        run_opts : RunOptions
        """
        device = run_opts.device or infer_device()
        report = self.report(self.output_folder, device)
        models = [self.load(run, report.build()) for run in self.found()]
        self.begin(planned, run_opts)
        self.write_annotations(planned.parts)
        report.write(
            models,
            planned.parts["test"],
            planned.facts(run_opts) | self.facts(planned.settings),
            self.title(planned.settings),
        )

    def load(self, run, modules):
        """Loads a run's selected epoch.

        Arguments
        ---------
        run : FinishedRun
        modules : dict
            Name to what it is loaded into.

        Returns
        -------
        dict
            ``fold``, ``epoch``, ``modules``.
        """
        folder = run.checkpoint(self.modules)
        for name, module in modules.items():
            load_weights(module, os.path.join(folder, f"{name}.ckpt"))
        return {
            "fold": run.facts["fold"],
            "epoch": run.facts["selected_epoch"],
            "modules": modules,
        }
