"""Ways to stop a run at chosen changes of the file system, in forks of this process and in real workers."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from robotrove.executors.rank_runner import RankRunner
from robotrove.formats.lerobot import paths_v30

# Every way in which something becomes visible to other processes, or stops being so.
GROWING = ("rename", "replace", "link", "mkdir")  # what a full disk may refuse
VISIBLE = (*GROWING, "unlink", "rmdir")

_ENVIRONMENT = "ROBOTROVE_TEST_ORDERS"


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refuse() -> None:
    raise OSError(28, os.strerror(28))


def forked(act: Callable[[], object]) -> int:
    """Do something in a fork of this process; return its exit code, negative for a signal."""
    pid = os.fork()
    if pid == 0:
        told = os.dup(2)
        for stream in (1, 2):  # the logs of ranks
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        try:
            act()
            os._exit(0)
        except BaseException as exc:
            os.write(told, f"{type(exc).__name__}: {exc}\n".encode())
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _before_each_change(act: Callable[[], None], names: Sequence[str]) -> None:
    def preceded(change: Callable[..., object]) -> Callable[..., object]:
        def replacement(*args: object, **more: object) -> object:
            act()
            return change(*args, **more)

        return replacement

    for name in names:
        setattr(os, name, preceded(getattr(os, name)))


def _at_each_rank(act: Callable[[str], None]) -> None:
    original = RankRunner.run_rank

    def run_rank(self: RankRunner, rank: int) -> None:
        act(self._stage.name)
        original(self, rank)

    RankRunner.run_rank = run_rank  # type: ignore[method-assign]


def changes_by_stage(act: Callable[[], object], names: Sequence[str] = VISIBLE) -> dict[str, int]:
    """Return how many changes of the file system a run makes in each of its stages; "" is before the first one."""
    read, write = os.pipe()

    def counting() -> None:
        counts: Counter[str] = Counter()
        stage = ""
        lock = threading.Lock()  # files are committed by threads

        def enter(name: str) -> None:
            nonlocal stage
            stage = name

        def count() -> None:
            with lock:
                counts[stage] += 1

        _at_each_rank(enter)
        _before_each_change(count, names)
        act()
        os.write(write, json.dumps(counts).encode())

    assert forked(counting) == 0
    os.close(write)
    with open(read) as stream:
        found: dict[str, int] = json.loads(stream.read())
    return found


def arm(stage: str | None, moment: int, act: Callable[[], None], names: Sequence[str] = VISIBLE) -> None:
    """Make `act` happen instead of the moment-th change that this process makes in a stage, or in all (None).

    "" is what comes before the first stage.
    """
    now, left = "", moment
    lock = threading.Lock()  # files are committed by threads

    def enter(name: str) -> None:
        nonlocal now
        now = name

    def count() -> None:
        nonlocal left
        if stage in (None, now):
            with lock:
                left -= 1
                is_now = left == 0
            if is_now:
                act()

    _at_each_rank(enter)
    _before_each_change(count, names)


def killed_in(stage: str | None, moment: int, act: Callable[[], object]) -> int:
    """Do something in a fork that is killed at a moment of a stage."""
    return forked(lambda: (arm(stage, moment, die), act()))


def killed_after(seconds: float, act: Callable[[], object]) -> int:
    """Do something in a fork that is ended without a chance to tidy up after a time, in the middle of a write maybe."""
    return forked(lambda: (signal.setitimer(signal.ITIMER_REAL, seconds), act()))


def without_space_in(stage: str, moment: int, act: Callable[[], object]) -> int:
    """Do something in a fork that is told at a moment of a stage that the disk is full."""
    return forked(lambda: (arm(stage, moment, refuse, GROWING), act()))


def moments(total: int, seed: int, rounds: int) -> list[int]:
    """Choose moments at random, the last one always among them."""
    dice = random.Random(seed)
    return sorted({total, *dice.sample(range(1, total + 1), min(total, rounds))})


@contextmanager
def small_files(data_mb: float = 0.012, video_mb: float = 0.006, chunks: int = 2) -> Iterator[None]:
    """Make files small and chunks of few, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in small_limits(data_mb, video_mb, chunks).items():
            patch.setattr(paths_v30, name, value)
        yield


def small_limits(data_mb: float = 0.012, video_mb: float = 0.006, chunks: int = 2) -> dict[str, float]:
    """Return limits for `environment` that are those of `small_files`."""
    return {"DATA_FILES_MB": data_mb, "VIDEO_FILES_MB": video_mb, "CHUNKS_SIZE": chunks}


def environment(
    folder: Path, *, limits: Mapping[str, float] | None = None, kill_in: str = "", moment: int = 1
) -> dict[str, str]:
    """Return an environment in which commands and their workers have other limits, and one worker is killed.

    Args:
        folder: Gets what makes Python obey.
        limits: Names in `paths` to values.
        kill_in: Stage in which the first worker to come so far kills itself.
        moment: Number of the change of the file system, by that worker, before which it does so.
    """
    folder.mkdir(parents=True, exist_ok=True)
    module = "from robotrove.tests.support.pipelines import faults\n\nfaults.obey()\n"
    (folder / "sitecustomize.py").write_text(module, encoding="utf-8")
    orders = {"limits": limits or {}, "stage": kill_in, "moment": moment, "once": str(folder / "killed")}
    search = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    return os.environ | {"PYTHONPATH": search, _ENVIRONMENT: json.dumps(orders)}


def obey() -> None:
    """Do what `environment` says; called by Python itself as it starts."""
    orders = json.loads(os.environ.get(_ENVIRONMENT, "{}"))
    for name, value in orders.get("limits", {}).items():
        setattr(paths_v30, name, value)

    def die_once() -> None:
        try:
            os.close(os.open(orders["once"], os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        die()

    if orders.get("stage"):
        arm(orders["stage"], orders["moment"], die_once)


def start(*arguments: object, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> subprocess.Popen[str]:
    """Start a robotrove command in a session, and so a process group, of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "robotrove.cli", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=env,
        cwd=cwd,
    )


def command(*arguments: object, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run a robotrove command as a user does."""
    process = start(*arguments, **more)
    stdout, stderr = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)
