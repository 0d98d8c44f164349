"""Where a Whisper's encoder comes from: a folder, or the hub.

The encoder's tensors alone are read, whatever else the file holds. transformers'
own ``WhisperEncoder.from_pretrained`` does not know their names in a whole
model: it leaves all of them random and says so in its log alone.
"""

import json
import os

import torch
from safetensors import safe_open

from speechbrain_ser.lobes.ssl_source import (
    SHARDED,
    WEIGHTS,
    config_of,
    kind_of,
    one_sentence,
)
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.finite import first_of, not_finite

KIND = "whisper"
SAMPLE_RATE = 16000
# What stands before the names in a whole model with a head, and without one.
PREFIXES = ("model.encoder.", "encoder.", "")
# Of a model that has the names bare, what is not the encoder's.
NO_ENCODER = ("decoder.", "model.decoder.", "proj_out.")


def load_whisper(source, save_path):
    """Loads the encoder of a Whisper, in float32, and what makes its features.

    Arguments
    ---------
    source : str
        A local folder (the network is never touched) or a hub name; of a whole
        model or of an encoder alone.
    save_path : str
        Where a model from the hub is kept.

    Returns
    -------
    model : transformers.PreTrainedModel
        ``WhisperEncoder``.
    feature_extractor : transformers.WhisperFeatureExtractor

    Raises
    ------
    InputError
        If the source can't be loaded, is no Whisper or one of other sizes, or
        the encoder's tensors are not all there, or more, or not finite.
    """
    from transformers import WhisperFeatureExtractor
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    kind = kind_of(source, save_path)
    if kind != KIND:
        raise InputError(f"{source} is a {kind} model: give a Whisper")
    with one_sentence(source):
        config = config_of(source, save_path)
        extractor = WhisperFeatureExtractor.from_pretrained(
            source, cache_dir=save_path
        )
        check_features(source, config, extractor)
        with torch.device("meta"):  # nothing is drawn
            model = WhisperEncoder(config)
        state = encoder_tensors(source, save_path)
        check_tensors(source, state, model.state_dict())
        state = {name: value.float() for name, value in state.items()}
        broken = not_finite(state)
        if broken:
            raise InputError(
                f"{source} has NaN or infinite values in {len(broken)} of the "
                f"encoder's tensors ({first_of(broken)}): copy it again, or "
                "take a model whose training did not diverge"
            )
        model.load_state_dict(state, strict=True, assign=True)
    return model, extractor


def check_features(source, config, extractor):
    """Refuses features that the encoder was not made for.

    Arguments
    ---------
    source : str
    config : transformers.WhisperConfig
    extractor : transformers.WhisperFeatureExtractor

    Raises
    ------
    InputError
    """
    named = f"preprocessor_config.json of {source}"
    fix = "copy the files of one model again"
    if extractor.sampling_rate != SAMPLE_RATE:
        raise InputError(
            f"the {named} has a sampling_rate of {extractor.sampling_rate} Hz, "
            f"a Whisper takes {SAMPLE_RATE} Hz alone: {fix}"
        )
    if extractor.feature_size != config.num_mel_bins:
        raise InputError(
            f"the {named} makes {extractor.feature_size} Mel channels, the "
            f"encoder takes {config.num_mel_bins} (config.json): {fix}"
        )
    if extractor.nb_max_frames != 2 * config.max_source_positions:
        raise InputError(
            f"the {named} makes {extractor.nb_max_frames} frames of "
            f"{extractor.chunk_length} s, the encoder has "
            f"{config.max_source_positions} positions for twice as many "
            f"(config.json): {fix}"
        )


