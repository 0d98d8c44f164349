"""What the tests of MEnAN on CMU-MOSEI share: runs made by hand, settings."""

import json

import pytest
import torch
import yaml

from tests.recipes.helpers import (
    MOSEI,
    run_recipe,
    save_menan_run,
    undrawn,
    words,
)

LABELS = ["ang", "hap", "neu", "sad"]


def run(*arguments, drawn=False, **settings):
    """Runs the recipe in this process; returns its error or None."""
    with pytest.MonkeyPatch.context() as patch:
        if not drawn:
            undrawn(patch)
        line = words("hparams/evaluate.yaml", **settings)
        return run_recipe(patch, *line, *arguments, script=MOSEI)


def checkpoint(folder, epoch):
    """The folder of a run's checkpoint."""
    for meta in (folder / "save").glob("CKPT+*/CKPT.yaml"):
        if yaml.safe_load(meta.read_text())["epoch"] == epoch:
            return meta.parent
    raise AssertionError(f"no checkpoint of epoch {epoch}")


def always(folder, epoch, place):
    """Makes a checkpoint one that names the same class each time."""
    path = checkpoint(folder, epoch) / "classifier.ckpt"
    weights = torch.load(path, weights_only=True)
    for key in ("4.weight", "4.bias"):
        weights[key].zero_()
    weights["4.bias"][place] = 1.0
    torch.save(weights, path)


def save_fixed(base):
    """Runs of folds that say ang, neu, sad and sad; their last epochs hap."""
    for fold, place in ((1, 0), (2, 2), (3, 3), (10, 3)):
        folder = save_menan_run(base / "fixed" / f"fold{fold}" / "1", fold=fold)
        always(folder, 1, place)
        always(folder, 2, 1)
    return base / "fixed"


def settings_for(base, fixed, corpus):
    """Of all runs; the output folder is to be added."""
    return {
        "data_folder": corpus,
        "runs_folder": fixed,
        "cache_folder": base / "features",
        "device": "cpu",
    }


def metrics_of(folder):
    """What a report says."""
    return json.loads((folder / "metrics.json").read_text())
