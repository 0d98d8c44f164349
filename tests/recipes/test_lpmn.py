"""The LPMN recipes and the codebook's, run as their users run them."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile as sf
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, recall_score
from speechbrain.utils.run_opts import RunOptions

from conftest import save_ssl_model
from speechbrain_ser.corpora.annotations import (
    read_annotation,
    write_annotation,
)
from speechbrain_ser.data import frame_cache
from speechbrain_ser.experiment import recipe
from speechbrain_ser.lobes.ssl import SSLEncoder
from speechbrain_ser.utils.audio import load_audio
from tests.recipes.helpers import (
    CODEBOOK,
    LPMN,
    LPMN_MER2023,
    PARTS,
    ROOT,
    import_script,
    in_second_epoch,
    own,
    results,
    run_recipe,
    same_weights,
    weights,
)

SMALL = {
    "device": "cpu",
    "number_of_epochs": 3,
    "watched_epochs": 1,
    "n_prototypes": 16,
    "select": "8,4",
}
# of IEMOCAP's mini corpus: one figure of a mapping instead of four
QUICK = SMALL | {"select": None, "drawn": "Ses01F_impro01_F000"}
LOGMEL, HUBERT = "hparams/lpmn_logmel.yaml", "hparams/lpmn.yaml"
BLOCK = "encoder.model.encoder.layers."
# It changes no softmax: its gradient is rounding, which Adam makes steps of.
KEY_BIAS = "k_proj.bias"
FIGURES = {"confusion", "curves", "embedding", "importance", "selection"}
FOUR = ["ang", "hap", "sad", "neu"]
SIX = ["neutral", "angry", "happy", "sad", "worried", "surprise"]


def words(*hparams, **settings):
    """A command line: a hparams file, and settings as --name value."""
    line = [*hparams, "--noprogressbar"]
    for name, value in settings.items():
        line += [f"--{name}", "null" if value is None else value]
    return [str(word) for word in line]


def run(script, hparams, *arguments, **settings):
    """Runs a recipe in this process; returns its error or None."""
    with pytest.MonkeyPatch.context() as patch:
        line = words(hparams, **settings)
        return run_recipe(patch, *line, *arguments, script=script)


def table(path):
    """The rows of a CSV file."""
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))


def figures(folder):
    """The names of a run's figures."""
    return {name[:-4] for name in os.listdir(folder / "figures")}


def posteriors(folder, part, labels=FOUR):
    """Id to posterior of a part, as predictions.csv has it."""
    return {
        row["id"]: [float(row[f"posterior_{word}"]) for word in labels]
        for row in table(folder / "predictions.csv")
        if row["part"] == part
    }


def write_parts(script, folder, **settings):
    """Writes the annotations of a recipe's split."""
    module = import_script(script)
    names = {
        f"{n}_annotation": str(folder / f"{n}.json") for n in PARTS.values()
    }
    folder.mkdir(parents=True, exist_ok=True)
    for part, path in module.annotation_paths(names).items():
        write_annotation(path, module.prepare(fold=1, **settings)[part])
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A folder for what the tests share."""
    return tmp_path_factory.mktemp("lpmn")


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Of other processes: one thread, the mini corpora of this session."""
    cache = tmp_path_factory.getbasetemp() / "cache"
    return os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        "SPEECHBRAIN_SER_CACHE": str(cache),
    }


@pytest.fixture(scope="module")
def ready(base, mini_folder, mini_mer2023_folder):
    """A folder with the annotations of both small mini corpora."""
    write_parts(
        LPMN,
        base / "ready" / "IEMOCAP",
        data_folder=mini_folder,
        labels=FOUR,
        merge_excited=True,
        improvised_only=False,
        valid_share=0.1,
    )
    write_parts(
        LPMN_MER2023,
        base / "ready" / "MER2023",
        data_folder=mini_mer2023_folder,
        labels=SIX,
        audio_folder=None,
        valid_share=0.1,
    )
    return base / "ready"


