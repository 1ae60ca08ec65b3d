"""Submitting where sbatch objects: commands that say what the real ones say, without a cluster."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from robotrove.core.errors import RankFailed, RobotroveError, UsageError
from robotrove.executors.slurm import slurm_executor, slurm_queue
from robotrove.executors.slurm.slurm_executor import SlurmExecutor
from robotrove.executors.slurm.slurm_queue import Job
from robotrove.executors.slurm.submission import Submission
from robotrove.tests.support.executors.stages import bare_stage

PRINTS = {
    "scontrol": "echo 'MaxArraySize            = 1001'",
    "sacctmgr": "true",
    "id": "echo ann",
    "squeue": "true",
    "srun": "true",
    "sbatch": "echo 'sbatch: error: invalid partition specified: nowhere' >&2\n"
    "echo 'sbatch: error: Batch job submission failed' >&2; exit 1",
}


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Put commands of Slurm on the PATH; returns the file into which scancel writes."""

    def put(**prints: str) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir()
        for name, script in (PRINTS | prints).items():
            (folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))
        return tmp_path / "cancelled"

    return put


def test_its_objection_is_told_once_and_what_was_submitted_is_cancelled(
    commands: Callable[..., Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cancelled = commands(
        squeue=f'case "$*" in *%o*) echo "12|{tmp_path}/jobs/12_submission.sh"; esac',
        scancel=f'echo "$@" >> {tmp_path}/cancelled',
    )
    with pytest.raises(RobotroveError) as caught:
        SlurmExecutor().submit([bare_stage(tmp_path, "convert", 3)])
    assert str(caught.value).splitlines()[0] == (
        "sbatch: invalid partition specified: nowhere; Batch job submission failed"
    )
    assert capfd.readouterr() == ("", "")
    submission = Submission.read(tmp_path / "jobs")
    assert submission is not None
    assert submission.job_ids == []
    assert cancelled.read_text() == "12\n"


def test_a_cluster_that_cannot_cancel_either_hides_no_cause(commands: Callable[..., Path], tmp_path: Path) -> None:
    commands(
        scontrol="echo 'Unable to contact slurm controller' >&2; exit 1",
        scancel="echo 'scancel: error: no controller' >&2; exit 1",
    )
    with pytest.raises(RobotroveError, match="scontrol show: Unable to contact slurm controller"):
        SlurmExecutor().submit([bare_stage(tmp_path, "convert", 3)])


def test_from_within_a_job_the_jobs_inherit_nothing_of_it(
    commands: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """srun would take it for options; with memory by CPU and by node at once, it gives up."""
    own = {"SLURM_CONF": "/etc/slurm.conf", "SBATCH_ACCOUNT": "lab"}
    given = {"SLURM_JOB_ID": "5", "SLURM_MEM_PER_CPU": "100", "SRUN_CPUS_PER_TASK": "3"}
    # sbatch would let these win over what is submitted.
    given |= {"SBATCH_JOB_NAME": "mine", "SBATCH_TIMELIMIT": "3", "SBATCH_PARTITION": "debug", "SBATCH_EXPORT": "NONE"}
    for name, value in (own | given).items():
        monkeypatch.setenv(name, value)
    commands(sbatch=f"export -p > {tmp_path}/seen; echo Submitted batch job 7")
    SlurmExecutor(partition="main").submit([bare_stage(tmp_path, "convert", 1)])
    seen = (tmp_path / "seen").read_text()
    assert [name for name in own | given if f"{name}=" in seen] == [*own]
    assert {name: os.environ[name] for name in given} == given


def test_it_does_not_wait_for_what_never_starts(commands: Callable[..., Path], tmp_path: Path) -> None:
    commands(sbatch="echo Submitted batch job 7", squeue="echo '7|N/A|PENDING|PartitionTimeLimit|'")
    with pytest.raises(UsageError, match="job 7: cannot start: PartitionTimeLimit"):
        SlurmExecutor().run([bare_stage(tmp_path, "convert", 1)], lambda: None)


def test_it_does_not_wait_for_a_held_job_alone(
    commands: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm_executor, "_QUEUE_EVERY_S", 0.1)
    waiting = "7|N/A|PENDING|JobHeldUser|\\n8|N/A|PENDING|Dependency|\\n"
    commands(sbatch="echo Submitted batch job 7", squeue=f"printf '{waiting}'")
    with pytest.raises(RobotroveError) as caught:
        SlurmExecutor().run([bare_stage(tmp_path, "convert", 1)], lambda: None)
    assert str(caught.value).startswith("job 7: is held (JobHeldUser), and nothing else runs")
    assert f"scontrol release 7, then robotrove status {tmp_path} --watch" in str(caught.value)
    assert caught.value.exit_code == 1


def test_marks_of_completed_jobs_are_waited_for(
    commands: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On NFS a mark is visible some time after the job that made it is over."""
    monkeypatch.setattr(slurm_executor, "_QUEUE_EVERY_S", 0.1)
    late, stage = tmp_path / "late", bare_stage(tmp_path, "convert", 1)
    (stage.logs / "completions").mkdir(parents=True, exist_ok=True)
    asked = f"[ -e {late} ] && : > {stage.logs}/completions/00000; : > {late}; echo '7|COMPLETED'"
    commands(sbatch="echo Submitted batch job 7", sacct=asked)
    SlurmExecutor().run([stage], lambda: None)
    assert stage.missing() == []


def test_and_not_for_ever(commands: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm_executor, "_QUEUE_EVERY_S", 0.1)
    monkeypatch.setattr(slurm_executor, "NFS_GRACE_S", 0.5)
    commands(sbatch="echo Submitted batch job 7", sacct="echo '7|COMPLETED'")
    with pytest.raises(RankFailed, match="job 7_0 is completed: its mark is not visible on"):
        SlurmExecutor().run([bare_stage(tmp_path, "convert", 1)], lambda: None)


def test_held_jobs_count_where_nothing_continues_without_them() -> None:
    held, after = Job("1", 0, "PENDING", "JobHeldUser"), Job("2", 0, "PENDING", "Dependency")
    requeued = Job("3", 0, "PENDING", "launch failed requeued held")
    assert slurm_queue.held([held, after, requeued]) == [held, requeued]
    assert slurm_queue.held([Job("4", 0, "REQUEUE_HOLD")]) == [Job("4", 0, "REQUEUE_HOLD")]
    for other in (Job("5", 0, "RUNNING"), Job("5", 0, "PENDING", "Priority")):
        assert slurm_queue.held([held, after, other]) == []
    assert slurm_queue.held([after]) == []
