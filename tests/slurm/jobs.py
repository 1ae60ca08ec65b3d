"""What the tests on a real cluster share: a run and its jobs, their processes, waiting."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil

from robotrove.core.workspace import Workspace
from robotrove.executors import slurm_queue
from robotrove.executors.slurm_queue import Job
from robotrove.executors.submission import Submission
from robotrove.tests.pipelines import faults
from robotrove.tests.pipelines.runs import (
    assert_encoded_once,
    assert_no_leftovers,
    assert_same_dataset,
    run_cli,
    start_cli,
)
from robotrove.tests.slurm.gates import Gates

ON_CLUSTER = ("--executor", "slurm")
# Two jobs fit on a node at a time; nothing here needs so much.
EXECUTOR = {"time": 30, "mem": "2GB", "cpus": 4}
FRAMES, PER_SHARD, SHARDS = 60, 5, 4  # a shard closes at 300 frames
EPISODES = PER_SHARD * SHARDS

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


def stepd_of(pid: int) -> psutil.Process:
    """Return the slurmstepd that watches the step that a process belongs to."""
    return next(parent for parent in psutil.Process(pid).parents() if parent.name() == "slurmstepd")


def ended(process: subprocess.Popen[str], timeout_s: float = 480.0) -> subprocess.CompletedProcess[str]:
    """Wait for a command, and return how it ended."""
    stdout, stderr = process.communicate(timeout=timeout_s)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


@dataclass(frozen=True)
class Run:
    """A run of four shards on the cluster, of which a test holds some still to disturb them.

    Attributes:
        pipeline: Its pipeline file.
        output: What it makes.
        undisturbed: What that must equal.
        gates: Before its episodes.
    """

    pipeline: Path
    output: Path
    undisturbed: Path
    gates: Gates

    def submit(self, *more: str) -> subprocess.CompletedProcess[str]:
        """Submit it and return at once."""
        return run_cli(self.pipeline, self.output, *ON_CLUSTER, *more)

    def start(self, *more: str) -> subprocess.Popen[str]:
        """Submit it by a command that stays until it is over."""
        return start_cli(self.pipeline, self.output, *ON_CLUSTER, "--wait", *more)

    def finish(self, *more: str) -> None:
        """Go on with it, wait for its end, and check everything about it."""
        done = self.submit("--wait", *more)
        assert done.returncode == 0, done.stderr
        self.check()

    def check(self) -> None:
        """The dataset is the undisturbed one, nothing was made twice and nothing is left over."""
        assert_same_dataset(self.output, self.undisturbed)
        assert_encoded_once(self.output)
        assert_no_leftovers(self.output)

    def status(self) -> dict[str, Any]:
        """Return what `robotrove status` says."""
        done = faults.command("status", self.workspace.run_dir, "--json")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    @property
    def workspace(self) -> Workspace:
        return Workspace.for_output(self.output)

    @property
    def submission(self) -> Submission:
        """What the last command submitted."""
        found = Submission.read(self.workspace.jobs)
        assert found is not None
        return found

    def job_of(self, rank: int, stage: str = "convert") -> str:
        """Return the job that has a rank, as Slurm's commands take it."""
        [found] = [f"{job}_{task}" for job, task, ranks in self.submission.jobs_of(stage) if rank in ranks]
        return found

    def live(self) -> list[Job]:
        """Return its jobs that are not over."""
        return slurm_queue.live_jobs(self.submission.name)

    def wait_until_over(self) -> None:
        """Wait until no job of it is left."""
        wait_for(lambda: not self.live(), "the end of all jobs")

    def hold(self, *ranks: int) -> None:
        """Close the gate in the middle of each shard, where two of its episodes are committed."""
        for rank in ranks:
            self.gates.close(middle_of(rank))

    def let_go(self, *ranks: int) -> None:
        """Open these gates."""
        for rank in ranks:
            self.gates.open(middle_of(rank))

    def worker_of(self, rank: int, *but: int) -> int:
        """Wait for a worker at the gate of a rank, another one than `but`; return its pid."""
        arrived = wait_for(lambda: set(self.gates.arrived(middle_of(rank))) - set(but), f"rank {rank} at its gate")
        [pid] = arrived
        return pid


def middle_of(rank: int) -> int:
    """Return the episode that the gate of a rank is before."""
    return PER_SHARD * rank + 2
