"""The GMP-ATL recipe, run as its users run it."""

import csv
import json
import os
import shutil
import signal

import matplotlib.figure
import numpy as np
import pytest
import safetensors.torch
import soundfile as sf
import torch
import transformers

from conftest import save_ssl_model
from speechbrain_ser.corpora.annotations import (
    read_annotation,
    write_annotation,
)
from speechbrain_ser.corpora.iemocap import read_iemocap
from speechbrain_ser.corpora.mini import gendered_iemocap as mini
from speechbrain_ser.corpora.protocols.iemocap import LEAVE_ONE_SESSION_OUT
from speechbrain_ser.data.frame_cache import FrameCache
from speechbrain_ser.data.pseudo_labels import PseudoLabels
from speechbrain_ser.lobes.ssl import SSLEncoder
from speechbrain_ser.table.command import main as make_table
from tests import processes
from tests.recipes import helpers, two_processes_gmp
from tests.recipes.helpers import (
    GMP_ATL,
    PARTS,
    check_sentence,
    figures,
    own,
    results,
    run_recipe,
    same_weights,
    table,
    undrawn,
    words,
)
from tests.references import gmp_atl as reference

PAPER = "hparams/gmp_atl.yaml"
FOUR = ["ang", "hap", "sad", "neu"]
SIZES = [4, 8]
STAGES = {"multitask", "labels", "retrained"}
BRAINS = ("multitask", "retraining", "finetuning")
DRAWN = {"clusters", "masked_prediction", "confusion", "curves", "embedding"}
DRAWN |= {"reliability"}
CLOCK = ("wall_seconds", "folder")


def small_pictures(patch):
    """Draws all, on few dots."""
    save = matplotlib.figure.Figure.savefig
    patch.setattr(
        matplotlib.figure.Figure,
        "savefig",
        lambda self, path, **more: save(self, path, **more | {"dpi": 15}),
    )


def run(*arguments, drawn=False, **settings):
    """Runs the recipe in this process; returns its error or None.

    Drawn where pictures are compared; else they are made, and not saved.
    """
    with pytest.MonkeyPatch.context() as patch:
        (small_pictures if drawn else undrawn)(patch)
        line = words(PAPER, **settings)
        return run_recipe(patch, *line, *arguments, script=GMP_ATL)


def run_drawn_until(*arguments):
    """As `run_until`, with pictures, which are compared."""
    helpers.undrawn = small_pictures
    helpers.run_until(*arguments)


def read_parts(folder):
    """The annotations of a folder, by part."""
    return {
        part: read_annotation(str(folder / f"{part}.json")) for part in PARTS
    }


