"""Copies of a checkout, in which a line can be changed and changed back."""

import contextlib
import json
import os
import queue
import re
import shutil
import subprocess
import tempfile

from checkouts import PACKAGE, environment

HERE = os.path.dirname(os.path.abspath(__file__))
CODE = (PACKAGE, "recipes")  # where the old text is looked for
TESTS = "tests"
LEFT_OUT = (".git", ".venv", "results", "corpora", "__pycache__", "*.egg-info")


class Copy:
    """A copy of a checkout, and the process that runs its tests.

    Arguments
    ---------
    root : str
        Where it lies.
    options : argparse.Namespace
        With ``python`` and ``without``, the names of tests that are left out.
    """

    def __init__(self, root, options):
        self.root = root
        self.without = options.without
        self.environment = environment(root, PYTHONDONTWRITEBYTECODE="1")
        self.server = subprocess.Popen(
            [options.python, os.path.join(HERE, "warm_pytest.py")],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, tests, limit=None, until_first=True):
        """Runs tests, with a cache of their own.

        What changed code leaves in a cache must reach no other test.

        Arguments
        ---------
        tests : list of str
        limit : float or None
            Seconds.
        until_first : bool
            Whether it ends with the first that fails.

        Returns
        -------
        code : int or None
            pytest's; None if it ran out of time.
        said : str
        """
        arguments = ["-q", "--tb=line", "-p", "no:cacheprovider", *tests]
        arguments += ["-x"] if until_first else []
        if self.without:
            names = [f"not {name}" for name in self.without]
            arguments += ["-k", " and ".join(names)]
        with tempfile.TemporaryDirectory() as folder:
            log = os.path.join(folder, "log")
            cache = os.path.join(folder, "cache")
            job = {
                "folder": self.root,
                "environment": {"SPEECHBRAIN_SER_CACHE": cache},
                "arguments": arguments,
                "log": log,
                "limit": limit,
            }
            self.server.stdin.write(json.dumps(job) + "\n")
            self.server.stdin.flush()
            code = json.loads(self.server.stdout.readline())
            with open(log, encoding="utf-8", errors="replace") as file:
                return code, file.read()

    def close(self):
        """Ends the process."""
        self.server.stdin.close()
        self.server.wait()


class Copies:
    """Some copies of a checkout, which are lent one by one.

    Arguments
    ---------
    root : str
        The checkout.
    options : argparse.Namespace
        Those of `Copy`, and ``jobs``: as many copies.
    """

    def __init__(self, root, options):
        self.root = root
        self.options = options
        self.free = queue.Queue()
        self.all = []
        self.folder = None

    def __enter__(self):
        """Makes the copies."""
        self.folder = tempfile.TemporaryDirectory()
        for i in range(self.options.jobs):
            path = os.path.join(self.folder.name, f"copy{i}")
            shutil.copytree(self.root, path, ignore=self.left_out)
            self.all.append(Copy(path, self.options))
            self.free.put(self.all[-1])
        return self

    def left_out(self, folder, names):
        """Says which names of a folder are not copied."""
        own = LEFT_OUT
        if os.path.abspath(folder) != self.root:
            own = ("__pycache__",)  # speechbrain_ser/corpora is a package
        return shutil.ignore_patterns(*own)(folder, names)

    def __exit__(self, *failure):
        """Removes the copies."""
        for copy in self.all:
            copy.close()
        self.folder.cleanup()

    @contextlib.contextmanager
    def one(self):
        """Lends a copy."""
        copy = self.free.get()
        try:
            yield copy
        finally:
            self.free.put(copy)


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
