"""Annotations: id -> entry, as SpeechBrain's JSON files hold them."""

import json
import math
import os
import re
import textwrap

from speechbrain_ser.utils.audio_files import MIX, inspect_audio
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.files import write_json
from speechbrain_ser.utils.missing import is_missing

# What is not known where a word of `utils.missing` stands: it is left out.
MAY_BE_MISSING = (
    "emotion",
    "speaker",
    "gender",
    "session",
    "language",
    "valence",
    "arousal",
    "dominance",
)
_REQUIRED = ("wav", "duration", "emotion")
# What keys are called in SpeechBrain's recipes.
_ALIASES = {"length": "duration", "emo": "emotion", "spk_id": "speaker"}
_TEXT = ("wav", "emotion", "speaker", "gender")
_NUMBER = ("duration", "valence", "arousal", "dominance")
_SAMPLE = ("start", "stop")
# What no path of Linux or macOS has, unless a file is really called so.
_WINDOWS = re.compile(r"\\|^[A-Za-z]:/")


def read_annotation(path, data_root=None, labelled=True):
    """Reads an annotation that a user made.

    Arguments
    ---------
    path : str
        JSON file: an object of objects, each with at least `wav`, `duration`
        (seconds) and `emotion`, or as SpeechBrain's recipes call them `length`
        and `emo`. A relative `wav` is meant from the file's folder.
    data_root : str, optional
        Stands in for `{data_root}` in `wav`.
    labelled : bool
        Whether each entry must have an `emotion`.

    Returns
    -------
    dict
        Id -> entry; every `wav` is an absolute path. A key of
        `MAY_BE_MISSING` whose value is null or a word such as "unknown" is left
        out, as is such a word among `votes`.

    Raises
    ------
    InputError
        If the file is missing or not such JSON, or an entry lacks a key or
        has a value of the wrong kind.

    Example
    -------
    >>> path = getfixture("tmp_path") / "train.json"
    >>> entry = '{"wav": "a.wav", "duration": 2.5, "emotion": "sad"}'
    >>> _ = path.write_text('{"a": %s}' % entry)
    >>> read_annotation(path)["a"]["wav"] == str(path.with_name("a.wav"))
    True
    """
    annotation = _parse(path, _text(path))
    if not isinstance(annotation, dict):
        raise InputError(
            f"The annotation '{path}' is no JSON object: make it one of the "
            'form {"<id>": {"wav": ..., "duration": ..., "emotion": ...}}.'
        )
    if not annotation:
        raise InputError(
            f"The annotation '{path}' holds no entry: add utterances to it."
        )
    folder = os.path.dirname(os.path.abspath(path))
    for key, entry in annotation.items():
        where = f"In the annotation '{path}', entry '{key}'"
        required = _REQUIRED if labelled else _REQUIRED[:2]
        annotation[key] = known = _known(where, entry, required)
        _check_entry(where, known, required)
        known["wav"] = resolve(where, known["wav"], folder, data_root)
    return annotation


def write_annotation(path, annotation):
    """Writes an annotation as JSON, whole or not at all.

    Arguments
    ---------
    path : str
        The file to write.
    annotation : dict
        Id -> entry.

    Example
    -------
    >>> path = getfixture("tmp_path") / "a.json"
    >>> entry = {"wav": "/a.wav", "duration": 2.5, "emotion": "sad"}
    >>> write_annotation(path, {"a": entry})
    >>> read_annotation(path) == {"a": entry}
    True
    """
    write_json(path, annotation)


