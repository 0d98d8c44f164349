"""Runs pytest many times from one process that has the libraries loaded.

Importing torch, speechbrain and transformers takes longer than most tests. This
process imports them once and forks for each line that it reads: a JSON object
with `folder`, `environment`, `arguments`, `log` and `limit`. It answers with the
exit code, or null where the time was up.
"""

import json
import os
import signal
import sys
import time

# the libraries of the package, not the package: each fork imports its own
import matplotlib.figure  # noqa: F401
import pytest
import scipy.stats  # noqa: F401
import sklearn.linear_model  # noqa: F401
import sklearn.svm  # noqa: F401
import torch  # noqa: F401
import torchaudio  # noqa: F401
import transformers  # noqa: F401

import speechbrain  # noqa: F401


def run(job):
    """Runs pytest in this process, which then ends.

    Arguments
    ---------
    job : dict
    """
    os.setsid()
    log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.environ.update(job["environment"])
    os.chdir(job["folder"])
    sys.path.insert(0, job["folder"])
    code = pytest.main(job["arguments"])
    sys.stdout.flush()
    os._exit(int(code))


def wait(child, limit):
    """Waits for a child and ends it when its time is up.

    Arguments
    ---------
    child : int
        Its process id.
    limit : float or None
        Seconds.

    Returns
    -------
    int or None
        The exit code; None if its time was up.
    """
    begun = time.time()
    while limit is None or time.time() - begun < limit:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.1)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def main():
    """Answers each line of the standard input."""
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if child == 0:
            run(job)
        print(json.dumps(wait(child, job["limit"])), flush=True)


if __name__ == "__main__":
    main()
