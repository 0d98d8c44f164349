"""Reads YAML as plain values that keep their lines and their text."""

import math

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import ScalarNode, SequenceNode

from speechbrain_ser.experiment.renamed import new_table
from speechbrain_ser.table.refusals import Refused, is_line, need, short

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


def compose(path):
    """Reads YAML as nodes: they keep line and text, and nothing is built."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read()
    except (OSError, ValueError) as failure:
        reason = getattr(failure, "strerror", None) or failure
        moved = new_table(path)
        mend = f"give {moved}" if moved else "give a YAML file in UTF-8"
        message = f"it cannot be read ({reason}): {mend}"
        raise Refused((), message) from None
    try:
        return YAML(typ="safe", pure=True).compose(text)
    except YAMLError as failure:
        mark = getattr(failure, "problem_mark", None)
        problem = getattr(failure, "problem", None) or "a control character"
        place = mark.line + 1 if mark else ()
        message = (
            f"it is no YAML ({problem}): correct it, or quote what is a word"
        )
        raise Refused(place, message) from None
    except (ValueError, OverflowError):
        message = "a \\U escape names no character: delete it"
        raise Refused((), message) from None
    except RecursionError:
        raise Refused(
            (), f"it is too deep: use at most {DEEPEST} levels"
        ) from None


def value_of(node, place, lines, texts):
    """Turns a YAML node into a plain value; notes the lines and the texts."""
    line = node.start_mark.line + 1
    kind = str(node.tag).removeprefix(YAML_TAG)
    message = f"the tag {short(kind)} is not for tables: give a plain value"
    need(kind in KINDS, line, message)
    message = f"the anchor {node.anchor} is not for tables: repeat the value"
    need(not node.anchor, line, message)
    need(
        len(place) <= DEEPEST,
        line,
        f"it is too deep: use at most {DEEPEST} levels",
    )
    if isinstance(node, ScalarNode):
        texts[place] = node.value
        return scalar(kind, node.value, line)
    if isinstance(node, SequenceNode):
        values = []
        for index, item in enumerate(node.value):
            lines[(*place, index)] = item.start_mark.line + 1
            values.append(value_of(item, (*place, index), lines, texts))
        return values
    values = {}
    for key, item in node.value:
        line, name = key.start_mark.line + 1, key.value
        value_of(key, place, {}, {})
        message = "before a colon stands no name: give words on one line"
        need(isinstance(key, ScalarNode) and is_line(name), line, message)
        inner = (*place, name)
        message = f"{name!r} is in line {lines.get(inner)} too: keep one"
        need(name not in values, line, message)
        lines[inner] = line
        values[name] = value_of(item, inner, lines, texts)
    return values


def scalar(kind, text, line):
    """The value of a YAML scalar."""
    try:
        value = READ[kind](text)
    except (KeyError, ValueError):
        value = math.nan
    need(
        not isinstance(value, float) or math.isfinite(value),
        line,
        f"{short(text)} cannot be read as {kind}: give a finite decimal "
        "number, true or false, or a word in quotes",
    )
    return value
