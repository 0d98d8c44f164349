"""Reads a table file: which rows, columns, folds and seeds a table has.

Conditions stand where folds may stand.
"""

import dataclasses
import json
import os
import re

from speechbrain_ser.experiment.hparams import is_plain
from speechbrain_ser.table.beside import read_compared
from speechbrain_ser.table.layout import LEAKAGE, Column, TableFile
from speechbrain_ser.table.refusals import (
    Refused,
    check_distinct,
    check_keys,
    check_name,
    is_line,
    mapping,
    need,
    part_name,
    short,
    text_line,
)
from speechbrain_ser.table.yaml_values import compose, value_of
from speechbrain_ser.utils.errors import InputError

REQUIRED = ("title", "script", "hparams", "seeds", "rows", "columns")
OPTIONAL = (
    "protocol",
    "folds",
    "conditions",
    "compared",
    "overrides",
    "reads",
    "about",
    "stars",
    "paper",
    "correction",
)
# What a row may name beside its settings.
RECIPE = ("script", "hparams")
# What a column may choose; the first is the default.
CHOICES = {
    "epochs": ("selected", "last", "best"),
    "folds": ("mean", "pooled"),
    "better": ("higher", "lower"),
    "speakers": ("pooled", "mean"),
}
CORRECTIONS = ("none", "holm")
NUMBER = re.compile(r"[-+−]?\.?[0-9]")


def read_table(path):
    """Reads a table file and checks all that needs no recipe.

    Arguments
    ---------
    path : str
        YAML file with the keys `REQUIRED` and perhaps some of `OPTIONAL`.

    Returns
    -------
    speechbrain_ser.table.layout.TableFile
        Its `script` and `hparams` are paths from here, not from the file.

    Raises
    ------
    InputError
        If the file is missing, is no YAML or is no table; names the line.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> for name in ("train.py", "hparams.yaml"):
    ...     (folder / name).touch()
    >>> path = folder / "table.yaml"
    >>> _ = path.write_text('''
    ... title: Two batch sizes
    ... script: train.py
    ... hparams: hparams.yaml
    ... seeds: [1, 2]
    ... rows: {small: {batch_size: 8}, large: {batch_size: 64}}
    ... columns: {UA (%): {metric: UA, split: test}}
    ... ''')
    >>> table = read_table(path)
    >>> table.rows
    {'small': {'batch_size': 8}, 'large': {'batch_size': 64}}
    >>> table.lines["rows", "large"]
    6
    """
    table = TableFile(os.fspath(path), "", "", "", {}, {}, [])
    try:
        fill_in(table)
    except Refused as refused:
        place, message = refused.args
        where = f"{table.path}, line {place}"
        if isinstance(place, tuple):
            where = table.where(*place)
        raise InputError(f"{where}: {message}") from None
    return table


def fill_in(table):
    """Reads the file of a `TableFile` into it."""
    texts = {}
    root = compose(table.path)
    data = root and value_of(root, (), table.lines, texts)
    need(
        isinstance(data, dict),
        (),
        f"it is no table: give {', '.join(REQUIRED)}",
    )
    check_keys((), data, REQUIRED, OPTIONAL)
    # An optional key with nothing after it is as if it were not there.
    data = {
        key: value
        for key, value in data.items()
        if value is not None or key in REQUIRED
    }
    table.title = text_line(("title",), data["title"])
    table.script = read_file(table.path, ("script",), data["script"])
    table.hparams = read_file(table.path, ("hparams",), data["hparams"])
    if "protocol" in data:
        table.protocol = text_line(("protocol",), data["protocol"])
    table.seeds = read_seeds(data["seeds"])
    if "folds" in data:
        table.fold_setting, table.folds = read_folds(data["folds"])
    # Settings that no row and no override may set, and where they are set.
    taken = {"seed": "seeds", table.fold_setting: "folds"}
    if "conditions" in data:
        message = "there are folds and conditions: keep one of them"
        need("folds" not in data, ("conditions",), message)
        table.conditions = read_conditions(data["conditions"], taken)
        table.folds = list(table.conditions)
        for settings in table.conditions.values():
            taken |= dict.fromkeys(settings, "conditions")
    table.overrides = read_settings(
        ("overrides",), data.get("overrides"), taken
    )
    table.recipes = read_recipes(data["rows"], table)
    table.rows = read_rows(data["rows"], taken)
    table.columns = read_columns(data["columns"], texts, table)
    if "reads" in data:
        table.reads = read_reads(data["reads"], table)
    check_rows(table)
    if "about" in data:
        table.about = read_about(data["about"], texts, table)
    if "compared" in data:
        table.compared = read_compared(data["compared"], table.rows)
    if "stars" in data:
        table.stars = read_stars(data["stars"], texts, table.rows)
    if "correction" in data:
        word = data["correction"]
        mend = f"give {' or '.join(CORRECTIONS)}"
        message = f"'correction' is {short(word)}: {mend}"
        need(word in CORRECTIONS, ("correction",), message)
        table.correction = word
    if "paper" in data:
        table.source, table.paper = read_paper(data["paper"], texts, table)


