"""Lease: one command at a time per run directory, on one machine or across a shared file system."""

from __future__ import annotations

import json
import os
import secrets
import socket
import stat
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .commit import attempt_name, exists_now, rename_new
from .errors import RunLocked
from .machine import place

HEARTBEAT_S = 10.0
STALE_AFTER_S = 90.0
_AT_ONCE = "another command that started at the same time"


def _process_start(pid: int) -> str:
    """Return the kernel's start time of a process, so that a recycled pid is not mistaken for it; "" if unknown."""
    fields = _process_fields(pid)
    return fields[19] if len(fields) > 19 else ""


def _process_fields(pid: int) -> list[str]:
    """Return what /proc says of a process from its state on."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def is_here(holder: dict[str, object]) -> bool:
    """True if the pid of a holder is one of this machine, and of this container on it."""
    # Locks of versions before 0.2.3 name the host only.
    is_same_place = all(holder.get(key, value) == value for key, value in place().items())
    return holder.get("host") == socket.gethostname() and is_same_place


def _is_alive(holder: dict[str, object], age_s: float) -> bool:
    if is_here(holder) and (all(place().values()) or sys.platform != "linux"):
        pid = int(str(holder.get("pid", 0)))
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # another user's, but a process
        if _process_fields(pid)[:1] in (["Z"], ["X"]):
            return False  # killed, and nobody has asked for its exit code yet
        return _process_start(pid) in ("", holder.get("started"))
    return age_s < STALE_AFTER_S


def _read(path: Path) -> tuple[float, str]:
    """Return the time of the last heartbeat, and who beats; it is opened, as NFS clients believe old times else."""
    with open(path, encoding="utf-8") as stream:
        return os.fstat(stream.fileno()).st_mtime, stream.read()


def _now(folder: Path) -> float:
    """Return the time by the clock that gives files there their times; a server's may differ from this machine's."""
    probe = folder / attempt_name("clock")
    probe.touch()
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink()


def _take_over_if_dead(path: Path, run_dir: str) -> None:
    try:
        beaten, found = _read(path)
    except FileNotFoundError:
        if exists_now(path):
            raise RunLocked(run_dir, _AT_ONCE) from None
        return
    age_s = _now(path.parent) - beaten
    try:
        holder = dict(json.loads(found))
    except (ValueError, TypeError):
        holder, age_s = {}, STALE_AFTER_S
    if _is_alive(holder, age_s):
        raise RunLocked(run_dir, f"process {holder.get('pid')} on {holder.get('host')}")
    # Renamed, not removed: of two that find it dead only one gets it.
    grave = path.with_name(attempt_name(path.name))
    try:
        os.rename(path, grave)
    except FileNotFoundError:
        return
    if grave.read_text() != found:
        # Somebody else buried the dead one first, and this is the new lock: give it back.
        rename_new(grave, path)
        raise RunLocked(run_dir, _AT_ONCE)
    grave.unlink()


def own_identity() -> str:
    """Return a text by which this process is known again, on this host or another, and no other process is."""
    holder = {"host": socket.gethostname(), "pid": os.getpid(), "started": _process_start(os.getpid())} | place()
    return json.dumps(holder | {"nonce": secrets.token_hex(8)})


def holder_of(path: Path) -> dict[str, object]:
    """Return host and pid of the process that holds the lease; empty if there is none."""
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return {}


def is_held(path: Path) -> bool:
    """True if a living process holds the lease."""
    try:
        beaten, found = _read(path)
        return _is_alive(dict(json.loads(found)), time.time() - beaten)
    except (OSError, ValueError, TypeError):
        return False


def has_open(pid: int, path: Path) -> bool:
    """True if a process of this machine is known to have a file open that belongs to this user or root."""
    with suppress(OSError):  # there is no /proc, or it is another user's process
        found = path.lstat()
        if stat.S_ISREG(found.st_mode) and found.st_uid in (0, os.geteuid()):
            for number in os.listdir(f"/proc/{pid}/fd"):
                with suppress(OSError):  # closed meanwhile
                    if os.path.samestat(os.stat(f"/proc/{pid}/fd/{number}"), found):
                        return True
    return False


@contextmanager
def lease(path: Path) -> Iterator[None]:
    """Hold the lease file `path` while the block runs; its mtime is the heartbeat.

    Raises:
        RunLocked: If a living process holds it. One on this machine, and not in another container, is judged by its
            pid and start time, any other by a heartbeat not older than 90 s.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _take_over_if_dead(path, str(path.parent))
    attempt = path.with_name(attempt_name(path.name))
    identity = own_identity()
    try:
        attempt.write_text(identity)
        is_ours = rename_new(attempt, path)
    finally:
        attempt.unlink(missing_ok=True)
    if not is_ours:
        raise RunLocked(str(path.parent), _AT_ONCE)
    with heartbeat(path, identity), open(path):  # by the open file `has_open` knows the process
        yield


@contextmanager
def heartbeat(path: Path, identity: str) -> Iterator[None]:
    """Touch a file that holds `identity` every 10 s while the block runs, then remove it, if it is still ours."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(HEARTBEAT_S):
            with suppress(OSError):  # a file system that stumbles once must not end the heartbeat
                os.utime(path)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        with suppress(FileNotFoundError):
            if path.read_text() == identity:  # not somebody else's by now
                path.unlink()
