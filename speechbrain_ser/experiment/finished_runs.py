"""Finished runs below a folder: they are read, nothing of theirs is run."""

import dataclasses
import json
import os
import pickle
import textwrap

import torch
from yaml import YAMLError

from speechbrain_ser.experiment.run_folder import CHECKPOINTS, FORMAT, SETTINGS
from speechbrain_ser.utils.checkpoints import AtomicCheckpointer
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.finite import first_of, not_finite

METRICS = "metrics.json"
# What reports must say.
FACTS = ("fold", "selected_epoch", "protocol", "parts_sha256")
AGAIN = "train that fold again"


@dataclasses.dataclass(frozen=True)
class FinishedRun:
    """A finished run.

    Attributes
    ----------
    folder : str
    facts : dict
        What ``metrics.json`` says.
    settings : dict
        What the folder is bound to.
    """

    folder: str
    facts: dict
    settings: dict

    def get(self, name):
        """Returns a fact or, if there is none of that name, a setting."""
        return self.facts.get(name, self.settings.get(name))

    def check_format(self):
        """Refuses a run whose parts and settings had other names."""
        if self.settings.get("format") != FORMAT:
            raise InputError(
                f"{self.folder} holds a run of an earlier version, which can't "
                f"be loaded any more: {AGAIN}"
            )

    def checkpoint(self, modules):
        """Returns the folder of the selected epoch.

        Arguments
        ---------
        modules : iterable of str
            What must be there, as ``<name>.ckpt``.

        Returns
        -------
        str

        Raises
        ------
        InputError
            If it is not there.
        """
        folder = os.path.join(self.folder, CHECKPOINTS)
        epoch = self.facts["selected_epoch"]
        for checkpoint in checkpoints_in(folder):
            if (checkpoint.meta or {}).get("epoch") == epoch:
                for name in modules:
                    file = os.path.join(checkpoint.path, f"{name}.ckpt")
                    if not os.path.isfile(file):
                        raise InputError(f"{file} is missing: {AGAIN}")
                return str(checkpoint.path)
        raise InputError(
            f"{folder} has no checkpoint of epoch {epoch}, which that run "
            f"selected: {AGAIN}"
        )


@dataclasses.dataclass(frozen=True)
class Kind:
    """Which finished runs are meant, and what tells them apart.

    Attributes
    ----------
    method : str
        As their reports name it.
    script : str
        The recipe that makes them, for errors.
    chosen : dict
        Setting that chooses among them to what they call it themselves.
    text : str
        A format of what they call it: how a run is described in errors.
    alike : tuple of str
        Settings that must be the same for all that are chosen.
    tested : str
        What the reports of such models have and the runs have not.
    paired : str
        A protocol that several folds of are one model: refused.
    """

    method: str
    script: str
    chosen: dict
    text: str
    alike: tuple
    tested: str
    paired: str

    def find(self, root, wanted):
        """Finds the runs of one kind, one a fold, each a model of its own.

        Arguments
        ---------
        root : str
            The folder above them.
        wanted : dict
            Setting of `chosen` to value; None: all are alike.

        Returns
        -------
        list of FinishedRun
            In order of the folds.

        Raises
        ------
        InputError
            If there is none, or it is left open which, or there are two of one
            fold or of one train part, or they are not alike.
        """
        every = self.below(root)
        found = [
            run
            for run in every
            if all(
                wanted[setting] in (None, run.get(fact))
                for setting, fact in self.chosen.items()
            )
        ]
        kinds = sorted({self.describe(run) for run in every})
        there = f" ({'; '.join(kinds)})" if kinds else ""
        if not found:
            raise InputError(self.none_found(root, wanted, there))
        for setting, fact in self.chosen.items():
            if len({run.get(fact) for run in found}) > 1:
                raise InputError(
                    f"{root} has runs of more than one {fact}{there}: give "
                    f"--{setting}"
                )
        found.sort(key=lambda run: run.facts["fold"])
        for run in found:
            run.check_format()
            self.check_protocol(run)
        self.check_train_parts(found)
        self.check_alike(found)
        return found

    def below(self, root):
        """Reads all finished runs of the method below a folder.

        Arguments
        ---------
        root : str

        Returns
        -------
        list of FinishedRun
        """
        if not os.path.isdir(str(root)):
            raise InputError(
                f"there is no folder {root}: give --runs_folder a folder above "
                f"finished runs of {self.script}"
            )
        found = []
        for here, folders, files in os.walk(root):
            folders.sort()
            path = os.path.join(here, METRICS)
            metrics = read_object(path) if METRICS in files else {}
            if metrics.get("method") != self.method or self.tested in metrics:
                continue
            settings = read_object(os.path.join(here, SETTINGS), self.alike)
            run = FinishedRun(here, metrics, settings)
            missing = [name for name in FACTS if name not in metrics]
            missing += [n for n in self.chosen.values() if run.get(n) is None]
            if missing:
                raise InputError(lacks(path, missing))
            found.append(run)
        return found

    def describe(self, run):
        """Says what tells a run from others."""
        facts = {fact: run.get(fact) for fact in self.chosen.values()}
        return self.text.format(**facts)

    def none_found(self, root, wanted, there):
        """Says what was asked for, and what there is."""
        asked = ", ".join(
            f"{name} {value}"
            for name, value in wanted.items()
            if value is not None
        )
        mend = f"give {', '.join(f'--{name}' for name in self.chosen)} of those"
        if not there:
            mend = "give a folder above some, --runs_folder, or train first"
        return (
            f"{root} has no finished run of {self.script} with {asked}{there}: "
            f"{mend}"
        )

    def check_protocol(self, run):
        """Refuses a run whose model another fold has too."""
        if run.facts["protocol"].partition(" with ")[0] == self.paired:
            raise InputError(
                f"{run.folder} holds a run of {self.paired}, several folds of "
                f"which are one model: train with {self.script} as it is now, "
                "one model a fold, and give --runs_folder these runs alone"
            )

    def check_train_parts(self, runs):
        """Refuses two folds that were trained on the same utterances."""
        held = {}
        for run in runs:
            part = run.facts["parts_sha256"].get("train")
            other = held.setdefault(part, run)
            if part and other.facts["fold"] != run.facts["fold"]:
                raise InputError(
                    f"{other.folder} and {run.folder} were trained on the same "
                    "utterances, so they are no two independent models: give "
                    "--runs_folder the folder of one of them"
                )

    def check_alike(self, runs):
        """Refuses two runs of one fold, and such of different settings.

        Arguments
        ---------
        runs : list of FinishedRun
            In order of the folds.
        """
        mend = "give --runs_folder the folder of one experiment"
        first = runs[0]
        for before, run in zip(runs, runs[1:]):
            fold = run.facts["fold"]
            if fold == before.facts["fold"]:
                raise InputError(
                    f"{before.folder} and {run.folder} are both of fold {fold}: "
                    f"{mend}"
                )
        for run in runs:
            for name in self.alike:
                if run.settings[name] != first.settings[name]:
                    raise InputError(
                        f"{first.folder} and {run.folder} were trained with "
                        f"different settings of {name}: {mend}"
                    )