def few(annotation, each):
    """So many utterances of each class, from all speakers."""
    kept = set()
    for word in FOUR:
        keys = [k for k in annotation if annotation[k]["emotion"] == word]
        kept.update(keys[:: max(1, len(keys) // each)][:each])
    return {key: annotation[key] for key in annotation if key in kept}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A folder for what the tests share."""
    return tmp_path_factory.mktemp("gmp")


@pytest.fixture(scope="module")
def split(mini_folder):
    """The parts of the small mini corpus's first fold."""
    return LEAVE_ONE_SESSION_OUT.split(read_iemocap(mini_folder), fold=1)


@pytest.fixture(scope="module")
def ready(base, split):
    """A folder with annotations of 24, 8 and 8 utterances."""
    for part, each in zip(PARTS, (6, 2, 2)):
        write_annotation(str(base / f"{part}.json"), few(split[part], each))
    return base


@pytest.fixture(scope="module")
def settings(base, ready):
    """Tiny in all respects; where things lie is to be added."""
    (base / "hubert").mkdir()
    return {
        "device": "cpu",
        "ssl_source": save_ssl_model(
            base / "hubert", "hubert", "layer", layers=4
        ),
        "max_duration": 0.6,
        "batch_size": 8,
        "lr": 0.01,
        "lr_warmup": 4,  # of six updates: into the second epoch
        "num_workers": 0,
        "last_epochs": 1,
        "clusters": "8,4",
        "blstm_size": 8,
        "embedding_size": 8,
        "retraining_head_size": 16,
        "cache_folder": base / "frames",
        "figure_utterances": next(
            iter(read_annotation(str(ready / "train.json")))
        ),
    } | {f"{name}_epochs": 2 for name in BRAINS}


def at(settings, folder, **more):
    """Settings of a run of which all lies in one folder."""
    return settings | {
        "output_folder": folder / "out",
        "stages_folder": folder / "stages",
        **more,
    }


@pytest.fixture(scope="module")
def finished(base, ready, settings):
    """The settings of a finished run, all of it in `base`."""
    settings = at(settings, base)
    assert run(*own(ready), drawn=True, **settings) is None
    return settings


def copied(settings, folder):
    """Copies a run and its stages; returns the copy's settings."""
    for name in ("output_folder", "stages_folder"):
        shutil.copytree(settings[name], at({}, folder)[name])
    return at(settings, folder)


def only(settings, name):
    """The folder of a stage, of which there is one."""
    (found,) = settings["stages_folder"].glob(f"{name}-*")
    return found


def without_clock(facts):
    """Facts without what a clock or a path says."""
    if not isinstance(facts, dict):
        return facts
    return {
        name: without_clock(value)
        for name, value in facts.items()
        if name not in CLOCK
    }


def kept(settings):
    """All that stages have left: name, with the folder's, to content."""
    held = {}
    for path in settings["stages_folder"].rglob("*.*"):
        if path.is_dir():
            continue
        content = path.read_bytes()
        if path.name == "stage.json":
            content = without_clock(json.loads(content))
        elif path.name == "curves.csv":
            content = [dict(row, seconds=None) for row in table(path)]
        held[str(path.relative_to(settings["stages_folder"]))] = content
    return held


def stamps(folder):
    """When each file of a folder was written, and its bytes."""
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file() and path.name != "lock"
    }


def report(settings):
    """Metrics, curves and predictions without clock and paths."""
    metrics, *rest = results(settings["output_folder"])
    return without_clock(metrics), *rest


def pictures(settings):
    """The bytes of a run's figures."""
    folder = settings["output_folder"] / "figures"
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def trained(settings):
    """How often an epoch was begun to its end, by the run's log."""
    log = (settings["output_folder"] / "log.txt").read_text()
    return log.count(": train_loss")


# What a run leaves


def test_stages_leave_what_the_readme_says(finished, ready):
    """Encoders that transformers reads, labels, centres; no checkpoints."""
    held = {str(os.path.basename(name)) for name in kept(finished)}
    assert held == {
        "model.safetensors",
        "config.json",
        "preprocessor_config.json",
        "labels.npy",
        "labels.json",
        "centres.safetensors",
        "clusters.png",
        "masked_prediction.png",
        "curves.csv",
        "train_log.txt",
        "stage.json",
    }
    models = [
        transformers.HubertModel.from_pretrained(folder).state_dict()
        for folder in (
            finished["ssl_source"],
            only(finished, "multitask") / "encoder",
            only(finished, "retrained") / "encoder",
        )
    ]
    name = "encoder.layers.3.feed_forward.output_dense.weight"
    assert not models[0][name].equal(models[1][name])
    assert not models[0][name].equal(models[2][name])
    # frozen in the paper's setting
    name = "feature_extractor.conv_layers.0.conv.weight"
    assert models[0][name].equal(models[1][name])
    assert models[0][name].equal(models[2][name])
    for stage in ("multitask", "retrained"):
        rows = table(only(finished, stage) / "curves.csv")
        assert [row["epoch"] for row in rows] == ["1", "2"]
    row = table(only(finished, "multitask") / "curves.csv")[-1]
    assert {"valid_UA", "valid_gender_UA"} <= set(row)
    row = table(only(finished, "retrained") / "curves.csv")[-1]
    for size in SIZES:
        assert 0 < float(row[f"masked_accuracy_{size}"]) < 1
        assert 0 < float(row[f"train_masked_accuracy_{size}"]) < 1
        assert 0 < float(row[f"valid_masked_accuracy_{size}"]) < 1


def test_labels_are_the_nearest_centres(finished, ready):
    """Of the encoder's frames at the layer, for everybody but who tests."""
    folder = only(finished, "labels")
    labels = PseudoLabels(folder)
    parts = read_parts(ready)
    assert set(labels.ids) == set(parts["train"]) | set(parts["valid"])
    assert not {e["speaker"] for e in parts["test"].values()} & set(
        labels.about["speakers"]
    )
    array = np.load(folder / "labels.npy")
    assert array.dtype == np.uint16 and array.shape[1] == 2
    counts = {key: labels.count(key) for key in labels.ids}
    assert len(array) == sum(counts.values())
    # 0.6 s of what trains; what validates is whole
    assert {counts[key] for key in parts["train"]} == {119}
    assert all(counts[key] > 119 for key in parts["valid"])
    centres = safetensors.torch.load_file(folder / "centres.safetensors")
    assert {k: tuple(c.shape) for k, c in centres.items()} == {
        "4": (4, 32),
        "8": (8, 32),
    }
    encoder = SSLEncoder(
        str(only(finished, "multitask") / "encoder"),
        "unused",
        layer=-3,
        frozen=True,
    )
    # -1 is the last of four blocks
    assert encoder.layer == 2
    cache = FrameCache(str(finished["cache_folder"]), encoder)
    key = list(parts["valid"])[3]
    frames = cache.read(parts["valid"][key])
    assert len(frames) == counts[key]
    for i, size in enumerate(SIZES):
        expected = reference.nearest_centres(
            frames[:40].tolist(), centres[str(size)].tolist()
        )
        assert labels.read(key)[:40, i].tolist() == expected.tolist()


def test_report_says_what_the_stages_found(finished, ready):
    """metrics.json; information and shares counted again by the reference."""
    metrics, curves, _ = results(finished["output_folder"])
    assert metrics["labels"] == FOUR  # the words of the confusion matrix
    assert metrics["method"] == "GMP-ATL"
    assert metrics["system"] == "am_softmax with pseudo-labels of layer -3"
    assert set(metrics["metrics"]) == set(PARTS)
    assert set(metrics["stages"]) == STAGES
    for name in STAGES:
        about = json.loads((only(finished, name) / "stage.json").read_text())
        found = dict(metrics["stages"][name])
        assert found.pop("folder") == str(only(finished, name))
        assert found == about["facts"]
    assert len(curves) == 2 and "valid_UA" in curves[0]

    facts = metrics["stages"]["labels"]
    labels = PseudoLabels(only(finished, "labels"))
    train = read_annotation(str(ready / "train.json"))
    for i, size in enumerate(SIZES):
        held, told = [], {"emotion": [], "gender": []}
        for key, entry in train.items():
            found = labels.read(key)[:, i].tolist()
            held += found
            for name, told_of in told.items():
                told_of += [entry[name]] * len(found)
        for name, told_of in told.items():
            expected = reference.normalized_mutual_information(held, told_of)
            found = facts["information"][name][str(size)]["nmi"]
            assert found == pytest.approx(expected, abs=1e-9)
        counts = [held.count(k) for k in range(size)]
        share = facts["most_frequent"][str(size)]
        assert share == pytest.approx(max(counts) / len(held))
        assert facts["empty"][str(size)] == counts.count(0)
    # the retraining is judged by the valid part
    valid = read_annotation(str(ready / "valid.json"))
    held = [k for key in valid for k in labels.read(key)[:, 1].tolist()]
    share = max(held.count(k) for k in range(8)) / len(held)
    found = metrics["stages"]["retrained"]["most_frequent"]["8"]
    assert found == pytest.approx(share)


def test_figures(finished):
    """Those of the stages beside the run's own."""
    names = figures(finished["output_folder"])
    assert names == DRAWN | {f"labels_{finished['figure_utterances']}"}
    held = pictures(finished)
    for stage, name in (
        ("labels", "clusters.png"),
        ("retrained", "masked_prediction.png"),
    ):
        path = only(finished, stage) / "figures" / name
        assert path.read_bytes() == held[name]
    rows = table(finished["output_folder"] / "predictions.csv")
    assert {row["part"] for row in rows} == set(PARTS) and len(rows) == 40


def test_same_command_again_trains_nothing(finished, ready, tmp_path):
    """The same report; stages and checkpoint as they were."""
    settings = copied(finished, tmp_path)
    before = stamps(settings["stages_folder"])
    epochs = trained(settings)
    assert run(*own(ready), drawn=True, **settings) is None
    assert stamps(settings["stages_folder"]) == before
    assert trained(settings) == epochs == 6
    assert report(settings) == report(finished)
    assert pictures(settings) == pictures(finished)
    assert same_weights(settings["output_folder"], finished["output_folder"])
    assert not (settings["output_folder"] / "earlier").exists()


def test_any_utterance_with_labels_is_drawn(finished, ready, tmp_path):
    """Of the valid part, too; and the speaker is probed; nothing is trained."""
    settings = copied(finished, tmp_path)
    key = next(iter(read_annotation(str(ready / "valid.json"))))
    more = {"figure_utterances": key, "speaker_probe": True}
    assert run(*own(ready), **settings | more) is None
    train = read_annotation(str(ready / "train.json"))
    speakers = {entry["speaker"] for entry in train.values()}
    found = report(settings)[0]["leakage"]
    assert found["utterances"] == len(train) - found["left_out"]
    assert found["speakers"] + found["left_out"] == len(speakers)
    added = figures(settings["output_folder"]) - set(
        figures(finished["output_folder"])
    )
    assert added == {f"labels_{key}"}
    assert trained(settings) == trained(finished)


# Other rows


def test_another_loss_shares_the_stages(finished, ready, tmp_path):
    """Pseudo-labels with cross entropy: only stage 3 is made."""
    settings = copied(finished, tmp_path)
    settings |= {"output_folder": tmp_path / "ce", "loss": "ce"}
    before = stamps(settings["stages_folder"])
    assert run(*own(ready), **settings) is None
    assert stamps(settings["stages_folder"]) == before
    assert trained(settings) == 2
    metrics = report(settings)[0]
    assert metrics["system"] == "ce with pseudo-labels of layer -3"
    assert metrics["stages"] == report(finished)[0]["stages"]
    assert not same_weights(tmp_path / "ce", finished["output_folder"])


def test_rows_without_pseudo_labels(finished, ready, tmp_path):
    """The pre-trained encoder is fine-tuned: no stages, no genders needed."""
    for name in PARTS:
        annotation = read_annotation(str(ready / f"{name}.json"))
        for entry in annotation.values():
            del entry["gender"]
        write_annotation(str(tmp_path / f"{name}.json"), annotation)
    settings = at(finished, tmp_path, loss="ce", pseudo_labels="off")
    assert run(*own(tmp_path), **settings) is None
    assert not settings["stages_folder"].exists()
    metrics = report(settings)[0]
    assert metrics["system"] == "ce without pseudo-labels"
    assert "stages" not in metrics
    names = DRAWN - {"clusters", "masked_prediction"}
    assert figures(settings["output_folder"]) == names


def test_another_layer_in_the_same_folder(finished, ready, tmp_path, capsys):
    """Stage 1's training is shared; what changed is said; nothing is lost."""
    settings = copied(finished, tmp_path)
    before = stamps(only(settings, "multitask"))
    first = {name: only(settings, name) for name in STAGES}
    assert run(*own(ready), **settings | {"layer": -2}) is None
    said = capsys.readouterr().out
    runs_again = [line for line in said.splitlines() if "runs again" in line]
    assert "pseudo-labels" in runs_again[0]
    assert "layer was -3, is -2" in runs_again[0]
    assert runs_again[0].endswith(first["labels"].name)
    assert "retraining" in runs_again[1] and len(runs_again) == 2
    assert "stage 1 (multi-task training) is there" in said
    assert stamps(only(settings, "multitask")) == before
    folders = {path.name for path in settings["stages_folder"].iterdir()}
    assert {path.name for path in first.values()} < folders
    assert len(folders) == 5
    assert report(settings)[0]["stages"]["labels"]["layer"] == -2

    (earlier,) = (settings["output_folder"] / "earlier").iterdir()
    assert report({"output_folder": earlier}) == report(finished)
    assert same_weights(earlier, finished["output_folder"])
    assert not same_weights(earlier, settings["output_folder"])


def test_table_finds_the_runs(finished, ready, tmp_path):
    """Their numbers fill a table, without a run of its own."""
    settings = copied(finished, tmp_path / "results")
    overrides = {
        name: str(value) if isinstance(value, os.PathLike) else value
        for name, value in settings.items()
        if name not in ("device", "output_folder", "stages_folder")
    }
    overrides |= {"skip_prep": True}
    for name in PARTS:
        overrides[f"{name}_annotation"] = str(ready / f"{name}.json")
    columns = {
        "UAR (%)": {"metric": "UA", "split": "test"},
        "sadness (%)": {"metric": "recall_sad", "split": "train"},
    }
    plan = {
        "title": "Table",
        "script": str(GMP_ATL),
        "hparams": str(GMP_ATL.parent / PAPER),
        "seeds": [1],
        "rows": {"all": {}},
        "columns": columns,
        "overrides": overrides,
    }
    path = tmp_path / "plan.yaml"
    path.write_text(json.dumps(plan))
    arguments = [str(path), "--results_folder", str(tmp_path / "results")]
    assert make_table(arguments) == 0
    (file,) = tmp_path.glob("results/tables/**/table.csv")
    rows = {row["column"]: row for row in table(file)}
    metrics = report(settings)[0]["metrics"]
    found = [float(rows[name]["mean"]) for name in columns]
    assert found == pytest.approx(
        [
            100 * metrics["test"]["UA"],
            100 * metrics["train"]["recall"]["sad"],
        ]
    )
    assert not (tmp_path / "results" / "runs").exists()


# Stages apart


def test_stages_one_after_the_other(finished, ready, tmp_path, capsys):
    """Refused while one is missing; then the same bits as all at once."""
    settings = at(finished, tmp_path, cache_folder=tmp_path / "frames")

    def refused(stages, said):
        """One sentence that names the stage, and nothing is made."""
        before = kept(settings)
        error = run(*own(ready), **settings, stages=stages)
        check_sentence(error, rf"{said} is not there.*--stages 1,2,3")
        assert kept(settings) == before
        assert not (settings["output_folder"] / "curves.csv").exists()

    refused("2,3", r"stage 1 \(multi-task training\)")
    refused(3, r"stage 1 \(multi-task training\)")
    assert run(*own(ready), drawn=True, **settings, stages=1) is None
    assert {name.split("-")[0] for name in kept(settings)} == {
        "multitask",
        "labels",
    }
    assert not (settings["output_folder"] / "metrics.json").exists()
    refused(3, r"stage 2 \(retraining\)")
    capsys.readouterr()
    assert run(*own(ready), drawn=True, **settings, stages=2) is None
    # no stage leans on what the one before left in memory
    assert run(*own(ready), drawn=True, **settings, stages="2,3") is None
    assert "runs again" not in capsys.readouterr().out
    assert kept(settings) == kept(finished)
    assert report(settings) == report(finished)
    assert pictures(settings) == pictures(finished)
    assert same_weights(settings["output_folder"], finished["output_folder"])


def test_mini_corpus_without_a_data_folder(
    mini_folder, tmp_path, monkeypatch, capsys
):
    """As typed, two batches of everything; from scratch, on synthetic speech."""
    undrawn(monkeypatch)
    monkeypatch.setattr(mini, "mini_gendered_iemocap", lambda: mini_folder)
    cache = tmp_path.parent / "cache"
    monkeypatch.setenv("SPEECHBRAIN_SER_CACHE", str(cache))
    monkeypatch.chdir(tmp_path)
    line = [PAPER, "--debug", "--noprogressbar", "--device", "cpu"]
    line += ["--clusters", "4", "--max_duration", "0.5"]
    assert run_recipe(monkeypatch, *line, script=GMP_ATL) is None
    said = capsys.readouterr().out
    assert "mini corpus" in said and "say nothing about IEMOCAP" in said
    (path,) = tmp_path.rglob("metrics.json")
    results = tmp_path / "results" / "gmp_atl_small" / "mini"
    assert path.parent == results / "on-am_softmax-3" / "fold1" / "1"
    metrics = json.loads(path.read_text())
    assert metrics["protocol"] == "iemocap-5fold-loso@1"
    assert metrics["hparams"] == "gmp_atl_small.yaml"
    parts = read_parts(path.parent)
    speakers = {
        part: {entry["speaker"] for entry in annotation.values()}
        for part, annotation in parts.items()
    }
    assert speakers["test"] == {"Ses01_F", "Ses01_M"}
    (folder,) = (results / "stages").glob("labels-*")
    assert set(PseudoLabels(folder).about["speakers"]) == (
        speakers["train"] | speakers["valid"]
    )
    assert not speakers["train"] & speakers["test"]
    drawn = figures(path.parent) - DRAWN
    emotions = [
        parts["train"][name.removeprefix("labels_")]["emotion"]
        for name in drawn
    ]
    assert sorted(emotions) == sorted(FOUR)


# Leaks


def turned(folder, ready, *parts, genders=True, audio=False):
    """Writes the annotations; some parts' words turned, audio replaced."""
    emotions = dict(zip(FOUR, FOUR[1:] + FOUR[:1]))
    generator = np.random.default_rng(0)
    folder.mkdir()
    for name in PARTS:
        annotation = read_annotation(str(ready / f"{name}.json"))
        for key, entry in annotation.items() if name in parts else ():
            entry["emotion"] = emotions[entry["emotion"]]
            if genders:
                entry["gender"] = {"F": "M", "M": "F"}[entry["gender"]]
            if audio:
                entry["wav"] = str(folder / f"{key}.wav")
                noise = 0.1 * generator.standard_normal(entry["stop"])
                sf.write(entry["wav"], noise, 16000)
        write_annotation(str(folder / f"{name}.json"), annotation)
    return own(folder)


def test_test_part_reaches_no_stage(finished, ready, tmp_path):
    """Other labels, genders and audio: the same stages, bit for bit."""
    settings = at(finished, tmp_path, cache_folder=tmp_path / "frames")
    arguments = turned(tmp_path / "parts", ready, "test", audio=True)
    assert run(*arguments, drawn=True, **settings, stages="1,2") is None
    assert kept(settings) == kept(finished)
    assert len(list((tmp_path / "frames").rglob("*.npy"))) == 32


def test_train_does_reach_the_stages(finished, ready, tmp_path):
    """The test above can fail: turned labels of train change the encoder."""
    settings = at(finished, tmp_path)
    arguments = turned(tmp_path / "parts", ready, "train", "valid")
    assert run(*arguments, **settings, stages="1") is None
    for stage, name in (
        ("multitask", "encoder/model.safetensors"),
        ("labels", "centres.safetensors"),
    ):
        one, other = only(settings, stage), only(finished, stage)
        assert one.name != other.name
        assert (one / name).read_bytes() != (other / name).read_bytes()


def test_valid_part_moves_no_centre(finished, ready, tmp_path):
    """Other labels and audio of it: it chooses the epoch, and no more."""
    settings = {
        name: at(finished, tmp_path / name, model_selection="last")
        for name in ("as is", "turned")
    }
    arguments = {
        "as is": own(ready),
        "turned": turned(
            tmp_path / "parts", ready, "valid", genders=False, audio=True
        ),
    }
    for name, held in settings.items():
        assert run(*arguments[name], **held, stages="1,2") is None
    for stage, file in (
        ("multitask", "encoder/model.safetensors"),
        ("labels", "centres.safetensors"),
        ("retrained", "encoder/model.safetensors"),
    ):
        one, other = (only(held, stage) / file for held in settings.values())
        assert one.read_bytes() == other.read_bytes(), stage
    labels = [PseudoLabels(only(x, "labels")) for x in settings.values()]
    train = read_annotation(str(ready / "train.json"))
    valid = read_annotation(str(ready / "valid.json"))
    for key in labels[0].ids:
        same = labels[0].read(key).equal(labels[1].read(key))
        assert same == (key in train) and (key in valid) != same


# Exactness


KILLED = [  # the place, and the call of it that is never made
    ("speechbrain_ser.data.kmeans:iterate", 13),
    ("speechbrain_ser.methods.gmp_atl:RetrainingBrain.fit_batch", 5),
    ("speechbrain_ser.lobes.ssl:SSLEncoder.export", 1),
    ("speechbrain_ser.methods.gmp_atl:FineTuningBrain.fit_batch", 5),
]


def test_killed_anywhere_is_as_never_stopped(finished, ready, tmp_path):
    """SIGKILL in stages 1 to 3: in k-means, in training, before an export."""
    settings = at(finished, tmp_path, cache_folder=tmp_path / "frames")
    settings |= {"ckpt_interval_minutes": 0, "ckpt_interval_steps": 2}
    line = words(PAPER, **settings) + [str(word) for word in own(ready)]
    for place, count in KILLED:
        killed = processes.run(run_drawn_until, place, count, GMP_ATL, line)
        assert killed.returncode == -signal.SIGKILL, place
        assert not (settings["output_folder"] / "metrics.json").exists()
    assert run(*own(ready), drawn=True, **settings) is None
    # each stage's two epochs ended once; its last k-means was not begun anew
    assert trained(settings) == 6
    log = (settings["output_folder"] / "log.txt").read_text()
    assert "centres go on at iteration" in log
    assert kept(settings) == kept(finished)
    assert report(settings) == report(finished)
    assert pictures(settings) == pictures(finished)
    assert same_weights(settings["output_folder"], finished["output_folder"])


@pytest.fixture(scope="module")
def two_sides(base, ready, settings):
    """What one process with batches of 8 leaves, and two with 4 each."""
    source = base / "without dropout"
    shutil.copytree(settings["ssl_source"], source)
    config = json.loads((source / "config.json").read_text())
    config |= {name: 0.0 for name in config if "dropout" in name}
    (source / "config.json").write_text(json.dumps(config))
    one, two = base / "one process", base / "two processes"
    main = two_processes_gmp.main
    main(ready, one, 8, str(source))
    processes.run_ranks(main, str(ready), str(two), 4, str(source))
    return [
        torch.load(path, weights_only=True)
        for path in (one / "rank0.pt", two / "rank0.pt", two / "rank1.pt")
    ]


@pytest.mark.parametrize("stage", BRAINS)
def test_two_processes_are_as_one(stage, two_sides):
    """Weights, losses and shares; bit equal on both sides."""
    one, two, other = (held[stage] for held in two_sides)
    assert one.keys() == two.keys()
    for key, value in one.items():
        assert torch.equal(two[key], other[key]), key
        torch.testing.assert_close(
            two[key], value, atol=1e-5, rtol=1e-5, msg=lambda m: f"{key}: {m}"
        )
    assert one["moved"] > 0.01  # much more than that


def test_two_processes_run_the_recipe(settings, ready, tmp_path):
    """All stages; each frame is extracted once, by one of them."""
    settings = at(settings, tmp_path, cache_folder=tmp_path / "frames")
    settings |= {"batch_size": 4, "distributed_backend": "gloo"}
    settings |= {f"{name}_epochs": 1 for name in BRAINS} | {"lr_warmup": 2}
    line = words(PAPER, **settings)
    line += map(str, own(ready))
    ranks = processes.run_ranks(processes.as_script, GMP_ATL, *line)
    said = "".join(rank.stdout for rank in ranks)
    for title in ("(multi-task", "(pseudo-labels)", "(retraining)"):
        lines = [x for x in said.splitlines() if title in x]
        assert len(lines) == 1 and "begins" in lines[0]
    assert {name.split("-")[0] for name in kept(settings)} == STAGES
    assert trained(settings) == 3
    metrics = report(settings)[0]
    assert metrics["processes"] == 2
    assert set(metrics["stages"]) == STAGES
    assert len(list((tmp_path / "frames").rglob("*.npy"))) == 32
    log = (settings["output_folder"] / "log.txt").read_text()
    (line,) = [x for x in log.splitlines() if "frames of layer -3" in x]
    computed = int(line.split("layer -3: ")[1].split()[0])
    assert 0 < computed < 32 and f", {32 - computed} were in" in line


# Pseudo-labels of another run


@pytest.fixture(scope="module")
def given(base, finished, ready):
    """A finished run with the pseudo-labels of `finished`; its own stages."""
    settings = at(finished, base / "given")
    settings |= {"pseudo_label_folder": only(finished, "labels")}
    assert run(*own(ready), drawn=True, **settings) is None
    return settings


def test_labels_of_another_run_give_its_stage_2(given, finished):
    """The same weights; stage 1 is not made."""
    assert {name.split("-")[0] for name in kept(given)} == {"retrained"}
    for name in ("encoder/model.safetensors", "figures/masked_prediction.png"):
        one, other = (only(x, "retrained") / name for x in (given, finished))
        assert one.read_bytes() == other.read_bytes()
    assert same_weights(given["output_folder"], finished["output_folder"])
    metrics = report(given)[0]
    assert metrics["metrics"] == report(finished)[0]["metrics"]
    assert set(metrics["stages"]) == {"retrained"}
    assert "pseudo_label_folder" in metrics["files"]
    drawn = figures(given["output_folder"])
    assert drawn == figures(finished["output_folder"]) - {"clusters"}


def check_refused(said, arguments, settings, out):
    """One sentence, no folder, and nothing changed among the stages."""
    before = kept(settings) if settings["stages_folder"].exists() else None
    error = run(*arguments, **settings | {"output_folder": out})
    check_sentence(error, said)
    assert not out.exists()
    if before is None:
        assert not settings["stages_folder"].exists()
    else:
        assert kept(settings) == before


@pytest.mark.parametrize("made", [False, True], ids=["nothing", "stage 2"])
def test_labels_of_another_layer_are_refused(made, given, ready, tmp_path):
    """Also where stage 2 with these labels is there already."""
    settings = given if made else at(given, tmp_path)
    said = "made from layer -3, this run has layer -2"
    settings = settings | {"layer": -2}
    check_refused(said, own(ready), settings, tmp_path / "out")


def test_labels_of_another_encoder_are_refused(given, ready, tmp_path):
    """Though it has the same frames."""
    (tmp_path / "hubert").mkdir()
    other = save_ssl_model(tmp_path / "hubert", "hubert", "layer", layers=3)
    settings = at(given, tmp_path, ssl_source=other)
    said = "made from encoder .*, this run has encoder"
    check_refused(said, own(ready), settings, tmp_path / "out")


def test_labels_of_another_fold_are_refused(given, ready, split, tmp_path):
    """Whose utterances are tested; whose speakers are; who has none."""
    parts = read_parts(ready)
    known = parts["train"] | parts["valid"]
    speaker = next(iter(known.values()))["speaker"]
    stranger = next(
        (key, entry)
        for key, entry in split["train"].items()
        if entry["speaker"] == speaker and key not in known
    )

    def refused(said, **changed):
        """With some parts changed."""
        for name, part in (parts | changed).items():
            write_annotation(str(tmp_path / f"{name}.json"), part)
        settings = at(given, tmp_path, figure_utterances=None)
        check_refused(said, own(tmp_path), settings, tmp_path / "out")

    test = dict([stranger]) | parts["test"]
    refused(f"made with speech of {speaker}, who is tested here", test=test)
    key = next(iter(parts["train"]))
    moved = {key: dict(parts["train"][key], speaker="renamed")}
    rest = {k: v for k, v in parts["train"].items() if k != key}
    refused(
        "speech of renamed, who is test", train=rest, test=parts["test"] | moved
    )
    train = parts["train"] | dict([stranger])
    refused(f"none of the utterance {stranger[0]}", train=train)


@pytest.mark.parametrize("kind", ["missing", "other", "cut", "longer"])
def test_label_folder_without_labels_is_refused(kind, given, ready, tmp_path):
    """Nothing there, no labels in it, a damaged file, labels of other cuts."""
    folder = tmp_path / "labels"
    settings = at(given, tmp_path, pseudo_label_folder=folder)
    said = str(folder)
    if kind == "other":
        folder.mkdir()
    elif kind != "missing":
        shutil.copytree(given["pseudo_label_folder"], folder)
    if kind == "cut":
        (folder / "labels.npy").write_bytes(
            (folder / "labels.npy").read_bytes()[:-2]
        )
        said = "labels.npy is damaged"
    if kind == "longer":
        settings["max_duration"] = 0.5
        error = run(*own(ready), **settings)
        check_sentence(error, "utterance Ses.* has 99 frames, but 119 pseudo")
        assert not list(settings["stages_folder"].rglob("stage.json"))
        return
    check_refused(said, own(ready), settings, tmp_path / "out")


def test_pieces_of_long_utterances(finished, ready, tmp_path):
    """Labelled and trained on as pieces, evaluated whole; drawn as pieces."""
    settings = at(finished, tmp_path, long_utterances="split")
    train = read_annotation(str(ready / "train.json"))
    longest = max(train, key=lambda key: train[key]["duration"])
    drawn = f"{longest}-2"
    settings |= {"max_duration": 1.0, "figure_utterances": drawn}
    settings |= {f"{name}_epochs": 1 for name in BRAINS} | {"lr_warmup": 0}
    assert run(*own(ready), **settings) is None
    assert drawn in PseudoLabels(only(settings, "labels")).ids
    rows = table(settings["output_folder"] / "predictions.csv")
    expected = {
        key
        for name in PARTS
        for key in read_annotation(str(ready / f"{name}.json"))
    }
    assert {row["id"] for row in rows} == expected
    assert f"labels_{drawn}" in figures(settings["output_folder"])


# Bad input


@pytest.mark.parametrize(
    "made, more, said",
    [
        (False, {"layer": -5}, "--layer is -5, but .* has 4 transformer bl"),
        (True, {"layer": 5}, "--layer is 5, but .* has 4 .* from -4"),
        (False, {"layer": 0}, "--layer is 0"),
        (True, {"clusters": "4,2857"}, "2857 centres.* 2856 frames"),
        (False, {"kmeans_frames": 7}, "8 centres.* 7 frames"),
    ],
    ids=str,
)
def test_what_the_speech_does_not_hold_is_refused(
    made, more, said, finished, ready, tmp_path
):
    """Also where stage 1's training is there already."""
    settings = (finished if made else at(finished, tmp_path)) | more
    check_refused(said, own(ready), settings, tmp_path / "out")


@pytest.mark.parametrize(
    "more, said",
    [
        ({"clusters": "many"}, "--clusters is 'many'"),
        ({"stages": "one"}, "--stages is 'one'"),
        ({"figure_utterances": "nobody"}, "--figure_utterances nobody"),
        ({"pseudo_label_folder": "/nowhere"}, "/nowhere"),
        (
            {
                "pseudo_label_folder": "/nowhere",
                "retraining_start": "multitask",
            },
            "/nowhere is missing",
        ),
        ({"ssl_source": "/no/such/model"}, "/no/such/model"),
        ({"train_annotation": "/no/train.json"}, "/no/train.json"),
        ({"skip_prep": False, "data_folder": "/nowhere"}, "/nowhere"),
    ],
    ids=str,
)
def test_bad_settings_are_one_sentence(more, said, finished, ready, tmp_path):
    """Naming the setting, before anything is written."""
    settings = at(finished, tmp_path)
    arguments = [
        word
        for name, value in zip(own(ready)[::2], own(ready)[1::2])
        if name.removeprefix("--") not in more
        for word in (name, value)
    ]
    check_refused(said, arguments, settings | more, tmp_path / "out")


def change(ready, folder, **genders):
    """Writes annotations with other genders of speakers' first utterances."""
    for name in PARTS:
        annotation = read_annotation(str(ready / f"{name}.json"))
        if name == "train":
            for speaker, gender in genders.items():
                key = next(
                    k for k, e in annotation.items() if e["speaker"] == speaker
                )
                annotation[key].pop("gender")
                if gender is not None:
                    annotation[key]["gender"] = gender
        write_annotation(str(folder / f"{name}.json"), annotation)
    return own(folder)


def test_genders_that_can_not_be_learnt(finished, ready, tmp_path):
    """None, two of a speaker, one of all: in one sentence, before training."""
    settings = at(finished, tmp_path)
    refused = (settings, tmp_path / "out")
    arguments = change(ready, tmp_path, Ses02_M=None)
    said = "utterance Ses02.*: speaker Ses02_M has no gender.*--alpha_e 1"
    check_refused(said, arguments, *refused)
    arguments = change(ready, tmp_path, Ses02_F="M")
    said = "speaker Ses02_F is M in the utterance .* and F in Ses02"
    check_refused(said, arguments, *refused)
    for name in PARTS:
        path = str(tmp_path / f"{name}.json")
        annotation = read_annotation(path)
        for entry in annotation.values():
            entry["gender"] = "F"
        write_annotation(path, annotation)
    said = "all speakers of the train part are F.*--alpha_e 1"
    check_refused(said, own(tmp_path), *refused)


def test_genders_can_be_left_out(finished, ready, tmp_path):
    """With alpha_e = 1 nobody needs one; information is that of emotion."""
    for name in PARTS:
        annotation = read_annotation(str(ready / f"{name}.json"))
        for entry in annotation.values():
            del entry["gender"]
        write_annotation(str(tmp_path / f"{name}.json"), annotation)
    settings = at(finished, tmp_path, alpha_e=1, stages=1)
    assert run(*own(tmp_path), **settings) is None
    about = json.loads((only(settings, "labels") / "stage.json").read_text())
    assert set(about["facts"]["information"]) == {"emotion"}
    (row, _) = csv.DictReader(open(only(settings, "multitask") / "curves.csv"))
    assert "valid_gender_UA" not in row
