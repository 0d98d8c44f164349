"""A folder holds one run; what is refused leaves everything as it was."""

import json

import pytest

from speechbrain_ser.experiment.run_folder import (
    check_folder,
    claim_folder,
    keep_recipe,
    read_settings,
)
from speechbrain_ser.utils.errors import InputError


def test_a_folder_is_claimed_once(tmp_path):
    """The same settings again are fit, others are not; checking writes none."""
    folder = str(tmp_path / "out")
    check_folder(folder, {"seed": 1, "labels": ("a", "b")})
    assert not (tmp_path / "out").exists()
    claim_folder(folder, {"seed": 1, "labels": ("a", "b")})
    before = (tmp_path / "out" / "settings.json").read_bytes()
    claim_folder(folder, {"seed": 1, "labels": ["a", "b"]})
    for other in ({"seed": 2, "labels": ["a", "b"]}, {"seed": 1}, {}):
        with pytest.raises(InputError, match="holds a run with .*--output_f"):
            claim_folder(folder, other)
    assert (tmp_path / "out" / "settings.json").read_bytes() == before


def test_a_run_of_before_is_refused_by_one_sentence(tmp_path):
    """Its settings have no format; nothing of it is overwritten."""
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"seed": 1, "watched_epochs": 5}))
    with pytest.raises(InputError, match="earlier version.*other names"):
        claim_folder(str(tmp_path), {"seed": 1})
    assert json.loads(path.read_text()) == {"seed": 1, "watched_epochs": 5}


@pytest.mark.parametrize("text", ["", "{", "[1]", "5"])
def test_broken_settings_are_named(text, tmp_path):
    """The file and the mend, no traceback."""
    (tmp_path / "settings.json").write_text(text)
    with pytest.raises(InputError, match="settings.json can't be read"):
        read_settings(str(tmp_path))


def test_a_run_keeps_its_recipe(tmp_path):
    """As it was, comments too, and what the command line changed."""
    path = tmp_path / "a.yaml"
    path.write_text("seed: 1  # any\n", encoding="utf-8")
    keep_recipe(str(tmp_path / "out"), str(path), "seed: 2")
    assert (tmp_path / "out" / "recipe.yaml").read_text() == "seed: 1  # any\n"
    assert (tmp_path / "out" / "overrides.yaml").read_text() == "seed: 2\n"


def test_folder_of_another_configuration_is_refused(tmp_path):
    """Named with the setting, both values and the mend."""
    claim_folder(str(tmp_path), {"seed": 1, "lr": 0.1})
    claim_folder(str(tmp_path), {"seed": 1, "lr": 0.1})
    with pytest.raises(InputError, match=r"lr = 0.1 instead of 0.2.*--output"):
        claim_folder(str(tmp_path), {"seed": 1, "lr": 0.2})
