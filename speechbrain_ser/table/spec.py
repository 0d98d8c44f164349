"""Reads a table file: which rows, columns, folds and seeds a table has.

Conditions stand where folds may stand.
"""

import dataclasses
import difflib
import json
import math
import os
import re
import unicodedata

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import ScalarNode, SequenceNode

from speechbrain_ser.experiment.recipe import is_plain
from speechbrain_ser.table.layout import LEAKAGE, Column, TableFile
from speechbrain_ser.utils.errors import InputError

REQUIRED = ("title", "script", "hparams", "seeds", "rows", "columns")
OPTIONAL = (
    "protocol",
    "folds",
    "conditions",
    "overrides",
    "reads",
    "about",
    "stars",
    "paper",
)
# What a column may choose; the first is the default.
CHOICES = {
    "epochs": ("selected", "last", "best"),
    "folds": ("mean", "pooled"),
    "better": ("higher", "lower"),
}
YAML_TAG = "tag:yaml.org,2002:"
# How the text of each kind of YAML scalar is read; a date is a word.
READ = {
    "str": str,
    "timestamp": str,
    "value": str,
    "null": lambda text: None,
    "bool": lambda text: {"true": True, "false": False}[text.lower()],
    "int": int,
    "float": float,
}
KINDS = (*READ, "seq", "map")
DEEPEST = 10
NUMBER = re.compile(r"[-+−]?\.?[0-9]")


class _Refused(Exception):
    """A place in the file, or the number of a line, and what is wrong there."""


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
        _fill(table)
    except _Refused as refused:
        place, message = refused.args
        where = f"{table.path}, line {place}"
        if isinstance(place, tuple):
            where = table.where(*place)
        raise InputError(f"{where}: {message}") from None
    return table


def _need(true, place, message):
    """Refuses the file unless something is true."""
    if not true:
        raise _Refused(place, message)


def _fill(table):
    """Reads the file of a `TableFile` into it."""
    texts = {}
    root = _compose(table.path)
    data = root and _value(root, (), table.lines, texts)
    _need(
        isinstance(data, dict),
        (),
        f"it is no table: give {', '.join(REQUIRED)}",
    )
    _check_keys((), data, REQUIRED, OPTIONAL)
    # An optional key with nothing after it is as if it were not there.
    data = {
        key: value
        for key, value in data.items()
        if value is not None or key in REQUIRED
    }
    table.title = _text(("title",), data["title"])
    table.script = _file(table.path, "script", data["script"])
    table.hparams = _file(table.path, "hparams", data["hparams"])
    if "protocol" in data:
        table.protocol = _text(("protocol",), data["protocol"])
    table.seeds = _seeds(data["seeds"])
    if "folds" in data:
        table.fold_setting, table.folds = _folds(data["folds"])
    # Settings that no row and no override may set, and where they are set.
    taken = {"seed": "seeds", table.fold_setting: "folds"}
    if "conditions" in data:
        message = "there are folds and conditions: keep one of them"
        _need("folds" not in data, ("conditions",), message)
        table.conditions = _conditions(data["conditions"], taken)
        table.folds = list(table.conditions)
        for settings in table.conditions.values():
            taken |= dict.fromkeys(settings, "conditions")
    table.overrides = _settings(("overrides",), data.get("overrides"), taken)
    table.rows = _rows(data["rows"], taken)
    table.columns = _columns(data["columns"], texts, table)
    if "reads" in data:
        table.reads = _reads(data["reads"], table)
    _check_rows(table)
    if "about" in data:
        table.about = _about(data["about"], texts, table)
    if "stars" in data:
        table.stars = _stars(data["stars"], texts, table.rows)
    if "paper" in data:
        table.source, table.paper = _paper(data["paper"], texts, table)


