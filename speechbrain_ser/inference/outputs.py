"""Where the table goes: files, the standard output, the screen."""

import os
import tempfile
import unicodedata

from speechbrain_ser.inference.rows import as_csv, as_jsonl
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.files import write_text

STDOUT = "-"
SETTINGS = ".settings.json"
WRITERS = {"csv": as_csv, "json": as_jsonl}
# Suffixes of what such an output is not.
OTHERS = {"csv": (".json", ".jsonl", ".xlsx", ".xls"), "json": (".csv", ".tsv")}
SHOWN = 60  # letters of a name or an error on the screen


def outputs_of(options):
    """The outputs that are asked for: kind to path."""
    given = {kind: getattr(options, kind) for kind in WRITERS}
    return {kind: path for kind, path in given.items() if path is not None}


def settings_path(outputs):
    """Where the settings are kept: beside the first output that is a file.

    Example
    -------
    >>> settings_path({"csv": "-", "json": "a/out.jsonl"})
    'a/out.jsonl.settings.json'
    """
    for path in outputs.values():
        if path != STDOUT:
            return path + SETTINGS
    return None


def check_outputs(outputs, inputs):
    """Refuses an output that can't be written, before anything is computed.

    Arguments
    ---------
    outputs : dict
        Kind to path.
    inputs : list of str
        Files that are read, and must not be written.

    Raises
    ------
    InputError
        Naming the option and the mend.
    """
    taken = {}
    for kind, path in outputs.items():
        where = f"--{kind} '{path}'"
        if not path or "\0" in path:
            raise InputError(f"{where} is no name of a file: give another")
        place = os.path.realpath(path) if path != STDOUT else path
        if place in taken:
            raise InputError(
                f"{where} is where --{taken[place]} goes: give each its own"
            )
        taken[place] = kind
        if path != STDOUT:
            _check_file(where, path, inputs)
    beside = settings_path(outputs)
    if beside and os.path.isdir(beside):
        raise InputError(
            f"'{beside}', where the settings go, is a folder: give another "
            "output"
        )


def _check_file(where, path, inputs):
    """Refuses a path that can't be written; `where` begins the sentence."""
    if os.path.isdir(path):
        raise InputError(f"{where} is a folder: give a file in it")
    suffix = os.path.splitext(path)[1].lower()
    if suffix in OTHERS[where[2:].split()[0]]:
        raise InputError(
            f"{where} would not be what its name says: give --csv a name such "
            "as out.csv, and --json one such as out.jsonl"
        )
    if os.path.exists(path) and not os.path.isfile(path):
        raise InputError(
            f"{where} is a device, which would be replaced: give a file, "
            "or - for the standard output"
        )
    if _is_one_of(path, inputs):
        raise InputError(
            f"{where} is read by this command: give another file to write"
        )
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise InputError(
            f"{where} can't be written, there is no folder '{folder}': "
            "make it, or give another"
        )
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise InputError(
            f"{where} can't be written ({error.strerror}): give a folder "
            "that you may write to"
        ) from None


def _is_one_of(path, inputs):
    """Whether a file is one of others, by whatever names."""
    if not os.path.exists(path):
        return os.path.abspath(path) in map(os.path.abspath, inputs)
    place = os.path.realpath(path)
    return any(place == os.path.realpath(p) for p in inputs if "\0" not in p)


def write_outputs(outputs, rows, out):
    """Writes the rows, each output whole or not at all.

    Arguments
    ---------
    outputs : dict
        Kind to path.
    rows : list of dict
    out : file
        What ``-`` means.
    """
    for kind, path in outputs.items():
        text = WRITERS[kind](rows)
        if path == STDOUT:
            out.write(text)
            continue
        try:
            write_text(path, text)
        except OSError as error:
            raise InputError(
                f"--{kind} '{path}' can't be written ({error.strerror}): make "
                "room, or give another; the same command computes nothing anew"
            ) from None


def as_screen(rows, classes, own):
    """Writes rows for the screen.

    Arguments
    ---------
    rows : list of dict
        Of `rows.Rows`.
    classes : list of str
    own : list of str

    Returns
    -------
    str
        A line a row, and the head.

    Example
    -------
    >>> row = {"file": "a.wav", "seconds": 2.0, "label": "sad", "error": None}
    >>> print(as_screen([row | {"posterior_sad": 0.91}], ["sad"], []))
    file   seconds  label   sad
    a.wav     2.00  sad    0.91
    """
    first = [name for name in ("start", "stop", "channel") if name in rows[0]]
    head = ["file", *first, "seconds", "label", *classes, *own]
    table = [head]
    for row in rows:
        values = [short(row["file"], last=True)]
        values += [number(row[name]) for name in (*first, "seconds")]
        if row["error"] is not None:
            table.append([*values, f"error: {row['error']}"])
            continue
        values.append(row["label"])
        values += [number(row[f"posterior_{word}"]) for word in classes]
        table.append([*values, *(number(row.get(name)) for name in own)])
    label = len(first) + 2
    widths = [
        max(width(line[i]) for line in table if i < label or len(line) > i)
        if i != label
        else max(
            [width(line[i]) for line in table if len(line) == len(head)],
            default=0,
        )
        for i in range(len(head))
    ]
    left = (0, label)
    return "\n".join(
        "  ".join(
            pad(cell, widths[i], i in left) for i, cell in enumerate(line)
        ).rstrip()
        for line in table
    )


def number(value):
    """Two decimals, or nothing."""
    if isinstance(value, float):
        return f"{value:.2f}"
    return "" if value is None else str(value)


def short(text, last=False):
    """A text without control characters, cut to what a screen holds.

    Example
    -------
    >>> short("a\\nb"), short("x" * 70 + "end", last=True)[-5:]
    ('a\\\\x0ab', 'xxend')
    """
    text = "".join(
        f"\\x{ord(c):02x}" if unicodedata.category(c) == "Cc" else c
        for c in text
    )
    if len(text) <= SHOWN:
        return text
    return f"...{text[3 - SHOWN :]}" if last else f"{text[: SHOWN - 3]}..."


def width(text):
    """How many columns a text takes."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    none = sum(unicodedata.combining(c) > 0 for c in text)
    return len(text) + wide - none


def pad(text, size, left):
    """A text with blanks to so many columns."""
    blanks = " " * max(0, size - width(text))
    return text + blanks if left else blanks + text
