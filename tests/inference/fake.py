"""A model for the tests of the command: quick, and all that it does is known."""

import threading

import torch

from speechbrain_ser.data.batching import LengthBatchSampler
from speechbrain_ser.inference.outcome import Outcome


class Fake:
    """Says what mean and size of a signal say; counts what it is asked.

    `mates`: whether a posterior depends on the batch, as with padding.
    """

    labels = ["low", "high", "grün"]
    sample_rate = 16000
    name = "fake"
    digest = "f" * 64

    def __init__(
        self, by="train", mates=False, max_seconds=60.0, own=("arousal",)
    ):
        self.by, self.padding_matters = by, mates
        self.max_seconds, self.own = max_seconds, list(own)
        self.temperature = 1.0
        self.card = {"languages": ["de"], "sample_rates": [16000]}
        self.seen, self.sizes = 0, []
        self.threads = set()

    def standardise_by_speaker(self):
        """As the real one."""
        self.by = "speaker"

    def batches(self, durations, batch_size=None):
        """As the recipes' evaluation."""
        size = batch_size or 4
        return LengthBatchSampler(durations, size, shuffle=False).batches()

    def frames(self, signal):
        """The signal."""
        assert signal.dtype == torch.float32 and signal.dim() == 1
        self.threads.add(threading.get_ident())
        return signal

    def statistics(self, frames):
        """Its mean size."""
        return torch.cat(list(frames)).abs().mean()

    def classify(self, frames, statistics=None):
        """By its size, and who is beside it."""
        self.seen += len(frames)
        self.sizes.append(len(frames))
        mates = float(len(frames)) if self.padding_matters else 1.0
        given = []
        for i, signal in enumerate(frames):
            size = signal.abs().mean()
            if statistics is not None:
                size = size / statistics[i]
            logits = torch.stack([-size, size, size * mates - 1.0])
            output = {"posterior": torch.softmax(3 * logits, 0)}
            output["embedding"] = torch.stack([size, signal.std()])
            for name in self.own:
                output[name] = signal.mean()
            given.append(output)
        return given

    def outcome(self, outputs, weights):
        """The mean, tempered."""
        weights = torch.tensor(weights) / sum(weights)
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