@pytest.fixture(scope="module")
def small_hubert(base):
    """The recipe's settings for a tiny HuBERT of four blocks, three used."""
    (base / "hubert").mkdir()
    return {
        "ssl_source": save_ssl_model(
            base / "hubert", "hubert", "layer", layers=4
        ),
        "n_blocks": 3,
        "frame_dim": 32,
        "batch_size": 8,
        "lr": 0.001,
        "num_workers": 0,
        "cache_folder": base / "frames",
    }


@pytest.fixture(scope="module")
def finished(base, ready):
    """A finished run; K' of all, half and a quarter of 16 prototypes."""
    settings = QUICK | {"select": "16,8,4", "tau": 0.3}
    settings |= {"output_folder": base / "finished"}
    arguments = own(ready / "IEMOCAP")
    assert run(LPMN, LOGMEL, *arguments, **settings) is None
    return settings, arguments


@pytest.fixture(scope="module")
def tuned(base, ready, small_hubert):
    """Finished runs with HuBERT, by what is fine-tuned; dead ones reseeded."""
    settings = QUICK | small_hubert | {"n_prototypes": 64, "reseed_dead": True}
    runs = {}
    for finetune in ("none", "last1", "last2"):
        runs[finetune] = settings | {
            "finetune": finetune,
            "output_folder": base / f"hubert-{finetune}",
        }
        if finetune == "last2":
            runs[finetune] |= {"select": "8"}
        else:
            runs[finetune] |= {"number_of_epochs": 1, "pooling": "average"}
        error = run(LPMN, HUBERT, *own(ready / "IEMOCAP"), **runs[finetune])
        assert error is None
    return runs


@pytest.fixture(scope="module")
def speech(base, ready):
    """A folder of audio with folders below it, and other files."""
    annotation = read_annotation(str(ready / "IEMOCAP" / "train.json"))
    for i, entry in enumerate(list(annotation.values())[:30]):
        folder = base / "speech" / f"speaker{i % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        sf.write(folder / f"{i}.wav", load_audio(entry).numpy(), 16000)
    (base / "speech" / "notes.txt").write_text("not audio")
    return base / "speech"


@pytest.fixture(scope="module")
def learn(base, small_hubert):
    """A function that learns a codebook; it returns the error or None."""
    settings = {k: v for k, v in small_hubert.items() if k != "lr"}
    settings |= {"device": "cpu", "n_prototypes": 16, "number_of_epochs": 2}

    def learn(name, **more):
        """Into the folder of this name."""
        more = settings | {"output_folder": base / name} | more
        return run(CODEBOOK, "hparams/codebook.yaml", **more)

    return learn


@pytest.fixture(scope="module")
def codebook(base, learn, speech):
    """A codebook of 16 prototypes of the tiny HuBERT, from a folder."""
    assert learn("codebook", audio_folder=speech) is None
    return base / "codebook" / "codebook.ckpt"


# As typed


@pytest.mark.parametrize("corpus", ["IEMOCAP", "MER2023"])
def test_runs_as_typed(corpus, environment, tmp_path):
    """Without --data_folder, from the recipe's folder: files, parts, numbers."""
    script = ROOT / "recipes" / corpus / "train_lpmn.py"
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, script.name]
        + words(
            HUBERT,
            **SMALL,
            output_folder=out,
            # the newest checkpoint is then the one that is reported
            model_selection="last",
            speaker_probe=True,
        ),
        cwd=script.parent,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first = done.stdout.splitlines()[0]
    assert "mini corpus" in first and f"say nothing about {corpus}" in first
    metrics = json.loads((out / "metrics.json").read_text())
    chosen = [f"{kind}{k}" for kind in ("", "random_") for k in (8, 4)]
    selected = {f"evaluation_{name}" for name in ("all", *chosen)}
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
    curves = table(out / "curves.csv")
    assert len(curves) == SMALL["number_of_epochs"]
    for row in curves:
        assert 1 <= float(row["used_prototypes"]) <= 16
        assert 1 <= float(row["perplexity"]) <= float(row["used_prototypes"])
        assert float(row["quantization_loss"]) > 0
    check_prototypes(table(out / "prototypes.csv"), weights(out), (8, 4))
    drawn = {name for name in figures(out) if name.startswith("mapping_")}
    assert figures(out) == FIGURES | drawn
    evaluated = {row["id"]: row["label"] for row in counted["evaluation"]}
    found = [evaluated[name.removeprefix("mapping_")] for name in drawn]
    assert sorted(found) == sorted(metrics["labels"])
    if corpus == "MER2023":  # it names no speakers
        assert metrics["leakage"] is None
        log = (out / "log.txt").read_text()
        assert log.count("no training utterance names its speaker") == 1
        return
    assert metrics["leakage"]["speakers"] == 8
    assert metrics["leakage"]["utterances"] == metrics["sizes"]["train"]
    assert done.stdout.count("a fresh probe names the speaker") == 1


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


