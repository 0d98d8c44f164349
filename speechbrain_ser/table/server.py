"""Makes runs one after the other, or side by side, without importing each time.

A process of its own, without threads, imports what the runs need once. For each
run it forks: so a run is a process as one that is started anew, with its own
generators, caches, log and lock, and only the seconds of the imports are saved.

> python -m speechbrain_ser.table.server NUMBER

is what `table.forks` starts; NUMBER is the socket that it is asked through.
"""

import contextlib
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys

LARGEST = 2**20  # bytes of a request
DESCRIPTORS = 8  # that a request may bring
PAUSE = 0.02  # seconds between two looks at the children


def main(number):
    """Serves until nobody asks any more; in a child, makes the run.

    Arguments
    ---------
    number : int
        The socket.
    """
    # Ctrl-C reaches all processes of a terminal: the runs are stopped by who
    # asked for them
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    request = serve(socket.socket(fileno=number))
    if request is not None:
        make_run(request)


def serve(asked):
    """Answers requests; returns one in the child that is to make it.

    Arguments
    ---------
    asked : socket.socket
        Of whole messages. A request to make a run is answered by its process,
        and once more by how that ended.

    Returns
    -------
    dict or None
        None: nobody asks any more. The runs go on.
    """
    running = set()
    while True:
        ready, _, _ = select.select([asked], [], [], PAUSE)
        for pid, code in ended(running):
            running.remove(pid)
            answer(asked, {"pid": pid, "code": code})
        if not ready:
            continue
        text, files, _, _ = socket.recv_fds(asked, LARGEST, DESCRIPTORS)
        if not text:
            return None
        request = json.loads(text)
        if "modules" in request:
            load(request["modules"])
            continue
        pid = os.fork()
        if pid == 0:
            asked.close()
            return request | {"files": files}
        for file in files:
            os.close(file)
        running.add(pid)
        answer(asked, {"pid": pid})


def answer(asked, message):
    """Sends a message, if somebody still listens."""
    with contextlib.suppress(OSError):
        asked.send(json.dumps(message).encode())


def ended(running):
    """Lists the processes that ended, each with its exit code."""
    found = []
    for pid in running:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            found.append((pid, os.waitstatus_to_exitcode(status)))
    return found


def load(modules):
    """Imports modules; one that fails is left to the run, which will say it."""
    for name in modules:
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def make_run(request):
    """Runs a recipe as a process does that is started anew.

    Arguments
    ---------
    request : dict
        ``command``, from the script on; ``environment``; ``folder``, the
        working one; ``files``: the log and, kept open, the lock.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    log, *_ = request["files"]
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(log)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    script = request["command"][0]
    sys.argv = list(request["command"])
    sys.path[0] = os.path.dirname(os.path.abspath(script))
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main(int(sys.argv[1]))
