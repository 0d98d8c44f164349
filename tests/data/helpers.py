"""Frames without an encoder, and pseudo-labels of them."""

import os
import weakref

import torch

from speechbrain_ser.data.pseudo_labelling import make_pseudo_labels

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
