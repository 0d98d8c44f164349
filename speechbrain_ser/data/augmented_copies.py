"""Augmented copies of utterances, whose frames can be kept."""

import contextlib
import hashlib
import random

import torch

from speechbrain_ser.data.augmentation import augment_copies

TRIALS = 32  # short signals by which an augmenter is known
TRIAL_LENGTH = 2048  # samples


class AugmentedCopies:
    """Makes so many augmented copies of an utterance, always the same ones.

    A copy is drawn by a seed of its own, which hangs on the speech and the
    copy's number alone: so what an encoder makes of it is kept like that of the
    utterance, and an epoch takes one copy of each.

    Arguments
    ---------
    augmenter : speechbrain.augment.augmenter.Augmenter
    count : int
        Copies of an utterance.

    Attributes
    ----------
    epoch : int
        Which it is; whoever trains sets it.
    fingerprint : str
        What the augmenter does, by what it makes of short signals: another one
        has other copies.

    Example
    -------
    >>> from speechbrain.augment.time_domain import DropChunk
    >>> from speechbrain.augment.augmenter import Augmenter
    >>> copies = AugmentedCopies(Augmenter(augmentations=[DropChunk()]), 2)
    >>> sorted(copies.of({"a": {"wav": "a.wav"}}))
    ['a-copy0', 'a-copy1']
    >>> wav = torch.randn(8000)
    >>> copies.make(wav, "a-copy0").equal(copies.make(wav, "a-copy0"))
    True
    """

    def __init__(self, augmenter, count):
        self.augmenter = augmenter
        self.count = count
        self.epoch = 0
        self.fingerprint = self._fingerprint()

    def of(self, annotation):
        """Returns the copies of an annotation, ``<id>-copy<number>``."""
        return {
            f"{key}-copy{number}": entry | {"copy": number}
            for key, entry in annotation.items()
            for number in range(self.count)
        }

    def number(self, key):
        """Returns which copy of an utterance this epoch takes, each in turn."""
        return (self.epoch + int(hashed(key)[:8], 16)) % self.count

    def make(self, wav, name):
        """Augments an utterance.

        Arguments
        ---------
        wav : torch.Tensor
            ``[samples]``.
        name : str
            Of the copy, by which it is drawn.

        Returns
        -------
        torch.Tensor
            ``[samples]``.
        """
        with drawn_by(name):
            return augment_copies(
                self.augmenter, wav.unsqueeze(0), torch.ones(1)
            )[0]

    def _fingerprint(self):
        """Hashes what becomes of short signals, rounded to 16 bits."""
        generator = torch.Generator().manual_seed(0)
        found = hashlib.sha256()
        for trial in range(TRIALS):
            wav = 0.1 * torch.randn(TRIAL_LENGTH, generator=generator)
            made = self.make(wav, f"trial {trial}").clamp(-1, 1)
            found.update((made * 32767).round().short().numpy().tobytes())
        return found.hexdigest()


@contextlib.contextmanager
def drawn_by(name):
    """Draws on the CPU by a name alone; what is drawn after it is not moved.

    The order of an augmenter's parts is drawn from Python's generator.
    """
    seed = int(hashed(name)[:15], 16)
    state, own = random.getstate(), torch.get_rng_state()
    try:
        # not torch.manual_seed, which seeds the generators of GPUs too
        torch.default_generator.manual_seed(seed)
        random.seed(seed)
        yield
    finally:
        torch.set_rng_state(own)
        random.setstate(state)


def hashed(text):
    """Returns the SHA-256 of a text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()