def read_file(table_path, place, value):
    """The path of an existing file, given from the table's folder."""
    name = text_line(place, value)
    path = os.path.normpath(os.path.join(os.path.dirname(table_path), name))
    message = f"there is no file {path}: give its path from the table's folder"
    need(os.path.isfile(path), place, message)
    return path


def read_seeds(value):
    """The list of seeds."""
    seeds = value if isinstance(value, list) else [value]
    need(seeds, ("seeds",), "seeds is empty: give one seed or more")
    mend = "give a whole number from 0 to 4294967295"
    for index, seed in enumerate(seeds):
        need(
            type(seed) is int and 0 <= seed < 2**32,
            ("seeds", index),
            f"{short(seed)} is no seed: {mend}",
        )
    check_distinct(("seeds",), seeds)
    return seeds


def read_folds(value):
    """The setting of the folds and its values."""
    one = isinstance(value, dict) and len(value) == 1
    mend = "give one setting and its values, as {held_out_session: [1, 2]}"
    need(one, ("folds",), f"folds is {short(value)}: {mend}")
    ((setting, folds),) = value.items()
    place = ("folds", setting)
    need(setting != "seed", place, "folds sets 'seed': list it under seeds")
    message = f"{setting!r} is {short(folds)}: give the list of its values"
    need(isinstance(folds, list) and folds, place, message)
    for index, fold in enumerate(folds):
        single = is_plain(fold) and not isinstance(fold, (list, type(None)))
        message = f"{short(fold)} is no fold: give a number or a word"
        need(single, (*place, index), message)
    check_distinct(place, folds)
    return setting, folds


def read_conditions(value, taken):
    """Condition -> overrides of its runs."""
    conditions, first = {}, {}
    for name, entry in mapping(("conditions",), value).items():
        place = ("conditions", name)
        conditions[name] = read_settings(place, entry, taken)
        full = json.dumps(conditions[name], sort_keys=True)
        same = first.setdefault(full, name)
        mend = "give it another setting"
        message = (
            f"condition {name!r} is the same as condition {same!r}: {mend}"
        )
        need(same == name, place, message)
    return conditions


def read_settings(place, value, taken):
    """Overrides of a recipe: setting -> plain value."""
    settings = {} if value is None else value
    message = f"{place[-1]!r} is {short(value)}: give settings, as {{lr: 0.1}}"
    need(isinstance(settings, dict), place, message)
    for name, item in settings.items():
        message = f"{name!r} is set by {taken.get(name)}: delete it here"
        need(name not in taken, (*place, name), message)
        mend = "give a number, a word, true, false, null or a list of such"
        message = f"{name!r} is {short(item)}: {mend}"
        need(is_plain(item), (*place, name), message)
    return settings


def read_recipes(value, table):
    """Row -> script and hparams file, of rows that name their own."""
    recipes = {}
    for row, entry in mapping(("rows",), value).items():
        own = [
            key for key in RECIPE if isinstance(entry, dict) and key in entry
        ]
        message = (
            "a script of its own has settings of its own: give the row's "
            "hparams too"
        )
        need(own != ["script"], ("rows", row), message)
        if own:
            paths = {
                key: read_file(table.path, ("rows", row, key), entry[key])
                for key in own
            }
            recipes[row] = paths.get("script", table.script), paths["hparams"]
    return recipes


def read_rows(value, taken):
    """Row -> overrides."""
    rows = {}
    for name, entry in value.items():
        if isinstance(entry, dict):
            entry = {k: v for k, v in entry.items() if k not in RECIPE}
        rows[name] = read_settings(("rows", name), entry, taken)
    return rows


def check_rows(table):
    """Refuses two rows that read the same of the same run."""
    groups = {}
    for name, overrides in table.rows.items():
        settings = {**table.overrides, **overrides}
        full = json.dumps([table.recipe_of(name), settings], sort_keys=True)
        others = groups.setdefault(full, [])
        for same in others:
            message = (
                f"row {name!r} is the same as row {same!r}: give it another "
                "setting, or under reads another part of the run"
            )
            differs = not table.same_reading(name, same)
            need(differs, ("rows", name), message)
        others.append(name)


