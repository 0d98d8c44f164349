"""What LPMN's report adds, and what its recipes ask before anything is read."""

import csv
import json
import os

import pytest
import soundfile as sf
import torch

from speechbrain.utils.epoch_loop import EpochCounter
from speechbrain_ser.evaluation import lpmn
from speechbrain_ser.evaluation.codebook import CodebookReport
from speechbrain_ser.evaluation.lpmn import LPMNReport, entry_of
from speechbrain_ser.methods.lpmn import LPMNBrain
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import REPORT, declared
from tests.methods.test_lpmn import make_lpmn

SETTINGS = {
    "pooling": "lpmn",
    "n_prototypes": 16,
    "n_selected": [8, 4],
    "figure_utterances": None,
    "codebook": None,
    "fold": 2,
}


@pytest.fixture(scope="module")
def half_trained(tmp_path_factory):
    """A function: a Brain that was trained for an epoch, its parts set."""

    def train(tones, folder, **settings):
        brain = make_lpmn(folder, **settings)
        names = list(tones)
        parts = {
            "train": {key: tones[key] for key in names[:8]},
            "valid": {key: tones[key] for key in names[4:8]},
            "test": {key: tones[key] for key in names[8:]},
        }
        brain.set_parts(parts)
        brain.fit(EpochCounter(1), brain.train_set, brain.datasets["valid"])
        return brain

    return train


def test_settings_of_the_report_count_for_it_alone():
    """The Brain has none of them."""
    own = declared(LPMNReport)
    assert {name: own[name].counts for name in own} == dict.fromkeys(
        ("speaker_probe", "n_selected", "figure_utterances"), REPORT
    )
    assert not set(own) & set(declared(LPMNBrain))


def test_hooks_say_system_fold_and_file():
    """As the frame asks for them."""
    assert lpmn.about(SETTINGS) == {"system": "lpmn", "fold": 2}
    assert lpmn.files(SETTINGS | {"codebook": "a"}) == {"codebook": "a"}


def test_check_refuses_before_and_after_reading(tones):
    """Numbers before; utterances once there are some."""
    assert lpmn.check(SETTINGS, None) == {}
    with pytest.raises(InputError, match="--n_selected 17"):
        lpmn.check(SETTINGS | {"n_selected": 17}, None)
    # what is no number at all is the declaration's
    for odd in ({"n_selected": "words"}, {"n_prototypes": "many"}):
        assert lpmn.check(SETTINGS | odd, None) == {}
    parts = {"train": tones, "test": {}}
    assert lpmn.check(SETTINGS, parts) == {}
    named = SETTINGS | {"figure_utterances": "tone0,nobody"}
    with pytest.raises(InputError, match="nobody.*train, test"):
        lpmn.check(named, parts)


def test_entry_of_an_utterance_or_of_a_file(tones, tmp_path):
    """A file of text is neither."""
    parts = {"train": {}, "test": tones}
    assert entry_of("tone3", parts) is tones["tone3"]
    path = str(tmp_path / "b.wav")
    sf.write(path, [0.1, -0.1] * 4000, 16000)
    assert entry_of(path, parts) == {"wav": path}
    (tmp_path / "c.wav").write_text("no sound")
    with pytest.raises(InputError, match="c.wav"):
        entry_of(str(tmp_path / "c.wav"), parts)


