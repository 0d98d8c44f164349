"""The MEnAN recipe, run as its users run it."""

import math

import matplotlib.image
import numpy as np
import pytest
import torch

from speechbrain_ser.corpora.mini import habitual_iemocap as mini
from speechbrain_ser.evaluation import menan as report
from speechbrain_ser.evaluation.probing import speaker_probe
from speechbrain_ser.experiment.command_line import say_once
from speechbrain_ser.experiment.hparams import load, with_overrides
from speechbrain_ser.methods import menan
from speechbrain_ser.methods.menan import SYSTEMS
from speechbrain_ser.table.layout import Run
from speechbrain_ser.table.spec import read_table
from speechbrain_ser.table.values import value_of
from speechbrain_ser.utils.audio import load_audio
from tests.recipes.helpers import (
    MENAN,
    ROOT,
    figures,
    results,
    same_weights,
    table,
    weights,
)
from tests.recipes.menan_runs import (
    ALL_SPEAKERS,
    LABELS,
    OF_SPEAKERS,
    SMALL,
    check_refused,
    plan,
    read,
    run,
    stamps,
    write,
)
from tests.references import menan as reference

DRAWN = {"speakers", "confusion", "reliability", "curves"}

# As typed


def test_runs_as_typed(corpus, tmp_path, monkeypatch, capsys):
    """Without a corpus; then multitask beside it, and MEnAN again draws both."""
    monkeypatch.setattr(mini, "mini_habitual_iemocap", lambda: corpus)
    monkeypatch.chdir(tmp_path)
    shown, original = [], report.plot_speakers
    monkeypatch.setattr(
        report,
        "plot_speakers",
        lambda path, rows, *args: (
            shown.append(rows) or original(path, rows, *args)
        ),
    )
    say_once.cache_clear()
    more = {"number_of_epochs": 1, "speaker_steps": 2, "duration": 2}
    more |= {"device": "cpu", "hparams": "hparams/menan.yaml"}
    assert run(**more, drawn=True) is None
    said = capsys.readouterr().out
    assert "menan_small.yaml" in said and "nothing about IEMOCAP" in said
    assert "mini, iemocap-5fold-two-speakers@1" in said
    home = tmp_path / "results" / "menan_small" / "mini"
    out = home / "menan" / "session1" / "1"
    assert f"report: {out.relative_to(tmp_path)}" in said
    assert "a fresh probe names the speaker of" in said
    assert figures(out) == DRAWN | {"adversary"}
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
    """With the other of the session; the other eight train, nobody validates."""
    every = plan(data_folder=corpus, fold=1).parts
    whole = {k: e for part in every.values() for k, e in part.items()}
    trained = set()
    for fold in range(1, 6):
        planned = plan(data_folder=corpus, fold=fold)
        parts = planned.parts
        assert planned.protocol.startswith("iemocap-5fold-two-speakers@1")
        found = {
            part: {entry["speaker"] for entry in annotation.values()}
            for part, annotation in parts.items()
        }
        both = {f"Ses0{fold}_F", f"Ses0{fold}_M"}
        assert found == {"train": set(ALL_SPEAKERS) - both, "test": both}
        trained.add(tuple(sorted(parts["train"])))
        together = {k: e for part in parts.values() for k, e in part.items()}
        assert together == whole
        assert sum(map(len, parts.values())) == len(whole)
    assert len(trained) == 5  # no two models are one