def check_prototypes(rows, held, sizes):
    """prototypes.csv against the checkpoint's importance."""
    importance = held["importance.importance"].tolist()
    order = sorted(range(16), key=lambda j: (-importance[j], j))
    assert [int(row["prototype"]) for row in rows] == order
    assert [int(row["rank"]) for row in rows] == list(range(1, 17))
    for row, j in zip(rows, order):
        assert float(row["importance"]) == pytest.approx(importance[j])
        share = importance[j] / sum(importance)
        assert float(row["share"]) == pytest.approx(share, rel=1e-5)
        for size in sizes:
            assert row[f"kept_{size}"] == str(int(int(row["rank"]) <= size))
    assert importance[order[0]] > importance[order[-1]] > 0


def test_no_speaker_of_the_evaluation_is_trained_on(mini_folder):
    """IEMOCAP, each of the five folds; together they evaluate everybody."""
    script = import_script(LPMN)
    path = str(LPMN.parent / LOGMEL)
    evaluated = []
    for fold in range(1, 6):
        overrides = recipe.with_overrides(
            "", data_folder=mini_folder, fold=fold
        )
        parts = script.plan(path, overrides).parts
        speakers = {
            name: {entry["speaker"] for entry in part.values()}
            for name, part in parts.items()
        }
        assert speakers["evaluation"] == {f"Ses0{fold}_F", f"Ses0{fold}_M"}
        assert not speakers["evaluation"] & speakers["train"]
        assert not speakers["evaluation"] & speakers["validation"]
        evaluated += parts["evaluation"]
        everybody = sorted(key for part in parts.values() for key in part)
    assert sorted(evaluated) == everybody


def test_folds_of_mer2023_part_the_clips(mini_mer2023_folder):
    """Every clip is evaluated once, and never in its own training."""
    script = import_script(LPMN_MER2023)
    path = str(LPMN_MER2023.parent / LOGMEL)
    evaluated = []
    for fold in range(1, 6):
        overrides = recipe.with_overrides(
            "", data_folder=mini_mer2023_folder, fold=fold
        )
        parts = script.plan(path, overrides).parts
        evaluated += parts["evaluation"]
        everyone = [key for part in parts.values() for key in part]
        assert len(everyone) == len(set(everyone)) == 90
    assert sorted(evaluated) == sorted(everyone)


# Poolings and fine-tuning


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
    assert figures(tmp_path / "out") == {"confusion", "curves", "embedding"}
    held = weights(tmp_path / "out")
    assert held["classifier.w.weight"].shape == (4, 64)
    assert not any("prototypes" in name for name in held)


def source_weights(settings):
    """HuBERT's weights as transformers reads them, without its last block."""
    import transformers

    model = transformers.HubertModel.from_pretrained(settings["ssl_source"])
    return {
        f"encoder.model.{name}": value
        for name, value in model.state_dict().items()
        if not name.startswith("encoder.layers.3.")
    }


