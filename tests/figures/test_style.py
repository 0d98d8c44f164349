"""What all pictures share: looks, and no global state."""

import importlib
import os
import pkgutil
import sys

import numpy as np
import pytest
from matplotlib.image import imread

from speechbrain_ser import figures
from speechbrain_ser.figures.style import finish, line_look, new_figure
from tests import processes


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


def draw_without_pyplot(path):
    """Imports all pictures, draws one, and says whether pyplot is there."""
    for module in pkgutil.iter_modules(figures.__path__):
        importlib.import_module(f"{figures.__name__}.{module.name}")
    agreement = sys.modules["speechbrain_ser.figures.agreement"]
    agreement.plot_agreement(path, [1], [0.5], [0.6])
    print("matplotlib.pyplot" in sys.modules)


def test_pyplot_is_never_imported(tmp_path):
    """No display, no global state, no chosen backend; nor by the package."""
    done = processes.run(draw_without_pyplot, tmp_path / "a.png")
    assert done.stdout == "False\n", done.stderr
    assert (tmp_path / "a.png").exists()
