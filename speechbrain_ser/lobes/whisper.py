"""Whisper's encoder on real speech, not on thirty seconds of padding.

transformers' own forward takes 30 s alone and ignores masks. This one computes
the real frames of each utterance, alone or in a batch, and can pad to 30 s as
OpenAI does.

Reference: Radford et al. 2023, Robust Speech Recognition via Large-Scale Weak
Supervision, section 2.2.
"""

import hashlib
import json

import torch
import torch.nn.functional as F

from speechbrain_ser.lobes.pooling import valid_frames
from speechbrain_ser.lobes.speech_model import SpeechModel, masked_attention
from speechbrain_ser.lobes.whisper_features import log_mel
from speechbrain_ser.lobes.whisper_source import load_whisper
from speechbrain_ser.utils.settings import NOTHING, Switch, Whole, Word

# Raised when the same weights and settings give another prefix output.
WHISPER_PREFIX_VERSION = 1
# What decides the output in eval mode, beside the weights.
DECISIVE_CONFIG = (
    "activation_function",
    "encoder_attention_heads",
    "max_source_positions",
    "num_mel_bins",
)
DECISIVE_FEATURES = ("n_fft", "hop_length", "chunk_length", "sampling_rate")


class WhisperEncoder(SpeechModel):
    """The encoder of a Whisper, read at one layer.

    An utterance is computed on its real frames alone: the log-Mel features are
    those of its own samples, reflected where it ends, the position embeddings
    are cut to its length, and no frame attends to padding. So it has the same
    frames alone and in any batch. Longer than 30 s it is computed in windows of
    30 s, each as an utterance of its own, the last one shorter.

    Blocks above the layer are removed; frozen blocks, the prefix and
    checkpoints are those of `ssl.SSLEncoder`.

    Arguments
    ---------
    source : str
        A hub name, or a local folder with ``config.json``, weights and
        ``preprocessor_config.json``; of a whole Whisper or of its encoder.
    save_path : str
        Where a model from the hub is kept.
    layer : int
        Which layer is read: 0 is the input of the first transformer block
        (after the position embeddings), 1 to L the outputs of the blocks, -1
        the last, as in a list. The norm behind the last block is not applied.
    frozen : bool
        Whether nothing of it is trained.
    frozen_layers : int
        How many of the first transformer blocks are not trained; if any is not,
        neither is anything before them.
    freeze_feature_extractor : bool
        Whether the two convolutions are not trained. The position embeddings
        never are.
    gradient_checkpointing : bool
        Computes activations again in the backward pass: less memory, more time.
    mask_embedding : bool
        Whether there is an embedding, to be trained, that stands in for masked
        frames. It is drawn here and no part of an export: Whisper has none.
    weighted : bool
        Whether all layers up to that one are read, as a sum with learnt
        weights (softmax; equal at first).
    padded : bool
        Whether each window is padded to 30 s with silence, as OpenAI runs it;
        what comes of the real speech is returned. With a frozen prefix it is
        the prefix that sees the silence, the trained blocks do not.

    Raises
    ------
    InputError
        If the source can't be loaded or the layer is outside the model.

    Example
    -------
    >>> folder = getfixture("small_whisper")
    >>> encoder = WhisperEncoder(folder, save_path="unused", frozen_layers=2)
    >>> wavs, lengths = torch.randn(2, 8000), torch.tensor([1.0, 0.5])
    >>> frames, frame_lengths = encoder(wavs, lengths)
    >>> frames.shape, (frame_lengths * 25).round()
    (torch.Size([2, 25, 32]), tensor([25., 13.]))
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
        padded: Switch() = False,
    ):
        super().__init__(source)
        self.model, self.feature_extractor = load_whisper(source, save_path)
        self.padded = padded
        self.padding_matters = False
        # no buffer: a cast of the module leaves features in float32
        self.filters = torch.from_numpy(self.feature_extractor.mel_filters)
        self.filters = self.filters.float()
        self.window = self.model.config.max_source_positions
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

    FEATURE_EXTRACTOR = ("conv1", "conv2")

    def _blocks(self):
        """Returns the model's transformer blocks."""
        return self.model.layers

    def _front_parts(self):
        """Returns what comes before the first block and may be trained."""
        return {name: getattr(self.model, name) for name in ("conv1", "conv2")}

    def _attention_inputs(self, frames, lengths):
        """Returns what every block is given beside the frames."""
        return {
            "attention_mask": masked_attention(
                self.model, frames, lengths, self.training
            )
        }

    def _mask_parameter(self, make=False):
        """Returns the embedding of masked frames, if there is one."""
        if make:
            self.mask_embedding = torch.nn.Parameter(torch.rand(self.dim))
        return getattr(self, "mask_embedding", None)

    def _digest_of_blocks(self):
        """Returns the SHA-256 of all that decides the last frozen block.

        Weights count as float16, in which the hub and copies of it hold them.
        """
        config = self.model.config.to_dict()
        settings = {key: config[key] for key in DECISIVE_CONFIG}
        for key in DECISIVE_FEATURES:
            settings[key] = getattr(self.feature_extractor, key)
        settings["version"] = WHISPER_PREFIX_VERSION
        settings["padded"] = self.padded
        settings["blocks"] = self.frozen_layers
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        parts = self._front_parts() | {"embed": self.model.embed_positions}
        blocks = self._blocks()[: self.frozen_layers]
        parts |= {f"block{i}": block for i, block in enumerate(blocks)}
        for name, value in sorted(
            (f"{part}.{name}", value)
            for part, module in parts.items()
            for name, value in module.state_dict().items()
        ):
            digest.update(f"{name} {list(value.shape)}".encode())
            digest.update(value.detach().cpu().half().numpy().tobytes())
        return digest.hexdigest()

    def about_prefix(self):
        """Returns for a person what the prefix is."""
        return super().about_prefix() | {"padded": self.padded}

    def count_frames(self, samples):
        """Returns how many frames so many samples give, at least 1.

        Arguments
        ---------
        samples : torch.Tensor
            Integers of any shape.

        Returns
        -------
        torch.Tensor
            Of the same shape: one for each two hops of 10 ms, or begun two.
        """
        hops = samples // self.feature_extractor.hop_length
        return ((hops + 1) // 2).clamp(min=1)

    def _front_end(self, wavs, lengths, masked=None):
        """Returns the input of the first block, and its relative lengths.

        Of an utterance that is `padded` all of its padding is valid here.
        """
        samples = (lengths * wavs.shape[1]).round().long()
        total = max(int(self._longest(wavs)), 1)
        frames = self._convolved(*self._windows(wavs, samples))
        frames = frames.unflatten(0, (len(wavs), -1)).flatten(1, 2)
        if not self.padded:
            frames = frames[:, :total]
        if masked is not None:
            masked = F.pad(masked, (0, frames.shape[1] - masked.shape[1]))
            hidden = self._mask_parameter().to(frames.dtype)
            frames = torch.where(masked[..., None], hidden, frames)
        places = torch.arange(frames.shape[1], device=frames.device)
        frames = frames + self.model.embed_positions(places % self.window)
        if self.padded:
            return frames, torch.ones_like(lengths)
        return frames, self.count_frames(samples) / total

    def _longest(self, wavs):
        """Returns how many frames the longest utterance of a batch can have."""
        hops = wavs.shape[1] // self.feature_extractor.hop_length
        return max((hops + 1) // 2, 1)

    def _windows(self, wavs, samples):
        """Cuts waves into windows of 30 s, the last one shorter or padded.

        Returns
        -------
        wavs : torch.Tensor
            ``[batch * windows, samples]``, those of an utterance in a row.
        samples : torch.Tensor
            How many each has, at least 1, ``[batch * windows]``.
        """
        places = torch.arange(wavs.shape[1], device=wavs.device)
        wavs = wavs.masked_fill(places >= samples.unsqueeze(1), 0)
        size = self.feature_extractor.n_samples
        count = max(-(-wavs.shape[1] // size), 1)
        if count > 1 or self.padded:
            wavs = F.pad(wavs, (0, count * size - wavs.shape[1]))
        starts = size * torch.arange(count, device=wavs.device)
        samples = (samples.unsqueeze(1) - starts).clamp(1, size)
        if self.padded:
            samples = torch.full_like(samples, size)
        return wavs.unflatten(1, (count, -1)).flatten(0, 1), samples.flatten()

    def _convolved(self, wavs, samples):
        """Returns what the convolutions make of the features of windows."""
        extractor = self.feature_extractor
        if self.filters.device != wavs.device:  # they stay there
            self.filters = self.filters.to(wavs.device)
        with torch.autocast(wavs.device.type, enabled=False):
            features = log_mel(
                wavs.float(),
                samples,
                self.filters,
                extractor.n_fft,
                extractor.hop_length,
            ).to(self.model.dtype)
        first = F.gelu(self.model.conv1(features))
        # where the features end the second convolution is to see nothing
        hops = (samples // extractor.hop_length).clamp(min=1) / first.shape[2]
        real = valid_frames(first.transpose(1, 2), hops).unsqueeze(1)
        return F.gelu(self.model.conv2(first * real)).transpose(1, 2)

    def _from_waves(self, wavs, lengths, blocks, masked=None):
        """Returns the states that `_run` gives, and their lengths."""
        states, ends = super()._from_waves(wavs, lengths, blocks, masked)
        if self.padded:
            total = self._longest(wavs)
            states = [state[:, :total] for state in states]
            samples = (lengths * wavs.shape[1]).round().long()
            ends = self.count_frames(samples) / total
        return states, ends

    def _run(self, blocks, frames, lengths):
        """Runs blocks, each window of 30 s for itself."""
        longest = frames.shape[1]
        if longest <= self.window:
            return super()._run(blocks, frames, lengths)
        count = -(-longest // self.window)
        counts = (lengths * longest).round()
        frames = F.pad(frames, (0, 0, 0, count * self.window - longest))
        frames = frames.unflatten(1, (count, -1)).flatten(0, 1)
        starts = self.window * torch.arange(count, device=lengths.device)
        ends = (counts.unsqueeze(1) - starts).clamp(0, self.window).flatten()
        states = super()._run(blocks, frames, ends / self.window)
        return [
            state.unflatten(0, (-1, count)).flatten(1, 2)[:, :longest]
            for state in states
        ]
