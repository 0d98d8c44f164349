"""The recipe's training steps of DANN against a plain PyTorch loop.

A side trains some epochs on the same features in memory, in batches of 32 of
the source and 32 of the target (`base`: 32 of the source), without validation
and checkpoints. The recipe's side is its Brain's ``fit`` with all that belongs
to it: loader, sampler, Brain, two optimizers with clipped gradients, curves.
The peer is what the paper says in plain PyTorch: ``Conv1d``, ``MaxPool1d``,
``BatchNorm1d``, a reversal function, one Adam, one tensor of features that
random permutations index.

First both are given the same weights and one batch: logits, loss and gradients
must be the same. The sides take turns, in each round the other one first.
The table has medians over the rounds, of the time and of the CPU time, which
other jobs on the machine disturb less (with one thread); a ratio, the recipe's
speed to the peer's, is made within a round. ``load %`` is the time of a walk
through the recipe's loader that does nothing else, in per cent of the recipe's
time; ``differ`` the largest difference of the first comparison.

The features are random, or with ``--recola_folder`` and ``--iemocap_folder``
those of the recipe. With ``--full`` there are no steps but one whole run of the
recipe for each system, as a command of its own, report and figures included;
without folders it is on the mini corpora.

> python benchmarks/dann_step.py --threads 1
> python benchmarks/dann_step.py --threads 1 --full --system dann
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import torch
from dann_plain import PlainModel, plain_fit, plain_loss
from rows import add_rows_option, row, write_rows

import speechbrain as sb
from speechbrain.utils.epoch_loop import EpochCounter
from speechbrain_ser.data.domains import SOURCE, TARGET
from speechbrain_ser.experiment.hparams import load, with_overrides

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "recipes" / "RECOLA"
sys.path.insert(0, str(FOLDER))
import train_dann  # noqa: E402

HPARAMS = FOLDER / "hparams" / "dann.yaml"
SYSTEMS = ("dann", "base")
# In single precision.
TOLERANCE = 1e-5
# Command lines of the tests, each a trial of a second.
SMOKE = (
    "--utterances 32 --target 32 --epochs 1 --rounds 1",
    "--system dann --recola_folder {recola} --iemocap_folder {iemocap} "
    "--epochs 1 --rounds 1",
)


def random_parts(n_source, n_target, words):
    """Makes what the recipe splits, of utterances without audio."""

    def entries(n, domain, **more):
        """So many entries, with names of their own."""
        return {
            f"{domain}-{i}": {
                "wav": f"{domain}-{i}",
                "duration": 7.5,
                "domain": domain,
            }
            | {name: values[i % len(values)] for name, values in more.items()}
            for i in range(n)
        }

    return {
        "train": entries(n_source, SOURCE, emotion=words),
        "target": entries(n_target, TARGET),
    }


def make_recipe(system, arguments, folder):
    """Makes the recipe's Brain with its parts.

    Arguments
    ---------
    system : str
    arguments : argparse.Namespace
    folder : str
        For what is written.

    Returns
    -------
    brain : DANNBrain
    hparams : dict
    """
    settings = {
        "system": system,
        "batch_norm": arguments.batch_norm,
        "output_folder": folder,
        "cache_folder": os.path.join(folder, "log_mel"),
        "model_selection": "last",
        "last_epochs": 0,
    }
    path = str(HPARAMS)
    if arguments.recola_folder:
        settings["recola_folder"] = arguments.recola_folder
        settings["iemocap_folder"] = arguments.iemocap_folder
        planned = train_dann.plan(path, with_overrides("", **settings))
        brain, hparams = build(path, planned.overrides)
        brain.set_parts(planned.parts)
        return brain, hparams
    words = ["low", "high"]
    settings |= {"labels": words, "penalty": "l1"}
    brain, hparams = build(path, with_overrides("", **settings))
    parts = random_parts(arguments.utterances, arguments.target, words)
    shape = hparams["n_frames"], hparams["n_mels"]
    held = {
        entry["wav"]: torch.randn(shape)
        for part in parts.values()
        for entry in part.values()
    }
    brain.compute_features = lambda parts: None
    brain.readers = [lambda entry: held[entry["wav"]]] * 2
    brain.set_parts(parts)
    return brain, hparams


def build(path, overrides):
    """Builds the recipe's objects; returns its Brain and all of them."""
    hparams = load(path, overrides)
    run_opts = sb.core.RunOptions.from_dictionary(
        {"device": "cpu", "noprogressbar": True}
    )
    brain = hparams["brain"](checkpointer=None, run_opts=run_opts)
    return brain, hparams


