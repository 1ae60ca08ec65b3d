"""GR00T's stats.json, digit by digit as GR00T computes it.

GR00T pins numpy 1.26.4; what it writes depends on the order in which that adds up float32 numbers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ....core.commit import write_file
from ....core.errors import Damaged, UsageError
from ....core.features import Feature
from ..dataset_files import ArrowColumn, DatasetFiles
from ..features.feature_kind import is_list
from ..features.vector import Vector
from ..paths_v30 import STATS
from ..stats.exact_quantiles import column_bounds, gathered
from ..stats.feature_stats import interpolate

Table: TypeAlias = NDArray[np.float32]
Stats: TypeAlias = dict[str, NDArray[np.float32] | NDArray[np.float64]]

_BLOCK = 8192  # numpy's buffer, in elements (np.getbufsize())
_PIECE = 64  # columns with quantiles counted together: wide tables are cut, so that the counts stay small
_LEVELS = {"q01": 0.01, "q99": 0.99}
_ROWS = 65_536

GR00T_KEYS = ("mean", "std", "min", "max", "q01", "q99")


class RowSum:
    """The sum of rows that come in batches, equal to np.sum(rows, axis=0) of the whole (N, D) in numpy up to 2.2.

    With D > 1 numpy adds one row after another. A single column it cuts into blocks as large as its
    buffer; the values of a block are summed pairwise, the sums of blocks one after another. (Since
    2.3 the whole column is summed pairwise; a block has the same sum in every version.)

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        self._total = np.zeros(width, np.float32)
        self._rest = np.zeros(0, np.float32)  # of a single column: what does not fill a block yet

    def add(self, rows: Table) -> None:
        """Add rows (n, D)."""
        if len(self._total) > 1:
            self._total = np.add.reduce(np.concatenate([self._total[None], rows]), axis=0)
            return
        values = np.concatenate([self._rest, rows[:, 0]])
        full = len(values) // _BLOCK * _BLOCK
        for block in values[:full].reshape(-1, _BLOCK):
            self._total += np.add.reduce(block)
        self._rest = values[full:]

    def result(self) -> Table:
        """Return the sum (D,)."""
        return np.add(self._total, np.add.reduce(self._rest))

    def mean(self, count: int) -> Table:
        """Return the sum divided by `count` (D,); numpy divides in float64."""
        return (self.result().astype(np.float64) / count).astype(np.float32)


class _Extent:
    """Number, sum, smallest and largest of rows that come in batches."""

    def __init__(self, width: int) -> None:
        self.count = 0
        self.total = RowSum(width)
        self.low = np.full(width, np.inf, np.float32)
        self.high = np.full(width, -np.inf, np.float32)

    def add(self, rows: Table) -> None:
        self.count += len(rows)
        self.total.add(rows)
        self.low = np.minimum.reduce(np.concatenate([self.low[None], rows]), axis=0)
        self.high = np.maximum.reduce(np.concatenate([self.high[None], rows]), axis=0)


def float32_stats(make_batches: Callable[[], Iterator[Mapping[str, Table]]], names: Sequence[str]) -> dict[str, Stats]:
    """Return mean, std (ddof 0), min and max as float32 and q01 and q99 as float64 of tables.

    Equal to np.mean, np.std, np.min, np.max and np.quantile of numpy 1.26 over all rows, along axis 0.
    Quantiles are numpy's method "linear" with the step between two values in float32, the rest in
    float64. Zeros may differ in their sign. Memory does not grow with the number of rows.

    Args:
        make_batches: Starts a pass over the data: mappings of name to finite rows (n, D) in any
            batching; every pass has the same rows in the same order.
        names: Which tables.

    Returns:
        Name to statistic to (D,), in the order of `names`, without those that have no row.
    """
    extents: dict[str, _Extent] = {}
    for batch in gathered(make_batches(), names):
        for name, rows in batch.items():
            extents.setdefault(name, _Extent(rows.shape[1])).add(rows)
    extents = {name: extent for name, extent in extents.items() if extent.count}

    def batches() -> Iterator[dict[str, Table]]:
        return gathered(make_batches(), list(extents))

    means = {name: extent.total.mean(extent.count) for name, extent in extents.items()}
    squares = {name: RowSum(len(mean)) for name, mean in means.items()}
    for batch in batches():
        for name, rows in batch.items():
            deviation = rows - means[name]
            squares[name].add(np.multiply(deviation, deviation, out=deviation))
    quantiles = _quantiles(batches)
    return {
        name: {
            "mean": means[name],
            "std": np.sqrt(squares[name].mean(extent.count)),
            "min": extent.low,
            "max": extent.high,
            **quantiles[name],
        }
        for name, extent in extents.items()
    }


def _quantiles(batches: Callable[[], Iterator[Mapping[str, Table]]]) -> dict[str, dict[str, NDArray[np.float64]]]:
    def pieces() -> Iterator[dict[str, Table]]:
        for batch in batches():
            yield {
                f"{name}[{start}]": rows[:, start : start + _PIECE]
                for name, rows in batch.items()
                for start in range(0, rows.shape[1], _PIECE)
            }

    parts: dict[str, list[NDArray[np.float64]]] = {}
    for piece, (lower, upper, weight) in column_bounds(pieces, tuple(_LEVELS.values())).items():
        levels = interpolate(lower.astype(np.float32), upper.astype(np.float32), weight)
        parts.setdefault(piece[: piece.rindex("[")], []).append(levels)
    return {name: dict(zip(_LEVELS, np.concatenate(found, axis=1), strict=True)) for name, found in parts.items()}


