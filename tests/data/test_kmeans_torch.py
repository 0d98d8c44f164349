"""k-means in plain torch: that of scikit-learn, whatever the pieces."""

import numpy as np
import pytest
import torch
from sklearn.cluster import kmeans_plusplus

from speechbrain_ser.data import kmeans, kmeans_torch
from speechbrain_ser.data.gathered_frames import StreamedFrames
from speechbrain_ser.data.kmeans_torch import DeviceFrames, iterate, plus_plus
from speechbrain_ser.data.pseudo_labels import PseudoLabels
from speechbrain_ser.utils.errors import InputError
from tests.data.helpers import (
    FITTED,
    LABELLED,
    LEFT,
    Cache,
    all_frames,
    content,
    make,
    make_part,
)
from tests.data.test_kmeans import blobs, lloyd
from tests.references.gmp_atl import inertia


@pytest.fixture
def in_torch(monkeypatch):
    """Takes torch's way on the CPU, where today's is the default."""
    monkeypatch.setattr(kmeans, "placed", DeviceFrames)


def speechlike(n=3000, dim=12):
    """Frames around 40 centres, with silence: an eighth are the same."""
    true = 3.0 * np.random.default_rng(3).normal(size=(40, dim))
    frames = blobs(n, true, spread=1.0)
    frames[::8] = 0.0
    return frames


@pytest.mark.parametrize("iterations", [1, 4])
def test_fit_is_lloyds(iterations, in_torch):
    """From the same start, against plain float64 loops."""
    frames = np.random.default_rng(1).normal(size=(80, 3)).astype(np.float32)
    start = kmeans.first_centres(frames, 9, seed=5)
    found = kmeans.fit_centres(frames, 9, seed=5, iterations=iterations)
    assert found.dtype == np.float32
    expected = lloyd(frames, start, iterations)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("size", [1, 7, 60])
def test_fit_is_as_good_as_todays(size, monkeypatch):
    """The centres within rounding, the inertia to more than four digits."""
    frames = speechlike()
    before = kmeans.fit_centres(frames, size, seed=2)
    monkeypatch.setattr(kmeans, "placed", DeviceFrames)
    found = kmeans.fit_centres(frames, size, seed=2)
    np.testing.assert_allclose(found, before, rtol=0, atol=1e-4)
    assert inertia(frames[:500], found) == pytest.approx(
        inertia(frames[:500], before), rel=1e-5
    )
    other = kmeans.fit_centres(frames, size, seed=3)
    assert size == 1 or not np.allclose(np.sort(other), np.sort(found))


@pytest.mark.parametrize("size", [1, 2, 40])
def test_start_is_scikit_learns(size):
    """The same rows by the same draws, for several seeds."""
    frames = speechlike(400)
    _, distinct = np.unique(frames, axis=0, return_index=True)
    frames = frames[np.sort(distinct)]
    starts = set()
    for seed in range(5):
        _, expected = kmeans_plusplus(
            frames.astype(np.float64), size, random_state=seed
        )
        found = plus_plus(frames, size, seed, "cpu")
        assert found.tolist() == expected.tolist()
        starts.add(tuple(found))
    assert len(starts) > 1


def test_centre_without_frames_stays():
    """By hand: the first and the third are nobody's nearest."""
    frames = DeviceFrames(np.float32([[0], [1], [10]]), "cpu")
    centres = np.float32([[-50], [0.4], [100], [11]])
    assert iterate(frames, centres).tolist() == [[-50], [0.5], [100], [10]]
    # all frames at one centre
    centres = np.float32([[99], [98]])
    moved = iterate(frames, centres)
    np.testing.assert_allclose(moved, [[99], [11 / 3]], rtol=1e-6)


def test_first_of_equal_centres():
    """Whole numbers, so that the tie is exact; the second stays."""
    frames = DeviceFrames(np.float32([[1, 2], [3, 4]]), "cpu")
    centres = np.float32([[5, 5], [5, 5]])
    assert iterate(frames, centres).tolist() == [[2, 3], [5, 5]]


def test_as_many_centres_as_different_frames(in_torch):
    """Each frame is a centre, however often it occurs; one more is refused."""
    frames = np.float32([[i % 7, -(i % 7)] for i in range(30)])
    found = kmeans.fit_centres(frames, 7)
    assert sorted(found[:, 0].tolist()) == [0, 1, 2, 3, 4, 5, 6]
    assert inertia(frames, found) == 0
    with pytest.raises(InputError, match="8 centres, but only 7 of the 30"):
        kmeans.fit_centres(frames, 8)


