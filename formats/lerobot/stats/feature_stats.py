"""Statistics of low-dimensional features: exact per episode, merged per dataset, all in float64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

QUANTILES: Mapping[str, float] = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}

# min, max, mean, std, count, q01, q10, q50, q90, q99, in this order: float64, but count int64 of shape (1,).
FeatureStats: TypeAlias = dict[str, NDArray[Any]]
Shape: TypeAlias = tuple[int, ...]

MERGED_KEYS = ("min", "max", "mean", "std", "count")
STAT_KEYS = (*MERGED_KEYS, *QUANTILES)

KNOTS = ("min", *QUANTILES, "max")  # of the distribution of a part

_HALVINGS = 60  # of an interval, until float64 has no number in between
_LEVELS = np.array(list(QUANTILES.values()), np.float64)


def neighbours(quantiles: Floats, count: int | Counts) -> tuple[Counts, Counts, Floats]:
    """Return, per quantile, the ranks of the two values around it and the weight of the upper one.

    This is numpy's method "linear": position (count - 1) * q in the sorted values; counts (n, 1) give (n, quantiles).

    Raises:
        ValueError: If a count is 0.
    """
    if not np.all(count):
        raise ValueError("quantiles of no rows are not defined")
    position = (count - 1) * quantiles
    lower = np.floor(position).astype(np.int64)
    return lower, np.minimum(lower + 1, count - 1), position - lower


def interpolate(lower: Floats, upper: Floats, weight: Floats) -> Floats:
    """Return the point between two values, from the nearer end so that weight 1 gives `upper` exactly."""
    step = upper - lower
    return np.where(weight >= 0.5, upper - step * (1 - weight), lower + step * weight)


def as_table(rows: NDArray[Any]) -> NDArray[Any]:
    """Return rows (n, ..., D) as (m, D): leading axes collapse, as in LeRobot's statistics; (n,) becomes (n, 1)."""
    return rows.reshape(-1, rows.shape[-1]) if rows.ndim > 1 else rows.reshape(-1, 1)


def feature_stats(
    low: NDArray[Any],
    high: NDArray[Any],
    mean: NDArray[Any],
    std: NDArray[Any],
    count: int | NDArray[np.int64],
    levels: NDArray[Any],
) -> FeatureStats:
    """Put statistics together in the order and dtypes of LeRobot; `levels` is (5, ...), the quantiles."""
    values = dict(zip(("min", "max", "mean", "std"), (low, high, mean, std), strict=True))
    stats: FeatureStats = {key: np.asarray(value, np.float64) for key, value in values.items()}
    stats["count"] = np.atleast_1d(np.asarray(count, np.int64))
    return stats | {key: np.asarray(value, np.float64) for key, value in zip(QUANTILES, levels, strict=True)}


def numeric_stats(rows: NDArray[Any]) -> FeatureStats:
    """Return exact statistics of the rows of a numeric feature.

    Quantiles are np.quantile's method "linear". Leading axes of a row collapse, as in LeRobot 0.4:
    a feature (2, 3) has statistics of length 3; a scalar has length 1. Count is the number of rows.

    Args:
        rows: (T, *shape) or, for scalars, (T,); bool counts as 0 and 1. T is at least 1.

    Raises:
        ValueError: If there are no rows.
    """
    found = moments(rows)
    levels = np.quantile(as_table(rows).astype(np.float64), _LEVELS, axis=0)
    return found | dict(zip(QUANTILES, levels, strict=True))


def moments(rows: NDArray[Any]) -> FeatureStats:
    """Return min, max, mean, std and count of the rows of a numeric feature; see `numeric_stats`."""
    if not len(rows):
        raise ValueError("statistics of no rows are not defined")
    found = Moments()
    found.add(rows)
    return {name: values[0] for name, values in found.result().items()}


