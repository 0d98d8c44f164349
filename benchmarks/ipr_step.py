"""IPR's training step against the bare encoder's forward and backward pass.

A step is the Brain's ``fit_batch`` after the warm-up: augmentation, encoder,
classifier, pseudo-labels, losses, backward, optimizer and prototype update. The
peer is the encoder alone, forward and backward, over the very waveforms that
the step's encoder had: the batch and its copies, in one batch. The peer has no
optimizer; the share that the Brain's has (clipping included) is in a column.

Step and peer alternate. Times are medians over the steps. As each step draws
other augmentations, whose costs differ much, the ratio is given of the sums of
all steps as well, and so is the share of the augmentation.

> python benchmarks/ipr_step.py --encoder both
"""

import argparse
import pathlib
import statistics
import tempfile
import time

import torch

import speechbrain as sb
from speechbrain.dataio.batch import PaddedBatch
from speechbrain_ser.data.dataset import UNLABELLED
from speechbrain_ser.experiment import hparams as recipe
from speechbrain_ser.methods import ipr

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "recipes" / "IEMOCAP"
RATE = 16000
# Encoder to its hparams, its steps and the lengths of its utterances.
ENCODERS = {
    "logmel": ("ipr_logmel.yaml", 60, (2.0, 4.0)),
    "wav2vec2": ("ipr.yaml", 3, (2.0, 2.0)),
}
# Command lines of the tests, each a trial of a second.
SMOKE = (
    "--encoder both --steps 1 --blocks 1 --utterances 4 --ambiguous 2 "
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
        self.seconds = 0.0

    def __call__(self, *args, **kwargs):
        """Calls the function."""
        start = now(self.device)
        result = self.function(*args, **kwargs)
        self.seconds += now(self.device) - start
        return result

    def take(self):
        """Returns the time since the last call of this, in ms."""
        seconds, self.seconds = self.seconds, 0.0
        return 1e3 * seconds


def now(device):
    """Returns the time when all that was asked of the device is done."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter()


def save_wav2vec2(folder, blocks=None):
    """Saves a wav2vec 2.0 of BASE shape with random weights."""
    import transformers

    config = transformers.Wav2Vec2Config()
    config.num_hidden_layers = blocks or config.num_hidden_layers
    transformers.utils.logging.disable_progress_bar()
    transformers.Wav2Vec2Model(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)


def make_brain(encoder, device, folder, blocks=None):
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
        save_wav2vec2(folder, blocks)
        settings["ssl_source"] = folder
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


def make_batch(n, n_ambiguous, seconds):
    """Makes a batch of noise whose loudness moves, the precise ones first."""
    low, high = seconds
    batch = []
    for i, share in enumerate(torch.linspace(0, 1, n).tolist()):
        time = torch.arange(int(RATE * (low + share * (high - low)))) / RATE
        ambiguous = i >= n - n_ambiguous
        label = UNLABELLED if ambiguous else i % 4
        wav = 0.1 * torch.randn(len(time)) * torch.sin(6.0 * time) ** 2
        batch.append(
            {"id": str(i), "sig": wav, "label": label, "domain": int(ambiguous)}
        )
    return PaddedBatch(batch)


def measure(brain, batch, steps, device):
    """Alternates steps and bare passes.

    Arguments
    ---------
    brain : IPRBrain
    batch : PaddedBatch
    steps : int
    device : str

    Returns
    -------
    dict
        Name to one time a step, in ms.
    """
    encoder, given = brain.modules.encoder, []

    def keep(module, args):
        """Keeps what the step's encoder is given."""
        given[:] = args

    def bare():
        """The encoder's forward and backward."""
        frames, _ = encoder(*given)
        frames.mean().backward()

    clocks = {
        "bare": Clock(bare, device),
        "step": Clock(brain.fit_batch, device),
        "augmentation": Clock(ipr.augment_copies, device),
        "optimizer": Clock(brain.optimizers_step, device),
    }
    brain.optimizers_step = clocks["optimizer"]
    ipr.augment_copies = clocks["augmentation"]
    times = {name: [] for name in clocks}
    # The first steps are slower and are not kept.
    for step in range(-2, steps):
        hook = encoder.register_forward_pre_hook(keep)
        clocks["step"](batch)
        hook.remove()
        clocks["bare"]()
        brain.zero_grad(set_to_none=True)
        taken = {name: clock.take() for name, clock in clocks.items()}
        if step >= 0:
            for name, value in taken.items():
                times[name].append(value)
    ipr.augment_copies = clocks["augmentation"].function
    return times


def main(argv=None):
    """Prints one row an encoder."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--encoder", default="both", choices=[*ENCODERS, "both"]
    )
    parser.add_argument("--steps", type=int, help="default: 60, wav2vec2 3")
    parser.add_argument("--blocks", type=int, help="of wav2vec2, default: 12")
    parser.add_argument("--utterances", type=int, default=8)
    parser.add_argument("--ambiguous", type=int, default=5)
    parser.add_argument(
        "--seconds",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="lengths of the utterances; default: 2 4, wav2vec2 2 2",
    )
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args(argv)
    both = arguments.encoder == "both"
    print(
        f"{arguments.utterances} utterances, {arguments.ambiguous} of them "
        f"ambiguous; {arguments.device}, {torch.get_num_threads()} threads\n"
        f"{'encoder':9}{'steps':>6}{'s':>8}{'bare ms':>9}{'step ms':>9}"
        f"{'ratio':>7}{'of sums':>9}{'optimizer ms':>14}{'augment ms':>12}"
        f"{'share %':>9}"
    )
    for encoder in ENCODERS if both else [arguments.encoder]:
        _, steps, seconds = ENCODERS[encoder]
        steps = arguments.steps or steps
        low, high = arguments.seconds or seconds
        with tempfile.TemporaryDirectory() as folder:
            brain = make_brain(
                encoder, arguments.device, folder, arguments.blocks
            )
            batch = make_batch(
                arguments.utterances, arguments.ambiguous, (low, high)
            )
            times = measure(brain, batch, steps, arguments.device)
        middle = {name: statistics.median(times[name]) for name in times}
        total = {name: sum(times[name]) for name in times}
        share = total["augmentation"] / total["step"]
        print(
            f"{encoder:9}{steps:6}{f'{low:g}-{high:g}':>8}"
            f"{middle['bare']:9.1f}{middle['step']:9.1f}"
            f"{middle['step'] / middle['bare']:7.2f}"
            f"{total['step'] / total['bare']:9.2f}"
            f"{middle['optimizer']:14.1f}{middle['augmentation']:12.1f}"
            f"{100 * share:9.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
