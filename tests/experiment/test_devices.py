"""A device that is not there is one sentence, before anything is read."""

import pytest
import torch

from speechbrain_ser.experiment.declarations import check_options
from tests.recipes.helpers import check_sentence, run_recipe


@pytest.mark.parametrize("device", ["mps", "cuda:0", "cuda", "gpu", "cuda:x"])
def test_absent_devices(device, tmp_path, monkeypatch):
    """Named, with what there is."""
    there = torch.cuda.is_available() or torch.backends.mps.is_available()
    if there and device not in ("gpu", "cuda:x"):
        pytest.skip("this machine has an accelerator")
    out = tmp_path / "out"
    line = ["hparams/ipr_logmel.yaml", "--device", device]
    error = run_recipe(monkeypatch, *line, "--output_folder", out)
    check_sentence(error, f"--device is {device}.*: give cpu")
    assert not out.exists()


def test_the_cpu_is_there():
    """And no device at all is SpeechBrain's choice."""
    check_options({"device": "cpu"})
    check_options({"device": None})
