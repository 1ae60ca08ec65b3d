"""Killed processes, full disks, two writers of one thing: the rerun completes, and its dataset is the undisturbed one.

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
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pytest

from robotrove.blocks.writer import shard_writer
from robotrove.core.errors import RobotroveError
from robotrove.core.workspace import Workspace
from robotrove.executors.rank_runner import RankRunner
from robotrove.pipelines.run.stages import stage_of, stages
from robotrove.tests.support.pipelines.faults import forked
from robotrove.tests.support.pipelines.runs import (
    AtStart,
    assert_encoded_once,
    assert_no_leftovers,
    assert_same_dataset,
    command,
    committed_on_disk,
    events,
    quick_disk,  # noqa: F401 - autouse
    run_cli,
    run_here,
    run_undisturbed,
    sample,
    start_cli,
    tree,
    write_pipeline,
)

pytestmark = pytest.mark.slow


ROUNDS = int(os.environ.get("ROBOTROVE_FAULTS", "4"))
EPISODES, FRAMES, SHARDS = 44, 25, 4  # a shard closes at 300 frames: 12, 12, 12 and 8 episodes


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four shards of two cameras."""
    folder = tmp_path_factory.mktemp("source")
    path = sample(folder, "demos.hdf5", EPISODES, FRAMES, height=64, width=64, cameras=("front", "wrist"))
    return write_pipeline(folder, [path], steps=[{"use": "success_filter", "policy": "label"}])


