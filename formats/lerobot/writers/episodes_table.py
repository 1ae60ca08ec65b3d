"""Episodes table: meta/episodes and the provenance table, written in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ....core.features import DEFAULT_FEATURES, Features, video_cameras
from .. import paths_v30
from ..dataset_files import open_parquet
from ..datasets.episode_location import EpisodeMetadata
from ..datasets.provenance import ORIGIN_SCHEMA
from ..features.feature_kind import with_stats
from ..stats.feature_stats import STAT_KEYS
from ..stats.stored_stats import StatColumns, arrow_lists, is_known
from .dataset_plan import PlacedEpisode
from .file_planner import FileCursor, PlannedFile

PROVENANCE_SCHEMA = pa.schema([("episode_index", pa.int64()), *ORIGIN_SCHEMA])

GROUP_EPISODES = 1000
Placed = TypeVar("Placed")


def _schema(features: Features) -> pa.Schema:
    """Return the columns of meta/episodes in the order in which LeRobot writes them."""
    fields = [("episode_index", pa.int64()), ("tasks", pa.list_(pa.string())), ("length", pa.int64())]
    fields += [(f"data/{name}", pa.int64()) for name in ("chunk_index", "file_index")]
    fields += [(name, pa.int64()) for name in ("dataset_from_index", "dataset_to_index")]
    for key in video_cameras(features):
        fields += [(f"videos/{key}/{name}", pa.int64()) for name in ("chunk_index", "file_index")]
        fields += [(f"videos/{key}/{name}", pa.float64()) for name in ("from_timestamp", "to_timestamp")]
    for key, kind in with_stats(features | DEFAULT_FEATURES).items():
        values = kind.stats_type()
        fields += [(f"stats/{key}/{name}", pa.list_(pa.int64()) if name == "count" else values) for name in STAT_KEYS]
    fields += [(f"meta/episodes/{name}", pa.int64()) for name in ("chunk_index", "file_index")]
    return pa.schema(fields)


class EpisodesTable:
    """Takes all episodes in order.

    A statistic that an episode lacks is left out for all: LeRobot does without a column, but not without a value.

    Args:
        root: The dataset.
        features: What it holds, the default five aside.
        fps: Frames per second.
        files: All planned files.
        extras: More columns.
    """

    def __init__(
        self, root: Path, features: Features, fps: int, files: Sequence[PlannedFile], extras: pa.Schema
    ) -> None:
        self._fps = fps
        self._schema = pa.schema([*_schema(features), *extras])
        keys = ["", *video_cameras(features)]
        self._cursors = {key: FileCursor([file for file in files if file.key == key]) for key in keys}
        self._gaps: set[str] = set()
        self._path = root / paths_v30.EPISODES
        apart = [key for key, kind in with_stats(features).items() if not kind.is_numeric]
        self._may_lack = {f"stats/{key}/{name}" for key in apart for name in STAT_KEYS}
        self._episodes = _Groups(self._path, self._schema)
        self._origins = _Groups(root / paths_v30.PROVENANCE, PROVENANCE_SCHEMA)

    def __enter__(self) -> EpisodesTable:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._episodes.close()
        self._origins.close()
        if kind is None and self._gaps:
            self._leave_out_gaps()

    def add(self, placed: Sequence[PlacedEpisode], stats: StatColumns, metadata: EpisodeMetadata) -> None:
        """Add the next episodes.

        Args:
            placed: The episodes.
            stats: All of their statistics.
            metadata: What else is known of them.
        """
        columns: dict[str, Any] = {
            "episode_index": [episode.index for episode in placed],
            "tasks": [episode.location.tasks for episode in placed],
            "length": [episode.location.length for episode in placed],
            "dataset_from_index": [episode.first_index for episode in placed],
            "dataset_to_index": [episode.first_index + episode.location.length for episode in placed],
            **dict.fromkeys(("meta/episodes/chunk_index", "meta/episodes/file_index"), [0] * len(placed)),
            **{name: metadata.extras.column(name).combine_chunks() for name in metadata.extras.column_names},
        }
        for key, cursor in self._cursors.items():
            columns |= self._places(key, cursor, placed)
        for name, column in stats.items():
            columns[name] = arrow_lists(name, column)
            if name in self._may_lack and not is_known(column).all():
                self._gaps.add(name)
        self._episodes.add(
            pa.table([pa.array(columns[field.name], field.type) for field in self._schema], self._schema)
        )
        numbers = pa.array(columns["episode_index"], pa.int64())
        self._origins.add(metadata.provenance.add_column(0, PROVENANCE_SCHEMA.field(0), numbers))

    def _places(self, key: str, cursor: FileCursor, placed: Sequence[PlacedEpisode]) -> dict[str, list[Any]]:
        """Return the columns that say where the rows (key "") or the frames of a camera are."""
        prefix = f"videos/{key}" if key else "data"
        starts = [
            (*cursor.advance(episode.index, episode.location.length), episode.location.length) for episode in placed
        ]
        numbers = [paths_v30.chunk_and_file(file.number) for file, *_ in starts]
        columns: dict[str, list[Any]] = {
            f"{prefix}/chunk_index": [chunk for chunk, _ in numbers],
            f"{prefix}/file_index": [file for _, file in numbers],
        }
        if key:
            # Divided, never summed: timestamps of a thousand episodes must not drift.
            columns[f"{prefix}/from_timestamp"] = [start / self._fps for _, start, _ in starts]
            columns[f"{prefix}/to_timestamp"] = [(start + length) / self._fps for _, start, length in starts]
        return columns

    def _leave_out_gaps(self) -> None:
        columns = [name for name in self._schema.names if name not in self._gaps]
        schema = pa.schema([self._schema.field(name) for name in columns])
        whole = self._path.rename(self._path.with_suffix(".gaps"))
        with open_parquet(whole) as file, pq.ParquetWriter(self._path, schema, compression="snappy") as writer:
            for group in range(file.num_row_groups):
                writer.write_table(file.read_row_group(group, columns=columns).cast(schema))
        whole.unlink()


class _Groups:
    """Writes a table in row groups of as many rows each, whatever the batches that it comes in."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = pq.ParquetWriter(path, schema, compression="snappy")
        self._held = [schema.empty_table()]
        self._rows = 0

    def add(self, table: pa.Table) -> None:
        self._held.append(table)
        self._rows += len(table)
        while self._rows >= GROUP_EPISODES:
            self._write(GROUP_EPISODES)

    def _write(self, rows: int) -> None:
        whole = pa.concat_tables(self._held)
        self._writer.write_table(whole[:rows].combine_chunks())
        self._held, self._rows = [whole[rows:]], len(whole) - rows

    def close(self) -> None:
        if self._rows:
            self._write(self._rows)
        self._writer.close()


