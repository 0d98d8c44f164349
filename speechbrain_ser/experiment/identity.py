"""What a result depends on: code, settings and library versions, as digests.

Two of them: ``run`` is whatever is executed until weights and predictions exist,
``report`` what is made of them. A changed picture leaves every finished run valid.
"""

import ast
import functools
import hashlib
import json
import os
import re
from importlib import metadata

import speechbrain_ser
from speechbrain_ser.experiment.declarations import counts
from speechbrain_ser.experiment.hparams import nodes, plain, with_overrides
from speechbrain_ser.utils.settings import RUN

# What is made of weights and predictions.
REPORTS = ("evaluation/", "figures/")
# What is over before anything is trained, or only looks at what was.
UNCOUNTED = (
    "_torch_pair.py",
    "corpora/protocols/content.py",
    "corpora/protocols/named.py",
    "experiment/alone.py",
    "experiment/declarations.py",
    "experiment/command_line.py",
    "experiment/evaluate.py",
    "experiment/experiment.py",
    "experiment/frame.py",
    "experiment/help.py",
    "experiment/hparams.py",
    "experiment/identity.py",
    "experiment/plan.py",
    "experiment/reading.py",
    "experiment/renamed.py",
    "experiment/run_folder.py",
    "inference/",
    "table/",
    "utils/errors.py",
    "utils/logger.py",
)
# Libraries whose minor versions a result depends on.
DECISIVE = ("torch", "torchaudio", "speechbrain", "transformers")


@functools.lru_cache(maxsize=1)
def library_versions():
    """Returns the major and minor versions of the decisive libraries."""
    return {
        name: ".".join(metadata.version(name).split(".")[:2])
        for name in DECISIVE
    }


def digest(value):
    """Returns the SHA-256 of a plain value, whatever the order of its keys.

    Example
    -------
    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path):
    """Returns the SHA-256 of a file.

    Example
    -------
    >>> path = getfixture("tmp_path") / "a"
    >>> _ = path.write_bytes(b"a")
    >>> file_digest(path)[:8]
    'ca978112'
    """
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def hparams_content(path, overrides, settings, kinds=(RUN,)):
    """Reads a hparams file with overrides as plain values, objects included.

    Settings that count for nothing that is asked for are nulled, also where an
    object refers to them.

    Arguments
    ---------
    path : str
    overrides : str
        YAML.
    settings : dict
        Those that both give.
    kinds : tuple of str
        What the settings may count for, see `utils.settings`.

    Returns
    -------
    dict
    """
    own = counts(path, settings)
    free = [name for name in settings if own[name] not in kinds]
    nulled = with_overrides(overrides, **dict.fromkeys(free))
    return without_tags(nodes(path, nulled))


def counted(path, settings, kinds=(RUN,)):
    """Returns the settings that change a result.

    Arguments
    ---------
    path : str
        The hparams file.
    settings : dict
        Of it.
    kinds : tuple of str

    Returns
    -------
    dict
    """
    own = counts(path, settings)
    return {k: v for k, v in settings.items() if own[k] in kinds}


def without_tags(node):
    """Turns a YAML node into plain values; a tag becomes a key or a word."""
    tag = getattr(getattr(node, "tag", None), "value", None)
    if isinstance(node, dict):
        value = {str(name): without_tags(item) for name, item in node.items()}
    elif isinstance(node, list):
        value = [without_tags(item) for item in node]
    else:
        value = plain(getattr(node, "value", node))
    if tag and tag.startswith("!"):
        return {tag: value}
    return value


def code_version(script, hparams, report=False):
    """Names the code that a recipe runs.

    Arguments
    ---------
    script : str
        The recipe's file.
    hparams : str
        Whose classes count as imported.
    report : bool
        Whether that of the report, or that of training and prediction.

    Returns
    -------
    str
        SHA-256 over the script and the modules of this package that it, or the
        hparams file, imports, directly or not. Comments, docstrings, formatting
        and the modules of `UNCOUNTED` don't count.
    """
    code, imported = program(script)
    first = (*named_files(hparams), *imported)
    return digest_of(first, report, code)


@functools.lru_cache(maxsize=64)
def digest_of(first, report, code):
    """Does what `code_version` says; once in a process, as `program` is read."""
    codes = [program(path)[0] for path in files_of(first, report)]
    return digest(sorted(codes) + ([] if report else [code]))


def code_files(script, hparams, report=False):
    """Lists the files of `code_version`, without the script.

    Arguments
    ---------
    script, hparams : str
    report : bool

    Returns
    -------
    set of str
    """
    return files_of((*named_files(hparams), *program(script)[1]), report)


def files_of(first, report):
    """Lists the files that some files lead to and that count."""
    runs = reached(first, avoided=REPORTS)
    if not report:
        return {path for path in runs if not is_in(path, UNCOUNTED)}
    every = reached(first) - runs
    return {path for path in every if not is_in(path, UNCOUNTED)}


def named_files(hparams):
    """Lists the files of what a hparams file names."""
    with open(hparams, encoding="utf-8") as file:
        named = re.findall(r"speechbrain_ser(?:\.\w+)+", file.read())
    return [path for name in named for path in module_files(name)]


def reached(first, avoided=()):
    """Returns the files that some files lead to by their imports.

    Arguments
    ---------
    first : iterable of str
    avoided : tuple of str
        Rooms that are not entered.

    Returns
    -------
    set of str
    """
    todo, seen = list(first), set()
    while todo:
        path = todo.pop()
        if path not in seen and not is_in(path, avoided):
            seen.add(path)
            todo += program(path)[1]
    return seen


def is_in(path, places):
    """Whether a file of this package is, or is in, one of some places."""
    home = os.path.dirname(speechbrain_ser.__file__)
    relative = os.path.relpath(path, home).replace(os.sep, "/")
    return bool(places) and relative.startswith(places)


def module_files(name):
    """Returns the files that importing a dotted name of this package runs.

    Example
    -------
    >>> files = module_files("speechbrain_ser.losses.PrototypeContrastiveLoss")
    >>> [os.path.basename(path) for path in files]
    ['losses.py']
    """
    package, *parts = name.split(".")
    if package != "speechbrain_ser":
        return []
    home = os.path.dirname(speechbrain_ser.__file__)
    found = []
    for depth in range(1, len(parts) + 1):
        module = "/".join(parts[:depth])
        for relative in (f"{module}.py", f"{module}/__init__.py"):
            path = os.path.join(home, relative)
            if os.path.isfile(path):
                found.append(path)
    return found


@functools.lru_cache(maxsize=None)
def program(path):
    """Reads a Python file; once in a process, as an import does.

    Arguments
    ---------
    path : str

    Returns
    -------
    code : str
        What it does, without comments, docstrings and formatting.
    imported : list of str
        The files of this package that it imports.
    """
    with open(path, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    imported = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        imported += [file for name in names for file in module_files(name)]
    return json.dumps(outline(tree)), imported


def outline(node):
    """Turns a syntax tree into lists; the same in every Python version.

    ``ast.dump`` and ``ast.unparse`` are not.
    """
    if isinstance(node, ast.AST):
        fields = dict(ast.iter_fields(node))
        body = fields.get("body")
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
        if isinstance(node, documented) and ast.get_docstring(node, False):
            fields["body"] = body[1:]
        parts = [
            [name, outline(value)]
            for name, value in sorted(fields.items())
            if value is not None and value != [] and name != "kind"
        ]
        return [type(node).__name__, parts]
    if isinstance(node, list):
        return [outline(item) for item in node]
    return repr(node)
