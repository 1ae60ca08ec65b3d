"""How far a run is, read from its files alone: during the run, after it, or on another machine."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..core.workspace import Workspace
from ..manifests.events import read_events
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
        self._shards: dict[int, Shard] = {}

    def read(self) -> RunStatus:
        """Return the status now."""
        rows = self._manifest.rows
        rejected = Counter(row.reason for row in rows if row.reason)
        kept = frames = skipped = 0
        for rank in range(self._manifest.n_shards):
            if (shard := self._shard(rank)) is not None:
                kept += len(shard.kept)
                frames += shard.frames
                rejected.update(entry.reason for entry in shard.rejected)
                skipped += sum(rows[entry.index].length for entry in shard.rejected)
        for folder in self._workspace.partials():
            names = [entry.name for entry in folder.iterdir()] if folder.exists() else []
            committed = [int(name[1:]) for name in names if name[1:].isdigit()]
            refused = [int(name[1:8]) for name in names if name.endswith(".rejected.json")]
            kept += len(committed)
            frames += sum(rows[index].length for index in committed)
            skipped += sum(rows[index].length for index in refused)
            if refused:
                rejected["in shards in progress"] += len(refused)
        total = sum(row.length for row in self._manifest.kept)
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
        for rank in range(self._manifest.n_shards):
            if (shard := self._shard(rank)) is not None:
                lines |= {entry.index: entry for entry in shard.rejected}
        rows = self._manifest.rows
        return [
            RejectedLine(rows[i].source, rows[i].key, lines[i].reason, lines[i].detail, lines[i].error)
            for i in sorted(lines)
        ]

    def _shard(self, rank: int) -> Shard | None:
        if rank not in self._shards:
            folder = self._workspace.shard(rank)
            if not folder.exists():
                return None
            self._shards[rank] = Shard.read(folder)
        return self._shards[rank]

    def _state(self, done: Sequence[StageStatus]) -> str:
        if self._workspace.report.exists():
            return "finished"
        if self._workspace.lock.exists():
            return "running"
        return "stopped" if any(stage.done for stage in done) or list(self._workspace.partials()) else "planned"

    def _rate(self) -> float:
        now = time.time()
        rows = self._manifest.rows
        recent = [event for event in read_events(self._workspace.events) if event.time > now - RATE_WINDOW_S]
        if not recent:
            return 0.0
        span = now - min(event.time for event in recent)
        return sum(rows[event.episode].length for event in recent if event.kind == "committed") / max(span, 1e-3)