def read_columns(value, texts, table):
    """Heading -> Column."""
    columns = {}
    for name, entry in mapping(("columns",), value).items():
        place = ("columns", name)
        message = "'source' is a key of paper: give the column another heading"
        need(name != "source", place, message)
        mapping(place, entry)
        optional = (*CHOICES, "minus", "condition")
        check_keys(place, entry, ("metric", "split"), optional)
        metric = text_line((*place, "metric"), entry["metric"])
        chosen = {key: entry[key] for key in CHOICES if key in entry}
        for key, word in chosen.items():
            mend = f"give {' or '.join(CHOICES[key])}"
            message = f"{key!r} is {short(word)}: {mend}"
            need(word in CHOICES[key], (*place, key), message)
        pooled = chosen.get("folds") == "pooled"
        mend = "" if table.conditions else ", or give folds"
        message = f"there are no folds to pool: delete this{mend}"
        need(table.fold_setting or not pooled, (*place, "folds"), message)
        if "condition" in entry:
            chosen["condition"] = read_condition(place, texts, table.conditions)
        message = "n has no mean over conditions: give the column a condition"
        counted = table.conditions and metric == "n"
        need("condition" in entry or not counted, place, message)
        splits = read_splits((*place, "split"), entry["split"], metric)
        columns[name] = Column(name, metric, splits, **chosen)
        check_speakers(place, columns[name])
        if "minus" in entry:
            columns[name] = read_difference(
                place, columns[name], entry["minus"]
            )
    return columns


def check_speakers(place, column):
    """Refuses a mean over speakers of what is not there by speaker."""
    if column.speakers != "mean":
        return
    place = (*place, "speakers")
    for refused, what in (
        (not column.from_confusion, f"{column.metric} is not there by speaker"),
        (column.epochs == "last", "the last epochs are not there by speaker"),
        (column.epochs == "best", "the best epoch is a mean already"),
        (column.folds == "pooled", "pooled folds are no mean over speakers"),
    ):
        need(not refused, place, f"{what}: delete speakers")


def read_difference(place, column, part):
    """The column whose numbers are differences from those of a part."""
    place = (*place, "minus")
    part_name(place, part)
    message = f"that is {part} minus itself: give another part"
    need(part not in column.splits, place, message)
    alone = column.metric == "n" or column.metric in LEAKAGE
    for refused, what in (
        (alone, f"{column.metric} has no difference"),
        (column.epochs == "last", "the last epochs are of one part"),
        (column.folds == "pooled", "pooled folds have no run's difference"),
    ):
        need(not refused, place, f"{what}: delete minus")
    return dataclasses.replace(column, minus=part)


def read_condition(place, texts, conditions):
    """The condition of a column."""
    place = (*place, "condition")
    message = "there are no conditions: delete this, or give conditions"
    need(conditions, place, message)
    check_name(place, texts.get(place), conditions, "condition")
    return texts[place]


def read_splits(place, value, metric):
    """The splits of a column; a list is for the metric n alone."""
    if not isinstance(value, list):
        message = f"{metric} is of the utterances that train: write train"
        need(metric not in LEAKAGE or value == "train", place, message)
        return (part_name(place, value),)
    need(metric == "n", place, f"{metric} is of one split: give no list")
    need(value, place, "the list of splits is empty: give one or more")
    for split in value:
        part_name(place, split)
    check_distinct(place, value)
    return tuple(value)


def read_reads(value, table):
    """Row -> {a column's split: the part that is read instead}."""
    columns = table.columns.values()
    splits = dict.fromkeys(part for column in columns for part in column.parts)
    for row, entry in mapping(("reads",), value).items():
        check_name(("reads", row), row, table.rows, "row")
        for split, part in mapping(("reads", row), entry).items():
            place = ("reads", row, split)
            part_name(place, split)
            check_name(place, split, splits, "column with the split")
            part_name(place, part)
    return value


def read_about(value, texts, table):
    """Heading -> {row: text}; a number stays as it is written."""
    about = {}
    for heading, entries in mapping(("about",), value).items():
        place = ("about", heading)
        message = f"{heading!r} is in columns too: give another heading"
        need(heading not in table.columns, place, message)
        about[heading] = {}
        for row in mapping(place, entries):
            check_name((*place, row), row, table.rows, "row")
            text = text_line((*place, row), texts.get((*place, row)))
            about[heading][row] = text
    return about


def read_stars(value, texts, rows):
    """Symbol -> the rows that it compares with."""
    stars = {}
    for symbol, entry in mapping(("stars",), value).items():
        place = ("stars", symbol)
        message = f"{symbol!r} is empty: give the rows that it compares with"
        need(entry not in (None, []), place, message)
        places = [place]
        if isinstance(entry, list):
            places = [(*place, index) for index in range(len(entry))]
        names = [texts.get(item) for item in places]
        for item, name in zip(places, names):
            check_name(item, name, rows, "row")
        check_distinct(place, names)
        stars[symbol] = tuple(names)
    return stars


def read_paper(value, texts, table):
    """The source, and column -> {row: the number as the paper prints it}."""
    paper = {}
    mapping(("paper",), value)
    check_keys(("paper",), value, ["source"], table.columns)
    for column in [key for key in value if key != "source"]:
        paper[column] = {}
        for row in mapping(("paper", column), value[column]):
            place = ("paper", column, row)
            check_name(place, row, table.rows, "row")
            text = texts.get(place, "")
            message = f"{short(text)} begins with no number: give it as 66.85*"
            need(NUMBER.match(text) and is_line(text), place, message)
            paper[column][row] = text
    return text_line(("paper", "source"), value["source"]), paper
