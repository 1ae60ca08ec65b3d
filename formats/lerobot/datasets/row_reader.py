"""Row reader: rows of episodes from data files, in bounded batches, wherever they lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ....core.columns import Array
from ....core.errors import Damaged, RobotroveError
from ....media.remux.clip import Clip
from ..dataset_files import ArrowColumn, open_parquet
from ..features.feature_kind import FeatureKind, single_values
from .dataset import Dataset
from .episode_location import Rows, StoredEpisode

EPISODE_INDEX = "episode_index"
RowArrays = dict[str, NDArray[Any]]
_HELD_BYTES = 16 << 20


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


def stored_episodes(dataset: Dataset) -> Iterator[StoredEpisode]:
    """Yield the episodes of a dataset in order.

    Raises:
        Damaged: If what meta says of the episodes cannot be read, or a value that leads to an episode is missing.
    """
    for place in dataset.places():
        clips = {key: Clip(dataset.root / path, first, place.length) for key, (path, first) in place.cameras.items()}
        rows = Rows(dataset.root / place.data, place.row, place.length)
        yield StoredEpisode(place.index, place.length, place.tasks, rows, clips)


class StoredRows:
    """Reads the rows of stored episodes; close it after use.

    Args:
        dataset: The dataset that they are in.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._reader = RowReader()

    def pieces(self, rows: Rows, names: Sequence[str]) -> Iterator[dict[str, Array]]:
        """Yield the rows in order as feature name to (n, *shape); pictures as object arrays (n,) of bytes.

        Raises:
            Damaged: If they cannot be read, or are not what info.json says.
        """
        where = rows.path.relative_to(self._dataset.root).as_posix()
        pieces = self._reader.read(rows)
        while True:
            try:
                table = next(pieces, None)
            except (pa.ArrowException, OSError) as exc:
                raise Damaged(where, f"cannot be read as parquet: {exc}") from exc
            except RobotroveError as exc:
                raise Damaged(where, str(exc)) from exc
            if table is None:
                return
            if missing := [name for name in names if name not in table.column_names]:
                raise Damaged(where, f"has no column {', '.join(missing)}")
            columns = ((name, table.column(name).combine_chunks()) for name in names)
            yield {name: _values(column, self._dataset.kinds[name], f"{where}, {name}") for name, column in columns}

    def close(self) -> None:
        """Close the open file."""
        self._reader.close()


class StoredStream:
    """Reads columns of stored episodes in the order of their files; memory does not grow with their length.

    An episode that lies before the one read last costs reading its file from the beginning.

    Args:
        dataset: The dataset that they are in.
        names: Its features that are wanted, no cameras.
    """

    def __init__(self, dataset: Dataset, names: Sequence[str]) -> None:
        self._dataset = dataset
        self._names = (*names, EPISODE_INDEX)
        self._path = ""
        self._batches: Iterator[tuple[int, dict[str, ArrowColumn]]] = iter(())
        self._first = self._end = 0
        self._held: dict[str, ArrowColumn] = {}

    def pieces(self, episode: StoredEpisode) -> Iterator[dict[str, Array]]:
        """Yield the rows of an episode in order as feature name to (n, *shape).

        Raises:
            Damaged: If they cannot be read, are not what info.json says, or are those of another episode.
        """
        path = episode.rows.path.relative_to(self._dataset.root).as_posix()
        row, stop = episode.rows.first, episode.rows.first + episode.rows.count
        if path != self._path or row < self._first:
            self._path, self._first, self._end = path, 0, 0
            self._batches = self._dataset.row_batches(path, self._names)
        while row < stop:
            while row >= self._end:
                self._next(stop)
            count = min(stop, self._end) - row
            columns = {name: column.slice(row - self._first, count) for name, column in self._held.items()}
            kinds = self._dataset.kinds
            piece = {name: _values(column, kinds[name], f"{path}, {name}") for name, column in columns.items()}
            if (piece.pop(EPISODE_INDEX) != episode.index).any():
                raise Damaged(path, f"row {row} and those after it are not all of episode {episode.index}")
            yield piece
            row += count

    def _next(self, stop: int) -> None:
        batch = next(self._batches, None)
        if batch is None:
            raise Damaged(self._path, f"has {self._end} rows, and at least {stop} are said to be in it")
        self._first, self._held = batch
        self._end = self._first + len(self._held[EPISODE_INDEX])


def _values(column: ArrowColumn, kind: FeatureKind, where: str) -> Array:
    return kind.values(single_values(column, kind.feature), where)


@dataclass(frozen=True, slots=True)
class Piece:
    """Some consecutive rows of one episode.

    Attributes:
        episode: Its number.
        path: Data file that they are in, relative to the dataset.
        columns: Feature name to as many values.
    """

    episode: int
    path: str
    columns: Mapping[str, ArrowColumn]


def row_batches(view: Dataset, names: Sequence[str]) -> Iterator[RowArrays]:
    """Yield numeric features of all rows as (n, *shape), batch by batch; raises as `episode_pieces`."""
    for data in view.data_files():
        for _, batch in view.row_batches(data.path, names):
            yield row_arrays(view, data.path, batch)


def episode_pieces(view: Dataset, names: Sequence[str]) -> Iterator[Piece]:
    """Yield the rows of all episodes, each in one or more pieces.

    The dataset must have as many rows as its episodes have frames; `DatasetSource.files` makes sure.

    Raises:
        Damaged: If a file cannot be read, lacks a feature, or has values that are not what info.json says.
    """
    ends = view.starts[1:].tolist()
    episode = row = 0
    for data in view.data_files():
        for _, batch in view.row_batches(data.path, names):
            rows, first = len(batch[names[0]]), 0
            while first < rows:
                count = min(rows - first, ends[episode] - row)
                yield Piece(episode, data.path, {key: column.slice(first, count) for key, column in batch.items()})
                first, row = first + count, row + count
                episode += row == ends[episode]


def episode_tables(view: Dataset, names: Sequence[str]) -> Iterator[RowArrays]:
    """Yield numeric features of each episode as (length, *shape), one episode in memory at a time.

    Raises:
        Damaged: As `episode_pieces`, and if a number is NaN or infinite.
    """
    for episode, pieces in groupby(episode_pieces(view, names), key=attrgetter("episode")):
        parts = []
        for piece in pieces:
            parts.append(row_arrays(view, piece.path, piece.columns))
            for key, values in parts[-1].items():
                if values.dtype.kind == "f" and not np.isfinite(values).all():
                    raise Damaged(
                        f"{piece.path}, column {key}", f"episode {episode} has NaN or infinite numbers, of which there "
                        "are no statistics"
                    )  # fmt: skip
        yield {key: np.concatenate([part[key] for part in parts]) for key in names}


def row_arrays(view: Dataset, path: str, batch: Mapping[str, ArrowColumn]) -> RowArrays:
    """Return the columns of a batch of a data file as arrays (n, *shape)."""
    return {key: view.kinds[key].values(column, f"{path}, column {key}") for key, column in batch.items()}
