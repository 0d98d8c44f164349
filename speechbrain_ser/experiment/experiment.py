"""One recipe's experiment: what it reads, splits, trains and reports."""

import functools
import os
import shutil

import speechbrain as sb
from speechbrain.utils.distributed import if_main_process, run_on_main
from speechbrain.utils.run_opts import RunOptions
from speechbrain_ser.corpora.annotations import (
    class_table,
    limit_parts,
    write_annotation,
)
from speechbrain_ser.corpora.protocols import checks
from speechbrain_ser.corpora.protocols.content import check_content
from speechbrain_ser.experiment.command_line import begin_log, say_once
from speechbrain_ser.experiment.reading import once, read_own, split_by
from speechbrain_ser.experiment.run_folder import (
    check_folder,
    claim_folder,
    keep_recipe,
)
from speechbrain_ser.utils.audio_files import MIX
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.files import write_csv
from speechbrain_ser.utils.missing import is_missing
from speechbrain_ser.utils.odd_entries import FILE, odd_rows
from speechbrain_ser.utils.settings import (
    NOTHING,
    Labels,
    Number,
    OneOf,
    Switch,
    Values,
    Whole,
    Word,
    check_values,
    checked,
)

OWN = "annotations of one's own"


class Experiment:
    """One recipe's experiment: what it reads, splits, trains and reports.

    The first arguments stand in a recipe's YAML file, those after `script` are
    given by the recipe itself; the hooks among them are None where the frame's
    own way is meant.

    Arguments
    ---------
    output_folder : str
    corpus_name : str
        A name, for the report.
    labels : list of str or None
        The class words; None: `fill_in` gives them.
    seed : int
    report : callable
        Makes the report of a Brain and a folder, see `evaluation.report`.
    epoch_counter : EpochCounter
    annotations : dict
        Part to file: written by the preparation, or one's own.
    protocol_settings : dict
        What may be changed of the protocol.
    fold : int or None
        From 1, where the protocol has folds.
    skip_prep : bool
        Whether the annotations are one's own.
    data_root : str or None
        Stands in for ``{data_root}`` in them.
    mini_hparams : str or None
        The hparams file for the mini corpus; None: the same.
    max_duration : float or None
        Longer utterances are shortened, in seconds; what is evaluated stays
        whole (valid, test) or is evaluated in pieces.
    long_utterances, several_channels : str
        ``cut`` or ``split``, see `limit_parts`; ``mix`` or ``refuse``.
    script : str
        The recipe's ``__file__``.
    method : str
        Its name, for the report.
    corpus : callable
        Reads the corpus.
    brain : callable
        Makes the Brain; its function is the class.
    protocol : Protocol
    mini : dict
        Setting that names a corpus's folder to what makes the mini corpus.
    optional : tuple of str
        Parts whose own annotation may be missing.
    fill_in : callable or None
        Settings and parts (None before they are read) to further settings that
        follow from them.
    split : callable or None
        What was read and settings to the parts and the protocol's name; the
        annotations are then of what is read.
    more_parts : callable or None
        Settings to the names of parts that the report adds.
    files : callable or None
        Settings to name -> path of files whose content counts.
    about : callable or None
        Settings to facts about the run; ``system`` begins the title.
    note : str or None
        Printed beside the table of the classes.
    """

    @checked
    def __init__(
        self,
        output_folder: Word(counts=NOTHING),
        corpus_name: Word(),
        labels: Labels(optional=True),
        seed: Whole(0, 2**32 - 1),
        report=None,
        epoch_counter=None,
        annotations: Values(Word(optional=True, counts=NOTHING)) = None,
        protocol_settings=None,
        fold: Whole(1, optional=True) = None,
        skip_prep: Switch(counts=NOTHING) = False,
        data_root: Word(optional=True, counts=NOTHING) = None,
        mini_hparams: Word(optional=True) = None,
        max_duration: Number(0.1, optional=True) = None,
        long_utterances: OneOf("cut", "split") = "cut",
        several_channels: OneOf(MIX, "refuse", counts=NOTHING) = MIX,
        script=None,
        method=None,
        corpus=None,
        brain=None,
        protocol=None,
        mini=None,
        optional=("valid", "unlabelled"),
        fill_in=None,
        split=None,
        more_parts=None,
        files=None,
        about=None,
        note=None,
    ):
        self.output_folder = output_folder
        self.corpus_name = corpus_name
        self.labels = labels
        self.seed = seed
        self.report = report
        self.epoch_counter = epoch_counter
        self.annotations = annotations or {}
        self.protocol_settings = protocol_settings or {}
        self.fold = fold
        self.skip_prep = skip_prep
        self.data_root = data_root
        self.mini_hparams = mini_hparams
        self.max_duration = max_duration
        self.long_utterances = long_utterances
        self.several_channels = several_channels
        self.script = script
        self.method = method
        self.corpus = corpus
        self.brain = brain
        self.protocol = protocol
        self.mini = mini or {}
        self.mini_settings = {}  # further ones of a run on the mini corpus
        self.optional = optional
        self.fill_in = fill_in or (lambda settings, parts: {})
        self.split = split
        self.more_parts = more_parts or (lambda settings: ())
        self.files = files or (lambda settings: {})
        self.about = about or (lambda settings: {})
        self.note = note

    @property
    def seedless(self):
        """Whether the method draws nothing."""
        return self.brain is not None and self.brain.func.seedless

    # Before anything is built

    def check_settings(self, settings):
        """Refuses settings that don't fit each other; nothing is read yet.

        Arguments
        ---------
        settings : dict

        Raises
        ------
        InputError
        """
        refuse_missing(self.labels)
        n = settings.get("n_classes", len(self.labels))
        if n != len(self.labels):
            raise InputError(
                f"n_classes is {n}, but labels has {len(self.labels)} words: "
                "make them agree"
            )
        if self.brain is not None:
            self.brain.func.check_arguments(self.brain.keywords)

    def read(self):
        """Returns the parts, or what `split` splits, once for one reading."""
        if not self.skip_prep:
            return once(self.corpus)
        return read_own(self.annotations, self.optional, self.data_root)

    def make_parts(self, settings):
        """Reads and splits.

        Arguments
        ---------
        settings : dict

        Returns
        -------
        parts : dict
            Part to annotation, perhaps shared: not to be changed.
        protocol : str
            Its full name.
        """
        if self.split is not None:
            return self.split(self.read(), settings)
        check_values(
            self.protocol.declarations(),
            self.protocol_settings | {"fold": self.fold},
        )
        if self.skip_prep:
            checks.check_disjoint(**self.read())
            return self.read(), OWN
        cut = functools.partial(split_by, self.protocol, self.corpus, self.fold)
        parts = once(functools.partial(cut, **self.protocol_settings))
        return parts, self.protocol.full_name(settings)

    def check(self, parts, accumulation=1):
        """Refuses parts that can't be trained on as the settings say.

        Arguments
        ---------
        parts : dict
            Part to annotation.
        accumulation : int
            Batches of an optimizer step.

        Raises
        ------
        InputError
            Naming what is missing and the mend.
        """
        checks.check_filled(parts)
        for name in ("train", "valid", "test"):
            if parts.get(name):
                path = self.annotations.get(name, name)
                checks.check_words(parts[name], self.labels, path)
        if parts.get("train"):
            checks.check_classes(parts["train"], self.labels, "train")
        if self.brain is None:
            return
        settings = self.brain.keywords
        for part, (why, instead) in self.brain.func.needs(settings).items():
            if not parts.get(part):
                path = self.annotations.get(part)
                more = f", or {instead}" if instead else ""
                raise InputError(
                    f"{why}, and there is none (no {path}): give "
                    f"--{part}_annotation{more}"
                )
        trained, _ = self.shorten(parts)
        self.brain.func.check_parts(
            trained, settings | {"grad_accumulation_factor": accumulation}
        )

    def transductive(self, settings):
        """Whether the protocol lets what is tested train without its label."""
        return self.protocol is not None and self.protocol.transductive

    def check_content(self, planned):
        """Reads audio, and refuses the same in two parts; see `check_content`."""
        files = self.annotations if self.skip_prep else {}
        allowed = self.transductive(planned.settings)
        for note in check_content(planned.parts, allowed, files):
            if if_main_process():
                say_once(note)

    def check_output_folder(self, planned, run_opts):
        """Refuses a folder that holds another run; writes nothing.

        Arguments
        ---------
        planned : Plan
        run_opts : RunOptions

        Raises
        ------
        InputError
        """
        check_folder(self.output_folder, planned.claimed(run_opts))

    # Afterwards

    def write_annotations(self, parts):
        """Writes what was prepared, and what was odd, unless it is one's own."""
        if self.skip_prep or not if_main_process():
            return
        held = parts if self.split is None else self.read()
        for name, path in self.annotations.items():
            if name in held:
                write_annotation(path, held[name])
        if self.odd():
            write_csv(os.path.join(self.output_folder, FILE), self.odd())

    def odd(self):
        """Returns what was odd in the corpus, see `utils.odd_entries`."""
        read = not self.skip_prep and self.corpus is not None
        return odd_rows(self.read()) if read else []

    def shorten(self, parts):
        """Cuts or splits long utterances, see `limit_parts`."""
        return limit_parts(parts, self.max_duration, self.long_utterances)

    def print_split(self, planned):
        """Prints the protocol and the classes of each part."""
        if not if_main_process():
            return
        what = f"{self.corpus_name}, {planned.protocol}"
        print(f"{what}; {self.note}" if self.note else what)
        print(class_table(planned.parts, self.labels), flush=True)

    def facts(self, settings):
        """Returns what the report says of method and system."""
        facts = {"transductive": self.transductive(settings)}
        return {"method": self.method} | facts | self.about(settings)

    def title(self, settings):
        """Returns the title of figures and table."""
        about = self.about(settings)
        words = [f"{about.get('system', self.method)} on {self.corpus_name}"]
        if self.fold is not None:
            words.append(f"fold {self.fold}")
        return ", ".join([*words, f"seed {self.seed}"])

    def execute(self, planned, run_opts):
        """Trains and reports.

        Arguments
        ---------
        planned : Plan
        run_opts : RunOptions
        """
        settings = planned.settings
        parts, notes = self.shorten(planned.parts)
        brain = self.brain(hparams=run_options_of(settings), run_opts=run_opts)
        self.begin(planned, run_opts, notes)
        self.write_annotations(parts)
        brain.set_parts(parts)
        brain.fit(
            self.epoch_counter, brain.train_set, brain.datasets.get("valid")
        )
        self.report(brain, self.output_folder).write(
            planned.facts(run_opts) | self.facts(settings),
            self.title(settings),
        )

    def begin(self, planned, run_opts, notes=()):
        """Claims the run's folder and begins its log.

        The last thing before files are written: settings that can't be trained
        with leave the folder free for the corrected command.

        Arguments
        ---------
        planned : Plan
        run_opts : RunOptions
        notes : list of str
            For the log.
        """
        claimed = planned.claimed(run_opts)
        run_on_main(claim_folder, args=[self.output_folder, claimed])
        sb.create_experiment_directory(
            experiment_directory=self.output_folder,
            hyperparams_to_save=planned.path,
            overrides=planned.overrides,
        )
        if if_main_process():
            shutil.copy(planned.script, self.output_folder)
            keep_recipe(self.output_folder, planned.path, planned.overrides)
        if self.odd():
            notes = [*notes, f"{len(self.odd())} odd entries: see {FILE}"]
        begin_log(notes)


def refuse_missing(labels):
    """Refuses a class word that says that a label is not known.

    Example
    -------
    >>> refuse_missing(["ang", "none"])
    Traceback (most recent call last):
    speechbrain_ser.utils.errors.InputError: --labels has 'none', ...
    """
    for word in filter(is_missing, labels):
        raise InputError(
            f"--labels has {word!r}, which says that a label is not known: give "
            "that class another word, here and in the annotations"
        )


def run_options_of(settings):
    """Returns SpeechBrain's run options among a hparams file's settings."""
    known = RunOptions().as_dict()
    return {name: value for name, value in settings.items() if name in known}
