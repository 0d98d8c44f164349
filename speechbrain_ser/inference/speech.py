"""One thing to label: a file, or a part of it; looked at, then read."""

import dataclasses
import math
import os
from concurrent.futures import ThreadPoolExecutor

import soundfile

from speechbrain_ser.corpora.protocols.checks import SHORTEST
from speechbrain_ser.inference import ffmpeg
from speechbrain_ser.inference.ffmpeg import MachineError
from speechbrain_ser.utils.audio_files import AudioInfo, inspect_audio
from speechbrain_ser.utils.errors import InputError

ROUNDED = 0.01  # s that a stop may lie behind the end: two decimals
# What is wrong inside of these is seen when they are read.
COMPRESSED = (".flac", ".mp3", ".oga", ".ogg", ".opus")


@dataclasses.dataclass(frozen=True)
class Speech:
    """What a user names.

    Arguments
    ---------
    path : str
    name : str, optional
        What the table calls it; default: its path.
    start, stop : float, optional
        Seconds; default: the whole file.
    channel : int, optional
        From 1; default: the mean of all.
    speaker, language : str, optional
    """

    path: str
    name: str = None
    start: float = None
    stop: float = None
    channel: int = None
    speaker: str = None
    language: str = None

    def __post_init__(self):
        """Takes the path for the name where there is none."""
        if self.name is None:
            object.__setattr__(self, "name", self.path)

    @property
    def place(self):
        """What of which file it is."""
        return self.path, self.start, self.stop, self.channel

    def read(self, sample_rate):
        """Looks at it and reads it; see `opened` and `Sound.read`."""
        return opened(self).read(sample_rate)


@dataclasses.dataclass(frozen=True)
class Sound:
    """What was looked at and can be read.

    Arguments
    ---------
    speech : Speech
    info : AudioInfo
        Of the whole file.
    """

    speech: Speech
    info: AudioInfo

    @property
    def span(self):
        """Its first sample, and one past the last, at the file's own rate."""
        start, stop = self.speech.start or 0.0, self.speech.stop
        last = self.info.frames
        if stop is not None:
            last = min(last, round(stop * self.info.sample_rate))
        return round(start * self.info.sample_rate), last

    @property
    def duration(self):
        """In seconds."""
        first, last = self.span
        return (last - first) / self.info.sample_rate

    def pieces(self, max_seconds):
        """Cuts it into as few equal pieces as are short enough.

        Returns
        -------
        list of tuple
            The first sample of each, and one past its last.

        Example
        -------
        >>> sound = Sound(Speech("/a.wav", "a.wav"), AudioInfo(100, 10, 1))
        >>> sound.pieces(60), sound.pieces(4)
        ([(0, 100)], [(0, 33), (33, 67), (67, 100)])
        """
        first, last = self.span
        count = max(1, math.ceil(round(self.duration / max_seconds, 6)))
        cuts = [first + round(i * (last - first) / count) for i in range(count)]
        return list(zip(cuts, [*cuts[1:], last]))

    def read(self, sample_rate, first=None, last=None):
        """Reads it, or a piece.

        Arguments
        ---------
        sample_rate : int
            Of the result (Hz).
        first, last : int, optional
            See `pieces`.

        Returns
        -------
        torch.Tensor
            ``[time]``, float32.

        Raises
        ------
        InputError
            If it holds less than its header says, or no numbers, or only
            zeros.
        """
        import torch

        begin, end = self.span
        first = begin if first is None else first
        last = end if last is None else last
        path = self.speech.path
        samples = _samples(path, first, last, self.info)
        if len(samples) < last - first:
            raise InputError(
                f"The audio file '{path}' is truncated (its header promises "
                "more than it holds): copy it again from its source."
            )
        signal = torch.from_numpy(samples)
        if self.speech.channel is not None:
            signal = signal[:, self.speech.channel - 1].contiguous()
        elif signal.shape[1] > 1:
            signal = signal.mean(dim=1)
        else:
            signal = signal[:, 0]
        if not is_finite(signal):
            raise InputError(
                f"The audio file '{path}' holds samples that are NaN or "
                "infinite: export it again as 16-bit PCM."
            )
        if (first, last) == (begin, end) and is_silent(signal):
            what = "those seconds" if self.speech.stop is not None else "it"
            if self.speech.channel is not None:
                what = f"channel {self.speech.channel}"
            raise InputError(
                f"The audio file '{path}' holds only zeros in {what}: give "
                "another part, or leave it out."
            )
        if self.info.sample_rate != sample_rate:
            from torchaudio.functional import resample

            signal = resample(signal, self.info.sample_rate, sample_rate)
        return signal


def is_finite(signal):
    """Whether no sample is NaN or infinite.

    The energy tells, at a tenth of the cost of a look at each.

    Example
    -------
    >>> import torch
    >>> is_finite(torch.ones(9)), is_finite(torch.tensor([1.0, torch.nan]))
    (True, False)
    """
    if math.isfinite(signal.dot(signal)):
        return True
    return bool(signal.isfinite().all())  # the energy may be too large


def is_silent(signal):
    """Whether all samples are zero.

    Example
    -------
    >>> import torch
    >>> is_silent(torch.zeros(9)), is_silent(torch.tensor([0.0, 1e-30]))
    (True, False)
    """
    return not signal.dot(signal) and not signal.any()