def test_report_selects_prototypes(half_trained, tones, tmp_path):
    """Parts, files and figures of two numbers K'."""
    brain = half_trained(tones, tmp_path)
    report = LPMNReport(brain, str(tmp_path), n_selected="2,4")
    report.write({}, "title")
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    names = ("all", "4", "2", "random_4", "random_2")
    selected = {f"test_{name}" for name in names}
    assert set(metrics["metrics"]) == {"train", "valid", "test"} | selected
    assert metrics["prototypes"] == 6
    share = metrics["importance_share"]
    assert 0 < share["2"] <= share["4"] <= 1
    with open(tmp_path / "prototypes.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    kept = [int(row["prototype"]) for row in rows if row["kept_2"] == "1"]
    assert kept == brain.kept["2"].tolist()
    ranking = brain.importance.ranking().tolist()
    assert [int(row["prototype"]) for row in rows] == ranking
    drawn = set(os.listdir(tmp_path / "figures"))
    assert {"selection.png", "importance.png", "curves.png"} <= drawn
    assert len([name for name in drawn if name.startswith("mapping_")]) <= 4


def test_report_says_how_prototypes_are_used(
    half_trained, tones, tmp_path, capsys, monkeypatch
):
    """Of each part, over all its frames: counted again by plain distances."""
    monkeypatch.setattr("speechbrain_ser.methods.lpmn.SHARE_USED", 1.1)
    brain = half_trained(tones, tmp_path)
    LPMNReport(brain, str(tmp_path)).write({}, "title")
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert set(metrics["prototype_use"]) == {"train", "valid", "test"}
    prototypes = brain.codebook.prototypes.detach()
    lines = capsys.readouterr().out.splitlines()
    (line,) = [x for x in lines if x.startswith("prototypes, of 6: ")]
    for part, use in metrics["prototype_use"].items():
        dataset = brain.datasets[part]
        frames = torch.cat(brain.frames_of(dataset, dataset.data_ids))
        apart = (frames[:, None] - prototypes).norm(dim=2)
        share = torch.bincount(apart.argmin(dim=1), minlength=6) / len(frames)
        used = int((share > 0).sum())
        share = share[share > 0].double()
        perplexity = float(torch.exp(-(share * share.log()).sum()))
        assert use["used_prototypes"] == used
        assert use["perplexity"] == pytest.approx(perplexity, rel=1e-5)
        assert f"{part} {used} used, perplexity {perplexity:.1f}" in line
    use = metrics["prototype_use"]["train"]
    assert f"warning: {brain.collapse(**use)}" in lines


@pytest.mark.parametrize("pooling", ["average", "max"])
def test_without_prototypes_there_is_nothing_of_them(
    pooling, half_trained, tones, tmp_path
):
    """Whatever numbers are asked for."""
    brain = half_trained(tones, tmp_path, pooling=pooling)
    LPMNReport(brain, str(tmp_path), n_selected=[4]).write({}, "title")
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert set(metrics["metrics"]) == {"train", "valid", "test"}
    assert "prototypes" not in metrics
    assert not (tmp_path / "prototypes.csv").exists()


def test_more_than_all_prototypes_are_refused(tmp_path):
    """Also of who calls from Python, and what is no number."""
    brain = make_lpmn(tmp_path)
    with pytest.raises(InputError, match="--n_selected 7: .* from 1 to 6"):
        LPMNReport(brain, str(tmp_path), n_selected=7)
    with pytest.raises(InputError, match="--n_selected is 'all'"):
        LPMNReport(brain, str(tmp_path), n_selected="all")


def test_valence_is_scored_and_written(half_trained, tones, tmp_path, capsys):
    """Squared error and the challenge's score, of what has a valence."""
    for i, entry in enumerate(tones.values()):
        if i != 9:
            entry["valence"] = float(i % 4)
    brain = half_trained(tones, tmp_path, valence_weight=1.0)
    report = LPMNReport(brain, str(tmp_path), n_selected=2)
    report.write({}, "title")
    metrics = json.loads((tmp_path / "metrics.json").read_text())["metrics"]
    said = capsys.readouterr().out
    with open(tmp_path / "predictions.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for part, score in metrics.items():
        errors = [
            (float(row["valence"]) - float(row["predicted_valence"])) ** 2
            for row in rows
            if row["part"] == part and row["valence"]
        ]
        error = sum(errors) / len(errors)
        assert score["valence_MSE"] == pytest.approx(error, abs=1e-5)
        expected = score["weighted_F1"] - 0.25 * score["valence_MSE"]
        assert score["combined"] == pytest.approx(expected)
        assert f"{part}: valence MSE {score['valence_MSE']:.4f}" in said
    assert len([r for r in rows if r["part"] == "test" and r["valence"]]) == 3


def test_ids_are_no_paths(half_trained, tones, tmp_path):
    """A figure of any id stays in the folder of figures."""
    odd = "../../odd id: 1"
    tones[odd] = tones.pop("tone9")
    brain = half_trained(tones, tmp_path / "out")
    report = LPMNReport(brain, str(tmp_path / "out"), figure_utterances=[odd])
    report.write({}, "title")
    assert set(os.listdir(tmp_path)) == {"out"} | {
        name for name in os.listdir(tmp_path) if name.endswith(".wav")
    }
    drawn = os.listdir(tmp_path / "out" / "figures")
    assert len([name for name in drawn if name.startswith("mapping_")]) == 1


def test_codebook_is_what_is_left(tones, tmp_path, capsys):
    """Prototypes, what they come from, curves; no metrics."""
    brain = make_lpmn(tmp_path)
    brain.set_parts({"train": tones})
    brain.fit(EpochCounter(2), brain.train_set)
    CodebookReport(brain, str(tmp_path)).write({"run": "key"}, "title")
    held = torch.load(tmp_path / "codebook.ckpt", weights_only=True)
    assert torch.equal(held["prototypes"], brain.codebook.prototypes)
    about = json.loads((tmp_path / "codebook.json").read_text())
    assert about["run"] == "key"
    assert about["last_epoch"] == brain.history.rows[-1]
    assert os.listdir(tmp_path / "figures") == ["curves.png"]
    assert not (tmp_path / "metrics.json").exists()
    assert "of 6 prototypes used" in capsys.readouterr().out
