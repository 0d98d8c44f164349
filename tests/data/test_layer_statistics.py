"""Mean and deviation of each layer, against a plain loop over transformers'."""

import numpy as np
import pytest
import torch

from conftest import save_ssl_model
from speechbrain_ser.data.cached_features import cached_features
from speechbrain_ser.data.layer_statistics import (
    LayerStatistics,
    PooledLayers,
    taken,
    taken_size,
)
from speechbrain_ser.lobes.features import LogMel
from speechbrain_ser.lobes.speech_encoder import speech_encoder
from speechbrain_ser.utils.audio import place
from speechbrain_ser.utils.errors import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny model that padding does not matter to."""
    folder = tmp_path_factory.mktemp("model")
    return save_ssl_model(folder, norm="layer", layers=2)


def made(folder, weighted=True, **settings):
    """The statistics of the model's layers."""
    encoder = speech_encoder(
        str(folder), "unused", frozen=True, weighted=weighted, **settings
    )
    return LayerStatistics(encoder)


def test_every_layer_is_transformers(folder):
    """Its hidden states' mean and deviation over the frames."""
    found = made(folder)
    wavs = torch.randn(1, 8000, generator=torch.Generator().manual_seed(1))
    rows, lengths = found(wavs, torch.ones(1))
    model = found.encoder.model
    normal = (wavs - wavs.mean()) / (wavs.var(unbiased=False) + 1e-7).sqrt()
    if not found.encoder.normalize_wav:
        normal = wavs
    with torch.no_grad():
        states = model(normal, output_hidden_states=True).hidden_states
    assert rows.shape == (1, 3, 2 * found.encoder.dim)
    assert rows.shape[1] == found.n_rows == found.count_frames(8000)
    assert lengths.tolist() == [1.0]
    for row, state in list(zip(rows[0], states))[:2]:
        frames = state[0].double().numpy()
        expected = np.concatenate([frames.mean(0), frames.std(0)])
        assert np.abs(row.numpy() - expected).max() < 1e-4


@pytest.mark.parametrize("weighted", [True, False])
def test_padding_changes_nothing(weighted, folder):
    """Alone, or beside a longer one with more behind it."""
    found = made(folder, weighted)
    draw = torch.Generator().manual_seed(2)
    wav = torch.randn(1, 6000, generator=draw)
    alone, _ = found(wav, torch.ones(1))
    batch = torch.zeros(2, 16000)
    batch[0, :6000] = wav
    batch[1] = torch.randn(16000, generator=draw)
    rows, _ = found(batch, torch.tensor([6000 / 16000, 1.0]))
    assert (rows[0] - alone[0]).abs().max() < 1e-4
    assert found.n_rows == (3 if weighted else 1)


def test_the_digest_is_that_of_the_encoder(folder, tmp_path):
    """Other layers, or another model: another place in the cache."""
    one, same = made(folder), made(folder)
    assert one.prefix_digest() == same.prefix_digest()
    assert one.prefix_digest() != one.encoder.prefix_digest()
    other = save_ssl_model(tmp_path, norm="group", layers=2)
    digests = {one.prefix_digest(), made(other).prefix_digest()}
    digests |= {made(folder, layer=1).prefix_digest()}
    digests |= {made(folder, weighted=False).prefix_digest()}
    assert len(digests) == 4


def test_the_cache_keeps_them_whole(tones, tmp_path):
    """In single precision: means are large, what tells them apart is small."""
    found = LayerStatistics(LogMel(n_mels=26))
    held = cached_features(str(tmp_path), found, [tones], device="cpu")
    rows = held[place(tones["tone0"])]
    assert rows.dtype == torch.float32 and rows.shape == (1, 52)
    again = cached_features(str(tmp_path), found, [tones], device="cpu")
    assert all(torch.equal(held[key], again[key]) for key in held)


@pytest.mark.parametrize("layers, deviations", [(1, False), ([2, 0], True)])
def test_one_vector_of_the_layers_that_are_kept(
    folder, tones, tmp_path, layers, deviations
):
    """Side by side as they are named; the cache is that of all layers."""
    statistics, cache = made(folder), tmp_path / "cache"
    pooled = PooledLayers(statistics.encoder, layers, deviations)
    entry = tones["tone0"]
    rows = cached_features(cache, statistics, [tones])[place(entry)]
    found = cached_features(cache, pooled, [tones])[place(entry)]
    assert len(list(cache.iterdir())) == 1
    size = 32 * (2 if deviations else 1)
    named = [layers] if isinstance(layers, int) else layers
    expected = [float(rows[i, c]) for i in named for c in range(size)]
    assert found.shape == (1, pooled.dim) and found[0].tolist() == expected
    assert taken_size(pooled) == len(expected) and taken_size(statistics) == 64
    assert taken(statistics, rows) is rows


def test_a_layer_that_is_not_there_is_refused(folder):
    """With those that are there, and how several are given."""
    encoder = made(folder).encoder
    with pytest.raises(InputError, match="--layer is 3, .* the layers 0 to 2"):
        PooledLayers(encoder, 3)
    for layers in ([], -1, "last", True, [1.0]):
        with pytest.raises(InputError, match="give 3, or"):
            PooledLayers(encoder, layers)
