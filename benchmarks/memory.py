"""Peak memory of a training step: what is trained, model size, batch, seconds.

Encoders of real shape with random weights, the mean over time, a linear layer,
AdamW (fused), bf16, utterances of one length. What is trained stands for methods:

    all     all blocks, as IPR's baseline, its warm-up and GMP-ATL's stages 1
            and 3 do
    copies  the same with five copies of eight utterances, as IPR's step after
            the warm-up has them
    last2   the last two blocks, from waveforms, as LPMN does (19 blocks of
            "large", 12 of "base")
    frozen  nothing but the linear layer: probes, and what is kept in a cache

On a GPU ``peak`` is what torch's allocator had at most (without what CUDA itself
takes, some 0.5 GB). Beside it, and alone without a GPU, stands an estimate:

    weights      4 bytes each, and 2 more of those of the trained blocks (bf16)
    trained      4 bytes (gradient) + 8 (Adam) each
    activations  of each trained block and frame 22 H + 6 F bytes (H the width,
                 F the feed-forward's): what autograd keeps, counted on a CPU
    front end    what its first layer holds for a moment: 512 channels, 3200
                 frames a second, 14 bytes each

The larger one of the last two counts.

> python benchmarks/memory.py --device cuda
"""

import argparse
import itertools

import torch
from rows import add_rows_option, row, write_rows

from speechbrain_ser.utils.waiting import choose_attention

RATE = 16000
GB = 1e9
COPIES = 13 / 8
# What differs from Wav2Vec2Config's defaults, which are base; blocks for LPMN.
SIZES = {
    "base": ({}, 12),
    "large": (
        {
            "hidden_size": 1024,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "intermediate_size": 4096,
            "feat_extract_norm": "layer",
            "do_stable_layer_norm": True,
            "conv_bias": True,
        },
        19,
    ),
    "small": (
        {
            "hidden_size": 32,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "intermediate_size": 64,
            "num_conv_pos_embeddings": 16,
            "num_conv_pos_embedding_groups": 2,
        },
        3,
    ),
}
TRAINED = ("all", "copies", "last2", "frozen")
# Command lines of the tests, each a trial of a second.
SMOKE = ("--sizes small --batches 2 --seconds 0.5 1",)


def config_of(size, trained):
    """Returns the model's configuration."""
    import transformers

    settings, blocks = SIZES[size]
    if trained == "last2":
        settings = settings | {"num_hidden_layers": blocks}
    return transformers.Wav2Vec2Config(
        **settings, layerdrop=0.0, apply_spec_augment=False
    )


def trained_blocks(config, trained):
    """Returns how many of the last blocks are trained."""
    return {"frozen": 0, "last2": 2}.get(trained, config.num_hidden_layers)


def sizes_of(config, trained):
    """Counts weights without making them.

    Returns
    -------
    whole : int
    learnt : int
        Of them trained.
    """
    import transformers

    with torch.device("meta"):
        model = transformers.Wav2Vec2Model(config)
    freeze(model, trained)
    return (
        sum(p.numel() for p in model.parameters()),
        sum(p.numel() for p in model.parameters() if p.requires_grad),
    )


def freeze(model, trained):
    """Leaves a gradient to what is trained; never to the front end."""
    model.requires_grad_(False)
    blocks = model.encoder.layers
    for block in blocks[len(blocks) - trained_blocks(model.config, trained) :]:
        block.requires_grad_(True)
    if trained in ("all", "copies"):
        model.requires_grad_(True)
        model.feature_extractor.requires_grad_(False)


def estimate(config, trained, batch, seconds):
    """Returns the estimate of the docstring, in bytes."""
    whole, learnt = sizes_of(config, trained)
    audio = seconds * batch * (COPIES if trained == "copies" else 1)
    frames = 50 * audio
    width, inner = config.hidden_size, config.intermediate_size
    block = frames * (22 * width + 6 * inner)
    blocks = block * max(trained_blocks(config, trained), 1)
    front = 512 * 3200 * audio * 14
    return 4 * whole + (2 + 4 + 8) * learnt + max(blocks, front)


def make_step(config, trained, device):
    """Makes a model and the step that trains it.

    Returns
    -------
    callable
        Of waveforms ``[batch, samples]``.
    """
    import transformers

    with torch.device(device):
        model = transformers.Wav2Vec2Model(config).train()
        head = torch.nn.Linear(config.hidden_size, 4)
    freeze(model, trained)
    learnt = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        [*learnt, *head.parameters()], lr=1e-5, fused=True
    )
    kind = torch.device(device).type

    def step(wavs):
        """Trains on a batch."""
        mask = torch.ones(wavs.shape, dtype=torch.long, device=device)
        mask[0, wavs.shape[1] // 2 :] = 0
        with torch.autocast(kind, torch.bfloat16):
            with torch.set_grad_enabled(bool(learnt)):
                frames = model(wavs, attention_mask=mask).last_hidden_state
            loss = head(frames.mean(dim=1)).float().square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def peak_of(step, trained, batch, seconds, device):
    """Returns the peak of two steps, in bytes; None if memory is not enough."""
    count = round(batch * (COPIES if trained == "copies" else 1))
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    try:
        for _ in range(2):
            step(torch.randn(count, int(RATE * seconds), device=device))
        torch.cuda.synchronize()
    except torch.cuda.OutOfMemoryError:
        return None
    return torch.cuda.max_memory_allocated()


def main(argv=None):
    """Prints one row a model, batch and length."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", nargs="+", default=["base", "large"])
    parser.add_argument("--trained", nargs="+", default=TRAINED)
    parser.add_argument("--batches", nargs="+", type=int, default=[8, 16, 32])
    parser.add_argument("--seconds", nargs="+", type=float, default=[6, 15])
    parser.add_argument("--device", default="cpu")
    add_rows_option(parser)
    arguments = parser.parse_args(argv)
    on_gpu = arguments.device.startswith("cuda")
    choices = (arguments.batches, arguments.seconds)
    print(
        f"{'model':6}{'trained':>8}{'batch':>6}{'s':>6}"
        f"{'peak GB':>9}{'estimate GB':>13}{'ratio':>7}"
    )
    found = []
    for size, trained in itertools.product(arguments.sizes, arguments.trained):
        config = config_of(size, trained)
        step = None
        if on_gpu:
            choose_attention()
            torch.cuda.empty_cache()
            step = make_step(config, trained, arguments.device)
        for batch, seconds in itertools.product(*choices):
            guess = estimate(config, trained, batch, seconds) / GB
            peak, told, ratio = None, "-", "-"
            if on_gpu:
                peak = peak_of(step, trained, batch, seconds, arguments.device)
                told = "too much" if peak is None else f"{peak / GB:.2f}"
                ratio = "-" if peak is None else f"{peak / GB / guess:.2f}"
            print(
                f"{size:6}{trained:>8}{batch:6}{seconds:6g}"
                f"{told:>9}{guess:13.2f}{ratio:>7}",
                flush=True,
            )
            what = f"{size}, {trained} trained, {batch} x {seconds:g} s"
            measured = {"-": "not measured", "too much": told}.get(
                told, f"{told} GB"
            )
            found.append(
                row("memory", what, measured, f"{guess:.2f} GB (estimate)")
            )
        del step
    write_rows(arguments.rows, found, arguments.device)


if __name__ == "__main__":
    main()
