"""What is to be labelled: files, folders, lists, tables of files."""

import dataclasses
import os
import sys

from speechbrain_ser.corpora.csv_table import read_table
from speechbrain_ser.corpora.manifest import COLUMNS
from speechbrain_ser.corpora.manifest_cells import CELLS
from speechbrain_ser.inference import ffmpeg
from speechbrain_ser.inference.speech import Speech
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.missing import is_missing

TABLE = ".csv"
STDIN = "-"
SUFFIXES = (
    ".wav",
    ".wave",
    ".flac",
    ".mp3",
    ".ogg",
    ".oga",
    ".opus",
    ".aiff",
    ".aif",
    ".aifc",
    ".au",
    ".caf",  # codespell:ignore
    ".rf64",
    ".sph",
    ".w64",
) + ffmpeg.SUFFIXES
# Column of a table -> what else it may be called.
NAMED = {
    "file": COLUMNS["file"],
    "start": (),
    "stop": ("end",),
    "channel": (),
    "speaker": COLUMNS["speaker"],
    "language": (),
}


@dataclasses.dataclass
class Sources:
    """What was found.

    Attributes
    ----------
    speech : list of Speech
        In the order in which it was named; a folder's files sorted.
    read : list of str
        The lists and tables that were read.
    twice : int
        How often something was named again: it counts once.
    others : int
        Files in the folders that have no name of audio.
    """

    speech: list = dataclasses.field(default_factory=list)
    read: list = dataclasses.field(default_factory=list)
    twice: int = 0
    others: int = 0


def gather(words, lists=(), channel=None, language=None):
    """Finds what is to be labelled.

    Arguments
    ---------
    words : list of str
        Files, folders, and tables (``.csv``).
    lists : list of str
        Files with a path a line, meant from the list's folder; ``-``: the
        standard input, meant from here.
    channel : int, optional
        Of all files whose table does not say one.
    language : str, optional
        The same.

    Returns
    -------
    Sources

    Raises
    ------
    InputError
        If there is nothing, or a list, a table or a folder can't be read.

    Example
    -------
    >>> _ = getfixture("tones")
    >>> found = gather([str(getfixture("tmp_path"))])
    >>> [os.path.basename(speech.name) for speech in found.speech][:2]
    ['tone0.wav', 'tone1.wav']
    """
    found, seen = Sources(), set()
    known = {"channel": channel, "language": language}
    for made in _each(words, lists, known, found):
        if made.place in seen:
            found.twice += 1
        else:
            seen.add(made.place)
            found.speech.append(made)
    if not found.speech:
        if not words and not lists:
            raise InputError(
                "nothing is given to label: give files, a folder, a table "
                "(.csv) or --list"
            )
        more = ""
        if found.others:
            more = f" ({found.others} files have no name of audio)"
        given = ", ".join(f"'{word}'" for word in [*words, *lists][:3])
        raise InputError(
            f"there is no audio in {given}{more}: give what holds files such "
            f"as {', '.join(SUFFIXES[:6])}"
        )
    return found


def _each(words, lists, known, found):
    """Yields what each word names."""
    for word in words:
        if os.path.isdir(word):
            yield from _in_folder(word, word, known, found)
        elif word.lower().endswith(TABLE):
            found.read.append(word)
            yield from _in_table(word, known)
        else:
            yield Speech(os.path.abspath(word), word, **known)
    for path in lists:
        found.read.append(path)
        for name in _lines(path):
            base = "" if path == STDIN else os.path.dirname(path)
            place = os.path.join(base, name)
            if os.path.isdir(place):
                yield from _in_folder(place, name, known, found)
            else:
                yield Speech(os.path.abspath(place), name, **known)


def _in_folder(folder, name, known, found):
    """Yields the audio of a folder, and of those below it.

    Links to folders are followed, each folder once; what is hidden is not
    entered.
    """
    paths, seen = [], set()
    for place, folders, files in os.walk(
        folder, followlinks=True, onerror=_refuse
    ):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(
            f for f in folders if f[0] != "." and f != "__MACOSX"
        )
        there = [file for file in files if file[0] != "."]
        audio = [file for file in there if file.lower().endswith(SUFFIXES)]
        found.others += len(there) - len(audio)
        paths += [os.path.join(place, file) for file in audio]
    base = os.path.join(os.path.abspath(folder), "")
    for path in sorted(paths):
        within = path[len(folder) :].lstrip(os.sep)
        yield Speech(base + within, os.path.join(name, within), **known)


def _refuse(error):
    """Says which folder can't be read."""
    raise InputError(
        f"the folder '{error.filename}' can't be read ({error.strerror}): "
        "make it readable, or name the others one by one"
    )


def _lines(path):
    """The lines of a list, as they stand; empty ones are none."""
    try:
        if path == STDIN:
            data = sys.stdin.buffer.read()
        else:
            with open(path, "rb") as file:
                data = file.read()
    except OSError as error:
        raise InputError(
            f"the list '{path}' can't be read ({error.strerror}): give a text "
            "with one path a line"
        ) from None
    text = os.fsdecode(data.removeprefix(b"\xef\xbb\xbf"))
    names = [line.removesuffix("\r") for line in text.split("\n")]
    return [name for name in names if name.strip()]


def _in_table(path, known):
    """Yields the rows of a table."""
    rows, comma = read_table(path, NAMED, ("file",))
    folder = os.path.dirname(path)
    for number, row in rows:
        here = f"'{path}', row {number}"
        if not row["file"]:
            raise InputError(f"{here} has no file: give its path.")
        facts = dict(known)
        for column in ("start", "stop"):
            facts[column] = _number(here, column, row.get(column, ""), comma)
        if not is_missing(row.get("channel", "")):
            facts["channel"] = _channel(here, row["channel"])
        for column in ("speaker", "language"):
            if not is_missing(row.get(column, "")):
                facts[column] = row[column]
        place = os.path.abspath(os.path.join(folder, row["file"]))
        yield Speech(place, row["file"], **facts)


def _number(here, column, text, comma):
    """Seconds, or None."""
    if is_missing(text):
        return None
    read = CELLS[column]
    value = read(text.replace(",", ".") if comma else text)
    if value is None:
        raise InputError(
            f"{here} has {text!r} as {column}: give {read.what} (seconds), or "
            "leave it empty."
        )
    return value


def _channel(here, text):
    """A channel, from 1."""
    if not (text.isascii() and text.isdigit() and int(text)):
        raise InputError(
            f"{here} has {text!r} as channel: give a whole number from 1, or "
            "leave it empty."
        )
    return int(text)
