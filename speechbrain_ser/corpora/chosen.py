"""One corpus of several, or a manifest, as the settings say."""

import re

from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import (
    NOTHING,
    Setting,
    Values,
    Word,
    checked,
)


@checked
def read_chosen(
    corpora: Values(Setting(), counts=NOTHING),
    read_manifest: Setting(counts=NOTHING),
    corpus: Word(optional=True) = None,
    data_folder: Setting(counts=NOTHING) = None,
    manifest: Setting(counts=NOTHING) = None,
    labels: Setting() = None,
    map: Setting() = None,
    data_root: Setting(counts=NOTHING) = None,
    names: Values(Word(), counts=NOTHING) = None,
):
    """Reads the corpus that is named, or that a manifest lists.

    Arguments
    ---------
    corpora : dict
        Name -> callable that reads the corpus, given its folder and labels.
    read_manifest : callable
        See `manifest.read_manifest`.
    corpus : str, optional
        Of the names.
    data_folder : str, optional
        The corpus's; ``{corpus}`` in it stands for its name here, so that a
        table of several corpora has one setting for all.
    manifest : str, optional
        CSV or JSON.
    labels : list of str, optional
    map, data_root : optional
        Of a manifest; of no matter without one, since of two corpora the other
        one may have it.
    names : dict, optional
        What a user calls these settings where it is not so, for the errors;
        such as ``{"data_folder": "target_folder"}``.

    Returns
    -------
    dict
        Id -> entry.

    Raises
    ------
    InputError
        If it is not clear which one is meant, or it can't be read; names the
        settings as the user calls them.

    Example
    -------
    >>> corpora = {"emodb": lambda folder, labels: {"a": {"wav": folder}}}
    >>> read_chosen(corpora, dict, "emodb", "EMO-DB")
    {'a': {'wav': 'EMO-DB'}}
    """
    try:
        check_choice(corpora, corpus, data_folder, manifest)
        if manifest is not None:
            return read_manifest(manifest, labels, map, data_root)
        folder = str(data_folder).replace("{corpus}", corpus)
        return corpora[corpus](folder, labels)
    except InputError as error:
        raise InputError(renamed(str(error), names)) from None


def check_choice(corpora, corpus, data_folder, manifest):
    """Refuses settings of which it is not clear what to read.

    Arguments
    ---------
    corpora, corpus, data_folder, manifest
        See `read_chosen`.

    Raises
    ------
    InputError

    Example
    -------
    >>> check_choice(["emodb"], None, None, "my.csv")
    >>> check_choice(["emodb"], "emodb", None, None)
    Traceback (most recent call last):
    speechbrain_ser.utils.errors.InputError: --corpus is 'emodb': give its ...
    """
    known = ", ".join(corpora)
    if manifest is not None:
        for name, value in (("corpus", corpus), ("data_folder", data_folder)):
            if value is not None:
                raise InputError(
                    f"--manifest '{manifest}' and --{name} '{value}' are given: "
                    "give the manifest alone, or the corpus without it."
                )
        return
    if corpus is None:
        has = " that lies there" if data_folder is not None else ""
        raise InputError(
            f"no corpus is named: give --corpus ({known}){has} with "
            "--data_folder, or --manifest (a CSV of file,emotion,speaker)."
        )
    if corpus not in corpora:
        raise InputError(
            f"--corpus is {corpus!r}: give one of {known}, or any other corpus "
            "by --manifest (a CSV of file,emotion,speaker)."
        )
    if data_folder is None:
        raise InputError(
            f"--corpus is {corpus!r}: give its folder by --data_folder."
        )


def renamed(text, names):
    """Names settings as the user calls them.

    Arguments
    ---------
    text : str
        With settings such as ``--data_folder``.
    names : dict or None
        Argument -> setting.

    Example
    -------
    >>> renamed("give --corpus", {"corpus": "target_corpus"})
    'give --target_corpus'
    """
    for argument, setting in (names or {}).items():
        text = re.sub(rf"--{argument}\b", f"--{setting}", text)
    return text
