"""How far a run is that converts recordings: counted from what is committed, and from nothing else."""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Sequence

from ..core.workspace import Workspace
from ..manifests.events import Event, EventReader
from ..manifests.manifest import Manifest
from ..manifests.shard import Shard
from .status import Counts, StageStatus, StatusReader

RATE_WINDOW_S = 120.0


class ConversionStatus(StatusReader):
    """Reads the status of a run that converts recordings; remembers shards that are finished."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._manifest = Manifest.read(workspace.manifest)
        self._total_frames = sum(row.length for row in self._manifest.kept)
        self._shards: dict[int, Shard] = {}
        self._events = EventReader(workspace.events)
        self._recent: deque[Event] = deque()

    def _counts(self, done: Sequence[StageStatus]) -> Counts:
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
        rate = self._rate()
        left = max(0, self._total_frames - frames - skipped)
        return Counts(
            listed=len(rows),
            kept=kept,
            rejected=dict(rejected),
            frames=frames,
            total_frames=self._total_frames,
            frames_per_s=rate,
            seconds_left=left / rate if rate else None,
            unit="episodes",
            done=kept + rejected.total(),
            total=len(rows),
        )

    def _committed(self) -> list[Shard]:
        """Return the finished shards by rank; each is read once."""
        names = os.listdir(self._workspace.shards) if self._workspace.shards.exists() else []
        for rank in (int(name) for name in names if name.isdigit()):
            if rank not in self._shards:
                self._shards[rank] = Shard.read(self._workspace.shard(rank))
        return [self._shards[rank] for rank in sorted(self._shards)]

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
