"""Labels speech on the command line: `ser-label`.

Nothing here reads YAML, and nothing is unpickled.
"""

import contextlib
import dataclasses
import json
import os
import sys
import time

from speechbrain_ser.inference.arguments import parse, settings_of
from speechbrain_ser.inference.spoken import few_spoken
from speechbrain_ser.utils.errors import InputError

READY = os.path.join(os.path.dirname(__file__), "ready")
FEW = 50  # rows that go on the screen beside a file
NOTHING, STOPPED = 2, 130  # exit codes


def main(words=None, load=None):
    """Labels what the command line names.

    Arguments
    ---------
    words : list of str, optional
        Default: those of this process.
    load : callable, optional
        Options to model; default: from the folder ``--model``.

    Returns
    -------
    int
        The exit code: 0, all is labelled; 1, something is not; 2, nothing was
        done.
    """
    options = parse(sys.argv[1:] if words is None else words)
    try:
        return Command(options, load or load_model).run()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
    except BrokenPipeError:
        # whoever reads the standard output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        from speechbrain_ser.experiment.command_line import of_the_system

        print(f"error: {of_the_system(error)}", file=sys.stderr)
    except KeyboardInterrupt:
        kept = not options.no_journal
        goes_on = "goes on from here" if kept else "begins anew"
        print(f"\nstopped; the same command {goes_on}", file=sys.stderr)
        return STOPPED
    return NOTHING


def load_model(options):
    """Loads the model of a command line."""
    folder = options.model or READY
    if options.model is None and not os.path.isdir(READY):
        raise InputError(
            "this installation has no ready model: give --model, a folder that "
            "ser-export made"
        )
    from speechbrain_ser.inference.recognizer import EmotionRecognizer
    from speechbrain_ser.utils.waiting import choose_attention

    check_device(options.device)
    choose_attention()  # recordings have many lengths
    return EmotionRecognizer.from_folder(
        folder, options.encoder_folder, options.device
    )


def check_device(device):
    """Refuses a device that is not there.

    Example
    -------
    >>> check_device("gpu")
    Traceback (most recent call last):
    speechbrain_ser.utils.errors.InputError: --device is gpu: give one that ...
    """
    import torch

    if device is None:
        return
    try:
        torch.zeros(1, device=device).tolist()
    except (RuntimeError, AssertionError, NotImplementedError):
        there = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
        raise InputError(
            f"--device is {device}: give one that this machine has, "
            f"{' or '.join(['cpu', *there])}"
        ) from None


