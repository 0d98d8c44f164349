"""Runs recipes in this process, and reads what they leave."""

import csv
import importlib.util
import json
import pathlib
import sys

import torch

ROOT = pathlib.Path(__file__).parents[2]
RECIPE = ROOT / "recipes" / "IEMOCAP" / "train_ipr.py"
LPMN = ROOT / "recipes" / "IEMOCAP" / "train_lpmn.py"
LPMN_MER2023 = ROOT / "recipes" / "MER2023" / "train_lpmn.py"
CODEBOOK = ROOT / "recipes" / "IEMOCAP" / "train_codebook.py"
PARTS = {"train": "train", "validation": "valid", "evaluation": "test"}
SHORT = (
    "--noprogressbar --device cpu --number_of_epochs 3 --warmup_epochs 1 "
    "--warmup_updates 0 --watched_epochs 1"
).split()
# the parts of a checkpoint that are the model
RECOVERED = (
    "encoder",
    "pooling",
    "classifier",
    "regressor",
    "prototypes",
    "codebook",
    "importance",
)


def import_script(path):
    """Imports a recipe script as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def run_recipe(monkeypatch, *arguments, script=RECIPE):
    """Runs a recipe as its command line would; returns its error or None."""
    from speechbrain_ser import recipe

    monkeypatch.setattr(sys, "argv", [str(script), *map(str, arguments)])
    try:
        recipe.run(import_script(script).main, str(script))
    except SystemExit as stop:
        return stop.code
    return None


def weights(folder):
    """Returns all tensors of the newest checkpoint of a run."""
    newest = max(
        (pathlib.Path(folder) / "save").glob("CKPT+*"),
        key=lambda path: path.stat().st_mtime,
    )
    found = {}
    for name in RECOVERED:
        path = newest / f"{name}.ckpt"
        if path.exists():
            for key, value in torch.load(path, weights_only=True).items():
                found[f"{name}.{key}"] = value
    return found


def in_second_epoch(folder):
    """Whether a run is past its first epoch and saved within another."""
    curves = folder / "curves.csv"
    if not curves.exists() or len(curves.read_text().splitlines()) < 2:
        return False
    for meta in (folder / "save").glob("CKPT+*/CKPT.yaml"):
        try:
            text = meta.read_text()
        except FileNotFoundError:
            continue
        if "end-of-epoch: false" in text and (
            meta.stat().st_mtime > curves.stat().st_mtime
        ):
            return True
    return False


def own(folder, parts=PARTS.values()):
    """The arguments for annotations of one's own."""
    return ["--skip_prep", "True"] + [
        word
        for part in parts
        for word in (f"--{part}_annotation", folder / f"{part}.json")
    ]


def same_weights(one, other):
    """Whether two runs ended bit for bit alike."""
    one, other = weights(one), weights(other)
    return one.keys() == other.keys() and all(
        torch.equal(one[key], other[key]) for key in one
    )


def results(folder):
    """Returns metrics, curves and predictions without what a clock says."""
    folder = pathlib.Path(folder)
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics.pop("wall_seconds")
    with open(folder / "curves.csv", encoding="utf-8") as file:
        curves = list(csv.DictReader(file))
    for row in curves:
        row.pop("seconds")
    predictions = (folder / "predictions.csv").read_text()
    return metrics, curves, predictions
