"""Shard dataset: a committed shard. Its record has the sizes of the episodes, so no video is opened for them."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import replace
from functools import cached_property

from ....manifests.shard import Shard
from .dataset_v30 import DatasetV30
from .episode_location import EpisodeLocation, EpisodeRecord, Track
from .provenance import episode_metadata


class ShardDataset(DatasetV30):
    """A committed shard; if no episode was kept, it contains only its record."""

    @cached_property
    def shard(self) -> Shard:
        """The record, shard.json."""
        return Shard.read(self.root, pixels=False)

    def _measured(self, skipped: Container[int], dropped: Container[str]) -> Iterator[EpisodeLocation]:
        """See the base class; sizes are those of single files, and encodings are the same in all shards of a run.

        Reads meta/ and shard.json alone.
        """
        for kept, at in zip(self.shard.kept, self._located(in_order=True), strict=True):
            tracks = {key: Track(at.tracks[key].clip, size) for key, size in kept.clip_bytes.items()}
            yield replace(at, row_bytes=kept.row_bytes, tracks=tracks)

    def records(self) -> Iterator[EpisodeRecord]:
        """Yield the episodes with their rows in the manifest."""
        if not self.shard.kept:
            return
        for metadata in episode_metadata(self):
            for kept, location in zip(self.shard.kept, self.measured(), strict=True):
                own = metadata.part(location.index, location.index + 1)
                yield EpisodeRecord(kept.index, location, own, source_tasks=self.tasks)
