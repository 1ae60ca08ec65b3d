"""A LeRobot v3.0 dataset: many episodes in a file, found by the tables in meta/episodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...core.errors import Damaged
from . import paths
from .arrow_rows import ArrowColumn
from .dataset_files import BATCH_ROWS
from .view import DataFile, DatasetView, EpisodePlace, VideoFile

EPISODE_BATCH_ROWS = 1024  # rows with all statistics take some kilobytes each


class DatasetViewV30(DatasetView):
    """One v3.0 dataset."""

    version = paths.CODEBASE_VERSION
    episodes_path = "meta/episodes"
    tasks_path = paths.TASKS
    provenance_path = paths.PROVENANCE
    _held: Sequence[tuple[str, int, dict[str, ArrowColumn]]] = ()

    def files(self, folder: str) -> list[str]:
        """Return the parquet files of `data` or `meta/episodes` in the order in which LeRobot reads them."""
        return [path.relative_to(self.root).as_posix() for path in sorted((self.root / folder).glob("*/*.parquet"))]

    def data_file(self, chunk: int, file: int) -> str:
        """Return the path of a data file."""
        return self.expand("data_path", chunk_index=chunk, file_index=file)

    def video_file(self, key: str, chunk: int, file: int) -> str:
        """Return the path of a video file."""
        return self.expand("video_path", video_key=key, chunk_index=chunk, file_index=file)

    def data_files(self) -> Iterator[DataFile]:
        """See the base class."""
        return map(DataFile, self.files("data"))

    def data_references(self) -> Iterator[str]:
        """See the base class."""
        pairs = np.stack([self.episode_column(f"data/{name}") for name in ("chunk_index", "file_index")], axis=1)
        return (self.data_file(chunk, file) for chunk, file in np.unique(pairs, axis=0).tolist())

    def video_files(self, key: str) -> Iterator[VideoFile]:
        """See the base class."""
        pairs = [self.episode_column(f"videos/{key}/{name}") for name in ("chunk_index", "file_index")]
        begins = self._seconds(f"videos/{key}/from_timestamp")
        firsts = np.rint(begins * self.fps).astype(np.int64)
        # Episodes of one file side by side, in their order.
        order = np.lexsort((np.arange(len(firsts)), *reversed(pairs)))
        chunks, files = (numbers[order] for numbers in pairs)
        cuts = np.flatnonzero((np.diff(chunks) != 0) | (np.diff(files) != 0)) + 1
        for episodes in np.split(order, cuts):
            path = self.video_file(key, int(pairs[0][episodes[0]]), int(pairs[1][episodes[0]]))
            yield VideoFile(key, path, episodes, firsts[episodes], self.lengths[episodes])

    def episodes(self, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """See the base class."""
        for path, first, batch in self.episode_batches(columns, EPISODE_BATCH_ROWS):
            for row, values in enumerate(zip(*(batch[name].to_pylist() for name in columns), strict=True), start=first):
                yield f"{path}, row {row}", dict(zip(columns, values, strict=True))

    def hold(self, columns: Sequence[str]) -> None:
        """Keep columns of meta/episodes in memory, so that its files are opened once for all of them.

        Those that a file does not have are missed when they are asked for.
        """
        self._held = list(self._read_episodes([], EPISODE_BATCH_ROWS, optional=columns))

    def episode_batches(self, columns: Sequence[str], rows: int) -> Iterator[tuple[str, int, dict[str, ArrowColumn]]]:
        """Yield (file, first row, columns) of meta/episodes in order, of at most so many rows."""
        if self._held and all(name in batch for _, _, batch in self._held for name in columns):
            return ((path, first, {name: batch[name] for name in columns}) for path, first, batch in self._held)
        return self._read_episodes(columns, rows)

    def _read_episodes(
        self, columns: Sequence[str], rows: int, *, optional: Sequence[str] = ()
    ) -> Iterator[tuple[str, int, dict[str, ArrowColumn]]]:
        files = self.files(self.episodes_path)
        if not files:
            raise Damaged(self.episodes_path, "holds no parquet file")
        for path in files:
            first = 0
            for batch in self.batches(path, columns, rows, optional=optional):
                yield path, first, batch
                first += len(next(iter(batch.values()), ()))

    def episode_column(self, name: str) -> NDArray[np.int64]:
        """See the base class."""
        return self._column(name, pa.types.is_integer).astype(np.int64)

    def _seconds(self, name: str) -> NDArray[np.float64]:
        times = self._column(name, pa.types.is_floating).astype(np.float64)
        # No file is as long as 2^31 s; the check of episodes names what is no time.
        return np.nan_to_num(times).clip(-(2.0**31), 2.0**31)

    def _column(self, name: str, has_type: Any) -> NDArray[Any]:
        parts = []
        for path, _, batch in self.episode_batches([name], BATCH_ROWS):
            column = batch[name]
            if column.null_count or not has_type(column.type):
                raise Damaged(path, f"column {name} is {column.type} with {column.null_count} empty values")
            parts.append(column.to_numpy(zero_copy_only=False))
        if not parts:
            raise Damaged(self.episodes_path, "holds no rows")
        return np.concatenate(parts)

    def places(self) -> Iterator[EpisodePlace]:
        """See the base class."""
        columns = ["episode_index", "length", "tasks", "data/chunk_index", "data/file_index"]
        for key in self.video_keys:
            columns += [f"videos/{key}/{name}" for name in ("chunk_index", "file_index", "from_timestamp")]
        file, first = "", 0
        for where, row in self.episodes(columns):
            if empty := [name for name, value in row.items() if value is None]:
                raise Damaged(where, f"{', '.join(empty)}: there is no value")
            path = self.data_file(row["data/chunk_index"], row["data/file_index"])
            if path != file:
                file, first = path, 0
            cameras = {key: self._clip(key, row) for key in self.video_keys}
            yield EpisodePlace(row["episode_index"], row["length"], tuple(row["tasks"]), path, first, cameras)
            first += row["length"]

    def _clip(self, key: str, row: Mapping[str, Any]) -> tuple[str, int]:
        chunk, file, begin = (row[f"videos/{key}/{name}"] for name in ("chunk_index", "file_index", "from_timestamp"))
        return self.video_file(key, chunk, file), round(begin * self.fps)

    def episode_stats(
        self, keys: Sequence[str], names: Sequence[str]
    ) -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
        """See the base class."""
        optional = {f"stats/{key}/{name}": (key, name) for key in keys for name in names}
        for path, first, batch in self._read_episodes(["episode_index"], EPISODE_BATCH_ROWS, optional=list(optional)):
            rows = len(batch.pop("episode_index"))
            lists = {column: values.to_pylist() for column, values in batch.items()}
            for row in range(rows):
                entry: dict[str, dict[str, Any]] = {key: {} for key in keys}
                for column, values in lists.items():
                    key, name = optional[column]
                    entry[key][name] = values[row]
                yield f"{path}, row {first + row}", entry

    @cached_property
    def task_table(self) -> pa.Table:
        """tasks.parquet, as it is."""
        with self.parquet(paths.TASKS) as file:
            return file.read(use_threads=False)

    @cached_property
    def tasks(self) -> list[str]:
        """Task texts in the order of tasks.parquet."""
        table = self.task_table
        texts = [name for name in ("task", "__index_level_0__") if name in table.column_names]
        if not texts:
            raise Damaged(paths.TASKS, "has no column task")
        return [str(text) for text in table.column(texts[0]).to_pylist()]
