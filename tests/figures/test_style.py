"""What all pictures share: looks, and no global state."""

import os
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.image import imread

from speechbrain_ser.figures.style import finish, line_look, new_figure


def test_lines_look_different():
    """As many as eight classes have pairs."""
    assert len({str(line_look(index)) for index in range(28)}) == 28


def test_a_picture_is_written_whole_or_not_at_all(tmp_path):
    """In a new folder, 150 pixels an inch, nothing beside it."""
    path = tmp_path / "new folder" / "picture.png"
    figure = new_figure(2, 1)
    figure.subplots().plot([1, 3, 2])
    assert finish(figure, path, "$1 {") == path
    assert os.listdir(path.parent) == ["picture.png"]
    picture = imread(path)
    assert picture.shape[:2] == (150, 300)
    assert len(np.unique(picture)) > 50
    written = path.read_bytes()
    figure.axes[0].set_title(r"$\no{$")  # can't be drawn
    with pytest.raises(ValueError):
        finish(figure, path, "")
    assert path.read_bytes() == written
    assert os.listdir(path.parent) == ["picture.png"]


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
