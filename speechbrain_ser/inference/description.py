"""A model in plain words: from the YAML of a run, and back to objects.

A description is JSON: ``{"call": name, "with": {argument: value}}`` makes an
object, ``{"partial": name, ...}`` what makes one later; ``args`` are arguments
without names. A value is plain, a list of values, or a description. Names are
those of `allowed.CALLS` alone.
"""

import functools
import io
import math

from speechbrain_ser.inference.allowed import (
    CALLS,
    MOST,
    PLACES,
    PRE_TRAINED,
    called,
)
from speechbrain_ser.inference.plain_json import shown
from speechbrain_ser.utils.errors import InputError

DEEPEST = 20
LARGEST = 200_000  # of a whole number in a description; a rate is one
LONGEST = 1000  # of a list in it
# What objects raise that are not made, or used, as they must be.
FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
PARTS = {"call", "partial", "with", "args"}


def describe(node):
    """Describes what a node of a hparams file makes.

    Arguments
    ---------
    node : object
        Of ``experiment.hparams.nodes``; or a description, which stays.

    Returns
    -------
    object
        Plain, as JSON has it.

    Raises
    ------
    InputError
        If it calls what a model folder may not hold.
    """
    from speechbrain_ser.experiment.hparams import plain, tag_of

    if isinstance(node, tuple):  # and further arguments
        node, more = node
        told = describe(node)
        return {"call": told["partial"], "with": told.get("with", {}) | more}
    tag = tag_of(node)
    if tag is None:
        if isinstance(node, dict):
            return dict(node)
        if isinstance(node, list):
            return [describe(item) for item in node]
        return plain(node)
    how, _, name = tag[1:].partition(":")
    if name not in CALLS:
        return evaluated(node, name)
    told = {"partial" if how == "name" else "call": name}
    if isinstance(node, dict) and node:
        told["with"] = {
            argument: describe(value)
            for argument, value in node.items()
            if name not in PRE_TRAINED or argument not in PLACES
        }
    elif isinstance(node, list) and node:
        told["args"] = [describe(item) for item in node]
    return told


def evaluated(node, name):
    """Calls what is no part of a model; a plain value stands in for it.

    Arguments
    ---------
    node : object
    name : str
        What it calls.
    """
    from hyperpyyaml import load_hyperpyyaml
    from ruamel.yaml import YAML

    text = io.StringIO()
    YAML(typ="rt").dump({"value": node}, text)
    value = load_hyperpyyaml(text.getvalue())["value"]
    if not isinstance(value, (str, int, float, bool, type(None))):
        raise InputError(
            f"the run's model has a {name}, which a model folder can't hold "
            "(inference/allowed.py lists what it can): label with the run "
            "itself, EmotionRecognizer.from_run"
        )
    return value


def build(told, source=None, depth=0):
    """Makes what a description says.

    Arguments
    ---------
    told : object
    source : dict, optional
        ``source`` and ``save_path`` of the pre-trained encoder.
    depth : int

    Returns
    -------
    object

    Raises
    ------
    InputError
        If it names what is not allowed, or can't be made.

    Example
    -------
    >>> build({"call": "torch.nn.Dropout", "with": {"p": 0.5}})
    Dropout(p=0.5, inplace=False)
    >>> build({"call": "os.system", "args": ["true"]})
    Traceback (most recent call last):
    speechbrain_ser.utils.errors.InputError: it calls os.system, which ...
    """
    if depth > DEEPEST:
        raise InputError("it is nested too deep")
    if isinstance(told, list):
        if len(told) > LONGEST:
            raise InputError(f"it has a list of {len(told)}")
        return [build(item, source, depth + 1) for item in told]
    if not isinstance(told, dict):
        return checked_value(told)
    names = [told[how] for how in ("call", "partial") if how in told]
    if len(names) != 1 or set(told) - PARTS or not isinstance(names[0], str):
        raise InputError(
            f"it has {shown(told)} where a call belongs: call or partial, "
            "with, args"
        )
    name = names[0]
    if name not in CALLS:
        raise InputError(f"it calls {shown(name)}, which no model folder may")
    named, unnamed = told.get("with", {}), told.get("args", [])
    if not isinstance(named, dict) or not isinstance(unnamed, list):
        raise InputError(f"the arguments of {name} are none")
    named = {k: build(v, source, depth + 1) for k, v in named.items()}
    check_most(named)
    unnamed = [build(value, source, depth + 1) for value in unnamed]
    if name in PRE_TRAINED:
        named = {k: v for k, v in named.items() if k not in PLACES}
        named |= source or {}
    maker = called(name)
    if "partial" in told:
        return functools.partial(maker, *unnamed, **named)
    return made(name, maker, unnamed, named)


def check_most(named):
    """Refuses arguments above `allowed.MOST`."""
    for argument, most in MOST.items():
        value = named.get(argument)
        if isinstance(value, (int, float)) and value > most:
            raise InputError(
                f"{argument} is {value:g}, and no model's is above {most}"
            )


def made(name, maker, unnamed, named):
    """Calls, and says in a sentence what fails."""
    try:
        return maker(*unnamed, **named)
    except InputError:
        raise
    except FAILURES as failure:
        raise InputError(
            f"{name} can't be made ({in_short(failure)})"
        ) from None


def in_short(failure):
    """Returns what an error says, in one line."""
    text = " ".join(str(failure).split())
    return shown(text, 200) or type(failure).__name__


def checked_value(value):
    """Refuses what is no plain value, and numbers that no model has."""
    if isinstance(value, (str, bool, type(None))):
        return value
    whole = isinstance(value, int) and abs(value) <= LARGEST
    if not (whole or isinstance(value, float) and math.isfinite(value)):
        raise InputError(f"the number {shown(value, 40)} is no model's")
    return value
