"""A small portable model folder, written without any run."""

import copy
import json

import torch

from speechbrain_ser.inference.folder import CONFIG, model_of
from speechbrain_ser.inference.tensors import WEIGHTS, write_tensors

LABELS = ["ang", "hap", "neu", "sad"]
_LOBES = "speechbrain_ser.lobes."
_MODEL = {
    "class": "IPRModel",
    "with": {
        "encoder": {
            "call": f"{_LOBES}logmel.LogMelEncoder",
            "with": {"n_mels": 8, "channels": 6, "strides": [2, 2]},
        },
        "pooling": {
            "call": f"{_LOBES}pooling.StatisticsPooling",
            "with": {"statistics": "mean_std"},
        },
        "classifier": {
            "call": "torch.nn.Linear",
            "with": {"in_features": 12, "out_features": 4},
        },
        "prototypes": {
            "call": f"{_LOBES}prototypes.PrototypeBank",
            "with": {"n_classes": 4, "dim": 12},
        },
    },
}
_CONFIG = {
    "format": 1,
    "name": "tiny",
    "labels": LABELS,
    "sample_rate": 16000,
    "temperature": 2.0,
    "max_seconds": 60.0,
    "batch_size": 16,
    "card": {"method": "IPR"},
    "model": _MODEL,
    "encoder": None,
}


def config(**changes):
    """What ``config.json`` says; to be changed."""
    return copy.deepcopy(_CONFIG) | changes


def write_model(folder):
    """Writes an IPR model of log-Mel features; returns the folder."""
    folder.mkdir()
    torch.manual_seed(0)
    model = model_of(_MODEL)
    write_tensors(folder / WEIGHTS, model, LABELS)
    (folder / CONFIG).write_text(json.dumps(_CONFIG), encoding="utf-8")
    return folder
