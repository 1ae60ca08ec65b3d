"""A run on the cluster that a test holds still in the middle of chosen shards, to disturb it there."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from robotrove.core.workspace import Workspace
from robotrove.tests.slurm import jobs
from robotrove.tests.slurm.gates import Gates
from robotrove.tests.slurm.jobs import wait_for
from robotrove.tests.support.pipelines import faults
from robotrove.tests.support.pipelines.runs import assert_encoded_once, assert_no_leftovers, assert_same_dataset

FRAMES, PER_SHARD, SHARDS = 60, 5, 4  # a shard closes at 300 frames
EPISODES = PER_SHARD * SHARDS


@dataclass(frozen=True)
class Run:
    """A run of four shards, one in each job.

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

    def submit(self) -> None:
        """Submit it by a command that does not stay."""
        done = jobs.submit(self.pipeline, self.output)
        assert done.returncode == 0, done.stderr

    def start(self, *more: str) -> subprocess.Popen[str]:
        """Submit it by a command that stays until it is over."""
        return jobs.start_waiting(self.pipeline, self.output, *more)

    def finish(self, *more: str) -> None:
        """Go on with it, wait for its end, and check everything about it."""
        jobs.finish(self.pipeline, self.output, *more)
        self.check()

    def goes_on_by_itself(self, command: subprocess.Popen[str]) -> None:
        """The command that was there before the fault ends well, and everything is as it must be."""
        done = ended(command)
        assert done.returncode == 0, done.stderr
        self.check()

    def check(self, *, twice: Collection[int] = ()) -> None:
        """The dataset is the undisturbed one, nothing but `twice` was made twice, and nothing is left over."""
        assert_same_dataset(self.output, self.undisturbed)
        assert_encoded_once(self.output, but=twice)
        assert_no_leftovers(self.output)

    def is_refused(self) -> str:
        """The same command does not begin while jobs are at work; returns what it says."""
        done = jobs.submit(self.pipeline, self.output, "--wait")
        assert done.returncode == 2, done.stderr
        assert "working on this run" in done.stderr
        return done.stderr

    def cancel(self) -> str:
        """Return what `robotrove cancel` says."""
        done = faults.command("cancel", self._run_dir)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def status(self) -> dict[str, Any]:
        """Return what `robotrove status` says."""
        done = faults.command("status", self._run_dir, "--json")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    @property
    def _run_dir(self) -> Path:
        return Workspace.for_output(self.output).run_dir

    def hold(self, *ranks: int) -> None:
        """Close the gate in the middle of each shard, where two of its episodes are committed."""
        for rank in ranks:
            self.gates.close(middle_of(rank))

    def let_go(self, *ranks: int) -> None:
        """Open these gates."""
        for rank in ranks:
            self.gates.open(middle_of(rank))

    def worker_of(self, rank: int, *, but: int = 0) -> psutil.Process:
        """Wait for a worker at the gate of a rank, another one than `but`."""
        arrived = wait_for(lambda: set(self.gates.arrived(middle_of(rank))) - {but}, f"rank {rank} at its gate")
        [pid] = arrived
        return psutil.Process(pid)

    def end_processes(self) -> None:
        """End what still works on it: what the cluster has lost sight of."""
        for process in psutil.process_iter(["cmdline"]):
            if any(argument.startswith(str(self._run_dir)) for argument in process.info["cmdline"] or ()):
                process.kill()


def middle_of(rank: int) -> int:
    """Return the episode that the gate of a rank is before."""
    return PER_SHARD * rank + 2


def ended(command: subprocess.Popen[str], timeout_s: float = 480.0) -> subprocess.CompletedProcess[str]:
    """Wait for a command, and return how it ended."""
    stdout, stderr = command.communicate(timeout=timeout_s)
    return subprocess.CompletedProcess(command.args, command.returncode, stdout, stderr)