@pytest.fixture(scope="module")
def undisturbed(pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset that every other run must equal."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    run_undisturbed(pipeline, out, episodes=EPISODES, frames=FRAMES, shards=SHARDS)
    return out


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_the_number_of_workers_leaves_no_trace(pipeline: Path, undisturbed: Path, tmp_path: Path, workers: int) -> None:
    done = run_cli(pipeline, tmp_path / "out", "--workers", str(workers))
    assert done.returncode == 0, done.stderr
    assert_same_dataset(tmp_path / "out", undisturbed)
    assert_encoded_once(tmp_path / "out")
    assert_no_leftovers(tmp_path / "out")


def _wait_for(condition: Callable[[], bool], what: str, timeout_s: float = 120.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s} s in vain for {what}"
        time.sleep(0.005)


def _is_idle(run: subprocess.Popen[str]) -> bool:
    """True if every worker is dead, buried or not."""
    return all(worker.status() == psutil.STATUS_ZOMBIE for worker in _workers(run))


def _has_begun(run: subprocess.Popen[str], out: Path) -> bool:
    return run.poll() is not None or (bool(_workers(run)) and len(committed_on_disk(out)) >= 1)


def _workers(run: subprocess.Popen[str]) -> list[psutil.Process]:
    try:
        return [
            child for child in psutil.Process(run.pid).children() if "robotrove.pipelines.run.worker" in child.cmdline()
        ]
    except psutil.NoSuchProcess:
        return []


def _until_some_more_is_committed(run: subprocess.Popen[str], out: Path, dice: random.Random) -> bool:
    """Wait for a random moment; True if the run is still at work then."""
    goal = min(EPISODES, len(committed_on_disk(out)) + dice.randint(1, max(1, EPISODES // ROUNDS)))
    _wait_for(lambda: run.poll() is not None or len(committed_on_disk(out)) >= goal, f"{goal} episodes")
    time.sleep(dice.random() * 0.15)  # into encoding, joining or aggregation
    return run.poll() is None


def _assert_not_encoded_again(out: Path, committed: set[int], since: float) -> None:
    again = {event.episode for event in events(out) if event.kind == "started" and event.time > since}
    assert not again & committed


class TestKilled:
    def test_the_whole_process_group_again_and_again(self, pipeline: Path, undisturbed: Path, tmp_path: Path) -> None:
        dice, out, kills = random.Random(1), tmp_path / "out", 0
        while kills < ROUNDS:
            run = start_cli(pipeline, out, "--workers", str(dice.choice([1, 2, 3])))
            if not _until_some_more_is_committed(run, out, dice):
                break
            os.killpg(run.pid, signal.SIGKILL)
            # Not waited for: the next command meets the lock of a process that is dead, but not buried.
            _wait_for(partial(_is_idle, run), "the workers' end")
            kills += 1
            since, committed = time.time(), committed_on_disk(out)
            again = start_cli(pipeline, out, "--workers", "2")
            if _until_some_more_is_committed(again, out, dice):
                os.killpg(again.pid, signal.SIGKILL)
            for process in (run, again):
                process.communicate()
            _assert_not_encoded_again(out, committed, since)
        assert kills > 0
        last = run_cli(pipeline, out)
        assert last.returncode == 0, last.stderr
        assert_same_dataset(out, undisturbed)
        assert_encoded_once(out)
        assert_no_leftovers(out)

    def test_single_workers(self, pipeline: Path, undisturbed: Path, tmp_path: Path) -> None:
        """The rank is named, its siblings finish, and the command to resume is shown."""
        dice, out, kills = random.Random(2), tmp_path / "out", 0
        for _ in range(ROUNDS):
            run = start_cli(pipeline, out, "--workers", "2")
            _wait_for(partial(_has_begun, run, out), "work")
            time.sleep(dice.random() * 0.3)
            for victim in _workers(run)[:1]:
                victim.kill()
            _, stderr = run.communicate(timeout=300)
            if run.returncode == 0:
                break  # it had nothing to do at that moment
            kills += 1
            assert run.returncode == 1
            assert re.search(r"rank \d+: its worker was killed by signal 9", stderr), stderr
            assert f"resume with: robotrove run {out}.run/pipeline.yaml" in stderr
            assert "Traceback" not in stderr
            done = list((tmp_path / "out.run" / "logs" / "convert" / "completions").iterdir())
            assert len(done) >= SHARDS - 1, "one killed worker took more than its rank down"
        assert kills > 0
        last = run_cli(pipeline, out)
        assert last.returncode == 0, last.stderr
        assert_same_dataset(out, undisturbed)
        assert_encoded_once(out)
        assert_no_leftovers(out)

    def test_the_parent_alone_takes_its_workers_with_it(
        self, pipeline: Path, undisturbed: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        run = start_cli(pipeline, out, "--workers", "2")
        _wait_for(lambda: len(committed_on_disk(out)) >= 2, "two episodes")
        workers = _workers(run)
        assert workers
        run.kill()
        run.communicate()
        _, alive = psutil.wait_procs(workers, timeout=20)
        assert not alive, "an orphan goes on writing"
        before = sorted(path for path in (tmp_path / "out.run").rglob("*"))
        time.sleep(0.2)
        assert sorted(path for path in (tmp_path / "out.run").rglob("*")) == before
        assert run_cli(pipeline, out).returncode == 0
        assert_same_dataset(out, undisturbed)
        assert_encoded_once(out)

    def test_interrupted_from_the_keyboard(self, pipeline: Path, undisturbed: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        run = start_cli(pipeline, out, "--workers", "2")
        _wait_for(lambda: len(committed_on_disk(out)) >= 2, "two episodes")
        os.killpg(run.pid, signal.SIGINT)
        _, stderr = run.communicate(timeout=60)
        assert run.returncode == 130, stderr
        assert "rerun the same command" in stderr
        assert "Traceback" not in stderr
        assert not (tmp_path / "out.run" / "run.lock").exists()
        assert run_cli(pipeline, out).returncode == 0
        assert_same_dataset(out, undisturbed)
        assert_encoded_once(out)

    def test_two_commands_at_once(self, pipeline: Path, undisturbed: Path, tmp_path: Path) -> None:
        """The second one ends with 2, names the first, and does no harm to it."""
        out = tmp_path / "out"
        first = start_cli(pipeline, out, "--workers", "1")
        _wait_for((tmp_path / "out.run" / "run.lock").exists, "the lock")
        _wait_for(lambda: bool(_workers(first)), "its worker")
        workers = _workers(first)
        for worker in workers:  # so that the first command works as long as the others need, on any machine
            worker.suspend()
        for more in ([], ["--fresh"], ["--retry-rejected"]):
            second = run_cli(pipeline, out, *more)
            assert second.returncode == 2, second.stderr
            assert f"process {first.pid} on " in second.stderr
            assert "working on this run" in second.stderr
        for worker in workers:
            worker.resume()
        _, stderr = first.communicate(timeout=300)
        assert first.returncode == 0, stderr
        assert_same_dataset(out, undisturbed)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A pipeline of two shards that is quick to run many times, and its dataset."""
    folder = tmp_path_factory.mktemp("small")
    files = [sample(folder, f"{name}.hdf5", 1, frames, seed=frames) for name, frames in (("a", 10), ("b", 5), ("c", 6))]
    pipeline = write_pipeline(folder, files)
    run_here(pipeline, folder / "out")
    return pipeline, folder / "out"


@pytest.fixture
def short_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs in this process make two shards of `small`: a, and b with c."""
    monkeypatch.setattr("robotrove.manifests.manifest.MIN_SHARD_FRAMES", 10)


# Every way in which something becomes visible to other processes, or stops being so.
_GROWING = ("rename", "replace", "link", "mkdir")  # what a full disk may refuse
_VISIBLE = (*_GROWING, "unlink", "rmdir")


def _countdown(steps: int, act: Callable[[], None], names: tuple[str, ...] = _VISIBLE) -> None:
    """Make `act` happen instead of the steps-th change of the file system that this process makes from now on."""
    left = steps

    def counted(change: Callable[..., object]) -> Callable[..., object]:
        def replacement(*args: object, **more: object) -> object:
            nonlocal left
            left -= 1
            if left == 0:
                act()
            return change(*args, **more)

        return replacement

    for name in names:
        setattr(os, name, counted(getattr(os, name)))


def _killed_at(moment: int, act: Callable[[], object]) -> int:
    return forked(lambda: (_countdown(moment, _die), act()))


def _without_space_at(moment: int, act: Callable[[], object]) -> int:
    return forked(lambda: (_countdown(moment, _no_space, _GROWING), act()))


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _no_space() -> None:
    raise OSError(28, os.strerror(28))


def _changes(act: Callable[[], object], names: tuple[str, ...] = _VISIBLE) -> int:
    """Return how many changes of the file system a run makes."""
    read, write = os.pipe()

    def counting() -> None:
        total = 0

        def count(change: Callable[..., object]) -> Callable[..., object]:
            def replacement(*args: object, **more: object) -> object:
                nonlocal total
                total += 1
                return change(*args, **more)

            return replacement

        for name in names:
            setattr(os, name, count(getattr(os, name)))
        act()
        os.write(write, str(total).encode())

    assert forked(counting) == 0
    os.close(write)
    with open(read) as stream:
        return int(stream.read())


def _moments(total: int, seed: int, rounds: int) -> list[int]:
    dice = random.Random(seed)
    return sorted(dice.sample(range(1, total + 1), min(total, rounds)))


@pytest.mark.usefixtures("short_shards")
class TestAtEveryStep:
    """The same with one process, stopped at chosen changes of the file system, the last ones included."""

    def _check(self, pipeline: Path, out: Path, expected: Path) -> None:
        assert forked(lambda: run_here(pipeline, out)) == 0
        assert_same_dataset(out, expected)
        assert_encoded_once(out)
        assert_no_leftovers(out)

    def test_killed_once(self, small: tuple[Path, Path], tmp_path: Path) -> None:
        pipeline, expected = small
        total = _changes(lambda: run_here(pipeline, tmp_path / "count"))
        assert total > 40
        for moment in _moments(total, 3, 3 * ROUNDS):
            out = tmp_path / f"out{moment}"
            assert _killed_at(moment, partial(run_here, pipeline, out)) == -signal.SIGKILL
            self._check(pipeline, out, expected)
            for folder in (out, out.with_name(f"{out.name}.run")):
                shutil.rmtree(folder)

    def test_killed_until_it_gets_through(self, small: tuple[Path, Path], tmp_path: Path) -> None:
        pipeline, expected = small
        dice, out = random.Random(4), tmp_path / "out"
        for _ in range(200):
            moment = dice.randint(1, 150)
            if _killed_at(moment, partial(run_here, pipeline, out)) == 0:
                break
        else:
            pytest.fail("it never got through")
        self._check(pipeline, out, expected)

    def test_killed_while_datasets_are_made_of_datasets(self, small: tuple[Path, Path], tmp_path: Path) -> None:
        twice = {"datasets": [str(small[1])] * 2, "on_duplicate": "keep"}
        blocks = [{"aggregator": twice}, "dataset_stats", "downgrader"]
        pipeline = tmp_path / "merge.yaml"
        pipeline.write_text(json.dumps({"dataset": blocks}))
        total = _changes(lambda: run_here(pipeline, tmp_path / "right"))
        for moment in _moments(total, 5, 3 * ROUNDS):
            out = tmp_path / f"out{moment}"
            assert _killed_at(moment, partial(run_here, pipeline, out)) == -signal.SIGKILL
            self._check(pipeline, out, tmp_path / "right")

    def test_no_space_once(self, small: tuple[Path, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """Whichever step the disk refuses, the error is one of ours and the rerun completes."""
        pipeline, expected = small
        total = _changes(lambda: run_here(pipeline, tmp_path / "count"), _GROWING)
        for moment in _moments(total, 5, 3 * ROUNDS):
            out = tmp_path / f"out{moment}"
            capfd.readouterr()
            code = _without_space_at(moment, partial(run_here, pipeline, out))
            told = capfd.readouterr().err.splitlines()
            if code:
                assert any("No space left" in line for line in told), told
                last = [line for line in told if re.match(r"\w+(Error|Failed|Exception): ", line)]
                assert last
                assert last[-1].startswith(("RankFailed: ", "RobotroveError: ", "UsageError: ")), last
            self._check(pipeline, out, expected)
            for folder in (out, out.with_name(f"{out.name}.run")):
                shutil.rmtree(folder)

    def test_a_retry_that_is_killed_is_finished_by_the_plain_command(
        self, small: tuple[Path, Path], tmp_path: Path
    ) -> None:
        pipeline, expected = small
        source = pipeline.parent / "b.hdf5"
        away = source.with_suffix(".away")
        start = tmp_path / "start" / "out"
        report = run_here(pipeline, start, watcher=AtStart(lambda: source.rename(away)))
        away.rename(source)
        assert report.rejected == {"source_changed": 1}
        for folder in ("out", "out.run"):
            shutil.copytree(tmp_path / "start" / folder, tmp_path / "saved" / folder)
        total = _changes(lambda: run_here(pipeline, start, retry_rejected=True))
        assert_same_dataset(start, expected)
        for number, moment in enumerate(_moments(total, 6, 3 * ROUNDS)):
            shutil.rmtree(tmp_path / "start")
            shutil.copytree(tmp_path / "saved", tmp_path / "start")
            retry = partial(run_here, pipeline, start, retry_rejected=True)
            assert _killed_at(moment, retry) == -signal.SIGKILL
            if number % 2:
                # Killed before anything was reopened, the run is as it was; else the plain command finishes it.
                assert forked(partial(run_here, pipeline, start)) == 0
            assert forked(retry) == 0
            assert_same_dataset(start, expected)
            assert_no_leftovers(start)
            assert_encoded_once(start)


class TestDiskFull:
    def test_at_random_moments(self, disk: Callable[[int], Path], pipeline: Path, undisturbed: Path) -> None:
        dice = random.Random(7)
        used = sum(
            len(content)
            for folder in (undisturbed, undisturbed.with_name("out.run"))
            for content in tree(folder).values()
        )
        room, failures = used // 1024 // 3, 0
        out = disk(room) / "out"
        while True:
            since, committed = time.time(), committed_on_disk(out)
            run = run_cli(pipeline, out, "--workers", str(dice.choice([1, 2, 4])))
            assert "Traceback" not in run.stderr
            _assert_not_encoded_again(out, committed, since)
            if run.returncode == 0:
                break
            failures += 1
            assert run.returncode == 1, run.stderr
            assert "No space left" in run.stderr, run.stderr
            assert re.search(r"rank \d+: ", run.stderr) or "rerun the command" in run.stderr, run.stderr
            if "rank" in run.stderr:
                assert f"resume with: robotrove run {out}.run/pipeline.yaml" in run.stderr
            if out.exists():  # there was no room any more to say that it is committed, or to report it
                assert re.search("stage (commit|report)", run.stderr), run.stderr
                assert_same_dataset(out, undisturbed)
            assert "signal" not in run.stderr, "the full disk crashed a worker"
            room += dice.randint(used // 1024 // 8, used // 1024 // 3)
            disk(room)
        assert failures >= 2
        assert_same_dataset(out, undisturbed)
        assert_encoded_once(out)
        assert_no_leftovers(out)

    def test_no_room_for_the_plan(self, disk: Callable[[int], Path], pipeline: Path, undisturbed: Path) -> None:
        mount = disk(256)
        ballast = mount / "ballast"
        with open(ballast, "wb", buffering=0) as stream:
            try:
                while stream.write(bytes(4096)):
                    pass
            except OSError:
                pass
        run = run_cli(pipeline, mount / "out")
        assert run.returncode == 1, run.stderr
        assert "No space left" in run.stderr
        assert "rerun the command" in run.stderr
        assert "Traceback" not in run.stderr
        assert str(mount) in run.stderr
        ballast.unlink()
        disk(64 * 1024)
        again = run_cli(pipeline, mount / "out")
        assert again.returncode == 0, again.stderr
        assert_same_dataset(mount / "out", undisturbed)
        assert_no_leftovers(mount / "out")


class TestTwoWritersOfOneRank:
    """A killed job step that lives on, a requeued node: both write, one wins, nothing is left over."""

    def _worker(self, run_dir: Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "robotrove.pipelines.run.worker", str(run_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def _planned(self, pipeline: Path, out: Path) -> None:
        def stop() -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run_here(pipeline, out, watcher=AtStart(stop))

    @pytest.mark.parametrize("delay_s", [0.0, 0.1])
    def test_each_stage(self, pipeline: Path, undisturbed: Path, tmp_path: Path, delay_s: float) -> None:
        out = tmp_path / "out"
        self._planned(pipeline, out)
        pair = [self._worker(tmp_path / "out.run") for _ in range(2)]
        workspace = Workspace.for_output(out)
        for order in [f"{stage.name} {rank}" for stage in stages(workspace) for rank in range(stage.ranks)]:
            for worker in pair:
                assert worker.stdin is not None
                worker.stdin.write(f"{order}\n")
                worker.stdin.flush()
                time.sleep(delay_s)
            for worker in pair:
                assert worker.stdout is not None
                assert json.loads(worker.stdout.readline()) == {"error": ""}, order
        for worker in pair:
            worker.communicate("")
            assert worker.returncode == 0
        shards = tmp_path / "out.run" / "shards"
        assert sorted(path.name for path in shards.iterdir()) == ["00000", "00001", "00002", "00003"]
        for rank in range(4):
            name = f"{rank:05d}"
            assert_same_dataset(shards / name, undisturbed.with_name("out.run") / "shards" / name)
        run_here(pipeline, out)
        assert_same_dataset(out, undisturbed)
        assert_no_leftovers(out)

    @pytest.mark.parametrize("moment", ["write_episode", "read_episode", "write_dataset", "after write_episode"])
    @pytest.mark.usefixtures("short_shards")
    def test_one_that_is_overtaken(
        self, small: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
    ) -> None:
        """While it is at that point, another process finishes the shard and removes the folder of both."""
        pipeline, expected = small
        out, name = tmp_path / "out", moment.split()[-1]
        self._planned(pipeline, out)
        original = getattr(shard_writer, name)
        overtaken = 0

        def act(*args: object, **more: object) -> object:
            nonlocal overtaken
            overtaken += 1
            if overtaken == 1 and moment != name:
                result = original(*args, **more)
            if overtaken == 1:
                assert forked(lambda: RankRunner(stage_of(Workspace.for_output(out), "convert")).run()) == 0
            return result if overtaken == 1 and moment != name else original(*args, **more)

        monkeypatch.setattr(shard_writer, name, act)
        for stage in stages(Workspace.for_output(out))[:1]:
            runner = RankRunner(stage)
            (stage.logs / "completions").mkdir(parents=True)
            for rank in range(stage.ranks):
                runner.skip_completed = False  # the other one's marks came while this one was at work
                runner.run_rank(rank)
        assert overtaken >= 1
        monkeypatch.undo()
        report = run_here(pipeline, out)
        assert report.rejected == {}
        assert_same_dataset(out, expected)
        assert_no_leftovers(out)


def test_the_errors_of_the_parent_are_in_words(
    small: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("robotrove.manifests.run_info.write_file", lambda *_: _no_space())
    with pytest.raises(RobotroveError, match="No space left on device") as caught:
        run_here(small[0], tmp_path / "out")
    assert "rerun the command" in str(caught.value)
    assert caught.value.exit_code == 1


def test_an_output_beside_which_nothing_can_be_written(small: tuple[Path, Path], tmp_path: Path) -> None:
    """Root may write anywhere, but not below a file."""
    (tmp_path / "file").write_text("x")
    run = subprocess.run(command(small[0], tmp_path / "file" / "out"), capture_output=True, text=True)
    assert run.returncode == 2
    assert "Traceback" not in run.stderr
    assert str(tmp_path / "file") in run.stderr
    assert Workspace.for_output(tmp_path / "file" / "out").run_dir.name == "out.run"