def finite_float32(rows: NDArray[Any], where: str) -> Table:
    """Return numbers as float32.

    Raises:
        Damaged: At `where`, if one is NaN, infinite, or too large for float32.
    """
    with np.errstate(over="ignore"):
        table = rows.astype(np.float32, copy=False)
    if wrong := int(np.count_nonzero(~np.isfinite(table))):
        raise Damaged(
            where, f"{wrong} values are NaN, infinite or too large for float32, and so would be the statistics"
        )
    return table


def number_columns(file: Path) -> list[str]:
    """Return the columns of a parquet file that hold numbers, truth values or flat lists of these, in its order.

    Raises:
        Damaged: If the file cannot be read.
    """
    with DatasetFiles(file.parent).parquet(file.name) as opened:
        return [field.name for field in opened.schema_arrow if _holds_numbers(field.type)]


def column_batches(file: Path, columns: Sequence[str]) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield columns of a parquet file in order as name to (n, D), n > 0, in their own dtype; D is 1 for plain numbers.

    Raises:
        Damaged: If the file cannot be read or lacks a column, or rows are empty, no numbers or of different lengths.
    """
    for _, batch in DatasetFiles(file.parent).batches(file.name, columns, _ROWS):
        yield {name: _table(column, f"{file.name}, column {name}") for name, column in batch.items()}


def _table(column: ArrowColumn, where: str) -> NDArray[Any]:
    if not _holds_numbers(column.type):
        raise Damaged(where, f"values are {column.type} instead of numbers or lists of numbers")
    width = 1
    if is_list(column.type):
        lengths = pc.unique(pc.list_value_length(column)).to_pylist()
        if len(lengths) != 1 or not lengths[0]:
            raise Damaged(where, f"rows have {', '.join(map(str, lengths))} values instead of all the same number")
        [width] = lengths
        column = column.flatten()
    kind = Vector(Feature(np.dtype(column.type.to_pandas_dtype()).name, (1,)))
    return kind.values(column, where).reshape(-1, width)


def _holds_numbers(dtype: pa.DataType) -> bool:
    inner = dtype.value_type if is_list(dtype) else dtype
    return bool(pa.types.is_integer(inner) or pa.types.is_floating(inner) or pa.types.is_boolean(inner))


def gr00t_stats(files: Sequence[Path], columns: Sequence[str]) -> dict[str, dict[str, list[float]]]:
    """Return the statistics of columns over all rows of parquet files, as GR00T computes them.

    Memory does not grow with the number of rows; the files are read some five times.

    Args:
        files: In the order of their rows; GR00T sorts by path.
        columns: Columns of numbers or of lists of numbers.

    Returns:
        Column to GR00T_KEYS, in this order, to D values; D is 1 for numbers that are no list.

    Raises:
        Damaged: If a file cannot be read, lacks a column, or has rows that are empty, no numbers,
            not finite as float32, or of different lengths.
        UsageError: If there are no rows.
    """

    def batches() -> Iterator[dict[str, Table]]:
        widths: dict[str, int] = {}
        for file in files:
            for batch in column_batches(file, columns):
                for name, rows in batch.items():
                    if rows.shape[1] != widths.setdefault(name, rows.shape[1]):
                        where = f"{file.name}, column {name}"
                        raise Damaged(where, f"rows have {rows.shape[1]} values, those before {widths[name]}")
                yield {name: _as_float32(rows, f"{file.name}, column {name}") for name, rows in batch.items()}

    found = float32_stats(batches, columns)
    if len(found) < len(columns):
        raise UsageError(f"{len(files)} data files", "they have no rows", "the rows of at least one episode")
    return {name: {key: stats[key].tolist() for key in GR00T_KEYS} for name, stats in found.items()}


def gr00t_columns(root: Path) -> list[str]:
    """Return the columns of a v2.1 dataset that get statistics: all numbers and lists of numbers, in parquet order.

    These are the columns that N1.5 takes where it computes statistics itself (N1 takes all, and
    fails on text), and more than N1.6 and N1.7 ask for: features with a dtype in info.json that contains
    "float". Texts and pictures get none, nor do lists of lists, on which GR00T fails.

    Raises:
        UsageError: If there is no data file.
        Damaged: If the first one cannot be read.
    """
    return number_columns(data_files(root)[0])


def write_gr00t_stats(root: Path, out: Path | None = None) -> None:
    """Write meta/stats.json of a v2.1 dataset, whole or not at all.

    Args:
        root: The dataset.
        out: Folder that gets the file instead, which has a folder meta.

    Raises:
        UsageError: If there is no data file, or no row.
        Damaged: See `gr00t_stats`.
    """
    stats = gr00t_stats(data_files(root), gr00t_columns(root))
    write_file((out or root) / STATS, (json.dumps(stats, indent=4) + "\n").encode())


def data_files(root: Path) -> list[Path]:
    """Return the data files of a v2.1 dataset, sorted by path as GR00T reads them.

    Raises:
        UsageError: If there is none.
    """
    files = sorted(root.glob("data/*/*.parquet"))
    if not files:
        raise UsageError(str(root / "data"), "has no parquet file", "a LeRobot v2.1 dataset with its episodes")
    return files


def _as_float32(rows: NDArray[Any], where: str) -> Table:
    if rows.dtype.kind in "iu" and rows.shape[1] == 1:
        rows = rows.astype(np.float64)  # pandas gives plain integers as Python's, which numpy takes for float64 first
    return finite_float32(rows, where)
