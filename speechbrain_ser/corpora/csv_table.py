"""A CSV as programs and people write it: encodings, separators, a header."""

import codecs
import csv
import io
import re

from speechbrain_ser.utils.errors import InputError

SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "|"}
# Byte order marks; the longer ones first, since they begin with shorter ones.
_MARKS = (
    (codecs.BOM_UTF32_LE, None),
    (codecs.BOM_UTF32_BE, None),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_EXCEL = re.compile(r"\s*sep=(.)\s*", re.IGNORECASE)


def read_table(path, aliases, required=()):
    """Reads a CSV.

    Arguments
    ---------
    path : str
    aliases : dict
        Column -> what else it may be called, in small letters.
    required : tuple of str
        The columns that there must be.

    Returns
    -------
    rows : list of tuple
        Row number in the file, from 1, and column -> text without blanks
        around it. Columns that are not in `aliases` keep their name, in small
        letters; rows without any text are left out.
    decimal_comma : bool
        Whether numbers may have a comma, since it separates nothing.

    Raises
    ------
    InputError
        If the file can't be read, its text is not in UTF-8 or UTF-16, it has no
        header, a column twice, lacks one, or has a row of another length.

    Example
    -------
    >>> path = getfixture("tmp_path") / "a.csv"
    >>> _ = path.write_text("Path; Emotion\\na.wav;sad\\n")
    >>> read_table(path, {"file": ["path"], "emotion": []})
    ([(2, {'file': 'a.wav', 'emotion': 'sad'})], True)
    """
    text = _decoded(path)
    first, separator = _separator(text, aliases)
    lines = _lines(path, text, separator)
    lines = [(number, cells) for number, cells in lines if any(cells)]
    lines = [line for line in lines if line[0] >= first]
    if not lines:
        raise InputError(
            f"'{path}' is empty: give a header, such as "
            f"{','.join(list(aliases)[:3])}, and rows."
        )
    columns = _columns(path, *lines[0], aliases, required)
    if not lines[1:]:
        raise InputError(f"'{path}' has a header and no row: add utterances.")
    rows = []
    for number, cells in lines[1:]:
        if len(cells) < len(columns) or any(cells[len(columns) :]):
            raise InputError(
                f"'{path}', row {number} has {len(cells)} fields, the header "
                f"has {len(columns)} ({', '.join(columns)}): write as many, "
                f"and put fields that hold {SEPARATORS.get(separator)} into "
                "quotes."
            )
        row = {name: cell for name, cell in zip(columns, cells) if name}
        rows.append((number, row))
    return rows, separator != ","


def _decoded(path):
    """The text of a file."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise InputError(
            f"'{path}' can't be read ({error.strerror}): give a CSV that is "
            "there and may be read."
        ) from None
    encoding = "utf-8"
    for mark, name in _MARKS:
        if data.startswith(mark):
            encoding = name
            break
    marked = encoding == "utf-16"
    what = "text without a mark of its encoding, or no text"
    try:
        if marked or (encoding and b"\0" not in data):
            return data.decode(encoding)
    except UnicodeDecodeError as error:
        row = data[: error.start].count(b"\n") + 1
        name = "UTF-16" if marked else "UTF-8"
        what = f"no {name} (row {row}: {error.reason})"
    raise InputError(f"'{path}' is {what}: save it as CSV in UTF-8.")


def _separator(text, aliases):
    """The row that the header can begin at, and what separates fields."""
    lines = io.StringIO(text, newline="")
    known = {name for names in aliases.values() for name in names} | set(
        aliases
    )
    for number, line in enumerate(lines, 1):
        told = _EXCEL.fullmatch(line)
        if told:
            return number + 1, told[1]
        if line.strip():
            break
    else:
        return 1, ","

    def fit(separator):
        """How many known columns it makes of the header, and how many."""
        cells = next(csv.reader([line], delimiter=separator), [])
        names = [_plain(cell) for cell in cells]
        return sum(name in known for name in names), len(names)

    return 1, max(SEPARATORS, key=fit)


def _lines(path, text, separator):
    """Each record: the row that it begins at, and its fields."""
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, strict=True
    )
    found, begin = [], 1
    try:
        for cells in reader:
            found.append((begin, [cell.strip() for cell in cells]))
            begin = reader.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"'{path}', row {begin} is no CSV ({error}): correct it, quotes "
            'inside of quotes are doubled ("").'
        ) from None
    return found


def _plain(name):
    """A column's name in small letters, without blanks around and in it."""
    return re.sub(r"[\s_]+", "_", name.strip().lower())


def _columns(path, number, cells, aliases, required):
    """The columns of a header."""
    names = [_plain(cell) for cell in cells]
    for column, others in aliases.items():
        if column not in names:
            found = [name for name in others if name in names]
            if found:
                names[names.index(found[0])] = column
    while names and not names[-1]:
        names.pop()
    if not set(names) & set(aliases):
        raise InputError(
            f"'{path}', row {number} is no header ({', '.join(cells[:4])}): "
            f"write one above it, such as {','.join(list(aliases)[:3])}."
        )
    for name in names:
        if name and names.count(name) > 1:
            raise InputError(
                f"'{path}', row {number} has two columns {name}: rename or "
                "delete one."
            )
    for column in required:
        if column not in names:
            raise InputError(
                f"'{path}', row {number} has no column {column} (there are "
                f"{', '.join(names)}): add it; columns that mean something are "
                f"{', '.join(aliases)}."
            )
    return names
