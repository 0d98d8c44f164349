"""The evaluation of MEnAN's models on CMU-MOSEI, run as its users run it."""

import json
import os
import shutil

import matplotlib.figure
import pytest
import torch

from speechbrain_ser.corpora.cmu_mosei import read_cmu_mosei
from speechbrain_ser.corpora.mini import cmu_mosei as mini_mosei
from speechbrain_ser.corpora.mini.iemocap import mini_iemocap
from speechbrain_ser.experiment.command_line import say_once
from speechbrain_ser.experiment.hparams import load, with_overrides
from speechbrain_ser.utils.audio import load_audio
from tests.recipes.helpers import (
    MENAN,
    check_sentence,
    run_recipe,
    save_menan_run,
    table,
    undrawn,
    words,
)
from tests.recipes.mosei_runs import (
    LABELS,
    always,
    checkpoint,
    metrics_of,
    run,
    save_fixed,
    settings_for,
)
from tests.references import menan as reference

PARTS = ("standardisation", "encoder", "classifier")


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


@pytest.fixture(scope="module")
def done(base, settings):
    """A finished evaluation of `fixed`."""
    assert run(**settings, output_folder=base / "done", drawn=True) is None
    return base / "done"


@pytest.fixture(scope="module")
def truth(mini_mosei_folder):
    """Id to right answers by the reference; None is not used."""
    segments = read_cmu_mosei(mini_mosei_folder)
    found = {}
    for key, entry in segments.items():
        ratings = {name: entry["ratings"][name] for name in reference.RATED}
        found[key] = reference.mosei_present(ratings)
    assert None in found.values() and {"neu"} in found.values()
    assert max(len(p) for p in found.values() if p) == 2
    return found


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
    summary = metrics["metrics"]["test"]
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
        assert model["named"][word] == metrics["metrics"]["test"]["n"]
    assert len({model["accuracy"] for model in metrics["models"]}) == 3
    assert metrics["system"] == "menan" and metrics["method"] == "MEnAN"
    assert metrics["trained_on"] == "IEMOCAP"
    assert metrics["protocol"] == "cmu-mosei-four-classes@1"
    assert metrics["corpus"] == "CMU-MOSEI"
    image = matplotlib.image.imread(done / "figures" / "accuracy.png")
    assert image.std() > 0.05
    segments = json.loads((done / "test.json").read_text())
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
    summary = before[0]["metrics"]["test"]
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
        undrawn(patch)
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
            last_epochs=0,
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
    overrides = with_overrides(
        "",
        **{"n_mels": 20, "channels": 6, "kernel_sizes": [8, 4], "stride": 3},
        **{"hidden_sizes": [9, 7], "n_speakers": 8},
    )
    hparams = str(MENAN.parent / "hparams" / "menan.yaml")
    hparams = load(hparams, overrides)
    epoch = metrics_of(trained / "fold3")["selected_epoch"]
    folder = checkpoint(trained / "fold3", epoch)
    for name in PARTS:
        weights = torch.load(folder / f"{name}.ckpt", weights_only=True)
        hparams[name].load_state_dict(weights)
    segments = read_cmu_mosei(settings["data_folder"])
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
    more = settings | {"runs_folder": trained, "output_folder": out}
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
    say_once.cache_clear()
    more = {"runs_folder": fixed, "cache_folder": base / "features"}
    assert run(**more) is None
    assert "nothing about CMU-MOSEI" in capsys.readouterr().out
    folder = tmp_path / "results" / "menan_mosei" / "mini"
    check_report(folder / "IEMOCAP-menan" / "1", truth)


def test_a_report_among_the_runs(fixed, settings, tmp_path):
    """An evaluation below --runs_folder is none of the models."""
    shutil.copytree(fixed, tmp_path / "runs")
    more = settings | {"runs_folder": tmp_path / "runs"}
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
    save_menan_run(tmp_path / "runs" / "b", corpus_name="EmoDB", fold=2)
    save_menan_run(tmp_path / "runs" / "fold1" / "2", seed=2)
    other = save_menan_run(tmp_path / "runs" / "fold4" / "1", fold=4)
    (other / "metrics.json").unlink()
    dann = tmp_path / "runs" / "dann"
    dann.mkdir()
    (dann / "metrics.json").write_text('{"method": "DANN", "seed": 1}')
    more = settings | {"runs_folder": tmp_path / "runs"}
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
    more = settings | {"runs_folder": tmp_path / "runs"}
    more |= {"output_folder": tmp_path / "out", "speaker_steps": steps}
    assert run(**more) is None
    found = metrics_of(tmp_path / "out")
    assert [model["fold"] for model in found["models"]] == folds


def test_a_folder_of_another_evaluation(done, fixed, settings, tmp_path):
    """Other models in a finished folder: it is left alone."""
    shutil.copytree(fixed, tmp_path / "runs")
    always(tmp_path / "runs" / "fold2" / "1", 1, 1)
    before = metrics_of(done), os.stat(done / "metrics.json").st_mtime_ns
    more = settings | {"runs_folder": tmp_path / "runs"}
    error = run(**more, output_folder=done)
    check_sentence(error, "holds a run with files = .*--output_folder")
    assert before == (
        metrics_of(done),
        os.stat(done / "metrics.json").st_mtime_ns,
    )
