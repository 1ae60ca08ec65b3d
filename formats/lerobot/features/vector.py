"""Vectors and numbers: arrow columns to arrays of rows and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ....core.columns import Array
from ....core.errors import Damaged, RobotroveError
from ....core.features import VISUAL_DTYPES, Feature
from ..dataset_files import ArrowColumn


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


def to_arrow(values: Array, kind: pa.DataType) -> pa.Array:
    """Return rows (T, *shape) as an arrow array of the type that `row_schema.arrow_field` gave."""
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1), kind.value_type), type=kind)
    if pa.types.is_list(kind):
        return pa.array(values.tolist(), kind)
    return pa.array(values.reshape(-1), kind)


def checked_column(piece: pa.Table, field: pa.Field, feature: Feature, where: str) -> pa.Array:
    """Return a column of the type that LeRobot's recorder writes, with a value of the right shape in every row."""
    where = f"{where}, column {field.name}"
    if field.name not in piece.column_names:
        raise RobotroveError(where, "is missing", "every feature of info.json")
    column = piece.column(field.name).combine_chunks()
    is_wrapped = feature.shape == (1,) and pa.types.is_list(field.type)  # a single value as a list of one
    kind = field.type.value_type if is_wrapped else field.type
    if column.type != kind:
        try:
            column = _cast(column, kind)
        except pa.ArrowException as exc:
            raise RobotroveError(where, f"is {column.type}: {exc}", f"{kind}") from exc
    if feature.dtype == "image":
        empty = column.null_count + column.field("bytes").null_count
    elif feature.dtype == "string":
        empty = column.null_count
    else:
        rows_of(column, feature, where)  # refuses what is empty or of another shape
        return pa.ListArray.from_arrays(range(len(column) + 1), column) if is_wrapped else column
    if empty:
        raise RobotroveError(where, f"{empty} values are empty", "a value in every row")
    return column


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Bring a column to the type that LeRobot's recorder writes; other writers use others for the same values."""
    if pa.types.is_nested(column.type) and not pa.types.is_nested(kind) and not column.null_count:
        # A feature of shape (1,) as a list with one value.
        if pc.any(pc.not_equal(pc.list_value_length(column), 1)).as_py():
            raise pa.ArrowInvalid("lists of other lengths than 1")
        column = column.flatten()
    is_narrowing = pa.types.is_floating(column.type) and pa.types.is_floating(kind)
    return column.cast(kind, safe=not is_narrowing)
