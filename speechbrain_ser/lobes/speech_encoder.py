"""One front for wav2vec 2.0, HuBERT, WavLM and Whisper: the folder says which."""

from speechbrain_ser.lobes.speech_model import check_rate
from speechbrain_ser.lobes.ssl import SSLEncoder
from speechbrain_ser.lobes.ssl_source import kind_of
from speechbrain_ser.lobes.whisper import WhisperEncoder
from speechbrain_ser.lobes.whisper_source import KIND
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import NOTHING, Switch, Whole, Word

KINDS = ("wav2vec2", "hubert", "wavlm", KIND)


def speech_encoder(
    source: Word(),
    save_path: Word(optional=True, counts=NOTHING),
    layer: Whole() = -1,
    frozen: Switch() = False,
    frozen_layers: Whole(0) = 0,
    freeze_feature_extractor: Switch() = True,
    gradient_checkpointing: Switch(counts=NOTHING) = False,
    mask_embedding: Switch() = False,
    weighted: Switch() = False,
    padded: Switch() = False,
    sample_rate: Whole(1) = 16000,
):
    """Makes the encoder of a pre-trained speech model, of whatever kind.

    Arguments
    ---------
    source, save_path : str
        A hub name, or a local folder; where a model from the hub is kept.
    layer, frozen_layers : int
    frozen, freeze_feature_extractor, gradient_checkpointing : bool
    mask_embedding, weighted : bool
        As `ssl.SSLEncoder` and `whisper.WhisperEncoder` have them.
    padded : bool
        Of Whisper alone: whether utterances are padded to 30 s.
    sample_rate : int
        In Hz, of the waveforms that it will be given.

    Returns
    -------
    SSLEncoder or WhisperEncoder

    Raises
    ------
    InputError
        If the source can't be loaded, is a model of another kind, or takes
        another sampling rate.

    Example
    -------
    >>> for name in ("small_wav2vec2", "small_whisper"):
    ...     encoder = speech_encoder(getfixture(name), "unused", layer=2)
    ...     print(type(encoder).__name__, encoder.layer, encoder.dim)
    SSLEncoder 2 32
    WhisperEncoder 2 32
    """
    settings = {
        "layer": layer,
        "frozen": frozen,
        "frozen_layers": frozen_layers,
        "freeze_feature_extractor": freeze_feature_extractor,
        "gradient_checkpointing": gradient_checkpointing,
        "mask_embedding": mask_embedding,
        "weighted": weighted,
    }
    encoder = of_its_kind(source, save_path, padded, settings)
    check_rate(encoder, sample_rate)
    return encoder


def of_its_kind(source, save_path, padded, settings):
    """Returns a `SpeechModel` of the kind that a source is; see above."""
    kind = kind_of(source, save_path)
    if kind == KIND:
        return WhisperEncoder(source, save_path, padded=padded, **settings)
    if kind not in KINDS:
        raise InputError(
            f"{source} is a {kind} model: give one of {', '.join(KINDS)}"
        )
    if padded:
        raise InputError(
            f"{source} is a {kind} model, Whisper alone is padded to 30 s: "
            "give padded False"
        )
    return SSLEncoder(source, save_path, **settings)
