"""The evaluation of MEnAN's models on CMU-MOSEI, run as its users run it."""

import json
import os
import pathlib
import shutil

import matplotlib.figure
import pytest
import speechbrain as sb
import torch
import yaml

from speechbrain_ser.corpora.cmu_mosei import read_cmu_mosei
from speechbrain_ser.corpora.mini import cmu_mosei as mini_mosei
from speechbrain_ser.corpora.mini.iemocap import mini_iemocap
from speechbrain_ser.experiment import recipe
from speechbrain_ser.utils.audio import load_audio
from tests.recipes.helpers import (
    MENAN,
    MOSEI,
    check_sentence,
    run_recipe,
    save_menan_run,
    table,
    words,
)
from tests.references import menan as reference

LABELS = ["ang", "hap", "neu", "sad"]
PARTS = ("standardisation", "encoder", "classifier")


def run(*arguments, drawn=False, **settings):
    """Runs the recipe in this process; returns its error or None."""
    with pytest.MonkeyPatch.context() as patch:
        # it asks pip, for as long as a run takes here
        patch.setattr(sb.utils.logger, "get_environment_description", str)
        if not drawn:
            patch.setattr(
                matplotlib.figure.Figure,
                "savefig",
                lambda self, path, **kwargs: pathlib.Path(path).touch(),
            )
        line = words("hparams/evaluate.yaml", **settings)
        return run_recipe(patch, *line, *arguments, script=MOSEI)


def checkpoint(folder, epoch):
    """The folder of a run's checkpoint."""
    for meta in (folder / "save").glob("CKPT+*/CKPT.yaml"):
        if yaml.safe_load(meta.read_text())["epoch"] == epoch:
            return meta.parent
    raise AssertionError(f"no checkpoint of epoch {epoch}")


def always(folder, epoch, place):
    """Makes a checkpoint one that names the same class each time."""
    path = checkpoint(folder, epoch) / "classifier.ckpt"
    weights = torch.load(path, weights_only=True)
    for key in ("4.weight", "4.bias"):
        weights[key].zero_()
    weights["4.bias"][place] = 1.0
    torch.save(weights, path)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A folder for what the tests share."""
    return tmp_path_factory.mktemp("mosei")


@pytest.fixture(scope="module")
def fixed(base):
    """Runs of folds that say ang, neu, sad and sad; their last epochs hap."""
    for fold, place in ((1, 0), (2, 2), (3, 3), (10, 3)):
        folder = save_menan_run(base / "fixed" / f"fold{fold}" / "1", fold=fold)
        always(folder, 1, place)
        always(folder, 2, 1)
    return base / "fixed"


@pytest.fixture(scope="module")
def settings(base, fixed, mini_mosei_folder):
    """Of all runs; the output folder is to be added."""
    return {
        "data_folder": mini_mosei_folder,
        "checkpoints": fixed,
        "cache_folder": base / "features",
        "device": "cpu",
    }


@pytest.fixture(scope="module")
def done(base, settings):
    """A finished evaluation of `fixed`."""
    assert run(**settings, output_folder=base / "done", drawn=True) is None
    return base / "done"


@pytest.fixture(scope="module")
def truth(mini_mosei_folder):
    """Id to right answers by the reference; None is not used."""
    segments, _ = read_cmu_mosei(mini_mosei_folder)
    found = {}
    for key, entry in segments.items():
        ratings = {name: entry["ratings"][name] for name in reference.RATED}
        found[key] = reference.mosei_present(ratings)
    assert None in found.values() and {"neu"} in found.values()
    assert max(len(p) for p in found.values() if p) == 2
    return found


def metrics_of(folder):
    """What a report says."""
    return json.loads((folder / "metrics.json").read_text())


def check_report(folder, truth, labels=LABELS):
    """Computes the accuracies again from the predictions."""
    metrics, rows = metrics_of(folder), table(folder / "predictions.csv")
    used = {key: present for key, present in truth.items() if present}
    assert [row["id"] for row in rows] == list(used)
    for row in rows:
        assert set(row["present"].split()) == used[row["id"]]
    shares = []
    for model in metrics["models"]:
        named = [row[f"fold{model['fold']}"] for row in rows]
        share = reference.mosei_accuracy(named, list(used.values()))
        assert model["accuracy"] == pytest.approx(share)
        assert model["named"] == {word: named.count(word) for word in labels}
        shares.append(share)
    summary = metrics["metrics"]["evaluation"]
    assert summary["n"] == len(used)
    assert summary["mean"] == pytest.approx(sum(shares) / len(shares))
    assert summary["min"] == min(shares) and summary["max"] == max(shares)
    for word in labels:
        share = reference.mosei_accuracy([word] * len(used), used.values())
        assert metrics["always_named"][word] == pytest.approx(share)
    assert summary["always"] == max(metrics["always_named"].values())
    return metrics


# The report


def test_report_of_models_made_by_hand(done, truth):
    """Each fold's selected epoch, not the last one; in order of the folds."""
    metrics = check_report(done, truth)
    assert [model["fold"] for model in metrics["models"]] == [1, 2, 3, 10]
    assert [model["epoch"] for model in metrics["models"]] == [1, 1, 1, 1]
    for model, word in zip(metrics["models"], ("ang", "neu", "sad", "sad")):
        share = metrics["always_named"][word]
        assert model["accuracy"] == pytest.approx(share)
        assert model["named"][word] == metrics["metrics"]["evaluation"]["n"]
    assert len({model["accuracy"] for model in metrics["models"]}) == 3
    assert metrics["system"] == "menan" and metrics["method"] == "MEnAN"
    assert metrics["trained_on"] == "IEMOCAP"
    assert metrics["protocol"] == "cmu-mosei-four-classes@1"
    assert metrics["corpus"] == "CMU-MOSEI"
    image = matplotlib.image.imread(done / "figures" / "accuracy.png")
    assert image.std() > 0.05
    segments = json.loads((done / "evaluation.json").read_text())
    assert {k: set(e["present"]) for k, e in segments.items()} == {
        key: present for key, present in truth.items() if present
    }
    log = (done / "log.txt").read_text()
    assert "mini_silent" in log and "without a recording" in log