def test_pieces_change_no_bit(monkeypatch):
    """Moved at once or a block at a time; held on the device too."""
    monkeypatch.setattr(kmeans_torch, "MOST_ROWS", 64)
    frames = speechlike(1000)
    start = kmeans.first_centres(frames, 30)
    ways = [
        DeviceFrames(frames, "cpu"),
        DeviceFrames(frames, "cpu", piece_bytes=1),
        DeviceFrames(frames, "cpu", piece_bytes=5 * 64 * 4 * 12),
    ]
    sizes = [[len(piece) for piece in way.pieces(64)] for way in ways]
    assert sizes[0] == [1000]
    assert sizes[1] == [64] * 15 + [40]
    assert sizes[2] == [320, 320, 320, 40]
    monkeypatch.setattr(kmeans_torch, "fits", lambda *args: True)
    ways.append(DeviceFrames(frames, "cpu", piece_bytes=1))
    assert ways[-1].held is not None and ways[0].held is None
    moved = [iterate(way, start).tobytes() for way in ways]
    assert len(set(moved)) == 1
    rows = np.array([999, 0, 500])
    for way in ways:
        assert np.array_equal(way.take(rows), frames[rows])


def test_block_changes_no_more_than_rounding(monkeypatch):
    """Blocks of another size, hence other products of matrices."""
    frames = DeviceFrames(speechlike(1000), "cpu")
    start = kmeans.first_centres(frames.frames, 30)
    once = iterate(frames, start)
    monkeypatch.setattr(kmeans_torch, "MOST_ROWS", 17)
    np.testing.assert_allclose(iterate(frames, start), once, atol=1e-6)


def test_same_bits_again_and_tf32_stays(in_torch):
    """A second fit gives the same bits; the precision is what it was."""
    frames = speechlike(1000)
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("high")
        first = kmeans.fit_centres(frames, 20, seed=4)
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)
    assert np.array_equal(first, kmeans.fit_centres(frames, 20, seed=4))


def test_which_device_takes_which_way(monkeypatch):
    """CUDA takes torch's; a CPU today's, and gathers what is streamed."""
    made = []
    monkeypatch.setattr(
        kmeans, "DeviceFrames", lambda *args: made.append(args) or "on it"
    )
    frames = speechlike(20)
    assert kmeans.placed(frames, "cpu") is frames
    assert kmeans.placed(frames, torch.device("cpu")) is frames
    stream = StreamedFrames(Cache(), FITTED, show=False)
    assert np.array_equal(kmeans.placed(stream, "cpu"), all_frames(FITTED))
    assert made == []
    assert kmeans.placed(stream, "cuda:1") == "on it"
    assert made == [(stream, "cuda:1")]


# Frames streamed from a cache


@pytest.mark.parametrize("settings", [{}, {"max_frames": 20}])
def test_streamed_frames_are_those_gathered(settings):
    """In order, in pieces across utterances; some rows in any order."""
    gathered = StreamedFrames(
        Cache(), LABELLED, show=False, **settings
    ).gather()
    stream = StreamedFrames(Cache(), LABELLED, show=False, **settings)
    assert len(stream) == len(gathered) and stream.channels == 4
    for rows in (1, 6, 17, 1000):
        pieces = [*stream.pieces(rows)]
        assert np.array_equal(np.concatenate(pieces), gathered)
        assert {len(piece) for piece in pieces[:-1]} <= {rows}
        assert 1 <= len(pieces[-1]) <= rows
    rows = np.array([11, 3, 19, 0])
    assert np.array_equal(stream.take(rows), gathered[rows])


def test_streaming_holds_a_piece(monkeypatch):
    """Of 40 utterances no more than two are in memory at once."""
    cache = Cache()
    part = make_part([30] * 40)
    stream = DeviceFrames(
        StreamedFrames(cache, part, show=False), "cpu", piece_bytes=1
    )
    monkeypatch.setattr(kmeans_torch, "MOST_ROWS", 8)
    start = stream.take(np.arange(5))
    assert np.array_equal(
        iterate(stream, start),
        iterate(DeviceFrames(all_frames(part), "cpu"), start),
    )
    assert cache.most <= 2
    # the width, some rows, and one pass
    assert len(cache.reads) == 1 + 1 + 40


def test_pseudo_labels_are_the_same(tmp_path, in_torch, monkeypatch):
    """Streamed, in torch, and killed in between: files as on a CPU."""
    make(tmp_path / "torch")
    step = kmeans.iterate
    calls = []

    def killed(*args):
        """Dies at the third iteration."""
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return step(*args)

    monkeypatch.setattr(kmeans, "iterate", killed)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "killed")
    make(tmp_path / "killed")
    assert content(tmp_path / "killed") == content(tmp_path / "torch")
    monkeypatch.undo()
    make(tmp_path / "today")
    assert sorted(content(tmp_path / "today")) == LEFT
    found, today = (
        PseudoLabels(tmp_path / name) for name in ("torch", "today")
    )
    for size, centres in today.centres().items():
        np.testing.assert_allclose(
            found.centres()[size], centres, rtol=0, atol=1e-6
        )
    for key in LABELLED:
        assert found.read(key).tolist() == today.read(key).tolist()
