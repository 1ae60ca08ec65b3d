from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from robotrove.core import lease as module
from robotrove.core.errors import RunLocked
from robotrove.core.lease import lease


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "run" / "run.lock"


def _write(lock: Path, *, age_s: float = 0.0, **holder: Any) -> None:
    lock.parent.mkdir(exist_ok=True)
    lock.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "started": "1"} | holder))
    os.utime(lock, (time.time() - age_s, time.time() - age_s))


def _assert_taken(lock: Path) -> None:
    with lease(lock):
        assert json.loads(lock.read_text())["pid"] == os.getpid()
        assert list(lock.parent.iterdir()) == [lock]
    assert list(lock.parent.iterdir()) == []


def test_it_is_there_while_the_block_runs_and_gone_after_it(lock: Path) -> None:
    _assert_taken(lock)
    with pytest.raises(RuntimeError), lease(lock):
        raise RuntimeError
    assert not lock.exists()


def test_the_holder_is_named(lock: Path) -> None:
    with lease(lock):
        with pytest.raises(RunLocked, match=f"process {os.getpid()} on {socket.gethostname()}") as caught, lease(lock):
            pass
        assert caught.value.exit_code == 2
        assert str(lock.parent) in str(caught.value)
        assert lock.exists()


class TestDead:
    """A lock that nobody holds any more is taken over at once, whatever its age."""

    def test_a_pid_that_is_gone(self, lock: Path) -> None:
        process = subprocess.Popen([sys.executable, "-c", ""])
        process.wait()
        _write(lock, pid=process.pid)
        _assert_taken(lock)

    def test_a_pid_that_somebody_else_has_now(self, lock: Path) -> None:
        _write(lock, pid=os.getpid(), started="12345")
        _assert_taken(lock)

    def test_a_process_that_was_killed_and_never_waited_for(self, lock: Path) -> None:
        code = "import sys, time; from pathlib import Path; from robotrove.core.lease import lease\n"
        code += f"with lease(Path({str(lock)!r})): print(1, flush=True); time.sleep(60)"
        holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(RunLocked, match=f"process {holder.pid} "), lease(lock):
            pass
        os.kill(holder.pid, signal.SIGKILL)
        os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # a zombie from here on
        _assert_taken(lock)
        holder.communicate()

    @pytest.mark.parametrize("content", ["", "{", "[1, 2]", "null", '"text"'])
    def test_a_lock_that_says_nothing(self, lock: Path, content: str) -> None:
        lock.parent.mkdir()
        lock.write_text(content)
        _assert_taken(lock)


class TestOnAnotherHost:
    def test_it_is_respected_while_its_heart_beats(self, lock: Path) -> None:
        _write(lock, host="node17", age_s=module.STALE_AFTER_S - 10)
        before = lock.read_text()
        with pytest.raises(RunLocked, match=r"process \d+ on node17"), lease(lock):
            pass
        assert lock.read_text() == before

    def test_and_taken_over_when_it_has_stopped(self, lock: Path) -> None:
        _write(lock, host="node17", age_s=module.STALE_AFTER_S + 1)
        _assert_taken(lock)

    def test_ours_beats(self, lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "HEARTBEAT_S", 0.02)
        with lease(lock):
            os.utime(lock, (0, 0))
            deadline = time.monotonic() + 10
            while time.time() - lock.stat().st_mtime > 60:
                assert time.monotonic() < deadline, "no heartbeat"
                time.sleep(0.01)

    def test_and_goes_on_after_the_file_system_stumbled(self, lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "HEARTBEAT_S", 0.02)
        beats, utime = [], os.utime

        def stumble(path: Any, *more: Any) -> None:
            beats.append(path)
            if len(beats) < 3:
                raise OSError(116, "Stale file handle")
            utime(path, *more)

        with lease(lock):
            os.utime(lock, (0, 0))
            monkeypatch.setattr("os.utime", stumble)
            deadline = time.monotonic() + 10
            while time.time() - lock.stat().st_mtime > 60:
                assert time.monotonic() < deadline, "the heartbeat ended with the first error"
                time.sleep(0.01)


class TestRaces:
    def test_the_fresh_lock_of_another_is_given_back(self, lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Two find the same dead lock; the slower one must not take away what the faster one has put there."""
        _write(lock, pid=os.getpid(), started="dead")

        def judge(holder: object, age_s: float) -> bool:
            lock.unlink()
            _write(lock, host="faster", pid=7)
            return False

        monkeypatch.setattr(module, "_is_alive", judge)
        with pytest.raises(RunLocked), lease(lock):
            pass
        assert json.loads(lock.read_text())["host"] == "faster"
        assert list(lock.parent.iterdir()) == [lock]

    def test_who_comes_second_by_a_hair_ends_in_words(self, lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_take_over_if_dead", lambda *_: None)
        _write(lock, host="faster")
        with pytest.raises(RunLocked, match="same time"), lease(lock):
            pass
        assert list(lock.parent.iterdir()) == [lock]

    def test_a_lock_that_became_somebody_elses_stays(self, lock: Path) -> None:
        with lease(lock):
            lock.unlink()
            _write(lock, host="other")
        assert json.loads(lock.read_text())["host"] == "other"

    def test_of_many_processes_one_holds_it(self, lock: Path) -> None:
        """All start at once on a dead lock; never two are inside, and each gets in or is told."""
        _write(lock, started="dead")
        code = f"""
import os, sys, time
from pathlib import Path
from robotrove.core.errors import RunLocked
from robotrove.core.lease import lease
lock = Path({str(lock)!r}); inside = lock.parent / "inside"
sys.stdin.readline()
try:
    with lease(lock):
        os.mkdir(inside); time.sleep(0.02); os.rmdir(inside)
except RunLocked:
    pass
"""
        crowd = [subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) for _ in range(6)]
        for process in crowd:
            assert process.stdin is not None
            process.stdin.write(b"\n")
            process.stdin.flush()
        assert [process.wait(60) for process in crowd] == [0] * len(crowd)
