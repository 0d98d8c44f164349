"""The fresh HuBERT: reproducible, heard as a filter bank, loaded as any other."""

import math
import os

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file

from speechbrain_ser.lobes.pooling import StatisticsPooling
from speechbrain_ser.lobes.small_hubert import fresh_hubert, mel_waves
from speechbrain_ser.lobes.ssl import SSLEncoder
from tests.lobes.helpers import padded

SMALL = {"dim": 16, "n_blocks": 2, "n_filters": 4}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A small one."""
    return fresh_hubert(**SMALL, folder=tmp_path_factory.mktemp("hubert"))


def content(path):
    """Name to bytes of a folder's files."""
    held = {}
    for name in os.listdir(path):
        with open(os.path.join(path, name), "rb") as file:
            held[name] = file.read()
    return held


def test_same_settings_give_the_same_bytes(made, tmp_path):
    """Whatever the state of torch's generator, which stays as it was."""
    torch.manual_seed(99)
    before = torch.get_rng_state()
    again = fresh_hubert(**SMALL, folder=tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    assert os.path.basename(again) == os.path.basename(made)
    assert content(again) == content(made)


def test_what_is_there_is_taken(made):
    """Not a file is written again."""
    home = os.path.dirname(made)
    before = {name: os.stat(f"{made}/{name}") for name in os.listdir(made)}
    assert fresh_hubert(**SMALL, folder=home) == made
    after = {name: os.stat(f"{made}/{name}") for name in os.listdir(made)}
    assert after == before
    assert os.listdir(home) == [os.path.basename(made)]


def test_another_seed_gives_other_weights(made, tmp_path):
    """In a folder of its own; the filters are the same."""
    other = fresh_hubert(**SMALL, seed=1, folder=tmp_path)
    assert os.path.basename(other) != os.path.basename(made)
    one, two = (load_file(f"{f}/model.safetensors") for f in (made, other))
    filters = "feature_extractor.conv_layers.0.conv.weight"
    expected = torch.from_numpy(mel_waves(4))
    assert torch.equal(one[filters][:, 0], expected)
    assert torch.equal(two[filters][:, 0], expected)
    drawn = [name for name in one if "_proj.weight" in name]
    assert len(drawn) == 8  # four of each block
    assert not any(torch.equal(one[name], two[name]) for name in drawn)


@pytest.mark.parametrize("change", [{"dim": 32}, {"dropout": 0.0}])
def test_each_setting_has_a_folder_of_its_own(made, tmp_path, change):
    """And is in the model."""
    other = fresh_hubert(**SMALL | change, folder=tmp_path)
    assert os.path.basename(other) != os.path.basename(made)
    config = transformers.AutoConfig.from_pretrained(other)
    dropouts = {config.hidden_dropout, config.feat_proj_dropout}
    assert dropouts == {change.get("dropout", 0.1)}
    assert config.hidden_size == change.get("dim", 16)


def test_default_folder_is_the_cache(monkeypatch, tmp_path):
    """Where the mini corpora are."""
    monkeypatch.setenv("SPEECHBRAIN_SER_CACHE", str(tmp_path / "cache"))
    path = fresh_hubert(**SMALL)
    assert os.path.dirname(path) == str(tmp_path / "cache")


@pytest.mark.parametrize("n_filters", [4, 32])
def test_filters_peak_on_the_mel_scale(n_filters):
    """Of each centre a cosine and a sine, evenly spaced, in rising order."""
    waves = mel_waves(n_filters)
    np.testing.assert_allclose(np.linalg.norm(waves, axis=1), 1, rtol=1e-6)
    frequencies = np.arange(32001) * 0.25
    spectra = np.abs(np.fft.rfft(waves, 64000))
    peaks = frequencies[spectra.argmax(axis=1)]
    np.testing.assert_allclose(peaks[0::2], peaks[1::2], atol=0.5)
    bottom, top = (2595 * math.log10(1 + f / 700) for f in (60, 7600))
    for i, peak in enumerate(peaks[0::2], 1):
        mel = bottom + i * (top - bottom) / (n_filters + 1)
        assert peak == pytest.approx(700 * (10 ** (mel / 2595) - 1), abs=1)
    # a quarter of a period apart: together they hear any phase
    products = (waves[0::2] * waves[1::2]).sum(axis=1)
    np.testing.assert_allclose(products, 0, atol=1e-6)


def test_encoder_hears_frames_20_ms_apart(made):
    """Of a window of 60 ms; any layer can be read."""
    encoder = SSLEncoder(made, save_path="unused", layer=-2).eval()
    frames, lengths = encoder(torch.randn(2, 16000), torch.ones(2))
    assert frames.shape == (2, 1 + (16000 - 960) // 320, 16)
    assert encoder.layer == 1 and encoder.normalize_wav
    assert not encoder.padding_matters
    assert lengths.tolist() == [1.0, 1.0]


def test_tones_are_told_apart_before_any_training(made):
    """The filter whose band a tone is in answers most."""
    encoder = SSLEncoder(made, save_path="unused").eval()
    first = encoder.model.feature_extractor.conv_layers[0].conv
    for i in range(4):
        bottom, top = (2595 * math.log10(1 + f / 700) for f in (60, 7600))
        mel = bottom + (i + 1) * (top - bottom) / 5
        hertz = 700 * (10 ** (mel / 2595) - 1)
        time = torch.arange(8000) / 16000
        tone = torch.sin(2 * math.pi * hertz * time)
        answers = torch.nn.functional.conv1d(
            tone[None, None], first.weight, stride=80
        )
        energy = answers[0].square().mean(dim=1).unflatten(0, (4, 2)).sum(1)
        assert int(energy.argmax()) == i


def test_padding_changes_nothing(made):
    """Alone and padded to twice the length: the same to 1e-5."""
    generator = torch.Generator().manual_seed(0)
    wavs = [
        0.1 * torch.randn(n, generator=generator) + 0.02
        for n in (8000, 5001, 3333)
    ]
    encoder = SSLEncoder(made, save_path="unused").eval()
    pool = StatisticsPooling("mean_std")
    with torch.no_grad():
        together = pool(*encoder(*padded(wavs, 16000)))
        assert together.std(dim=0).max() > 1e-2
        for wav, row in zip(wavs, together):
            torch.testing.assert_close(
                pool(*encoder(*padded([wav])))[0], row, atol=1e-5, rtol=0
            )


def test_another_process_may_make_it_meanwhile(tmp_path, monkeypatch):
    """Whoever comes second takes what is there; nothing else stays."""
    original = transformers.HubertModel.save_pretrained
    inner = []

    def save(model, folder, **more):
        """Stands in for the other process, which is faster."""
        if not inner:
            inner.append("begun")
            inner.append(fresh_hubert(**SMALL, folder=tmp_path))
        original(model, folder, **more)

    monkeypatch.setattr(transformers.HubertModel, "save_pretrained", save)
    path = fresh_hubert(**SMALL, folder=tmp_path)
    assert inner == ["begun", path]
    assert os.listdir(tmp_path) == [os.path.basename(path)]
    SSLEncoder(path, save_path="unused")


def test_broken_off_it_is_not_there(tmp_path, monkeypatch):
    """And is made the next time."""

    def fail(*args, **kwargs):
        """Stands in for a kill."""
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        extractor = transformers.Wav2Vec2FeatureExtractor
        patch.setattr(extractor, "save_pretrained", fail)
        with pytest.raises(KeyboardInterrupt):
            fresh_hubert(**SMALL, folder=tmp_path)
    assert os.listdir(tmp_path) == []
    assert len(content(fresh_hubert(**SMALL, folder=tmp_path))) == 3