def _compose(path):
    """Reads YAML as nodes: they keep line and text, and nothing is built."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read()
    except (OSError, ValueError) as failure:
        reason = getattr(failure, "strerror", None) or failure
        message = f"it cannot be read ({reason}): give a YAML file in UTF-8"
        raise _Refused((), message) from None
    try:
        return YAML(typ="safe", pure=True).compose(text)
    except YAMLError as failure:
        mark = getattr(failure, "problem_mark", None)
        problem = getattr(failure, "problem", None) or "a control character"
        place = mark.line + 1 if mark else ()
        message = (
            f"it is no YAML ({problem}): correct it, or quote what is a word"
        )
        raise _Refused(place, message) from None
    except (ValueError, OverflowError):
        message = "a \\U escape names no character: delete it"
        raise _Refused((), message) from None
    except RecursionError:
        raise _Refused(
            (), f"it is too deep: use at most {DEEPEST} levels"
        ) from None


def _value(node, place, lines, texts):
    """Turns a YAML node into a plain value; notes the lines and the texts."""
    line = node.start_mark.line + 1
    kind = str(node.tag).removeprefix(YAML_TAG)
    message = f"the tag {_short(kind)} is not for tables: give a plain value"
    _need(kind in KINDS, line, message)
    message = f"the anchor {node.anchor} is not for tables: repeat the value"
    _need(not node.anchor, line, message)
    _need(
        len(place) <= DEEPEST,
        line,
        f"it is too deep: use at most {DEEPEST} levels",
    )
    if isinstance(node, ScalarNode):
        texts[place] = node.value
        return _scalar(kind, node.value, line)
    if isinstance(node, SequenceNode):
        values = []
        for index, item in enumerate(node.value):
            lines[(*place, index)] = item.start_mark.line + 1
            values.append(_value(item, (*place, index), lines, texts))
        return values
    values = {}
    for key, item in node.value:
        line, name = key.start_mark.line + 1, key.value
        _value(key, place, {}, {})
        message = "before a colon stands no name: give words on one line"
        _need(isinstance(key, ScalarNode) and _is_line(name), line, message)
        inner = (*place, name)
        message = f"{name!r} is in line {lines.get(inner)} too: keep one"
        _need(name not in values, line, message)
        lines[inner] = line
        values[name] = _value(item, inner, lines, texts)
    return values


def _scalar(kind, text, line):
    """The value of a YAML scalar."""
    try:
        value = READ[kind](text)
    except (KeyError, ValueError):
        value = math.nan
    _need(
        not isinstance(value, float) or math.isfinite(value),
        line,
        f"{_short(text)} cannot be read as {kind}: give a finite decimal "
        "number, true or false, or a word in quotes",
    )
    return value


def _file(table_path, key, value):
    """The path of an existing file, given from the table's folder."""
    name = _text((key,), value)
    path = os.path.normpath(os.path.join(os.path.dirname(table_path), name))
    message = f"there is no file {path}: give its path from the table's folder"
    _need(os.path.isfile(path), (key,), message)
    return path


def _seeds(value):
    """The list of seeds."""
    seeds = value if isinstance(value, list) else [value]
    _need(seeds, ("seeds",), "seeds is empty: give one seed or more")
    mend = "give a whole number from 0 to 4294967295"
    for index, seed in enumerate(seeds):
        _need(
            type(seed) is int and 0 <= seed < 2**32,
            ("seeds", index),
            f"{_short(seed)} is no seed: {mend}",
        )
    _check_distinct(("seeds",), seeds)
    return seeds


def _folds(value):
    """The setting of the folds and its values."""
    one = isinstance(value, dict) and len(value) == 1
    mend = "give one setting and its values, as {held_out_session: [1, 2]}"
    _need(one, ("folds",), f"folds is {_short(value)}: {mend}")
    ((setting, folds),) = value.items()
    place = ("folds", setting)
    _need(setting != "seed", place, "folds sets 'seed': list it under seeds")
    message = f"{setting!r} is {_short(folds)}: give the list of its values"
    _need(isinstance(folds, list) and folds, place, message)
    for index, fold in enumerate(folds):
        single = is_plain(fold) and not isinstance(fold, (list, type(None)))
        message = f"{_short(fold)} is no fold: give a number or a word"
        _need(single, (*place, index), message)
    _check_distinct(place, folds)
    return setting, folds


def _conditions(value, taken):
    """Condition -> overrides of its runs."""
    conditions, first = {}, {}
    for name, entry in _mapping(("conditions",), value).items():
        place = ("conditions", name)
        conditions[name] = _settings(place, entry, taken)
        full = json.dumps(conditions[name], sort_keys=True)
        same = first.setdefault(full, name)
        mend = "give it another setting"
        message = (
            f"condition {name!r} is the same as condition {same!r}: {mend}"
        )
        _need(same == name, place, message)
    return conditions


