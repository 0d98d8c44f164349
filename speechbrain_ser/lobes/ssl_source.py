"""Where a speech model comes from and how it is kept: a folder, or the hub.

It is loaded by SpeechBrain's own wrappers, after its source was checked.
"""

import contextlib
import os
import pickle
import shutil

from safetensors import SafetensorError

from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.finite import first_of, not_finite

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
SHARDED = tuple(f"{name}.index.json" for name in WEIGHTS)
# A model need not have it: it is drawn where frames are masked, else unused.
UNNEEDED = {"masked_spec_embed"}
# What a config.json may say of attention: what is no package's, and no kernel's.
OWN_ATTENTION = (None, "eager", "sdpa")
# What torch and safetensors raise if a file is no weights.
UNREADABLE = (
    SafetensorError,
    pickle.UnpicklingError,
    EOFError,
    LookupError,
    RuntimeError,
)


def check_folder(folder):
    """Checks that a local folder holds a model that transformers can load.

    Arguments
    ---------
    folder : str
        As written by ``save_pretrained`` of the model and of its feature
        extractor.

    Raises
    ------
    InputError
        Naming what is missing and how it is made.
    """
    held = set(os.listdir(folder))
    if "config.json" not in held:
        raise InputError(
            f"{folder} holds no config.json: give the folder that "
            "model.save_pretrained wrote, or a hub name"
        )
    if not held.intersection(WEIGHTS + SHARDED):
        raise InputError(
            f"{folder} holds no weights ({' or '.join(WEIGHTS)}): save them "
            "there with model.save_pretrained"
        )
    if "preprocessor_config.json" not in held:
        raise InputError(
            f"{folder} holds no preprocessor_config.json, which says how the "
            "model is given speech: copy it from where the model is from, or "
            "save it there with its feature extractor's save_pretrained"
        )


def load_wrapper(source, save_path):
    """Loads a model through SpeechBrain's wrapper of its kind.

    Arguments
    ---------
    source : str
        A local folder (the network is never touched) or a hub name.
    save_path : str
        Where a model from the hub is kept.

    Returns
    -------
    torch.nn.Module
        SpeechBrain's ``Wav2Vec2``, ``HuBERT`` or ``WavLM``.

    Raises
    ------
    InputError
        If the source can't be loaded, is a model of another kind, or its
        weights are not all there, of their sizes and finite.
    """
    from speechbrain.integrations.huggingface import hubert, wav2vec2, wavlm

    wrappers = {
        "wav2vec2": wav2vec2.Wav2Vec2,
        "hubert": hubert.HuBERT,
        "wavlm": wavlm.WavLM,
    }
    with one_sentence(source):
        kind = kind_of(source, save_path)
        if kind not in wrappers:
            raise InputError(
                f"{source} is a {kind} model: give one of {', '.join(wrappers)}"
            )
        return load_checked(wrappers[kind], source, save_path)


@contextlib.contextmanager
def one_sentence(source):
    """Says in a sentence why a model can't be loaded, and what to do.

    Arguments
    ---------
    source : str
        A local folder or a hub name.
    """
    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError, *UNREADABLE) as failure:
        reason = f"{type(failure).__name__}: {failure}".splitlines()[0]
        if os.path.isdir(source):
            raise InputError(
                f"the model in {source} can't be loaded ({reason}): copy the "
                "folder again, or save it with model.save_pretrained"
            ) from failure
        raise InputError(
            f"the model {source} could not be loaded ({reason}): without a "
            "network, copy its folder from a machine that has one (hf download "
            f"{source} --local-dir FOLDER) and give FOLDER as the source"
        ) from failure


def kind_of(source, save_path):
    """Returns what kind of model a source is, as its config.json says.

    Arguments
    ---------
    source : str
        A local folder (the network is never touched) or a hub name.
    save_path : str
        Where a model from the hub is kept.

    Returns
    -------
    str
        transformers' ``model_type``.

    Raises
    ------
    InputError
        If there is no such folder, or it lacks a file.
    """
    if os.path.isdir(source):
        check_folder(source)
    elif os.path.isabs(source) or source.count("/") > 1:
        raise InputError(
            f"there is no folder {source}: give the folder of a saved model or "
            "a hub name such as facebook/wav2vec2-base"
        )
    with one_sentence(source):
        return config_of(source, save_path).model_type