def gathered(
    batches: Iterable[tuple[Sequence[Placed], EpisodeMetadata]],
) -> Iterator[tuple[list[Placed], EpisodeMetadata]]:
    """Join small batches that follow each other and have the same statistics: of 1,000 episodes or more, but the last.

    Args:
        batches: Episodes, and what meta says of them.
    """
    held: list[tuple[Sequence[Placed], EpisodeMetadata]] = []
    for batch in batches:
        is_full = sum(len(metadata) for _, metadata in held) >= GROUP_EPISODES
        if held and (is_full or held[-1][1].stats.keys() != batch[1].stats.keys()):
            yield _together(held)
            held = []
        held.append(batch)
    if held:
        yield _together(held)


def _together(held: Sequence[tuple[Sequence[Placed], EpisodeMetadata]]) -> tuple[list[Placed], EpisodeMetadata]:
    return [episode for episodes, _ in held for episode in episodes], joined([metadata for _, metadata in held])


def joined(parts: Sequence[EpisodeMetadata]) -> EpisodeMetadata:
    """Return those of all parts, at least one, with the statistics that all of them have."""
    names = [name for name in parts[0].stats if all(name in part.stats for part in parts)]
    stats = {name: np.concatenate([part.stats[name] for part in parts]) for name in names}
    provenance = pa.concat_tables([part.provenance for part in parts])
    return EpisodeMetadata(stats, provenance, pa.concat_tables([part.extras for part in parts]))
