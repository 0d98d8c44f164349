"""Where a speech model comes from and how it is kept: a folder, or the hub.

It is loaded by SpeechBrain's own wrappers, after its source was checked.
"""

import os
import shutil

from speechbrain_ser.utils.errors import InputError

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
SHARDED = tuple(f"{name}.index.json" for name in WEIGHTS)


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
            f"{folder} holds no preprocessor_config.json, which says whether "
            "waveforms are normalised: save it there with "
            "Wav2Vec2FeatureExtractor(...).save_pretrained"
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
        If the source can't be loaded or is a model of another kind.
    """
    from speechbrain.integrations.huggingface import hubert, wav2vec2, wavlm
    from transformers import AutoConfig

    wrappers = {
        "wav2vec2": wav2vec2.Wav2Vec2,
        "hubert": hubert.HuBERT,
        "wavlm": wavlm.WavLM,
    }
    if os.path.isdir(source):
        check_folder(source)
    elif os.path.isabs(source) or source.count("/") > 1:
        raise InputError(
            f"there is no folder {source}: give the folder of a saved model or "
            "a hub name such as facebook/wav2vec2-base"
        )
    try:
        kind = AutoConfig.from_pretrained(
            source, cache_dir=save_path
        ).model_type
        if kind not in wrappers:
            raise InputError(
                f"{source} is a {kind} model: give one of {', '.join(wrappers)}"
            )
        return wrappers[kind](source, save_path=save_path)
    except (OSError, ValueError) as failure:
        if isinstance(failure, InputError):
            raise
        reason = str(failure).strip().splitlines()[0]
        raise InputError(
            f"the model {source} could not be loaded ({reason}): without a "
            "network, copy its folder from a machine that has one (hf download "
            f"{source} --local-dir FOLDER) and give FOLDER as the source"
        ) from failure


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
