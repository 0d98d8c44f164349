"""Hands the runs of a grid to a cluster, through submitit."""

import os
import time

from speechbrain_ser.table.execute import Lock, launch, log_tail
from speechbrain_ser.table.finished import look_up, read_json
from speechbrain_ser.table.layout import DONE, FOREIGN, QUEUED, RUNNING
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.files import write_json

TICKET = "job.json"
LATE = 90  # seconds until a node's file is seen here, at most


class Training:
    """What a node of the cluster does: one run, goes on where it was.

    Arguments
    ---------
    job : Job
    processes : int
        That train together, one a GPU.
    """

    def __init__(self, job, processes):
        self.run = job.run
        self.command = job.command
        self.processes = processes

    def __call__(self):
        """Makes the run unless it is done; returns the recipe's exit code."""
        lock = Lock(self.run.folder)
        lock.acquire(wait=True)
        look_up(self.run)
        if self.run.status in (DONE, FOREIGN):
            return 0
        return launch(
            self.command, self.run.folder, lock, self.processes
        ).wait()

    def checkpoint(self):
        """Submits the run again when its time is over or it is preempted."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class ClusterWorkers:
    """Runs as jobs of a cluster; all are submitted at once, as one array.

    A run that was submitted before and has not ended is not submitted again.

    Arguments
    ---------
    cluster : str
        ``slurm``, or ``local`` for this machine.
    folder : str
        For submitit's files; nodes must see it, and the results.
    processes : int
        GPUs of each run, or processes where there are none.
    n_jobs : int or None
        Runs side by side; None: no limit of ours.
    partition : str or None
    minutes : int
        Time limit of a job.
    gpus : int
        Asked for; 0 on a cluster without.

    Raises
    ------
    InputError
        If submitit is not installed, or there is no such cluster here.
    """

    def __init__(
        self,
        cluster,
        folder,
        processes=1,
        n_jobs=None,
        partition=None,
        minutes=24 * 60,
        gpus=0,
    ):
        try:
            import submitit
        except ImportError:
            raise InputError(
                "--cluster needs submitit: pip install submitit"
            ) from None
        try:
            self.executor = submitit.AutoExecutor(folder, cluster=cluster)
        except RuntimeError as error:
            raise InputError(
                f"--cluster {cluster} can't be used here ({error}): start the "
                "command where jobs can be submitted, or leave --cluster out"
            ) from None
        settings = {
            "timeout_min": minutes,
            "gpus_per_node": gpus,
            "name": "speechbrain_ser",
            "slurm_partition": partition,
            "slurm_array_parallelism": n_jobs,
        }
        self.executor.update_parameters(
            **{name: value for name, value in settings.items() if value}
        )
        self.cluster = cluster
        self.poll_seconds = 5 if cluster == "slurm" else 0.2
        self.job_class = {
            "slurm": submitit.SlurmJob,
            "local": submitit.LocalJob,
        }[cluster]
        self.processes = processes
        self.jobs = []
        self.patience = {}

    def start(self, jobs):
        """Submits all jobs that are not submitted; returns those it watches."""
        watched, free = [], []
        for job in jobs:
            lock = Lock(job.run.folder)
            if not lock.acquire():
                job.run.status = RUNNING
                ticket = self.submitted(job)
                if ticket is not None:
                    watched.append((job, ticket))
                continue
            look_up(job.run)
            ticket = self.submitted(job)
            if job.run.status in (DONE, FOREIGN):
                lock.release()
            elif ticket is not None:
                lock.release()
                watched.append((job, ticket))
            else:
                free.append((job, lock))
        watched += self.submit(free)
        for job, _ in watched:
            job.run.status = QUEUED
        self.jobs += watched
        return [job for job, _ in watched]

    def submit(self, free):
        """Submits jobs as one array, each under its lock."""
        if not free:
            return []
        with self.executor.batch():
            tickets = [
                self.executor.submit(Training(job, self.processes))
                for job, _ in free
            ]
        for (job, lock), ticket in zip(free, tickets):
            write_json(
                os.path.join(job.run.folder, TICKET),
                {
                    "cluster": self.cluster,
                    "folder": str(ticket.paths.folder),
                    "job_id": ticket.job_id,
                },
            )
            lock.release()
        return [(job, ticket) for (job, _), ticket in zip(free, tickets)]

    def submitted(self, job):
        """Returns the ticket of a job that was submitted and has not ended."""
        held = read_json(os.path.join(job.run.folder, TICKET))
        if held is None or held.get("cluster") != self.cluster:
            return None
        ticket = self.job_class(held["folder"], held["job_id"])
        return None if ticket.done() else ticket

    def poll(self):
        """Returns the jobs that ended, each with its exit code."""
        ended = []
        for job, ticket in list(self.jobs):
            if ticket.done():
                code = exit_code(job, ticket)
                if code == 0 and self.awaits_report(job, ticket):
                    continue
                self.jobs.remove((job, ticket))
                ended.append((job, code))
            elif ticket.state.upper() == "RUNNING":
                job.run.status = RUNNING
        return ended

    def awaits_report(self, job, ticket):
        """Whether a finished job's metrics may still be on their way here."""
        end = self.patience.setdefault(ticket.job_id, time.time() + LATE)
        look_up(job.run)
        return job.run.status not in (DONE, FOREIGN) and time.time() < end

    def stop(self):
        """Stops watching; the jobs go on."""
        if self.jobs:
            names = ", ".join(ticket.job_id for _, ticket in self.jobs)
            print(f"the cluster's jobs go on: {names}")
        self.jobs = []

    def close(self):
        """Nothing was started beside the jobs."""


def exit_code(job, ticket):
    """Returns a job's exit code, 1 where the job itself broke off."""
    error = ticket.exception()
    if error is None:
        return ticket.result()
    if not log_tail(job.run.folder):
        print(f"{job.run.name}: {str(error).splitlines()[-1]}")
    return 1
