"""Looks at audio files before anything is computed from them.

A file is judged by its header and a glance at its samples, so that a corpus
of 10,000 files takes a fraction of a second instead of a full decoding.
"""

import dataclasses
import os
import struct

import numpy as np
import soundfile
from tqdm import tqdm

from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.logger import LateLogger

logger = LateLogger(__name__)

# Container -> (byte order, name of the chunk that holds the samples).
_CONTAINERS = {
    b"RIFF": ("<", b"data"),
    b"RIFX": (">", b"data"),
    b"FORM": (">", b"SSND"),
}
# Programs that write to a pipe do not know the size and put one above this.
_UNKNOWN_SIZE = 0x7FFFF000
# The mean of all channels, as an entry's `channel`.
MIX = "mix"
_GLANCE = 1024
_BLOCK = 1 << 16
_SHOW_PROGRESS_FROM = 2000


@dataclasses.dataclass(frozen=True)
class AudioInfo:
    """What the header of an audio file says.

    Arguments
    ---------
    frames : int
        Samples per channel.
    sample_rate : int
        Samples per second (Hz).
    channels : int
        Number of channels.

    Example
    -------
    >>> AudioInfo(frames=8000, sample_rate=16000, channels=1).duration
    0.5
    """

    frames: int
    sample_rate: int
    channels: int

    @property
    def duration(self):
        """Length in seconds."""
        return self.frames / self.sample_rate

    def span(self, start=0, stop=None):
        """Returns `start` and `stop` (samples) and `duration` for an entry.

        And, where there are several channels, that their mean is meant.

        Example
        -------
        >>> AudioInfo(frames=8000, sample_rate=16000, channels=1).span(4000)
        {'start': 4000, 'stop': 8000, 'duration': 0.25}
        """
        stop = self.frames if stop is None else stop
        duration = (stop - start) / self.sample_rate
        mixed = {"channel": MIX} if self.channels > 1 else {}
        return {"start": start, "stop": stop, "duration": duration} | mixed


def inspect_audio(path):
    """Reads the header of an audio file and refuses what cannot be used.

    Neither rate nor format nor channels are restricted: `audio.load_audio`
    resamples and mixes.
    Only float files are decoded whole, because only they can hold NaN.

    Arguments
    ---------
    path : str
        The audio file, in any format that libsndfile reads.

    Returns
    -------
    AudioInfo

    Raises
    ------
    InputError
        If the file is missing, empty, no audio, truncated, without samples,
        all zeros, or holds NaN or infinity.

    Example
    -------
    >>> path = str(getfixture("tmp_path") / "a.wav")
    >>> soundfile.write(path, np.full(8000, 0.1), 16000)
    >>> inspect_audio(path)
    AudioInfo(frames=8000, sample_rate=16000, channels=1)
    """
    try:
        with open(path, "rb", buffering=0) as file:
            return _inspect_open(path, file)
    except FileNotFoundError:
        raise InputError(
            f"The audio file '{path}' is missing: restore it or correct its "
            "path."
        ) from None
    except OSError as error:
        raise InputError(
            f"The audio file '{path}' cannot be read ({error.strerror}): give "
            "a file that you may read."
        ) from None


def inspect_files(paths, sample_rate=16000):
    """Inspects many audio files, each once.

    Logs one line when some files have another rate than `sample_rate`, and one
    when some have several channels.

    Arguments
    ---------
    paths : iterable of str
        Audio files; one that is named twice is inspected once.
    sample_rate : int
        The rate (Hz) at which the files will be used.

    Returns
    -------
    dict
        Path -> AudioInfo.

    Raises
    ------
    InputError
        For the first bad file, with the number of further bad ones.

    Example
    -------
    >>> path = str(getfixture("tmp_path") / "a.wav")
    >>> soundfile.write(path, np.full(8000, 0.1), 16000)
    >>> inspect_files([path, path])[path].duration
    0.5
    """
    found, errors = inspect_each(paths, sample_rate)
    raise_first(errors)
    return found


def inspect_each(paths, sample_rate=16000, told=True):
    """Inspects many audio files, each once, and refuses none.

    Arguments
    ---------
    paths, sample_rate
        See `inspect_files`.
    told : bool
        Whether other rates and several channels are logged.

    Returns
    -------
    found : dict
        Path -> AudioInfo of those that can be used.
    errors : dict
        Path -> InputError of the others.

    Example
    -------
    >>> found, errors = inspect_each(["/no/such.wav"])
    >>> found, list(errors)
    ({}, ['/no/such.wav'])
    """
    paths = list(dict.fromkeys(paths))
    silent = True if len(paths) <= _SHOW_PROGRESS_FROM else None
    found, errors = {}, {}
    for path in tqdm(paths, "inspecting audio", disable=silent, unit="file"):
        try:
            found[path] = inspect_audio(path)
        except InputError as error:
            errors[path] = error
    if told:
        _log_other_rates(found, sample_rate)
        _log_several_channels(found)
    return found, errors


