"""wav2vec 2.0, HuBERT and WavLM as encoders that can be relied upon.

The models are loaded by SpeechBrain's own wrappers. What this lobe adds: the
source is checked first, nothing frozen leaves eval mode, layerdrop never shifts
the layer that is read, and waveforms are normalised over their valid length.
"""

import os

import torch
from speechbrain.dataio.dataio import length_to_mask

from speechbrain_ser.errors import InputError

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


class SSLEncoder(torch.nn.Module):
    """A self-supervised speech model, read at one layer.

    Arguments
    ---------
    source : str
        A hub name, or a local folder with config, weights and
        ``preprocessor_config.json``.
    save_path : str
        Where a model from the hub is kept.
    layer : int
        Which layer is read: 0 is the input of the first transformer block, 1 to
        L the outputs of the blocks, -1 the last, as in a list.
    frozen : bool
        Whether nothing of it is trained.
    frozen_layers : int
        How many of the first transformer blocks are not trained; if any is not,
        neither is the convolutional front end.
    freeze_feature_extractor : bool
        Whether the convolutional front end is not trained.
    gradient_checkpointing : bool
        Computes activations again in the backward pass: less memory, more time.

    Raises
    ------
    InputError
        If the source can't be loaded or the layer is outside the model.

    Example
    -------
    >>> folder = getfixture("small_wav2vec2")
    >>> encoder = SSLEncoder(folder, save_path="unused", layer=-1)
    >>> frames, lengths = encoder(torch.randn(2, 8000), torch.ones(2))
    >>> frames.shape[0], frames.shape[2] == encoder.dim
    (2, True)
    """

    def __init__(
        self,
        source,
        save_path,
        layer=-1,
        frozen=False,
        frozen_layers=0,
        freeze_feature_extractor=True,
        gradient_checkpointing=False,
    ):
        super().__init__()
        wrapper = load_wrapper(source, save_path)
        self.model = wrapper.model
        self.normalize_wav = wrapper.normalize_wav
        config = self.model.config
        # A dropped layer is not recorded, which would shift all later ones.
        config.layerdrop = 0.0
        self.dim = config.hidden_size
        n_layers = config.num_hidden_layers
        if not -n_layers - 1 <= layer <= n_layers:
            raise InputError(
                f"{source} has layers 0 to {n_layers}, there is no layer {layer}"
            )
        if not 0 <= frozen_layers <= n_layers:
            raise InputError(
                f"{source} has {n_layers} transformer blocks, "
                f"{frozen_layers} of them can't be frozen"
            )
        self.layer = layer % (n_layers + 1)
        self._freeze(frozen, frozen_layers, freeze_feature_extractor)
        if gradient_checkpointing:
            self.model.gradient_checkpointing_enable(
                gradient_checkpointing_kwargs={"use_reentrant": False}
            )

    def _freeze(self, frozen, frozen_layers, freeze_feature_extractor):
        """Turns off the gradient of what is frozen, and of what is unused."""
        blocks = self.model.encoder.layers
        self.resting = list(blocks[:frozen_layers])
        if freeze_feature_extractor or frozen_layers:
            self.resting.append(self.model.feature_extractor)
        if frozen_layers:
            self.resting += [
                self.model.feature_projection,
                self.model.encoder.pos_conv_embed,
            ]
        if frozen:
            self.resting = [self.model]
        # Blocks above the layer that is read have no gradient; DDP wants to know.
        for module in self.resting + list(blocks[self.layer :]):
            module.requires_grad_(False)
        if getattr(self.model, "masked_spec_embed", None) is not None:
            self.model.masked_spec_embed.requires_grad_(False)
        self.train(self.training)

    def train(self, mode=True):
        """Sets the mode, in which what is frozen stays in eval.

        Arguments
        ---------
        mode : bool

        Returns
        -------
        torch.nn.Module
            itself
        """
        super().train(mode)
        for module in self.resting:
            module.eval()
        return self

    def forward(self, wavs, lengths):
        """Encodes waveforms.

        Arguments
        ---------
        wavs : torch.Tensor
            16 kHz, ``[batch, samples]``, zero behind the end of each.
        lengths : torch.Tensor
            Relative lengths, ``[batch]`` in (0, 1].

        Returns
        -------
        frames : torch.Tensor
            ``[batch, time, channels]``, 20 ms apart.
        lengths : torch.Tensor
            Relative lengths of the frames, ``[batch]``.
        """
        samples = (lengths * wavs.shape[1]).round().long()
        mask = length_to_mask(samples, wavs.shape[1], dtype=wavs.dtype)
        if self.normalize_wav:
            wavs = normalize_waveform(wavs, mask)
        trained = any(p.requires_grad for p in self.model.parameters())
        with torch.set_grad_enabled(torch.is_grad_enabled() and trained):
            out = self.model(
                wavs, attention_mask=mask.long(), output_hidden_states=True
            )
        frames = out.hidden_states[self.layer]
        counts = self.model._get_feat_extract_output_lengths(samples)
        return frames, counts.clamp(min=1) / frames.shape[1]


def normalize_waveform(wavs, mask):
    """Zero mean and unit variance over the valid samples of each utterance.

    Arguments
    ---------
    wavs : torch.Tensor
        ``[batch, samples]``.
    mask : torch.Tensor
        1 for a valid sample, else 0; ``[batch, samples]``.

    Returns
    -------
    torch.Tensor
        Zero where the mask is.

    Example
    -------
    >>> wavs = torch.tensor([[1.0, 3.0, 50.0]])
    >>> normalize_waveform(wavs, torch.tensor([[1.0, 1.0, 0.0]])).round()
    tensor([[-1., 1., 0.]])
    """
    count = mask.sum(dim=1, keepdim=True)
    mean = (wavs * mask).sum(dim=1, keepdim=True) / count
    centred = (wavs - mean) * mask
    variance = (centred**2).sum(dim=1, keepdim=True) / count
    return centred / (variance + 1e-7).sqrt()
