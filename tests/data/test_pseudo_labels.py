"""Files of pseudo-labels: what is written is read, what is damaged is said."""

import json
import os
import pickle

import numpy as np
import pytest
import safetensors.numpy
import torch

from speechbrain_ser.data.pseudo_labels import PseudoLabels
from speechbrain_ser.utils.errors import InputError
from tests.data.helpers import (
    LABELLED,
    LEFT,
    SIZES,
    Cache,
    content,
    make,
    make_part,
)
from tests.references.gmp_atl import nearest_centres


def test_what_lies_in_the_folder(whole):
    """Files that need none of our code, and nothing else."""
    assert sorted(os.listdir(whole)) == LEFT
    labels = np.load(whole / "labels.npy", mmap_mode="r", allow_pickle=False)
    assert labels.dtype == np.uint16 and labels.shape == (51, 2)
    centres = safetensors.numpy.load_file(whole / "centres.safetensors")
    assert {name: held.shape for name, held in centres.items()} == {
        "3": (3, 4),
        "8": (8, 4),
    }
    made = json.loads((whole / "labels.json").read_text())
    assert made["sizes"] == SIZES
    assert made["seed"] == 3
    assert made["about"] == {"layer": -3, "encoder": "small"}
    assert made["frames_fitted"] == 43
    begin = 0
    for key, entry in LABELLED.items():
        assert made["utterances"][key] == [begin, entry["n"]]
        frames = Cache().read(entry).float().numpy()
        for scale, size in enumerate(SIZES):
            assert (
                labels[begin : begin + entry["n"], scale].tolist()
                == nearest_centres(frames, centres[str(size)]).tolist()
            )
        begin += entry["n"]
    assert begin == 51


def test_read_back_is_what_was_written(whole):
    """Each utterance's rows, as whole numbers."""
    labels = PseudoLabels(str(whole))
    written = np.load(whole / "labels.npy")
    assert labels.sizes == SIZES
    assert list(labels.ids) == list(LABELLED)
    begin = 0
    for key, entry in LABELLED.items():
        found = labels.read(key)
        assert found.dtype == torch.int64
        assert labels.count(key) == len(found) == entry["n"]
        assert found.tolist() == written[begin : begin + len(found)].tolist()
        begin += len(found)
    assert len(np.unique(written[:, 1])) == 8
    with pytest.raises(InputError, match="none of the utterance u99"):
        labels.read("u99")
    with pytest.raises(InputError, match="none of the utterance u99"):
        labels.count("u99")


class Read(torch.utils.data.Dataset):
    """Reads pseudo-labels in worker processes."""

    def __init__(self, labels):
        self.labels, self.keys = labels, list(labels.ids)

    def __len__(self):
        return len(self.keys)

    def __getitem__(self, index):
        return self.labels.read(self.keys[index])


def test_workers_read(tmp_path):
    """Also after the map was opened; labels are not sent to a worker."""
    part = make_part([2000, 900, 1500])
    make(tmp_path, fitted=part, labelled=part)
    labels = PseudoLabels(tmp_path)
    expected = [labels.read(key) for key in part]
    sent = pickle.dumps(labels)
    assert len(sent) < 2000
    again = pickle.loads(sent)
    assert again.ids == labels.ids
    loader = torch.utils.data.DataLoader(
        Read(labels), batch_size=None, num_workers=2
    )
    found = list(loader)
    assert len(found) == 3
    for key, held, right in zip(part, found, expected):
        assert torch.equal(held, right)
        assert torch.equal(again.read(key), right)


def test_check(whole):
    """The same passes; what differs or is not known is named."""
    labels = PseudoLabels(whole)
    labels.check(layer=-3, encoder="small")
    with pytest.raises(
        InputError,
        match=f"pseudo-labels in {whole} were made from layer -3, "
        "this run has layer -5: ",
    ):
        labels.check(encoder="small", layer=-5)
    with pytest.raises(InputError, match="which rate they are, .* rate 16000"):
        labels.check(rate=16000)


@pytest.fixture
def copied(whole, tmp_path):
    """A whole folder to damage."""
    for name, held in content(whole).items():
        (tmp_path / name).write_bytes(held)
    return tmp_path


def test_not_there(tmp_path):
    """No folder, an empty one, one that was begun."""
    with pytest.raises(InputError, match="folder .*gone is missing"):
        PseudoLabels(tmp_path / "gone")
    with pytest.raises(InputError, match="no pseudo-labels in"):
        PseudoLabels(tmp_path)
    with pytest.raises(InputError, match="44 centres"):
        make(tmp_path, sizes=[44])
    with pytest.raises(InputError, match="not finished: start again"):
        PseudoLabels(tmp_path)


@pytest.mark.parametrize("name", LEFT)
@pytest.mark.parametrize("how", ["empty", "cut", "changed", "missing"])
def test_damaged(copied, name, how):
    """Each file in each way: the file and the mend are named."""
    path = copied / name
    held = path.read_bytes()
    if how == "missing":
        path.unlink()
        match = "no pseudo-labels in" if name == "labels.json" else name
    else:
        middle = len(held) // 2
        changed = bytes([held[-9] ^ 1])
        path.write_bytes(
            {
                "empty": b"",
                "cut": held[:middle],
                "changed": held[:-9] + changed + held[-8:],
            }[how]
        )
        match = f"{name} is damaged or missing: delete .*labels.json"
    if (name, how) == ("labels.json", "changed"):
        path.write_text(held.decode().replace('"sizes"', '"size"'))
    with pytest.raises(InputError, match=match):
        PseudoLabels(copied)


def test_files_that_go_later(copied):
    """After they were looked at."""
    labels = PseudoLabels(copied)
    (copied / "labels.npy").unlink()
    (copied / "centres.safetensors").unlink()
    with pytest.raises(InputError, match="labels.npy is damaged or missing"):
        labels.read("u0")
    with pytest.raises(InputError, match="centres.safetensors is damaged"):
        labels.centres()
