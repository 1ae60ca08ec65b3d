"""Comparison of stored statistics with recomputed ones, within the tolerance of the tool that wrote them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .feature_stats import QUANTILES, STAT_KEYS, FeatureStats, as_table, neighbours

# Relative to the largest value.
TOLERANCES = {"min": 1e-6, "max": 1e-6, "mean": 1e-5, "std": 1e-5}
_LEAST_STD = 1e-3  # of a std itself: a joint that hardly moves has one below what is allowed of its values
_FLOAT32 = 2.0**-23  # float32 has this step at 1
_ROUNDED = {"mean": 1e-4, "std": 1e-3}
_LEROBOT_BINS = 5000  # its quantiles are read off a histogram with so many bins over the range
_ORDER = ("min", *QUANTILES, "max")

Floats = NDArray[np.float64]

NO_NUMBERS: Floats = np.empty((0, 0))

# Relative to the largest value. Sums of ours differ by some roundings of float64 where rows come in other batches.
EXACT: Mapping[str, float] = dict.fromkeys(STAT_KEYS, 1e-9)
# Of a whole dataset; LeRobot's quantiles of one are averages of those of the episodes, and not accepted.
LEROBOT: Mapping[str, float] = dict.fromkeys(QUANTILES, TOLERANCES["min"]) | TOLERANCES
# Of cameras, which have values in [0, 1]. Those of videos were measured before compression, which blurs extremes.
_VIDEO = {"min": 0.3, "max": 0.3, "mean": 0.05, "std": 0.05, "count": 0.0} | dict.fromkeys(QUANTILES, 0.1)
# Where there are few colours, LeRobot's histograms give values in between.
_PICTURES = {"min": 1e-6, "max": 1e-6, "mean": 1e-4, "std": 1e-3, "count": 0.0} | dict.fromkeys(QUANTILES, 0.02)
_SHOWN = 5


def numbers_of(entry: Mapping[str, Any]) -> dict[str, Floats]:
    """Return the statistics of a feature that are there, as arrays; NO_NUMBERS where they are none."""
    return {name: _numbers(entry[name]) for name in STAT_KEYS if entry.get(name) is not None}


def _numbers(value: Any) -> Floats:
    try:
        return np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError):
        return NO_NUMBERS


def misshapen(found: Mapping[str, Floats], shapes: Sequence[tuple[int, ...]]) -> Iterator[str]:
    """Yield what makes statistics unusable: not numbers, in none of the shapes, out of order; missing ones are fine."""
    usual, *others = shapes
    present = {value.shape for name, value in found.items() if name != "count"}
    shape = next((other for other in others if present == {other}), usual)
    problems = list(unusable(found, [shape]))
    yield from problems or _disordered(found)


def unusable(found: Mapping[str, Floats], shapes: Sequence[tuple[int, ...]]) -> Iterator[str]:
    """Yield statistics that are not numbers or in none of the shapes; count has the shape (1,)."""
    lost = []
    for name, value in found.items():
        expected = [(1,)] if name == "count" else shapes
        if value.shape not in expected:
            was = "no numbers" if value is NO_NUMBERS else f"of shape {value.shape}"
            yield f"{name} is {was}; expected shape {expected[0]}"
        elif not np.isfinite(value).all():
            lost.append(name)
    if lost:
        yield f"NaN or Inf in {', '.join(lost)}"


def out_of_range(found: Mapping[str, Floats]) -> str:
    """Say that the values of a camera are not in [0, 1]; empty if they are."""
    return "its values are not in [0, 1]" if found["min"].min() < 0 or found["max"].max() > 1 else ""


def _disordered(values: Mapping[str, Floats]) -> Iterator[str]:
    bounds = [np.abs(values[name]) for name in ("min", "max") if name in values]
    scale = np.maximum(bounds[0], bounds[-1]) if bounds else 0
    slack = 1e-6 * scale + 1e-9
    for low, high in pairwise(name for name in _ORDER if name in values):
        if (values[low] > values[high] + slack).any():
            yield f"{low} is above {high}"
    if {"min", "max", "mean"} <= values.keys():
        # Float32 sums of equal values leave them, the further the more there are.
        rows = values["count"].max() if "count" in values else 0
        mean, slack = values["mean"], np.maximum(TOLERANCES["mean"], rows * _FLOAT32) * scale + 1e-9
        if (mean < values["min"] - slack).any() or (mean > values["max"] + slack).any():
            yield "mean is not between min and max"


def differences(found: Mapping[str, Floats], exact: FeatureStats, rows: int) -> Iterator[tuple[str, bool]]:
    """Yield how min, max, mean, std and count differ from exact ones, and if float32 sums of LeRobot can do that.

    Args:
        found: Statistics of the same shapes.
        exact: Those expected.
        rows: Rows of an episode, of the longest one in statistics of a dataset.
    """
    for name in (*TOLERANCES, "count"):
        if problem := difference(name, found[name], exact[name], allowed(name, exact, TOLERANCES)):
            yield problem, name != "count" and not beyond_float32(name, found[name], exact, rows).any()


def allowed(name: str, exact: FeatureStats, tolerances: Mapping[str, float]) -> Any:
    """Return how far a statistic may be from the exact one, value by value.

    That is relative to the largest value of the feature. Of a std it is no more than a thousandth of itself, and by
    EXACT nothing where all values are equal. A count is exact.
    """
    if name == "count":
        return 0
    slack = tolerances[name] * _scale(exact)
    if name == "std":
        least = _LEAST_STD * exact["std"]
        return np.where((least > 0) | (tolerances is EXACT), np.minimum(slack, least), slack)
    return slack


def _scale(exact: FeatureStats) -> Floats:
    return np.maximum(np.abs(exact["min"]), np.abs(exact["max"]))


def beyond_float32(name: str, found: Floats, exact: FeatureStats, rows: int) -> NDArray[np.bool_]:
    """Return which values of a statistic are further off than sums over so many rows in float32 can be.

    Numpy adds float32 rows one after another. LeRobot 0.4 to 0.6 takes the variance as E[x²] - E[x]² besides
    (lerobot/datasets/compute_stats.py, RunningQuantileStats). Equal values lose most: with 300, 3,000 and 36,000 of
    them LeRobot's variance is off by up to 8e-6, 1.2e-4 and 1.3e-3 of their square; n · 2⁻²³ is allowed, as of a mean.
    """
    scale, step = _scale(exact), rows * _FLOAT32
    slack = max(_ROUNDED.get(name, TOLERANCES["min"]), step if name == "mean" else 0) * scale
    beyond: NDArray[np.bool_] = ~(np.abs(found - exact[name]) <= slack)
    if name == "std":
        beyond &= ~(np.abs(np.square(found) - np.square(exact["std"])) <= step * np.square(scale))
    return beyond


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
    lower, upper, _ = neighbours(np.array(list(QUANTILES.values())), len(table))
    with np.errstate(invalid="ignore"):  # of rows that are infinite
        slack = (high - low) / _LEROBOT_BINS + 1e-6 * np.maximum(np.abs(low), np.abs(high)) + 1e-9
        floors = table[np.maximum(lower - 1, 0)] - slack
        ceilings = table[np.minimum(upper + 1, len(table) - 1)] + slack
    for name, floor, ceiling in zip(QUANTILES, floors, ceilings, strict=True):
        if (value := found.get(name)) is None:
            continue
        value = value.ravel()
        if ((value < floor) | (value > ceiling)).any():
            at = int(np.argmax((value < floor) | (value > ceiling)))
            yield f"{name}[{at}] is {value[at]:.9g}, but the rows give {floor[at]:.9g} to {ceiling[at]:.9g}"


@dataclass(frozen=True, slots=True)
class StatDifference:
    """A statistic that is not what it should be.

    Attributes:
        file: Where it is, relative to the dataset.
        feature: Feature of the statistic.
        statistic: Which one.
        episode: Number of the episode, None if it is that of the whole dataset.
        found: What is there, None if nothing usable.
        expected: What should be there.
    """

    file: str
    feature: str
    statistic: str
    episode: int | None
    found: Any
    expected: Any


@dataclass(slots=True)
class FeatureDifferences:
    """All differences of one feature.

    Attributes:
        count: How many there are.
        missing: How many of them lack a value.
        statistics: Number of differences by statistic.
        shown: The first of them.
    """

    count: int = 0
    missing: int = 0
    statistics: dict[str, int] = field(default_factory=dict)
    shown: list[StatDifference] = field(default_factory=list)


class Differences:
    """Counts differences by feature and keeps some of each.

    Attributes:
        by_feature: Those of each feature that has any.
    """

    def __init__(self) -> None:
        self.by_feature: dict[str, FeatureDifferences] = {}

    def add(self, difference: StatDifference) -> None:
        """Count one."""
        entry = self.by_feature.setdefault(difference.feature, FeatureDifferences())
        entry.count += 1
        entry.missing += difference.found is None
        entry.statistics[difference.statistic] = entry.statistics.get(difference.statistic, 0) + 1
        if len(entry.shown) < _SHOWN:
            entry.shown.append(difference)

    def add_all(
        self,
        file: str,
        feature: str,
        episode: int | None,
        names: list[str],
        found: Mapping[str, Floats],
        exact: FeatureStats,
    ) -> None:
        """Count the named statistics of one feature."""
        for name in names:
            value = found.get(name, NO_NUMBERS)
            known = None if value is NO_NUMBERS else value.tolist()
            self.add(StatDifference(file, feature, name, episode, known, exact[name].tolist()))


def differing(found: Mapping[str, Floats], exact: FeatureStats, tolerances: Mapping[str, float] = EXACT) -> list[str]:
    """Return the statistics that are missing, of another shape, or further off than the tolerance.

    Args:
        found: Statistics as far as they are there.
        exact: Those expected.
        tolerances: By statistic, see `allowed`; statistics without one need only be there.
    """
    return [
        name
        for name, value in exact.items()
        if _lacks(found, name, value)
        or (
            (name == "count" or name in tolerances)
            and difference(name, found[name], value, allowed(name, exact, tolerances))
        )
    ]


def differing_of_episode(found: Mapping[str, Floats], exact: FeatureStats, rows: NDArray[Any]) -> list[str]:
    """Return the statistics of an episode that its rows do not give; quantiles may be those of a histogram.

    Args:
        found: Statistics as far as they are there.
        exact: Those expected.
        rows: (T, ...) what they are of, in as many columns as `exact` has values.
    """
    names = differing(found, exact, TOLERANCES)
    present = {name: found[name] for name in QUANTILES if name not in names and name in exact}
    if list(misplaced_quantiles(present, rows)):
        names += [name for name, value in present.items() if list(misplaced_quantiles({name: value}, rows))]
    return names


def differing_of_camera(found: Mapping[str, Floats], exact: FeatureStats, length: int, *, lossy: bool) -> list[str]:
    """Return the statistics of a camera that other frames, or a mistake, must be behind.

    Args:
        found: Statistics as far as they are there, usually of the pictures before they were compressed.
        exact: Those of the decoded frames.
        length: Frames of the episode. LeRobot counts the sampled ones, or, encoding while it records, all pixels.
        lossy: True for video.
    """
    tolerances = _VIDEO if lossy else _PICTURES
    names = [
        name
        for name, value in exact.items()
        if _lacks(found, name, value) or difference(name, found[name], value, tolerances[name])
    ]
    count = found["count"].item() if "count" in found and found["count"].shape == (1,) else 0
    return [name for name in names if name != "count" or not count or count % length]


def _lacks(found: Mapping[str, Floats], name: str, value: NDArray[Any]) -> bool:
    return name not in found or found[name].shape != value.shape