def test_the_same_command_again(done, settings, fixed, truth, capsys):
    """The same report, whatever the batch and where the runs lie by then."""
    before = metrics_of(done), (done / "predictions.csv").read_text()
    more = settings | {"eval_batch_size": 5, "output_folder": done}
    assert run(**more) is None
    after = metrics_of(done), (done / "predictions.csv").read_text()
    assert before == after
    said = capsys.readouterr().out
    summary = before[0]["metrics"]["evaluation"]
    for name in ("mean", "min", "max"):
        assert f"{name} {100 * summary[name]:.2f}" in said
    best = max(LABELS, key=lambda word: before[0]["always_named"][word])
    assert f"always says {best!r}: {100 * summary['always']:.2f} %" in said
    assert f"report: {done}" in said
    assert said.count("epoch   1  accuracy") == 4


@pytest.fixture(scope="module")
def trained(base):
    """A run of the training recipe with sizes and labels of its own."""
    corpus = mini_iemocap(str(base), utterances_per_speaker=6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sb.utils.logger, "get_environment_description", str)
        patch.setattr(
            matplotlib.figure.Figure,
            "savefig",
            lambda self, path, **kwargs: pathlib.Path(path).touch(),
        )
        line = words(
            "hparams/menan_small.yaml",
            data_folder=corpus,
            output_folder=base / "trained" / "fold3",
            cache_folder=base / "features",
            device="cpu",
            system="emotion_only",
            fold=3,
            labels=["sad", "neu", "hap", "ang"],
            number_of_epochs=2,
            lr=0.02,
            watched_epochs=0,
            duration=1.8,
            n_mels=20,
            channels=6,
            kernel_sizes=[8, 4],
            stride=3,
            hidden_sizes=[9, 7],
            speaker_probe=False,
        )
        assert run_recipe(patch, *line, script=MENAN) is None
    return base / "trained"


