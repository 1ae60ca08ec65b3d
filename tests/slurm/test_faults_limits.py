"""Jobs that need more than they asked for: time is given again, memory is said to be missing."""

from __future__ import annotations

from robotrove.tests.slurm.disturbed import Run, ended, middle_of
from robotrove.tests.slurm.jobs import live, slurm, task_of, wait_for


def test_a_time_limit_shorter_than_a_shard(run: Run) -> None:
    """The job queues itself again, and goes on at the episode that it was in."""
    run.hold(1)
    command = run.start("executor.time=1", "executor.signal_before=20")
    old = run.worker_of(1)
    job = task_of(run.output, 1)
    wait_for(lambda: not old.is_running(), "the time limit")
    run.worker_of(1, but=old.pid)
    assert task_of(run.output, 1) == job, "something else was submitted"
    assert "Restarts=1" in slurm("scontrol", "show", "job", job)
    run.let_go(1)
    run.goes_on_by_itself(command)


def test_a_task_over_its_memory(run: Run) -> None:
    run.hold(1)
    run.gates.swell(middle_of(1), megabytes=1000)
    done = ended(run.start("executor.mem=700MB"))
    assert done.returncode == 1
    assert "stage convert: 1 rank(s) failed" in done.stderr
    assert "memory" in done.stderr
    assert live(run.output) == []
    assert "memory" in run.status()["failures"][0]["why"]
    run.let_go(1)
    run.finish("executor.mem=2GB")
