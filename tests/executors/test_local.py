"""The local executor with workers of a few lines, so that each can misbehave at will."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from robotrove.core.errors import RankFailed
from robotrove.executors import EXECUTORS
from robotrove.executors.local import LocalExecutor
from robotrove.executors.stage import Stage

# Rank r does what plan[r] says; a rank that ends well leaves its mark, as datatrove does.
WORKER = """
import json, os, signal, sys, time
from pathlib import Path
logs, plan = Path(sys.argv[1]), json.loads(sys.argv[2])
for line in sys.stdin:
    stage, _, rank = line.rpartition(" ")
    do = plan.get(rank.strip(), "well")
    with open(logs / "who", "a") as who:
        who.write(f"{rank.strip()} {os.getpid()} {os.environ['ROBOTROVE_CPUS']}\\n")
    if do == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if do == "half":
        sys.stdout.write('{"err'); sys.stdout.flush(); os._exit(3)
    if do == "slow":
        time.sleep(0.4)
    if do == "hang":
        time.sleep(600)
    if do == "fail":
        print(json.dumps({"error": f"ValueError: rank {rank.strip()} saw\\nsomething"}), flush=True)
        continue
    (logs / "completions").mkdir(exist_ok=True)
    (logs / "completions" / f"{int(rank):05d}").touch()
    print(json.dumps({"error": ""}), flush=True)
