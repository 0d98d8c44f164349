"""Speech without labels: any folder of audio, any annotation."""

import os

from speechbrain_ser.corpora.annotations import read_annotation
from speechbrain_ser.corpora.release import Folder, with_audio_alone
from speechbrain_ser.utils.audio_entries import check_audio
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import NOTHING, Word, checked

SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".aif")
_FOLDER = Folder(f"one that holds files ending in {', '.join(SUFFIXES)}")


@checked
def read_folder(audio_folder: _FOLDER):
    """Makes an annotation of all audio files in a folder and those below it.

    Arguments
    ---------
    audio_folder : str

    Returns
    -------
    dict
        Path within the folder -> entry with `wav`, `start`, `stop` and
        `duration`. Files that can't be used are left out, and are its `odd`,
        see `utils.odd_entries`.

    Raises
    ------
    InputError
        If there is no such folder, no audio in it, or too many files can't be
        used.

    Example
    -------
    >>> _ = getfixture("tones")
    >>> list(read_folder(getfixture("tmp_path")))[:2]
    ['tone0.wav', 'tone1.wav']
    """
    root = _FOLDER.opened(audio_folder, "audio_folder")
    paths = [
        os.path.join(place, name)
        for place, _, names in os.walk(root)
        for name in names
        if name[0] != "." and name.lower().endswith(SUFFIXES)
    ]
    if not paths:
        raise InputError(
            f"--audio_folder '{root}' holds no audio: give {_FOLDER.what}."
        )
    speech = {
        os.path.relpath(path, root): {"wav": path} for path in sorted(paths)
    }
    return with_audio_alone(speech, f"files of '{root}'")


@checked
def read_speech(
    audio_folder: _FOLDER = None,
    train_annotation: Word(optional=True, counts=NOTHING) = None,
):
    """Reads speech from a folder of audio or from an annotation.

    Arguments
    ---------
    audio_folder : str, optional
        See `read_folder`.
    train_annotation : str, optional
        JSON file; emotions may be missing.

    Returns
    -------
    dict
        Id -> entry.

    Raises
    ------
    InputError
        If there is no speech, there are two sources of it, or a file can't be
        used.

    Example
    -------
    >>> _ = getfixture("tones")
    >>> list(read_speech(getfixture("tmp_path")))[:2]
    ['tone0.wav', 'tone1.wav']
    """
    if (audio_folder is None) == (train_annotation is None):
        raise InputError(
            "speech is needed from one place: give --audio_folder (any folder "
            "of audio) or --train_annotation (a JSON file; labels are not "
            "needed)"
        )
    if audio_folder is not None:
        return read_folder(audio_folder)
    speech = read_annotation(train_annotation, labelled=False)
    return check_audio(speech, source=train_annotation)
