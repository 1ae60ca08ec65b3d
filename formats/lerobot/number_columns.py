"""Columns of parquet files that hold numbers or lists of numbers, whatever info.json says of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ...core.errors import Damaged
from ...core.features import Feature
from .arrow_rows import ArrowColumn, rows_of
from .dataset_files import DatasetFiles

_ROWS = 65_536


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
    for batch in DatasetFiles(file.parent).batches(file.name, columns, _ROWS):
        yield {name: _table(column, f"{file.name}, column {name}") for name, column in batch.items()}


def _table(column: ArrowColumn, where: str) -> NDArray[Any]:
    if not _holds_numbers(column.type):
        raise Damaged(where, f"values are {column.type} instead of numbers or lists of numbers")
    width = 1
    if _is_list(column.type):
        lengths = pc.unique(pc.list_value_length(column)).to_pylist()
        if len(lengths) != 1 or not lengths[0]:
            raise Damaged(where, f"rows have {', '.join(map(str, lengths))} values instead of all the same number")
        [width] = lengths
        column = column.flatten()
    feature = Feature(np.dtype(column.type.to_pandas_dtype()).name, (1,))
    return rows_of(column, feature, where).reshape(-1, width)


def _holds_numbers(dtype: pa.DataType) -> bool:
    inner = dtype.value_type if _is_list(dtype) else dtype
    return bool(pa.types.is_integer(inner) or pa.types.is_floating(inner) or pa.types.is_boolean(inner))


def _is_list(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_list(dtype) or pa.types.is_large_list(dtype) or pa.types.is_fixed_size_list(dtype))
