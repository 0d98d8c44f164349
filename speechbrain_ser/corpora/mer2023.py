"""Reads MER2023 as its release lies on disk, in either of its two layouts.

Lian et al., "MER 2023: multi-label learning, modality robustness, and
semi-supervised learning", ACM Multimedia 2023: clips of Chinese films and
series. The release names no speakers. Its clips are videos, whose sound is
taken out once, with ffmpeg, and kept.
"""

import collections
import csv
import hashlib
import os

from speechbrain_ser.corpora.release import (
    Folder,
    check_labels,
    count_table,
    finite,
    others,
    refuse_neighbour,
    tell_difference,
)
from speechbrain_ser.corpora.video_sound import (
    extract_all,
    find_ffmpeg,
    is_newer,
)
from speechbrain_ser.utils.audio_files import inspect_files
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.files import cache_folder
from speechbrain_ser.utils.settings import (
    Labels,
    OneOf,
    checked,
)

LABELS = ("neutral", "angry", "happy", "sad", "worried", "surprise")
# Of the release, in the order of LABELS.
EXPECTED_COUNTS = {
    "train": (871, 822, 689, 383, 462, 146),
    "test1": (88, 105, 93, 50, 57, 18),
    "test2": (123, 98, 87, 40, 52, 12),
    "test3": (166, 183, 169, 257, 45, 14),
}
WITHOUT_VALENCE = ("test3",)

_SUFFIXES = (".wav", ".avi", ".mp4")
_FOLDER = Folder(
    "the path of MER2023, the folder in which mer2023train or train-label.csv "
    "lies"
)
_AUDIO_FOLDER = Folder("a folder for the sound of the videos, or null")


@checked
def read_mer2023(
    data_folder: _FOLDER,
    labels: Labels() = LABELS,
    audio_folder: _AUDIO_FOLDER = None,
    part: OneOf(*EXPECTED_COUNTS) = "train",
):
    """Reads the labels of MER2023 and the length of every clip.

    A clip's sound is the first that there is of
    `dataset-process/audio/<name>.wav`, `<name>.wav`, `<name>.avi` and
    `<name>.mp4`. That of a video is written to `<audio_folder>/<part>/`, once;
    a call that was stopped goes on where it was.

    Arguments
    ---------
    data_folder : str
        The folder that holds `mer2023train`, or `train` and
        `train-label.csv`; `mer2023train` itself is understood too.
    labels : list of str
        Clips with these labels are taken.
    audio_folder : str, optional
        Where the sound of videos goes; when None, a folder of its own for
        each data_folder in `$SPEECHBRAIN_SER_CACHE` or
        `~/.cache/speechbrain_ser`.
    part : str
        "train" (the release's train and validation clips), "test1", "test2"
        or "test3" (those clips of it that have a label).

    Returns
    -------
    dict
        Name -> entry, sorted by name, with `wav`, `start`, `stop`, `duration`
        (seconds), `emotion` and `valence` (-5 to 5; not in test3).

    Raises
    ------
    InputError
        If the folder is not MER2023, a line of its labels is broken, a clip
        is missing, broken or without sound, or ffmpeg is needed and missing.

    Example
    -------
    >>> from speechbrain_ser.corpora.mini.mer2023 import mini_mer2023
    >>> tree = mini_mer2023(getfixture("tmp_path"), utterances=6)
    >>> entries = read_mer2023(tree, labels=["happy", "sad"]).values()
    >>> sorted(entry["emotion"] for entry in entries)
    ['happy', 'sad']
    """
    check_labels(labels, LABELS)
    root, table = _find_table(data_folder, part)
    annotation, lines = _read_table(table, part not in WITHOUT_VALENCE)
    _compare_counts(root, part, annotation)
    annotation = _select(annotation, labels, table)
    files = _find_clips(root, part, table, {n: lines[n] for n in annotation})
    target = os.path.join(_sound_folder(audio_folder, root), part)
    _add_sound(annotation, files, target, root)
    return annotation


