"""Reads CMU-MOSEI as its release lies on disk.

Zadeh et al., "Multimodal language analysis in the wild: CMU-MOSEI dataset and
interpretable dynamic fusion graph", ACL 2018: videos of people who talk to a
camera. Annotators rated how strong each of six emotions is in a segment, so
that a segment may have several of them, or none.
"""

import filecmp
import json
import os

import h5py
import numpy as np

from speechbrain_ser.corpora.release import Folder, Place, refuse_neighbour
from speechbrain_ser.utils.audio_files import inspect_each, raise_first
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.odd_entries import OddEntries, Read, on_scale
from speechbrain_ser.utils.settings import checked

LABELS_FILE = "CMU_MOSEI_Labels.csd"
EMOTIONS = ("happy", "sad", "anger", "surprise", "disgust", "fear")
RATINGS = ("sentiment", *EMOTIONS)  # The columns, in their order.

_RECORDINGS = os.path.join("Raw", "Audio", "Full", "WAV_16000")
_FOLDER = Folder(
    f"the path of CMU-MOSEI, the folder that holds {LABELS_FILE} and "
    f"{_RECORDINGS}"
)
_LABELS_FILE = Place(f"the path of {LABELS_FILE}, or null")
_SCALES = [(-3, 3)] + [(0, 3)] * len(EMOTIONS)
_SHORTEST = 0.1  # Seconds of a segment that its recording must hold.
# What h5py raises at damaged files.
_DAMAGE = (
    OSError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)


@checked
def read_cmu_mosei(
    data_folder: _FOLDER,
    labels_file: _LABELS_FILE = None,
):
    """Reads the segments of CMU-MOSEI and the ratings of their emotions.

    Arguments
    ---------
    data_folder : str
        Below it lie the recordings, `<video>.wav`: of the folders that of the
        name `WAV_16000` is taken, else the one with most of the videos.
    labels_file : str, optional
        When None, `CMU_MOSEI_Labels.csd` anywhere below `data_folder`.

    Returns
    -------
    dict
        Id (`<video>_<row>`: the row in the file of labels, from 0) -> entry
        with `wav`, `start`, `stop` (samples at the recording's own rate),
        `duration` (seconds), `video` and `ratings` (`sentiment` from -3 to 3;
        `happy`, `sad`, `anger`, `surprise`, `disgust` and `fear` from 0 to
        3). The order is the file's, not that of time. Its `odd` is what was
        odd, see `utils.odd_entries`.

    Raises
    ------
    InputError
        If labels or recordings are not found, or too much is odd.

    Example
    -------
    >>> from speechbrain_ser.corpora.mini.cmu_mosei import mini_mosei
    >>> tree = mini_mosei(getfixture("tmp_path"), videos=1)
    >>> annotation = read_cmu_mosei(tree)
    >>> entry = annotation["-mini_mos00_1"]
    >>> entry["video"], sorted(entry["ratings"])[:3]
    ('-mini_mos00', ['anger', 'disgust', 'fear'])
    >>> annotation.odd[0]["what"], annotation.odd[0]["value"]
    ('Videos, of 2, without a recording', '3 segments')
    """
    root = _FOLDER.opened(data_folder)
    tables, folders = _look_through(root)
    table = os.path.abspath(labels_file or _choose_table(root, tables))
    odd = OddEntries()
    labels = _read_labels(table, odd)
    total = _count(labels, odd)
    folder = _choose_recordings(root, folders, labels, table)
    found = {v: folders[folder][v] for v in labels if v in folders[folder]}
    for video in sorted(labels.keys() - found.keys()):
        segments = f"{len(labels[video])} segments"
        what = f"Videos, of {len(labels)}, without a recording"
        odd.add(folder, video, what, "left out", segments, usual=True)
    annotation = _segments(labels, found, table, odd)
    odd.settle(total, f"segments of '{table}'")
    _check_within(annotation, odd, table, folder)
    return Read(annotation, odd.rows)


def _count(labels, odd):
    """How many segments a file has, with those that can't be read."""
    lost = sum(row["done"] == "left out" for row in odd.rows)
    return sum(map(len, labels.values())) + lost


def _check_within(annotation, odd, table, folder):
    """Refuses segments most of which lie outside of their recordings."""
    outside = sum(
        row["done"] == "left out" and row["file"] == table for row in odd.rows
    )
    if outside > len(annotation) or not annotation:
        raise InputError(
            f"Of the segments in '{table}' {outside} lie outside of their "
            f"recordings in '{folder}', {len(annotation)} within: download "
            "labels and recordings again, both of one release."
        )


