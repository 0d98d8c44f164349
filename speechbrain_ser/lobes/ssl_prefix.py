"""The first, frozen part of a speech model: how much, of what, and its name."""

import hashlib
import json

import torch

from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import OneOf, Whole, checked

FINETUNE = ("none", "last1", "last2")
# Raised when the same weights and settings give another prefix output.
PREFIX_VERSION = 1
# What decides the output of a model in eval mode, beside its weights.
DECISIVE_CONFIG = (
    "model_type",
    "hidden_act",
    "layer_norm_eps",
    "num_attention_heads",
    "do_stable_layer_norm",
    "feat_extract_norm",
    "feat_extract_activation",
    "feat_proj_layer_norm",
    "conv_kernel",
    "conv_stride",
    "num_conv_pos_embeddings",
    "num_conv_pos_embedding_groups",
    "conv_pos_batch_norm",
    "num_buckets",
    "max_bucket_distance",
)


@checked
def frozen_blocks(n_blocks: Whole(0), finetune: OneOf(*FINETUNE)):
    """Returns how many of the first blocks are frozen.

    Arguments
    ---------
    n_blocks : int
        How many blocks there are, frozen or not.
    finetune : str
        Which are trained: ``none``, ``last1`` or ``last2``.

    Returns
    -------
    int

    Raises
    ------
    InputError
        If `finetune` is another word, or there are fewer blocks.

    Example
    -------
    >>> frozen_blocks(19, "last2")
    17
    """
    trained = FINETUNE.index(finetune)
    if trained > n_blocks:
        raise InputError(
            f"--finetune is {finetune}, but there are {n_blocks} blocks: give "
            "a number of blocks that is not smaller"
        )
    return n_blocks - trained


def before_blocks(model):
    """Returns all that comes before a model's first transformer block.

    Arguments
    ---------
    model : transformers.PreTrainedModel
        wav2vec 2.0, HuBERT or WavLM.

    Returns
    -------
    dict
        Name to module, in the order of the forward pass.
    """
    parts = {
        "feature_extractor": model.feature_extractor,
        "feature_projection": model.feature_projection,
        "pos_conv_embed": model.encoder.pos_conv_embed,
        "dropout": model.encoder.dropout,
    }
    # In the other models this norm comes behind the last block.
    if not model.config.do_stable_layer_norm:
        parts["layer_norm"] = model.encoder.layer_norm
    return parts


def prefix_digest(model, n_blocks, normalize_wav):
    """Returns the SHA-256 of all that decides the prefix's output.

    Arguments
    ---------
    model : transformers.PreTrainedModel
    n_blocks : int
        Its first blocks that belong to the prefix.
    normalize_wav : bool
        Whether waveforms are normalised.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    parts = before_blocks(model)
    blocks = model.encoder.layers[:n_blocks]
    parts.update({f"block{i}": block for i, block in enumerate(blocks)})
    config = model.config.to_dict()
    settings = {key: config.get(key) for key in DECISIVE_CONFIG}
    settings["version"] = PREFIX_VERSION
    settings["normalize_wav"] = normalize_wav
    settings["blocks"] = n_blocks
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for part, module in parts.items():
        for name, value in module.state_dict().items():
            digest.update(f"{part} {name} {value.dtype}".encode())
            digest.update(f"{list(value.shape)}".encode())
            value = value.detach().cpu().contiguous().reshape(-1)
            digest.update(value.view(torch.uint8).numpy())
    return digest.hexdigest()
