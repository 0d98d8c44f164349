"""Trains GMP-ATL's stages without chance; saves what each process holds.

Run by test_gmp_atl.py: two_processes_gmp.py ANNOTATIONS OUT BATCH_SIZE SSL_SOURCE,
with a model that has no dropout.
"""

import os
import sys
import types

import speechbrain as sb
import torch

from speechbrain_ser.corpora.annotations import read_annotation
from speechbrain_ser.experiment import recipe
from tests.recipes.helpers import GMP_ATL, PARTS, import_script

SIZES = [4, 16]
HPARAMS = os.path.join(GMP_ATL.parent, "hparams", "gmp_atl_small.yaml")


def draw_labels(parts, encoder):
    """Random pseudo-labels of an encoder's frames, with their interface."""
    generator = torch.Generator().manual_seed(5)
    held = {}
    for key, entry in (parts["train"] | parts["validation"]).items():
        samples = round(entry["duration"] * 16000)
        count = int(encoder.count_frames(torch.tensor(samples)))
        held[key] = torch.stack(
            [torch.randint(k, (count,), generator=generator) for k in SIZES],
            dim=1,
        )
    return types.SimpleNamespace(sizes=SIZES, read=held.get)


def train(made):
    """Two epochs; returns weights and curves, name to tensor."""
    counter, brain, datasets = made
    brain.checkpointer = None
    before = {k: v.clone() for k, v in brain.modules.state_dict().items()}
    brain.fit(counter, datasets["train"], datasets["validation"])
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
    script = import_script(GMP_ATL)
    settings = {
        "ssl_source": source,
        "output_folder": str(out),
        "batch_size": int(batch_size),
        "class_weights": "balanced",
        "clusters": SIZES,
        # plain gradient descent: a gradient of another size is another step
        "lr": 0.1,
        "final_lr": 1.0,
        "mask_prob": 0.5,
        "multitask_epochs": 2,
        "retraining_epochs": 2,
        "finetuning_epochs": 2,
        "watched_epochs": 0,
        "blstm_size": 8,
        "embedding_size": 8,
        "retraining_head_size": 16,
    }
    hparams = recipe.load(HPARAMS, recipe.with_overrides("", **settings))
    hparams["opt_class"] = torch.optim.SGD
    parts = {
        part: read_annotation(os.path.join(annotations, f"{name}.json"))
        for part, name in PARTS.items()
    }
    parts, _ = recipe.shorten(parts, 0.4, "cut")
    labels = draw_labels(parts, hparams["encoder"](source=source))
    heard = {name: parts[name] for name in ("train", "validation")}
    held = {
        "multitask": train(
            script.make_multitask(hparams, run_opts, heard, out)
        ),
        "retraining": train(
            script.make_retraining(
                hparams, run_opts, heard, labels, source, out
            )
        ),
        "finetuning": train(
            script.make_fine_tuning(hparams, run_opts, parts, source, {})
        ),
    }
    rank = int(os.environ.get("RANK", 0))
    torch.save(held, os.path.join(out, f"rank{rank}.pt"))


if __name__ == "__main__":
    main(*sys.argv[1:])
