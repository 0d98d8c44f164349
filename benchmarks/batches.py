"""Batches of like length against SpeechBrain's ordinary shuffled batches.

First the share of padding over the epochs, over all utterances of the corpus.
Then the ``baseline`` system of IPR (D1, log-Mel encoder) is trained twice from
one seed, with the batches of ``LengthBatchSampler`` and with those that
SpeechBrain makes when told ``shuffle=True``; all else is the same. The two
models take turns, an epoch each, and no epoch's time has any evaluation in it.

> python benchmarks/batches.py --data_folder IEMOCAP_full_release
"""

import argparse
import os
import pathlib
import statistics
import sys
import tempfile

import numpy as np
import soundfile
from dann_step import build
from rows import add_rows_option, row, write_rows

import speechbrain as sb
from speechbrain_ser.corpora.annotations import limit_parts
from speechbrain_ser.corpora.mini.iemocap import mini_iemocap
from speechbrain_ser.data.batching import LengthBatchSampler, padding_share
from speechbrain_ser.evaluation.metrics import mean_and_std
from speechbrain_ser.experiment.hparams import peek, with_overrides
from speechbrain_ser.utils.audio import load_audio

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "recipes" / "IEMOCAP"
sys.path.insert(0, str(FOLDER))
import train_ipr  # noqa: E402

HPARAMS = str(FOLDER / "hparams" / "ipr_logmel.yaml")
SIDES = ("ours", "shuffled")
RATE = 16000
# Command lines of the tests, each a trial of a second.
SMOKE = ("--data_folder {iemocap} --epochs 1 --seeds 1 --iemocap_durations",)


def lengthen(parts, folder):
    """Repeats or cuts each utterance to a duration as IEMOCAP's are.

    These are drawn from a log-normal distribution of mean 4.5 s, of which one
    in ten is longer than 8.3 s.

    Arguments
    ---------
    parts : dict
        Part to annotation.
    folder : str
        Where the new files go.

    Returns
    -------
    dict
        The same with other files and durations.
    """
    draw = np.random.default_rng(0)
    longer = {}
    for part, annotation in parts.items():
        longer[part] = {}
        for key, entry in annotation.items():
            n = int(RATE * max(0.6, draw.lognormal(1.3, 0.64)))
            wav = np.resize(load_audio(entry, RATE).numpy(), n)
            path = os.path.join(folder, f"{key}.wav")
            soundfile.write(path, wav, RATE)
            longer[part][key] = entry | {
                "wav": path,
                "start": 0,
                "stop": n,
                "duration": n / RATE,
            }
    return longer


def padding(durations, batch_size, epochs):
    """Returns the mean share of padding: of our batches, of random ones."""
    sampler = LengthBatchSampler(durations, batch_size)
    draw = np.random.default_rng(0)
    ours, shuffled = [], []
    for epoch in range(1, epochs + 1):
        sampler.set_epoch(epoch)
        ours.append(padding_share(durations, sampler.batches()))
        order = draw.permutation(len(durations))
        starts = range(0, len(order), batch_size)
        batches = [order[i : i + batch_size] for i in starts]
        shuffled.append(padding_share(durations, batches))
    return statistics.mean(ours), statistics.mean(shuffled)


def make_side(side, parts, overrides, epochs):
    """Makes one Brain and its batches.

    Arguments
    ---------
    side : str
        One of `SIDES`.
    parts : dict
        Part to annotation.
    overrides : str
    epochs : int

    Returns
    -------
    brain : IPRBrain
    loader : DataLoader
    """
    brain, _ = build(HPARAMS, overrides)
    brain.set_parts(parts)
    if side == "ours":
        loader = brain.make_dataloader(brain.train_set, sb.Stage.TRAIN)
    else:
        loader = sb.Brain.make_dataloader(
            brain,
            brain.train_set,
            sb.Stage.TRAIN,
            batch_size=brain.batch_size,
            shuffle=True,
        )
    brain.epochs = epochs
    brain.on_fit_start()
    return brain, loader


