"""Marks of ranks in plain files, beside datatrove's completion marks: who is at work, and why one failed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..core.errors import explained
from ..core.lease import heartbeat, is_held, own_identity


class RankMarks:
    """The marks of the ranks of one stage; nothing but what people are told rests on them.

    Args:
        logs: Logging folder of the stage.
    """

    def __init__(self, logs: Path) -> None:
        self._running = logs / "running"
        self._failed = logs / "failed"

    @contextmanager
    def at_work(self, rank: int) -> Iterator[None]:
        """Say that this process works on a rank, and if it fails, why."""
        self.forget([rank])
        path = _mark(self._running, rank)
        identity = own_identity()
        path.write_text(identity)
        try:
            with heartbeat(path, identity):
                yield
        except Exception as exc:
            self.fail(rank, explained(exc))
            raise

    def fail(self, rank: int, why: str) -> None:
        """Note why a rank failed."""
        with suppress(OSError):  # a full disk is the likely cause, and must stay what is told
            _mark(self._failed, rank).write_text(json.dumps({"time": time.time(), "why": why}))

    def forget(self, ranks: list[int]) -> None:
        """Take back what was noted of failures: the ranks run again."""
        for rank in ranks:
            _path(self._failed, rank).unlink(missing_ok=True)

    def running(self) -> set[int]:
        """Return the ranks that a living process says it works on."""
        return {rank for rank in _ranks(self._running) if is_held(_path(self._running, rank))}

    def failures(self) -> dict[int, str]:
        """Return rank to why it failed."""
        found = {}
        for rank in _ranks(self._failed):
            with suppress(OSError, ValueError, KeyError):  # it runs again, or the disk was full
                found[rank] = str(json.loads(_path(self._failed, rank).read_text())["why"])
        return found


def _path(folder: Path, rank: int) -> Path:
    return folder / f"{rank:05d}"


def _mark(folder: Path, rank: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return _path(folder, rank)


def _ranks(folder: Path) -> list[int]:
    names = os.listdir(folder) if folder.exists() else []
    return sorted(int(name) for name in names if name.isdigit())
