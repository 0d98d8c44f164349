"""Checkouts of commits in temporary folders, and commands that run in them."""

import contextlib
import os
import subprocess
import sys

PACKAGE = "speechbrain_ser"
HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@contextlib.contextmanager
def checkout(name, folder):
    """Gives the path of a checkout of a commit, or of one that exists.

    Arguments
    ---------
    name : str
        A commit, branch or tag, or the path of a checkout.
    folder : str
        Where a new one is made; it is removed at the end.

    Yields
    ------
    str
    """
    if os.path.isdir(name):
        if not os.path.isdir(os.path.join(name, PACKAGE)):
            sys.exit(f"error: {name} holds no {PACKAGE}: give a checkout")
        yield os.path.abspath(name)
        return
    known = subprocess.run(
        ["git", "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"],
        cwd=HOME,
        capture_output=True,
        text=True,
    )
    if known.returncode:
        sys.exit(
            f"error: {name} is neither a commit of {HOME} nor a folder: give "
            "one of them"
        )
    commit = known.stdout.strip()
    git = ["git", "worktree"]
    subprocess.run(
        [*git, "add", "--quiet", "--detach", folder, commit],
        cwd=HOME,
        check=True,
    )
    try:
        yield folder
    finally:
        subprocess.run(
            [*git, "remove", "--force", folder], cwd=HOME, check=True
        )


def environment(path, **more):
    """Returns the environment of a command on a checkout: one CPU thread.

    Arguments
    ---------
    path : str
        The checkout.
    **more : str

    Returns
    -------
    dict
    """
    return {
        **os.environ,
        "PYTHONPATH": path,
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "MPLBACKEND": "Agg",
        "HF_HUB_OFFLINE": "1",
        **more,
    }


def check_import(path, python):
    """Refuses a Python that would import the package from elsewhere.

    Arguments
    ---------
    path : str
        The checkout.
    python : str
    """
    said = subprocess.run(
        [python, "-c", f"import {PACKAGE}; print({PACKAGE}.__file__)"],
        cwd=path,
        env=environment(path),
        capture_output=True,
        text=True,
    )
    wanted = os.path.realpath(os.path.join(path, PACKAGE))
    place = os.path.realpath(os.path.dirname(said.stdout.strip()))
    if said.returncode or place != wanted:
        sys.exit(
            f"error: {python} imports {PACKAGE} from {place}, not {wanted}: "
            f"give another --python\n{said.stderr}"
        )
