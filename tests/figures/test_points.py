"""All markers are of one size."""

import math

import numpy as np
import pytest

from speechbrain_ser.figures.points import shape
from speechbrain_ser.figures.style import MARKERS


def test_all_markers_are_of_one_area():
    """No class looks rarer because its marker is small."""
    side = np.linspace(-1, 1, 401)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    for marker in MARKERS:
        outline = shape(marker)
        area = 4 * outline.contains_points(grid).mean()
        assert area == pytest.approx(math.pi / 4, rel=0.02), marker
