"""A block that holds a run still at chosen episodes, so that faults hit it at chosen moments."""

from __future__ import annotations

import os
import time
from pathlib import Path

from robotrove.blocks.episode_step import EpisodeFilter
from robotrove.core.episode import Episode

ENVIRONMENT = "ROBOTROVE_TEST_GATES"  # sbatch hands the environment on, so that runs need not differ in a path
GATE = {"use": f"{__name__}:Gate"}


class Gate(EpisodeFilter):
    """Keeps every episode; waits before those that `Gates` closes."""

    name = "gate"
    reads_data = True  # else planning would wait too

    def reject(self, ep: Episode) -> str | None:
        if folder := os.environ.get(ENVIRONMENT):
            Gates(Path(folder)).pass_through(ep.origin.row)
        return None


class Gates:
    """Gates before episodes, closed and opened by files that every process sees.

    Args:
        folder: Where the files are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def close(self, episode: int, pid: int | None = None) -> None:
        """Let no process start an episode, or not this one."""
        self._closed(episode, pid).touch()

    def open(self, episode: int, pid: int | None = None) -> None:
        """Take back what `close` did."""
        self._closed(episode, pid).unlink()

    def swell(self, episode: int, megabytes: int) -> None:
        """Let every process that comes to a gate hold so much memory there."""
        self._swollen(episode).write_text(str(megabytes))

    def arrived(self, episode: int) -> list[int]:
        """Return the processes that ever came to a gate, in no order."""
        return [int(path.name.rpartition("-")[2]) for path in self._folder.glob(f"at-{episode}-*")]

    def pass_through(self, episode: int) -> None:
        """Wait until the gate is open; called by the process that comes so far."""
        pid = os.getpid()
        (self._folder / f"at-{episode}-{pid}").touch()
        size = int(self._swollen(episode).read_text()) if self._swollen(episode).exists() else 0
        ballast = b"x" * (size << 20)
        while self._closed(episode).exists() or self._closed(episode, pid).exists():
            time.sleep(0.02)
        del ballast

    def _closed(self, episode: int, pid: int | None = None) -> Path:
        return self._folder / (f"closed-{episode}" if pid is None else f"closed-{episode}-{pid}")

    def _swollen(self, episode: int) -> Path:
        return self._folder / f"swollen-{episode}"
