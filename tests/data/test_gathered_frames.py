"""Frames for a k-means: all or a uniform sample, bounded in memory."""

import tracemalloc

import numpy as np
import pytest
import torch

from speechbrain_ser.data.gathered_frames import StreamedFrames
from speechbrain_ser.utils.errors import InputError
from tests.data.helpers import FITTED, LABELLED, Cache, all_frames, make_part


def test_gather_takes_all_that_fit():
    """In order, float32; also with a limit that is not reached."""
    expected = all_frames(LABELLED)
    for settings in ({}, {"max_frames": 51}, {"memory": 51 * 16 / 1e9}):
        cache = Cache()
        found = StreamedFrames(cache, LABELLED, show=False, **settings).gather()
        assert found.dtype == np.float32
        assert np.array_equal(found, expected)
        # the first says how wide frames are
        assert cache.reads[1:] == [e["seed"] for e in LABELLED.values()]


@pytest.mark.parametrize(
    "settings", [{"max_frames": 20}, {"memory": 20.5 * 16 / 1e9}]
)
def test_gather_samples_what_does_not_fit(settings):
    """As many as allowed, none twice, in order; the seed decides."""
    rows = {row.tobytes(): i for i, row in enumerate(all_frames(LABELLED))}
    assert len(rows) == 51
    found = [
        [
            rows[row.tobytes()]
            for row in StreamedFrames(
                Cache(), LABELLED, seed=seed, show=False, **settings
            ).gather()
        ]
        for seed in (0, 0, 1)
    ]
    assert len(found[0]) == 20
    assert found[0] == sorted(set(found[0]))
    assert found[0] == found[1] != found[2]


def test_sample_is_uniform():
    """Every frame is taken as often, within 4.5 deviations, and so are pairs.

    300 seeds; the last frame of an utterance and the first of the next are
    counted together, to see that utterances are not drawn as wholes.
    """
    part = make_part([7, 1, 12, 20])
    frames = all_frames(part)
    rows = {row.tobytes(): i for i, row in enumerate(frames)}
    taken = np.zeros((300, 40))
    for seed in range(300):
        sample = StreamedFrames(
            Cache(), part, max_frames=10, seed=seed, show=False
        ).gather()
        taken[seed, [rows[row.tobytes()] for row in sample]] = 1
    assert np.abs(taken.sum(axis=0) - 75).max() < 4.5 * (75 * 0.75) ** 0.5
    pairs = taken.T @ taken
    chance = 10 / 40 * 9 / 39
    off = pairs[np.triu_indices(40, 1)] - 300 * chance
    assert np.abs(off).max() < 4.5 * (300 * chance * (1 - chance)) ** 0.5


class Long:
    """200 million frames; each names its utterance and place."""

    reads = 0

    def count(self, entry):
        """Of 2000 such utterances."""
        return 100_000

    def read(self, entry):
        """Place in the corpus, in two numbers that float32 holds."""
        self.reads += 1
        place = torch.arange(100_000.0)
        return torch.stack([torch.full_like(place, entry["seed"]), place], 1)


def test_sampling_200_million_frames_is_bounded():
    """Memory of a few utterances; all of the corpus has a share."""
    part = make_part([100_000] * 2000)
    cache = Long()
    tracemalloc.start()
    found = StreamedFrames(cache, part, max_frames=200, show=False).gather()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6
    assert cache.reads <= 201
    places = found[:, 0].astype(np.int64) * 100_000 + found[:, 1]
    assert len(np.unique(places)) == 200
    assert (np.diff(places) > 0).all()
    # uniform: the largest gap to the line, Kolmogorov's bound at 1e-4
    line = (np.arange(200) + 0.5) / 200
    assert np.abs(places / 2e8 - line).max() < 2.23 / 200**0.5


def test_gather_refuses():
    """Nobody, NaN, and a file that changed; the utterance is named."""

    class Bad(Cache):
        """Its second utterance is not finite."""

        def read(self, entry):
            frames = super().read(entry)
            if entry["seed"] == 1:
                frames[2, 1] = np.nan
            return frames

    class Changed(Cache):
        """Its third utterance is shorter than counted."""

        def read(self, entry):
            return super().read(entry)[: 16 if entry["seed"] == 2 else None]

    with pytest.raises(InputError, match="no utterances"):
        StreamedFrames(Cache(), {}, show=False).gather()
    with pytest.raises(InputError, match="utterance u1 hold NaN or infinite"):
        StreamedFrames(Bad(), FITTED, show=False).gather()
    with pytest.raises(InputError, match="u2 had 17 frames and has 16 now"):
        StreamedFrames(Changed(), FITTED, show=False).gather()
