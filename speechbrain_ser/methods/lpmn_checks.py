"""What LPMN asks of a codebook that was learnt before, and of its frames."""

import pickle

import torch

from speechbrain_ser.utils.errors import InputError

# What torch.load and a look at the result raise if a file is something else.
UNREADABLE = (
    OSError,
    EOFError,
    RuntimeError,
    pickle.UnpicklingError,
    LookupError,
    TypeError,
    AttributeError,
    ValueError,
)


def load_codebook(codebook, path):
    """Loads prototypes that ``train_codebook.py`` learnt.

    Arguments
    ---------
    codebook : Codebook
    path : str

    Raises
    ------
    InputError
        If there is no such file, or it holds other sizes, or NaN.
    """
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
        prototypes = held["prototypes"]
        count, dim = prototypes.shape
    except UNREADABLE as failure:
        raise InputError(
            f"the codebook {path} can't be read: give the codebook.ckpt that "
            "train_codebook.py wrote"
        ) from failure
    if prototypes.shape != codebook.prototypes.shape:
        own_count, own_dim = codebook.prototypes.shape
        raise InputError(
            f"the codebook {path} holds {count} prototypes of size {dim}, this "
            f"run has {own_count} of {own_dim}: set --n_prototypes, or learn a "
            "codebook for this encoder"
        )
    if not torch.isfinite(prototypes).all():
        raise InputError(
            f"the codebook {path} holds NaN or infinite values: learn it again"
        )
    with torch.no_grad():
        codebook.prototypes.copy_(prototypes)


def check_augmenter(cache, augmenter):
    """Refuses to augment kept frames."""
    if cache and augmenter is not None:
        raise InputError(
            "cached frames can't be augmented: they are those of the waveforms "
            "as they are; give --cache False, or augmenter: null"
        )
