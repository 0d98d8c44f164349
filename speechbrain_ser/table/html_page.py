"""A table as one HTML page with its pictures inside."""

import base64
import html
import itertools
import os
import re
import tempfile
from urllib.parse import quote

from speechbrain_ser.figures import plots
from speechbrain_ser.table.entries import (
    HEADINGS,
    NONE,
    decimals,
    digits,
    entry,
    groups_of,
    heading,
    lead,
    number,
    one_line,
    relative,
    run_count,
    run_value,
    runs_by_row,
)

FACTS = {
    "method": "method",
    "corpus": "corpus",
    "protocol": "protocol",
    "speakers": "speakers",
    "split_sha256": "split, SHA-256",
    "code": "code, SHA-256",
    "device": "device",
    "versions": "versions",
}
STYLE = """
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 80rem; padding: 1.5rem 1rem 4rem;
  color: #1b1b1b; background: #fff; font: 16px/1.5 system-ui, -apple-system,
  "Segoe UI", "Liberation Sans", Arial, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.75rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .75rem; padding-bottom: .25rem;
  border-bottom: 1px solid #c9ced6; }
p { margin: .5rem 0; max-width: 60rem; }
.source, .note { color: #4a5058; }
ul.notes { max-width: 60rem; padding-left: 1.25rem; margin: .75rem 0; }
ul.notes li { margin: .25rem 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; border-top: 2px solid #1b1b1b;
  border-bottom: 2px solid #1b1b1b; font-size: 14px; overflow-wrap: normal;
  font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .45rem; text-align: left; vertical-align: top; }
td { white-space: nowrap; }
thead th { font-weight: 600; vertical-align: bottom; }
thead th.over { border-bottom: 1px solid #8a919b; }
thead tr:last-child th, thead th[rowspan] { border-bottom: 1px solid #1b1b1b; }
tbody th { font-weight: 600; min-width: 7rem; max-width: 16rem;
  overflow-wrap: break-word; }
tbody tr:nth-child(even) > * { background: #f4f6f8; }
th:first-child { position: sticky; left: 0; background: #fff; z-index: 1; }
thead tr + tr th:first-child { position: static; }
td.words, td .note { white-space: normal; min-width: 8rem; }
td .note { display: block; max-width: 18rem; overflow-wrap: anywhere;
  font-size: 14px; }
.problem { color: #9a2a12; }
.failed, .foreign, .missing { color: #9a2a12; font-weight: 600; }
.running, .queued { color: #5c4a00; font-weight: 600; }
.pictures { display: grid; gap: 1.5rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 25rem), 1fr)); }
figure { margin: 0; }
img { display: block; max-width: 100%; height: auto; }
figcaption { font-size: 15px; color: #4a5058; margin-top: .25rem; }
dl { display: grid; grid-template-columns: fit-content(18rem) minmax(0, 1fr);
  gap: .35rem 1.25rem; margin: 0; font-size: 15px; }
dt { font-weight: 600; }
dd { margin: 0; }
a { color: #0b5394; }
@media (max-width: 40rem) {
  h1 { font-size: 1.4rem; }
  tbody th { min-width: 6rem; max-width: 9rem; }
  dl { grid-template-columns: minmax(0, 1fr); gap: 0; }
  dd { margin-bottom: .6rem; }
}
"""


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


def tag(name, text, kind="", **attributes):
    """Gives an element with escaped text; `kind` is its class."""
    if kind:
        attributes = {"class": kind} | attributes
    named = "".join(
        f' {key}="{html.escape(str(value))}"'
        for key, value in attributes.items()
    )
    return f"<{name}{named}>{html.escape(str(text))}</{name}>"


