"""What the ranks of a run are doing, with commands that print what the real ones printed.

The real ones are asked in tests/slurm.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from robotrove.core.errors import RobotroveError
from robotrove.executors.slurm import slurm_queue
from robotrove.executors.slurm.job_states import JobStates, RankStates, last_words, tail
from robotrove.executors.slurm.slurm_queue import Job
from robotrove.executors.slurm.submission import Batch, Submission
from robotrove.executors.stage import RankMarks, Stage
from robotrove.tests.support.executors.stages import bare_stage

# squeue --noheader --array --name … --format "%F|%K|%T|%r|%N", of Slurm 22.05
SQUEUE = """\
1|2|PENDING|JobArrayTaskLimit|
1|3|PENDING|JobArrayTaskLimit|
2|N/A|PENDING|Dependency|
1|1|RUNNING|None|n1
1|0|RUNNING|None|n1
"""
# sacct --noheader --parsable2 --allocations --format JobID,State --jobs 1,2
SACCT = """\
2|COMPLETED
1_0|COMPLETED
1_1|FAILED
1_[2-3%2]|CANCELLED by 0
"""
SUBMISSION = Submission(
    "robotrove-x",
    "slurm",
    "ann",
    "login1",
    [
        ("1", Batch(("convert",), tuple((("convert", rank), ("convert", rank + 1)) for rank in range(0, 8, 2)))),
        ("2", Batch(("commit", "report"), ((("commit", 0), ("report", 0)),))),
    ],
)
Commands = Callable[..., None]


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """Have commands of Slurm print something; those that are not named are not on this machine."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def put(*, code: int = 0, **prints: str) -> None:
        for name, text in prints.items():
            (folder / name).write_text(f"#!/bin/sh\nprintf '%s' '{text}' {'>&2' if code else ''}\nexit {code}\n")
            (folder / name).chmod(0o755)

    return put


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    SUBMISSION.write(_made(tmp_path / "jobs"))
    return tmp_path / "jobs"


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _of(jobs: Path, stage: Stage, *, is_held: bool = False) -> tuple[Sequence[int], Sequence[int], Sequence[int]]:
    found = JobStates(jobs).of(stage, is_held=is_held)
    return found.running, found.pending, found.failed


class TestQueue:
    def test_jobs_and_tasks_of_arrays(self, commands: Commands) -> None:
        commands(squeue=SQUEUE)
        assert slurm_queue.live_jobs("robotrove-x") == [
            Job("1", 2, "PENDING", "JobArrayTaskLimit"),
            Job("1", 3, "PENDING", "JobArrayTaskLimit"),
            Job("2", 0, "PENDING", "Dependency"),
            Job("1", 1, "RUNNING", "None", "n1"),
            Job("1", 0, "RUNNING", "None", "n1"),
        ]
        assert [job.is_running for job in slurm_queue.live_jobs("robotrove-x")] == [False, False, False, True, True]

    def test_how_jobs_ended(self, commands: Commands) -> None:
        commands(sacct=SACCT)
        assert slurm_queue.ended_states(["1", "2"]) == {
            ("2", slurm_queue.REST): "COMPLETED",
            ("1", 0): "COMPLETED",
            ("1", 1): "FAILED",
            ("1", slurm_queue.REST): "CANCELLED by 0",
        }

    def test_without_accounting_nobody_knows_how_they_ended(self, commands: Commands) -> None:
        assert slurm_queue.ended_states(["1"]) == {}
        commands(sacct="Slurm accounting storage is disabled", code=1)
        assert slurm_queue.ended_states(["1"]) == {}

    @pytest.mark.parametrize(
        ("printed", "expected"), [("MaxArraySize            = 1001\n", 1001), ("MaxArraySize = 0\n", 1), ("", 1001)]
    )
    def test_the_length_of_arrays(self, commands: Commands, printed: str, expected: int) -> None:
        commands(scontrol=f"MaxJobCount = 7\n{printed}")
        assert slurm_queue.max_array_size() == expected

    def test_a_cluster_that_does_not_answer_is_told(self, commands: Commands) -> None:
        commands(squeue="slurm_load_jobs error: Unable to contact slurm controller (connect failure)", code=1)
        with pytest.raises(RobotroveError, match=r"squeue --all: slurm_load_jobs error: Unable to contact"):
            slurm_queue.live_jobs("x")

    def test_a_machine_without_a_cluster_is_told(self, commands: Commands) -> None:
        assert not slurm_queue.is_here()
        with pytest.raises(RobotroveError, match="squeue: is missing on this machine") as caught:
            slurm_queue.live_jobs("x")
        assert 'executor="local"' in str(caught.value)


