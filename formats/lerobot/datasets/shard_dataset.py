"""Shard of ours as a source: its content is known without opening its files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ....core.columns import Array
from ....manifests.shard import KeptEpisode, Shard
from ....media.remux.clip import Clip
from .. import paths_v30
from ..dataset_files import read_small
from .dataset import DatasetSource, Note
from .dataset_info import DatasetInfo
from .dataset_v30 import DatasetV30, stat_batches
from .episode_location import EpisodeFiles, EpisodeMetadata, EpisodeRecord, Rows, Track
from .provenance import ORIGIN_SCHEMA


class ShardSource(DatasetSource):
    """A committed shard; one with nothing kept has no episodes.

    Args:
        root: Its folder.
        facts: Those of the run that it belongs to.
    """

    def __init__(self, root: Path, facts: DatasetInfo) -> None:
        super().__init__(root)
        self._facts = facts

    @property
    def facts(self) -> DatasetInfo:
        """What is the same for every episode."""
        return self._facts

    @cached_property
    def shard(self) -> Shard:
        """What shard.json says."""
        return Shard.read(self.root)

    @property
    def tasks(self) -> list[str]:
        """All instructions by task_index."""
        if not self.shard.kept:
            return []
        tasks: list[str] = read_small(self.root / paths_v30.TASKS).column("task").to_pylist()
        return tasks

    def _rows(self, columns: list[str] | None = None) -> list[dict[str, Any]]:
        # A shard has at most 128 episodes.
        rows: list[dict[str, Any]] = []
        if self.shard.kept:
            rows = read_small(self.root / paths_v30.EPISODES, columns).to_pylist()
        return rows

    def files(self, note: Note = lambda text: None) -> Iterator[EpisodeFiles]:
        """Yield where each episode is, in order."""
        columns = ["tasks", "data/chunk_index", "data/file_index"]
        for key in self._facts.camera_keys:
            columns += [f"videos/{key}/{name}" for name in ("chunk_index", "file_index", "from_timestamp")]
        file_start: dict[int, int] = {}
        for kept, row in zip(self.shard.kept, self._rows(columns), strict=True):
            number = row["data/chunk_index"] * paths_v30.CHUNKS_SIZE + row["data/file_index"]
            first = file_start.get(number, 0)
            file_start[number] = first + kept.length
            rows = Rows(self.root / paths_v30.data_path(number), first, kept.length)
            sizes = {key: size for key, size in kept.clip_bytes.items() if key in self._facts.features}
            tracks = {key: Track(self._clip(key, row, kept), size) for key, size in sizes.items()}
            yield EpisodeFiles(kept.length, tuple(row["tasks"]), rows, kept.row_bytes, tracks)

    def _clip(self, key: str, row: Mapping[str, Any], kept: KeptEpisode) -> Clip:
        number = row[f"videos/{key}/chunk_index"] * paths_v30.CHUNKS_SIZE + row[f"videos/{key}/file_index"]
        first = round(row[f"videos/{key}/from_timestamp"] * self._facts.fps)
        return Clip(self.root / paths_v30.video_path(key, number), first, kept.length)

    def metas(self) -> Iterator[EpisodeMetadata]:
        """Yield what meta says of all episodes."""
        if not self.shard.kept:
            return
        origins = read_small(self.root / paths_v30.PROVENANCE, ORIGIN_SCHEMA.names)
        # One batch, since a shard has at most 128 episodes.
        for _, stats in stat_batches(DatasetV30(self.root), self._facts.stat_shapes):
            yield EpisodeMetadata(stats, origins)

    def histograms(self) -> dict[str, Array]:
        """Return camera key to (3, 256) counts of its sampled pixel values."""
        return {key: np.asarray(counts, np.int64) for key, counts in self.shard.histograms.items()}

    def records(self) -> Iterator[EpisodeRecord]:
        """Yield the episodes with their rows in the manifest."""
        tasks = self.tasks
        for metas in self.metas():
            for number, (kept, files) in enumerate(zip(self.shard.kept, self.files(), strict=True)):
                meta = metas.part(number, number + 1)
                yield EpisodeRecord(kept.index, files, meta, episode=number, source_tasks=tasks)
