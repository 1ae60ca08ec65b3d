"""Columns of parquet files as arrays, and what to say where they are not as they should be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ...core.errors import Damaged
from ...core.features import VISUAL_DTYPES, Feature

# One column of a batch, a pyarrow.Array; its methods depend on its type, which is known only at run time.
ArrowColumn: TypeAlias = Any

_BUFFER_BYTES = 1 << 20


def open_parquet(path: Path) -> pq.ParquetFile:
    """Open a parquet file to be read part by part; raises what pyarrow and the file system raise."""
    # Newer pyarrow otherwise fetches everything that is asked for before it gives the first batch, and without a
    # buffer each column of a row group at once.
    return pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_BYTES)


def read_small(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a small parquet file; `pq.read_table` and threads would take three times as long."""
    with open_parquet(path) as file:
        return file.read(columns, use_threads=False)


def rows_of(column: ArrowColumn, feature: Feature, where: str) -> NDArray[Any]:
    """Return a column of a data file as (rows, *feature.shape).

    Raises:
        Damaged: At `where`, if a row is empty or has another shape.
    """
    rows = len(column)
    for size in () if feature.shape == (1,) else feature.shape:
        if column.null_count:
            raise Damaged(where, f"{column.null_count} rows are empty")
        if pa.types.is_fixed_size_list(column.type):
            lengths = {column.type.list_size}
        elif pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
            lengths = set(pc.unique(pc.list_value_length(column)).to_pylist())
        else:
            raise Damaged(where, f"values are {column.type} instead of lists of {size}")
        if wrong := sorted(lengths - {size}):
            raise Damaged(where, f"rows have {', '.join(map(str, wrong))} values instead of {size}")
        column = column.flatten()
    if column.null_count:
        raise Damaged(where, f"{column.null_count} values are empty")
    if pa.types.is_nested(column.type):
        raise Damaged(where, f"values are {column.type} instead of single ones")
    values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    if values.dtype.kind != kind_of(feature.dtype):
        raise Damaged(where, f"values are {column.type} instead of {feature.dtype}")
    return values.reshape(rows, *feature.shape)


def single_values(column: ArrowColumn, feature: Feature | None) -> ArrowColumn:
    """Return a column of single values as such where it holds lists of one, any other as it is."""
    is_list = pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type)
    if feature is None or feature.shape != (1,) or not is_list or column.null_count:
        return column
    return column.flatten() if pc.all(pc.equal(pc.list_value_length(column), 1)).as_py() else column


def kind_of(dtype: str) -> str:
    """Return numpy's kind of a feature's values, "O" for texts and pictures, "" for what LeRobot does not know."""
    if dtype == "string" or dtype in VISUAL_DTYPES:
        return "O"
    try:
        known = np.dtype(dtype)
    except TypeError:
        return ""
    return known.kind if known.kind in "biuf" and known.name == dtype else ""
