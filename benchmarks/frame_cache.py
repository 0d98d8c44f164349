"""Epochs that start from the frame cache against epochs that start from audio.

An epoch reads the utterances (audio or cached frames), runs a HuBERT of real
shape with random weights whose last two blocks are trained, the mean over time,
a linear layer, cross entropy, the backward pass and Adam. Both sides alternate
in one run, in the second and later epochs (the cache is full).

What the operation count allows: multiply-adds of a batch of B utterances,
padded to T frames, with

    conv    sum over the front end's layers of  frames * out * in * kernel
    before  T * (conv's channels * H + H * H / groups * kernel)
    block   T * (4 H^2 + 2 H F) + 2 T^2 H

per utterance (H the model's width, F the feed-forward's; attention: four
projections, scores and weighted sum). A backward pass counts twice its forward
pass, so with f frozen and t trained blocks the epoch from audio costs
conv + before + (f + 3 t) block, the cached one 3 t block. Norms, activations,
dropout and the optimizer are not counted. The goal is a measured ratio of at
least 0.8 of the counted one.

Adam is the fused one unless told otherwise: its time does not shrink with the
batch, and a batch here is small (the paper's holds 128).

> python benchmarks/frame_cache.py --size base
"""

import argparse
import os
import statistics
import tempfile
import time

import soundfile
import torch
from ipr_step import now
from rows import add_rows_option, row, write_rows

from speechbrain_ser.data.frame_cache import FrameCache
from speechbrain_ser.lobes.pooling import StatisticsPooling
from speechbrain_ser.lobes.ssl import SSLEncoder
from speechbrain_ser.lobes.ssl_prefix import frozen_blocks
from speechbrain_ser.utils.audio import load_audio

RATE = 16000
N_CLASSES = 4
# Blocks and what differs from HubertConfig's defaults, which are base.
SIZES = {
    "base": (12, {}),
    "large": (
        19,
        {
            "hidden_size": 1024,
            "num_attention_heads": 16,
            "intermediate_size": 4096,
            "feat_extract_norm": "layer",
            "do_stable_layer_norm": True,
            "conv_bias": True,
        },
    ),
}
# Command lines of the tests, each a trial of a second.
SMOKE = (
    "--blocks 3 --epochs 1 --utterances 2 --batch_size 2 --seconds 0.5 0.6",
)


