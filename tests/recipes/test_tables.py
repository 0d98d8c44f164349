"""The table files of the recipes, and one of them on the recipe itself."""

import csv
import json
import os

import pytest
import soundfile

from speechbrain_ser.corpora.mini.emodb import mini_emodb
from speechbrain_ser.corpora.mini.ravdess import mini_ravdess
from speechbrain_ser.corpora.protocols import nemo
from speechbrain_ser.experiment.hparams import peek, written
from speechbrain_ser.methods.menan import SYSTEMS
from speechbrain_ser.table import command
from speechbrain_ser.table.spec import read_table
from tests.recipes.dann_runs import make_folders
from tests.recipes.helpers import ROOT, save_menan_run, undrawn
from tests.recipes.here import Here

TABLES = sorted((ROOT / "tables").glob("*/*.yaml"))
# planned in all their folds, or conditions
WHOLE = ("MER2023-lpmn_small", "RECOLA-dann_table1")


def make(path, out, *arguments):
    """Runs the table command in this process."""
    line = [str(path), "--results_folder", str(out), *map(str, arguments)]
    assert command.main(line) == 0


def name_of(path):
    """Corpus and table."""
    return f"{path.parts[-2]}-{path.stem}"


@pytest.fixture(scope="module")
def two_folders(tmp_path_factory, mini_recola_folder):
    """DANN's small mini corpora."""
    return make_folders(tmp_path_factory, mini_recola_folder)


def corpus_of(path):
    """The folder of its recipe."""
    return os.path.basename(os.path.dirname(read_table(path).script))


def read_smaller(path):
    """Reads a table file: the first fold, or the first and last condition."""
    file = read_table(path)
    if file.fold_setting:
        file.folds = file.folds[:1]
    if file.conditions:
        file.folds = [file.folds[0], file.folds[-1]]
        file.conditions = {name: file.conditions[name] for name in file.folds}
        file.columns = {
            name: column
            for name, column in file.columns.items()
            if column.condition in (None, *file.folds)
        }
    return file


def tiny_nemo(folder):
    """Fills a folder with what nEMO's names say, without speech."""
    for speaker in nemo.SPEAKERS:
        for emotion in nemo.FOUR_CLASSES["labels"]:
            for sentence in range(3):
                wav = folder / f"{speaker}_{emotion}_{sentence}.wav"
                soundfile.write(wav, [0.1] * 800, 16000)
    return folder


def any_folders(path, folder, cache):
    """The folders that a table of AnyCorpus asks for, of mini corpora."""
    if path.parts[-2] != "AnyCorpus":
        return []
    if path.stem.endswith("nemo"):
        return ["--data_folder", tiny_nemo(folder)]
    if path.stem.startswith("claims_dann"):  # three corpora side by side
        (folder / "all" / "nemo").mkdir(parents=True)
        tiny_nemo(folder / "all" / "nemo")
        (folder / "all" / "emodb").symlink_to(mini_emodb(cache))
        (folder / "all" / "ravdess").symlink_to(mini_ravdess(cache))
        every = folder / "all" / "{corpus}"
        return ["--data_folder", every, "--target_folder", every]
    arguments = ["--data_folder", mini_emodb(cache)]
    if path.stem.endswith("ravdess") or path.stem == "claims_ipr":
        arguments = ["--data_folder", mini_ravdess(cache)]
    if path.stem.endswith("dann"):
        arguments += ["--target_folder", mini_ravdess(cache)]
    return arguments


@pytest.mark.parametrize("path", TABLES, ids=name_of)
def test_every_table_can_be_planned(
    path,
    mini_folder,
    mini_mer2023_folder,
    two_folders,
    mini_mosei_folder,
    mini_cache,
    tmp_path,
    monkeypatch,
    capsys,
):
    """Its rows, metrics and parts are the recipe's; the corpus is enough."""
    if name_of(path) not in WHOLE:  # a row is a row in every fold
        monkeypatch.setattr(command, "read_table", read_smaller)
    arguments = {
        "IEMOCAP": ["--data_folder", mini_folder],
        "MER2023": ["--data_folder", mini_mer2023_folder],
        "RECOLA": [
            word
            for name, folder in two_folders.items()
            for word in (f"--{name}", folder)
        ],
        "AnyCorpus": any_folders(path, tmp_path, mini_cache),
        "CMU-MOSEI": ["--data_folder", mini_mosei_folder]
        + ["--runs_folder", tmp_path / "menan"],
    }[corpus_of(path)]
    if path.name.startswith("ipr"):
        arguments += ["--test_size", 0.4]
    arguments += ["--seeds", 1]
    if corpus_of(path) == "CMU-MOSEI":  # whose models must be there
        for system in SYSTEMS:
            run = tmp_path / "menan" / "IEMOCAP" / system / "fold1" / "1"
            save_menan_run(run, system=system)
        run = tmp_path / "menan" / "IEMOCAP" / "menan" / "printed"
        save_menan_run(run, speaker_steps=1)
    make(path, tmp_path, "--dry_run", *arguments)
    assert "runs are done" in capsys.readouterr().out