def check_tensors(source, state, expected):
    """Refuses tensors that are missing, too many, or of other sizes.

    Arguments
    ---------
    source : str
    state, expected : dict
        Name to tensor.

    Raises
    ------
    InputError
        With the first names and their number.

    Example
    -------
    >>> check_tensors("here", {"a": torch.ones(2)}, {"a": torch.ones(3)})
    Traceback (most recent call last):
    speechbrain_ser.utils.errors.InputError: here holds other sizes than ...
    """
    missing, extra = expected.keys() - state.keys(), state.keys() - expected
    if missing:
        raise InputError(
            f"{source} lacks {len(missing)} of the encoder's {len(expected)} "
            f"tensors ({first_of(missing)}), which would be random: copy it "
            "again, or give the config.json of this model"
        )
    if extra:
        raise InputError(
            f"{source} has {len(extra)} tensors that its encoder has no place "
            f"for ({first_of(extra)}): give the config.json of this model"
        )
    others = [n for n in expected if expected[n].shape != state[n].shape]
    if others:
        raise InputError(
            f"{source} holds other sizes than its config.json says for "
            f"{len(others)} of the encoder's tensors ({first_of(others)}): give "
            "the two files of one model"
        )


def encoder_tensors(source, save_path):
    """Reads the encoder's tensors alone, as they are in the file.

    Arguments
    ---------
    source : str
    save_path : str

    Returns
    -------
    dict
        Name in the encoder to tensor.

    Raises
    ------
    InputError
        If none is the encoder's.
    """
    file = found_file(source, WEIGHTS + SHARDED, save_path)
    files = {}  # shard to the names in it; None: whatever it holds
    if file.endswith(".json"):
        with open(file, encoding="utf-8") as index:
            shards = json.load(index)["weight_map"]
        for name in encoder_names(shards):
            files.setdefault(shards[name], []).append(name)
        files = {
            found_file(source, (shard,), save_path): names
            for shard, names in files.items()
        }
    else:
        files[file] = None
    state = {}
    for path, names in files.items():
        state |= read_tensors(path, names)
    if not state:
        raise InputError(
            f"{source} holds no tensor of an encoder (model.encoder.conv1.weight "
            "and others): give the folder of a whole Whisper or of its encoder"
        )
    names = encoder_names(state)
    return {short: state[name] for name, short in names.items()}


def encoder_names(names):
    """Returns which names are the encoder's, and what it calls them.

    Arguments
    ---------
    names : iterable of str

    Returns
    -------
    dict
        Name to name in the encoder.

    Example
    -------
    >>> encoder_names(["model.encoder.conv1.bias", "model.decoder.a"])
    {'model.encoder.conv1.bias': 'conv1.bias'}
    >>> encoder_names(["conv1.bias"]), encoder_names(["a.b"])
    ({'conv1.bias': 'conv1.bias'}, {})
    """
    own = [name for name in names if not name.startswith(NO_ENCODER)]
    for prefix in PREFIXES:
        if any(name.startswith(f"{prefix}conv1.") for name in own) or any(
            name.startswith(f"{prefix}layers.") for name in own
        ):
            return {n: n[len(prefix) :] for n in own if n.startswith(prefix)}
    return {}


def read_tensors(path, names=None):
    """Reads the encoder's tensors of one file.

    Arguments
    ---------
    path : str
        Of safetensors, or of torch, of which no code is run.
    names : list of str, optional
        Default: the encoder's.

    Returns
    -------
    dict
        Name in the file to tensor.
    """
    if path.endswith(".safetensors"):
        with safe_open(path, framework="pt") as file:
            names = encoder_names(file.keys()) if names is None else names
            return {name: file.get_tensor(name) for name in names}
    try:
        held = torch.load(path, "cpu", weights_only=True, mmap=True)
    except RuntimeError:  # torch's older format can't be mapped
        held = torch.load(path, "cpu", weights_only=True)
    if not isinstance(held, dict):
        return {}
    names = encoder_names(held) if names is None else names
    return {name: held[name] for name in names}


def found_file(source, names, save_path):
    """Returns the path of the first of some files that a source has.

    Arguments
    ---------
    source : str
        A local folder (the network is never touched) or a hub name.
    names : sequence of str
    save_path : str
        Where files from the hub are kept.

    Returns
    -------
    str

    Raises
    ------
    OSError
        If it has none of them.
    """
    if os.path.isdir(source):
        for name in names:
            if os.path.exists(os.path.join(source, name)):
                return os.path.join(source, name)
        raise FileNotFoundError(f"there is no {' or '.join(names)}")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    for name in names:
        try:
            return hf_hub_download(source, name, cache_dir=save_path)
        except EntryNotFoundError as failure:
            missing = failure
    raise missing
