"""Files that are whole or not there: written beside, then renamed."""

import contextlib
import csv
import json
import os
import tempfile


@contextlib.contextmanager
def replacing(path):
    """Gives a temporary path beside `path`; renames it into place at the end.

    If the block raises, or the process dies, `path` is what it was before.

    Arguments
    ---------
    path : str
        The file to write; its folder is made when missing.

    Yields
    ------
    str
        The path to write to.

    Example
    -------
    >>> target = getfixture("tmp_path") / "a.txt"
    >>> with replacing(target) as path:
    ...     _ = open(path, "w").write("whole")
    >>> target.read_text()
    'whole'
    """
    path = os.path.abspath(path)
    folder, name = os.path.split(path)
    os.makedirs(folder, exist_ok=True)
    stem, suffix = os.path.splitext(name)
    handle, beside = tempfile.mkstemp(suffix, f".{stem}-", folder)
    os.close(handle)
    try:
        yield beside
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(beside, 0o666 & ~umask)
        os.replace(beside, path)
    finally:
        if os.path.exists(beside):
            os.unlink(beside)


def write_json(path, value):
    """Writes `value` as indented JSON, whole or not at all."""
    with replacing(path) as beside:
        with open(beside, "w", encoding="utf-8") as file:
            json.dump(value, file, indent=2, ensure_ascii=False)
            file.write("\n")


def write_csv(path, rows):
    """Writes a list of dictionaries as CSV; the columns are the keys of all."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with replacing(path) as beside:
        with open(beside, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
