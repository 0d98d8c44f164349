"""The same runs as jobs of a cluster; submitit's local executor stands in."""

import time

import pytest

from speechbrain_ser.table.execute import execute, finish
from speechbrain_ser.table.layout import DONE, FAILED
from speechbrain_ser.utils.files import write_json
from tests.table.stub import (
    TABLE,
    check_ledger,
    ledger,
    run_command,
    starts,
    write_stub,
)

submitit = pytest.importorskip("submitit")
SHORT = (
    TABLE.replace("seeds: [1, 2, 3]", "seeds: 1")
    .replace("  strong: {system: strong}\n", "")
    .partition("stars:")[0]
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the stub's table."""
    monkeypatch.setenv("STUB_LEDGER", str(tmp_path / "ledger"))
    write_stub(tmp_path, SHORT)
    return tmp_path


def make(folder, **settings):
    """Jobs of the stub's table, and workers for them."""
    from speechbrain_ser.table.cluster import ClusterWorkers
    from tests.table.test_grid import planned

    workers = ClusterWorkers("local", str(folder / "submitit"), **settings)
    return planned(folder), workers


def test_the_command_submits_and_makes_the_table(folder):
    """As without a cluster; a second command submits nothing."""
    done = run_command(folder, "--cluster", "local", "--time", "0:05:00")
    assert done.returncode == 0, done.stderr
    check_ledger(folder, 1)
    again = run_command(folder, "--cluster", "local")
    assert again.stdout == done.stdout
    check_ledger(folder, 1)
    assert ledger(folder).total() == 4 + 2


def test_a_failed_job_is_a_failed_run(folder):
    """With its log; the others go on.

    A ticket whose job left no trace, for example after the cluster was
    emptied, is of no worth: the run is submitted again.
    """
    weak = "  weak: {system: weak}\n"
    write_stub(
        folder, SHORT.replace(weak, f"{weak}  bad: {{system: broken}}\n")
    )
    jobs, workers = make(folder)
    gone = {"cluster": "local", "folder": "gone", "job_id": "1"}
    for job in jobs:
        write_json(f"{job.run.folder}/job.json", gone)
    execute(jobs, workers, progress=False)
    assert [job.run.status for job in jobs] == [DONE, FAILED]
    assert "this system is broken" in jobs[1].run.note
    check_ledger(folder, 1)
    assert starts(folder) == 2


def test_two_tables_submit_a_run_once(folder):
    """A run that waits in the queue is watched, not submitted again."""
    jobs, workers = make(folder)
    assert len(workers.start(jobs)) == 1
    others, more = make(folder)
    first = {ticket.job_id for _, ticket in workers.jobs}
    submitted = more.executor.submit
    more.executor.submit = None  # an attempt would raise
    more.job_class = lambda where, job_id: next(
        ticket for _, ticket in workers.jobs if ticket.job_id == job_id
    )
    assert len(more.start(others)) == 1
    assert {ticket.job_id for _, ticket in more.jobs} == first
    more.executor.submit = submitted
    while workers.jobs:
        workers.poll()
        time.sleep(0.1)
    check_ledger(folder, 1)


def test_a_late_file_is_waited_for(folder, monkeypatch):
    """A shared disk may show a node's file some time after the job's end."""
    from speechbrain_ser.table import cluster

    jobs, workers = make(folder)

    class Done:
        """A job that has ended well."""

        job_id = "1"
        done = staticmethod(lambda: True)
        exception = staticmethod(lambda: None)
        result = staticmethod(lambda: 0)

    workers.jobs = [(jobs[0], Done())]
    assert workers.poll() == []
    monkeypatch.setattr(cluster.time, "time", lambda: 1e12)
    assert workers.poll() == [(jobs[0], 0)]
    finish(jobs[0], 0)
    assert jobs[0].run.status == FAILED


def test_what_slurm_is_asked_for(folder, monkeypatch):
    """Partition, GPUs, time, and so many side by side; torchrun inside."""
    from speechbrain_ser.table import cluster

    asked = {}

    class Executor:
        """Keeps what it is told."""

        def __init__(self, where, cluster):
            asked["cluster"] = cluster

        def update_parameters(self, **settings):
            """Keeps them."""
            asked.update(settings)

    monkeypatch.setattr(submitit, "AutoExecutor", Executor)
    cluster.ClusterWorkers(
        "slurm",
        str(folder),
        processes=2,
        n_jobs=3,
        partition="gpu",
        minutes=90,
        gpus=2,
    )
    assert asked == {
        "cluster": "slurm",
        "timeout_min": 90,
        "gpus_per_node": 2,
        "name": "speechbrain_ser",
        "slurm_partition": "gpu",
        "slurm_array_parallelism": 3,
    }


def test_a_job_that_runs_out_of_time_is_submitted_again(folder):
    """By what submitit asks for: the run goes on from its checkpoint."""
    from speechbrain_ser.table.cluster import Training
    from tests.table.test_grid import planned

    training = Training(planned(folder)[0], 1)
    again = training.checkpoint()
    assert again.function is training


def test_no_slurm_here_is_one_sentence(folder, monkeypatch):
    """Instead of submitit's traceback."""
    monkeypatch.setenv("PATH", "")
    done = run_command(folder, "--cluster", "slurm")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: --cluster slurm")
