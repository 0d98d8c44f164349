"""DANN's recipe on annotations of one's own, and which labels reach a weight."""

import os

import pytest
import torch

from speechbrain_ser.corpora.iemocap import read_iemocap
from tests.recipes.dann_runs import (
    DOMAIN,
    LANGUAGES,
    bare,
    check_report,
    computed,
    own,
    posteriors,
    read,
    run,
    turned,
    write,
)
from tests.recipes.helpers import figures, results, same_weights, table, weights


@pytest.fixture(scope="module")
def source_chooses(base, settings):
    """A finished run that no label of the target takes part in."""
    folder = base / "source chooses"
    more = {"valid_language": "source", "output_folder": folder}
    assert run(**settings | more) is None
    return folder


# Annotations of one's own


def test_written_annotations_give_the_same_run(
    source_chooses, settings, tmp_path
):
    """source.json and target.json: bit for bit, without the corpora."""
    folder = source_chooses
    stamps = [os.stat(folder / f"{x}.json").st_mtime_ns for x in LANGUAGES]
    more = settings | own(folder) | {"output_folder": tmp_path / "out"}
    more |= {"recola_folder": None, "iemocap_folder": None}
    more |= {"valid_language": "source"}
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


# No label of the target is learnt


@pytest.fixture(scope="module")
def turned_runs(base, source_chooses, settings):
    """Runs with all labels of the target turned, and with the source's."""
    languages = {name: read(source_chooses, name) for name in LANGUAGES}
    folders = {}
    for name in LANGUAGES:
        changed = languages | {name: turned(languages[name])}
        more = settings | write(base / f"turned {name}", **changed)
        folders[name] = base / f"turned {name}" / "out"
        more |= {"valid_language": "source", "output_folder": folders[name]}
        assert run(**more) is None
    return folders


def test_labels_of_the_target_reach_no_weight(source_chooses, turned_runs):
    """--valid_language source: all of them turned; of the source: not."""
    target = turned_runs["target"]
    assert same_weights(source_chooses, target)
    assert not same_weights(source_chooses, turned_runs["source"])
    one, two = results(source_chooses)[0], results(target)[0]
    assert one["selected_epoch"] == two["selected_epoch"]
    for part in ("train", "valid"):
        assert one["metrics"][part] == two["metrics"][part]
        found = posteriors(target, part)
        assert found == posteriors(source_chooses, part)


def test_features_know_no_label(source_chooses, turned_runs):
    """Turned labels of either: nothing is computed anew, nothing scaled."""
    for folder in turned_runs.values():
        assert computed(folder) == {"source": 0, "target": 0}
        one, two = weights(source_chooses), weights(folder)
        for language in LANGUAGES:
            for name in ("mean", "std"):
                key = f"{language}_standardisation.{name}"
                assert torch.equal(one[key], two[key])
