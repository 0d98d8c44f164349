"""A portable model folder: what it says of itself, and the model in it.

It is read as JSON and safetensors alone. The ``hyperparams.yaml`` beside them
is for SpeechBrain's ``from_hparams`` and is never looked at here.
"""

import os

from speechbrain_ser.inference import models
from speechbrain_ser.inference.description import (
    FAILURES,
    build,
    in_short,
    made,
)
from speechbrain_ser.inference.emotion_model import EmotionModel
from speechbrain_ser.inference.encoder_place import (
    check_encoder,
    place_of,
    size_of,
    size_of_encoder,
)
from speechbrain_ser.inference.plain_json import read_plain, shown
from speechbrain_ser.inference.tensors import WEIGHTS, load_tensors
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import (
    Labels,
    ListOf,
    Number,
    Setting,
    Values,
    Whole,
    Word,
)

CONFIG = "config.json"
READY = "ready"  # the model in this package, where no folder is called so
FORMAT = 1  # of config.json; raised when an earlier reader would misread it
MODELS = {
    name: value
    for name, value in vars(models).items()
    if isinstance(value, type)
    and issubclass(value, EmotionModel)
    and value.__module__ == models.__name__
}
# What config.json must say, and what that may be.
FIELDS = {
    "name": Word(),
    "labels": Labels(),
    "sample_rate": Whole(1, 10**6),
    "temperature": Number(0.001, 1000, optional=True),
    "max_seconds": Number(1, 10**5),
    "batch_size": Whole(1, 10**5),
}
# What of the card is used, and what that may be.
CARD = {
    "method": Word(optional=True),
    "corpus": Word(optional=True),
    "protocol": Word(optional=True),
    "languages": ListOf(Word(), 0, "[de]", optional=True),
    "languages_of": Values(ListOf(Word(), 0, "[de]")),
    "sample_rates": ListOf(Whole(1), 0, "[16000]", optional=True),
    "calibration": Values(Setting()),
}
LONGEST = 100  # characters of a name or label
MEND = "copy the folder again, or export the model again with ser-export"


def read_config(folder):
    """Reads what a model folder says of itself.

    Arguments
    ---------
    folder : str

    Returns
    -------
    dict
        ``config.json``, its fields checked.

    Raises
    ------
    InputError
        If it is no model folder, of another version, or says what can't be.
    """
    path = os.path.join(folder, CONFIG)
    if not os.path.isdir(folder):
        raise InputError(
            f"there is no model folder {folder}: give one that ser-export wrote"
        )
    if not os.path.isfile(path):
        raise InputError(
            f"{folder} holds no {CONFIG}: give a folder that ser-export wrote"
        )
    try:
        config = read_plain(path)
    except (OSError, ValueError) as failure:
        raise InputError(
            f"{path} can't be read ({shown(failure, 100)}): {MEND}"
        ) from None
    check_config(path, config)
    return config


def check_config(path, config):
    """Refuses what is no description of a model of this version."""
    if not isinstance(config, dict) or "format" not in config:
        raise InputError(
            f"{path} is no model's: give a folder that ser-export wrote"
        )
    if config["format"] != FORMAT:
        raise InputError(
            f"{path} has the format {shown(config['format'], 20)}, and this "
            f"version of speechbrain_ser reads {FORMAT}: export the model "
            "again, or take the version that wrote it"
        )
    for name, setting in FIELDS.items():
        if name not in config:
            raise InputError(f"{path} lacks {name}: {MEND}")
        mend = setting.mend(config[name])
        if mend:
            raise InputError(
                f"{path}: {name} is {shown(config[name])}: "
                f"{shown(mend, 200)}, or {MEND}"
            )
    for word in [config["name"], *config["labels"]]:
        if not 0 < len(word) <= LONGEST or not word.isprintable():
            raise InputError(
                f"{path}: {shown(word)!r} is no name or label: {MEND}"
            )
    check_card(path, config.get("card", {}))
    encoder = config.get("encoder")
    fit = encoder is None or (
        isinstance(encoder, dict)
        and isinstance(encoder.get("name"), str)
        and isinstance(encoder.get("copied"), bool)
        and isinstance(encoder.get("prefix_sha256"), (str, type(None)))
    )
    if not fit:
        raise InputError(f"{path}: encoder is no encoder's description: {MEND}")


