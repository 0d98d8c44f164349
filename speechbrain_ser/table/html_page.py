"""A table as one HTML page with its pictures inside."""

import html
import itertools

from speechbrain_ser.table.entries import (
    HEADINGS,
    NONE,
    entry,
    groups_of,
    heading,
    lead,
    one_line,
)
from speechbrain_ser.table.html_parts import STYLE, html_table, tag
from speechbrain_ser.table.html_pictures import bar_pictures, confusion_pictures
from speechbrain_ser.table.html_runs import run_table, settings


def to_html(table, folder):
    """Writes a table as one HTML page that needs nothing but itself.

    Arguments
    ---------
    table : speechbrain_ser.table.layout.Table
    folder : str
        Where the page will lie: links to the runs go from here.

    Returns
    -------
    str
    """
    title = html.escape(one_line(table.file.title))
    source = table.file.source
    sections = {
        "": main_table(table),
        "Bars": bar_pictures(table),
        "Confusion matrices": confusion_pictures(table),
        "p-values": p_table(table),
        "Runs": run_table(table, folder),
        "Settings": settings(table),
    }
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" '
            'content="width=device-width, initial-scale=1">',
            f"<title>{title}</title>",
            '<link rel="icon" href="data:,">',
            f"<style>{STYLE}</style>",
            "</head>",
            "<body>",
            f"<h1>{title}</h1>",
            tag("p", f"Paper's numbers: {source}", "source") if source else "",
            *(
                (f"<h2>{name}</h2>\n" if name else "") + text
                for name, text in sections.items()
                if text
            ),
            "</body>",
            "</html>",
            "",
        ]
    )


def main_table(table):
    """Gives the table itself and the notes below it."""
    groups = groups_of(table, speakers=True)
    over, under = [], []
    for word in ("row", *table.file.about):
        over.append(tag("th", word, scope="col", rowspan=2))
    for group in groups:
        if len(group) == 1:
            name = heading(*group[0])
            over.append(tag("th", name, scope="col", rowspan=2))
            continue
        over.append(
            tag("th", group[0][0], "over", scope="colgroup", colspan=len(group))
        )
        under += [tag("th", HEADINGS[part], scope="col") for _, part in group]
    if not under:
        over = [cell.replace(' rowspan="2"', "") for cell in over]
    body = []
    for row in table.file.rows:
        name, *about = lead(table, row)
        cells = [tag("th", name, scope="row")]
        cells += [tag("td", word, "words") for word in about]
        for column, part in itertools.chain(*groups):
            marks = {}
            text = entry(table, row, column, part, marks)
            for words, mark in marks.items():
                text = text.removesuffix(f" [{mark}]")
                cells.append(
                    f"<td>{html.escape(text)}"
                    f"{tag('span', words, 'note problem')}</td>"
                )
            if not marks:
                cells.append(tag("td", text))
        body.append("".join(cells))
    head = ["".join(cells) for cells in (over, under) if cells]
    notes = "\n".join(tag("li", one_line(note)) for note in table.notes)
    notes = f'\n<ul class="notes">\n{notes}\n</ul>' if notes else ""
    return html_table(head, body) + notes


def p_table(table):
    """Gives both p-values of all tests, or an empty text."""
    columns = [
        name
        for name in table.file.columns
        if any(table.cells[row, name].p_values for row in table.file.rows)
    ]
    body = []
    for row in table.file.rows:
        cells = [table.cells[row, name] for name in columns]
        others = itertools.chain(*(cell.p_values for cell in cells))
        for other in dict.fromkeys(others):
            body.append(
                tag("th", one_line(row), scope="row")
                + tag("td", one_line(other), "words")
                + "".join(
                    tag("td", p_text(found.get(other)))
                    for cell in cells
                    for found in (cell.p_values, cell.flips)
                )
            )
    if not body:
        return ""
    head = ["row", "against"]
    for name in columns:
        head += [f"p, {name}", f"sign flips, {name}"]
    return html_table(
        ["".join(tag("th", word, scope="col") for word in head)], body
    )


def p_text(p):
    """Formats a p-value with three decimals."""
    if p is None:
        return NONE
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
