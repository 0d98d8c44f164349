"""Numbers fetched at once are Python's; attention is chosen by the commands."""

import pytest
import torch

from speechbrain_ser.experiment.experiment import Experiment
from speechbrain_ser.inference import label as label_command
from speechbrain_ser.utils.checkpoints import History
from speechbrain_ser.utils.waiting import (
    choose_attention,
    indices,
    numbers,
    on_device,
)
from tests.recipes.helpers import run_recipe

CUDA = torch.backends.cuda


@pytest.fixture
def attention():
    """Whether cuDNN's may be taken, set back later."""
    before = CUDA.cudnn_sdp_enabled()
    CUDA.enable_cudnn_sdp(True)
    yield CUDA.cudnn_sdp_enabled
    CUDA.enable_cudnn_sdp(before)


def test_numbers_are_those_of_each_alone():
    """To the bit, of all kinds and in their order."""
    torch.manual_seed(0)
    values = [
        *torch.randn(5),
        torch.tensor([0.1], dtype=torch.float64),
        torch.tensor(0.3, dtype=torch.bfloat16),
        torch.tensor(2**40 + 1),
        torch.tensor(True),
        torch.tensor(float("nan")),
        3,
        0.1,
    ]
    found = numbers(values)
    alone = [v.item() if isinstance(v, torch.Tensor) else v for v in values]
    assert str(found) == str(alone)
    assert [type(x) for x in found] == [type(x) for x in alone]
    assert numbers([]) == []


def test_means_of_tensors_are_those_of_numbers(tmp_path):
    """Whenever they are looked at; what counts nothing is left out."""
    torch.manual_seed(0)
    drawn = torch.randn(50)
    kept, plain, saved = History(), {}, History()
    for i, value in enumerate(drawn):
        count = torch.tensor(i % 3)
        kept.add(count, loss=value, share=None)
        total, n = plain.get("loss", (0.0, 0))
        if i % 3:
            plain["loss"] = (total + i % 3 * float(value), n + i % 3)
        if i == 20:
            kept.save(tmp_path / "history")  # in the middle of an epoch
            saved.add(loss=float("nan"))  # what it had added is lost
            saved.load(tmp_path / "history", end_of_epoch=False)
        elif i > 20:
            saved.add(count, loss=value)
    kept.add(torch.tensor(0), loss=torch.tensor(float("nan")))
    mean = plain["loss"][0] / plain["loss"][1]
    assert kept.means() == saved.means() == {"loss": mean}
    assert kept.means() == {}


def test_moved_tensors_and_indices():
    """As a mask would have it."""
    mask = torch.tensor([False, True, True, False])
    rows = torch.arange(8).reshape(4, 2)
    assert torch.equal(rows[on_device(indices(mask), "cpu")], rows[mask])


def test_attention_is_chosen(attention):
    """For all that this process computes."""
    choose_attention()
    assert not attention()
    choose_attention(True)
    assert attention()


@pytest.mark.parametrize("kept", [False, True])
def test_a_recipe_chooses_before_it_builds(
    kept, attention, monkeypatch, mini_folder, tmp_path
):
    """By its key, which is off; the run itself is left out."""
    seen = []

    def execute(experiment, planned, run_opts):
        """Trains nothing."""
        seen.append(attention())

    monkeypatch.setattr(Experiment, "execute", execute)
    line = ["hparams/ipr_logmel.yaml", "--output_folder", str(tmp_path / "out")]
    line += ["--data_folder", mini_folder]
    given = ["--cudnn_attention", "True"] if kept else []
    run_recipe(monkeypatch, *line, *given)
    assert seen == [kept]


def test_labelling_chooses_too(attention, model_folder):
    """Recordings have many lengths."""
    options = label_command.parse(["x.wav", "--model", model_folder])
    label_command.load_model(options)
    assert not attention()