def config_of(source, save_path):
    """Returns the configuration of a source, transformers' object.

    Arguments
    ---------
    source : str
    save_path : str

    Raises
    ------
    OSError
        If it is not there.
    ValueError
        If transformers can't make an object of it, by whatever error.
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(
            source, cache_dir=save_path, trust_remote_code=False
        )
    except (OSError, ValueError):
        raise
    except Exception as failure:
        reason = " ".join(str(failure).split())
        raise ValueError(f"its config.json: {reason}") from failure
    attention = getattr(config, "_attn_implementation", None)
    if attention not in OWN_ATTENTION:
        raise ValueError(
            f"its config.json asks for the attention {attention!r}, which may "
            f"be code of a hub: {OWN_ATTENTION[-2]} and {OWN_ATTENTION[-1]} "
            "alone are loaded"
        )
    return config


def load_checked(wrapper, source, save_path):
    """Loads a model by one of SpeechBrain's wrappers, whole or not at all.

    transformers fills weights that it does not find at random, and says so in
    its log alone.

    Arguments
    ---------
    wrapper : type
        SpeechBrain's.
    source : str
    save_path : str

    Returns
    -------
    torch.nn.Module
        The wrapper with its model.
    """

    class Checked(wrapper):
        """Asks transformers what it found of the weights."""

        def _from_pretrained(self, *args, **kwargs):
            """Loads as SpeechBrain does, and looks at what was found."""
            loader = self.auto_class
            self.auto_class = Telling(loader)
            super()._from_pretrained(*args, **kwargs)
            check_found(source, self.auto_class.found)
            check_finite(source, self.model)
            self.auto_class = loader

    return Checked(source, save_path=save_path)


class Telling:
    """Loads as one of transformers' classes; keeps what that says of it.

    Arguments
    ---------
    loader : type
        Such as ``AutoModel``.
    """

    def __init__(self, loader):
        self.loader = loader
        self.found = {}

    def from_config(self, *args, **kwargs):
        """Makes a model without weights."""
        return self.loader.from_config(*args, **kwargs)

    def from_pretrained(self, *args, **kwargs):
        """Loads a model; weights of other sizes are judged afterwards."""
        model, self.found = self.loader.from_pretrained(
            *args,
            **kwargs,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
        return model


def check_found(source, found):
    """Refuses weights that are missing, or of other sizes than the model's.

    Arguments
    ---------
    source : str
    found : dict
        transformers' ``missing_keys``, ``mismatched_keys`` and others. Keys
        that the model has not are heads of its pre-training.

    Raises
    ------
    InputError
        With the first keys and their number.

    Example
    -------
    >>> check_found("here", {"missing_keys": {"masked_spec_embed"}})
    >>> check_found("here", {"missing_keys": {"a.weight", "a.bias"}})
    Traceback (most recent call last):
    speechbrain_ser.utils.errors.InputError: here lacks 2 of the model's ...
    """
    missing = set(found.get("missing_keys", ())) - UNNEEDED
    if missing:
        raise InputError(
            f"{source} lacks {len(missing)} of the model's weights "
            f"({first_of(missing)}), which would be random: copy it again, or "
            "give the folder of the whole model"
        )
    others = {
        key if isinstance(key, str) else key[0]
        for key in found.get("mismatched_keys", ())
    }
    if others:
        raise InputError(
            f"{source} holds other sizes than its config.json says for "
            f"{len(others)} of the model's weights ({first_of(others)}): give "
            "the two files of one model"
        )


def check_finite(source, model):
    """Refuses weights that are NaN or infinite.

    Raises
    ------
    InputError
        With the first keys and their number.
    """
    broken = not_finite(model.state_dict())
    if broken:
        raise InputError(
            f"{source} has NaN or infinite values in {len(broken)} of the "
            f"model's weights ({first_of(broken)}): copy it again, or take a "
            "model whose training did not diverge"
        )


def write_model(folder, model, feature_extractor, n_layers):
    """Writes a model as transformers would.

    Arguments
    ---------
    folder : str
        Whole or not there; replaced if it is.
    model : transformers.PreTrainedModel
    feature_extractor : transformers.FeatureExtractionMixin
    n_layers : int
        The transformer blocks that it holds, whatever its configuration says.
    """
    beside = f"{folder}.unfinished"
    shutil.rmtree(beside, ignore_errors=True)
    config = model.config
    configured = config.num_hidden_layers
    config.num_hidden_layers = n_layers
    try:
        model.save_pretrained(beside)
    finally:
        config.num_hidden_layers = configured
    feature_extractor.save_pretrained(beside)
    # deleted under its own name it would be half there for a moment
    earlier = f"{folder}.earlier"
    shutil.rmtree(earlier, ignore_errors=True)
    if os.path.isdir(folder):
        os.replace(folder, earlier)
    os.replace(beside, folder)
    shutil.rmtree(earlier, ignore_errors=True)
