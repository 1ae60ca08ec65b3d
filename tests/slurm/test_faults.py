"""Processes of a run on the cluster are killed, jobs cancelled: each costs its own rank and nothing else."""

from __future__ import annotations

import re

import psutil

from robotrove.tests.slurm.disturbed import PER_SHARD, Run, ended, middle_of
from robotrove.tests.slurm.jobs import live, slurm, stepd_of, submission, task_of, wait_for, wait_until_over


def test_one_worker_and_one_job_fail_alone_and_say_why(run: Run) -> None:
    """Their siblings finish; the later stages end instead of waiting for ever, and say why in one sentence."""
    run.hold(0, 2)
    first = run.start()
    run.worker_of(0).kill()
    run.worker_of(2)
    slurm("scancel", task_of(run.output, 2))
    done = ended(first)
    assert done.returncode == 1
    assert "stage convert: 2 rank(s) failed" in done.stderr
    assert "rank 0: its worker was killed by signal 9" in done.stderr
    why = r"rank 2: job \d+_2 is (cancelled.*|over): (told to end \(scancel|.*CANCELLED)"  # accounting lags
    assert re.search(why, done.stderr), done.stderr
    assert f"resume with: robotrove run {run.output}.run/pipeline.yaml" in done.stderr

    assert live(run.output) == []
    status = run.status()
    assert status["state"] == "stopped"
    convert, *later = status["stages"]
    assert (convert["done"], convert["failed"]) == (2, 2)
    assert all(stage["failed"] == stage["ranks"] for stage in later), later
    [why] = [failure["why"] for failure in status["failures"] if failure["stage"] == later[0]["name"]]
    assert "does not begin: 2 of 4 ranks of stage convert are incomplete (0, 2)" in why

    run.let_go(0, 2)
    run.finish()


def test_the_whole_array_is_cancelled(run: Run) -> None:
    run.hold(0, 1, 2, 3)
    first = run.start()
    workers = [run.worker_of(rank) for rank in range(4)]
    slurm("scancel", submission(run.output).job_ids[0])
    done = ended(first)
    assert done.returncode == 1
    assert "stage convert: 4 rank(s) failed" in done.stderr
    assert not any(map(psutil.Process.is_running, workers))
    assert run.status()["stages"][0]["failed"] == 4
    run.let_go(0, 1, 2, 3)
    run.finish()


def test_two_live_writers_of_one_rank(run: Run) -> None:
    """Without their slurmstepd, workers live on when their jobs are over; those of the next command meet them.

    In rank 1 both are at the same episode at the same time; in rank 2 the old one comes when all is done.
    """
    run.hold(1, 2)
    run.submit()
    old = {rank: run.worker_of(rank) for rank in (1, 2)}
    run.gates.close(middle_of(2), old[2].pid)
    for worker in old.values():
        stepd_of(worker.pid).kill()
    assert submission(run.output).job_ids[0] in run.cancel()
    wait_until_over(run.output)
    assert all(worker.is_running() for worker in old.values())

    second = run.start()
    for rank, worker in old.items():
        run.worker_of(rank, but=worker.pid)
    run.let_go(1, 2)
    done = ended(second)
    assert done.returncode == 0, done.stderr
    assert old[2].is_running()
    run.gates.open(middle_of(2), old[2].pid)
    wait_for(lambda: not any(worker.is_running() for worker in old.values()), "the end of the old workers")
    run.check(twice={middle_of(1), middle_of(2), *range(PER_SHARD, 2 * PER_SHARD)})