"""


@pytest.fixture
def stage(tmp_path: Path) -> Callable[..., Stage]:
    def make(ranks: int, *, stop: bool = False, **plan: str) -> Stage:
        logs = tmp_path / "logs" / "some stage"
        logs.mkdir(parents=True, exist_ok=True)
        actions = {key.removeprefix("r"): value for key, value in plan.items()}
        return Stage(
            name="some stage",
            ranks=ranks,
            logs=logs,
            build=list,
            command=[sys.executable, "-c", WORKER, str(logs), json.dumps(actions)],
            resume="robotrove run x.yaml",
            run_dir=tmp_path,
            stop_on_failure=stop,
        )

    return make


def _launch(stage: Stage, workers: int) -> int:
    """Run the stage; return how often it was polled."""
    polls = 0

    def poll() -> None:
        nonlocal polls
        polls += 1

    with LocalExecutor(workers=workers) as executor:
        executor.launch(stage, poll)
    return polls


def _who(stage: Stage) -> list[tuple[int, int, int]]:
    """Return (rank, pid, CPUs) in the order in which ranks began."""
    lines = (stage.logs / "who").read_text().splitlines()
    return [(int(rank), int(pid), int(cpus)) for rank, pid, cpus in map(str.split, lines)]


@pytest.mark.parametrize(("workers", "ranks"), [(1, 8), (2, 16), (8, 64), (100, 64)])
def test_few_workers_have_no_use_for_many_ranks(workers: int, ranks: int) -> None:
    assert LocalExecutor(workers=workers).useful_ranks == ranks


def test_every_missing_rank_runs_once(stage: Callable[..., Stage]) -> None:
    some = stage(7)
    (some.logs / "completions").mkdir()
    (some.logs / "completions" / "00003").touch()
    assert _launch(some, 2) > 0
    assert sorted(rank for rank, *_ in _who(some)) == [0, 1, 2, 4, 5, 6]
    assert some.missing() == []
    assert len({pid for _, pid, _ in _who(some)}) <= 2
    before = _who(some)
    _launch(some, 2)
    assert _who(some) == before, "a stage that is complete starts nobody"


def test_no_more_workers_than_ranks_and_the_cpus_are_shared(stage: Callable[..., Stage]) -> None:
    some = stage(2, r0="slow", r1="slow")
    _launch(some, 50)
    cpus = len(os.sched_getaffinity(0))
    assert {share for *_, share in _who(some)} == {max(1, cpus // 2)}
    assert len({pid for _, pid, _ in _who(some)}) == 2


def test_a_failing_rank_does_not_stop_the_others(stage: Callable[..., Stage]) -> None:
    some = stage(6, r1="fail", r3="slow", r4="fail")
    with pytest.raises(RankFailed) as caught:
        _launch(some, 2)
    assert some.missing() == [1, 4]
    assert caught.value.failures == {1: "ValueError: rank 1 saw\nsomething", 4: "ValueError: rank 4 saw\nsomething"}
    text = str(caught.value)
    for words in ("stage some stage", "2 rank(s) failed", "rank 1: ValueError", "rank 4: ValueError", some.resume):
        assert words in text
    assert str(some.logs / "logs") in text
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_a_killed_worker_costs_its_rank_alone(stage: Callable[..., Stage], workers: int) -> None:
    some = stage(5, r0="die", r2="die")
    with pytest.raises(RankFailed) as caught:
        _launch(some, workers)
    assert caught.value.failures == dict.fromkeys((0, 2), "its worker was killed by signal 9")
    assert some.missing() == [0, 2]


def test_a_worker_that_ends_in_the_middle_of_its_answer(stage: Callable[..., Stage]) -> None:
    some = stage(3, r1="half")
    with pytest.raises(RankFailed) as caught:
        _launch(some, 1)
    assert caught.value.failures == {1: "its worker ended with exit code 3"}
    assert some.missing() == [1]


def test_many_failures_are_told_in_few_lines(stage: Callable[..., Stage]) -> None:
    some = stage(40, **{f"r{rank}": "fail" for rank in range(40)})
    with pytest.raises(RankFailed, match="and 35 more") as caught:
        _launch(some, 2)
    assert len(caught.value.failures) == 40


def test_on_error_stop_begins_no_further_rank(stage: Callable[..., Stage]) -> None:
    some = stage(30, stop=True, r0="slow", r1="fail")
    with pytest.raises(RankFailed) as caught:
        _launch(some, 2)
    assert set(caught.value.failures) == {1}
    assert {rank for rank, *_ in _who(some)} == {0, 1}, "what had begun is finished, nothing else is begun"
    assert 0 not in some.missing()


def test_a_program_that_cannot_start_is_a_failure_of_each_rank(stage: Callable[..., Stage], tmp_path: Path) -> None:
    some = stage(3)
    broken = Stage(
        some.name, 3, some.logs, some.build, [sys.executable, "-c", "import nothing_like_it"], some.resume, tmp_path
    )
    with pytest.raises(RankFailed) as caught:
        _launch(broken, 2)
    assert caught.value.failures == dict.fromkeys(range(3), "its worker ended with exit code 1")
    assert "nothing_like_it" in (tmp_path / "logs" / "workers.log").read_text()


class TestAcrossStages:
    def test_workers_are_used_again(self, stage: Callable[..., Stage]) -> None:
        some = stage(2)
        with LocalExecutor(workers=1) as executor:
            executor.launch(some, lambda: None)
            some.forget([0, 1])
            executor.launch(some, lambda: None)
        assert len({pid for _, pid, _ in _who(some)}) == 1
        assert not psutil.pid_exists(_who(some)[0][1])

    def test_one_that_was_killed_between_two_stages_is_replaced(self, stage: Callable[..., Stage]) -> None:
        some = stage(1)
        with LocalExecutor(workers=1) as executor:
            executor.launch(some, lambda: None)
            [(_, pid, _)] = _who(some)
            os.kill(pid, signal.SIGKILL)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            some.forget([0])
            executor.launch(some, lambda: None)
        assert some.missing() == []


class TestStartedEarly:
    """A worker that comes up while the command itself does."""

    def test_it_gets_the_first_rank_and_is_one_of_the_workers(self, stage: Callable[..., Stage]) -> None:
        some = stage(6, **{f"r{rank}": "slow" for rank in range(6)})
        with LocalExecutor(workers=2) as executor:
            executor.start_early(some.command)
            [early] = _children()
            executor.prepare([some])
            assert len(_children()) == 2
            executor.launch(some, lambda: None)
        assert some.missing() == []
        # Which of two programs comes up first is not for this process to decide.
        workers = {rank: pid for rank, pid, _ in _who(some)}
        assert workers[0] == early
        assert len(set(workers.values())) == 2

    def test_it_is_gone_at_once_when_there_is_nothing_to_do(self, stage: Callable[..., Stage]) -> None:
        begin = time.monotonic()
        with LocalExecutor(workers=2) as executor:
            executor.start_early([sys.executable, "-c", "import time; time.sleep(600)"])
        assert time.monotonic() - begin < 30
        assert _children() == []

    def test_one_that_died_before_it_was_needed_is_replaced(self, stage: Callable[..., Stage]) -> None:
        some = stage(2)
        with LocalExecutor(workers=1) as executor:
            executor.start_early([sys.executable, "-c", "raise SystemExit(1)"])
            os.waitid(os.P_PID, _children()[0], os.WEXITED | os.WNOWAIT)
            executor.prepare([some])
            executor.launch(some, lambda: None)
        assert some.missing() == []


def _children() -> list[int]:
    return [child.pid for child in psutil.Process().children()]


def test_an_interrupt_ends_the_workers_at_once(stage: Callable[..., Stage]) -> None:
    some = stage(2, r0="hang", r1="hang")

    def interrupt() -> None:
        if (some.logs / "who").exists() and len(_who(some)) == 2:
            raise KeyboardInterrupt

    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt), LocalExecutor(workers=2) as executor:
        executor.launch(some, interrupt)
    assert time.monotonic() - begin < 30
    assert not any(psutil.pid_exists(pid) for _, pid, _ in _who(some))


def test_by_default_one_worker_per_cpu_of_this_process() -> None:
    code = "from robotrove.executors.local import LocalExecutor; print(LocalExecutor().workers)"
    one = subprocess.run(
        [sys.executable, "-c", f"import os; os.sched_setaffinity(0, {{0}}); {code}"], capture_output=True, text=True
    )
    assert one.stdout.strip() == "1"
    assert LocalExecutor().workers == len(os.sched_getaffinity(0))


def test_the_registry_knows_it() -> None:
    assert EXECUTORS["local"] is LocalExecutor
