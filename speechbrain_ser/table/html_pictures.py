"""The pictures of a table's page: bars and confusion matrices."""

import base64
import html
import os
import re
import tempfile

from speechbrain_ser.figures.bars import plot_bars
from speechbrain_ser.figures.confusion import plot_confusion
from speechbrain_ser.figures.style import plain_text
from speechbrain_ser.table.entries import NONE, number, one_line, run_count
from speechbrain_ser.table.html_parts import tag


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
        unit = next(c.unit for c in cells.values() if c.mean is not None)
        unit = unit.removesuffix("s")
        figures.append(
            picture(
                lambda path: plot_bars(
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
                    lambda path: plot_confusion(
                        path,
                        confusion,
                        table.labels,
                        plain_text(row, 50),
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
