"""Pseudo-labels: exact, seeded, aligned, bounded in memory, killed anywhere."""

import errno
import json
import os
import pickle
import subprocess
import sys
import tracemalloc
import weakref

import numpy as np
import pytest
import safetensors.numpy
import torch
from threadpoolctl import threadpool_limits

from speechbrain_ser.data import pseudo_labels
from speechbrain_ser.data.frame_cache import FrameCache
from speechbrain_ser.data.pseudo_labels import (
    PseudoLabels,
    assign,
    first_centres,
    fit_centres,
    gather_frames,
    make_pseudo_labels,
)
from speechbrain_ser.lobes.ssl import SSLEncoder
from speechbrain_ser.utils import files
from speechbrain_ser.utils.errors import InputError
from tests.references.gmp_atl import inertia, nearest_centres

SIZES = [3, 8]
LEFT = ["centres.safetensors", "labels.json", "labels.npy"]


class Cache:
    """Frames made of an entry's numbers; counts what is read and still held."""

    def __init__(self, channels=4):
        self.channels = channels
        self.reads = []
        self.alive = []
        self.most = 0

    def read(self, entry):
        """Half precision, as the frame cache gives."""
        self.reads.append(entry["seed"])
        generator = torch.Generator().manual_seed(entry["seed"])
        shape = (entry["n"], self.channels)
        frames = torch.randn(shape, generator=generator).half()
        self.alive = [ref for ref in self.alive if ref() is not None]
        self.alive.append(weakref.ref(frames))
        self.most = max(self.most, len(self.alive))
        return frames

    def count(self, entry):
        """The number of frames."""
        return entry["n"]


def make_part(counts, first=0):
    """An annotation of utterances of so many frames."""
    return {
        f"u{first + i}": {"n": n, "seed": first + i}
        for i, n in enumerate(counts)
    }


FITTED = make_part([9, 4, 17, 1, 12])
LABELLED = make_part([5, 3], first=5) | FITTED


def blobs(n, centres, seed=0, spread=0.3):
    """Frames around centres, float32."""
    generator = np.random.default_rng(seed)
    chosen = centres[generator.integers(len(centres), size=n)]
    noise = spread * generator.normal(size=chosen.shape)
    return (chosen + noise).astype(np.float32)


def make(folder, cache=None, **changed):
    """Makes small pseudo-labels."""
    settings = {
        "fitted": FITTED,
        "labelled": LABELLED,
        "sizes": SIZES,
        "seed": 3,
        "about": {"layer": -3, "encoder": "small"},
        "show": False,
        **changed,
    }
    make_pseudo_labels(folder, cache or Cache(), **settings)


