"""Speech without labels: any folder of audio."""

import os

from speechbrain_ser.utils.audio_files import inspect_files
from speechbrain_ser.utils.errors import InputError

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif")


def read_folder(folder):
    """Makes an annotation of all audio files in a folder and those below it.

    Arguments
    ---------
    folder : str

    Returns
    -------
    dict
        Path within the folder -> entry with `wav`, `start`, `stop` and
        `duration`.

    Raises
    ------
    InputError
        If there is no such folder, no audio in it, or a file can't be used.

    Example
    -------
    >>> _ = getfixture("tones")
    >>> list(read_folder(getfixture("tmp_path")))[:2]
    ['tone0.wav', 'tone1.wav']
    """
    if not os.path.isdir(folder):
        raise InputError(
            f"the folder of audio {folder} is missing: give one that holds "
            f"files ending in {', '.join(SUFFIXES)}"
        )
    root = os.path.abspath(folder)
    paths = [
        os.path.join(place, name)
        for place, _, names in os.walk(root)
        for name in names
        if name[0] != "." and name.lower().endswith(SUFFIXES)
    ]
    if not paths:
        raise InputError(
            f"the folder {folder} holds no audio: give one with files ending "
            f"in {', '.join(SUFFIXES)}"
        )
    return {
        os.path.relpath(path, root): {
            "wav": path,
            "start": 0,
            "stop": info.frames,
            "duration": info.duration,
        }
        for path, info in sorted(inspect_files(paths).items())
    }
