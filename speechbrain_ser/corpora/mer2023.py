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
    rating,
    refuse_neighbour,
    tell_difference,
    with_spans,
)
from speechbrain_ser.corpora.video_sound import (
    extract_all,
    find_ffmpeg,
    is_newer,
)
from speechbrain_ser.utils.audio_files import raise_first
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.files import cache_folder
from speechbrain_ser.utils.missing import is_missing
from speechbrain_ser.utils.odd_entries import OddEntries, Read
from speechbrain_ser.utils.settings import Labels, OneOf, checked

LABELS = ("neutral", "angry", "happy", "sad", "worried", "surprise")
# Of the release, in the order of LABELS.
EXPECTED_COUNTS = {
    "train": (871, 822, 689, 383, 462, 146),
    "test1": (88, 105, 93, 50, 57, 18),
    "test2": (123, 98, 87, 40, 52, 12),
    "test3": (166, 183, 169, 257, 45, 14),
}
WITHOUT_VALENCE = ("test3",)
SCALE = (-5, 5)  # of the valence

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
        Holds `mer2023train`, or `train` and `train-label.csv`; or is the former.
    labels : list of str
    audio_folder : str, optional
        Where the sound of videos goes; when None, a folder for each data_folder
        in `$SPEECHBRAIN_SER_CACHE` or `~/.cache/speechbrain_ser`.
    part : str
        "train" (the release's train and validation clips), "test1", "test2"
        or "test3" (of which those with a label).

    Returns
    -------
    dict
        Name -> entry, sorted by name, with `wav`, `start`, `stop`, `duration`
        (seconds), `emotion` and, if known, `valence` (-5 to 5; not in test3).
        Its `odd` is what was odd, see `utils.odd_entries`.

    Raises
    ------
    InputError
        If it is not MER2023, too much is odd, or ffmpeg is needed and missing.

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
    odd, silent = OddEntries(), OddEntries()
    annotation = _read_table(table, part not in WITHOUT_VALENCE, odd)
    odd.settle(len(annotation) + len(odd.rows), f"lines of '{table}'")
    _compare_counts(root, part, annotation)
    annotation = _select(annotation, labels, table)
    clips = len(annotation), f"clips of {part} in '{root}'"
    annotation = _find_clips(root, part, annotation, silent)
    silent.check(*clips)
    target = os.path.join(_sound_folder(audio_folder, root), part)
    _add_sound(annotation, target, root, silent)
    annotation = with_spans(annotation, silent)
    silent.settle(*clips)
    return Read(annotation, odd.rows + silent.rows)


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


def _read_table(path, needs_valence, odd):
    """Reads a label file.

    Arguments
    ---------
    path : Path
        The file.
    needs_valence : bool
        Whether every clip must have a valence.
    odd : OddEntries
        Given the lines that are left out, and the valences that are mended.

    Returns
    -------
    dict
        Name -> `emotion` and, where it is known, `valence`.
    """
    columns = None
    needed = ["name", "discrete"] + ["valence"] * needs_valence
    annotation = {}
    for number, row in _rows(path):
        where = path, f"line {number}"
        if columns is None:
            columns = row
            if not set(needed) <= set(row):
                raise InputError(
                    f"'{path}', line {number} is '{','.join(row)}' and not the "
                    f"header '{','.join(needed)}': copy the file again from "
                    "the release."
                )
            continue
        cells = dict(zip(columns, row))
        what = _wrong(row, columns, cells, annotation)
        if what:
            odd.add(*where, what, "left out", ",".join(row))
            continue
        entry = annotation[cells["name"]] = {"emotion": cells["discrete"]}
        if needs_valence or cells.get("valence"):

            def told(what, done, text, where=where):
                """Notes an odd valence."""
                odd.add(*where, f"Valences {what}", done, text)

            value = rating(cells["valence"], *SCALE, told)
            entry |= {} if value is None else {"valence": value}
    odd.check(len(annotation) + len(odd.rows), f"lines of '{path}'")
    if not annotation:
        raise InputError(
            f"'{path}' holds no clip that can be read: copy it again from the "
            "release."
        )
    return annotation


def _wrong(row, columns, cells, annotation):
    """Why a line is left out; None if it is not."""
    if len(row) != len(columns):
        return "Lines with other fields than the header's"
    if not cells["name"]:
        return "Lines that name no clip"
    if cells["name"] in annotation:
        return "Lines of a clip that an earlier line names"
    if is_missing(cells["discrete"]):
        return "Lines without an emotion"
    if cells["discrete"] not in LABELS:
        return f"Lines whose emotion is none of {', '.join(LABELS)}"
    return None


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


def _find_clips(root, part, annotation, odd):
    """Sets each clip's file as `wav`; a clip without one is left out."""
    folders = [
        base / folder
        for folder in (os.path.join("dataset-process", "audio"), part)
        for base in _bases(root)
    ]
    found = {}
    for folder in folders:
        for name, paths in _list_clips(folder).items():
            found.setdefault(name, []).extend(paths)
    missing = [name for name in annotation if name not in found]
    place = _part_folder(root, part)
    if len(missing) == len(annotation):
        first = missing[0]
        raise InputError(
            f"'{place}' has none of the {len(missing)} clips, such as {first}: "
            f"unpack {part} of the release there, so that there is {first}.avi,"
            " .mp4 or .wav."
        )
    for name in missing:
        what = "Clips that are missing, as .avi, .mp4 and .wav"
        odd.add(place, name, what, "left out")
    # Sorting is stable: what is converted already comes first.
    rank = {suffix: place for place, suffix in enumerate(_SUFFIXES)}
    return {
        name: entry
        | {"wav": min(found[name], key=lambda path: rank[_suffix(path)])}
        for name, entry in annotation.items()
        if name in found
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


def _add_sound(annotation, target, root, odd):
    """Takes the sound of videos, which becomes their clips' `wav`.

    Arguments
    ---------
    annotation : dict
        Name -> entry with `wav`, sound or video, changed in place.
    target : str
        The folder for the sound of videos.
    root : Path
        The folder of the corpus.
    odd : OddEntries
        Given the clips that are left out.
    """
    videos = {}
    for name, entry in annotation.items():
        if _suffix(entry["wav"]) != ".wav":
            video = entry["wav"]
            entry["wav"] = os.path.join(target, name + ".wav")
            if not is_newer(entry["wav"], video):
                videos[video] = entry["wav"]
    instead = os.path.join(root, "dataset-process", "audio")
    errors = extract_all(videos, find_ffmpeg(videos, instead))
    if errors and len(errors) == len(annotation):
        raise_first(errors, ("video", "videos"))
    for video, error in errors.items():
        name = os.path.splitext(os.path.basename(video))[0]
        what = "Videos whose sound can't be taken"
        odd.add(video, name, what, "left out", error)
        del annotation[name]


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
