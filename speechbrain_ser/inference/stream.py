"""Labels a list of speech: read while the model computes, in bounded memory."""

import collections
import os
from concurrent.futures import ThreadPoolExecutor

import torch

from speechbrain_ser.inference.plan import Plan
from speechbrain_ser.inference.speech import is_silent
from speechbrain_ser.utils.errors import InputError

AHEAD = 2  # batches that are read while one is computed
BUDGET = 1 << 28  # bytes of frames that are kept between two passes


def labelled(
    recognizer, sounds, done=(), batch_size=None, ahead=AHEAD, plan=None
):
    """Labels speech.

    Arguments
    ---------
    recognizer : EmotionRecognizer
    sounds : list
        Of `speech.open_all`: a Sound, or an InputError. All of them decide the
        batches.
    done : container of int
        Indices of those that need no label any more.
    batch_size : int, optional
        Default: the recipe's.
    ahead : int
        Batches that are read beforehand.
    plan : Plan, optional
        Of these sounds, if there is one.

    Yields
    ------
    index : int
        In the order in which they are computed.
    Outcome or InputError
        What the model says, or why it says nothing; one that can't be
        labelled stops no other.
    """
    for index, sound in enumerate(sounds):
        if isinstance(sound, InputError) and index not in done:
            yield index, sound
    plan = plan or Plan(recognizer, sounds, batch_size)
    yield from _Stream(recognizer, plan, done, ahead).rows()


def read_ahead(read, groups, ahead, threads=None):
    """Reads groups of things in threads, so many groups ahead.

    Arguments
    ---------
    read : callable
        Given a thing, gives what is read.
    groups : iterable of list
    ahead : int
    threads : int, optional

    Yields
    ------
    group : list
    list
        What was read of each.

    Example
    -------
    >>> list(read_ahead(str, [[1, 2], [3]], ahead=1))
    [([1, 2], ['1', '2']), ([3], ['3'])]
    """
    threads = threads or min(4, os.cpu_count() or 1)
    groups, waiting = iter(groups), collections.deque()
    pool = ThreadPoolExecutor(threads)
    try:
        while True:
            while len(waiting) <= ahead:
                group = next(groups, None)
                if group is None:
                    break
                jobs = [pool.submit(read, each) for each in group]
                waiting.append((group, jobs))
            if not waiting:
                return
            group, jobs = waiting.popleft()
            yield group, [jobs.pop(0).result() for _ in group]
    finally:
        pool.shutdown(cancel_futures=True)


class Streamed:
    """What is gone through once, and whose first can be looked at before.

    Arguments
    ---------
    first : object
    others : iterator

    Example
    -------
    >>> held = Streamed(1, iter([2, 3]))
    >>> held[0], list(held)
    (1, [1, 2, 3])
    """

    def __init__(self, first, others):
        self.first, self.others = first, others

    def __getitem__(self, place):
        """Gives the first."""
        if place != 0:
            raise IndexError(place)
        return self.first

    def __iter__(self):
        """Yields all."""
        yield self.first
        yield from self.others


class _Stream:
    """One pass over the batches that are missing."""

    def __init__(self, recognizer, plan, done, ahead):
        self.recognizer = recognizer
        self.plan = plan
        self.done = done
        self.ahead = ahead
        self.kept, self.room = {}, BUDGET
        self.parts = collections.defaultdict(list)

    def rows(self):
        """Yields what each sound gets, as soon as all its pieces are there."""
        batches = self.plan.missing(self.done)
        statistics = self.statistics(batches)
        for batch, read in read_ahead(self.read, batches, self.ahead):
            given = self.classify(batch, read, statistics)
            read.clear()
            for number, result in zip(batch, given):
                piece = self.plan.pieces[number]
                parts = self.parts[piece.index]
                parts.append((piece, result))
                if len(parts) < self.plan.counts[piece.index]:
                    continue
                del self.parts[piece.index]
                if piece.index not in self.done:
                    yield piece.index, self.joined(parts)

    def read(self, number):
        """Reads a piece.

        Returns
        -------
        tuple or InputError
            Its signal, and whether it is silent; None if it is kept.
        """
        if number in self.kept:
            return None
        piece = self.plan.pieces[number]
        sound = self.plan.sounds[piece.index]
        try:
            rate = self.recognizer.sample_rate
            signal = sound.read(rate, piece.first, piece.last)
            return signal, is_silent(signal)
        except InputError as error:
            return error

    def frames(self, number, read):
        """Computes what an utterance gives alone.

        Arguments
        ---------
        number : int
        read : tuple or InputError
            Of `read`.

        Returns
        -------
        tuple or InputError
            Its frames, and whether it is silent.
        """
        if read is None:
            return self.kept.pop(number)
        if isinstance(read, InputError):
            return read
        try:
            return self.recognizer.frames(read[0]), read[1]
        except InputError as error:
            return error

    def statistics(self, batches):
        """The statistics of each speaker of some batches, by all that he says.

        Frames are kept for the second pass as long as there is room.
        """
        if not self.plan.by_speaker:
            return None
        wanted = dict.fromkeys(
            self.plan.speaker(number) for batch in batches for number in batch
        )
        return {who: self.statistics_of(who) for who in wanted}

    def statistics_of(self, who):
        """Of one speaker; None if nothing of him can be read."""
        held = self.spoken_by(who)
        first = next(held, None)
        if first is None:
            return None
        return self.recognizer.statistics(Streamed(first, held))

    def spoken_by(self, who):
        """Yields the frames of all that a speaker says, one piece at a time."""
        groups = [[number] for number in self.plan.spoken[who]]
        for (number,), (read,) in read_ahead(self.read, groups, self.ahead):
            result = self.frames(number, read)
            if isinstance(result, InputError):
                continue
            size = result[0].numel() * result[0].element_size()
            if size <= self.room:
                self.room -= size
                self.kept[number] = result
            yield result[0]

    def classify(self, batch, read, statistics):
        """What the model says of each piece of a batch, or its error."""
        results = [
            self.frames(number, each) for number, each in zip(batch, read)
        ]
        fit = [i for i, r in enumerate(results) if isinstance(r, tuple)]
        if not fit:
            return results
        frames = [results[i][0] for i in fit]
        own = None
        if statistics is not None:
            own = [statistics[self.plan.speaker(batch[i])] for i in fit]
        for i, output in zip(fit, self.recognizer.classify(frames, own)):
            results[i] = output, results[i][1]
        return results

    def joined(self, parts):
        """The outcome of all pieces of a sound."""
        parts = sorted(parts, key=lambda part: part[0].first)
        speech = self.plan.sounds[parts[0][0].index].speech
        for _, result in parts:
            if isinstance(result, InputError):
                return result
        if all(silent for _, (_, silent) in parts):
            return InputError(
                f"The audio file '{speech.path}' holds only zeros in what is "
                "meant of it: give another part, or leave it out."
            )
        outputs = [output for _, (output, _) in parts]
        for output in outputs:
            if not torch.isfinite(output["posterior"]).all():
                return InputError(
                    f"The model gives no numbers for '{speech.path}': listen "
                    "to it, and leave it out if it is no speech."
                )
        weights = [piece.seconds for piece, _ in parts]
        return self.recognizer.outcome(outputs, weights)
