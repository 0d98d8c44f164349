"""What of a training step a GPU would be waited for, counted on a CPU."""

import contextlib
import os
import traceback

import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from speechbrain.dataio.batch import PaddedBatch

ATEN = torch.ops.aten
# Their result, or its size, is known once the device is done.
WAITING = {
    ATEN._local_scalar_dense.default,
    ATEN.nonzero.default,
    ATEN.masked_select.default,
    ATEN.bincount.default,
    ATEN._unique2.default,
    ATEN.equal.default,
}
INDEXING = {
    ATEN.index.Tensor,
    ATEN.index_put.default,
    ATEN.index_put_.default,
    ATEN._index_put_impl_.default,
}
HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PACKAGE = os.path.join(HOME, "speechbrain_ser", "")


class Waits(TorchDispatchMode):
    """Notes the lines that would wait, once a batch has been moved.

    What is done before that is done with tensors of the CPU, wherever the model
    is; so is what an optimizer knows of its steps.
    """

    def __init__(self):
        super().__init__()
        self.seen, self.moved = [], False

    def note(self, what):
        """Notes the line of this package that asked."""
        stack = traceback.extract_stack()
        if not self.moved or any("torch/optim" in f.filename for f in stack):
            return
        # an environment may lie in the checkout: make's does
        own = [f for f in stack if f.filename.startswith(PACKAGE)]
        place = own[-1]
        name = os.path.relpath(place.filename, HOME)
        self.seen.append(f"{name}: {place.line} ({what})")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in WAITING:
            self.note(func.overloadpacket.__name__)
        if func in INDEXING and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        ):
            one = len(args) > 2 and args[2].numel() == 1  # is filled in
            if not one:
                self.note("a mask as an index")
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def counted(monkeypatch):
    """Counts while it lasts; each moved batch begins to count anew.

    Yields
    ------
    Waits
    """
    waits = Waits()
    with monkeypatch.context() as patch:
        for name in ("tolist", "numpy", "cpu"):
            patch.setattr(torch.Tensor, name, noted(waits, name))
        plain_to, plain_one_hot = PaddedBatch.to, F.one_hot

        def to(batch, *args, **kwargs):
            """Moves a batch."""
            moved = plain_to(batch, *args, **kwargs)
            waits.moved = True
            return moved

        def one_hot(*args, **kwargs):
            """Looks at its largest number on CPUs alone."""
            moved, waits.moved = waits.moved, False
            made = plain_one_hot(*args, **kwargs)
            waits.moved = moved
            return made

        patch.setattr(PaddedBatch, "to", to)
        patch.setattr(F, "one_hot", one_hot)
        with waits:
            yield waits


def noted(waits, name):
    """A method of tensors that is noted."""
    plain = getattr(torch.Tensor, name)

    def call(tensor, *args, **kwargs):
        """Notes, then does it."""
        waits.note(name)
        return plain(tensor, *args, **kwargs)

    return call


def waits_of(brain, monkeypatch, epoch=1, steps=2):
    """The lines that wait in steps of an epoch, losses left for later.

    Arguments
    ---------
    brain : SERBrain
        With its parts; its optimizers are made here.
    monkeypatch : pytest.MonkeyPatch
    epoch : int
    steps : int

    Returns
    -------
    list of str
    """
    import speechbrain as sb

    brain.epochs = epoch + 1
    brain.settled_every = 1000
    loader = brain.make_dataloader(brain.train_set, sb.Stage.TRAIN)
    brain.init_optimizers()
    brain.train_sampler.set_epoch(epoch)
    brain.on_stage_start(sb.Stage.TRAIN, epoch)
    brain.modules.train()
    brain.nonfinite_count = 0
    batches = iter(loader)
    with counted(monkeypatch) as waits:
        for brain.step in range(1, steps + 1):
            waits.moved = False
            loss = brain.fit_batch(next(batches))
            brain.update_average(loss, 0.0)
        waits.moved = False
    assert len(brain.unsettled) >= 2 * steps
    brain.settle()
    return sorted(set(waits.seen))
