"""Statistics as they are found against those that the rows give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....core.features import Feature, channels
from ..quantiles import QUANTILES, as_table, neighbours
from ..stats import STAT_KEYS, FeatureStats

# Relative to the largest value. LeRobot sums in float32 and takes the variance as E[x²] - E[x]².
TOLERANCES = {"min": 1e-6, "max": 1e-6, "mean": 1e-4, "std": 1e-3}
_LEROBOT_BINS = 5000  # its quantiles are read off a histogram with so many bins over the range
_ORDER = ("min", *QUANTILES, "max")

Floats = NDArray[np.float64]

NO_NUMBERS: Floats = np.empty((0, 0))


def numbers_of(entry: Mapping[str, Any]) -> dict[str, Floats]:
    """Return the statistics of a feature that are there, as arrays; NO_NUMBERS where they are none."""
    return {name: _numbers(entry[name]) for name in STAT_KEYS if entry.get(name) is not None}


def _numbers(value: Any) -> Floats:
    try:
        return np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        return NO_NUMBERS


def shapes_of(feature: Feature) -> list[tuple[int, ...]]:
    """Return the shapes that statistics of a feature can have, the usual one first.

    LeRobot since 0.4 collapses all axes of a row but the last; 0.3.3 kept them, and converted datasets have those.
    """
    if feature.is_visual:
        return [(channels(feature), 1, 1)]
    return [feature.shape[-1:], feature.shape] if len(feature.shape) > 1 else [feature.shape]


def misshapen(found: Mapping[str, Floats], feature: Feature) -> Iterator[str]:
    """Yield what makes statistics unusable: not numbers, of another shape, out of order; missing ones are left out."""
    usual, *others = shapes_of(feature)
    present = {value.shape for name, value in found.items() if name != "count"}
    shape = next((other for other in others if present == {other}), usual)
    complete = True
    for name, value in found.items():
        expected = (1,) if name == "count" else shape
        if value.shape != expected:
            was = "no numbers" if value is NO_NUMBERS else f"of shape {value.shape}"
            yield f"{name} is {was}; expected shape {expected}"
            complete = False
        elif not np.isfinite(value).all():
            yield f"{name} holds NaN or Inf"
            complete = False
    if complete:
        yield from _disordered(found)


def _disordered(values: Mapping[str, Floats]) -> Iterator[str]:
    bounds = [np.abs(values[name]) for name in ("min", "max") if name in values]
    slack = 1e-6 * np.maximum(bounds[0], bounds[-1]) + 1e-9 if bounds else 1e-9
    for low, high in pairwise(name for name in _ORDER if name in values):
        if (values[low] > values[high] + slack).any():
            yield f"{low} is above {high}"
    if {"min", "max", "mean"} <= values.keys():
        mean = values["mean"]
        if (mean < values["min"] - slack).any() or (mean > values["max"] + slack).any():
            yield "mean is not between min and max"


def differences(found: Mapping[str, Floats], exact: FeatureStats) -> Iterator[str]:
    """Yield how min, max, mean, std and count differ from exact ones."""
    scale = np.maximum(np.abs(exact["min"]), np.abs(exact["max"]))
    for name, tolerance in (*TOLERANCES.items(), ("count", 0.0)):
        if problem := difference(name, found[name], exact[name], tolerance * (0 if name == "count" else scale)):
            yield problem


def difference(name: str, found: Floats, exact: Floats, tolerance: Any) -> str:
    """Say how a statistic differs from the exact one of the same shape; empty within the tolerance."""
    wrong = ~(np.abs(found - exact) <= tolerance)
    if not wrong.any():
        return ""
    at = int(np.argmax(wrong))
    return f"{name}[{at}] is {found.ravel()[at]:.9g}, but the rows give {exact.ravel()[at]:.9g}"


def misplaced_quantiles(found: Mapping[str, Floats], rows: NDArray[Any]) -> Iterator[str]:
    """Yield quantiles that no common definition gives.

    Definitions differ by up to one rank, and LeRobot's histogram by one bin; among few rows that are
    far apart this allows more than among many.
    """
    table = np.sort(as_table(rows).astype(np.float64), axis=0)
    low, high = table[0], table[-1]
    slack = (high - low) / _LEROBOT_BINS + 1e-6 * np.maximum(np.abs(low), np.abs(high)) + 1e-9
    lower, upper, _ = neighbours(np.array(list(QUANTILES.values())), len(table))
    for name, first, last in zip(QUANTILES, lower - 1, upper + 1, strict=True):
        if (value := found.get(name)) is None:
            continue
        value = value.ravel()
        floor, ceiling = table[max(first, 0)] - slack, table[min(last, len(table) - 1)] + slack
        if ((value < floor) | (value > ceiling)).any():
            at = int(np.argmax((value < floor) | (value > ceiling)))
            yield f"{name}[{at}] is {value[at]:.9g}, but the rows give {floor[at]:.9g} to {ceiling[at]:.9g}"
