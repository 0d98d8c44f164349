"""Makes the runs of a grid, side by side, each once."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time

from tqdm import tqdm

import speechbrain_ser
from speechbrain_ser.table.finished import look_up
from speechbrain_ser.table.forks import Forks, can_fork
from speechbrain_ser.table.layout import DONE, FAILED, FOREIGN, MISSING, RUNNING
from speechbrain_ser.utils.files import Lock

LOG = "output.log"
TAIL = 8  # lines of a failed run's log
ERROR = re.compile(r"^(\[rank\d+\]: )?(error: |[\w.]*(Error|Exception)\b)")
ENDED = (DONE, FAILED, FOREIGN)


def launch(command, folder, lock, processes=1, environment=(), forks=None):
    """Starts a recipe; what it prints goes to its log.

    Arguments
    ---------
    command : list of str
        From the recipe's script on.
    folder : str
        Of the run.
    lock : Lock
        Held; the recipe holds it as well.
    processes : int
        More than one are started by torchrun.
    environment : iterable of tuple
        Variables and their values, besides those of this process.
    forks : Forks, optional
        Forks it, of a single process.

    Returns
    -------
    subprocess.Popen or Fork
    """
    variables = variables_with(environment)
    path = os.path.join(folder, LOG)
    if forks is not None:
        # where its server is gone a run has a process of its own
        with open(path, "ab") as log, contextlib.suppress(OSError):
            return forks.start(command, log, lock, variables)
    starter = [sys.executable]
    if processes > 1:
        starter += ["-m", "torch.distributed.run", "--standalone"]
        starter += [f"--nproc_per_node={processes}"]
    with open(path, "ab") as log:
        return subprocess.Popen(
            [*starter, *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=variables,
            pass_fds=lock.inherited(),
        )


def variables_with(environment):
    """Returns this process's variables with others, for what it starts.

    Its modules are those of the package that planned the runs, whatever else is
    installed.
    """
    home = os.path.dirname(os.path.dirname(speechbrain_ser.__file__))
    paths = [home, *filter(None, [os.environ.get("PYTHONPATH")])]
    named = {"PYTHONPATH": os.pathsep.join(paths)}
    return dict(os.environ) | named | dict(environment)


def log_tail(folder, n_lines=TAIL):
    """Returns the last lines of a run's log."""
    try:
        path = os.path.join(folder, LOG)
        with open(path, encoding="utf-8", errors="replace") as log:
            lines = [line.rstrip() for line in log if line.strip()]
    except OSError:
        return []
    return lines[-n_lines:]


def reason(folder):
    """Returns the last line of a run's log that says what went wrong.

    A list, empty where there is no log.
    """
    lines = log_tail(folder, 100)
    errors = [line for line in lines if ERROR.search(line)]
    return (errors or lines)[-1:]


def share_done(job):
    """Returns how much of a run is done, by its epochs; 0 where none says."""
    epochs = job.plan.settings.get("number_of_epochs")
    try:
        path = os.path.join(job.run.folder, "curves.csv")
        with open(path, encoding="utf-8") as file:
            rows = sum(1 for _ in file) - 1
    except OSError:
        return 0.0
    return min(max(rows, 0) / epochs, 1.0) if epochs else 0.0


class LocalWorkers:
    """Runs on this machine, so many side by side.

    Several runs of a process each, without a GPU, share what they import: see
    `table.server`.

    Arguments
    ---------
    n_jobs : int
        Runs side by side; they share the cores, and take the GPUs in turn.
    processes : int
        Of each run.
    """

    poll_seconds = 0.2

    def __init__(self, n_jobs=1, processes=1):
        self.n_jobs = n_jobs
        self.processes = processes
        self.slots = {}
        self.forks = None

    def start(self, jobs):
        """Starts some of these jobs; returns those that it took.

        A run that another command is making is left.
        """
        started = []
        if len(jobs) > 1 and self.forks is None and self.can_fork():
            self.forks = Forks(variables_with(self.environment(0)))
        for job in jobs:
            if len(self.slots) == self.n_jobs:
                break
            lock = Lock(job.run.folder)
            if not lock.acquire():
                job.run.status = RUNNING
                continue
            look_up(job.run)
            if job.run.status not in (DONE, FOREIGN):
                slot = min(set(range(self.n_jobs)) - set(self.slots))
                process = launch(
                    job.command,
                    job.run.folder,
                    lock,
                    self.processes,
                    self.environment(slot),
                    self.forks,
                )
                job.run.status = RUNNING
                self.slots[slot] = (job, process)
                started.append(job)
            lock.release()
        return started

    def can_fork(self):
        """Whether runs can be forked where all is imported."""
        return self.processes == 1 and can_fork() and not visible_gpus()

    def environment(self, slot):
        """Returns threads, and the GPUs of a slot where there are several."""
        threads = threads_each(self.n_jobs * self.processes)
        variables = {
            name: str(threads)
            for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
        }
        gpus = visible_gpus()
        if len(gpus) > 1:
            first = slot * self.processes
            chosen = [
                gpus[(first + i) % len(gpus)] for i in range(self.processes)
            ]
            variables["CUDA_VISIBLE_DEVICES"] = ",".join(chosen)
        return variables.items()

    def poll(self):
        """Returns the jobs that ended, each with its exit code."""
        ended = []
        for slot, (job, process) in list(self.slots.items()):
            code = process.poll()
            if code is not None:
                del self.slots[slot]
                ended.append((job, code))
        return ended

    def stop(self):
        """Ends all runs; each goes on from its checkpoint another time."""
        processes = [process for _, process in self.slots.values()]
        for job, _ in self.slots.values():
            job.run.status = MISSING
        for how, seconds in (
            (lambda process: process.poll(), 3),
            (interrupt, 20),
            (lambda process: process.kill(), 5),
        ):
            for process in processes:
                if process.poll() is None:
                    how(process)
            end = time.time() + seconds
            while time.time() < end and any(
                p.poll() is None for p in processes
            ):
                time.sleep(0.05)

    def close(self):
        """Ends what was started for the runs beside them."""
        if self.forks is not None:
            self.forks.close()
        self.forks = None


