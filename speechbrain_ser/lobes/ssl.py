"""wav2vec 2.0, HuBERT and WavLM as encoders that can be relied upon.

The models are loaded by SpeechBrain's own wrappers. What this lobe adds: the
source is checked first, nothing frozen leaves eval mode, layerdrop never shifts
the layer that is read, blocks above it are not computed, waveforms are
normalised over their valid length, and the trained blocks can start from the
kept output of the frozen ones (see ``frame_cache``).
"""

import torch

from speechbrain_ser.lobes.front_end import convolve
from speechbrain_ser.lobes.pooling import valid_frames
from speechbrain_ser.lobes.speech_model import SpeechModel, masked_attention
from speechbrain_ser.lobes.ssl_prefix import before_blocks, prefix_digest
from speechbrain_ser.lobes.ssl_source import load_wrapper
from speechbrain_ser.utils.settings import NOTHING, Switch, Whole, Word


class SSLEncoder(SpeechModel):
    """A self-supervised speech model, read at one layer.

    Blocks above the layer are removed. If blocks are frozen, everything up to
    the last of them is the frozen prefix: the trained blocks can be given its
    kept output instead of waveforms. Checkpoints then hold the trained blocks
    alone, and the prefix's digest: the rest comes from the source.

    Arguments
    ---------
    source : str
        A hub name, or a local folder with config, weights and
        ``preprocessor_config.json``.
    save_path : str
        Where a model from the hub is kept.
    layer : int
        Which layer is read: 0 is the input of the first transformer block, 1 to
        L the outputs of the blocks, -1 the last, as in a list. The norm that
        "large" models put behind their last block is not applied, as in
        transformers' ``hidden_states``.
    frozen : bool
        Whether nothing of it is trained.
    frozen_layers : int
        How many of the first transformer blocks are not trained; if any is not,
        neither is anything before them.
    freeze_feature_extractor : bool
        Whether the convolutional front end is not trained.
    gradient_checkpointing : bool
        Computes activations again in the backward pass: less memory, more time.
    mask_embedding : bool
        Whether the embedding that stands in for masked frames is trained.
    weighted : bool
        Whether all layers up to that one are read, as a sum with learnt
        weights (softmax; equal at first).

    Raises
    ------
    InputError
        If the source can't be loaded or the layer is outside the model.

    Example
    -------
    >>> folder = getfixture("small_wav2vec2")
    >>> encoder = SSLEncoder(folder, save_path="unused", frozen_layers=2)
    >>> wavs, lengths = torch.randn(2, 8000), torch.ones(2)
    >>> frames, frame_lengths = encoder(wavs, lengths)
    >>> frames.shape[0], frames.shape[2] == encoder.dim
    (2, True)
    >>> kept, kept_lengths = encoder.prefix(wavs, lengths)
    >>> encoder.eval()(kept, kept_lengths)[0].equal(encoder(wavs, lengths)[0])
    True
    """

    def __init__(
        self,
        source: Word(),
        save_path: Word(optional=True, counts=NOTHING),
        layer: Whole() = -1,
        frozen: Switch() = False,
        frozen_layers: Whole(0) = 0,
        freeze_feature_extractor: Switch() = True,
        gradient_checkpointing: Switch(counts=NOTHING) = False,
        mask_embedding: Switch() = False,
        weighted: Switch() = False,
    ):
        super().__init__(source)
        wrapper = load_wrapper(source, save_path)
        self.model = wrapper.model
        self.feature_extractor = wrapper.feature_extractor
        self.normalize_wav = wrapper.normalize_wav
        # Such a model sees the padding: its first norm runs over the time.
        self.padding_matters = self.model.config.feat_extract_norm == "group"
        self._set_up(
            layer,
            frozen,
            frozen_layers,
            freeze_feature_extractor,
            gradient_checkpointing,
            mask_embedding,
            weighted,
        )

    # What `SpeechModel` asks of a kind of model

    FEATURE_EXTRACTOR = ("feature_extractor",)

    def _blocks(self):
        """Returns the model's transformer blocks."""
        return self.model.encoder.layers

    def _front_parts(self):
        """Returns what comes before the first block, name to module."""
        return before_blocks(self.model)

    def _attention_inputs(self, frames, lengths):
        """Returns what every block is given beside the frames."""
        return attention_inputs(self.model, frames, lengths, self.training)

    def _mask_parameter(self, make=False):
        """Returns the model's embedding of masked frames, if it has one."""
        if make and not hasattr(self.model, "masked_spec_embed"):
            # as transformers draws it; else it leaves it out
            self.model.config.mask_time_prob = 0.05
            self.model.masked_spec_embed = torch.nn.Parameter(
                torch.rand(self.dim)
            )
        return getattr(self.model, "masked_spec_embed", None)

    def _digest_of_blocks(self):
        """Returns the SHA-256 of all that decides the last frozen block."""
        return prefix_digest(self.model, self.frozen_layers, self.normalize_wav)

    def count_frames(self, samples):
        """Returns how many frames so many samples give, at least 1.

        Arguments
        ---------
        samples : torch.Tensor
            Integers of any shape.

        Returns
        -------
        torch.Tensor
            Of the same shape.
        """
        config = self.model.config
        for kernel, stride in zip(config.conv_kernel, config.conv_stride):
            samples = (samples - kernel).div(stride, rounding_mode="floor") + 1
        return samples.clamp(min=1)

    def _front_end(self, wavs, lengths, masked=None):
        """Returns the input of the first block, and its relative lengths."""
        parts = before_blocks(self.model)
        samples = (lengths * wavs.shape[1]).round().long()
        if self.normalize_wav:
            places = torch.arange(wavs.shape[1], device=wavs.device)
            mask = places < samples.unsqueeze(1)
            wavs = normalize_waveform(wavs, mask.to(wavs.dtype))
        features = convolve(parts["feature_extractor"], wavs)
        frames = parts["feature_projection"](features)
        if isinstance(frames, tuple):
            frames = frames[0]
        lengths = self.count_frames(samples) / frames.shape[1]
        if masked is not None:
            embedding = self.model.masked_spec_embed.to(frames.dtype)
            frames = torch.where(masked[..., None], embedding, frames)
        frames = frames.masked_fill(
            ~valid_frames(frames, lengths)[..., None], 0
        )
        frames = frames + parts["pos_conv_embed"](frames)
        if "layer_norm" in parts:
            frames = parts["layer_norm"](frames)
        return parts["dropout"](frames), lengths


def attention_inputs(model, frames, lengths, trains):
    """Returns what every block of a model is given beside the frames.

    Arguments
    ---------
    model : transformers.PreTrainedModel
    frames : torch.Tensor
        ``[batch, time, channels]``.
    lengths : torch.Tensor
        Relative lengths, ``[batch]`` in (0, 1].
    trains : bool
        See `masked_attention`.

    Returns
    -------
    dict
        Keyword to value.
    """
    if model.config.model_type == "wavlm":
        # All blocks share the position bias that the first block holds.
        attention = model.encoder.layers[0].attention
        bias = attention.compute_bias(frames.shape[1], frames.shape[1])
        bias = bias.repeat(len(frames), 1, 1)
        mask = valid_frames(frames, lengths)
        return {"attention_mask": mask, "position_bias": bias}
    return {"attention_mask": masked_attention(model, frames, lengths, trains)}


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
    tensor([[-1.,  1.,  0.]])
    """
    count = mask.sum(dim=1, keepdim=True)
    mean = (wavs * mask).sum(dim=1, keepdim=True) / count
    centred = (wavs - mean) * mask
    variance = (centred**2).sum(dim=1, keepdim=True) / count
    return centred / (variance + 1e-7).sqrt()
