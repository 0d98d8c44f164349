"""The LPMN recipes, run as their users run them."""

import json
import pathlib
import shutil

import pytest
import torch
from sklearn.metrics import f1_score

from speechbrain_ser.corpora.annotations import (
    read_annotation,
    write_annotation,
)
from speechbrain_ser.corpora.mini import local_iemocap, local_mer2023
from speechbrain_ser.experiment import hparams as recipe
from speechbrain_ser.experiment.command_line import say_once
from tests import processes
from tests.recipes import two_processes_lpmn
from tests.recipes.helpers import (
    LPMN,
    LPMN_MER2023,
    PARTS,
    ROOT,
    environment_of,
    figures,
    import_script,
    own,
    results,
    same_weights,
    table,
    weights,
)
from tests.recipes.lpmn_runs import (
    HUBERT,
    LOGMEL,
    SMALL,
    check_prototypes,
    run,
    write_parts,
)

FIGURES = {"confusion", "curves", "embedding", "importance", "reliability"}
FIGURES |= {"selection"}
SIX = ["neutral", "angry", "happy", "sad", "worried", "surprise"]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A folder for what the tests share."""
    return tmp_path_factory.mktemp("lpmn")


@pytest.fixture(scope="module")
def ready(tmp_path_factory, mini_folder, mini_mer2023_folder):
    """A folder with the annotations of both small mini corpora."""
    folder = tmp_path_factory.mktemp("ready")
    return write_parts(folder, mini_folder, mini_mer2023_folder)


@pytest.mark.parametrize("corpus", ["IEMOCAP", "MER2023"])
def test_runs_as_typed(
    corpus, mini_folder, mini_mer2023_folder, tmp_path, monkeypatch, capsys
):
    """Without --data_folder, from the recipe's folder: files, parts, numbers."""
    monkeypatch.setattr(
        local_iemocap, "mini_local_iemocap", lambda: mini_folder
    )
    monkeypatch.setattr(
        local_mer2023, "mini_local_mer2023", lambda: mini_mer2023_folder
    )
    script = {"IEMOCAP": LPMN, "MER2023": LPMN_MER2023}[corpus]
    monkeypatch.chdir(script.parent)
    say_once.cache_clear()
    out = tmp_path / "out"
    error = run(
        pathlib.Path(script.name),
        HUBERT,
        **SMALL,
        output_folder=out,
        # the newest checkpoint is then the one that is reported
        model_selection="last",
        speaker_probe=True,
    )
    assert error is None
    said = capsys.readouterr().out
    first = said.splitlines()[0]
    assert "mini corpus" in first and f"say nothing about {corpus}" in first
    metrics = json.loads((out / "metrics.json").read_text())
    chosen = [f"{kind}{k}" for kind in ("", "random_") for k in (8, 4)]
    selected = {f"test_{name}" for name in ("all", *chosen)}
    assert set(metrics["metrics"]) == set(PARTS) | selected
    assert (
        metrics["protocol"]
        == {
            "IEMOCAP": "iemocap-5fold-loso@1",
            "MER2023": "mer2023-5fold@1",
        }[corpus]
    )
    assert metrics["corpus"] == "mini" and metrics["fold"] == 1
    assert metrics["hparams"] == "lpmn_logmel.yaml"
    rows = table(out / "predictions.csv")
    counted = {
        part: [r for r in rows if r["part"] == part] for part in selected
    }
    counted |= {part: [r for r in rows if r["part"] == part] for part in PARTS}
    assert metrics["sizes"] == {p: len(held) for p, held in counted.items()}
    for part, held in counted.items():
        check_scores(metrics["metrics"][part], held, metrics["labels"], corpus)
    check_curves(table(out / "curves.csv"))
    assert set(metrics["prototype_use"]) == set(PARTS)
    for use in metrics["prototype_use"].values():
        assert 1 <= use["perplexity"] <= use["used_prototypes"] <= 16
    assert said.count("prototypes, of 16: train ") == 1
    check_prototypes(table(out / "prototypes.csv"), weights(out), (8, 4))
    drawn = {name for name in figures(out) if name.startswith("mapping_")}
    assert figures(out) == FIGURES | drawn
    labels_of = {row["id"]: row["label"] for row in counted["test"]}
    found = [labels_of[name.removeprefix("mapping_")] for name in drawn]
    assert sorted(found) == sorted(metrics["labels"])
    if corpus == "MER2023":  # it names no speakers
        assert metrics["leakage"] is None
        log = (out / "log.txt").read_text()
        assert log.count("no training utterance names its speaker") == 1
        return
    assert metrics["leakage"]["speakers"] == 8
    assert metrics["leakage"]["utterances"] == metrics["sizes"]["train"]
    assert said.count("a fresh probe names the speaker") == 1


