"""Refuses what is wrong in a table file, with its place."""

import difflib
import unicodedata

from speechbrain_ser.experiment import renamed


class Refused(Exception):
    """A place in the file, or the number of a line, and what is wrong there."""


def need(true, place, message):
    """Refuses the file unless something is true."""
    if not true:
        raise Refused(place, message)


def mapping(place, value):
    """Returns `value` if it is a mapping with something in it."""
    message = f"{place[-1]!r} is {short(value)}: give names, each with a colon"
    need(isinstance(value, dict) and value, place, message)
    return value


def check_keys(place, value, required, optional):
    """Refuses unknown and missing keys."""
    for key in value:
        check_name((*place, key), key, [*required, *optional], "key")
    what = repr(place[-1]) if place else "the table"
    for key in required:
        need(key in value, place, f"{what} has no {key!r}: add it")


def check_name(place, name, names, kind):
    """Refuses a name that is not among the names, and suggests one."""
    near = difflib.get_close_matches(str(name), names, 1)
    mend = f"write {near[0]}" if near else f"give one of {', '.join(names)}"
    message = f"there is no {kind} {short(name)}: {mend}"
    need(name in names, place, message)


def check_distinct(place, values):
    """Refuses a list that has a value twice; 1 and "1" look the same."""
    shown = [str(value) for value in values]
    for index, value in enumerate(values):
        message = f"{short(value)} is in the list twice: delete one"
        need(shown[index] not in shown[:index], (*place, index), message)


def text_line(place, value):
    """Returns `value` if it is text on one line."""
    mend = "give a text on one line (a number in quotes)"
    message = f"{place[-1]!r} is {short(value)}: {mend}"
    need(isinstance(value, str) and is_line(value), place, message)
    return value


def part_name(place, value):
    """Returns `value` if it is text on one line and no part's old name."""
    text_line(place, value)
    first, *more = value.split("_", 1)
    now = renamed.new_name(renamed.PARTS, first)
    new = "_".join([str(now), *more])
    need(now is None, place, f"{value} is now called {new}: write {new}")
    return value


def is_line(text):
    """Whether a text can be shown, on one line."""
    kinds = {unicodedata.category(character) for character in text}
    return bool(text.strip()) and not kinds & {"Cc", "Cs", "Zl", "Zp"}


def short(value):
    """A value in words, short enough for a message."""
    text = "empty" if value in (None, "", [], {}) else repr(value)
    return text if len(text) <= 40 else f"{text[:36]} ..."
