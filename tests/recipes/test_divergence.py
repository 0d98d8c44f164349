"""Every method with rates by which its training diverges, and with bad audio."""

import json

import pytest
import soundfile as sf

from conftest import save_ssl_model
from speechbrain_ser.corpora.iemocap import read_iemocap
from speechbrain_ser.utils.errors import InputError
from tests.recipes.helpers import (
    CODEBOOK,
    DANN,
    GMP_ATL,
    LPMN,
    MENAN,
    RECIPE,
    check_sentence,
    import_script,
    run_recipe,
    table,
    words,
)

PROTOTYPES = {"n_prototypes": 4, "n_selected": 2}
GMP = {"clusters": 4, "multitask_epochs": 1, "retraining_epochs": 1}
GMP |= {"max_duration": 0.5, "figure_utterances": None}
# Recipe, hparams file, which corpus, settings, and the rates that are too high.
TRAINED = {
    "ipr": (
        RECIPE,
        "ipr_logmel",
        "data_folder",
        {"warmup_epochs": 1, "warmup_updates": 0, "test_size": 0.4},
        ["lr"],
    ),
    "lpmn": (LPMN, "lpmn_logmel", "data_folder", PROTOTYPES, ["lr"]),
    "dann": (DANN, "dann", "pair", {"n_filters": 8}, ["lr", "lowest_lr"]),
    "menan": (
        MENAN,
        "menan_small",
        "data_folder",
        {"channels": 8, "duration": 1.0, "speaker_steps": 2},
        ["lr"],
    ),
    "menan, SC": (
        MENAN,
        "menan_small",
        "data_folder",
        {"channels": 8, "duration": 1.0, "speaker_steps": 2},
        ["lr_speaker"],
    ),
    "gmp-atl 1": (GMP_ATL, "gmp_atl", "ssl", GMP, ["multitask_lr"]),
    "gmp-atl 2": (GMP_ATL, "gmp_atl", "ssl", GMP, ["retraining_lr"]),
    "gmp-atl 3": (
        GMP_ATL,
        "gmp_atl",
        "ssl",
        GMP | {"pseudo_labels": "off"},
        ["finetuning_lr"],
    ),
    "codebook": (
        CODEBOOK,
        "codebook",
        "audio",
        {"n_prototypes": 4, "n_blocks": 3, "frame_dim": 32},
        ["lr"],
    ),
}


@pytest.fixture(scope="module")
def corpora(mini_folder, mini_recola_folder, tmp_path_factory):
    """Small mini corpora and a tiny HuBERT: settings by what a recipe reads."""
    home = tmp_path_factory.mktemp("corpora")
    iemocap = mini_folder
    hubert = save_ssl_model(home / "hubert", "hubert")
    ssl = {"ssl_source": hubert, "blstm_size": 8, "embedding_size": 8}
    shared = {"cache_folder": home / "cache", "num_workers": 0}
    return {
        "data_folder": {"data_folder": iemocap},
        "pair": shared
        | {"recola_folder": mini_recola_folder, "iemocap_folder": iemocap},
        "ssl": shared
        | ssl
        | {"data_folder": iemocap, "layer": -2, "stages_folder": home / "st"},
        "audio": shared
        | {"audio_folder": f"{iemocap}/Session1", "ssl_source": hubert},
        "menan": {"cache_folder": home / "cache"},
    }


@pytest.mark.parametrize("name", TRAINED)
def test_a_training_that_diverges_ends_by_one_sentence(
    name, corpora, tmp_path, monkeypatch
):
    """With its epoch and a mend; the loss is told, no report is written."""
    script, hparams, corpus, settings, rates = TRAINED[name]
    given = corpora[corpus] | settings | dict.fromkeys(rates, 1e30)
    if script is MENAN:
        given |= corpora["menan"]
    epochs = "finetuning_epochs" if script is GMP_ATL else "number_of_epochs"
    path = script.parent / "hparams" / f"{hparams}.yaml"
    given |= {epochs: 3, "batch_size": 8, "output_folder": tmp_path / "out"}
    line = words(path, device="cpu", **given)
    error = run_recipe(monkeypatch, *line, script=script)
    check_sentence(error, r"^error: epoch [12], .*(nan|inf|NaN).* diverged: gi")
    assert "learning rates" in error
    curves = [*tmp_path.rglob("curves.csv")]
    if name in ("gmp-atl 1", "gmp-atl 2"):
        curves = [*corpora["ssl"]["stages_folder"].rglob("curves.csv")]
    told = [table(curve)[-1]["train_loss"] for curve in curves]
    assert set(told) & {"nan", "inf"}, told
    assert not [*tmp_path.rglob("metrics.json")]
    assert not [*tmp_path.rglob("codebook.ckpt")]


@pytest.fixture(scope="module")
def annotations(corpora, tmp_path_factory):
    """A function that writes parts with so many utterances of 10 ms each."""
    held = read_iemocap(corpora["data_folder"]["data_folder"])
    keys = sorted(held, key=lambda key: (held[key]["speaker"], key))
    of = {"train": keys[:40], "valid": keys[40:60], "test": keys[60:]}
    home = tmp_path_factory.mktemp("own")
    sf.write(home / "click.wav", [0.1] * 160, 16000)

    def write(short):
        """Returns the settings."""
        settings = {"skip_prep": True}
        for part, names in of.items():
            entries = {
                name: held[name]
                | {"wav": str(home / "click.wav"), "stop": 160}
                | {"duration": 0.01}
                if place < short
                else held[name]
                for place, name in enumerate(names)
            }
            path = home / f"{part}{short}.json"
            path.write_text(json.dumps(entries))
            settings |= {f"{part}_annotation": str(path)}
        return settings

    return write


@pytest.mark.parametrize("script", [LPMN, MENAN, GMP_ATL], ids=lambda p: p.stem)
def test_clicks_are_no_utterances(script, annotations):
    """Few are left out of each part, many are an error."""
    plan = import_script(script).plan
    path = sorted((script.parent / "hparams").glob(f"{script.stem[6:]}_*.yaml"))
    overrides = [
        "\n".join(f"{k}: {json.dumps(v)}" for k, v in annotations(n).items())
        for n in (0, 1, 2)
    ]
    whole = plan(str(path[0]), overrides[0]).parts
    few = plan(str(path[0]), overrides[1]).parts
    for part in ("train", "valid", "test"):
        assert len(few[part]) == len(whole[part]) - 1
        assert all(e["duration"] > 0.1 for e in few[part].values())
    with pytest.raises(InputError, match="6 of .* shorter than one window"):
        plan(str(path[0]), overrides[2])