@pytest.mark.parametrize("finetune", ["none", "last1", "last2"])
def test_exactly_the_named_blocks_change(finetune, tuned, small_hubert):
    """All else of HuBERT is bit for bit what transformers reads."""
    import transformers

    source = small_hubert["ssl_source"]
    model = transformers.HubertModel.from_pretrained(source)
    before = {
        f"model.{name}": value for name, value in model.state_dict().items()
    }
    held = weights(tuned[finetune]["output_folder"])
    after = {
        name.removeprefix("encoder."): value
        for name, value in held.items()
        if name.startswith("encoder.")
    }
    blocks = {"none": (), "last1": (2,), "last2": (1, 2)}[finetune]
    named = {
        name
        for name in before
        if name.startswith(tuple(f"model.encoder.layers.{i}." for i in blocks))
    }
    # the digest is that of the frozen weights after training
    frozen = SSLEncoder(
        source, "unused", layer=3, frozen_layers=3 - len(blocks)
    )
    digest = bytes(after.pop("prefix_sha256").tolist()).hex()
    assert digest == frozen.prefix_digest()
    assert after.keys() == named
    changed = {name for name in named if not after[name].equal(before[name])}
    # a key's bias changes no softmax; its gradient is rounding or 0
    optional = {name for name in named if name.endswith("k_proj.bias")}
    assert named - optional <= changed


def test_nobody_needs_to_name_a_device(tuned, ready, tmp_path):
    """The cache is filled where SpeechBrain would compute."""
    settings = tuned["none"] | {"output_folder": tmp_path / "out"}
    settings["cache_folder"] = tmp_path / "frames"
    del settings["device"]
    assert run(LPMN, HUBERT, *own(ready / "IEMOCAP"), **settings) is None
    assert (tmp_path / "out" / "metrics.json").exists()


def test_cached_run_is_uncached_run(tuned, ready, small_hubert, tmp_path):
    """Same dropout, same order: weights and metrics within half precision."""
    cached = tuned["last2"]
    settings = cached | {"cache": False, "output_folder": tmp_path / "out"}
    del settings["cache_folder"]
    assert run(LPMN, HUBERT, *own(ready / "IEMOCAP"), **settings) is None
    one, other = weights(cached["output_folder"]), weights(tmp_path / "out")
    assert not same_weights(cached["output_folder"], tmp_path / "out")
    before = source_weights(small_hubert)
    apart = moved = 0.0
    for name, value in one.items():
        difference = (value - other[name]).float().norm()
        if name in before:
            apart += difference**2
            moved += (value - before[name]).norm() ** 2
        else:
            assert difference <= 5e-3 * value.float().norm(), name
    # of 1e-3 after a step; each block's steps see the last ones' difference
    assert (apart / moved) ** 0.5 < 0.04
    curves = [
        results(folder)[1]
        for folder in (cached["output_folder"], tmp_path / "out")
    ]
    for kept, wave in zip(*curves):
        for name in ("train_loss", "valid_loss", "quantization_loss"):
            assert float(kept[name]) == pytest.approx(
                float(wave[name]), rel=1e-2
            )
    same = [
        posteriors(folder, "evaluation")
        for folder in (cached["output_folder"], tmp_path / "out")
    ]
    for key, posterior in same[0].items():
        assert posterior == pytest.approx(same[1][key], abs=5e-3)


# Exactness


def test_killed_and_started_again_is_as_never_stopped(
    tuned, ready, tmp_path, environment
):
    """SIGKILL in the second epoch; frames kept, dropout and reseeding on."""
    whole = tuned["last2"]["output_folder"]
    settings = tuned["last2"] | {
        "output_folder": tmp_path / "killed",
        "cache_folder": tmp_path / "frames",
        "ckpt_interval_minutes": 0,
        "ckpt_interval_steps": 3,
    }
    arguments = own(ready / "IEMOCAP")
    process = subprocess.Popen(
        [sys.executable, str(LPMN), *words(HUBERT, **settings)]
        + [str(word) for word in arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        text=True,
    )
    while not in_second_epoch(tmp_path / "killed"):
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "killed" / "metrics.json").exists()
    assert len(table(tmp_path / "killed" / "curves.csv")) == 1

    assert run(LPMN, HUBERT, *arguments, **settings) is None
    log = (tmp_path / "killed" / "log.txt").read_text()
    assert log.count("epoch 1/3:") == 1
    used = [float(row["used_prototypes"]) for row in results(whole)[1]]
    assert min(used[:-1]) < 64  # some were drawn anew
    assert same_weights(whole, tmp_path / "killed")
    assert results(whole) == results(tmp_path / "killed")
    for name in ("prototypes.csv", "figures/selection.png"):
        one, other = (whole / name, tmp_path / "killed" / name)
        assert one.read_bytes() == other.read_bytes(), name