def test_a_row_names_the_prototypes_that_it_keeps():
    """Whoever reads a part of K' prototypes says K' in the row."""
    files = [read_table(str(path)) for path in TABLES]
    kept = [
        (row, split.rpartition("_")[2])
        for file in files
        for row, own in file.reads.items()
        for split in own.values()
    ]
    kept = [(row, size) for row, size in kept if size.isdigit()]
    assert len(kept) > 20
    assert not [row for row, size in kept if size not in row]


@pytest.mark.parametrize("path", TABLES, ids=name_of)
def test_every_table_can_be_typed_without_data(path):
    """What its rows, folds and conditions set are the mini file's keys too."""
    file = read_table(path)
    shared = set(file.overrides) | {file.fold_setting, "seed"} - {None}
    for settings in file.conditions.values():
        shared |= set(settings)
    for row, settings in file.rows.items():
        _, hparams = file.recipes.get(row, (file.script, file.hparams))
        mini = peek(hparams, "").get("mini_hparams") or ""
        for name in (hparams, os.path.join(hparams, "..", mini)):
            if os.path.isfile(os.path.normpath(name)):
                keys = written(os.path.normpath(name))
                assert shared | set(settings) <= set(keys)
                assert not file.compared or "compared_folder" in keys


def test_lpmn_table_1_is_planned_as_typed(tmp_path, capsys):
    """On the mini corpus, whose encoder has blocks to freeze too."""
    path = ROOT / "tables" / "IEMOCAP" / "lpmn_table1.yaml"
    line = [str(path), "--dry_run", "--results_folder", str(tmp_path)]
    assert command.main(line) == 0
    assert "0 of 6 runs are done" in capsys.readouterr().out


def test_table_1_counts_the_split(mini_folder, tmp_path):
    """Nothing is trained; D1 counts its valid part."""
    path = ROOT / "tables" / "IEMOCAP" / "ipr_table1.yaml"
    arguments = ("--data_folder", mini_folder, "--test_size", 0.4)
    make(path, tmp_path, *arguments)
    assert not (tmp_path / "runs").exists()
    with open(next(tmp_path.rglob("table.csv")), encoding="utf-8") as file:
        sizes = {row["column"]: row["mean"] for row in csv.DictReader(file)}
    from speechbrain_ser.corpora.iemocap import read_iemocap
    from speechbrain_ser.corpora.protocols.ambiguity import ambiguity_split

    split = ambiguity_split(read_iemocap(mini_folder), test_size=0.4)
    assert list(split) == ["train", "valid", "unlabelled", "test"]
    train, valid, unlabelled, test = map(len, split.values())
    counted = [train + valid, unlabelled, test]
    assert [float(sizes[name]) for name in ("D1", "D2", "D3")] == counted


def test_table_3_from_the_recipe_itself(
    mini_folder, tmp_path, monkeypatch, capsys
):
    """Two epochs of four systems: the table holds what the runs report."""
    path = ROOT / "tables" / "IEMOCAP" / "ipr_table3.yaml"
    arguments = (
        "--data_folder",
        mini_folder,
        "--hparams",
        "hparams/ipr_logmel.yaml",
        "--corpus_name",
        "small",
        "--number_of_epochs",
        2,
        "--warmup_epochs",
        1,
        "--warmup_updates",
        0,
        "--device",
        "cpu",
        "--seeds",
        1,
        "--channels",
        8,
        "--embedding_dim",
        8,
        "--hidden_dim",
        8,
    )
    undrawn(monkeypatch)
    workers = Here(monkeypatch)
    monkeypatch.setattr(command, "make_workers", lambda options: workers)
    make(path, tmp_path, *arguments)
    said = capsys.readouterr().out
    assert len(workers.made) == 4
    found = {}
    for file in tmp_path.glob("runs/train_ipr/*/metrics.json"):
        metrics = json.loads(file.read_text())
        found[metrics["system"]] = metrics
    systems = {
        "baseline": "baseline",
        "baseline+": "baseline_plus",
        "IPR": "ipr",
        "supervised baseline": "supervised",
    }
    assert set(found) == set(systems.values())
    (folder,) = (tmp_path / "tables" / "ipr_table3" / "small").iterdir()
    with open(folder / "table.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 * 3
    for row in rows:
        metrics = found[systems[row["row"]]]
        if row["epochs"] == "last":
            value = metrics["test_mean_of_last_epochs"]["UA"]["mean"]
        else:
            value = metrics["metrics"]["test"][row["metric"]]
        assert float(row["mean"]) == pytest.approx(100 * value, abs=1e-5)
    page = (folder / "table.html").read_text()
    assert page.count("figures/confusion.png") == 4
    facts = found["ipr"]
    assert facts["overrides"]["number_of_epochs"] == 2
    assert facts["processes"] == 1 and facts["seed"] == 1
    make(path, tmp_path, *arguments)
    again = capsys.readouterr().out
    assert "table.html" in again and said.endswith(again)
    assert len(workers.made) == 4