def check_card(path, card):
    """Refuses a card that labelling could not read."""
    if not isinstance(card, dict):
        raise InputError(f"{path}: card is none: {MEND}")
    for name, setting in CARD.items():
        mend = setting.mend(card.get(name))
        if mend:
            raise InputError(
                f"{path}: {name} of the card is {shown(card.get(name))}: "
                f"{shown(mend, 200)}, or {MEND}"
            )


def load_folder(folder, encoder_folder=None):
    """Builds the model of a folder and loads its weights.

    Arguments
    ---------
    folder : str
    encoder_folder : str, optional
        Where a copy of its pre-trained encoder lies.

    Returns
    -------
    config : dict
    model : EmotionModel
        On the CPU, in eval mode.

    Raises
    ------
    InputError
        If anything in it is missing, too much, or not what it says.
    """
    if folder == READY and not os.path.isdir(folder):
        folder = os.path.join(os.path.dirname(__file__), READY)
    config = read_config(folder)
    source = place_of(folder, config.get("encoder"), encoder_folder)
    path = os.path.join(folder, WEIGHTS)
    try:
        weights = size_of(path) + size_of_encoder(source)
        model = model_of(config.get("model"), source, weights)
    except InputError as failure:
        if source is not None and encoder_folder is None:
            check_there(folder, config["encoder"], failure)
        if encoder_folder is not None and encoder_folder in str(failure):
            raise InputError(
                f"--encoder_folder holds no {config['encoder']['name']}: "
                f"{failure}"
            ) from None
        raise InputError(
            f"the model in {folder} can't be built, {failure}"
        ) from None
    check_encoder(model, config.get("encoder"), source)
    load_tensors(path, model, config["labels"])
    try_model(folder, config, model.eval())
    return config, model


def try_model(folder, config, model):
    """Refuses a model whose parts don't fit each other, by a second of noise.

    Arguments
    ---------
    folder : str
        For the error.
    config : dict
    model : EmotionModel
        In eval mode.
    """
    import torch

    draw = torch.Generator().manual_seed(0)
    wav = 0.1 * torch.randn(config["sample_rate"], generator=draw)
    try:
        (found,) = model([model.prepared(model.frames(wav))])
        own = model.own_columns(config["labels"]), model.own(found)
    except FAILURES as failure:
        raise InputError(
            f"the model in {folder} does not compute ({in_short(failure)}): "
            f"{MEND}"
        ) from None
    wrong = found["posterior"].shape != (len(config["labels"]),)
    wrong = wrong or not torch.isfinite(found["posterior"]).all()
    wrong = wrong or len(own[0]) != len(own[1])
    if wrong or not all(map(is_word, own[0])):
        raise InputError(
            f"the model in {folder} gives no posterior of its "
            f"{len(config['labels'])} classes: {MEND}"
        )


def is_word(name):
    """Whether a column can be called so."""
    return isinstance(name, str) and name.isprintable()


def check_there(folder, told, failure):
    """Says which encoder is needed, where it could not be loaded by name."""
    if not told["copied"] and "could not be loaded" in str(failure):
        raise InputError(
            f"the model in {folder} needs the encoder {told['name']}, which is "
            "not here and could not be fetched: give --encoder_folder the "
            "folder of a copy of it"
        ) from None


def model_of(told, source=None, weights=1 << 30):
    """Builds a model; its weights are what they are drawn as.

    Arguments
    ---------
    told : dict
        ``class``, one of `MODELS`, and ``with``, its arguments, described as
        `description` says.
    source : dict, optional
        Of `encoder_place.place_of`.
    weights : int
        Bytes of its weights, see `Budget`.

    Returns
    -------
    EmotionModel
    """
    import torch

    from speechbrain_ser.inference.budget import Budget

    known = isinstance(told, dict) and set(told) == {"class", "with"}
    if not known or not isinstance(told["with"], dict):
        raise InputError("its config.json says no model (class, with)")
    name = told["class"]
    if not isinstance(name, str) or name not in MODELS:
        raise InputError(f"there is no class {shown(name)} of models")
    by = told["with"].get("by", "train")
    if by not in ("train", "speaker"):
        raise InputError(f"by is {shown(by)}, and not train or speaker")
    with torch.random.fork_rng(devices=[]), Budget(weights):
        arguments = {k: build(v, source) for k, v in told["with"].items()}
        return made_model(name, arguments)


def made_model(name, arguments):
    """Calls a class of `MODELS`."""
    return made(name, MODELS[name], [], arguments)
