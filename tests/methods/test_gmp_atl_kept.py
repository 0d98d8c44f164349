"""GMP-ATL's stages behind frozen blocks: kept frames, standardised channels."""

import functools
import os
import types

import numpy as np
import pytest
import torch

import speechbrain as sb
from conftest import save_ssl_model, save_whisper
from speechbrain.utils.epoch_loop import EpochCounter
from speechbrain_ser.lobes.multitask_head import BLSTMHead
from speechbrain_ser.lobes.speech_encoder import speech_encoder
from speechbrain_ser.methods import gmp_atl_checks as checks
from speechbrain_ser.methods.gmp_atl import (
    FineTuningBrain,
    MultiTaskBrain,
    RetrainingBrain,
)
from speechbrain_ser.utils.checkpoints import AtomicCheckpointer
from speechbrain_ser.utils.errors import InputError

TRAIN = sb.Stage.TRAIN


@pytest.fixture(scope="module", params=["hubert", "whisper"])
def source(request, tmp_path_factory):
    """A tiny model of three blocks; of HuBERT one without dropout."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "whisper":
        return save_whisper(folder)
    return save_ssl_model(folder, "hubert", "layer")


@pytest.fixture
def speech(tones):
    """Five tones of different lengths, of two people."""
    kept = dict(list(tones.items())[:5])
    for i, entry in enumerate(kept.values()):
        entry["gender"] = "FM"[i % 2]
        entry["stop"] = 4000 + 1600 * i
        entry["duration"] = entry["stop"] / 16000
    return kept


def frames_of(source, speech):
    """How many frames each utterance has."""
    encoder = speech_encoder(source, "unused")
    stops = torch.tensor([entry["stop"] for entry in speech.values()])
    return dict(zip(speech, encoder.count_frames(stops).tolist()))


def made(kind, source, folder, speech, frozen_layers=1, **more):
    """A Brain of a stage; its training is no chance."""
    settings = {
        "labels": ["ang", "hap", "sad", "neu"],
        "output_folder": str(folder),
        "batch_size": 8,
        "seed": 3,
        "encoder": functools.partial(
            speech_encoder,
            save_path="unused",
            layer=2,
            frozen_layers=frozen_layers,
        ),
        "source": source,
        "number_of_epochs": 2,
        "lr": 0.01,
        "opt_class": torch.optim.Adam,
        "run_opts": {"device": "cpu", "noprogressbar": True},
    }
    if kind is RetrainingBrain:
        counts = frames_of(source, speech)
        settings |= {
            "start": "pretrained",
            "head_size": 6,
            "pseudo_labels": types.SimpleNamespace(
                sizes=[4, 8],
                read=lambda key: torch.arange(2 * counts[key]).view(-1, 2) % 4,
            ),
        }
    else:
        settings["head"] = functools.partial(
            BLSTMHead, hidden_size=6, output_size=5
        )
        settings["embedding_size"] = 5
        settings["model_selection"] = "last"
    if kind is MultiTaskBrain:
        settings |= {"alpha_e": 0.9, "genders": ["F", "M"]}
    if kind is FineTuningBrain:
        settings["loss"] = "am_softmax"
    brain = kind(**settings | more)
    for module in brain.modules.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        elif isinstance(getattr(module, "dropout", None), float):
            module.dropout = 0.0
    brain.set_parts({"train": speech})
    return brain


def step(brain):
    """Loss and gradients of the one batch."""
    brain.epochs = 2
    brain.init_optimizers()
    brain.modules.train()
    brain.on_stage_start(TRAIN, 1)
    (batch,) = brain.make_dataloader(brain.train_set, TRAIN)
    loss = brain.compute_objectives(
        brain.compute_forward(batch, TRAIN), batch, TRAIN
    )
    loss.backward()
    return loss, {
        name: parameter.grad
        for name, parameter in brain.modules.named_parameters()
        if parameter.requires_grad
    }


@pytest.mark.parametrize(
    "kind", [MultiTaskBrain, RetrainingBrain, FineTuningBrain]
)
def test_kept_frames_train_as_waveforms_do(kind, source, speech, tmp_path):
    """The same loss and gradients, to the half precision of what is kept."""
    torch.manual_seed(0)
    brains = [
        made(kind, source, tmp_path, speech),
        made(
            kind,
            source,
            tmp_path,
            speech,
            cache=True,
            cache_folder=str(tmp_path / "frames"),
        ),
    ]
    assert brains[1].train_set[0]["sig"].shape[1] == 32
    (loss, slopes), (other, found) = map(step, brains)
    assert float(other) == pytest.approx(float(loss), rel=1e-3)
    assert slopes.keys() == found.keys()
    assert not any("layers.0." in name for name in slopes)
    assert any("layers.1." in name for name in slopes)
    assert any("mask" in name for name in slopes) == (kind is RetrainingBrain)
    for name, slope in slopes.items():
        away = (found[name] - slope).abs().max()
        # that of a key's bias is zero but for rounding
        assert away <= 0.02 * slope.abs().max() + 1e-8, name
        assert (slope != 0).any(), name


def test_what_is_kept_serves_all_stages(source, speech, tmp_path):
    """Also behind the encoder that a stage leaves: its prefix is the same."""
    frames = tmp_path / "frames"
    more = {"cache": True, "cache_folder": str(frames)}
    first = made(MultiTaskBrain, source, tmp_path, speech, **more)
    (folder,) = frames.iterdir()
    kept = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert len(kept) == 6  # five utterances, and what the folder is
    first.fit(EpochCounter(1), first.train_set)
    export = str(tmp_path / "encoder")
    first.encoder.export(export)
    for kind in (RetrainingBrain, FineTuningBrain):
        brain = made(kind, export, tmp_path, speech, **more)
        one, two = (x._blocks()[1] for x in (first.encoder, brain.encoder))
        for name, value in one.state_dict().items():
            assert torch.equal(value, two.state_dict()[name])
    assert [path.name for path in frames.iterdir()] == [folder.name]
    assert kept == {p.name: p.stat().st_mtime_ns for p in folder.iterdir()}


def statistics(brain):
    """Mean and deviation of the encoder's frames, utterance by utterance."""
    brain.modules.eval()
    frames = []
    with torch.no_grad():
        for i in range(len(brain.train_set)):
            wav = brain.train_set[i]["sig"][None]
            frames.append(brain.encoder(wav, torch.ones(1))[0][0].numpy())
    frames = np.concatenate(frames).astype(np.float64)
    return frames.mean(axis=0), frames.std(axis=0)