def _inspect_open(path, file):
    """Inspects an open, unbuffered file."""
    size = os.fstat(file.fileno()).st_size
    if size == 0:
        raise InputError(
            f"The audio file '{path}' is empty (0 bytes): copy it again from "
            "its source."
        )
    coding, offset, promised = _find_samples(path, file, size)
    if coding is None:
        return _inspect_decoding(path, file)
    # 16-bit PCM, what nearly every corpus holds: the chunks say everything.
    channels, sample_rate = coding
    file.seek(offset + promised // 2)
    if channels and any(file.read(min(_GLANCE, promised // 2))):
        return AudioInfo(promised // (2 * channels), sample_rate, channels)
    return _inspect_decoding(path, file)


def _find_samples(path, file, size):
    """Walks over the chunks of a WAV or AIFF file to its samples.

    libsndfile silently shortens a file whose header promises more than there
    is, so the promise is compared with the size of the file here.

    Arguments
    ---------
    path : str
        Named in errors.
    file : file object
        Open and unbuffered, at its first byte.
    size : int
        Size of the file in bytes.

    Returns
    -------
    coding : tuple or None
        (channels, sample rate) of 16-bit PCM WAV; None for all else.
    offset : int
        Where the samples begin.
    promised : int
        Bytes of samples according to the header.
    """
    head = file.read(12)
    if len(head) < 12 or head[:4] not in _CONTAINERS:
        return None, 0, 0
    order, wanted = _CONTAINERS[head[:4]]
    end = 8 + struct.unpack(order + "I", head[4:8])[0]
    coding = None
    offset = 12
    while len(chunk := file.read(8)) == 8:
        promised = struct.unpack(order + "I", chunk[4:])[0]
        offset += 8
        if chunk[:4] == wanted:
            if not 0 < promised < _UNKNOWN_SIZE:
                return None, 0, 0
            if offset + promised > size:
                raise _truncated(path)
            return coding, offset, promised
        if chunk[:4] == b"fmt " and order == "<" and promised >= 16:
            fields = file.read(16)
            if len(fields) == 16:
                kind, channels, rate, _, _, bits = struct.unpack(
                    "<HHIIHH", fields
                )
                coding = (channels, rate) if (kind, bits) == (1, 16) else None
        offset += promised + promised % 2
        file.seek(offset)
    if size < end < _UNKNOWN_SIZE:
        raise _truncated(path)
    return None, 0, 0


def _inspect_decoding(path, file):
    """Inspects an open file of any format with libsndfile."""
    descriptor = file.fileno()
    os.lseek(descriptor, 0, os.SEEK_SET)
    try:
        audio = soundfile.SoundFile(descriptor, closefd=False)
    except RuntimeError:
        raise InputError(
            f"The file '{path}' is not audio that libsndfile reads: convert "
            "it, e.g. with `ffmpeg -i in out.wav`."
        ) from None
    with audio:
        if audio.frames == 0:
            raise InputError(
                f"The audio file '{path}' holds no samples: record it again "
                "or leave it out."
            )
        try:
            _refuse_bad_samples(path, audio)
        except RuntimeError:
            raise _truncated(path) from None
        return AudioInfo(audio.frames, audio.samplerate, audio.channels)


def _refuse_bad_samples(path, audio):
    """Looks at as few samples of an open SoundFile as its format allows."""
    audio.seek(audio.frames - 1)
    if len(audio.read(1)) != 1:
        raise _truncated(path)
    is_float = audio.subtype in ("FLOAT", "DOUBLE")
    audio.seek(audio.frames // 2)
    silent = not audio.read(_GLANCE).any()
    if silent or is_float:
        audio.seek(0)
        for block in audio.blocks(_BLOCK):
            if not np.isfinite(block).all():
                raise InputError(
                    f"The audio file '{path}' holds samples that are NaN or "
                    "infinite: export it again as 16-bit PCM."
                )
            silent = silent and not block.any()
            if not silent and not is_float:
                break
    if silent:
        raise InputError(
            f"The audio file '{path}' holds only zeros: record it again or "
            "leave it out."
        )


def _truncated(path):
    """The error for a file that is shorter than its header says."""
    return InputError(
        f"The audio file '{path}' is truncated (its header promises more than "
        "it holds): copy it again from its source."
    )


def raise_first(errors, nouns=("file", "files")):
    """Raises the first of several errors and names up to five others.

    Arguments
    ---------
    errors : dict
        Path, or id, -> InputError; may be empty.
    nouns : tuple of str
        What they are of: one, and several.

    Raises
    ------
    InputError
    """
    if not errors:
        return
    first, *others = errors
    message = str(errors[first])
    if others:
        shown = ", ".join(f"'{path}'" for path in others[:5])
        dots = ", ..." if len(others) > 5 else ""
        one = len(others) == 1
        verb = f"{nouns[0]} is" if one else f"{nouns[1]} are"
        message = (
            f"{message[:-1]} ({len(others)} more {verb} bad: {shown}{dots})."
        )
    raise InputError(message)


def _log_other_rates(infos, sample_rate):
    """Says in one line how many of path -> AudioInfo have another rate."""
    others = [p for p, info in infos.items() if info.sample_rate != sample_rate]
    if others:
        logger.info(
            "%d files are not at %d Hz (e.g. %s at %d) and are resampled on "
            "loading",
            len(others),
            sample_rate,
            others[0],
            infos[others[0]].sample_rate,
        )


def _log_several_channels(infos):
    """Says in one line how many of path -> AudioInfo have several channels."""
    several = [path for path, info in infos.items() if info.channels > 1]
    if several:
        logger.info(
            "%d files have several channels (e.g. %s has %d): their mean is "
            "taken where no channel is named",
            len(several),
            several[0],
            infos[several[0]].channels,
        )