def content(folder):
    """Name to bytes of all that lies in a folder and below."""
    return {
        os.path.relpath(os.path.join(place, name), folder): open(
            os.path.join(place, name), "rb"
        ).read()
        for place, _, names in os.walk(folder)
        for name in names
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder that was never stopped."""
    folder = tmp_path_factory.mktemp("whole")
    make(folder)
    return folder


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
    moved = pseudo_labels._iterate(frames, centres)
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
    iterate = pseudo_labels._iterate
    monkeypatch.setattr(
        pseudo_labels,
        "_iterate",
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
    monkeypatch.setattr(pseudo_labels, "START_FRAMES", 20)
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


BITS = """
import hashlib, numpy as np
from speechbrain_ser.data.pseudo_labels import assign, fit_centres

def bits(seed):
    frames = np.random.default_rng(0).normal(size=(4000, 16)).astype(np.float32)
    centres = fit_centres(frames, 100, seed=seed, iterations=5)
    held = centres.tobytes() + assign(frames, {100: centres}).tobytes()
    return hashlib.sha256(held).hexdigest()
"""


def test_same_bits_in_processes_with_any_threads():
    """Here and in a process with four threads; another seed differs."""
    run = subprocess.run(
        [sys.executable, "-c", f"{BITS}\nprint(bits(0))"],
        env=os.environ | {"OMP_NUM_THREADS": "4", "OMP_WAIT_POLICY": "passive"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    names = {}
    exec(BITS, names)
    with threadpool_limits(1):
        assert names["bits"](0) == run.stdout.strip()
        assert names["bits"](1) != run.stdout.strip()


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


def all_frames(part, channels=4):
    """What the fake cache has, in order."""
    cache = Cache(channels)
    return torch.cat([cache.read(e) for e in part.values()]).float().numpy()


def test_gather_takes_all_that_fit():
    """In order, float32; also with a limit that is not reached."""
    expected = all_frames(LABELLED)
    for settings in ({}, {"max_frames": 51}, {"memory": 51 * 16 / 1e9}):
        cache = Cache()
        found = gather_frames(cache, LABELLED, show=False, **settings)
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
            for row in gather_frames(
                Cache(), LABELLED, seed=seed, show=False, **settings
            )
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
        sample = gather_frames(
            Cache(), part, max_frames=10, seed=seed, show=False
        )
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
    found = gather_frames(cache, part, max_frames=200, show=False)
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
        gather_frames(Cache(), {}, show=False)
    with pytest.raises(InputError, match="utterance u1 hold NaN or infinite"):
        gather_frames(Bad(), FITTED, show=False)
    with pytest.raises(InputError, match="u2 had 17 frames and has 16 now"):
        gather_frames(Changed(), FITTED, show=False)


def test_what_lies_in_the_folder(whole):
    """Files that need none of our code, and nothing else."""
    assert sorted(os.listdir(whole)) == LEFT
    labels = np.load(whole / "labels.npy", mmap_mode="r", allow_pickle=False)
    assert labels.dtype == np.uint16 and labels.shape == (51, 2)
    centres = safetensors.numpy.load_file(whole / "centres.safetensors")
    assert {name: held.shape for name, held in centres.items()} == {
        "3": (3, 4),
        "8": (8, 4),
    }
    made = json.loads((whole / "labels.json").read_text())
    assert made["sizes"] == SIZES
    assert made["seed"] == 3
    assert made["about"] == {"layer": -3, "encoder": "small"}
    assert made["frames_fitted"] == 43
    begin = 0
    for key, entry in LABELLED.items():
        assert made["utterances"][key] == [begin, entry["n"]]
        frames = Cache().read(entry).float().numpy()
        for scale, size in enumerate(SIZES):
            assert (
                labels[begin : begin + entry["n"], scale].tolist()
                == nearest_centres(frames, centres[str(size)]).tolist()
            )
        begin += entry["n"]
    assert begin == 51


def test_centres_come_from_the_fitted_alone(whole, tmp_path):
    """They are those of `fit_centres` whatever else is labelled."""
    held = PseudoLabels(whole).centres()
    frames = all_frames(FITTED)
    assert list(held) == SIZES
    for size in SIZES:
        assert np.array_equal(held[size], fit_centres(frames, size, seed=3))
    make(tmp_path, labelled=FITTED)
    for size, found in PseudoLabels(tmp_path).centres().items():
        assert np.array_equal(found, held[size])
    make(tmp_path / "sample", max_frames=30)
    sample = gather_frames(Cache(), FITTED, 30, seed=3, show=False)
    labels = PseudoLabels(tmp_path / "sample")
    assert labels.frames_fitted == 30
    assert np.array_equal(labels.centres()[8], fit_centres(sample, 8, seed=3))


def test_each_utterance_is_read_twice_and_not_kept(tmp_path, monkeypatch):
    """Once for all scales and once for labels; what was gathered is gone."""
    cache = Cache()
    gathered = []

    def gather(*args):
        """Keeps no more than a weak reference."""
        frames = gather_frames(*args)
        gathered.append(weakref.ref(frames))
        return frames

    def read(entry, read=cache.read):
        """Looks whether the gathered frames are still held."""
        if gathered:
            assert gathered[0]() is None
        return read(entry)

    monkeypatch.setattr(pseudo_labels, "gather_frames", gather)
    monkeypatch.setattr(cache, "read", read)
    make(tmp_path, cache)
    assert len(gathered) == 1
    first = [entry["seed"] for entry in FITTED.values()]
    then = [entry["seed"] for entry in LABELLED.values()]
    assert cache.reads == [first[0], *first, *then]
    assert cache.most <= 2


class Killed(BaseException):
    """Nothing catches it."""


def kill_at(monkeypatch, n):
    """Raises at the n-th of: a read, an iteration, a file's write or rename.

    Files are killed before they are written, before they are renamed and after.

    Returns
    -------
    callable
        Gives how many there were.
    """
    seen = []

    def event():
        """Counts."""
        seen.append(1)
        if len(seen) == n:
            raise Killed

    def before(function):
        """Kills before a function."""
        return lambda *args, **kwargs: (event(), function(*args, **kwargs))[1]

    def after(function):
        """Kills after a function."""
        return lambda *args, **kwargs: (function(*args, **kwargs), event())[0]

    monkeypatch.setattr(Cache, "read", before(Cache.read))
    replace = after(before(os.replace))
    monkeypatch.setattr(files.os, "replace", replace)
    for name in ("_iterate", "_write_tensors", "write_json", "_file_digest"):
        monkeypatch.setattr(
            pseudo_labels, name, before(getattr(pseudo_labels, name))
        )
    monkeypatch.setattr(
        pseudo_labels.shutil, "rmtree", before(pseudo_labels.shutil.rmtree)
    )
    return lambda: len(seen)


def test_killed_anywhere_and_called_again(tmp_path, whole, monkeypatch):
    """At every event once; then the same bits, and nothing left behind."""
    monkeypatch.setattr(pseudo_labels, "ITERATIONS", 3)
    make(tmp_path / "never")
    expected = content(tmp_path / "never")
    assert sorted(expected) == LEFT
    with monkeypatch.context() as patched:
        count = kill_at(patched, 0)
        make(tmp_path / "counted")
    assert count() > 50
    for n in range(1, count() + 1):
        folder = tmp_path / str(n)
        with monkeypatch.context() as patched:
            kill_at(patched, n)
            with pytest.raises(Killed):
                make(folder)
        if not (folder / "labels.json").exists():
            with pytest.raises(
                InputError, match="not finished|no pseudo-lab|missing"
            ):
                PseudoLabels(folder)
        make(folder)
        assert content(folder) == expected


def test_killed_again_and_again_it_gets_there(tmp_path, monkeypatch):
    """A life of 30 events each time, but it goes on."""
    monkeypatch.setattr(pseudo_labels, "ITERATIONS", 6)
    make(tmp_path / "never")
    folder = tmp_path / "killed"
    lives = 0
    while not (folder / "labels.json").exists():
        lives += 1
        assert lives < 30
        with monkeypatch.context() as patched:
            kill_at(patched, 30)
            try:
                make(folder)
            except Killed:
                pass
    assert lives > 2
    make(folder)
    assert content(folder) == content(tmp_path / "never")


def test_what_is_done_is_not_done_again(tmp_path, monkeypatch):
    """Killed in the last scale: its iterations go on. Then: no features."""
    calls = []
    iterate = pseudo_labels._iterate

    def note(frames, centres):
        """Kills before the second scale's third iteration."""
        if [size for size in calls if size == 8] == [8, 8]:
            raise Killed
        calls.append(len(centres))
        return iterate(frames, centres)

    with monkeypatch.context() as patched:
        patched.setattr(pseudo_labels, "_iterate", note)
        with pytest.raises(Killed):
            make(tmp_path)
    of_three = calls.count(3)
    assert of_three > 1
    more = []
    with monkeypatch.context() as patched:
        patched.setattr(
            pseudo_labels,
            "_iterate",
            lambda *args: more.append(len(args[1])) or iterate(*args),
        )
        patched.setattr(pseudo_labels, "assign", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            make(tmp_path)
    assert set(more) == {8}
    reference = []
    monkeypatch.setattr(
        pseudo_labels,
        "_iterate",
        lambda *args: reference.append(len(args[1])) or iterate(*args),
    )
    make(tmp_path / "never")
    assert reference.count(8) == 2 + len(more)
    cache = Cache()
    make(tmp_path, cache)
    assert len(cache.reads) == len(LABELLED)
    assert content(tmp_path).keys() - {f"never/{n}" for n in LEFT} == {*LEFT}
    for name in LEFT:
        assert (tmp_path / name).read_bytes() == (
            tmp_path / "never" / name
        ).read_bytes()


@pytest.mark.parametrize("left", [0, 5, 127, 128, 129, 131, 150, 331, "text"])
def test_labels_written_in_part(left, tmp_path, whole, monkeypatch):
    """Cut in the header, between and within utterances; or no labels."""
    monkeypatch.setattr(pseudo_labels.os, "replace", no_labels(os.replace))
    with pytest.raises(Killed):
        make(tmp_path)
    monkeypatch.undo()
    path = tmp_path / "unfinished" / "labels.npy"
    there = path.read_bytes()
    assert there == (whole / "labels.npy").read_bytes()
    assert len(there) == 128 + 51 * 4
    cut = b"x" * 140 if left == "text" else there[:left]
    path.write_bytes(cut)
    cache = Cache()
    make(tmp_path, cache)
    assert content(tmp_path) == content(whole)
    ends = np.cumsum([e["n"] for e in LABELLED.values()])
    kept = 0 if left == "text" else sum(128 + 4 * ends <= left)
    assert len(cache.reads) == len(LABELLED) - kept


def no_labels(replace):
    """Renames anything but the labels."""

    def rename(source, target):
        """Kills."""
        if str(target).endswith("labels.npy"):
            raise Killed
        replace(source, target)

    return rename


def test_damaged_state_is_made_again(tmp_path, whole, monkeypatch):
    """Centres cut at any place, as a power cut may leave them."""
    with monkeypatch.context() as patched:
        patched.setattr(pseudo_labels, "assign", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            make(tmp_path)
    path = tmp_path / "unfinished" / "centres-8.safetensors"
    held = path.read_bytes()
    for left in (0, 7, 60, len(held) - 1):
        path.write_bytes(held[:left])
        with monkeypatch.context() as patched:
            patched.setattr(pseudo_labels, "assign", lambda *args: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                make(tmp_path)
        assert path.read_bytes() == held
    make(tmp_path)
    assert content(tmp_path) == content(whole)


KILLED = """
import json, os, signal, sys
from speechbrain_ser.utils import files
from speechbrain_ser.data import pseudo_labels
from tests.data.test_pseudo_labels import make

folder, points = sys.argv[1], json.loads(sys.argv[2])
replace = os.replace
for point in points:
    if os.fork():
        os.wait()
        continue
    renamed, labelled = [], []
    def die(source, target):
        renamed.append(1)
        if len(renamed) == point:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)
    def die_in(*args, assign=pseudo_labels.assign):
        labelled.append(1)
        if len(labelled) == -point:
            os.kill(os.getpid(), signal.SIGKILL)
        return assign(*args)
    files.os.replace = die
    pseudo_labels.assign = die_in
    make(os.path.join(folder, str(point)))
    os._exit(0)
"""


def test_sigkill(tmp_path_factory, tmp_path, whole, monkeypatch):
    """Before a file is renamed, among them the last five, and within the labels.

    The system kills; then there are temporary files, which go in the end.
    """
    renamed = []
    replace = os.replace
    with monkeypatch.context() as patched:
        patched.setattr(
            files.os, "replace", lambda *args: renamed.append(replace(*args))
        )
        make(tmp_path_factory.mktemp("counted"))
    n = len(renamed)
    points = [1, 2, 5, n - 4, n - 3, n - 2, n - 1, n, -1, -4, -7]
    subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), json.dumps(points)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=True,
    )
    assert len(os.listdir(tmp_path)) == len(points)
    for point in points:
        folder = tmp_path / str(point)
        assert not (folder / "labels.json").exists()
        if point in (1, 2, 5):
            assert any("/." in name for name in content(folder))
        make(folder)
        assert content(folder) == content(whole)


def last_kills(path, value):
    """Writes JSON, but not the labels'."""
    if path.endswith("labels.json"):
        raise Killed
    files.write_json(path, value)


def test_other_settings_begin_anew(tmp_path, monkeypatch):
    """What was begun with others, or for other frames, is not gone on with."""
    longer = {key: dict(entry) for key, entry in LABELLED.items()}
    longer["u6"]["n"] += 1
    for i, changed in enumerate(
        (
            {"seed": 4},
            {"sizes": [8, 3]},
            {"fitted": make_part([9, 4, 17, 1])},
            {"about": {"layer": -4}},
            {"max_frames": 40},
            {"labelled": longer},
        )
    ):
        folder = tmp_path / str(i)
        with monkeypatch.context() as patched:
            patched.setattr(pseudo_labels, "write_json", last_kills)
            with pytest.raises(Killed):
                make(folder)
        assert len(os.listdir(folder)) == 3
        make(folder, **changed)
        make(tmp_path / f"new{i}", **changed)
        assert content(folder) == content(tmp_path / f"new{i}")


def test_whole_folder_is_left_as_it_is(tmp_path):
    """Nothing is read or written; other files stay; others are refused."""
    (tmp_path / "mine.txt").write_text("mine")
    make(tmp_path)
    before = {
        name: os.stat(tmp_path / name).st_mtime_ns
        for name in os.listdir(tmp_path)
    }
    assert sorted(before) == [*LEFT, "mine.txt"]
    (tmp_path / "unfinished").mkdir()
    cache = Cache()
    cache.count = cache.read = None
    make(tmp_path, cache)
    assert before == {
        name: os.stat(tmp_path / name).st_mtime_ns
        for name in os.listdir(tmp_path)
    }
    with pytest.raises(InputError, match="made with seed 3, now it is 4: give"):
        make(tmp_path, cache, seed=4)
    with pytest.raises(InputError, match=r"sizes \[3, 8\], now it is \[3\]"):
        make(tmp_path, cache, sizes=[3])
    with pytest.raises(
        InputError, match="labelled 7 utterances.* now it is 5 utt"
    ):
        make(tmp_path, cache, labelled=FITTED)


def test_disk_full_is_said(tmp_path, whole, monkeypatch):
    """In a sentence; then it goes on."""

    def full(*args):
        """Stands in for os.replace."""
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(files.os, "replace", full)
        with pytest.raises(InputError, match="No space left.*goes on"):
            make(tmp_path)
    make(tmp_path)
    assert content(tmp_path) == content(whole)


@pytest.mark.parametrize(
    "sizes", [[0], [-3], [65537], [2.5], ["8"], [True, 2.0], [], [4, 4]]
)
def test_scales_that_cannot_be(sizes, tmp_path):
    """Before anything is read."""
    cache = Cache()
    cache.count = cache.read = None
    with pytest.raises(InputError, match="--clusters"):
        make(tmp_path, cache, sizes=sizes)


def test_more_centres_than_frames(tmp_path):
    """Said before the first scale is fitted."""
    with pytest.raises(InputError, match="44 centres, .* only 43 frames"):
        make(tmp_path, sizes=[3, 44])
    assert not list((tmp_path / "unfinished").glob("centres*"))


def test_read_back_is_what_was_written(whole):
    """Each utterance's rows, as whole numbers."""
    labels = PseudoLabels(str(whole))
    written = np.load(whole / "labels.npy")
    assert labels.sizes == SIZES
    assert list(labels.ids) == list(LABELLED)
    begin = 0
    for key, entry in LABELLED.items():
        found = labels.read(key)
        assert found.dtype == torch.int64
        assert labels.count(key) == len(found) == entry["n"]
        assert found.tolist() == written[begin : begin + len(found)].tolist()
        begin += len(found)
    assert len(np.unique(written[:, 1])) == 8
    with pytest.raises(InputError, match="none of the utterance u99"):
        labels.read("u99")
    with pytest.raises(InputError, match="none of the utterance u99"):
        labels.count("u99")


class Read(torch.utils.data.Dataset):
    """Reads pseudo-labels in worker processes."""

    def __init__(self, labels):
        self.labels, self.keys = labels, list(labels.ids)

    def __len__(self):
        return len(self.keys)

    def __getitem__(self, index):
        return self.labels.read(self.keys[index])


def test_workers_read(tmp_path):
    """Also after the map was opened; labels are not sent to a worker."""
    part = make_part([2000, 900, 1500])
    make(tmp_path, fitted=part, labelled=part)
    labels = PseudoLabels(tmp_path)
    expected = [labels.read(key) for key in part]
    sent = pickle.dumps(labels)
    assert len(sent) < 2000
    again = pickle.loads(sent)
    assert again.ids == labels.ids
    loader = torch.utils.data.DataLoader(
        Read(labels), batch_size=None, num_workers=2
    )
    found = list(loader)
    assert len(found) == 3
    for key, held, right in zip(part, found, expected):
        assert torch.equal(held, right)
        assert torch.equal(again.read(key), right)


def test_check(whole):
    """The same passes; what differs or is not known is named."""
    labels = PseudoLabels(whole)
    labels.check(layer=-3, encoder="small")
    with pytest.raises(
        InputError,
        match=f"pseudo-labels in {whole} were made from layer -3, "
        "this run has layer -5: ",
    ):
        labels.check(encoder="small", layer=-5)
    with pytest.raises(InputError, match="which rate they are, .* rate 16000"):
        labels.check(rate=16000)


@pytest.fixture
def copied(whole, tmp_path):
    """A whole folder to damage."""
    for name, held in content(whole).items():
        (tmp_path / name).write_bytes(held)
    return tmp_path


def test_not_there(tmp_path):
    """No folder, an empty one, one that was begun."""
    with pytest.raises(InputError, match="folder .*gone is missing"):
        PseudoLabels(tmp_path / "gone")
    with pytest.raises(InputError, match="no pseudo-labels in"):
        PseudoLabels(tmp_path)
    with pytest.raises(InputError, match="44 centres"):
        make(tmp_path, sizes=[44])
    with pytest.raises(InputError, match="not finished: start again"):
        PseudoLabels(tmp_path)


@pytest.mark.parametrize("name", LEFT)
@pytest.mark.parametrize("how", ["empty", "cut", "changed", "missing"])
def test_damaged(copied, name, how):
    """Each file in each way: the file and the mend are named."""
    path = copied / name
    held = path.read_bytes()
    if how == "missing":
        path.unlink()
        match = "no pseudo-labels in" if name == "labels.json" else name
    else:
        middle = len(held) // 2
        changed = bytes([held[-9] ^ 1])
        path.write_bytes(
            {
                "empty": b"",
                "cut": held[:middle],
                "changed": held[:-9] + changed + held[-8:],
            }[how]
        )
        match = f"{name} is damaged or missing: delete .*labels.json"
    if (name, how) == ("labels.json", "changed"):
        path.write_text(held.decode().replace('"sizes"', '"size"'))
    with pytest.raises(InputError, match=match):
        PseudoLabels(copied)


def test_files_that_go_later(copied):
    """After they were looked at."""
    labels = PseudoLabels(copied)
    (copied / "labels.npy").unlink()
    (copied / "centres.safetensors").unlink()
    with pytest.raises(InputError, match="labels.npy is damaged or missing"):
        labels.read("u0")
    with pytest.raises(InputError, match="centres.safetensors is damaged"):
        labels.centres()


def test_with_the_frame_cache(tmp_path, tones, small_wav2vec2):
    """Labels have exactly the encoder's frames; any order, any length."""
    encoder = SSLEncoder(small_wav2vec2, "unused", frozen_layers=2).eval()
    cache = FrameCache(tmp_path / "frames", encoder)
    cache.fill(tones, encoder, show=False)
    fitted = {key: tones[key] for key in list(tones)[3:]}
    make(tmp_path / "labels", cache, fitted=fitted, labelled=tones)
    labels = PseudoLabels(tmp_path / "labels")
    samples = torch.tensor([entry["stop"] for entry in tones.values()])
    counts = encoder.count_frames(samples).tolist()
    assert len(set(counts)) == 12
    centres = labels.centres()
    for key, count in zip(tones, counts):
        assert labels.count(key) == count
        frames = cache.read(tones[key]).float().numpy()
        for scale, held in enumerate(centres.values()):
            assert (
                labels.read(key)[:, scale].tolist()
                == nearest_centres(frames, held).tolist()
            )
