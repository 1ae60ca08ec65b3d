"""Who submits and who controls die: the run goes on, or is found again by its name."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from robotrove.core.workspace import Workspace
from robotrove.pipelines.run.stages import stage_of, stages
from robotrove.pipelines.spec.resolved_pipeline import CONVERT
from robotrove.tests.slurm.disturbed import SHARDS, Run, ended
from robotrove.tests.slurm.jobs import live, submission, wait_for, wait_until_over
from robotrove.tests.support.places import ROOT

SCRIPT = ROOT / "slurm" / "local_cluster.sh"


def _kill_with_sbatch(number: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put an sbatch into the path that submits, and kills who called it for the number-th time."""
    folder.mkdir()
    real, count = shutil.which("sbatch"), folder / "count"
    program = folder / "sbatch"
    program.write_text(
        f'#!/bin/sh\n{real} "$@" || exit\necho >>{count}\n[ $(wc -l <{count}) -ne {number} ] || kill -9 $PPID\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.parametrize("number", [1, 2])
def test_the_submitter_is_killed_between_two_jobs(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Nobody noted its last job, and the rest of the chain is missing."""
    run.hold(0, 1, 2, 3)
    with monkeypatch.context() as patch:
        _kill_with_sbatch(number, tmp_path / "bin", patch)
        assert ended(run.start()).returncode == -signal.SIGKILL
    noted = submission(run.output).job_ids
    assert len(noted) == number - 1
    queued = {job.job_id for job in live(run.output)}
    assert len(queued) == number
    assert set(noted) < queued

    if noted:
        for rank in range(SHARDS):
            run.worker_of(rank)
    status = run.status()
    assert status["state"] in ("pending", "running")
    assert set(status["jobs"]) == queued
    for told in (run.is_refused(), run.cancel()):
        assert all(job in told for job in queued), told
    wait_until_over(run.output)
    assert run.status()["state"] == ("stopped" if noted else "planned")
    run.let_go(0, 1, 2, 3)
    run.finish()


def test_the_waiting_command_is_killed(run: Run) -> None:
    """The jobs finish the run without it."""
    run.hold(0)
    command = run.start()
    run.worker_of(0)
    last = stages(Workspace.for_output(run.output))[-1].name
    wait_for(lambda: any(last in batch.stages for _, batch in submission(run.output).batches), "the last job")
    command.kill()
    assert ended(command).returncode == -signal.SIGKILL
    assert run.status()["state"] == "running"
    assert submission(run.output).job_ids[0] in run.is_refused()
    run.let_go(0)
    wait_until_over(run.output)
    assert run.status()["state"] == "finished"
    before = submission(run.output)
    run.finish()
    assert submission(run.output) == before, "something was submitted for a run that is finished"


def test_the_controller_is_killed(run: Run, cluster: Path) -> None:
    """Ranks finish meanwhile; the command that waits notices nothing."""
    run.hold(0, 1, 2, 3)
    command = run.start()
    workers = [run.worker_of(rank) for rank in range(SHARDS)]
    started = max(worker.create_time() for worker in workers)
    wait_for(lambda: (cluster / "state" / "job_state").stat().st_mtime > started, "the controller's state on disk")
    os.kill(int((cluster / "run" / "slurmctld.pid").read_text()), signal.SIGKILL)
    assert run.status()["state"] == "running"
    run.let_go(0, 1, 2, 3)
    convert = stage_of(Workspace.for_output(run.output), CONVERT)
    wait_for(lambda: not convert.missing(), "all shards")
    up = subprocess.run(
        [SCRIPT, "up"], env={**os.environ, "ROBOTROVE_CLUSTER": str(cluster)}, capture_output=True, text=True
    )
    assert up.returncode == 0, up.stdout + up.stderr
    run.goes_on_by_itself(command)