def _segments(labels, recordings, table, odd):
    """Fits segments into their recordings.

    Arguments
    ---------
    labels : dict
        Video -> rows, see `_read_open`.
    recordings : dict
        Video -> WAV file.
    table : str
        The file of labels.
    odd : OddEntries
        Given what does not fit.

    Returns
    -------
    dict
        Id -> entry.
    """
    infos, errors = inspect_each(recordings.values())
    if not infos:
        raise_first(errors)
    annotation = {}
    for video, wav in recordings.items():
        for row, ratings, interval in labels[video]:
            key = f"{video}_{row}"
            if wav in errors:
                what = "Segments whose recording is broken"
                odd.add(wav, key, what, "left out", errors[wav])
                continue
            info = infos[wav]
            span, told = _clamp(*interval, info.duration)
            for oddity in told:
                value = "{:g} s to {:g} s".format(*interval)
                odd.add(table, key, *oddity[:2], value, *oddity[2:])
            if span is None:
                continue
            annotation[key] = {
                "wav": wav,
                **info.span(*(round(t * info.sample_rate) for t in span)),
                "video": video,
                "ratings": dict(zip(RATINGS, ratings)),
            }
    return annotation


def _look_through(root):
    """Finds all files of labels, and the WAV files of each folder, below one.

    Returns
    -------
    tables : list of str
        Files of labels.
    folders : dict
        Folder -> {name without suffix: path}.
    """
    tables, folders, seen = [], {}, set()
    for folder, children, files in os.walk(root, followlinks=True):
        children.sort()
        # A link to a folder above would lead down forever.
        if os.path.realpath(folder) in seen:
            children.clear()
            continue
        seen.add(os.path.realpath(folder))
        wavs = {}
        for file in sorted(files):
            stem, suffix = os.path.splitext(file)
            path = os.path.join(folder, file)
            if file == LABELS_FILE:
                tables.append(path)
            elif suffix.lower() == ".wav":
                wavs[stem] = path
        if wavs:
            folders[folder] = wavs
    return tables, folders


def _choose_table(root, tables):
    """The file of labels; copies of it do no harm."""
    if not tables:
        refuse_neighbour(
            root,
            "CMU-MOSEI",
            lambda folder: (folder / LABELS_FILE).is_file(),
            levels=4,
            children=False,
        )
        raise InputError(
            f"There is no {LABELS_FILE} below '{root}': copy the file of the "
            "release there, or give its path as labels_file."
        )
    first, *others = tables
    for other in others:
        if not filecmp.cmp(first, other, shallow=False):
            raise InputError(
                f"'{first}' and '{other}' differ: give the path of the right "
                "one as labels_file."
            )
    return first


def _choose_recordings(root, folders, labels, table):
    """The folder of the recordings."""

    def merit(folder):
        """Sorts the better folder to the front."""
        videos = len(labels.keys() & folders[folder].keys())
        named = os.path.basename(folder) == os.path.basename(_RECORDINGS)
        return not (videos and named), -videos, folder.count(os.sep), folder

    folder = min(folders, key=merit, default=None)
    if folder is None or not labels.keys() & folders[folder].keys():
        place = os.path.join(root, _RECORDINGS, next(iter(labels)) + ".wav")
        raise InputError(
            f"There is no recording of any video of '{table}' below '{root}': "
            "unpack the sound of the release there, so that there is for "
            f"example '{place}'."
        )
    return folder


def _read_labels(path, odd):
    """Reads a file of labels; see `_read_open`."""
    if not os.path.isfile(path):
        raise InputError(
            f"labels_file '{path}' is no file: give the path of {LABELS_FILE}."
        )
    try:
        # h5py would lock a file that it opens itself, which not all disks can.
        with open(path, "rb") as file:
            if not h5py.is_hdf5(path):
                raise InputError(
                    f"'{path}' is no HDF5 file: download {LABELS_FILE} again."
                )
            with h5py.File(file, "r") as csd:
                labels = _read_open(path, csd, odd)
    except InputError:
        raise
    except _DAMAGE as error:
        raise InputError(
            f"'{path}' is truncated, damaged or not to be read "
            f"({' '.join(str(error).split())}): download {LABELS_FILE} again."
        ) from None
    odd.check(_count(labels, odd), f"segments of '{path}'")
    if not any(labels.values()):
        raise InputError(
            f"'{path}' holds no segment that can be read: download "
            f"{LABELS_FILE} again."
        )
    return labels