def test_killed_while_filling_is_as_never_stopped(
    tuned, ready, small_hubert, tmp_path
):
    """A third of the frames is there: the rest is computed to the same bits."""
    held = {}  # the fine-tuned run's cache is that of one frozen block
    for path in small_hubert["cache_folder"].iterdir():
        about = json.loads((path / "cache.json").read_text())
        held[about["frozen_blocks"]] = path
    partly = tmp_path / "frames" / held[1].name
    shutil.copytree(held[1], partly)
    names = sorted(path.name for path in partly.glob("*.npy"))
    for name in names[::3] + names[1::3]:
        (partly / name).unlink()
    settings = tuned["last2"] | {
        "output_folder": tmp_path / "out",
        "cache_folder": tmp_path / "frames",
    }
    assert run(LPMN, HUBERT, *own(ready / "IEMOCAP"), **settings) is None
    different = [
        name
        for name in names
        if (partly / name).read_bytes() != (held[1] / name).read_bytes()
    ]
    assert different == []
    assert same_weights(tuned["last2"]["output_folder"], tmp_path / "out")


@pytest.fixture(scope="module")
def processes(base, ready, environment):
    """What one process with batches of 8 leaves, and two with 4 each."""
    worker = ROOT / "tests" / "recipes" / "two_processes_lpmn.py"
    held = []
    for n, batch in ((1, 8), (2, 4)):
        launch = [sys.executable]
        if n == 2:
            launch += ["-m", "torch.distributed.run", "--standalone"]
            launch += ["--nproc_per_node=2"]
        out = base / f"processes{n}"
        done = subprocess.run(
            [*launch, str(worker), str(ready), str(out), str(batch)],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        held += [
            torch.load(out / f"rank{rank}.pt", weights_only=True)
            for rank in range(n)
        ]
    return held


@pytest.mark.parametrize("corpus", ["IEMOCAP", "MER2023"])
def test_two_processes_are_as_one(corpus, processes):
    """Importance, codebook, counts, losses, weights; bit equal on both sides."""
    one, two, other = (held[corpus] for held in processes)
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
def test_labels_of_the_evaluation_reach_no_weight(selection, ready, tmp_path):
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
            "select": None,
            "drawn": next(iter(read_annotation(str(folder / "test.json")))),
            "lr": 0.02,
            "output_folder": tmp_path / "runs" / name,
        }
        assert run(LPMN_MER2023, LOGMEL, *own(folder), **settings) is None
    runs = tmp_path / "runs"
    assert same_weights(runs / "as is", runs / "test")
    metrics = [results(runs / name)[0] for name in ("as is", "test")]
    assert metrics[0]["selected_epoch"] == metrics[1]["selected_epoch"]
    scores = [held["metrics"] for held in metrics]
    assert scores[0]["validation"] == scores[1]["validation"]
    for name in ("confusion", "valence_MSE"):
        assert scores[0]["evaluation"][name] != scores[1]["evaluation"][name]
    if selection == "last":
        assert not same_weights(runs / "as is", runs / "train")


# The codebook


def test_codebook_sees_no_emotion(ready, learn, base, tmp_path):
    """Annotations with and without emotions: bit for bit one codebook."""
    annotation = read_annotation(str(ready / "IEMOCAP" / "train.json"))
    for entry in annotation.values():
        entry.pop("emotion")
        entry.pop("speaker")
    bare = tmp_path / "bare.json"
    write_annotation(str(bare), annotation)
    path = ready / "IEMOCAP" / "train.json"
    assert learn("with emotions", train_annotation=path) is None
    assert learn("without", train_annotation=bare) is None
    one, other = (
        torch.load(base / name / "codebook.ckpt", weights_only=True)
        for name in ("with emotions", "without")
    )
    assert one["prototypes"].shape == (16, 32)
    assert torch.equal(one["prototypes"], other["prototypes"])
    about = json.loads((base / "without" / "codebook.json").read_text())
    assert about["sizes"] == {"train": len(annotation)}


