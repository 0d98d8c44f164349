"""The recipe's training epochs of MEnAN against a plain PyTorch loop.

A side trains an epoch on the same features in memory, 14 s each, in batches of
16, without validation and checkpoints. The recipe's side is its Brain's ``fit``
with loader, sampler, two optimizers with clipped gradients, curves. The peer is
the same model and the same steps in plain PyTorch: ``Conv1d``, ``PReLU``,
``GRU``, ``Linear``, two Adams, one tensor of features that random permutations
index. ``printed`` is ``menan`` with the settings that the paper prints: lambda
0.5 from the beginning, one step of the speaker classifier SC on the batch alone,
of embeddings as they are. One pass through the encoder serves both steps; with
``--two_passes`` the peer makes one for each, as section 3.3 reads.

First both are given the same weights and one batch: logits, losses and
gradients must be the same (for ``menan`` those of either step, Eq. 1 on the
batch and Eq. 5 in the middle of the training). The sides take turns, in each
round the other one first. The table has medians over the rounds, of the time
and of the CPU time, which other jobs on the machine disturb less (with one
thread); a ratio, the recipe's speed to the peer's, is made within a round.

The next columns are per cents of the recipe's CPU time: ``load`` a walk through
its loader, ``enc`` the encoder's passes both ways, ``SC`` its steps in ``menan``,
each done alone in the same round; ``differ``: the first comparison. ``MB``, with
``--memory``, is the peak of the resident set above that of the imports, of a
process that trains one epoch of one side (Linux only). The features are random,
or with ``--data_folder`` (IEMOCAP's layout) those of the recipe's first fold.

> python benchmarks/menan_step.py --threads 1
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import torch
from dann_step import build, take_turns
from lpmn_mapping import resident
from menan_plain import PlainModel, collect, plain_fit, plain_loss, speaker_step
from rows import add_rows_option, row, write_rows

import speechbrain as sb
from speechbrain.utils.epoch_loop import EpochCounter
from speechbrain_ser.experiment.hparams import peek, with_overrides
from speechbrain_ser.methods.menan_parts import fill_in
from speechbrain_ser.utils.audio import place

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "recipes" / "IEMOCAP"
sys.path.insert(0, str(FOLDER))
import train_menan  # noqa: E402

HPARAMS = str(FOLDER / "hparams" / "menan.yaml")
SYSTEMS = ("emotion_only", "multitask", "dat", "menan", "printed")
PRINTED = {
    "system": "menan",
    "emotion_weight": 0.5,
    "lr_speaker": 0.001,
    "ramp": False,
    "speaker_steps": 1,
    "speaker_memory": 0,
    "standardise": False,
    "speaker_noise": 0,
}
N_SPEAKERS = 8
# In single precision.
TOLERANCE = 1e-4
# Command lines of the tests, each a trial of a second.
SMOKE = (
    "--utterances 2 --rounds 1 --duration 1.5 --two_passes",
    "--system menan --utterances 2 --rounds 1 --duration 1.5 --memory",
)


def random_parts(n, labels):
    """Makes the parts that the recipe would, of utterances without audio."""
    durations = 1 + 7 * torch.rand(n)
    train = {
        f"{i}": {
            "wav": f"{i}",
            "duration": float(durations[i]),
            "emotion": labels[i % len(labels)],
            "speaker": f"speaker{i % N_SPEAKERS}",
        }
        for i in range(n)
    }
    test = {"other": train["0"] | {"wav": "other"}}
    return {"train": train, "valid": {}, "test": test}


def draw_features(brain, parts):
    """Draws what the Brain would compute of audio."""
    for part in (brain.training_annotation(parts), *parts.values()):
        for entry in part.values():
            samples = round(entry["duration"] * brain.sample_rate)
            features = brain.features
            shape = features.count_frames(samples), features.dim
            brain.reader.held.setdefault(place(entry), torch.randn(shape))


def make_recipe(system, arguments, folder):
    """Makes the recipe's Brain with its parts.

    Arguments
    ---------
    system : str
        Of `SYSTEMS`.
    arguments : argparse.Namespace
    folder : str
        For what is written.

    Returns
    -------
    brain : MEnANBrain
    hparams : dict
    """
    settings = {
        "system": system,
        "data_folder": arguments.data_folder,
        "output_folder": folder,
        "cache_folder": arguments.cache_folder or os.path.join(folder, "cache"),
        "duration": arguments.duration,
        "model_selection": "last",
        "last_epochs": 0,
        "number_of_epochs": 1,
    }
    if system == "printed":
        settings |= PRINTED
    overrides = with_overrides("", **settings)
    if arguments.data_folder:
        planned = train_menan.plan(HPARAMS, overrides)
        brain, hparams = build(HPARAMS, planned.overrides)
        brain.set_parts(planned.parts)
        return brain, hparams
    labels = peek(HPARAMS, overrides)["labels"]
    parts = random_parts(arguments.utterances, labels)
    for known in (None, parts):
        more = fill_in(peek(HPARAMS, overrides), known)
        overrides = with_overrides(overrides, **more)
    brain, hparams = build(HPARAMS, overrides)
    draw_features(brain, parts)
    brain.compute_features = lambda parts: None
    brain.set_parts(parts)
    return brain, hparams


def paired_weights(brain, model):
    """Returns the recipe's weights and the peer's, in pairs."""
    ours, encoder = brain.modules, brain.modules.encoder
    one, two = zip(encoder.convs, encoder.activations)
    modules = [
        (torch.nn.Sequential(*one, *two), model.convs),
        (encoder.gru, model.gru),
        (torch.nn.Sequential(encoder.linear, encoder.activation), model.last),
        (ours.classifier, model.emotion),
        (ours.speaker_classifier, model.speaker),
    ]
    return [
        pair
        for mine, theirs in modules
        for pair in zip(mine.parameters(), theirs.parameters(), strict=True)
    ]


def gradients(pairs):
    """Takes both sides' gradients; of one that has none, zeros."""
    found = [
        tuple(
            torch.zeros_like(weight) if weight.grad is None else weight.grad
            for weight in pair
        )
        for pair in pairs
    ]
    for weight in (weight for pair in pairs for weight in pair):
        weight.grad = None
    return found


