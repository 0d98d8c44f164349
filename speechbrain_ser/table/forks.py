"""Runs that are forked by a process that has imported all they need.

See `table.server`. Only on Linux, and where no GPU is used: a process that has
looked at one can't be forked.
"""

import json
import os
import signal
import socket
import subprocess
import sys

import speechbrain_ser
from speechbrain_ser.experiment.identity import named_files, program, reached

LOST = 1  # exit code of a run whose server died


def can_fork():
    """Whether runs can be forked on this system."""
    return sys.platform == "linux" and hasattr(socket, "send_fds")


def modules_of(script, hparams):
    """Names the modules of this package that a recipe may need.

    Arguments
    ---------
    script, hparams : str

    Returns
    -------
    list of str
    """
    home = os.path.dirname(speechbrain_ser.__file__)
    first = named_files(hparams) + program(script)[1]
    names = []
    for path in sorted(reached(first)):
        place = os.path.splitext(os.path.relpath(path, home))[0]
        parts = place.split(os.sep)
        if parts[-1] == "__init__":
            parts.pop()
        names.append(".".join(["speechbrain_ser", *parts]))
    return names


class Forks:
    """Starts runs by a server of its own, which ends with this process.

    Arguments
    ---------
    environment : dict
        Of the server: threads, for one, are counted when it starts.
    """

    def __init__(self, environment):
        self.asked, theirs = socket.socketpair(
            socket.AF_UNIX, socket.SOCK_SEQPACKET
        )
        self.loaded = set()
        self.codes = {}  # of processes that ended
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "speechbrain_ser.table.server",
                str(theirs.fileno()),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()

    def start(self, command, log, lock, environment):
        """Starts a run.

        Arguments
        ---------
        command : list of str
            From the recipe's script on.
        log : file
        lock : Lock
            Held; the run holds it as well.
        environment : dict

        Returns
        -------
        Fork

        Raises
        ------
        OSError
            If the server is gone.
        """
        modules = modules_of(*command[:2])
        missing = [name for name in modules if name not in self.loaded]
        if missing:
            told = {"modules": missing, "recipe": command[:2]}
            self.asked.send(json.dumps(told).encode())
            self.loaded.update(missing)
        request = {
            "command": command,
            "environment": environment,
            "folder": os.getcwd(),
        }
        files = [log.fileno(), *lock.inherited()]
        socket.send_fds(self.asked, [json.dumps(request).encode()], files)
        while True:
            message = self.read()
            if message is None:
                raise ConnectionError("the server of runs is gone")
            if "code" not in message:
                return Fork(self, message["pid"])

    def read(self, wait=True):
        """Reads a message and notes it.

        Arguments
        ---------
        wait : bool
            Whether to wait for one.

        Returns
        -------
        dict or None
            None: there is none, or will be none as the server is gone.
        """
        try:
            text = self.asked.recv(2**16, 0 if wait else socket.MSG_DONTWAIT)
        except OSError:
            text = b""
        if not text:
            return None
        message = json.loads(text)
        if "code" in message:
            self.codes[message["pid"]] = message["code"]
        return message

    def code_of(self, pid):
        """Returns how a run ended; None while it runs."""
        while pid not in self.codes and self.read(wait=False) is not None:
            pass
        if pid not in self.codes and self.process.poll() is not None:
            return None if is_alive(pid) else LOST
        return self.codes.get(pid)

    def close(self):
        """Ends the server; runs go on."""
        self.asked.close()
        self.process.wait()


class Fork:
    """A run's process, as `subprocess.Popen` has it.

    Arguments
    ---------
    forks : Forks
    pid : int
    """

    def __init__(self, forks, pid):
        self.forks = forks
        self.pid = pid

    def poll(self):
        """Returns the exit code; None while it runs."""
        return self.forks.code_of(self.pid)

    def send_signal(self, number):
        """Sends a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self):
        """Asks it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self):
        """Ends it."""
        self.send_signal(signal.SIGKILL)


def is_alive(pid):
    """Whether there is a process of this number."""
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
