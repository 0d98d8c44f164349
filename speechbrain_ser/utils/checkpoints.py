"""What SpeechBrain's checkpoints need so that a killed run goes on exactly."""

import functools
import json
import os
import random
import shutil

import numpy as np
import torch

from speechbrain.utils.checkpoints import (
    CKPT_PREFIX,
    METAFNAME,
    Checkpoint,
    Checkpointer,
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)
from speechbrain.utils.distributed import ddp_barrier, get_rank, if_main_process
from speechbrain_ser.utils.files import write_json
from speechbrain_ser.utils.settings import NOTHING, Word
from speechbrain_ser.utils.waiting import numbers

UNFINISHED = "unfinished"


class AtomicCheckpointer(Checkpointer):
    """A ``Checkpointer`` whose folders are whole or not there.

    SpeechBrain marks a folder as a checkpoint before it fills it, so a run killed
    meanwhile finds half a checkpoint and can't go on. Here the folder is filled
    elsewhere and renamed, and unmarked before it is deleted.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> layer = torch.nn.Linear(1, 1)
    >>> checkpointer = AtomicCheckpointer(folder, {"layer": layer})
    >>> checkpoint = checkpointer.save_checkpoint()
    >>> checkpoint.path.parent == folder
    True
    """

    def __init__(self, checkpoints_dir: Word(counts=NOTHING), *args, **kwargs):
        super().__init__(checkpoints_dir, *args, **kwargs)

    def save_checkpoint(self, *args, name=None, **kwargs):
        """Saves as SpeechBrain does; same arguments.

        Returns
        -------
        Checkpoint or None
            None where this is not the main process.
        """
        home = self.checkpoints_dir
        if name is None:
            free = self._new_checkpoint_dirpath().name
            name = free.removeprefix(f"{CKPT_PREFIX}+")
        self.checkpoints_dir = home / UNFINISHED
        try:
            if if_main_process():
                shutil.rmtree(self.checkpoints_dir, ignore_errors=True)
            saved = super().save_checkpoint(*args, name=name, **kwargs)
        finally:
            self.checkpoints_dir = home
        ddp_barrier()
        if saved is not None:
            path = home / saved.path.name
            os.replace(saved.path, path)
            files = {
                name: path / file.name
                for name, file in saved.paramfiles.items()
            }
            saved = Checkpoint(path, saved.meta, files)
        ddp_barrier()
        return saved

    @staticmethod
    def _delete_checkpoint(checkpoint, verbosity=None):
        """Unmarks the folder first: what is left of it is no checkpoint."""
        del verbosity
        os.unlink(checkpoint.path / METAFNAME)
        shutil.rmtree(checkpoint.path)


@functools.partial(register_checkpoint_hooks, save_on_main_only=False)
class GeneratorStates:
    """The states of python's, NumPy's and torch's generators, of each process.

    Without them a run that goes on draws other dropout masks and augmentations
    than one that was never stopped. The main process's states are the
    checkpoint's own file, those of the others lie beside it.

    Example
    -------
    >>> states = GeneratorStates()
    >>> path = getfixture("tmp_path") / "generators.ckpt"
    >>> states.save(path)
    >>> first = torch.rand(3)
    >>> states.load(path, end_of_epoch=True)
    >>> torch.equal(first, torch.rand(3))
    True
    """

    @staticmethod
    def _own(path):
        """Returns this process's file."""
        rank = get_rank() or 0
        return path if rank == 0 else f"{path}.rank{rank}"

    @mark_as_saver
    def save(self, path):
        """Writes plain numbers and tensors, readable with ``weights_only``."""
        version, internal, gauss = random.getstate()
        name, keys, position, has_gauss, cached = np.random.get_state()
        torch.save(
            {
                "python": (version, torch.tensor(internal), gauss),
                "numpy": (
                    name,
                    torch.from_numpy(keys.astype(np.int64)),
                    position,
                    has_gauss,
                    cached,
                ),
                "torch": torch.get_rng_state(),
                "cuda": torch.cuda.get_rng_state_all(),
            },
            self._own(path),
        )

    @mark_as_loader
    def load(self, path, end_of_epoch):
        """Sets the generators; a process that is new keeps its own seed."""
        del end_of_epoch
        if not os.path.exists(self._own(path)):
            return
        state = torch.load(self._own(path), weights_only=True)
        version, internal, gauss = state["python"]
        random.setstate((version, tuple(internal.tolist()), gauss))
        name, keys, position, has_gauss, cached = state["numpy"]
        keys = keys.numpy().astype(np.uint32)
        np.random.set_state((name, keys, position, has_gauss, cached))
        torch.set_rng_state(state["torch"])
        if len(state["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(state["cuda"])


@register_checkpoint_hooks
class History:
    """What an experiment has seen so far: one row an epoch, and running means.

    Attributes
    ----------
    rows : list of dict
        One an epoch, the rows of ``curves.csv``.
    notes : dict
        Whatever else a method keeps for its report, plain JSON.

    Example
    -------
    >>> history = History()
    >>> history.add(loss=1.0)
    >>> history.add(loss=3.0, agreement=0.5)
    >>> history.end_epoch({"epoch": 1})
    >>> history.rows
    [{'epoch': 1, 'loss': 2.0, 'agreement': 0.5}]
    >>> history.add(8, loss=1.0)
    >>> history.add(0, loss=0.0)
    >>> history.means()
    {'loss': 1.0}
    """

    def __init__(self):
        self.rows = []
        self.notes = {}
        self.running = {}
        self._added = []  # not looked at yet

    def add(self, count=1, **values):
        """Adds numbers to the running means of the epoch; None is left out.

        Tensors stay on their device until `settle`.

        Arguments
        ---------
        count : int or torch.Tensor
            Of how many each number is the mean, say utterances; it weighs so
            much. 0: there was none, and the numbers are left out.
        **values : dict
            Name to number, or to a tensor of one element that nothing changes.
        """
        self._added += [
            (name, count, value)
            for name, value in values.items()
            if value is not None
        ]

    def settle(self):
        """Takes what was added into the running means, in its order."""
        added, self._added = self._added, []
        held = numbers([x for _, *both in added for x in both])
        for (name, *_), count, value in zip(added, held[::2], held[1::2]):
            if count:
                total, n = self.running.get(name, (0.0, 0))
                total += int(count) * float(value)
                self.running[name] = (total, n + int(count))

    def means(self):
        """Takes the running means, which start anew."""
        self.settle()
        means = {name: t / n for name, (t, n) in self.running.items()}
        self.running = {}
        return means

    def end_epoch(self, row):
        """Appends a row: what is given, then the running means."""
        self.rows.append({**row, **self.means()})

    @mark_as_saver
    def save(self, path):
        """Writes JSON."""
        self.settle()
        kept = {k: v for k, v in vars(self).items() if k != "_added"}
        write_json(path, kept)

    @mark_as_loader
    def load(self, path, end_of_epoch):
        """Reads JSON."""
        del end_of_epoch
        with open(path, encoding="utf-8") as file:
            vars(self).update(json.load(file) | {"_added": []})
