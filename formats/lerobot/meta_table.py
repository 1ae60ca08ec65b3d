"""meta/episodes and the provenance table, written row by row in bounded memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...core.features import DEFAULT_FEATURES, Features
from . import paths
from .arrow_rows import open_parquet
from .placement import FileCursor, PlannedFile
from .stats import STAT_KEYS

BATCH_EPISODES = 1000

PROVENANCE_SCHEMA = pa.schema(
    [
        ("episode_index", pa.int64()),
        ("source_name", pa.string()),
        ("source_key", pa.string()),
        ("source_digest", pa.string()),
        ("source_length", pa.int64()),
        ("first_row", pa.int64()),
        ("last_row", pa.int64()),
        ("success", pa.bool_()),
        ("fps_assumed", pa.bool_()),
        ("run_digest", pa.string()),
        ("robotrove_version", pa.string()),
        ("encoder_version", pa.string()),
    ]
)


def _schema(features: Features) -> pa.Schema:
    """Return the columns of meta/episodes in the order in which LeRobot writes them."""
    cameras = [key for key, feature in features.items() if feature.is_video]
    fields = [("episode_index", pa.int64()), ("tasks", pa.list_(pa.string())), ("length", pa.int64())]
    fields += [(f"data/{name}", pa.int64()) for name in ("chunk_index", "file_index")]
    fields += [(name, pa.int64()) for name in ("dataset_from_index", "dataset_to_index")]
    for key in cameras:
        fields += [(f"videos/{key}/{name}", pa.int64()) for name in ("chunk_index", "file_index")]
        fields += [(f"videos/{key}/{name}", pa.float64()) for name in ("from_timestamp", "to_timestamp")]
    numbers = pa.list_(pa.float64())
    for key, feature in (features | DEFAULT_FEATURES).items():
        if feature.dtype == "string":
            continue
        values = pa.list_(pa.list_(numbers)) if feature.is_visual else numbers
        fields += [(f"stats/{key}/{name}", pa.list_(pa.int64()) if name == "count" else values) for name in STAT_KEYS]
    fields += [(f"meta/episodes/{name}", pa.int64()) for name in ("chunk_index", "file_index")]
    return pa.schema(fields)


class MetaTable:
    """Collects one row per episode, in order.

    A statistic that an episode lacks is left out for all: LeRobot does without a column, but not without a value.

    Args:
        root: The dataset.
        features: What it holds, the default five aside.
        fps: Frames per second.
        files: All planned files.
    """

    def __init__(self, root: Path, features: Features, fps: int, files: Sequence[PlannedFile]) -> None:
        self.episodes = 0
        self.frames = 0
        self._fps = fps
        self._schema = _schema(features)
        keys = ["", *(key for key, feature in features.items() if feature.is_video)]
        self._cursors = {key: FileCursor([file for file in files if file.key == key]) for key in keys}
        self._gaps: set[str] = set()
        self._path = root / paths.EPISODES
        self._rows: list[dict[str, Any]] = []
        self._origins: list[dict[str, Any]] = []
        for name in (paths.EPISODES, paths.PROVENANCE):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
        self._writer = pq.ParquetWriter(self._path, self._schema, compression="snappy")
        self._origin_writer = pq.ParquetWriter(root / paths.PROVENANCE, PROVENANCE_SCHEMA, compression="snappy")

    def __enter__(self) -> MetaTable:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
        self._writer.close()
        self._origin_writer.close()
        if kind is None and self._gaps:
            self._leave_out_gaps()

    def add(self, length: int, tasks: Sequence[str], stats: Mapping[str, Any], provenance: Mapping[str, Any]) -> None:
        """Add the next episode.

        Args:
            length: Frames.
            tasks: Its instructions.
            stats: "stats/<feature>/<name>" to nested lists.
            provenance: Columns of the provenance table but episode_index.
        """
        episode, first = self.episodes, self.frames
        row: dict[str, Any] = {"episode_index": episode, "tasks": list(tasks), "length": length, **stats}
        row |= {"dataset_from_index": first, "dataset_to_index": first + length}
        for key, cursor in self._cursors.items():
            file, start = cursor.advance(episode, length)
            prefix = f"videos/{key}" if key else "data"
            row[f"{prefix}/chunk_index"], row[f"{prefix}/file_index"] = paths.chunk_and_file(file.number)
            if key:
                # Divided, never summed: timestamps of a thousand episodes must not drift.
                row[f"{prefix}/from_timestamp"] = start / self._fps
                row[f"{prefix}/to_timestamp"] = (start + length) / self._fps
        row |= {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}
        self._gaps.update(name for name, value in stats.items() if value is None)
        self._rows.append(row)
        self._origins.append({**provenance, "episode_index": episode})
        self.episodes += 1
        self.frames += length
        if len(self._rows) >= BATCH_EPISODES:
            self._flush()

    def _flush(self) -> None:
        self._write(self._writer, self._rows, self._schema)
        self._write(self._origin_writer, self._origins, PROVENANCE_SCHEMA)

    def _leave_out_gaps(self) -> None:
        columns = [name for name in self._schema.names if name not in self._gaps]
        schema = pa.schema([self._schema.field(name) for name in columns])
        whole = self._path.rename(self._path.with_suffix(".gaps"))
        with open_parquet(whole) as file, pq.ParquetWriter(self._path, schema, compression="snappy") as writer:
            for group in range(file.num_row_groups):
                writer.write_table(file.read_row_group(group, columns=columns).cast(schema))
        whole.unlink()

    @staticmethod
    def _write(writer: pq.ParquetWriter, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
        if rows:
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
            rows.clear()
