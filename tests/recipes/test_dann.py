"""The cross-lingual DANN recipe, run as its users run it."""

import json
import math
import multiprocessing
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import matplotlib.figure
import numpy as np
import pytest
import soundfile as sf
import torch
from sklearn.metrics import recall_score

import speechbrain as sb
from speechbrain_ser.corpora.annotations import (
    read_annotation,
    write_annotation,
)
from speechbrain_ser.corpora.iemocap import read_iemocap
from speechbrain_ser.corpora.mini.iemocap import mini_iemocap
from speechbrain_ser.corpora.protocols.protocol import Protocol
from speechbrain_ser.corpora.recola import read_recola
from speechbrain_ser.evaluation import dann as dann_report
from speechbrain_ser.experiment.evaluate import evaluate
from speechbrain_ser.experiment.hparams import load, with_overrides
from speechbrain_ser.lobes.domain_norm import WAYS
from speechbrain_ser.methods import dann
from speechbrain_ser.table.command import main as make_table
from speechbrain_ser.utils.audio import load_audio
from tests.recipes import two_processes_dann
from tests.recipes.helpers import (
    DANN,
    ROOT,
    check_sentence,
    figures,
    import_script,
    in_second_epoch,
    results,
    run_recipe,
    run_until,
    same_weights,
    table,
    weights,
    words,
)

PAPER = "hparams/dann.yaml"
CLASSES = {"arousal": ["low", "high"], "valence": ["negative", "positive"]}
DIRECTIONS = {
    "rec2iem": ("recola", "iemocap"),
    "iem2rec": ("iemocap", "recola"),
}
# Above which an utterance is of the upper class (section 3.3).
THRESHOLDS = {"recola": 0.0, "iemocap": 2.5}
RATINGS = "RECOLA-Annotation/emotional_behaviour"
LANGUAGES = ("source", "target")
DOMAIN = {"domain_loss", "domain_UA"}


def run(*arguments, drawn=False, **settings):
    """Runs the recipe in this process; returns its error or None."""
    with pytest.MonkeyPatch.context() as patch:
        # it asks pip, for as long as a run takes here
        patch.setattr(sb.utils.logger, "get_environment_description", str)
        if not drawn:  # half the time of a run
            patch.setattr(
                matplotlib.figure.Figure,
                "savefig",
                lambda self, path, **kwargs: pathlib.Path(path).touch(),
            )
        line = words(PAPER, **settings)
        return run_recipe(patch, *line, *arguments, script=DANN)


def plan(**settings):
    """Plans a run."""
    overrides = with_overrides("", **settings)
    return import_script(DANN).plan(str(DANN.parent / PAPER), overrides)


def own(folder):
    """The settings for annotations of one's own."""
    return {
        "skip_prep": True,
        "source_annotation": folder / "source.json",
        "target_annotation": folder / "target.json",
    }


def read(folder, language):
    """What a run, or a test, wrote as annotation."""
    return read_annotation(str(folder / f"{language}.json"), labelled=False)


def write(folder, **languages):
    """Writes annotations; returns the settings that name them."""
    folder.mkdir(parents=True, exist_ok=True)
    for language, annotation in languages.items():
        write_annotation(str(folder / f"{language}.json"), annotation)
    return own(folder)


def turned(annotation):
    """The same utterances with the other class each."""
    pairs = {a: b for two in CLASSES.values() for a, b in (two, two[::-1])}
    return {
        key: entry | {"emotion": pairs[entry["emotion"]]}
        for key, entry in annotation.items()
    }


def posteriors(folder, part):
    """Id to posterior of the upper class, as predictions.csv has it."""
    return {
        row["id"]: row["posterior_high"]
        for row in table(folder / "predictions.csv")
        if row["part"] == part
    }


def reported(found):
    """Takes the report's digest out of `results`: its settings differ."""
    return found[0].pop("report")


def computed(folder):
    """How many features a run computed, of source and target."""
    log = (folder / "log.txt").read_text()
    found = re.findall(r"features of the (\w+): (\d+) utterances comp", log)
    return {language: int(count) for language, count in found}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A folder for what the tests share."""
    return tmp_path_factory.mktemp("dann")


@pytest.fixture(scope="module")
def folders(base, mini_recola_folder):
    """Two small mini corpora: 48 and 60 utterances."""
    return {
        "recola_folder": mini_recola_folder,
        "iemocap_folder": mini_iemocap(str(base), utterances_per_speaker=6),
    }


@pytest.fixture(scope="module")
def settings(base, folders):
    """Tiny in all respects; the output folder is to be added."""
    return folders | {
        "device": "cpu",
        "number_of_epochs": 2,
        "last_epochs": 2,
        "n_filters": 16,
        "batch_size": 8,
        "cache_folder": base / "log_mel",
    }


@pytest.fixture(scope="module")
def trained(base, settings):
    """A function that trains once with such settings; returns the folder."""
    held = {}

    def train(**more):
        """Or finds what was trained before."""
        key = tuple(sorted(more.items()))
        if key not in held:
            folder = base / f"run{len(held)}"
            error = run(**settings | more, output_folder=folder)
            assert error is None
            held[key] = folder
        return held[key]

    return train


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Of other processes: one thread, the mini corpora of this session."""
    cache = tmp_path_factory.getbasetemp() / "cache"
    return os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        "SPEECHBRAIN_SER_CACHE": str(cache),
    }


# As typed


