"""What LPMN's recipes ask of their settings, before anything is trained."""

import os

from speechbrain_ser.experiment.recipe import check_selection, one_of, words_of
from speechbrain_ser.utils.audio_files import inspect_audio
from speechbrain_ser.utils.errors import InputError

POOLINGS = ("lpmn", "average", "max")


def sizes_of(select, pooling, n_prototypes):
    """Reads the numbers of prototypes that are to be selected, K'.

    Arguments
    ---------
    select : list of int, str, int or None
        ``[512, 60]``, or ``512,60`` as a command line has it.
    pooling : str
        Where there are no prototypes, none is selected.
    n_prototypes : int
        K.

    Returns
    -------
    list of int
        Each once, the largest first.

    Raises
    ------
    InputError
        If one is no number from 1 to K.

    Example
    -------
    >>> sizes_of("60,512", "lpmn", 1024)
    [512, 60]
    """
    if pooling != "lpmn":
        return []
    sizes = set()
    for word in words_of(select):
        if not word.isdecimal() or not 1 <= int(word) <= n_prototypes:
            raise InputError(
                f"--select {word}: give whole numbers of prototypes, such as "
                f"512,60, from 1 to {n_prototypes} (--n_prototypes)"
            )
        sizes.add(int(word))
    return sorted(sizes, reverse=True)


def selected_parts(sizes):
    """Names the parts that a report has besides: see `lpmn.LPMNBrain`.

    Example
    -------
    >>> selected_parts([60])
    ('evaluation_all', 'evaluation_60', 'evaluation_random_60')
    """
    if not sizes:
        return ()
    names = ["all"] + [f"{kind}{k}" for kind in ("", "random_") for k in sizes]
    return tuple(f"evaluation_{name}" for name in names)


def check_settings(settings):
    """Refuses settings of LPMN that can't be meant; see `sizes_of`.

    Arguments
    ---------
    settings : dict
        The settings of the hparams file.

    Returns
    -------
    list of int
        The numbers of prototypes to select, K'.

    Raises
    ------
    InputError
        Naming the setting and the mend.
    """
    one_of("pooling", settings["pooling"], POOLINGS)
    if not isinstance(settings["labels"], list):
        raise InputError(
            f"--labels is {settings['labels']!r}: give a list in brackets, such "
            "as --labels '[ang, sad]', and --n_classes"
        )
    if len(settings["labels"]) != settings["n_classes"]:
        raise InputError(
            f"n_classes is {settings['n_classes']}, but labels has "
            f"{len(settings['labels'])} words: make them agree"
        )
    # an object in the hparams file is no plain setting
    augmented = settings.get("augmenter", "an object") is not None
    if settings["cache"] and augmented:
        raise InputError(
            "cached frames can't be augmented: they are those of the waveforms "
            "as they are; give --cache False, or augmenter: null"
        )
    k, tau = settings["n_prototypes"], settings["tau"]
    decay = settings["importance_decay"]
    if type(k) is not int or k < 1:
        raise InputError(
            f"--n_prototypes is {k!r}: give a whole number above 0"
        )
    if type(tau) not in (int, float) or tau <= 0:
        raise InputError(f"--tau is {tau!r}: give a number above 0")
    if type(decay) not in (int, float) or not 0 <= decay < 1:
        raise InputError(
            f"--importance_decay is {decay!r}: give a number from 0 to below 1"
        )
    codebook = settings["codebook"]
    if codebook is not None and not os.path.isfile(codebook):
        raise InputError(
            f"there is no codebook {codebook}: give the codebook.ckpt that "
            "train_codebook.py wrote"
        )
    return sizes_of(
        settings["select"], settings["pooling"], settings["n_prototypes"]
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
    if settings.get("valence_weight"):
        held = [e for e in parts["train"].values() if "valence" in e]
        if not held:
            raise InputError(
                "no utterance of the training part has a valence: add it to "
                f"{settings['train_annotation']}, or give --valence_weight 0"
            )
    for name in words_of(settings["drawn"]):
        entry_of(name, parts)


def check_frames(encoder, frame_dim):
    """Refuses a size of frames that is not what the encoder gives.

    Arguments
    ---------
    encoder : torch.nn.Module
        Its ``dim`` is the size of a frame.
    frame_dim : int

    Raises
    ------
    InputError
        Naming both sizes.
    """
    if encoder.dim != frame_dim:
        raise InputError(
            f"frame_dim is {frame_dim}, but the encoder's frames have "
            f"{encoder.dim} channels: set --frame_dim {encoder.dim}"
        )


def entry_of(name, parts):
    """Returns the entry of an utterance, or one for an audio file.

    Arguments
    ---------
    name : str
        An id of any part, or a path.
    parts : dict
        Part to annotation.

    Returns
    -------
    dict

    Raises
    ------
    InputError
        If it is neither.
    """
    for part in parts.values():
        if name in part:
            return part[name]
    if not os.path.exists(name):
        raise InputError(
            f"--drawn {name} is neither an utterance of {', '.join(parts)} nor "
            "an audio file: give one of these"
        )
    inspect_audio(name)
    return {"wav": os.path.abspath(name)}
