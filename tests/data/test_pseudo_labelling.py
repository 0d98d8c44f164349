"""Making pseudo-labels: aligned, killed anywhere and gone on with."""

import errno
import os
import signal
import weakref

import numpy as np
import pytest
import torch

from speechbrain_ser.data import kmeans, pseudo_labelling, pseudo_labels
from speechbrain_ser.data.frame_cache import FrameCache
from speechbrain_ser.data.gathered_frames import StreamedFrames
from speechbrain_ser.data.kmeans import fit_centres
from speechbrain_ser.data.pseudo_labels import PseudoLabels
from speechbrain_ser.lobes.ssl import SSLEncoder
from speechbrain_ser.utils import files
from speechbrain_ser.utils.errors import InputError
from tests import processes
from tests.data.helpers import (
    FITTED,
    LABELLED,
    LEFT,
    SIZES,
    Cache,
    all_frames,
    content,
    make,
    make_and_die,
    make_part,
)
from tests.references.gmp_atl import nearest_centres


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
    sample = StreamedFrames(Cache(), FITTED, 30, seed=3, show=False).gather()
    labels = PseudoLabels(tmp_path / "sample")
    assert labels.frames_fitted == 30
    assert np.array_equal(labels.centres()[8], fit_centres(sample, 8, seed=3))


def test_each_utterance_is_read_twice_and_not_kept(tmp_path, monkeypatch):
    """Once for all scales and once for labels; what was gathered is gone."""
    cache = Cache()
    gathered = []

    def gather(stream, gather=StreamedFrames.gather):
        """Keeps no more than a weak reference."""
        frames = gather(stream)
        gathered.append(weakref.ref(frames))
        return frames

    def read(entry, read=cache.read):
        """Looks whether the gathered frames are still held."""
        if gathered:
            assert gathered[0]() is None
        return read(entry)

    monkeypatch.setattr(StreamedFrames, "gather", gather)
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
    for owner, name in (
        (kmeans, "iterate"),
        (pseudo_labelling, "_write_tensors"),
        (pseudo_labelling, "write_json"),
        (pseudo_labelling, "file_digest"),
        (pseudo_labels, "file_digest"),
        (pseudo_labelling.shutil, "rmtree"),
    ):
        monkeypatch.setattr(owner, name, before(getattr(owner, name)))
    return lambda: len(seen)


def test_killed_anywhere_and_called_again(tmp_path, whole, monkeypatch):
    """At every event once; then the same bits, and nothing left behind."""
    monkeypatch.setattr(kmeans, "ITERATIONS", 3)
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
    monkeypatch.setattr(kmeans, "ITERATIONS", 6)
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
    iterate = kmeans.iterate

    def note(frames, centres):
        """Kills before the second scale's third iteration."""
        if [size for size in calls if size == 8] == [8, 8]:
            raise Killed
        calls.append(len(centres))
        return iterate(frames, centres)

    with monkeypatch.context() as patched:
        patched.setattr(kmeans, "iterate", note)
        with pytest.raises(Killed):
            make(tmp_path)
    of_three = calls.count(3)
    assert of_three > 1
    more = []
    with monkeypatch.context() as patched:
        patched.setattr(
            kmeans,
            "iterate",
            lambda *args: more.append(len(args[1])) or iterate(*args),
        )
        patched.setattr(kmeans, "assign", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            make(tmp_path)
    assert set(more) == {8}
    reference = []
    monkeypatch.setattr(
        kmeans,
        "iterate",
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
    monkeypatch.setattr(pseudo_labelling.os, "replace", no_labels(os.replace))
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
        patched.setattr(kmeans, "assign", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            make(tmp_path)
    path = tmp_path / "unfinished" / "centres-8.safetensors"
    held = path.read_bytes()
    for left in (0, 7, 60, len(held) - 1):
        path.write_bytes(held[:left])
        with monkeypatch.context() as patched:
            patched.setattr(kmeans, "assign", lambda *args: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                make(tmp_path)
        assert path.read_bytes() == held
    make(tmp_path)
    assert content(tmp_path) == content(whole)


def test_sigkill(tmp_path_factory, tmp_path, whole, monkeypatch):
    """Before a file is renamed, among them some of the last, and within the labels.

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
    points = [1, 5, n - 4, n - 2, n, -1, -4]
    for point in points:
        folder = tmp_path / str(point)
        child = processes.run(make_and_die, folder, point)
        assert child.returncode == -signal.SIGKILL, child.stderr
        assert not (folder / "labels.json").exists()
        if point in (1, 5):
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
            patched.setattr(pseudo_labelling, "write_json", last_kills)
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
