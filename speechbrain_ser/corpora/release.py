"""What the readers of releases have in common: folder, labels, counts."""

import math
import os
from pathlib import Path

from speechbrain_ser.utils.audio_files import inspect_each, raise_first
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.logger import LateLogger
from speechbrain_ser.utils.missing import is_missing
from speechbrain_ser.utils.odd_entries import OddEntries, Read, on_scale
from speechbrain_ser.utils.settings import NOTHING, Labels, Setting

logger = LateLogger(__name__)


class Place(Setting):
    """A path, or null.

    Arguments
    ---------
    what : str
        Which one to give.

    Example
    -------
    >>> Place("the path of RECOLA").mend(3)
    'give the path of RECOLA'
    """

    def __init__(self, what):
        super().__init__(NOTHING)
        self.what = what

    def mend(self, value):
        """Returns which one to give, if it is no path."""
        fit = value is None or isinstance(value, (str, os.PathLike))
        return None if fit else f"give {self.what}"


class Folder(Place):
    """A folder; null is fit as long as nothing is read from it.

    Arguments
    ---------
    what : str
        Which folder to give.

    Example
    -------
    >>> Folder("the path of RECOLA").opened(None)
    Traceback (most recent call last):
    speechbrain_ser.utils.errors.InputError: --data_folder is None: give the ...
    """

    def opened(self, value, name="data_folder"):
        """Returns the folder's absolute path.

        Arguments
        ---------
        value : str or None
        name : str
            What the setting is called.

        Returns
        -------
        Path

        Raises
        ------
        InputError
            If it is not given or is no folder.
        """
        if value is None:
            raise InputError(f"--{name} is None: give {self.what}.")
        folder = Path(os.path.abspath(value))
        if not folder.is_dir():
            raise InputError(
                f"--{name} '{folder}' is no folder: give {self.what}."
            )
        return folder


class Classes(Labels):
    """Class words, each once, or null for all.

    Example
    -------
    >>> Classes().mend(None), Classes().mend("ang")
    (None, "give a list in brackets, such as '[ang, sad]'")
    """

    def mend(self, value):
        """Returns an example, if it is no list of words."""
        return None if value is None else super().mend(value)


def check_labels(labels, known, why=""):
    """Raises InputError if there is no label, or one that a corpus lacks.

    Arguments
    ---------
    labels : list of str
    known : iterable of str
    why : str
        Added to those that there are.

    Example
    -------
    >>> check_labels(["ang"], ["ang", "sad"])
    >>> check_labels(["joy"], ["ang", "sad"])
    Traceback (most recent call last):
    speechbrain_ser.utils.errors.InputError: --labels is ['joy']: give words ...
    """
    known = list(known)
    if not labels or not set(labels) <= set(known):
        raise InputError(
            f"--labels is {list(labels)}: give words among {', '.join(known)}"
            f"{why}"
        )


def refuse_neighbour(folder, name, is_release, levels, children=True):
    """Raises InputError if a release lies just below or above a folder.

    Arguments
    ---------
    folder : Path
        What was given.
    name : str
        Of the corpus.
    is_release : callable
        Whether a folder is the release.
    levels : int
        How far above to look.
    children : bool
        Whether to look below.

    Raises
    ------
    InputError
        Naming the folder to give.
    """
    for child in sorted(folder.iterdir()) if children else ():
        if child.is_dir() and is_release(child):
            raise InputError(
                f"--data_folder '{folder}' is the folder above {name}: give "
                f"'{child}'."
            )
    for above in list(folder.parents)[:levels]:
        if is_release(above):
            raise InputError(
                f"--data_folder '{folder}' is a folder inside of {name}: give "
                f"'{above}'."
            )


def tell_difference(root, name, message, *values):
    """Warns that a folder does not hold what was released.

    If its README says that it is another corpus in the same layout, that is
    logged instead.

    Arguments
    ---------
    root : Path
    name : str
        Of the corpus.
    message : str
        What follows the folder.
    *values : object
        For the message's placeholders.
    """
    if is_other_corpus(root, name):
        logger.info(
            "'%s' is laid out as %s but is not %s: --corpus_name gives it its "
            "name",
            root,
            name,
            name,
        )
    else:
        logger.warning(f"'%s' {message}", root, *values)


