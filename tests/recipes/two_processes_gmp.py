"""Trains GMP-ATL's stages without chance; saves what each process holds.

test_gmp_atl.py runs `main` in one process and in two, with a model that has no
dropout.
"""

import os
import types

import torch

import speechbrain as sb
from speechbrain_ser.corpora.annotations import limit_duration, read_annotation
from speechbrain_ser.experiment import hparams as hyper
from speechbrain_ser.methods.gmp_atl_checks import genders_of, labelled
from tests.recipes.helpers import GMP_ATL, PARTS

SIZES = [4, 16]
HPARAMS = os.path.join(GMP_ATL.parent, "hparams", "gmp_atl_small.yaml")


def draw_labels(parts, encoder):
    """Random pseudo-labels of an encoder's frames, with their interface."""
    generator = torch.Generator().manual_seed(5)
    held = {}
    for key, entry in labelled(parts).items():
        samples = round(entry["duration"] * 16000)
        count = int(encoder.count_frames(torch.tensor(samples)))
        held[key] = torch.stack(
            [torch.randint(k, (count,), generator=generator) for k in SIZES],
            dim=1,
        )
    return types.SimpleNamespace(sizes=SIZES, read=held.get)


def train(maker, parts, **more):
    """Two epochs; returns weights and curves, name to tensor."""
    brain = maker(opt_class=torch.optim.SGD, checkpointer=None, **more)
    brain.set_parts(parts)
    counter = sb.utils.epoch_loop.EpochCounter(2)
    before = {k: v.clone() for k, v in brain.modules.state_dict().items()}
    brain.fit(counter, brain.train_set, brain.datasets["valid"])
    held = {
        name.replace("module.", ""): value
        for name, value in brain.modules.state_dict().items()
    }
    assert held.keys() == before.keys()
    steps = [(held[name] - value).abs().max() for name, value in before.items()]
    held["moved"] = torch.stack(steps).max()
    rows = [
        {k: v for k, v in row.items() if k != "seconds"}
        for row in brain.history.rows
    ]
    for name in rows[0]:
        column = [float(row[name]) for row in rows]
        held[f"curve {name}"] = torch.tensor(column)
    return held


def main(annotations, out, batch_size, source):
    """Trains all three stages."""
    run_opts = sb.core.RunOptions.from_dictionary(
        {
            "device": "cpu",
            "distributed_backend": "gloo",
            "noprogressbar": True,
            "optimizer_step_limit": None,
        }
    )
    sb.utils.distributed.ddp_init_group(run_opts)
    settings = {
        "ssl_source": source,
        "output_folder": str(out),
        "batch_size": int(batch_size),
        "class_weights": "balanced",
        "clusters": SIZES,
        # plain gradient descent: a gradient of another size is another step
        "lr": 0.1,
        "lr_warmup": 3,
        "final_lr": 1.0,
        "mask_prob": 0.5,
        "multitask_epochs": 2,
        "retraining_epochs": 2,
        "finetuning_epochs": 2,
        "last_epochs": 0,
        "blstm_size": 8,
        "embedding_size": 8,
        "retraining_head_size": 16,
        "retraining_start": "pretrained",
    }
    hparams = hyper.load(HPARAMS, hyper.with_overrides("", **settings))
    parts = {
        part: read_annotation(os.path.join(annotations, f"{part}.json"))
        for part in PARTS
    }
    parts = {name: limit_duration(part, 0.4)[0] for name, part in parts.items()}
    labels = draw_labels(parts, hparams["encoder"](source=source))
    heard = {name: parts[name] for name in ("train", "valid")}
    options = {"output_folder": str(out), "run_opts": run_opts}
    held = {
        "multitask": train(
            hparams["multitask"],
            heard,
            genders=genders_of(labelled(parts), 0.9),
            **options,
        ),
        "retraining": train(
            hparams["retraining"], heard, pseudo_labels=labels, **options
        ),
        "finetuning": train(hparams["brain"], parts, **options),
    }
    rank = int(os.environ.get("RANK", 0))
    torch.save(held, os.path.join(out, f"rank{rank}.pt"))
