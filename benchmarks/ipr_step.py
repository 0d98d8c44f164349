"""IPR's training step against the bare encoder's forward and backward pass.

A step is the Brain's ``fit_batch`` after the warm-up and the wait for its batch:
copies made with it, encoder, classifier, pseudo-labels, losses, backward,
optimizer and prototype update. The peer is the encoder alone, forward and
backward, over the very waveforms that the step's encoder had: the batch and its
copies, in one batch. The peer has no optimizer; the share that the Brain's has
(clipping included) is in a column.

With ``--workers`` so many processes make the batches, waveforms are there; with 0
the wait is the making itself. Steps and bare passes take turns of several: a
worker goes on while bare passes run, so the first steps of a turn, which find
its batches ready, are not kept.

Times are medians over the steps. As each step draws other augmentations, whose
costs differ much, the ratio is given of the sums of all steps as well, and so is
the share of the wait. The last ratio is of this process's own CPU time, medians:
beside other jobs it says more than the clock.

> python benchmarks/ipr_step.py --encoder both --workers 0 1
"""

import argparse
import pathlib
import statistics
import tempfile
import time

import torch
from rows import add_rows_option, row, write_rows

import speechbrain as sb
from speechbrain_ser.data.dataset import UNLABELLED
from speechbrain_ser.experiment import hparams as recipe

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "recipes" / "IEMOCAP"
RATE = 16000
# Encoder to its hparams, its steps, how many of them are a turn, and the lengths
# of its utterances.
ENCODERS = {
    "logmel": ("ipr_logmel.yaml", 60, 10, (2.0, 4.0)),
    "wav2vec2": ("ipr.yaml", 3, 1, (2.0, 2.0)),
}
# Of a model for trials.
SMALL = {
    "hidden_size": 32,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "conv_dim": (16, 16),
    "conv_stride": (10, 8),
    "conv_kernel": (20, 16),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
AHEAD = 2  # batches that a worker makes in advance, as SpeechBrain's loaders
# Command lines of the tests, each a trial of a second.
SMOKE = (
    "--encoder both --steps 1 --small --utterances 4 --ambiguous 2 "
    "--seconds 0.5 0.6",
    "--encoder logmel --steps 2 --utterances 4 --ambiguous 2 --workers 1 "
    "--seconds 0.5 0.6",
)


class Clock:
    """Adds up the time spent in a function that is called through it.

    Arguments
    ---------
    function : callable
    device : str
        Where it computes.
    """

    def __init__(self, function, device):
        self.function = function
        self.device = device
        self.seconds = self.cpu = 0.0

    def __call__(self, *args, **kwargs):
        """Calls the function."""
        start, cpu = now(self.device), time.process_time()
        result = self.function(*args, **kwargs)
        self.seconds += now(self.device) - start
        self.cpu += time.process_time() - cpu
        return result

    def take(self):
        """Returns times since the last call of this, by the clock and CPU.

        In ms.
        """
        taken = 1e3 * self.seconds, 1e3 * self.cpu
        self.seconds = self.cpu = 0.0
        return taken


def now(device):
    """Returns the time when all that was asked of the device is done."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter()


def save_wav2vec2(folder, blocks=None, **shape):
    """Saves a wav2vec 2.0 of BASE or another shape with random weights."""
    import transformers

    config = transformers.Wav2Vec2Config(**shape)
    config.num_hidden_layers = blocks or config.num_hidden_layers
    transformers.utils.logging.disable_progress_bar()
    transformers.Wav2Vec2Model(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)


def make_brain(encoder, device, folder, blocks=None, small=False):
    """Makes IPR's Brain as after the warm-up.

    Arguments
    ---------
    encoder : str
        One of `ENCODERS`.
    device : str
    folder : str
        For what is written.
    blocks : int, optional
        Of wav2vec 2.0; default: those of BASE.
    small : bool
        Whether wav2vec 2.0 is `SMALL`.

    Returns
    -------
    IPRBrain
    """
    settings = {
        "output_folder": folder,
        "warmup_epochs": 0,
        "warmup_updates": 0,
    }
    if encoder == "wav2vec2":
        save_wav2vec2(folder, blocks, **(SMALL if small else {}))
        settings["ssl_source"] = folder
        if small:
            settings["embedding_dim"] = SMALL["hidden_size"]
    hparams = recipe.load(
        FOLDER / "hparams" / ENCODERS[encoder][0],
        recipe.with_overrides("", **settings),
    )
    hparams["epoch_counter"].current = hparams["number_of_epochs"] // 2
    # the Brain wants a corpus, but its files are not read
    words = hparams["labels"]
    parts = {
        part: {
            f"{part}{word}": {"wav": "", "duration": 1.0, "emotion": word}
            for word in words
        }
        for part in ("train", "valid", "unlabelled", "test")
    }
    run_opts = sb.core.RunOptions.from_dictionary({"device": device})
    brain = hparams["brain"](run_opts=run_opts, checkpointer=None)
    brain.set_parts(parts)
    brain.epoch = hparams["epoch_counter"].current
    dim = hparams["embedding_dim"]
    hparams["prototypes"].initialize(
        torch.randn(len(words), dim), torch.arange(len(words))
    )
    sb.Brain.on_fit_start(brain)
    brain.modules.train()
    return brain


class Examples:
    """Noise whose loudness moves, the precise utterances of a batch first.

    Arguments
    ---------
    n : int
        Utterances of a batch.
    n_ambiguous : int
    seconds : tuple of float
        Of the shortest and the longest one.
    batches : int
    """

    def __init__(self, n, n_ambiguous, seconds, batches):
        low, high = seconds
        self.batches = batches
        self.held = []
        for i, share in enumerate(torch.linspace(0, 1, n).tolist()):
            count = int(RATE * (low + share * (high - low)))
            time = torch.arange(count) / RATE
            ambiguous = i >= n - n_ambiguous
            self.held.append(
                {
                    "sig": 0.1
                    * torch.randn(count)
                    * torch.sin(6.0 * time) ** 2,
                    "label": UNLABELLED if ambiguous else i % 4,
                    "domain": int(ambiguous),
                }
            )

    def __len__(self):
        """Returns the number of utterances of all batches."""
        return self.batches * len(self.held)

    def __getitem__(self, index):
        """Returns an utterance; each has an id and so copies of its own."""
        return self.held[index % len(self.held)] | {"id": str(index)}


def make_batches(brain, examples, workers):
    """Makes the epoch's batches as the recipe's loader does.

    With -1 workers all are made before the first step, as if a core were free.
    """
    collate = brain.make_collate(training=True)
    brain.batch_copies.epoch = brain.epoch
    loader = torch.utils.data.DataLoader(
        examples,
        batch_size=len(examples.held),
        collate_fn=collate,
        num_workers=max(0, workers),
        prefetch_factor=AHEAD if workers > 0 else None,
    )
    return iter(loader) if workers >= 0 else iter(list(loader))


def measure(brain, batches, turns, kept, ahead, device):
    """Lets steps and bare passes take turns.

    Arguments
    ---------
    brain : IPRBrain
    batches : iterator
    turns : int
    kept : int
        Steps of a turn that are kept.
    ahead : int
        Steps before them that are not: their batches are ready.
    device : str

    Returns
    -------
    dict
        Name to times of each step, by the clock and CPU, in ms.
    """
    encoder, given = brain.modules.encoder, []

    def step():
        """Waits for a batch and trains on it."""
        brain.fit_batch(clocks["wait"](next, batches))

    def bare(inputs):
        """The encoder's forward and backward."""
        frames, _ = encoder(*inputs)
        frames.mean().backward()

    clocks = {
        "bare": Clock(bare, device),
        "step": Clock(step, device),
        "wait": Clock(lambda call, of: call(of), device),
        "optimizer": Clock(brain.optimizers_step, device),
    }
    brain.optimizers_step = clocks["optimizer"]
    times = {name: [] for name in clocks}
    for turn in range(-1, turns):  # the first is slower and is not kept
        hook = encoder.register_forward_pre_hook(lambda _, x: given.append(x))
        for place in range(-ahead, kept):
            clocks["step"]()
            taken = {name: clock.take() for name, clock in clocks.items()}
            if turn >= 0 and place >= 0:
                for name in ("step", "wait", "optimizer"):
                    times[name].append(taken[name])
        hook.remove()
        for inputs in given[ahead:]:
            clocks["bare"](inputs)
            brain.zero_grad(set_to_none=True)
            if turn >= 0:
                times["bare"].append(clocks["bare"].take())
        given.clear()
    return times


def show(encoder, workers, arguments):
    """Measures an encoder, prints its row, returns it for the one table."""
    _, steps, turn, seconds = ENCODERS[encoder]
    steps = arguments.steps or steps
    turn = min(turn, steps)
    ahead = AHEAD if workers > 0 else 0
    low, high = arguments.seconds or seconds
    examples = Examples(
        arguments.utterances,
        arguments.ambiguous,
        (low, high),
        (1 + -(-steps // turn)) * (turn + ahead),
    )
    with tempfile.TemporaryDirectory() as folder:
        brain = make_brain(
            encoder,
            arguments.device,
            folder,
            arguments.blocks,
            arguments.small,
        )
        times = measure(
            brain,
            make_batches(brain, examples, workers),
            -(-steps // turn),
            turn,
            ahead,
            arguments.device,
        )
    middle, cpu, total = {}, {}, {}
    for name, taken in times.items():
        by_clock, by_cpu = zip(*taken)
        total[name] = sum(by_clock)
        middle[name] = statistics.median(by_clock)
        cpu[name] = statistics.median(by_cpu)
    ratio = middle["step"] / middle["bare"]
    print(
        f"{encoder:9}{workers:8}{len(times['step']):6}{f'{low:g}-{high:g}':>8}"
        f"{middle['bare']:9.1f}{middle['step']:9.1f}{ratio:7.2f}"
        f"{total['step'] / total['bare']:9.2f}"
        f"{middle['optimizer']:14.1f}{middle['wait']:9.1f}"
        f"{100 * total['wait'] / total['step']:9.1f}"
        f"{cpu['step'] / cpu['bare']:10.2f}",
        flush=True,
    )
    return row(
        "ipr_step",
        f"IPR's step, {encoder}, {arguments.utterances} utterances and "
        f"{arguments.ambiguous} copies, {workers} workers",
        f"{middle['step']:.1f} ms",
        f"{middle['bare']:.1f} ms, the bare encoder",
        ratio,
        "at most 1.15",
    )


def main(argv=None):
    """Prints one row an encoder."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--encoder", default="both", choices=[*ENCODERS, "both"]
    )
    parser.add_argument("--steps", type=int, help="default: 60, wav2vec2 3")
    parser.add_argument("--blocks", type=int, help="of wav2vec2, default: 12")
    parser.add_argument("--small", action="store_true", help="a tiny wav2vec2")
    parser.add_argument("--utterances", type=int, default=8)
    parser.add_argument("--ambiguous", type=int, default=5)
    parser.add_argument(
        "--seconds",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="lengths of the utterances; default: 2 4, wav2vec2 2 2",
    )
    parser.add_argument(
        "--workers",
        type=int,
        nargs="+",
        default=[0],
        help="-1: all batches are made before; default: 0",
    )
    parser.add_argument("--device", default="cpu")
    add_rows_option(parser)
    arguments = parser.parse_args(argv)
    both = arguments.encoder == "both"
    print(
        f"{arguments.utterances} utterances, {arguments.ambiguous} of them "
        f"ambiguous; {arguments.device}, {torch.get_num_threads()} threads\n"
        f"{'encoder':9}{'workers':>8}{'steps':>6}{'s':>8}{'bare ms':>9}"
        f"{'step ms':>9}{'ratio':>7}{'of sums':>9}{'optimizer ms':>14}"
        f"{'wait ms':>9}{'share %':>9}"
        f"{'CPU ratio':>10}"
    )
    rows = [
        show(encoder, workers, arguments)
        for encoder in (ENCODERS if both else [arguments.encoder])
        for workers in arguments.workers
    ]
    write_rows(arguments.rows, rows, arguments.device)


if __name__ == "__main__":
    main()
