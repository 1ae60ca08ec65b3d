"""An episode that is on disk already: where its rows and clips are, and what meta says of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...core.errors import RobotroveError
from ...manifests.shard import Shard
from ...media.join import Clip
from . import paths

EPISODE_FILE = "episode.json"
ROWS_FILE = "rows.parquet"
# These depend on where an episode ends up, so they are made when it is placed.
PLACED_COLUMNS = ("episode_index", "index", "task_index")


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows first..first+count of a parquet file."""

    path: Path
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class EpisodeRecord:
    """One finished episode, wherever its files are.

    Attributes:
        index: Row in the manifest.
        length: Frames.
        task: Instruction.
        stats: "stats/<feature>/<name>" to nested lists, as in meta/episodes.
        rows: Its rows.
        clips: Camera key to its packets.
        row_bytes: Size of its rows as a file of their own.
        clip_bytes: Camera key to size of its clip as a file of its own.
        provenance: Columns of meta/robotrove/episodes.parquet.
    """

    index: int
    length: int
    task: str
    stats: Mapping[str, Any]
    rows: Rows
    clips: Mapping[str, Clip]
    row_bytes: int
    clip_bytes: Mapping[str, int]
    provenance: Mapping[str, Any]


def read_episode(folder: Path) -> EpisodeRecord:
    """Read a committed episode folder."""
    entry = json.loads((folder / EPISODE_FILE).read_text())
    length = entry["length"]
    clips = {key: Clip(folder / name, 0, length) for key, name in entry["files"].items()}
    return EpisodeRecord(
        entry["index"],
        length,
        entry["task"],
        entry["stats"],
        Rows(folder / ROWS_FILE, 0, length),
        clips,
        (folder / ROWS_FILE).stat().st_size,
        {key: clip.path.stat().st_size for key, clip in clips.items()},
        entry["provenance"],
    )


def read_histograms(folder: Path) -> dict[str, list[list[int]]]:
    """Return the pixel histograms of a committed episode folder: camera key to (3, 256) counts."""
    histograms: dict[str, list[list[int]]] = json.loads((folder / EPISODE_FILE).read_text())["histograms"]
    return histograms


def read_shard(folder: Path) -> Iterator[EpisodeRecord]:
    """Read the episodes of a committed shard in order."""
    shard = Shard.read(folder)
    if not shard.kept:
        return
    fps = json.loads((folder / paths.INFO).read_text())["fps"]
    table = pq.read_table(folder / paths.EPISODES)
    provenance = pq.read_table(folder / paths.PROVENANCE).drop_columns(["episode_index"]).to_pylist()
    stats_columns = [name for name in table.column_names if name.startswith("stats/")]
    file_start: dict[int, int] = {}
    for kept, row, origin in zip(shard.kept, table.to_pylist(), provenance, strict=True):
        number = row["data/chunk_index"] * paths.CHUNKS_SIZE + row["data/file_index"]
        first = file_start.get(number, 0)
        file_start[number] = first + kept.length
        yield EpisodeRecord(
            kept.index,
            kept.length,
            row["tasks"][0],
            {name: row[name] for name in stats_columns},
            Rows(folder / paths.data_path(number), first, kept.length),
            {key: _clip(folder, key, row, kept.length, fps) for key in kept.clip_bytes},
            kept.row_bytes,
            kept.clip_bytes,
            origin,
        )


def _clip(folder: Path, key: str, row: Mapping[str, Any], length: int, fps: int) -> Clip:
    number = row[f"videos/{key}/chunk_index"] * paths.CHUNKS_SIZE + row[f"videos/{key}/file_index"]
    return Clip(folder / paths.video_path(key, number), round(row[f"videos/{key}/from_timestamp"] * fps), length)


class RowReader:
    """Reads runs of rows; keeps the last file open, since neighbours are usually in the same one."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._file: pq.ParquetFile | None = None
        self._starts: list[int] = []

    def _open(self, path: Path) -> pq.ParquetFile:
        if self._file is None or self._path != path:
            self.close()
            self._file = pq.ParquetFile(path)
            self._path = path
            self._starts = [0]
            for group in range(self._file.num_row_groups):
                self._starts.append(self._starts[-1] + self._file.metadata.row_group(group).num_rows)
        return self._file

    def read(self, rows: Rows) -> Iterator[pa.Table]:
        """Yield the rows in order, one table per row group that they lie in."""
        file = self._open(rows.path)
        stop = rows.first + rows.count
        if stop > self._starts[-1]:
            raise RobotroveError(
                str(rows.path), f"has {self._starts[-1]} rows", f"at least {stop}", "convert its sources again"
            )
        for group, (begin, end) in enumerate(zip(self._starts, self._starts[1:], strict=False)):
            first, last = max(begin, rows.first), min(end, stop)
            if first < last:
                yield file.read_row_group(group).slice(first - begin, last - first)

    def close(self) -> None:
        """Close the open file."""
        if self._file is not None:
            self._file.close()
            self._file = None