def make_encoder(size, blocks, device, folder):
    """Makes a HuBERT whose last two blocks are trained."""
    import transformers

    whole, settings = SIZES[size]
    blocks = blocks or whole
    transformers.utils.logging.disable_progress_bar()
    config = transformers.HubertConfig(num_hidden_layers=blocks, **settings)
    transformers.HubertModel(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(
        do_normalize=size == "large"
    ).save_pretrained(folder)
    frozen = frozen_blocks(blocks, "last2")
    encoder = SSLEncoder(folder, "unused", layer=blocks, frozen_layers=frozen)
    return encoder.to(device)


def make_utterances(n, seconds, folder):
    """Writes noise of lengths spread over a range; returns the annotation."""
    low, high = seconds
    annotation = {}
    for i, share in enumerate(torch.linspace(0, 1, n).tolist()):
        path = os.path.join(folder, f"{i}.wav")
        wav = 0.1 * torch.randn(int(RATE * (low + share * (high - low))))
        soundfile.write(path, wav.numpy(), RATE)
        annotation[str(i)] = {"wav": path, "duration": len(wav) / RATE}
    return annotation


def count(encoder, annotation, batch_size):
    """Returns multiply-adds of an epoch from audio and of a cached one."""
    config = encoder.model.config
    width, inner = config.hidden_size, config.intermediate_size
    entries = list(annotation.values())
    audio = cached = 0
    for start in range(0, len(entries), batch_size):
        batch = entries[start : start + batch_size]
        frames = max(round(entry["duration"] * RATE) for entry in batch)
        conv, channels = 0, 1
        for out, kernel, stride in zip(
            config.conv_dim, config.conv_kernel, config.conv_stride
        ):
            frames = (frames - kernel) // stride + 1
            conv += frames * out * channels * kernel
            channels = out
        groups = config.num_conv_pos_embedding_groups
        position = width * width // groups * config.num_conv_pos_embeddings
        before = frames * (channels * width + position)
        block = frames * (4 * width**2 + 2 * width * inner)
        block += 2 * frames**2 * width
        trained = 3 * (encoder.layer - encoder.frozen_layers) * block
        front = conv + before + encoder.frozen_layers * block
        audio += len(batch) * (front + trained)
        cached += len(batch) * trained
    return audio, cached


def epoch(encoder, head, optimizer, read, annotation, batch_size):
    """Trains once over the utterances that `read` gives."""
    device = next(encoder.parameters()).device
    pooling = StatisticsPooling("mean")
    entries = list(annotation.values())
    for start in range(0, len(entries), batch_size):
        items = [read(entry) for entry in entries[start : start + batch_size]]
        lengths = torch.tensor([len(item) for item in items])
        inputs = torch.nn.utils.rnn.pad_sequence(items, batch_first=True)
        lengths = (lengths / inputs.shape[1]).to(device)
        frames, lengths = encoder(inputs.to(device), lengths)
        labels = torch.arange(len(items), device=device) % N_CLASSES
        scores = head(pooling(frames, lengths))
        torch.nn.functional.cross_entropy(scores, labels).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def parse(argv):
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", default="base", choices=SIZES)
    parser.add_argument("--blocks", type=int, help="default: the size's")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--utterances", type=int, default=8)
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--seconds", type=float, nargs=2, default=(2.0, 4.0))
    parser.add_argument(
        "--plain_adam",
        action="store_true",
        help="not fused: passes over the weights ten times a step",
    )
    parser.add_argument("--device", default="cpu")
    add_rows_option(parser)
    return parser.parse_args(argv)


def measure(arguments, folder):
    """Trains on audio and on the cache, in turn.

    Returns
    -------
    filled : float
        Seconds to fill the cache.
    times : dict
        Side to seconds of each epoch.
    operations : tuple of int
        Of both sides, see `count`.
    """
    device = arguments.device
    size, blocks = arguments.size, arguments.blocks
    encoder = make_encoder(size, blocks, device, folder).train()
    annotation = make_utterances(
        arguments.utterances, arguments.seconds, folder
    )
    cache = FrameCache(os.path.join(folder, "frames"), encoder)
    start = time.perf_counter()
    cache.fill(annotation, encoder, device)
    filled = time.perf_counter() - start
    head = torch.nn.Linear(encoder.dim, N_CLASSES).to(device)
    trained = [p for p in encoder.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(
        [*trained, *head.parameters()],
        lr=1e-5,
        fused=not arguments.plain_adam,
    )
    sides = {"audio": load_audio, "cached": cache.read}
    times = {name: [] for name in sides}
    # The first epoch of each is slower and is not kept.
    for i in range(-1, arguments.epochs):
        for name, read in sides.items():
            start = now(device)
            batch_size = arguments.batch_size
            epoch(encoder, head, optimizer, read, annotation, batch_size)
            if i >= 0:
                times[name].append(now(device) - start)
    return filled, times, count(encoder, annotation, arguments.batch_size)


def main(argv=None):
    """Prints one row."""
    arguments = parse(argv)
    with tempfile.TemporaryDirectory() as folder:
        filled, times, (audio, cached) = measure(arguments, folder)
    middle = {name: statistics.median(times[name]) for name in times}
    measured = middle["audio"] / middle["cached"]
    sums = sum(times["audio"]) / sum(times["cached"])
    allowed = audio / cached
    low, high = arguments.seconds
    print(
        f"{arguments.utterances} utterances of {low:g}-{high:g} s, batches of "
        f"{arguments.batch_size}, {arguments.epochs} epochs; "
        f"{arguments.device}, {torch.get_num_threads()} threads\n"
        f"{'size':6}{'GMAC audio':>12}{'GMAC cached':>12}{'fill s':>8}"
        f"{'audio s':>9}{'cached s':>10}{'ratio':>7}{'of sums':>9}"
        f"{'allowed':>9}{'share':>7}\n"
        f"{arguments.size:6}{audio / 1e9:12.0f}{cached / 1e9:12.0f}"
        f"{filled:8.1f}{middle['audio']:9.2f}{middle['cached']:10.2f}"
        f"{measured:7.2f}{sums:9.2f}{allowed:9.2f}{measured / allowed:7.2f}"
    )
    what = f"an epoch, {arguments.size}: share of the counted {allowed:.2f}x"
    told = [f"{middle[name]:.3f} s" for name in ("cached", "audio")]
    share = measured / allowed
    found = row("frame_cache", what, *told, share, "at least 0.8")
    write_rows(arguments.rows, [found], arguments.device)


if __name__ == "__main__":
    main()
