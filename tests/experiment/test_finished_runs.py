"""Finished runs below a folder: found, told apart, refused; weights alone."""

import dataclasses
import json

import pytest
import torch

from speechbrain_ser.experiment.finished_runs import Kind, load_weights
from speechbrain_ser.experiment.run_folder import FORMAT
from speechbrain_ser.utils.checkpoints import AtomicCheckpointer
from speechbrain_ser.utils.errors import InputError

KIND = Kind(
    method="IPR",
    script="train_ipr.py",
    chosen={"system": "system", "trained_on": "corpus", "steps": "steps"},
    text="{system} on {corpus}, {steps} steps",
    alike=("labels", "channels"),
    tested="trained_on",
    paired="pairs@1",
)
FACTS = {"method": "IPR", "system": "ipr", "corpus": "A", "selected_epoch": 1}
FACTS |= {"protocol": "sessions@1 with share 0.1", "parts_sha256": {}}
SETTINGS = {"format": FORMAT, "labels": ["ang"], "channels": 8, "steps": 3}
OPEN = dict.fromkeys(KIND.chosen)


def save(folder, facts=FACTS, **settings):
    """Leaves a run's facts and settings; returns its folder."""
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(facts))
    (folder / "settings.json").write_text(json.dumps(SETTINGS | settings))
    return folder


@pytest.fixture
def root(tmp_path):
    """Three folds, the last one first in the order of names."""
    for name, fold in (("a", 10), ("b", 2), ("c", 1)):
        save(tmp_path / "runs" / name, FACTS | {"fold": fold})
    return tmp_path / "runs"


def test_runs_are_in_the_order_of_their_folds(root):
    """Not of their names; what is no such run is passed over."""
    save(root / "d", {"method": "LPMN"})
    save(root / "e", FACTS | {"fold": 3, "trained_on": "A"})
    (root / "f").mkdir()
    (root / "f" / "settings.json").write_text("{")
    found = KIND.find(str(root), OPEN)
    assert [run.facts["fold"] for run in found] == [1, 2, 10]
    assert found[0].folder == str(root / "c")
    assert found[0].get("corpus") == "A" and found[0].get("steps") == 3
    assert found[0].get("nothing") is None


def test_some_are_chosen(root):
    """By facts and by settings; what is null must be alike."""
    for name, more in (("g", {"corpus": "B"}), ("h", {"system": "baseline"})):
        save(root / name, FACTS | {"fold": 1} | more)
    save(root / "i", FACTS | {"fold": 1}, steps=5)
    chosen = {"system": "ipr", "trained_on": "A", "steps": 3}
    assert len(KIND.find(str(root), chosen)) == 3
    (run,) = KIND.find(str(root), chosen | {"steps": 5})
    assert run.folder == str(root / "i")
    for name, fact in KIND.chosen.items():
        with pytest.raises(InputError, match=f"than one {fact} .*--{name}$"):
            KIND.find(str(root), chosen | {name: None})
    with pytest.raises(InputError, match="steps 4 .*baseline on A, 3 steps"):
        KIND.find(str(root), chosen | {"steps": 4})


def test_what_is_refused(root):
    """Of one sentence each; of an earlier version only what is chosen."""
    with pytest.raises(InputError, match="no folder .*--runs_folder"):
        KIND.find(str(root / "nowhere"), OPEN)
    with pytest.raises(InputError, match="metrics.json lacks fold"):
        KIND.below(str(save(root / "x").parent))
    (root / "x" / "metrics.json").unlink()
    save(root / "old", FACTS | {"fold": 4, "system": "baseline"}, format=None)
    assert len(KIND.find(str(root), OPEN | {"system": "ipr"})) == 3
    with pytest.raises(InputError, match="old holds a run of an earlier ver"):
        KIND.find(str(root), OPEN | {"system": "baseline"})
    other = save(root / "y", FACTS | {"fold": 5}, channels=9)
    with pytest.raises(InputError, match="settings of channels"):
        KIND.find(str(root), OPEN | {"system": "ipr"})
    with pytest.raises(InputError, match="lacks width"):
        dataclasses.replace(KIND, alike=("width",)).find(str(other), OPEN)
    save(root / "z", FACTS | {"fold": 5})
    with pytest.raises(InputError, match="are both of fold 5"):
        KIND.find(str(root), OPEN | {"system": "ipr"})


def test_the_selected_checkpoint(root):
    """Of its epoch, with all that is asked for; no folder is made."""
    (run,) = KIND.find(str(root / "b"), OPEN)
    with pytest.raises(InputError, match="save has no checkpoint of epoch 1"):
        run.checkpoint(["layer"])
    assert not (root / "b" / "save").exists()
    layer = torch.nn.Linear(2, 1)
    saver = AtomicCheckpointer(str(root / "b" / "save"), {"layer": layer})
    kept = [saver.save_checkpoint(meta={"epoch": n}) for n in (1, 2)]
    assert run.checkpoint(["layer"]) == str(kept[0].path)
    with pytest.raises(InputError, match="other.ckpt is missing"):
        run.checkpoint(["layer", "other"])
    other = torch.nn.Linear(2, 1)
    load_weights(other, kept[0].path / "layer.ckpt")
    assert torch.equal(other.weight, layer.weight)
    torch.nn.init.constant_(layer.bias, float("nan"))
    torch.save(layer.state_dict(), root / "nan.ckpt")
    with pytest.raises(InputError, match=r"nan.ckpt holds NaN .*\(bias\)"):
        load_weights(other, root / "nan.ckpt")