def check_curves(rows):
    """An epoch a row; prototypes are used."""
    assert len(rows) == SMALL["number_of_epochs"]
    for row in rows:
        assert 1 <= float(row["used_prototypes"]) <= 16
        assert 1 <= float(row["perplexity"]) <= float(row["used_prototypes"])
        assert float(row["quantization_loss"]) > 0


def check_scores(score, rows, labels, corpus):
    """Computes a part's metrics again from its predictions."""
    truth = [row["label"] for row in rows]
    guessed = [row["prediction"] for row in rows]
    f1 = f1_score(
        truth, guessed, labels=labels, average="weighted", zero_division=0
    )
    right = [a == b for a, b in zip(truth, guessed)]
    assert score["WA"] == pytest.approx(sum(right) / len(right))
    assert score["weighted_F1"] == pytest.approx(f1)
    if corpus == "IEMOCAP":
        assert "valence_MSE" not in score and "valence" not in rows[0]
        return
    error = 0.0
    for row in rows:
        error += (float(row["valence"]) - float(row["predicted_valence"])) ** 2
    error /= len(rows)
    assert score["valence_MSE"] == pytest.approx(error, abs=1e-5)
    assert score["combined"] == pytest.approx(f1 - 0.25 * error, abs=1e-5)


def test_no_speaker_of_the_test_part_is_trained_on(mini_folder):
    """IEMOCAP, each of the five folds; together they test everybody."""
    script = import_script(LPMN)
    path = str(LPMN.parent / LOGMEL)
    tested = []
    for fold in range(1, 6):
        overrides = recipe.with_overrides(
            "", data_folder=mini_folder, fold=fold
        )
        parts = script.plan(path, overrides).parts
        speakers = {
            name: {entry["speaker"] for entry in part.values()}
            for name, part in parts.items()
        }
        assert speakers["test"] == {f"Ses0{fold}_F", f"Ses0{fold}_M"}
        assert not speakers["test"] & speakers["train"]
        assert not speakers["test"] & speakers["valid"]
        tested += parts["test"]
        everybody = sorted(key for part in parts.values() for key in part)
    assert sorted(tested) == everybody


def test_folds_of_mer2023_part_the_clips(mini_mer2023_folder):
    """Every clip is tested once, and never in its own training."""
    script = import_script(LPMN_MER2023)
    path = str(LPMN_MER2023.parent / LOGMEL)
    tested = []
    for fold in range(1, 6):
        overrides = recipe.with_overrides(
            "", data_folder=mini_mer2023_folder, fold=fold
        )
        parts = script.plan(path, overrides).parts
        tested += parts["test"]
        everyone = [key for part in parts.values() for key in part]
        assert len(everyone) == len(set(everyone)) == 90
    assert sorted(tested) == sorted(everyone)


@pytest.mark.parametrize("pooling", ["average", "max"])
def test_baselines_select_nothing(pooling, ready, tmp_path):
    """No prototypes: no parts, files, columns or losses of them."""
    settings = SMALL | {"pooling": pooling, "output_folder": tmp_path / "out"}
    error = run(LPMN, LOGMEL, *own(ready / "IEMOCAP"), **settings)
    assert error is None
    metrics, curves, _ = results(tmp_path / "out")
    assert metrics["system"] == pooling
    assert set(metrics["metrics"]) == set(metrics["sizes"]) == set(PARTS)
    assert not {"quantization_loss", "perplexity"} & set(curves[0])
    assert not (tmp_path / "out" / "prototypes.csv").exists()
    assert figures(tmp_path / "out") == FIGURES - {"importance", "selection"}
    held = weights(tmp_path / "out")
    assert held["classifier.w.weight"].shape == (4, 64)
    assert not any("prototypes" in name for name in held)


@pytest.fixture(scope="module")
def ended(base, ready):
    """What one process with batches of 8 leaves, and two with 4 each."""
    one, two = str(base / "processes1"), str(base / "processes2")
    two_processes_lpmn.main(str(ready), one, 8)
    processes.run_ranks(two_processes_lpmn.main, str(ready), two, 4)
    return [
        torch.load(f"{out}/rank{rank}.pt", weights_only=True)
        for out, rank in ((one, 0), (two, 0), (two, 1))
    ]


