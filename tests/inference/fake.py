"""A model for the tests of the command: quick, and all that it does is known."""

import sys
import time
import types

import numpy as np
import soundfile
import torch

from speechbrain_ser.data.batching import LengthBatchSampler
from speechbrain_ser.inference.label import main
from speechbrain_ser.inference.outcome import Outcome
from speechbrain_ser.utils.errors import InputError


class Fake:
    """Says what the size of a signal says; counts what it is asked.

    Arguments
    ---------
    by : str
        See `EmotionRecognizer`.
    mates : bool
        Whether a posterior depends on the batch, as with padding.
    slow : float
        Seconds that a batch takes.
    **more : dict
        Other attributes.
    """

    labels = ["low", "high", "grün"]
    sample_rate = 16000
    name = "fake"
    digest = "f" * 64
    own = ["arousal"]
    of_posterior = {}
    card = {"languages": ["de"], "sample_rates": [16000]}
    max_seconds = 60.0
    temperature = 1.0
    model = types.SimpleNamespace(device=torch.device("cpu"))
    can_standardise = True

    def __init__(self, by="train", mates=False, slow=0, **more):
        self.by, self.padding_matters, self.slow = by, mates, slow
        self.sizes = []  # of the batches
        self.framed = 0
        for name, value in more.items():
            setattr(self, name, value)

    def standardise_by_speaker(self):
        """As the real one."""
        if not self.can_standardise:
            raise InputError("the model fake standardises nothing: leave it")
        self.by = "speaker"

    def batches(self, durations, batch_size=None):
        """As the recipes' evaluation."""
        sampler = LengthBatchSampler(durations, batch_size or 4, shuffle=False)
        return sampler.batches()

    def frames(self, signal):
        """The signal."""
        assert signal.dtype == torch.float32 and signal.dim() == 1
        self.framed += 1
        return signal

    def statistics(self, frames):
        """Its mean size."""
        assert frames[0].dim() == 1
        return torch.stack([each.abs().mean() for each in frames]).mean()

    def classify(self, frames, statistics=None):
        """By its size, and who is beside it."""
        time.sleep(self.slow)
        self.sizes.append(len(frames))
        given = []
        for i, signal in enumerate(frames):
            size = signal.abs().mean()
            if statistics is not None:
                size = size / statistics[i]
            beside = float(len(frames)) if self.padding_matters else 1.0
            logits = torch.stack([-size, size, size * beside - 0.2])
            given.append(
                {
                    "posterior": torch.softmax(3 * logits, 0),
                    "embedding": torch.stack([size, signal.std()]),
                    "arousal": signal.mean(),
                }
            )
        return given

    def outcome(self, outputs, weights):
        """The mean, tempered."""
        weights = [weight / sum(weights) for weight in weights]
        mean = {
            key: sum(w * o[key] for w, o in zip(weights, outputs))
            for key in outputs[0]
        }
        posterior = mean["posterior"] ** (1 / self.temperature)
        posterior = (posterior / posterior.sum()).tolist()
        named = dict(zip(self.labels, posterior))
        return Outcome(
            max(named, key=named.get),
            named,
            {name: float(mean[name]) for name in self.own},
            mean["embedding"],
        )


def noise(path, seconds=0.5, rate=16000, channels=1, seed=0, size=0.1, **how):
    """Writes noise; returns its path as a text."""
    draw = np.random.default_rng(seed)
    shape = (round(seconds * rate), channels)
    samples = (size * draw.normal(size=shape)).clip(-0.9, 0.9)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, **how)
    return str(path)


def command(words, by="train", slow=0.0):
    """Labels by the fake in a process of its own, and ends it."""
    sys.exit(main(words, lambda options: Fake(by, slow=slow)))