def train(parts, overrides, epochs):
    """Trains both sides in turns.

    Arguments
    ---------
    parts : dict
        Part to annotation.
    overrides : str
    epochs : int

    Returns
    -------
    seconds : dict
        Side to the time of each epoch.
    scores : dict
        Side to the metrics on D3.
    """
    made = {side: make_side(side, parts, overrides, epochs) for side in SIDES}
    seconds = {side: [] for side in SIDES}
    for epoch in range(1, epochs + 1):
        # each goes first in every other epoch
        for side in SIDES if epoch % 2 else reversed(SIDES):
            brain, loader = made[side]
            brain._fit_train(loader, epoch, enable=False)
            seconds[side].append(brain.train_row["seconds"])
    scores = {
        side: brain.score(brain.predict(brain.datasets["test"]))
        for side, (brain, _) in made.items()
    }
    return seconds, scores


def report(parts, seconds, scores, batch_size, epochs):
    """Prints a row a side, and the ratio of the medians; returns `rows.row`.

    Arguments
    ---------
    parts : dict
        Part to annotation.
    seconds : dict
        Side to the times of the epochs.
    scores : dict
        Side to the metrics of each seed.
    batch_size : int
    epochs : int
    """
    held = {
        "all": [e["duration"] for p in parts.values() for e in p.values()],
        "D1": [entry["duration"] for entry in parts["train"].values()],
    }
    shares = {
        name: dict(zip(SIDES, padding(durations, batch_size, epochs)))
        for name, durations in held.items()
    }
    print(
        f"{len(held['all'])} utterances, trained on the {len(held['D1'])} of "
        f"D1: {len(scores['ours'])} seeds x {epochs} epochs\n"
        "padding: mean, time: median, WA and UA on D3: mean +- std\n"
        f"{'batches':10}{'padding %':>10}{'of D1 %':>9}{'s/epoch':>9}"
        f"{'WA':>14}{'UA':>14}"
    )
    for side in SIDES:
        line = f"{side:10}{100 * shares['all'][side]:10.2f}"
        line += f"{100 * shares['D1'][side]:9.2f}"
        line += f"{statistics.median(seconds[side]):9.2f}"
        for name in ("WA", "UA"):
            mean, std = mean_and_std([score[name] for score in scores[side]])
            line += f"{f'{100 * mean:.1f} +- {100 * std:.1f}':>14}"
        print(line)
    ours, shuffled = (statistics.median(seconds[side]) for side in SIDES)
    print(f"{shuffled / ours:.2f}x faster")
    told = f"{ours:.2f} s", f"{shuffled:.2f} s", shuffled / ours
    padded = [f"{100 * shares['all'][side]:.2f} %" for side in SIDES]
    share = shares["all"]["ours"]
    return [
        row("batches", "an epoch, log-Mel encoder", *told, "at least 1.4"),
        row("batches", "padding", *padded, share, "at most 0.03"),
    ]


def main(argv=None):
    """Trains with each seed and reports."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data_folder", help="default: the mini corpus")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--iemocap_durations",
        action="store_true",
        help="repeat or cut the utterances to durations as IEMOCAP's are",
    )
    add_rows_option(parser)
    arguments = parser.parse_args(argv)
    data_folder = arguments.data_folder or mini_iemocap()
    seconds = {side: [] for side in SIDES}
    scores = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        common = {
            "data_folder": data_folder,
            "output_folder": folder,
            "system": "baseline",
        }
        settings = peek(HPARAMS, with_overrides("", **common))
        parts = train_ipr.plan(HPARAMS, with_overrides("", **common)).parts
        if arguments.iemocap_durations:
            parts = lengthen(parts, folder)
        parts, _ = limit_parts(
            parts, settings["max_duration"], settings["long_utterances"]
        )
        for seed in range(1, arguments.seeds + 1):
            overrides = with_overrides("", seed=seed, **common)
            taken, scored = train(parts, overrides, arguments.epochs)
            for side in SIDES:
                seconds[side] += taken[side]
                scores[side].append(scored[side])
    size = settings["batch_size"]
    found = report(parts, seconds, scores, size, arguments.epochs)
    write_rows(arguments.rows, found)


if __name__ == "__main__":
    main()