def test_models_of_the_training_recipe(trained, settings, truth, tmp_path):
    """Each segment's name by hand: features, cut or repeated, ENC, EC."""
    overrides = recipe.with_overrides(
        "",
        **{"n_mels": 20, "channels": 6, "kernel_sizes": [8, 4], "stride": 3},
        **{"hidden_sizes": [9, 7], "n_speakers": 8},
    )
    hparams = str(MENAN.parent / "hparams" / "menan.yaml")
    hparams = recipe.load(hparams, overrides)
    epoch = metrics_of(trained / "fold3")["selected_epoch"]
    folder = checkpoint(trained / "fold3", epoch)
    for name in PARTS:
        weights = torch.load(folder / f"{name}.ckpt", weights_only=True)
        hparams[name].load_state_dict(weights)
    segments, _ = read_cmu_mosei(settings["data_folder"])
    lengths, hidden = set(), []
    before = torch.nn.Sequential(*list(hparams["classifier"])[:-1])
    used = [key for key, present in truth.items() if present]
    for key in used:
        wav = load_audio(segments[key])
        frames = hparams["features"](wav[None], torch.ones(1))[0][0]
        lengths.add(len(frames) > 181)
        frames = hparams["standardisation"](frames)
        frames = frames[reference.fixed_indices(len(frames), 181)][None]
        with torch.no_grad():
            hidden.append(before(hparams["encoder"](frames))[0])
    assert lengths == {True, False}
    # a last layer that does not name the same class all the time
    torch.manual_seed(0)
    hidden = torch.stack(hidden)
    weight = torch.randn(4, 7) / hidden.std(dim=0)
    bias = -weight @ hidden.mean(dim=0)
    path = folder / "classifier.ckpt"
    weights = torch.load(path, weights_only=True)
    torch.save(weights | {"4.weight": weight, "4.bias": bias}, path)
    out, labels = tmp_path / "out", ["sad", "neu", "hap", "ang"]
    more = settings | {"checkpoints": trained, "output_folder": out}
    assert run(**more) is None
    metrics = check_report(out, truth, labels)
    assert metrics["labels"] == labels and metrics["system"] == "emotion_only"
    found = {row["id"]: row["fold3"] for row in table(out / "predictions.csv")}
    best = (hidden @ weight.T + bias).topk(2, dim=1)
    clear = (best.values[:, 0] - best.values[:, 1] > 1e-3).tolist()
    for key, indices, sure in zip(used, best.indices.tolist(), clear):
        assert found[key] == labels[indices[0]] or not sure, key
    assert sum(clear) > 10 and len(set(found.values())) > 2


def test_on_the_mini_corpus(
    fixed, base, mini_mosei_folder, truth, tmp_path, monkeypatch, capsys
):
    """Without --data_folder; the result lies below results, by its names."""
    monkeypatch.setattr(mini_mosei, "mini_mosei", lambda: mini_mosei_folder)
    monkeypatch.chdir(tmp_path)
    recipe.say_once.cache_clear()
    more = {"checkpoints": fixed, "cache_folder": base / "features"}
    assert run(**more) is None
    assert "nothing about CMU-MOSEI" in capsys.readouterr().out
    folder = tmp_path / "results" / "menan_mosei" / "mini"
    check_report(folder / "IEMOCAP-menan" / "1", truth)


def test_a_report_among_the_runs(fixed, settings, tmp_path):
    """An evaluation below --checkpoints is none of the models."""
    shutil.copytree(fixed, tmp_path / "runs")
    more = settings | {"checkpoints": tmp_path / "runs"}
    more |= {"output_folder": tmp_path / "runs" / "mosei"}
    assert run(**more) is None
    before = metrics_of(tmp_path / "runs" / "mosei")
    assert len(before["models"]) == 4
    assert run(**more) is None
    assert metrics_of(tmp_path / "runs" / "mosei") == before


