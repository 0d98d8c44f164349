"""k-means: exact, seeded, the same bits with any number of threads."""

import tracemalloc

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from speechbrain_ser.data import kmeans
from speechbrain_ser.data.kmeans import assign, first_centres, fit_centres
from speechbrain_ser.utils.errors import InputError
from tests import processes
from tests.data.helpers import bits, print_bits
from tests.references.gmp_atl import inertia, nearest_centres


def blobs(n, centres, seed=0, spread=0.3):
    """Frames around centres, float32."""
    generator = np.random.default_rng(seed)
    chosen = centres[generator.integers(len(centres), size=n)]
    noise = spread * generator.normal(size=chosen.shape)
    return (chosen + noise).astype(np.float32)


def lloyd(frames, centres, iterations):
    """Lloyd's algorithm in plain float64 loops."""
    frames = frames.astype(np.float64)
    centres = centres.astype(np.float64)
    for _ in range(iterations):
        labels = nearest_centres(frames, centres)
        moved = centres.copy()
        for k in range(len(centres)):
            own = [frame for frame, label in zip(frames, labels) if label == k]
            if own:
                moved[k] = sum(own) / len(own)
        centres = moved
    return centres


@pytest.mark.parametrize("iterations", [1, 4])
def test_fit_is_lloyds(iterations):
    """From the same start, after one iteration and after four."""
    frames = np.random.default_rng(1).normal(size=(80, 3)).astype(np.float32)
    start = first_centres(frames, 9, seed=5)
    assert len(np.unique(start, axis=0)) == 9
    assert {row.tobytes() for row in start} <= {r.tobytes() for r in frames}
    found = fit_centres(frames, 9, seed=5, iterations=iterations)
    assert found.dtype == np.float32
    expected = lloyd(frames, start, iterations)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)
    assert inertia(frames, found) < inertia(frames, start)


def test_centre_without_frames_stays():
    """By hand: the second one is nobody's nearest."""
    frames = np.float32([[0], [1], [10]])
    centres = np.float32([[0.4], [100], [11]])
    moved = kmeans.iterate(frames, centres)
    assert moved.tolist() == [[0.5], [100], [10]]


def test_clear_clusters_are_found():
    """Their means, whatever the seed; the frames may be of double precision."""
    true = 20.0 * np.random.default_rng(0).normal(size=(12, 5))
    frames = blobs(600, true)
    groups = nearest_centres(frames, true)
    means = np.stack([frames[groups == k].mean(axis=0) for k in range(12)])
    for seed in range(3):
        found = fit_centres(frames.astype(np.float64), 12, seed=seed)
        assert found.dtype == np.float32
        order = nearest_centres(means, found)
        np.testing.assert_allclose(found[order], means, atol=1e-4)


def test_as_many_centres_as_different_frames():
    """Each frame is a centre, however often it occurs."""
    frames = np.float32([[i % 7, -(i % 7)] for i in range(30)])
    found = fit_centres(frames, 7)
    assert sorted(found[:, 0].tolist()) == [0, 1, 2, 3, 4, 5, 6]
    assert inertia(frames, found) == 0


def test_fit_ends_when_nothing_moves(monkeypatch):
    """Far before a thousand iterations, at the same centres."""
    calls = []
    iterate = kmeans.iterate
    monkeypatch.setattr(
        kmeans,
        "iterate",
        lambda *args: calls.append(1) or iterate(*args),
    )
    frames = np.random.default_rng(1).normal(size=(60, 2)).astype(np.float32)
    found = fit_centres(frames, 5, iterations=1000)
    needed = len(calls)
    assert 2 < needed < 60
    assert np.array_equal(iterate(frames, found), found)
    again = fit_centres(frames, 5, iterations=needed)
    assert np.array_equal(found, again)


def test_fit_makes_no_copy_of_the_frames():
    """NumPy's memory stays below half of them."""
    frames = np.random.default_rng(0).random((100_000, 100), dtype=np.float32)
    tracemalloc.start()
    fit_centres(frames, 3, iterations=2)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < frames.nbytes / 2


