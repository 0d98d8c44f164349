"""Trains IPR for a few steps without chance; saves what each process holds.

Run by test_ipr.py in one process and in two.
"""

import json
import os

import torch

import speechbrain as sb
from speechbrain.augment.augmenter import Augmenter
from speechbrain.augment.time_domain import SignFlip
from speechbrain_ser.corpora.annotations import read_annotation
from speechbrain_ser.experiment import hparams as recipe
from tests.recipes.helpers import RECIPE

PARTS = ("train", "valid", "unlabelled", "test")


def main(annotations, out, batch_size, more="{}"):
    """Two epochs, the second after the warm-up if no other is asked for.

    Arguments
    ---------
    annotations : str
        Their folder.
    out : str
    batch_size : int
        Of each process.
    more : str
        JSON of further settings.
    """
    arguments = {
        "seed": 1,
        "output_folder": out,
        "batch_size": batch_size,
        "dropout": 0.0,
        "number_of_epochs": 2,
        "warmup_epochs": 1,
        "warmup_updates": 0,
        "last_epochs": 0,
        "precise_per_batch": None,
    } | json.loads(more)
    hparams_file = os.path.join(RECIPE.parent, "hparams", "ipr_logmel.yaml")
    run_opts = sb.core.RunOptions.from_dictionary(
        {
            "device": "cpu",
            "distributed_backend": "gloo",
            "noprogressbar": True,
            "optimizer_step_limit": None,
        }
    )
    sb.utils.distributed.ddp_init_group(run_opts)
    overrides = recipe.with_overrides("", **arguments)
    hparams = recipe.load(hparams_file, overrides)
    brain = hparams["brain"](
        # the same copy in every process, whatever its generator says
        augmenter=Augmenter(augmentations=[SignFlip(flip_prob=1.0)]),
        checkpointer=None,
        hparams={},
        run_opts=run_opts,
    )
    brain.set_parts(
        {
            part: read_annotation(os.path.join(annotations, f"{part}.json"))
            for part in PARTS
        }
    )
    held = {}

    def keep(when):
        """Copies the prototypes, and what embeddings are centred by."""
        for name, value in hparams["prototypes"].state_dict().items():
            held[f"{when}.{name}"] = value.clone()

    original = brain.on_fit_batch_end

    def watch(*args):
        """Keeps the prototypes after the first step that moves them."""
        original(*args)
        if brain.joined and "first.prototypes" not in held:
            keep("first")

    brain.on_fit_batch_end = watch
    brain.fit(
        hparams["epoch_counter"], brain.train_set, brain.datasets["valid"]
    )
    keep("last")
    names = ("train_loss", "valid_loss", "precise_loss")
    held["losses"] = torch.tensor(
        [[row[name] for name in names] for row in brain.history.rows]
    )
    for name in ("encoder", "classifier"):
        for key, value in hparams[name].state_dict().items():
            held[f"{name}.{key}"] = value
    os.makedirs(out, exist_ok=True)
    rank = int(os.environ.get("RANK", 0))
    torch.save(held, os.path.join(out, f"rank{rank}.pt"))
