"""openSMILE's functionals: against the package, and without it."""

import sys
import types
from importlib import metadata

import numpy as np
import pytest
import torch

from speechbrain_ser.data import functionals
from speechbrain_ser.data.cached_features import cached_features
from speechbrain_ser.data.functionals import Functionals
from speechbrain_ser.utils.audio import place
from speechbrain_ser.utils.errors import InputError


@pytest.fixture
def pretended(monkeypatch):
    """A package that gives the mean, the number of samples, and NaN."""

    class Smile:
        def __init__(self, feature_set, feature_level):
            self.asked_for = feature_set, feature_level

        def process_signal(self, wav, rate):
            assert self.asked_for == ("v02", "functionals") and rate == 16000
            row = np.zeros(88)
            row[:3] = wav.mean(), len(wav), np.nan
            return types.SimpleNamespace(values=row[None])

    fake = types.SimpleNamespace(
        Smile=Smile,
        FeatureSet={"eGeMAPSv02": "v02"},
        FeatureLevel=types.SimpleNamespace(Functionals="functionals"),
    )
    monkeypatch.setitem(sys.modules, "opensmile", fake)
    monkeypatch.setattr(functionals.metadata, "version", lambda name: "9.9")


def test_padding_and_other_utterances_change_nothing(pretended):
    """Each is computed on its own samples."""
    wavs = torch.ones(2, 1000)
    wavs[0, 600:] = 50.0
    rows, lengths = Functionals()(wavs, torch.tensor([0.6, 1.0]))
    assert rows.shape == (2, 1, 88) and lengths.tolist() == [1, 1]
    assert rows[:, 0, :3].tolist() == [[1, 600, 0], [1, 1000, 0]]


def test_they_are_kept(pretended, tones, tmp_path):
    """One row an utterance; of another version another place."""
    found = Functionals()
    held = cached_features(str(tmp_path), found, [tones], device="cpu")
    assert held[place(tones["tone0"])].shape == (1, 88)
    first = found.prefix_digest()
    found.version = "9.10"
    assert found.prefix_digest() != first
    assert "research alone" in found.about_prefix()["what"]


def test_without_the_package_one_sentence(monkeypatch):
    """What to install, and under which licence it is."""

    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(functionals.metadata, "version", missing)
    with pytest.raises(InputError) as refused:
        Functionals()
    said = str(refused.value)
    assert "pip install opensmile" in said and "research alone" in said
    assert len(said.splitlines()) == 1


def test_they_are_opensmiles():
    """Those of the package itself, where it is installed."""
    opensmile = pytest.importorskip(
        "opensmile", reason="openSMILE is an extra: pip install opensmile"
    )
    draw = np.random.default_rng(1)
    times = np.arange(16000) / 16000
    wav = 0.3 * np.sin(2 * np.pi * 150 * times) + 0.01 * draw.normal(size=16000)
    wav = wav.astype(np.float32)
    smile = opensmile.Smile(
        feature_set=opensmile.FeatureSet.eGeMAPSv02,
        feature_level=opensmile.FeatureLevel.Functionals,
    )
    expected = smile.process_signal(wav, 16000).values[0]
    rows, _ = Functionals()(torch.from_numpy(wav)[None], torch.ones(1))
    assert np.allclose(rows[0, 0].numpy(), expected, rtol=1e-6)
