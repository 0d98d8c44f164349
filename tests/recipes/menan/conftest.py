"""Finished runs that the tests of MEnAN look at."""

import functools

import pytest

from speechbrain_ser.corpora.mini.iemocap import mini_iemocap
from tests.recipes.menan_runs import tiny, train_once


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """A folder for what the tests share."""
    return tmp_path_factory.mktemp("menan")


@pytest.fixture(scope="session")
def corpus(base):
    """A small mini corpus: 58 utterances of ten speakers."""
    return mini_iemocap(str(base), utterances_per_speaker=6)


@pytest.fixture(scope="session")
def settings(base, corpus):
    """Of MEnAN, tiny in all respects; the output folder is to be added."""
    return tiny(corpus, base / "features")


@pytest.fixture(scope="session")
def trained(base, settings):
    """A function that trains once with such settings; returns the folder.

    The folder is another test's too: what changes it, copies it.
    """
    return functools.partial(train_once, {}, base, settings)
