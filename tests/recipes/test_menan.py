"""The MEnAN recipe, run as its users run it."""

import json
import math
import multiprocessing
import os
import pathlib
import shutil
import signal
import socket

import matplotlib.figure
import numpy as np
import pytest
import speechbrain as sb
import torch

from speechbrain_ser.corpora import iemocap
from speechbrain_ser.corpora.annotations import (
    read_annotation,
    write_annotation,
)
from speechbrain_ser.corpora.mini import iemocap as mini
from speechbrain_ser.corpora.mini.iemocap import mini_iemocap
from speechbrain_ser.corpora.protocols import named as named_protocols
from speechbrain_ser.evaluation.probing import speaker_probe
from speechbrain_ser.experiment import recipe
from speechbrain_ser.figures import planes
from speechbrain_ser.figures import speakers as speaker_plots
from speechbrain_ser.methods import menan
from speechbrain_ser.methods.menan import SYSTEMS
from speechbrain_ser.utils.audio import load_audio
from speechbrain_ser.utils.errors import InputError
from tests.recipes import two_processes_menan
from tests.recipes.helpers import (
    MENAN,
    PARTS,
    check_sentence,
    figures,
    import_script,
    in_second_epoch,
    own,
    results,
    run_recipe,
    run_until,
    same_weights,
    table,
    weights,
    words,
)
from tests.references import menan as reference

SMALL = "hparams/menan_small.yaml"
LABELS = ["ang", "hap", "neu", "sad"]
ALL_SPEAKERS = [f"Ses0{i}_{gender}" for i in range(1, 6) for gender in "FM"]
OF_SPEAKERS = {"speaker_entropy", "speaker_loss", "speaker_accuracy"}


def run(*arguments, hparams=SMALL, drawn=False, **settings):
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
        patch.setattr(  # a t-SNE
            planes, "neighbour_map", lambda features, start: start
        )
        line = words(hparams, **settings)
        return run_recipe(patch, *line, *arguments, script=MENAN)


def plan(**settings):
    """Plans a run."""
    overrides = recipe.with_overrides("", **settings)
    return import_script(MENAN).plan(str(MENAN.parent / SMALL), overrides)


def read(folder, part):
    """What a run, or a test, wrote as annotation of a part."""
    return read_annotation(str(folder / f"{PARTS[part]}.json"))


def write(folder, **parts):
    """Writes annotations; returns the words that name them."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, annotation in parts.items():
        write_annotation(str(folder / f"{PARTS[part]}.json"), annotation)
    return own(folder)


def turned(annotation):
    """The same utterances with another class each."""
    following = dict(zip(LABELS, LABELS[1:] + LABELS[:1]))
    return {
        key: entry | {"emotion": following[entry["emotion"]]}
        for key, entry in annotation.items()
    }


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A folder for what the tests share."""
    return tmp_path_factory.mktemp("menan")


@pytest.fixture(scope="module")
def corpus(base):
    """A small mini corpus: 58 utterances of ten speakers."""
    return mini_iemocap(str(base), utterances_per_speaker=6)