def test_codebook_learns_from_a_folder(codebook, speech):
    """All audio in folders below it, by Eq. 1 alone."""
    about = json.loads((codebook.parent / "codebook.json").read_text())
    assert about["sizes"] == {"train": 30}
    curves = table(codebook.parent / "curves.csv")
    losses = [float(row["train_loss"]) for row in curves]
    assert losses[1] < losses[0]
    assert figures(codebook.parent) == {"curves"}


def test_codebook_is_what_lpmn_begins_with(codebook, ready, small_hubert, base):
    """Without a learning rate a run keeps them; its metrics name the file."""
    settings = QUICK | small_hubert
    settings |= {"number_of_epochs": 1, "lr": 0.0, "codebook": codebook}
    settings |= {"output_folder": base / "kept"}
    arguments = own(ready / "IEMOCAP")
    assert run(LPMN, HUBERT, *arguments, **settings) is None
    learnt = torch.load(codebook, weights_only=True)["prototypes"]
    held = weights(base / "kept")["pooling.codebook.prototypes"]
    assert torch.equal(held, learnt)
    settings |= {"codebook": None, "output_folder": base / "drawn"}
    assert run(LPMN, HUBERT, *arguments, **settings) is None
    held = weights(base / "drawn")["pooling.codebook.prototypes"]
    assert not torch.equal(held, learnt)


def test_another_codebook_is_another_run(ready, tmp_path):
    """The file's bytes are in the key, and claim the folder."""
    script = import_script(LPMN)
    path = tmp_path / "codebook.ckpt"
    run_opts = RunOptions()
    overrides = {
        f"{name}_annotation": str(ready / "IEMOCAP" / f"{name}.json")
        for name in PARTS.values()
    }
    overrides |= {"skip_prep": True, "codebook": str(path), "select": None}
    overrides |= {"n_prototypes": 16}
    text = recipe.with_overrides("", **overrides)

    def key():
        """Of the run, as a new process finds it."""
        planned = script.plan(str(LPMN.parent / LOGMEL), text)
        return planned.key(run_opts)

    torch.save({"prototypes": torch.randn(16, 64)}, path)
    first = key()
    assert key() == first
    settings = QUICK | {"codebook": path, "output_folder": tmp_path / "out"}
    settings |= {"number_of_epochs": 1}
    assert run(LPMN, LOGMEL, *own(ready / "IEMOCAP"), **settings) is None
    torch.save({"prototypes": torch.randn(16, 64)}, path)
    assert key() != first
    error = run(LPMN, LOGMEL, *own(ready / "IEMOCAP"), **settings)
    assert (
        error.startswith("error: ")
        and "holds a run with files = {'codebook'" in error
    )


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


def check_sentence(error, said):
    """An error as a user should read it."""
    assert isinstance(error, str) and error.startswith("error: ")
    assert "\n" not in error
    assert re.search(said, error), error


# Selection


def test_all_prototypes_selected_is_the_probe_on_all(finished):
    """K' = K, by importance and at random: the same predictions."""
    folder = finished[0]["output_folder"]
    every = posteriors(folder, "evaluation_all")
    for part in ("evaluation_16", "evaluation_random_16"):
        found = posteriors(folder, part)
        assert found.keys() == every.keys()
        for key, posterior in every.items():
            assert found[key] == pytest.approx(posterior, abs=2e-3)
            assert np.argmax(found[key]) == np.argmax(posterior)
    fewer = posteriors(folder, "evaluation_8")
    assert any(
        fewer[key] != pytest.approx(posterior, abs=0.02)
        for key, posterior in every.items()
    )