def test_runs_as_typed(environment, tmp_path, monkeypatch):
    """Without folders; then base beside it, and DANN again draws both."""
    line = words(PAPER, number_of_epochs=2, device="cpu", n_filters=32)
    done = subprocess.run(
        [sys.executable, str(DANN), *line],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first = done.stdout.splitlines()[0]
    assert "mini corpus" in first and "say nothing about RECOLA-" in first
    assert "cross-lingual@1" in done.stdout
    home = tmp_path / "results" / "dann" / "mini" / "rec2iem-arousal"
    out = home / "dann-bn1" / "1"
    assert f"report: {out.relative_to(tmp_path)}" in done.stdout
    assert figures(out) == {"languages", "adversary", "confusion"}
    assert (tmp_path / "results" / "log_mel").is_dir()
    log = (out / "log.txt").read_text()
    assert "shows dann alone" in log
    check_report(out, DOMAIN)
    assert results(out)[0]["corpus"] == "mini"

    monkeypatch.chdir(tmp_path)
    for name in ("OMP_NUM_THREADS", "SPEECHBRAIN_SER_CACHE"):
        monkeypatch.setenv(name, environment[name])
    drawn = []
    original = dann_report.plot_languages
    monkeypatch.setattr(
        dann_report,
        "plot_languages",
        lambda path, rows, *args: (
            drawn.append(rows) or original(path, rows, *args)
        ),
    )
    size = [matplotlib.image.imread(out / "figures" / "languages.png").shape]
    before = results(out), os.stat(out / "curves.csv").st_mtime_ns
    more = {"number_of_epochs": 2, "device": "cpu", "n_filters": 32}
    assert run(**more, system="base") is None
    assert figures(home / "base-bn1" / "1") == {"languages", "confusion"}
    assert run(**more, drawn=True) is None
    found, *files = results(out)
    assert found.pop("compared")  # the run that is drawn beside it
    after = (found, *files), os.stat(out / "curves.csv").st_mtime_ns
    assert after == before
    both = ["base (bn1)", "dann (bn1)"]
    assert [list(rows) for rows in drawn] == [both[:1], both]
    alone, beside = drawn[0]["base (bn1)"], drawn[1]["base (bn1)"]
    assert np.array_equal(alone["embeddings"], beside["embeddings"])
    other = drawn[1]["dann (bn1)"]["embeddings"]
    assert not np.array_equal(beside["embeddings"], other)
    size.append(matplotlib.image.imread(out / "figures/languages.png").shape)
    assert size[1][0] > 1.5 * size[0][0]
    sizes = before[0][0]["sizes"]
    count = [sizes["train"], sizes["test"]]
    for row in drawn[1].values():
        assert row["language"] == [0] * count[0] + [1] * count[1]
        assert set(row["emotion"]) == {"low", "high"}
        assert len(row["embeddings"]) == sum(count)


def check_report(folder, columns):
    """Computes the metrics again from the predictions; looks at the curves."""
    metrics, curves, _ = results(folder)
    rows = table(folder / "predictions.csv")
    labels = metrics["labels"]
    for part, score in metrics["metrics"].items():
        held = [row for row in rows if row["part"] == part]
        assert len(held) == metrics["sizes"][part]
        truth = [row["label"] for row in held]
        guessed = [row["prediction"] for row in held]
        recalls = []
        for word in labels:
            hits = [g == word for t, g in zip(truth, guessed) if t == word]
            recalls.append(sum(hits) / len(hits))
        assert score["UA"] == pytest.approx(sum(recalls) / len(recalls))
        for row in held:
            values = [float(row[f"posterior_{word}"]) for word in labels]
            assert row["prediction"] == labels[int(np.argmax(values))]
            assert sum(values) == pytest.approx(1, abs=1e-5)
    for row in curves:
        assert {name for name in row if name.startswith("domain")} == columns
        assert all(math.isfinite(float(value)) for value in row.values())
        for name in columns & {"domain_UA"}:
            assert 0 <= float(row[name]) <= 1


# What is trained and evaluated


@pytest.fixture(scope="module")
def ratings(folders):
    """Corpus to dimension to id to value, as the corpora have it."""
    read_corpora = {
        "recola": read_recola(folders["recola_folder"]),
        "iemocap": read_iemocap(folders["iemocap_folder"], labels=None),
    }
    return {
        corpus: {
            task: {key: entry[task] for key, entry in annotation.items()}
            for task in CLASSES
        }
        for corpus, annotation in read_corpora.items()
    }


@pytest.mark.parametrize("task", CLASSES)
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("system", ["dann", "base", "mono"])
def test_parts_of_each_experiment(system, direction, task, folders, ratings):
    """Classes by the papers' thresholds, shares by class, penalty, name."""
    planned = plan(**folders, system=system, direction=direction, task=task)
    parts, (low, high) = planned.parts, CLASSES[task]
    truth = {}
    for corpus, held in ratings.items():
        truth[corpus] = {
            key: high if value > THRESHOLDS[corpus] else low
            for key, value in held[task].items()
        }
    source, target = (truth[corpus] for corpus in DIRECTIONS[direction])
    found = {
        name: {key: entry.get("emotion") for key, entry in part.items()}
        for name, part in parts.items()
    }
    domains = {
        name: {entry["domain"] for entry in part.values()}
        for name, part in parts.items()
    }
    tested, chosen = found["test"], found["valid"]
    if system == "mono":
        assert planned.protocol == "mono-lingual@1"
        whole = found["train"] | chosen | tested
        assert len(found["train"]) + len(chosen) + len(tested) == len(whole)
        shares = {"test": 0.25, "valid": 0.05}
        assert domains == dict.fromkeys(found, {0})
        trained_on = DIRECTIONS[direction][1]
    else:
        assert planned.protocol == "cross-lingual@1"
        assert found["train"] == source
        assert found["target"] == dict.fromkeys(target)
        whole = chosen | tested
        assert len(chosen) + len(tested) == len(whole)
        shares = {"valid": 0.3}
        assert domains["train"] == {0}
        assert domains["target"] == domains["valid"] == {1}
        assert domains["test"] == {1}
        trained_on = DIRECTIONS[direction][0]
    assert whole == target
    for name, share in shares.items():
        for word in (low, high):
            count = list(found[name].values()).count(word)
            wanted = share * list(target.values()).count(word)
            assert abs(count - wanted) <= 1 and count
    penalty = {"recola": "l1", "iemocap": "l2"}[trained_on]
    assert planned.settings["penalty"] == penalty
    assert planned.settings["labels"] == [low, high]


def test_thresholds_are_settings(folders, ratings):
    """Named behind the protocol; an equal value is of the lower class."""
    edge = sorted(ratings["iemocap"]["arousal"].values())[40]
    planned = plan(**folders, iemocap_threshold=edge)
    assert planned.protocol == f"cross-lingual@1 with iemocap_threshold {edge}"
    held = planned.parts["test"] | planned.parts["valid"]
    for key, value in ratings["iemocap"]["arousal"].items():
        assert held[key]["emotion"] == ("high" if value > edge else "low")


@pytest.mark.parametrize("system", ["dann", "mono"])
def test_split_by_speaker(system, folders):
    """Nobody stands on two sides; IEMOCAP's speakers have six each."""
    planned = plan(**folders, system=system, split_by="speaker")
    name = "mono-lingual@1" if system == "mono" else "cross-lingual@1"
    assert planned.protocol == f"{name} with split_by speaker"
    speakers = {
        part: {entry["speaker"] for entry in planned.parts[part].values()}
        for part in ("train", "valid", "test")
    }
    assert all(speakers.values())
    everybody = set().union(*speakers.values())
    assert sum(map(len, speakers.values())) == len(everybody)


def test_the_source_may_choose_the_epoch(folders):
    """The tested utterances are the paper's; the target chooses nothing."""
    paper = plan(**folders)
    planned = plan(**folders, valid_language="source")
    named = "cross-lingual@1 with valid_language source"
    assert planned.protocol == named
    assert planned.parts["test"] == paper.parts["test"]
    halves = planned.parts["train"], planned.parts["valid"]
    assert not halves[0].keys() & halves[1].keys()
    assert halves[0] | halves[1] == paper.parts["train"]
    assert len(halves[1]) == 4  # a tenth of 24 and 24


# Training


@pytest.mark.parametrize("way", WAYS)
def test_each_batch_norm_trains(way, trained):
    """Its running statistics move; the report names it."""
    folder = trained(batch_norm=way)
    check_report(folder, DOMAIN)
    metrics = results(folder)[0]
    assert metrics["system"] == "dann" and metrics["batch_norm"] == way
    assert metrics["method"] == "DANN" and metrics["direction"] == "rec2iem"
    assert set(metrics["metrics"]) == {"train", "valid", "test"}
    assert 0 <= metrics["language_probe_UA"] <= 1
    assert metrics["test_mean_of_last_epochs"]["epochs"] == [1, 2]
    held = weights(folder)
    names = {
        name.split(".")[2]
        for name, value in held.items()
        if re.fullmatch(r"norm\.statistics\..*\.mean", name) and value.any()
    }
    expected = {"bn1": {"whole"}, "bn2": {"source", "whole"}, "none": set()}
    assert names == expected.get(way, {"source", "target"})
    for name in LANGUAGES:
        assert held[f"{name}_standardisation.mean"].abs().min() > 1


@pytest.mark.parametrize(
    "more",
    [
        {"system": "base"},
        {"system": "mono", "direction": "iem2rec", "task": "valence"},
    ],
    ids=lambda more: more["system"],
)
def test_one_language_alone(more, trained):
    """No adversary in losses, curves and figures."""
    folder = trained(**more)
    check_report(folder, set())
    metrics = results(folder)[0]
    assert metrics["system"] == more["system"]
    assert "adversary" not in figures(folder)
    mono = more["system"] == "mono"
    assert ("languages" in figures(folder)) != mono
    assert (metrics["language_probe_UA"] is None) == mono
    if mono:
        assert metrics["labels"] == CLASSES["valence"]
        assert not (folder / "languages.npz").exists()


def test_base_is_dann_without_reversal(trained):
    """beta = 0, no batch norm: the same emotion classifier but for rounding."""
    one = weights(trained(system="base", batch_norm="none"))
    two = weights(trained(batch_norm="none", beta=0))
    three = weights(trained(batch_norm="none", beta=1))
    for name in ("encoder.conv.weight", "classifier.w.weight"):
        torch.testing.assert_close(one[name], two[name], atol=1e-6, rtol=0)
        assert (two[name] - three[name]).abs().max() > 1e-4, name
    name = "language_classifier.w.weight"
    assert not torch.equal(one[name], two[name])


def test_figure_2_is_of_the_selected_epoch(trained):
    """languages.npz: the embeddings give predictions.csv's posteriors."""
    folder = trained(batch_norm="bn1", model_selection="last")
    held, rows = weights(folder), table(folder / "predictions.csv")
    with np.load(folder / "languages.npz") as figure:
        embeddings = torch.from_numpy(figure["embeddings"])
        language, emotion = figure["language"], figure["emotion"]
    shown = [row for row in rows if row["part"] != "valid"]
    assert [row["label"] for row in shown] == emotion.tolist()
    expected = [int(row["part"] == "test") for row in shown]
    assert expected == language.tolist()
    logits = embeddings @ held["classifier.w.weight"].T
    high = (logits + held["classifier.w.bias"]).softmax(1)[:, 1]
    found = [float(row["posterior_high"]) for row in shown]
    assert high.tolist() == pytest.approx(found, abs=2e-6)


def test_only_testing_trains_nothing(trained, settings, tmp_path):
    """--test_only with a finished run: the same numbers, and a probe's."""
    folder = tmp_path / "out"
    shutil.copytree(trained(), folder)
    before = results(folder)
    stamps = {p: os.stat(p).st_mtime_ns for p in folder.glob("save/*/*")}
    more = settings | {"output_folder": folder}
    assert run("--test_only", "--speaker_probe", "True", **more) is None
    after = results(folder)
    found = after[0].pop("leakage")
    assert reported(after) != reported(before)
    assert after == before
    source = read(folder, "source")
    speakers = [entry["speaker"] for entry in source.values()]
    assert found["utterances"] == len(speakers) == before[0]["sizes"]["train"]
    assert found["speakers"] == len(set(speakers)) > 1
    assert {p: os.stat(p).st_mtime_ns for p in folder.glob("save/*/*")} == (
        stamps
    )


def test_a_trained_run_is_evaluated_on_other_speech(trained, tmp_path):
    """The test part alone, of no domain: standardised as the target was."""
    folder = trained()
    known = posteriors(folder, "test")
    target = read(folder, "target")
    run_opts = {"device": "cpu", "noprogressbar": True}
    test = {key: target[key] for key in known}
    evaluate(str(folder), {"test": test}, str(tmp_path / "out"), run_opts)
    assert posteriors(tmp_path / "out", "test") == known
    one, two = (
        json.loads((place / "metrics.json").read_text())
        for place in (folder, tmp_path / "out")
    )
    assert one["metrics"]["test"] == two["metrics"]["test"]


# Annotations of one's own


def test_written_annotations_give_the_same_run(trained, settings, tmp_path):
    """source.json and target.json: bit for bit, without the corpora."""
    folder = trained()
    stamps = [os.stat(folder / f"{x}.json").st_mtime_ns for x in LANGUAGES]
    more = settings | own(folder) | {"output_folder": tmp_path / "out"}
    more |= {"recola_folder": None, "iemocap_folder": None}
    assert run(**more) is None
    assert same_weights(folder, tmp_path / "out")
    one, two = results(folder), results(tmp_path / "out")
    assert one[1:] == two[1:] and one[0]["metrics"] == two[0]["metrics"]
    named = "cross-lingual@1 on annotations of one's own"
    assert two[0]["protocol"] == named
    # a user's own files are left alone
    assert not (tmp_path / "out" / "source.json").exists()
    again = [os.stat(folder / f"{x}.json").st_mtime_ns for x in LANGUAGES]
    assert again == stamps


def test_four_classes_of_ones_own(folders, settings, tmp_path):
    """--labels with skip_prep; every class is in the report."""
    four = ["ang", "hap", "sad", "neu"]
    speech = read_iemocap(folders["iemocap_folder"])
    halves = {
        language: {k: e for k, e in speech.items() if e["session"] % 2 == odd}
        for language, odd in (("source", 1), ("target", 0))
    }
    more = settings | write(tmp_path, **halves)
    more |= {"labels": "[ang,hap,sad,neu]", "class_weights": "balanced"}
    assert run(**more, output_folder=tmp_path / "out") is None
    check_report(tmp_path / "out", DOMAIN)
    metrics = results(tmp_path / "out")[0]
    assert metrics["labels"] == four
    counts = metrics["counts"]
    for language, parts in (
        ("source", ["train"]),
        ("target", ["valid", "test"]),
    ):
        for word in four:
            held = [e["emotion"] for e in halves[language].values()]
            found = sum(counts[part][word] for part in parts)
            assert found == held.count(word) > 0


@pytest.fixture(scope="module")
def source_chooses(trained):
    """A finished run that no label of the target takes part in."""
    return trained(valid_language="source")


def bare(annotation):
    """Without labels and ratings."""
    dropped = ("emotion", "arousal", "valence", "dominance", "votes")
    return {
        key: {k: v for k, v in entry.items() if k not in dropped}
        for key, entry in annotation.items()
    }


def test_target_without_labels(source_chooses, settings, tmp_path):
    """The same weights; its predictions are reported, not its metrics."""
    source = read(source_chooses, "source")
    target = read(source_chooses, "target")
    more = settings | write(tmp_path, source=source, target=bare(target))
    more |= {"valid_language": "source", "output_folder": tmp_path / "out"}
    assert run(**more) is None
    assert same_weights(source_chooses, tmp_path / "out")
    metrics = results(tmp_path / "out")[0]
    assert set(metrics["metrics"]) == {"train", "valid"}
    assert metrics["test_mean_of_last_epochs"] is None
    assert metrics["sizes"]["target"] == len(target)
    assert metrics["sizes"]["test"] == 0
    found = posteriors(tmp_path / "out", "target")
    assert found.keys() == target.keys()
    for key, value in posteriors(source_chooses, "test").items():
        assert found[key] == value
    assert figures(tmp_path / "out") == {"languages", "adversary"}
    rows = table(tmp_path / "out" / "predictions.csv")
    told = [row["label"] for row in rows if row["part"] == "target"]
    assert set(told) == {""}


@pytest.mark.parametrize(
    "more, said",
    [
        ({}, "no utterance of the target.*--valid_language source"),
        (
            {"system": "base"},
            "no utterance of the target.*--valid_language sour",
        ),
        ({"system": "mono"}, "no utterance of the target.*dann or base"),
    ],
    ids=["dann", "base", "mono"],
)
def test_target_without_labels_is_refused(
    more, said, source_chooses, settings, tmp_path
):
    """Where its labels would choose the epoch, or train."""
    source = read(source_chooses, "source")
    target = bare(read(source_chooses, "target"))
    more = settings | write(tmp_path, source=source, target=target) | more
    check_refused(said, more, tmp_path / "out")


def test_target_with_some_labels(source_chooses, settings, tmp_path):
    """Those that have one test; the others train the adversary all the same."""
    source = read(source_chooses, "source")
    target = read(source_chooses, "target")
    known = list(posteriors(source_chooses, "test"))[::2]
    mixed = bare(target) | {key: target[key] for key in known}
    mixed = {key: mixed[key] for key in target}
    more = settings | write(tmp_path, source=source, target=mixed)
    more |= {"valid_language": "source", "output_folder": tmp_path / "out"}
    assert run(**more) is None
    assert same_weights(source_chooses, tmp_path / "out")
    found = posteriors(tmp_path / "out", "test")
    assert found and found.keys() < set(known)
    others = posteriors(tmp_path / "out", "target").keys()
    assert others >= target.keys() - set(known)
    assert not others & found.keys()


@pytest.mark.parametrize("prefix", ["", "target/"], ids=["same", "prefixed"])
def test_ids_may_be_the_same_in_both(prefix, trained, settings, tmp_path):
    """Or look like the recipe's own names: the same weights, all reported."""
    folder = trained(model_selection="last")
    renamed = {}
    for language, start in (("source", prefix), ("target", "")):
        entries = read(folder, language).values()
        renamed[language] = {f"{start}u{i}": e for i, e in enumerate(entries)}
    more = settings | write(tmp_path, **renamed)
    more |= {"model_selection": "last", "output_folder": tmp_path / "out"}
    assert run(**more) is None
    assert same_weights(folder, tmp_path / "out")
    sizes = results(tmp_path / "out")[0]["sizes"]
    assert sizes == results(folder)[0]["sizes"]
    high = posteriors(tmp_path / "out", "train")
    found = posteriors(folder, "train")
    assert list(high.values()) == list(found.values())


# No label of the target is learnt


def test_labels_of_the_test_part_reach_no_weight(
    trained, settings, tmp_path, monkeypatch
):
    """Turned after the split: only their own metrics change."""
    original = Protocol.split

    def split(*args, **kwargs):
        """With the other class for each that tests."""
        parts = original(*args, **kwargs)
        return parts | {"test": turned(parts["test"])}

    monkeypatch.setattr(Protocol, "split", split)
    folder = trained()
    assert run(**settings, output_folder=tmp_path / "out") is None
    assert same_weights(folder, tmp_path / "out")
    for part in ("train", "valid", "test"):
        found = posteriors(tmp_path / "out", part)
        assert found == posteriors(folder, part)
    one, two = results(folder)[0], results(tmp_path / "out")[0]
    assert one["selected_epoch"] == two["selected_epoch"]
    assert one["metrics"]["valid"] == two["metrics"]["valid"]
    wrong = 1 - one["metrics"]["test"]["WA"]
    assert two["metrics"]["test"]["WA"] == pytest.approx(wrong)


def test_labels_of_the_target_reach_no_weight(
    source_chooses, settings, tmp_path
):
    """--valid_language source: all of them turned; of the source: not."""
    source = read(source_chooses, "source")
    target = read(source_chooses, "target")
    more = settings | {"valid_language": "source"}
    for name, languages in (
        ("target", {"source": source, "target": turned(target)}),
        ("source", {"source": turned(source), "target": target}),
    ):
        changed = write(tmp_path / name, **languages)
        changed |= {"output_folder": tmp_path / name / "out"}
        assert run(**more | changed) is None
    assert same_weights(source_chooses, tmp_path / "target" / "out")
    assert not same_weights(source_chooses, tmp_path / "source" / "out")
    one = results(source_chooses)[0]
    two = results(tmp_path / "target" / "out")[0]
    assert one["selected_epoch"] == two["selected_epoch"]
    for part in ("train", "valid"):
        assert one["metrics"][part] == two["metrics"][part]
        found = posteriors(tmp_path / "target" / "out", part)
        assert found == posteriors(source_chooses, part)


@pytest.mark.parametrize("way", ["bn1", "bn4"])
def test_training_is_given_no_label_of_the_target(
    way, settings, tmp_path, monkeypatch
):
    """And all labels of the source; as many utterances of both."""
    seen = []
    original = dann.DANNBrain.fit_batch

    def fit_batch(self, batch):
        """Notes labels by domain."""
        seen.append((batch.label.clone(), batch.domain.clone()))
        return original(self, batch)

    monkeypatch.setattr(dann.DANNBrain, "fit_batch", fit_batch)
    more = settings | {"batch_norm": way, "number_of_epochs": 1}
    assert run(**more, output_folder=tmp_path / "out") is None
    labels, domains = (torch.cat(column) for column in zip(*seen))
    assert (labels[domains == 1] == -1).all()
    assert (labels[domains == 0] >= 0).all()
    assert (domains == 0).sum() == (domains == 1).sum() == 48


def test_each_step_drops_other_numbers(settings, tmp_path, monkeypatch):
    """Of source and target, in each step of each epoch; none afterwards."""
    seen = []
    original = torch.nn.Dropout.forward

    def forward(self, inputs):
        """Keeps what is dropped."""
        outputs = original(self, inputs)
        seen.append((outputs == 0).numpy().tobytes())
        return outputs

    monkeypatch.setattr(torch.nn.Dropout, "forward", forward)
    assert run(**settings, output_folder=tmp_path / "out") is None
    assert len(set(seen)) == len(seen) == 2 * 6 * 2


def test_features_know_no_label(trained, settings, tmp_path):
    """Turned labels of both: nothing is computed anew, nothing else scaled."""
    folder = trained()
    languages = {
        language: turned(read(folder, language)) for language in LANGUAGES
    }
    more = settings | write(tmp_path, **languages) | {"number_of_epochs": 1}
    assert run(**more, output_folder=tmp_path / "out") is None
    assert computed(tmp_path / "out") == {"source": 0, "target": 0}
    one, two = weights(folder), weights(tmp_path / "out")
    for language in LANGUAGES:
        for name in ("mean", "std"):
            key = f"{language}_standardisation.{name}"
            assert torch.equal(one[key], two[key])


# The cache


def test_features_are_computed_once_for_all_runs(settings, tmp_path):
    """Systems and directions share them; a changed file is computed anew."""
    more = settings | {"cache_folder": tmp_path / "kept"}
    more |= {"number_of_epochs": 1, "last_epochs": 0}

    def out(name, **changed):
        """Runs; returns how many features were computed."""
        folder = tmp_path / name
        assert run(**more | changed, output_folder=folder) is None
        return computed(folder)

    assert out("base", system="base") == {"source": 48, "target": 60}
    assert out("dann") == {"source": 0, "target": 0}
    assert out("turned", direction="iem2rec") == {"source": 0, "target": 0}
    files = list((tmp_path / "kept").rglob("*.npy"))
    assert len(files) == 108
    assert {np.load(path).dtype for path in files} == {np.dtype("float32")}
    copies = {"source": {}, "target": {}}
    for language, held in copies.items():
        for i, (key, entry) in enumerate(
            read(tmp_path / "dann", language).items()
        ):
            wav = load_audio(entry).numpy()
            path = tmp_path / language / f"{i}.wav"
            path.parent.mkdir(exist_ok=True)
            sf.write(path, wav, 16000, subtype="PCM_16")
            kept = {
                k: v for k, v in entry.items() if k not in ("start", "stop")
            }
            held[key] = kept | {"wav": str(path)}
    mine = write(tmp_path, **copies)
    assert sum(out("mine", **mine).values()) > 0
    path = tmp_path / "target" / "7.wav"
    wav, _ = sf.read(path)
    sf.write(path, wav[::-1], 16000, subtype="PCM_16")
    assert out("changed", **mine) == {"source": 0, "target": 1}
    assert not same_weights(tmp_path / "mine", tmp_path / "changed")


def test_each_corpus_is_standardised_by_all_of_itself(trained, settings):
    """Zero mean and unit variance over all frames of the target, by hand."""
    held = weights(trained())
    features = load(
        str(DANN.parent / PAPER), with_overrides("", labels=["a", "b"])
    )["features"]
    for language in LANGUAGES:
        frames = [
            features(load_audio(entry)[None], torch.ones(1))[0][0].double()
            for entry in read(trained(), language).values()
        ]
        every = torch.cat(frames)
        mean = held[f"{language}_standardisation.mean"].double()
        std = held[f"{language}_standardisation.std"].double()
        torch.testing.assert_close(mean, every.mean(0), atol=1e-4, rtol=0)
        expected = every.std(0, unbiased=False)
        torch.testing.assert_close(std, expected, atol=1e-4, rtol=0)


# Exactness


@pytest.fixture(scope="module")
def server():
    """Starts processes that need not import everything anew."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [
            "torch._dynamo",  # which the first optimizer imports
            "speechbrain_ser.methods.dann",
            "speechbrain_ser.corpora.mini.recola",
            "tests.recipes.helpers",
        ]
    )
    return context


@pytest.mark.parametrize(
    "way, place, count",
    [
        # the fourth batch of the second epoch, of six
        ("bn1", "speechbrain_ser.methods.dann:DANNBrain.fit_batch", 10),
        # its target half, when the source has made its step
        ("bn4", "speechbrain_ser.brain:SERBrain.fit_batch", 20),
    ],
    ids=["bn1", "bn4"],
)
def test_killed_and_started_again_is_as_never_stopped(
    way, place, count, trained, settings, tmp_path, server
):
    """SIGKILL in the second epoch; dropout and the ramp are on."""
    more = {"batch_norm": way, "beta_ramp": True, "system": "dann"}
    whole = trained(**more)
    out = tmp_path / "out"
    more |= {"ckpt_interval_minutes": 0, "ckpt_interval_steps": 2}
    more = settings | more | {"output_folder": out}
    process = server.Process(
        target=run_until, args=(place, count, DANN, words(PAPER, **more))
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert in_second_epoch(out) and not (out / "metrics.json").exists()
    assert run(**more) is None
    assert (out / "log.txt").read_text().count("epoch 1/2:") == 1
    assert same_weights(whole, out)
    assert results(whole) == results(out)
    names = ["embeddings", "language", "emotion", "name", "note"]
    with np.load(whole / "languages.npz") as one:
        with np.load(out / "languages.npz") as two:
            assert all(np.array_equal(one[name], two[name]) for name in names)


def test_ctrl_c_is_said_and_goes_on(trained, settings, tmp_path, monkeypatch):
    """In the second epoch; the same command ends as if never stopped."""
    original, calls = dann.DANNBrain.fit_batch, []

    def fit_batch(self, batch):
        """Is interrupted once."""
        calls.append(batch)
        if len(calls) == 9:
            signal.raise_signal(signal.SIGINT)
        return original(self, batch)

    monkeypatch.setattr(dann.DANNBrain, "fit_batch", fit_batch)
    more = settings | {"output_folder": tmp_path / "out"}
    said = run(**more)
    assert said.startswith("stopped; the same command goes on")
    assert not (tmp_path / "out" / "metrics.json").exists()
    assert run(**more) is None
    assert same_weights(trained(), tmp_path / "out")
    assert results(trained()) == results(tmp_path / "out")


@pytest.fixture(scope="module")
def processes(base, folders, environment):
    """What one process with batches of 8 leaves, and two with 4 each."""
    parts = plan(**folders).parts
    parts["train"] = dict(list(parts["train"].items())[:45])
    parts["target"] = dict(list(parts["target"].items())[:37])
    path, cache = base / "parts.json", base / "log_mel"
    path.write_text(json.dumps(parts))
    one, two = base / "one process", base / "two processes"
    two_processes_dann.main(path, one, 8, cache)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    launch += ["--nproc_per_node=2", two_processes_dann.__file__]
    done = subprocess.run(
        [*launch, str(path), str(two), "4", str(cache)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [
        torch.load(file, weights_only=True)
        for file in (one / "rank0.pt", two / "rank0.pt", two / "rank1.pt")
    ]


@pytest.mark.parametrize("way", WAYS)
def test_two_processes_are_as_one(way, processes):
    """Weights, running statistics, curves; bit equal on both sides."""
    one, two, other = (held[way] for held in processes)
    assert one.keys() == two.keys()
    for key, value in one.items():
        assert torch.equal(two[key], other[key]), key
        # statistics are means of larger numbers
        atol = 1e-4 if key.startswith(("norm.stat", "curve")) else 1e-5
        torch.testing.assert_close(
            two[key], value, atol=atol, rtol=1e-5, msg=lambda m: f"{key}: {m}"
        )
    for name in ("encoder.conv.weight", "language_classifier.w.weight"):
        assert one[f"moved {name}"] > 1e-3
    statistics = [k for k in one if k.startswith("norm.statistics")]
    assert len(statistics) == {"bn1": 2, "none": 0}.get(way, 4)
    assert {f"curve {name}" for name in DOMAIN | {"emotion_loss"}} < one.keys()


def test_curves_say_what_was_seen(settings, tmp_path, monkeypatch):
    """domain_loss and domain_UA: the means over batches, by hand; Eq. 7."""
    seen = []
    original = dann.DANNBrain.compute_forward

    def forward(self, batch, stage):
        """Keeps what the language classifier says in training."""
        predictions = original(self, batch, stage)
        if stage == sb.Stage.TRAIN:
            logits = predictions["languages"].detach().double().numpy()
            seen.append((logits, predictions["domains"].numpy()))
        return predictions

    monkeypatch.setattr(dann.DANNBrain, "compute_forward", forward)
    more = settings | {"number_of_epochs": 1, "output_folder": tmp_path / "out"}
    more |= {"penalty": "none", "alpha": 0.3}
    assert run(**more) is None
    losses, shares = [], []
    for logits, domains in seen:
        loss = 0.0
        for row, domain in zip(logits, domains):
            loss += np.log(np.exp(row).sum()) - row[domain]
        losses.append(loss / len(domains))
        guesses = logits.argmax(axis=1)
        shares.append(recall_score(domains, guesses, average="macro"))
    metrics, (row,), _ = results(tmp_path / "out")
    assert float(row["domain_loss"]) == pytest.approx(np.mean(losses), rel=1e-5)
    assert float(row["domain_UA"]) == pytest.approx(np.mean(shares), rel=1e-5)
    # all batches are full, so that the mean of Eq. 7 is that of its parts
    whole = 0.3 * float(row["emotion_loss"]) + 0.7 * np.mean(losses)
    assert float(row["train_loss"]) == pytest.approx(whole, rel=1e-5)
    last = metrics["test_mean_of_last_epochs"]
    tested = metrics["metrics"]["test"]["UA"]
    assert last["UA"]["mean"] == pytest.approx(tested)


# Bad input


def check_refused(said, settings, out, also=()):
    """One sentence, and nothing is written."""
    error = run(**settings | {"output_folder": out})
    check_sentence(error, said)
    for word in also:
        assert str(word) in error
    assert not out.exists()


@pytest.mark.parametrize(
    "more, said",
    [
        ({"system": "dan"}, "--system is 'dan': give one of dann, base, mono"),
        ({"batch_norm": "bn5"}, "--batch_norm is 'bn5': .*bn1, bn2, bn3, bn4"),
        ({"direction": "rec"}, "--direction is 'rec': .* rec2iem, iem2rec"),
        ({"task": "joy"}, "--task is 'joy': give one of arousal, valence"),
        (
            {"valid_language": "test"},
            "--valid_language is 'test': .*target, source",
        ),
        (
            {"valid_language": "test", "system": "mono"},
            "--valid_language is 'test': .*target, source",
        ),
        ({"split_by": "word"}, "--split_by is 'word': .*utterance, speaker"),
        ({"penalty": "l3"}, "--penalty is 'l3': give one of l1, l2, none"),
        ({"model_selection": "luck"}, "--model_selection is 'luck'"),
        ({"class_weights": "some"}, "--class_weights is 'some'"),
        (
            {"system": "base", "batch_norm": "bn3"},
            "--batch_norm bn3.*bn1.*none",
        ),
        ({"system": "mono", "batch_norm": "bn2"}, "--batch_norm bn2.*mono"),
        ({"alpha": 1.5}, "--alpha is 1.5: give a number above 0 to 1"),
        ({"alpha": -0.1}, "--alpha is -0.1"),
        ({"alpha": "much"}, "--alpha is 'much': give a number above 0 to 1"),
        ({"alpha": None}, "--alpha is None: give a number above 0 to 1"),
        ({"alpha": ".nan"}, "--alpha is nan"),
        ({"alpha": True}, "--alpha is True"),
        ({"beta": -1}, "--beta is -1: give a number from 0"),
        ({"beta": "much"}, "--beta is 'much'"),
        ({"beta": None}, "--beta is None"),
        ({"beta": ".inf"}, "--beta is inf"),
        ({"batch_size": 1}, "--batch_size is 1: give a .*number from 2"),
        ({"batch_size": 2.5}, "--batch_size is 2.5: give a whole number"),
        ({"batch_size": "all"}, "--batch_size is 'all'"),
        ({"batch_size": None}, "--batch_size is None"),
        ({"penalty_weight": -1}, "--penalty_weight is -1"),
        ({"penalty_weight": "l1"}, "--penalty_weight is 'l1'"),
        ({"valid_share": 1.5}, "share.* is 1.5"),
        ({"valid_share": 0}, "share.* is 0"),
        ({"valid_share": "a third"}, "share.* is 'a third'"),
        ({"recola_threshold": "low"}, "--recola_threshold is 'low'"),
        ({"iemocap_threshold": None}, "--iemocap_threshold is None"),
        ({"recola_threshold": 1}, "'train' has no utterance of high"),
        ({"iemocap_threshold": 5}, "'test' has no utterance of high"),
        ({"iemocap_threshold": 0.5}, "'test' has no utterance of low"),
        ({"recola_threshold": -1.5, "system": "base"}, "'train'.* of low"),
        ({"recola_folder": None}, "--recola_folder is missing: all of.*needed"),
        (
            {"iemocap_folder": None},
            "--iemocap_folder is missing: all of.*needed",
        ),
        ({"recola_folder": "/nowhere"}, "/nowhere.* no folder.*RECOLA"),
        ({"iemocap_folder": "/nowhere"}, "/nowhere.* no folder.*IEMOCAP"),
        ({"cache_folder": None}, "--cache_folder"),
        ({"labels": "[low]"}, "'high', which is not among the labels low"),
        ({"labels": "[low,high,joy]"}, "'train' has no utterance of joy"),
        ({"labels": "low,high"}, "--labels is 'low,high': give a list"),
        ({"no_such_setting": 1}, "no_such_setting"),
    ],
    ids=str,
)
def test_bad_settings_are_one_sentence(more, said, settings, tmp_path):
    """Naming the setting, before anything is written."""
    check_refused(said, settings | more, tmp_path / "out")


def test_swapped_corpora_are_refused(folders, settings, tmp_path):
    """RECOLA given as IEMOCAP, and both ways; each names the folder."""
    recola, iemocap = folders["recola_folder"], folders["iemocap_folder"]
    for more, said, path in (
        ({"recola_folder": iemocap}, "is not RECOLA", iemocap),
        ({"iemocap_folder": recola}, "is not IEMOCAP", recola),
        (
            {"recola_folder": iemocap, "iemocap_folder": recola},
            "is not RECOLA",
            iemocap,
        ),
    ):
        check_refused(said, settings | more, tmp_path / "out", [path])


def replace(path, pattern, by, count=1):
    """Replaces a regular expression in a file, which must be in it."""
    text, n = re.subn(pattern, by, path.read_text(), count=count, flags=re.M)
    assert n == count or not count and n
    path.write_text(text)
    return path


def less_annotators(root):
    """Takes one column of the ratings of one recording."""
    return replace(root / RATINGS / "arousal" / "P17.csv", r";[^;\n]*$", "", 0)


def commas(root):
    """Another separator."""
    return replace(root / RATINGS / "valence" / "P19.csv", ";", ",", 0)


def not_a_number(root):
    """A rating in the middle."""
    path = root / RATINGS / "arousal" / "P21.csv"
    return replace(path, r"^4\.00;[^;]*", "4.00;nan")


def beyond(root):
    """A last utterance behind the end of the recording."""
    path = root / "RECOLA-Audio_timings" / "P23.csv"
    path.write_text(path.read_text() + "900.00;901.50\n")
    return path


def nobody_spoke(root):
    """A recording whose timings are a header alone."""
    path = root / "RECOLA-Audio_timings" / "P16.csv"
    path.write_text("start;stop\n")
    return path


def first_wav(root):
    """An audio file of either corpus."""
    names = sorted(root.rglob("*.wav"))
    return next(path for path in names if not path.name.startswith("._"))


def cut(root):
    """An audio file that is shorter than its header says."""
    path = first_wav(root)
    path.write_bytes(path.read_bytes()[:-100])
    return path


def stereo(root):
    """Two channels."""
    path = first_wav(root)
    wav, rate = sf.read(path)
    sf.write(path, np.stack([wav, wav], 1), rate, subtype="PCM_16")
    return path


def missing(root):
    """No audio file."""
    path = first_wav(root)
    path.unlink()
    return path


@pytest.mark.parametrize(
    "corpus, spoil, said",
    [
        (
            "recola",
            less_annotators,
            r"P17.csv', line 1 lacks the annotator FF3",
        ),
        ("recola", commas, r"P19.csv', line 1 is separated by commas"),
        ("recola", nobody_spoke, r"P16.csv' holds no row of numbers"),
        ("recola", cut, "truncated"),
        ("recola", stereo, "2 channels"),
        ("recola", missing, "has no '.*P16.wav' beside it"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_broken_corpora_are_one_sentence(
    corpus, spoil, said, folders, settings, tmp_path
):
    """With the file and the line, before anything is written."""
    root = tmp_path / "corpus"
    shutil.copytree(folders[f"{corpus}_folder"], root)
    path = spoil(root)
    more = settings | {f"{corpus}_folder": root}
    check_refused(said, more, tmp_path / "out", [path])


@pytest.mark.parametrize(
    "corpus, spoil, said",
    [
        ("recola", not_a_number, "Ratings that are no numbers"),
        ("recola", beyond, "Utterances outside of their recording"),
        ("iemocap", cut, "Utterances whose audio is missing or broken"),
        ("iemocap", stereo, "Utterances whose audio is missing or broken"),
        ("iemocap", missing, "Utterances whose audio is missing or broken"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_one_odd_entry_costs_no_corpus(
    corpus, spoil, said, folders, settings, tmp_path
):
    """It is left out of the split, and told of either language."""
    from speechbrain_ser.experiment.hparams import load_alone
    from speechbrain_ser.utils.odd_entries import odd_rows

    root = tmp_path / "corpus"
    shutil.copytree(folders[f"{corpus}_folder"], root)
    path = spoil(root)
    more = {k: str(v) for k, v in folders.items()}
    planned = plan(**more | {f"{corpus}_folder": str(root)})
    made = load_alone(planned.path, planned.overrides, "corpus", False)
    read = made()
    (row,) = odd_rows(read)
    assert (row["file"], row["what"]) == (str(path), said)
    whole = sum(map(len, read.values()))
    assert sum(map(len, planned.parts.values())) == whole + len(read["target"])


def test_bad_annotations_are_one_sentence(trained, settings, tmp_path):
    """Empty, missing, of other words, with broken audio; of either language."""
    languages = {name: read(trained(), name) for name in LANGUAGES}
    broken = tmp_path / "broken.wav"
    broken.write_text("no sound")
    out = tmp_path / "out"

    def refused(name, said, **changed):
        """With one of the languages changed."""
        mine = write(tmp_path / name, **languages | changed)
        check_refused(said, settings | mine, out)

    for language, held in languages.items():
        first = next(iter(held))

        def other(**more):
            """With other values of the first entry."""
            return {language: held | {first: held[first] | more}}

        refused(
            f"no {language}",
            f"{language}.json' holds no entry",
            **{language: {}},
        )
        refused(
            f"wav {language}",
            "broken.wav' is not audio",
            **other(wav=str(broken)),
        )
        said = f"{first} has the emotion 'joy'.*among the labels low"
        refused(f"joy {language}", said, **other(emotion="joy"))
        gone = write(tmp_path / "gone", **languages)
        gone[f"{language}_annotation"].unlink()
        said = f"{language}.json' is missing: give --{language}_annotation"
        check_refused(said, settings | gone, out)
        shutil.rmtree(tmp_path / "gone")
    source = dict(languages["source"])
    key = next(iter(source))
    source[key] = {k: v for k, v in source[key].items() if k != "emotion"}
    refused("bare", f"'{key}' lacks 'emotion'", source=source)
    names = {"low": "calm", "high": "wild"}
    for language, held in languages.items():
        renamed = {
            key: entry | {"emotion": names[entry["emotion"]]}
            for key, entry in held.items()
        }
        said = "emotion '(calm|wild)'|no utterance of low.*high"
        refused(f"names {language}", said, **{language: renamed})


def test_speakers_that_are_not_named(trained, settings, tmp_path):
    """--split_by speaker with annotations that say nobody's name."""
    source, target = read(trained(), "source"), read(trained(), "target")
    for entry in target.values():
        del entry["speaker"]
    more = settings | write(tmp_path, source=source, target=target)
    more |= {"split_by": "speaker"}
    said = "has no speaker, which --split_by speaker needs"
    check_refused(said, more, tmp_path / "out")


def test_a_folder_of_another_run_is_left_alone(trained, settings):
    """Another seed, direction or weight in a finished folder."""
    folder = trained()
    before = results(folder), weights(folder).keys()
    for name, value in (
        ("seed", 2),
        ("direction", "iem2rec"),
        ("alpha", 0.4),
    ):
        error = run(**settings | {name: value, "output_folder": folder})
        check_sentence(error, f"holds a run with .*{name} = |and \\d+ more")
        assert "--output_folder" in error
    assert before == (results(folder), weights(folder).keys())


def test_a_cache_that_can_not_be_written(settings, tmp_path):
    """A file where its folder would be: one sentence that names it."""
    (tmp_path / "taken").write_text("a file")
    more = settings | {"cache_folder": tmp_path / "taken" / "kept"}
    error = run(**more, output_folder=tmp_path / "out")
    check_sentence(error, f"{tmp_path}/taken/kept.*can't be written")
    assert not (tmp_path / "out" / "curves.csv").exists()


def test_a_damaged_figure_of_base_is_one_sentence(trained, settings, tmp_path):
    """Its file is named; once it is whole, the run goes on to its end."""
    (tmp_path / "base").mkdir()
    row = tmp_path / "base" / "languages.npz"
    whole = (trained(system="base") / "languages.npz").read_bytes()
    more = settings | {"compared_folder": tmp_path / "base"}
    more |= {"output_folder": tmp_path / "out"}
    for damaged in (b"no figure", whole[:200], b""):
        row.write_bytes(damaged)
        error = run(**more)
        check_sentence(error, f"{row} can't be read.*--compared_folder")
        assert not (tmp_path / "out" / "metrics.json").exists()
    row.write_bytes(whole)
    assert run(**more) is None
    one, two = results(tmp_path / "out"), results(trained())
    assert reported(one) != reported(two)
    assert one == two


# Tables


def test_table_of_conditions(settings, tmp_path, monkeypatch, environment):
    """Two directions, two systems: the cells are what the runs report."""
    overrides = {
        name: value if isinstance(value, (int, float)) else str(value)
        for name, value in settings.items()
        if name != "device"
    } | {"number_of_epochs": 1, "last_epochs": 1}
    path = tmp_path / "small.yaml"
    path.write_text(
        "\n".join(
            [
                "title: Two directions",
                f"script: {DANN}",
                f"hparams: {DANN.parent / PAPER}",
                "protocol: cross-lingual@1",
                "seeds: [1]",
                "conditions:",
                "  there: {direction: rec2iem, task: arousal}",
                "  back: {direction: iem2rec, task: valence}",
                "rows: {base: {system: base}, our: {system: dann}}",
                "columns:",
                "  there: {metric: UA, split: test, condition: there}",
                "  back: {metric: WA, split: test, condition: back}",
                "  average: {metric: UA, split: test}",
                f"overrides: {json.dumps(overrides)}",
            ]
        )
    )
    monkeypatch.setenv("PYTHONPATH", environment["PYTHONPATH"])
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    arguments = [str(path), "--results_folder", str(tmp_path / "results")]
    # three of the runs are there already, made by hand
    for name, more in (
        ("1", {"system": "base"}),
        ("2", {"system": "base", "direction": "iem2rec", "task": "valence"}),
        ("3", {"system": "dann", "direction": "iem2rec", "task": "valence"}),
    ):
        out = tmp_path / "results" / name
        changed = settings | {"number_of_epochs": 1, "last_epochs": 1}
        assert run(**changed | more, output_folder=out) is None
    assert make_table([*arguments, "--device", "cpu"]) == 0
    assert len(list(tmp_path.glob("results/runs/*/*/metrics.json"))) == 1
    found = {}
    for file in (tmp_path / "results").rglob("metrics.json"):
        metrics = json.loads(file.read_text())
        place = metrics["system"], metrics["direction"]
        found[place] = metrics["metrics"]["test"]
    assert len(found) == 4
    (file,) = tmp_path.glob("results/tables/**/table.csv")
    rows = {(row["row"], row["column"]): row for row in table(file)}
    assert len(rows) == 6
    for name, system in (("base", "base"), ("our", "dann")):
        there, back = found[system, "rec2iem"], found[system, "iem2rec"]
        expected = {
            "there": there["UA"],
            "back": back["WA"],
            "average": (there["UA"] + back["UA"]) / 2,
        }
        for column, value in expected.items():
            mean = float(rows[name, column]["mean"])
            assert mean == pytest.approx(100 * value, abs=1e-5), column
