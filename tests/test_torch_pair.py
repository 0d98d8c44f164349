"""A torchaudio that does not load is met with one sentence."""

import subprocess
import sys

import pytest

from tests.recipes.helpers import RECIPE, ROOT

BROKEN = {
    "OSError": "raise OSError('libc10_cuda.so: cannot open shared object file')",
    "RuntimeError": "raise RuntimeError('built for CUDA 12.6\\nand more')",
    "ImportError": "from torch import what_there_is_not",
}


@pytest.fixture(params=sorted(BROKEN))
def python(request, tmp_path):
    """Runs Python where torchaudio is there and does not load."""
    (tmp_path / "torchaudio").mkdir()
    path = tmp_path / "torchaudio" / "__init__.py"
    path.write_text(BROKEN[request.param])

    def run(*words):
        """Returns the ended process."""
        code = (
            f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}];"
            "import runpy; exec(sys.argv.pop(1))"
        )
        return subprocess.run(
            [sys.executable, "-c", code, *map(str, words)],
            capture_output=True,
            text=True,
        )

    return run


def check_sentence(line):
    """Both versions, the reason in a line, what to type."""
    assert "torch 2." in line and "torchaudio 2." in line
    assert "do not load together (" in line and "pip install" in line


def test_a_broken_torchaudio_is_one_sentence(python):
    """For who imports and who types; what needs no SpeechBrain still loads."""
    done = python(
        "import speechbrain_ser, speechbrain_ser.lobes.prototypes;"
        "from speechbrain_ser.lobes import gradient_reversal;"
        "from speechbrain_ser.corpora import iemocap;"
        "print('loaded'); import speechbrain_ser.brain"
    )
    assert done.stdout == "loaded\n" and done.returncode == 1
    check_sentence(done.stderr.splitlines()[-1])


@pytest.mark.parametrize("python", ["OSError"], indirect=True)
def test_a_command_says_it_too(python):
    """And nothing else."""
    script = "runpy.run_path(sys.argv[0], run_name='__main__')"
    done = python(
        f"sys.argv.pop(0); {script}", RECIPE, "hparams/ipr_logmel.yaml"
    )
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    check_sentence(line)


def test_a_torchaudio_that_loads_is_left_alone():
    """Nothing watches it any more; other modules are none of the business."""
    code = (
        "import sys, speechbrain_ser; from speechbrain_ser import _torch_pair;"
        "guards = lambda: [type(f).__name__ for f in sys.meta_path].count("
        "'Guard'); print(guards()); import json.tool, torchaudio;"
        "print(guards(), torchaudio.functional.__name__);"
        "_torch_pair.guard(); print(guards());"
        "print(_torch_pair.Guard().find_spec('torch'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout.splitlines() == [
        "1",
        "0 torchaudio.functional",
        "0",
        "None",
    ], done.stderr


@pytest.mark.parametrize("python", ["ImportError"], indirect=True)
def test_a_failed_import_can_be_tried_again(python):
    """The sentence is said as often as it is asked for."""
    done = python(
        "import speechbrain_ser\nfor _ in range(2):\n try: import torchaudio"
        "\n except ImportError as e: print(type(e).__name__)"
    )
    assert done.stdout == "TorchaudioError\n" * 2, done.stderr
