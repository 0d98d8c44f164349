"""Fixed features of all speech of a run: computed once, held in memory."""

from speechbrain_ser.data.frame_cache import FrameCache, fill_once
from speechbrain_ser.data.layer_statistics import taken
from speechbrain_ser.utils.audio import place
from speechbrain_ser.utils.errors import InputError


def cached_features(
    folder,
    features,
    annotations,
    sample_rate=16000,
    device=None,
    what=None,
    copies=None,
):
    """Computes the features of annotations, or reads what was computed before.

    They are as `features` gives them, those of a speech model in half precision.
    A `StandardisedReader` standardises them when an utterance is read: so a
    checkpoint's own statistics count once it is loaded, and speech that comes
    later needs nothing else.

    Arguments
    ---------
    folder : str
        Where features are kept.
    features : LogMel, LogMelPitchEnergy or a speech encoder with frozen blocks
    annotations : iterable of dict
        Id to entry; the same speech may have several ids.
    sample_rate : int
        In Hz.
    device : str or None
        Where they are computed; None: SpeechBrain's best guess.
    what : str, optional
        Their name in the log.
    copies : AugmentedCopies, optional
        See `FrameCache`.

    Returns
    -------
    dict
        Place of the speech, see `utils.audio.place`, to features,
        ``[time, prefix_dim]``, or what is `layer_statistics.taken` of them; in
        the order of the annotations.

    Raises
    ------
    InputError
        If there is no folder, or it can't be written.

    Example
    -------
    >>> from speechbrain_ser.lobes.features import LogMel
    >>> train = getfixture("tones")
    >>> folder = getfixture("tmp_path") / "features"
    >>> held = cached_features(folder, LogMel(n_mels=26), [train])
    >>> held[place(train["tone0"])].shape
    torch.Size([51, 26])
    """
    if folder is None:
        raise InputError("the features need a folder: give --cache_folder")
    half = hasattr(features, "has_prefix")  # frames of a speech model
    cache = FrameCache(folder, features, sample_rate, half, copies)
    speech = fill_once(cache, features, annotations, device, what or "features")
    return {k: taken(features, cache.read(e)) for k, e in speech.items()}


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
