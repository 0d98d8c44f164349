"""Runs that can't be evaluated on CMU-MOSEI: one sentence, nothing is run."""

import json
import pathlib
import shutil

import pytest
import torch
import yaml

from speechbrain_ser.experiment.hparams import load
from tests.recipes.helpers import check_sentence, save_menan_run
from tests.recipes.mosei_runs import (
    LABELS,
    checkpoint,
    run,
    save_fixed,
    settings_for,
)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A folder for what the tests share."""
    return tmp_path_factory.mktemp("mosei")


@pytest.fixture(scope="module")
def fixed(base):
    """Runs of four folds."""
    return save_fixed(base)


@pytest.fixture(scope="module")
def settings(base, fixed, mini_mosei_folder):
    """Of all runs; the output folder is to be added."""
    return settings_for(base, fixed, mini_mosei_folder)


# What can't be evaluated


class Bomb:
    """Whoever unpickles it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (pathlib.Path(self.path),)


def change(path, **values):
    """Changes keys of a JSON file; None takes one away."""
    held = json.loads(path.read_text()) | values
    held = {name: value for name, value in held.items() if value is not None}
    path.write_text(json.dumps(held))


def no_runs(runs):
    """An empty folder."""
    shutil.rmtree(runs)
    runs.mkdir()


def two_folds(runs):
    """Another run of a fold that is there."""
    shutil.copytree(runs / "fold2" / "1", runs / "fold2" / "again")


def one_more_steps(runs):
    """A fold as printed."""
    save_menan_run(runs / "printed", fold=4, speaker_steps=1)


def two_systems(runs):
    """A fold of another system."""
    change(runs / "fold2" / "1" / "metrics.json", system="dat")


def two_corpora(runs):
    """A fold of another corpus."""
    change(runs / "fold2" / "1" / "metrics.json", corpus="EmoDB")


def old_protocol(runs):
    """A fold of the protocol whose folds are one model in pairs."""
    change(
        runs / "fold2" / "1" / "metrics.json",
        protocol="iemocap-10fold-loso@1 with improvised_only True",
    )


def one_model(runs):
    """Two folds that were trained on the same utterances."""
    for fold in (2, 3):
        path = runs / f"fold{fold}" / "1" / "metrics.json"
        change(path, parts_sha256={"train": "the same", "test": f"{fold}"})


def no_protocol(runs):
    """A fact is missing."""
    change(runs / "fold1" / "1" / "metrics.json", protocol=None)


def other_duration(runs):
    """A fold that was trained with other features."""
    change(runs / "fold10" / "1" / "settings.json", duration=3.0)


def other_labels(runs):
    """A fold whose classes have another order."""
    change(runs / "fold10" / "1" / "settings.json", labels=LABELS[::-1])


def earlier_version(runs):
    """A fold whose settings had other names."""
    change(runs / "fold2" / "1" / "settings.json", format=None)


def foreign_labels(runs):
    """A class that nobody rated."""
    for path in runs.rglob("settings.json"):
        change(path, labels=["ang", "fru", "neu", "sad"])


def cut_metrics(runs):
    """Half of a file."""
    path = runs / "fold1" / "1" / "metrics.json"
    path.write_text(path.read_text()[:40])


def list_metrics(runs):
    """JSON, but no facts."""
    (runs / "fold1" / "1" / "metrics.json").write_text("[1, 2]")


def no_fold(runs):
    """A fact is missing."""
    change(runs / "fold1" / "1" / "metrics.json", fold=None)


def no_settings(runs):
    """A file is missing."""
    (runs / "fold1" / "1" / "settings.json").unlink()


def no_channels(runs):
    """A setting is missing."""
    change(runs / "fold1" / "1" / "settings.json", channels=None)


def no_save(runs):
    """The folder of the checkpoints is missing."""
    shutil.rmtree(runs / "fold1" / "1" / "save")


def only_the_last(runs):
    """The selected epoch is missing."""
    shutil.rmtree(checkpoint(runs / "fold1" / "1", 1))


def no_encoder(runs):
    """A file of the selected epoch is missing."""
    (checkpoint(runs / "fold1" / "1", 1) / "encoder.ckpt").unlink()


def bad_meta(runs):
    """YAML that would run a command, if it were read as SpeechBrain writes."""
    path = checkpoint(runs / "fold1" / "1", 1) / "CKPT.yaml"
    mark = runs.parent / "bang"
    path.write_text(f"!!python/object/apply:os.mkdir ['{mark}']\n")


def cut_weights(runs):
    """Half of a file."""
    path = checkpoint(runs / "fold1" / "1", 1) / "encoder.ckpt"
    path.write_bytes(path.read_bytes()[:500])


def empty_weights(runs):
    """Nothing of a file."""
    path = checkpoint(runs / "fold10" / "1", 1) / "classifier.ckpt"
    path.write_bytes(b"")


def bomb(runs):
    """A pickle that runs something."""
    path = checkpoint(runs / "fold1" / "1", 1) / "encoder.ckpt"
    torch.save({"weight": Bomb(runs.parent / "bang")}, path)


def other_weights(runs):
    """Weights of another size."""
    path = checkpoint(runs / "fold1" / "1", 1) / "standardisation.ckpt"
    torch.save({"mean": torch.zeros(3), "std": torch.ones(3)}, path)


def no_weights(runs):
    """A list."""
    path = checkpoint(runs / "fold1" / "1", 1) / "standardisation.ckpt"
    torch.save([1, 2], path)


