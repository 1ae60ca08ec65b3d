"""What the tests on a real cluster share: commands, waiting, jobs and the processes of jobs."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil

from robotrove.core.workspace import Workspace
from robotrove.executors.slurm import slurm_queue
from robotrove.executors.slurm.slurm_queue import Job
from robotrove.executors.slurm.submission import Submission
from robotrove.tests.support.pipelines.runs import run_cli, start_cli

ON_CLUSTER = ("--executor", "slurm")
# Two jobs fit on a node at a time; nothing here needs so much.
EXECUTOR = {"time": 30, "mem": "2GB", "cpus": 4}

T = TypeVar("T")


def wait_for(look: Callable[[], T], what: str, timeout_s: float = 240.0) -> T:
    """Look again and again until there is something, and return that; never a moment longer."""
    deadline = time.monotonic() + timeout_s
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited {timeout_s:.0f} s in vain for {what}; {slurm('squeue')}"
        time.sleep(0.1)
    return found


def slurm(*command: str) -> str:
    """Run one of Slurm's commands, which must succeed, and return what it prints."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


def submit(pipeline: Path, output: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Submit a run and return at once."""
    return run_cli(pipeline, output, *ON_CLUSTER, *more)


def start_waiting(pipeline: Path, output: Path, *more: str) -> subprocess.Popen[str]:
    """Submit a run by a command that stays until it is over."""
    return start_cli(pipeline, output, *ON_CLUSTER, "--wait", *more)


def finish(pipeline: Path, output: Path, *more: str) -> None:
    """Go on with a run and wait for its end, which must be a good one."""
    done = submit(pipeline, output, "--wait", *more)
    assert done.returncode == 0, done.stderr


def submission(output: Path) -> Submission:
    """Return what the last command submitted."""
    found = Submission.read(Workspace.for_output(output).jobs)
    assert found is not None
    return found


def live(output: Path) -> list[Job]:
    """Return the jobs of a run that are not over."""
    return slurm_queue.live_jobs(submission(output).name)


def wait_until_over(output: Path) -> None:
    """Wait until no job of a run is left."""
    wait_for(lambda: not live(output), "the end of all jobs")


def task_of(output: Path, rank: int, stage: str = "convert") -> str:
    """Return the job that has a rank, as Slurm's commands take it."""
    [found] = [f"{job}_{task}" for job, task, ranks in submission(output).jobs_of(stage) if rank in ranks]
    return found


def stepd_of(pid: int) -> psutil.Process:
    """Return the slurmstepd that watches the step that a process belongs to."""
    return next(parent for parent in psutil.Process(pid).parents() if parent.name() == "slurmstepd")
