"""Checkpoints are whole or not there, and hold what a run needs."""

import random
import zipfile

import numpy as np
import pytest
import torch

from speechbrain.utils.checkpoints import METAFNAME
from speechbrain_ser.utils.checkpoints import (
    AtomicCheckpointer,
    GeneratorStates,
    History,
)


class Dies(torch.nn.Module):
    """A module whose state can't be taken: the process dies meanwhile."""

    def state_dict(self, *args, **kwargs):
        """Stands in for SIGKILL."""
        raise KeyboardInterrupt


def test_checkpoint_cut_short_is_no_checkpoint(tmp_path):
    """The next start finds the one before."""
    layer = torch.nn.Linear(2, 2)
    checkpointer = AtomicCheckpointer(tmp_path, {"layer": layer})
    saved = checkpointer.save_checkpoint(meta={"epoch": 1})
    checkpointer.add_recoverable("dies", Dies())
    with pytest.raises(KeyboardInterrupt):
        checkpointer.save_checkpoint(meta={"epoch": 2})
    again = AtomicCheckpointer(tmp_path, {"layer": layer})
    assert [c.path for c in again.list_checkpoints()] == [saved.path]
    assert again.recover_if_possible().meta["epoch"] == 1
    # and what was left behind is cleared by the next one
    again.save_checkpoint()
    assert list((tmp_path / "unfinished").iterdir()) == []


def test_saved_checkpoint_loads(tmp_path):
    """From the folder where it ends up."""
    layer = torch.nn.Linear(2, 2)
    checkpointer = AtomicCheckpointer(tmp_path, {"layer": layer})
    saved = checkpointer.save_checkpoint()
    assert saved.path.parent == tmp_path
    weight = layer.weight.detach().clone()
    torch.nn.init.zeros_(layer.weight)
    checkpointer.load_checkpoint(saved)
    assert torch.equal(layer.weight, weight)


def test_deleting_unmarks_first(tmp_path, monkeypatch):
    """A deletion cut short leaves no half checkpoint to be found."""
    layer = torch.nn.Linear(2, 2)
    checkpointer = AtomicCheckpointer(tmp_path, {"layer": layer})
    old = checkpointer.save_checkpoint()

    def die(path):
        """Stands in for SIGKILL."""
        raise KeyboardInterrupt

    monkeypatch.setattr("speechbrain_ser.utils.checkpoints.shutil.rmtree", die)
    with pytest.raises(KeyboardInterrupt):
        checkpointer._delete_checkpoint(old)
    assert not (old.path / METAFNAME).exists()
    assert checkpointer.list_checkpoints() == []


def test_generators_are_restored(tmp_path):
    """Python's, NumPy's (its cached normal too) and torch's."""

    def draw():
        """One number of each."""
        return random.gauss(0, 1), np.random.normal(), torch.rand(2).tolist()

    draw()
    states, path = GeneratorStates(), tmp_path / "generators.ckpt"
    states.save(path)
    expected = [draw() for _ in range(3)]
    states.load(path, end_of_epoch=False)
    assert [draw() for _ in range(3)] == expected
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    assert any(name.endswith("data.pkl") for name in names)
    torch.load(path, weights_only=True)


def test_history_is_restored_exactly(tmp_path):
    """Rows, notes and the running sums of a broken-off epoch."""
    history, other = History(), History()
    history.end_epoch({"epoch": 1, "valid_UA": 0.1 + 0.2})
    history.add(loss=1 / 3, agreement=None)
    history.notes["similarity"] = [[1.0]]
    history.save(tmp_path / "history.ckpt")
    other.load(tmp_path / "history.ckpt", end_of_epoch=False)
    for one in (history, other):
        one.add(loss=0.1)
        one.end_epoch({"epoch": 2})
    assert vars(history) == vars(other)
    assert history.rows[1] == {"epoch": 2, "loss": (1 / 3 + 0.1) / 2}


def test_a_mean_is_over_what_there_was():
    """What was of nothing is no zero, and what was of more weighs more."""
    history = History()
    history.add(3, loss=1.0)
    history.add(0, loss=0.0)
    history.add(torch.tensor(1), loss=torch.tensor(5.0))
    history.add(plain=2.0)
    history.end_epoch({"epoch": 1})
    assert history.rows == [{"epoch": 1, "loss": 2.0, "plain": 2.0}]
