"""Stage of a run: a number of ranks that all run the same steps, and the marks that they leave in plain files."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.commit import exists_now, look_again
from ..core.errors import RankFailed, explained
from ..core.lease import heartbeat, is_held, own_identity

Step = Callable[..., Any]
Steps = list[Step]

WORKERS_LOG = "workers.log"  # what workers on this machine print, beside the logging folders of the stages


@dataclass(frozen=True, slots=True)
class Stage:
    """A number of ranks that all run the same steps.

    Attributes:
        name: Name of the stage and of its folder in the logs.
        ranks: World size; never changes once the run is created.
        logs: datatrove's logging folder: completions, stats, logs.
        build: Makes fresh steps; each rank gets its own.
        command: Program that runs ranks of the run: reads lines "STAGE RANK" on its standard input
            and answers each with a line of JSON, {"error": ""} if the rank is complete.
        resume: The command that resumes the run, for error texts.
        run_dir: Folder of everything about the run.
        stop_on_failure: Start no further rank once one has failed.
        is_light: Its ranks do too little for jobs of their own on a cluster.
        check: Raises if it is not this stage's turn: an earlier one is incomplete, or left nothing to go on with.
    """

    name: str
    ranks: int
    logs: Path
    build: Callable[[], Steps]
    command: Sequence[str]
    resume: str
    run_dir: Path
    stop_on_failure: bool = False
    is_light: bool = False
    check: Callable[[], None] = lambda: None

    def missing(self, *, fresh: bool = False) -> list[int]:
        """Return the ranks without a completion mark.

        Args:
            fresh: Have the file server asked before marks are believed to be missing.
        """
        folder = self.logs / "completions"
        if fresh and self.missing() and exists_now(folder):
            look_again(folder)
        done = {entry.name for entry in folder.iterdir()} if folder.exists() else set()
        return [rank for rank in range(self.ranks) if f"{rank:05d}" not in done]

    def forget(self, ranks: Iterable[int]) -> None:
        """Take back completion marks, so that the ranks run again."""
        for rank in ranks:
            (self.logs / "completions" / f"{rank:05d}").unlink(missing_ok=True)

    def failed(self, failures: dict[int, str]) -> RankFailed:
        """Return the error for ranks that failed."""
        places = f"{self.logs}/logs, and {self.logs.parent}/{WORKERS_LOG}"
        return RankFailed(self.name, failures, places, self.resume)


class RankMarks:
    """The marks of the ranks of one stage, for messages only: no decision depends on them.

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
