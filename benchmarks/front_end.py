"""The "large" kind's front end, channels last, against transformers' own.

Forward alone, and forward and backward with the front end's parameters trained,
of wav2vec 2.0 LARGE's seven convolutions with random weights. The sides take
turns; times are medians, the ratio is transformers' time to ours. Before that
both are compared with float64 on one second: the mean error of the frames and
of the gradients of all parameters, relative to their mean size.

> python benchmarks/front_end.py --device cuda
"""

import argparse
import copy
import statistics

import torch
import transformers
from ipr_step import now
from rows import add_rows_option, row, write_rows

from speechbrain_ser.lobes.front_end import channels_last

RATE = 16000
DTYPES = {"bf16": torch.bfloat16, "fp32": None}
GOAL = "at least 1.5"
# Both sides err by their precision; ours may err so much more.
MORE_ERROR = 1.2
# Command lines of the tests, each a trial of a second.
SMOKE = (
    "--batch 1 --seconds 0.3 --turns 1 --channels 32 --precision bf16 fp32",
)


def transformers_own(extractor, wavs):
    """The front end as it is, its channels turned to the end."""
    return extractor(wavs).transpose(1, 2)


SIDES = {"transformers": transformers_own, "ours": channels_last}


def make_extractor(channels, device):
    """Makes a front end with random weights."""
    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(
        feat_extract_norm="layer",
        conv_bias=True,
        conv_dim=(channels,) * 7,
        hidden_size=16,
        num_hidden_layers=0,
        num_attention_heads=1,
    )
    model = transformers.Wav2Vec2Model(config)
    return model.feature_extractor.eval().to(device)


def forward(function, extractor, wavs, precision):
    """Runs forward under a precision."""
    dtype = DTYPES[precision]
    with torch.autocast(wavs.device.type, dtype, enabled=dtype is not None):
        return function(extractor, wavs)


def both_ways(function, extractor, wavs, precision):
    """Runs forward and backward; returns frames and gradients."""
    extractor.zero_grad(set_to_none=True)
    frames = forward(function, extractor, wavs, precision)
    frames.square().mean().backward()
    return [frames.detach()] + [p.grad for p in extractor.parameters()]


def errors(extractor, precision):
    """Returns how far both sides are from float64, frames and gradients.

    Returns
    -------
    dict
        Side to two relative errors.
    """
    device = next(extractor.parameters()).device
    wavs = torch.randn(2, RATE, generator=torch.Generator().manual_seed(1))
    wavs = wavs.to(device)
    exact = both_ways(
        transformers_own,
        copy.deepcopy(extractor).double(),
        wavs.double(),
        "fp32",
    )
    found = {}
    for name, function in SIDES.items():
        off = [
            float((x - y).abs().mean() / y.abs().mean())
            for x, y in zip(
                both_ways(function, extractor, wavs, precision), exact
            )
        ]
        found[name] = off[0], statistics.mean(off[1:])
    for mine, theirs in zip(found["ours"], found["transformers"]):
        if mine > MORE_ERROR * theirs + 1e-6:
            raise SystemExit(
                f"ours is farther from float64 than transformers' own: {found}"
            )
    return found


def times_of(run, turns, device):
    """Returns each side's median time in ms."""
    times = {name: [] for name in SIDES}
    for turn in range(-2, turns):  # the first are slower and are not kept
        for name, function in SIDES.items():
            start = now(device)
            run(function)
            if turn >= 0:
                times[name].append(1e3 * (now(device) - start))
    return {name: statistics.median(held) for name, held in times.items()}


def parsed(argv):
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--channels", type=int, default=512)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument(
        "--precision",
        nargs="+",
        choices=[*DTYPES],
        help="default: bf16 and fp32, on a CPU fp32 alone",
    )
    parser.add_argument("--device", default="cpu")
    add_rows_option(parser)
    return parser.parse_args(argv)


def main(argv=None):
    """Prints one row a precision and pass."""
    arguments = parsed(argv)
    device = arguments.device
    extractor = make_extractor(arguments.channels, device)
    wavs = torch.randn(
        arguments.batch, int(RATE * arguments.seconds), device=device
    )
    size = f"{arguments.batch} x {arguments.seconds:g} s"
    print(
        f"{size}, {arguments.channels} channels; {device}, "
        f"{torch.get_num_threads()} threads, medians of {arguments.turns}\n"
        f"{'':6}{'':18}{'transformers ms':>16}{'ours ms':>9}{'ratio':>7}"
    )
    rows = []
    usual = [*DTYPES] if device.startswith("cuda") else ["fp32"]
    for precision in arguments.precision or usual:
        off = errors(extractor, precision)
        passes = {
            "forward": torch.no_grad()(forward),
            "forward, backward": both_ways,
        }
        for what, run in passes.items():
            times = times_of(
                lambda side, run=run: run(side, extractor, wavs, precision),
                arguments.turns,
                device,
            )
            ratio = times["transformers"] / times["ours"]
            print(
                f"{precision:6}{what:18}{times['transformers']:16.2f}"
                f"{times['ours']:9.2f}{ratio:7.2f}",
                flush=True,
            )
            measured = precision == "bf16" and device.startswith("cuda")
            rows.append(
                row(
                    "front_end",
                    f"{what}, {size}, {precision}, large front end",
                    f"{times['ours']:.2f} ms",
                    f"{times['transformers']:.2f} ms, transformers",
                    ratio,
                    GOAL if measured else None,
                )
            )
        print(
            f"{precision:6}error of frames, gradients: "
            + "; ".join(f"{n} {a:.1e}, {b:.1e}" for n, (a, b) in off.items())
        )
    write_rows(arguments.rows, rows, device)


if __name__ == "__main__":
    main()
