"""The recipes' hparams files take any of the four kinds of speech models."""

import pytest
import torch
from hyperpyyaml import load_hyperpyyaml

from conftest import save_ssl_model, save_whisper
from speechbrain_ser.lobes.speech_encoder import KINDS
from speechbrain_ser.utils.errors import InputError
from tests.recipes.helpers import ROOT

FILES = {
    "ipr": {"frozen_layers": 1},
    "lpmn": {"n_blocks": 2, "finetune": "last1", "frame_dim": 32},
    "codebook": {"n_blocks": 2, "frame_dim": 32},
    "gmp_atl": {},
}


@pytest.fixture(scope="module", params=KINDS)
def source(request, tmp_path_factory):
    """A folder with a tiny model of each kind."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "whisper":
        return save_whisper(folder)
    return save_ssl_model(folder, request.param, "layer")


def encoder_of(name, source, folder, **more):
    """The encoder that a file makes of a source."""
    settings = {"ssl_source": source, "output_folder": str(folder)}
    path = ROOT / "recipes" / "IEMOCAP" / "hparams" / f"{name}.yaml"
    with open(path, encoding="utf-8") as file:
        hparams = load_hyperpyyaml(file, settings | FILES[name] | more)
    encoder = hparams["encoder"]
    if name == "gmp_atl":  # each stage makes its own
        encoder = encoder(source=hparams["ssl_source"], mask_embedding=True)
    return encoder


@pytest.mark.parametrize("name", FILES)
def test_the_folder_says_which(name, source, tmp_path):
    """And the encoder gives frames of its size."""
    encoder = encoder_of(name, source, tmp_path).eval()
    assert encoder.source == source
    assert type(encoder).__name__.startswith(
        "Whisper" if "whisper" in source else "SSL"
    )
    assert encoder.has_prefix == (name != "gmp_atl")
    frames, lengths = encoder(torch.randn(2, 4000), torch.tensor([1.0, 0.6]))
    assert frames.shape[2] == encoder.dim == 32
    assert (lengths <= 1).all() and frames.isfinite().all()


@pytest.mark.parametrize("name", FILES)
def test_another_sampling_rate_is_refused(name, small_whisper, tmp_path):
    """Before anything is read."""
    with pytest.raises(InputError, match="--sample_rate 16000"):
        encoder_of(name, small_whisper, tmp_path, sample_rate=8000)
