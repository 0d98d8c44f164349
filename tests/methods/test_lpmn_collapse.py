"""Eq. 1's second term where blocks are trained: what it makes of the frames.

Blocks of HuBERT's shape with random weights, trained as the recipe trains its last
two: each step sees all utterances, so that only the weight tells runs apart.
"""

import functools

import pytest
import torch

from speechbrain_ser.experiment.hparams import peek
from speechbrain_ser.lobes.codebook import Codebook, usage_of
from speechbrain_ser.lobes.frame_pooling import make_norm, make_pooling
from speechbrain_ser.lobes.small_hubert import fresh_hubert
from speechbrain_ser.lobes.ssl import SSLEncoder
from speechbrain_ser.methods.lpmn import SHARE_USED
from tests.recipes.helpers import ROOT

KEYS = (
    "codebook_weight",
    "commitment_weight",
    "squared",
    "tau",
    "max_grad_norm",
)
K, DIM, STEPS = 32, 32, 60


def voices():
    """Sixteen wavering tones in noise, of four classes by their height."""
    generator = torch.Generator().manual_seed(1)
    time = torch.arange(8000) / 16000
    labels = torch.arange(16) % 4
    each = torch.arange(16)[:, None]
    heights = 150 * (1 + labels[:, None]) + 10 * each
    phase = 2 * torch.pi * heights * time + 3 * torch.sin(4 * torch.pi * time)
    loud = 1 + 0.5 * torch.sin(2 * torch.pi * (3 + each % 5) * time)
    noise = 0.05 * torch.randn(16, 8000, generator=generator)
    return 0.2 * loud * torch.sin(phase) + noise, labels


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A function: the use of the prototypes before and after, and the hits.

    Of the settings that Eq. 1 has; the rest is as in lpmn.yaml.
    """
    folder = str(tmp_path_factory.mktemp("hubert"))
    source = fresh_hubert(DIM, 3, 8, dropout=0.0, folder=folder)
    wavs, labels = voices()
    lengths = torch.ones(len(wavs))

    @functools.lru_cache(maxsize=None)
    def train(codebook_weight, commitment_weight, squared, tau, max_grad_norm):
        torch.manual_seed(0)
        encoder = SSLEncoder(source, "unused", layer=3, frozen_layers=1)
        weights = codebook_weight, commitment_weight
        codebook = Codebook(K, DIM, *weights, squared)
        pool = make_pooling("lpmn", codebook, tau, in_chance=True)
        classifier = torch.nn.Linear(K, 4)
        norm = make_norm(DIM)

        def frames():
            """Of all utterances."""
            return norm(encoder(wavs, lengths)[0])

        with torch.no_grad():
            codebook.draw(frames().flatten(0, 1))
            before = usage_of(codebook.count(frames(), lengths))
        trained = [
            weight
            for module in (encoder, pool, classifier)
            for weight in module.parameters()
            if weight.requires_grad
        ]
        optimizer = torch.optim.Adam(trained, lr=0.001)
        for _ in range(STEPS):
            seen = frames()
            logits = classifier(pool(seen, lengths)[0])
            loss = torch.nn.functional.cross_entropy(logits, labels)
            loss = loss + codebook(seen, lengths)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, max_grad_norm)
            optimizer.step()
        with torch.no_grad():
            after = usage_of(codebook.count(frames(), lengths))
            logits = classifier(pool(frames(), lengths)[0])
        return before, after, (logits.argmax(dim=1) == labels).float().mean()

    return train


@pytest.mark.parametrize("corpus", ["IEMOCAP", "MER2023"])
def test_the_default_does_not_collapse_and_the_print_does(corpus, trained):
    """By the weights that the recipe's files have."""
    found = {}
    for name in ("lpmn", "lpmn_as_printed"):
        path = ROOT / "recipes" / corpus / "hparams" / f"{name}.yaml"
        settings = peek(str(path), "")
        found[name] = trained(**{key: settings[key] for key in KEYS})
    before, after, hits = found["lpmn"]
    assert before[1] > K / 2
    assert min(after) > 2 * SHARE_USED * K and after[1] > before[1] / 5
    before, printed, of_print = found["lpmn_as_printed"]
    assert before[1] > K / 2 and printed[1] < SHARE_USED * K
    assert hits > of_print + 0.25
