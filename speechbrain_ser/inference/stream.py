"""Labels a list of speech: read while the model computes, in bounded memory."""

import collections
import contextlib
import itertools
import os
from concurrent.futures import ThreadPoolExecutor

import torch

from speechbrain_ser.inference.plan import Plan
from speechbrain_ser.inference.speech import is_silent
from speechbrain_ser.utils.errors import InputError

AHEAD = 120.0  # seconds of speech that are read while others are computed
BUDGET = 1 << 28  # bytes of frames that are kept between two passes


def labelled(
    recognizer,
    sounds,
    done=(),
    batch_size=None,
    ahead=AHEAD,
    plan=None,
    tell=None,
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
    ahead : float
        Seconds of speech that are read beforehand.
    plan : Plan, optional
        Of these sounds, if there is one.
    tell : callable, optional
        Called without arguments after each piece that the model has seen
        alone, long before its batch is whole.

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
    yield from _Stream(recognizer, plan, done, ahead, tell).rows()


def read_ahead(read, things, ahead, size=None, threads=None):
    """Reads things in threads, so much ahead.

    Arguments
    ---------
    read : callable
        Given a thing, gives what is read.
    things : iterable
    ahead : float
        The size up to which things are read beforehand, besides one a thread.
    size : callable, optional
        Given a thing; default: each has the size 1.
    threads : int, optional

    Yields
    ------
    object
        What was read of each.

    Example
    -------
    >>> list(read_ahead(str, [1, 2, 3], ahead=1))
    ['1', '2', '3']
    """
    threads = threads or min(4, os.cpu_count() or 1)
    things, waiting, held = iter(things), collections.deque(), 0
    pool = ThreadPoolExecutor(threads)
    try:
        while True:
            while held < ahead or len(waiting) < threads:
                for thing in itertools.islice(things, 1):
                    weight = size(thing) if size else 1
                    waiting.append((weight, pool.submit(read, thing)))
                    held += weight
                    break
                else:
                    break
            if not waiting:
                return
            weight, job = waiting.popleft()
            held -= weight
            yield job.result()
            del job  # and what it read
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

    def __init__(self, recognizer, plan, done, ahead, tell):
        self.recognizer = recognizer
        self.plan = plan
        self.done = done
        self.ahead = ahead
        self.tell = tell or (lambda: None)
        self.told = set()
        self.kept, self.room = {}, BUDGET
        self.parts = collections.defaultdict(list)

    def rows(self):
        """Yields what each sound gets, as soon as all its pieces are there."""
        batches = self.plan.missing(self.done)
        statistics = self.statistics(batches)
        numbers = [number for batch in batches for number in batch]
        with contextlib.closing(self.read_all(numbers)) as stream:
            for batch in batches:
                results = [self.frames(n, next(stream)) for n in batch]
                self.classify(batch, results, statistics)
                for number, result in zip(batch, results):
                    yield from self.row(self.plan.pieces[number], result)

    def row(self, piece, result):
        """Yields what a sound gets, if its last piece has come."""
        index = piece.index
        if index in self.done:
            return
        self.parts[index].append((piece, result))
        if len(self.parts[index]) == self.plan.counts[index]:
            yield index, self.joined(self.parts.pop(index))

    def read_all(self, numbers):
        """Yields what `read` gives of some pieces."""
        pieces = self.plan.pieces
        return read_ahead(
            self.read, numbers, self.ahead, lambda n: pieces[n].seconds
        )

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
        try:
            if isinstance(read, InputError):
                return read
            return self.recognizer.frames(read[0]), read[1]
        except InputError as error:
            return error
        finally:
            if number not in self.told:  # those of speakers are seen twice
                self.told.add(number)
                self.tell()

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
        numbers = self.plan.spoken[who]
        for number, read in zip(numbers, self.read_all(numbers)):
            result = self.frames(number, read)
            if isinstance(result, InputError):
                continue
            size = result[0].numel() * result[0].element_size()
            if size <= self.room:
                self.room -= size
                self.kept[number] = result
            yield result[0]

    def classify(self, batch, results, statistics):
        """Puts what the model says of a batch in place of its frames."""
        fit = [i for i, r in enumerate(results) if isinstance(r, tuple)]
        if not fit:
            return
        frames = [results[i][0] for i in fit]
        own = None
        if statistics is not None:
            own = [statistics[self.plan.speaker(batch[i])] for i in fit]
        for i, output in zip(fit, self.recognizer.classify(frames, own)):
            results[i] = output, results[i][1]

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
