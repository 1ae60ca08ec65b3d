"""Manifest: every episode of a run, in order, with its source and its shard."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..core.commit import attempt_name, sync_file
from ..core.episode import Rejection
from ..core.errors import printable, undamaged

MIN_SHARD_FRAMES = 300
MAX_SHARD_FRAMES = 20_000
MAX_SHARD_EPISODES = 128
TARGET_SHARDS = 64


@dataclass(frozen=True, slots=True)
class EpisodeRow:
    """One listed episode, or one file that could not be listed (then `key` is empty).

    Attributes:
        index: Row in the manifest, the episode's identity within the run.
        path: Absolute path of the source file (stays in the run directory).
        source: The same, relative to the source root: what travels with the dataset.
        key: Name of the episode inside the file.
        digest: sha256 of the episode's structure and of the ends of its numeric datasets.
        length: Frames after the pipeline's steps, as far as planning can tell.
        source_length: Frames in the file.
        start: First of its rows in the file's datasets.
        fps: Frames per second.
        task: Instruction.
        success: The recorder's label, None without one.
        size: Size of the file in bytes when it was planned.
        mtime_ns: Modification time of the file when it was planned.
        inode: Its number in the file system then, see `SourceFile`.
        ctime_ns: Time of its last change then, likewise.
        content: Second digest, `Episode.content_digest`, where planning needed it; else empty.
        shard: Rank of the shard, -1 if planning rejected the episode.
        reason: Name of the rejection, empty if kept.
        detail: One sentence about the rejection.
        error: True if it was rejected for bad data, not by a filter.
        mapping: JSON of where its columns are, see `EpisodeOrigin`; one text for all episodes that share it.
        files: JSON of the other files that it takes data from, see `EpisodeOrigin`; likewise.
    """

    index: int
    path: str
    source: str
    key: str
    digest: str
    length: int
    source_length: int
    fps: int
    task: str
    success: bool | None
    size: int
    mtime_ns: int
    shard: int = -1
    reason: str = ""
    detail: str = ""
    error: bool = False
    start: int = 0
    mapping: str = ""
    files: str = ""
    inode: int = 0
    ctime_ns: int = 0
    content: str = ""

    @property
    def label(self) -> str:
        """File and key, for people."""
        return printable(f"{self.source}:{self.key}" if self.key else self.source)

    def doubted(self, content: str) -> EpisodeRow:
        """Return the row as one with digests to compare, whatever the inode; `content` is the second if it has none."""
        return replace(self, inode=-1, ctime_ns=-1, content=self.content or content)

    def rejected(self, rejection: Rejection) -> EpisodeRow:
        """Return the row with a rejection noted."""
        return replace(self, reason=rejection.reason, detail=rejection.detail, error=rejection.error)


_SCHEMA = pa.schema(
    [
        ("index", pa.int64()),
        ("path", pa.string()),
        ("source", pa.string()),
        ("key", pa.string()),
        ("digest", pa.string()),
        ("length", pa.int64()),
        ("source_length", pa.int64()),
        ("fps", pa.int64()),
        ("task", pa.string()),
        ("success", pa.bool_()),
        ("size", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("shard", pa.int64()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("error", pa.bool_()),
        ("start", pa.int64()),
        ("mapping", pa.dictionary(pa.int32(), pa.string())),
        ("files", pa.dictionary(pa.int32(), pa.string())),
        ("inode", pa.int64()),
        ("ctime_ns", pa.int64()),
        ("content", pa.string()),
    ]
)
# In 0.2.3; status and trace read earlier manifests too.
_ADDED: dict[str, Any] = {"start": 0, "mapping": "", "files": "", "inode": 0, "ctime_ns": 0, "content": ""}


@dataclass(frozen=True, slots=True)
class Manifest:
    """All rows of a run, in natural order of file and key."""

    rows: Sequence[EpisodeRow]

    @property
    def kept(self) -> Iterator[EpisodeRow]:
        """The rows that have a shard."""
        return (row for row in self.rows if row.shard >= 0)

    @property
    def n_shards(self) -> int:
        """Number of shards."""
        return 1 + max((row.shard for row in self.rows), default=-1)

    def write(self, path: Path) -> None:
        """Write the manifest as parquet, whole or not at all."""
        attempt = path.with_name(attempt_name(path.name))
        try:
            pq.write_table(pa.Table.from_pylist([asdict(row) for row in self.rows], schema=_SCHEMA), attempt)
            sync_file(attempt)
            attempt.replace(path)
        finally:
            attempt.unlink(missing_ok=True)
        sync_file(path.parent)

    @classmethod
    def read(cls, path: Path, *, shard: int | None = None) -> Manifest:
        """Read the manifest, or the rows of one shard only."""
        filters = None if shard is None else [("shard", "==", shard)]
        with undamaged(path):
            _check_columns(path)
            table = pq.read_table(path, schema=_SCHEMA, filters=filters)
        added = zip(*(_added(table[name], absent) for name, absent in _ADDED.items()), strict=True)
        rows = zip(table.drop_columns([*_ADDED]).to_pylist(), added, strict=True)
        return cls([EpisodeRow(**row, **dict(zip(_ADDED, values, strict=True))) for row, values in rows])

    @staticmethod
    def columns(path: Path, *names: str) -> list[list[Any]]:
        """Read some columns only, for every row: of many episodes in a tenth of the time."""
        with undamaged(path):
            _check_columns(path)
            table = pq.read_table(path, schema=_SCHEMA, columns=list(names))
        return [table[name].to_pylist() for name in names]

    @classmethod
    def shards(cls, path: Path) -> int:
        """Return the number of shards, reading little else."""
        [shards] = cls.columns(path, "shard")
        return 1 + max(shards, default=-1)


def _added(column: pa.ChunkedArray, absent: Any) -> list[Any]:
    """Return the values of a column, one object for equal texts; `absent` for those that its manifest lacks."""
    values = column.combine_chunks()
    if pa.types.is_dictionary(values.type):
        texts = values.dictionary.to_pylist()
        return [absent if index is None else texts[index] for index in values.indices.to_pylist()]
    return [absent if value is None else value for value in values.to_pylist()]


def _check_columns(path: Path) -> None:
    """Raise KeyError for columns that the file does not have: pyarrow would read nulls in their place."""
    if missing := sorted(set(_SCHEMA.names) - _ADDED.keys() - set(pq.read_schema(path).names)):
        raise KeyError(f"no column {', '.join(missing)}")


def cut_shards(rows: Iterable[EpisodeRow]) -> list[EpisodeRow]:
    """Give every row that is not rejected its shard.

    A shard closes at F frames or 128 episodes, F = clamp(frames / 64, 300, 20,000): it depends on
    the episodes alone, never on the number of workers, so that this may change between restarts.
    """
    rows = list(rows)
    frames = sum(row.length for row in rows if not row.reason)
    limit = min(max(frames // TARGET_SHARDS, MIN_SHARD_FRAMES), MAX_SHARD_FRAMES)
    cut: list[EpisodeRow] = []
    shard = held_frames = held_episodes = 0
    for row in rows:
        if row.reason:
            cut.append(row)
            continue
        if held_episodes and (held_frames >= limit or held_episodes >= MAX_SHARD_EPISODES):
            shard, held_frames, held_episodes = shard + 1, 0, 0
        cut.append(replace(row, shard=shard))
        held_frames += row.length
        held_episodes += 1
    return cut
