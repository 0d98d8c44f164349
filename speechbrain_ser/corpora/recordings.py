"""Corpora whose file names say everything: one recording, one utterance.

Such files are copied, packed and resampled by many hands, so they are found by
their names, wherever they lie.
"""

import collections
import dataclasses
import os
from collections.abc import Callable

from speechbrain_ser.corpora.release import (
    Folder,
    check_labels,
    count_table,
    tell_difference,
    with_spans,
)
from speechbrain_ser.utils.audio_files import inspect_each
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.logger import LateLogger
from speechbrain_ser.utils.odd_entries import OddEntries, Read

logger = LateLogger(__name__)

SUFFIXES = (".wav", ".flac")
# The classes that all of these corpora have: what is read where none are given.
FOUR = ("anger", "happiness", "neutral", "sadness")


@dataclasses.dataclass(frozen=True)
class Recordings:
    """A corpus of recordings.

    Attributes
    ----------
    name : str
    example : str
        A file of it.
    counts : dict
        Class -> utterances of the release.
    parse : callable
        Name of a file without its ending -> id and entry, which is without its
        audio, or in words what it is that is left out; None for a file of
        something else.
    """

    name: str
    example: str
    counts: dict
    parse: Callable

    @property
    def folder(self):
        """The declaration of its folder."""
        return Folder(
            f"the path of {self.name}, a folder below which files such as "
            f"{self.example} lie (.wav or .flac)"
        )


def read_recordings(corpus, data_folder, labels=None, complete=None):
    """Reads a corpus.

    Arguments
    ---------
    corpus : Recordings
    data_folder : str
    labels : list of str, optional
        Default: `FOUR`.
    complete : callable, optional
        Given the folder and id -> entry, which it completes, and `OddEntries`.

    Returns
    -------
    Read
        Id -> entry, sorted by id. Of a recording that lies there several times
        the copy of the highest rate is read, of equal ones the first by its
        path.

    Raises
    ------
    InputError
        If there is no such folder or recording, or too many can't be used.
    """
    labels = list(FOUR if labels is None else labels)
    check_labels(labels, corpus.counts)
    root = corpus.folder.opened(data_folder)
    entries, copies = _parse_all(corpus, root)
    _compare_counts(corpus, root, entries)
    chosen = {
        key: entry
        for key, entry in sorted(entries.items())
        if entry["emotion"] in labels
    }
    if not chosen:
        raise InputError(
            f"--data_folder '{root}' has no recording of {', '.join(labels)}: "
            "give other --labels."
        )
    _choose_copies(chosen, copies)
    odd = OddEntries()
    if complete is not None:
        complete(root, chosen, odd)
    read = with_spans(chosen, odd)
    odd.settle(len(chosen), f"recordings of '{root}'")
    return Read(read, odd.rows)


def find_files(root, names=None):
    """Finds files below a folder, without hidden ones and hidden folders.

    Arguments
    ---------
    root : Path
    names : container of str, optional
        Which files; default: those that end in `SUFFIXES`.

    Returns
    -------
    list of str
        Sorted paths. Links to folders are followed, each folder once.

    Example
    -------
    >>> from pathlib import Path
    >>> _ = getfixture("tones")
    >>> root = getfixture("tmp_path")
    >>> [Path(path).name for path in find_files(root)][:2]
    ['tone0.wav', 'tone1.wav']
    """
    found, seen = [], set()
    for place, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = sorted(
            f for f in folders if f[0] != "." and f != "__MACOSX"
        )
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        found += [
            os.path.join(place, file)
            for file in files
            if file[0] != "."
            and (
                file.lower().endswith(SUFFIXES)
                if names is None
                else file in names
            )
        ]
    return sorted(found)


def find_table(root, names):
    """Finds a table of a corpus: in its folder, beside it, or below it.

    Arguments
    ---------
    root : Path
    names : list of str
        What it may be called, the best one first.

    Returns
    -------
    list of str
        Paths, the nearest first.
    """
    near = [
        os.path.join(folder, name)
        for folder in (root, root.parent)
        for name in names
    ]
    below = find_files(root, names)
    return [
        path for path in dict.fromkeys(near + below) if os.path.isfile(path)
    ]


def _parse_all(corpus, root):
    """The corpus' recordings: id -> entry without audio; id -> its files."""
    entries, copies = {}, collections.defaultdict(list)
    left_out, others = collections.Counter(), 0
    for path in find_files(root):
        parsed = corpus.parse(os.path.splitext(os.path.basename(path))[0])
        if parsed is None:
            others += 1
        elif isinstance(parsed[1], str):
            left_out[parsed[1]] += 1
        else:
            entries[parsed[0]] = parsed[1]
            copies[parsed[0]].append(path)
    for what, count in left_out.items():
        logger.info("'%s': %d %s, left out", root, count, what)
    if not entries:
        there = others + sum(left_out.values())
        has = f"has {there} other files of audio" if there else "has no audio"
        raise InputError(
            f"--data_folder '{root}' holds no recording of {corpus.name} (it "
            f"{has}): give {corpus.folder.what}."
        )
    if others:
        logger.info(
            "'%s': %d files of audio have no name of %s, left out",
            root,
            others,
            corpus.name,
        )
    return entries, copies


def _choose_copies(entries, copies):
    """Sets each entry's `wav`."""
    several = {key: copies[key] for key in entries if len(copies[key]) > 1}
    paths = [path for own in several.values() for path in own]
    infos, _ = inspect_each(paths, told=False)
    for key, entry in entries.items():
        own = copies[key]
        if key in several:
            rates = {p: infos[p].sample_rate for p in own if p in infos}
            own = sorted(own, key=lambda path: -rates.get(path, 0))
        entry["wav"] = own[0]
    if several:
        logger.info(
            "%d recordings lie there several times (for example '%s' and "
            "'%s') and count once: the copy of the highest rate",
            len(several),
            *paths[:2],
        )


def _compare_counts(corpus, root, entries):
    """Logs how the recordings found differ from those of the release."""
    found = collections.Counter(e["emotion"] for e in entries.values())
    if found == collections.Counter(corpus.counts):
        return
    tell_difference(
        root,
        corpus.name,
        "has %d recordings, the release of %s has %d, so results cannot be "
        "compared with published ones:\n%s",
        len(entries),
        corpus.name,
        sum(corpus.counts.values()),
        count_table(found, corpus.counts),
    )