@pytest.mark.parametrize("corpus", ["IEMOCAP", "MER2023"])
def test_two_processes_are_as_one(corpus, ended):
    """Importance, codebook, counts, losses, weights; bit equal on both sides."""
    one, two, other = (held[corpus] for held in ended)
    assert one.keys() == two.keys()
    for key, value in one.items():
        assert torch.equal(two[key], other[key]), key
        torch.testing.assert_close(
            two[key], value, atol=5e-5, rtol=1e-3, msg=lambda m: f"{key}: {m}"
        )
    prototypes = one["pool.codebook.prototypes"]
    assert not prototypes.equal(one["first.pooling.codebook.prototypes"])
    assert (one["importance.importance"] > 0).any()
    assert (one["curves"][:-1, 3] < 48).any()  # some were drawn anew
    assert ("regressor.w.bias" in one) == (corpus == "MER2023")


@pytest.mark.parametrize("selection", ["last", "best"])
def test_labels_of_the_test_part_reach_no_weight(selection, ready, tmp_path):
    """Turned emotions and valences: bit for bit the same; of train: not."""
    turned = dict(zip(SIX, SIX[1:] + SIX[:1]))
    parts = ("test", "train") if selection == "last" else ("test",)
    for part in parts:
        folder = tmp_path / part
        shutil.copytree(ready / "MER2023", folder)
        annotation = read_annotation(str(folder / f"{part}.json"))
        for entry in annotation.values():
            entry["emotion"] = turned[entry["emotion"]]
            entry["valence"] = 1.0 - entry["valence"]
        write_annotation(str(folder / f"{part}.json"), annotation)
    for name in ("as is", *parts):
        folder = ready / "MER2023" if name == "as is" else tmp_path / name
        settings = SMALL | {
            "model_selection": selection,
            "n_selected": None,
            "figure_utterances": next(
                iter(read_annotation(str(folder / "test.json")))
            ),
            "lr": 0.02,
            "output_folder": tmp_path / "runs" / name,
        }
        assert run(LPMN_MER2023, LOGMEL, *own(folder), **settings) is None
    runs = tmp_path / "runs"
    assert same_weights(runs / "as is", runs / "test")
    metrics = [results(runs / name)[0] for name in ("as is", "test")]
    assert metrics[0]["selected_epoch"] == metrics[1]["selected_epoch"]
    scores = [held["metrics"] for held in metrics]
    assert scores[0]["valid"] == scores[1]["valid"]
    for name in ("confusion", "valence_MSE"):
        assert scores[0]["test"][name] != scores[1]["test"][name]
    if selection == "last":
        assert not same_weights(runs / "as is", runs / "train")


def test_table_4_from_the_recipe_itself(
    least_folder, tmp_path, tmp_path_factory
):
    """Two folds: one run each serves all rows, the table holds its numbers."""
    path = ROOT / "tables" / "IEMOCAP" / "lpmn_table4.yaml"
    line = ["--results_folder", tmp_path, "--hparams", LOGMEL]
    line += ["--number_of_epochs", 1, "--n_prototypes", 512]
    line += ["--data_folder", least_folder, "--corpus_name", "mini"]
    line += ["--folds", 1, 2, "--seeds", 1]
    line += ["--device", "cpu", "--jobs", 2]
    line += ["--figure_utterances", "[Ses01F_impro01_F000]"]
    child = processes.run(
        processes.as_script,
        *("speechbrain_ser.table", path, *line),
        environment=environment_of(tmp_path_factory),
    )
    assert child.returncode == 0, (child.stdout + child.stderr)[-3000:]
    runs = [
        json.loads(file.read_text())
        for file in tmp_path.glob("runs/train_lpmn/*/metrics.json")
    ]
    assert sorted(held["fold"] for held in runs) == [1, 2]
    (file,) = tmp_path.glob("tables/lpmn_table4/mini/*/table.csv")
    rows = table(file)
    assert len(rows) == 12 * 3
    for row in rows:
        name = row["row"].removeprefix("LPMN-ps-").replace(" ", "_")
        part = {
            "LPMN-1024": "test",
            "linear probe on all": "test_all",
        }.get(row["row"], f"test_{name}")
        numbers = [held["metrics"][part][row["metric"]] for held in runs]
        mean = 100 * sum(numbers) / 2
        assert float(row["mean"]) == pytest.approx(mean, abs=1e-5)
        assert row["runs"] == "2"
    assert len({row["mean"] for row in rows}) > 6
