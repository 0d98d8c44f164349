"""k-means of frames: ours against scikit-learn's two and faiss.

| way | what |
|---|---|
| minibatch | scikit-learn's `MiniBatchKMeans` as it is, k-means++ start |
| kmeans | scikit-learn's `KMeans` (Lloyd's), our start |
| faiss | faiss's `Kmeans` on all frames, our start; left out if not installed |
| ours | `kmeans.fit_centres` |
| torch | the same for `--device`, in plain torch (`kmeans_torch`) |

The last is run if `--device` is given; it must have the inertia of ours, if
that is run, to four digits, and the same bits once more, or the command ends.
On a GPU its time does not hold that of the first use of the device.

All but the first run `--iterations`, and their time holds that of the start.
Inertia is the mean squared distance of all frames to their nearest centres.
Each fit runs in a process of its own; memory is the peak of the resident set,
the frames included (Linux only). Beside other jobs compare the CPU time, with
OMP_WAIT_POLICY=passive. Under "bits" stand the first digits of the SHA-256 of
the centres. Ratios are to the first way.

Frames are synthetic ones, drawn around 2000 centres that lie around 64, and with
`--data_folder` also log-Mel frames of the audio in it (40 bands, every 10 ms),
each with its neighbours.

> python benchmarks/kmeans.py --size 300000 256 --k 64 512 4096 --threads 2
> python benchmarks/kmeans.py --size 400000 768 --k 64 512 --ways ours --device cuda
"""

import argparse
import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
import torchaudio
from rows import add_rows_option, row, write_rows
from sklearn.cluster import KMeans, MiniBatchKMeans

from speechbrain_ser.corpora.unlabelled import read_folder
from speechbrain_ser.data.kmeans import first_centres, fit_centres, lloyd
from speechbrain_ser.data.kmeans_torch import DeviceFrames
from speechbrain_ser.utils.audio import load_audio

PEER = "minibatch"
WAYS = (PEER, "kmeans", "faiss", "ours")
GOAL = "at least 5"  # times faster on a GPU than ours on its host's CPU
DIGITS = 1e-4  # of the inertia, in which torch's way may differ from ours
RATE = 16000
MELS = 40
BLOCK = 8192  # frames
# Command lines of the tests, each a trial of a second.
SMOKE = (
    "--size 60000 160 --k 8 --iterations 2 --threads 1 --device cpu",
    "--no_synthetic --data_folder {iemocap} --k 8 --iterations 2 --threads 1",
)


def make_clusters(n, dim):
    """Draws frames around centres that lie in groups."""
    generator = np.random.default_rng(0)
    groups = generator.normal(size=(64, dim))
    centres = groups[generator.integers(64, size=2000)]
    centres += 0.6 * generator.normal(size=centres.shape)
    frames = np.empty((n, dim), dtype=np.float32)
    for begin in range(0, n, BLOCK):
        block = frames[begin : begin + BLOCK]
        block[:] = centres[generator.integers(2000, size=len(block))]
        block += 0.7 * generator.standard_normal(block.shape, dtype=np.float32)
    return frames


def read_speech(folder, stack):
    """Reads log-Mel frames, `stack` neighbours in one."""
    mel = torchaudio.transforms.MelSpectrogram(
        RATE, n_fft=512, win_length=400, hop_length=160, n_mels=MELS
    )
    held = []
    for entry in read_folder(folder).values():
        frames = (mel(load_audio(entry, RATE)) + 1e-6).log().T
        if len(frames) >= stack:
            # in half precision, as the frame cache keeps them
            held.append(frames.unfold(0, stack, 1).flatten(1).half().numpy())
    return np.concatenate(held).astype(np.float32)


def fit(way, frames, k, iterations, device):
    """Returns the centres."""
    if way == "torch":
        placed = DeviceFrames(frames, device)
        *_, (_, centres) = lloyd(placed, k, 0, iterations)
        return centres
    if way == "ours":
        return fit_centres(frames, k, iterations=iterations)
    if way == "minibatch":
        model = MiniBatchKMeans(
            k, n_init=1, random_state=0, compute_labels=False
        )
        return model.fit(frames).cluster_centers_
    start = first_centres(frames, k)
    if way == "kmeans":
        model = KMeans(k, init=start, n_init=1, max_iter=iterations, tol=0)
        return model.fit(frames).cluster_centers_
    import faiss

    model = faiss.Kmeans(
        frames.shape[1],
        k,
        niter=iterations,
        min_points_per_centroid=1,
        max_points_per_centroid=len(frames),
    )
    model.train(frames, init_centroids=start)
    return model.centroids


def resident(word):
    """Returns this process's ``VmRSS`` or its peak ``VmHWM``, in bytes."""
    with open("/proc/self/status") as file:
        return 1024 * int(re.search(rf"{word}:\s+(\d+)", file.read())[1])


def inertia_of(frames, centres):
    """Returns the mean squared distance to the nearest centre."""
    centres = torch.from_numpy(np.ascontiguousarray(centres))
    squares = (centres**2).sum(dim=1)
    total = 0.0
    for begin in range(0, len(frames), BLOCK):
        block = torch.from_numpy(frames[begin : begin + BLOCK])
        nearest = torch.addmm(squares, block, centres.T, alpha=-2).argmin(dim=1)
        total += float((block.double() - centres[nearest]).square().sum())
    return total / len(frames)


