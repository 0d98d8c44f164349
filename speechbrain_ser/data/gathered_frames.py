"""The frames of many utterances together, read from a cache: all, or a sample.

Example
-------
>>> import torch
>>> class Cache:
...     def read(self, entry):
...         return torch.full((entry["n"], 2), float(entry["n"]))
...
...     def count(self, entry):
...         return entry["n"]
>>> annotation = {"a": {"n": 3}, "b": {"n": 5}}
>>> StreamedFrames(Cache(), annotation, show=False).gather().shape
(8, 2)
>>> StreamedFrames(Cache(), annotation, 4, show=False).gather().shape
(4, 2)
"""

import numpy as np

from speechbrain.utils.logger import get_logger
from speechbrain_ser.data.reading import progress
from speechbrain_ser.utils.errors import InputError

logger = get_logger(__name__)


class StreamedFrames:
    """Frames for a k-means, all or a sample of all, read again at each pass.

    The sample is uniform and without replacement, and comes in the order of the
    annotation. What is held besides a piece is at most 160 bytes a frame of it.

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

    Raises
    ------
    InputError
        If there are no utterances; in a pass if an utterance's frames are not
        finite.
    """

    def __init__(
        self, cache, annotation, max_frames=None, memory=4.0, seed=0, show=True
    ):
        if not annotation:
            raise InputError("there are no utterances whose frames to cluster")
        self.cache, self.annotation, self.show = cache, annotation, show
        self.counts = frame_counts(cache, annotation, show)
        total = sum(self.counts.values())
        self.channels = cache.read(next(iter(annotation.values()))).shape[1]
        wanted = min(total, int(memory * 1e9) // (4 * self.channels))
        if max_frames is not None:
            wanted = min(wanted, max_frames)
        self.wanted = wanted
        self.drawn = draw_rows(total, wanted, seed)
        logger.info(
            f"k-means: {wanted:,} of {total:,} frames of {len(annotation):,} "
            f"utterances, {4e-9 * wanted * self.channels:.3g} GB"
        )

    def __len__(self):
        """Returns the number of frames."""
        return self.wanted

    def gather(self):
        """Returns all frames, ``[n, channels]``, float32."""
        frames = np.empty((self.wanted, self.channels), dtype=np.float32)
        filled = 0
        for taken in self._read(self.drawn):
            frames[filled : filled + len(taken)] = taken
            filled += len(taken)
        return frames

    def pieces(self, rows):
        """Yields the frames in their order, so many at once.

        Arguments
        ---------
        rows : int
            Of each piece; the last may be shorter.

        Yields
        ------
        np.ndarray
            ``[rows, channels]``, float32.
        """
        held, filled = [], 0
        for taken in self._read(self.drawn):
            while filled + len(taken) >= rows:
                cut = rows - filled
                yield np.concatenate([*held, taken[:cut]])
                held, filled, taken = [], 0, taken[cut:]
            held.append(taken)
            filled += len(taken)
        if filled:
            yield np.concatenate(held)

    def take(self, rows):
        """Returns some of the frames.

        Arguments
        ---------
        rows : np.ndarray
            Indices, each once, in any order.

        Returns
        -------
        np.ndarray
            ``[rows, channels]``, float32.
        """
        places = rows if self.drawn is None else self.drawn[rows]
        order = places.argsort()
        taken = np.empty((len(rows), self.channels), dtype=np.float32)
        taken[order] = np.concatenate([*self._read(places[order])])
        return taken

    def _read(self, drawn):
        """Yields rows among all frames, ascending; None: all."""
        return drawn_frames(
            self.cache, self.annotation, self.counts, drawn, self.show
        )


def draw_rows(total, wanted, seed):
    """Draws rows without replacement, ascending; None: all are wanted.

    Example
    -------
    >>> len(draw_rows(10, 4, seed=0)), draw_rows(4, 4, seed=0)
    (4, None)
    """
    if wanted == total:
        return None
    generator = np.random.default_rng(seed)
    drawn = generator.choice(total, wanted, replace=False, shuffle=False)
    drawn.sort()
    return drawn


def drawn_frames(cache, annotation, counts, drawn, show):
    """Yields the drawn frames of each utterance that has any.

    Arguments
    ---------
    cache : FrameCache
    annotation : dict
        Id to entry.
    counts : dict
        Id to number of frames.
    drawn : np.ndarray or None
        Of `draw_rows`: rows among all frames, in the annotation's order.
    show : bool

    Yields
    ------
    np.ndarray
        ``[n, channels]``, float32.
    """
    begin = 0
    for key, entry in progress(annotation.items(), "frames", show):
        end = begin + counts[key]
        rows = slice(None)
        if drawn is not None:
            rows = drawn[slice(*np.searchsorted(drawn, (begin, end)))] - begin
        begin = end
        if drawn is None or len(rows):
            yield read_frames(cache, key, entry, counts[key])[rows]


def frame_counts(cache, annotation, show):
    """Returns the number of frames of each utterance."""
    return {
        key: cache.count(entry)
        for key, entry in progress(annotation.items(), "frame counts", show)
    }


def read_frames(cache, key, entry, count):
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