def interrupt(process):
    """Asks a process to end, as Ctrl-C does; Windows can only end it."""
    if os.name == "nt":
        process.terminate()
    else:
        process.send_signal(signal.SIGINT)


def threads_each(n_processes):
    """Returns each process's share of the cores, or OMP_NUM_THREADS if less.

    Example
    -------
    >>> threads_each(10_000)
    1
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    named = os.environ.get("OMP_NUM_THREADS", "")
    limit = int(named) if named.isdigit() and int(named) else cores
    return max(1, min(limit, cores // n_processes))


def visible_gpus():
    """Returns the names of the GPUs that this process may use."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name for name in named.split(",") if name]
    import torch

    return [str(i) for i in range(torch.cuda.device_count())]


def execute(jobs, workers, progress=True):
    """Makes all runs that have no result; the others are left as they are.

    A run that another command makes meanwhile is waited for, and taken over if
    that command dies. A failed run does not stop the others.

    Arguments
    ---------
    jobs : list of Job
        Their runs' status and metrics are kept up to date.
    workers : LocalWorkers or ClusterWorkers
    progress : bool
        Shows a bar with an estimate.

    Raises
    ------
    KeyboardInterrupt
        After the runs were stopped.
    """
    waiting = [job for job in jobs if job.run.status not in (DONE, FOREIGN)]
    todo, made = list(waiting), []
    terminal = sys.stderr.isatty()
    bar = tqdm(
        total=len(todo),
        disable=not (progress and todo and terminal),
        bar_format="{l_bar}{bar}| {n:.1f}/{total} runs "
        "[{elapsed}, left {remaining}] {postfix}",
        dynamic_ncols=True,
    )
    try:
        while waiting or made:
            started = workers.start(waiting)
            made += started
            waiting = [
                job
                for job in waiting
                if job not in started and job.run.status not in (DONE, FOREIGN)
            ]
            for job, code in workers.poll():
                made.remove(job)
                finish(job, code)
                over = sum(job.run.status in ENDED for job in todo)
                if progress and not terminal:
                    said = f"{over}/{len(todo)} runs, {job.run.status}: "
                    print(said + job.run.name, file=sys.stderr, flush=True)
                if job.run.status == FAILED:
                    bar.write(failure(job), file=sys.stderr)
            show(bar, todo)
            if waiting or made:
                time.sleep(workers.poll_seconds)
    except BaseException:
        workers.stop()
        for job in [*made, *waiting]:
            look_up(job.run)
        raise
    finally:
        bar.close()
        workers.close()


def finish(job, code):
    """Sets the status of a run that ended."""
    look_up(job.run)
    if job.run.status not in (DONE, FOREIGN):
        job.run.status = FAILED
        how = f"exit code {code}"
        if code < 0:
            how = f"killed by {signal.Signals(-code).name}"
        job.run.note = "; ".join([how, *reason(job.run.folder)])


def failure(job):
    """Describes a failed run with the last lines of its log."""
    lines = [f"failed: {job.run.name} ({os.path.join(job.run.folder, LOG)})"]
    return "\n".join(
        lines + [f"  | {line}" for line in log_tail(job.run.folder)]
    )


def show(bar, todo):
    """Moves the bar: finished runs, and the epochs of the others."""
    over = sum(job.run.status in ENDED for job in todo)
    active = [job for job in todo if job.run.status == RUNNING]
    bar.n = over + sum(share_done(job) for job in active)
    names = "; ".join(job.run.name for job in active)
    bar.set_postfix_str(names, refresh=False)
    bar.refresh()
