"""Reads any corpus that a CSV lists, or a JSON as SpeechBrain's recipes make it.

The CSV has a row for each utterance, in the columns of `COLUMNS`.
"""

import collections
import os

from speechbrain_ser.corpora.annotations import read_annotation, resolve
from speechbrain_ser.corpora.class_words import ClassMap, as_mapping, map_words
from speechbrain_ser.corpora.csv_table import read_table
from speechbrain_ser.corpora.manifest_cells import CELLS
from speechbrain_ser.corpora.release import Classes, Place
from speechbrain_ser.utils.audio_entries import check_audio, no_channel
from speechbrain_ser.utils.audio_files import MIX, inspect_each
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.logger import LateLogger
from speechbrain_ser.utils.missing import is_missing
from speechbrain_ser.utils.odd_entries import Read
from speechbrain_ser.utils.settings import checked

logger = LateLogger(__name__)

# Column -> what else it may be called.
COLUMNS = {
    "file": ("path", "wav", "filename", "file_name", "audio"),
    "emotion": ("emo", "label", "class"),
    "speaker": ("speaker_id", "spk_id", "spk"),
} | dict.fromkeys(CELLS, ())
REQUIRED = ("file", "emotion", "speaker")
UNLABELLED = "unlabelled"
# Times are written with two decimals.
ROUNDED = 0.01  # s that a stop may lie behind the end

_MANIFEST = Place("the path of a CSV (file,emotion,speaker) or of a JSON")
_DATA_ROOT = Place("the folder that relative paths are meant from")


@checked
def read_manifest(
    manifest: _MANIFEST,
    labels: Classes() = None,
    map: ClassMap() = None,
    data_root: _DATA_ROOT = None,
):
    """Reads a corpus.

    Arguments
    ---------
    manifest : str
        CSV, or a JSON (its name ends so), see `annotations.read_annotation`.
    labels : list of str, optional
        The classes; default: all emotions that stand there.
    map : str or dict, optional
        Words that stand there and the classes that they become, such as
        ``happy=hap,angry=ang``; ``fear=``: left out.
    data_root : str, optional
        Folder that relative paths are meant from, and that stands for
        ``{data_root}``; default: the manifest's own.

    Returns
    -------
    Read
        Id -> entry, sorted by id, with `wav`, `start`, `stop` (samples),
        `duration` (seconds), `emotion`, `speaker` and what else the columns
        hold; others than `COLUMNS` are the texts of its `columns`. The id is
        the file, and where a part of it is meant its seconds and its channel.

    Raises
    ------
    InputError
        Naming the row that is wrong, and the mend.

    Example
    -------
    >>> _ = getfixture("tones")
    >>> path = getfixture("tmp_path") / "my.csv"
    >>> text = "file,emotion,speaker\\ntone0.wav,yes,1\\ntone1.wav,no,2\\n"
    >>> _ = path.write_text(text)
    >>> {key: entry["emotion"] for key, entry in read_manifest(path).items()}
    {'tone0.wav': 'yes', 'tone1.wav': 'no'}
    """
    entries, where = _entries(manifest, data_root)
    said = f"'{manifest}'"
    kept = map_words(entries, where, as_mapping(map), labels, said)
    if len(kept) < len(entries):
        left = len(entries) - len(kept)
        logger.info("%s: %d utterances left out by --map", said, left)
    _refuse_twice(kept, where, said)
    _refuse_two_sides(kept, where, said)
    kept = _with_audio(kept, where, said, is_json(manifest))
    if is_json(manifest):
        kept = check_audio(kept, source=manifest)
    return Read(dict(sorted(kept.items())))


def manifest_labels(manifest, map=None):
    """Returns the classes of a manifest, sorted; no audio is looked at.

    Arguments
    ---------
    manifest, map
        See `read_manifest`.

    Returns
    -------
    list of str
    """
    entries, where = _entries(manifest, "")
    kept = map_words(entries, where, as_mapping(map), None, f"'{manifest}'")
    return sorted({e["emotion"] for e in kept.values() if e.get("emotion")})


def is_json(manifest):
    """Whether a manifest is a JSON, by its name."""
    return str(manifest).lower().endswith(".json")


def _entries(manifest, data_root):
    """Id -> entry as it stands there; id -> where that is."""
    if manifest is None:
        raise InputError(f"--manifest is None: give {_MANIFEST.what}.")
    if not is_json(manifest):
        return _rows(manifest, data_root)
    entries = read_annotation(manifest, data_root, labelled=False)
    where = {key: f"entry '{key}'" for key in entries}
    for key, entry in entries.items():
        if entry.get("split") is not None:
            entry["split"] = _cell(manifest, where[key], "split", entry, False)
        _refuse_unlabelled(f"'{manifest}', {where[key]}", entry)
    return entries, where


def _rows(manifest, data_root):
    """The entries of a CSV."""
    rows, comma = read_table(manifest, COLUMNS, REQUIRED)
    folder = os.path.dirname(os.path.abspath(manifest))
    entries, where = {}, {}
    for number, row in rows:
        here = f"'{manifest}', row {number}"
        if not row["file"]:
            raise InputError(f"{here} has no file: give its path.")
        base = data_root or folder
        wav = resolve(here, row["file"], base, data_root)
        entry = {"wav": wav}
        entry |= _facts(manifest, f"row {number}", row, comma)
        if "speaker" not in entry:
            raise InputError(
                f"{here} has no speaker ({row['speaker']!r}): give one, the "
                "same word in all rows of one person."
            )
        _refuse_unlabelled(here, entry)
        key = _id(wav, row, base, _channel(entry))
        if key in entries:
            raise InputError(
                f"{here} has the file '{row['file']}' of {where[key]} once "
                "more: take one of them out, or give start and stop."
            )
        entries[key], where[key] = entry, f"row {number}"
    return entries, where


