"""GR00T's stats.json, computed in float64.

GR00T's script takes float32 and sums it with numpy 1.26, which loses digits with the number of rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ....core.checksums import update_list
from ....core.commit import write_file
from ....core.errors import Damaged, UsageError
from ....core.features import Feature
from ..dataset_files import ArrowColumn, DatasetFiles
from ..features.feature_kind import is_list
from ..features.vector import Vector
from ..paths_v30 import STATS
from ..stats.exact_quantiles import column_stats

_ROWS = 65_536
_LARGEST = float(np.finfo(np.float32).max)

GR00T_KEYS = ("mean", "std", "min", "max", "q01", "q99")


def finite(rows: NDArray[Any], where: str) -> NDArray[Any]:
    """Return numbers as they are.

    Raises:
        Damaged: At `where`, if one is NaN, infinite, or too large for float32, which GR00T reads.
    """
    if wrong := int(np.count_nonzero(~(np.abs(rows.astype(np.float64)) <= _LARGEST))):
        raise Damaged(
            where, f"{wrong} values are NaN, infinite or too large for float32, and so would be the statistics"
        )
    return rows


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
    """Return the statistics of columns over all rows of parquet files, in float64.

    GR00T's script (`calculate_dataset_statistics`, in gr00t/data/stats.py since N1.6) takes float32 and sums it:
    `beyond_float32` says how far off that may be. Its file of 152 rows of Isaac Lab Arena differs by 4e-7 of the
    largest value, and its std by 8e-7 of themselves. Memory does not grow with the number
    of rows; the files are read up to five times.

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

    def batches() -> Iterator[dict[str, NDArray[Any]]]:
        widths: dict[str, int] = {}
        for file in files:
            for batch in column_batches(file, columns):
                for name, rows in batch.items():
                    if rows.shape[1] != widths.setdefault(name, rows.shape[1]):
                        where = f"{file.name}, column {name}"
                        raise Damaged(where, f"rows have {rows.shape[1]} values, those before {widths[name]}")
                yield {name: finite(rows, f"{file.name}, column {name}") for name, rows in batch.items()}

    found = column_stats(batches)
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
    update_list(out or root, [STATS])


def data_files(root: Path) -> list[Path]:
    """Return the data files of a v2.1 dataset, sorted by path as GR00T reads them.

    Raises:
        UsageError: If there is none.
    """
    files = sorted(root.glob("data/*/*.parquet"))
    if not files:
        raise UsageError(str(root / "data"), "has no parquet file", "a LeRobot v2.1 dataset with its episodes")
    return files
