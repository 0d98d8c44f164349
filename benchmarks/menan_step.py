"""The recipe's training epochs of MEnAN against a plain PyTorch loop.

A side trains an epoch on the same features in memory, 14 s each, in batches of
16, without validation and checkpoints. The recipe's side is its Brain's ``fit``
with all that belongs to it: loader, sampler, Brain, two optimizers with clipped
gradients, curves. The peer is the same model and the same steps in plain
PyTorch: ``Conv1d``, ``PReLU``, ``GRU``, ``Linear``, two Adams, one tensor of
features that random permutations index. ``printed`` is ``menan`` with the
settings that the paper prints: lambda 0.5 from the beginning, one step of the
speaker classifier SC on the batch alone, of embeddings as they are. One pass
through the encoder serves both steps on both sides; with ``--two_passes`` the
peer makes one for each, as section 3.3 reads.

First both are given the same weights and one batch: logits, losses and
gradients must be the same (for ``menan`` those of either step, Eq. 1 on the
batch and Eq. 5 in the middle of the training). The sides take turns, in each
round the other one first. The table has medians over the rounds, of the time
and of the CPU time, which other jobs on the machine disturb less (with one
thread); a ratio, the recipe's speed to the peer's, is made within a round.

The next columns are parts of the recipe's CPU time in per cent: ``load`` a walk
through its loader, ``enc`` the encoder's forward and backward passes, ``SC``
the steps of SC in ``menan``, each done alone in the same round. ``differ`` is
the largest difference of the first comparison. ``MB``, with ``--memory``, is the
peak of the resident set above that of the imports, in a process that trains one
epoch of one side and holds its own kind of features (Linux only).

The features are random, of utterances of 1 to 8 s, or with ``--data_folder``
those of the recipe's first fold.

> python benchmarks/menan_step.py --threads 1
> python benchmarks/menan_step.py --threads 1 --data_folder IEMOCAP_full_release
"""

import argparse
import functools
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import speechbrain as sb
import torch
import torch.nn.functional as F
from dann_plain import Reversal
from dann_step import seconds_of
from lpmn_mapping import resident
from speechbrain.utils.epoch_loop import EpochCounter

from speechbrain_ser.experiment import recipe
from speechbrain_ser.lobes.features import repeated_or_middle
from speechbrain_ser.utils.audio import place

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "recipes" / "IEMOCAP"
sys.path.insert(0, str(FOLDER))
import train_menan  # noqa: E402

HPARAMS = FOLDER / "hparams" / "menan.yaml"
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


def linear_layers(sizes):
    """Makes linear layers with PReLU between them."""
    layers = []
    for before, after in zip(sizes, sizes[1:]):
        layers += [torch.nn.Linear(before, after), torch.nn.PReLU()]
    return torch.nn.Sequential(*layers[:-1])


class PlainModel(torch.nn.Module):
    """Table 1 of the paper.

    Arguments
    ---------
    hparams : dict
        The recipe's.
    n_features : int
    """

    def __init__(self, hparams, n_features):
        super().__init__()
        channels, stride = hparams["channels"], hparams["stride"]
        first, second = hparams["kernel_sizes"]
        self.convs = torch.nn.Sequential(
            torch.nn.Conv1d(n_features, channels, first, stride),
            torch.nn.PReLU(),
            torch.nn.Conv1d(channels, channels, second, stride),
            torch.nn.PReLU(),
        )
        self.gru = torch.nn.GRU(channels, channels, batch_first=True)
        self.last = torch.nn.Sequential(
            torch.nn.Linear(channels, channels), torch.nn.PReLU()
        )
        sizes = [3 * channels, *hparams["hidden_sizes"]]
        self.emotion = linear_layers([*sizes, hparams["n_classes"]])
        self.speaker = linear_layers([*sizes, hparams["n_speakers"]])

    def encode(self, features):
        """Returns v = enc(x), ``[batch, 3 channels]``."""
        frames = self.convs(features.transpose(1, 2))
        frames = self.last(self.gru(frames.transpose(1, 2))[0])
        variance = frames.var(dim=1, unbiased=False)
        # with what keeps the recipe's gradient finite
        std = (variance + 1e-5).sqrt()
        return torch.cat([frames.mean(dim=1), std, frames.amax(dim=1)], dim=1)


def seen(embeddings, hparams):
    """Returns embeddings as SC of ``menan`` sees them."""
    if not hparams["standardise"]:
        return embeddings
    mean = embeddings.mean(dim=0)
    variance = embeddings.var(dim=0, unbiased=False)
    return (embeddings - mean) / (variance + 1e-5).sqrt()


