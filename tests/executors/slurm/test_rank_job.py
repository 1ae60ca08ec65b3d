"""What a job does with its ranks, with workers of a few lines and without a cluster."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from robotrove.core.errors import RobotroveError
from robotrove.executors.slurm.rank_job import MAX_IDLE_LIMITS, RankJob
from robotrove.executors.slurm.submission import Order
from robotrove.executors.stage import RankMarks

# Does with "STAGE RANK" what plan["STAGE RANK"] says; a rank that ends well leaves its mark, as datatrove does.
WORKER = """
import json, os, signal, socket, sys, time
from pathlib import Path
logs, plan = Path(sys.argv[1]), json.loads(sys.argv[2])
for line in sys.stdin:
    stage, rank = line.split()
    with open(logs / "who", "a") as who:
        who.write(f"{stage} {rank} {os.getpid()} {os.environ['ROBOTROVE_CPUS']}\\n")
    do = plan.get(line.strip(), "well")
    if do == "commit":
        with open(logs / f"{socket.gethostname()}-{os.getpid()}.jsonl", "a") as journal:
            journal.write('{"time": 1.0, "kind": "started", "episode": 1, "frames": 0}\\n')
            journal.write('{"time": 1.0, "kind": "committed", "episode": 1, "frames": 9}\\n')
        time.sleep(600)
    if do == "hang":
        time.sleep(600)
    if do.isdigit():
        os.kill(os.getpid(), int(do))
    if do == "fail":
        print(json.dumps({"error": f"{stage} {rank} saw something"}), flush=True)
        continue
    (logs / stage / "completions").mkdir(parents=True, exist_ok=True)
    (logs / stage / "completions" / f"{int(rank):05d}").touch()
    print(json.dumps({"error": ""}), flush=True)
