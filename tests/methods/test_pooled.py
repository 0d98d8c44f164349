"""DANN and MEnAN on pooled layers: what the encoder gets is the utterance's."""

import numpy as np
import pytest
import torch

import speechbrain as sb
from conftest import save_ssl_model
from speechbrain_ser.data.cached_features import cached_features
from speechbrain_ser.data.layer_statistics import LayerStatistics
from speechbrain_ser.experiment.hparams import load, with_overrides
from speechbrain_ser.utils.audio import place
from tests.recipes.helpers import ROOT

OPEN = ROOT / "recipes" / "AnyCorpus" / "hparams"
SMALL = {"layer": [2, 0], "last_epochs": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny model that padding does not matter to."""
    folder = tmp_path_factory.mktemp("model")
    return str(save_ssl_model(folder, norm="layer", layers=2))


def build(folder, path, name, **settings):
    """A Brain as its recipe makes it."""
    cache = str(path / "cache")
    settings |= SMALL | {"ssl_source": folder, "cache_folder": cache}
    settings |= {"output_folder": str(path), "labels": ["low", "high"]}
    hparams = load(str(OPEN / f"{name}.yaml"), with_overrides("", **settings))
    run_opts = {"device": "cpu", "noprogressbar": True}
    run_opts = sb.core.RunOptions.from_dictionary(run_opts)
    return hparams["brain"](run_opts=run_opts, checkpointer=None), hparams


def parts_of(tones):
    """Tones of two speakers and two classes; of one domain each, in turn."""
    entries = [
        dict(entry, emotion=["low", "high"][i // 2 % 2], speaker=f"s{i % 2}")
        for i, entry in enumerate(tones.values())
    ]
    for i, entry in enumerate(entries):
        entry["domain"] = i // 4 % 2
    train = {str(i): e for i, e in enumerate(entries) if e["domain"] == 0}
    other = {str(i): e for i, e in enumerate(entries) if e["domain"] == 1}
    return train, other


def vectors(features, folder, train, entries):
    """The two layers' statistics of entries, standardised by NumPy."""
    statistics = LayerStatistics(features.encoder)
    held = cached_features(folder, statistics, [train, entries])

    def row(entry):
        """Means, and deviations if they count, of layer 2, then of layer 0."""
        rows = held[place(entry)].double().numpy()
        return np.concatenate([rows[i, : features.channels] for i in (2, 0)])

    known = np.stack([row(entry) for entry in train.values()])
    own = np.stack([row(entry) for entry in entries.values()])
    return (own - known.mean(0)) / known.std(0)


@pytest.mark.parametrize("name", ["dann_whisper", "menan_whisper"])
def test_the_encoder_gets_two_layers_standardised(
    folder, tones, tmp_path, name
):
    """By what trains, as vectors; embeddings are the linear map of them."""
    train, other = parts_of(tones)
    more = {"n_speakers": 2, "frame_dim": 128, "emotion_weight": 0.7}
    more |= {"lr_speaker": 0.003}
    if name == "dann_whisper":
        more = {"frame_dim": 64, "standardise_by": "train", "system": "base"}
        more["batch_norm"] = "none"
    brain, made = build(folder, tmp_path, name, **more)
    brain.set_parts({"train": train, "test": other})
    found = brain.predict(brain.datasets["test"])
    inputs = vectors(made["features"], str(tmp_path / "c"), train, other)
    layer = made["encoder"].layers[-1]
    weight, bias = (p.detach().double().numpy() for p in layer.parameters())
    expected = inputs @ weight.T + bias
    for row, key in zip(expected, other):
        embedding = found[key]["embedding"].numpy()
        np.testing.assert_allclose(embedding, row, rtol=1e-3, atol=1e-3)


def test_a_frame_size_that_does_not_fit_is_refused(folder, tones, tmp_path):
    """Before anything is read; the fix is the vector's size."""
    with pytest.raises(Exception, match="set --frame_dim 64"):
        build(folder, tmp_path, "dann_whisper", frame_dim=32, batch_norm="bn1")


def test_training_moves_the_pooled_encoder(folder, tones, tmp_path):
    """Both adversaries have a gradient into it, whatever the dropout."""
    train, other = parts_of(tones)
    hidden = {k: e | {"emotion": None} for k, e in other.items()}
    more = {"frame_dim": 64, "batch_norm": "bn3", "number_of_epochs": 1}
    more |= {"batch_size": 2, "beta_ramp": False, "model_selection": "last"}
    brain, made = build(folder, tmp_path, "dann_whisper", **more)
    brain.set_parts({"train": train, "test": {}, "target": hidden})
    before = made["encoder"].layers[-1].weight.clone()
    brain.fit(made["epoch_counter"], brain.train_set)
    assert not torch.equal(before, made["encoder"].layers[-1].weight)
    assert {"emotion_loss", "domain_loss"} <= set(brain.history.rows[0])