def pairs_of(ours, model, hparams):
    """Pairs the recipe's weights with the peer's."""
    pairs = [
        (ours.encoder.conv.weight, model.conv.weight),
        (ours.encoder.conv.bias, model.conv.bias),
        (ours.encoder.attention.query, model.query),
        (ours.classifier.w.weight, model.emotion.weight),
        (ours.classifier.w.bias, model.emotion.bias),
    ]
    if hparams["batch_norm"] == "bn1":
        pairs += [
            (ours.norm.weight, model.norm.weight),
            (ours.norm.bias, model.norm.bias),
        ]
    if model.language is not None:
        pairs += [
            (ours.language_classifier.w.weight, model.language.weight),
            (ours.language_classifier.w.bias, model.language.bias),
        ]
    return pairs


def same_model(brain, model, batch, hparams):
    """Gives the peer the recipe's weights and compares the two on a batch.

    Arguments
    ---------
    brain : DANNBrain
    model : PlainModel
    batch : PaddedBatch
        Of the recipe's loader.
    hparams : dict

    Returns
    -------
    dict
        Name to largest difference: of logits, loss and gradients, these
        relative to the largest one.
    """
    ours = brain.modules
    pairs = pairs_of(ours, model, hparams)
    with torch.no_grad():
        for mine, theirs in pairs:
            theirs.copy_(mine)
    ours.train()
    model.train()
    # each side would draw its own
    ours.dropout.eval()
    model.dropout.eval()
    predictions = brain.compute_forward(batch, sb.Stage.TRAIN)
    loss = brain.compute_objectives(predictions, batch, sb.Stage.TRAIN)
    loss.backward()
    labels = batch.label[batch.domain == SOURCE]
    features = batch.sig.data.transpose(1, 2).contiguous()
    emotions, languages = model(features, len(labels))
    plain = plain_loss(model, features, labels, hparams)
    plain.backward()
    compared = {"logits": [(predictions["logits"], emotions)]}
    if languages is not None:
        compared["logits"].append((predictions["languages"], languages))
    compared["loss"] = [(loss, plain)]
    # batch norm leaves a convolution's bias no gradient but rounding errors
    size = max(theirs.grad.abs().max() for _, theirs in pairs)
    compared["gradients"] = [
        (mine.grad / size, theirs.grad / size) for mine, theirs in pairs
    ]
    ours.zero_grad()
    model.zero_grad()
    found = {
        name: max((a - b).abs().max().item() for a, b in tensors)
        for name, tensors in compared.items()
    }
    if not max(found.values()) < TOLERANCE:
        sys.exit(f"the sides are two models: they differ by {found}")
    return found


