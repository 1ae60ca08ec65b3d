"""Reader: base class of sources."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from datatrove.pipeline.base import PipelineStep
from datatrove.utils.logging import logger

from ..core.episode import Episode, Scanned
from ..core.source_file import SourceFile, read_files
from ..manifests.manifest import EpisodeRow, Manifest
from ..manifests.shard_progress import ShardProgress
from .binding import Bound

_PASSES = 3  # the first, and two for episodes that were lost


class Reader(Bound, PipelineStep, ABC):
    """A source of episodes: finds recordings, lists what is in them, and reads it.

    Attributes:
        name: Name in a pipeline file.
    """

    name = "reader"
    type = "📖 - READER"
    role = "source"

    @abstractmethod
    def find(self) -> list[SourceFile]:
        """Return all recordings in natural order; nothing is fetched yet.

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
        return SourceFile(Path(row.path), row.size, row.mtime_ns, row.inode, row.ctime_ns)

    def other_files_of(self, row: EpisodeRow) -> list[SourceFile]:
        """Return the other files that an episode takes data from, as they were when it was planned."""
        return [SourceFile(*file) for file in read_files(row.files)]

    def read(self, rows: Iterable[EpisodeRow]) -> Iterator[Episode]:
        """Yield the listed episodes, recording by recording."""
        for _, group in groupby(rows, key=lambda row: row.path):
            listed = list(group)
            yield from self.episodes(self.file_of(listed[0]), listed)

    def run(self, data: Iterable[Episode] | None = None, rank: int = 0, world_size: int = 1) -> Iterator[Episode]:
        """Yield the episodes of shard `rank` that are not committed yet; `data` is ignored.

        Committed episodes that are missing or damaged, at the beginning or by the time that all are done, are yielded
        again: the writer joins them next, and what is wrong then would be in the dataset.
        """
        workspace = self.binding.workspace
        progress = ShardProgress(workspace, rank)
        if progress.committed:
            return
        rows = Manifest.read(workspace.manifest, shard=rank).rows
        wanted = {row.index for row in rows}
        for _ in range(_PASSES):
            kept = self._whole(progress)
            missing = [row for row in rows if row.index not in kept and not progress.is_done(row.index)]
            todo = [row for row in missing if row.index in wanted]
            if not todo or progress.committed:
                return
            wanted -= {row.index for row in todo}
            for ep in self.read(todo):
                yield ep
                if ep.reached_writer:  # else a step has dropped it
                    wanted.add(ep.origin.row)
        self._whole(progress)

    def _whole(self, progress: ShardProgress) -> set[int]:
        """Drop what is damaged, and return the manifest rows that the earlier shard holds."""
        for found in progress.drop_damaged():
            if not progress.committed:  # else another process is removing the folder
                logger.warning(f"{found}: recreated")
        return progress.kept_before()
