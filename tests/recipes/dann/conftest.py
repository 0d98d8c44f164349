"""Corpora and settings of DANN's recipe."""

import pytest

from tests.recipes.dann_runs import make_folders, make_settings


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A folder for what the tests of a file share."""
    return tmp_path_factory.mktemp("dann")


@pytest.fixture(scope="session")
def folders(tmp_path_factory, mini_recola_folder):
    """Two small mini corpora."""
    return make_folders(tmp_path_factory, mini_recola_folder)


@pytest.fixture(scope="session")
def settings(tmp_path_factory, folders):
    """Tiny in all respects; the output folder is to be added."""
    return make_settings(tmp_path_factory, folders)
