"""What two processes make of every lobe and loss; each has half of a batch."""

import datetime
import os

import torch
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel

import speechbrain as sb
from speechbrain_ser.lobes.codebook import Codebook
from speechbrain_ser.lobes.local_prototypes import LocalPrototypicalMapping
from tests.lobes.contract_cases import (
    CASES,
    CLASSES,
    DIM,
    LENGTHS,
    TIME,
    Called,
    N,
    gradients,
    objective,
)


class Brain(sb.Brain):
    """Learns by the mapping and by the codebook, as the README says."""

    def compute_forward(self, batch, stage):
        """Frames, and the logits of what they are mapped on."""
        frames = self.modules.encoder(batch["frames"])
        pooled, _ = self.modules.pool(frames, batch["lengths"])
        return frames, self.modules.classifier(pooled)

    def compute_objectives(self, predictions, batch, stage):
        """Cross entropy and Eq. 1."""
        frames, logits = predictions
        quantization = self.hparams.codebook(frames, batch["lengths"])
        return F.cross_entropy(logits, batch["labels"]) + quantization


def fitted(rows, **options):
    """Trains a Brain on some utterances; returns its weights and itself."""
    torch.manual_seed(0)
    codebook = Codebook(n_prototypes=7, dim=DIM)
    modules = {
        "encoder": torch.nn.Linear(DIM, DIM),
        "pool": LocalPrototypicalMapping(codebook, tau=0.3),
        "classifier": torch.nn.Linear(7, CLASSES),
    }
    batch = {
        "frames": torch.randn(N, TIME, DIM)[rows],
        "lengths": torch.tensor(LENGTHS)[rows],
        "labels": (torch.arange(N) % CLASSES)[rows],
    }
    weights = torch.nn.ModuleDict(modules)
    brain = Brain(
        modules,
        lambda parameters: torch.optim.SGD(parameters, lr=0.1),
        {"codebook": codebook},
        {"device": "cpu", "noprogressbar": True} | options,
    )
    loader = torch.utils.data.DataLoader([batch], batch_size=None)
    brain.fit(range(3), loader)
    return {k: v.clone() for k, v in weights.state_dict().items()}, brain


def of_half(case, rows, folder):
    """The gradients of a case, from half of its batch, under DDP."""
    called = Called(case, case.make(folder=folder).train(), together=True)
    wrapped = DistributedDataParallel(called)
    inputs = [tensor[rows] for tensor in case.draw()]
    objective(case, wrapped(*inputs), N // 2).backward()
    return gradients(called)


def main(rank, out, ssl_folder):
    """Runs all cases as one of two processes; saves what it found."""
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{out}/meet",
        rank=rank,
        world_size=2,
        timeout=datetime.timedelta(seconds=120),
    )
    rows = slice(rank * N // 2, (rank + 1) * N // 2)
    found = {}
    for case in CASES:
        if "gradient" not in case.exempt:
            try:
                found[case.id] = of_half(case, rows, ssl_folder)
            except Exception as failure:
                found[case.id] = repr(failure)
    options = {"distributed_launch": True, "distributed_backend": "gloo"}
    found["Brain"], brain = fitted(rows, **options)
    found["hidden"] = not hasattr(brain.modules.pool, "codebook")
    torch.save(found, f"{out}/{rank}.pt")