# sacctmgr -nP show assoc …, show qos …; both are the same command
SACCTMGR = """\
case "$3" in
    assoc) printf '%s' '{assoc}' ;;
    user) printf '%s' 'lab' ;;
    qos) printf '%s' '{qos}' ;;
esac
"""


@pytest.fixture
def limits(tmp_path: Path, commands: Commands) -> Callable[..., None]:
    """Have sacctmgr tell limits."""

    def put(assoc: str, qos: str, queued: int) -> None:
        commands(squeue="1\n" * queued, id="ann\n", scontrol="ClusterName             = here\n")
        path = tmp_path / "bin" / "sacctmgr"
        path.write_text("#!/bin/sh\n" + SACCTMGR.format(assoc=assoc, qos=qos))
        path.chmod(0o755)

    return put


class TestSubmittable:
    @pytest.mark.parametrize(
        ("assoc", "qos", "queued", "asked", "expected"),
        [
            ("lab||||normal\n", "normal||\n", 5, (None, None), None),
            ("lab|20|||normal\n", "normal||\n", 5, (None, None), 15),
            ("lab|20|8||normal\n", "normal||\n", 0, (None, None), 8),
            ("lab|20|||normal\n", "normal|7|\n", 0, (None, None), 7),
            ("lab|20|||normal\n", "normal||6\n", 0, (None, None), 6),
            ("lab|20|||normal\n", "normal||\nlong|3|\n", 0, (None, "long"), 3),
            ("lab|20|||normal\n", "normal|3|\nlong||\n", 0, (None, "long"), 20),
            ("lab|20||long|normal,long\n", "normal|3|\nlong|4|\n", 0, (None, None), 4),
            ("lab|20|||normal\nother|9|||normal\n", "normal||\n", 0, (None, None), 20),
            ("lab|20|||normal\nother|9|||normal\n", "normal||\n", 0, ("other", None), 9),
            ("lab|20|||normal\n", "normal||\n", 30, (None, None), -10),
        ],
    )
    def test_the_smallest_limit_counts(
        self,
        limits: Callable[..., None],
        assoc: str,
        qos: str,
        queued: int,
        asked: tuple[str | None, str | None],
        expected: int | None,
    ) -> None:
        limits(assoc, qos, queued)
        assert slurm_queue.submittable(*asked) == expected

    def test_what_sbatch_takes_from_the_environment_counts_too(
        self, limits: Callable[..., None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        limits("lab|20|||normal\nother|9|||normal,long\n", "normal||\nlong|4|\n", 0)
        monkeypatch.setenv("SBATCH_ACCOUNT", "other")
        assert slurm_queue.submittable(None, None) == 9
        assert slurm_queue.submittable("lab", None) == 20
        monkeypatch.setenv("SBATCH_QOS", "long")
        assert slurm_queue.submittable(None, None) == 4

    def test_a_cluster_without_accounting_has_none(self, commands: Commands) -> None:
        commands(sacctmgr="You are not running a supported accounting_storage plugin", code=1)
        commands(id="ann\n")
        assert slurm_queue.submittable(None, None) is None


class TestRanks:
    def test_what_was_never_submitted(self, jobs: Path, tmp_path: Path) -> None:
        stage = bare_stage(tmp_path, "convert", 3, done=[1])
        assert _of(tmp_path / "no jobs", stage) == ([], [], [])
        assert _of(tmp_path / "no jobs", stage, is_held=True) == ([], [0, 2], [])
        RankMarks(stage.logs).fail(2, "damaged")
        assert _of(tmp_path / "no jobs", stage, is_held=True) == ([], [0], [2])
        assert _of(tmp_path / "no jobs", stage) == ([], [], [2])

    def test_by_the_queue_and_by_what_ranks_note(self, jobs: Path, tmp_path: Path, commands: Commands) -> None:
        commands(squeue=SQUEUE)
        stage = bare_stage(tmp_path, "convert", 8, done=[0])
        with RankMarks(stage.logs).at_work(2):
            assert _of(jobs, stage) == ([2], [1, 3, 4, 5, 6, 7], [])
        RankMarks(stage.logs).fail(2, "damaged")
        assert _of(jobs, stage) == ([], [1, 3, 4, 5, 6, 7], [2])
        RankMarks(stage.logs).fail(4, "damaged")  # its job was queued again, and runs all of its ranks again
        assert _of(jobs, stage) == ([], [1, 3, 4, 5, 6, 7], [2])
        assert _of(jobs, bare_stage(tmp_path, "report", 1)) == ([], [0], [])

    def test_what_no_job_is_left_for_has_failed(self, jobs: Path, tmp_path: Path, commands: Commands) -> None:
        commands(squeue=SQUEUE.replace("1|3|PENDING|JobArrayTaskLimit|\n", "").replace("1|0|RUNNING|None|n1\n", ""))
        stage = bare_stage(tmp_path, "convert", 8, done=[0, 6])
        assert _of(jobs, stage) == ([], [2, 3, 4, 5], [1, 7])

    @pytest.mark.parametrize("answers", [False, True])
    def test_a_machine_that_cannot_ask_has_the_files(
        self, jobs: Path, tmp_path: Path, commands: Commands, answers: bool
    ) -> None:
        if answers:
            commands(squeue="slurm_load_jobs error: Unable to contact slurm controller", code=1)
        stage = bare_stage(tmp_path, "convert", 4, done=[3])
        RankMarks(stage.logs).fail(1, "damaged")
        with RankMarks(stage.logs).at_work(0):
            assert JobStates(jobs).live is None
            assert _of(jobs, stage) == ([0], [2], [1])

    def test_a_run_by_submitit_without_a_cluster_asks_nobody(self, tmp_path: Path, commands: Commands) -> None:
        local = Submission("robotrove-x", "local", "ann", "here", SUBMISSION.batches)
        local.write(_made(tmp_path / "local jobs"))
        states = JobStates(tmp_path / "local jobs")
        assert states.live == {}
        stage = bare_stage(tmp_path, "convert", 2)
        assert states.of(stage, is_held=False) == RankStates([], [], [])


class TestFailures:
    def test_why(self, jobs: Path, tmp_path: Path, commands: Commands) -> None:
        commands(squeue="", sacct=SACCT)
        stage = bare_stage(tmp_path, "convert", 8)
        RankMarks(stage.logs).fail(0, "demos.hdf5: damaged")
        (jobs / "1_1_0_log.out").write_text("starting\nModuleNotFoundError: No module named 'h5py'\nsrun: 1 task\n")
        states = JobStates(jobs)
        assert states.failures(stage, [0, 2, 4]) == {
            0: "demos.hdf5: damaged",
            2: "job 1_1 is failed: ModuleNotFoundError: No module named 'h5py'",
            4: "job 1_2 is cancelled by 0",
        }
        assert states.log(stage, 3) == jobs / "1_1_0_log.out"
        report = bare_stage(tmp_path, "report", 1)
        assert states.failures(report, [0]) == {
            0: f"job 2_0 is completed: its mark is not visible on {socket.gethostname()}"
        }
        assert states.log(report, 0) == jobs / "2_0_log.out"

    def test_without_accounting(self, jobs: Path, tmp_path: Path, commands: Commands) -> None:
        commands(squeue="")
        assert JobStates(jobs).failures(bare_stage(tmp_path, "convert", 8), [4]) == {4: "job 1_2 is over"}

    def test_without_a_job(self, tmp_path: Path) -> None:
        stage = bare_stage(tmp_path, "convert", 2)
        states = JobStates(tmp_path / "no jobs")
        assert states.failures(stage, [1]) == {1: "was not started"}
        assert states.log(stage, 1) is None


def test_the_end_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert (tail(log), last_words(log), last_words(None)) == ([], "", "")
    log.write_bytes(b"x" * 9000 + b"\n\nslurmstepd: error: *** JOB 7 ON n1 CANCELLED ***  \n\xff last\n")
    assert tail(log)[-2:] == ["slurmstepd: error: *** JOB 7 ON n1 CANCELLED ***", "� last"]
    assert os.stat(log).st_size > sum(map(len, tail(log))) > 4000
    assert last_words(log) == "slurmstepd: error: *** JOB 7 ON n1 CANCELLED ***"
