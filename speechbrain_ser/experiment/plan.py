"""What decides a run's result, known before anything is trained."""

import ast
import collections
import dataclasses
import functools
import hashlib
import json
import os
import re

from ruamel.yaml import YAML
from speechbrain.utils.distributed import run_on_main
from speechbrain.utils.run_opts import RunOptions

import speechbrain_ser
from speechbrain_ser.corpora.protocols.splits import split_fingerprint
from speechbrain_ser.experiment import recipe
from speechbrain_ser.utils.checkpoints import claim_folder
from speechbrain_ser.utils.distributed import world_size

# Modules that change no number of a result, or none without another split.
UNCOUNTED = (
    "corpora/protocols/named.py",
    "corpora/protocols/splits.py",
    "utils/errors.py",
    "utils/files.py",
    "experiment/plan.py",
    "figures/plots.py",
    "experiment/recipe.py",
    "table/",
)
# SpeechBrain's run options that change a result.
DECISIVE_OPTIONS = (
    "debug",
    "precision",
    "eval_precision",
    "auto_mix_prec",
    "bfloat16_mix_prec",
    "max_grad_norm",
    "skip_nonfinite_grads",
    "grad_accumulation_factor",
    "optimizer_step_limit",
    "remove_vector_weight_decay",
)
# Facts that must not change when a run goes on, see `checkpoints.claim_folder`.
CLAIMED = ("split_sha256", "code", "run_options", "processes", "files")


@dataclasses.dataclass
class Plan:
    """A run that a recipe is about to make.

    Attributes
    ----------
    script : str
        The recipe's file.
    path : str
        The hparams file.
    overrides : str
        YAML.
    settings : dict
        The plain settings that both give, see `recipe.peek`.
    parts : dict
        Part, as the report names it, to annotation; those that train as they
        are given to the training. They may be shared with other plans.
    protocol : str
        The name of the protocol, see `corpora.named_protocols`.
    more_parts : tuple of str
        Names of parts that the report adds to `parts`, of the same utterances
        as `evaluation`.
    files : dict
        Setting to path of a file, whose content counts.
    """

    script: str
    path: str
    overrides: str
    settings: dict
    parts: dict
    protocol: str
    more_parts: tuple = ()
    files: dict = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def split(self):
        """SHA-256 of the split: ids and labels, not paths."""
        return split_fingerprint(self.parts)

    def content(self, run_opts, processes=None):
        """Returns all that decides the result, as plain values.

        Arguments
        ---------
        run_opts : RunOptions
        processes : int, optional
            That train together; default: those of this process group.

        Returns
        -------
        dict
        """
        default = RunOptions()
        return {
            "hparams": hparams_content(
                self.path, self.overrides, self.settings
            ),
            "split": self.split,
            "protocol": self.protocol,
            "code": code_version(self.script, self.path),
            "run_options": {
                name: run_opts[name]
                for name in DECISIVE_OPTIONS
                if run_opts[name] != default[name]
            },
            "processes": processes or world_size(),
            "files": {
                name: file_digest(path)
                for name, path in self.files.items()
                if path is not None
            },
        }

    def key(self, run_opts, processes=None):
        """Returns the SHA-256 of `content`: runs of one key are one run."""
        return digest(self.content(run_opts, processes))

    def facts(self, run_opts):
        """Returns what every ``metrics.json`` says of its run."""
        content = self.content(run_opts)
        by_part = {
            "parts_sha256": {
                name: split_fingerprint({name: part})
                for name, part in self.parts.items()
            },
            "sizes": {name: len(part) for name, part in self.parts.items()},
            "counts": {
                name: class_counts(part, self.settings["labels"])
                for name, part in self.parts.items()
            },
        }
        for name in self.more_parts:
            for facts in by_part.values():
                facts[name] = facts["evaluation"]
        return {
            "run": digest(content),
            "corpus": self.settings["corpus"],
            "protocol": self.protocol,
            "split_sha256": self.split,
            **by_part,
            "labels": self.settings["labels"],
            "seed": self.settings["seed"],
            "hparams": os.path.basename(self.path),
            "overrides": self.changes(),
            "run_options": content["run_options"],
            "processes": content["processes"],
            "files": content["files"],
            "code": content["code"],
            "versions": recipe.versions(),
        }

    def claimed(self, run_opts):
        """Returns the settings and facts that a run's folder is bound to."""
        facts = self.facts(run_opts)
        claimed = {name: facts[name] for name in CLAIMED}
        return recipe.lasting(self.settings) | claimed

    def claim(self, folder, run_opts):
        """Binds the run's folder to this plan.

        Arguments
        ---------
        folder : str
            The run's ``output_folder``.
        run_opts : RunOptions

        Returns
        -------
        dict
            See `facts`.

        Raises
        ------
        InputError
            If the folder holds another run.
        """
        if not run_opts.debug:
            run_on_main(claim_folder, args=[folder, self.claimed(run_opts)])
        return self.facts(run_opts)

    def changes(self):
        """Returns the settings that are not as the hparams file has them."""
        before = recipe.peek(self.path, "")
        return {
            name: value
            for name, value in recipe.lasting(self.settings).items()
            if name not in before or value != before[name]
        }


def class_counts(annotation, labels):
    """Counts the utterances of each class.

    Example
    -------
    >>> class_counts({"a": {"emotion": "sad"}}, ["ang", "sad"])
    {'ang': 0, 'sad': 1}
    """
    found = collections.Counter(e.get("emotion") for e in annotation.values())
    return {word: found[word] for word in labels}


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


def hparams_content(path, overrides, settings):
    """Reads a hparams file with overrides as plain values, objects included.

    What changes no result (`recipe.FREE_SETTINGS`, the annotations' paths) is
    nulled, also where an object refers to it.

    Arguments
    ---------
    path : str
    overrides : str
        YAML.
    settings : dict
        Those that both give.

    Returns
    -------
    dict
    """
    free = dict.fromkeys(set(settings) - set(recipe.lasting(settings)))
    text = recipe.resolved(path, recipe.with_overrides(overrides, **free))
    return without_tags(YAML(typ="rt").load(text))


def without_tags(node):
    """Turns a YAML node into plain values; a tag becomes a key or a word."""
    tag = getattr(getattr(node, "tag", None), "value", None)
    if isinstance(node, dict):
        value = {str(name): without_tags(item) for name, item in node.items()}
    elif isinstance(node, list):
        value = [without_tags(item) for item in node]
    else:
        value = recipe.plain(getattr(node, "value", node))
    if tag and tag.startswith("!"):
        return {tag: value}
    return value


def code_version(script, hparams):
    """Names the code that a recipe runs.

    Arguments
    ---------
    script : str
        The recipe's file.
    hparams : str
        Whose classes count as imported.

    Returns
    -------
    str
        SHA-256 over the script and all modules of this package that it, or the
        hparams file, imports, directly or not. Comments, docstrings, formatting
        and the modules of `UNCOUNTED` don't count.
    """
    with open(hparams, encoding="utf-8") as file:
        named = re.findall(r"speechbrain_ser(?:\.\w+)+", file.read())
    todo = [path for name in named for path in module_files(name)]
    seen, codes = set(), [program(script)[0]]
    todo += program(script)[1]
    while todo:
        path = todo.pop()
        if path not in seen:
            seen.add(path)
            code, imported = program(path)
            codes.append(code)
            todo += imported
    return digest([codes[0], *sorted(codes[1:])])


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
            if not relative.startswith(UNCOUNTED) and os.path.isfile(path):
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
