"""Entries of an annotation against the files that they mean."""

from speechbrain_ser.utils.audio_files import (
    MIX,
    inspect_audio,
    inspect_files,
    raise_first,
)
from speechbrain_ser.utils.errors import InputError

# So far may a written duration be from that of the audio.
MOST_OFF = 0.05  # seconds
SHARE_OFF = 0.01  # of the audio's


def check_audio(annotation, sample_rate=16000, source=None):
    """Refuses an annotation whose audio cannot be used.

    Arguments
    ---------
    annotation : dict
        Id -> entry with `wav`, perhaps `duration` (seconds) and, if a part of
        the file is meant, `start` and `stop` in samples at the file's own rate.
    sample_rate : int
        The rate (Hz) at which the audio will be loaded.
    source : str, optional
        The annotation's file, for the errors.

    Returns
    -------
    dict
        The annotation; where a file has several channels of which its entry
        names none, the entry has the `channel` ``mix``.

    Raises
    ------
    InputError
        For the first bad file, with the number of further bad ones, or for
        an entry that lies outside its file, names a channel that this lacks, or
        whose `duration` is not that of its audio: off by more than `MOST_OFF` and by more than `SHARE_OFF`.

    Example
    -------
    >>> import soundfile
    >>> path = str(getfixture("tmp_path") / "a.wav")
    >>> soundfile.write(path, [0.1] * 8000, 16000)
    >>> list(check_audio({"a": {"wav": path, "start": 0, "stop": 8000}}))
    ['a']
    """
    infos = inspect_files((e["wav"] for e in annotation.values()), sample_rate)
    where = f"In the annotation '{source}', entry" if source else "Entry"
    misfits = {}
    for key, entry in annotation.items():
        misfit = _misfit(entry, infos[entry["wav"]])
        if misfit:
            misfits[key] = InputError(f"{where} '{key}' {misfit}.")
    raise_first(misfits, ("entry", "entries"))
    mixed = {
        key: entry | {"channel": MIX}
        for key, entry in annotation.items()
        if infos[entry["wav"]].channels > 1 and "channel" not in entry
    }
    return annotation | mixed if mixed else annotation


def refuse_several(parts, setting):
    """Refuses files of several channels whose mean would be taken.

    Arguments
    ---------
    parts : dict
        Part to annotation, as readers give them.
    setting : str
        With which they are mixed, for the error.

    Raises
    ------
    InputError
        For the first one, with the number of further ones.
    """
    mixed = {
        entry["wav"]
        for annotation in parts.values()
        for entry in annotation.values()
        if entry.get("channel") == MIX
    }
    errors = {}
    for path in sorted(mixed):
        channels = inspect_audio(path).channels
        if channels > 1:
            errors[path] = InputError(
                f"The audio file '{path}' has {channels} channels: give "
                f"{setting} to take their mean, or convert it to mono."
            )
    raise_first(errors)


def _misfit(entry, info):
    """How an entry does not fit its file, in words; None if it does."""
    path, frames = entry["wav"], info.frames
    start, stop = entry.get("start", 0), entry.get("stop", frames)
    if not 0 <= start < stop <= frames:
        return (
            f"means samples {start} to {stop} of '{path}', which has {frames}: "
            "correct its start and stop (samples at the file's own rate)"
        )
    channel = entry.get("channel", MIX)
    if channel != MIX and channel > info.channels:
        return no_channel(path, channel, info.channels)
    real = (stop - start) / info.sample_rate / entry.get("speed", 1)
    off = round(abs(entry.get("duration", real) - real), 6)
    if off > MOST_OFF and off > SHARE_OFF * real:
        return (
            f"has the duration {entry['duration']:g} s, but samples {start} to "
            f"{stop} of '{path}' are {real:.3f} s: correct its duration, or its "
            "start and stop (samples at the file's own rate)"
        )
    return None


def no_channel(path, channel, channels):
    """Says that a file has no such channel, without who means it."""
    return (
        f"means channel {channel} of '{path}', which has {channels}: correct "
        "it, or leave it out"
    )