def test_selected_are_the_most_important(finished):
    """prototypes.csv; the random sets are others, and drawn once for all."""
    settings, _ = finished
    folder = settings["output_folder"]
    rows = table(folder / "prototypes.csv")
    check_prototypes(rows, weights(folder), (16, 8, 4))
    order = [int(row["prototype"]) for row in rows]
    kept = [reload(settings).kept for _ in range(2)]
    for size in (8, 4):
        assert kept[0][str(size)].tolist() == order[:size]
        random = kept[0][f"random_{size}"].tolist()
        assert len(set(random)) == size
        assert set(random) != set(order[:size])
        assert random == kept[1][f"random_{size}"].tolist()


def reload(settings):
    """The Brain of a finished run, with its selected weights."""
    script = import_script(LPMN)
    overrides = {
        name: value if isinstance(value, (int, float)) else str(value)
        for name, value in settings.items()
        if name != "device"
    }
    hparams = recipe.load(
        str(LPMN.parent / LOGMEL), recipe.with_overrides("", **overrides)
    )
    entry = {"wav": "a.wav", "duration": 1.0, "emotion": "ang"}
    parts = {"train": {}, "validation": {}, "evaluation": {"a": entry}}
    brain, _ = script.make_brain(hparams, RunOptions(), parts)
    brain.load_selected()
    return brain


def test_probe_by_hand(finished, ready):
    """Eq. 2 over the kept prototypes alone, utterance by utterance."""
    settings, _ = finished
    folder = settings["output_folder"]
    brain = reload(settings)
    brain.modules.eval()
    rows = table(folder / "prototypes.csv")
    kept = [int(row["prototype"]) for row in rows if row["kept_4"] == "1"]
    prototypes = weights(folder)["pooling.codebook.prototypes"][kept].double()
    prototypes /= prototypes.norm(dim=1, keepdim=True)
    features, truth = {}, {}
    for part, name in PARTS.items():
        path = ready / "IEMOCAP" / f"{name}.json"
        held = read_annotation(str(path))
        truth[part] = [entry["emotion"] for entry in held.values()]
        features[part] = []
        for entry in held.values():
            with torch.no_grad():
                frames, _ = brain.modules.encoder(
                    load_audio(entry)[None], torch.ones(1)
                )
                frames = brain.modules.norm(frames)[0].double()
            best = [0.0] * 4
            for frame in frames:
                cosine = prototypes @ (frame / frame.norm())
                odds = (cosine / 0.3).exp()
                for j, value in enumerate((odds / odds.sum()).tolist()):
                    best[j] = max(best[j], value)
            features[part].append(best)
    features = {part: np.array(rows) for part, rows in features.items()}
    mean, std = features["train"].mean(0), features["train"].std(0)
    scaled = {part: (rows - mean) / std for part, rows in features.items()}
    best = None
    for strength in (0.001, 0.01, 0.1, 1.0):
        model = LogisticRegression(C=strength, max_iter=2000)
        model.fit(scaled["train"], truth["train"])
        score = recall_score(
            truth["validation"],
            model.predict(scaled["validation"]),
            average="macro",
        )
        if best is None or score > best[0]:
            best = score, model
    places = [list(best[1].classes_).index(word) for word in FOUR]
    expected = best[1].predict_proba(scaled["evaluation"])[:, places]
    found = list(posteriors(folder, "evaluation_4").values())
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert np.ptp(expected, axis=0).max() > 0.01


# The mapping over time


def test_finished_run_draws_without_training(finished, ready, tmp_path):
    """An utterance and a file; weights, key and numbers stay as they are."""
    settings, arguments = finished
    folder = settings["output_folder"]
    before, state = results(folder), weights(folder)
    key = next(iter(read_annotation(str(ready / "IEMOCAP" / "train.json"))))
    time_axis = np.arange(12000) / 16000
    sf.write(tmp_path / "a tone.wav", 0.3 * np.sin(2000 * time_axis), 16000)
    assert f"mapping_{key}" not in figures(folder)
    stamp = os.stat(folder / "curves.csv").st_mtime_ns
    for name in (key, tmp_path / "a tone.wav"):
        more = settings | {"drawn": name}
        assert run(LPMN, LOGMEL, *arguments, **more) is None
    assert {f"mapping_{key}", "mapping_a tone"} <= figures(folder)
    assert os.stat(folder / "curves.csv").st_mtime_ns == stamp
    assert results(folder) == before
    held = weights(folder)
    assert all(torch.equal(value, held[name]) for name, value in state.items())


