"""Reading what an experiment is made of, once for the same reading."""

import functools
import json
import os

from speechbrain_ser.corpora.annotations import read_annotation
from speechbrain_ser.utils.audio_entries import check_audio
from speechbrain_ser.utils.errors import InputError

UNLABELLED = ("unlabelled", "target")  # parts whose labels may be missing


def read_own(paths, optional, data_root=None):
    """Reads annotations of one's own, once while their files are the same.

    Arguments
    ---------
    paths : dict
        Part to file.
    optional : tuple of str
        Parts that may be missing.
    data_root : str, optional
        Stands in for ``{data_root}`` in the paths of their audio.

    Returns
    -------
    dict
        Part to annotation, empty where it is missing.

    Raises
    ------
    InputError
        If a file or its audio can't be used.
    """
    stamps = {part: stamp(path) for part, path in paths.items()}
    read = functools.partial(read_files, paths, optional, stamps, data_root)
    return once(read)


def read_files(paths, optional, stamps, data_root=None):
    """Does what `read_own` says; a part without a stamp is missing."""
    parts = {}
    for part, path in paths.items():
        if part in optional and stamps[part] is None:
            parts[part] = {}
            continue
        if stamps[part] is None:
            raise InputError(
                f"The annotation '{path}' is missing: give --{part}_annotation"
            )
        labelled = part not in UNLABELLED
        annotation = read_annotation(
            path, data_root=data_root, labelled=labelled
        )
        parts[part] = check_audio(annotation, source=path)
    return parts


def stamp(path):
    """Returns when a file was written, and its size; None if there is none.

    Example
    -------
    >>> stamp(None) is stamp("/no/such/file") is None
    True
    """
    if not path or not os.path.exists(path):
        return None
    state = os.stat(path)
    return [state.st_mtime_ns, state.st_size]


def split_by(protocol, corpus, fold, **settings):
    """Reads a corpus, once, and splits it as a protocol says."""
    return protocol.split(once(corpus), fold, **settings)


def once(call):
    """Calls a partial of plain arguments, once for the same ones.

    Arguments
    ---------
    call : functools.partial

    Returns
    -------
    object
        Shared: not to be changed.
    """
    key = described(call)
    if key not in HELD:
        if len(HELD) >= MOST:
            HELD.pop(next(iter(HELD)))
        HELD[key] = call()
    return HELD[key]


HELD, MOST = {}, 16  # what `once` returned, by what was called


def described(value):
    """Names a call, or a value of its arguments."""
    if isinstance(value, functools.partial):
        return (
            described(value.func),
            tuple(map(described, value.args)),
            described(value.keywords),
        )
    if isinstance(value, dict):
        return tuple((k, described(v)) for k, v in sorted(value.items()))
    if callable(value):
        return f"{value.__module__}.{value.__qualname__}"
    return json.dumps(value, default=lambda held: held.name)
