"""Writes the files of a table."""

import itertools
import os

from speechbrain_ser.table.entries import (
    one_line,
    relative,
    run_value,
    runs_by_row,
)
from speechbrain_ser.table.html_page import to_html
from speechbrain_ser.table.markup import to_latex, to_markdown
from speechbrain_ser.utils.files import replacing, write_csv


def write_pages(table, folder):
    """Writes a table as ``table.md``, ``.csv``, ``.tex``, ``.html``, ``runs.csv``.

    Everything is put together before the first file is written.

    Arguments
    ---------
    table : speechbrain_ser.table.layout.Table
    folder : str
        Made when missing.

    Returns
    -------
    list of str
        The paths of the files.
    """
    texts = {
        "table.md": to_markdown(table),
        "table.tex": to_latex(table),
        "table.html": to_html(table, folder),
    }
    lines = {
        "table.csv": cell_lines(table),
        "runs.csv": run_lines(table, folder),
    }
    for name, text in texts.items():
        with replacing(os.path.join(folder, name)) as beside:
            with open(beside, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
    for name, rows in lines.items():
        write_csv(os.path.join(folder, name), rows)
    return [os.path.join(folder, name) for name in (*texts, *lines)]


def cell_lines(table):
    """Lists all cells with all their numbers, for ``table.csv``."""
    lines = []
    for row, name in itertools.product(table.file.rows, table.file.columns):
        column, cell = table.file.column_of(row, name), table.cells[row, name]
        low, high = map(rounded, cell.interval or (None, None))
        speakers = map(rounded, cell.speakers or (None, None))
        about = {key: text.get(row) for key, text in table.file.about.items()}
        over = {"folds": column.folds}
        if table.file.conditions:
            over = {"condition": column.condition}
        facts = {
            "column": name,
            "metric": column.metric,
            "splits": column.formula,
            "epochs": column.epochs,
            **over,
            "mean": rounded(cell.mean),
            "std": rounded(cell.std),
            "low": low,
            "high": high,
            **dict(zip(("speakers_low", "speakers_high"), speakers)),
            "unit": cell.unit,
            "runs": cell.runs,
            "planned": cell.planned,
            "stars": cell.stars,
            "p_values": p_text(cell.p_values),
            "sign_flip_p_values": p_text(cell.flips),
            "paper": cell.paper,
            "problems": "; ".join(cell.problems),
        }
        lines.append({"row": row} | renamed(about, {"row", *facts}) | facts)
    return lines


def p_text(p_values):
    """Gives the p-values against other rows as one text."""
    return ";".join(
        f"{other}={'' if p is None else f'{p:.6g}'}"
        for other, p in p_values.items()
    )


def run_lines(table, folder):
    """Lists all runs with their values, for ``runs.csv``.

    One that fills several rows has a line for each of them.
    """
    lines = []
    for row, run in runs_by_row(table):
        facts = {
            "row": row,
            table.file.fold_word: run.fold,
            "seed": run.seed_text if run.more_seeds else run.seed,
            "status": run.status,
            "note": one_line(run.note),
            "folder": relative(run.folder, folder),
            "key": run.key,
        }
        values = {
            name: rounded(run_value(run, table.file.column_of(row, name)))
            for name in table.file.columns
        }
        lines.append(facts | renamed(values, facts))
    return lines


def renamed(extra, taken):
    """Gives a dict's entries, those with a heading of our own as "<it> (2)"."""
    return {f"{k} (2)" if k in taken else k: v for k, v in extra.items()}


def rounded(value):
    """Gives a number with at most six decimals."""
    return None if value is None else round(value, 6)
