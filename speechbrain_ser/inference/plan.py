"""Which speech is computed together: planned from the whole list."""

import collections
import dataclasses

from speechbrain_ser.inference.journal import digest
from speechbrain_ser.inference.speech import Sound
from speechbrain_ser.utils.errors import InputError


@dataclasses.dataclass(frozen=True)
class Piece:
    """A piece of one sound.

    Arguments
    ---------
    index : int
        Of the sound in the list.
    first, last : int
        Its first sample, and one past its last, at the file's own rate.
    seconds : float
    """

    index: int
    first: int
    last: int
    seconds: float


class Plan:
    """The pieces of a list of sounds, in batches of like length.

    Sounds that are done are planned too, so that a command that goes on forms
    the batches of one that was never stopped.

    Arguments
    ---------
    recognizer : EmotionRecognizer
    sounds : list
        A Sound, or the InputError of what can't be labelled.
    batch_size : int, optional

    Attributes
    ----------
    pieces : list of Piece
    batches : list of list of int
        Which pieces.
    counts : dict
        Index of a sound to the number of its pieces.
    """

    def __init__(self, recognizer, sounds, batch_size=None):
        self.by_speaker = recognizer.by == "speaker"
        self.padding_matters = recognizer.padding_matters
        self.sounds = sounds
        self.pieces = [
            Piece(index, first, last, (last - first) / sound.info.sample_rate)
            for index, sound in enumerate(sounds)
            if isinstance(sound, Sound)
            for first, last in sound.pieces(recognizer.max_seconds)
        ]
        self.counts = collections.Counter(p.index for p in self.pieces)
        seconds = [piece.seconds for piece in self.pieces]
        self.batches = []
        if seconds:
            self.batches = recognizer.batches(seconds, batch_size)
        self.spoken = self._spoken() if self.by_speaker else {}

    def _spoken(self):
        """Speaker to all that he says, by whatever batches."""
        spoken = collections.defaultdict(list)
        for number, piece in enumerate(self.pieces):
            speech = self.sounds[piece.index].speech
            if speech.speaker is None:
                raise InputError(
                    f"the speaker of '{speech.name}' is not known, and this "
                    "model is to standardise each on all that he says: give "
                    "--speakers folder or all, or a table with the column "
                    "speaker"
                )
            spoken[speech.speaker].append(number)
        return dict(spoken)

    def speaker(self, number):
        """Who says a piece."""
        return self.sounds[self.pieces[number].index].speech.speaker

    def contexts(self, keys):
        """Names what each sound's posterior depends on besides itself.

        That is what its speaker says besides, where he is standardised by it,
        and who shares its batches, where padding changes results.

        Arguments
        ---------
        keys : list of str
            A name of each sound, as its file is now.

        Returns
        -------
        list of str
            Empty where it depends on nothing else.
        """
        parts = collections.defaultdict(list)
        for numbers in self.spoken.values():
            said = [keys[index] for index in self._indices(numbers)]
            name = digest("speaker", sorted(map(str, said)))
            for index in self._indices(numbers):
                parts[index].append(name)
        if self.padding_matters:
            for batch in self.batches:
                members = [self.pieces[number] for number in batch]
                name = digest(
                    "batch", [(keys[p.index], p.first, p.last) for p in members]
                )
                for index in self._indices(batch):
                    parts[index].append(name)
        return [
            digest(*parts[index]) if parts[index] else ""
            for index in range(len(self.sounds))
        ]

    def _indices(self, numbers):
        """The sounds of some pieces, each once."""
        return list(dict.fromkeys(self.pieces[n].index for n in numbers))

    def missing(self, done):
        """The batches of which something is not done; each is computed whole.

        Arguments
        ---------
        done : container of int
            Indices of sounds.

        Returns
        -------
        list of list of int
        """
        return [
            batch
            for batch in self.batches
            if any(self.pieces[number].index not in done for number in batch)
        ]
