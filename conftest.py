"""Small checkpoints and corpora that the tests share."""

import os
import pathlib

import numpy as np
import pytest
import soundfile as sf
import torch

os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)


def save_ssl_model(folder, kind="wav2vec2", norm="group", layers=3):
    """Saves a tiny random model as a hub would hold it."""
    import transformers

    config_class, model_class = {
        "wav2vec2": (transformers.Wav2Vec2Config, transformers.Wav2Vec2Model),
        "hubert": (transformers.HubertConfig, transformers.HubertModel),
        "wavlm": (transformers.WavLMConfig, transformers.WavLMModel),
    }[kind]
    torch.manual_seed(0)
    config = config_class(
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=48,
        conv_dim=(16, 16, 16),
        conv_stride=(5, 4, 4),
        conv_kernel=(10, 8, 4),
        num_feat_extract_layers=3,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
        feat_extract_norm=norm,
        do_stable_layer_norm=norm == "layer",
        conv_bias=norm == "layer",
        layerdrop=0.3,
        hidden_dropout=0.1,
        attention_dropout=0.1,
        feat_proj_dropout=0.0,
    )
    model_class(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(
        do_normalize=norm == "layer", return_attention_mask=norm == "layer"
    ).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def small_wav2vec2(tmp_path_factory):
    """A folder with a tiny wav2vec 2.0 of the base kind."""
    return save_ssl_model(tmp_path_factory.mktemp("wav2vec2"))


def save_whisper(folder, whole=False, seconds=1, **changes):
    """Saves a tiny random Whisper, encoder or whole, of windows that short."""
    import transformers
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    torch.manual_seed(0)
    settings = {
        "d_model": 32,
        "encoder_layers": 3,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 48,
        "decoder_layers": 1,
        "decoder_attention_heads": 2,
        "decoder_ffn_dim": 48,
        "num_mel_bins": 20,
        "max_source_positions": 50 * seconds,
        "max_target_positions": 8,
        "vocab_size": 40,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "decoder_start_token_id": 1,
        "begin_suppress_tokens": None,
    }
    config = transformers.WhisperConfig(**settings | changes)
    if whole:
        transformers.WhisperForConditionalGeneration(config).save_pretrained(
            folder
        )
    else:
        WhisperEncoder(config).save_pretrained(folder)
    transformers.WhisperFeatureExtractor(
        feature_size=config.num_mel_bins, chunk_length=seconds
    ).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def small_whisper(tmp_path_factory):
    """A folder with the encoder of a tiny Whisper, of windows of 1 s."""
    return save_whisper(tmp_path_factory.mktemp("whisper"))


def plain_config(**changes):
    """What a model folder says of a linear probe of log-Mel features."""
    lobes = "speechbrain_ser.lobes"
    features = {
        "call": "speechbrain_ser.data.layer_statistics.LayerStatistics",
        "with": {
            "encoder": {
                "call": f"{lobes}.features.LogMel",
                "with": {"n_mels": 8},
            }
        },
    }
    probe = {
        "call": f"{lobes}.linear_probe.LinearProbe",
        "with": {"n_rows": 1, "dim": 16, "n_classes": 4},
    }
    told = {"features": features, "probe": probe, "channels": 16}
    return {
        "format": 1,
        "name": "plain",
        "labels": ["anger", "happiness", "neutral", "sadness"],
        "sample_rate": 16000,
        "temperature": 2.0,
        "max_seconds": 60.0,
        "batch_size": 16,
        "card": {"method": "probe", "languages": ["de"]},
        "model": {"class": "ProbeModel", "with": told},
        "encoder": None,
    } | changes


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    """A model folder with random weights."""
    from speechbrain_ser.inference.export import write_folder
    from speechbrain_ser.inference.folder import model_of

    config = plain_config()
    model = model_of(config["model"])
    torch.manual_seed(0)
    model.probe.linear.reset_parameters()
    folder = str(tmp_path_factory.mktemp("models") / "plain")
    write_folder(folder, config, model, None)
    return folder


@pytest.fixture(scope="session")
def mini_cache(tmp_path_factory):
    """A folder for mini corpora, one for all workers of pytest."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    return str(base / "mini")


@pytest.fixture(scope="session")
def mini_folder(mini_cache):
    """A small mini corpus: IEMOCAP's layout, 160 utterances."""
    from speechbrain_ser.corpora.mini.iemocap import mini_iemocap

    return mini_iemocap(mini_cache, seed=0, utterances_per_speaker=16)


@pytest.fixture(scope="session")
def least_folder(mini_cache):
    """Half of `mini_folder`: 80 utterances of the same ten speakers."""
    from speechbrain_ser.corpora.mini.iemocap import mini_iemocap

    return mini_iemocap(mini_cache, seed=0, utterances_per_speaker=8)


@pytest.fixture(scope="session")
def mini_mer2023_folder(mini_cache):
    """A small mini corpus: MER2023's layout, 90 clips."""
    from speechbrain_ser.corpora.mini.mer2023 import mini_mer2023

    return mini_mer2023(mini_cache, seed=0, utterances=90)


@pytest.fixture(scope="session")
def mini_recola_folder(mini_cache):
    """A small mini corpus: RECOLA's layout, 48 utterances."""
    from speechbrain_ser.corpora.mini.recola import mini_recola

    return mini_recola(mini_cache, seed=0, utterances_per_speaker=6)


@pytest.fixture(scope="session")
def mini_mosei_folder(mini_cache):
    """A small mini corpus: CMU-MOSEI's layout, 27 segments of 6 videos."""
    from speechbrain_ser.corpora.mini.cmu_mosei import mini_mosei

    return mini_mosei(mini_cache, seed=0, videos=6)


@pytest.fixture
def tones(tmp_path):
    """An annotation of twelve tones, one pitch a class, and their files."""
    annotation = {}
    for i in range(12):
        word = ["ang", "hap", "sad", "neu"][i % 4]
        seconds = 0.5 + 0.05 * i
        time = np.arange(int(16000 * seconds)) / 16000
        wav = 0.3 * np.sin(2 * np.pi * (200 + 300 * (i % 4)) * time)
        path = str(tmp_path / f"tone{i}.wav")
        sf.write(path, wav, 16000)
        annotation[f"tone{i}"] = {
            "wav": path,
            "start": 0,
            "stop": len(wav),
            "duration": len(wav) / 16000,
            "emotion": word,
        }
    return annotation


# The files that take longest, so that none is begun last: with ``--dist
# loadfile`` a file runs whole on one worker, and the other one would wait.
LONGEST = (
    "recipes/test_ipr.py",
    "recipes/test_recipes.py",
    "recipes/test_gmp_atl.py",
    "lobes/test_contract.py",
    "recipes/test_tables.py",
    "recipes/dann/test_dann.py",
    "recipes/test_lpmn_hubert.py",
    "recipes/test_lpmn.py",
    "table/test_execute.py",
    "inference/test_said_as_predicted.py",
    "test_cones.py",
    "methods/test_dann_training.py",
    "recipes/test_any_probe.py",
    "table/test_command.py",
    "test_benchmarks.py",
)


def pytest_addoption(parser):
    """Adds a switch for what takes minutes."""
    parser.addoption(
        "--slow", action="store_true", help="run what takes minutes too"
    )


def pytest_configure(config):
    """Makes the marker known."""
    config.addinivalue_line("markers", "slow: takes minutes, see --slow")
    # by the number of tests, as pytest-xdist would, the long ones are last
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(config, items):
    """Begins with the longest; skips what takes minutes, if not asked for."""
    tests = pathlib.Path(__file__).parent / "tests"
    files = {tests / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: files.get(item.path, len(files)))
    if not config.getoption("--slow"):
        skip = pytest.mark.skip(reason="takes minutes: --slow runs it")
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(skip)
