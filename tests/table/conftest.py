"""A made-up table for the tests of its pages."""

import pytest

from tests import pictures
from tests.table.made_up import made_up


@pytest.fixture
def table(tmp_path):
    """A made-up table whose first run has a folder with a figure."""
    made = made_up(str(tmp_path))
    figures = tmp_path / "runs" / "ba1" / "figures"
    figures.mkdir(parents=True)
    (figures / "confusion.png").write_bytes(b"")
    return made


@pytest.fixture
def small_pictures(monkeypatch):
    """Tables that are made here have pictures of one pixel."""
    pictures.make_small(monkeypatch.setattr)