def same_model(brain, model, batch, hparams):
    """Gives the peer the recipe's weights and compares the two on a batch.

    Arguments
    ---------
    brain : MEnANBrain
        Which has trained.
    model : PlainModel
    batch : PaddedBatch
        Of the recipe's loader.
    hparams : dict

    Returns
    -------
    float
        The largest difference of logits, losses and gradients, in relation to
        the largest number of the kind.
    """
    pairs = paired_weights(brain, model)
    with torch.no_grad():
        for mine, theirs in pairs:
            theirs.copy_(mine)
    brain.modules.train()
    # the middle of a training of two epochs, where the ramp is high
    brain.epochs, brain.epoch, brain.step = 2, 2, 1
    data = batch.sig.data, batch.label, batch.speaker
    predictions = brain.compute_forward(batch, sb.Stage.TRAIN)
    vectors = model.encode(data[0])
    found = [
        [(predictions["logits"], model.emotion(vectors))],
        [(predictions["embeddings"], vectors)],
    ]
    if hparams["system"] == "menan":
        losses = step_1(brain, model, predictions, vectors, data[2], hparams)
        found += [[losses], gradients(pairs)]
    loss = brain.compute_objectives(predictions, batch, sb.Stage.TRAIN)
    loss.backward()
    plain = plain_loss(model, vectors, *data[1:], hparams, 0.5)
    plain.backward()
    if hparams["system"] == "menan":
        # the peer's SC has a gradient here that nobody uses
        for weight in model.speaker.parameters():
            weight.grad = None
    found += [[(loss, plain)], gradients(pairs)]
    # as before a training
    brain.history.means()
    brain.step = 0
    differences = [
        max((a - b).abs().max().item() for a, b in tensors)
        / max(b.abs().max().item() for _, b in tensors)
        for tensors in found
    ]
    if not max(differences) < TOLERANCE:
        sys.exit(f"the sides are two models: they differ by {differences}")
    return max(differences)