def seconds_of(work):
    """Does some work; returns its time and its CPU time."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def measure(system, arguments, folder):
    """Times both sides and prints a row.

    Arguments
    ---------
    system : str
    arguments : argparse.Namespace
    folder : str
        For what is written.
    """
    brain, hparams = make_recipe(system, arguments, folder)
    training = brain.train_set
    loader = brain.make_dataloader(training, sb.Stage.TRAIN)
    epochs = arguments.epochs or 2
    model = PlainModel(hparams)
    found = same_model(brain, model, next(iter(loader)), hparams)
    items = [training[i] for i in range(len(training))]
    features = torch.stack([item["sig"].T for item in items])
    labels = torch.tensor(
        [item["label"] for item in items if not item["domain"]]
    )

    def walk():
        """Goes through the loader as an epoch does."""
        for _ in range(epochs):
            for batch in loader:
                batch.to(brain.device)

    taken = take_turns(
        {
            "ours": lambda: brain.fit(EpochCounter(epochs), training),
            "plain": lambda: plain_fit(
                model, features, labels, hparams, epochs
            ),
            "loader": walk,
        },
        arguments.rounds,
    )
    steps = epochs * len(loader)
    line = f"{system:6}{hparams['batch_norm']:>5}{steps:7}"
    # of the time, then of the CPU time
    for which in (0, 1):
        line += columns_of(
            {
                name: [seconds[which] for seconds in rounds]
                for name, rounds in taken.items()
            },
            steps,
        )
    print(line + f"{max(found.values()):10.0e}", flush=True)
    sides = [[steps / cpu for _, cpu in taken[x]] for x in ("ours", "plain")]
    ratio = statistics.median(a / b for a, b in zip(*sides))
    told = [f"{statistics.median(side):.1f} steps a CPU s" for side in sides]
    what = f"steps of {system}, {hparams['batch_norm']}"
    found = row("dann_step", what, *told, ratio, "at least 0.8")
    write_rows(arguments.rows, [found])


def take_turns(sides, rounds):
    """Times each side in each round, the order turned round each time.

    Arguments
    ---------
    sides : dict
        Name to work.
    rounds : int

    Returns
    -------
    dict
        Name to what `seconds_of` gave in each round.
    """
    taken = {name: [] for name in sides}
    # The first round is slower and is not kept.
    for i in range(rounds + 1):
        for name in sides if i % 2 else reversed(sides):
            seconds = seconds_of(sides[name])
            if i:
                taken[name].append(seconds)
    return taken


def columns_of(taken, steps):
    """Returns the columns of one kind of time.

    Arguments
    ---------
    taken : dict
        ``ours``, ``plain`` and ``loader`` to the seconds of each round.
    steps : int
        Of a round.

    Returns
    -------
    str
    """
    ours, plain, walked = taken["ours"], taken["plain"], taken["loader"]
    ratios = [b / a for a, b in zip(ours, plain)]
    shares = [b / a for a, b in zip(ours, walked)]
    columns = ""
    for seconds in (ours, plain):
        columns += f"{steps / statistics.median(seconds):9.1f}"
    columns += f"{statistics.median(ratios):7.2f}"
    columns += f"{f'{min(ratios):.2f}-{max(ratios):.2f}':>11}"
    return columns + f"{100 * statistics.median(shares):8.1f}"


def full_run(system, arguments, folder):
    """Runs the recipe as a command and prints a row.

    Arguments
    ---------
    system : str
    arguments : argparse.Namespace
    folder : str
        For what is written.
    """
    settings = {
        "system": system,
        "batch_norm": arguments.batch_norm,
        "output_folder": folder,
        "cache_folder": os.path.join(folder, "log_mel"),
        "recola_folder": arguments.recola_folder,
        "iemocap_folder": arguments.iemocap_folder,
        "number_of_epochs": arguments.epochs,
    }
    command = [sys.executable, str(FOLDER / "train_dann.py"), str(HPARAMS)]
    command += [f"--{k}={v}" for k, v in settings.items() if v is not None]
    command += ["--noprogressbar", "--device=cpu"]
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    with tempfile.TemporaryFile() as log:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log
        )
        # as Popen.wait, which does not say what the process used
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        if status:
            log.seek(0)
            sys.exit(log.read().decode())
    with open(os.path.join(folder, "metrics.json"), encoding="utf-8") as file:
        facts = json.load(file)
    with open(os.path.join(folder, "curves.csv"), encoding="utf-8") as file:
        epochs = len(file.readlines()) - 1
    print(
        f"{facts['system']} ({facts['batch_norm']}), {facts['corpus']}, "
        f"{epochs} epochs: {wall:.1f} s, {used.ru_utime + used.ru_stime:.1f} s "
        f"of the CPU, {used.ru_maxrss / 1024:.0f} MB at most; utterances: "
        + ", ".join(f"{name} {n}" for name, n in facts["sizes"].items())
    )


def main(argv=None):
    """Prints one row a system."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--system", default="both", choices=[*SYSTEMS, "both"])
    parser.add_argument("--batch_norm", default="bn1", choices=["bn1", "none"])
    parser.add_argument(
        "--utterances", type=int, default=600, help="of the random source"
    )
    parser.add_argument("--target", type=int, default=1500)
    parser.add_argument("--recola_folder")
    parser.add_argument("--iemocap_folder")
    parser.add_argument(
        "--epochs", type=int, help="of a round, default: 2; of --full: all"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, help="default: torch's own")
    parser.add_argument(
        "--full", action="store_true", help="a run of the recipe instead"
    )
    add_rows_option(parser)
    arguments = parser.parse_args(argv)
    if bool(arguments.recola_folder) != bool(arguments.iemocap_folder):
        parser.error("give both --recola_folder and --iemocap_folder, or none")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    one = arguments.system != "both"
    if not arguments.full:
        columns = f"{'ours':>9}{'plain':>9}{'ratio':>7}{'range':>11}"
        columns += f"{'load %':>8}"
        print(
            f"{arguments.rounds} rounds, {torch.get_num_threads()} threads; "
            "medians\n"
            f"{'':18}{'steps a second':>44}{'a CPU second':>44}\n"
            f"{'system':6}{'norm':>5}{'steps':>7}{columns}{columns}"
            f"{'differ':>10}"
        )
    work = full_run if arguments.full else measure
    for system in [arguments.system] if one else SYSTEMS:
        with tempfile.TemporaryDirectory() as folder:
            work(system, arguments, folder)


if __name__ == "__main__":
    main()
