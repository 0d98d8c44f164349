"""What every protocol declares, and that a recipe loads only its own."""

import subprocess
import sys

import pytest

from speechbrain_ser.corpora.protocols.named import PROTOCOLS
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import check_values

PACKAGE = "speechbrain_ser.corpora.protocols"
CORPORA = (
    "iemocap",
    "mer2023",
    "cross_lingual",
    "cmu_mosei",
    "emodb",
    "ravdess",
    "nemo",
    "manifest",
)


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_each_setting_is_declared_and_its_own_value_fits(protocol):
    """And the fold, where there are folds."""
    declared = protocol.declarations()
    folds = ["fold"] if protocol.folds != 1 else []
    assert list(declared) == [*protocol.splitting, *folds]
    check_values(declared, protocol.splitting | dict.fromkeys(folds, 1))
    if folds:
        beyond = [protocol.folds + 1] if protocol.folds else []
        for fold in (0, *beyond, None, "1"):
            with pytest.raises(InputError, match="--fold is .*: give a whole"):
                check_values(declared, {"fold": fold})


@pytest.mark.parametrize("corpus", CORPORA)
def test_a_protocol_loads_no_other_and_no_reader(corpus):
    """So that a run's code is what it runs."""
    code = f"import sys, {PACKAGE}.{corpus}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert f"{PACKAGE}.{corpus}" in loaded
    others = {f"{PACKAGE}.{name}" for name in (*CORPORA, "named")}
    assert not loaded & (others - {f"{PACKAGE}.{corpus}"})
    corpora = {*CORPORA, "recola", "unlabelled", "recordings", "pairs"}
    assert not loaded & {f"speechbrain_ser.corpora.{name}" for name in corpora}
