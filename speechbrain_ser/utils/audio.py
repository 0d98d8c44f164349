"""Loads the samples of an annotation's entries, at another speed too."""

import soundfile
import torchaudio

from speechbrain.dataio.dataio import read_audio
from speechbrain_ser.utils.audio_entries import no_channel
from speechbrain_ser.utils.audio_files import MIX, inspect_audio
from speechbrain_ser.utils.errors import InputError


def load_audio(entry, sample_rate=16000):
    """Loads the audio of one entry of an annotation.

    Arguments
    ---------
    entry : dict
        With `wav` and optionally `start` and `stop` (samples at the file's
        own rate: the first, and one past the last), `channel` (the number of
        one, from 1; ``mix``, or none: the mean of all channels), and `speed`:
        how many times as fast it is played, which changes the pitch too, as
        SpeechBrain's ``SpeedPerturb`` does.
    sample_rate : int
        The rate (Hz) of the result; a file at another rate is resampled.

    Returns
    -------
    torch.Tensor
        [time], float32 in [-1, 1].

    Raises
    ------
    InputError
        If the file cannot be read, or has no such channel.

    Example
    -------
    >>> path = str(getfixture("tmp_path") / "a.wav")
    >>> soundfile.write(path, [0.1] * 8000, 8000)
    >>> load_audio({"wav": path, "start": 0, "stop": 4000}).shape
    torch.Size([8000])
    """
    path = entry["wav"]
    part = {"file": path, "start": entry.get("start", 0)}
    if "stop" in entry:
        part["stop"] = entry["stop"]
    try:
        rate = soundfile.info(path).samplerate
        signal = read_audio(part)
    except RuntimeError:
        inspect_audio(path)
        raise
    signal = one_channel(signal, entry.get("channel"), path)
    if rate != sample_rate:
        signal = torchaudio.functional.resample(signal, rate, sample_rate)
    if "speed" in entry:
        # small numbers, for which the filters are few
        played = round(1000 * entry["speed"])
        signal = torchaudio.functional.resample(signal, played, 1000)
    return signal


def one_channel(signal, channel, path):
    """Returns one of several channels, or their mean.

    Arguments
    ---------
    signal : torch.Tensor
        [time] or [time, channels].
    channel : int or str or None
        See `load_audio`.
    path : str
        The file, for the error.

    Returns
    -------
    torch.Tensor
        [time].

    Raises
    ------
    InputError
        If there is no such channel.

    Example
    -------
    >>> import torch
    >>> signal = torch.tensor([[0.0, 1.0], [1.0, 1.0]])
    >>> one_channel(signal, None, "a.wav"), one_channel(signal, 1, "a.wav")
    (tensor([0.5000, 1.0000]), tensor([0., 1.]))
    """
    if channel in (None, MIX):
        return signal.mean(dim=1) if signal.dim() > 1 else signal
    several = signal if signal.dim() > 1 else signal[:, None]
    if not 1 <= channel <= several.shape[1]:
        fault = no_channel(path, channel, several.shape[1])
        raise InputError(f"An entry {fault}.")
    return several[:, channel - 1].contiguous()


def place(entry):
    """Names the speech of an entry, whatever its id.

    Example
    -------
    >>> place({"wav": "a.wav", "duration": 1.0})
    ('a.wav', None, None, 1, None, None)
    """
    return (
        entry["wav"],
        entry.get("start"),
        entry.get("stop"),
        entry.get("speed", 1),
        entry.get("channel"),
        entry.get("copy"),
    )


def with_speeds(annotation, speeds):
    """Adds a slower or faster copy of each utterance for each speed.

    A copy has its utterance's speaker and labels.

    Arguments
    ---------
    annotation : dict
        Id -> entry.
    speeds : list of float
        How many times as fast as the original, see `load_audio`.

    Returns
    -------
    dict
        The annotation, then the copies, ``<id>-speed<speed>``.

    Example
    -------
    >>> entry = {"wav": "a.wav", "duration": 2.0, "speaker": "A"}
    >>> with_speeds({"a": entry}, [0.8])["a-speed0.8"]
    {'wav': 'a.wav', 'duration': 2.5, 'speaker': 'A', 'speed': 0.8}
    """
    copies = {
        f"{key}-speed{speed}": entry
        | {"duration": entry["duration"] / speed, "speed": speed}
        for speed in speeds
        for key, entry in annotation.items()
    }
    return annotation | copies
