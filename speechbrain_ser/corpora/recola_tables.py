"""The tables of RECOLA: ratings and timings, of which odd lines are passed over."""

from typing import NamedTuple

import numpy as np

from speechbrain_ser.corpora.release import finite
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.odd_entries import on_scale

STEP = 0.04  # Seconds from one rating to the next.
# Times are written with two decimals.
_NEAR = 0.005
_CUT_OFF = 1.0  # Seconds by which one dimension may end before the other.


class Table(NamedTuple):
    """A file of numbers: its header, rows, and what stands where.

    `values` is NaN where there is no number; `lines` are the rows' lines in the
    file, `numbers` count them from 1, with those that could not be read, of which
    there are `total` together.
    """

    path: str
    columns: list
    values: np.ndarray
    lines: np.ndarray
    numbers: np.ndarray
    total: int

    def where(self, row):
        """Names a row: the file, and the line in it."""
        return self.path, f"line {self.lines[row]}"

    def only(self, rows):
        """Returns the table with some of its rows."""
        return self._replace(
            values=self.values[rows],
            lines=self.lines[rows],
            numbers=self.numbers[rows],
        )


def read_timings(path, odd):
    """Reads when the utterances of a recording start and stop, in seconds."""
    return _read_table(path, ["start", "stop"].__eq__, "start;stop", odd)


def read_ratings(path, odd):
    """Reads the ratings of a recording in one dimension.

    Arguments
    ---------
    path : str
    odd : OddEntries
        Given the lines that are left out, and the ratings that are mended.

    Returns
    -------
    Table
        In order of time.
    """
    table = _read_table(
        path, _is_ratings_header, "time;FM1;FM2;FM3;FF1;FF2;FF3", odd
    )
    rows = _in_time(table, odd)
    if not len(rows):
        raise InputError(
            f"'{path}' has no line with a number (with a decimal point) as the "
            f"time that is due (one rating each {STEP} s from 0): copy the file "
            "again from the release."
        )
    table = table.only(rows)
    values = table.values[:, 1:]
    for row, column in np.argwhere(~(np.abs(values) <= 1)):
        value, where = values[row, column], table.where(row)
        kept = on_scale(value, -1, 1)
        values[row, column] = np.nan if kept is None else kept
        of = f"{value:g} of {table.columns[1 + column]}"
        if np.isnan(value):
            odd.add(*where, "Ratings that are no numbers", "left out", of)
        elif kept is None:
            what = "Ratings far outside their scale of -1 to 1"
            odd.add(*where, what, "left out", of)
        else:
            what = "Ratings outside their scale of -1 to 1"
            odd.add(*where, what, "clamped to it", of)
    return table


def _in_time(table, odd):
    """The rows whose time is one that is due, each later than the one before."""
    times = table.values[:, 0]
    steps = np.round(np.nan_to_num(times, nan=-1) / STEP)
    due = (np.abs(times - STEP * steps) <= _NEAR) & (steps >= 0)
    if due.all() and (steps == np.arange(len(steps))).all():
        return np.arange(len(steps))
    rows, last = [], -1
    for row, step in enumerate(steps):
        ahead = steps[row + 1] if row + 1 < len(steps) else step + 1
        jumps = last < ahead <= step and step > last + 1
        if not due[row] or step <= last or jumps:
            what = f"Ratings at another time than is due (each {STEP} s)"
            odd.add(*table.where(row), what, "left out", f"{times[row]:g} s")
            continue
        if step > last + 1:
            what, gap = "Ratings that lack before a line", step - last - 1
            odd.add(*table.where(row), what, "passed over", f"{gap:g} lines")
        rows.append(row)
        last = step
    return rows


def _is_ratings_header(columns):
    """Whether they are the time and annotators, each once."""
    unique = len(set(columns)) == len(columns)
    return columns[0] == "time" and len(columns) > 1 and all(columns) and unique


def _read_table(path, is_header, example, odd):
    """Reads a file of numbers that are separated by ';', under a header.

    Arguments
    ---------
    path : str
        The file.
    is_header : callable
        Whether a list of columns is right.
    example : str
        A right header, for errors.
    odd : OddEntries
        Given the lines that are left out.

    Returns
    -------
    Table
    """
    columns, lines, rows = _rows_of(path, is_header, example)
    try:
        values = np.loadtxt(rows, delimiter=";", comments=None, ndmin=2)
        if values.shape[1] == len(columns):
            values[~np.isfinite(values)] = np.nan
            numbers = np.arange(1, len(lines) + 1)
            return Table(path, columns, values, lines, numbers, len(lines))
    except ValueError:
        pass
    cells = [[cell.strip() for cell in row.split(";")] for row in rows]
    fit = np.array([len(own) == len(columns) for own in cells])
    if not fit.any():
        raise InputError(
            f"'{path}', line {lines[0]} has {len(cells[0])} fields but the "
            f"header has {len(columns)} ({';'.join(columns)}), and so have all "
            "others: copy the file again from the release."
        )
    for row in np.flatnonzero(~fit):
        what = "Lines with other fields than the header's"
        odd.add(path, f"line {lines[row]}", what, "left out", rows[row].strip())
    values = [[finite(c) for c in cells[row]] for row in np.flatnonzero(fit)]
    values = np.array(values, dtype=float)  # None becomes NaN
    numbers = np.flatnonzero(fit) + 1
    return Table(path, columns, values, lines[fit], numbers, len(lines))


def _rows_of(path, is_header, example):
    """The columns of a file, the lines of its rows, and their texts."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.readlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"'{path}' cannot be read as text in UTF-8 ({error}): copy it "
            "again from the release."
        ) from None
    lines = [n for n, line in enumerate(text, 1) if line.strip()]
    rows = [text[n - 1] for n in lines]
    if len(rows) < 2:
        raise InputError(
            f"'{path}' holds no row of numbers: copy it again from the release."
        )
    header = rows.pop(0)
    for sign, word in ((",", "commas"), ("\t", "tabs")):
        if sign in header and ";" not in header:
            raise InputError(
                f"'{path}', line {lines[0]} is separated by {word}: save the "
                "file with ';' between the columns."
            )
    columns = [cell.strip() for cell in header.split(";")]
    if not is_header(columns):
        raise InputError(
            f"'{path}', line {lines[0]} is '{';'.join(columns)}' and not a "
            f"header such as '{example}': copy the file again from the release."
        )
    return columns, np.array(lines[1:]), rows


def compare_raters(tables):
    """Gives how many annotators there are, if they are the same everywhere."""
    first = {}
    for table in tables:
        for rater in table.columns[1:]:
            first.setdefault(rater, table.path)
    for table in tables:
        for rater in sorted(first.keys() - set(table.columns)):
            raise InputError(
                f"'{table.path}', line 1 lacks the annotator {rater}, whom "
                f"'{first[rater]}' has: copy the file again from the release."
            )
    return len(first)


def compare_lengths(arousal, valence):
    """Refuses ratings of a recording that end earlier in one dimension."""
    short, long = sorted((arousal, valence), key=lambda t: t.values[-1, 0])
    if short.values[-1, 0] < long.values[-1, 0] - _CUT_OFF:
        raise InputError(
            f"'{short.path}' ends at {short.values[-1, 0]:.2f} s, but "
            f"'{long.path}' at {long.values[-1, 0]:.2f} s: copy both again "
            "from the release."
        )
