"""Reader: base class of sources."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from datatrove.pipeline.base import PipelineStep

from ..core.episode import Episode, Scanned
from ..core.source_file import SourceFile, read_files
from ..manifests.manifest import EpisodeRow, Manifest
from ..manifests.shard_progress import ShardProgress
from .binding import Bound


class Reader(Bound, PipelineStep, ABC):
    """A source of episodes: finds recordings, lists what is in them, and reads it.

    Attributes:
        name: Name in a pipeline file.
    """

    name = "reader"
    type = "📖 - READER"
    role = "source"

    @abstractmethod
    def find(self, *, from_anywhere: bool = False) -> list[SourceFile]:
        """Return all recordings in natural order; nothing is fetched yet.

        Args:
            from_anywhere: Skip relative paths of missing files: they may have been given in another folder.

        Raises:
            UsageError: If a pattern matches nothing.
        """

    @abstractmethod
    def scan(self, file: SourceFile) -> Iterator[Scanned]:
        """Yield the episodes of a recording in order, or why it has none; it is opened once."""

    @abstractmethod
    def episodes(self, file: SourceFile, rows: Sequence[EpisodeRow]) -> Iterator[Episode]:
        """Yield the listed episodes of a recording; those that cannot be used any more come as rejected."""

    def content_digests(self, rows: Iterable[EpisodeRow]) -> dict[int, str]:
        """Return `Episode.content_digest` of listed episodes by their row, empty for those that cannot be read."""
        return {ep.origin.row: "" if ep.rejection else ep.content_digest() for ep in self.read(rows)}

    def file_of(self, row: EpisodeRow) -> SourceFile:
        """Return the recording of an episode, as it was planned."""
        return SourceFile(Path(row.path), row.size, row.mtime_ns)

    def other_files_of(self, row: EpisodeRow) -> list[SourceFile]:
        """Return the other files that an episode takes data from, as they were when it was planned."""
        return [SourceFile(*file) for file in read_files(row.files)]

    def read(self, rows: Iterable[EpisodeRow]) -> Iterator[Episode]:
        """Yield the listed episodes, recording by recording."""
        for _, group in groupby(rows, key=lambda row: row.path):
            listed = list(group)
            yield from self.episodes(self.file_of(listed[0]), listed)

    def run(self, data: Iterable[Episode] | None = None, rank: int = 0, world_size: int = 1) -> Iterator[Episode]:
        """Yield the episodes of shard `rank` that are not committed yet; `data` is ignored."""
        workspace = self.binding.workspace
        progress = ShardProgress(workspace, rank)
        if progress.committed:
            return
        kept = progress.kept_before()
        rows = Manifest.read(workspace.manifest, shard=rank).rows
        yield from self.read([row for row in rows if row.index not in kept and not progress.is_done(row.index)])
