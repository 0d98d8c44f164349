"""The references as a recipe: on a mini corpus, from the command line."""

import json
import shutil

import pytest
import soundfile
import torch

from speechbrain_ser.corpora.mini.emodb import mini_emodb
from speechbrain_ser.experiment.evaluate import evaluate
from speechbrain_ser.table import command
from tests.recipes.helpers import ROOT, run_recipe, undrawn

SCRIPT = ROOT / "recipes" / "AnyCorpus" / "train_probe.py"
HPARAMS = SCRIPT.parent / "hparams"


@pytest.fixture(scope="module")
def folder(tmp_path_factory, mini_cache):
    """A small mini corpus in EMO-DB's layout."""
    return mini_emodb(str(mini_cache))


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """Where features are kept, by all tests."""
    return tmp_path_factory.mktemp("frames")


def run(monkeypatch, folder, frames, out, *words):
    """Runs the recipe; returns what it reports."""
    undrawn(monkeypatch)
    error = run_recipe(
        monkeypatch,
        HPARAMS / "probe_logmel.yaml",
        *("--corpus", "emodb", "--data_folder", folder),
        *("--cache_folder", frames, "--output_folder", out),
        *("--noprogressbar", "--device", "cpu", *words),
        script=SCRIPT,
    )
    assert error is None, error
    return json.loads((out / "metrics.json").read_text())


def weights(out):
    """What the checkpoint holds."""
    (path,) = out.glob("save/CKPT+*/probe.ckpt")
    return torch.load(path, weights_only=True)


def test_a_seed_makes_no_other_run(monkeypatch, folder, frames, tmp_path):
    """The same key, and the same folder goes on with it."""
    first = run(monkeypatch, folder, frames, tmp_path / "a", "--seed", "1")
    other = run(monkeypatch, folder, frames, tmp_path / "a", "--seed", "2")
    assert first["run"] == other["run"]
    assert first["metrics"]["test"] == other["metrics"]["test"]
    assert first["protocol"] == "emodb-loso@1"
    assert first["chosen"]["layers"] == [0] and not first["transductive"]


def test_tested_speech_decides_nothing(monkeypatch, folder, frames, tmp_path):
    """Other audio and labels of who is tested: the same bits of the model."""
    run(monkeypatch, folder, frames, tmp_path / "a")
    moved = tmp_path / "corpus"
    shutil.copytree(folder, moved)
    tested = sorted(moved.rglob("03*.wav"))
    assert tested
    for path in tested:
        wav, rate = soundfile.read(path)
        soundfile.write(path, 0.3 * wav[::-1], rate)
    for path in tested[::2]:  # a word for another
        name = path.name
        path.rename(path.with_name(f"{name[:5]}N{name[6]}z{name[7:]}"))
    run(monkeypatch, moved, frames, tmp_path / "b")
    one, other = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_by_speaker_is_called_transductive(
    monkeypatch, folder, frames, tmp_path
):
    """And by enrolment some utterances are not scored."""
    plain = run(monkeypatch, folder, frames, tmp_path / "a")
    own = run(
        *(monkeypatch, folder, frames, tmp_path / "b"),
        *("--standardise_by", "speaker"),
    )
    assert own["transductive"] and own["standardise_by"] == "speaker"
    assert own["run"] != plain["run"]
    enrolled = run(
        *(monkeypatch, folder, frames, tmp_path / "c"),
        *("--standardise_by", "enrolment", "--enrolment", "2"),
    )
    assert not enrolled["transductive"]
    sizes = plain["sizes"]["test"], enrolled["sizes"]["test"]
    assert sizes[0] - sizes[1] == 2
    assert enrolled["sizes"]["enrolment"] == 4  # validating and tested
    assert enrolled["metrics"]["test"]["n"] == sizes[1]


def test_a_finished_probe_is_evaluated_elsewhere(
    monkeypatch, folder, frames, tmp_path
):
    """On other speech it predicts what it did."""
    run(monkeypatch, folder, frames, tmp_path / "a")
    test = json.loads((tmp_path / "a" / "test.json").read_text())
    found = evaluate(
        str(tmp_path / "a"), {"test": test}, str(tmp_path / "b"), {}
    )
    known, own = (
        json.loads((tmp_path / name / "metrics.json").read_text())
        for name in "ab"
    )
    names = ("temperature", "fitted_on", "reason", "n", "speakers")
    for name in names:
        assert own["calibration"].get(name) == known["calibration"].get(name)
    part = own["calibration"]["parts"]["test"]
    for word in ("raw", "tempered"):
        assert part[word] == pytest.approx(
            known["calibration"]["parts"]["test"][word], rel=1e-4
        )
    lines = (tmp_path / "a" / "predictions.csv").read_text().splitlines()
    head = lines[0].split(",")
    rows = [dict(zip(head, line.split(","))) for line in lines[1:]]
    tested = {row["id"]: row for row in rows if row["part"] == "test"}
    assert found["test"].keys() == tested.keys()
    for key, outputs in found["test"].items():
        expected = [
            float(tested[key][name])
            for name in head
            if name.startswith("posterior_")
        ]
        assert torch.allclose(
            outputs["posterior"], torch.tensor(expected), atol=2e-6
        )


def test_a_table_of_a_method_has_a_reference(
    folder, frames, tmp_path, capsys, small
):
    """By the same command, folds and protocol."""
    path = tmp_path / "table.yaml"
    path.write_text(
        f"title: A reference beside another\nscript: {SCRIPT}\n"
        f"hparams: {HPARAMS / 'probe_logmel.yaml'}\nseeds: [1, 2]\n"
        "folds: {fold: [1]}\noverrides: {corpus: emodb, layer: 0}\n"
        "rows:\n  means: {deviations: False}\n"
        f"  both: {{script: {SCRIPT}, hparams: {HPARAMS / 'probe_logmel.yaml'}}}"
        "\ncolumns: {UA: {metric: UA, split: test}}\n"
    )
    line = [str(path), "--data_folder", folder, "--cache_folder", str(frames)]
    line += ["--results_folder", str(tmp_path / "out"), "--device", "cpu"]
    assert command.main(line) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert "nothing is drawn there, so that all seeds are one run" in said
    found = list((tmp_path / "out" / "runs").rglob("metrics.json"))
    assert len(found) == 2


@pytest.fixture
def small(monkeypatch):
    """Pictures of one pixel."""
    from tests import pictures

    pictures.make_small(monkeypatch.setattr)
