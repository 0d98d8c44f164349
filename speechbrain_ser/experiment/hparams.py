"""HyperPyYAML files: their settings, before and after objects are built.

Reading YAML is slow, and a table plans hundreds of runs of one file: what was
read is kept, by its text, and never changed.
"""

import functools
import json
import os
from difflib import get_close_matches

from hyperpyyaml import load_hyperpyyaml
from hyperpyyaml.core import _walk_tree_and_resolve, recursive_update
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError

from speechbrain_ser.experiment import renamed
from speechbrain_ser.utils.errors import InputError


class Settings(dict):
    """The plain settings of a hparams file.

    Arguments
    ---------
    path : str
        The file.
    values : dict

    Example
    -------
    >>> Settings("a.yaml", {"seed": 1})["lr"]
    Traceback (most recent call last):
    speechbrain_ser.utils.errors.InputError: a.yaml has no setting lr: ...
    """

    def __init__(self, path, values):
        super().__init__(values)
        self.path = path

    def __missing__(self, name):
        """Says which file lacks which setting."""
        raise InputError(
            f"{self.path} has no setting {name}: give a hparams file of this "
            "recipe"
        )


def peek(path, overrides):
    """Reads a hparams file's settings without building its objects.

    Arguments
    ---------
    path : str
    overrides : str
        YAML, as SpeechBrain's ``parse_arguments`` gives it.

    Returns
    -------
    dict
        Setting to plain value; objects and their parts are left out.

    Raises
    ------
    InputError
        If an override names no setting of the file.
    """
    return Settings(
        path,
        {
            name: plain(value)
            for name, value in nodes(path, overrides).items()
            if is_plain(value)
        },
    )


def written(path):
    """Reads a hparams file as YAML nodes, its references as they stand."""
    try:
        return parsed(text_of(path))
    except YAMLError as failure:
        reason = getattr(failure, "problem", None) or failure
        raise InputError(
            f"{path} is no YAML that can be read ({reason}): correct it"
        ) from None


def text_of(path):
    """Reads a file as text."""
    with open(path, encoding="utf-8") as file:
        return file.read()


@functools.lru_cache(maxsize=256)
def parsed(text):
    """Reads YAML text as nodes that keep their tags; not to be changed."""
    return YAML(typ="rt").load(text)


def nodes(path, overrides):
    """Reads a hparams file as YAML nodes, its references replaced.

    Arguments
    ---------
    path : str
    overrides : str
        YAML.

    Returns
    -------
    dict
        Not to be changed.

    Raises
    ------
    InputError
        If an override names no setting of the file.
    """
    try:
        return resolved(text_of(path), overrides)
    except KeyError as failure:
        raise InputError(
            unknown_setting(path, overrides)
            or f"{path} has no setting for {failure}"
        ) from None
    except (YAMLError, TypeError) as failure:
        reason = getattr(failure, "problem", None) or failure
        raise InputError(
            f"{path} and the settings on the command line do not make one YAML "
            f"file ({reason}): give each setting once, as --name value"
        ) from None


@functools.lru_cache(maxsize=256)
def resolved(text, overrides):
    """Replaces the references of a hparams file's text.

    As `hyperpyyaml.resolve_references` does, which reads the text anew, writes
    another, and so takes ten times as long.
    """
    root = copied(parsed(text), {})
    if overrides:
        recursive_update(root, given_in(overrides), must_match=True)
    _walk_tree_and_resolve("root", root, root, None)
    return root


def given_in(overrides):
    """Reads YAML overrides as nodes, quickly where `with_overrides` wrote them."""
    lines = [line.partition(": ") for line in overrides.splitlines()]
    try:
        found = {
            name: json.loads(value, parse_constant=int)  # NaN is a word here
            for name, _, value in lines
        }
    except ValueError:
        return copied(parsed(overrides), {})
    quick = len(found) == len(lines) and all(map(str.isidentifier, found))
    return found if quick else copied(parsed(overrides), {})


