"""What all pictures share: looks, and no global state."""

import os
import subprocess
import sys

from speechbrain_ser.figures.style import line_look


def test_lines_look_different():
    """As many as eight classes have pairs."""
    assert len({str(line_look(index)) for index in range(28)}) == 28


def test_pyplot_is_never_imported(tmp_path):
    """No display, no global state, no chosen backend."""
    code = (
        "import pkgutil, sys\n"
        "from importlib import import_module\n"
        "from speechbrain_ser import figures\n"
        "for module in pkgutil.iter_modules(figures.__path__):\n"
        "    import_module(f'speechbrain_ser.figures.{module.name}')\n"
        "from speechbrain_ser.figures.agreement import plot_agreement\n"
        f"plot_agreement({str(tmp_path / 'a.png')!r}, [1], [0.5], [0.6])\n"
        "print('matplotlib.pyplot' in sys.modules)\n"
    )
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.stdout.strip() == "False", done.stderr
