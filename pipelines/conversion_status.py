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
        self._lengths, reasons = Manifest.columns(workspace.manifest, "length", "reason")
        self._planned = Counter(filter(None, reasons))
        kept = zip(self._lengths, reasons, strict=True)
        self._total_frames = sum(length for length, reason in kept if not reason)
        self._shards: dict[int, Shard] = {}
        self._events = EventReader(workspace.events)
        self._recent: deque[Event] = deque()

    def _counts(self, done: Sequence[StageStatus]) -> Counts:
        lengths = self._lengths
        rejected = self._planned.copy()
        kept = frames = skipped = 0
        for shard in self._committed():
            kept += len(shard.kept)
            frames += shard.frames
            rejected.update(entry.reason for entry in shard.rejected)
            skipped += sum(lengths[entry.index] for entry in shard.rejected)
        for folder in self._workspace.partials():
            try:
                names = os.listdir(folder)
            except FileNotFoundError:  # its shard has just been finished
                continue
            committed = [int(name[1:]) for name in names if name[1:].isdigit()]
            refused = [int(name[1:8]) for name in names if name.endswith(".rejected.json")]
            kept += len(committed)
            frames += sum(lengths[index] for index in committed)
            skipped += sum(lengths[index] for index in refused)
            if refused:
                rejected["in shards in progress"] += len(refused)
        rate = self._rate()
        left = max(0, self._total_frames - frames - skipped)
        return Counts(
            listed=len(lengths),
            kept=kept,
            rejected=dict(rejected),
            frames=frames,
            total_frames=self._total_frames,
            frames_per_s=rate,
            seconds_left=left / rate if rate else None,
            unit="episodes",
            done=kept + rejected.total(),
            total=len(lengths),
        )

    def _committed(self) -> list[Shard]:
        """Return the finished shards by rank; each is read once."""
        names = os.listdir(self._workspace.shards) if self._workspace.shards.exists() else []
        for rank in (int(name) for name in names if name.isdigit()):
            if rank not in self._shards:
                self._shards[rank] = Shard.read(self._workspace.shard(rank), pixels=False)
        return [self._shards[rank] for rank in sorted(self._shards)]

    def _rate(self) -> float:
        now = time.time()
        self._recent.extend(self._events.read(since=now - RATE_WINDOW_S))
        while self._recent and self._recent[0].time < now - RATE_WINDOW_S:
            self._recent.popleft()
        if not self._recent:
            return 0.0
        span = now - min(event.time for event in self._recent)
        frames: int = sum(self._lengths[event.episode] for event in self._recent if event.kind == "committed")
        return frames / max(span, 1e-3)
