"""What a table's page says of the runs: values, files and settings."""

import os
from urllib.parse import quote

from speechbrain_ser.table.entries import (
    NONE,
    decimals,
    digits,
    one_line,
    relative,
    run_value,
    runs_by_row,
)
from speechbrain_ser.table.html_parts import html_table, tag

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
        cells.append(tag("td", run.seed_text))
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
        own = table.file.part_of(row, "test") == "test"
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
        Whether the matrix, of the part `test`, is the row's.
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
        own = {}
        if row in file.recipes:
            paths = map(os.path.basename, file.recipes[row])
            own = dict(zip(("recipe", "settings file"), paths))
        facts[f"set in {one_line(row)}"] = overrides_text(own | overrides)
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