@pytest.mark.parametrize(
    "spoil, said",
    [
        (no_runs, "runs has no finished run of train_menan.py with seed 1: "),
        (two_folds, "fold2/1 and .*fold2/again are both of fold 2"),
        (two_systems, "than one system .*dat on IEMOCAP, .*: give --system"),
        (two_corpora, "than one corpus .*on EmoDB, .*: give --trained_on"),
        (one_more_steps, "seed 1, speaker_steps 1; .*: give --speaker_steps"),
        (other_duration, "fold1/1 and .*fold10/1.*settings of duration"),
        (other_labels, "settings of labels"),
        (
            old_protocol,
            "fold2/1 holds a run of iemocap-10fold-loso@1, .*one model: train "
            "with train_menan.py",
        ),
        (one_model, "fold2/1 and .*fold3/1 were trained on the same utterance"),
        (no_protocol, "fold1/1/metrics.json lacks protocol: train"),
        (earlier_version, "fold2/1 holds a run of an earlier version, .*train"),
        (foreign_labels, "'fru'.*ang, hap, sad, neu"),
        (cut_metrics, "fold1/1/metrics.json can't be read"),
        (list_metrics, "fold1/1/metrics.json lacks"),
        (no_fold, "fold1/1/metrics.json lacks fold: train"),
        (no_settings, "fold1/1/settings.json can't be read"),
        (no_channels, "fold1/1/settings.json lacks channels"),
        (no_save, "fold1/1/save has no checkpoint of epoch 1"),
        (only_the_last, "fold1/1/save has no checkpoint of epoch 1"),
        (no_encoder, "encoder.ckpt is missing"),
        (bad_meta, "fold1/1/save can't be read"),
        (cut_weights, "encoder.ckpt can't be loaded"),
        (empty_weights, "fold10/.*classifier.ckpt can't be loaded"),
        (bomb, "encoder.ckpt can't be loaded .*more than weights"),
        (other_weights, "standardisation.ckpt can't be loaded .*mean"),
        (no_weights, "standardisation.ckpt can't be loaded"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_bad_runs_are_one_sentence(spoil, said, fixed, settings, tmp_path):
    """Nothing is written, and nothing of theirs is run."""
    runs, out = tmp_path / "runs", tmp_path / "out"
    shutil.copytree(fixed, runs)
    for folder in runs.glob("fold*/1"):
        mark = tmp_path / "bang"
        text = f"bang: !apply:os.mkdir ['{mark}']\n"
        (folder / "hyperparams.yaml").write_text(text)
    spoil(runs)
    before = sorted(runs.rglob("*"))
    more = settings | {"runs_folder": runs, "output_folder": out}
    check_sentence(run(**more), said)
    assert not out.exists() and not (tmp_path / "bang").exists()
    assert sorted(runs.rglob("*")) == before


def test_the_spoilt_files_would_do_harm(tmp_path):
    """If they were loaded in the usual way: the tests above can fail."""
    torch.save({"weight": Bomb(tmp_path / "one")}, tmp_path / "a.ckpt")
    torch.load(tmp_path / "a.ckpt", weights_only=False)
    text = f"!!python/object/apply:os.mkdir ['{tmp_path / 'two'}']\n"
    yaml.unsafe_load(text)
    (tmp_path / "a.yaml").write_text(
        f"bang: !apply:os.mkdir ['{tmp_path / 'three'}']\n"
    )
    load(str(tmp_path / "a.yaml"), "")
    for name in ("one", "two", "three"):
        assert (tmp_path / name).exists()


def test_hyperparams_of_a_run_are_not_loaded(fixed, settings, tmp_path):
    """Where all else is whole."""
    shutil.copytree(fixed / "fold1", tmp_path / "runs" / "fold1")
    mark = tmp_path / "bang"
    for path in (tmp_path / "runs" / "fold1" / "1").glob("save/*"):
        (path / "more.ckpt").write_bytes(b"no weights")
    (tmp_path / "runs" / "fold1" / "1" / "hyperparams.yaml").write_text(
        f"bang: !apply:os.mkdir ['{mark}']\n"
    )
    more = settings | {"runs_folder": tmp_path / "runs"}
    assert run(**more, output_folder=tmp_path / "out") is None
    assert not mark.exists()


@pytest.mark.parametrize(
    "more, said",
    [
        ({"runs_folder": "/nowhere"}, "no folder /nowhere: give --runs_folder"),
        ({"runs_folder": None}, "no folder None: give --runs_folder"),
        ({"seed": 3}, "seed 3 .menan on IEMOCAP, seed 1, .*: give .*--seed"),
        ({"system": "dat"}, "with system dat, seed 1 .menan on IEMOCAP"),
        ({"trained_on": "nemo"}, "with trained_on nemo, seed 1 .menan on"),
        ({"speaker_steps": 3}, "seed 1, speaker_steps 3 .*speaker_steps 40"),
        ({"cache_folder": None}, "--cache_folder is None: .*for the features"),
        ({"data_folder": "/nowhere"}, "'/nowhere' is no folder"),
        ({"labels_file": "/nowhere.csd"}, "/nowhere.csd' is no file"),
        ({"no_such_setting": 1}, "no_such_setting"),
    ],
    ids=str,
)
def test_bad_command_lines_are_one_sentence(more, said, settings, tmp_path):
    """Before anything is written."""
    more = settings | more | {"output_folder": tmp_path / "out"}
    check_sentence(run(**more), said)
    assert not (tmp_path / "out").exists()


def test_a_broken_corpus_is_one_sentence(settings, tmp_path):
    """A file of labels that is no HDF5."""
    shutil.copytree(settings["data_folder"], tmp_path / "corpus")
    path = tmp_path / "corpus" / "CMU_MOSEI_Labels.csd"
    path.write_text("no labels")
    more = settings | {"data_folder": tmp_path / "corpus"}
    more |= {"output_folder": tmp_path / "out"}
    check_sentence(run(**more), "CMU_MOSEI_Labels.csd' is no HDF5 file")
    assert not (tmp_path / "out").exists()