def limit_duration(annotation, max_duration, how="cut"):
    """Cuts or splits the entries that are longer than `max_duration`.

    Arguments
    ---------
    annotation : dict
        Id -> entry; it is not changed.
    max_duration : float or None
        Seconds; None or 0 sets no limit.
    how : str
        "cut" keeps the middle; "split" makes equal consecutive pieces named
        `<id>-1`, `<id>-2`, ..., whose key `utterance` is the id.

    Returns
    -------
    annotation : dict
        Id -> entry, none longer than `max_duration`.
    n_changed : int
        How many entries were cut or split.

    Raises
    ------
    InputError
        If a setting is out of range or a piece's id exists already.

    Example
    -------
    >>> entry = {"wav": "a.wav", "start": 0, "stop": 48000, "duration": 3.0}
    >>> pieces, n_changed = limit_duration({"a": entry}, 2.0, "split")
    >>> [(key, piece["duration"]) for key, piece in pieces.items()]
    [('a-1', 1.5), ('a-2', 1.5)]
    """
    if how not in ("cut", "split"):
        raise InputError(
            f"how is {how!r}: set it to 'cut' (keep the middle) or 'split'."
        )
    if max_duration is None or max_duration == 0:
        return dict(annotation), 0
    if not _is_number(max_duration) or max_duration < 0:
        raise InputError(
            f"max_duration is {max_duration!r}: set it to a number of "
            "seconds, or to 0 for no limit."
        )
    limited, n_changed = {}, 0
    for key, entry in annotation.items():
        pieces = []
        if entry["duration"] > max_duration:
            pieces = _pieces(entry, max_duration, how)
        limited |= _in_place_of(key, entry, pieces, how, annotation)
        n_changed += bool(pieces)
    return limited, n_changed


def limit_parts(parts, max_duration, how):
    """Limits the durations of all parts; nothing of what is evaluated is lost.

    Of the parts valid and test no utterance is cut: they stay whole, or are
    evaluated in pieces.

    Arguments
    ---------
    parts : dict
        Part to annotation.
    max_duration : float or None
    how : str
        See `limit_duration`.

    Returns
    -------
    parts : dict
    notes : list of str
        How many were changed, for the log.
    """
    limited, notes = {}, []
    for part, annotation in parts.items():
        whole = how == "cut" and part in ("valid", "test")
        longest = None if whole else max_duration
        limited[part], changed = limit_duration(annotation, longest, how)
        if changed:
            notes.append(
                f"{part}: {changed} utterances are longer than {max_duration} "
                f"s ({how})"
            )
    return limited, notes


def class_table(parts, labels):
    """Counts the utterances of every part and class.

    Arguments
    ---------
    parts : dict
        Name of the part -> annotation.
    labels : list of str
        The classes, in the order of the columns.

    Returns
    -------
    str
        A table; its last column counts all entries, whatever their class.

    Example
    -------
    >>> part = {"a": {"emotion": "sad"}, "b": {"emotion": "neu"}}
    >>> print(class_table({"train": part, "test": {}}, ["neu", "sad"]))
    part   neu  sad  all
    train    1    1    2
    test     0    0    0
    """
    rows = [["part", *labels, "all"]]
    for name, annotation in parts.items():
        emotions = [entry.get("emotion") for entry in annotation.values()]
        counts = [emotions.count(label) for label in labels]
        rows.append([name, *map(str, counts), str(len(emotions))])
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0])]
            + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        )
        for row in rows
    )


def _text(path):
    """The text of a file in UTF-8."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        raise InputError(
            f"The annotation '{path}' is missing: give the path of a JSON file."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"The annotation '{path}' cannot be read ({error}): give a JSON "
            "file in UTF-8."
        ) from None


def _parse(path, text):
    """JSON text -> value, with errors that name the line."""

    def unique(pairs):
        """Refuses an id that would silently replace an earlier one."""
        value = {}
        for key, item in pairs:
            if key in value:
                raise InputError(
                    f"The annotation '{path}' names '{key}' twice in one "
                    "object: rename or delete one."
                )
            value[key] = item
        return value

    try:
        return json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise InputError(
            f"The annotation '{path}' is not JSON: correct line "
            f"{error.lineno}, column {error.colno} ({error.msg})."
        ) from None


def _known(where, entry, required):
    """An entry without what is not known; what is required must be."""
    if not isinstance(entry, dict):
        raise InputError(
            f"{where} is {_short(entry)}: make it an object with "
            f"{_list_of(required)}."
        )
    entry = {_ALIASES.get(key, key): entry[key] for key in entry} | entry
    known = {
        key: value
        for key, value in entry.items()
        if (key not in MAY_BE_MISSING or not is_missing(value))
        and key not in _ALIASES
    }
    for key in required:
        if key in entry and key not in known:
            raise InputError(
                f"{where} has {_short(entry[key])} as '{key}', which says that "
                "it is not known: give it, or take the entry out."
            )
    if _is_votes(known.get("votes")):
        known["votes"] = [
            [label for label in labels if not is_missing(label)]
            for labels in known["votes"]
        ]
    return known


def _check_entry(where, entry, required):
    """Raises InputError unless every value of an entry is of its kind."""
    for key in required:
        if key not in entry:
            raise InputError(f"{where} lacks '{key}': add it.")
    for key, value in entry.items():
        kind = _wrong_kind(key, value)
        if kind:
            optional = "" if key in required else " or leave the key out"
            raise InputError(
                f"{where} has {_short(value)} as '{key}': give {kind}"
                f"{optional}."
            )
    if entry["duration"] <= 0:
        raise InputError(
            f"{where} has the duration {entry['duration']}: give its seconds, "
            "more than 0."
        )
    if "stop" in entry and entry["stop"] <= entry.get("start", 0):
        raise InputError(
            f"{where} stops at sample {entry['stop']} but starts at "
            f"{entry.get('start', 0)}: give a stop after the start."
        )


def _wrong_kind(key, value):
    """What `value` should be, or None if it is that."""
    if key in _TEXT and not (isinstance(value, str) and value):
        return "a text in quotes"
    if key in _NUMBER and not _is_number(value):
        return "a finite number"
    if key in _SAMPLE and not (_is_whole(value) and value >= 0):
        return "a whole number of samples, 0 or more,"
    if key == "session" and not (isinstance(value, str) or _is_whole(value)):
        return "a text or a whole number"
    if key == "channel" and value != MIX:
        if not (_is_whole(value) and value >= 1):
            return 'a channel\'s number, from 1, or "mix" (the mean of all)'
    if key == "votes" and not _is_votes(value):
        return 'a list of each annotator\'s labels such as [["neu"], ["sad"]]'
    return None


def _is_whole(value):
    """Whether a JSON value is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value):
    """Whether a value is a finite number."""
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and math.isfinite(value)
    )


