"""Copies of a checkout, in which a line can be changed and changed back."""

import contextlib
import os
import queue
import re
import shutil
import tempfile

from checkouts import PACKAGE, environment

CODE = (PACKAGE, "recipes")  # where the old text is looked for
TESTS = "tests"
LEFT_OUT = (".git", ".venv", "results", "corpora", "__pycache__", "*.egg-info")


class Copies:
    """Some copies of a checkout, which are lent one by one.

    Arguments
    ---------
    root : str
        The checkout.
    options : argparse.Namespace
        With ``jobs`` (as many copies), ``python`` and ``without``, the names
        of tests that are left out.
    """

    def __init__(self, root, options):
        self.root = root
        self.number = options.jobs
        self.python = options.python
        self.without = options.without
        self.free = queue.Queue()
        self.folder = None

    def __enter__(self):
        """Makes the copies."""
        self.folder = tempfile.TemporaryDirectory()
        for i in range(self.number):
            path = os.path.join(self.folder.name, f"copy{i}")
            shutil.copytree(self.root, path, ignore=self.left_out)
            self.free.put(path)
        return self

    def left_out(self, folder, names):
        """Says which names of a folder are not copied."""
        own = LEFT_OUT
        if os.path.abspath(folder) != self.root:
            own = ("__pycache__",)  # speechbrain_ser/corpora is a package
        return shutil.ignore_patterns(*own)(folder, names)

    def __exit__(self, *failure):
        """Removes the copies."""
        self.folder.cleanup()

    @contextlib.contextmanager
    def one(self):
        """Lends a copy."""
        path = self.free.get()
        try:
            yield path
        finally:
            self.free.put(path)

    def environment(self, path, cache):
        """Returns the environment of tests in a copy, with a cache of its own.

        What changed code leaves in a cache must reach no other test.
        """
        return environment(
            path, PYTHONDONTWRITEBYTECODE="1", SPEECHBRAIN_SER_CACHE=cache
        )


def pattern_of(text):
    """Returns a pattern of a text, however its lines are broken."""
    return re.compile(r"\s+".join(map(re.escape, text.split())))


def find(root, text):
    """Finds a text in all Python files of the package and the recipes.

    Arguments
    ---------
    root : str
        The checkout.
    text : str

    Returns
    -------
    list of str
        The path of the file of each place.
    """
    pattern, places = pattern_of(text), []
    for code in CODE:
        for here, _, files in os.walk(os.path.join(root, code)):
            for name in files:
                path = os.path.join(here, name)
                if name.endswith(".py"):
                    with open(path, encoding="utf-8") as file:
                        found = pattern.findall(file.read())
                    places += [path] * len(found)
    return places


@contextlib.contextmanager
def mutated(root, path, mutant):
    """Changes a file while the block runs.

    Arguments
    ---------
    root : str
        The copy that it lies in.
    path : str
    mutant : dict
        With ``old`` and ``new``.
    """
    if not os.path.abspath(path).startswith(os.path.abspath(root) + os.sep):
        raise ValueError(f"{path} is not in the copy {root}")
    with open(path, encoding="utf-8") as file:
        before = file.read()
    after = pattern_of(mutant["old"]).sub(lambda _: mutant["new"], before)
    with open(path, "w", encoding="utf-8") as file:
        file.write(after)
    try:
        yield
    finally:
        with open(path, "w", encoding="utf-8") as file:
            file.write(before)
