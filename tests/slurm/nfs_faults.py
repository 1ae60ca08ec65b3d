"""Faults of runs on a cluster where each node, and the login node, sees the files through an NFS client of its own.

    python -m tests.slurm.nfs_faults [--caches ACREGMIN ACDIRMIN] [FAULT…]

Starts such a cluster, tries each fault on a run of its own, and prints a table: how the commands ended, whether the
dataset is that of an undisturbed run, what was set aside as damaged, and which episodes were encoded twice. Exits
with 1 unless every run is equal after at most two reruns, nothing is set aside, and only episodes are encoded twice
that were lost, or in the hands of two processes. Needs root, FUSE and fusepy.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from robotrove.core.workspace import Workspace
from robotrove.executors.slurm.submission import Submission
from robotrove.tests.slurm import jobs
from robotrove.tests.slurm.disturbed import EPISODES, FRAMES, PER_SHARD, SHARDS, Run, ended, middle_of
from robotrove.tests.slurm.gates import ENVIRONMENT, GATE, Gates
from robotrove.tests.slurm.jobs import EXECUTOR, ON_CLUSTER, slurm, wait_for
from robotrove.tests.support.pipelines.runs import assert_same_dataset, events, run_cli, sample, write_pipeline
from robotrove.tests.support.pipelines.runs import command as run_command
from robotrove.tests.support.places import ROOT

SCRIPT = ROOT / "slurm" / "local_cluster.sh"
LINUX_CACHES = (3.0, 30.0)  # acregmin and acdirmin, in seconds
MOST_RERUNS = 2


def missing() -> str:
    """Say why this machine cannot have such a cluster; empty if it can."""
    if os.geteuid() != 0:
        return "only root mounts views of NFS clients"
    if not Path("/dev/fuse").exists():
        return "views of NFS clients need /dev/fuse"
    return "" if find_spec("fuse") else "views of NFS clients need the package fusepy"


@dataclass(frozen=True)
class NfsCluster:
    """A cluster of `local_cluster.sh up --views`.

    Attributes:
        folder: Its own folder.
    """

    folder: Path

    @property
    def shared(self) -> Path:
        """The folder that all nodes see; this process sees the server's side of it."""
        return self.folder / "shared"

    @property
    def _env(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # of a python3 that has fusepy
        return {"ROBOTROVE_CLUSTER": str(self.folder), "SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": path}

    def script(self, *arguments: str) -> None:
        """Run the script that starts and ends it."""
        done = subprocess.run([SCRIPT, *arguments], env=os.environ | self._env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def login(self, command: Sequence[str], env: Mapping[str, str]) -> subprocess.Popen[str]:
        """Start a command on the login node."""
        return subprocess.Popen(
            [SCRIPT, "login", *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, **self._env, **env},
        )


@contextmanager
def nfs_cluster(caches: Sequence[float]) -> Iterator[NfsCluster]:
    """Start a cluster, have this process's commands of Slurm speak with it, and end it."""
    before = os.environ.get("SLURM_CONF")
    with tempfile.TemporaryDirectory(prefix="nfs-") as folder:  # sockets take short paths
        cluster = NfsCluster(Path(folder) / "cluster")
        try:
            cluster.script("up", "--views", *map(str, caches))
            os.environ["SLURM_CONF"] = str(cluster.folder / "slurm.conf")
            yield cluster
        finally:
            os.environ.pop("SLURM_CONF", None)
            if before is not None:
                os.environ["SLURM_CONF"] = before
            cluster.script("down", "--purge")


@dataclass(frozen=True)
class NfsRun(Run):
    """A run with its command on the login node; its files are in the shared folder, its gates are not.

    Attributes:
        cluster: Where it runs.
        closed: Folder of its gates.
    """

    cluster: NfsCluster
    closed: Path

    def start(self, *more: str, **env: str) -> subprocess.Popen[str]:
        command = run_command(self.pipeline, self.output, *ON_CLUSTER, "--wait", *more)
        return self.cluster.login(command, {ENVIRONMENT: str(self.closed), **env})

    @property
    def shards(self) -> Path:
        """Its folder of shards."""
        return Workspace.for_output(self.output).shards


def made(cluster: NfsCluster, name: str) -> NfsRun:
    """Return a run that has not begun; all of its files are new to the nodes."""
    folder = cluster.shared / name.replace(" ", "-")
    pipeline = write_pipeline(
        folder,
        [sample(folder, "demos.hdf5", EPISODES, FRAMES)],
        steps=[GATE],
        dataset=["aggregator", "dataset_stats"],
        executor=EXECUTOR,
    )
    apart = cluster.folder / "apart" / folder.name
    done = run_cli(pipeline, apart / "undisturbed", "--executor", "local")
    assert done.returncode == 0, done.stderr
    return NfsRun(pipeline, folder / "out", apart / "undisturbed", Gates(apart / "gates"), cluster, apart / "gates")


@dataclass
class Outcome:
    """What became of a run.

    Attributes:
        name: Its fault.
        codes: Exit codes of the commands, one after the other.
        is_equal: True if the dataset is that of an undisturbed run.
        damaged: Folders that were set aside.
        twice: Episodes that were started again after they had been committed.
        seconds: How long all of it took.
        said: What the commands said on standard error.
    """

    name: str
    codes: list[int] = field(default_factory=list)
    is_equal: bool = False
    damaged: list[str] = field(default_factory=list)
    twice: set[int] = field(default_factory=set)
    seconds: float = 0.0
    said: list[str] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        """True if the fault cost no more than it may."""
        most = 1 if self.name == UNDISTURBED else 1 + MOST_RERUNS
        is_once = self.twice <= LOST.get(self.name, set())
        return self.is_equal and len(self.codes) <= most and not self.damaged and is_once

    def __str__(self) -> str:
        codes, twice = ", ".join(map(str, self.codes)), ", ".join(map(str, sorted(self.twice))) or "none"
        equal, damaged = "yes" if self.is_equal else "NO", ", ".join(self.damaged) or "none"
        verdict = "right" if self.is_right else "WRONG"
        return f"| {self.name} | {codes} | {equal} | {damaged} | {twice} | {self.seconds:.0f} s | {verdict} |"


HEAD = "| fault | exit codes | equal | set aside | encoded twice | time | |\n|---|---|---|---|---|---|---|"


def tried(cluster: NfsCluster, name: str) -> Outcome:
    """Try a fault on a new run, and rerun its command until it ends well, or too often."""
    run, outcome, start = made(cluster, name), Outcome(name), time.monotonic()
    fault = FAULTS[name](run)
    try:
        command = next(fault)
        while True:
            done = ended(command)
            outcome.codes.append(done.returncode)
            outcome.said.append(done.stderr)
            if done.returncode == 0 or len(outcome.codes) > 1 + MOST_RERUNS:
                break
            wait_for(lambda: not _live(run), "the end of all jobs")
            command = run.start()
        with suppress(StopIteration):
            next(fault)
        outcome.damaged = [path.name for path in run.shards.glob("*.damaged-*")]
        with suppress(AssertionError, FileNotFoundError):
            assert_same_dataset(run.output, run.undisturbed)
            outcome.is_equal = True
        outcome.twice = _started_after_commit(run.output)
    finally:
        run.end_processes()
        shutil.rmtree(run.output.parent, ignore_errors=True)
    outcome.seconds = time.monotonic() - start
    return outcome


def _live(run: NfsRun) -> bool:
    return Submission.read(Workspace.for_output(run.output).jobs) is not None and bool(jobs.live(run.output))


def _started_after_commit(output: Path) -> set[int]:
    done: set[int] = set()
    twice: set[int] = set()
    for event in events(output):
        (twice if event.episode in done else done if event.kind == "committed" else set()).add(event.episode)
    return twice


# Faults: each starts the command, does its deed while two episodes of each shard are committed and the third waits at a
# gate, opens the gates and yields the command. What comes after that is done when the run has ended well.

Fault = Callable[[NfsRun], Iterator[subprocess.Popen[str]]]


@contextmanager
def _held(run: NfsRun, **env: str) -> Iterator[subprocess.Popen[str]]:
    ranks = range(SHARDS)
    run.hold(*ranks)
    command = run.start(**env)
    for rank in ranks:
        run.worker_of(rank)
    yield command
    run.let_go(*ranks)


def _undisturbed(run: NfsRun) -> Iterator[subprocess.Popen[str]]:
    yield run.start()


def _worker_killed(run: NfsRun) -> Iterator[subprocess.Popen[str]]:
    with _held(run) as command:
        run.worker_of(0).kill()
    yield command


def _job_killed(run: NfsRun) -> Iterator[subprocess.Popen[str]]:
    with _held(run) as command:
        parent = run.worker_of(0).parent()
        assert parent is not None
        parent.kill()
    yield command


def _stepd_killed(run: NfsRun) -> Iterator[subprocess.Popen[str]]:
    """The worker lives on without a job, beside its successor."""
    with _held(run) as command:
        worker = run.worker_of(1)
        jobs.stepd_of(worker.pid).kill()
        slurm("scancel", jobs.task_of(run.output, 1))
    yield command
    wait_for(lambda: not worker.is_running(), "the end of the old worker")


def _worker_stopped(run: NfsRun) -> Iterator[subprocess.Popen[str]]:
    """It wakes up when its successor has finished the run, and believes what it saw before."""
    with _held(run) as command:
        worker = run.worker_of(1)
        worker.suspend()
        jobs.stepd_of(worker.pid).kill()
        slurm("scancel", jobs.task_of(run.output, 1))
    yield command
    worker.resume()
    wait_for(lambda: not worker.is_running(), "the end of the old worker")


def _cancelled(run: NfsRun) -> Iterator[subprocess.Popen[str]]:
    with _held(run) as command:
        slurm("scancel", jobs.submission(run.output).job_ids[0])
    yield command


def _requeued(run: NfsRun) -> Iterator[subprocess.Popen[str]]:
    with _held(run) as command:
        old = run.worker_of(2)
        slurm("scontrol", "requeue", jobs.task_of(run.output, 2))
        run.worker_of(2, but=old.pid)
    yield command


def _node_down(run: NfsRun) -> Iterator[subprocess.Popen[str]]:
    with _held(run) as command:
        slurm("scontrol", "update", "nodename=n1", "state=down", "reason=test")
        wait_for(lambda: not any(job.node == "n1" for job in jobs.live(run.output)), "the jobs to be queued again")
        slurm("scontrol", "update", "nodename=n1", "state=resume")
    yield command


def _preempted(run: NfsRun) -> Iterator[subprocess.Popen[str]]:
    with _held(run) as command:
        slurm("sbatch", "--partition=urgent", "--nodelist=n2", "--exclusive", "--output=/dev/null", "--wrap=true")
        wait_for(lambda: not slurm("squeue", "--noheader", "--partition=urgent"), "the end of the urgent job")
    yield command


def _submitter_killed(run: NfsRun) -> Iterator[subprocess.Popen[str]]:
    """Nobody noted the job of the first stage, and no other is submitted."""
    real = shutil.which("sbatch")
    run.closed.with_name("bin").mkdir()
    program = run.closed.with_name("bin") / "sbatch"
    program.write_text(f'#!/bin/sh\n{real} "$@"\nkill -9 $PPID\n')
    program.chmod(0o755)
    yield run.start(PATH=f"{program.parent}{os.pathsep}{os.environ['PATH']}")


def _partials_deleted(run: NfsRun) -> Iterator[subprocess.Popen[str]]:
    with _held(run) as command:
        shutil.rmtree(run.shards / "00001.partial")
    yield command


def _episodes_deleted(run: NfsRun) -> Iterator[subprocess.Popen[str]]:
    with _held(run) as command:
        shutil.rmtree(run.shards / f"00002.partial/e{2 * PER_SHARD:07d}")
        (run.shards / f"00003.partial/e{3 * PER_SHARD:07d}/rows.parquet").unlink()
    yield command


UNDISTURBED = "undisturbed"
FAULTS: dict[str, Fault] = {
    UNDISTURBED: _undisturbed,
    "worker killed": _worker_killed,
    "job killed": _job_killed,
    "slurmstepd killed": _stepd_killed,
    "scancel": _cancelled,
    "requeue": _requeued,
    "node down": _node_down,
    "preemption": _preempted,
    "submitter killed": _submitter_killed,
    "stopped worker taken over": _worker_stopped,
    "partial shard deleted": _partials_deleted,
    "committed episodes deleted": _episodes_deleted,
}
# Episodes that may be encoded twice: they were deleted, or two processes worked on their shard.
LOST: dict[str, set[int]] = {
    "slurmstepd killed": set(range(PER_SHARD, 2 * PER_SHARD)),
    "stopped worker taken over": {middle_of(1)},
    "partial shard deleted": set(range(PER_SHARD, 2 * PER_SHARD)),
    "committed episodes deleted": {2 * PER_SHARD, 3 * PER_SHARD},
}


def main() -> int:
    """Try the faults that the command line names, else all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=f"default: all of {', '.join(FAULTS)}")
    parser.add_argument("--caches", nargs=2, type=float, default=LINUX_CACHES, metavar=("ACREGMIN", "ACDIRMIN"))
    options = parser.parse_args()
    if unknown := set(options.faults) - set(FAULTS):
        parser.error(f"no such fault: {', '.join(unknown)}; faults: {', '.join(FAULTS)}")
    if why := missing():
        parser.error(why)
    print(HEAD, flush=True)
    is_right = True
    with nfs_cluster(options.caches) as cluster:
        for name in options.faults or FAULTS:
            outcome = tried(cluster, name)
            is_right &= outcome.is_right
            print(outcome, flush=True)
            if not outcome.is_right:
                print("\n".join(outcome.said), file=sys.stderr, flush=True)
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
