"""What decides a run's result, known before anything is trained."""

import collections
import dataclasses
import functools
import os
import platform
from importlib import metadata

import speechbrain_ser
from speechbrain.utils.run_opts import RunOptions
from speechbrain_ser.corpora.protocols.checks import split_fingerprint
from speechbrain_ser.experiment.hparams import peek, with_overrides
from speechbrain_ser.experiment.identity import (
    DECISIVE,
    code_version,
    counted,
    digest,
    file_digest,
    hparams_content,
    library_versions,
)
from speechbrain_ser.utils.distributed import world_size
from speechbrain_ser.utils.settings import REPORT, RUN

# SpeechBrain's run options that change a result.
DECISIVE_OPTIONS = (
    "debug",
    "precision",
    "eval_precision",
    "auto_mix_prec",
    "bfloat16_mix_prec",
    "max_grad_norm",
    "skip_nonfinite_grads",
    "grad_accumulation_factor",
    "optimizer_step_limit",
    "remove_vector_weight_decay",
)
# Facts that must not change when a run goes on, see `run_folder.check_folder`.
CLAIMED = ("split_sha256", "code", "run_options", "processes", "files")


@dataclasses.dataclass
class Plan:
    """A run that a recipe is about to make.

    Attributes
    ----------
    script : str
        The recipe's file.
    path : str
        The hparams file.
    overrides : str
        YAML.
    settings : dict
        The plain settings that both give, see `hparams.peek`.
    parts : dict
        Part, as the report names it, to annotation; those that train as they
        are given to the training. They may be shared with other plans.
    protocol : str
        The name of the protocol, see `corpora.protocols`.
    more_parts : tuple of str
        Names of parts that the report adds to `parts`, of the same utterances
        as `test`.
    files : dict
        Setting to path of a file, whose content counts.
    seedless : bool
        Whether nothing is drawn, so that runs of all seeds are one.
    """

    script: str
    path: str
    overrides: str
    settings: dict
    parts: dict
    protocol: str
    more_parts: tuple = ()
    files: dict = dataclasses.field(default_factory=dict)
    seedless: bool = False

    @property
    def deciding(self):
        """The overrides, without a seed that decides nothing."""
        if not self.seedless:
            return self.overrides
        return with_overrides(self.overrides, seed=None)

    @functools.cached_property
    def split(self):
        """SHA-256 of the split: ids and labels, not paths."""
        return split_fingerprint(self.parts)

    def content(self, run_opts, processes=None):
        """Returns all that decides the result, as plain values.

        Arguments
        ---------
        run_opts : RunOptions
        processes : int, optional
            That train together; default: those of this process group.

        Returns
        -------
        dict
        """
        default = RunOptions()
        return {
            "hparams": hparams_content(self.path, self.deciding, self.settings),
            "split": self.split,
            "protocol": self.protocol,
            "code": code_version(self.script, self.path),
            "run_options": {
                name: run_opts[name]
                for name in DECISIVE_OPTIONS
                if name not in self.settings  # it counts there
                and run_opts[name] != default[name]
            },
            "processes": processes or world_size(),
            "libraries": library_versions(),
            "files": {
                name: file_digest(path)
                for name, path in self.files.items()
                if path is not None
            },
        }

    def key(self, run_opts, processes=None):
        """Returns the SHA-256 of `content`: runs of one key are one run."""
        return digest(self.content(run_opts, processes))

    def report_content(self, run_opts, processes=None):
        """Returns all that decides the report of the run's predictions."""
        return {
            "run": self.key(run_opts, processes),
            "hparams": hparams_content(
                self.path, self.deciding, self.settings, (RUN, REPORT)
            ),
            "code": code_version(self.script, self.path, report=True),
        }

    def report_key(self, run_opts, processes=None):
        """Returns the SHA-256 of `report_content`.

        A finished run whose report has another one is reported anew, without
        training.
        """
        return digest(self.report_content(run_opts, processes))

    def facts(self, run_opts):
        """Returns what every ``metrics.json`` says of its run."""
        content = self.content(run_opts)
        by_part = {
            "parts_sha256": {
                name: split_fingerprint({name: part})
                for name, part in self.parts.items()
            },
            "sizes": {name: len(part) for name, part in self.parts.items()},
            "counts": {
                name: class_counts(part, self.settings["labels"])
                for name, part in self.parts.items()
            },
        }
        for name in self.more_parts:
            for facts in by_part.values():
                facts[name] = facts["test"]
        return {
            "run": digest(content),
            "report": self.report_key(run_opts),
            "corpus": self.settings["corpus_name"],
            "protocol": self.protocol,
            "split_sha256": self.split,
            **by_part,
            "labels": self.settings["labels"],
            "seed": self.settings["seed"],
            "hparams": os.path.basename(self.path),
            "overrides": self.changes(),
            "run_options": content["run_options"],
            "processes": content["processes"],
            "files": content["files"],
            "code": content["code"],
            "versions": versions(),
        }

    def claimed(self, run_opts):
        """Returns the settings and facts that a run's folder is bound to."""
        facts = self.facts(run_opts)
        claimed = {name: facts[name] for name in CLAIMED}
        settings = counted(self.path, self.settings)
        if self.seedless:
            settings.pop("seed", None)
        return settings | claimed

    def changes(self):
        """Returns the settings that are not as the hparams file has them."""
        before = peek(self.path, "")
        return {
            name: value
            for name, value in counted(self.path, self.settings).items()
            if name not in before or value != before[name]
        }


def decisive_options(settings):
    """Returns SpeechBrain's decisive run options among a file's settings.

    Example
    -------
    >>> decisive_options({"max_grad_norm": 5.0, "lr": 0.1})
    {'max_grad_norm': 5.0}
    """
    return {n: settings[n] for n in DECISIVE_OPTIONS if n in settings}


def versions():
    """Returns the versions that a result may depend on."""
    return {
        "python": platform.python_version(),
        "speechbrain_ser": speechbrain_ser.__version__,
    } | {name: metadata.version(name) for name in (*DECISIVE, "numpy")}


def class_counts(annotation, labels):
    """Counts the utterances of each class.

    Example
    -------
    >>> class_counts({"a": {"emotion": "sad"}}, ["ang", "sad"])
    {'ang': 0, 'sad': 1}
    """
    found = collections.Counter(e.get("emotion") for e in annotation.values())
    return {word: found[word] for word in labels}
