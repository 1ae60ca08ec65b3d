"""Stored statistics: columns of meta/episodes, and lines of episodes_stats.jsonl."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..dataset_files import ArrowColumn
from .feature_stats import Shape

Floats = NDArray[np.float64]
# "stats/<feature>/<name>" to (episodes, *shape); all NaN where an episode has none that is usable.
StatColumns: TypeAlias = Mapping[str, Floats]

_LARGEST_COUNT = 1 << 53  # beyond, float64 does not hold every whole number


def stacked(values: Sequence[Floats | None], shape: tuple[int, ...]) -> Floats:
    """Return values (*shape) as (episodes, *shape), NaN where there is none."""
    column = np.full((len(values), *shape), np.nan)
    for row, value in enumerate(values):
        if value is not None:
            column[row] = value
    return column


def is_known(column: Floats) -> NDArray[np.bool_]:
    """Return which episodes have a statistic: (episodes,)."""
    return ~np.isnan(column.reshape(len(column), -1)[:, 0])


def nested_lists(name: str, column: Floats) -> list[Any]:
    """Return a statistic of each episode as in JSON: nested lists, counts as whole numbers."""
    lists: list[Any] = _numbers(name, column).tolist()
    return lists


def arrow_lists(name: str, column: Floats) -> pa.Array:
    """Return a statistic as a column of meta/episodes of v3.0."""
    array = pa.array(_numbers(name, column).reshape(-1))
    for size in reversed(column.shape[1:]):
        array = pa.ListArray.from_arrays(np.arange(0, len(array) + 1, size, dtype=np.int32), array)
    return array


def _numbers(name: str, column: Floats) -> NDArray[Any]:
    return np.nan_to_num(column).astype(np.int64) if name.endswith("/count") else column


def stat_values(column: ArrowColumn, name: str, shape: Shape) -> Floats:
    """Return a statistic of many episodes as (episodes, *shape), NaN for each that is not usable."""
    values = column
    for size in shape:
        if values.null_count or not _has_lists_of(values, size):
            break
        values = values.flatten()
    else:
        if not values.null_count and not pa.types.is_nested(values.type):
            table = values.to_numpy(zero_copy_only=False)
            if (found := _checked(table, name)) is not None:
                return found.reshape(len(column), *shape)
    return stacked([stat_value(value, name, shape) for value in column.to_pylist()], shape)


def stat_value(value: Any, name: str, shape: Shape) -> Floats | None:
    """Return a statistic of one episode as (*shape); None if it is not usable.

    Smallest and largest values of a feature with several axes, which LeRobot up to 0.3 keeps apart, are
    collapsed. Its means, deviations and quantiles cannot be: they would not be exact.
    """
    if not isinstance(value, list):
        return None
    try:
        found = np.array(value)
    except ValueError:  # lists of several lengths
        return None
    end = name.rpartition("/")[2]
    if end in ("min", "max") and len(shape) == 1 and found.ndim > 1 and found.shape[-1:] == shape and found.size:
        rows = found.reshape(-1, *shape)
        found = rows.min(axis=0) if end == "min" else rows.max(axis=0)
    return _checked(found, name) if found.shape == shape else None


def stat_columns(entries: Sequence[Any], shapes: Mapping[str, Shape]) -> dict[str, Floats]:
    """Return the usable statistics of episodes, each {feature: {name: values}}; those that none has are left out."""
    found: dict[str, Floats] = {}
    for column, shape in shapes.items():
        key, _, name = column.removeprefix("stats/").rpartition("/")
        features = [entry.get(key) if isinstance(entry, dict) else None for entry in entries]
        values = [feature.get(name) if isinstance(feature, dict) else None for feature in features]
        usable = [stat_value(value, column, shape) for value in values]
        if any(value is not None for value in usable):
            found[column] = stacked(usable, shape)
    return found


def _has_lists_of(column: ArrowColumn, size: int) -> bool:
    if pa.types.is_fixed_size_list(column.type):
        return bool(column.type.list_size == size)
    if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
        return False
    return bool((np.diff(column.offsets.to_numpy()) == size).all())


def _checked(values: NDArray[Any], name: str) -> Floats | None:
    """Return numbers as float64; None if one of them is none, or for a count one that is impossible."""
    if values.dtype.kind not in "biuf":
        return None
    numbers = values.astype(np.float64)
    if not np.isfinite(numbers).all():
        return None
    if name.endswith("/count") and not ((numbers >= 1) & (numbers <= _LARGEST_COUNT) & (numbers % 1 == 0)).all():
        return None
    return numbers
