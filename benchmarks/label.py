"""Labelling files against the plain forward over the same audio.

The sides take turns in one process, in each round the other one first. Ours is
the command, from a folder of files to a CSV: files are found, looked at,
decoded in threads while the model computes, the table is written; nothing is
taken from a journal. ``forward`` is the model alone: the same speech, decoded
before, in the same batches. ``one by one`` is a loop without threads: each
batch is decoded, then computed. Printed are hours of speech an hour, medians
over the rounds, and ratios made within a round, by the clock and by CPU time,
which hides no decoding.

Then the start: from the command to its end, for one file of 3 s, beside
``import torch, speechbrain`` in a fresh Python; medians, taking turns.

The model is IPR's with the log-Mel encoder, random weights, or ``--model``, a
folder of ``ser-export``; the speech is noise of 1 to 5 s in FLAC files, or the
first of ``--audio``.

> python benchmarks/label.py --threads 1
> python benchmarks/label.py --model FOLDER --encoder_folder DIR --files 50
"""

import argparse
import contextlib
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import soundfile
import torch
from dann_step import seconds_of
from rows import add_rows_option, row, write_rows

from speechbrain_ser.inference.export import write_folder
from speechbrain_ser.inference.folder import model_of
from speechbrain_ser.inference.label import main as label
from speechbrain_ser.inference.recognizer import EmotionRecognizer
from speechbrain_ser.inference.sources import gather
from speechbrain_ser.inference.speech import open_all

RATE = 16000
DIM = 96
LABELS = ["ang", "hap", "neu", "sad"]
# Command lines of the tests, each a trial of a second.
SMOKE = ("--files 9 --rounds 1 --starts 1",)


def small_model(folder):
    """Writes the folder of a log-Mel model with random weights."""

    def made(name, **arguments):
        """How a folder describes an object."""
        return {"call": name, "with": arguments}

    lobes = "speechbrain_ser.lobes"
    linear = made(
        "speechbrain.nnet.linear.Linear", n_neurons=4, input_size=2 * DIM
    )
    described = {
        "class": "IPRModel",
        "with": {
            "encoder": made(f"{lobes}.logmel.LogMelEncoder", channels=DIM),
            "pooling": made(
                f"{lobes}.pooling.StatisticsPooling", statistics="mean_std"
            ),
            "classifier": linear,
        },
    }
    config = {
        "format": 1,
        "name": "random",
        "labels": LABELS,
        "sample_rate": RATE,
        "temperature": None,
        "max_seconds": 60.0,
        "batch_size": 16,
        "card": {},
        "model": described,
        "encoder": None,
    }
    torch.manual_seed(0)
    write_folder(folder, config, model_of(described), None)


def make_audio(folder, count):
    """Writes files of noise."""
    draw = np.random.default_rng(0)
    for i in range(count):
        samples = 0.05 * draw.normal(size=draw.integers(RATE, 5 * RATE))
        soundfile.write(os.path.join(folder, f"{i:05}.flac"), samples, RATE)


class Sides:
    """What is timed.

    Arguments
    ---------
    recognizer : EmotionRecognizer
    paths : list of str
    folder : str
        For what is written.
    """

    def __init__(self, recognizer, paths, folder):
        self.recognizer = recognizer
        self.paths = paths
        self.csv = os.path.join(folder, "out.csv")
        self.sounds = open_all(gather(paths).speech)
        self.seconds = [sound.duration for sound in self.sounds]
        self.batches = recognizer.batches(self.seconds)
        self.signals = [
            sound.read(recognizer.sample_rate) for sound in self.sounds
        ]

    def ours(self):
        """The command."""
        words = [*self.paths, "--csv", self.csv, "--no_journal"]
        with contextlib.redirect_stdout(io.StringIO()):
            if label(words, lambda options: self.recognizer):
                sys.exit("a file can't be labelled: give other --audio")

    def forward(self):
        """The model alone."""
        for batch in self.batches:
            self.compute([self.signals[i] for i in batch])

    def one_by_one(self):
        """A loop without threads."""
        rate = self.recognizer.sample_rate
        for batch in self.batches:
            self.compute([self.sounds[i].read(rate) for i in batch])

    def compute(self, signals):
        """One batch."""
        frames = [self.recognizer.frames(signal) for signal in signals]
        self.recognizer.classify(frames)


