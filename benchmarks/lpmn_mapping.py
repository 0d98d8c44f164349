"""LPMN's mapping and maximum over time against the same in plain operations.

Measured is forward and backward of `lean_max_mapping` and `naive_max_mapping`.
Which of them `max_mapping` takes for the size stands under "taken". They take
turns; times are medians, and so is the ratio, of the turns' ratios. First
both are compared in float64.

What wins no prototype costs nothing backward, so there are two kinds of frames:
random ones (prototypes too), nearly all of which win one, and ones that change
slowly around a few centres, as speech does, with frames for prototypes.

Memory is the peak above the inputs, with the inputs' gradients (which nobody
can do without) and, as "net", less these. On a CPU each side runs in a process
of its own, which gives freed memory back at once, after a small run as a
warm-up; its peak is the one of the resident set (Linux only). On a GPU it is the
peak of torch's allocator.

> python benchmarks/lpmn_mapping.py --threads 1
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
from operator import truediv

import torch
from ipr_step import now
from rows import add_rows_option, row, write_rows

from speechbrain_ser.lobes.local_prototypes import (
    lean_max_mapping,
    naive_max_mapping,
    plain_is_faster,
)

SIDES = {"plain": naive_max_mapping, "ours": lean_max_mapping}
# Utterances, frames, channels, prototypes.
SIZES = ((32, 400, 1024, 1024), (32, 400, 768, 512), (32, 100, 64, 128))
KINDS = ("random", "speech")
TAU = 1.0
CENTRES = 8
CENTRE_FRAMES = 20
# Of a frame's own deviation, kept from the frame before it.
INERTIA = 0.95
# glibc: give every larger array back to the system as soon as it is freed
GIVES_BACK = {
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "0",
}
# Command lines of the tests, each a trial of a second.
SMOKE = ("--steps 1 --size 4 1100 4 2000",)


def make_inputs(size, kind, device, dtype=torch.float32):
    """Makes frames, prototypes, and a gradient of what is pooled.

    Arguments
    ---------
    size : tuple of int
        One of `SIZES`.
    kind : str
        One of `KINDS`.
    device : str
    dtype : torch.dtype

    Returns
    -------
    frames : torch.Tensor
    counts : torch.Tensor
    prototypes : torch.Tensor
    upstream : torch.Tensor
    """
    torch.manual_seed(0)
    n, longest, dim, n_prototypes = size
    frames = torch.randn(n, longest, dim, dtype=dtype)
    prototypes = torch.randn(n_prototypes, dim, dtype=dtype)
    if kind == "speech":
        for t in range(1, longest):
            frames[:, t] *= (1 - INERTIA**2) ** 0.5
            frames[:, t] += INERTIA * frames[:, t - 1]
        centres = torch.randn(CENTRES, dim, dtype=dtype)
        near = torch.randint(CENTRES, (n, -(-longest // CENTRE_FRAMES)))
        near = near.repeat_interleave(CENTRE_FRAMES, dim=1)[:, :longest]
        for row, index in zip(frames, near):
            row += centres[index]
        drawn = torch.randperm(n * longest)[:n_prototypes]
        prototypes = frames.flatten(0, 1)[drawn]
    counts = torch.full((n,), longest, device=device)
    upstream = torch.randn(n, n_prototypes, dtype=dtype)
    return (
        frames.to(device).requires_grad_(),
        counts,
        prototypes.to(device).requires_grad_(),
        upstream.to(device),
    )


def both_ways(function, frames, counts, prototypes, upstream):
    """Runs forward and backward.

    Returns
    -------
    values : torch.Tensor
    winners : torch.Tensor
    """
    frames.grad = prototypes.grad = None
    values, winners = function(frames, counts, prototypes, TAU)
    values.backward(upstream)
    return values, winners


def difference(device):
    """Returns the largest difference of the sides in float64.

    Of values and gradients, each in relation to its largest number; utterances
    are padded.
    """
    inputs = make_inputs((8, 50, 64, 96), "random", device, torch.float64)
    inputs[1][:] = torch.arange(1, 51, 7, device=device)
    found = []
    for function in SIDES.values():
        values, _ = both_ways(function, *inputs)
        found.append((values.detach(), inputs[0].grad, inputs[2].grad))
    return max(
        float((a - b).abs().max() / a.abs().max()) for a, b in zip(*found)
    )


def times_of(inputs, steps, device):
    """Compares times.

    Returns
    -------
    middle : dict
        The median time of each side, in ms.
    ratio : float
        The median of the turns' ratios.
    won : float
        The share of the frames that won a prototype.
    """
    times = {name: [] for name in SIDES}
    # The first step is slower and is not kept.
    for step in range(-1, steps):
        for name, function in SIDES.items():
            start = now(device)
            _, winners = both_ways(function, *inputs)
            if step >= 0:
                times[name].append(1e3 * (now(device) - start))
    won = sum(len(frames.unique()) for frames in winners)
    n, longest, _ = inputs[0].shape
    middle = {name: statistics.median(times[name]) for name in SIDES}
    ratio = statistics.median(map(truediv, times["ours"], times["plain"]))
    return middle, ratio, won / (n * longest)


def resident(word):
    """Returns this process's ``VmRSS`` or its peak ``VmHWM``, in bytes."""
    with open("/proc/self/status") as file:
        return 1024 * int(re.search(rf"{word}:\s+(\d+)", file.read())[1])


