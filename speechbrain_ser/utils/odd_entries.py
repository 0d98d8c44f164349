"""What is odd in a corpus: mended or left out, counted, told and listed.

One odd value does not cost a corpus; many of them mean that it is damaged, or
something else.
"""

from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.logger import LateLogger

logger = LateLogger(__name__)

FILE = "odd_entries.csv"
MOST = 5  # so many odd entries are taken, however small the corpus is,
SHARE = 0.01  # and such a share of a large one
SHOWN = 5
LONGEST = 400  # signs of a value


class Read(dict):
    """An annotation as a corpus gives it, id -> entry, and what was odd.

    Arguments
    ---------
    entries : dict
        Id -> entry.
    odd : list of dict
        See `OddEntries`.

    Example
    -------
    >>> Read({"a": {}}, [{"entry": "line 3"}]).odd
    [{'entry': 'line 3'}]
    """

    def __init__(self, entries, odd=()):
        super().__init__(entries)
        self.odd = list(odd)


def odd_rows(read):
    """Returns what was odd in what is read: an annotation, or several by name.

    Example
    -------
    >>> odd_rows({"source": Read({}, [{"entry": "a"}]), "target": {}})
    [{'entry': 'a'}]
    """
    if hasattr(read, "odd"):
        return list(read.odd)
    return [row for each in read.values() for row in getattr(each, "odd", ())]


class OddEntries:
    """Collects what is odd while a corpus is read.

    Each is a row of `file`, `entry` (its line or id), `what` is odd, its
    `value`, what was `done` with it, and whether that is `usual`: releases have
    it, so that it says nothing about this copy of one.

    Example
    -------
    >>> odd = OddEntries()
    >>> odd.add("a.csv", "line 3", "Valences outside their scale", "clamped", 9)
    >>> odd.notes()
    ["Valences outside their scale, clamped: 1 ('a.csv', line 3: 9)."]
    """

    def __init__(self):
        self.rows = []

    def add(self, file, entry, what, done, value="", usual=False):
        """Notes an entry.

        Arguments
        ---------
        file : str
            Where it stands.
        entry : str
            Its line in the file, or its id.
        what : str
            What is odd: the same words for all of a kind, in the plural.
        done : str
            ``left out``, ``clamped`` or the like.
        value : object
            What is there.
        usual : bool
            Whether releases have such entries.
        """
        usual = "yes" if usual else ""
        row = {"file": str(file), "entry": entry, "what": what}
        text = "".join(
            sign if sign.isprintable() or sign == "\t" else "?"
            for sign in str(value)[:LONGEST]
        )
        self.rows.append(row | {"value": text, "done": done, "usual": usual})

    def check(self, total, of):
        """Refuses what is too much of it.

        Arguments
        ---------
        total : int
            Entries that there are, the odd ones too.
        of : str
            What they are, such as "utterances of '/corpus'".

        Raises
        ------
        InputError
            If more than `MOST` and more than `SHARE` of the entries are odd.
        """
        counted = [row for row in self.rows if not row["usual"]]
        count = len({(row["file"], row["entry"]) for row in counted})
        if count > MOST and count > SHARE * total:
            raise InputError(
                f"{count} of {total} {of} are odd, more than "
                f"{100 * SHARE:g} % and more than {MOST}, the first of them: "
                f"{shown(counted)}; correct them or copy the files again from "
                "the release."
            )

    def settle(self, total, of):
        """Refuses what is too much of it, see `check`, or says what is odd."""
        self.check(total, of)
        counted = [row for row in self.rows if not row["usual"]]
        for note in notes(counted):
            logger.warning("%s", note)
        for note in notes([row for row in self.rows if row["usual"]]):
            logger.info("%s", note)

    def notes(self):
        """Returns one sentence for each kind, see `notes`."""
        return notes(self.rows)


def notes(rows):
    """Says in one sentence for each kind how many there are, and which.

    Arguments
    ---------
    rows : list of dict
        See `OddEntries`.

    Returns
    -------
    list of str
        In the order in which the kinds came first.
    """
    kinds = {}
    for row in rows:
        kinds.setdefault((row["what"], row["done"]), []).append(row)
    return [
        f"{what}, {done}: {len(own)} ({shown(own, with_what=False)})."
        for (what, done), own in kinds.items()
    ]


def shown(rows, with_what=True):
    """Names the first of some rows.

    Arguments
    ---------
    rows : list of dict
    with_what : bool
        Whether to say what is odd in each.

    Returns
    -------
    str
    """
    words = []
    for row in rows[:SHOWN]:
        value = row["value"].removesuffix(".")
        more = [row["what"]] * with_what + [value] * bool(value)
        where = f"'{row['file']}', {row['entry']}"
        if row["file"] in value:
            where = row["entry"]
        words.append(": ".join([where, *more]))
    return "; ".join(words + ["..."] * (len(rows) > SHOWN))


def on_scale(value, low, high):
    """Brings a number back to its scale, if it is not far from it.

    Arguments
    ---------
    value : float
    low, high : float
        The ends of the scale.

    Returns
    -------
    float or None
        The value, or the nearer end for one that lies up to an eighth of the
        scale beyond it; None if it is farther away.

    Example
    -------
    >>> on_scale(2.5, 1, 5), on_scale(5.5, 1, 5), on_scale(25, 1, 5)
    (2.5, 5.0, None)
    """
    near = (high - low) / 8
    if low <= value <= high:
        return value
    if low - near <= value <= high + near:
        return float(min(max(value, low), high))
    return None
