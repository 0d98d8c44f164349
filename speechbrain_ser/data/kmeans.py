"""k-means over frames, and labels of frames by their nearest centres.

It is Lloyd's over all frames that fit memory, 20 iterations from k-means++
centres, each one step of scikit-learn's ``MiniBatchKMeans`` with all frames for
its batch. Measured with 64, 512 and 4096 centres (``benchmarks/kmeans.py``) its
inertia is 1 to 4 % below that of small batches, and faiss's to five digits, in
1.1 to 1.4 of faiss's time on one thread. It gives the same bits with any number
of threads, which scikit-learn's ``KMeans`` does not, makes no copy of the
frames, and can be stopped at any iteration.

On CUDA it is the same algorithm in plain torch from the same start, see
`kmeans_torch`.
"""

from numbers import Integral

import numpy as np
import torch
from sklearn.cluster import MiniBatchKMeans, kmeans_plusplus
from sklearn.metrics import pairwise_distances_argmin
from threadpoolctl import threadpool_limits

from speechbrain_ser.data import kmeans_torch
from speechbrain_ser.data.kmeans_torch import DeviceFrames, plus_plus
from speechbrain_ser.utils.errors import InputError

ITERATIONS = 20
# k-means++ sees so many frames, or so many a centre if these are more.
START_FRAMES = 10_000
START_FRAMES_PER_CENTRE = 3
MOST_CENTRES = 2**16  # a label has two bytes


def placed(frames, device):
    """Returns frames where a k-means for this device is computed.

    Arguments
    ---------
    frames : np.ndarray or StreamedFrames
    device : str or torch.device

    Returns
    -------
    np.ndarray or DeviceFrames
        The second on CUDA; what is streamed is gathered for the first.
    """
    if torch.device(device).type == "cuda":
        return DeviceFrames(frames, device)
    return frames if isinstance(frames, np.ndarray) else frames.gather()


def fit_centres(frames, size, seed=0, iterations=ITERATIONS, device="cpu"):
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
    device : str or torch.device
        Where it is computed.

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
    check_frames(frames, size)
    *_, (_, centres) = lloyd(placed(frames, device), size, seed, iterations)
    return centres


def first_centres(frames, size, seed=0):
    """Draws the centres that a k-means starts from, by k-means++.

    It sees a seeded sample of frames that all differ.

    Arguments
    ---------
    frames : np.ndarray or DeviceFrames
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
    sample = different_frames(
        frames, size, max(START_FRAMES, START_FRAMES_PER_CENTRE * size), seed
    )
    if isinstance(frames, DeviceFrames):
        return sample[plus_plus(sample, size, seed, frames.device)]
    # one thread: the same bits whatever their number, and faster
    with threadpool_limits(1, "blas"):
        _, chosen = kmeans_plusplus(
            sample.astype(np.float64), size, random_state=seed
        )
    return sample[chosen]


def different_frames(frames, size, wanted, seed):
    """Draws frames that all differ, so many if there are.

    Arguments
    ---------
    frames : np.ndarray or DeviceFrames
    size : int
        At least so many are needed.
    wanted : int
    seed : int

    Returns
    -------
    np.ndarray
        In the order of `frames`.
    """
    order = np.random.default_rng(seed).permutation(len(frames))
    held = isinstance(frames, np.ndarray)
    take = frames.__getitem__ if held else frames.take
    drawn = {}
    for begin in range(0, len(order), wanted):
        rows = order[begin : begin + wanted]
        for row, frame in zip(rows, take(rows)):
            # adding makes -0.0 a 0.0
            if len(drawn) < wanted:
                drawn.setdefault((frame + 0.0).tobytes(), row)
        if len(drawn) == wanted:
            break
    if len(drawn) < size:
        raise InputError(
            f"--clusters asks for {size} centres, but only {len(drawn)} of the "
            f"{len(frames)} frames differ: give fewer centres, or more speech"
        )
    found = b"".join(sorted(drawn, key=drawn.get))
    return np.frombuffer(found, np.float32).reshape(len(drawn), -1)


def assign(frames, centres):
    """Labels frames by their nearest centres, in double precision.

    On a tie it is the first. A frame's labels do not depend on the other frames
    unless two centres are equally near up to the last bits of a double, which
    a matrix product may round otherwise; :func:`pseudo_labelling.make_pseudo_labels` labels each
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
    check_sizes(centres)
    labels = np.empty((len(frames), len(centres)), dtype=np.uint16)
    for scale, held in enumerate(centres.values()):
        labels[:, scale] = pairwise_distances_argmin(frames, held)
    return labels


def lloyd(frames, size, seed, iterations, centres=None, done=0):
    """Runs a k-means, from its start or from what it gave before.

    Arguments
    ---------
    frames : np.ndarray or DeviceFrames
        Of `placed`.
    size, seed, iterations : int
        See `fit_centres`.
    centres : np.ndarray, optional
    done : int

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
        moved = iterate(frames, centres)
        done = iterations if np.array_equal(moved, centres) else done + 1
        centres = moved
        yield done, centres


def iterate(frames, centres):
    """One iteration of Lloyd's algorithm.

    On a CPU it is the first step of scikit-learn's mini-batch k-means, which
    makes each centre the mean of the batch's frames that are nearest to it.
    """
    if isinstance(frames, DeviceFrames):
        return kmeans_torch.iterate(frames, centres)
    model = MiniBatchKMeans(
        len(centres),
        init=centres,
        n_init=1,
        reassignment_ratio=0,
        compute_labels=False,
    )
    return model.partial_fit(frames).cluster_centers_


def check_sizes(sizes):
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


def check_frames(frames, size):
    """Refuses too few frames for so many centres, and what is not finite."""
    if len(frames) < size:
        raise InputError(
            f"--clusters asks for {size} centres, but there are only "
            f"{len(frames)} frames: give fewer centres, more speech, or more "
            "frames of it (--kmeans_frames, --kmeans_memory)"
        )
    if not isinstance(frames, np.ndarray):
        return  # what is streamed is looked at as it is read
    # no array of the frames' size, as isfinite would make
    if not np.isfinite([frames.min(), frames.max()]).all():
        raise InputError(
            "frames to cluster hold NaN or infinite values: look for audio or "
            "weights that do"
        )