@pytest.mark.parametrize(
    "kind", [MultiTaskBrain, RetrainingBrain, FineTuningBrain]
)
@pytest.mark.parametrize("cache", [False, True])
def test_channels_are_those_of_the_first_encoder(
    kind, cache, source, speech, tmp_path
):
    """Of all that train, fitted once: a checkpoint has them, and goes on."""
    more = {
        "standardise": True,
        "cache": cache,
        "cache_folder": str(tmp_path / "frames"),
        "checkpointer": functools.partial(
            AtomicCheckpointer, tmp_path / "save"
        ),
    }
    brain = made(kind, source, tmp_path, speech, **more)
    mean, std = statistics(brain)
    counter = EpochCounter(2)
    brain.checkpointer.add_recoverable("counter", counter)
    brain.fit(counter, brain.train_set)
    held = brain.modules.standardise
    np.testing.assert_allclose(held.mean, mean, atol=1e-5)
    np.testing.assert_allclose(held.std, std, rtol=1e-4)
    # the block has been trained: it would be others now
    assert abs(statistics(brain)[0] - mean).max() > 1e-3
    (batch,) = brain.make_dataloader(brain.train_set, sb.Stage.TEST)
    with torch.no_grad():
        found, _ = brain.encode(batch)
        raw, _ = brain.encoder(*batch.sig)
    expected = (raw - torch.tensor(mean)) / torch.tensor(std)
    torch.testing.assert_close(found.double(), expected, atol=1e-3, rtol=1e-3)
    again = made(kind, source, tmp_path, speech, **more)
    later = EpochCounter(3)
    again.checkpointer.add_recoverable("counter", later)
    again.fit(later, again.train_set)
    assert later.current == 3
    assert torch.equal(again.modules.standardise.mean, held.mean)
    assert torch.equal(again.modules.standardise.std, held.std)


def test_without_it_nothing_is_standardised(source, speech, tmp_path):
    """As the paper has it."""
    brain = made(FineTuningBrain, source, tmp_path, speech)
    (batch,) = brain.make_dataloader(brain.train_set, sb.Stage.TEST)
    brain.modules.eval()
    with torch.no_grad():
        one, two = brain.encode(batch)[0], brain.encoder(*batch.sig)[0]
    assert torch.equal(one, two) and "standardise" not in brain.modules


def test_something_must_be_trained(source, speech, tmp_path):
    """An encoder that is frozen up to its layer can't be retrained."""
    with pytest.raises(InputError, match="all 2 blocks .*--frozen_layers"):
        made(RetrainingBrain, source, tmp_path, speech, frozen_layers=2)


def test_the_clustered_layer_lies_behind_what_is_frozen(source):
    """Or where that ends."""
    encoder = speech_encoder(source, "unused", frozen_layers=2)
    for layer in (2, 3, -1, -2):
        checks.check_layer(encoder, layer, source)
    for layer in (1, -3):
        with pytest.raises(InputError, match="layer from 2 to 3, or fewer"):
            checks.check_layer(encoder, layer, source)


def test_a_cache_needs_a_folder_and_something_frozen(source, speech, tmp_path):
    """Both ways out are named."""
    with pytest.raises(InputError, match="--cache_folder, or --cache False"):
        made(FineTuningBrain, source, tmp_path, speech, cache=True)
    with pytest.raises(InputError, match="frozen_layers or frozen"):
        made(
            FineTuningBrain,
            source,
            tmp_path,
            speech,
            frozen_layers=0,
            cache=True,
            cache_folder=os.path.join(tmp_path, "frames"),
        )
