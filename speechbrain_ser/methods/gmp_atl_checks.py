"""What GMP-ATL asks of its clusters, of the speakers and of the encoder."""

import hashlib
import json
import os

import torch

from speechbrain_ser.data.reading import file_digest
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import Setting, words_of

LARGEST = 65536  # clusters that two bytes can tell apart


class Clusters(Setting):
    """The number of clusters of each scale, a list or ``64,512``.

    Example
    -------
    >>> Clusters().mend([64, 1])
    'give different whole numbers from 2 to 65536, such as 64,512,4096'
    """

    def mend(self, value):
        """Returns an example, if they are no such numbers."""
        words = words_of(value)
        fit = all(w.isdecimal() and 2 <= int(w) <= LARGEST for w in words)
        if words and fit and len(set(map(int, words))) == len(words):
            return None
        return (
            f"give different whole numbers from 2 to {LARGEST}, such as "
            "64,512,4096"
        )


def clusters_of(value):
    """Reads the number of clusters of each scale.

    Arguments
    ---------
    value : list of int, str or int
        As `Clusters` takes it.

    Returns
    -------
    list of int
        Ascending.

    Example
    -------
    >>> clusters_of("512, 64")
    [64, 512]
    """
    return sorted(map(int, words_of(value)))


def labelled(parts):
    """Returns the utterances that get pseudo-labels: none that tests."""
    return parts["train"] | parts.get("valid", {})


def genders_of(annotation, alpha_e):
    """Returns the genders, after each speaker's was checked.

    Arguments
    ---------
    annotation : dict
        What stage 1 trains and validates on.
    alpha_e : float
        Of Eq. 1; at 1 the gender is not needed.

    Returns
    -------
    list of str

    Raises
    ------
    InputError
        If a speaker has none or two, or there is only one.

    Example
    -------
    >>> genders_of({"a": {"gender": "F"}, "b": {"gender": "M"}}, 0.9)
    ['F', 'M']
    """
    if alpha_e == 1:
        return ["unknown"]
    mend = "give --alpha_e 1 to leave the gender out, or --pseudo_labels off"
    of_speaker = {}
    for key, entry in annotation.items():
        gender, speaker = entry.get("gender"), entry.get("speaker")
        who = f"speaker {speaker}" if speaker else "its speaker"
        if gender is None:
            raise InputError(
                f"the utterance {key}: {who} has no gender, which stage 1 "
                f"learns: add it to the annotation, or {mend}"
            )
        first = of_speaker.setdefault(speaker or key, (gender, key))
        if first[0] != gender:
            raise InputError(
                f"{who} is {first[0]} in the utterance {first[1]} and {gender} "
                f"in {key}: correct the annotation"
            )
    genders = sorted({gender for gender, _ in of_speaker.values()})
    if len(genders) < 2:
        raise InputError(
            f"all speakers of the train part are {genders[0]}, so that no "
            f"gender can be learnt: {mend}"
        )
    return genders


def check_layer(encoder, layer, source):
    """Refuses a layer that the encoder does not have, or that never changes.

    Arguments
    ---------
    encoder : SpeechModel
        Read at its last layer.
    layer : int
        -1 is the last.
    source : str

    Raises
    ------
    InputError
    """
    n_layers = encoder.layer
    if not -n_layers <= layer <= -1 and not 1 <= layer <= n_layers:
        raise InputError(
            f"--layer is {layer}, but {source} has {n_layers} transformer "
            f"blocks: give a layer from -{n_layers} (the first) to -1 (the last)"
        )
    frozen = encoder.frozen_layers
    if layer % (n_layers + 1) < frozen:
        raise InputError(
            f"--layer is {layer}, but the first {frozen} of {n_layers} blocks "
            "are frozen, which stage 1 does not change: give a layer from "
            f"{frozen} to {n_layers}, or fewer --frozen_layers"
        )


def check_trained(encoder):
    """Refuses an encoder of which nothing is trained.

    Arguments
    ---------
    encoder : SpeechModel

    Raises
    ------
    InputError
    """
    if encoder.has_prefix and encoder.frozen_layers == encoder.layer:
        raise InputError(
            f"all {encoder.layer} blocks of the encoder are frozen, so that no "
            "stage could retrain it: give fewer --frozen_layers"
        )


def check_frames(
    encoder, annotation, sizes, sample_rate, kmeans_frames, kmeans_memory
):
    """Refuses more centres than there are frames to find them in.

    Arguments
    ---------
    encoder : SpeechModel
    annotation : dict
        What k-means is fitted on.
    sizes : list of int
        The number of clusters of each scale.
    sample_rate : int
    kmeans_frames : int or None
    kmeans_memory : float
        See `pseudo_labelling.make_pseudo_labels`.

    Raises
    ------
    InputError
        With both numbers.
    """
    largest = max(sizes)
    samples = [
        round(entry["duration"] * sample_rate) for entry in annotation.values()
    ]
    frames = int(encoder.count_frames(torch.tensor(samples)).sum())
    if largest > frames:
        raise InputError(
            f"--clusters asks for {largest} centres, but the train part has "
            f"{frames} frames: give fewer centres, or more speech"
        )
    fitting = int(kmeans_memory * 1e9) // (4 * encoder.dim)
    taken = min(kmeans_frames or frames, fitting)
    if largest > taken:
        raise InputError(
            f"--clusters asks for {largest} centres, but --kmeans_frames and "
            f"--kmeans_memory leave {taken} frames to find them in: give fewer "
            "centres, or larger ones of these"
        )


def check_labels(labels, parts):
    """Refuses pseudo-labels that were made for another split.

    Arguments
    ---------
    labels : PseudoLabels
    parts : dict
        Part to annotation.

    Raises
    ------
    InputError
        If an utterance that trains or validates has none, or one that tests had
        a share in them.
    """
    held = set(labels.about.get("speakers") or [])
    for key, entry in parts["test"].items():
        if key in labels.ids or entry.get("speaker") in held:
            raise InputError(
                f"the pseudo-labels in {labels.folder} were made with speech of "
                f"{entry.get('speaker') or key}, who is tested here: give those of "
                "this fold, or no --pseudo_label_folder"
            )
    for key in labelled(parts):
        labels.count(key)


def source_digest(source):
    """Names the model that an encoder starts from.

    Arguments
    ---------
    source : str
        A hub name, which names itself, or a local folder: the SHA-256 of its
        files.

    Returns
    -------
    str

    Example
    -------
    >>> source_digest("facebook/hubert-base-ls960")
    'facebook/hubert-base-ls960'
    """
    if not os.path.isdir(source):
        return source
    return digest(
        {
            name: file_digest(os.path.join(source, name))
            for name in os.listdir(source)
            if name.endswith((".json", ".safetensors", ".bin"))
        }
    )


def genders_digest(annotation):
    """Returns the SHA-256 of everybody's gender.

    Example
    -------
    >>> genders_digest({"a": {"gender": "F"}}) == genders_digest({"a": {}})
    False
    """
    return digest({key: e.get("gender") for key, e in annotation.items()})


def digest(value):
    """Returns the SHA-256 of a plain value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
