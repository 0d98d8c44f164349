"""A small HuBERT with fresh weights, for machines without a GPU or a network."""

import functools
import hashlib
import json
import os

import numpy as np
import torch

from speechbrain_ser.utils.files import cache_folder, make_folder
from speechbrain_ser.utils.settings import NOTHING, Number, Whole, Word

# Raised when the same settings give other weights.
VERSION = 1
KERNELS, STRIDES = (400, 8), (80, 4)  # 25 ms windows, frames 20 ms apart


def fresh_hubert(
    dim: Whole(16) = 64,
    n_blocks: Whole(1) = 6,
    n_filters: Whole(1) = 32,
    dropout: Number(0, below=1) = 0.1,
    seed: Whole(0) = 0,
    folder: Word(optional=True, counts=NOTHING) = None,
):
    """Makes a HuBERT that was not trained, if it is not there yet.

    It is of the "large" kind: padding changes nothing. So that little speech is
    enough to train it, its first convolution begins as a filter bank on the mel
    scale: a windowed cosine and sine for each of the filters.

    Arguments
    ---------
    dim : int
        Channels of the frames, a multiple of 16.
    n_blocks : int
        Transformer blocks.
    n_filters : int
        Of the filter bank.
    dropout : float
        Of blocks and projections.
    seed : int
        Of the weights.
    folder : str, optional
        Where it is kept; default: beside the mini corpora.

    Returns
    -------
    str
        A folder in transformers' format, a `source` of ``lobes.ssl.SSLEncoder``.

    Example
    -------
    >>> path = fresh_hubert(16, 2, 4, folder=getfixture("tmp_path"))
    >>> sorted(os.listdir(path))
    ['config.json', 'model.safetensors', 'preprocessor_config.json']
    """
    settings = [VERSION, dim, n_blocks, n_filters, dropout, seed]
    name = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]
    path = os.path.join(folder or cache_folder(), f"fresh_hubert-{name}")
    if not os.path.isdir(path):
        write = functools.partial(
            write_hubert, dim, n_blocks, n_filters, dropout, seed
        )
        make_folder(path, write)
    return path


def write_hubert(dim, n_blocks, n_filters, dropout, seed, folder):
    """Writes the model of `fresh_hubert` into a folder."""
    from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

    config = HubertConfig(
        hidden_size=dim,
        num_hidden_layers=n_blocks,
        num_attention_heads=4,
        intermediate_size=2 * dim,
        conv_dim=(2 * n_filters, 96),
        conv_kernel=KERNELS,
        conv_stride=STRIDES,
        num_feat_extract_layers=len(KERNELS),
        num_conv_pos_embeddings=32,
        num_conv_pos_embedding_groups=8,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        conv_bias=True,
        hidden_dropout=dropout,
        feat_proj_dropout=dropout,
        attention_dropout=0.0,  # a quarter of a step's time on a CPU
        activation_dropout=0.0,
        layerdrop=0.0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = HubertModel(config)
    first = model.feature_extractor.conv_layers[0].conv
    first.weight.data[:, 0] = torch.from_numpy(mel_waves(n_filters))
    model.save_pretrained(folder)
    Wav2Vec2FeatureExtractor(
        do_normalize=True, return_attention_mask=True
    ).save_pretrained(folder)


def mel_waves(n_filters, sample_rate=16000):
    """Returns windowed cosines and sines, evenly spaced on the mel scale.

    Arguments
    ---------
    n_filters : int
    sample_rate : int
        In Hz.

    Returns
    -------
    numpy.ndarray
        Float32 ``[2 * n_filters, window]``, each of length 1.

    Example
    -------
    >>> mel_waves(3).shape
    (6, 400)
    """
    ends = 2595 * np.log10(1 + np.array([60, 7600]) / 700)
    edges = 700 * (10 ** (np.linspace(*ends, n_filters + 2) / 2595) - 1)
    time = (np.arange(KERNELS[0]) - (KERNELS[0] - 1) / 2) / sample_rate
    waves = []
    for low, centre, high in zip(edges, edges[1:], edges[2:]):
        window = np.hanning(len(time)) * np.exp(
            -((time * (high - low)) ** 2) / 2
        )
        for wave in (np.cos, np.sin):
            waves.append(window * wave(2 * np.pi * centre * time))
    waves = np.array(waves)
    waves /= np.linalg.norm(waves, axis=1, keepdims=True)
    return waves.astype(np.float32)
