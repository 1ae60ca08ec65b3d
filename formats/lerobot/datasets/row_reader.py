"""Row reader: runs of rows of data files, in bounded batches, wherever they lie."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ....core.errors import Damaged, RobotroveError
from ..dataset_files import ArrowColumn, open_parquet, reading_parquet
from .episode_location import Rows

_HELD_BYTES = 16 << 20
_HELD_ROWS = 1 << 14  # values that repeat from row to row take many more bytes in memory than in a file


class RowReader:
    """Reads runs of rows; keeps the last file and row groups, since neighbours are usually in the same ones.

    Recorded datasets have a small row group per episode, converted ones a single one per file: reading
    the former one by one would take as long as all else, reading the latter for each episode quadratic time.

    Args:
        columns: Columns to read, as far as a file has them.
        names: Column of the files to its name in the new dataset, where that is another; None if it is dropped.

    Attributes:
        group_starts: First row of each row group of the file read last, and the number of its rows.
    """

    def __init__(self, columns: Collection[str], names: Mapping[str, str | None]) -> None:
        stored = {new: old for old, new in names.items()}
        self._columns = {stored.get(name, name): name for name in columns}
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
        most = self.group_starts[group] + _HELD_ROWS
        while last < file.num_row_groups and (last == group or (size < _HELD_BYTES and self.group_starts[last] < most)):
            size += file.metadata.row_group(last).total_byte_size
            last += 1
        try:
            self._table = self._read_groups(file, range(group, last))
        except RobotroveError:
            if last == group + 1:
                raise
            # A damaged row group after it may be of episodes that nobody asks for.
            self._table = self._read_groups(file, range(group, group + 1))

    def _read_groups(self, file: pq.ParquetFile, groups: range) -> pa.Table:
        columns = [name for name in file.schema_arrow.names if name in self._columns]
        with reading_parquet(str(self._path), RobotroveError):
            table = file.read_row_groups(list(groups), columns, use_threads=False)
        self._held = groups
        return table.rename_columns([self._columns[name] for name in table.column_names])

    def close(self) -> None:
        """Close the open file."""
        if self._file is not None:
            self._file.close()
            self._file = self._table = None
            self._held = range(0)


class RowStream:
    """Reads columns of data files in order, going on where the last rows ended; memory holds one batch.

    Rows that lie before the last ones cost opening their file again, at the row group that they are in.

    Args:
        batches: Opens a file: yields (row in it, column name to array) from row `first` on, or from one before it.
    """

    def __init__(self, batches: Callable[..., Iterator[tuple[int, dict[str, ArrowColumn]]]]) -> None:
        self._open = batches
        self._path = ""
        self._batches: Iterator[tuple[int, dict[str, ArrowColumn]]] = iter(())
        self._held: dict[str, ArrowColumn] = {}
        self._first = self._end = 0  # rows in memory

    def read(self, path: str, first: int, count: int) -> Iterator[tuple[int, dict[str, ArrowColumn]]]:
        """Yield (row in the file, columns) of some rows of a file in order.

        Raises:
            Damaged: If they cannot be read, or are missing.
        """
        if path != self._path or first < self._first:
            self._path, self._first, self._end = path, 0, 0
            self._batches = self._open(path, first=first)
        row, stop = first, first + count
        while row < stop:
            while row >= self._end:
                self._advance(stop)
            last = min(stop, self._end)
            yield row, {name: column.slice(row - self._first, last - row) for name, column in self._held.items()}
            row = last

    def _advance(self, stop: int) -> None:
        path, self._path = self._path, ""  # opened again if this fails
        batch = next(self._batches, None)
        if batch is None:
            raise Damaged(path, f"has no row {stop - 1}, but an episode is said to end there")
        self._path = path
        self._first, self._held = batch
        self._end = self._first + len(next(iter(self._held.values())))