def is_other_corpus(root, name):
    """Whether a folder's README says that it is something else.

    Example
    -------
    >>> root = getfixture("tmp_path")
    >>> _ = (root / "README.txt").write_text("This is NOT RECOLA.")
    >>> is_other_corpus(root, "RECOLA"), is_other_corpus(root, "IEMOCAP")
    (True, False)
    """
    try:
        with open(root / "README.txt", encoding="utf-8") as file:
            return file.readline().startswith(f"This is NOT {name}")
    except (OSError, UnicodeDecodeError):
        return False


def count_table(found, expected):
    """Tells how many of each class were found and expected.

    Arguments
    ---------
    found, expected : dict
        Class -> count.

    Returns
    -------
    str

    Example
    -------
    >>> print(count_table({"ang": 1}, {"ang": 1103}))
    class  found  expected
    ang        1      1103
    """
    width = max(map(len, ["class", *expected]))
    rows = [f"{'class':{width}}  found  expected"]
    rows += [
        f"{label:{width}}  {found[label]:5}  {count:8}"
        for label, count in expected.items()
    ]
    return "\n".join(rows)


def finite(text):
    """Reads a number; None if it is none, or not finite.

    Example
    -------
    >>> finite("-0.25"), finite("nan"), finite("low")
    (-0.25, None, None)
    """
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def rating(text, low, high, told):
    """Reads a rating on a scale.

    Arguments
    ---------
    text : str
    low, high : float
        The ends of the scale.
    told : callable
        Given what is odd, in words, what is done, and the text, unless the
        rating is fine.

    Returns
    -------
    float or None
        None if there is none that can be used.

    Example
    -------
    >>> rating("5.5", 1, 5, print), rating("nan", 1, 5, print)
    outside their scale of 1 to 5 clamped to it 5.5
    that are missing taken as not known nan
    (5.0, None)
    """
    value = finite(text)
    if value is None:
        what = "that are no numbers"
        if is_missing(text):
            what = "that are missing"
        told(what, "taken as not known", text)
        return None
    kept = on_scale(value, low, high)
    if kept is None:
        far = f"far outside their scale of {low:g} to {high:g}"
        told(far, "taken as not known", text)
    elif kept != value:
        what = f"outside their scale of {low:g} to {high:g}"
        told(what, "clamped to it", text)
    return kept


def with_audio_alone(annotation, of):
    """Does what `with_spans` does, and settles what is odd.

    Arguments
    ---------
    annotation : dict
    of : str
        See `OddEntries.settle`.

    Returns
    -------
    Read
    """
    odd = OddEntries()
    kept = with_spans(annotation, odd)
    odd.settle(len(annotation), of)
    return Read(kept, odd.rows)


def with_spans(annotation, odd):
    """Adds `start`, `stop` and `duration`; who has no usable audio is left out.

    And the `channel` ``mix`` where a file has several.

    Arguments
    ---------
    annotation : dict
        Id -> entry with `wav`, completed in place.
    odd : OddEntries
        Given those that are left out.

    Returns
    -------
    dict
        Those with audio.

    Raises
    ------
    InputError
        If nobody has usable audio: for the first file, with the number of
        others.
    """
    wavs = [entry["wav"] for entry in annotation.values()]
    infos, errors = inspect_each(wavs)
    if not infos:
        raise_first(errors)
    kept = {}
    for key, entry in annotation.items():
        if entry["wav"] in infos:
            kept[key] = entry | infos[entry["wav"]].span()
            continue
        said = str(errors[entry["wav"]])
        what = "Utterances whose audio is missing or broken"
        odd.add(entry["wav"], key, what, "left out", said)
    return kept


def others(names, what, shown=5):
    """Says how many more there are, and the first of them.

    Example
    -------
    >>> (
    ...     others(["a", "b"], "missing"),
    ...     others(["a"], "bad", 0),
    ...     others([], "bad"),
    ... )
    (" (2 more are missing: 'a', 'b')", ' (1 more is bad)', '')
    """
    if not names:
        return ""
    verb = "is" if len(names) == 1 else "are"
    first = ", ".join(f"'{name}'" for name in names[:shown])
    dots = ", ..." if len(names) > shown else ""
    listed = f": {first}{dots}" if shown else ""
    return f" ({len(names)} more {verb} {what}{listed})"
