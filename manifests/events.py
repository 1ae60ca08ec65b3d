"""Journal of events per episode: one append-only file per process, no shared database."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

EventKind = Literal["started", "committed", "rejected"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an episode.

    Attributes:
        time: Seconds since the epoch.
        kind: An attempt started, was committed, or ended in a rejection.
        episode: Row in the manifest.
        frames: Frames encoded, all cameras together; 0 unless committed.
    """

    time: float
    kind: EventKind
    episode: int
    frames: int


class Journal:
    """Appends events of this process."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = _journal(folder, os.getpid())

    def note(self, kind: EventKind, episode: int, frames: int = 0) -> None:
        """Append one line."""
        line = json.dumps({"time": time.time(), "kind": kind, "episode": episode, "frames": frames})
        with open(self._path, "a", encoding="utf-8") as stream:
            stream.write(line + "\n")


def _journal(folder: Path, pid: int) -> Path:
    return folder / f"{socket.gethostname()}-{pid}.jsonl"


def decided(folder: Path, pid: int) -> int:
    """Return how many episodes a process on this host has committed or rejected."""
    path = _journal(folder, pid)
    lines = path.read_text().splitlines() if path.exists() else []
    return sum('"kind": "started"' not in line for line in lines)


class EventReader:
    """Reads the journals of a run again and again, each line once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._offsets: dict[Path, int] = {}

    def read(self, since: float = 0.0) -> Iterator[Event]:
        """Yield the events that are new since the last call; a line that is not finished waits.

        Args:
            since: Leave out the journals that nobody wrote to after this time; a long run has thousands.
        """
        for path in sorted(self._folder.glob("*.jsonl")):
            if path.stat().st_mtime < since:
                continue
            with open(path, "rb") as stream:
                stream.seek(self._offsets.get(path, 0))
                for line in stream:
                    if line.endswith(b"\n"):
                        self._offsets[path] = self._offsets.get(path, 0) + len(line)
                        with suppress(ValueError, TypeError):  # a full disk cuts lines; the next is appended to it
                            yield Event(**json.loads(line))