def plain_loss(model, embeddings, labels, speakers, hparams, progress):
    """Computes what the encoder learns, Eq. 5 for ``menan``.

    Arguments
    ---------
    model : PlainModel
    embeddings : torch.Tensor
        v, ``[batch, D]``.
    labels, speakers : torch.Tensor
        Indices, ``[batch]``.
    hparams : dict
    progress : float
        The share of the training that is over.

    Returns
    -------
    torch.Tensor
        A scalar.
    """
    loss = F.cross_entropy(model.emotion(embeddings), labels)
    system, weight = hparams["system"], hparams["emotion_weight"]
    if system == "emotion_only":
        return loss
    if system == "menan":
        if hparams["ramp"]:
            rise = 2 / (1 + torch.tensor(-10 * progress).exp()) - 1
            weight = 1 - (1 - weight) * float(rise)
        logs = model.speaker(seen(embeddings, hparams)).log_softmax(dim=1)
        other = (logs.exp() * logs).sum(dim=1).mean()
    else:
        if system == "dat":
            scale = hparams["reversal_scale"]
            embeddings = Reversal.apply(embeddings, scale)
        other = F.cross_entropy(model.speaker(embeddings), speakers)
    return weight * loss + (1 - weight) * other


def speaker_step(model, embeddings, speakers, hparams):
    """Computes Eq. 1 and its gradients; the encoder gets none."""
    vectors = seen(embeddings.detach(), hparams)
    vectors = vectors + hparams["speaker_noise"] * torch.randn_like(vectors)
    loss = F.cross_entropy(model.speaker(vectors), speakers)
    loss.backward()
    return loss


def plain_fit(model, data, hparams, two_passes=False):
    """Trains an epoch as one would write it without SpeechBrain.

    Arguments
    ---------
    model : PlainModel
    data : dict
        ``features``, ``labels`` and ``speakers`` of all utterances.
    hparams : dict
    two_passes : bool
        Whether the batch is encoded once for each of the two steps.
    """
    adversary = list(model.speaker.parameters())
    theirs = {id(weight) for weight in adversary}
    rest = [w for w in model.parameters() if id(w) not in theirs]
    adam, rates = torch.optim.Adam, (hparams["lr"], hparams["lr_speaker"])
    for_rest = adam(rest, lr=rates[0], fused=True)
    for_speaker = adam(adversary, lr=rates[1], fused=True)
    in_two_steps = hparams["system"] == "menan"
    held, said = torch.empty(0), torch.empty(0, dtype=torch.long)
    order = torch.randperm(len(data["labels"]))
    batches = order.split(hparams["batch_size"])
    losses = []
    for step, chosen in enumerate(batches):
        features = data["features"][chosen]
        labels, speakers = data["labels"][chosen], data["speakers"][chosen]
        with torch.set_grad_enabled(not (in_two_steps and two_passes)):
            vectors = model.encode(features)
        if in_two_steps:
            size = hparams["speaker_memory"]
            if size:
                held = torch.cat([held, vectors.detach()])[-size:]
                said = torch.cat([said, speakers])[-size:]
            for _ in range(hparams["speaker_steps"]):
                drawn = vectors, speakers
                if size:
                    draw = (hparams["speaker_batch_size"],)
                    index = torch.randint(len(said), draw)
                    drawn = held[index], said[index]
                for_speaker.zero_grad()
                speaker_step(model, *drawn, hparams)
                for_speaker.step()
            if two_passes:
                vectors = model.encode(features)
        loss = plain_loss(
            model, vectors, labels, speakers, hparams, step / len(batches)
        )
        for_rest.zero_grad()
        for_speaker.zero_grad()
        loss.backward()
        for_rest.step()
        if hparams["system"] in ("multitask", "dat"):
            for_speaker.step()
        losses.append(loss.item())


def random_parts(n, labels, **_):
    """Makes what the recipe's `prepare` gives, of utterances without audio."""
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
    evaluation = {"other": train["0"] | {"wav": "other"}}
    return {"train": train, "validation": {}, "evaluation": evaluation}


def random_features(parts, features, *others):
    """Draws what `framed_features` would compute; its arguments."""
    sample_rate, n_frames, _ = others[-3:]
    held = {}
    for part in parts.values():
        for entry in part.values():
            samples = round(entry["duration"] * sample_rate)
            shape = features.count_frames(samples), features.dim
            held.setdefault(place(entry), torch.randn(shape))
    return lambda entry: repeated_or_middle(held[place(entry)], n_frames)


