"""Trains DANN for a few steps without chance; saves what each process holds.

dann/test_dann.py runs `main` in one process and in two, with the parts that the
recipe makes in a JSON file.
"""

import functools
import json
import os

import torch

import speechbrain as sb
from speechbrain_ser.experiment.hparams import load, with_overrides
from speechbrain_ser.lobes.domain_norm import WAYS
from tests.recipes.helpers import DANN

HPARAMS = os.path.join(DANN.parent, "hparams", "dann.yaml")


def train(way, parts, out, batch_size, cache, run_opts):
    """Two epochs; returns what they leave, name to tensor."""
    arguments = {
        "batch_norm": way,
        "labels": ["low", "high"],
        "class_weights": "balanced",
        "penalty": "l1" if way == "bn1" else "l2",
        "beta_ramp": way == "bn2",
        "dropout": 0.0,
        "n_filters": 8,
        "number_of_epochs": 2,
        "batch_size": batch_size,
        "output_folder": out,
        "cache_folder": cache,
    }
    hparams = load(HPARAMS, with_overrides("", **arguments))
    # of a bias before batch norm the gradient is rounding, of which Adam makes
    # whole steps
    adam = functools.partial(torch.optim.Adam, lr=hparams["lr"], eps=1e-3)
    brain = hparams["brain"](
        opt_class=adam, checkpointer=None, run_opts=run_opts
    )
    brain.set_parts(parts)
    before = {k: v.clone() for k, v in brain.modules.state_dict().items()}
    brain.fit(
        hparams["epoch_counter"], brain.train_set, brain.datasets["valid"]
    )
    held = {
        name.replace("module.", ""): value
        for name, value in brain.modules.state_dict().items()
    }
    assert held.keys() == before.keys()
    for name in ("source", "target"):
        scale = hparams[f"{name}_standardisation"]
        held[name] = torch.stack([scale.mean, scale.std])
    for name in brain.history.rows[0]:
        if name != "seconds":
            column = [float(row[name]) for row in brain.history.rows]
            held[f"curve {name}"] = torch.tensor(column)
    steps = {k: (held[k] - v).abs().max() for k, v in before.items()}
    return held | {f"moved {name}": step for name, step in steps.items()}


def main(parts, out, batch_size, cache):
    """Trains with each batch norm."""
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
        way: train(
            way,
            parts,
            os.path.join(out, way),
            int(batch_size),
            str(cache),
            run_opts,
        )
        for way in WAYS
    }
    rank = int(os.environ.get("RANK", 0))
    torch.save(held, os.path.join(out, f"rank{rank}.pt"))
