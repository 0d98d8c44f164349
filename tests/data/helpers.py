"""Frames without an encoder, and pseudo-labels of them."""

import hashlib
import os
import signal
import time
import weakref

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from speechbrain_ser.data import frame_cache, kmeans
from speechbrain_ser.data.pseudo_labelling import make_pseudo_labels
from speechbrain_ser.lobes.ssl import SSLEncoder
from speechbrain_ser.utils import files

SIZES = [3, 8]


LEFT = ["centres.safetensors", "labels.json", "labels.npy"]


class Cache:
    """Frames made of an entry's numbers; counts what is read and still held."""

    def __init__(self, channels=4):
        self.channels = channels
        self.reads = []
        self.alive = []
        self.most = 0

    def read(self, entry):
        """Half precision, as the frame cache gives."""
        self.reads.append(entry["seed"])
        generator = torch.Generator().manual_seed(entry["seed"])
        shape = (entry["n"], self.channels)
        frames = torch.randn(shape, generator=generator).half()
        self.alive = [ref for ref in self.alive if ref() is not None]
        self.alive.append(weakref.ref(frames))
        self.most = max(self.most, len(self.alive))
        return frames

    def count(self, entry):
        """The number of frames."""
        return entry["n"]


def make_part(counts, first=0):
    """An annotation of utterances of so many frames."""
    return {
        f"u{first + i}": {"n": n, "seed": first + i}
        for i, n in enumerate(counts)
    }


FITTED = make_part([9, 4, 17, 1, 12])


LABELLED = make_part([5, 3], first=5) | FITTED


def all_frames(part, channels=4):
    """What the fake cache has, in order."""
    cache = Cache(channels)
    return torch.cat([cache.read(e) for e in part.values()]).float().numpy()


def make(folder, cache=None, **changed):
    """Makes small pseudo-labels."""
    settings = {
        "fitted": FITTED,
        "labelled": LABELLED,
        "sizes": SIZES,
        "seed": 3,
        "about": {"layer": -3, "encoder": "small"},
        "show": False,
        **changed,
    }
    make_pseudo_labels(folder, cache or Cache(), **settings)


def content(folder):
    """Name to bytes of all that lies in a folder and below."""
    return {
        os.path.relpath(os.path.join(place, name), folder): open(
            os.path.join(place, name), "rb"
        ).read()
        for place, _, names in os.walk(folder)
        for name in names
    }


# What processes do.


def make_and_die(folder, point):
    """Makes small pseudo-labels, and is killed.

    Before this file is renamed, or with a minus within this call of `assign`.
    """
    calls = {"renamed": 0, "labelled": 0}

    def count(what, number, call):
        """Gives a call that kills at its turn."""

        def counting(*args):
            """Counts."""
            calls[what] += 1
            if calls[what] == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args)

        return counting

    files.os.replace = count("renamed", point, os.replace)
    kmeans.assign = count("labelled", -point, kmeans.assign)
    make(folder)


def fill_slowly(model, folder, annotation, go):
    """Fills a cache at 10 utterances a second, from when `go` is there."""
    encoder = SSLEncoder(model, "unused", frozen_layers=2)
    cache = frame_cache.FrameCache(folder, encoder)
    load = frame_cache.load_audio

    def slowly(*args):
        """Loads a sound after a while."""
        time.sleep(0.1)
        return load(*args)

    frame_cache.load_audio = slowly
    open(f"{go}.{os.getpid()}", "w").close()
    while not os.path.exists(go):
        time.sleep(0.01)
    print(cache.fill(annotation, encoder, show=False))


def bits(seed):
    """The digest of centres and labels of made-up frames."""
    frames = np.random.default_rng(0).normal(size=(4000, 16))
    frames = frames.astype(np.float32)
    centres = kmeans.fit_centres(frames, 100, seed=seed, iterations=5)
    labels = kmeans.assign(frames, {100: centres})
    return hashlib.sha256(centres.tobytes() + labels.tobytes()).hexdigest()


def print_bits(seed, threads):
    """Prints such a digest, computed with so many threads."""
    torch.set_num_threads(threads)
    with threadpool_limits(threads):
        print(bits(seed))