def test_other_runs_below_the_folder(fixed, settings, truth, tmp_path):
    """Others are passed over, as where the table command leaves them."""
    shutil.copytree(fixed, tmp_path / "runs")
    save_menan_run(tmp_path / "runs" / "a", system="dat", fold=2)
    save_menan_run(tmp_path / "runs" / "b", corpus="EmoDB", fold=2)
    save_menan_run(tmp_path / "runs" / "fold1" / "2", seed=2)
    other = save_menan_run(tmp_path / "runs" / "fold4" / "1", fold=4)
    (other / "metrics.json").unlink()
    dann = tmp_path / "runs" / "dann"
    dann.mkdir()
    (dann / "metrics.json").write_text('{"method": "DANN", "seed": 1}')
    more = settings | {"checkpoints": tmp_path / "runs"}
    more |= {"system": "menan", "trained_on": "IEMOCAP"}
    assert run(**more, output_folder=tmp_path / "one") is None
    found = metrics_of(tmp_path / "one")
    assert [model["fold"] for model in found["models"]] == [1, 2, 3, 10]
    more |= {"seed": 2}
    assert run(**more, output_folder=tmp_path / "two") is None
    found = metrics_of(tmp_path / "two")
    assert [model["fold"] for model in found["models"]] == [1]
    check_report(tmp_path / "two", truth)
    more |= {"seed": 1, "output_folder": tmp_path / "three"}
    assert run(**more | {"system": "dat"}) is None
    found = metrics_of(tmp_path / "three")
    assert [model["fold"] for model in found["models"]] == [2]
    assert found["system"] == "dat" and found["trained_on"] == "IEMOCAP"
    more |= {"output_folder": tmp_path / "four", "trained_on": "EmoDB"}
    assert run(**more) is None
    found = metrics_of(tmp_path / "four")
    assert [model["fold"] for model in found["models"]] == [2]
    assert found["system"] == "menan" and found["trained_on"] == "EmoDB"


@pytest.mark.parametrize("steps, folds", [(1, [2, 4]), (40, [1, 2, 3, 10])])
def test_ours_or_as_printed(steps, folds, fixed, settings, tmp_path):
    """Two MEnANs among the runs, told apart by the steps of SC."""
    shutil.copytree(fixed, tmp_path / "runs")
    for fold in (2, 4):
        folder = tmp_path / "runs" / f"printed{fold}"
        save_menan_run(folder, fold=fold, speaker_steps=1)
    more = settings | {"checkpoints": tmp_path / "runs"}
    more |= {"output_folder": tmp_path / "out", "speaker_steps": steps}
    assert run(**more) is None
    found = metrics_of(tmp_path / "out")
    assert [model["fold"] for model in found["models"]] == folds


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


def other_duration(runs):
    """A fold that was trained with other features."""
    change(runs / "fold10" / "1" / "settings.json", duration=3.0)


def other_labels(runs):
    """A fold whose classes have another order."""
    change(runs / "fold10" / "1" / "settings.json", labels=LABELS[::-1])


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
    more = settings | {"checkpoints": runs, "output_folder": out}
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
    recipe.load(str(tmp_path / "a.yaml"), "")
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
    more = settings | {"checkpoints": tmp_path / "runs"}
    assert run(**more, output_folder=tmp_path / "out") is None
    assert not mark.exists()


@pytest.mark.parametrize(
    "more, said",
    [
        ({"checkpoints": "/nowhere"}, "no folder /nowhere: give --checkpoints"),
        ({"checkpoints": None}, "no folder None: give --checkpoints"),
        ({"seed": 3}, "seed 3 .menan on IEMOCAP, seed 1, .*: give .*--seed"),
        ({"system": "dat"}, "with system dat, seed 1 .menan on IEMOCAP"),
        ({"trained_on": "nemo"}, "with trained_on nemo, seed 1 .menan on"),
        ({"speaker_steps": 3}, "seed 1, speaker_steps 3 .*speaker_steps 40"),
        ({"cache_folder": None}, "give --cache_folder"),
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


def test_a_folder_of_another_evaluation(done, fixed, settings, tmp_path):
    """Other models in a finished folder: it is left alone."""
    shutil.copytree(fixed, tmp_path / "runs")
    always(tmp_path / "runs" / "fold2" / "1", 1, 1)
    before = metrics_of(done), os.stat(done / "metrics.json").st_mtime_ns
    more = settings | {"checkpoints": tmp_path / "runs"}
    error = run(**more, output_folder=done)
    check_sentence(error, "holds a run with files = .*--output_folder")
    assert before == (
        metrics_of(done),
        os.stat(done / "metrics.json").st_mtime_ns,
    )
