"""MEnAN's recipe again, killed, on two processes: bit for bit the same."""

import json
import math
import os
import signal

import numpy as np
import pytest
import torch

from speechbrain_ser.corpora.protocols.protocol import Protocol
from speechbrain_ser.experiment import reading
from speechbrain_ser.experiment.evaluate import evaluate
from tests import processes
from tests.recipes import two_processes_menan
from tests.recipes.helpers import (
    MENAN,
    in_second_epoch,
    own,
    results,
    run_until,
    same_weights,
    table,
    weights,
    words,
)
from tests.recipes.menan_runs import (
    OF_SPEAKERS,
    SMALL,
    check_refused,
    plan,
    read,
    run,
    stamps,
    turned,
    write,
)

# Exactness


def test_written_annotations_give_the_same_run(trained, settings, tmp_path):
    """train.json and others: bit for bit, without the corpus or a fold."""
    folder = trained(system="menan")
    before = {p: os.stat(p).st_mtime_ns for p in folder.glob("*.json")}
    more = settings | {"data_folder": None, "fold": 1}
    more |= {"output_folder": tmp_path / "out"}
    assert run(*own(folder), **more) is None
    assert same_weights(folder, tmp_path / "out")
    one, two = results(folder), results(tmp_path / "out")
    assert one[1:] == two[1:] and one[0]["metrics"] == two[0]["metrics"]
    assert two[0]["protocol"] == "annotations of one's own"
    # a user's own files are left alone
    assert not (tmp_path / "out" / "train.json").exists()
    assert {p: os.stat(p).st_mtime_ns for p in folder.glob("*.json")} == before
    # features are computed once for all runs
    log = (tmp_path / "out" / "log.txt").read_text()
    assert "features: 0 utterances computed, 58 were in" in log


def test_a_speaker_with_one_utterance(trained, settings, tmp_path):
    """Trains, and the probe leaves him out; nobody validates."""
    train = read(trained(system="menan"), "train")
    key = next(iter(train))
    alone = {k: e for k, e in train.items() if e["speaker"] != "Ses01_F"}
    alone[key] = train[key] | {"speaker": "guest"}
    tested = read(trained(system="menan"), "test")
    tested = {k: e for k, e in tested.items() if e["speaker"] == "Ses04_M"}
    line = write(tmp_path, train=alone, test=tested)
    more = settings | {"data_folder": None, "speaker_probe": True}
    more |= {"output_folder": tmp_path / "out"}
    assert run(*line, **more) is None
    metrics, curves, _ = results(tmp_path / "out")
    assert metrics["leakage"]["speakers"] == 7
    assert metrics["leakage"]["left_out"] == 1
    assert set(metrics["metrics"]) == {"train", "test"}
    assert metrics["best_epoch"] is None and "valid_UA" not in curves[0]
    with np.load(tmp_path / "out" / "speakers.npz") as file:
        assert set(file["speaker"]) == {"Ses04_M"}
    line = ["--model_selection", "best", *line]
    check_refused(
        "best chooses the epoch by the valid part.*--valid_annotation",
        *line,
        **more,
    )


def test_a_loaded_run_needs_no_train_part(trained, tmp_path):
    """Elsewhere, of a test part alone: the run's own statistics count."""
    folder = trained(system="menan")
    tested = read(folder, "test")
    before = stamps(folder)
    run_opts = {"device": "cpu", "noprogressbar": True}
    found = evaluate(str(folder), {"test": tested}, str(tmp_path), run_opts)
    assert set(found) == {"test"} and stamps(folder) == before
    rows = {row["id"]: row for row in table(folder / "predictions.csv")}
    again = {row["id"]: row for row in table(tmp_path / "predictions.csv")}
    assert list(again) == list(tested)
    assert again == {key: rows[key] for key in tested}
    with np.load(folder / "speakers.npz") as file:
        drawn = file["embeddings"][-len(tested) :]
    for prediction, vector in zip(found["test"].values(), drawn):
        assert np.array_equal(prediction["embedding"].numpy(), vector)


