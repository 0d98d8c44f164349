"""The cross-lingual DANN recipe, run as its users run it."""

import json
import os
import re
import shutil
import signal

import matplotlib.figure
import numpy as np
import pytest
import soundfile as sf
import torch
from sklearn.metrics import recall_score

import speechbrain as sb
from speechbrain_ser.corpora.mini import iemocap, recola
from speechbrain_ser.corpora.protocols.protocol import Protocol
from speechbrain_ser.evaluation import dann as dann_report
from speechbrain_ser.experiment.evaluate import evaluate
from speechbrain_ser.experiment.hparams import load, with_overrides
from speechbrain_ser.lobes.domain_norm import WAYS
from speechbrain_ser.methods import dann
from speechbrain_ser.table.command import main as make_table
from speechbrain_ser.utils.audio import load_audio
from tests import processes
from tests.recipes import two_processes_dann
from tests.recipes.dann_runs import (
    CLASSES,
    DOMAIN,
    LANGUAGES,
    PAPER,
    check_report,
    computed,
    plan,
    posteriors,
    read,
    reported,
    run,
    turned,
    write,
)
from tests.recipes.helpers import (
    DANN,
    check_sentence,
    figures,
    in_second_epoch,
    results,
    run_until,
    same_weights,
    table,
    weights,
    words,
)

BN4 = {"batch_norm": "bn4", "beta_ramp": True}
DRAWN = {"languages", "confusion", "reliability"}


@pytest.fixture(scope="module")
def trained(base, settings):
    """A function that trains once with such settings; returns the folder."""
    held = {}

    def train(**more):
        """Or finds what was trained before."""
        key = tuple(sorted(more.items()))
        if key not in held:
            folder = base / f"run{len(held)}"
            with pytest.MonkeyPatch.context() as patch:
                seen[folder] = watch(patch)
                error = run(**settings | more, output_folder=folder)
            assert error is None
            held[key] = folder
        return held[key]

    seen = train.seen = {}
    return train


def watch(patch):
    """Notes what steps are given, drop and say."""
    seen = {"labels": [], "dropped": [], "languages": []}
    fit_batch = dann.DANNBrain.fit_batch
    drop = torch.nn.Dropout.forward
    forward = dann.DANNBrain.compute_forward

    def noted_fit_batch(self, batch):
        """Notes labels by domain."""
        seen["labels"].append((batch.label.clone(), batch.domain.clone()))
        return fit_batch(self, batch)

    def noted_drop(self, inputs):
        """Keeps what is dropped."""
        outputs = drop(self, inputs)
        seen["dropped"].append((outputs == 0).numpy().tobytes())
        return outputs

    def noted_forward(self, batch, stage):
        """Keeps what the language classifier says in training."""
        predictions = forward(self, batch, stage)
        if stage == sb.Stage.TRAIN and "languages" in predictions:
            logits = predictions["languages"].detach().double().numpy()
            domains = predictions["domains"].numpy()
            seen["languages"].append((logits, domains))
        return predictions

    patch.setattr(dann.DANNBrain, "fit_batch", noted_fit_batch)
    patch.setattr(torch.nn.Dropout, "forward", noted_drop)
    patch.setattr(dann.DANNBrain, "compute_forward", noted_forward)
    return seen


# As typed


def test_runs_as_typed(folders, tmp_path, monkeypatch, capsys):
    """Without folders; then base beside it, and DANN again draws both."""
    for module, name, make in (
        (recola, "recola", "hissing_recola"),
        (iemocap, "iemocap", "mini_iemocap"),
    ):
        small = folders[f"{name}_folder"]
        monkeypatch.setattr(module, make, lambda small=small: small)
    monkeypatch.chdir(tmp_path)
    drawn = []
    original = dann_report.plot_languages
    monkeypatch.setattr(
        dann_report,
        "plot_languages",
        lambda path, rows, *args: (
            drawn.append(rows) or original(path, rows, *args)
        ),
    )
    more = {"number_of_epochs": 2, "device": "cpu", "n_filters": 16}
    assert run(**more, drawn=True) is None
    said = capsys.readouterr().out
    first = said.splitlines()[0]
    assert "mini corpus" in first and "say nothing about RECOLA-" in first
    assert "cross-lingual@1" in said
    home = tmp_path / "results" / "dann" / "mini" / "rec2iem-arousal"
    out = home / "dann-bn1" / "1"
    assert f"report: {out.relative_to(tmp_path)}" in said
    assert figures(out) == DRAWN | {"adversary"}
    assert (tmp_path / "results" / "log_mel").is_dir()
    log = (out / "log.txt").read_text()
    assert "shows dann alone" in log
    check_report(out, DOMAIN)
    assert results(out)[0]["corpus"] == "mini"
    drawn.clear()
    size = [matplotlib.image.imread(out / "figures" / "languages.png").shape]
    before = results(out), os.stat(out / "curves.csv").st_mtime_ns
    assert run(**more, system="base") is None
    assert figures(home / "base-bn1" / "1") == DRAWN
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


# Training


@pytest.mark.parametrize("way", WAYS)
def test_each_batch_norm_trains(way, trained):
    """Its running statistics move; the report names it."""
    more = {"bn1": {}, "bn4": BN4}.get(way, {"batch_norm": way})
    folder = trained(**more)
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
    folder = trained(model_selection="last")
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


def test_ids_may_be_the_same_in_both(trained, settings, tmp_path):
    """Or look like the recipe's own names: the same weights, all reported."""
    folder = trained(model_selection="last")
    renamed = {}
    # every other one of the source
    for language, starts in (("source", ("", "target/")), ("target", ("",))):
        entries = read(folder, language).values()
        renamed[language] = {
            f"{starts[i % len(starts)]}u{i}": entry
            for i, entry in enumerate(entries)
        }
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