@pytest.mark.parametrize(
    "more, rate, weight",
    [
        ({}, 0.003, 0.7),
        ({"system": "dat"}, 0.001, 0.5),
        ({"system": "multitask", "lr": 0.002}, 0.002, 0.5),
        ({"lr_speaker": 0.0005, "emotion_weight": 0.1}, 0.0005, 0.1),
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
    compute = menan.cached_features

    def cached_features(folder, features, annotations, *args):
        """Keeps what is computed."""
        made.append(annotations)
        return compute(folder, features, annotations, *args)

    monkeypatch.setattr(menan, "cached_features", cached_features)
    more = settings | {"number_of_epochs": 1, "speeds": [0.8, 1.1]}
    # a batch of one utterance would be left out
    more |= {"output_folder": tmp_path / "out", "batch_size": 9}
    assert run(**more) is None
    train = read(tmp_path / "out", "train")
    held_out = {ALL_SPEAKERS[6], ALL_SPEAKERS[7]}
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
    assert len(parts) == 3
    for i, part in enumerate(parts):  # what trains, then each part
        copies = {k: e for k, e in part.items() if "speed" in e}
        assert len(copies) == (0 if i else 2 * len(train))
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
    assert set(metrics["metrics"]) == {"train", "test"}
    assert set(metrics["metrics"]["test"]["speakers"]) == {"Ses04_F", "Ses04_M"}
    for part, score in metrics["metrics"].items():
        held = [row for row in rows if row["part"] == part]
        truth = {k: e["emotion"] for k, e in read(folder, part).items()}
        assert {row["id"]: row["label"] for row in held} == truth
        right = [row["prediction"] == row["label"] for row in held]
        assert score["WA"] == pytest.approx(np.mean(right))
    last = metrics["test_mean_of_last_epochs"]
    tested = metrics["metrics"]["test"]["WA"]
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
    assert figures(folder) == DRAWN | (set() if silent else {"adversary"})
    assert {"emotion_loss", "test_WA", "test_UA"} <= set(curves[0])
    assert not any(name.startswith("valid") for name in curves[0])
    assert float(curves[1]["test_WA"]) == pytest.approx(tested)
    check_both_directions(metrics, curves)


def check_both_directions(metrics, curves):
    """Each speaker is tested at an epoch of the other; and the mean of both."""
    best = metrics["best_epoch"]
    assert set(best) == {"directions", "valid", "test"}
    pairs = {"Ses04_F": "Ses04_M", "Ses04_M": "Ses04_F"}
    found = best["directions"]
    assert {who: own["chosen_by"] for who, own in found.items()} == pairs
    for part in ("valid", "test"):
        for name in ("WA", "UA", "macro_F1", "weighted_F1"):
            both = [own[part][name] for own in found.values()]
            assert best[part][name] == pytest.approx(sum(both) / 2)
    sizes = {
        who: np.sum(confusion)
        for who, confusion in metrics["metrics"]["test"]["speakers"].items()
    }
    # where both chose one epoch, its curve is of both
    epochs = {own["epoch"] for own in found.values()}
    if len(epochs) == 1:
        (epoch,) = epochs
        pooled = sum(
            sizes[who] * own["test"]["WA"] for who, own in found.items()
        )
        pooled /= sum(sizes.values())
        assert float(curves[epoch - 1]["test_WA"]) == pytest.approx(pooled)


def test_a_tables_columns_read_the_run(trained):
    """Val, Test and Δ of both directions; the last epoch's mean of both."""
    metrics, _, _ = results(trained(system="menan", speaker_probe=True))
    file = read_table(ROOT / "tables" / "IEMOCAP" / "menan_small.yaml")
    assert file.protocol == "iemocap-5fold-two-speakers@1"
    assert file.folds == [1, 2, 3, 4, 5]
    run = Run("MEnAN", 4, 1, "key", "folder", "done", metrics=metrics)
    found = {n: value_of(run, column) for n, column in file.columns.items()}
    both = list(metrics["best_epoch"]["directions"].values())
    for name in ("WA", "UA"):
        valid, test = (
            sum(own[part][name] for own in both) / 2
            for part in ("valid", "test")
        )
        assert found[f"{name} Val (%)"] == pytest.approx(valid)
        assert found[f"{name} Test (%)"] == pytest.approx(test)
        assert found[f"{name} Δ"] == pytest.approx(test - valid)
    shares = [
        np.trace(confusion) / np.sum(confusion)
        for confusion in metrics["metrics"]["test"]["speakers"].values()
    ]
    assert len(shares) == 2
    last = found["WA Test (%), last epoch"]
    assert last == pytest.approx(np.mean(shares))


def by_hand(folder, settings, annotation):
    """Embeddings and posteriors of utterances, from the checkpoint's weights."""
    overrides = with_overrides(
        "",
        n_speakers=8,
        channels=settings["channels"],
        hidden_sizes=settings["hidden_sizes"],
    )
    hparams = load(str(MENAN.parent / SMALL), overrides)
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
    tested = read(folder, "test")
    vectors, posteriors = by_hand(folder, settings, tested)
    for key, posterior in zip(tested, posteriors.tolist()):
        found = [float(rows[key][f"posterior_{word}"]) for word in LABELS]
        assert posterior == pytest.approx(found, abs=1e-4)
    with np.load(folder / "speakers.npz") as file:
        drawn = file["embeddings"][-len(tested) :]
        assert file["speaker"].tolist()[-1] == ALL_SPEAKERS[7]
        assert len(file["embeddings"]) == len(tested)
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


def test_the_best_epoch_is_selected(trained, settings, tmp_path):
    """By a valid part of one's own, if it is asked for; else it is refused."""
    before = trained(system="menan")
    tested = read(before, "test")
    alone = {k: e for k, e in tested.items() if e["speaker"] == "Ses04_F"}
    rest = {k: e for k, e in tested.items() if k not in alone}
    parts = {"train": read(before, "train"), "valid": alone, "test": rest}
    line = write(tmp_path / "own", **parts)
    more = {"model_selection": "best", "lr": 0.02}
    said = "best chooses the epoch by the valid part.*--model_selection last"
    check_refused(said, **settings | more, output_folder=tmp_path / "none")
    folder = tmp_path / "best"
    more |= {"output_folder": folder, "data_folder": None}
    assert run(*line, **settings | more) is None
    metrics, curves, _ = results(folder)
    assert not any(name.startswith("test") for name in curves[0])
    best = max(float(row["valid_UA"]) for row in curves)
    chosen = curves[metrics["selected_epoch"] - 1]
    assert float(chosen["valid_UA"]) == best
    scores = metrics["metrics"]["valid"]
    assert scores["UA"] == pytest.approx(best, abs=1e-6)
    assert metrics["best_epoch"] is None
    # with the last one it is noted what the valid part would have chosen
    more |= {"model_selection": "last", "output_folder": tmp_path / "last"}
    assert run(*line, **settings | more) is None
    last, curves, _ = results(tmp_path / "last")
    (found,) = last["best_epoch"]["directions"].values()
    assert list(last["best_epoch"]["directions"]) == ["test"]
    assert found["chosen_by"] == "valid"
    assert found["valid"]["UA"] == pytest.approx(best, abs=1e-6)
    row = curves[found["epoch"] - 1]  # the first of equal ones
    assert float(row["valid_UA"]) == pytest.approx(best, abs=1e-6)
    assert found["test"]["UA"] == pytest.approx(float(row["test_UA"]))
