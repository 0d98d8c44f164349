"""Reports whose pictures take no time."""

import pytest

from tests import pictures


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch):
    """What pictures show is for tests/figures."""
    pictures.make_small(monkeypatch.setattr)
