"""Pseudo-labels of frames are made: k-means at several scales, then labels.

What is made is in `pseudo_labels`.

Example
-------
>>> import torch
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

import bisect
import contextlib
import functools
import hashlib
import io
import json
import os
import shutil

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from speechbrain.utils.logger import get_logger
from speechbrain_ser.data import kmeans
from speechbrain_ser.data.gathered_frames import (
    StreamedFrames,
    frame_counts,
    read_frames,
)
from speechbrain_ser.data.pseudo_labels import (
    ABOUT,
    CENTRES,
    LABELS,
    UNFINISHED,
    PseudoLabels,
)
from speechbrain_ser.data.reading import file_digest, progress
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.files import replacing, write_json
from speechbrain_ser.utils.settings import Number, Whole

logger = get_logger(__name__)


def make_pseudo_labels(
    folder,
    cache,
    fitted,
    labelled,
    sizes,
    seed: Whole(0) = 0,
    max_frames: Whole(1, 1e12, optional=True) = None,
    memory: Number(1e-6, 1e6) = 4.0,
    about=None,
    show=True,
    device="cpu",
):
    """Clusters frames at several scales, and labels frames by the clusters.

    It can be killed at any moment and called again: it goes on, and leaves the
    files that it would have left. One process at a time may be at a folder.
    :class:`PseudoLabels` reads what lies there at the end.

    Arguments
    ---------
    folder : str
        Made when missing; other files in it are left alone.
    cache : FrameCache
        With the frames of all utterances, see `StreamedFrames`.
    fitted, labelled : dict
        Id to entry: the utterances that make the clusters, and those that are
        labelled.
    sizes : list of int
        The number of clusters of each scale, at most 65536.
    seed, max_frames, memory : int, int, float
        See `StreamedFrames`; the seed is that of the k-means too.
    about : dict
        Plain values to keep: what encoder and layer the frames come from.
    show : bool
        Whether to show progress bars.
    device : str or torch.device
        Where the k-means is computed: on CUDA the frames are streamed there
        from the cache, else they are held in memory.

    Raises
    ------
    InputError
        If the folder holds pseudo-labels that were made otherwise, can't be
        written, or the frames don't suffice.
    """
    settings = {
        "sizes": kmeans.check_sizes(sizes),
        "seed": seed,
        "max_frames": max_frames,
        "memory": memory,
        "about": about or {},
        "fitted": _name_of_ids(fitted),
        "labelled": _name_of_ids(labelled),
    }
    settings = json.loads(json.dumps(settings))
    stream = functools.partial(
        StreamedFrames, cache, fitted, max_frames, memory, seed, show
    )
    _make(str(folder), cache, stream, labelled, settings, show, device)


def _make(folder, cache, stream, labelled, settings, show, device):
    """Makes the files, or what is missing of them.

    Arguments
    ---------
    folder : str
    cache : FrameCache
    stream : callable
        Gives the `StreamedFrames` that make the clusters.
    labelled : dict
        Id to entry.
    settings : dict
        All that decides the files, but for last bits.
    show : bool
    device : str or torch.device
    """
    work = os.path.join(folder, UNFINISHED)
    with _writing(folder):
        if os.path.exists(os.path.join(folder, ABOUT)):
            _check_same(PseudoLabels(folder), settings)
        else:
            utterances = _rows_of(frame_counts(cache, labelled, show))
            _begin(folder, settings | {"utterances": utterances})
            centres, n_fitted = _fit_all(
                work,
                stream,
                settings["sizes"],
                settings["seed"],
                show,
                device,
            )
            _label_all(folder, cache, labelled, utterances, centres, show)
            named = {str(size): held for size, held in centres.items()}
            _write_tensors(os.path.join(work, CENTRES), named)
            os.replace(
                os.path.join(work, CENTRES), os.path.join(folder, CENTRES)
            )
            _describe(folder, settings, n_fitted, utterances)
            logger.info(f"pseudo-labels: {folder} is whole")
        shutil.rmtree(work, ignore_errors=True)


def _describe(folder, settings, n_fitted, utterances):
    """Writes the last file, which says what the others are."""
    made = {
        "what": "the nearest k-means centres of the frames of speech: "
        f"{LABELS} [frames, scales], utterances: id to first row and "
        "number of rows",
        **settings,
        "frames_fitted": n_fitted,
        "utterances": utterances,
        "sha256": {
            name: file_digest(os.path.join(folder, name))
            for name in (CENTRES, LABELS)
        },
    }
    work = os.path.join(folder, UNFINISHED)
    write_json(os.path.join(work, ABOUT), made)
    os.replace(os.path.join(work, ABOUT), os.path.join(folder, ABOUT))


def _fit_all(work, stream, sizes, seed, show, device):
    """Fits the centres of all scales, from where it was stopped.

    Arguments
    ---------
    work : str
        Where the centres are kept after each iteration.
    stream : callable
        Gives the `StreamedFrames`.
    sizes : list of int
    seed : int
    show : bool
    device : str or torch.device

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
    if any(
        not state or state["done"] < kmeans.ITERATIONS
        for state in held.values()
    ):
        frames = kmeans.placed(stream(), device)
        kmeans.check_frames(frames, max(sizes))
    for size, path in paths.items():
        state = held[size] or {"centres": None, "done": np.array(0)}
        done = state["done"].item()
        if done == kmeans.ITERATIONS:
            continue
        if done:
            logger.info(f"k-means: {size} centres go on at iteration {done}")
        bar = progress(
            None, f"{size} centres", show, total=kmeans.ITERATIONS, initial=done
        )
        with bar:
            for iteration, centres in kmeans.lloyd(
                frames,
                size,
                seed,
                kmeans.ITERATIONS,
                state["centres"],
                done,
            ):
                held[size] = {
                    "centres": centres,
                    "done": np.array(iteration),
                    "n_frames": np.array(len(frames)),
                }
                _write_tensors(path, held[size])
                bar.update(iteration - bar.n)
    centres = {size: state["centres"] for size, state in held.items()}
    return centres, held[sizes[0]]["n_frames"].item()


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
        bar = progress(labelled.items(), "frames labelled", show)
        for i, (key, entry) in enumerate(bar):
            if i >= whole:
                frames = read_frames(cache, key, entry, utterances[key][1])
                file.write(
                    kmeans.assign(frames, centres).astype("<u2").tobytes()
                )
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


def _rows_of(counts):
    """Returns the first row and the number of rows of each utterance."""
    ends = np.cumsum(list(counts.values())).tolist()
    return {
        key: [end - count, count]
        for end, (key, count) in zip(ends, counts.items())
    }


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
