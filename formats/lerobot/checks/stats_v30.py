"""Statistics of v3.0: those of the episodes in meta/episodes, those of the dataset in stats.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from .. import paths_v30
from ..datasets.dataset_stats import feature_quantiles
from ..datasets.dataset_v30 import DatasetViewV30
from ..stats.feature_stats import StatsMerger
from ..stats.stats_comparison import TOLERANCES, Floats, difference, differences, misshapen, numbers_of
from .base import Finding, Repeated
from .camera_stats import note_camera
from .missing_stats import MissingStats
from .stats import StatsCheck, advice, described


class StatsV30Check(StatsCheck[DatasetViewV30]):
    """stats.json and the statistics in meta/episodes, recomputed from the rows where these are numbers.

    Deep: quantiles of the dataset are recomputed too.
    """

    def run(self, dataset: DatasetViewV30, *, deep: bool) -> Iterator[Finding]:
        """Yield missing, misshapen and wrong statistics."""
        mergers = {key: StatsMerger() for key in dataset.numeric_features}
        yield from self.per_episode(dataset, mergers)
        yield from self._dataset(dataset, mergers, deep)

    def _dataset(self, dataset: DatasetViewV30, mergers: Mapping[str, StatsMerger], deep: bool) -> Iterator[Finding]:
        content = dataset.json(paths_v30.STATS)
        for key in content.keys() - dataset.features.keys():
            yield self.warning(f"{paths_v30.STATS}, {key}", "is no feature of info.json")
        missing, faults = MissingStats(), Repeated(self)
        usable: dict[str, dict[str, Floats]] = {}
        for key, feature in described(dataset).items():
            place, entry = f"{paths_v30.STATS}, {key}", content.get(key)
            values = numbers_of(entry if isinstance(entry, dict) else {})
            problems = list(misshapen(values, feature))
            yield from (self.error(place, problem) for problem in problems)
            if not self.is_complete(paths_v30.STATS, key, values, missing) or problems:
                continue
            if feature.is_visual:
                note_camera(place, key, feature, values, advice(dataset, "computes it anew"), faults)
                continue
            exact = mergers[key].result()
            if values["min"].shape == exact["min"].shape:
                yield from self.differing(place, key, differences(values, exact), faults)
                usable[key] = values
        yield from faults.findings()
        yield from self.told(dataset, missing)
        if deep:
            yield from self._quantiles(dataset, usable)

    def _quantiles(self, dataset: DatasetViewV30, stats: Mapping[str, Mapping[str, Floats]]) -> Iterator[Finding]:
        for key, exact in feature_quantiles(dataset, list(stats)).items():
            found = stats[key]
            scale = np.maximum(np.abs(found["min"]), np.abs(found["max"]))
            problems = [
                problem
                for name, value in exact.items()
                if name in stats[key]
                and (problem := difference(name, stats[key][name], value, TOLERANCES["min"] * scale))
            ]
            if problems:
                more = f"; {len(problems)} of {len(exact)} quantiles differ" if len(problems) > 1 else ""
                cause = f"{problems[0]}{more} (LeRobot averages those of the episodes)"
                yield self.warning(f"{paths_v30.STATS}, {key}", cause)
