"""The same runs as jobs of a cluster; submitit's local executor stands in."""

import json
import time

import pytest

from speechbrain_ser.table.layout import DONE, FAILED
from tests.table.stub import (
    TABLE,
    check_ledger,
    ledger,
    run_command,
    write_stub,
)

submitit = pytest.importorskip("submitit")
SHORT = TABLE.replace("seeds: [1, 2, 3]", "seeds: 1")


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
    check_ledger(folder, 2)
    again = run_command(folder, "--cluster", "local")
    assert again.stdout == done.stdout
    check_ledger(folder, 2)
    assert ledger(folder).total() == 2 * (4 + 2)


def test_a_failed_job_is_a_failed_run(folder):
    """With its log; the others go on."""
    from speechbrain_ser.table.execute import execute

    table = SHORT.replace("strong: {system: strong}", "bad: {system: broken}")
    write_stub(folder, table)
    jobs, workers = make(folder)
    execute(jobs, workers, progress=False)
    assert [job.run.status for job in jobs] == [DONE, FAILED]
    assert "this system is broken" in jobs[1].run.note


def test_two_tables_submit_a_run_once(folder):
    """A run that waits in the queue is watched, not submitted again."""
    jobs, workers = make(folder)
    assert len(workers.start(jobs)) == 2
    others, more = make(folder)
    first = {ticket.job_id for _, ticket in workers.jobs}
    submitted = more.executor.submit
    more.executor.submit = None  # an attempt would raise
    more.job_class = lambda where, job_id: next(
        ticket for _, ticket in workers.jobs if ticket.job_id == job_id
    )
    assert len(more.start(others)) == 2
    assert {ticket.job_id for _, ticket in more.jobs} == first
    more.executor.submit = submitted
    while workers.jobs:
        workers.poll()
        time.sleep(0.1)
    check_ledger(folder, 2)


def test_a_job_without_a_trace_is_submitted_again(folder):
    """For example after the cluster was emptied."""
    jobs, workers = make(folder)
    for job in jobs:
        path = folder / job.run.folder / "job.json"
        path.parent.mkdir(parents=True)
        path.write_text(
            json.dumps({"cluster": "local", "folder": "gone", "job_id": "1"})
        )
    from speechbrain_ser.table.execute import execute

    execute(jobs, workers, progress=False)
    check_ledger(folder, 2)


def test_a_late_file_is_waited_for(folder, monkeypatch):
    """A shared disk may show a node's file some time after the job's end."""
    from speechbrain_ser.table import cluster
    from speechbrain_ser.table.execute import finish

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