def html_table(head, body):
    """Gives a table that scrolls sideways by itself.

    Arguments
    ---------
    head, body : list of str
        The cells of each line.
    """
    lines = "\n".join(f"<tr>{cells}</tr>" for cells in body)
    head = "\n".join(f"<tr>{cells}</tr>" for cells in head)
    return (
        f'<div class="wide" tabindex="0"><table>\n<thead>\n{head}\n</thead>\n'
        f"<tbody>\n{lines}\n</tbody>\n</table></div>"
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


def picture(draw, alt, caption):
    """Gives a figure with its PNG inside the page.

    Arguments
    ---------
    draw : callable
        Draws to the path it is given.
    alt, caption : str
        What the picture shows, in words.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "picture.png")
        draw(path)
        with open(path, "rb") as file:
            data = file.read()
    width, height = (
        round(int.from_bytes(data[start : start + 4], "big") * 0.64)
        for start in (16, 20)
    )  # 150 dots an inch are shown as 96
    return (
        f'<figure><img src="data:image/png;base64,'
        f'{base64.b64encode(data).decode()}" width="{width}" '
        f'height="{height}" alt="{html.escape(one_line(alt))}">'
        f"{tag('figcaption', one_line(caption))}</figure>"
    )


def bar_pictures(table):
    """Gives a picture of bars for each column but counts."""
    figures = []
    for name, column in table.file.columns.items():
        cells = {row: table.cells[row, name] for row in table.file.rows}
        if column.metric == "n" or all(c.mean is None for c in cells.values()):
            continue
        bars = [
            {
                "name": row,
                "mean": cell.mean,
                "interval": cell.interval,
                "values": cell.values,
                "paper": leading_number(cell.paper),
                "text": behind_bar(column, cell),
            }
            for row, cell in cells.items()
        ]
        said = ", ".join(f"{bar['name']} {bar['text']}" for bar in bars)
        unit = {"seeds": "seed", "folds": "fold"}[
            next(c.unit for c in cells.values() if c.mean is not None)
        ]
        figures.append(
            picture(
                lambda path: plots.plot_bars(
                    path,
                    bars,
                    name,
                    name,
                    unit,
                    100 if column.percent and not column.minus else None,
                ),
                f"Bars of {name} for each row: {said}",
                f"{name}: mean, 95 % interval over {unit}s, each {unit}",
            )
        )
    return pictures(figures)


def behind_bar(column, cell):
    """Gives mean, std and stars, and the runs where some are left out."""
    if cell.mean is None:
        return "no result" if cell.planned else NONE
    left_out = f"({run_count(cell)} runs)" if cell.runs < cell.planned else ""
    words = [number(column, cell), cell.stars, left_out]
    return " ".join(filter(None, words))


def leading_number(text):
    """Gives the number that a text begins with, or None.

    Example
    -------
    >>> leading_number("73.8 ± 2.0"), leading_number(None)
    (73.8, None)
    """
    found = re.match(r"[-−+]?(\d+\.?\d*|\.\d+)", "" if text is None else text)
    return float(found[0].replace("−", "-")) if found else None


def confusion_pictures(table):
    """Gives the summed confusion matrix of each row that has one."""
    figures = []
    for row in table.file.rows:
        confusion = table.confusions.get(row)
        if confusion is not None:
            figures.append(
                picture(
                    lambda path: plots.plot_confusion(
                        path,
                        confusion,
                        table.labels,
                        plots.plain_text(row, 50),
                    ),
                    f"Confusion matrix of {row}",
                    f"{row}: sum over its runs",
                )
            )
    return pictures(figures)


def pictures(figures):
    """Gives figures side by side where the page is wide enough."""
    shown = "\n".join(figures)
    return f'<div class="pictures">\n{shown}\n</div>' if shown else ""


def p_table(table):
    """Gives the p-values of all tests, or an empty text."""
    columns = [
        name
        for name in table.file.columns
        if any(table.cells[row, name].p_values for row in table.file.rows)
    ]
    body = []
    for row in table.file.rows:
        cells = {name: table.cells[row, name].p_values for name in columns}
        for other in dict.fromkeys(itertools.chain(*cells.values())):
            body.append(
                tag("th", one_line(row), scope="row")
                + tag("td", one_line(other), "words")
                + "".join(
                    tag("td", p_text(cells[name].get(other)))
                    for name in columns
                )
            )
    if not body:
        return ""
    head = ["row", "against", *(f"p, {name}" for name in columns)]
    return html_table(
        ["".join(tag("th", word, scope="col") for word in head)], body
    )


def p_text(p):
    """Formats a p-value with three decimals."""
    if p is None:
        return NONE
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def run_table(table, folder):
    """Gives each row's runs: their status, values and links to their files."""
    columns = table.file.columns
    folds = any(run.fold is not None for run in table.runs)
    fold_word = [table.file.fold_word] if folds else []
    head = ["row", *fold_word, "seed", "status"]
    head += [*columns, "epoch", "time", "device", "files"]
    body = []
    for row, run in runs_by_row(table):
        facts = run.metrics or {}
        cells = [tag("th", one_line(row), scope="row")]
        cells += [tag("td", run.fold)] if folds else []
        cells.append(tag("td", run.seed))
        note = one_line(run.note)
        note = tag("span", note, "note") if note else ""
        cells.append(f"<td>{tag('span', run.status, run.status)}{note}</td>")
        for name in columns:
            value = run_value(run, table.file.column_of(row, name))
            cell = table.cells[row, name]
            column = columns[name]
            places = 0 if column.metric == "n" else decimals(column, cell)
            shown = NONE if value is None else digits(column, value, places)
            cells.append(tag("td", shown))
        cells.append(tag("td", facts.get("selected_epoch") or NONE))
        cells.append(tag("td", duration(facts.get("wall_seconds"))))
        cells.append(tag("td", facts.get("device", NONE)))
        own = table.file.part_of(row, "evaluation") == "evaluation"
        cells.append(f"<td>{links(run, folder, own)}</td>")
        body.append("".join(cells))
    return html_table(
        ["".join(tag("th", word, scope="col") for word in head)], body
    )


def links(run, folder, figure):
    """Gives links to a run's folder and its confusion matrix, if there.

    Arguments
    ---------
    run : Run
    folder : str
        Where the page will lie.
    figure : bool
        Whether the matrix, of the part `evaluation`, is the row's.
    """
    found = []
    if os.path.isdir(run.folder):
        place = quote(relative(run.folder, folder))
        found.append(tag("a", "folder", href=f"{place}/"))
        name = "figures/confusion.png"
        if figure and os.path.isfile(os.path.join(run.folder, name)):
            found.append(tag("a", "figure", href=f"{place}/{name}"))
    return ", ".join(found) or NONE


def duration(seconds):
    """Formats a time as hours, minutes and seconds.

    Example
    -------
    >>> duration(3725.4)
    '1:02:05'
    """
    if seconds is None:
        return NONE
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def settings(table):
    """Gives what all runs have been done with, as a list of terms."""
    file = table.file
    facts = {
        "recipe": os.path.basename(file.script),
        "settings file": os.path.basename(file.hparams),
        "seeds": ", ".join(map(str, file.seeds)),
    }
    if file.fold_setting:
        folds = ", ".join(map(str, file.folds))
        facts["folds"] = f"{file.fold_setting}: {folds}"
    for name, overrides in file.conditions.items():
        facts[f"set in condition {name}"] = overrides_text(overrides)
    facts["set in all rows"] = overrides_text(file.overrides)
    for row, overrides in file.rows.items():
        facts[f"set in {one_line(row)}"] = overrides_text(overrides)
    for key, name in FACTS.items():
        facts[name] = distinct(run_fact(run, key) for run in table.runs)
    facts = {name: text for name, text in facts.items() if text}
    terms = "\n".join(
        tag("dt", name) + tag("dd", one_line(text))
        for name, text in facts.items()
    )
    return f"<dl>\n{terms}\n</dl>"


def overrides_text(overrides):
    """Formats settings as ``name: value``, by comma."""
    return ", ".join(f"{key}: {value}" for key, value in overrides.items())


def run_fact(run, key):
    """Gives one fact of a run's ``metrics.json`` as text, or an empty one."""
    value = (run.metrics or {}).get(key) or ""
    if key in ("split_sha256", "code"):
        return value[:12]
    return overrides_text(value) if isinstance(value, dict) else str(value)


def distinct(texts):
    """Joins different texts; more than one say of how many runs they are."""
    texts = [text for text in texts if text]
    kinds = dict.fromkeys(texts)
    if len(kinds) < 2:
        return "".join(kinds)
    return "; ".join(f"{text} ({texts.count(text)} runs)" for text in kinds)
