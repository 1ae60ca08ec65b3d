"""One command at a time on a run, for as long as jobs of it wait or work."""

from __future__ import annotations

import pytest

from robotrove.core.workspace import Workspace
from robotrove.tests.slurm.disturbed import Run
from robotrove.tests.slurm.jobs import ON_CLUSTER, live, submission, submit, wait_for, wait_until_over
from robotrove.tests.support.pipelines.faults import command
from robotrove.tests.support.pipelines.runs import run_cli

OTHERS = [ON_CLUSTER, (*ON_CLUSTER, "--wait"), ("--executor", "local"), ("--fresh",), (*ON_CLUSTER, "--fresh")]


def _refused(run: Run, others: list[tuple[str, ...]]) -> None:
    """Every other command on the run is refused, and changes nothing."""
    before = submission(run.output)
    run_dir = Workspace.for_output(run.output).run_dir
    for more in others:
        done = run_cli(run.pipeline, run.output, *more)
        assert (done.returncode, done.stdout) == (2, ""), more
        assert (
            f"{run_dir}: job {', '.join(sorted({job.job_id for job in live(run.output)}, key=int))} of " in done.stderr
        )
        assert "is working on this run" in done.stderr
        assert f"robotrove cancel {run_dir} ends it" in done.stderr
    assert submission(run.output) == before
    assert sorted(path.name for path in run.output.parent.iterdir() if "out" in path.name) == ["out.run"]


def test_while_jobs_wait_and_after_cancel(run: Run) -> None:
    assert submit(run.pipeline, run.output, "executor.sbatch={hold: true}").returncode == 0
    _refused(run, OTHERS)
    assert command("cancel", Workspace.for_output(run.output).run_dir).returncode == 0
    wait_until_over(run.output)
    run.finish()


def test_while_jobs_work_and_after_they_are_over(run: Run) -> None:
    run.hold(0)
    assert submit(run.pipeline, run.output).returncode == 0
    run.worker_of(0)
    _refused(run, OTHERS[::2])
    run.let_go(0)
    wait_until_over(run.output)
    run.check()
    again = run_cli(run.pipeline, run.output, "--executor", "local")
    assert again.returncode == 0, again.stderr
    assert "already finished" in again.stdout


def test_cancelled_in_the_middle_it_goes_on_here(run: Run) -> None:
    """What the cluster has committed is not made again by a run without it."""
    run.hold(0, 1, 2, 3)
    assert submit(run.pipeline, run.output).returncode == 0
    for rank in range(4):
        run.worker_of(rank)
    wait_for(lambda: run.status()["kept"] == 8, "two episodes of each shard")
    done = command("cancel", Workspace.for_output(run.output).run_dir)
    assert (done.returncode, done.stderr) == (0, "")
    wait_until_over(run.output)
    assert run.status()["state"] == "stopped"
    run.let_go(0, 1, 2, 3)
    done = run_cli(run.pipeline, run.output, "--executor", "local", "--workers", "2")
    assert done.returncode == 0, done.stderr
    run.check()


def test_a_command_that_waits_is_ended_with_its_jobs(run: Run) -> None:
    run.hold(0)
    waiting = run.start()
    run.worker_of(0)
    done = command("cancel", Workspace.for_output(run.output).run_dir)
    assert f"interrupted process {waiting.pid}" in done.stdout
    assert "cancelled the jobs of" in done.stdout
    waiting.communicate(timeout=240)
    assert waiting.returncode in (1, 130), "it saw its jobs end, or the interrupt, first"
    wait_until_over(run.output)


def test_where_no_cluster_can_be_asked_nothing_is_begun(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert submit(run.pipeline, run.output, "executor.sbatch={hold: true}").returncode == 0
    [*_, last] = submission(run.output).job_ids
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "/nowhere")
        done = run_cli(run.pipeline, run.output, "--executor", "local")
        cancelled = command("cancel", Workspace.for_output(run.output).run_dir)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no cluster says whether the jobs" in done.stderr
    assert last in done.stderr
    assert "expected: a machine where squeue works" in done.stderr
    assert cancelled.returncode == 1
    assert "squeue: is missing on this machine" in cancelled.stderr
    assert len(live(run.output)) > 0