def _select(annotation, labels, table):
    """The clips with some labels, sorted by name."""
    selected = {
        name: entry
        for name, entry in sorted(annotation.items())
        if entry["emotion"] in labels
    }
    if not selected:
        raise InputError(
            f"'{table}' has no clip with a label among {', '.join(labels)}: "
            "name other labels or copy the file again from the release."
        )
    return selected


def _sound_folder(audio_folder, root):
    """The folder of the sound of videos."""
    if audio_folder is None:
        place = hashlib.sha256(str(root).encode()).hexdigest()[:10]
        audio_folder = os.path.join(cache_folder(), "mer2023_audio", place)
    return os.path.abspath(audio_folder)


def _bases(root):
    """The folders in which parts, labels and converted sound may lie."""
    return [root / "mer2023train", root]


def _tables(root, part):
    """Where the labels of a part may lie."""
    return [
        base / folder / f"{part}-label.csv"
        for base in _bases(root)
        for folder in ("", "test-labels")
    ]


def _find_table(data_folder, part):
    """The folder above `mer2023train` or `train`, and a part's labels."""
    given = _FOLDER.opened(data_folder)
    root = given.parent if given.name == "mer2023train" else given
    for table in _tables(root, part):
        if os.path.isfile(table):
            return root, table
    name = f"{part}-label.csv"
    if any((base / part).is_dir() for base in _bases(root)):
        archive = "mer2023train.zip" if part == "train" else "test-labels.zip"
        raise InputError(
            f"'{root}' has the clips of {part} but no {name}: copy it there "
            f"from {archive} of the release."
        )
    if any(os.path.isfile(table) for table in _tables(root, "train")):
        raise InputError(
            f"'{root}' has neither {name} nor the clips of {part}: unpack "
            "this part of the release there too."
        )
    refuse_neighbour(
        given,
        "MER2023",
        lambda folder: any(map(os.path.isfile, _tables(folder, part))),
        levels=2,
    )
    raise InputError(
        f"--data_folder '{given}' is not MER2023: give the folder in which "
        f"mer2023train or {name} lies."
    )


def _read_table(path, needs_valence):
    """Reads a label file.

    Arguments
    ---------
    path : Path
        The file.
    needs_valence : bool
        Whether every clip must have a valence.

    Returns
    -------
    annotation : dict
        Name -> `emotion` and, where the file has it, `valence`.
    lines : dict
        Name -> its line in the file.
    """
    columns = None
    needed = ["name", "discrete"] + ["valence"] * needs_valence
    annotation, lines = {}, {}
    for number, row in _rows(path):
        where = f"'{path}', line {number}"
        if columns is None:
            columns = row
            if not set(needed) <= set(row):
                raise InputError(
                    f"{where} is '{','.join(row)}' and not the header "
                    f"'{','.join(needed)}': copy the file again from the "
                    "release."
                )
            continue
        if len(row) != len(columns):
            raise InputError(
                f"{where} has {len(row)} fields but the header has "
                f"{len(columns)}: correct the line."
            )
        cells = dict(zip(columns, row))
        name = cells["name"]
        if not name:
            raise InputError(f"{where} names no clip: correct the line.")
        if name in lines:
            raise InputError(
                f"{where} names '{name}', which line {lines[name]} names too: "
                "delete one of them."
            )
        lines[name] = number
        entry = annotation[name] = {"emotion": cells["discrete"]}
        if entry["emotion"] not in LABELS:
            raise InputError(
                f"{where} has the emotion '{entry['emotion']}': make it one "
                f"of {', '.join(LABELS)}."
            )
        if needs_valence or cells.get("valence"):
            entry["valence"] = _parse_valence(where, cells["valence"])
    if not annotation:
        raise InputError(
            f"'{path}' holds no clip: copy it again from the release."
        )
    return annotation, lines


