"""From an annotation to batches of waveforms and class indices."""

import numpy as np
import torch

from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.utils.data_pipeline import provides, takes
from speechbrain_ser.utils.audio import load_audio
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import OneOf, check

UNLABELLED = -1
CLASS_WEIGHTS = ("none", "balanced")


def make_dataset(
    annotation, labels, sample_rate=16000, read=None, numbers=(), more=None
):
    """Makes SpeechBrain's dataset of an annotation.

    Arguments
    ---------
    annotation : dict
        Id to entry; an entry whose ``emotion`` is None is unlabelled.
    labels : list of str
        The class words; a class's index is its place in the list.
    sample_rate : int
        In Hz; files of another rate are resampled.
    read : callable, optional
        Entry to what ``sig`` is, say `frame_cache.FrameCache.read`; default:
        the waveform.
    numbers : list of str
        Of an entry, as ``valence``: given under their names, NaN where an entry
        has none.
    more : dict, optional
        Name to a callable of id and entry: what else is given.

    Returns
    -------
    DynamicItemDataset
        Gives ``id``, ``sig``, ``label`` (class index, or `UNLABELLED`), the
        numbers and what else there is.

    Raises
    ------
    InputError
        If an emotion is not among the labels.
    """
    index = class_index(annotation, labels)
    more = more or {}

    @takes("id", "entry")
    @provides("sig", "label", *numbers, *more)
    def give(key, entry):
        """Reads the signal, looks up the class, the numbers and the rest."""
        yield read(entry) if read else load_audio(entry, sample_rate)
        yield index[entry.get("emotion")]
        for name in numbers:
            yield float(entry.get(name, "nan"))
        for look_up in more.values():
            yield look_up(key, entry)

    data = {key: {"entry": entry} for key, entry in annotation.items()}
    return DynamicItemDataset(
        data,
        dynamic_items=[give],
        output_keys=["id", "sig", "label", *numbers, *more],
    )


def class_index(annotation, labels):
    """Returns the index of each class word, `UNLABELLED` of None.

    Arguments
    ---------
    annotation : dict
        Id to entry.
    labels : list of str

    Returns
    -------
    dict

    Raises
    ------
    InputError
        If an emotion of the annotation is not among the labels.

    Example
    -------
    >>> class_index({"a": {"emotion": "sad"}}, ["sad", "neu"])
    {'sad': 0, 'neu': 1, None: -1}
    """
    index = {word: i for i, word in enumerate(labels)}
    index[None] = UNLABELLED
    for key, entry in annotation.items():
        if entry.get("emotion") not in index:
            raise InputError(
                f"the utterance {key} has the emotion {entry['emotion']!r}, "
                f"which is not among the labels {', '.join(labels)}: add it to "
                "labels or take the utterance out of the annotation"
            )
    return index


def without_labels(annotation):
    """Returns an annotation that says nothing of anybody's emotion.

    Example
    -------
    >>> part = {"a": {"wav": "a.wav", "duration": 1.0, "emotion": "sad"}}
    >>> without_labels(part)
    {'a': {'wav': 'a.wav', 'duration': 1.0}}
    """
    kept = (
        *("wav", "channel", "start", "stop", "duration"),
        *("utterance", "speaker"),
    )
    return {
        key: {name: entry[name] for name in kept if name in entry}
        for key, entry in annotation.items()
    }


def entries(dataset):
    """Returns the entries of a dataset in its order, without reading audio."""
    return [dataset.data[key]["entry"] for key in dataset.data_ids]


def class_weights(annotation, labels, how: OneOf(*CLASS_WEIGHTS) = "none"):
    """Returns the weight of each class in the cross entropy.

    Arguments
    ---------
    annotation : dict
        The labelled training part.
    labels : list of str
    how : str
        ``none``, or ``balanced`` for n / (n_classes * n of the class).

    Returns
    -------
    torch.Tensor or None
        ``[n_classes]``.

    Raises
    ------
    InputError
        If `how` is another word.

    Example
    -------
    >>> part = {i: {"emotion": word} for i, word in enumerate("aab")}
    >>> class_weights(part, ["a", "b"], "balanced")
    tensor([0.7500, 1.5000])
    """
    check(class_weights, {"how": how}, {"how": "--class_weights"})
    if how == "none":
        return None
    words = [entry["emotion"] for entry in annotation.values()]
    count = np.array([words.count(word) for word in labels])
    return torch.tensor(len(words) / (len(labels) * count)).float()