def step_1(brain, model, predictions, vectors, speakers, hparams):
    """Takes one step of SC on a batch, which moves nothing; both losses."""
    kept = brain.speaker_steps, brain.memory.size, brain.speaker_noise
    brain.speaker_steps, brain.memory.size, brain.speaker_noise = 1, 0, 0
    brain.optimizers_step = lambda: None
    brain.train_speaker_classifier(predictions["embeddings"], speakers)
    del brain.optimizers_step
    brain.speaker_steps, brain.memory.size, brain.speaker_noise = kept
    loss = torch.tensor(brain.history.means()["speaker_loss"])
    plain = speaker_step(
        model, vectors, speakers, hparams | {"speaker_noise": 0}
    )
    return loss, plain


def peak_here(side, system, arguments):
    """Trains an epoch of one side; returns its peak in bytes."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak begins anew
    before = resident("VmRSS")
    if side == "ours":
        with tempfile.TemporaryDirectory() as folder:
            brain, _ = make_recipe(system, arguments, folder)
            brain.fit(EpochCounter(1), brain.train_set)
    else:
        held = torch.load(arguments.held, weights_only=True)
        data, hparams = held["data"], held["hparams"]
        model = PlainModel(hparams, data["features"].shape[-1])
        plain_fit(model, data, hparams)
    return resident("VmHWM") - before


def peak_of(side, system, held, given):
    """Returns the peak of a side in a process of its own, in MB."""
    command = [sys.executable, __file__, *given, "--system", system]
    run = subprocess.run(
        [*command, "--peak_of", side, "--held", held],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return int(run.stdout.split()[-1]) / 1e6


def compared(taken, which):
    """Formats the two sides' times and their ratio.

    Arguments
    ---------
    taken : dict
        Side to time and CPU time of each round.
    which : int
        0: the time; 1: the CPU time.

    Returns
    -------
    str
    """
    ours, plain = (
        [seconds[which] for seconds in taken[name]]
        for name in ("ours", "plain")
    )
    ratios = [b / a for a, b in zip(ours, plain)]
    return (
        f"{statistics.median(ours):8.2f}{statistics.median(plain):8.2f}"
        f"{statistics.median(ratios):7.2f}"
        f"{f'{min(ratios):.2f}-{max(ratios):.2f}':>11}"
    )


def measure(system, arguments, folder):
    """Times both sides and prints a row.

    Arguments
    ---------
    system : str
        Of `SYSTEMS`.
    arguments : argparse.Namespace
    folder : str
        For what is written.
    """
    brain, hparams = make_recipe(system, arguments, folder)
    training = brain.train_set
    loader = brain.make_dataloader(training, sb.Stage.TRAIN)
    batch = next(iter(loader))
    data = collect(training)
    model = PlainModel(hparams, data["features"].shape[-1])
    difference = same_model(brain, model, batch, hparams)
    # the first round begins with the last: it makes the optimizers
    sides = pieces(brain, loader, batch) | {
        "plain": lambda: plain_fit(
            model, data, hparams, two_passes=arguments.two_passes
        ),
        "ours": lambda: brain.fit(EpochCounter(1), training),
    }
    if hparams["system"] != "menan":
        del sides["SC"]
    taken = take_turns(sides, arguments.rounds)
    line = f"{system:13}{len(loader):6}{compared(taken, 0)}{compared(taken, 1)}"
    for part in ("load", "enc", "SC"):
        shares = [
            100 * mine[1] / whole[1]
            for mine, whole in zip(taken.get(part, []), taken["ours"])
        ]
        line += f"{statistics.median(shares):6.1f}" if shares else f"{'-':>6}"
    line += f"{difference:9.0e}"
    if arguments.memory:
        held = os.path.join(folder, "held.pt")
        plain = (bool, int, float, str, list)
        hparams = {k: v for k, v in hparams.items() if isinstance(v, plain)}
        torch.save({"data": data, "hparams": hparams}, held)
        given = arguments.given
        for side in ("ours", "plain"):
            line += f"{peak_of(side, system, held, given):7.0f}"
    print(line, flush=True)
    sides = [[cpu for _, cpu in taken[x]] for x in ("ours", "plain")]
    ratio = statistics.median(b / a for a, b in zip(*sides))
    told = [f"{statistics.median(side):.2f} CPU s" for side in sides]
    found = row("menan_step", f"an epoch of {system}", *told, ratio)
    write_rows(arguments.rows, [found])


def pieces(brain, loader, batch):
    """Returns the parts of the recipe's epoch that are timed alone.

    Arguments
    ---------
    brain : MEnANBrain
    loader : DataLoader
    batch : PaddedBatch
        Of it.

    Returns
    -------
    dict
        Name to work.
    """
    embeddings = brain.modules.encoder(batch.sig.data).detach()

    def walk():
        """Goes through the loader as an epoch does."""
        for held in loader:
            held.to(brain.device)

    def encode():
        """Passes through the encoder as often as an epoch does."""
        for _ in loader.batch_sampler:
            vectors = brain.modules.encoder(batch.sig.data)
            vectors.backward(torch.ones_like(vectors))
        brain.modules.zero_grad()

    def judge():
        """Trains SC as often as an epoch does."""
        for _ in loader.batch_sampler:
            brain.train_speaker_classifier(embeddings, batch.speaker)

    return {"load": walk, "enc": encode, "SC": judge}


def read_arguments(argv):
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--system", choices=SYSTEMS, help="default: all")
    parser.add_argument(
        "--utterances",
        type=int,
        default=64,
        help="random ones, besides four copies of each at other speeds",
    )
    parser.add_argument("--data_folder", help="IEMOCAP's layout")
    parser.add_argument("--cache_folder", help="keeps the features of a corpus")
    parser.add_argument("--duration", type=float, default=14.0, help="seconds")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, help="default: torch's own")
    two = {"action": "store_true", "help": "the peer encodes each batch twice"}
    parser.add_argument("--two_passes", **two)
    add_rows_option(parser)
    parser.add_argument("--memory", action="store_true", help="peaks too")
    parser.add_argument("--peak_of", help=argparse.SUPPRESS)
    parser.add_argument("--held", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    arguments.given = sys.argv[1:] if argv is None else argv
    return arguments


def main(argv=None):
    """Prints one row a system."""
    arguments = read_arguments(argv)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if arguments.peak_of:
        print(peak_here(arguments.peak_of, arguments.system, arguments))
        return
    memory = "", ""
    if arguments.memory:
        memory = f"{'MB':>14}", f"{'ours':>7}{'plain':>7}"
    columns = f"{'ours':>8}{'plain':>8}{'ratio':>7}{'range':>11}"
    print(
        f"{arguments.rounds} rounds, {torch.get_num_threads()} threads, "
        f"{arguments.duration:g} s an utterance; medians\n"
        f"{'':19}{'seconds an epoch':>34}{'CPU seconds an epoch':>34}"
        f"{'% of CPU time':>18}{'':9}{memory[0]}\n"
        f"{'system':13}{'steps':>6}{columns}{columns}"
        f"{'load':>6}{'enc':>6}{'SC':>6}{'differ':>9}{memory[1]}",
        flush=True,
    )
    for system in [arguments.system] if arguments.system else SYSTEMS:
        with tempfile.TemporaryDirectory() as folder:
            measure(system, arguments, folder)


if __name__ == "__main__":
    main()
