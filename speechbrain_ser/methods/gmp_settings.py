"""What GMP-ATL's recipe asks of its settings and of the speakers."""

import os

import torch

from speechbrain_ser.experiment.plan import digest, file_digest
from speechbrain_ser.experiment.recipe import check_selection, one_of, words_of
from speechbrain_ser.methods.gmp_atl import LOSSES
from speechbrain_ser.utils.errors import InputError

LARGEST = 65536  # clusters that two bytes can tell apart
STARTS = ("pretrained", "multitask")
# Settings by the stage that they belong to first; all others belong to all.
OF_LABELS = ("kmeans_", "clusters", "layer")
OF_MULTITASK = ("multitask_", "alpha_e", "class_weights")
OF_RETRAINING = ("retraining_", "mask_")
OF_FINETUNING = (
    "finetuning_",
    "pseudo_labels",
    "loss",
    "margin",
    "scale",
    "watched_epochs",
)


def stages_of(value):
    """Reads which stages are to be run.

    Arguments
    ---------
    value : list of int, str or int
        ``[2, 3]``, or ``2,3`` as a command line has it.

    Returns
    -------
    list of int

    Raises
    ------
    InputError
        If one is no stage.

    Example
    -------
    >>> stages_of("3,2")
    [2, 3]
    """
    words = set(words_of(value))
    if not words or words - {"1", "2", "3"}:
        raise InputError(
            f"--stages is {value!r}: give numbers of stages, such as 2,3, of "
            "1 (multi-task training and pseudo-labels), 2 (retraining) and 3 "
            "(fine-tuning)"
        )
    return sorted(map(int, words))


def clusters_of(value):
    """Reads the number of clusters of each scale.

    Arguments
    ---------
    value : list of int, str or int
        ``[64, 512]``, or ``64,512`` as a command line has it.

    Returns
    -------
    list of int
        Ascending.

    Raises
    ------
    InputError
        If one is no whole number from 2 to 65536, or is given twice.

    Example
    -------
    >>> clusters_of("512, 64")
    [64, 512]
    """
    words = words_of(value)
    fit = all(w.isdecimal() and 2 <= int(w) <= LARGEST for w in words)
    if not words or not fit or len(set(map(int, words))) < len(words):
        raise InputError(
            f"--clusters is {value!r}: give different whole numbers from 2 to "
            f"{LARGEST}, such as 64,512,4096"
        )
    return sorted(map(int, words))


def check_settings(settings):
    """Refuses settings that can't be meant.

    Arguments
    ---------
    settings : dict
        Of the hparams file.

    Raises
    ------
    InputError
        Naming the setting and the mend.
    """
    one_of("pseudo_labels", settings["pseudo_labels"], ("on", "off"))
    one_of("loss", settings["loss"], LOSSES)
    one_of("retraining_start", settings["retraining_start"], STARTS)
    stages_of(settings["stages"])
    clusters_of(settings["clusters"])
    if not isinstance(settings["labels"], list):
        raise InputError(
            f"--labels is {settings['labels']!r}: give a list in brackets, such "
            "as --labels '[ang, sad]'"
        )
    if type(settings["layer"]) is not int:
        raise InputError(
            f"--layer is {settings['layer']!r}: give a whole number, such as -3 "
            "for the third layer from the end"
        )
    for name, kinds, low, high in (
        ("alpha_e", (int, float), 0, 1),
        ("margin", (int, float), 0, 2),
        ("scale", (int, float), 1e-6, 1e6),
        ("mask_prob", (int, float), 1e-6, 1),
        ("mask_length", (int,), 1, 1e6),
        ("mask_min_spans", (int,), 0, 1e6),
        ("kmeans_memory", (int, float), 1e-6, 1e6),
        ("kmeans_frames", (int,), 1, 1e12),
    ):
        value = settings[name]
        if name == "kmeans_frames" and value is None:
            continue
        if type(value) not in kinds or not low <= value <= high:
            whole = "" if float in kinds else "whole "
            raise InputError(
                f"--{name} is {value!r}: give a {whole}number from {low:g} to "
                f"{high:g}"
            )
    folder = settings["label_folder"]
    if folder is not None and settings["retraining_start"] == "multitask":
        raise InputError(
            "pseudo-labels of --label_folder come without the encoder of stage "
            "1: give --retraining_start pretrained"
        )


def check_parts(parts, settings):
    """Refuses a split that can't be trained on as the settings say.

    Arguments
    ---------
    parts : dict
        Part to annotation.
    settings : dict

    Raises
    ------
    InputError
        Naming what is missing and the mend.
    """
    check_selection(parts, settings)
    if settings["pseudo_labels"] == "off":
        return
    labelled = parts["train"] | parts["validation"]
    if settings["label_folder"] is None:
        genders_of(labelled, settings["alpha_e"])


def check_drawn(drawn, parts):
    """Refuses to draw the pseudo-labels of what has none.

    Arguments
    ---------
    drawn : list of str, str or None
        Utterances, or their pieces where long ones are split.
    parts : dict
        Part to annotation, as they are trained on.

    Raises
    ------
    InputError
    """
    for name in words_of(drawn):
        if name not in parts["train"] | parts["validation"]:
            raise InputError(
                f"--drawn {name}: it has no pseudo-labels, give utterances of "
                "the train or validation part"
            )


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
    """Refuses a layer that the encoder does not have.

    Arguments
    ---------
    encoder : SSLEncoder
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


def check_frames(encoder, annotation, settings):
    """Refuses more centres than there are frames to find them in.

    Arguments
    ---------
    encoder : SSLEncoder
    annotation : dict
        What k-means is fitted on.
    settings : dict
        With ``clusters``, ``sample_rate``, ``kmeans_frames`` and
        ``kmeans_memory``.

    Raises
    ------
    InputError
        With both numbers.
    """
    largest = max(clusters_of(settings["clusters"]))
    samples = [
        round(entry["duration"] * settings["sample_rate"])
        for entry in annotation.values()
    ]
    frames = int(encoder.count_frames(torch.tensor(samples)).sum())
    if largest > frames:
        raise InputError(
            f"--clusters asks for {largest} centres, but the train part has "
            f"{frames} frames: give fewer centres, or more speech"
        )
    fitting = int(settings["kmeans_memory"] * 1e9) // (4 * encoder.dim)
    taken = min(settings["kmeans_frames"] or frames, fitting)
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
        If an utterance that trains or validates has none, or one that evaluates
        had a share in them.
    """
    held = set(labels.about.get("speakers") or [])
    for key, entry in parts["evaluation"].items():
        if key in labels.ids or entry.get("speaker") in held:
            raise InputError(
                f"the pseudo-labels in {labels.folder} were made with speech of "
                f"{entry.get('speaker') or key}, who evaluates here: give those "
                "of this fold, or no --label_folder"
            )
    for key in parts["train"] | parts["validation"]:
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
    held = {
        name: file_digest(os.path.join(source, name))
        for name in sorted(os.listdir(source))
        if name.endswith((".json", ".safetensors", ".bin"))
    }
    return digest(held)


def genders_digest(annotation):
    """Returns the SHA-256 of everybody's gender.

    Example
    -------
    >>> genders_digest({"a": {"gender": "F"}}) == genders_digest({"a": {}})
    False
    """
    held = {key: entry.get("gender") for key, entry in annotation.items()}
    return digest(held)
