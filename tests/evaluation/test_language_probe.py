"""The probe of languages, on clouds of points."""

import numpy as np
import pytest

from speechbrain_ser.evaluation.probing import language_probe


def blobs(n, m, distance, seed=0, dim=5):
    """Two languages, so far apart in the first dimension."""
    draw = np.random.default_rng(seed)
    embeddings = draw.normal(size=(n + m, dim))
    embeddings[n:, 0] += distance
    order = draw.permutation(n + m)
    return embeddings[order], np.array([0] * n + [1] * m)[order]


def test_probe_tells_what_can_be_told():
    """All of it, none, and in between what a half-way plane tells."""
    assert language_probe(*blobs(200, 200, 20)) == 1
    # each half is told by a probe of the other, so chance is chance
    assert language_probe(*blobs(500, 500, 0)) == pytest.approx(0.5, abs=0.05)
    # Phi(1), the best that there is
    told = language_probe(*blobs(1000, 1000, 2))
    assert told == pytest.approx(0.841, abs=0.02)
    # whatever the dimensions are measured in
    embeddings, languages = blobs(200, 200, 20)
    assert language_probe(embeddings * [1e-4, 9, 1, 1e4, 1], languages) == 1


def test_probe_does_not_learn_by_heart():
    """More numbers than utterances, and nothing in them."""
    told = language_probe(*blobs(60, 60, 0, dim=400))
    assert 0.3 < told < 0.7


def test_probe_of_unequal_sizes():
    """UA: both languages count the same, so saying one always is chance."""
    assert language_probe(*blobs(300, 30, 20)) == 1
    assert language_probe(*blobs(30, 300, 20)) == 1
    # of a probe that goes by numbers alone it is 0.5, though half can be told
    for sizes in ((1000, 100), (100, 1000)):
        told = language_probe(*blobs(*sizes, 2))
        assert told == pytest.approx(0.841, abs=0.04)


def test_probe_counts_by_language():
    """All of a few, half of many: three quarters, not 55 of a hundred."""
    draw = np.random.default_rng(0)
    embeddings = 0.01 * draw.normal(size=(1000, 2))
    embeddings[550:, 0] += 20
    languages = np.array([0] * 100 + [1] * 900)
    told = language_probe(embeddings, languages)
    assert told == pytest.approx(0.75, abs=0.02)


def test_probe_draws_no_more_than_so_many():
    """Of each language; the same ones in every run, others by another seed."""
    embeddings, languages = blobs(300, 200, 1.5)
    told = language_probe(embeddings, languages, size=50)
    assert told == language_probe(embeddings, languages, size=50)
    assert told * 100 == pytest.approx(round(told * 100))
    others = {
        language_probe(embeddings, languages, size=50, seed=seed)
        for seed in range(6)
    }
    assert len(others) > 1
    assert language_probe(embeddings, languages, size=300) == language_probe(
        embeddings, languages
    )


def test_probe_needs_two_of_each():
    """None, and no error, if there are fewer."""
    embeddings, languages = blobs(5, 1, 3)
    assert language_probe(embeddings, languages) is None
    assert language_probe(*blobs(5, 2, 30)) is not None
