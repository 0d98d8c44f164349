"""What every pre-trained speech encoder does, whatever its kind.

It is read at one layer; what is frozen stays in eval mode and has a digest;
the trained blocks can start from the kept output of the frozen ones (see
``frame_cache``).
"""

import abc
import hashlib
import inspect

import torch

from speechbrain_ser.lobes.kept_model import KeptModel
from speechbrain_ser.lobes.pooling import valid_frames
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.waiting import at_once

# Of the slowest of the waves that tell masked frames apart, in frames.
SLOWEST = 10000.0


class SpeechModel(KeptModel, torch.nn.Module, abc.ABC):
    """The base of `ssl.SSLEncoder` and `whisper.WhisperEncoder`.

    A subclass loads `model` and `feature_extractor`, then calls `_set_up`; it
    says what comes before the first block (`_front_parts`, `_front_end`) and
    what a block is given (`_attention_inputs`).

    Arguments
    ---------
    source : str
        A hub name or a local folder.
    """

    def __init__(self, source):
        super().__init__()
        self.source = source
        self._digest = None

    def _set_up(
        self,
        layer,
        frozen,
        frozen_layers,
        freeze_feature_extractor,
        gradient_checkpointing,
        mask_embedding,
        weighted,
    ):
        """Reads a layer, freezes what is frozen; see a subclass's arguments."""
        config = self.model.config
        self.dim = config.hidden_size
        self.n_layers = n_layers = config.num_hidden_layers
        if not -n_layers - 1 <= layer <= n_layers:
            raise InputError(
                f"{self.source} has layers 0 to {n_layers}, there is no layer "
                f"{layer}"
            )
        if not 0 <= frozen_layers <= n_layers:
            raise InputError(
                f"{self.source} has {n_layers} transformer blocks, "
                f"{frozen_layers} of them can't be frozen"
            )
        self.layer = layer % (n_layers + 1)
        del self._blocks()[self.layer :]
        self.has_prefix = frozen or frozen_layers > 0
        self.frozen_layers = min(
            n_layers if frozen else frozen_layers, self.layer
        )
        self._freeze(freeze_feature_extractor)
        if mask_embedding:
            self._train_mask_embedding()
        self.weighted = weighted
        if weighted:
            self.layer_weights = torch.nn.Parameter(torch.zeros(self.layer + 1))
        kept = self.frozen_layers + 1 if weighted else 1
        self.prefix_dim = kept * self.dim
        if gradient_checkpointing:
            self.model.gradient_checkpointing_enable(
                gradient_checkpointing_kwargs={"use_reentrant": False}
            )

    # What a kind of model says of itself

    # Of `_front_parts`, those that `freeze_feature_extractor` is about.
    FEATURE_EXTRACTOR = ()

    @abc.abstractmethod
    def _blocks(self):
        """Returns the model's transformer blocks, a ``ModuleList``."""

    @abc.abstractmethod
    def _front_parts(self):
        """Returns what comes before the first block, name to module."""

    @abc.abstractmethod
    def _front_end(self, wavs, lengths, masked=None):
        """Returns the input of the first block, and its relative lengths."""

    @abc.abstractmethod
    def _attention_inputs(self, frames, lengths):
        """Returns what every block is given beside the frames, a dict."""

    @abc.abstractmethod
    def _mask_parameter(self, make=False):
        """Returns the embedding of masked frames; None if there is none."""

    @abc.abstractmethod
    def _digest_of_blocks(self):
        """Returns the SHA-256 of all that decides the last frozen block."""

    @abc.abstractmethod
    def count_frames(self, samples):
        """Returns how many frames so many samples give, at least 1."""

    @property
    def sample_rate(self):
        """In Hz, of the waveforms that the model was trained on."""
        return self.feature_extractor.sampling_rate

    def shorten(self, layer):
        """Removes the blocks above a layer, of an encoder that gives all layers.

        What it gives of the others stays as it is, bit by bit.

        Arguments
        ---------
        layer : int
            From 0, the last one that stays.
        """
        del self._blocks()[layer:]
        self.layer = layer
        self.frozen_layers = min(self.frozen_layers, layer)
        self.trained = list(self._blocks()[self.frozen_layers :])
        weights = self.layer_weights.detach()[: layer + 1]
        self.layer_weights = torch.nn.Parameter(weights)
        self.prefix_dim = (self.frozen_layers + 1) * self.dim
        self._digest = None

    # What is trained

    def _freeze(self, freeze_feature_extractor):
        """Leaves a gradient only to what is trained, as DDP wants it."""
        self.trained = list(self._blocks()[self.frozen_layers :])
        if not self.has_prefix:
            parts = self._front_parts()
            if freeze_feature_extractor:
                for name in self.FEATURE_EXTRACTOR:
                    del parts[name]
            self.trained += parts.values()
        self.model.requires_grad_(False)
        for module in self.trained:
            module.requires_grad_(True)
        self.train(self.training)

    def _train_mask_embedding(self):
        """Trains the embedding of masked frames; makes it if need be."""
        self._mask_parameter(make=True).requires_grad_(True)

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

    # What it computes

    def forward(self, inputs, lengths, masked=None):
        """Encodes waveforms, or what :meth:`prefix` made of them.

        Arguments
        ---------
        inputs : torch.Tensor
            16 kHz waveforms, ``[batch, samples]``, zero behind the end of each;
            or the prefix's frames, ``[batch, time, prefix_dim]``.
        lengths : torch.Tensor
            Relative lengths of the inputs, ``[batch]`` in (0, 1].
        masked : torch.Tensor, optional
            The frames that the trained blocks see the mask embedding of, bool,
            ``[batch, time]``. Behind a frozen prefix the embedding has the
            frame's position added, which the blocks do not know otherwise.

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
            If frames are to be masked and there is no embedding.
        """
        if masked is not None and self._mask_parameter() is None:
            raise ValueError("masked frames need mask_embedding=True")
        blocks = self._blocks()
        if inputs.dim() == 3 or self.has_prefix:
            self._check_prefix()
            if inputs.dim() == 3:
                inputs = inputs.to(self.model.dtype)
            else:
                inputs, lengths = self.prefix(inputs, lengths)
            states = self._parted(inputs)
            if masked is not None:
                states = self._with_masks(states, masked)
            later = self._run(blocks[self.frozen_layers :], states[-1], lengths)
            states = states[:-1] + later
        else:
            states, lengths = self._from_waves(inputs, lengths, blocks, masked)
        return self._read(states), lengths

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
            ``[batch, time, prefix_dim]``, without gradient; with weighted
            layers the frozen ones side by side, layer 0 first.
        lengths : torch.Tensor
            Relative lengths of the frames, ``[batch]``.

        Raises
        ------
        InputError
            If nothing is frozen.
        """
        self._check_prefix()
        blocks = self._blocks()[: self.frozen_layers]
        states, lengths = self._from_waves(wavs, lengths, blocks)
        if self.weighted:
            return torch.cat(states, dim=2), lengths
        return states[-1], lengths

    def _from_waves(self, wavs, lengths, blocks, masked=None):
        """Returns the states that `_run` gives, and their lengths."""
        frames, lengths = self._front_end(wavs, lengths, masked)
        return self._run(blocks, frames, lengths), lengths

    def _run(self, blocks, frames, lengths):
        """Runs blocks as transformers' encoder does, without layerdrop.

        Returns
        -------
        list of torch.Tensor
            The frames given and what each block made of them, if layers are
            weighted; else the last of that alone.
        """
        states = [frames]
        given = self._attention_inputs(frames, lengths) if blocks else {}
        for block in blocks:
            frames = block(frames, **given)
            if isinstance(frames, tuple):
                frames = frames[0]
            states = states + [frames] if self.weighted else [frames]
        return states

    def _parted(self, frames):
        """Returns the layers that the prefix's frames hold side by side."""
        if frames.shape[2] != self.prefix_dim:
            raise ValueError(
                f"the prefix's frames have {self.prefix_dim} channels, these "
                f"have {frames.shape[2]}"
            )
        return list(frames.split(self.dim, dim=2))

    def _read(self, states):
        """Returns the layer, or the weighted sum of all up to it."""
        if not self.weighted:
            return states[-1]
        weights = torch.softmax(self.layer_weights.float(), dim=0)
        weights = weights.to(states[-1].dtype)
        return sum(weight * state for weight, state in zip(weights, states))

    def _with_masks(self, states, masked):
        """Puts the mask embedding in place of masked frames of each layer."""
        frames = states[-1]
        hidden = self._mask_parameter().to(frames.dtype)
        hidden = hidden + positions(*frames.shape[1:], frames.device).to(frames)
        return [
            torch.where(masked[..., None], hidden, state) for state in states
        ]

    # What it is

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
        digest = self._digest_of_blocks()
        if self.weighted:
            digest = hashlib.sha256(f"{digest} all layers".encode()).hexdigest()
        return digest

    def about_prefix(self):
        """Returns for a person what the prefix is."""
        layers = {"layers": self.frozen_layers + 1} if self.weighted else {}
        return {
            "what": "output of the last frozen block of a speech model",
            "source": str(self.source),
            "frozen_blocks": self.frozen_layers,
        } | layers

    def _check_prefix(self):
        """Raises an error if there is no frozen prefix."""
        if not self.has_prefix:
            raise InputError(
                "no transformer block is frozen, so there are no frames to "
                "keep: freeze blocks (frozen_layers or frozen), or switch the "
                "cache off"
            )


