"""Statistics as they are found against exact ones: which differ, by how much more than rounding, and how often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checks.stat_values import NO_NUMBERS, TOLERANCES, Floats, difference, misplaced_quantiles
from .quantiles import QUANTILES
from .stats import STAT_KEYS, FeatureStats

# Relative to the largest value. Sums of ours differ by some roundings of float64 where rows come in other batches.
EXACT: Mapping[str, float] = dict.fromkeys(STAT_KEYS, 1e-9)
# LeRobot's, of a whole dataset; its quantiles of one are averages of those of the episodes, and not accepted.
LEROBOT: Mapping[str, float] = dict.fromkeys(QUANTILES, TOLERANCES["min"]) | TOLERANCES
# Of cameras, which have values in [0, 1]. Those of videos were measured before compression, which blurs extremes.
_VIDEO = {"min": 0.3, "max": 0.3, "mean": 0.05, "std": 0.05, "count": 0.0} | dict.fromkeys(QUANTILES, 0.1)
# Where there are few colours, LeRobot's histograms give values in between.
_PICTURES = {"min": 1e-6, "max": 1e-6, "mean": 1e-4, "std": 1e-3, "count": 0.0} | dict.fromkeys(QUANTILES, 0.02)

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Difference:
    """A statistic that is not what it should be.

    Attributes:
        file: Where it is, relative to the dataset.
        feature: Whose it is.
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
    shown: list[Difference] = field(default_factory=list)


class Differences:
    """Counts differences by feature and keeps some of each.

    Attributes:
        by_feature: Those of each feature that has any.
    """

    def __init__(self) -> None:
        self.by_feature: dict[str, FeatureDifferences] = {}

    def add(self, difference: Difference) -> None:
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
            self.add(Difference(file, feature, name, episode, known, exact[name].tolist()))


def differing(found: Mapping[str, Floats], exact: FeatureStats, tolerances: Mapping[str, float] = EXACT) -> list[str]:
    """Return the statistics that are missing, of another shape, or further off than the tolerance.

    Args:
        found: Statistics as far as they are there.
        exact: Those expected.
        tolerances: By statistic, relative to the largest absolute value of the feature; count is always exact.
            Statistics without a tolerance need only be there.
    """
    scale = np.maximum(np.abs(exact["min"]), np.abs(exact["max"]))
    return [
        name
        for name, value in exact.items()
        if _lacks(found, name, value)
        or (name == "count" and difference(name, found[name], value, 0))
        or (name != "count" and name in tolerances and difference(name, found[name], value, tolerances[name] * scale))
    ]


def differing_of_episode(found: Mapping[str, Floats], exact: FeatureStats, rows: NDArray[Any]) -> list[str]:
    """Return the statistics of an episode that are not even LeRobot's, which has float32 sums and histograms.

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
