"""Compares the files that one run left in two commits, value by value."""

import csv
import fnmatch
import io
import json
import math
import os
import re
import zipfile

import numpy as np
import safetensors.torch
import torch
import yaml

CHECKPOINT = re.compile(r"CKPT\+[^/]*")
STAGE = re.compile(r"\b([a-z]+)-[0-9a-f]{16}(?=/)")


def files_of(folder, names):
    """Finds the files that are compared, under names that a clock left alone.

    Arguments
    ---------
    folder : str
        Of a run.
    names : Names

    Returns
    -------
    dict
        Name, as the new commit has it, to path. Checkpoints are numbered in
        their order, stages are called without their digest.
    """
    found = {}
    for here, folders, files in os.walk(folder):
        folders.sort()
        for file in files:
            if any(fnmatch.fnmatch(file, p) for p in names.ignored_files):
                continue
            path = os.path.join(here, file)
            found[os.path.relpath(path, folder)] = path
    saved = {name: CHECKPOINT.search(name) for name in found}
    saved = {name: match.group() for name, match in saved.items() if match}
    order = {ckpt: i for i, ckpt in enumerate(sorted(set(saved.values())), 1)}
    called = {}
    for name, path in sorted(found.items()):
        if name in saved:
            number = f"checkpoint{order[saved[name]]}"
            name = name.replace(saved[name], number)
        called[names.path(STAGE.sub(r"\1/", name).replace("//", "/"))] = path
    return called


def read_text(path, places):
    """Reads a text file; where a run's folders lie is left out of it.

    Arguments
    ---------
    path : str
    places : dict
        Path to what stands for it, the longest paths first.

    Returns
    -------
    str
    """
    with open(path, encoding="utf-8", newline="") as file:
        text = file.read()
    for place, word in places.items():
        text = text.replace(place, word)
    return text


def read(path, names, places):
    """Reads a file of a run as a value that can be compared.

    Arguments
    ---------
    path : str
    names : Names
        Translates the keys.
    places : dict
        See `read_text`.

    Returns
    -------
    object
    """
    suffix = os.path.splitext(path)[1]
    if suffix == ".png":
        return "a picture"  # its words are not the results
    if suffix == ".npy":
        return np.load(path, allow_pickle=False)
    if suffix == ".npz":
        with np.load(path, allow_pickle=False) as held:
            return {names.key(name): held[name] for name in held.files}
    if suffix == ".safetensors":
        held = safetensors.torch.load_file(path)
        return {names.tensor(name): value for name, value in held.items()}
    if suffix == ".ckpt" and zipfile.is_zipfile(path):
        held = torch.load(path, map_location="cpu", weights_only=True)
        if isinstance(held, dict):
            held = {
                names.tensor(name) if isinstance(name, str) else name: value
                for name, value in held.items()
            }
        return held
    text = read_text(path, places)
    if suffix == ".csv":
        return read_csv(text, names)
    if suffix == ".yaml":
        return names.tree(yaml.safe_load(text))
    if suffix == ".json" or text.startswith("{"):
        return read_json(path, text, names)
    return text


def read_json(path, text, names):
    """Reads JSON; the keys of an annotation are a user's, and stay."""
    value = json.loads(text)
    entries = value.values() if isinstance(value, dict) else ()
    if value and all(isinstance(e, dict) and "wav" in e for e in entries):
        return value
    return names.tree(value, settings=path.endswith("settings.json"))


def read_csv(text, names):
    """Returns the text of a CSV file with other names of columns and parts.

    Arguments
    ---------
    text : str
    names : Names

    Returns
    -------
    list of str
        Its lines. Where nothing is ignored or called otherwise these are the
        file's own, byte for byte.
    """
    rows = list(csv.reader(io.StringIO(text, newline="")))
    held = [
        i for i, name in enumerate(rows[0]) if name not in names.ignored_keys
    ]
    columns = [rows[0][i] for i in held]
    target = io.StringIO(newline="")
    writer = csv.writer(target, lineterminator="\n")
    changed = len(held) < len(rows[0])
    for number, row in enumerate(rows):
        new = [
            names.value(name, row[i]) if number else names.key(name)
            for name, i in zip(columns, held)
        ]
        changed = changed or new != row
        writer.writerow(new)
    return (target.getvalue() if changed else text).split("\n")


def short(value):
    """Shows a value in a few words."""
    if isinstance(value, dict):
        return f"{len(value)} keys"
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__} of {len(value)}"
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return f"{str(value.dtype)} {tuple(value.shape)}"
    text = repr(value)
    return text if len(text) <= 120 else text[:117] + "..."


def first_difference(old, new, where=""):
    """Finds the first place where two values are not the same, bit for bit.

    Arguments
    ---------
    old, new : object
        Plain values, tensors and arrays, in dictionaries and lists.
    where : str
        The place of both.

    Returns
    -------
    str or None
        The place and both values.
    """
    told = f"{where or 'it'}: {short(old)} -> {short(new)}"
    if type(old) is not type(new):
        return told
    if isinstance(old, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            here = f"{where}.{key}" if where else str(key)
            if key not in new:
                return f"{here} is in OLD alone ({short(old[key])})"
            if key not in old:
                return f"{here} is in NEW alone ({short(new[key])})"
            found = first_difference(old[key], new[key], here)
            if found:
                return found
        return None
    if isinstance(old, (list, tuple)):
        for i, (one, other) in enumerate(zip(old, new)):
            found = first_difference(one, other, f"{where}[{i}]")
            if found:
                return found
        return None if len(old) == len(new) else told
    if isinstance(old, (torch.Tensor, np.ndarray)):
        return array_difference(old, new, where, told)
    if isinstance(old, float) and math.isnan(old) and math.isnan(new):
        return None
    return None if old == new else told


def array_difference(old, new, where, told):
    """Finds the first element where two tensors or arrays differ in a bit."""
    if old.dtype != new.dtype or old.shape != new.shape:
        return told
    bits = [raw_bytes(value) for value in (old, new)]
    if bits[0] == bits[1]:
        return None
    flat = [list(value.reshape(-1).tolist()) for value in (old, new)]
    width = max(1, len(bits[0]) // max(1, len(flat[0])))
    different = [
        i
        for i in range(len(flat[0]))
        if bits[0][i * width : (i + 1) * width]
        != bits[1][i * width : (i + 1) * width]
    ]
    i = different[0]
    return (
        f"{where or 'it'}[{i}]: {flat[0][i]!r} -> {flat[1][i]!r} "
        f"({len(different)} of {len(flat[0])} elements differ)"
    )


def raw_bytes(value):
    """Returns the bytes of a tensor or an array."""
    if isinstance(value, torch.Tensor):
        value = value.detach().contiguous().reshape(-1).view(torch.uint8)
        value = value.numpy()
    return np.ascontiguousarray(value).tobytes()


def compare_file(old, new, names, places):
    """Compares one file of both commits.

    Arguments
    ---------
    old, new : str
    names : tuple of Names
        That translate OLD's and NEW's names.
    places : tuple of dict
        See `read_text`.

    Returns
    -------
    str or None
        The first difference.
    """
    return first_difference(
        read(old, names[0], places[0]), read(new, names[1], places[1])
    )