class Command:
    """One command: its sources, its model, its journal, its outputs.

    Arguments
    ---------
    options : argparse.Namespace
        Of `arguments.parse`.
    load : callable
        Given them, gives the model.
    """

    def __init__(self, options, load):
        from speechbrain_ser.inference.outputs import STDOUT, outputs_of

        self.options = options
        self.load = load
        self.outputs = outputs_of(options)
        # what is for another program has the standard output alone
        piped = STDOUT in self.outputs.values()
        self.told = sys.stderr if piped else sys.stdout

    def say(self, text):
        """Prints a line."""
        print(text, file=self.told, flush=True)

    def run(self):
        """Labels; returns the exit code."""
        from speechbrain_ser.inference.outputs import write_outputs
        from speechbrain_ser.inference.rows import Rows
        from speechbrain_ser.inference.summary import remarks, summary

        options = self.options
        speech = self.sources()
        model = self.load(options)
        if options.speakers not in (None, "no") and model.by != "speaker":
            model.standardise_by_speaker()
        if options.language is not None:
            from speechbrain_ser.inference.languages import listen

            listen(model, options.language)
        if model.by == "speaker":
            note = few_spoken(each.speaker for each in speech)
            if note is not None:
                self.say(note)
        temperature = options.temperature or model.temperature
        model.temperature = 1.0  # what is kept is before it
        began = time.perf_counter()
        with out_of_memory(options):
            sounds, said, computed = self.label(model, speech)
        took = time.perf_counter() - began
        made = Rows(model, speech, temperature, options.min_confidence)
        # a folder, or all, is no speaker
        made.speakers &= options.speakers in (None, "column")
        seconds = [getattr(sound, "duration", None) for sound in sounds]
        rows = [made.make(*each) for each in zip(speech, seconds, said)]
        write_outputs(self.outputs, rows, sys.stdout)
        self.save_settings()
        self.show(rows, model)
        for line in remarks(sounds, model.card, model.sample_rate):
            self.say(line)
        spoken = sum(seconds[index] for index in computed)
        for line in summary(rows, spoken, took, options.min_confidence):
            self.say(line)
        return int(any(row["error"] is not None for row in rows))

    def sources(self):
        """Finds the speech, with its speakers; checks where outputs go."""
        from speechbrain_ser.inference.outputs import check_outputs
        from speechbrain_ser.inference.sources import gather
        from speechbrain_ser.inference.windows import cut

        options = self.options
        found = gather(
            options.paths, options.list, options.channel, options.language
        )
        if found.twice:
            self.say(f"named twice, and counted once: {found.twice}")
        if found.others:
            self.say(f"passed over, by their names no audio: {found.others}")
        read = [speech.path for speech in found.speech] + found.read
        check_outputs(self.outputs, read)
        speech = with_speakers(found.speech, options.speakers)
        return cut(speech, options.window) if options.window else speech

    def label(self, model, speech):
        """Labels what is not in the journal.

        Returns
        -------
        sounds : list
            Of `speech.open_all`.
        said : list of Said
        computed : list of int
            Which of them were labelled now.
        """
        from speechbrain_ser.inference.ffmpeg import MachineError
        from speechbrain_ser.inference.journal import Said, file_key
        from speechbrain_ser.inference.plan import Plan
        from speechbrain_ser.inference.speech import open_all
        from speechbrain_ser.inference.stream import labelled

        keys = [file_key(each) for each in speech]
        journal = self.journal(model)
        journal.read(set(keys), self.options.again)
        known = {
            index: journal.infos[key]
            for index, key in enumerate(keys)
            if key in journal.infos
        }
        sounds = open_all(speech, known)
        plan = Plan(model, sounds, self.options.batch_size)
        contexts = plan.contexts(keys)
        said = [journal.get(*each) for each in zip(keys, contexts)]
        done = {i for i, each in enumerate(said) if fits(each, model.labels)}
        computed = []
        count = sum(map(len, plan.missing(done)))
        with contextlib.ExitStack() as stack:
            stack.callback(journal.close)
            bar = stack.enter_context(self.bar(count))
            stream = labelled(model, sounds, done, plan=plan, tell=bar.update)
            stack.callback(stream.close)
            for index, outcome in stream:
                if isinstance(outcome, InputError):
                    said[index] = Said([], {}, str(outcome))
                else:
                    posterior = list(outcome.posterior.values())
                    said[index] = Said(posterior, dict(outcome.own))
                    computed.append(index)
                # what is of the machine may be otherwise the next time
                lasting = not isinstance(outcome, MachineError)
                if lasting and not isinstance(sounds[index], InputError):
                    where = keys[index], contexts[index]
                    journal.add(*where, sounds[index].info, said[index])
        return sounds, said, computed

    def journal(self, model):
        """Opens the journal of a model and of what else decides."""
        from speechbrain_ser import __version__
        from speechbrain_ser.inference.journal import Journal, journal_folder

        folder = self.options.journal or journal_folder()
        if self.options.no_journal:
            folder = None
        device = model.model.device.type
        deciding = [model.digest, __version__, model.by, device]
        return Journal(folder, deciding, self.say)

    def bar(self, count):
        """Shows how far it is, where there is much to do."""
        from tqdm import tqdm

        silent = True if count <= FEW else None  # None: unless on a terminal
        return tqdm(None, "labelling", count, disable=silent, unit="piece")

    def save_settings(self):
        """Writes the settings beside the first output."""
        from speechbrain_ser.inference.outputs import settings_path
        from speechbrain_ser.inference.speech import printable
        from speechbrain_ser.utils.files import write_text

        path = settings_path(self.outputs)
        if path is None:
            return
        held = settings_of(self.options)
        text = json.dumps(held, indent=2, ensure_ascii=False)
        if printable(text) != text:
            text = json.dumps(held, indent=2)
        write_text(path, text + "\n")

    def show(self, rows, model):
        """Prints the table, unless it is long and stands in a file."""
        if self.told is sys.stderr or (self.outputs and len(rows) > FEW):
            return
        from speechbrain_ser.inference.outputs import as_screen

        self.say(as_screen(rows, list(model.labels), list(model.own)))


def fits(said, labels):
    """Whether what a journal holds is an answer of this model."""
    if said is None:
        return False
    return said.error is not None or len(said.posterior) == len(labels)


@contextlib.contextmanager
def out_of_memory(options):
    """Says what helps where a GPU is too small."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError:
        size = options.batch_size or "the model's own"
        raise InputError(
            f"the memory of the device is full (--batch_size is {size}): give "
            "a smaller --batch_size, or --device cpu; what is done is kept"
        ) from None


def with_speakers(speech, way):
    """Says of each who speaks.

    Arguments
    ---------
    speech : list of Speech
    way : str or None
        ``column``: as a table says it; ``folder``: all that lies in one
        folder; ``all``: one speaker.

    Returns
    -------
    list of Speech

    Raises
    ------
    InputError
        If one has no speaker in its column.
    """
    if way == "column":
        for each in speech:
            if each.speaker is None:
                raise InputError(
                    f"--speakers column needs a speaker of '{each.name}': give "
                    "a table with the column speaker, or --speakers folder"
                )
        return speech
    named = {
        "no": lambda each: None,
        "folder": lambda each: os.path.dirname(each.path),
        "all": lambda each: "all",
    }.get(way, lambda each: each.speaker)
    return [dataclasses.replace(each, speaker=named(each)) for each in speech]
