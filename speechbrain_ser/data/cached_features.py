"""Fixed features of all speech of a run: computed once, held in memory."""

from speechbrain_ser.data.frame_cache import FrameCache, fill_once
from speechbrain_ser.utils.audio import place
from speechbrain_ser.utils.errors import InputError


def cached_features(
    folder, features, annotations, sample_rate=16000, device=None, what=None
):
    """Computes the features of annotations, or reads what was computed before.

    They are as `features` gives them. A `StandardisedReader` standardises them
    when an utterance is read: so a checkpoint's own statistics count once it is
    loaded, and speech that comes later needs nothing else.

    Arguments
    ---------
    folder : str
        Where features are kept.
    features : LogMel or LogMelPitchEnergy
    annotations : iterable of dict
        Id to entry; the same speech may have several ids.
    sample_rate : int
        In Hz.
    device : str or None
        Where they are computed; None: SpeechBrain's best guess.
    what : str, optional
        Their name in the log.

    Returns
    -------
    dict
        Place of the speech, see `utils.audio.place`, to features,
        ``[time, dim]``, float32; in the order of the annotations.

    Raises
    ------
    InputError
        If there is no folder, or it can't be written.

    Example
    -------
    >>> from speechbrain_ser.lobes.features import (
    ...     LogMel,
    ...     Standardisation,
    ...     fixed_length,
    ... )
    >>> train = getfixture("tones")
    >>> folder = getfixture("tmp_path") / "features"
    >>> held = cached_features(folder, LogMel(n_mels=26), [train])
    >>> read = StandardisedReader(
    ...     Standardisation(dim=26), lambda frames: fixed_length(frames, 100)
    ... )
    >>> read.held |= held
    >>> read.standardise.fit(held_of(held, train.values()))
    >>> read(train["tone0"]).shape
    torch.Size([100, 26])
    """
    if folder is None:
        raise InputError("the features need a folder: give --cache_folder")
    cache = FrameCache(folder, features, sample_rate, half=False)
    speech = fill_once(cache, features, annotations, device, what or "features")
    return {key: cache.read(entry) for key, entry in speech.items()}


def held_of(held, entries):
    """Returns the features of entries, of the same speech once.

    Arguments
    ---------
    held : dict
        Of `cached_features`.
    entries : iterable of dict

    Returns
    -------
    list of torch.Tensor
        In the order of the entries.

    Example
    -------
    >>> entry = {"wav": "a.wav"}
    >>> held_of({place(entry): "frames"}, [entry, entry])
    ['frames']
    """
    return [held[key] for key in dict.fromkeys(map(place, entries))]


class StandardisedReader:
    """Reads held features, standardised, and keeps what it gave.

    Which statistics count is decided at each reading: as soon as they are
    fitted again, or a checkpoint's are loaded, what was kept is dropped.

    Arguments
    ---------
    standardise : Standardisation
        Or another module whose buffers say all that it does.
    finish : callable, optional
        Standardised features to what is given, say of one length.

    Attributes
    ----------
    held : dict
        Of `cached_features`; more can be added at any time.

    Example
    -------
    >>> import torch
    >>> from speechbrain_ser.lobes.features import Standardisation
    >>> entry, frames = {"wav": "a.wav"}, torch.tensor([[1.0], [3.0]])
    >>> read = StandardisedReader(Standardisation(dim=1))
    >>> read.held[place(entry)] = frames
    >>> read.standardise.fit([frames])
    >>> read(entry).flatten()
    tensor([-1.,  1.])
    >>> read.standardise.fit([10 * frames])
    >>> read(entry).flatten()
    tensor([-1.9000, -1.7000])
    """

    def __init__(self, standardise, finish=None):
        self.standardise = standardise
        self.finish = finish
        self.held = {}
        self._kept = {}
        self._buffers, self._versions = [], []

    def __call__(self, entry):
        """Returns the features of an entry, ``[time, dim]``."""
        buffers = list(self.standardise.buffers())
        # torch counts how often a tensor was written to
        versions = [(id(buffer), buffer._version) for buffer in buffers]
        if versions != self._versions:
            self._kept = {}
            self._buffers, self._versions = buffers, versions
        key = place(entry)
        if key not in self._kept:
            frames = self.standardise(self.held[key])
            self._kept[key] = self.finish(frames) if self.finish else frames
        return self._kept[key]

    def __getstate__(self):
        """Leaves out what was kept: another process has other tensors."""
        return self.__dict__ | {"_kept": {}, "_buffers": [], "_versions": []}
