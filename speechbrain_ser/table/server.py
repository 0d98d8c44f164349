"""Makes runs one after the other, or side by side, without importing each time.

A process of its own, without threads, imports what the runs need once: what it
is told, and what the first run of a recipe had imported when it ended. For each
run it forks: so a run is a process as one that is started anew, with its own
generators, caches, log and lock, and only the seconds of the imports are saved.

> python -m speechbrain_ser.table.server NUMBER

is what `table.forks` starts; NUMBER is the socket that it is asked through.
"""

import atexit
import contextlib
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import tempfile

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
    running = {}  # process to the file of what it imported, perhaps
    known = set()  # recipes of which a run has told that
    while True:
        ready, _, _ = select.select([asked], [], [], PAUSE)
        for pid, code in ended(running):
            answer(asked, {"pid": pid, "code": code})
            file = running.pop(pid)
            if file is not None:
                load(modules_in(file))
                describe_once()
        if not ready:
            continue
        text, files, _, _ = socket.recv_fds(asked, LARGEST, DESCRIPTORS)
        if not text:
            return None
        request = json.loads(text)
        if "modules" in request:
            load(request["modules"])
            read_code(*request["recipe"])
            continue
        told, recipe = None, tuple(request["command"][:2])
        if recipe not in known:
            told = tempfile.TemporaryFile("w+", encoding="utf-8")
            known.add(recipe)
        pid = os.fork()
        if pid == 0:
            asked.close()
            if told is not None:
                atexit.register(tell_modules, told)
            return request | {"files": files}
        for file in files:
            os.close(file)
        running[pid] = told
        answer(asked, {"pid": pid})


def answer(asked, message):
    """Sends a message, if somebody still listens."""
    with contextlib.suppress(OSError):
        asked.send(json.dumps(message).encode())


def ended(running):
    """Lists the processes that ended, each with its exit code."""
    found = []
    for pid in list(running):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            found.append((pid, os.waitstatus_to_exitcode(status)))
    return found


def tell_modules(file):
    """Writes down what this process has imported."""
    names = [
        name
        for name, module in list(sys.modules.items())
        if getattr(module, "__spec__", None) is not None
        and module.__spec__.name == name
    ]
    file.write("\n".join(names))
    file.flush()


def modules_in(file):
    """Reads what a process had imported; nothing of one that was killed."""
    with file:
        file.seek(0)
        names = file.read().split("\n")
    return [name for name in names if name and name not in sys.modules]


def load(modules):
    """Imports modules; one that fails is left to the run, which will say it."""
    for name in modules:
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def read_code(script, hparams):
    """Reads the code that a run is known by, as a process reads it once."""
    from speechbrain_ser.experiment.identity import code_version

    with contextlib.suppress(Exception):
        for report in (False, True):
            code_version(script, hparams, report)


def describe_once():
    """Has pip list what is installed once, for all runs' logs.

    SpeechBrain asks it in each experiment.
    """
    logger = sys.modules.get("speechbrain.utils.logger")
    asks = getattr(logger, "get_environment_description", None)
    if asks is not None and not hasattr(asks, "text"):
        with contextlib.suppress(Exception):
            text = asks()
            logger.get_environment_description = lambda: text
            logger.get_environment_description.text = text


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
