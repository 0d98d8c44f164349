"""Trains LPMN for a few steps without chance; saves what each process holds.

Run by test_lpmn.py in one process and in two, with a folder of annotations for
each corpus.
"""

import functools
import os

import torch

import speechbrain as sb
from speechbrain_ser.corpora.annotations import read_annotation
from speechbrain_ser.experiment import hparams as recipe
from tests.recipes.helpers import LPMN, LPMN_MER2023, PARTS

CURVES = (
    "train_loss",
    "quantization_loss",
    "valid_loss",
    "used_prototypes",
    "perplexity",
)


def train(path, annotations, out, batch_size, run_opts):
    """Three epochs; returns what they leave, name to tensor."""
    arguments = {
        "seed": 1,
        "output_folder": out,
        "batch_size": batch_size,
        "dropout": 0.0,
        "number_of_epochs": 3,
        "n_prototypes": 48,
        "reseed_dead": True,
    }
    hparams_file = os.path.join(path.parent, "hparams", "lpmn_logmel.yaml")
    hparams = recipe.load(hparams_file, recipe.with_overrides("", **arguments))
    brain = hparams["brain"](
        run_opts=run_opts,
        checkpointer=None,
        # of Adam's own 1e-8 a gradient that is rounding makes steps
        opt_class=functools.partial(hparams["opt_class"], eps=1e-6),
    )
    brain.set_parts(
        {
            part: read_annotation(os.path.join(annotations, f"{part}.json"))
            for part in PARTS
        }
    )
    held, chosen = {}, []
    original = brain.on_fit_batch_end

    def watch(*args):
        """Keeps the first step's state, and each step's counts."""
        original(*args)
        if not chosen:
            for key, value in brain.modules.state_dict().items():
                held[f"first.{key.replace('.module', '')}"] = value.clone()
        chosen.append(brain.codebook.chosen.clone())

    brain.on_fit_batch_end = watch
    brain.fit(
        hparams["epoch_counter"], brain.train_set, brain.datasets["valid"]
    )
    held["chosen"] = torch.stack(chosen)
    held["curves"] = torch.tensor(
        [[float(row[name]) for name in CURVES] for row in brain.history.rows]
    )
    for name in ("encoder", "pool", "classifier", "regressor", "importance"):
        if name in hparams:
            for key, value in hparams[name].state_dict().items():
                held[f"{name}.{key}"] = value
    return held


def main(annotations, out, batch_size):
    """Trains on both corpora."""
    run_opts = sb.core.RunOptions.from_dictionary(
        {
            "device": "cpu",
            "distributed_backend": "gloo",
            "noprogressbar": True,
            "optimizer_step_limit": None,
        }
    )
    sb.utils.distributed.ddp_init_group(run_opts)
    os.makedirs(out, exist_ok=True)
    held = {}
    for corpus, path in (("IEMOCAP", LPMN), ("MER2023", LPMN_MER2023)):
        held[corpus] = train(
            path,
            os.path.join(annotations, corpus),
            os.path.join(out, corpus),
            batch_size,
            run_opts,
        )
    rank = int(os.environ.get("RANK", 0))
    torch.save(held, os.path.join(out, f"rank{rank}.pt"))
