"""LPMN's recipes and bad input: one sentence, before anything is trained."""

import re

import pytest
import torch

from speechbrain_ser.corpora.annotations import read_annotation
from speechbrain_ser.data import frame_cache
from tests.recipes.helpers import LPMN, PARTS, check_sentence, own
from tests.recipes.lpmn_runs import (
    HUBERT,
    LOGMEL,
    QUICK,
    SMALL,
    hubert_settings,
    run,
    write_parts,
)


@pytest.fixture(scope="module")
def ready(tmp_path_factory, mini_folder, mini_mer2023_folder):
    """A folder with the annotations of both small mini corpora."""
    folder = tmp_path_factory.mktemp("ready")
    return write_parts(folder, mini_folder, mini_mer2023_folder)


@pytest.fixture(scope="module")
def small_hubert(tmp_path_factory):
    """The recipe's settings for a tiny HuBERT."""
    return hubert_settings(tmp_path_factory.mktemp("hubert"))


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"n_selected": 17}, "--n_selected 17: .* from 1 to 16"),
        ({"n_selected": "[8, 0]"}, r"--n_selected is \[8, 0\]: .* from 1"),
        ({"n_selected": "words"}, "--n_selected is 'words': "),
        ({"n_selected": 8.5}, "--n_selected.*8.5"),
        ({"n_selected": "[8.7]"}, "--n_selected.*8.7"),
        ({"pooling": "foo"}, "--pooling is 'foo': give.* average, max"),
        ({"n_classes": 3}, "n_classes is 3.*4 words"),
        ({"n_prototypes": "many"}, "n_prototypes"),
        ({"tau": 0}, "tau"),
        ({"importance_decay": 1}, "decay"),
        ({"cache": True}, "cache"),
        ({"fold": 6}, "fold is 6"),
        ({"data_folder": "/nowhere/at/all"}, "/nowhere/at/all"),
        ({"model_selection": "luck"}, "--model_selection is 'luck'"),
        ({"no_such_setting": 1}, "no_such_setting"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_bad_settings_are_one_sentence(settings, said, mini_folder, tmp_path):
    """Naming the setting, before training."""
    settings = {"data_folder": mini_folder} | SMALL | settings
    out = tmp_path / "out"
    error = run(LPMN, LOGMEL, **settings, output_folder=out)
    check_sentence(error, said)
    assert not (out / "curves.csv").exists()


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"finetune": "all"}, "finetune is 'all'"),
        ({"n_blocks": 5}, "layers 0 to 4"),
        ({"n_blocks": 1}, "finetune is last2"),
        ({"n_blocks": 2}, "cache off"),
        ({"frame_dim": 64}, "frame_dim.*32"),
        ({"cache_folder": None}, "cache_folder"),
        ({"ssl_source": "/no/such/model"}, "/no/such/model"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_bad_encoder_settings_are_one_sentence(
    settings, said, ready, small_hubert, tmp_path
):
    """What the SSL encoder can't be, or its frames can't be kept as."""
    settings = SMALL | small_hubert | settings
    settings |= {"output_folder": tmp_path / "out"}
    error = run(LPMN, HUBERT, *own(ready / "IEMOCAP"), **settings)
    check_sentence(error, said)
    assert not (tmp_path / "out" / "curves.csv").exists()


@pytest.mark.parametrize("hparams", ["nothing.yaml", "hparams/ipr.yaml"])
def test_wrong_hparams_file_is_one_sentence(hparams, mini_folder, tmp_path):
    """One that is not there, one of another recipe."""
    error = run(
        LPMN, hparams, data_folder=mini_folder, output_folder=tmp_path / "out"
    )
    check_sentence(error, hparams)


def test_kept_frames_are_not_augmented(ready, small_hubert, tmp_path):
    """An augmenter in the hparams file: not with the cache, else it works."""
    text = (LPMN.parent / HUBERT).read_text()
    augmenter = "\n    ".join(
        [
            "augmenter: !new:speechbrain.augment.augmenter.Augmenter",
            "augmentations:",
            "  - !new:speechbrain.augment.time_domain.SignFlip",
            "    flip_prob: 1.0",
        ]
    )
    assert text.count("\naugmenter: null") == 1
    text = re.sub(r"\naugmenter: null.*", f"\n{augmenter}", text)
    path = tmp_path / "augmented.yaml"
    path.write_text(text)
    settings = QUICK | small_hubert | {"number_of_epochs": 1}
    settings |= {"pooling": "average", "finetune": "last1"}
    settings |= {"output_folder": tmp_path / "out"}
    error = run(LPMN, path, *own(ready / "IEMOCAP"), **settings)
    check_sentence(error, "can't be augmented.*--cache False")
    assert not (tmp_path / "out").exists()
    settings |= {"cache": False}
    assert run(LPMN, path, *own(ready / "IEMOCAP"), **settings) is None


def test_full_disk_says_how_much_is_needed(
    ready, small_hubert, tmp_path, monkeypatch
):
    """Utterances and GB, before training."""
    annotations = [
        read_annotation(str(ready / "IEMOCAP" / f"{name}.json"))
        for name in PARTS
    ]
    usage = type("usage", (), {"free": 1000})
    monkeypatch.setattr(frame_cache.shutil, "disk_usage", lambda _: usage)
    settings = SMALL | small_hubert | {"cache_folder": tmp_path / "frames"}
    settings |= {"output_folder": tmp_path / "out"}
    error = run(LPMN, HUBERT, *own(ready / "IEMOCAP"), **settings)
    n = sum(map(len, annotations))
    check_sentence(error, rf"needs [\d.]+ GB more for {n} utterances")
    seconds = sum(e["duration"] for part in annotations for e in part.values())
    # a frame is 80 samples; 32 channels of two bytes
    expected = seconds * 16000 / 80 * 64 / 1e9
    said = float(re.search(r"needs ([\d.e-]+) GB", error)[1])
    assert said == pytest.approx(expected, rel=0.05)
    assert not (tmp_path / "out" / "curves.csv").exists()
    assert not list((tmp_path / "frames").rglob("*.npy"))


def not_a_codebook(kind, path):
    """Writes what is no codebook of 16 prototypes of size 64."""
    if kind == "folder":
        path.mkdir()
    elif kind != "missing":
        path.write_bytes(
            {"text": b"hello there", "JSON": b'{"a": 1}'}.get(kind, b"")
        )
    held = {
        "another K": {"prototypes": torch.randn(8, 64)},
        "another dim": {"prototypes": torch.randn(16, 32)},
        "flat": {"prototypes": torch.randn(16)},
        "a number": {"prototypes": 3},
        "a list": [torch.randn(16, 64)],
        "a classifier": {"w.weight": torch.randn(4, 16)},
    }
    if kind in held:
        torch.save(held[kind], path)


@pytest.mark.parametrize(
    "kind, said",
    [
        ("another K", "8 prototypes of size 64, this run has 16 of 64"),
        ("another dim", "16 prototypes of size 32, this run has 16 of 64"),
        ("text", "can't be read.*codebook.ckpt that train_codebook.py wrote"),
        ("JSON", "can't be read"),
        ("empty", "can't be read"),
        ("folder", "codebook.ckpt"),
        ("missing", "codebook.ckpt"),
        ("a classifier", "can't be read"),
        ("a list", "can't be read|holds"),
        ("a number", "can't be read|holds"),
        ("flat", "can't be read|holds"),
    ],
)
def test_what_is_no_codebook_is_refused(kind, said, ready, tmp_path):
    """One sentence with the file, before anything is trained."""
    path = tmp_path / "codebook.ckpt"
    not_a_codebook(kind, path)
    settings = SMALL | {"codebook": path, "output_folder": tmp_path / "out"}
    error = run(LPMN, LOGMEL, *own(ready / "IEMOCAP"), **settings)
    check_sentence(error, said)
    assert str(path) in error
    assert not (tmp_path / "out" / "curves.csv").exists()
