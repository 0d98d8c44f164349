"""What the fixed part of an encoder gives, computed once and kept on disk.

One file per utterance, whole or not there. Its folder is named by all that
decides that part's output, its name by the bytes of the audio: what is
stale is another name and never read. So any number of processes can fill and
read one cache together, and a killed one loses an utterance at most.
"""

import contextlib
import errno
import hashlib
import io
import os
import random
import shutil

import numpy as np
import torch
import transformers

import speechbrain_ser
from speechbrain.utils.distributed import infer_device
from speechbrain.utils.logger import get_logger
from speechbrain_ser.data.reading import file_digest, progress
from speechbrain_ser.utils.audio import load_audio, place
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.files import replacing, write_json
from speechbrain_ser.utils.settings import NOTHING, Switch, Whole, Word

logger = get_logger(__name__)

DTYPES = (np.float16, np.float32)
FULL = (errno.ENOSPC, errno.EDQUOT)


class FrameCache:
    """Keeps what an encoder's ``prefix`` gives for each utterance.

    The encoder is a ``SpeechModel`` with frozen blocks, or of fixed features. The
    cache holds no weights, so that a loader's worker processes can have it.

    Models with a group norm ("base") see the padding of a batch. What is kept
    is the frames of the utterance alone, so training on the cache differs from
    training such a model on padded batches of waveforms.

    Arguments
    ---------
    folder : str
        Where caches are kept, in a folder each; runs can share it.
    encoder : SpeechModel, LogMel or LogMelPitchEnergy
        With ``prefix``, ``prefix_digest``, ``about_prefix``, ``count_frames``
        and ``prefix_dim``.
    sample_rate : int
        In Hz; files of another rate are resampled.
    half : bool
        Whether frames are kept in half precision where that can hold them.
    copies : AugmentedCopies or None
        What makes the copies among the entries, those with a key ``copy``.

    Raises
    ------
    InputError
        If nothing of the encoder is frozen.

    Example
    -------
    >>> from speechbrain_ser.lobes.ssl import SSLEncoder
    >>> encoder = SSLEncoder(
    ...     getfixture("small_wav2vec2"), "unused", frozen_layers=2
    ... )
    >>> cache = FrameCache(getfixture("tmp_path") / "frames", encoder)
    >>> annotation = getfixture("tones")
    >>> cache.fill(annotation, encoder, show=False)
    12
    >>> cache.read(annotation["tone0"]).shape
    torch.Size([99, 32])
    """

    def __init__(
        self,
        folder: Word(counts=NOTHING),
        encoder,
        sample_rate: Whole(1) = 16000,
        half: Switch() = True,
        copies=None,
    ):
        self.digest = encoder.prefix_digest()
        self.folder = os.path.join(folder, f"{self.digest}-{sample_rate}")
        self.channels = encoder.prefix_dim
        self.sample_rate = sample_rate
        self.half = half
        self.copies = copies
        self.hashes = {}

    def fill(self, annotation, encoder, device="cpu", show=True):
        """Computes what is missing, in float32, each utterance alone.

        It can be stopped and called again at any moment, and by several
        processes at once: each takes the utterances in an order of its own and
        leaves out what is there by then, and returns when all is there. Who
        computed what changes no bit.

        Arguments
        ---------
        annotation : dict
            Id to entry, each with ``wav``, ``duration`` and optionally
            ``start``, ``stop`` and ``speed``.
        encoder : SpeechModel, LogMel or LogMelPitchEnergy
            The one that the cache was made for.
        device : str
            Where it computes.
        show : bool
            Whether to show a progress bar.

        Returns
        -------
        int
            How many utterances this process computed.

        Raises
        ------
        InputError
            If the disk is too small, the folder can't be written, or frames are
            not finite.
        """
        entries = {self.path(entry): entry for entry in annotation.values()}
        needed = self._missing(entries, encoder)
        if not needed:
            return 0
        if encoder.prefix_digest() != self.digest:
            raise ValueError("the cache was made for another encoder")
        paths = list(needed)
        # another order in each process, whatever the seed says
        random.SystemRandom().shuffle(paths)
        with self._writing(needed):
            self._describe(encoder)
        self._check_space(needed.values())
        computed = 0
        for path in progress(paths, "filling the cache", show):
            if not self._is_whole(path):
                wav = load_audio(entries[path], self.sample_rate)
                if "copy" in entries[path]:
                    wav = self.copies.make(wav, os.path.basename(path))
                frames = compute(encoder, wav, device)
                if not torch.isfinite(frames).all():
                    raise InputError(
                        f"the frames of {entries[path]['wav']} are NaN or "
                        "infinite: look for audio or weights that are"
                    )
                with self._writing(needed):
                    self._write(path, frames)
                computed += 1
        return computed

    def read(self, entry):
        """Reads the frames of an utterance.

        Arguments
        ---------
        entry : dict
            Of an annotation that :meth:`fill` was given.

        Returns
        -------
        torch.Tensor
            ``[time, channels]``; float16, or float32 where the values need it.

        Raises
        ------
        InputError
            If they are not there, or damaged.
        """
        return torch.from_numpy(np.load(self._found(entry), allow_pickle=False))

    def count(self, entry):
        """Counts the frames of an utterance without reading them.

        Arguments
        ---------
        entry : dict
            Of an annotation that :meth:`fill` was given.

        Returns
        -------
        int

        Raises
        ------
        InputError
            If they are not there, or damaged.
        """
        return len(np.load(self._found(entry), mmap_mode="r"))

    def path(self, entry):
        """Returns where the frames of an utterance are kept.

        Arguments
        ---------
        entry : dict
            ``wav``; perhaps ``start``, ``stop``, ``speed``, ``channel``, ``copy``.

        Returns
        -------
        str
        """
        wav = entry["wav"]
        try:
            state = os.stat(wav)
            known = (wav, state.st_mtime_ns, state.st_size)
            if known not in self.hashes:
                self.hashes[known] = file_digest(wav)
        except OSError as failure:
            raise InputError(
                f"the audio file {wav} can't be read ({failure.strerror}): "
                "correct its path in the annotation"
            ) from failure
        part = (entry.get("start", 0), entry.get("stop"), self.sample_rate)
        part += (entry["speed"],) if "speed" in entry else ()
        part += (str(entry["channel"]),) if "channel" in entry else ()
        if "copy" in entry:
            part += (entry["copy"], self.copies.fingerprint)
        name = hashlib.sha256(f"{self.hashes[known]} {part}".encode())
        return os.path.join(self.folder, f"{name.hexdigest()}.npy")

    def _missing(self, entries, encoder):
        """Returns the bytes of each file that is not there yet.

        Arguments
        ---------
        entries : dict
            Path to entry.
        encoder : SpeechModel, LogMel or LogMelPitchEnergy

        Returns
        -------
        dict
            Path to bytes.
        """
        samples = {
            path: round(entry["duration"] * self.sample_rate)
            for path, entry in entries.items()
            if not self._is_whole(path)
        }
        if not samples:
            return {}
        counts = encoder.count_frames(torch.tensor([*samples.values()]))
        frame = (2 if self.half else 4) * self.channels
        return {path: frame * int(n) for path, n in zip(samples, counts)}

    def _found(self, entry):
        """Returns where the frames of an utterance are, if they are."""
        path = self.path(entry)
        if not self._is_whole(path):
            state = "is damaged" if os.path.exists(path) else "is missing"
            raise InputError(
                f"the cached file {path} of {entry['wav']} {state}: start "
                "again, the cache is then filled before training, and don't "
                "change audio files meanwhile"
            )
        return path

    def _is_whole(self, path):
        """Whether a file is there and as long as its header says."""
        try:
            with open(path, "rb") as file:
                version = np.lib.format.read_magic(file)
                if version != (1, 0):
                    return False
                header = np.lib.format.read_array_header_1_0(file)
                shape, by_columns, dtype = header
                size = file.tell() + int(np.prod(shape)) * dtype.itemsize
                return (
                    not by_columns
                    and dtype in DTYPES
                    and shape[1:] == (self.channels,)
                    and os.fstat(file.fileno()).st_size == size
                )
        except (OSError, ValueError):
            return False

    @contextlib.contextmanager
    def _writing(self, needed):
        """Says in a sentence why the cache can't be written.

        Arguments
        ---------
        needed : dict
            Path to bytes.
        """
        try:
            yield
        except OSError as failure:
            if failure.errno in FULL:
                rest = [path for path in needed if not self._is_whole(path)]
                raise self._no_space([needed[p] for p in rest]) from failure
            raise InputError(
                f"the frame cache {self.folder} can't be written "
                f"({failure.strerror}): give another folder, or switch the "
                "cache off"
            ) from failure

    def _write(self, path, frames):
        """Writes frames, in half precision if that can hold them."""
        array = frames.cpu().contiguous().numpy()
        if self.half and np.abs(array).max() <= np.finfo(np.float16).max:
            array = array.astype(np.float16)
        # np.save says nothing of a full disk when it writes to a file
        whole = io.BytesIO()
        np.save(whole, array, allow_pickle=False)
        with replacing(path) as beside:
            with open(beside, "wb") as file:
                file.write(whole.getbuffer())

    def _describe(self, encoder):
        """Writes for a person what the folder holds."""
        path = os.path.join(self.folder, "cache.json")
        if os.path.exists(path):
            return
        versions = {m.__name__: m.__version__ for m in (torch, transformers)}
        versions["speechbrain_ser"] = speechbrain_ser.__version__
        about = {
            **encoder.about_prefix(),
            "files": "one per utterance [time, channels]; may be deleted at "
            "any time",
            "channels": self.channels,
            "sample_rate": self.sample_rate,
            "dtype": "float16, or float32 where values are too large for it"
            if self.half
            else "float32",
            "folder_name": "SHA-256 of the weights and settings up to there, "
            "then the sample rate",
            "file_name": "SHA-256 of the audio file's SHA-256, start, stop, "
            "sample rate and speed",
            "versions": versions,
        }
        write_json(path, about)

    def _check_space(self, needed):
        """Raises an error if the disk can't hold so many bytes."""
        if sum(needed) > shutil.disk_usage(self.folder).free:
            raise self._no_space(needed)

    def _no_space(self, needed):
        """The error for a full disk."""
        free = shutil.disk_usage(self.folder).free
        return InputError(
            f"the frame cache {self.folder} needs {sum(needed) / 1e9:.3g} GB "
            f"more for {len(needed)} utterances and {free / 1e9:.3g} GB are "
            "free: give a folder on another disk, or switch the cache off"
        )


