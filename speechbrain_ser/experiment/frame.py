"""The frame that every recipe hangs in: from a command to a report.

It loads without torch, so that a command that is only asked for help, or whose
words are wrong, answers at once.
"""

import os
import sys

from speechbrain_ser.corpora.protocols.checks import long_enough
from speechbrain_ser.experiment.alone import load_alone
from speechbrain_ser.experiment.command_line import run, say_once
from speechbrain_ser.experiment.declarations import (
    check_names,
    check_options,
    check_settings,
)
from speechbrain_ser.experiment.help import asks_for_help, help_of
from speechbrain_ser.experiment.hparams import (
    find_hparams,
    load,
    peek,
    with_options,
    with_overrides,
)
from speechbrain_ser.utils.audio_entries import refuse_several
from speechbrain_ser.utils.audio_files import MIX
from speechbrain_ser.utils.errors import InputError


class Recipe:
    """A recipe's script as a command, and as the table command sees it.

    Arguments
    ---------
    script : str
        Its ``__file__``.
    make : callable
        hparams, ``brain``, ``corpus`` and ``experiment`` alone while a run is
        planned, to its `Experiment`.
    """

    def __init__(self, script, make):
        self.script = script
        self.make = make

    def run(self):
        """Runs the recipe on the command line, or says what it takes."""
        words = sys.argv[1:]
        if not asks_for_help(words):
            return run(self, words)
        try:
            print(help_of(self.script, words))
        except InputError as error:
            sys.exit(f"error: {error}")

    def experiment(self, path, overrides):
        """Makes the experiment, as far as it is needed to plan a run."""
        return self.make(Planned(path, overrides))

    def plan(self, path, overrides, accumulation=1):
        """Checks the settings, reads the corpus and splits it.

        Arguments
        ---------
        path : str
            The hparams file.
        overrides : str
            YAML.
        accumulation : int
            Batches of an optimizer step, SpeechBrain's run option.

        Returns
        -------
        Plan

        Raises
        ------
        InputError
            If a setting, the corpus or the split is not as it must be.
        """
        from speechbrain_ser.experiment.plan import Plan

        settings = peek(path, overrides)
        check_names(path)
        experiment = self.experiment(path, overrides)
        if self.needs_mini(experiment, settings):
            path, overrides = self.on_mini(experiment, path, overrides)
        overrides, experiment = self.filled_in(path, overrides, None)
        check_settings(path, overrides)
        settings = peek(path, overrides)
        experiment.check_settings(settings)
        parts, protocol = experiment.make_parts(settings)
        parts = long_enough(parts)
        if experiment.several_channels != MIX:
            refuse_several(parts, f"--several_channels {MIX}")
        experiment.check(parts, accumulation)
        overrides, experiment = self.filled_in(path, overrides, parts)
        settings = peek(path, overrides)
        return Plan(
            self.script,
            path,
            overrides,
            settings,
            parts,
            protocol,
            more_parts=tuple(experiment.more_parts(settings)),
            files=experiment.files(settings),
            seedless=experiment.seedless,
        )

    def filled_in(self, path, overrides, parts):
        """Adds the settings that follow from others and from the parts."""
        experiment = self.experiment(path, overrides)
        more = experiment.fill_in(peek(path, overrides), parts)
        if more:
            overrides = with_overrides(overrides, **more)
            experiment = self.experiment(path, overrides)
        return overrides, experiment

    def needs_mini(self, experiment, settings):
        """Whether no corpus is given, so that a mini corpus takes its place.

        Raises
        ------
        InputError
            If one of several corpora is missing.
        """
        missing = [name for name in experiment.mini if settings[name] is None]
        if experiment.skip_prep or not missing:
            return False
        if len(missing) < len(experiment.mini):
            raise InputError(
                f"--{missing[0]} is missing: all of "
                f"{', '.join(f'--{name}' for name in experiment.mini)} are needed"
            )
        return True

    def on_mini(self, experiment, path, overrides):
        """Turns a run without a corpus into one on the mini corpus.

        Returns
        -------
        path : str
        overrides : str
        """
        from speechbrain.utils.distributed import if_main_process, run_on_main

        if experiment.mini_hparams:
            beside = os.path.join(
                os.path.dirname(path), experiment.mini_hparams
            )
            path = find_hparams(beside, self.script)
        if if_main_process():
            missing = " and no ".join(f"--{name}" for name in experiment.mini)
            say_once(
                f"No {missing}: this runs {os.path.basename(path)} on the "
                "embedded mini corpus (synthetic voices); its numbers say "
                f"nothing about {experiment.corpus_name}."
            )
        for make in experiment.mini.values():
            run_on_main(make)
        folders = {name: make() for name, make in experiment.mini.items()}
        settings = {"corpus_name": "mini"} | experiment.mini_settings | folders
        return path, with_overrides(overrides, **settings)

    def main(self, path, run_opts, overrides):
        """Prepares, trains, evaluates and reports.

        Arguments
        ---------
        path : str
            The hparams file.
        run_opts : RunOptions
            SpeechBrain's.
        overrides : str
            YAML.
        """
        check_options(run_opts)
        planned = self.plan(
            path,
            with_options(path, run_opts, overrides),
            run_opts.get("grad_accumulation_factor", 1),
        )
        experiment = self.experiment(planned.path, planned.overrides)
        experiment.print_split(planned)
        experiment.check_output_folder(planned, run_opts)
        experiment.check_content(planned)
        from speechbrain_ser.utils.waiting import choose_attention

        choose_attention()  # a hparams file can choose otherwise
        hparams = load(planned.path, planned.overrides)
        self.make(hparams).execute(planned, run_opts)


class Planned:
    """A hparams file's ``brain``, ``corpus`` and ``experiment`` alone.

    Of the Brain the plain arguments: encoders and the like are not built.

    Arguments
    ---------
    path : str
        The hparams file.
    overrides : str
        YAML.
    """

    def __init__(self, path, overrides):
        self.path, self.overrides = path, overrides

    def __getitem__(self, name):
        """Builds one of them."""
        return load_alone(
            self.path, self.overrides, name, plain_alone=name == "brain"
        )