class Moments:
    """Min, max, mean, std and count of groups of rows that come in pieces, in float64 and bounded memory.

    Values count from the first row of their group: a large offset costs no digits, and equal values have a std of
    exactly 0. Pieces are merged by the pairwise update of Chan, Golub and LeVeque (1979).

    Args:
        groups: Number of groups.
    """

    def __init__(self, groups: int = 1) -> None:
        self._count: Counts = np.zeros((groups, 1), np.int64)
        self._per_row = 1
        # (groups, D) each, with D from the first piece; mean and sum of squared deviations count from the first row
        self._first = self._low = self._high = self._mean = self._squares = np.empty((groups, 0))

    def add(
        self, rows: NDArray[Any], groups: Sequence[int] | Counts = (0,), starts: Sequence[int] | Counts = (0,)
    ) -> None:
        """Add a piece.

        Args:
            rows: (n, *shape) numbers or truth values; leading axes collapse as in `numeric_stats`.
            groups: Numbers of the groups that the rows are of, each once.
            starts: First row of each of them; ascending from 0.
        """
        if not len(rows):
            return
        table = as_table(rows).astype(np.float64)
        self._per_row = len(table) // len(rows)
        at, begins = np.asarray(groups), np.asarray(starts) * self._per_row
        sizes = np.diff(begins, append=len(table))[:, None]
        if not self._first.shape[1]:
            zeros = (np.zeros((len(self._count), table.shape[1])) for _ in range(3))
            self._first, self._mean, self._squares = zeros
            self._low, self._high = np.full_like(self._first, np.inf), np.full_like(self._first, -np.inf)
        self._low[at] = np.minimum(self._low[at], np.minimum.reduceat(table, begins))
        self._high[at] = np.maximum(self._high[at], np.maximum.reduceat(table, begins))
        count = self._count[at]
        self._first[at] = np.where(count, self._first[at], table[begins])
        with np.errstate(invalid="ignore", over="ignore"):  # NaN and infinite numbers have such a mean
            table -= _spread(self._first[at], sizes)
            mean = np.add.reduceat(table, begins) / sizes
            table -= _spread(mean, sizes)
            squares = np.add.reduceat(np.square(table, out=table), begins)
            delta = mean - self._mean[at]
            self._mean[at] += delta * (sizes / (count + sizes))
            self._squares[at] += squares + np.square(delta) * (count * (sizes / (count + sizes)))
        self._count[at] += sizes

    def result(self) -> FeatureStats:
        """Return (groups, D) of each, and count as (groups, 1); a group without rows has no usable numbers."""
        with np.errstate(invalid="ignore"):
            mean, std = self._first + self._mean, np.sqrt(self._squares / self._count)
        values = (self._low, self._high, mean, std, self._count // self._per_row)
        return dict(zip(MERGED_KEYS, values, strict=True))


def _spread(values: Floats, sizes: Counts) -> Floats:
    """Return the row of each group for each of its rows; a single one is broadcast."""
    return values if len(values) == 1 else np.repeat(values, sizes[:, 0], axis=0)


def index_stats(start: int | NDArray[np.int64], length: int | NDArray[np.int64]) -> FeatureStats:
    """Return the statistics of the column start, start + 1, ... of `length` rows, without the rows.

    The standard deviation of n consecutive integers is sqrt((n² - 1) / 12).

    Args:
        start: Of one such column, or (n,) of many; their statistics are then (n, 1) each.
        length: The same.
    """
    low, count = (np.asarray(value, np.int64)[..., None] for value in np.broadcast_arrays(start, length))
    lower, upper, weight = neighbours(_LEVELS, count)
    levels = interpolate((low + lower).astype(np.float64), (low + upper).astype(np.float64), weight)
    high = low + count - 1
    std = np.sqrt((count * count - 1) / 12)
    return feature_stats(low, high, (low + high) / 2, std, count, np.moveaxis(levels, -1, 0)[..., None])


def constant_stats(value: float | NDArray[Any], length: int | NDArray[np.int64]) -> FeatureStats:
    """Return the statistics of a scalar column with `value` in all of its `length` rows; of many as `index_stats`."""
    values, count = (array[..., None] for array in np.broadcast_arrays(np.asarray(value, np.float64), length))
    return feature_stats(values, values, values, np.zeros_like(values), count, np.stack([values] * len(QUANTILES)))


def pooled_quantiles(knots: Floats, counts: NDArray[Any]) -> Floats:
    """Return quantiles of all parts together, estimated from those of each: values are evenly spread between knots.

    Args:
        knots: (parts, len(KNOTS), values), in order.
        counts: (parts,) how many rows or frames each part has.

    Returns:
        (len(QUANTILES), values), between the smallest and the largest knot.
    """
    weights = (counts / counts.sum())[:, None, None] * np.diff(_LEVELS, prepend=0.0, append=1.0)[None, :, None]
    lower, upper = knots[:, :-1], np.maximum(knots[:, 1:], knots[:, :-1])
    width = np.where(upper > lower, upper - lower, 1.0)
    low, high = (np.repeat(bound[None], len(_LEVELS), axis=0) for bound in (lower.min((0, 1)), upper.max((0, 1))))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        for level, at in enumerate(middle):
            share = np.where(upper > lower, np.clip((at - lower) / width, 0.0, 1.0), at >= lower)
            is_below = (share * weights).sum((0, 1)) < _LEVELS[level]
            low[level], high[level] = np.where(is_below, at, low[level]), np.where(is_below, high[level], at)
    return high


class StatsMerger:
    """Merges statistics of parts, in the order given, holding one part at a time.

    Mean and variance by the pairwise update of Chan, Golub and LeVeque (1979). Quantiles of parts
    do not merge (`column_quantiles` computes them from the rows), and are left out.
    """

    def __init__(self) -> None:
        self._merged: FeatureStats | None = None
        self._squares: NDArray[np.float64] = np.zeros(())  # sum of squared deviations from the mean

    @property
    def is_empty(self) -> bool:
        """True before the first part."""
        return self._merged is None

    def add(self, part: FeatureStats) -> None:
        """Add the statistics of the next part; any shape, the same for all parts."""
        count = part["count"].astype(np.int64)
        squares: NDArray[np.float64] = np.square(part["std"].astype(np.float64)) * count
        if self._merged is None:
            self._merged = {key: part[key].astype(np.float64) for key in ("min", "max", "mean")}
            self._merged["count"] = count
            self._squares = squares
            return
        merged = self._merged
        total = merged["count"] + count
        delta = part["mean"] - merged["mean"]
        merged["min"] = np.minimum(merged["min"], part["min"])
        merged["max"] = np.maximum(merged["max"], part["max"])
        merged["mean"] = merged["mean"] + delta * (count / total)
        self._squares = self._squares + squares + np.square(delta) * (merged["count"] * (count / total))
        merged["count"] = total

    def result(self) -> FeatureStats:
        """Return min, max, mean, std and count over all parts.

        Raises:
            ValueError: If there was no part.
        """
        if self._merged is None:
            raise ValueError("statistics of no parts are not defined")
        values = self._merged | {"std": np.sqrt(self._squares / self._merged["count"])}
        return {key: values[key] for key in MERGED_KEYS}
