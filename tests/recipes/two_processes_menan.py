"""Trains MEnAN for a few steps; saves what each process holds.

Run by test_menan_exactness.py, with the parts of a split in a JSON file.
"""

import functools
import json
import os

import torch

import speechbrain as sb
from speechbrain_ser.experiment.hparams import load, with_overrides
from tests.recipes.helpers import MENAN

HPARAMS = os.path.join(MENAN.parent, "hparams", "menan_small.yaml")
# as the paper is printed, beside our setting
PRINTED = {
    "ramp": False,
    "standardise": False,
    "speaker_noise": 0,
    "speaker_memory": 0,
    "speaker_steps": 1,
}
RUNS = {
    "emotion_only": {"system": "emotion_only"},
    "multitask": {"system": "multitask"},
    "dat": {"system": "dat", "class_weights": "balanced"},
    "menan": {"class_weights": "balanced"},
    "printed": PRINTED,
}


def train(changed, parts, out, batch_size, cache, run_opts):
    """Two epochs; returns what they leave, name to tensor."""
    arguments = {
        "output_folder": out,
        "cache_folder": cache,
        "batch_size": batch_size,
        "number_of_epochs": 2,
        "last_epochs": 0,
        "duration": 1.0,
        "channels": 8,
        "hidden_sizes": [8, 6],
        "n_speakers": 8,
        "lr": 0.005,
        "lr_speaker": 0.01,
        "emotion_weight": 0.7,
        "speaker_steps": 3,
        "speaker_memory": 20,
        "speaker_batch_size": 16,
    }
    arguments |= changed
    hparams = load(HPARAMS, with_overrides("", **arguments))
    # where a gradient is rounding alone, Adam makes whole steps of it
    adam = functools.partial(torch.optim.Adam, lr=hparams["lr"], eps=1e-3)
    brain = hparams["brain"](
        opt_class=adam, run_opts=run_opts, checkpointer=None
    )
    brain.set_parts(parts)
    before = {k: v.clone() for k, v in brain.modules.state_dict().items()}
    brain.fit(
        hparams["epoch_counter"], brain.train_set, brain.datasets.get("valid")
    )
    held = {
        name.replace("module.", ""): value
        for name, value in brain.modules.state_dict().items()
    }
    assert held.keys() == before.keys()
    for name, value in brain.memory.state_dict().items():
        held[f"memory.{name}"] = value.clone()
    for name in brain.history.rows[0]:
        if name != "seconds":
            column = [float(row[name]) for row in brain.history.rows]
            held[f"curve {name}"] = torch.tensor(column)
    steps = {k: (held[k] - v).abs().max() for k, v in before.items()}
    return held | {f"moved {name}": step for name, step in steps.items()}


def main(parts, out, batch_size, cache):
    """Trains each of `RUNS`."""
    run_opts = sb.core.RunOptions.from_dictionary(
        {
            "device": "cpu",
            "distributed_backend": "gloo",
            "noprogressbar": True,
            "optimizer_step_limit": None,
        }
    )
    sb.utils.distributed.ddp_init_group(run_opts)
    with open(parts, encoding="utf-8") as file:
        parts = json.load(file)
    os.makedirs(out, exist_ok=True)
    held = {
        name: train(
            changed,
            parts,
            os.path.join(out, name),
            int(batch_size),
            str(cache),
            run_opts,
        )
        for name, changed in RUNS.items()
    }
    rank = int(os.environ.get("RANK", 0))
    torch.save(held, os.path.join(out, f"rank{rank}.pt"))