def _settings(place, value, taken):
    """Overrides of a recipe: setting -> plain value."""
    settings = {} if value is None else value
    message = f"{place[-1]!r} is {_short(value)}: give settings, as {{lr: 0.1}}"
    _need(isinstance(settings, dict), place, message)
    for name, item in settings.items():
        message = f"{name!r} is set by {taken.get(name)}: delete it here"
        _need(name not in taken, (*place, name), message)
        mend = "give a number, a word, true, false, null or a list of such"
        message = f"{name!r} is {_short(item)}: {mend}"
        _need(is_plain(item), (*place, name), message)
    return settings


def _rows(value, taken):
    """Row -> overrides."""
    return {
        name: _settings(("rows", name), entry, taken)
        for name, entry in _mapping(("rows",), value).items()
    }


def _check_rows(table):
    """Refuses two rows that read the same of the same run."""
    groups = {}
    for name, overrides in table.rows.items():
        full = json.dumps({**table.overrides, **overrides}, sort_keys=True)
        others = groups.setdefault(full, [])
        for same in others:
            message = (
                f"row {name!r} is the same as row {same!r}: give it another "
                "setting, or under reads another part of the run"
            )
            differs = not table.same_reading(name, same)
            _need(differs, ("rows", name), message)
        others.append(name)


def _columns(value, texts, table):
    """Heading -> Column."""
    columns = {}
    for name, entry in _mapping(("columns",), value).items():
        place = ("columns", name)
        message = "'source' is a key of paper: give the column another heading"
        _need(name != "source", place, message)
        _mapping(place, entry)
        optional = (*CHOICES, "minus", "condition")
        _check_keys(place, entry, ("metric", "split"), optional)
        metric = _text((*place, "metric"), entry["metric"])
        chosen = {key: entry[key] for key in CHOICES if key in entry}
        for key, word in chosen.items():
            mend = f"give {' or '.join(CHOICES[key])}"
            message = f"{key!r} is {_short(word)}: {mend}"
            _need(word in CHOICES[key], (*place, key), message)
        pooled = chosen.get("folds") == "pooled"
        mend = "" if table.conditions else ", or give folds"
        message = f"there are no folds to pool: delete this{mend}"
        _need(table.fold_setting or not pooled, (*place, "folds"), message)
        if "condition" in entry:
            chosen["condition"] = _condition(place, texts, table.conditions)
        message = "n has no mean over conditions: give the column a condition"
        counted = table.conditions and metric == "n"
        _need("condition" in entry or not counted, place, message)
        splits = _splits((*place, "split"), entry["split"], metric)
        columns[name] = Column(name, metric, splits, **chosen)
        if "minus" in entry:
            columns[name] = _difference(place, columns[name], entry["minus"])
    return columns


def _difference(place, column, part):
    """The column whose numbers are differences from those of a part."""
    place = (*place, "minus")
    _text(place, part)
    message = f"that is {part} minus itself: give another part"
    _need(part not in column.splits, place, message)
    alone = column.metric == "n" or column.metric in LEAKAGE
    for refused, what in (
        (alone, f"{column.metric} has no difference"),
        (column.epochs == "last", "the last epochs are of one part"),
        (column.folds == "pooled", "pooled folds have no run's difference"),
    ):
        _need(not refused, place, f"{what}: delete minus")
    return dataclasses.replace(column, minus=part)


def _condition(place, texts, conditions):
    """The condition of a column."""
    place = (*place, "condition")
    message = "there are no conditions: delete this, or give conditions"
    _need(conditions, place, message)
    _check_name(place, texts.get(place), conditions, "condition")
    return texts[place]


def _splits(place, value, metric):
    """The splits of a column; a list is for the metric n alone."""
    if not isinstance(value, list):
        message = f"{metric} is of the utterances that train: write train"
        _need(metric not in LEAKAGE or value == "train", place, message)
        return (_text(place, value),)
    _need(metric == "n", place, f"{metric} is of one split: give no list")
    _need(value, place, "the list of splits is empty: give one or more")
    for split in value:
        _text(place, split)
    _check_distinct(place, value)
    return tuple(value)


