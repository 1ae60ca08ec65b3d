"""Statistics of many episodes: an array for each, with a row for every episode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# "stats/<feature>/<name>" to (episodes, *shape); all NaN where an episode has none that is usable.
StatColumns: TypeAlias = Mapping[str, Floats]


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
