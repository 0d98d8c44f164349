"""A trained run on other speech: nothing is trained, the run is only read."""

import os

from speechbrain_ser.corpora.protocols.checks import long_enough
from speechbrain_ser.evaluation.report import Report, run_temperature
from speechbrain_ser.experiment.hparams import load, text_of, with_overrides
from speechbrain_ser.experiment.run_folder import (
    CHECKPOINTS,
    FORMAT,
    HPARAMS,
    OVERRIDES,
    read_settings,
)
from speechbrain_ser.utils.errors import InputError


def evaluate(run, parts, folder, run_opts=None):
    """Evaluates a run's selected epoch on parts, and reports elsewhere.

    Arguments
    ---------
    run : str
        The run's ``output_folder``; nothing in it is changed.
    parts : dict
        Part to annotation: ``test``, perhaps others. Emotions may be missing;
        those that are there must be among the run's labels.
    folder : str
        Where ``metrics.json``, ``predictions.csv`` and the figures go.
    run_opts : RunOptions or dict, optional
        SpeechBrain's; default: its best guess.

    Returns
    -------
    dict
        Part to what the Brain's ``predict`` gives: utterance to its outputs.

    Raises
    ------
    InputError
        If the folder holds no trained run, or is the one that is written to, or
        a part is empty.
    """
    settings = check_run(run)
    check_outside(run, folder)
    for name, part in parts.items():
        if not part:
            raise InputError(
                f"the part {name} has no utterance: add some, or leave it out"
            )
    parts = long_enough(parts)
    hparams = load_run(run, folder)
    brain = hparams["brain"](hparams={}, run_opts=run_opts)
    brain.set_parts(parts)
    facts = {
        "evaluated_run": {
            name: settings[name] for name in ("code", "split_sha256")
        },
        "labels": list(brain.labels),
        "sizes": {name: len(part) for name, part in parts.items()},
    }
    name = os.path.basename(os.path.abspath(run))
    report = OtherSpeech(brain, folder, run)
    return report.write(facts, f"{name} on other speech")


class OtherSpeech(Report):
    """The report of a run on other speech, with the run's own temperature.

    Arguments
    ---------
    brain : SERBrain
    output_folder : str
    run : str
        The run's folder.
    """

    def __init__(self, brain, output_folder, run):
        super().__init__(brain, output_folder)
        self.run = run

    def fit_temperature(self, predictions):
        """Returns what the run's report says of its temperature."""
        return run_temperature(self.run)


def load_run(run, folder, **more):
    """Builds a run's objects: its checkpoints are read, `folder` is written.

    Arguments
    ---------
    run : str
    folder : str
    **more : dict
        Further settings, say where the pre-trained encoder lies now.

    Returns
    -------
    dict
        The objects of the run's hparams file.
    """
    overrides = with_overrides(
        text_of(os.path.join(run, OVERRIDES)),
        output_folder=folder,
        save_folder=os.path.join(run, CHECKPOINTS),
        **more,
    )
    return load(os.path.join(run, HPARAMS), overrides)


def check_run(run):
    """Refuses what is no trained run.

    Returns
    -------
    dict
        The settings that the run is bound to.
    """
    settings = read_settings(run)
    if settings is None:
        raise InputError(f"{run} holds no run: give the --output_folder of one")
    if settings.get("format") != FORMAT:
        raise InputError(
            f"{run} holds a run of an earlier version, which can't be loaded "
            "any more: train it again"
        )
    saved = os.path.join(run, CHECKPOINTS)
    if not os.path.isdir(saved) or not any(
        name.startswith("CKPT+") for name in os.listdir(saved)
    ):
        raise InputError(f"{saved} has no checkpoint: train the run first")
    return settings


def check_outside(run, folder):
    """Refuses to write into the folder of a run."""
    inside, place = os.path.realpath(run), os.path.realpath(folder)
    if os.path.commonpath([inside, place]) == inside:
        raise InputError(
            f"{folder} is in the folder of the run, which is only read: give "
            "another one"
        )