def _is_votes(value):
    """Whether a JSON value is a list of lists of text."""
    return isinstance(value, list) and all(
        isinstance(labels, list)
        and all(isinstance(label, str) for label in labels)
        for labels in value
    )


def resolve(where, wav, folder, data_root):
    """Returns the absolute path of an entry's audio; `where` begins errors."""
    if "{data_root}" in wav:
        if data_root is None:
            raise InputError(
                f"{where} has the wav '{wav}' but no data_root is given: write "
                "the folder that holds the audio in its place, or give it by "
                "--data_root where the hparams file has this setting."
            )
        path = os.path.abspath(wav.replace("{data_root}", str(data_root)))
    else:
        path = os.path.abspath(os.path.join(folder, wav))
    if os.sep == "/" and _WINDOWS.search(wav) and not os.path.exists(path):
        raise InputError(
            f"{where} has the wav '{wav}', a path as Windows writes it: write "
            "one of this machine, with /"
        )
    return path


def _pieces(entry, max_duration, how):
    """The entries that replace one; none if it is not too long."""
    start = entry.get("start", 0)
    if "stop" in entry:
        stop = entry["stop"]
        rate = round((stop - start) / entry["duration"])
    else:
        info = inspect_audio(entry["wav"])
        stop, rate = info.frames, info.sample_rate
    length, longest = stop - start, int(max_duration * rate)
    if longest < 1:
        raise InputError(
            f"max_duration is {max_duration}, which is shorter than one "
            "sample: set it to more seconds."
        )
    if length <= longest:
        return []
    if how == "cut":
        first = start + (length - longest) // 2
        edges = [first, first + longest]
    else:
        count = math.ceil(length / longest)
        edges = [start + length * i // count for i in range(count + 1)]
    return [
        {**entry, "start": a, "stop": b, "duration": (b - a) / rate}
        for a, b in zip(edges, edges[1:])
    ]


def _in_place_of(key, entry, pieces, how, annotation):
    """What takes the place of an entry of an annotation: id -> entry."""
    if not pieces:
        return {key: entry}
    if how == "cut":
        return {key: pieces[0]}
    names = [f"{key}-{number}" for number in range(1, len(pieces) + 1)]
    for name in names:
        if name in annotation:
            raise InputError(
                f"Entry '{key}' would be split into '{name}', which "
                "exists already: rename one of them."
            )
    original = entry.get("utterance", key)
    return {
        name: {**piece, "utterance": original}
        for name, piece in zip(names, pieces)
    }


def _list_of(words):
    """'a, b and c'."""
    return ", ".join(words[:-1]) + " and " + words[-1]


def _short(value):
    """A value as JSON, short enough for an error message."""
    return textwrap.shorten(json.dumps(value), 40, placeholder=" ...")
