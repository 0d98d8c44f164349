"""What a hparams file's objects declare of their settings.

An argument's declaration (`utils.settings`) says what it may be and what it
counts for; a hparams file says which of its settings is whose argument.
"""

import functools
import importlib
import inspect
import logging

from speechbrain_ser.experiment import renamed
from speechbrain_ser.experiment.hparams import (
    is_plain,
    nodes,
    plain,
    tag_of,
    text_of,
    written,
)
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import (
    NOTHING,
    REPORT,
    RUN,
    Number,
    Values,
    Whole,
    check_values,
    declared,
)

RATES = {"lr": Number(above=0), "weight_decay": Number(0)}
# SpeechBrain's run options by which nothing, or the wrong way, would be trained.
OPTIONS = {
    "grad_accumulation_factor": Whole(1),
    "max_grad_norm": Number(above=0),
    "nonfinite_patience": Whole(0),
    "optimizer_step_limit": Whole(1, optional=True),
}
# What arguments of libraries may be: they declare nothing themselves.
LIBRARIES = {
    "speechbrain.utils.epoch_loop.EpochCounter": {"limit": Whole(1)},
    "torch.nn.Dropout": {"p": Number(0, below=1)},
    "torch.optim.Adam": RATES,
    "torch.optim.AdamW": RATES,
    "torch.optim.SGD": RATES,
}
KINDS = ("!new:", "!name:", "!apply:")
ORDER = (NOTHING, REPORT, RUN)
# Objects without which a run keeps nothing that it could report.
NEEDED = ("checkpointer", "epoch_counter")
# SpeechBrain's run options that a hparams file may hold and that change nothing.
FREE_OPTIONS = ("ckpt_interval_minutes", "ckpt_interval_steps")


def named(path, tag):
    """Returns the function or class that a tag names; None if not of ours.

    Arguments
    ---------
    path : str
        The hparams file, for the error.
    tag : str or None

    Returns
    -------
    callable or None

    Raises
    ------
    InputError
        If this package has no such thing.
    """
    kind = next((k for k in KINDS if tag and tag.startswith(k)), None)
    if kind is None:
        return None
    package, _, place = tag.removeprefix(kind).partition(".")
    if package != "speechbrain_ser":
        return None
    module, _, name = place.rpartition(".")
    try:
        found = importlib.import_module(f"{package}.{module}")
        return getattr(found, name)
    except (ImportError, AttributeError):
        now = renamed.new_name(renamed.MODULES, place)
        mend = f"it is called {package}.{now} now" if now else "correct it"
        raise InputError(
            f"{path} names {package}.{place}, which there is not: {mend}"
        ) from None


def walk(node):
    """Yields a YAML node and all below it."""
    yield node
    below = ()
    if isinstance(node, dict):
        below = node.values()
    elif isinstance(node, list):
        below = node
    for item in below:
        yield from walk(item)


def arguments_of(function, node, names=()):
    """Returns the arguments that a YAML node gives to a function, as nodes.

    Arguments
    ---------
    function : callable or None
        None: one of a library.
    node : object
    names : iterable of str
        A library's first arguments, in order.
    """
    if isinstance(node, dict):
        return dict(node)
    if isinstance(node, list):
        if function is not None:
            names = inspect.signature(function).parameters
        return dict(zip(names, node))
    return {}


def reference(node):
    """Returns the key of ``!ref <key>``, None of anything else."""
    text = str(getattr(node, "value", ""))
    inner = text[1:-1]
    if tag_of(node) == "!ref" and text == f"<{inner}>" and inner.isidentifier():
        return inner
    return None


def uses(path):
    """Lists which argument takes which setting.

    Arguments
    ---------
    path : str
        The hparams file.

    Yields
    ------
    key : str
        The setting.
    setting : Setting or None
        How the argument is declared; None: not at all.
    """
    root = written(path)
    for node in walk(root):
        tag = tag_of(node)
        if not tag or not tag.startswith(KINDS):
            continue
        function = named(path, tag)
        known = declared(function) if function else {}
        given = arguments_of(function, node) if function else {"": node}
        for argument, value in given.items():
            setting = known.get(argument)
            for key in keys_in(root, value):
                inner = isinstance(setting, Values)
                yield key, setting.item if inner else setting


def keys_in(root, node):
    """Lists the settings that an argument refers to, in lists and mappings too.

    What refers to a mapping or list of the file refers to what is in it.
    """
    key = reference(node)
    if key is not None:
        held = root.get(key)
        if isinstance(held, (dict, list)) and not tag_of(held):
            return [key, *keys_in(root, held)]
        return [key]
    if tag_of(node):
        return []  # an object with arguments of its own
    below = ()
    if isinstance(node, dict):
        below = node.values()
    elif isinstance(node, list):
        below = node
    return [key for item in below for key in keys_in(root, item)]


def counts(path, names):
    """Says what each setting of a hparams file can change.

    Arguments
    ---------
    path : str
        The hparams file.
    names : iterable of str
        Settings.

    Returns
    -------
    dict
        Setting to `RUN`, `REPORT` or `NOTHING`: the most that an argument says
        which takes it; `RUN` if none does.
    """
    found = counts_of(path, text_of(path))
    return {name: found.get(name, RUN) for name in names}