def _facts(manifest, place, row, comma):
    """What a row says of its utterance."""
    facts, more = {}, {}
    for column, text in row.items():
        if column == "file" or not text:
            continue
        if column in ("emotion", "speaker"):
            if not is_missing(text):
                facts[column] = text
        elif column not in COLUMNS:
            more[column] = text
        else:
            value = _cell(manifest, place, column, row, comma)
            if value is not None:
                facts[column] = value
    return facts | ({"columns": more} if more else {})


def _cell(manifest, place, column, row, comma):
    """A cell's value; None if it says that it is not known."""
    text = str(row[column])
    read = CELLS[column]
    if is_missing(text):
        return None
    if comma and column != "votes":
        text = text.replace(",", ".")
    value = read(text)
    if value is None:
        raise InputError(
            f"'{manifest}', {place} has {row[column]!r} as {column}: give "
            f"{read.what}, or leave it empty."
        )
    return value


def _refuse_unlabelled(here, entry):
    """Refuses an entry without an emotion that is to have one."""
    if "emotion" not in entry and entry.get("split") != UNLABELLED:
        raise InputError(
            f"{here} has no emotion: give one, take the row out, or give it "
            f"the split {UNLABELLED}."
        )


def _id(wav, row, base, channel):
    """The name of a row's utterance: its file, and what is meant of it."""
    inside = os.path.relpath(wav, base)
    name = wav if inside.startswith(os.pardir) else inside
    times = [row.get(column, "") for column in ("start", "stop")]
    if any(times):
        name = f"{name}:{'-'.join(times)}"
    return name if channel == MIX else f"{name}:channel {channel}"


def _refuse_twice(entries, where, said):
    """Refuses a whole file beside a part of it, and a part twice.

    One channel and another are no more the same than two files.
    """
    files = collections.defaultdict(lambda: collections.defaultdict(dict))
    for key, entry in entries.items():
        span, channel = (entry.get("start"), entry.get("stop")), _channel(entry)
        channels = files[entry["wav"]]
        names = [*channels] if channel == MIX else [channel, MIX]
        for other in [_overlap(channels[name], span) for name in names]:
            if other is not None:
                raise InputError(
                    f"{said}, {where[key]} has the file '{entry['wav']}' of "
                    f"{where[other]} once more: take one of them out, or give "
                    "each its own start and stop."
                )
        channels[channel][span] = key


def _overlap(spans, span):
    """Who has this part of a file, or all of it; or a part, if all is meant."""
    whole = (None, None)
    if span == whole and spans:
        return next(iter(spans.values()))
    return spans.get(span) or spans.get(whole)


def _channel(entry):
    """Which channel an entry means."""
    return entry.get("channel", MIX)


def _refuse_two_sides(entries, where, said):
    """Refuses a speaker on both sides of a given split."""
    seen = {}
    for key, entry in entries.items():
        if not {"split", "speaker"} <= set(entry):
            continue
        side = "train" if entry["split"] == UNLABELLED else entry["split"]
        first, other = seen.setdefault(entry["speaker"], (side, key))
        if first != side:
            raise InputError(
                f"{said}, {where[key]} has the speaker {entry['speaker']!r} in "
                f"{entry['split']}, and {where[other]} in "
                f"{entries[other]['split']}: give every speaker to one of "
                "train, valid and test."
            )


def _with_audio(entries, where, said, with_spans):
    """Adds samples, durations and `channel` if they are not there yet."""
    wavs = [entry["wav"] for entry in entries.values()]
    infos, errors = inspect_each(wavs)
    if errors:
        key = next(k for k, e in entries.items() if e["wav"] in errors)
        more = f" ({len(errors) - 1} more are bad)" if len(errors) > 1 else ""
        error = str(errors[entries[key]["wav"]])
        raise InputError(f"{said}, {where[key]}{more}: {error}")
    made = {}
    for key, entry in entries.items():
        info = infos[entry["wav"]]
        made[key] = entry
        if with_spans:
            continue
        named = {"channel": entry["channel"]} if "channel" in entry else {}
        if _channel(entry) != MIX and entry["channel"] > info.channels:
            fault = no_channel(entry["wav"], entry["channel"], info.channels)
            raise InputError(f"{said}, {where[key]} {fault}.")
        start, stop = entry.get("start", 0.0), entry.get("stop")
        first = round(start * info.sample_rate)
        last = info.frames
        if stop is not None and stop <= info.duration + ROUNDED:
            last = min(round(stop * info.sample_rate), info.frames)
        elif stop is not None:
            last = None
        if last is None or first >= last:
            end = info.duration if stop is None else stop
            raise InputError(
                f"{said}, {where[key]} means the seconds {start:g} to {end:g} "
                f"of '{entry['wav']}', which has {info.duration:.3f}: correct "
                "start and stop (seconds)."
            )
        made[key] = entry | info.span(first, last) | named
    return made
