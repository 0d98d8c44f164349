"""wav2vec 2.0, HuBERT and WavLM as encoders that can be relied upon.

The models are loaded by SpeechBrain's own wrappers. What this lobe adds: the
source is checked first, nothing frozen leaves eval mode, layerdrop never shifts
the layer that is read, blocks above it are not computed, waveforms are
normalised over their valid length, and the trained blocks can start from the
kept output of the frozen ones (see ``frame_cache``).
"""

import torch

from speechbrain.utils.checkpoints import (
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)
from speechbrain_ser.lobes.pooling import valid_frames
from speechbrain_ser.lobes.ssl_prefix import before_blocks, prefix_digest
from speechbrain_ser.lobes.ssl_source import load_wrapper, write_model
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import NOTHING, Switch, Whole, Word

# Of the prefix's digest in a checkpoint.
PREFIX = "prefix_sha256"


@register_checkpoint_hooks
class SSLEncoder(torch.nn.Module):
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
    ):
        super().__init__()
        wrapper = load_wrapper(source, save_path)
        self.source = source
        self.model = wrapper.model
        self.feature_extractor = wrapper.feature_extractor
        self.normalize_wav = wrapper.normalize_wav
        config = self.model.config
        self.dim = config.hidden_size
        # Such a model sees the padding: its first norm runs over the time.
        self.padding_matters = config.feat_extract_norm == "group"
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
        self.model.encoder.layers = self.model.encoder.layers[: self.layer]
        self.has_prefix = frozen or frozen_layers > 0
        self.frozen_layers = min(
            n_layers if frozen else frozen_layers, self.layer
        )
        self._freeze(freeze_feature_extractor)
        if mask_embedding:
            self._train_mask_embedding()
        self._digest = None
        if gradient_checkpointing:
            self.model.gradient_checkpointing_enable(
                gradient_checkpointing_kwargs={"use_reentrant": False}
            )

    def _freeze(self, freeze_feature_extractor):
        """Leaves a gradient only to what is trained, as DDP wants it."""
        self.trained = list(self.model.encoder.layers[self.frozen_layers :])
        if not self.has_prefix:
            parts = before_blocks(self.model)
            if freeze_feature_extractor:
                del parts["feature_extractor"]
            self.trained += parts.values()
        self.model.requires_grad_(False)
        for module in self.trained:
            module.requires_grad_(True)
        self.train(self.training)

    def _train_mask_embedding(self):
        """Trains the model's embedding of masked frames; makes it if need be."""
        if self.has_prefix:
            raise ValueError("frames can't be masked before frozen blocks")
        if not hasattr(self.model, "masked_spec_embed"):
            # as transformers draws it; else it leaves it out
            self.model.config.mask_time_prob = 0.05
            self.model.masked_spec_embed = torch.nn.Parameter(
                torch.rand(self.dim)
            )
        self.model.masked_spec_embed.requires_grad_(True)

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
        self.model.eval()
        for module in self.trained:
            module.train(mode)
        return self

    def forward(self, inputs, lengths, masked=None):
        """Encodes waveforms, or what :meth:`prefix` made of them.

        Arguments
        ---------
        inputs : torch.Tensor
            16 kHz waveforms, ``[batch, samples]``, zero behind the end of each;
            or the prefix's frames, ``[batch, time, channels]``.
        lengths : torch.Tensor
            Relative lengths of the inputs, ``[batch]`` in (0, 1].
        masked : torch.Tensor, optional
            Of waveforms: the frames that the blocks see the mask embedding of,
            bool, ``[batch, time]``.

        Returns
        -------
        frames : torch.Tensor
            ``[batch, time, channels]``, 20 ms apart.
        lengths : torch.Tensor
            Relative lengths of the frames, ``[batch]``.

        Raises
        ------
        InputError
            If frames are given and nothing is frozen.
        ValueError
            If frames are to be masked and blocks are frozen.
        """
        if masked is not None and self.has_prefix:
            raise ValueError("frames can't be masked before frozen blocks")
        if inputs.dim() == 3:
            self._check_prefix()
            frames = inputs.to(self.model.dtype)
        elif self.has_prefix:
            frames, lengths = self.prefix(inputs, lengths)
        else:
            frames, lengths = self._front_end(inputs, lengths, masked)
        blocks = self.model.encoder.layers[self.frozen_layers :]
        return self._run(blocks, frames, lengths), lengths

    @torch.no_grad()
    def prefix(self, wavs, lengths):
        """Computes the output of the last frozen block.

        Arguments
        ---------
        wavs : torch.Tensor
            16 kHz, ``[batch, samples]``, zero behind the end of each.
        lengths : torch.Tensor
            Relative lengths, ``[batch]`` in (0, 1].

        Returns
        -------
        frames : torch.Tensor
            ``[batch, time, channels]``, without gradient.
        lengths : torch.Tensor
            Relative lengths of the frames, ``[batch]``.

        Raises
        ------
        InputError
            If nothing is frozen.
        """
        self._check_prefix()
        frames, lengths = self._front_end(wavs, lengths)
        blocks = self.model.encoder.layers[: self.frozen_layers]
        return self._run(blocks, frames, lengths), lengths

    def prefix_digest(self):
        """Returns the SHA-256 of all that decides the prefix's output.

        Returns
        -------
        str
            64 hexadecimal digits.

        Raises
        ------
        InputError
            If nothing is frozen.
        """
        self._check_prefix()
        return prefix_digest(self.model, self.frozen_layers, self.normalize_wav)

    def about_prefix(self):
        """Returns for a person what the prefix is."""
        return {
            "what": "output of the last frozen block of a speech model",
            "source": str(self.source),
            "frozen_blocks": self.frozen_layers,
        }

    def export(self, folder):
        """Writes the model, up to its layer, as transformers would.

        Arguments
        ---------
        folder : str
            Whole or not there; replaced if it is. It can be the `source` of
            another encoder.
        """
        write_model(folder, self.model, self.feature_extractor, self.layer)

    @mark_as_saver
    def save(self, path):
        """Saves what is trained, as a state dict."""
        state = self.state_dict()
        if self.has_prefix:
            trained = {
                name for name, p in self.named_parameters() if p.requires_grad
            }
            state = {name: state[name] for name in trained}
            state[PREFIX] = self._prefix_bytes()
        torch.save(state, path)

    @mark_as_loader
    def load(self, path, end_of_epoch):
        """Loads what `save` saved.

        Raises
        ------
        InputError
            If it was trained on another frozen prefix.
        """
        del end_of_epoch
        state = torch.load(path, map_location="cpu", weights_only=True)
        prefix = state.pop(PREFIX, None)
        if self.has_prefix:
            if prefix is None or not prefix.equal(self._prefix_bytes()):
                raise InputError(
                    f"the blocks in {path} were trained behind other frozen "
                    f"weights than those of {self.source}: give the source that "
                    "they were trained with"
                )
            state = self.state_dict() | state
        self.load_state_dict(state)

    def _prefix_bytes(self):
        """Returns the prefix's digest as a tensor, computed once."""
        if self._digest is None:
            self._digest = self.prefix_digest()
        return torch.frombuffer(
            bytearray.fromhex(self._digest), dtype=torch.uint8
        )

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

    def _check_prefix(self):
        """Raises an error if there is no frozen prefix."""
        if not self.has_prefix:
            raise InputError(
                "no transformer block is frozen, so there are no frames to "
                "keep: freeze blocks (frozen_layers or frozen), or switch the "
                "cache off"
            )

    def _front_end(self, wavs, lengths, masked=None):
        """Returns the input of the first block, and its relative lengths."""
        parts = before_blocks(self.model)
        samples = (lengths * wavs.shape[1]).round().long()
        if self.normalize_wav:
            places = torch.arange(wavs.shape[1], device=wavs.device)
            mask = places < samples.unsqueeze(1)
            wavs = normalize_waveform(wavs, mask.to(wavs.dtype))
        features = parts["feature_extractor"](wavs).transpose(1, 2)
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

    def _run(self, blocks, frames, lengths):
        """Runs blocks as transformers' encoder does, without layerdrop."""
        if not blocks:
            return frames
        given = attention_inputs(self.model, frames, lengths)
        for block in blocks:
            frames = block(frames, **given)
            if isinstance(frames, tuple):
                frames = frames[0]
        return frames


def attention_inputs(model, frames, lengths):
    """Returns what every block of a model is given beside the frames.

    Arguments
    ---------
    model : transformers.PreTrainedModel
    frames : torch.Tensor
        ``[batch, time, channels]``.
    lengths : torch.Tensor
        Relative lengths, ``[batch]`` in (0, 1].

    Returns
    -------
    dict
        Keyword to value.
    """
    mask = valid_frames(frames, lengths)
    if model.config.model_type == "wavlm":
        # All blocks share the position bias that the first block holds.
        attention = model.encoder.layers[0].attention
        bias = attention.compute_bias(frames.shape[1], frames.shape[1])
        bias = bias.repeat(len(frames), 1, 1)
        return {"attention_mask": mask, "position_bias": bias}
    from transformers.masking_utils import create_bidirectional_mask

    mask = create_bidirectional_mask(
        config=model.config, inputs_embeds=frames, attention_mask=mask
    )
    return {"attention_mask": mask}


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
