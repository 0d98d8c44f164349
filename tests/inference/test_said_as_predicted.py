"""A recipe's model, as a run and as a folder, says what the recipe predicted."""

import pytest

from conftest import save_ssl_model, save_whisper
from speechbrain_ser.corpora.mini.emodb import mini_emodb
from speechbrain_ser.corpora.mini.ravdess import mini_ravdess
from tests.inference.alike import check_alike
from tests.recipes.helpers import ROOT, run_recipe, undrawn

HOME = ROOT / "recipes" / "AnyCorpus"
# name: script, hparams, encoder, settings
RUNS = {
    "IPR on waveforms": (
        *("train_ipr", "ipr_logmel", None),
        "--number_of_epochs 2 --warmup_epochs 1",
    ),
    "IPR on kept frames": (
        *("train_ipr", "ipr_whisper", "whisper"),
        "--number_of_epochs 2 --warmup_epochs 1 --n_copies 1 --layer 2 "
        "--frame_dim 32 --batch_size 8 --precise_per_batch 4",
    ),
    "IPR, a speaker each": (
        *("train_ipr", "ipr_whisper", "whisper"),
        "--number_of_epochs 1 --warmup_epochs 0 --n_copies 1 --layer 2 "
        "--frame_dim 32 --standardise_by speaker --system baseline "
        "--max_duration 1 --long_utterances split",
    ),
    "LPMN on waveforms": (
        *("train_lpmn", "lpmn_logmel", None),
        "--n_prototypes 16 --n_selected 8 --number_of_epochs 1",
    ),
    "LPMN on kept frames": (
        *("train_lpmn", "lpmn_whisper", "hubert"),
        "--n_prototypes 16 --n_selected 8 --number_of_epochs 1 --layer 2 "
        "--frame_dim 32",
    ),
    "GMP-ATL, all trained": (
        *("train_gmp_atl", "gmp_atl_logmel", None),
        "--clusters 16 --multitask_epochs 1 --retraining_epochs 1 "
        "--finetuning_epochs 1",
    ),
    "GMP-ATL, a block trained": (
        *("train_gmp_atl", "gmp_atl_whisper", "whisper"),
        "--n_blocks 2 --frozen_layers 1 --clusters 16 --blstm_size 16 "
        "--embedding_size 16 --multitask_epochs 1 --retraining_epochs 1 "
        "--finetuning_epochs 1 --loss ce",
    ),
    "MEnAN": (
        *("train_menan", "menan_logmel", None),
        "--duration 1.5 --channels 8 --number_of_epochs 1 --speaker_steps 2 "
        "--speeds [0.9]",
    ),
    "MEnAN, pooled": (
        *("train_menan", "menan_whisper", "whisper"),
        "--layer 2 --frame_dim 64 --number_of_epochs 1 --speaker_steps 2",
    ),
    "DANN": (
        *("train_dann", "dann_whisper", "wav2vec2"),
        "--layer 1 --frame_dim 32 --number_of_epochs 1",
    ),
    "joint": (
        *("train_joint", "joint_whisper", "whisper"),
        "--layer 2 --frame_dim 32 --n_prototypes 4 --number_of_epochs 1",
    ),
    "joint, a speaker each": (
        *("train_joint", "joint_whisper", "whisper"),
        "--layer 2 --frame_dim 32 --n_prototypes 4 --number_of_epochs 1 "
        "--standardise_by speaker --pooling lpmn --loss cross_entropy",
    ),
    "probe": ("train_probe", "probe", "wav2vec2", "--deviations True"),
}


@pytest.fixture(scope="module")
def corpora(mini_cache):
    """Small mini corpora: EMO-DB's and RAVDESS' layouts."""
    return mini_emodb(mini_cache), mini_ravdess(mini_cache)


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    """Folders of tiny pre-trained models."""
    folder = tmp_path_factory.mktemp("encoders")
    return {
        "whisper": save_whisper(folder / "whisper"),
        "hubert": save_ssl_model(folder / "hubert", "hubert", "layer"),
        "wav2vec2": save_ssl_model(folder / "wav2vec2", layers=2),
    }


@pytest.mark.parametrize("name", RUNS)
def test_as_predicted(name, corpora, encoders, tmp_path, monkeypatch):
    """In the recipe's own batches; what a folder is missing is told it."""
    script, hparams, encoder, words = RUNS[name]
    undrawn(monkeypatch)
    monkeypatch.chdir(tmp_path)
    words = [*words.split(), "--corpus", "emodb", "--data_folder", corpora[0]]
    if script == "train_dann":
        words += ["--target_corpus", "ravdess"]
        words += ["--target_folder", corpora[1]]
    if encoder is not None:
        words += ["--ssl_source", encoders[encoder]]
    if "cache_folder" in (HOME / "hparams" / f"{hparams}.yaml").read_text():
        words += ["--cache_folder", tmp_path / "frames"]
    error = run_recipe(
        monkeypatch,
        HOME / "hparams" / f"{hparams}.yaml",
        *words,
        *("--output_folder", tmp_path / "out", "--noprogressbar"),
        *("--device", "cpu"),
        script=HOME / f"{script}.py",
    )
    assert error is None, error
    check_alike(
        tmp_path / "out", tmp_path / "model", encoder and encoders[encoder]
    )