def read_object(path, needed=()):
    """Reads a JSON file of a run.

    Arguments
    ---------
    path : str
    needed : tuple of str
        The keys that must be there.

    Returns
    -------
    dict

    Raises
    ------
    InputError
        If it can't be read, or a key is missing.
    """
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except (OSError, ValueError) as failure:
        raise InputError(f"{path} can't be read ({failure}): {AGAIN}") from None
    if not isinstance(value, dict):
        raise InputError(lacks(path, ["what a run says"]))
    missing = [name for name in needed if name not in value]
    if missing:
        raise InputError(lacks(path, missing))
    return value


def lacks(path, names):
    """Says what a file does not have."""
    return f"{path} lacks {', '.join(names)}: {AGAIN}"


def checkpoints_in(folder):
    """Lists the checkpoints of a folder, and makes none.

    Arguments
    ---------
    folder : str

    Returns
    -------
    list of Checkpoint

    Raises
    ------
    InputError
        If what they say of themselves can't be read.
    """
    if not os.path.isdir(folder):
        return []  # a checkpointer would make it
    try:
        return AtomicCheckpointer(folder).list_checkpoints()
    except (OSError, ValueError, YAMLError) as failure:
        reason = textwrap.shorten(str(failure), 160, placeholder=" ...")
        raise InputError(
            f"{folder} can't be read ({reason}): {AGAIN}"
        ) from None


def load_weights(module, path):
    """Loads a module's weights from a file, whatever else may be in it.

    Arguments
    ---------
    module : torch.nn.Module
    path : str

    Raises
    ------
    InputError
        If it can't be loaded.

    Example
    -------
    >>> layer = torch.nn.Linear(1, 1)
    >>> path = getfixture("tmp_path") / "layer.ckpt"
    >>> torch.save(layer.state_dict(), path)
    >>> load_weights(torch.nn.Linear(1, 1), path)
    >>> load_weights(torch.nn.Linear(2, 1), path)
    Traceback (most recent call last):
    speechbrain_ser.utils.errors.InputError: ...
    """
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
        module.load_state_dict(weights)
    except Exception as failure:  # whatever a damaged file makes of it
        reason = str(failure) or type(failure).__name__
        reason = textwrap.shorten(reason, 160, placeholder=" ...")
        if isinstance(failure, pickle.UnpicklingError):
            # torch's own words tell how to run what is in it
            reason = "it is damaged, or holds more than weights"
        raise InputError(
            f"{path} can't be loaded ({reason}): {AGAIN}"
        ) from failure
    broken = not_finite(module.state_dict())
    if broken:
        raise InputError(
            f"{path} holds NaN or infinite values ({first_of(broken)}), of a "
            f"training that diverged: {AGAIN}"
        )
