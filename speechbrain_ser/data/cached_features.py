"""Fixed features of all speech of a run: computed once, held in memory."""

from speechbrain_ser.data.frame_cache import FrameCache, fill_once
from speechbrain_ser.utils.audio import place
from speechbrain_ser.utils.errors import InputError


def cached_features(
    folder, features, annotations, sample_rate=16000, device=None, what=None
):
    """Computes the features of annotations, or reads what was computed before.

    They are as `features` gives them. What is fitted on them, say a
    `lobes.features.Standardisation`, is applied when an utterance is read: then
    a checkpoint's own statistics count once it is loaded, and speech that comes
    later needs nothing else.

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
    >>> standardise = Standardisation(dim=26)
    >>> standardise.fit(held_of(held, train.values()))
    >>> def read(entry):
    ...     return fixed_length(standardise(held[place(entry)]), 100)
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
