"""Waveforms in few lengths: padding like any other, in training alone."""

import numpy as np
import pytest
import torch

import speechbrain as sb
from conftest import save_ssl_model
from speechbrain.dataio.batch import PaddedBatch
from speechbrain_ser.data.dataset import make_dataset
from speechbrain_ser.data.length_grid import GridBatch, multiples
from speechbrain_ser.lobes.pooling import StatisticsPooling
from speechbrain_ser.lobes.ssl import SSLEncoder
from tests.lobes.helpers import KINDS
from tests.methods import dann_brain, menan_brain, test_lpmn
from tests.test_brain import LABELS, make_brain

STEP = 4000
LENGTHS = (8000, 9500, 12001)


def examples(seed=0):
    """Noise of three lengths."""
    draw = torch.Generator().manual_seed(seed)
    return [
        {"id": str(n), "sig": torch.randn(n, generator=draw), "label": i}
        for i, n in enumerate(LENGTHS)
    ]


def test_a_batch_is_padded_to_a_multiple():
    """With zeros; the relative lengths are those of what is padded."""
    plain, batch = PaddedBatch(examples()), GridBatch(STEP)(examples())
    wavs, lengths = batch.sig
    assert wavs.shape == (3, 16000)
    assert torch.equal(wavs[:, :12001], plain.sig.data)
    assert not wavs[:, 12001:].any()
    assert (lengths * 16000).round().tolist() == list(LENGTHS)
    assert batch.id == plain.id and torch.equal(batch.label, plain.label)
    exact = GridBatch(STEP)(examples()[:1])
    assert exact.sig.data.shape == (1, 8000) and exact.sig.lengths == 1
    # it can still be moved as a whole
    assert batch.to(torch.float64).sig.data.dtype == torch.float64


def test_multiples_round_up_but_for_rounding_errors():
    """A duration that was computed as one stays one."""
    grid = 0.1
    durations = np.array([k * grid for k in range(1, 60)])
    assert multiples(durations, grid).tolist() == list(range(1, 60))
    assert multiples(durations + 1e-3, grid).tolist() == list(range(2, 61))


@pytest.mark.parametrize("kind", KINDS)
def test_layer_norm_models_see_no_difference(kind, tmp_path):
    """Logits, loss and all gradients are those without the grid."""
    folder = save_ssl_model(tmp_path, kind, norm="layer", layers=2)
    found = []
    for collate in (PaddedBatch, GridBatch(STEP)):
        torch.manual_seed(0)
        encoder = SSLEncoder(
            folder, save_path="unused", freeze_feature_extractor=False
        )
        classifier = torch.nn.Linear(encoder.dim, 3)
        model = torch.nn.ModuleList([encoder, classifier]).double().eval()
        batch = collate(examples())
        frames, lengths = encoder(batch.sig.data.double(), batch.sig.lengths)
        pooled = StatisticsPooling("mean")(frames, lengths)
        logits = classifier(pooled)
        loss = torch.nn.functional.cross_entropy(logits, batch.label)
        loss.backward()
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        found.append((logits, loss, *grads))
    assert len(found[0]) > 20
    for plain, gridded in zip(*found):
        torch.testing.assert_close(gridded, plain, rtol=1e-9, atol=1e-11)


def test_group_norm_models_see_the_padding(tmp_path):
    """Their first norm runs over the time: what is heard grows with padding.

    A share p of zeros makes the deviation sqrt(1 - p) of what it was, so all
    is 1 / sqrt(1 - p) of it; what follows adds nothing to that.
    """
    folder = save_ssl_model(tmp_path, norm="group", layers=2)
    encoder = SSLEncoder(folder, save_path="unused").double().eval()
    first = encoder.model.feature_extractor.conv_layers[0]
    wav = torch.randn(1, 12000, dtype=torch.float64)
    padded = torch.nn.functional.pad(wav, (0, 4000))  # p = 1 / 4
    with torch.no_grad():
        conv, norm = first.conv, first.layer_norm
        plain, seen = (norm(conv(x.unsqueeze(1))) for x in (wav, padded))
        seen = seen[..., : plain.shape[2]]
        ratio = float(seen.std() / plain.std())
        assert ratio == pytest.approx((1 - 1 / 4) ** -0.5, rel=0.01)
        ends = [
            encoder(x, torch.tensor([share]))[0]
            for x, share in ((wav, 1.0), (padded, 0.75))
        ]
    ends[1] = ends[1][:, : ends[0].shape[1]]
    change = float((ends[1] - ends[0]).norm() / ends[0].norm())
    assert 1e-6 < change < ratio - 1


def lengths_of(brain, stage, dataset=None):
    """The padded lengths of all batches."""
    dataset = dataset or brain.train_set
    loader = brain.make_dataloader(dataset, stage, ckpt_prefix=None)
    return {batch.sig.data.shape[1] for batch in loader}


def test_the_loader_keeps_the_grid_in_training_alone(tones, tmp_path):
    """Evaluation stays as it is; without the key so does training."""
    brain, _ = make_brain(tmp_path, length_grid=0.25)
    brain.set_parts({"train": tones})
    assert all(n % STEP == 0 for n in lengths_of(brain, sb.Stage.TRAIN))
    exact = {entry["stop"] for entry in tones.values()}
    assert lengths_of(brain, sb.Stage.VALID) <= exact
    plain, _ = make_brain(tmp_path)
    plain.set_parts({"train": tones})
    assert lengths_of(plain, sb.Stage.TRAIN) <= exact


def test_kept_frames_know_no_grid(tones, tmp_path):
    """They are no waveforms: their batches are what they were."""
    settings = {"cache_folder": str(tmp_path / "frames"), "batch_size": 5}
    folder = save_ssl_model(tmp_path / "model", "hubert", "layer", layers=2)
    shapes = []
    for grid in (None, 0.25):
        encoder = SSLEncoder(folder, save_path="unused", frozen_layers=1)
        brain = test_lpmn.make_lpmn(
            tmp_path,
            encoder=encoder,
            dim=encoder.dim,
            cache=True,
            length_grid=grid,
            **settings,
        )
        brain.set_parts({"train": tones})
        shapes.append(lengths_of(brain, sb.Stage.TRAIN))
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("made", [dann_brain, menan_brain])
def test_features_know_no_grid(made, tmp_path):
    """Whoever builds such a Brain with the key has the batches without it."""
    brain = made.build_brain(tmp_path)
    shapes = []
    for grid in (None, 0.25):
        brain.length_grid = grid
        loader = brain.make_dataloader(
            brain.train_set, sb.Stage.TRAIN, ckpt_prefix=None
        )
        shapes.append({batch.sig.data.shape[1:] for batch in loader})
    assert shapes[0] == shapes[1]


def test_a_run_on_the_grid_goes_on_exactly(tones, tmp_path):
    """A second epoch after a checkpoint is that of a run that was not stopped."""
    data = make_dataset(tones, LABELS)

    def train(folder, epochs):
        """Trains up to an epoch; returns the last layer's weights."""
        brain, counter = make_brain(folder, length_grid=0.25)
        brain.checkpointer.add_recoverable("encoder", brain.modules["encoder"])
        counter.limit = epochs
        brain.fit(counter, data, data)
        return brain.modules["classifier"].weight.detach()

    whole = train(tmp_path / "whole", 2)
    begun = train(tmp_path / "stopped", 1)
    assert torch.equal(train(tmp_path / "stopped", 2), whole)
    assert not torch.equal(begun, whole)
