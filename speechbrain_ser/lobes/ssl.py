"""wav2vec 2.0, HuBERT and WavLM as encoders that can be relied upon.

The models are loaded by SpeechBrain's own wrappers. What this lobe adds: the
source is checked first, nothing frozen leaves eval mode, layerdrop never shifts
the layer that is read, blocks above it are not computed, waveforms are
normalised over their valid length, and the trained blocks can start from the
kept output of the frozen ones (see ``frame_cache``).
"""

import hashlib
import json
import os
import shutil

import torch
from speechbrain.dataio.dataio import length_to_mask
from speechbrain.utils.checkpoints import (
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)

from speechbrain_ser.utils.errors import InputError

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
SHARDED = tuple(f"{name}.index.json" for name in WEIGHTS)
FINETUNE = ("none", "last1", "last2")
# Raised when the same weights and settings give another prefix output.
# Of the prefix's digest in a checkpoint.
PREFIX = "prefix_sha256"
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


def frozen_blocks(n_blocks, finetune):
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
    if finetune not in FINETUNE:
        raise InputError(
            f"finetune is {finetune!r}: give one of {', '.join(FINETUNE)}"
        )
    trained = FINETUNE.index(finetune)
    if trained > n_blocks:
        raise InputError(
            f"finetune is {finetune}, but there are {n_blocks} blocks: give "
            "a number of blocks that is not smaller"
        )
    return n_blocks - trained


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
        source,
        save_path,
        layer=-1,
        frozen=False,
        frozen_layers=0,
        freeze_feature_extractor=True,
        gradient_checkpointing=False,
        mask_embedding=False,
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

    def _before_blocks(self):
        """Returns name to module of all that comes before the first block."""
        model, encoder = self.model, self.model.encoder
        parts = {
            "feature_extractor": model.feature_extractor,
            "feature_projection": model.feature_projection,
            "pos_conv_embed": encoder.pos_conv_embed,
            "dropout": encoder.dropout,
        }
        # In the other models this norm comes behind the last block.
        if not model.config.do_stable_layer_norm:
            parts["layer_norm"] = encoder.layer_norm
        return parts

    def _freeze(self, freeze_feature_extractor):
        """Leaves a gradient only to what is trained, as DDP wants it."""
        self.trained = list(self.model.encoder.layers[self.frozen_layers :])
        if not self.has_prefix:
            parts = self._before_blocks()
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
        parts = self._before_blocks()
        blocks = self.model.encoder.layers[: self.frozen_layers]
        parts.update({f"block{i}": block for i, block in enumerate(blocks)})
        config = self.model.config.to_dict()
        settings = {key: config.get(key) for key in DECISIVE_CONFIG}
        settings["version"] = PREFIX_VERSION
        settings["normalize_wav"] = self.normalize_wav
        settings["blocks"] = self.frozen_layers
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        for part, module in parts.items():
            for name, value in module.state_dict().items():
                digest.update(f"{part} {name} {value.dtype}".encode())
                digest.update(f"{list(value.shape)}".encode())
                value = value.detach().cpu().contiguous().reshape(-1)
                digest.update(value.view(torch.uint8).numpy())
        return digest.hexdigest()

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
        beside = f"{folder}.unfinished"
        shutil.rmtree(beside, ignore_errors=True)
        config = self.model.config
        n_layers = config.num_hidden_layers
        config.num_hidden_layers = self.layer
        try:
            self.model.save_pretrained(beside)
        finally:
            config.num_hidden_layers = n_layers
        self.feature_extractor.save_pretrained(beside)
        # deleted under its own name it would be half there for a moment
        earlier = f"{folder}.earlier"
        shutil.rmtree(earlier, ignore_errors=True)
        if os.path.isdir(folder):
            os.replace(folder, earlier)
        os.replace(beside, folder)
        shutil.rmtree(earlier, ignore_errors=True)

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
        parts = self._before_blocks()
        samples = (lengths * wavs.shape[1]).round().long()
        if self.normalize_wav:
            mask = length_to_mask(samples, wavs.shape[1], dtype=wavs.dtype)
            wavs = normalize_waveform(wavs, mask)
        features = parts["feature_extractor"](wavs).transpose(1, 2)
        frames = parts["feature_projection"](features)
        if isinstance(frames, tuple):
            frames = frames[0]
        lengths = self.count_frames(samples) / frames.shape[1]
        if masked is not None:
            embedding = self.model.masked_spec_embed.to(frames.dtype)
            frames = torch.where(masked[..., None], embedding, frames)
        frames = frames.masked_fill(~frame_mask(frames, lengths)[..., None], 0)
        frames = frames + parts["pos_conv_embed"](frames)
        if "layer_norm" in parts:
            frames = parts["layer_norm"](frames)
        return parts["dropout"](frames), lengths

    def _run(self, blocks, frames, lengths):
        """Runs blocks as transformers' encoder does, without layerdrop."""
        if not blocks:
            return frames
        mask = frame_mask(frames, lengths)
        if self.model.config.model_type == "wavlm":
            # All blocks share the position bias that the first block holds.
            attention = self.model.encoder.layers[0].attention
            bias = attention.compute_bias(frames.shape[1], frames.shape[1])
            bias = bias.repeat(len(frames), 1, 1)
            given = {"attention_mask": mask, "position_bias": bias}
        else:
            from transformers.masking_utils import create_bidirectional_mask

            mask = create_bidirectional_mask(
                config=self.model.config,
                inputs_embeds=frames,
                attention_mask=mask,
            )
            given = {"attention_mask": mask}
        for block in blocks:
            frames = block(frames, **given)
            if isinstance(frames, tuple):
                frames = frames[0]
        return frames


def frame_mask(frames, lengths):
    """Returns where frames are valid.

    Arguments
    ---------
    frames : torch.Tensor
        ``[batch, time, channels]``.
    lengths : torch.Tensor
        Relative lengths, ``[batch]``.

    Returns
    -------
    torch.Tensor
        Bool, ``[batch, time]``.

    Example
    -------
    >>> frame_mask(torch.zeros(1, 3, 2), torch.tensor([0.67]))
    tensor([[ True,  True, False]])
    """
    counts = (lengths * frames.shape[1]).round().long()
    return length_to_mask(counts, frames.shape[1], dtype=torch.bool)


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