@pytest.fixture(scope="module")
def settings(base, corpus):
    """Tiny in all respects; the output folder is to be added."""
    return {
        "data_folder": corpus,
        "device": "cpu",
        "fold": 4,
        "number_of_epochs": 2,
        "watched_epochs": 1,
        "duration": 1.5,
        "channels": 8,
        "hidden_sizes": [8, 6],
        "batch_size": 8,
        "speaker_steps": 3,
        "speaker_memory": 24,
        "speaker_batch_size": 16,
        "speaker_probe": False,
        "compared_folder": None,
        "cache_folder": base / "features",
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
            assert run(**settings | more, output_folder=folder) is None
            held[key] = folder
        return held[key]

    return train


def stamps(folder):
    """When each file of a run's training was written."""
    return {
        path: os.stat(path).st_mtime_ns
        for path in [*folder.glob("save/*/*"), folder / "curves.csv"]
    }


# As typed


def test_runs_as_typed(corpus, tmp_path, monkeypatch, capsys):
    """Without a corpus; then multitask beside it, and MEnAN again draws both."""
    monkeypatch.setattr(mini, "mini_iemocap", lambda: corpus)
    monkeypatch.chdir(tmp_path)
    shown, original = [], speaker_plots.plot_speakers
    monkeypatch.setattr(
        speaker_plots,
        "plot_speakers",
        lambda path, rows, *args: (
            shown.append(rows) or original(path, rows, *args)
        ),
    )
    recipe.say_once.cache_clear()
    more = {"number_of_epochs": 1, "speaker_steps": 2, "duration": 2}
    more |= {"device": "cpu", "hparams": "hparams/menan.yaml"}
    assert run(**more, drawn=True) is None
    said = capsys.readouterr().out
    assert "menan_small.yaml" in said and "nothing about IEMOCAP" in said
    assert "mini, iemocap-10fold-loso@1" in said
    home = tmp_path / "results" / "menan_small" / "mini"
    out = home / "menan" / "fold1" / "1"
    assert f"report: {out.relative_to(tmp_path)}" in said
    assert "a fresh probe names the speaker of" in said
    assert figures(out) == {"speakers", "adversary", "confusion", "curves"}
    for name in figures(out):
        path = out / "figures" / f"{name}.png"
        assert matplotlib.image.imread(path).std() > 0.05
    size = [matplotlib.image.imread(out / "figures/speakers.png").shape]
    assert (tmp_path / "results" / "pitch_features").is_dir()
    assert "shows menan alone" in (out / "log.txt").read_text()
    before, written = results(out), stamps(out)
    leakage = before[0]["leakage"]
    assert leakage["speakers"] == 8 and leakage["left_out"] == 0
    assert leakage["utterances"] == before[0]["sizes"]["train"]
    assert before[0]["corpus"] == "mini"

    more |= {"speaker_probe": False}
    assert run(**more, system="multitask") is None
    assert run(**more, drawn=True) is None
    assert stamps(out) == written
    after = results(out)
    assert (
        before[1:] == after[1:]
        and before[0]["metrics"] == (after[0]["metrics"])
    )
    size.append(matplotlib.image.imread(out / "figures/speakers.png").shape)
    assert size[1][0] > 1.5 * size[0][0]
    names = [["menan"], ["multitask"], ["multitask", "menan"]]
    assert [list(rows) for rows in shown] == names
    again = shown[2]["menan"]["embeddings"]
    assert np.array_equal(shown[0]["menan"]["embeddings"], again)
    for row in shown[2].values():
        assert set(row["speaker"]) == set(ALL_SPEAKERS[:2])
        assert row["note"] == ""
    share = f"{100 * leakage['accuracy']:.1f} % of the training utterances"
    assert share in shown[0]["menan"]["note"] and share in said


# What is trained and evaluated


def test_each_speaker_tests_once(corpus):
    """The other of the session validates, the other eight train."""
    prepare = import_script(MENAN).prepare
    every = prepare(corpus, LABELS, True, False, 1)
    whole = {k: e for part in every.values() for k, e in part.items()}
    for fold, speaker in enumerate(ALL_SPEAKERS, 1):
        parts = prepare(corpus, LABELS, True, False, fold)
        found = {
            part: {entry["speaker"] for entry in annotation.values()}
            for part, annotation in parts.items()
        }
        partner = speaker[:-1] + {"F": "M", "M": "F"}[speaker[-1]]
        assert found["evaluation"] == {speaker}
        assert found["validation"] == {partner}
        assert found["train"] == set(ALL_SPEAKERS) - {speaker, partner}
        together = {k: e for part in parts.values() for k, e in part.items()}
        assert together == whole
        assert sum(map(len, parts.values())) == len(whole)


@pytest.mark.parametrize(
    "more, rate, weight",
    [
        ({}, 0.003, 0.7),
        ({"system": "dat"}, 0.001, 0.5),
        ({"system": "multitask", "lr": 0.002}, 0.002, 0.5),
        ({"lr_speaker": 0.0005, "emotion_weight": 0}, 0.0005, 0),
        ({"system": "dat", "emotion_weight": 0.9}, 0.001, 0.9),
    ],
)
def test_open_settings_are_filled_in(corpus, more, rate, weight):
    """The rate of SC, lambda, and how many speakers there are."""
    settings = plan(data_folder=corpus, **more).settings
    assert settings["emotion_weight"] == weight
    assert settings["lr_speaker"] == rate and settings["n_speakers"] == 8


def test_copies_follow_their_speakers(settings, tmp_path, monkeypatch):
    """All of those who train, none of others; the report has none of them."""
    seen, made = {}, []
    original = menan.MEnANBrain.fit_batch

    def fit_batch(self, batch):
        """Notes who is heard."""
        for key, *rest in zip(
            batch.id, batch.speaker.tolist(), batch.label.tolist()
        ):
            assert key not in seen
            seen[key] = rest
        return original(self, batch)

    monkeypatch.setattr(menan.MEnANBrain, "fit_batch", fit_batch)
    prepare = menan.framed_features

    def framed_features(parts, *args):
        """Keeps what is computed."""
        made.append(parts)
        return prepare(parts, *args)

    monkeypatch.setattr(menan, "framed_features", framed_features)
    more = settings | {"number_of_epochs": 1, "speeds": [0.8, 1.1]}
    # a batch of one utterance would be left out
    more |= {"output_folder": tmp_path / "out", "batch_size": 9}
    assert run(**more) is None
    train = read(tmp_path / "out", "train")
    held_out = {ALL_SPEAKERS[2], ALL_SPEAKERS[3]}
    speakers = sorted(set(ALL_SPEAKERS) - held_out)
    expected = {}
    for key, entry in train.items():
        assert entry["speaker"] not in held_out and "speed" not in entry
        right = [
            speakers.index(entry["speaker"]),
            LABELS.index(entry["emotion"]),
        ]
        for ending in ("", "-speed0.8", "-speed1.1"):
            expected[key + ending] = right
    assert seen == expected
    (parts,) = made
    for name, part in parts.items():
        copies = {k: e for k, e in part.items() if "speed" in e}
        assert len(copies) == (2 * len(train) if name == "training" else 0)
        for key, entry in copies.items():
            first = train[key.rsplit("-speed", 1)[0]]
            changed = {"speed", "duration"}
            assert {n for n in entry if entry[n] != first.get(n)} == changed
    rows = table(tmp_path / "out" / "predictions.csv")
    assert not any("speed" in row["id"] for row in rows)
    assert results(tmp_path / "out")[0]["sizes"]["train"] == len(train)


@pytest.mark.parametrize("system", SYSTEMS)
def test_each_system_trains(system, trained):
    """The metrics are those of the predictions; the curves have their rows."""
    folder = trained(system=system)
    metrics, curves, _ = results(folder)
    assert metrics["method"] == "MEnAN" and metrics["system"] == system
    assert metrics["fold"] == 4 and "leakage" not in metrics
    rows = table(folder / "predictions.csv")
    assert set(metrics["metrics"]) == {"train", "validation", "evaluation"}
    for part, score in metrics["metrics"].items():
        held = [row for row in rows if row["part"] == part]
        truth = {k: e["emotion"] for k, e in read(folder, part).items()}
        assert {row["id"]: row["label"] for row in held} == truth
        right = [row["prediction"] == row["label"] for row in held]
        assert score["WA"] == pytest.approx(np.mean(right))
    last = metrics["evaluation_mean_of_last_epochs"]
    tested = metrics["metrics"]["evaluation"]["WA"]
    assert last["epochs"] == [2] and last["WA"]["mean"] == pytest.approx(tested)
    assert tested != metrics["metrics"]["train"]["WA"]
    assert [row["epoch"] for row in curves] == ["1", "2"]
    columns = {name for name in curves[0] if name.startswith("speaker")}
    silent = system == "emotion_only"
    assert columns == (set() if silent else OF_SPEAKERS)
    for row in curves:
        assert all(math.isfinite(float(value)) for value in row.values())
        if not silent:
            assert float(row["speaker_entropy"]) <= math.log(8) + 1e-6
    drawn = {"curves", "speakers", "confusion"}
    assert figures(folder) == drawn | (set() if silent else {"adversary"})
    assert {"emotion_loss", "valid_loss", "valid_WA"} <= set(curves[0])


def by_hand(folder, settings, annotation):
    """Embeddings and posteriors of utterances, from the checkpoint's weights."""
    overrides = recipe.with_overrides(
        "",
        n_speakers=8,
        channels=settings["channels"],
        hidden_sizes=settings["hidden_sizes"],
    )
    hparams = recipe.load(str(MENAN.parent / SMALL), overrides)
    held = weights(folder)
    for name in ("encoder", "classifier", "standardisation"):
        hparams[name].load_state_dict(
            {
                key.split(".", 1)[1]: value
                for key, value in held.items()
                if key.startswith(f"{name}.")
            }
        )
    scale, vectors = hparams["standardisation"], []
    for entry in annotation.values():
        wav = load_audio(entry)
        frames = hparams["features"](wav[None], torch.ones(1))[0][0]
        frames = (frames - scale.mean) / scale.std
        # a frame each 10 ms of 1.5 s, and one more
        chosen = reference.fixed_indices(len(frames), 151)
        with torch.no_grad():
            vectors.append(hparams["encoder"](frames[chosen][None])[0])
    vectors = torch.stack(vectors)
    with torch.no_grad():
        return vectors, hparams["classifier"](vectors).softmax(dim=1)


def test_report_is_of_the_checkpoint(trained, settings):
    """Predictions, leakage and figure by hand from weights and audio."""
    folder = trained(system="menan", speaker_probe=True)
    assert same_weights(folder, trained(system="menan"))
    metrics, _, _ = results(folder)
    assert metrics["selected_epoch"] == 2
    rows = {row["id"]: row for row in table(folder / "predictions.csv")}
    tested = read(folder, "evaluation")
    vectors, posteriors = by_hand(folder, settings, tested)
    for key, posterior in zip(tested, posteriors.tolist()):
        found = [float(rows[key][f"posterior_{word}"]) for word in LABELS]
        assert posterior == pytest.approx(found, abs=1e-4)
    with np.load(folder / "speakers.npz") as file:
        drawn = file["embeddings"][-len(tested) :]
        assert file["speaker"].tolist()[-1] == ALL_SPEAKERS[3]
    np.testing.assert_allclose(vectors, drawn, atol=1e-4)
    train = read(folder, "train")
    vectors, _ = by_hand(folder, settings, train)
    speakers = [entry["speaker"] for entry in train.values()]
    found = speaker_probe(vectors.numpy(), speakers)
    assert metrics["leakage"]["chance"] == found["chance"]
    # a single one near a border may fall to its other side
    for name in ("accuracy", "nonlinear_accuracy"):
        difference = abs(metrics["leakage"][name] - found[name])
        assert difference <= 1.5 / len(vectors), name


def test_the_best_epoch_is_selected(trained):
    """By the validation speaker, if it is asked for; the weights are others."""
    folder = trained(system="menan", model_selection="best", lr=0.02)
    metrics, curves, _ = results(folder)
    best = max(float(row["valid_UA"]) for row in curves)
    chosen = curves[metrics["selected_epoch"] - 1]
    assert float(chosen["valid_UA"]) == best
    scores = metrics["metrics"]["validation"]
    assert scores["UA"] == pytest.approx(best, abs=1e-6)
    assert metrics["best_epoch"] is None


# Exactness


def test_only_testing_trains_nothing(trained, settings, tmp_path):
    """--test_only, or the same command, with a finished run."""
    folder = tmp_path / "out"
    shutil.copytree(trained(system="menan"), folder)
    before, written = results(folder), stamps(folder)
    for option in ([], ["--test_only"]):
        assert run(*option, **settings, output_folder=folder) is None
        assert results(folder) == before and stamps(folder) == written


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
    evaluation = read(trained(system="menan"), "evaluation")
    line = write(tmp_path, train=alone, evaluation=evaluation)
    more = settings | {"data_folder": None, "speaker_probe": True}
    more |= {"output_folder": tmp_path / "out"}
    assert run(*line, **more) is None
    metrics, curves, _ = results(tmp_path / "out")
    assert metrics["leakage"]["speakers"] == 7
    assert metrics["leakage"]["left_out"] == 1
    assert set(metrics["metrics"]) == {"train", "evaluation"}
    assert metrics["best_epoch"] is None and "valid_UA" not in curves[0]
    with np.load(tmp_path / "out" / "speakers.npz") as file:
        assert set(file["speaker"]) == {"Ses02_M"}
    line = ["--model_selection", "best", *line]
    check_refused("without a validation part", *line, **more)


def test_unseen_labels_reach_no_weight(
    trained, settings, tmp_path, monkeypatch
):
    """Of validation and test, turned after the split: bit for bit the same."""
    original = named_protocols.split

    def split(*args, **kwargs):
        """With another class for each who does not train."""
        parts = original(*args, **kwargs)
        others = {name: turned(parts[name]) for name in ("valid", "test")}
        return parts | others

    monkeypatch.setattr(named_protocols, "split", split)
    folder = trained(system="menan")
    assert run(**settings, output_folder=tmp_path / "out") is None
    assert same_weights(folder, tmp_path / "out")
    one, two = results(folder), results(tmp_path / "out")
    assert one[0]["metrics"]["train"] == two[0]["metrics"]["train"]
    assert one[0]["counts"]["validation"] != two[0]["counts"]["validation"]
    # and what the others are labelled does
    monkeypatch.setattr(
        named_protocols,
        "split",
        lambda *args, **kwargs: (
            original(*args, **kwargs)
            | {"train": turned(original(*args, **kwargs)["train"])}
        ),
    )
    assert run(**settings, output_folder=tmp_path / "turned") is None
    assert not same_weights(folder, tmp_path / "turned")


def test_gradient_accumulation_runs(trained, settings, tmp_path):
    """Other weights than without, all of them finite."""
    option = ["--grad_accumulation_factor", "2"]
    assert run(*option, **settings, output_folder=tmp_path / "out") is None
    found = weights(tmp_path / "out")
    assert all(value.isfinite().all() for value in found.values())
    before = weights(trained(system="menan"))
    assert not torch.equal(
        before["encoder.gru.weight_hh_l0"], found["encoder.gru.weight_hh_l0"]
    )


@pytest.fixture(scope="module")
def server():
    """Starts processes that need not import everything anew."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [
            "torch._dynamo",  # which the first optimizer imports
            "speechbrain_ser.methods.menan",
            "speechbrain_ser.corpora.mini.iemocap",
            "tests.recipes.helpers",
        ]
    )
    return context


def test_killed_and_started_again_is_as_never_stopped(
    trained, settings, tmp_path, server
):
    """SIGKILL in the second epoch; with memory, ramp and standardisation."""
    whole, out = trained(system="menan"), tmp_path / "out"
    more = {"ckpt_interval_minutes": 0, "ckpt_interval_steps": 2}
    more = settings | more | {"output_folder": out}
    batches = math.ceil(len(read(whole, "train")) / 8)
    # before the step 2 of the fourth batch of the second epoch
    place = "speechbrain_ser.methods.menan:MEnANBrain.train_speaker_classifier"
    process = server.Process(
        target=run_until,
        args=(place, batches + 4, MENAN, words(SMALL, **more)),
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
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
def processes(base, settings, corpus, server):
    """What one process with batches of 8 leaves, and two with 4 each."""
    parts = dict(plan(data_folder=corpus, fold=4).parts)
    parts["train"] = dict(list(parts["train"].items())[:37])
    path, cache = base / "parts.json", settings["cache_folder"]
    path.write_text(json.dumps(parts))
    one, two = base / "one process", base / "two processes"
    two_processes_menan.main(path, one, 8, cache)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    started = [
        server.Process(
            target=two_processes_menan.as_rank,
            args=(rank, port, path, two, 4, cache),
        )
        for rank in range(2)
    ]
    for process in started:
        process.start()
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0, 0]
    return [
        torch.load(file, weights_only=True)
        for file in (one / "rank0.pt", two / "rank0.pt", two / "rank1.pt")
    ]


@pytest.mark.parametrize("name", two_processes_menan.RUNS)
def test_two_processes_are_as_one(name, processes):
    """Weights, memory, curves; bit equal on both sides."""
    one, two, other = (held[name] for held in processes)
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


# Bad input


def check_refused(said, *line, output_folder, **settings):
    """One sentence, and nothing is written."""
    out = pathlib.Path(output_folder).parent / "refused"
    error = run(*line, **settings, output_folder=out)
    check_sentence(error, said)
    assert not out.exists()


BAD_SETTINGS = [
    ({"system": "menon"}, "--system is 'menon': give one of emotion_only, mul"),
    ({"class_weights": "some"}, "--class_weights is 'some': .*none, balanced"),
    ({"model_selection": "luck"}, "--model_selection is 'luck': .*best, last"),
    ({"number_of_epochs": 0}, "--number_of_epochs is 0: give a whole number"),
    ({"batch_size": 1}, "--batch_size is 1: give a whole number from 2"),
    ({"batch_size": 2.5}, "--batch_size is 2.5: give a whole number"),
    (
        {"emotion_weight": 1.5},
        "--emotion_weight is 1.5: give a number from 0 t",
    ),
    ({"emotion_weight": -0.1}, "--emotion_weight is -0.1"),
    ({"emotion_weight": "much"}, "--emotion_weight is 'much'"),
    ({"emotion_weight": float("nan")}, "--emotion_weight is nan"),
    ({"emotion_weight": True}, "--emotion_weight is True"),
    ({"emotion_weight": None}, "--emotion_weight is None"),
    (
        {"speaker_steps": 0},
        "--speaker_steps is 0: .*whole number from 1 to 1000000$",
    ),
    ({"speaker_memory": -1}, "--speaker_memory is -1: give a whole number"),
    ({"speaker_memory": 2.5}, "--speaker_memory is 2.5"),
    ({"speaker_batch_size": 1}, "--speaker_batch_size is 1: .* from 2"),
    ({"speaker_noise": -1}, "--speaker_noise is -1: give a number from 0"),
    ({"lr": 0}, "--lr is 0: give a number from"),
    ({"lr": "1e-3 "}, "--lr is '1e-3 '"),
    ({"lr_speaker": -1}, "--lr_speaker is -1"),
    ({"lr_power": -1}, "--lr_power is -1"),
    ({"reversal_scale": float("inf")}, "--reversal_scale is inf"),
    ({"duration": 0.2}, "--duration is 0.2: give a number from 0.3"),
    ({"ramp": "no"}, "--ramp is 'no': give True or False"),
    ({"standardise": 1}, "--standardise is 1: give True or False"),
    ({"speaker_probe": None}, "--speaker_probe is None: give True or False"),
    ({"labels": "ang,sad"}, "--labels is 'ang,sad': give a list in brackets"),
    ({"speeds": 0.9}, "--speeds is 0.9: give a list in brackets"),
    ({"speeds": None}, "--speeds is None"),
    ({"speeds": [1.1, 1]}, "--speeds is .*other than 1"),
    ({"speeds": [0.2]}, "--speeds is .*from 0.25 to 4"),
    ({"speeds": ["fast"]}, "--speeds is .*numbers"),
    ({"speeds": [True]}, "--speeds is .*numbers"),
    ({"cache_folder": None}, "give --cache_folder"),
]


def test_bad_settings_are_one_sentence():
    """Each by itself; the good ones pass, at their limits too."""
    script = import_script(MENAN)
    given = recipe.with_overrides("", lr_speaker=0.1, emotion_weight=0.5)
    settings = recipe.peek(str(MENAN.parent / SMALL), given)
    script.check_settings(settings)
    for more in (
        {"emotion_weight": 0, "speaker_memory": 0, "reversal_scale": 0},
        {"emotion_weight": 1, "speeds": [0.25, 4, 0.9], "lr_power": 0},
        {"duration": 0.3, "speaker_steps": 1, "batch_size": 2},
    ):
        script.check_settings({**settings, **more})
    for more, said in BAD_SETTINGS:
        with pytest.raises(InputError, match=said) as error:
            script.check_settings({**settings, **more})
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "more, said",
    [
        ({"system": "menon"}, "--system is 'menon'"),
        ({"speeds": "0.9, 1.1"}, "--speeds is '0.9, 1.1': give a list"),
        ({"lr_speaker": "slow"}, "--lr_speaker is 'slow'"),
        ({"fold": 11}, "fold is 11: set it to a whole number from 1 to 10"),
        ({"fold": 0}, "fold is 0"),
        ({"fold": "last"}, "fold is 'last'"),
        ({"fold": None}, "fold is None"),
        ({"labels": ["ang", "joy"]}, "labels is .*'joy'"),
        ({"data_folder": "/nowhere"}, "'/nowhere' is no folder"),
        ({"no_such_setting": 1}, "menan_small.yaml has no setting no_such_s"),
        ({"emotion_wieght": 1}, "wieght: did you mean --emotion_weight.$"),
    ],
    ids=str,
)
def test_bad_command_lines_are_one_sentence(more, said, settings, tmp_path):
    """Before anything is written."""
    check_refused(said, **settings | more, output_folder=tmp_path / "out")


def test_a_session_of_one_speaker(settings, tmp_path, monkeypatch):
    """Nobody is left to validate: said with the session."""
    original = iemocap.read_iemocap

    def read_iemocap(*args, **kwargs):
        """Without one speaker."""
        held = original(*args, **kwargs)
        return {k: e for k, e in held.items() if e["speaker"] != "Ses02_F"}

    monkeypatch.setattr(iemocap, "read_iemocap", read_iemocap)
    more = settings | {"fold": 3, "output_folder": tmp_path / "out"}
    check_refused("[Ss]ession.*Ses02_M|Ses02_M.*[Ss]ession", **more)


def test_bad_annotations_are_one_sentence(trained, settings, tmp_path):
    """Without speakers, of one alone, without label, audio or a file."""
    parts = {part: read(trained(system="menan"), part) for part in PARTS}
    train = parts["train"]
    key, first = next(iter(train.items()))
    broken = tmp_path / "broken.wav"
    broken.write_text("no sound")
    more = settings | {"data_folder": None, "output_folder": tmp_path / "out"}

    def refused(name, said, **changed):
        """With one of the parts changed."""
        line = write(tmp_path / name, **parts | changed)
        check_refused(said, *line, **more)

    def other(**values):
        """With another first entry."""
        return {"train": train | {key: first | values}}

    mute = {k: v for k, v in first.items() if k != "speaker"}
    said = f"train.json: the utterance {key} has no speaker"
    refused("mute", said, train=train | {key: mute})
    alone = {k: e | {"speaker": "A"} for k, e in train.items()}
    refused("alone", "train.json: .*of the speaker A: .*two", train=alone)
    bare = {k: v for k, v in first.items() if k != "emotion"}
    refused("bare", f"'{key}' lacks 'emotion'", train=train | {key: bare})
    said = f"train.json: .*{key} has the emotion 'joy'.*--labels"
    refused("joy", said, **other(emotion="joy"))
    tested = next(iter(parts["evaluation"]))
    joy = parts["evaluation"][tested] | {"emotion": "joy"}
    joy = {"evaluation": parts["evaluation"] | {tested: joy}}
    refused("test joy", f"test.json: .*{tested} has the emotion 'joy'", **joy)
    gone = str(tmp_path / "gone.wav")
    refused("gone", "gone.wav' is missing", **other(wav=gone))
    refused("sound", "broken.wav' is not audio", **other(wav=str(broken)))
    refused("empty", "train.json' holds no entry", train={})
    twice = {"evaluation": parts["evaluation"] | {key: first}}
    refused("twice", f"'{key}' stands in train and in evaluation", **twice)
    calm = {k: e for k, e in train.items() if e["emotion"] != "ang"}
    refused("calm", "'train' has no utterance of ang", train=calm)
    line = write(tmp_path / "lost", **parts)
    for name in ("train", "test"):
        (tmp_path / "lost" / f"{name}.json").rename(tmp_path / "away")
        check_refused(f"{name}.json' is missing", *line, **more)
        (tmp_path / "away").rename(tmp_path / "lost" / f"{name}.json")


def test_a_folder_of_another_run_is_left_alone(trained, settings):
    """Another seed, fold, system or weight in a finished folder."""
    folder = trained(system="menan")
    before = results(folder), stamps(folder)
    for name, value in (
        ("seed", 2),
        ("fold", 5),
        ("system", "dat"),
        ("emotion_weight", 0.4),
        ("speeds", [0.9]),
    ):
        error = run(**settings | {name: value, "output_folder": folder})
        check_sentence(error, f"holds a run with .*{name} = |and \\d+ more")
        assert "--output_folder" in error
    assert before == (results(folder), stamps(folder))
