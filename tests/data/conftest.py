"""Pseudo-labels that several tests look at."""

import pytest

from tests.data.helpers import make


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder that was never stopped."""
    folder = tmp_path_factory.mktemp("whole")
    make(folder)
    return folder
