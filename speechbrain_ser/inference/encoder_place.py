"""Where the pre-trained encoder of a model folder lies."""

import os
import re

from speechbrain_ser.inference.hub import hub_cache, hub_place
from speechbrain_ser.inference.plain_json import read_plain, shown
from speechbrain_ser.inference.tensors import speech_model_of
from speechbrain_ser.utils.errors import InputError

INSIDE = "encoder"  # of a model folder
# Not a path: no part of it begins with a dot.
HUB_NAME = re.compile(r"(?!\.)[\w.-]+(/(?!\.)[\w.-]+)?", re.ASCII)
# What may lie beside its weights; nothing that is code, or would be unpickled.
BESIDE = (".json", ".safetensors", ".md", ".txt")
UNKNOWN = 1 << 34  # bytes
LAYERS = 200  # no encoder has more
ADAPTER = "adapter_config.json"  # transformers would load what that names


def place_of(folder, told, encoder_folder=None):
    """Says from where an encoder is loaded.

    Arguments
    ---------
    folder : str
        Of the model.
    told : dict or None
        What the folder says of its encoder: ``name``, ``copied`` and
        ``prefix_sha256``.
    encoder_folder : str, optional
        A copy of it.

    Returns
    -------
    dict or None
        ``source`` and ``save_path``; None without a pre-trained encoder.

    Raises
    ------
    InputError
        If it is none of a folder's own, or of a hub.
    """
    if told is None:
        if encoder_folder is not None:
            raise InputError(
                f"the model in {folder} has no pre-trained encoder: leave "
                "--encoder_folder out"
            )
        return None
    if encoder_folder is not None:
        if not os.path.isdir(encoder_folder):
            raise InputError(
                f"there is no folder {encoder_folder}: give --encoder_folder "
                f"the one of a copy of {told['name']}"
            )
        return {"source": encoder_folder, "save_path": hub_cache()}
    if told["copied"]:
        inside = os.path.join(folder, INSIDE)
        if not os.path.isfile(os.path.join(inside, "model.safetensors")):
            raise InputError(
                f"{inside} holds no encoder (model.safetensors): copy the "
                "model folder whole, or give --encoder_folder"
            )
        check_inside(inside)
        return {"source": inside, "save_path": hub_cache()}
    if not HUB_NAME.fullmatch(told["name"]) or os.path.exists(told["name"]):
        raise InputError(
            f"the model in {folder} names the encoder {shown(told['name'])}, "
            "which is no hub name, or a path here: give --encoder_folder the "
            "folder of a copy of it"
        )
    return {"source": hub_place(told["name"]), "save_path": hub_cache()}


def check_inside(folder):
    """Refuses a copied encoder that holds more than safetensors and JSON."""
    for name in sorted(os.listdir(folder)):
        hidden = name.startswith(".")
        if name == ADAPTER or not (hidden or name.endswith(BESIDE)):
            raise InputError(
                f"{folder} holds {name}, which no exported encoder does: "
                "delete it, or give --encoder_folder"
            )
    try:
        told = read_plain(os.path.join(folder, "config.json"))
    except (OSError, ValueError) as failure:
        raise InputError(
            f"the config.json in {folder} can't be read ({shown(failure)}): "
            "copy the model folder again"
        ) from None
    for name, value in told.items() if isinstance(told, dict) else ():
        if name.endswith("layers") and isinstance(value, int | float):
            if value > LAYERS:
                raise InputError(
                    f"{folder} has {name} {shown(value)}, and no encoder has "
                    f"more than {LAYERS}: copy the model folder again"
                )


def size_of(path):
    """Returns the bytes of a file, 0 of none."""
    return os.path.getsize(path) if os.path.isfile(path) else 0


def size_of_encoder(source):
    """Returns the bytes of an encoder's weights.

    Arguments
    ---------
    source : dict or None
        Of `place_of`.

    Returns
    -------
    int
        0 without one; more than any has where it lies in a hub.
    """
    if source is None:
        return 0
    place = source["source"]
    if not os.path.isdir(place):
        return UNKNOWN
    return sum(
        size_of(os.path.join(place, name))
        for name in os.listdir(place)
        if name.endswith((".safetensors", ".bin"))
    )


def check_encoder(model, told, source):
    """Refuses another encoder than the model was trained with.

    Arguments
    ---------
    model : EmotionModel
    told : dict or None
        See `place_of`.
    source : dict or None
        Of `place_of`.

    Raises
    ------
    InputError
    """
    _, encoder = speech_model_of(model)
    if (encoder is None) != (told is None):
        raise InputError(
            "config.json names an encoder that the model does not have, or "
            "does not name the one that it has: export it again"
        )
    if encoder is None or not encoder.has_prefix:
        return
    if encoder.prefix_digest() != told["prefix_sha256"]:
        raise InputError(
            f"the encoder in {source['source']} is not {told['name']} as the "
            "model was trained with (its weights differ): give --encoder_folder "
            "the folder of a copy of it"
        )


def told_of(encoder, name=None, copied=False):
    """Says of a run's encoder what a model folder has to say.

    Arguments
    ---------
    encoder : SpeechModel or None
    name : str, optional
        On the hub; default: as the run's source is called.
    copied : bool
        Whether a copy is asked for.

    Returns
    -------
    dict or None

    Raises
    ------
    InputError
        If that is no name of a hub.
    """
    if encoder is None:
        return None
    name = name or public_name(str(encoder.source))
    if not HUB_NAME.fullmatch(name):
        raise InputError(
            f"{name!r} is no hub name: give --encoder_name, such as "
            "openai/whisper-base"
        )
    copied = copied or not encoder.has_prefix
    digest = encoder.prefix_digest() if encoder.has_prefix else None
    return {"name": name, "copied": copied, "prefix_sha256": digest}


def public_name(source):
    """Returns a source's hub name; of a local folder its last part.

    Example
    -------
    >>> public_name("openai/whisper-base"), public_name("/data/models/w2v2/")
    ('openai/whisper-base', 'w2v2')
    """
    if os.path.isdir(source) or os.path.isabs(source):
        return os.path.basename(os.path.normpath(source))
    return source