def copied(node, made):
    """Copies YAML mappings and lists with their tags; without comments.

    ``copy.deepcopy`` takes ten times as long.

    Arguments
    ---------
    node : object
    made : dict
        What was copied before, by its id: an alias stays one.

    Returns
    -------
    object
    """
    if id(node) in made:
        return made[id(node)]
    if isinstance(node, dict):
        copy = CommentedMap(
            (name, copied(value, made)) for name, value in node.items()
        )
    elif isinstance(node, list):
        copy = CommentedSeq(copied(value, made) for value in node)
    else:
        return node
    if tag_of(node):
        copy.yaml_set_ctag(node.tag)
    made[id(node)] = copy
    return copy


def unknown_setting(path, overrides):
    """Returns a sentence about an override that a hparams file does not have.

    Arguments
    ---------
    path : str
    overrides : str
        YAML.

    Returns
    -------
    str or None
        None if it has them all.
    """
    known = list(written(path))
    for name in read_overrides(overrides):
        if name not in known:
            now = renamed.SETTINGS.get(name)
            near = [now] if now in known else get_close_matches(name, known, 1)
            mend = "see the file"
            if now in known:
                mend = f"it is called --{now} now"
            elif near:
                mend = f"did you mean --{near[0]}?"
            return f"{path} has no setting {name}: {mend}"
    return None


def tag_of(node):
    """Returns a node's tag, such as ``!ref``; None if it has none."""
    tag = getattr(getattr(node, "tag", None), "value", None)
    return tag if tag and tag.startswith("!") else None


def is_plain(value):
    """Whether a YAML value is a number, a word, null, or a list of such."""
    if tag_of(value):
        return False
    if isinstance(value, list):
        return all(is_plain(item) for item in value)
    return isinstance(value, (str, int, float, bool, type(None)))


def plain(value):
    """Turns what the YAML reader returns into Python's own types."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


def load(path, overrides):
    """Builds the objects of a hparams file."""
    with open(path, encoding="utf-8") as file:
        return load_hyperpyyaml(file, overrides)


def is_plain_in(value):
    """Whether a YAML value is plain, or a mapping of such."""
    if isinstance(value, dict) and not tag_of(value):
        return all(is_plain(item) for item in value.values())
    return is_plain(value)


def with_overrides(overrides, **more):
    """Adds settings to YAML overrides, or replaces those that are there.

    Example
    -------
    >>> with_overrides("seed: 3", data_folder="somewhere")
    'seed: 3\\ndata_folder: "somewhere"'
    """
    kept = [
        line
        for line in overrides.splitlines()
        if line.split(":")[0] not in more
    ]
    added = [f"{name}: {json.dumps(value)}" for name, value in more.items()]
    return "\n".join(kept + added)


def with_options(path, run_opts, overrides):
    """Makes settings of the run options on the command line that are keys.

    SpeechBrain takes ``--max_grad_norm 1`` for itself, whatever the hparams file
    says; so that a run is known by one value, the file's key is set to it.

    Arguments
    ---------
    path : str
        The hparams file.
    run_opts : RunOptions
    overrides : str
        YAML.

    Returns
    -------
    str
        YAML.
    """
    given = sorted(run_opts.overridden_args.intersection(written(path)))
    return with_overrides(overrides, **{name: run_opts[name] for name in given})


def read_overrides(overrides):
    """Reads YAML overrides as plain values.

    Raises
    ------
    InputError
        If they are no settings.

    Example
    -------
    >>> read_overrides("seed: 3\\nlabels: [ang, sad]\\ndata_folder: null")
    {'seed': 3, 'labels': ['ang', 'sad'], 'data_folder': None}
    """
    try:
        loaded = YAML(typ="rt").load(overrides) or {}
    except YAMLError:
        loaded = overrides
    if not isinstance(loaded, dict):
        raise InputError(
            f"the command line's {overrides!r} is no setting: give each as "
            "--name value"
        )
    return {name: plain(value) for name, value in loaded.items()}


def find_hparams(path, script):
    """Returns the path of a hparams file, from here or from beside the script.

    Arguments
    ---------
    path : str
    script : str

    Returns
    -------
    str

    Raises
    ------
    InputError
        If it is in neither place.
    """
    beside = os.path.join(os.path.dirname(os.path.abspath(script)), path)
    for candidate in (path, beside):
        if os.path.isfile(candidate):
            return candidate
    raise InputError(
        f"there is no hparams file {path}, neither here nor at {beside}"
    )
