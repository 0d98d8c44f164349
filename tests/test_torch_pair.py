"""torch and torchaudio that do not fit are met with one sentence."""

import subprocess
import sys

import pytest

from speechbrain_ser import _torch_pair


@pytest.mark.parametrize(
    "pair, said",
    [
        (("2.13.0", "2.11.0"), "do not go together"),
        (("2.11.0+cpu", "2.10.1+cu128"), "do not go together"),
        (("2.7.1", "2.7.1"), "outside the releases"),
        (("2.12.0", "2.12.0"), "outside the releases"),
    ],
)
def test_mismatch_is_named_with_the_mend(pair, said):
    """Both versions, what is wrong, what to type."""
    problem = _torch_pair.mismatch(*pair)
    assert said in problem and "pip install" in problem
    assert pair[0] in problem and pair[1] in problem
    assert "\n" not in problem


def test_good_pairs_pass():
    """Patch releases and builds may be named in the version."""
    assert _torch_pair.mismatch("2.11.0+cu130", "2.11.0") is None
    assert _torch_pair.mismatch("2.8.1", "2.8.0") is None


def test_failing_import_is_one_sentence(monkeypatch):
    """Equal versions of different builds: torchaudio itself fails."""
    monkeypatch.setitem(sys.modules, "torchaudio", None)
    with pytest.raises(ImportError, match="builds that do not go.*pip install"):
        _torch_pair.check_torch_pair()


def test_missing_package_is_named(monkeypatch):
    """Which one, and how to get it."""

    def missing(name):
        """Stands in for importlib.metadata.version."""
        raise _torch_pair.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(_torch_pair.metadata, "version", missing)
    with pytest.raises(ImportError, match="needs .*; install a pair"):
        _torch_pair.check_torch_pair()


def test_import_is_light():
    """Nothing is loaded that a user of one lobe does not need."""
    code = (
        "import sys, torch, torchaudio; before = set(sys.modules);"
        "import speechbrain_ser; new = set(sys.modules) - before;"
        "print(sorted(m for m in new if '.' not in m))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "speechbrain_ser" in found.stdout
    for heavy in ("speechbrain'", "transformers", "matplotlib", "sklearn"):
        assert heavy not in found.stdout