def measure(sides, rounds):
    """Times the sides in turns and prints the table; returns `rows.row`."""
    works = {
        "ours": sides.ours,
        "forward": sides.forward,
        "one by one": sides.one_by_one,
    }
    taken = {name: [] for name in works}
    # The first round is slower and is not kept.
    for i in range(rounds + 1):
        for name in works if i % 2 else reversed(works):
            both = seconds_of(works[name])
            if i:
                taken[name].append(both)
    speech = sum(sides.seconds)
    columns = f"{'':>10}{'ratio':>7}{'range':>11}"
    print(
        f"{len(sides.sounds)} files, {speech:.0f} s, {rounds} rounds, "
        f"{torch.get_num_threads()} threads; hours of speech in an hour, and "
        "ours to it\n"
        f"{'':10}{'by the clock':>28}{'by CPU time':>28}\n{'':10}{columns * 2}"
    )
    for name, rows in taken.items():
        line = f"{name:10}"
        for which in (0, 1):  # the clock's, then the CPU's
            seconds = [row[which] for row in rows]
            ours = [row[which] for row in taken["ours"]]
            ratios = [b / a for a, b in zip(ours, seconds)]
            line += f"{speech / statistics.median(seconds):10.0f}"
            line += f"{statistics.median(ratios):7.2f}"
            line += f"{f'{min(ratios):.2f}-{max(ratios):.2f}':>11}"
        print(line)
    pairs = zip(taken["ours"], taken["forward"])
    ratio = statistics.median(b[0] / a[0] for a, b in pairs)
    told = [
        f"{statistics.median(x[0] for x in taken[name]):.2f} s"
        for name in ("ours", "forward")
    ]
    what = f"labelling {len(sides.sounds)} files"
    return row("label", what, *told, ratio, "at least 0.9")


def measure_start(arguments, folder, count):
    """Times the start of both commands in turns; returns `rows.row`."""
    path = os.path.join(folder, "one.wav")
    soundfile.write(
        path, 0.1 * np.random.default_rng(0).normal(size=48000), RATE
    )
    words = ["--model", arguments.model, "--no_journal", path]
    if arguments.encoder_folder:
        words += ["--encoder_folder", arguments.encoder_folder]
    commands = {
        "ours": [sys.executable, "-m", "speechbrain_ser.label", *words],
        "import": [sys.executable, "-c", "import torch, speechbrain"],
    }
    taken = {name: [] for name in commands}
    for i in range(count + 1):
        for name in commands if i % 2 else reversed(commands):
            began = time.perf_counter()
            run = subprocess.run(commands[name], stdout=subprocess.DEVNULL)
            if run.returncode:
                sys.exit(f"{' '.join(commands[name])} failed")
            if i:
                taken[name].append(time.perf_counter() - began)
    ours, imported = map(statistics.median, taken.values())
    ratio = statistics.median(
        a / b for a, b in zip(taken["ours"], taken["import"])
    )
    print(
        f"start to the end of one file {ours:.2f} s, import torch, speechbrain "
        f"{imported:.2f} s: ratio {ratio:.2f}"
    )
    told = f"{ours:.2f} s", f"{imported:.2f} s", ratio
    return row("label", "start to the end of one file", *told, "at most 1.5")


def main(argv=None):
    """Prints the table, and a line of the start."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", help="a folder of ser-export")
    parser.add_argument("--encoder_folder")
    parser.add_argument("--audio", help="a folder")
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--starts", type=int, default=3, help="0: none")
    parser.add_argument("--threads", type=int, help="default: torch's own")
    add_rows_option(parser)
    arguments = parser.parse_args(argv)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.audio is None:
            arguments.audio = os.path.join(folder, "audio")
            os.mkdir(arguments.audio)
            make_audio(arguments.audio, arguments.files)
        if arguments.model is None:
            arguments.model = os.path.join(folder, "model")
            small_model(arguments.model)
        recognizer = EmotionRecognizer.from_folder(
            arguments.model, arguments.encoder_folder, "cpu"
        )
        speech = gather([arguments.audio]).speech[: arguments.files]
        paths = [each.path for each in speech]
        sides = Sides(recognizer, paths, folder)
        found = [measure(sides, arguments.rounds)]
        if arguments.starts:
            found.append(measure_start(arguments, folder, arguments.starts))
    write_rows(arguments.rows, found)


if __name__ == "__main__":
    main()