def make_recipe(system, arguments, folder):
    """Makes the recipe's Brain and its training data.

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
    training : DynamicItemDataset
    hparams : dict
    """
    settings = {
        "system": system,
        "data_folder": arguments.data_folder,
        "output_folder": folder,
        "cache_folder": arguments.cache_folder or os.path.join(folder, "cache"),
        "duration": arguments.duration,
        "model_selection": "last",
        "watched_epochs": 0,
        "number_of_epochs": 1,
    }
    if system == "printed":
        settings |= PRINTED
    if not arguments.data_folder:
        settings["data_folder"] = "random"
        make_parts = functools.partial(random_parts, arguments.utterances)
        train_menan.prepare = make_parts
        train_menan.framed_features = random_features
    planned = train_menan.plan(HPARAMS, recipe.with_overrides("", **settings))
    hparams = recipe.load(HPARAMS, planned.overrides)
    hparams["checkpointer"] = None
    run_opts = sb.core.RunOptions.from_dictionary(
        {"device": "cpu", "noprogressbar": True}
    )
    brain, datasets = train_menan.make_brain(hparams, run_opts, planned.parts)
    return brain, datasets["training"], hparams


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
    found = []

    predictions = brain.compute_forward(batch, sb.Stage.TRAIN)
    vectors = model.encode(data[0])
    found.append([(predictions["logits"], model.emotion(vectors))])
    found.append([(predictions["embeddings"], vectors)])
    if hparams["system"] == "menan":
        # one step of SC on this batch, which moves nothing
        kept = brain.speaker_steps, brain.memory.size, brain.speaker_noise
        brain.speaker_steps, brain.memory.size, brain.speaker_noise = 1, 0, 0
        brain.optimizers_step = lambda: None
        brain.train_speaker_classifier(predictions["embeddings"], data[2])
        del brain.optimizers_step
        brain.speaker_steps, brain.memory.size, brain.speaker_noise = kept
        loss = torch.tensor(brain.history.means()["speaker_loss"])
        quiet = hparams | {"speaker_noise": 0}
        plain = speaker_step(model, vectors, data[2], quiet)
        found += [[(loss, plain)], gradients(pairs)]
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


def collect(training):
    """Returns all that the peer trains on, as three tensors."""
    first = training[0]["sig"]
    features = torch.empty(len(training), *first.shape)
    others = []
    for row, item in zip(features, training):
        row.copy_(item["sig"])
        others.append((item["label"], item["speaker"]))
    labels, speakers = torch.tensor(others).T
    return {"features": features, "labels": labels, "speakers": speakers}


def peak_here(side, system, arguments):
    """Trains an epoch of one side; returns its peak in bytes."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak begins anew
    before = resident("VmRSS")
    if side == "ours":
        with tempfile.TemporaryDirectory() as folder:
            brain, training, _ = make_recipe(system, arguments, folder)
            brain.fit(EpochCounter(1), training)
    else:
        held = torch.load(arguments.held, weights_only=True)
        data, hparams = held["data"], held["hparams"]
        model = PlainModel(hparams, data["features"].shape[-1])
        plain_fit(model, data, hparams)
    return resident("VmHWM") - before


def peak_of(side, system, held):
    """Returns the peak of a side in a process of its own, in MB."""
    command = [sys.executable, __file__, *sys.argv[1:], "--system", system]
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
    brain, training, hparams = make_recipe(system, arguments, folder)
    loader = brain.make_dataloader(training, sb.Stage.TRAIN)
    batch = next(iter(loader))
    data = collect(training)
    model = PlainModel(hparams, data["features"].shape[-1])
    difference = same_model(brain, model, batch, hparams)
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

    sides = {
        "ours": lambda: brain.fit(EpochCounter(1), training),
        "plain": lambda: plain_fit(
            model, data, hparams, two_passes=arguments.two_passes
        ),
        "load": walk,
        "enc": encode,
    }
    if hparams["system"] == "menan":
        sides["SC"] = judge
    taken = {name: [] for name in sides}
    # The first round is slower and is not kept.
    for i in range(arguments.rounds + 1):
        turns = ["ours", "plain"] if i % 2 else ["plain", "ours"]
        for name in turns + [n for n in sides if n not in turns]:
            seconds = seconds_of(sides[name])
            if i:
                taken[name].append(seconds)

    row = f"{system:13}{len(loader):6}{compared(taken, 0)}{compared(taken, 1)}"
    for part in ("load", "enc", "SC"):
        shares = [
            100 * mine[1] / whole[1]
            for mine, whole in zip(taken.get(part, []), taken["ours"])
        ]
        row += f"{statistics.median(shares):6.1f}" if shares else f"{'-':>6}"
    row += f"{difference:9.0e}"
    if arguments.memory:
        held = os.path.join(folder, "held.pt")
        plain = (bool, int, float, str, list)
        hparams = {k: v for k, v in hparams.items() if isinstance(v, plain)}
        torch.save({"data": data, "hparams": hparams}, held)
        for side in ("ours", "plain"):
            row += f"{peak_of(side, system, held):7.0f}"
    print(row, flush=True)


def main():
    """Prints one row a system."""
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
    parser.add_argument(
        "--two_passes",
        action="store_true",
        help="the peer encodes each batch of menan twice",
    )
    parser.add_argument("--memory", action="store_true", help="peaks too")
    parser.add_argument("--peak_of", help=argparse.SUPPRESS)
    parser.add_argument("--held", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
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
