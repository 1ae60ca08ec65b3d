"""How far a run is, read from its files alone: during the run, after it, or on another machine."""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..core.lease import is_held
from ..core.workspace import Workspace
from ..manifests.events import Event, EventReader
from ..manifests.manifest import Manifest
from ..manifests.report import RejectedLine
from ..manifests.shard import RejectedEpisode, Shard
from .stages import stages

RATE_WINDOW_S = 120.0


@dataclass(frozen=True, slots=True)
class StageStatus:
    """Ranks of one stage."""

    name: str
    done: int
    ranks: int


@dataclass(frozen=True, slots=True)
class RunStatus:
    """A run at one moment.

    Attributes:
        state: planned, running, stopped or finished.
        stages: Each stage's ranks.
        listed: Episodes in the manifest.
        kept: Episodes committed so far.
        rejected: Reason to number of episodes rejected so far, planning included.
        frames: Frames committed so far.
        total_frames: Frames of all episodes that planning kept.
        frames_per_s: Committed frames per second in the last two minutes.
        seconds_left: Estimate for the conversion, None if nothing is known.
    """

    state: str
    stages: Sequence[StageStatus]
    listed: int
    kept: int
    rejected: Mapping[str, int]
    frames: int
    total_frames: int
    frames_per_s: float
    seconds_left: float | None


class StatusReader:
    """Reads the status of one run again and again; remembers shards that are finished."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._manifest = Manifest.read(workspace.manifest)
        self._stages = stages(workspace)
        self._total_frames = sum(row.length for row in self._manifest.kept)
        self._shards: dict[int, Shard] = {}
        self._events = EventReader(workspace.events)
        self._recent: deque[Event] = deque()

    def read(self) -> RunStatus:
        """Return the status now."""
        rows = self._manifest.rows
        rejected = Counter(row.reason for row in rows if row.reason)
        kept = frames = skipped = 0
        for shard in self._committed():
            kept += len(shard.kept)
            frames += shard.frames
            rejected.update(entry.reason for entry in shard.rejected)
            skipped += sum(rows[entry.index].length for entry in shard.rejected)
        for folder in self._workspace.partials():
            try:
                names = os.listdir(folder)
            except FileNotFoundError:  # its shard has just been finished
                continue
            committed = [int(name[1:]) for name in names if name[1:].isdigit()]
            refused = [int(name[1:8]) for name in names if name.endswith(".rejected.json")]
            kept += len(committed)
            frames += sum(rows[index].length for index in committed)
            skipped += sum(rows[index].length for index in refused)
            if refused:
                rejected["in shards in progress"] += len(refused)
        total = self._total_frames
        rate = self._rate()
        done = [StageStatus(stage.name, stage.ranks - len(stage.missing()), stage.ranks) for stage in self._stages]
        left = max(0, total - frames - skipped)
        return RunStatus(
            self._state(done), done, len(rows), kept, dict(rejected), frames, total, rate, left / rate if rate else None
        )

    def rejections(self) -> list[RejectedLine]:
        """Return every rejection of planning and of finished shards, in manifest order."""
        lines = {
            row.index: RejectedEpisode(row.index, row.reason, row.detail, row.error)
            for row in self._manifest.rows
            if row.reason
        }
        for shard in self._committed():
            lines |= {entry.index: entry for entry in shard.rejected}
        rows = self._manifest.rows
        return [
            RejectedLine(rows[i].source, rows[i].key, lines[i].reason, lines[i].detail, lines[i].error)
            for i in sorted(lines)
        ]

    def _committed(self) -> list[Shard]:
        """Return the finished shards by rank; each is read once."""
        names = os.listdir(self._workspace.shards) if self._workspace.shards.exists() else []
        for rank in (int(name) for name in names if name.isdigit()):
            if rank not in self._shards:
                self._shards[rank] = Shard.read(self._workspace.shard(rank))
        return [self._shards[rank] for rank in sorted(self._shards)]

    def _state(self, done: Sequence[StageStatus]) -> str:
        if self._workspace.report.exists():
            return "finished"
        if is_held(self._workspace.lock):
            return "running"
        return "stopped" if any(stage.done for stage in done) or list(self._workspace.partials()) else "planned"

    def _rate(self) -> float:
        now = time.time()
        self._recent.extend(self._events.read())
        while self._recent and self._recent[0].time < now - RATE_WINDOW_S:
            self._recent.popleft()
        if not self._recent:
            return 0.0
        rows = self._manifest.rows
        span = now - min(event.time for event in self._recent)
        return sum(rows[event.episode].length for event in self._recent if event.kind == "committed") / max(span, 1e-3)