@pytest.mark.parametrize("name", ["nobody", "5", "{tmp}", "{tmp}/text.wav"])
def test_nobody_is_drawn_before_training(name, ready, tmp_path):
    """An unknown utterance, a number, a folder, a file without sound."""
    (tmp_path / "text.wav").write_text("no sound")
    name = name.format(tmp=tmp_path)
    settings = SMALL | {"drawn": name, "output_folder": tmp_path / "out"}
    error = run(LPMN, LOGMEL, *own(ready / "IEMOCAP"), **settings)
    check_sentence(error, re.escape(name))
    assert not (tmp_path / "out").exists()


# Bad input


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"select": 17}, "--select 17: .* from 1 to 16"),
        ({"select": "[8, 0]"}, "--select 0"),
        ({"select": "words"}, "--select words: "),
        ({"select": 8.5}, "--select.*8.5"),
        ({"select": "[8.7]"}, "--select.*8.7"),
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
        for name in PARTS.values()
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


@pytest.mark.parametrize(
    "settings, said",
    [
        ({}, "--audio_folder.*--train_annotation"),
        ({"audio_folder": "/nowhere/at/all"}, "/nowhere/at/all is missing"),
        ({"audio_folder": "{tmp}"}, "holds no audio"),
        ({"train_annotation": "{tmp}/no.json"}, "no.json.*missing"),
        (
            {"audio_folder": "{tmp}", "train_annotation": "{tmp}/no.json"},
            "--audio_folder.*--train_annotation",
        ),
    ],
)
def test_codebook_without_speech_is_one_sentence(
    settings, said, learn, tmp_path
):
    """None, nowhere, of no audio, or two sources."""
    settings = {k: v.format(tmp=tmp_path) for k, v in settings.items()}
    error = learn("nothing", output_folder=tmp_path / "out", **settings)
    check_sentence(error, said)
    assert not (tmp_path / "out").exists()


# Precision, tables


def test_bfloat16(tuned, ready, tmp_path):
    """Finite losses and importance, a report; not the numbers of float32."""
    settings = tuned["last2"] | {"output_folder": tmp_path / "out"}
    settings |= {"precision": "bf16", "select": None, "number_of_epochs": 1}
    assert run(LPMN, HUBERT, *own(ready / "IEMOCAP"), **settings) is None
    metrics, (row,), _ = results(tmp_path / "out")
    assert metrics["run_options"] == {"precision": "bf16"}
    float32 = results(tuned["last2"]["output_folder"])[1][0]
    for name in ("train_loss", "quantization_loss"):
        assert row[name] != float32[name]
        expected = pytest.approx(float(float32[name]), rel=0.02)
        assert float(row[name]) == expected
    held = weights(tmp_path / "out")
    assert all(value.isfinite().all() for value in held.values())
    assert (held["importance.importance"] > 0).all()


def test_table_4_from_the_recipe_itself(environment, tmp_path):
    """Two folds: one run each serves all rows, the table holds its numbers."""
    path = ROOT / "tables" / "IEMOCAP" / "lpmn_table4.yaml"
    command = [sys.executable, "-m", "speechbrain_ser.table", str(path)]
    command += ["--results_folder", str(tmp_path), "--hparams", LOGMEL]
    command += ["--number_of_epochs", "1", "--n_prototypes", "512"]
    command += [
        "--device",
        "cpu",
        "--jobs",
        "2",
        "--drawn",
        "[Ses01F_impro01_F000]",
    ]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
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
            "LPMN-1024": "evaluation",
            "linear probe on all": "evaluation_all",
        }.get(row["row"], f"evaluation_{name}")
        numbers = [held["metrics"][part][row["metric"]] for held in runs]
        mean = 100 * sum(numbers) / 2
        assert float(row["mean"]) == pytest.approx(mean, abs=1e-5)
        assert row["runs"] == "2"
    assert len({row["mean"] for row in rows}) > 6