def _reads(value, table):
    """Row -> {a column's split: the part that is read instead}."""
    columns = table.columns.values()
    splits = dict.fromkeys(part for column in columns for part in column.parts)
    for row, entry in _mapping(("reads",), value).items():
        _check_name(("reads", row), row, table.rows, "row")
        for split, part in _mapping(("reads", row), entry).items():
            place = ("reads", row, split)
            _check_name(place, split, splits, "column with the split")
            _text(place, part)
    return value


def _about(value, texts, table):
    """Heading -> {row: text}; a number stays as it is written."""
    about = {}
    for heading, entries in _mapping(("about",), value).items():
        place = ("about", heading)
        message = f"{heading!r} is in columns too: give another heading"
        _need(heading not in table.columns, place, message)
        about[heading] = {}
        for row in _mapping(place, entries):
            _check_name((*place, row), row, table.rows, "row")
            text = _text((*place, row), texts.get((*place, row)))
            about[heading][row] = text
    return about


def _stars(value, texts, rows):
    """Symbol -> the rows that it compares with."""
    stars = {}
    for symbol, entry in _mapping(("stars",), value).items():
        place = ("stars", symbol)
        message = f"{symbol!r} is empty: give the rows that it compares with"
        _need(entry not in (None, []), place, message)
        places = [place]
        if isinstance(entry, list):
            places = [(*place, index) for index in range(len(entry))]
        names = [texts.get(item) for item in places]
        for item, name in zip(places, names):
            _check_name(item, name, rows, "row")
        _check_distinct(place, names)
        stars[symbol] = tuple(names)
    return stars


def _paper(value, texts, table):
    """The source, and column -> {row: the number as the paper prints it}."""
    paper = {}
    _mapping(("paper",), value)
    _check_keys(("paper",), value, ["source"], table.columns)
    for column in [key for key in value if key != "source"]:
        paper[column] = {}
        for row in _mapping(("paper", column), value[column]):
            place = ("paper", column, row)
            _check_name(place, row, table.rows, "row")
            text = texts.get(place, "")
            message = f"{_short(text)} begins with no number: give it as 66.85*"
            _need(NUMBER.match(text) and _is_line(text), place, message)
            paper[column][row] = text
    return _text(("paper", "source"), value["source"]), paper


def _mapping(place, value):
    """Returns `value` if it is a mapping with something in it."""
    message = f"{place[-1]!r} is {_short(value)}: give names, each with a colon"
    _need(isinstance(value, dict) and value, place, message)
    return value


def _check_keys(place, value, required, optional):
    """Refuses unknown and missing keys."""
    for key in value:
        _check_name((*place, key), key, [*required, *optional], "key")
    what = repr(place[-1]) if place else "the table"
    for key in required:
        _need(key in value, place, f"{what} has no {key!r}: add it")


def _check_name(place, name, names, kind):
    """Refuses a name that is not among the names, and suggests one."""
    near = difflib.get_close_matches(str(name), names, 1)
    mend = f"write {near[0]}" if near else f"give one of {', '.join(names)}"
    message = f"there is no {kind} {_short(name)}: {mend}"
    _need(name in names, place, message)


def _check_distinct(place, values):
    """Refuses a list that has a value twice; 1 and "1" look the same."""
    shown = [str(value) for value in values]
    for index, value in enumerate(values):
        message = f"{_short(value)} is in the list twice: delete one"
        _need(shown[index] not in shown[:index], (*place, index), message)


def _text(place, value):
    """Returns `value` if it is text on one line."""
    mend = "give a text on one line (a number in quotes)"
    message = f"{place[-1]!r} is {_short(value)}: {mend}"
    _need(isinstance(value, str) and _is_line(value), place, message)
    return value


def _is_line(text):
    """Whether a text can be shown, on one line."""
    kinds = {unicodedata.category(character) for character in text}
    return bool(text.strip()) and not kinds & {"Cc", "Cs", "Zl", "Zp"}


def _short(value):
    """A value in words, short enough for a message."""
    text = "empty" if value in (None, "", [], {}) else repr(value)
    return text if len(text) <= 40 else f"{text[:36]} ..."
