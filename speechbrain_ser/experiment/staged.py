"""An experiment in stages: each is made once, kept, and shared by runs.

What a stage does is no concern of this file: a recipe hands in its steps.
"""

import dataclasses
import functools
import os
from collections.abc import Callable

from speechbrain.utils.distributed import if_main_process
from speechbrain_ser.corpora.protocols.checks import split_fingerprint
from speechbrain_ser.experiment.experiment import Experiment, run_options_of
from speechbrain_ser.experiment.identity import code_version, hparams_content
from speechbrain_ser.experiment.plan import decisive_options
from speechbrain_ser.experiment.stages import Stage, make_room, tell_changes
from speechbrain_ser.utils.distributed import on_main
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import (
    NOTHING,
    OneOf,
    Setting,
    Values,
    Word,
    words_of,
)


def nothing(*args):
    """Finds, checks or says nothing."""
    return {}


@dataclasses.dataclass(frozen=True)
class Step:
    """What makes one of the stages before the last.

    In the following `maker` is what the hparams file gives for it, `parts` are
    the annotations as they are trained on, and `stages` the folders of the
    stages before it, by name.

    Attributes
    ----------
    name : str
        Of the stage, its folder and its maker.
    number : int
        By which ``--stages`` calls it; several may have one.
    words : str
        What it does, for the user.
    make : callable
        Of maker, the stage's folder, parts (none that tests), stages and a
        Brain's ``hparams`` and ``run_opts``: makes it, returns its facts, plain
        values.
    describe : callable
        Of maker, the stage's folder, parts and stages: draws what was made,
        returns further facts. It may be called again later.
    inputs : callable
        Of maker and parts: what else decides the result, see
        `StagedExperiment`, name to plain value.
    check : callable
        Of maker, all parts, and the folder that is given instead, or None:
        refuses what can't be made, or used, before anything is written.
    """

    name: str
    number: int
    words: str
    make: Callable
    describe: Callable = nothing
    inputs: Callable = nothing
    check: Callable = nothing

    @property
    def title(self):
        """What it is called on the screen."""
        return f"stage {self.number} ({self.words})"


def steps_of(made, described):
    """Returns the steps of a method.

    Arguments
    ---------
    made : dict
        Name to the other attributes of a `Step`, but for `describe`.
    described : dict
        Name to `describe`, where there is one.

    Returns
    -------
    tuple of Step
    """
    return tuple(
        Step(name, describe=described.get(name, nothing), **attributes)
        for name, attributes in made.items()
    )