"""
CONVERT = [("convert", rank) for rank in range(4)]
JobMaker = Callable[..., RankJob]


@pytest.fixture
def job(tmp_path: Path) -> JobMaker:
    """Make a job of orders; what is not planned for one of them goes well."""

    def make(orders: list[Order], plan: dict[str, str] | None = None, **more: Any) -> RankJob:
        command = ["some python", "-c", WORKER, str(tmp_path), json.dumps(plan or {})]
        settings = {"cpus": 3, "limit_s": 1e9, "stop_on_failure": False} | more
        return RankJob(orders, command=command, logs=str(tmp_path), events=str(tmp_path), **settings)

    return make


def _who(logs: Path) -> list[tuple[str, int, int, int]]:
    """Return (stage, rank, pid, CPUs) in the order in which ranks began."""
    if not (logs / "who").exists():
        return []
    lines = (line.split() for line in (logs / "who").read_text().splitlines())
    return [(stage, int(rank), int(pid), int(cpus)) for stage, rank, pid, cpus in lines]


def _began(logs: Path) -> list[Order]:
    return [(stage, rank) for stage, rank, *_ in _who(logs)]


def _complete(logs: Path, stage: str) -> list[int]:
    return sorted(int(path.name) for path in (logs / stage / "completions").glob("*"))


def _mark(logs: Path, *orders: Order) -> None:
    for stage, rank in orders:
        (logs / stage / "completions").mkdir(parents=True, exist_ok=True)
        (logs / stage / "completions" / f"{rank:05d}").touch()


def test_its_ranks_run_one_after_the_other_in_one_worker(job: JobMaker, tmp_path: Path) -> None:
    orders = [*CONVERT, ("commit", 0), ("report", 0)]
    job(orders)()
    assert _began(tmp_path) == orders
    [(pid, cpus)] = {(pid, cpus) for *_, pid, cpus in _who(tmp_path)}
    assert cpus == 3
    assert not psutil.pid_exists(pid), "its worker ends with it"


def test_the_interpreter_is_the_job_s_own(job: JobMaker, tmp_path: Path) -> None:
    """The one that submits may not exist on the node; `some python` does not."""
    job(CONVERT[:1])()
    assert _complete(tmp_path, "convert") == [0]


def test_complete_ranks_are_skipped(job: JobMaker, tmp_path: Path) -> None:
    _mark(tmp_path, CONVERT[0], CONVERT[2])
    job(CONVERT)()
    assert _began(tmp_path) == [CONVERT[1], CONVERT[3]]


def test_a_job_whose_ranks_are_complete_starts_nobody(job: JobMaker, tmp_path: Path) -> None:
    _mark(tmp_path, *CONVERT)
    job(CONVERT)()
    assert _began(tmp_path) == []


def test_a_failing_rank_stops_no_sibling_but_the_stages_after_it(
    job: JobMaker, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    work = job([*CONVERT, ("commit", 0)], {"convert 1": "fail", "convert 3": "fail"})
    with pytest.raises(RobotroveError, match="stage convert, rank 1: convert 1 saw something") as caught:
        work()
    assert "2 rank(s) of this job failed" in str(caught.value)
    assert _began(tmp_path) == CONVERT
    assert _complete(tmp_path, "convert") == [0, 2]
    assert RankMarks(tmp_path / "convert").failures() == {rank: f"convert {rank} saw something" for rank in (1, 3)}
    assert "stage convert, rank 3 failed: convert 3 saw something" in capfd.readouterr().out


def test_a_killed_worker_costs_its_rank_alone(job: JobMaker, tmp_path: Path) -> None:
    with pytest.raises(RobotroveError, match="rank 1: its worker was killed by signal 9"):
        job(CONVERT, {"convert 1": "9"})()
    assert _complete(tmp_path, "convert") == [0, 2, 3]
    assert RankMarks(tmp_path / "convert").failures() == {1: "its worker was killed by signal 9"}
    pids = [pid for *_, pid, _ in _who(tmp_path)]
    assert pids[0] == pids[1] != pids[2] == pids[3]


def test_a_program_that_cannot_start_fails_each_rank(tmp_path: Path) -> None:
    work = RankJob(
        CONVERT[:2],
        command=["python", "-c", "import nothing_like_it"],
        logs=str(tmp_path),
        events=str(tmp_path),
        cpus=1,
        limit_s=1e9,
        stop_on_failure=False,
    )
    with pytest.raises(RobotroveError, match="its worker ended with exit code 1"):
        work()
    assert RankMarks(tmp_path / "convert").failures() == dict.fromkeys((0, 1), "its worker ended with exit code 1")


class TestOnErrorStop:
    def test_no_further_rank_of_this_job(self, job: JobMaker, tmp_path: Path) -> None:
        with pytest.raises(RobotroveError, match="1 rank"):
            job(CONVERT, {"convert 1": "fail"}, stop_on_failure=True)()
        assert _began(tmp_path) == CONVERT[:2]

    def test_no_rank_once_one_of_another_job_has_failed(self, job: JobMaker, tmp_path: Path) -> None:
        RankMarks(tmp_path / "convert").fail(7, "unreadable")
        with pytest.raises(RobotroveError, match="was not started, because rank 7 failed"):
            job(CONVERT, stop_on_failure=True)()
        assert _began(tmp_path) == []

    def test_the_failures_of_others_are_no_matter_otherwise(self, job: JobMaker, tmp_path: Path) -> None:
        RankMarks(tmp_path / "convert").fail(7, "unreadable")
        job(CONVERT)()
        assert _began(tmp_path) == CONVERT


class TestPickle:
    def test_it_holds_plain_values_only(self, job: JobMaker) -> None:
        def check(value: Any) -> None:
            assert isinstance(value, str | int | float | bool | list | tuple | None), value
            for item in value if isinstance(value, list | tuple) else ():
                check(item)

        for value in job(CONVERT).__getstate__().values():
            check(value)

    def test_it_survives_pickling(self, job: JobMaker, tmp_path: Path) -> None:
        pickle.loads(pickle.dumps(job(CONVERT)))()
        assert _began(tmp_path) == CONVERT


class _EndOfTime(BaseException):
    """What submitit does after a checkpoint: it leaves."""


def _checkpoint_when_begun(work: RankJob, logs: Path, count: int) -> Any:
    """Run the job; when `count` ranks have begun, take a checkpoint in a signal handler, as submitit does."""
    found = []

    def at_alarm(*_: object) -> None:
        if len(_who(logs)) < count:
            return
        signal.setitimer(signal.ITIMER_REAL, 0)
        time.sleep(0.3)  # the worker is still writing down what it does
        found.append(work.checkpoint())
        raise _EndOfTime

    before = signal.signal(signal.SIGALRM, at_alarm)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    try:
        with pytest.raises(_EndOfTime):
            work()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return found[0]


def _again(requeued: Any) -> RankJob:
    """Return the job that submitit would load when it starts again."""
    assert requeued is not None
    function: RankJob = pickle.loads(pickle.dumps(requeued.function))
    return function


class TestCheckpoint:
    def test_before_it_began(self, job: JobMaker) -> None:
        """A node may be taken away the moment that it was given."""
        assert job(CONVERT).checkpoint() is not None

    def test_preempted_it_is_queued_again_however_often(self, job: JobMaker, tmp_path: Path) -> None:
        work = job(CONVERT, {"convert 1": "hang"})
        for count in range(MAX_IDLE_LIMITS + 2):
            work = _again(_checkpoint_when_begun(work, tmp_path, count + 2))
        assert _began(tmp_path) == [CONVERT[0]] + [CONVERT[1]] * (MAX_IDLE_LIMITS + 2)
        assert not any(psutil.pid_exists(pid) for *_, pid, _ in _who(tmp_path))
        assert RankMarks(tmp_path / "convert").failures() == {}

    def test_over_time_without_progress_it_leads_nowhere(self, job: JobMaker, tmp_path: Path) -> None:
        work = job(CONVERT, {"convert 0": "hang"}, limit_s=0.0)
        for count in range(1, MAX_IDLE_LIMITS):
            work = _again(_checkpoint_when_begun(work, tmp_path, count))
        assert _checkpoint_when_begun(work, tmp_path, MAX_IDLE_LIMITS) is None
        assert RankMarks(tmp_path / "convert").failures() == {
            0: f"reached its time limit {MAX_IDLE_LIMITS} times without finishing an episode; raise `time`"
        }

    @pytest.mark.parametrize(
        ("plan", "began"),
        [({"convert 1": "hang", "convert 2": "hang"}, 2), ({"convert 0": "commit"}, 1)],
        ids=["a rank", "an episode"],
    )
    def test_over_time_with_progress_it_goes_on(
        self, job: JobMaker, tmp_path: Path, plan: dict[str, str], began: int
    ) -> None:
        """Each start finishes something: as often as the limit is reached, the job is queued again."""
        work = job(CONVERT, plan, limit_s=0.0)
        for count in range(1, MAX_IDLE_LIMITS + 2):
            work = _again(_checkpoint_when_begun(work, tmp_path, began * count))
            shutil.rmtree(tmp_path / "convert", ignore_errors=True)  # so that the next has something to finish, too

    def test_progress_makes_up_for_an_idle_limit(self, job: JobMaker, tmp_path: Path) -> None:
        work = job(CONVERT, {"convert 0": "hang", "convert 2": "hang"}, limit_s=0.0)
        work = _again(_checkpoint_when_begun(work, tmp_path, 1))
        _mark(tmp_path, CONVERT[0])
        work = _again(_checkpoint_when_begun(work, tmp_path, 3))
        assert _checkpoint_when_begun(work, tmp_path, 4) is not None


def _process(job: RankJob, tmp_path: Path, **environment: str) -> subprocess.Popen[str]:
    """Run a job as submitit does on a node: in a process of its own."""
    (tmp_path / "job.pkl").write_bytes(pickle.dumps(job))
    code = "import pickle, sys; pickle.load(open(sys.argv[1], 'rb'))()"
    return subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "job.pkl")],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _until_begun(tmp_path: Path, count: int) -> list[tuple[str, int, int, int]]:
    deadline = time.monotonic() + 120
    while len(_who(tmp_path)) < count:
        assert time.monotonic() < deadline, "no rank has begun"
        time.sleep(0.05)
    return _who(tmp_path)


class TestTerminated:
    """scancel, and Slurm at the time limit, send SIGTERM to some or all processes of a job."""

    def test_it_ends_its_worker_waits_for_its_own_end_and_blames_no_rank(self, job: JobMaker, tmp_path: Path) -> None:
        """Slurm takes a job that ends by itself for failed, and queues it no more."""
        process = _process(job(CONVERT, {"convert 1": "hang"}), tmp_path, SUBMITIT_EXECUTOR="slurm")
        [*_, (*_, worker, _)] = _until_begun(tmp_path, 2)
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        assert "told to end" in process.stdout.readline()
        psutil.wait_procs([psutil.Process(worker)] if psutil.pid_exists(worker) else [], timeout=60)
        assert not psutil.pid_exists(worker)
        assert process.poll() is None
        process.kill()
        process.wait()
        assert _complete(tmp_path, "convert") == [0]
        assert RankMarks(tmp_path / "convert").failures() == {}

    def test_a_worker_that_hears_of_it_first_is_no_failure_either(self, job: JobMaker, tmp_path: Path) -> None:
        process = _process(job(CONVERT, {"convert 1": "hang"}), tmp_path, SUBMITIT_EXECUTOR="slurm")
        [*_, (*_, worker, _)] = _until_begun(tmp_path, 2)
        os.kill(worker, signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        assert "told to end" in process.stdout.readline()
        process.kill()
        process.wait()
        assert _began(tmp_path) == CONVERT[:2], "no successor is given the next rank"
        assert RankMarks(tmp_path / "convert").failures() == {}