@torch.no_grad()
def compute(encoder, wav, device):
    """Computes the frames of one utterance.

    Arguments
    ---------
    encoder : SpeechModel, LogMel or LogMelPitchEnergy
    wav : torch.Tensor
        ``[samples]``.
    device : str
        Where it computes.

    Returns
    -------
    torch.Tensor
        ``[time, channels]``, float32.
    """
    encoder.to(device)
    with torch.autocast(torch.device(device).type, enabled=False):
        frames, _ = encoder.prefix(
            wav.unsqueeze(0).to(device), torch.ones(1, device=device)
        )
    return frames[0].float()


def fill_once(cache, encoder, annotations, device, what):
    """Fills a cache with the speech of annotations, and says so in the log.

    Arguments
    ---------
    cache : FrameCache
    encoder : SpeechModel, LogMel or LogMelPitchEnergy
        The one that the cache was made for.
    annotations : iterable of dict
        Id to entry; the same speech may have several ids.
    device : str or None
        Where it computes; None: SpeechBrain's best guess.
    what : str
        The name of the frames in the log.

    Returns
    -------
    dict
        Place of the speech, see `utils.audio.place`, to entry, each once.
    """
    speech = {
        place(entry): entry
        for annotation in annotations
        for entry in annotation.values()
    }
    computed = cache.fill(speech, encoder, device or infer_device())
    logger.info(
        f"{what}: {computed} utterances computed, "
        f"{len(speech) - computed} were in {cache.folder}"
    )
    return speech