@pytest.mark.parametrize("more", [{}, BN4], ids=["bn1", "bn4"])
def test_training_is_given_no_label_of_the_target(more, trained):
    """And all labels of the source; as many utterances of both, an epoch."""
    seen = trained.seen[trained(**more)]["labels"]
    labels, domains = (torch.cat(column) for column in zip(*seen))
    assert (labels[domains == 1] == -1).all()
    assert (labels[domains == 0] >= 0).all()
    assert (domains == 0).sum() == (domains == 1).sum() == 2 * 48


def test_each_step_drops_other_numbers(trained):
    """Of source and target, in each step of each epoch; none afterwards."""
    seen = trained.seen[trained()]["dropped"]
    assert len(set(seen)) == len(seen) == 2 * 6 * 2


def test_curves_say_what_was_seen(trained):
    """domain_loss and domain_UA: the means over batches, by hand; Eq. 7."""
    more = {"number_of_epochs": 1, "penalty": "none", "alpha": 0.3}
    folder = trained(**more)
    seen = trained.seen[folder]["languages"]
    assert len(seen) == 6
    losses, shares = [], []
    for logits, domains in seen:
        loss = 0.0
        for row, domain in zip(logits, domains):
            loss += np.log(np.exp(row).sum()) - row[domain]
        losses.append(loss / len(domains))
        guesses = logits.argmax(axis=1)
        shares.append(recall_score(domains, guesses, average="macro"))
    metrics, (row,), _ = results(folder)
    assert float(row["domain_loss"]) == pytest.approx(np.mean(losses), rel=1e-5)
    assert float(row["domain_UA"]) == pytest.approx(np.mean(shares), rel=1e-5)
    # all batches are full, so that the mean of Eq. 7 is that of its parts
    whole = 0.3 * float(row["emotion_loss"]) + 0.7 * np.mean(losses)
    assert float(row["train_loss"]) == pytest.approx(whole, rel=1e-5)
    last = metrics["test_mean_of_last_epochs"]
    tested = metrics["metrics"]["test"]["UA"]
    assert last["UA"]["mean"] == pytest.approx(tested)


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
    assert out("dann", direction="iem2rec") == {"source": 0, "target": 0}
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


def test_killed_and_started_again_is_as_never_stopped(
    trained, settings, tmp_path
):
    """SIGKILL in the second epoch; dropout and the ramp are on."""
    whole = trained(**BN4)
    out = tmp_path / "out"
    more = BN4 | {"ckpt_interval_minutes": 0, "ckpt_interval_steps": 2}
    more = settings | more | {"output_folder": out}
    # the target's half of a batch, when the source has made its step
    place, count = "speechbrain_ser.brain:SERBrain.fit_batch", 20
    line = words(PAPER, **more)
    killed = processes.run(run_until, place, count, DANN, line)
    assert killed.returncode == -signal.SIGKILL
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
def two_sides(base, folders, settings):
    """What one process with batches of 8 leaves, and two with 4 each."""
    parts = plan(**folders).parts
    parts["train"] = dict(list(parts["train"].items())[:45])
    parts["target"] = dict(list(parts["target"].items())[:37])
    path, cache = base / "parts.json", settings["cache_folder"]
    path.write_text(json.dumps(parts))
    one, two = base / "one process", base / "two processes"
    two_processes_dann.main(path, one, 8, cache)
    main = two_processes_dann.main
    processes.run_ranks(main, str(path), str(two), "4", str(cache))
    return [
        torch.load(file, weights_only=True)
        for file in (one / "rank0.pt", two / "rank0.pt", two / "rank1.pt")
    ]


@pytest.mark.parametrize("way", WAYS)
def test_two_processes_are_as_one(way, two_sides):
    """Weights, running statistics, curves; bit equal on both sides."""
    one, two, other = (held[way] for held in two_sides)
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


# Folders that are there already


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


def test_a_damaged_figure_of_base_is_one_sentence(trained, settings, tmp_path):
    """Its file is named; once it is whole, the run goes on to its end."""
    (tmp_path / "base").mkdir()
    row = tmp_path / "base" / "languages.npz"
    whole = (trained(system="base") / "languages.npz").read_bytes()
    out = tmp_path / "out"
    shutil.copytree(trained(), out)
    (out / "metrics.json").unlink()
    more = settings | {"compared_folder": tmp_path / "base"}
    more |= {"output_folder": out}
    for damaged in (b"no figure", whole[:200], b""):
        row.write_bytes(damaged)
        error = run(**more)
        check_sentence(error, f"{row} can't be read.*--compared_folder")
        assert not (out / "metrics.json").exists()
    row.write_bytes(whole)
    assert run(**more) is None
    one, two = results(out), results(trained())
    assert reported(one) != reported(two)
    assert one == two


# Tables


def test_table_of_conditions(trained, settings, tmp_path):
    """Two directions, two systems: the cells are what the runs report."""
    overrides = {
        name: value if isinstance(value, (int, float)) else str(value)
        for name, value in settings.items()
        if name != "device"
    }
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
    arguments = [str(path), "--results_folder", str(tmp_path / "results")]
    there = {"base": {"system": "base"}, "dann": {}}
    back = {"direction": "iem2rec", "task": "valence"}
    for name, more in there.items():
        for i, condition in enumerate(({}, back)):
            out = tmp_path / "results" / f"{name}{i}"
            shutil.copytree(trained(**more, **condition), out)
    assert make_table([*arguments, "--device", "cpu"]) == 0
    assert not (tmp_path / "results" / "runs").exists()
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