def _rows(path):
    """Yields (line, fields) of a CSV file, without blanks and empty lines."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            for row in reader:
                row = [field.strip() for field in row]
                if any(row):
                    yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"'{path}' cannot be read as CSV in UTF-8 ({error}): copy it again "
            "from the release."
        ) from None


def _parse_valence(where, text):
    """'-0.25' -> -0.25."""
    value = finite(text)
    if value is None:
        raise InputError(
            f"{where} has the valence '{text}': make it a finite number."
        )
    return value


def _find_clips(root, part, table, lines):
    """The file of each clip that is named in `lines`."""
    folders = [
        base / folder
        for folder in (os.path.join("dataset-process", "audio"), part)
        for base in _bases(root)
    ]
    found = {}
    for folder in folders:
        for name, paths in _list_clips(folder).items():
            found.setdefault(name, []).extend(paths)
    missing = [name for name in lines if name not in found]
    if missing:
        first = missing[0]
        more = others(missing[1:], "missing")
        raise InputError(
            f"The clip '{first}' ('{table}', line {lines[first]}) is missing: "
            f"unpack {part} of the release so that {first}.avi, .mp4 or .wav "
            f"lies in '{_part_folder(root, part)}'{more}."
        )
    # Sorting is stable: what is converted already comes first.
    rank = {suffix: place for place, suffix in enumerate(_SUFFIXES)}
    return {
        name: min(found[name], key=lambda path: rank[_suffix(path)])
        for name in lines
    }


def _part_folder(root, part):
    """The folder of a part's clips, or where it belongs."""
    folders = [base / part for base in _bases(root)]
    return next(filter(os.path.isdir, folders), folders[-1])


def _list_clips(folder):
    """The sound and video files of a folder: name -> paths."""
    clips = collections.defaultdict(list)
    if os.path.isdir(folder):
        for file in sorted(os.listdir(folder)):
            if not file.startswith(".") and _suffix(file) in _SUFFIXES:
                path = os.path.join(folder, file)
                clips[os.path.splitext(file)[0]].append(path)
    return clips


def _suffix(path):
    """'a.AVI' -> '.avi'."""
    return os.path.splitext(path)[1].lower()


def _add_sound(annotation, files, target, root):
    """Sets `wav`, `start`, `stop` and `duration`; takes the sound of videos.

    What is found to be wrong without ffmpeg is said before it starts.

    Arguments
    ---------
    annotation : dict
        Name -> entry, completed in place.
    files : dict
        Name -> sound or video file.
    target : str
        The folder for the sound of videos.
    root : Path
        The folder of the corpus.
    """
    videos = {}
    for name, entry in annotation.items():
        entry["wav"] = files[name]
        if _suffix(files[name]) != ".wav":
            entry["wav"] = os.path.join(target, name + ".wav")
            if not is_newer(entry["wav"], files[name]):
                videos[files[name]] = entry["wav"]
    instead = os.path.join(root, "dataset-process", "audio")
    ffmpeg = find_ffmpeg(videos, instead)
    waiting = set(videos.values())
    ready = {entry["wav"] for entry in annotation.values()} - waiting
    infos = inspect_files(sorted(ready))
    extract_all(videos, ffmpeg)
    infos |= inspect_files(sorted(waiting))
    for entry in annotation.values():
        entry |= infos[entry["wav"]].span()


def _compare_counts(root, part, annotation):
    """Logs how the labels found differ from those of the release."""
    counts = collections.Counter(
        entry["emotion"] for entry in annotation.values()
    )
    expected = dict(zip(LABELS, EXPECTED_COUNTS[part]))
    if counts == collections.Counter(expected):
        return
    tell_difference(
        root,
        "MER2023",
        "has %d labelled clips in %s, the release of MER2023 has %d, so "
        "results cannot be compared with published ones:\n%s",
        len(annotation),
        part,
        sum(expected.values()),
        count_table(counts, expected),
    )