@functools.lru_cache(maxsize=64)
def counts_of(path, text):
    """Says what the settings that some argument takes can change."""
    found = dict.fromkeys(FREE_OPTIONS, NOTHING)
    for key, setting in uses(path):
        own = setting.counts if setting is not None else RUN
        found[key] = max(found.get(key, NOTHING), own, key=ORDER.index)
    return found


def check_names(path):
    """Refuses a hparams file that names what this package has not, or no more.

    Arguments
    ---------
    path : str

    Raises
    ------
    InputError
        With what it is called now.
    """
    # SpeechBrain's modules tell that they are imported
    logging.disable(logging.INFO)
    try:
        counts_of(path, text_of(path))
    finally:
        logging.disable(logging.NOTSET)


def check_settings(path, overrides):
    """Refuses settings that are not as the arguments that take them declare.

    Nothing is built.

    Arguments
    ---------
    path : str
        The hparams file.
    overrides : str
        YAML.

    Raises
    ------
    InputError
        Naming the first unfit setting and what to give.
    """
    root = written(path)
    values = nodes(path, overrides)
    plain_ones = {k: plain(v) for k, v in values.items() if is_plain(v)}
    check_values(OPTIONS, plain_ones)
    for key, node in root.items():
        check_node(path, root, node, values[key])
    for name in NEEDED:
        if name in plain_ones:
            raise InputError(
                f"--{name} is {plain_ones[name]!r}: leave it as the file has "
                "it, without it no epoch is trained and kept"
            )


def check_options(run_opts):
    """Refuses SpeechBrain's run options with which nothing is trained.

    Arguments
    ---------
    run_opts : RunOptions

    Raises
    ------
    InputError
        Naming the first unfit one and what to give.

    Example
    -------
    >>> check_options({"grad_accumulation_factor": 0})
    Traceback (most recent call last):
    speechbrain_ser.utils.errors.InputError: --grad_accumulation_factor is 0...
    """
    given = {name: run_opts[name] for name in OPTIONS if name in run_opts}
    limit = given.get("optimizer_step_limit")
    if isinstance(limit, str) and limit.lstrip("-").isdecimal():
        given["optimizer_step_limit"] = int(limit)  # SpeechBrain's is a word
    check_values(OPTIONS, given)
    if run_opts.get("device") is not None:
        check_device(run_opts["device"])
    for name in ("precision", "eval_precision"):
        if run_opts.get(name) == "fp16":
            check_half(name, run_opts.get("device"))


def check_half(name, device):
    """Refuses half precision on a CPU, as SpeechBrain does.

    Arguments
    ---------
    name : str
        The option.
    device : str or None
        None: SpeechBrain's choice.

    Raises
    ------
    InputError

    Example
    -------
    >>> check_half("eval_precision", "cpu")
    Traceback (most recent call last):
    speechbrain_ser.utils.errors.InputError: --eval_precision fp16 needs a ...
    """
    from speechbrain.utils.distributed import infer_device

    if (device or infer_device()) == "cpu":
        raise InputError(
            f"--{name} fp16 needs a GPU: give bf16 or fp32, or another --device"
        )


def check_device(device):
    """Refuses a device that is none, or that this machine has not.

    Arguments
    ---------
    device : str
        As ``cpu``, ``cuda:0``, ``mps``.

    Raises
    ------
    InputError
        Naming it and what there is.

    Example
    -------
    >>> check_device("cpu")
    >>> check_device("cuda:1000")
    Traceback (most recent call last):
    speechbrain_ser.utils.errors.InputError: --device is cuda:1000, which...
    """
    import torch

    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        there = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
        if torch.backends.mps.is_available():
            there.append("mps")
        raise InputError(
            f"--device is {device}, which this machine has not: give "
            f"{' or '.join(['cpu', *there])}"
        ) from None


def check_node(path, root, node, value):
    """Checks a node of a hparams file and those below it.

    Arguments
    ---------
    path : str
    root : dict
        The file as it stands, for the settings' names.
    node : object
        Of it.
    value : object
        The same node with its references replaced.
    """
    tag = tag_of(node)
    if tag != tag_of(value):
        return  # the command line gives something else instead
    function = named(path, tag)
    declarations = LIBRARIES.get((tag or "").partition(":")[2])
    if function is not None:
        declarations = declared(function)
    if declarations is not None:
        given, values = (
            arguments_of(function, x, declarations) for x in (node, value)
        )
        names, fit = {}, {}
        for argument, item in values.items():
            names |= names_in(root, argument, given[argument])
            if is_plain(item):
                fit[argument] = plain(item)
            elif isinstance(item, dict) and not tag_of(item):
                fit[argument] = {
                    k: plain(v) for k, v in item.items() if is_plain(v)
                }
        check_values(declarations, fit, names)
    if isinstance(node, dict) and isinstance(value, dict):
        for key, item in node.items():
            check_node(path, root, item, value[key])
    elif isinstance(node, list) and isinstance(value, list):
        for item, other in zip(node, value):
            check_node(path, root, item, other)


def names_in(root, argument, node):
    """Returns what a user calls an argument, and the values in it.

    Returns
    -------
    dict
        Place, as in `utils.settings.places`, to ``--setting``.
    """
    names = {}
    key = reference(node)
    if key is not None:
        names[argument] = f"--{key}"
        node = root.get(key)
    if isinstance(node, dict) and not tag_of(node):
        for name, item in node.items():
            inner = reference(item)
            if inner is not None:
                names[f"{argument}.{name}"] = f"--{inner}"
    return names
