"""--help of the recipes."""

import pytest

from speechbrain_ser.experiment import help as helping
from speechbrain_ser.experiment.hparams import peek
from speechbrain_ser.utils.errors import InputError
from tests.recipes.helpers import DANN, GMP_ATL, MENAN, MOSEI, RECIPE, ROOT

SCRIPTS = sorted((ROOT / "recipes").glob("*/*.py"))


def test_it_names_files_settings_and_options():
    """Of the file that is named, else of the method's first."""
    text = helping.help_of(str(RECIPE), ["--help"])
    assert "usage: python train_ipr.py HPARAMS" in text
    assert "hparams/ipr.yaml\n  hparams/ipr_logmel.yaml\n" in text
    assert "\n  --lr 0.00001\n" in text and "--ssl_source" in text
    assert "\n  --precision: " in text
    named = helping.help_of(str(RECIPE), ["hparams/ipr_logmel.yaml", "-h"])
    assert "--ssl_source" not in named and "ipr_logmel.yaml, as" in named
    with pytest.raises(InputError, match="there is no hparams file no.yaml"):
        helping.help_of(str(RECIPE), ["no.yaml", "--help"])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_plain_setting_is_there(script):
    """As the file has it."""
    for path in helping.hparams_of(str(script)):
        with open(path, encoding="utf-8") as file:
            text = helping.settings_text(file.read())
        lines = text.splitlines()
        listed = {line.split()[0] for line in lines if line.startswith("  --")}
        known = {f"--{name}" for name in peek(path, "")}
        assert listed <= known and len(listed) > 10


def test_each_recipe_has_its_own_files():
    """By the method's name; where none has it, all beside the script."""
    first = [
        helping.hparams_of(str(script))[0].rpartition("/")[2]
        for script in (RECIPE, GMP_ATL, DANN, MENAN, MOSEI)
    ]
    assert first == [
        "ipr.yaml",
        "gmp_atl.yaml",
        "dann.yaml",
        "menan.yaml",
        "evaluate.yaml",
    ]