def masked_attention(model, frames, lengths, trains):
    """Returns the mask that keeps blocks from attending to padding.

    Where there is no padding transformers makes none, which saves time; to know
    it, a GPU would have to be waited for in each training step.

    Arguments
    ---------
    model : transformers.PreTrainedModel
    frames : torch.Tensor
        ``[batch, time, channels]``.
    lengths : torch.Tensor
        Relative lengths, ``[batch]`` in (0, 1].
    trains : bool
        Whether it is of a training step, also one that only passes through.

    Returns
    -------
    torch.Tensor or None
        In the form that the model's attention takes.
    """
    from transformers.masking_utils import create_bidirectional_mask

    given, skip = {}, "allow_is_bidirectional_skip"
    if trains and not at_once(frames):
        known = inspect.signature(create_bidirectional_mask).parameters
        given |= {skip: False} if skip in known else {}
    return create_bidirectional_mask(
        config=model.config,
        inputs_embeds=frames,
        attention_mask=valid_frames(frames, lengths),
        **given,
    )


def check_rate(encoder, sample_rate):
    """Refuses speech of another sampling rate than an encoder's.

    Arguments
    ---------
    encoder : SpeechModel
    sample_rate : int
        In Hz, of the waveforms that it will be given.

    Raises
    ------
    InputError
    """
    if encoder.sample_rate != sample_rate:
        raise InputError(
            f"{encoder.source} takes speech of {encoder.sample_rate} Hz, not of "
            f"{sample_rate}: give --sample_rate {encoder.sample_rate}"
        )


def positions(n_frames, dim, device="cpu"):
    """Returns sines and cosines that tell frames apart.

    Arguments
    ---------
    n_frames, dim : int
    device : torch.device or str
        Where they are computed.

    Returns
    -------
    torch.Tensor
        ``[n_frames, dim]``; of a radian a frame and slower.

    Example
    -------
    >>> positions(3, 4).shape
    torch.Size([3, 4])
    """
    rates = SLOWEST ** -torch.linspace(0, 1, (dim + 1) // 2, device=device)
    angles = torch.arange(n_frames, device=device)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :dim]
