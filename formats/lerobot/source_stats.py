"""Statistics of episodes as a dataset has them: what is usable of them, as arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ...core.features import DEFAULT_FEATURES, PLACED_COLUMNS, Features
from .arrow_rows import ArrowColumn
from .image_stats import CHANNELS
from .stat_columns import Floats, stacked
from .stats import STAT_KEYS
from .view_v30 import EPISODE_BATCH_ROWS, DatasetViewV30

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


def stat_batches(
    view: DatasetViewV30, shapes: Mapping[str, Shape]
) -> Iterator[tuple[NDArray[np.int64], dict[str, Floats]]]:
    """Yield (lengths, statistics) of all episodes of a v3.0 dataset in order, some at a time.

    Args:
        view: The dataset.
        shapes: Statistics to read and the shapes of their values; those that a file does not have are left out.
    """
    for path in view.files(view.episodes_path):
        for batch in view.batches(path, ["length"], EPISODE_BATCH_ROWS, optional=list(shapes)):
            lengths = batch.pop("length").to_numpy(zero_copy_only=False)
            yield lengths, {name: stat_values(column, name, shapes[name]) for name, column in batch.items()}


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