def peak_here(name, size, kind):
    """Returns the peak of one side above its inputs, of this CPU process."""
    function = SIDES[name]
    both_ways(function, *make_inputs((2, 20, *size[2:]), "random", "cpu"))
    inputs = make_inputs(size, kind, "cpu")
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak begins anew
    before = resident("VmRSS")
    both_ways(function, *inputs)
    return resident("VmHWM") - before


def peak_of(name, size, kind, device):
    """Returns the peak of one side above its inputs, in bytes."""
    if device.startswith("cuda"):
        inputs = make_inputs(size, kind, device)
        both_ways(SIDES[name], *inputs)
        inputs[0].grad = inputs[2].grad = None
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        both_ways(SIDES[name], *inputs)
        return torch.cuda.max_memory_allocated() - before
    command = [sys.executable, __file__, "--peak_of", name, kind]
    run = subprocess.run(
        [*command, *map(str, size), "--threads", str(torch.get_num_threads())],
        env=os.environ | GIVES_BACK,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return int(run.stdout)


def row_of(size, kind, times, ratio, taken):
    """Returns the row of the way that is taken against the other one."""
    other = "plain" if taken == "ours" else "ours"
    n, longest, dim, n_prototypes = size
    return row(
        "lpmn_mapping",
        f"forward and backward, B{n} T{longest} C{dim} K{n_prototypes}, {kind} "
        "frames: the way that is taken, the other one",
        f"{times[taken]:.2f} ms ({taken})",
        f"{times[other]:.2f} ms ({other})",
        ratio if taken == "ours" else 1 / ratio,
        "at most 1.1",
    )


def main(argv=None):
    """Prints one row a size and kind of frames."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument(
        "--size",
        type=int,
        nargs=4,
        metavar=("B", "T", "C", "K"),
        help="default: all of the table",
    )
    parser.add_argument("--threads", type=int, help="default: torch's own")
    parser.add_argument("--device", default="cpu")
    add_rows_option(parser)
    parser.add_argument("--peak_of", nargs=6, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if arguments.peak_of:
        name, kind, *size = arguments.peak_of
        print(peak_here(name, tuple(map(int, size)), kind))
        return
    device = arguments.device
    print(
        f"float64: values and gradients differ by {difference(device):.0e} of "
        f"their largest\n{device}, {torch.get_num_threads()} threads, medians "
        f"of {arguments.steps}\n"
        f"{'B':>3}{'T':>5}{'C':>6}{'K':>6}  {'frames':8}{'won %':>6}"
        f"{'plain ms':>10}{'ours ms':>9}{'ratio':>7}"
        f"{'plain MB':>10}{'ours MB':>9}{'ratio':>7}{'net':>6}  taken"
    )
    rows = []
    for size in [arguments.size] if arguments.size else SIZES:
        for kind in KINDS:
            inputs = make_inputs(size, kind, device)
            times, ratio, won = times_of(inputs, arguments.steps, device)
            plain = plain_is_faster(inputs[0], inputs[2])
            taken = "plain" if plain else "ours"
            del inputs
            peaks = {
                name: peak_of(name, size, kind, device) / 1e6 for name in SIDES
            }
            n, longest, dim, n_prototypes = size
            gradients = 4e-6 * dim * (n * longest + n_prototypes)
            net = (peaks["ours"] - gradients) / (peaks["plain"] - gradients)
            print(
                f"{n:3}{longest:5}{dim:6}{n_prototypes:6}  {kind:8}"
                f"{100 * won:6.0f}{times['plain']:10.1f}{times['ours']:9.1f}"
                f"{ratio:7.2f}"
                f"{peaks['plain']:10.1f}{peaks['ours']:9.1f}"
                f"{peaks['ours'] / peaks['plain']:7.2f}{net:6.2f}  {taken}",
                flush=True,
            )
            rows.append(row_of(size, kind, times, ratio, taken))
    write_rows(arguments.rows, rows, device)


if __name__ == "__main__":
    main()
