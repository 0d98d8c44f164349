"""Pseudo-labels of frames: k-means at several scales, and where they are kept.

The k-means is Lloyd's over all frames that fit memory, 20 iterations from
k-means++ centres, each one step of scikit-learn's ``MiniBatchKMeans`` with all
frames for its batch. Measured with 64, 512 and 4096 centres
(``benchmarks/kmeans.py``) its inertia is 1 to 4 % below that of small batches,
and faiss's to five digits, in 1.1 to 1.4 of faiss's time on one thread. It gives
the same bits with any number of threads, which scikit-learn's ``KMeans`` does
not, makes no copy of the frames, and can be stopped at any iteration.
"""

import bisect
import contextlib
import functools
import hashlib
import io
import json
import os
import shutil
from numbers import Integral

import numpy as np
import safetensors.numpy
import torch
from safetensors import SafetensorError
from sklearn.cluster import MiniBatchKMeans, kmeans_plusplus
from sklearn.metrics import pairwise_distances_argmin
from speechbrain.utils.distributed import if_main_process
from speechbrain.utils.logger import get_logger
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.files import replacing, write_json

logger = get_logger(__name__)

ITERATIONS = 20
# k-means++ sees so many frames, or so many a centre if these are more.
START_FRAMES = 10_000
START_FRAMES_PER_CENTRE = 3
MOST_CENTRES = 2**16  # a label has two bytes
CENTRES, LABELS, ABOUT = "centres.safetensors", "labels.npy", "labels.json"
UNFINISHED = "unfinished"


