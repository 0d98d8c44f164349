"""Share of Eq. 4, the Fisher importance, in LPMN's training step.

A step is the Brain's ``fit_batch``: encoder, mapping, classifier, both losses,
Fisher, backward and optimizer. The time of Fisher is that inside
``FisherImportance.update``, its pass from log p(y) back to the mapping included.

``hubert`` is HuBERT of the large shape with random weights; the first 17 blocks
are cached, so that a batch holds frames, and two blocks are trained. ``logmel``
is the recipe's small system, on noise. Both have the recipe's settings.

> python benchmarks/lpmn_step.py --encoder both --threads 1
"""

import argparse
import statistics
import tempfile

import torch
from ipr_step import FOLDER, Clock, Examples
from rows import add_rows_option, row, write_rows

import speechbrain as sb
from speechbrain.dataio.batch import PaddedBatch
from speechbrain_ser.experiment import hparams as recipe

# Encoder to its hparams, its steps and the utterances of a batch.
ENCODERS = {
    "logmel": ("lpmn_logmel.yaml", 30, 16),
    "hubert": ("lpmn.yaml", 5, 4),
}
BLOCKS, WIDTH = 19, 1024
FRAMES_PER_SECOND = 50
# Command lines of the tests, each a trial of a second.
SMOKE = ("--encoder both --steps 1 --blocks 3 --seconds 0.5 0.6",)


def save_hubert(folder, blocks):
    """Saves a HuBERT of large shape with random weights."""
    import transformers

    config = transformers.HubertConfig(
        hidden_size=WIDTH,
        num_hidden_layers=blocks,
        num_attention_heads=16,
        intermediate_size=4096,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        conv_bias=True,
    )
    transformers.utils.logging.disable_progress_bar()
    transformers.HubertModel(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)


def make_brain(encoder, device, folder, blocks=BLOCKS, **settings):
    """Makes LPMN's Brain as in training; prototypes are drawn at random.

    Arguments
    ---------
    encoder : str
        One of `ENCODERS`.
    device : str
    folder : str
        For what is written.
    blocks : int
        Of HuBERT.
    **settings
        What differs from the hparams file.

    Returns
    -------
    LPMNBrain
    """
    settings |= {"output_folder": folder, "num_workers": 0, "cache": False}
    if encoder == "hubert":
        save_hubert(folder, blocks)
        settings |= {"ssl_source": folder, "n_blocks": blocks}
    hparams = recipe.load(
        FOLDER / "hparams" / ENCODERS[encoder][0],
        recipe.with_overrides("", **settings),
    )
    hparams["epoch_counter"].current = 1
    # the Brain wants a corpus, but its files are not read
    parts = {
        part: {
            f"{part}{word}": {"wav": "", "duration": 1.0, "emotion": word}
            for word in hparams["labels"]
        }
        for part in ("train", "valid", "test")
    }
    run_opts = sb.core.RunOptions.from_dictionary({"device": device})
    brain = hparams["brain"](run_opts=run_opts, checkpointer=None)
    brain.set_parts(parts)
    sb.Brain.on_fit_start(brain)
    brain.modules.train()
    return brain


def make_frames(n, seconds):
    """Makes a batch as a cache of frames gives it, of random frames."""
    low, high = seconds
    batch = []
    for i, share in enumerate(torch.linspace(0, 1, n).tolist()):
        length = int(FRAMES_PER_SECOND * (low + share * (high - low)))
        frames = torch.randn(length, WIDTH)
        batch.append({"id": str(i), "sig": frames, "label": i % 4})
    return PaddedBatch(batch)


def measure(brain, batch, steps, device):
    """Returns one time a step, in ms, of the step and of Fisher in it."""
    clocks = {
        "step": Clock(brain.fit_batch, device),
        "fisher": Clock(brain.importance.update, device),
    }
    brain.importance.update = clocks["fisher"]
    times = {name: [] for name in clocks}
    # The first steps are slower and are not kept.
    for step in range(-2, steps):
        clocks["step"](batch)
        for name, clock in clocks.items():
            taken = clock.take()  # by the clock, CPU
            if step >= 0:
                times[name].append(taken[0])
    return times


def main(argv=None):
    """Prints one row an encoder."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--encoder", default="both", choices=[*ENCODERS, "both"]
    )
    parser.add_argument("--steps", type=int, help="default: 30, hubert 5")
    parser.add_argument("--blocks", type=int, default=BLOCKS, help="of hubert")
    parser.add_argument("--utterances", type=int, help="default: 16, hubert 4")
    parser.add_argument("--seconds", type=float, nargs=2, default=(2.0, 4.0))
    parser.add_argument("--n_prototypes", type=int, help="default: recipe's")
    parser.add_argument("--threads", type=int, help="default: torch's own")
    parser.add_argument("--device", default="cpu")
    add_rows_option(parser)
    arguments = parser.parse_args(argv)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    both = arguments.encoder == "both"
    low, high = arguments.seconds
    changed = {}
    if arguments.n_prototypes:
        changed["n_prototypes"] = arguments.n_prototypes
    print(
        f"utterances of {low:g}-{high:g} s; {arguments.device}, "
        f"{torch.get_num_threads()} threads\n"
        f"{'encoder':9}{'batch':>6}{'steps':>6}{'K':>6}{'step ms':>9}"
        f"{'Fisher ms':>11}{'share %':>9}{'of sums %':>11}"
    )
    for encoder in ENCODERS if both else [arguments.encoder]:
        _, steps, n = ENCODERS[encoder]
        steps, n = arguments.steps or steps, arguments.utterances or n
        with tempfile.TemporaryDirectory() as folder:
            brain = make_brain(
                encoder,
                arguments.device,
                folder,
                arguments.blocks,
                **changed,
            )
            if encoder == "hubert":
                batch = make_frames(n, (low, high))
            else:
                drawn = Examples(n, 0, (low, high), batches=1)
                batch = PaddedBatch([drawn[i] for i in range(n)])
            times = measure(brain, batch, steps, arguments.device)
        middle = {name: statistics.median(times[name]) for name in times}
        total = {name: sum(times[name]) for name in times}
        print(
            f"{encoder:9}{n:6}{steps:6}{brain.pooling.size:6}"
            f"{middle['step']:9.1f}{middle['fisher']:11.1f}"
            f"{100 * middle['fisher'] / middle['step']:9.1f}"
            f"{100 * total['fisher'] / total['step']:11.1f}",
            flush=True,
        )
        told = f"{middle['fisher']:.1f} ms", f"{middle['step']:.1f} ms"
        share = middle["fisher"] / middle["step"]
        what = f"Fisher's share of a step, {encoder}, batches of {n}"
        found = row("lpmn_step", what, *told, share, "at most 0.1")
        write_rows(arguments.rows, [found], arguments.device)


if __name__ == "__main__":
    main()
