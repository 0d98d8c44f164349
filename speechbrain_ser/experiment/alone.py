"""One object of a hparams file, built without the others: to plan a run."""

import functools
import inspect
import io
import pydoc

from hyperpyyaml import load_hyperpyyaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from speechbrain_ser.experiment.hparams import (
    is_plain,
    is_plain_in,
    nodes,
    plain,
    resolved,
    tag_of,
    text_of,
)
from speechbrain_ser.utils.errors import InputError


def load_alone(path, overrides, name, plain_alone=False):
    """Builds one object of a hparams file, and what it refers to, alone.

    Arguments
    ---------
    path : str
    overrides : str
        YAML.
    name : str
        The object's key.
    plain_alone : bool
        Whether its arguments that are objects are left out.

    Returns
    -------
    object

    Raises
    ------
    InputError
        If the file has no such key.
    """
    found = nodes(path, overrides)
    if name not in found or not tag_of(found[name]):
        raise InputError(
            f"{path} has no {name} that is made of a class: give a hparams "
            "file of this recipe, as they are made now"
        )
    return built(text_of(path), overrides, name, plain_alone)


@functools.lru_cache(maxsize=256)
def built(text, overrides, name, plain_alone):
    """Builds one object of a hparams file's text, see `load_alone`."""
    found = resolved(text, overrides)[name]
    node = CommentedMap(
        (argument, value)
        for argument, value in found.items()
        if not plain_alone or is_plain_in(value)
    )
    node.yaml_set_ctag(found.tag)
    try:
        return made(node, {})
    except InputError:
        raise
    except Exception:  # that HyperPyYAML builds it, or says what is wrong
        alone = io.StringIO()
        YAML(typ="rt").dump({name: node}, alone)
        return load_hyperpyyaml(alone.getvalue())[name]


def made(node, held):
    """Builds what a node says whose references are replaced.

    As HyperPyYAML does, which reads and writes the text again and again.

    Arguments
    ---------
    node : object
        With no tags but ``!new:`` and ``!name:``.
    held : dict
        What was built before, by its node's id: an alias stays one.

    Returns
    -------
    object

    Raises
    ------
    ValueError
        If it is none that is built here.
    """
    if id(node) not in held:
        held[id(node)] = made_anew(node, held)
    return held[id(node)]


def made_anew(node, held):
    """Builds what a node says, see `made`."""
    args, kwargs = [], {}
    if isinstance(node, dict):
        kwargs = {name: made(value, held) for name, value in node.items()}
    elif isinstance(node, list):
        args = [made(value, held) for value in node]
    tag = tag_of(node)
    if tag is None and isinstance(node, (dict, list)):
        return kwargs if isinstance(node, dict) else args
    if tag is None:
        if not is_plain(node) or str(node).startswith("("):  # a tuple
            raise ValueError(node)
        return plain(node)
    kind, _, word = tag.partition(":")
    what = pydoc.locate(word)
    if kind == "!new" and inspect.isclass(what):
        return what(*args, **kwargs)
    if kind != "!name" or not callable(what):
        raise ValueError(tag)
    return functools.partial(what, *args, **kwargs) if args or kwargs else what
