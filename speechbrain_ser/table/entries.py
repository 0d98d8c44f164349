"""What stands in each place of a table, as words: all formats share it."""

import math
import os
import string

from speechbrain_ser.table.cells import value_of
from speechbrain_ser.table.layout import DONE

NONE = "–"
HEADINGS = {
    "mean": "mean ± std",
    "interval": "95 % interval",
    "speakers": "95 % over speakers",
    "runs": "runs",
    "paper": "paper",
}


def parts_of(table, column, speakers=False):
    """Lists what is shown of a column: keys of `HEADINGS` without runs.

    Arguments
    ---------
    table : Table
    column : str
    speakers : bool
        Whether intervals over speakers are shown as well.

    Returns
    -------
    list of str
    """
    cells = [table.cells[row, column] for row in table.file.rows]
    count = table.file.columns[column].metric == "n"
    shown = {
        "interval": any(c.interval and (c.std or not count) for c in cells),
        "speakers": speakers and any(c.speakers for c in cells),
        "paper": any(c.paper is not None for c in cells),
    }
    return ["mean", *(part for part, there in shown.items() if there)]


def groups_of(table, speakers=False):
    """Lists the columns of numbers, those that belong together as one list.

    Returns
    -------
    list of list of tuple
        Each a column, None for the runs of all of them, and a part of it.
    """
    groups = [
        [(column, part) for part in parts_of(table, column, speakers)]
        for column in table.file.columns
    ]
    whole = all(cell.runs == cell.planned for cell in table.cells.values())
    if table.file.conditions and whole:
        return groups
    if all(
        len({run_count(cell) for cell in filled_cells(table, row)}) <= 1
        for row in table.file.rows
    ):
        return [*groups, [(None, "runs")]]
    for group in groups:
        group.append((group[0][0], "runs"))
        group.sort(key=lambda place: list(HEADINGS).index(place[1]))
    return groups


def filled_cells(table, row):
    """Lists a row's cells that runs belong in."""
    cells = [table.cells[row, column] for column in table.file.columns]
    return [cell for cell in cells if cell.planned]


def heading(column, part):
    """Gives the heading of a part of a column where no other is above it."""
    if part == "mean":
        return column
    return f"{column}, paper" if part == "paper" else HEADINGS[part]


def run_count(cell):
    """Gives the runs in the mean, and of how many if some are left out."""
    if not cell.planned:
        return NONE
    if cell.runs == cell.planned:
        return str(cell.runs)
    return f"{cell.runs} of {cell.planned}"


def decimals(column, cell):
    """Gives the decimals of a cell: 2 of shares, 4 digits of other numbers."""
    if column.percent or not cell.mean:
        return 2
    return min(max(3 - math.floor(math.log10(abs(cell.mean))), 0), 8)


def number(column, cell):
    """Formats mean and std without stars; counts have the mean alone.

    Example
    -------
    >>> from speechbrain_ser.table.layout import Cell, Column
    >>> number(Column("UA", "UA", ("test",)), Cell([], 70.0, 1.125))
    '70.00 ± 1.12'
    """
    if cell.mean is None:
        return NONE
    if column.metric == "n" and not cell.std:
        return f"{cell.mean:.0f}"
    places = decimals(column, cell)
    std = "" if cell.std is None else f" ± {cell.std:.{places}f}"
    return f"{digits(column, cell.mean, places)}{std}"


def digits(column, value, places):
    """Formats a number with so many decimals, a difference with its sign.

    Example
    -------
    >>> from speechbrain_ser.table.layout import Column
    >>> gap = Column("gap", "UA", ("test",), minus="valid")
    >>> digits(gap, -2.561, 2), digits(gap, 2.561, 2), digits(gap, -1e-9, 2)
    ('-2.56', '+2.56', '+0.00')
    """
    value = round(value, places) + 0.0  # not -0.0
    return f"{value:{'+' if column.minus else ''}.{places}f}"


def problem(cell):
    """Gives what is wrong with a cell in words, or an empty text."""
    text = ", ".join(cell.problems)
    if text and cell.mean is not None and cell.runs < cell.planned:
        text = f"{run_count(cell)} runs; {text}"
    return text


def entry(table, row, column, part, marks=None):
    """Gives the text of one place of the table.

    Arguments
    ---------
    table : Table
    row, column, part : str
        The column is None for the runs of all columns.
    marks : dict or None
        Problem to the letter that stands for it, filled here; without it the
        problem itself stands behind the number.

    Returns
    -------
    str
    """
    if column is None:
        filled = filled_cells(table, row)
        return run_count(filled[0]) if filled else NONE
    cell, kind = table.cells[row, column], table.file.columns[column]
    if part == "runs":
        return run_count(cell)
    if part == "paper":
        return NONE if cell.paper is None else one_line(cell.paper)
    if part == "mean":
        text = " ".join(filter(None, [number(kind, cell), cell.stars]))
        if marks is None and problem(cell):
            text += f" ({problem(cell)})"
        elif problem(cell):
            text += f" [{marks.setdefault(problem(cell), letter(len(marks)))}]"
        return text
    limits = cell.interval if part == "interval" else cell.speakers
    if limits is None:
        return NONE
    places = decimals(kind, cell)
    low, high = (digits(kind, limit, places) for limit in limits)
    return f"[{low}, {high}]"


def letter(index):
    """Gives the mark of a problem: a to z, a2 to z2, and so on."""
    turn, place = divmod(index, 26)
    return string.ascii_lowercase[place] + (str(turn + 1) if turn else "")


def lead(table, row):
    """Gives the texts before the numbers: the row's name and words about it."""
    words = [texts.get(row, "") for texts in table.file.about.values()]
    return [one_line(word) for word in (row, *words)]


def one_line(text):
    """Gives a text with single blanks and no line breaks."""
    return " ".join(str(text).split())


def remarks(table):
    """Gives the notes, and the paper's source if none of them names it."""
    source = table.file.source
    named = not source or any(source in note for note in table.notes)
    from_where = [] if named else [f"Paper's numbers: {source}"]
    return [one_line(note) for note in (*table.notes, *from_where)]


def runs_by_row(table):
    """Lists each row with each of its runs, row by row."""
    return [
        (row, run)
        for row in table.file.rows
        for run in table.runs
        if row in run.rows
    ]


def run_value(run, column):
    """Gives a run's value as a row's column shows it; None if it has none."""
    if run.status != DONE or not column.covers(run.fold):
        return None
    try:
        value = value_of(run, column)
    except ValueError:
        return None
    return 100 * value if column.percent else value


def relative(path, folder):
    """Gives a path from a folder, with slashes, as a link has it."""
    return os.path.relpath(path, folder).replace(os.sep, "/")
