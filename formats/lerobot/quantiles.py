"""What a quantile is, here and in numpy: where it lies among sorted values, and between which two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
# The values (quantiles, D) below and above each quantile, and the weight (quantiles, 1) of the upper one.
Bounds: TypeAlias = tuple[Floats, Floats, Floats]

QUANTILES: Mapping[str, float] = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}


def neighbours(quantiles: Floats, count: int | Counts) -> tuple[Counts, Counts, Floats]:
    """Return, per quantile, the ranks of the two values around it and the weight of the upper one.

    This is numpy's method "linear": position (count - 1) * q in the sorted values; counts (n, 1) give (n, quantiles).
    """
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
