"""Processes of the tests: forked where all is imported, so each starts at once.

A server without threads imports torch and the package once for each worker of
pytest; what it forks can be killed, interrupted and set side by side as the
processes that a user starts.
"""

import functools
import multiprocessing
import os
import pathlib
import runpy
import signal
import socket
import sys
import tempfile

PRELOADED = [
    "matplotlib.backends.backend_agg",
    "scipy.stats",
    "sklearn.linear_model",
    "sklearn.svm",
    "torch._dynamo",  # which the first optimizer imports
    "torchaudio",
    "transformers",
    "speechbrain.integrations.huggingface.hubert",
    "speechbrain.integrations.huggingface.wav2vec2",
    "speechbrain_ser.corpora.mini.iemocap",
    "speechbrain_ser.corpora.mini.recola",
    "speechbrain_ser.data.pseudo_labelling",
    "speechbrain_ser.evaluation.report",
    "speechbrain_ser.experiment.plan",
    "speechbrain_ser.experiment.two_languages",
    "speechbrain_ser.methods.dann",
    "speechbrain_ser.methods.gmp_atl",
    "speechbrain_ser.methods.ipr",
    "speechbrain_ser.methods.lpmn",
    "speechbrain_ser.methods.menan",
    "speechbrain_ser.table.command",
    "tests.recipes.helpers",
]


@functools.lru_cache(maxsize=None)
def server():
    """Starts the server, at the first process."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


class Child:
    """A process that runs a function; what it prints is kept.

    Arguments
    ---------
    function : callable
        Of a module, not of a test.
    arguments : tuple
    environment : dict, optional
        Variables besides those of this process; None takes one away.
    cwd : str or pathlib.Path, optional
    """

    def __init__(self, function, arguments, environment=None, cwd=None):
        folder = pathlib.Path(tempfile.mkdtemp())
        self.files = folder / "stdout", folder / "stderr"
        variables = dict(os.environ) | (environment or {})
        self.process = server().Process(
            target=enter,
            args=(
                *map(str, self.files),
                {k: v for k, v in variables.items() if v is not None},
                str(cwd or os.getcwd()),
                function,
                arguments,
            ),
        )
        self.process.start()

    @property
    def pid(self):
        """Its number."""
        return self.process.pid

    @property
    def returncode(self):
        """As subprocess has it: minus the signal, None while it runs."""
        return self.process.exitcode

    @property
    def stdout(self):
        """What it has printed so far."""
        return self.files[0].read_text() if self.files[0].exists() else ""

    @property
    def stderr(self):
        """What it has complained of so far."""
        return self.files[1].read_text() if self.files[1].exists() else ""

    def wait(self, timeout=300):
        """Waits for its end; returns itself."""
        self.process.join(timeout)
        assert self.returncode is not None, self.stdout + self.stderr
        return self

    def send_signal(self, number):
        """Sends a signal, if it still runs."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self):
        """Ends it as a loss of power would."""
        self.send_signal(signal.SIGKILL)
        return self.wait()


def start(function, *arguments, environment=None, cwd=None):
    """Starts a function in a process of its own."""
    return Child(function, arguments, environment, cwd)


def run(function, *arguments, environment=None, cwd=None):
    """Runs a function in a process of its own; returns it when it is over."""
    return start(function, *arguments, environment=environment, cwd=cwd).wait()


def run_ranks(function, *arguments, count=2, environment=None):
    """Runs a function in processes side by side, as torchrun does.

    Each has RANK, LOCAL_RANK, WORLD_SIZE and where they meet.
    """
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    shared |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    children = [
        start(
            function,
            *arguments,
            environment=shared
            | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            | (environment or {}),
        )
        for rank in range(count)
    ]
    for child in children:
        child.wait()
    codes = [child.returncode for child in children]
    assert codes == [0] * count, "".join(c.stderr[-2000:] for c in children)
    return children


def as_script(path, *words):
    """Runs a script, or a module by its dotted name, as a command line does."""
    sys.argv = [str(path), *map(str, words)]
    if os.path.exists(path):
        sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
        runpy.run_path(str(path), run_name="__main__")
    else:
        runpy.run_module(str(path), run_name="__main__", alter_sys=True)


def enter(stdout, stderr, variables, cwd, function, arguments):
    """What a process does first: it is set up as one that a user starts."""
    for path, number in ((stdout, 1), (stderr, 2)):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(handle, number)
        os.close(handle)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(cwd)
    import torch

    import speechbrain as sb

    torch.set_num_threads(1)
    # it asks pip, which is slow
    sb.utils.logger.get_environment_description = str
    function(*arguments)
