"""Datasets made of datasets under kill -9, full disks and two writers: the rerun ends in the undisturbed bytes.

ROBOTROVE_FAULTS sets how often each kind of fault is tried at a random moment.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
import pytest

from robotrove.core.commit import is_attempt
from robotrove.core.workspace import Workspace
from robotrove.executors.executor import Executor
from robotrove.pipelines.run.stages import stages
from robotrove.tests.support.datasets.expected import assert_holds
from robotrove.tests.support.datasets.numbered import AV1, FRONT, Made, aggregate, convert, digests, make, quickly
from robotrove.tests.support.datasets.on_disk import OnDisk, forget
from robotrove.tests.support.pipelines.faults import (
    GROWING,
    changes_by_stage,
    command,
    environment,
    forked,
    killed_after,
    killed_in,
    moments,
    small_files,
    small_limits,
    start,
    without_space_in,
)
from robotrove.tests.support.pipelines.runs import assert_no_leftovers, assert_same_dataset, tree

pytestmark = pytest.mark.slow


ROUNDS = int(os.environ.get("ROBOTROVE_FAULTS", "1"))
LIMITS = small_limits(0.008, 0.008)
JOBS = ("aggregate", "down", "up")


@dataclass(frozen=True)
class Job:
    """Something to be done that may be disturbed.

    Attributes:
        inputs: Datasets that it takes.
        arguments: Its command, but for the output.
        act: The same in this process.
        right: What comes of it undisturbed.
    """

    inputs: list[Path]
    arguments: tuple[object, ...]
    act: Callable[[Path], object]
    right: Path

    def start(self, output: Path, workers: int, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        return start(*self.arguments, "-o", output, "--workers", workers, env=env)

    def run(self, output: Path, workers: int, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return command(*self.arguments, "-o", output, "--workers", workers, env=env)

    def check(self, output: Path) -> None:
        """The output is the undisturbed one, and there is nothing else."""
        assert_same_dataset(output, self.right)
        assert_no_leftovers(output)


@pytest.fixture(scope="module", autouse=True)
def _module() -> Iterator[None]:
    with quickly(), small_files(0.008, 0.008), pytest.MonkeyPatch.context() as patch:
        # Ranks cost more than they do here; the bytes do not depend on them, see test_dataset_values.
        patch.setattr(Executor, "useful_ranks", 2)
        yield
    forget()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Made]:
    """Two datasets of H.264, the second one of version 2.1, and one of AV1."""
    folder = tmp_path_factory.mktemp("in")
    sizes = {FRONT: (64, 64)}
    one = make(folder, "one", [6, 9, 4, 12], ["x", "y"], 0, sizes=sizes)
    two = make(folder, "two", [5, 3, 7], ["z"], 100, sizes=sizes, formats=["v2.1"])
    return [one, two, make(folder, "three", [8, 2, 5, 6], ["y", "z"], 200, AV1, sizes)]


@pytest.fixture(scope="module")
def before(made: list[Made]) -> dict[Path, str]:
    return digests(*(dataset.root for dataset in made))


@pytest.fixture(scope="module")
def jobs(made: list[Made], before: dict[Path, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Job]:
    right = tmp_path_factory.mktemp("right")
    roots = [dataset.root for dataset in made]
    acts: dict[str, tuple[list[Path], tuple[object, ...], Callable[[Path], object]]] = {
        "aggregate": (
            roots,
            ("aggregate", *roots, "--on-mismatch", "reencode"),
            partial(aggregate, roots, on_mismatch="reencode"),
        ),
        "down": (roots[:1], ("convert", roots[0], "--to", "v2.1"), partial(convert, roots[0], "v2.1")),
        "up": (roots[1:2], ("convert", roots[1], "--to", "v3.0"), partial(convert, roots[1], "v3.0")),
    }
    found = {}
    for name, (inputs, arguments, act) in acts.items():
        act(right / name)
        held = [episode for dataset in made if dataset.root in inputs for episode in dataset.episodes]
        assert_holds(OnDisk(right / name), held)
        found[name] = Job(inputs, arguments, act, right / name)
    assert len(OnDisk(right / "aggregate").files("data", "parquet")) > 2
    assert len(OnDisk(right / "aggregate").files("videos", "mp4")) > 2
    assert OnDisk(right / "down").is_v21
    return found


@pytest.fixture(params=JOBS)
def job(request: pytest.FixtureRequest, jobs: dict[str, Job], before: dict[Path, str]) -> Iterator[Job]:
    """One of the jobs; its inputs are as they were after each test."""
    found = jobs[request.param]
    yield found
    after = digests(*found.inputs)
    assert after == {path: digest for path, digest in before.items() if path in after}
    assert after


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return environment(tmp_path / "env", limits=LIMITS)


def _written(output: Path) -> dict[str, tuple[int, int]]:
    """Return every file of rows or frames that has its final name, with what tells whether it was written again."""
    run = output.with_name(f"{output.name}.run")
    folders = [*output.parent.glob(f"{output.name}.partial-*"), *filter(Path.exists, (output, run / "plans"))]
    found = {}
    for folder in folders:
        for path in folder.rglob("*.*"):
            parts = path.relative_to(folder).parts
            is_final = parts[0] != "meta" and path.name != "episodes.parquet" and not any(map(is_attempt, parts))
            if is_final and path.suffix in (".mp4", ".parquet"):
                found["/".join(parts)] = (path.stat().st_ino, path.stat().st_mtime_ns)
    return found


def _assert_not_written_again(before: dict[str, tuple[int, int]], output: Path) -> None:
    after = _written(output)
    assert {name: after.get(name) for name in before} == before


def _remove(output: Path) -> None:
    for folder in output.parent.glob(f"{output.name}*"):
        shutil.rmtree(folder)


def _next_stage(output: Path) -> str:
    """Return the stage that a run is to go on with; "" if it has not been created."""
    workspace = Workspace.for_output(output)
    if not workspace.run.exists():
        return ""
    return next((stage.name for stage in stages(workspace) if stage.missing()), "report")


class TestAtEveryStep:
    """One process, stopped at chosen changes of the file system of every stage, the last one included."""

    def test_killed(self, job: Job, tmp_path: Path) -> None:
        counts = changes_by_stage(partial(job.act, tmp_path / "count"))
        assert {"", "commit"} < counts.keys()
        assert {"plan", "process", "finish"} <= {name.rpartition(".")[2] for name in counts}
        out, kept = tmp_path / "out", 0
        for number, (stage, total) in enumerate(counts.items()):
            rounds = 3 * ROUNDS if stage.endswith((".process", ".finish")) else ROUNDS
            for moment in moments(total, number, rounds):
                assert killed_in(stage, moment, partial(job.act, out)) == -signal.SIGKILL, (stage, moment)
                assert not out.exists() or stage in ("commit", "report")
                written = _written(out)
                assert forked(partial(job.act, out)) == 0, (stage, moment)
                job.check(out)
                _assert_not_written_again(written, out)
                kept += len(written)
                _remove(out)
        assert kept > 0

    def test_killed_at_any_time(self, job: Job, tmp_path: Path) -> None:
        """In the middle of a write, too."""
        dice, out, kills = random.Random(8), tmp_path / "out", 0
        began = time.monotonic()
        assert forked(partial(job.act, tmp_path / "count")) == 0
        lasts_s = time.monotonic() - began
        for _ in range(5 * ROUNDS):
            kills += killed_after(lasts_s * dice.uniform(0.1, 0.9), partial(job.act, out)) == -signal.SIGALRM
            written = _written(out)
            assert forked(partial(job.act, out)) == 0
            job.check(out)
            _assert_not_written_again(written, out)
            _remove(out)
        assert kills > 0

    def test_killed_again_and_again(self, job: Job, tmp_path: Path) -> None:
        """In whichever stage it has come to, until it gets through."""
        total = sum(changes_by_stage(partial(job.act, tmp_path / "count")).values())
        dice, out, kills, reached = random.Random(len(job.inputs)), tmp_path / "out", 0, set()
        for attempt in range(100):
            reached.add(_next_stage(out))
            written = _written(out)
            code = killed_in(None, dice.randint(1, total // 3 + attempt * total // 20), partial(job.act, out))
            _assert_not_written_again(written, out)
            if code == 0:
                break
            assert code == -signal.SIGKILL
            kills += 1
        else:
            pytest.fail("it never got through")
        assert kills >= 3
        assert len(reached) >= 2
        job.check(out)

    def test_no_space(self, job: Job, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """Whichever step the disk refuses, the error is one of ours and the rerun completes."""
        counts = changes_by_stage(partial(job.act, tmp_path / "count"), GROWING)
        out, failures = tmp_path / "out", 0
        for number, (stage, total) in enumerate(counts.items()):
            for moment in moments(total, number, ROUNDS)[:ROUNDS]:
                capfd.readouterr()
                code = without_space_in(stage, moment, partial(job.act, out))
                told = capfd.readouterr().err.splitlines()
                if code:
                    failures += 1
                    assert any("No space left" in line for line in told), (stage, moment, told)
                    assert any(line.startswith(("RankFailed: ", "RobotroveError: ", "UsageError: ")) for line in told)
                assert forked(partial(job.act, out)) == 0, (stage, moment)
                job.check(out)
                _remove(out)
        assert failures > 0


def _wait_for(condition: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s in vain for {what}"
        time.sleep(0.002)


def _workers(run: subprocess.Popen[str]) -> list[psutil.Process]:
    try:
        children = psutil.Process(run.pid).children()
        return [child for child in children if "robotrove.pipelines.run.worker" in child.cmdline()]
    except psutil.NoSuchProcess:
        return []


def _written_until_a_worker_was_killed(
    job: Job, output: Path, stage: str, moment: int
) -> tuple[dict[str, tuple[int, int]], str]:
    """Run a command one of whose two workers is killed; return what was written and the command to resume.

    Its rank is named, and the other ranks of the stage are done.
    """
    folder = output.parent / "killing"
    run = job.run(output, 2, environment(folder, limits=LIMITS, kill_in=stage, moment=moment))
    assert (folder / "killed").exists()
    assert run.returncode == 1, run.stderr
    assert f"stage {stage}: 1 rank(s) failed" in run.stderr
    assert re.search(r"rank \d+: its worker was killed by signal 9", run.stderr), run.stderr
    assert "Traceback" not in run.stderr
    assert not output.exists()
    ranks = next(found.ranks for found in stages(Workspace.for_output(output)) if found.name == stage)
    done = list((output.with_name(f"{output.name}.run") / "logs" / stage).glob("completions/*"))
    assert len(done) == ranks - 1
    [shown] = re.findall(r"resume with: robotrove (.*)", run.stderr)
    return _written(output), shown


class TestKilled:
    """Commands and their workers, as users have them."""

    @pytest.mark.parametrize("job", ["aggregate", "down"], indirect=True)
    def test_the_whole_group_again_and_again(self, job: Job, tmp_path: Path, env: dict[str, str]) -> None:
        dice, out, kills = random.Random(1), tmp_path / "out", 0
        marks = tmp_path / "out.run" / "logs"
        for _ in range(ROUNDS):
            written = _written(out)
            done = len(list(marks.glob("*/completions/*")))
            run = job.start(out, dice.choice([1, 2, 3]), env)
            more = done + dice.randint(0, 2)

            def is_on_its_way(run: subprocess.Popen[str] = run, more: int = more) -> bool:
                return run.poll() is not None or (
                    bool(_workers(run)) and len(list(marks.glob("*/completions/*"))) >= more
                )

            _wait_for(is_on_its_way, "work")
            time.sleep(dice.random() * 0.03)
            if run.poll() is None:  # it may be over by now
                os.killpg(run.pid, signal.SIGKILL)
                kills += 1
            run.communicate()
            _assert_not_written_again(written, out)
        assert kills > 0
        written = _written(out)
        last = job.run(out, 3, env)
        assert last.returncode == 0, last.stderr
        job.check(out)
        _assert_not_written_again(written, out)

    @pytest.mark.parametrize(
        ("job", "stage", "moment"),
        [
            ("aggregate", "1-aggregator.plan", 6),
            ("down", "1-downgrader.process", 8),
            ("up", "2-dataset_stats.process", 5),
        ],
        indirect=["job"],
    )
    def test_a_worker(self, job: Job, tmp_path: Path, stage: str, moment: int) -> None:
        out = tmp_path / "out"
        written = _written_until_a_worker_was_killed(job, out, stage, moment)
        job.act(out)
        job.check(out)
        _assert_not_written_again(written[0], out)

    @pytest.mark.parametrize("job", ["aggregate"], indirect=True)
    def test_the_command_that_is_shown_goes_on(self, job: Job, tmp_path: Path, env: dict[str, str]) -> None:
        out = tmp_path / "out"
        written, shown = _written_until_a_worker_was_killed(job, out, "1-aggregator.process", 9)
        again = command(*shown.split(), "--workers", 3, env=env)
        assert again.returncode == 0, again.stderr
        job.check(out)
        _assert_not_written_again(written, out)

    @pytest.mark.parametrize("job", ["aggregate"], indirect=True)
    def test_the_parent_alone_takes_its_workers_with_it(self, job: Job, tmp_path: Path, env: dict[str, str]) -> None:
        out = tmp_path / "out"
        run = job.start(out, 2, env)
        process = tmp_path / "out.run" / "logs" / "1-aggregator.process"
        _wait_for(lambda: any(process.glob("completions/*")) and len(_workers(run)) == 2, "both workers at work")
        workers = _workers(run)
        run.kill()
        run.communicate()
        _, alive = psutil.wait_procs(workers, timeout=20)
        assert not alive, "an orphan goes on writing"
        assert not out.exists()
        last = job.run(out, 1, env)
        assert last.returncode == 0, last.stderr
        job.check(out)

    @pytest.mark.parametrize("job", ["aggregate"], indirect=True)
    def test_clips_are_not_encoded_anew_twice(self, job: Job, tmp_path: Path, env: dict[str, str]) -> None:
        """What was encoded before the kill is the same file afterwards, and all clips of another codec are there."""
        out = tmp_path / "out"
        encoded = tmp_path / "out.run" / "plans" / "aggregator" / "encoded"

        def finished() -> dict[str, tuple[int, int]]:
            found = encoded.glob("*.mp4")
            return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}

        run = job.start(out, 1, env)
        _wait_for(lambda: run.poll() is not None or len(finished()) >= 2, "two clips")
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
        kept = finished()
        assert kept
        last = job.run(out, 2, env)
        assert last.returncode == 0, last.stderr
        job.check(out)
        after = finished()
        assert {name: after[name] for name in kept} == kept
        assert sorted(after) == [f"e{episode:07d}-0.mp4" for episode in range(7, 11)]


class TestTwoWritersOfOneRank:
    """A killed job step that lives on, a requeued node: both write, one wins, nothing is left over."""

    def _worker(self, run_dir: Path, env: dict[str, str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "robotrove.pipelines.run.worker", str(run_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=env,
        )

    def test_each_stage(self, job: Job, tmp_path: Path, env: dict[str, str]) -> None:
        out = tmp_path / "out"
        first = stages(Workspace.for_output(job.right))[0].name
        assert killed_in(first, 1, partial(job.act, out)) == -signal.SIGKILL
        pair = [self._worker(tmp_path / "out.run", env) for _ in range(2)]
        orders = [f"{stage.name} {rank}" for stage in stages(Workspace.for_output(out)) for rank in range(stage.ranks)]
        for number, order in enumerate(orders):
            for worker in pair:
                assert worker.stdin is not None
                worker.stdin.write(f"{order}\n")
                worker.stdin.flush()
                time.sleep(0.01 * (number % 2))
            for worker in pair:
                assert worker.stdout is not None
                assert json.loads(worker.stdout.readline()) == {"error": ""}, order
        for worker in pair:
            worker.communicate("")
            assert worker.returncode == 0
        assert_same_dataset(out, job.right)
        written = _written(out)
        job.act(out)
        job.check(out)
        _assert_not_written_again(written, out)


@pytest.mark.parametrize("job", ["aggregate", "down"], indirect=True)
def test_full_disk(job: Job, disk: Callable[[int], Path], env: dict[str, str]) -> None:
    """Every attempt ends with an error in words; with more room the same command goes on, and finishes."""
    dice = random.Random(7)
    folders = (job.right, job.right.with_name(f"{job.right.name}.run"))
    used = sum(-(-len(content) // 4096) * 4 for folder in folders for content in tree(folder).values())
    room, failures = used // 2, 0
    out = disk(room) / "out"
    while True:
        written = _written(out)
        run = job.run(out, dice.choice([1, 2, 3]), env)
        assert "Traceback" not in run.stderr
        _assert_not_written_again(written, out)
        if run.returncode == 0:
            break
        failures += 1
        assert run.returncode == 1, run.stderr
        assert "No space left" in run.stderr, run.stderr
        assert "signal" not in run.stderr, "the full disk crashed a worker"
        assert "resume with: robotrove run" in run.stderr or "rerun the command" in run.stderr, run.stderr
        assert not out.exists()
        left = [path for path in out.parent.rglob("*") if is_attempt(path.name)]
        assert left == [], "what failed takes room that the next attempt needs"
        room += used * 2 // 3
        disk(room)
    assert failures >= 1
    job.check(out)
