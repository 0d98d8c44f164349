"""The folder of a run: which run it holds, and that no other one gets in."""

import json
import os

from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.files import write_json, write_text

SETTINGS = "settings.json"
HPARAMS = "recipe.yaml"  # the hparams file as it was
OVERRIDES = "overrides.yaml"  # what the command line changed of it
CHECKPOINTS = "save"
# What a folder's settings are written as; 1 had other names of parts and keys.
FORMAT = 2
MEND = "give another --output_folder, or delete it to start anew"


def check_folder(folder, claimed):
    """Refuses a folder that holds another run; writes nothing.

    Arguments
    ---------
    folder : str
        A run's ``output_folder``.
    claimed : dict
        Name to plain value: whatever changes the result, see `Plan.claimed`.

    Raises
    ------
    InputError
        With the first name that differs.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> claim_folder(folder, {"seed": 1})
    >>> check_folder(folder, {"seed": 1})
    >>> check_folder(folder, {"seed": 2})
    Traceback (most recent call last):
    speechbrain_ser.utils.errors.InputError: ...
    """
    before = read_settings(folder)
    if before is None:
        return
    if before.get("format") != FORMAT:
        raise InputError(
            f"{folder} holds a run of an earlier version, whose parts and "
            f"settings had other names: {MEND}"
        )
    after = as_written(claimed)
    names = sorted(
        name
        for name in {**before, **after}
        if before.get(name) != after.get(name)
    )
    if names:
        name = names[0]
        others = f" and {len(names) - 1} more" if names[1:] else ""
        raise InputError(
            f"{folder} holds a run with {name} = {before.get(name)} instead of "
            f"{after.get(name)}{others}: {MEND}"
        )


def claim_folder(folder, claimed):
    """Binds a folder to the run whose files it is going to hold.

    Arguments
    ---------
    folder : str
    claimed : dict
        See `check_folder`, which is called first.
    """
    check_folder(folder, claimed)
    if read_settings(folder) is None:
        write_json(os.path.join(folder, SETTINGS), as_written(claimed))


def keep_recipe(folder, path, overrides):
    """Keeps the hparams file and its overrides, so that a run can be loaded.

    Arguments
    ---------
    folder : str
    path : str
        The hparams file.
    overrides : str
        YAML.
    """
    with open(path, encoding="utf-8") as file:
        write_text(os.path.join(folder, HPARAMS), file.read())
    write_text(os.path.join(folder, OVERRIDES), f"{overrides}\n")


def as_written(claimed):
    """Returns settings as JSON gives them back, with their format."""
    return json.loads(json.dumps(claimed | {"format": FORMAT}))


def read_settings(folder):
    """Returns the settings that a folder is bound to, None if to none.

    Raises
    ------
    InputError
        If they can't be read.
    """
    path = os.path.join(folder, SETTINGS)
    if not os.path.exists(path):
        return None
    try:
        with open(path, encoding="utf-8") as file:
            return dict(json.load(file))
    except (ValueError, TypeError) as failure:
        raise InputError(f"{path} can't be read ({failure}): {MEND}") from None
