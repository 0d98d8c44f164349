"""A model's weights in safetensors: what is kept of it, and put back."""

import hashlib
import json
import os

import torch

from speechbrain_ser.inference.plain_json import shown
from speechbrain_ser.lobes.speech_model import SpeechModel
from speechbrain_ser.utils.errors import InputError

WEIGHTS = "model.safetensors"
LABELS = "labels"  # among the metadata: the order of the classes


def speech_model_of(model):
    """Finds the pre-trained encoder in a model.

    Arguments
    ---------
    model : torch.nn.Module

    Returns
    -------
    name : str or None
    encoder : SpeechModel or None
    """
    for name, module in model.named_modules():
        if isinstance(module, SpeechModel):
            return name, module
    return None, None


def own_tensors(model):
    """Returns what a model holds besides the weights of a pre-trained encoder.

    Of an encoder behind a frozen prefix what was trained is among it; one that
    was trained whole is kept as transformers does, but for what that format has
    no place for.

    Arguments
    ---------
    model : EmotionModel

    Returns
    -------
    dict
        Name to tensor, references.
    """
    state = model.state_dict()
    name, encoder = speech_model_of(model)
    if encoder is None:
        return state
    trained = {
        f"{name}.{own}"
        for own, weight in encoder.named_parameters()
        if weight.requires_grad
    }
    inner = f"{name}.model."
    return {
        key: tensor
        for key, tensor in state.items()
        if not key.startswith(f"{name}.")
        or (key in trained if encoder.has_prefix else not key.startswith(inner))
    }


def write_tensors(path, model, labels):
    """Writes `own_tensors`.

    Arguments
    ---------
    path : str
    model : EmotionModel
    labels : list of str
        The classes, in the order of the posteriors.
    """
    from safetensors.torch import save_file

    tensors = {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in own_tensors(model).items()
    }
    metadata = {LABELS: json.dumps(labels, ensure_ascii=False)}
    save_file(tensors, path, metadata)
    umask = os.umask(0)
    os.umask(umask)
    os.chmod(path, 0o666 & ~umask)  # safetensors' is its owner's alone


def load_tensors(path, model, labels):
    """Puts the tensors of a file into a model that was just built.

    Arguments
    ---------
    path : str
    model : EmotionModel
    labels : list of str
        The classes in the order that they are said to have.

    Raises
    ------
    InputError
        If tensors are missing, too many, of other sizes or kinds, not finite,
        or of other classes.
    """
    tensors, metadata = read_tensors(path)
    held = json.dumps(labels, ensure_ascii=False)
    if metadata.get(LABELS) != held:
        raise InputError(
            f"{path} is of the classes {shown(metadata.get(LABELS))}, and not "
            f"of {shown(held)} in this order, as config.json says: export the "
            "model again"
        )
    own = own_tensors(model)
    for what, names in (
        ("lacks", set(own) - set(tensors)),
        ("has besides", set(tensors) - set(own)),
    ):
        if names:
            some = shown(", ".join(sorted(names)[:3]), 200)
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise InputError(
                f"{path} {what} the tensors {some}{more}: it is not of the "
                "model that config.json describes, export it again"
            )
    for name, tensor in tensors.items():
        if tensor.shape != own[name].shape or tensor.dtype != own[name].dtype:
            raise InputError(
                f"{path}: {name} is {tuple(tensor.shape)} {tensor.dtype}, and "
                f"the model has {tuple(own[name].shape)} {own[name].dtype}: "
                "export it again"
            )
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise InputError(
                f"{path}: {name} holds NaN or infinity: export it again"
            )
    model.load_state_dict(tensors, strict=False)


def read_tensors(path):
    """Reads a file of safetensors.

    Returns
    -------
    tensors : dict
    metadata : dict
    """
    from safetensors import SafetensorError, safe_open

    if not os.path.isfile(path):
        raise InputError(
            f"there is no {path}: give the folder that ser-export wrote"
        )
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
            return tensors, dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError) as failure:
        raise InputError(
            f"{path} is no file of safetensors ({shown(failure)}): copy the "
            "folder again"
        ) from None


def fingerprint(model, about):
    """Returns the SHA-256 of all that decides what a model says.

    Arguments
    ---------
    model : EmotionModel
    about : object
        Plain: its description and settings.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    text = json.dumps(about, sort_keys=True)
    found = hashlib.sha256(text.encode())
    for name, tensor in sorted(model.state_dict().items()):
        found.update(f"{name} {list(tensor.shape)} {tensor.dtype}".encode())
        flat = tensor.detach().cpu().contiguous().flatten()
        found.update(flat.view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
