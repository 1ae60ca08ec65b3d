"""Exact quantiles of the columns of a dataset, in memory where they fit, else by counting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .quantiles import QUANTILES, Bounds, Floats, as_table, interpolate, neighbours
from .radix_selection import ExactQuantiles, carrier_of

_PASS_BYTES = 160 << 20  # counts held in one pass over the files; more columns than fit get a pass of their own
_DIRECT_BYTES = 112 << 20  # values that take up to so much are sorted in memory instead
_BATCH_VALUES = 1 << 21  # smaller batches are gathered up to this, so that counting costs more than its setup


def column_quantiles(
    make_batches: Callable[[], Iterator[Mapping[str, NDArray[Any]]]],
) -> dict[str, dict[str, Floats]]:
    """Return q01, q10, q50, q90 and q99 of numeric columns, equal to np.quantile over all their rows in float64.

    Arguments and errors are those of `column_bounds`.

    Returns:
        Column name to quantile name to (D,); empty if there is no batch.
    """
    found = column_bounds(make_batches, tuple(QUANTILES.values()))
    return {name: dict(zip(QUANTILES, interpolate(*bounds), strict=True)) for name, bounds in found.items()}


def column_bounds(
    make_batches: Callable[[], Iterator[Mapping[str, NDArray[Any]]]], quantiles: Sequence[float]
) -> dict[str, Bounds]:
    """Return the values around quantiles of numeric columns.

    Memory stays below about 250 MB whatever the number of rows: columns whose counts do not fit
    together are counted in separate passes.

    Args:
        make_batches: Starts a pass over the data: mappings of column name to rows (n, ..., D) in any
            batching; every pass and batch has the same columns, dtypes and values.
        quantiles: In [0, 1].

    Returns:
        By column name; empty if there is no batch.

    Raises:
        ValueError: If there are batches but no rows.
    """
    held: list[dict[str, NDArray[Any]]] = []
    size = 0
    for batch in make_batches():
        held.append({name: as_table(rows) for name, rows in batch.items()})
        size += sum(table.nbytes for table in held[-1].values())
        if size > _DIRECT_BYTES:
            break
    else:  # counting pays only where not everything can be in memory
        return {name: _direct([part[name] for part in held], np.array(quantiles)) for name in held[0]} if held else {}
    selectors = {name: ExactQuantiles(table.dtype, table.shape[1], quantiles) for name, table in held[0].items()}
    held.clear()
    unfinished = list(selectors)
    while unfinished:
        group = _fitting(unfinished, selectors)
        for batch in gathered(make_batches(), group):
            for name, table in batch.items():
                selectors[name].add(table)
        unfinished = [name for name in unfinished if name not in group or selectors[name].advance()]
    return {name: selector.bounds() for name, selector in selectors.items()}


def _direct(parts: list[NDArray[Any]], quantiles: Floats) -> Bounds:
    carrier_of(parts[0].dtype)  # refuses what has no order
    count = sum(map(len, parts))
    if not count:
        raise ValueError("quantiles of no rows are not defined")
    lower, upper, weight = neighbours(quantiles, count)
    low, high = np.empty((2, len(quantiles), parts[0].shape[1]))
    for column in range(parts[0].shape[1]):  # side by side in memory, and no more than one of them twice
        ordered = np.concatenate([part[:, column] for part in parts])
        ordered.sort()  # vectorised, and so quicker than to partition around ten ranks
        low[:, column], high[:, column] = ordered[lower], ordered[upper]
    # Adding zero makes -0.0 the same value as 0.0.
    return low + 0.0, high + 0.0, weight[:, None]


def _fitting(names: list[str], selectors: Mapping[str, ExactQuantiles]) -> list[str]:
    """Return the first names whose counts fit into memory together; at least one."""
    total = np.cumsum([selectors[name].pass_bytes for name in names])
    return names[: max(1, int(np.searchsorted(total, _PASS_BYTES, side="right")))]


def gathered(batches: Iterator[Mapping[str, NDArray[Any]]], names: Sequence[str]) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield the named columns as tables (n, D), small batches joined."""
    parts: list[dict[str, NDArray[Any]]] = []
    values = 0
    for batch in batches:
        parts.append({name: as_table(batch[name]) for name in names})
        values += sum(table.size for table in parts[-1].values())
        if values >= _BATCH_VALUES:
            yield _joined(parts)
            parts, values = [], 0
    if parts:
        yield _joined(parts)


def _joined(parts: list[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