def _read_open(path, csd, odd):
    """Reads an open file of labels.

    Arguments
    ---------
    path : str
    csd : h5py.File
    odd : OddEntries
        Given the rows that are left out, and the ratings that are mended.

    Returns
    -------
    dict
        Video -> list of its rows: number, ratings, interval.
    """
    data = csd.get("All Labels/data")
    if not isinstance(data, h5py.Group):
        raise InputError(
            f"'{path}' has no group 'All Labels/data': give {LABELS_FILE} of "
            "the release, not another of its files."
        )
    _check_columns(path, csd.get("All Labels/metadata/dimension names"))
    labels = {}
    for video in data:
        if not isinstance(video, str):
            raise TypeError(f"the id {video} is not in UTF-8")
        ratings, intervals = (
            _read_numbers(data[video], name, columns)
            for name, columns in (("features", len(RATINGS)), ("intervals", 2))
        )
        if ratings is None or intervals is None:
            what = "Videos without a table of 7 ratings and one of 2 times"
            odd.add(path, video, what, "left out")
        elif len(ratings) != len(intervals):
            what = "Videos with more ratings than times, or fewer"
            both = f"{len(ratings)} and {len(intervals)}"
            odd.add(path, video, what, "left out", both)
        else:
            rows = zip(ratings.tolist(), intervals.tolist())
            labels[video] = _good_rows(path, video, rows, odd)
    return labels


def _good_rows(path, video, rows, odd):
    """The rows of a video that can be used, with their numbers."""
    good = []
    for number, (ratings, interval) in enumerate(rows):
        where = path, f"{video}_{number}"
        if not np.isfinite(ratings + interval).all():
            what = "Segments with ratings or times that are no finite numbers"
            odd.add(*where, what, "left out")
            continue
        kept = [on_scale(v, *s) for v, s in zip(ratings, _SCALES)]
        if kept != ratings:
            what, done = "Ratings outside their scale", "clamped to it"
            if None in kept:
                what, done = "Segments far outside a scale", "left out"
            odd.add(*where, what, done, _changed(ratings, kept))
        if None not in kept:
            good.append((number, kept, interval))
    return good


def _changed(ratings, kept):
    """Names the ratings that are not kept as they are."""
    return ", ".join(
        f"{name} {before:g}"
        for name, before, after in zip(RATINGS, ratings, kept)
        if before != after
    )


def _check_columns(path, names):
    """Refuses another order of columns, if a data set names them."""
    if not isinstance(names, h5py.Dataset) or names.size != 1:
        return
    if h5py.check_string_dtype(names.dtype) is None:
        return
    try:
        names = json.loads(np.ravel(names[()])[0])
    except ValueError:
        return
    if not isinstance(names, list):
        return
    # So that "happiness" and "Happy" are the same.
    found, due = (
        [str(name).lower()[:3] for name in columns]
        for columns in (names, RATINGS)
    )
    if found != due:
        raise InputError(
            f"'{path}' names its columns {', '.join(map(str, names))}, where "
            f"{', '.join(RATINGS)} are due: download {LABELS_FILE} again."
        )


def _read_numbers(video, name, columns):
    """Reads a table of numbers of a video, as float64; None if it is none."""
    table = video.get(name) if isinstance(video, h5py.Group) else None
    if (
        not isinstance(table, h5py.Dataset)
        or table.dtype.kind not in "fiu"
        or table.ndim != 2
        or table.shape[1] != columns
    ):
        return None
    return table[()].astype(np.float64)


def _clamp(start, end, duration):
    """Fits a segment into its recording.

    Returns
    -------
    span : tuple or None
        Its start and end in seconds; None if it is left out.
    told : list of tuple
        What a user should know of it: what, done, usual.
    """
    if end <= start:
        what = "Segments that do not end after they begin"
        return None, [(what, "left out", False)]
    first, last = max(start, 0.0), min(end, duration)
    if last - first < _SHORTEST:
        what = f"Segments of less than {_SHORTEST} s within their recording"
        return None, [(what, "left out", True)]
    told = []
    if start < 0:
        what = "Segments that begin before their recording"
        told.append((what, "cut to it", True))
    if end > duration:
        what = "Segments that end after their recording"
        told.append((what, "cut to it", True))
    return (first, last), told
