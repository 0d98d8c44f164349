"""IPR on kept frames: D2's copies are read, one an epoch; waveforms are not."""

import functools

import pytest
import torch

import speechbrain as sb
from speechbrain.utils.epoch_loop import EpochCounter
from speechbrain_ser.data.dataset import UNLABELLED
from speechbrain_ser.data.kept_frames import KeptFrames
from speechbrain_ser.lobes.features import Standardisation
from speechbrain_ser.lobes.pooling import StatisticsPooling
from speechbrain_ser.lobes.prototypes import PrototypeBank
from speechbrain_ser.lobes.ssl import SSLEncoder
from speechbrain_ser.methods.ipr import IPRBrain
from speechbrain_ser.methods.ipr_parts import joined
from speechbrain_ser.schedules import PseudoLabelWeight


def louder(wavs, lengths):
    """An augmenter whose copies are told from their utterance."""
    return wavs * (1 + torch.rand(1)), lengths


@pytest.fixture
def brain(small_wav2vec2, tones, tmp_path):
    """A small Brain on a frozen encoder; D2 joins in the second epoch."""
    torch.manual_seed(0)
    modules = {
        "encoder": SSLEncoder(small_wav2vec2, "unused", frozen=True),
        "pooling": StatisticsPooling("mean"),
        "classifier": torch.nn.Linear(32, 4),
        "prototypes": PrototypeBank(4, 32),
    }
    kept = functools.partial(
        KeptFrames,
        folder=str(tmp_path / "frames"),
        standardisation=Standardisation(32),
    )
    brain = IPRBrain(
        labels=["ang", "hap", "sad", "neu"],
        output_folder=str(tmp_path),
        batch_size=4,
        system="ipr",
        number_of_epochs=3,
        warmup_epochs=1,
        warmup_updates=0,
        embedding_dim=32,
        alpha=1.0,
        mu=0.2,
        pseudo_label_weight=PseudoLabelWeight(3, maximum=0.5, growth=10.0),
        contrastive_loss=lambda *views: views[0].sum() * 0,
        augmenter=louder,
        kept_frames=kept,
        n_copies=2,
        modules=modules,
        opt_class=lambda params, lr=0.01: torch.optim.SGD(params, lr=lr),
        run_opts={"device": "cpu", "noprogressbar": True},
    )
    keys = list(tones)
    brain.set_parts(
        {
            "train": {key: tones[key] for key in keys[:6]},
            "valid": {key: tones[key] for key in keys[:6]},
            "unlabelled": {key: tones[key] for key in keys[6:]},
        }
    )
    return brain


def batches(brain, epoch):
    """Of an epoch, as it is trained."""
    brain.epochs = 3
    brain.modules.train()
    loader = brain.make_dataloader(brain.train_set, sb.Stage.TRAIN)
    brain.train_sampler.set_epoch(epoch)
    brain.on_stage_start(sb.Stage.TRAIN, epoch)
    return list(loader)


def test_a_batch_holds_the_copies_of_its_epoch(brain, tones):
    """Of D2, from the copy's own waveform, standardised as all is."""
    brain.init_optimizers()
    taken = {}
    for epoch in (2, 3):
        for batch in batches(brain, epoch):
            frames, lengths = batch.copy
            counts = (lengths * frames.shape[1]).round().long()
            for i, key in enumerate(batch.id):
                if batch.label[i] != UNLABELLED:
                    assert counts[i] == 1
                    continue
                number = brain.copies.number(key)
                expected = brain.frames_of(tones[key] | {"copy": number})
                assert torch.equal(frames[i, : counts[i]], expected)
                assert not torch.equal(expected, brain.frames_of(tones[key]))
                taken.setdefault(key, []).append(number)
    assert len(taken) == 6
    assert all(sorted(numbers) == [0, 1] for numbers in taken.values())


def test_the_forward_pass_takes_them(brain):
    """Alone they give the same, so padding to the longer view moves nothing."""
    brain.init_optimizers()
    for batch in batches(brain, 2):
        ambiguous = batch.label == UNLABELLED
        found = brain.compute_forward(batch, sb.Stage.TRAIN)
        frames, lengths = (
            batch.copy.data[ambiguous],
            batch.copy.lengths[ambiguous],
        )
        expected = brain.modules.pooling(frames, lengths)
        torch.testing.assert_close(found["copy_embeddings"], expected)
        plain = brain.modules.pooling(*batch.sig)
        torch.testing.assert_close(found["embeddings"], plain)


def test_it_trains(brain):
    """And neither the encoder nor the statistics move."""
    before = {
        k: v.clone() for k, v in brain.modules.encoder.state_dict().items()
    }
    brain.fit(EpochCounter(3), brain.train_set, brain.datasets["valid"])
    assert brain.history.rows[-1]["pseudo_labels_used"] == 1
    for name, value in brain.modules.encoder.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("shape", [(), (5,)])
def test_joined_is_a_batch_of_both(shape):
    """Waveforms or frames; a longer second one, or a shorter one."""
    for n, m in ((3, 6), (6, 3)):
        one, other = torch.rand(2, n, *shape), torch.rand(1, m, *shape)
        ends = torch.tensor([1.0, 1 / n]), torch.tensor([1.0])
        inputs, lengths = joined((one, ends[0]), (other, ends[1]))
        assert inputs.shape == (3, 6, *shape)
        counts = (lengths * 6).round().long().tolist()
        assert counts == [n, 1, m]
        assert torch.equal(inputs[:2, :n], one)
        assert torch.equal(inputs[2, :m], other[0])