def measure_here(way, path, k, iterations, device):
    """Measures one fit in this process; returns seconds, bytes and more."""
    small = np.random.default_rng(0).normal(size=(500, 8)).astype(np.float32)
    fit(way, small, 4, 2, device)
    before = resident("VmRSS")
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak begins anew
    frames = np.load(path)
    start, start_cpu = time.perf_counter(), time.process_time()
    centres = fit(way, frames, k, iterations, device)
    seconds = time.perf_counter() - start
    cpu = time.process_time() - start_cpu
    peak = resident("VmHWM") - before
    if way == "torch":
        again = fit(way, frames, k, iterations, device)
        if again.tobytes() != centres.tobytes():
            raise SystemExit(f"{k} centres on {device}: other bits once more")
    return {
        "seconds": seconds,
        "cpu": cpu,
        "inertia": inertia_of(frames, centres),
        "bytes": peak,
        "bits": hashlib.sha256(centres.tobytes()).hexdigest()[:8],
    }


def measure(way, path, k, iterations, threads, device):
    """Measures one fit in a process of its own."""
    command = [sys.executable, __file__, "--measure", way, path, str(k)]
    run = subprocess.run(
        [*command, "--iterations", str(iterations), "--device", str(device)],
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(run.stdout)


def show(name, path, k, ways, arguments):
    """Measures ways one after another; prints a row each.

    Returns
    -------
    dict
        Way to what was measured.
    """
    found = {}
    for way in ways:
        found[way] = now = measure(
            way,
            path,
            k,
            arguments.iterations,
            arguments.threads,
            arguments.device,
        )
        first = found[ways[0]]
        cells = [
            f"{now['seconds']:8.1f} s",
            f"{now['cpu']:8.1f} s",
            f"{now['inertia']:10.3f}",
            f"{now['bytes'] / 1e6:9.0f} MB",
        ]
        ratios = [now[n] / first[n] for n in now if n != "bits"]
        print(
            f"{name:24}{k:6}  {way:10}"
            + "".join(f"{c}{r:7.3f}" for c, r in zip(cells, ratios))
            + f"  {now['bits']}",
            flush=True,
        )
    if {"ours", "torch"} <= set(found):
        ours, torch_ = found["ours"]["inertia"], found["torch"]["inertia"]
        if abs(torch_ / ours - 1) > DIGITS:
            raise SystemExit(f"inertia {torch_} in torch, {ours} else")
    return found


def rows_of(name, k, found, arguments):
    """Returns the row of torch's way against ours, or of ours and the first."""
    what = f"{name}, {k} centres, {arguments.iterations} iterations"
    seconds = {way: held["seconds"] for way, held in found.items()}
    mine, other = "ours", next(iter(found), None)
    place, goal = "CPU", None
    if "torch" in found:
        mine, other, place = "torch", "ours", arguments.device
        goal = GOAL if place.startswith("cuda") else None
    if mine not in found:
        return []
    peer = seconds.get(other)
    return [
        row(
            "kmeans",
            what,
            f"{seconds[mine]:.1f} s, {place}",
            f"{peer:.1f} s, {other}, {arguments.threads} threads"
            if peer
            else "",
            peer / seconds[mine] if peer else None,
            goal,
        )
    ]


def main(argv=None):
    """Prints one row for each kind of frames, k and way."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", type=int, nargs=2, default=(300_000, 256))
    parser.add_argument("--no_synthetic", action="store_true")
    parser.add_argument("--data_folder", help="any folder of audio")
    parser.add_argument("--stack", type=int, default=7, help="neighbours")
    parser.add_argument("--k", type=int, nargs="+", default=(64, 512, 4096))
    parser.add_argument("--ways", nargs="*", default=WAYS, choices=WAYS)
    parser.add_argument("--iterations", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", help="runs torch's way too, on cpu or cuda")
    add_rows_option(parser)
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.measure:
        way, path, k = arguments.measure
        found = measure_here(
            way, path, int(k), arguments.iterations, arguments.device
        )
        print(json.dumps(found))
        return
    ways = [way for way in WAYS if way in arguments.ways]
    if "faiss" in ways and importlib.util.find_spec("faiss") is None:
        print("faiss is left out: pip install faiss-cpu")
        ways.remove("faiss")
    ways += ["torch"] if arguments.device else []
    print(
        f"{arguments.iterations} iterations, {arguments.threads} threads\n"
        f"{'frames':24}{'k':>6}  {'way':10}{'time':>10}{'ratio':>7}"
        f"{'CPU time':>10}{'ratio':>7}"
        f"{'inertia':>10}{'ratio':>7}{'memory':>12}{'ratio':>7}  bits"
    )
    kinds, rows = [], []
    if not arguments.no_synthetic:
        kinds.append(("synthetic", make_clusters, arguments.size))
    if arguments.data_folder:
        given = (arguments.data_folder, arguments.stack)
        kinds.append(("speech", read_speech, given))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "frames.npy")
        for name, make, given in kinds:
            frames = make(*given)
            np.save(path, frames)
            n, dim = frames.shape
            del frames
            for k in arguments.k:
                size = f"{name} {n} x {dim}"
                found = show(size, path, k, ways, arguments)
                rows += rows_of(size, k, found, arguments)
    device = arguments.device or "cpu"
    write_rows(arguments.rows, rows, device, threads=arguments.threads)


if __name__ == "__main__":
    main()