class StagedExperiment(Experiment):
    """An experiment whose last stage is trained and reported as any other run.

    A stage's result is decided by the arguments of its maker and what they
    refer to, the stage before it, the code, ids and labels of the parts that do
    not test, how long utterances are shortened, and what `inputs` and its step
    add. Stages with the same inputs share a folder.

    Its Brain is also given ``stages``, the folder of each earlier stage by
    name, and its report ``stages``, their folders and facts.

    Arguments
    ---------
    stages : list of int, str or int
        Which are run, ``[2, 3]`` or ``2,3``; the others must be there.
    stages_folder : str
        Where the folders of all stages are.
    makers : dict
        Step's name to what makes it, say a Brain, not called yet.
    earlier : str
        ``off``: the last stage is trained without the earlier ones.
    given : dict
        Step's name to a folder that is taken as its result, or None: neither it
        nor those before it are made.
    steps : tuple of Step
        In their order.
    last : str
        What the last stage does, for the user.
    inputs : callable
        Of makers and the parts that do not test: what else decides every stage,
        name to plain value.
    check_shown : callable
        Of the report's arguments and the parts as they are trained on: refuses
        what can't be shown of the stages.
    tell : callable
        Of a stage's facts: prints what a user wants to know.
    **kwargs : dict
        Of `Experiment`.
    """

    # not `checked`: two arguments have other names than their settings, by
    # which `declarations.check_settings` refuses them
    def __init__(
        self,
        stages: Setting(counts=NOTHING),
        stages_folder: Word(counts=NOTHING),
        makers=None,
        earlier: OneOf("on", "off") = "on",
        given: Values(Word(optional=True, counts=NOTHING)) = None,
        steps=(),
        last="training",
        inputs=nothing,
        check_shown=nothing,
        tell=nothing,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.stages = stages
        self.stages_folder = stages_folder
        self.makers = makers or {}
        self.earlier = earlier
        self.given = given or {}
        self.steps = steps
        self.last = last
        self.inputs = inputs
        self.check_shown = check_shown
        self.tell = tell

    # Which stages there are

    @property
    def last_number(self):
        """The number of the last stage."""
        return max(step.number for step in self.steps) + 1

    def wanted(self):
        """Returns the numbers of the stages that are run, ascending.

        Raises
        ------
        InputError
            If one is no stage.
        """
        words = set(words_of(self.stages))
        kinds = {}
        for step in self.steps:
            kinds.setdefault(str(step.number), []).append(step.words)
        kinds[str(self.last_number)] = [self.last]
        if not words or words - set(kinds):
            known = [f"{n} ({' and '.join(kinds[n])})" for n in kinds]
            raise InputError(
                f"--stages is {self.stages!r}: give numbers of stages, such as "
                f"{self.last_number - 1},{self.last_number}, of "
                f"{', '.join(known[:-1])} and {known[-1]}"
            )
        return sorted(map(int, words))

    def last_given(self):
        """Returns the last step whose result is given, None if none is."""
        given = [s for s in self.steps if self.given.get(s.name) is not None]
        return given[-1] if given and self.earlier == "on" else None

    def steps_made(self):
        """Returns the steps that are made: those behind the last given one."""
        if self.earlier == "off":
            return ()
        given = self.last_given()
        if given is None:
            return self.steps
        return self.steps[self.steps.index(given) + 1 :]

    def folders(self, stages, before=None):
        """Returns the folder of each stage that is made or given.

        Arguments
        ---------
        stages : dict
            Step's name to `Stage`, in their order.
        before : Step, optional
            Of those before it.

        Returns
        -------
        dict
        """
        given = self.last_given()
        folders = {} if given is None else {given.name: self.given[given.name]}
        for name, stage in stages.items():
            if before is not None and name == before.name:
                break
            folders[name] = stage.folder
        return folders

    # Before anything is built

    def check_settings(self, settings):
        """Refuses also stages that there are not, and what is a maker's."""
        super().check_settings(settings)
        self.wanted()
        for maker in self.makers.values():
            if hasattr(maker.func, "check_arguments"):
                maker.func.check_arguments(maker.keywords)

    def check(self, parts, accumulation=1):
        """Refuses also parts that an earlier stage can't be trained on."""
        super().check(parts, accumulation)
        parts, _ = self.shorten(parts)
        for step in self.steps_made():
            maker = self.makers[step.name]
            if hasattr(maker.func, "check_parts"):
                settings = maker.keywords | {
                    "grad_accumulation_factor": accumulation
                }
                maker.func.check_parts(parts, settings)

    def check_output_folder(self, planned, run_opts):
        """Refuses nothing, see `begin`; a trial (``--debug``) moves nothing."""
        if run_opts.debug:
            super().check_output_folder(planned, run_opts)

    def check_stages(self, parts):
        """Refuses what can't be made or shown, before anything is written.

        Arguments
        ---------
        parts : dict
            As they are trained on.
        """
        if self.earlier == "off":
            return
        self.check_shown(self.report.keywords, parts)
        given = self.last_given()
        if given is not None:
            folder = self.given[given.name]
            given.check(self.makers[given.name], parts, folder)
        for step in self.steps_made():
            step.check(self.makers[step.name], parts, None)

    # What decides the stages

    def make_stages(self, planned, run_opts):
        """Returns the stages that are made, with all that decides them.

        Arguments
        ---------
        planned : Plan
        run_opts : RunOptions

        Returns
        -------
        dict
            Step's name to `Stage`.
        """
        content = planned.content(run_opts)
        made = hparams_content(
            planned.path, planned.overrides, planned.settings
        )["experiment"]
        (arguments,) = made.values()
        heard = untested(planned.parts)
        shared = {
            "corpus": self.corpus_name,
            "max_duration": self.max_duration,
            "long_utterances": self.long_utterances,
            "split": split_fingerprint(heard),
            "code": content["code"],
            "run options": content["run_options"]
            | decisive_options(planned.settings),
            "processes": content["processes"],
            "libraries": content["libraries"],
        } | self.inputs(self.makers, heard)
        previous = content["files"] if self.last_given() else None
        stages = {}
        for step in self.steps_made():
            ((tag, own),) = arguments["makers"][step.name].items()
            inputs = own | {"made by": tag} | shared
            inputs |= step.inputs(self.makers[step.name], heard)
            if previous is not None:
                inputs["previous"] = previous
            stage = Stage(self.stages_folder, step.name, step.title, inputs)
            stages[step.name] = stage
            previous = stage.key
        return stages

    # The stages are made

    def execute(self, planned, run_opts):
        """Makes the stages that are wanted and missing; trains and reports.

        Arguments
        ---------
        planned : Plan
        run_opts : RunOptions
        """
        parts, notes = self.shorten(planned.parts)
        stages = self.make_stages(planned, run_opts)
        self.check_stages(parts)
        self.begin(planned, run_opts, notes)
        self.write_annotations(parts)
        if stages:
            on_main(tell_changes, self.output_folder, list(stages.values()))
        options = {
            "hparams": run_options_of(planned.settings),
            "run_opts": run_opts,
        }
        by = code_version(planned.script, planned.path, report=True)
        for step in self.steps_made():
            self.run_step(step, stages, untested(parts), options, by)
        if self.last_number in self.wanted():
            self.run_last(planned, stages, parts, options)
        elif if_main_process():
            later = range(max(self.wanted()) + 1, self.last_number + 1)
            print(f"go on with --stages {','.join(map(str, later))}")

    def begin(self, planned, run_opts, notes=()):
        """Moves an earlier run out of the folder, then begins as any run."""
        if not run_opts.debug:
            own = self.annotations.values() if self.skip_prep else ()
            stay = [path for path in own if path]
            claimed = planned.claimed(run_opts)
            on_main(make_room, self.output_folder, claimed, stay)
        super().begin(planned, run_opts, notes)

    def run_step(self, step, stages, parts, options, by):
        """Makes a stage, unless it is there.

        Arguments
        ---------
        step : Step
        stages : dict
            Step's name to `Stage`.
        parts : dict
            That it may hear.
        options : dict
            A Brain's ``hparams`` and ``run_opts``.
        by : str
            Names the code that describes stages.

        Raises
        ------
        InputError
            If it is needed, not there and not to be made.
        """
        stage, wanted = stages[step.name], self.wanted()
        if step.number not in wanted or options["run_opts"].test_only:
            needed = self.last_number in wanted or step.number < max(wanted)
            if needed and not stage.done():
                every = ",".join(map(str, range(1, self.last_number + 1)))
                raise InputError(
                    f"{stage.title} is not there with these settings (no whole "
                    f"{stage.folder}): run it as well, --stages {every}"
                )
            return
        maker, folders = self.makers[step.name], self.folders(stages, step)
        describe = functools.partial(
            step.describe, maker, stage.folder, parts, folders
        )
        with stage.making() as missing:
            if if_main_process():
                print(f"{stage.title} {state(stage, missing)}", flush=True)
            if missing:
                made = step.make(maker, stage.folder, parts, folders, options)
                stage.finish(made, describe, by)
            else:
                stage.describe_anew(describe, by)
        if if_main_process():
            self.tell(stage.facts())

    def run_last(self, planned, stages, parts, options):
        """Trains the last stage and reports.

        Arguments
        ---------
        planned : Plan
        stages : dict
            Step's name to `Stage`, all of them whole.
        parts : dict
        options : dict
            A Brain's ``hparams`` and ``run_opts``.
        """
        if if_main_process():
            print(f"stage {self.last_number} ({self.last})", flush=True)
        brain = self.brain(stages=self.folders(stages), **options)
        brain.set_parts(parts)
        brain.fit(
            self.epoch_counter, brain.train_set, brain.datasets.get("valid")
        )
        found = {
            name: {"folder": stage.folder} | stage.facts()
            for name, stage in stages.items()
        }
        self.report(brain, self.output_folder, stages=found).write(
            planned.facts(options["run_opts"]) | self.facts(planned.settings),
            self.title(planned.settings),
        )


def untested(parts):
    """Returns the parts that may have a share in what is trained."""
    return {name: part for name, part in parts.items() if name != "test"}


def state(stage, missing):
    """Says whether a stage is there, and where."""
    begun = set(os.listdir(stage.folder)) - {"lock"}
    word = ("goes on" if begun else "begins") if missing else "is there"
    return f"{word}: {stage.folder}"
