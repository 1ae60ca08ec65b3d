"""Statistics of float32 tables in bounded memory, each digit as numpy 1.26 computes it on whole arrays.

GR00T pins numpy 1.26.4; what it writes depends on the order in which that adds up float32 numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ....core.errors import Damaged
from .exact_quantiles import column_bounds, gathered, interpolate

Table: TypeAlias = NDArray[np.float32]
Stats: TypeAlias = dict[str, NDArray[np.float32] | NDArray[np.float64]]

_BLOCK = 8192  # numpy's buffer, in elements (np.getbufsize())
_PIECE = 64  # columns whose quantiles are counted together: wide tables are cut, so that the counts stay small
_LEVELS = {"q01": 0.01, "q99": 0.99}


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
