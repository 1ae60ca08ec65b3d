"""Statistics of episodes as a dataset has them: what is usable of them, as nested lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ...core.features import DEFAULT_FEATURES, Features
from .arrow_rows import ArrowColumn
from .image_stats import CHANNELS
from .record import PLACED_COLUMNS
from .stats import STAT_KEYS

_LARGEST_COUNT = 1 << 53  # beyond, float64 does not hold every whole number

Shape = tuple[int, ...]


def stat_shapes(features: Features) -> dict[str, Shape]:
    """Return "stats/<feature>/<name>" to the shape of its values, of those that do not depend on an episode's place.

    (D,) for numbers, leading axes collapsed as in `stats.numeric_stats`; (3, 1, 1) for cameras; (1,) for count.
    """
    shapes: dict[str, Shape] = {}
    for key, feature in (features | DEFAULT_FEATURES).items():
        if feature.dtype != "string" and key not in PLACED_COLUMNS:
            shape = (CHANNELS, 1, 1) if feature.is_visual else feature.shape[-1:]
            shapes |= {f"stats/{key}/{name}": (1,) if name == "count" else shape for name in STAT_KEYS}
    return shapes


def stat_values(column: ArrowColumn, name: str, shape: Shape) -> list[Any]:
    """Return a statistic of many episodes as nested lists, None for each that is not usable."""
    values = column
    for size in shape:
        if values.null_count or not _has_lists_of(values, size):
            break
        values = values.flatten()
    else:
        if not values.null_count and not pa.types.is_nested(values.type):
            table = values.to_numpy(zero_copy_only=False)
            if (found := _checked(table, name)) is not None:
                nested: list[Any] = found.reshape(len(column), *shape).tolist()
                return nested
    return [stat_value(value, name, shape) for value in column.to_pylist()]


def stat_value(value: Any, name: str, shape: Shape) -> Any:
    """Return a statistic of one episode as nested lists of floats (count: of ints); None if it is not usable.

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
    checked = _checked(found, name) if found.shape == shape else None
    return None if checked is None else checked.tolist()


def nested_stats(stats: Any, shapes: Mapping[str, Shape]) -> dict[str, Any]:
    """Return the usable ones of {feature: {name: values}} as "stats/<feature>/<name>" to nested lists."""
    found = {}
    for column, shape in shapes.items():
        key, _, name = column.removeprefix("stats/").rpartition("/")
        entry = stats.get(key) if isinstance(stats, dict) else None
        value = entry.get(name) if isinstance(entry, dict) else None
        if (usable := stat_value(value, column, shape)) is not None:
            found[column] = usable
    return found


def _has_lists_of(column: ArrowColumn, size: int) -> bool:
    if pa.types.is_fixed_size_list(column.type):
        return bool(column.type.list_size == size)
    if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
        return False
    ends = pc.min_max(pc.list_value_length(column)).as_py()
    return bool(ends["min"] == ends["max"] == size)


def _checked(values: np.ndarray[Any, Any], name: str) -> np.ndarray[Any, Any] | None:
    """Return numbers as float64, counts as int64; None if one of them is none."""
    if values.dtype.kind not in "biuf":
        return None
    numbers = values.astype(np.float64)
    if not np.isfinite(numbers).all():
        return None
    if not name.endswith("/count"):
        return numbers
    if not ((numbers >= 1) & (numbers <= _LARGEST_COUNT) & (numbers % 1 == 0)).all():
        return None
    return numbers.astype(np.int64)