def test_start_sees_different_frames(monkeypatch):
    """Most frames are one silence; k-means++ still gets enough others."""
    monkeypatch.setattr(kmeans, "START_FRAMES", 20)
    frames = np.zeros((5000, 2), dtype=np.float32)
    frames[::2] = -0.0
    frames[100:110, 0] = np.arange(1, 11)
    start = first_centres(frames, 11)
    assert sorted(start[:, 0].tolist()) == list(range(11))
    with pytest.raises(InputError, match="12 centres, but only 11 of the 5000"):
        first_centres(frames, 12)


def test_fit_refuses():
    """Too few frames with both numbers, and what is not finite."""
    frames = np.ones((1234, 2), dtype=np.float32)
    with pytest.raises(
        InputError,
        match="--clusters asks for 4096 centres, but there are only 1234 frame",
    ):
        fit_centres(frames, 4096)
    with pytest.raises(InputError, match="2 centres, but only 1 of the 1234"):
        fit_centres(frames, 2)
    for bad in (np.nan, np.inf, -np.inf):
        frames[700, 1] = bad
        with pytest.raises(InputError, match="NaN or infinite"):
            fit_centres(frames, 1)


def test_same_bits_in_processes_with_any_threads():
    """Here and in a process with four threads; another seed differs."""
    there = processes.run(print_bits, 0, 4)
    with threadpool_limits(1):
        assert f"{bits(0)}\n" == there.stdout, there.stderr
        assert f"{bits(1)}\n" != there.stdout


def test_assign_is_the_nearest():
    """Against loops, two scales of uneven sizes; alone and together."""
    generator = np.random.default_rng(2)
    frames = generator.normal(size=(60, 6)).astype(np.float32)
    centres = {
        size: generator.normal(size=(size, 6)).astype(np.float32)
        for size in (21, 4)
    }
    found = assign(frames, centres)
    assert found.dtype == np.uint16 and found.shape == (60, 2)
    for scale, held in enumerate(centres.values()):
        assert (
            found[:, scale].tolist() == nearest_centres(frames, held).tolist()
        )
    alone = [assign(frames[i : i + 1], centres)[0] for i in range(60)]
    assert np.array_equal(found, alone)


def test_assign_is_exact_far_from_the_origin():
    """Where single precision can't tell the centres from one another."""
    frames = np.float32([[1000.0, 0.5], [1000.0, 0.1], [1000.0, 0.9]])
    centres = {3: np.float32([[1000, 0.51], [1000, 0.09], [1000, 0.89]])}
    assert assign(frames, centres)[:, 0].tolist() == [0, 1, 2]


def test_first_of_equal_centres():
    """Whole numbers, so that ties are exact; alone and among many."""
    generator = np.random.default_rng(0)
    centres = generator.integers(-4, 5, size=(700, 2)).astype(np.float32)
    frames = generator.integers(-9, 10, size=(3000, 2)).astype(np.float32)
    distances = ((frames[:, None] - centres) ** 2).sum(axis=2)
    ties = (distances == distances.min(axis=1, keepdims=True)).sum(axis=1)
    assert ties.min() > 1
    expected = distances.argmin(axis=1)
    assert np.array_equal(assign(frames, {700: centres})[:, 0], expected)
    for i in range(20):
        alone = assign(frames[i : i + 1], {700: centres})
        assert alone[0, 0] == expected[i]


def test_labels_have_two_bytes():
    """The last centre that fits is found, one more is refused."""
    centres = np.arange(2**16, dtype=np.float32)[:, None]
    labels = assign(centres[-2:], {2**16: centres})
    assert labels[:, 0].tolist() == [65534, 65535]
    with pytest.raises(InputError, match="65537.*from 1 to 65536"):
        assign(centres, {2**16 + 1: np.zeros((2**16 + 1, 1), np.float32)})
