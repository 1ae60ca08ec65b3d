"""An episode that is on disk already: where its rows and clips are, and what meta says of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ...core.errors import RobotroveError
from ...media.remux.video_index import Clip, Encoding
from .arrow_rows import open_parquet
from .episode_metas import EpisodeMetas
from .provenance import ORIGIN_SCHEMA

EPISODE_FILE = "episode.json"
_HELD_BYTES = 16 << 20
ROWS_FILE = "rows.parquet"


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows first..first+count of a parquet file."""

    path: Path
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Track:
    """The frames of one camera of an episode.

    Attributes:
        clip: Where they are.
        size: Bytes of their packets, or of a file of their own.
        encoding: What they are encoded with; None where it is the same for all clips that can meet this one.
        is_copyable: False if the clip can only be encoded anew, since it begins at no keyframe.
    """

    clip: Clip
    size: int
    encoding: Encoding | None = None
    is_copyable: bool = True

    @property
    def kind(self) -> str:
        """What it has in common with the clips that it can share a file with."""
        if not self.is_copyable:
            return "encoded anew"
        return self.encoding.extradata if self.encoding else ""


@dataclass(frozen=True, slots=True)
class EpisodeFiles:
    """Where one finished episode is.

    Attributes:
        length: Frames.
        tasks: Its instructions, usually one.
        rows: Its rows.
        row_bytes: Size of its rows as a file of their own.
        tracks: Camera key to its frames, of cameras stored as video.
    """

    length: int
    tasks: tuple[str, ...]
    rows: Rows
    row_bytes: int
    tracks: Mapping[str, Track]


@dataclass(frozen=True, slots=True)
class EpisodeRecord:
    """One finished episode of a run.

    Attributes:
        index: Row in the manifest.
        files: Where it is.
        metas: What meta says of it, and of no other.
        histograms: Camera key to (3, 256) counts of its sampled pixel values; empty where its shard has them.
        episode: Its number in the shard that it is from, if any.
        source_tasks: Instructions of that shard by task_index.
    """

    index: int
    files: EpisodeFiles
    metas: EpisodeMetas
    histograms: Mapping[str, Any] = field(default_factory=dict)
    episode: int = 0
    source_tasks: Sequence[str] = ()


def read_episode(folder: Path) -> EpisodeRecord:
    """Read a committed episode folder."""
    entry = json.loads((folder / EPISODE_FILE).read_text())
    length = entry["length"]
    rows = folder / ROWS_FILE
    clips = {key: Clip(folder / name, 0, length) for key, name in entry["files"].items()}
    tracks = {key: Track(clip, clip.path.stat().st_size) for key, clip in clips.items()}
    files = EpisodeFiles(length, (entry["task"],), Rows(rows, 0, length), rows.stat().st_size, tracks)
    stats = {name: np.array([value], np.float64) for name, value in entry["stats"].items()}
    metas = EpisodeMetas(stats, pa.Table.from_pylist([entry["provenance"]], schema=ORIGIN_SCHEMA))
    return EpisodeRecord(entry["index"], files, metas, entry["histograms"])


class RowReader:
    """Reads runs of rows; keeps the last file and row groups, since neighbours are usually in the same ones.

    Recorded datasets have a small row group per episode, converted ones a single one per file: reading
    the former one by one would take as long as all else, reading the latter for each episode quadratic time.

    Attributes:
        group_starts: First row of each row group of the file read last, and the number of its rows.
    """

    def __init__(self) -> None:
        self._path: Path | None = None
        self._file: pq.ParquetFile | None = None
        self.group_starts: NDArray[np.int64] = np.zeros(1, np.int64)
        self._held = range(0)  # row groups in memory
        self._table: pa.Table | None = None

    def _open(self, path: Path) -> pq.ParquetFile:
        if self._file is None or self._path != path:
            self.close()
            self._file = open_parquet(path)
            self._path = path
            facts = self._file.metadata
            self.group_starts = np.cumsum([0, *(facts.row_group(i).num_rows for i in range(facts.num_row_groups))])
        return self._file

    def read(self, rows: Rows) -> Iterator[pa.Table]:
        """Yield the rows in order, in as few tables as memory allows."""
        file = self._open(rows.path)
        stop = rows.first + rows.count
        if stop > self.group_starts[-1]:
            raise RobotroveError(
                str(rows.path), f"has {self.group_starts[-1]} rows", f"at least {stop}", "convert its sources again"
            )
        first = rows.first
        while first < stop:
            group = int(np.searchsorted(self.group_starts, first, side="right")) - 1
            if group not in self._held:
                self._load(file, group)
            assert self._table is not None
            begin = int(self.group_starts[self._held.start])
            last = min(begin + self._table.num_rows, stop)
            yield self._table.slice(first - begin, last - first)
            first = last

    def _load(self, file: pq.ParquetFile, group: int) -> None:
        """Read a row group, and those after it that fit into memory with it."""
        self._table = None  # only one at a time in memory
        size, last = 0, group
        while last < file.num_row_groups and (last == group or size < _HELD_BYTES):
            size += file.metadata.row_group(last).total_byte_size
            last += 1
        self._held = range(group, last)
        try:
            self._table = file.read_row_groups(list(self._held), use_threads=False)
        except (pa.ArrowException, OSError) as exc:
            raise RobotroveError(str(self._path), f"cannot be read as parquet: {exc}") from exc

    def close(self) -> None:
        """Close the open file."""
        if self._file is not None:
            self._file.close()
            self._file = self._table = None
            self._held = range(0)