def opened(speech, info=None):
    """Looks at what a user names.

    Arguments
    ---------
    speech : Speech
    info : AudioInfo, optional
        If the file was looked at before.

    Returns
    -------
    Sound

    Raises
    ------
    InputError
        If it can't be labelled, as far as a glance tells: the file is missing,
        empty, truncated, no audio, silent; the part is not in it, or shorter
        than `SHORTEST`.
    """
    path = speech.path
    sound = Sound(speech, info or _inspected(path))
    info = sound.info
    if speech.channel is not None and speech.channel > info.channels:
        of = "channel" if info.channels == 1 else "channels"
        raise InputError(
            f"The audio file '{path}' has {info.channels} {of}, and channel "
            f"{speech.channel} is asked for: give one from 1 to "
            f"{info.channels}."
        )
    first, last = sound.span
    late = speech.stop is not None and speech.stop > info.duration + ROUNDED
    if late or (first >= last and speech.start is not None):
        end = info.duration if speech.stop is None else speech.stop
        raise InputError(
            f"Seconds {speech.start or 0:g} to {end:g} are asked for of the "
            f"audio file '{path}', which has {info.duration:.3f}: give a start "
            "before the stop, both within the file."
        )
    if sound.duration < SHORTEST:
        raise InputError(
            f"The audio file '{path}' has {1000 * sound.duration:.3g} ms of "
            f"speech, models take {1000 * SHORTEST:.3g} ms or more: leave it "
            "out."
        )
    return sound


def open_all(speech, known=None, progress=None):
    """Looks at many, several at once.

    Arguments
    ---------
    speech : list of Speech
    known : dict, optional
        Index to AudioInfo of what was looked at before.
    progress : callable, optional
        Given an iterable, gives it back and shows how far it is.

    Returns
    -------
    list
        A Sound or an InputError of each.
    """
    known = known or {}

    def look(index):
        """One of them."""
        try:
            return opened(speech[index], known.get(index))
        except InputError as error:
            return error

    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    try:
        found = pool.map(look, range(len(speech)))
        return list(progress(found) if progress else found)
    finally:
        pool.shutdown(cancel_futures=True)


def needs_ffmpeg(path):
    """Whether a file is of a kind that libsndfile does not read, by its name.

    Example
    -------
    >>> needs_ffmpeg("a.M4A"), needs_ffmpeg("a.mp3")
    (True, False)
    """
    return path.lower().endswith(ffmpeg.SUFFIXES)


def printable(name):
    r"""A name that can be written, if it is not UTF-8 too.

    Example
    -------
    >>> printable("gr\udcfcn.wav"), printable("grün.wav")
    ('gr\\udcfcn.wav', 'grün.wav')
    """
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def _inspected(path):
    """Looks at a file."""
    if printable(path) != path:
        raise InputError(
            f"The name of the file '{printable(path)}' is not UTF-8: rename it."
        )
    if "\0" in path:
        shown = path.replace("\0", "\\0")
        raise InputError(
            f"The audio file '{shown}' has a zero byte in its name, which no "
            "file has: correct its path."
        )
    if os.path.isdir(path):
        raise InputError(
            f"'{path}' is a folder, not an audio file: give the files in it."
        )
    if path.lower().endswith(COMPRESSED):
        try:
            # without a glance into the middle, which costs a third of its
            # decoding and lets that of MP3 complain on stderr
            audio = soundfile.info(path)
            if audio.frames:
                rate, channels = audio.samplerate, audio.channels
                return AudioInfo(audio.frames, rate, channels)
        except RuntimeError:
            pass
    if not needs_ffmpeg(path) or not os.path.isfile(path):
        return inspect_audio(path)
    if os.path.getsize(path) == 0:
        raise InputError(
            f"The audio file '{path}' is empty (0 bytes): copy it again from "
            "its source."
        )
    return ffmpeg.DECODED.use(path, lambda file: _look_at_decoded(path, file))


def _look_at_decoded(path, file):
    """The header of what ffmpeg decoded; silence is seen here too."""
    try:
        audio = soundfile.SoundFile(file.fileno(), closefd=False)
    except RuntimeError:
        raise InputError(
            f"The file '{path}' has no sound: give one that has."
        ) from None
    with audio:
        info = AudioInfo(audio.frames, audio.samplerate, audio.channels)
        silent = not any(block.any() for block in audio.blocks(1 << 16))
    if silent:
        what = "holds only zeros" if info.frames else "holds no samples"
        raise InputError(
            f"The audio file '{path}' {what}: record it again or leave it out."
        )
    return info


def _samples(path, first, last, info):
    """Samples of a file, ``[time, channels]``, float32."""

    def read(file):
        """Of a name, or of what ffmpeg decoded."""
        given = file if isinstance(file, str) else file.fileno()
        with soundfile.SoundFile(given, closefd=False) as audio:
            now = AudioInfo(audio.frames, audio.samplerate, audio.channels)
            if now != info:
                raise MachineError(
                    f"The audio file '{path}' was changed while this went on: "
                    "label it once more."
                )
            audio.seek(first)  # from 0 too: MP3 then has other last bits
            count = -1 if last == info.frames else last - first
            return audio.read(count, "float32", always_2d=True)

    try:
        if needs_ffmpeg(path):
            return ffmpeg.DECODED.use(path, read)
        return read(path)
    except RuntimeError as error:
        if not os.access(path, os.R_OK):
            raise MachineError(
                f"The audio file '{path}' can't be read any more: restore it."
            ) from None
        if not needs_ffmpeg(path):
            inspect_audio(path)  # it may know why
        reason = str(error).rpartition(": ")[2].rstrip(".")
        raise InputError(
            f"The audio file '{path}' can't be read ({reason}): copy it again "
            "from its source."
        ) from None
    except OSError as error:
        raise MachineError(
            f"The audio file '{path}' can't be read ({error.strerror}): give "
            "a file that you may read."
        ) from None