def test_unseen_labels_reach_no_weight(
    trained, settings, tmp_path, monkeypatch
):
    """Of the test part, turned after the split: bit for bit the same."""
    original = Protocol.split

    def split(*args, **kwargs):
        """With another class for each who does not train."""
        parts = original(*args, **kwargs)
        return parts | {"test": turned(parts["test"])}

    folder = trained(system="menan")
    monkeypatch.setattr(reading, "HELD", {})  # what was split before
    monkeypatch.setattr(Protocol, "split", split)
    assert run(**settings, output_folder=tmp_path / "out") is None
    assert same_weights(folder, tmp_path / "out")
    one, two = results(folder), results(tmp_path / "out")
    assert one[0]["metrics"]["train"] == two[0]["metrics"]["train"]
    assert one[0]["counts"]["test"] != two[0]["counts"]["test"]
    # and what the others are labelled does
    reading.HELD.clear()
    monkeypatch.setattr(
        Protocol,
        "split",
        lambda *args, **kwargs: (
            original(*args, **kwargs)
            | {"train": turned(original(*args, **kwargs)["train"])}
        ),
    )
    assert run(**settings, output_folder=tmp_path / "turned") is None
    assert not same_weights(folder, tmp_path / "turned")


def test_killed_and_started_again_is_as_never_stopped(
    trained, settings, tmp_path
):
    """SIGKILL in the second epoch; with memory, ramp and standardisation."""
    whole, out = trained(system="menan"), tmp_path / "out"
    more = {"ckpt_interval_minutes": 0, "ckpt_interval_steps": 2}
    more = settings | more | {"output_folder": out}
    batches = math.ceil(len(read(whole, "train")) / 8)
    # before the step 2 of the fourth batch of the second epoch
    place = "speechbrain_ser.methods.menan:MEnANBrain.train_speaker_classifier"
    line = words(SMALL, **more)
    child = processes.run(run_until, place, batches + 4, MENAN, line)
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert in_second_epoch(out) and not (out / "metrics.json").exists()
    assert run(**more) is None
    assert (out / "log.txt").read_text().count("epoch 1/2:") == 1
    assert same_weights(whole, out)
    assert (weights(out)["memory.speakers"] >= 0).all()
    assert results(whole) == results(out)
    with np.load(whole / "speakers.npz") as one:
        with np.load(out / "speakers.npz") as two:
            assert all(np.array_equal(one[name], two[name]) for name in one)


@pytest.fixture(scope="module")
def ended(base, settings, corpus):
    """What one process with batches of 8 leaves, and two with 4 each."""
    parts = dict(plan(data_folder=corpus, fold=4).parts)
    parts["train"] = dict(list(parts["train"].items())[:37])
    path, cache = base / "parts.json", settings["cache_folder"]
    path.write_text(json.dumps(parts))
    one, two = base / "one process", base / "two processes"
    two_processes_menan.main(path, one, 8, cache)
    processes.run_ranks(two_processes_menan.main, path, two, 4, cache)
    return [
        torch.load(file, weights_only=True)
        for file in (one / "rank0.pt", two / "rank0.pt", two / "rank1.pt")
    ]


@pytest.mark.parametrize("name", two_processes_menan.RUNS)
def test_two_processes_are_as_one(name, ended):
    """Weights, memory, curves; bit equal on both sides."""
    one, two, other = (held[name] for held in ended)
    assert one.keys() == two.keys()
    for key, value in one.items():
        assert torch.equal(two[key], other[key]), key
        torch.testing.assert_close(
            two[key], value, atol=1e-4, rtol=1e-4, msg=lambda m: f"{key}: {m}"
        )
    assert one["moved encoder.gru.weight_hh_l0"] > 2e-3
    moved = one["moved speaker_classifier.0.weight"]
    assert (moved > 2e-3) == (name != "emotion_only")
    held = one["memory.speakers"]
    assert len(held) == (0 if name == "printed" else 20)
    assert (held >= 0).all() == (name in ("menan", "printed"))
    columns = {n.removeprefix("curve ") for n in one if n.startswith("curve")}
    assert (OF_SPEAKERS < columns) == (name != "emotion_only")
