"""A journal of what happened to each episode: one append-only file per process, no shared database."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
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
        self._path = folder / f"{socket.gethostname()}-{os.getpid()}.jsonl"

    def note(self, kind: EventKind, episode: int, frames: int = 0) -> None:
        """Append one line."""
        line = json.dumps({"time": time.time(), "kind": kind, "episode": episode, "frames": frames})
        with open(self._path, "a", encoding="utf-8") as stream:
            stream.write(line + "\n")


def read_events(folder: Path) -> Iterator[Event]:
    """Yield all events of a run, process by process; a line cut by a crash is passed over."""
    for path in sorted(folder.glob("*.jsonl")):
        with open(path, encoding="utf-8") as stream:
            for line in stream:
                if line.endswith("\n"):
                    yield Event(**json.loads(line))