def gather_frames(
    cache, annotation, max_frames=None, memory=4.0, seed=0, show=True
):
    """Reads frames for a k-means: all, or a sample of all.

    The sample is uniform and without replacement, and comes in the order of the
    annotation. What is held besides it is at most 160 bytes a frame of it.

    Arguments
    ---------
    cache : FrameCache
        Or anything with ``read(entry)``, ``[time, channels]``, and
        ``count(entry)``.
    annotation : dict
        Id to entry.
    max_frames : int
        The most frames to take; None: what fits the memory.
    memory : float
        GB that the frames may take.
    seed : int
        Of the sample.
    show : bool
        Whether to show progress bars.

    Returns
    -------
    np.ndarray
        ``[n, channels]``, float32.

    Raises
    ------
    InputError
        If there are no utterances, or an utterance's frames are not finite.

    Example
    -------
    >>> class Cache:
    ...     def read(self, entry):
    ...         return torch.full((entry["n"], 2), float(entry["n"]))
    ...
    ...     def count(self, entry):
    ...         return entry["n"]
    >>> annotation = {"a": {"n": 3}, "b": {"n": 5}}
    >>> gather_frames(Cache(), annotation, show=False).shape
    (8, 2)
    >>> gather_frames(Cache(), annotation, max_frames=4, show=False).shape
    (4, 2)
    """
    if not annotation:
        raise InputError("there are no utterances whose frames to cluster")
    counts = _counts(cache, annotation, show)
    total = sum(counts.values())
    channels = cache.read(next(iter(annotation.values()))).shape[1]
    wanted = min(total, int(memory * 1e9) // (4 * channels))
    if max_frames is not None:
        wanted = min(wanted, max_frames)
    drawn = None
    if wanted < total:
        generator = np.random.default_rng(seed)
        drawn = generator.choice(total, wanted, replace=False, shuffle=False)
        drawn.sort()
    frames = np.empty((wanted, channels), dtype=np.float32)
    begin = filled = 0
    for key, entry in _progress(annotation.items(), "frames", show):
        end = begin + counts[key]
        rows = slice(None)
        if drawn is not None:
            rows = drawn[slice(*np.searchsorted(drawn, (begin, end)))] - begin
        begin = end
        if drawn is not None and not len(rows):
            continue
        taken = _read(cache, key, entry, counts[key])[rows]
        frames[filled : filled + len(taken)] = taken
        filled += len(taken)
    logger.info(
        f"k-means: {wanted:,} of {total:,} frames of {len(annotation):,} "
        f"utterances, {frames.nbytes / 1e9:.3g} GB"
    )
    return frames


def fit_centres(frames, size, seed=0, iterations=ITERATIONS):
    """Fits a k-means.

    Arguments
    ---------
    frames : np.ndarray
        ``[n, channels]``, float32.
    size : int
        The number of centres.
    seed : int
        Of the k-means++ start.
    iterations : int
        Of Lloyd's algorithm; it ends before when nothing moves.

    Returns
    -------
    np.ndarray
        ``[size, channels]``, float32. A centre that has lost its frames stays
        where it was.

    Raises
    ------
    InputError
        If there are fewer frames, or fewer different ones, than centres, or
        they are not finite.

    Example
    -------
    >>> frames = np.float32([[0, 0], [0, 2], [9, 9], [9, 7]])
    >>> centres = fit_centres(frames, 2)
    >>> centres[centres[:, 0].argsort()].tolist()
    [[0.0, 1.0], [9.0, 8.0]]
    """
    frames = np.ascontiguousarray(frames, dtype=np.float32)
    _check_frames(frames, size)
    *_, (_, centres) = _fits(frames, size, seed, iterations)
    return centres


def first_centres(frames, size, seed=0):
    """Draws the centres that a k-means starts from, by k-means++.

    It sees a seeded sample of frames that all differ.

    Arguments
    ---------
    frames : np.ndarray
        ``[n, channels]``, float32.
    size : int
    seed : int

    Returns
    -------
    np.ndarray
        ``[size, channels]``, rows of `frames`.

    Raises
    ------
    InputError
        If there are fewer different frames than centres.

    Example
    -------
    >>> frames = np.float32([[1], [1], [1], [5]])
    >>> sorted(first_centres(frames, 2).tolist())
    [[1.0], [5.0]]
    """
    wanted = max(START_FRAMES, START_FRAMES_PER_CENTRE * size)
    drawn = {}
    for row in np.random.default_rng(seed).permutation(len(frames)):
        # adding makes -0.0 a 0.0
        drawn.setdefault((frames[row] + 0.0).tobytes(), row)
        if len(drawn) == wanted:
            break
    if len(drawn) < size:
        raise InputError(
            f"--clusters asks for {size} centres, but only {len(drawn)} of the "
            f"{len(frames)} frames differ: give fewer centres, or more speech"
        )
    rows = np.sort(list(drawn.values()))
    # one thread: the same bits whatever their number, and faster
    with threadpool_limits(1, "blas"):
        _, chosen = kmeans_plusplus(
            frames[rows].astype(np.float64), size, random_state=seed
        )
    return frames[rows[chosen]]


def assign(frames, centres):
    """Labels frames by their nearest centres, in double precision.

    On a tie it is the first. A frame's labels do not depend on the other frames
    unless two centres are equally near up to the last bits of a double, which
    a matrix product may round otherwise; :func:`make_pseudo_labels` labels each
    utterance alone, so there they never do.

    Arguments
    ---------
    frames : np.ndarray
        ``[n, channels]``, float32, at least one.
    centres : dict
        Size to ``[size, channels]``, float32.

    Returns
    -------
    np.ndarray
        ``[n, scales]``, uint16.

    Raises
    ------
    InputError
        If a size is larger than two bytes can hold.

    Example
    -------
    >>> centres = {1: np.float32([[0]]), 2: np.float32([[0], [9]])}
    >>> assign(np.float32([[1], [8]]), centres).tolist()
    [[0, 0], [0, 1]]
    """
    _check_sizes(centres)
    labels = np.empty((len(frames), len(centres)), dtype=np.uint16)
    for scale, held in enumerate(centres.values()):
        labels[:, scale] = pairwise_distances_argmin(frames, held)
    return labels


def make_pseudo_labels(
    folder,
    cache,
    fitted,
    labelled,
    sizes,
    seed=0,
    max_frames=None,
    memory=4.0,
    about=None,
    show=True,
):
    """Clusters frames at several scales, and labels frames by the clusters.

    It can be killed at any moment and called again: it goes on, and leaves the
    files that it would have left. One process at a time may be at a folder.

    In the folder lie at the end ``centres.safetensors`` (a tensor a scale),
    ``labels.npy`` (uint16 ``[frames, scales]``) and, written last,
    ``labels.json``; :class:`PseudoLabels` reads them.

    Arguments
    ---------
    folder : str
        Made when missing; other files in it are left alone.
    cache : FrameCache
        With the frames of all utterances, see :func:`gather_frames`.
    fitted : dict
        The utterances that make the clusters, id to entry.
    labelled : dict
        Those that are labelled.
    sizes : list of int
        The number of clusters of each scale, at most 65536.
    seed : int
    max_frames, memory : int, float
        See :func:`gather_frames`.
    about : dict
        Plain values to keep: what encoder and layer the frames come from.
    show : bool
        Whether to show progress bars.

    Raises
    ------
    InputError
        If the folder holds pseudo-labels that were made otherwise, can't be
        written, or the frames don't suffice.

    Example
    -------
    >>> class Cache:
    ...     def read(self, entry):
    ...         return torch.arange(entry["n"]).float().unsqueeze(1)
    ...
    ...     def count(self, entry):
    ...         return entry["n"]
    >>> folder = getfixture("tmp_path") / "labels"
    >>> part = {"a": {"n": 4}, "b": {"n": 3}}
    >>> make_pseudo_labels(folder, Cache(), part, part, [1, 4], show=False)
    >>> PseudoLabels(folder).read("b").shape
    torch.Size([3, 2])
    """
    sizes = _check_sizes(sizes)
    folder = str(folder)
    settings = {
        "sizes": sizes,
        "seed": seed,
        "max_frames": max_frames,
        "memory": memory,
        "about": about or {},
        "fitted": _name_of_ids(fitted),
        "labelled": _name_of_ids(labelled),
    }
    settings = json.loads(json.dumps(settings))
    work = os.path.join(folder, UNFINISHED)
    with _writing(folder):
        if os.path.exists(os.path.join(folder, ABOUT)):
            _check_same(PseudoLabels(folder), settings)
        else:
            utterances = _rows_of(_counts(cache, labelled, show))
            _begin(folder, settings | {"utterances": utterances})
            gather = functools.partial(
                gather_frames, cache, fitted, max_frames, memory, seed, show
            )
            centres, n_fitted = _fit_all(work, gather, sizes, seed, show)
            _label_all(folder, cache, labelled, utterances, centres, show)
            named = {str(size): held for size, held in centres.items()}
            _write_tensors(os.path.join(work, CENTRES), named)
            os.replace(
                os.path.join(work, CENTRES), os.path.join(folder, CENTRES)
            )
            made = {
                "what": "the nearest k-means centres of the frames of speech: "
                f"{LABELS} [frames, scales], utterances: id to first row and "
                "number of rows",
                **settings,
                "frames_fitted": n_fitted,
                "utterances": utterances,
                "sha256": {
                    name: _file_digest(os.path.join(folder, name))
                    for name in (CENTRES, LABELS)
                },
            }
            write_json(os.path.join(work, ABOUT), made)
            os.replace(os.path.join(work, ABOUT), os.path.join(folder, ABOUT))
            logger.info(f"pseudo-labels: {folder} is whole")
        shutil.rmtree(work, ignore_errors=True)


class PseudoLabels:
    """Reads what :func:`make_pseudo_labels` left in a folder.

    It can be sent to a loader's worker processes: labels are mapped, not held.

    Arguments
    ---------
    folder : str

    Attributes
    ----------
    folder : str
    path : str
        The JSON, which holds the SHA-256 of the other files.
    sizes : list of int
        The number of clusters of each scale.
    about : dict
        What the frames come from.
    frames_fitted : int
        The number of frames that the clusters were made of.
    ids : KeysView
        The utterances.

    Raises
    ------
    InputError
        If they are not there, not finished or damaged.

    Example
    -------
    >>> class Cache:
    ...     def read(self, entry):
    ...         return torch.tensor([[0.0], [9.0], [0.0]])
    ...
    ...     def count(self, entry):
    ...         return 3
    >>> folder = getfixture("tmp_path") / "labels"
    >>> part = {"a": {}}
    >>> about = {"layer": -3}
    >>> make_pseudo_labels(
    ...     folder, Cache(), part, part, [2], about=about, show=False
    ... )
    >>> labels = PseudoLabels(folder)
    >>> labels.sizes, labels.count("a"), labels.about
    ([2], 3, {'layer': -3})
    >>> first, second, third = labels.read("a")[:, 0].tolist()
    >>> first == third != second
    True
    >>> labels.check(layer=-3)
    >>> labels.check(layer=-5)
    Traceback (most recent call last):
    speechbrain_ser.utils.errors.InputError: ...
    """

    def __init__(self, folder):
        self.folder = str(folder)
        self.path = os.path.join(self.folder, ABOUT)
        self._labels = None
        self._look()
        try:
            with open(self.path, encoding="utf-8") as file:
                self.made = json.load(file)
            self.sizes = self.made["sizes"]
            self.about = self.made["about"]
            self.frames_fitted = self.made["frames_fitted"]
            self._utterances = self.made["utterances"]
            digests = self.made["sha256"].items()
        except (OSError, ValueError, LookupError, AttributeError) as failure:
            raise self._damaged(ABOUT) from failure
        for name, expected in digests:
            path = os.path.join(self.folder, name)
            if not os.path.exists(path) or _file_digest(path) != expected:
                raise self._damaged(name)

    def __getstate__(self):
        """Leaves the map out: each process makes its own."""
        return dict(self.__dict__, _labels=None)

    @property
    def ids(self):
        """The utterances."""
        return self._utterances.keys()

    def read(self, key):
        """Reads the labels of an utterance.

        Arguments
        ---------
        key : str
            Its id.

        Returns
        -------
        torch.Tensor
            int64, ``[time, scales]``; the frames are those of the encoder.

        Raises
        ------
        InputError
            If there are none.
        """
        begin, count = self._rows(key)
        if self._labels is None:
            path = os.path.join(self.folder, LABELS)
            try:
                self._labels = np.load(path, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError) as failure:
                raise self._damaged(LABELS) from failure
        rows = self._labels[begin : begin + count]
        return torch.from_numpy(rows.astype(np.int64))

    def count(self, key):
        """Returns the number of frames of an utterance.

        Arguments
        ---------
        key : str
            Its id.

        Returns
        -------
        int

        Raises
        ------
        InputError
            If it has no labels.
        """
        return self._rows(key)[1]

    def centres(self):
        """Reads the centres.

        Returns
        -------
        dict
            Size to ``[size, channels]``, float32.

        Raises
        ------
        InputError
            If their file is damaged.
        """
        path = os.path.join(self.folder, CENTRES)
        try:
            held = safetensors.numpy.load_file(path)
            return {size: held[str(size)] for size in self.sizes}
        except (OSError, SafetensorError, KeyError) as failure:
            raise self._damaged(CENTRES) from failure

    def check(self, **expected):
        """Refuses labels whose frames come from something else.

        Arguments
        ---------
        **expected : dict
            Name to value, as in `about`.

        Raises
        ------
        InputError
            If one differs.
        """
        for name, value in json.loads(json.dumps(expected)).items():
            if name not in self.about:
                raise InputError(
                    f"the pseudo-labels in {self.folder} do not say of which "
                    f"{name} they are, this run has {name} {value}: make them "
                    "again in another folder"
                )
            if self.about[name] != value:
                raise InputError(
                    f"the pseudo-labels in {self.folder} were made from {name} "
                    f"{self.about[name]}, this run has {name} {value}: make "
                    "them again in another folder, or give this run "
                    f"{name} {self.about[name]}"
                )

    def _rows(self, key):
        """Returns an utterance's first row and number of rows."""
        if key not in self.ids:
            raise InputError(
                f"the pseudo-labels in {self.folder} have none of the "
                f"utterance {key}: give those that were made for this split, or "
                "make them again"
            )
        return self._utterances[key]

    def _look(self):
        """Refuses a folder that is not there, or not finished."""
        if not os.path.isdir(self.folder):
            raise InputError(
                f"the folder of pseudo-labels {self.folder} is missing: give "
                "one that make_pseudo_labels has written"
            )
        if os.path.exists(self.path):
            return
        if os.path.isdir(os.path.join(self.folder, UNFINISHED)):
            raise InputError(
                f"the pseudo-labels in {self.folder} are not finished: start "
                "again what makes them, it goes on"
            )
        raise InputError(
            f"there are no pseudo-labels in {self.folder}: give a folder that "
            "make_pseudo_labels has written"
        )

    def _damaged(self, name):
        """The error for a file that is not what was written."""
        return InputError(
            f"the pseudo-labels' file {os.path.join(self.folder, name)} is "
            f"damaged or missing: delete {self.path}, and make them again"
        )


def _fit_all(work, gather, sizes, seed, show):
    """Fits the centres of all scales, from where it was stopped.

    Arguments
    ---------
    work : str
        Where the centres are kept after each iteration.
    gather : callable
        Gives the frames.
    sizes : list of int
    seed : int
    show : bool

    Returns
    -------
    centres : dict
        Size to centres.
    n_frames : int
        The number of frames that they were fitted on.
    """
    paths = {
        size: os.path.join(work, f"centres-{size}.safetensors")
        for size in sizes
    }
    held = {size: _read_tensors(path) for size, path in paths.items()}
    if any(not state or state["done"] < ITERATIONS for state in held.values()):
        frames = gather()
        _check_frames(frames, max(sizes))
    for size, path in paths.items():
        state = held[size] or {"centres": None, "done": np.array(0)}
        done = state["done"].item()
        if done == ITERATIONS:
            continue
        if done:
            logger.info(f"k-means: {size} centres go on at iteration {done}")
        bar = _progress(
            None, f"{size} centres", show, total=ITERATIONS, initial=done
        )
        with bar:
            for done, centres in _fits(
                frames, size, seed, ITERATIONS, state["centres"], done
            ):
                held[size] = {
                    "centres": centres,
                    "done": np.array(done),
                    "n_frames": np.array(len(frames)),
                }
                _write_tensors(path, held[size])
                bar.update(done - bar.n)
    centres = {size: state["centres"] for size, state in held.items()}
    return centres, held[sizes[0]]["n_frames"].item()


def _fits(frames, size, seed, iterations, centres=None, done=0):
    """Runs a k-means, from its start or from what it gave before.

    Yields
    ------
    done : int
        Iterations; all of them as soon as nothing moves any more.
    centres : np.ndarray
    """
    if centres is None:
        centres = first_centres(frames, size, seed)
        yield 0, centres
    while done < iterations:
        moved = _iterate(frames, centres)
        done = iterations if np.array_equal(moved, centres) else done + 1
        centres = moved
        yield done, centres


def _iterate(frames, centres):
    """One iteration of Lloyd's algorithm.

    The first step of a mini-batch k-means makes each centre the mean of the
    batch's frames that are nearest to it.
    """
    model = MiniBatchKMeans(
        len(centres),
        init=centres,
        n_init=1,
        reassignment_ratio=0,
        compute_labels=False,
    )
    return model.partial_fit(frames).cluster_centers_


def _label_all(folder, cache, labelled, utterances, centres, show):
    """Writes ``labels.npy``, an utterance at a time, from where it stopped."""
    path = os.path.join(folder, LABELS)
    if os.path.exists(path):
        return
    ends = [begin + count for begin, count in utterances.values()]
    shape = (ends[-1], len(centres))
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<u2", "fortran_order": False, "shape": shape}
    )
    header = header.getvalue()
    row = 2 * len(centres)  # bytes
    beside = os.path.join(folder, UNFINISHED, LABELS)
    size = os.path.getsize(beside) if os.path.exists(beside) else 0
    whole = bisect.bisect_right(ends, (size - len(header)) // row)
    # an utterance that is there in part is labelled again
    left = len(header) + row * ends[whole - 1] if whole else 0
    with open(beside, "ab") as file:
        file.truncate(left)
        if not left:
            file.write(header)
        bar = _progress(labelled.items(), "frames labelled", show)
        for i, (key, entry) in enumerate(bar):
            if i >= whole:
                frames = _read(cache, key, entry, utterances[key][1])
                file.write(assign(frames, centres).astype("<u2").tobytes())
    os.replace(beside, path)
    logger.info(
        f"pseudo-labels: {shape[0]:,} frames of {len(labelled):,} utterances, "
        f"scales {', '.join(map(str, centres))}"
    )


def _begin(folder, settings):
    """Clears away what was begun with other settings."""
    work = os.path.join(folder, UNFINISHED)
    path = os.path.join(work, "settings.json")
    try:
        with open(path, encoding="utf-8") as file:
            if json.load(file) == settings:
                return
    except (FileNotFoundError, ValueError):
        pass
    shutil.rmtree(work, ignore_errors=True)
    for name in (CENTRES, LABELS):
        if os.path.exists(os.path.join(folder, name)):
            os.unlink(os.path.join(folder, name))
    write_json(path, settings)


def _check_same(labels, settings):
    """Refuses a whole folder that was made with other settings."""
    for name, value in settings.items():
        before = labels.made.get(name)
        if before != value:
            raise InputError(
                f"the pseudo-labels in {labels.folder} were made with {name} "
                f"{before}, now it is {value}: give another folder, or delete "
                f"{labels.path} to make them anew"
            )


@contextlib.contextmanager
def _writing(folder):
    """Says in a sentence why the files can't be made."""
    try:
        yield
    except OSError as failure:
        raise InputError(
            f"the pseudo-labels in {folder} can't be made ({failure}): mend "
            "that or give another folder, and start again, it goes on"
        ) from failure


def _check_sizes(sizes):
    """Returns the sizes as a list; refuses what can't be a label."""
    sizes = list(sizes)
    for size in sizes:
        if not isinstance(size, Integral) or not 1 <= size <= MOST_CENTRES:
            raise InputError(
                f"--clusters has {size}: give whole numbers from 1 to "
                f"{MOST_CENTRES}, as a label has two bytes"
            )
    if not sizes or len(set(sizes)) < len(sizes):
        raise InputError(
            f"--clusters is {sizes}: give at least one scale, and each once"
        )
    return [int(size) for size in sizes]


def _check_frames(frames, size):
    """Refuses too few frames for so many centres, and what is not finite."""
    if len(frames) < size:
        raise InputError(
            f"--clusters asks for {size} centres, but there are only "
            f"{len(frames)} frames: give fewer centres, more speech, or more "
            "frames of it (--kmeans_frames, --kmeans_memory)"
        )
    # no array of the frames' size, as isfinite would make
    if not np.isfinite([frames.min(), frames.max()]).all():
        raise InputError(
            "frames to cluster hold NaN or infinite values: look for audio or "
            "weights that do"
        )


def _counts(cache, annotation, show):
    """Returns the number of frames of each utterance."""
    return {
        key: cache.count(entry)
        for key, entry in _progress(annotation.items(), "frame counts", show)
    }


def _rows_of(counts):
    """Returns the first row and the number of rows of each utterance."""
    ends = np.cumsum(list(counts.values())).tolist()
    return {
        key: [end - count, count]
        for end, (key, count) in zip(ends, counts.items())
    }


def _read(cache, key, entry, count):
    """Reads an utterance's frames as float32.

    Raises
    ------
    InputError
        If they are not finite, or not as many as counted.
    """
    frames = cache.read(entry).float().numpy()
    if len(frames) != count:
        raise InputError(
            f"the utterance {key} had {count} frames and has {len(frames)} now:"
            " start again, and don't change audio files meanwhile"
        )
    if not np.isfinite(frames).all():
        raise InputError(
            f"the frames of the utterance {key} hold NaN or infinite values: "
            "look at its audio and at the encoder's weights"
        )
    return frames


def _progress(items, text, show, **settings):
    """Wraps items in a progress bar, on the main process."""
    hidden = not (show and if_main_process())
    return tqdm(items, text, disable=hidden, **settings)


def _write_tensors(path, tensors):
    """Writes arrays as safetensors, whole or not at all."""
    content = safetensors.numpy.save(
        {
            name: np.require(value, requirements="C")
            for name, value in tensors.items()
        }
    )
    with replacing(path) as beside:
        with open(beside, "wb") as file:
            file.write(content)


def _read_tensors(path):
    """Reads safetensors; gives nothing where there is no whole file."""
    try:
        return safetensors.numpy.load_file(path)
    except (OSError, SafetensorError):
        return {}


def _name_of_ids(annotation):
    """Returns the number of utterances and a digest of their ids in order."""
    digest = hashlib.sha256(json.dumps(list(annotation)).encode()).hexdigest()
    return f"{len(annotation)} utterances, SHA-256 of their ids {digest[:16]}"


def _file_digest(path):
    """Returns the SHA-256 of a file, read in blocks."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
