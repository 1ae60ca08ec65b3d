"""Statistics of the episodes: complete, shaped as LeRobot needs them, and those of the rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic

import numpy as np
from numpy.typing import NDArray

from ....core.errors import Damaged
from ....core.features import Features
from .. import paths_v30
from ..datasets.dataset import DatasetView
from ..datasets.row_reader import row_arrays
from ..stats.exact_quantiles import QUANTILES
from ..stats.feature_stats import MERGED_KEYS, STAT_KEYS, StatsMerger, moments
from ..stats.stats_comparison import differences, misplaced_quantiles, misshapen, numbers_of
from .base import Check, Finding, Repeated, Severity, View
from .camera_stats import note_camera
from .missing_stats import MissingStats

# LeRobot does not change them all when it merges or deletes episodes, and never uses them.
_PLACE_FEATURES = ("index", "episode_index", "task_index")


class StatsCheck(Check[View], Generic[View]):
    """The statistics of each episode, recomputed from its rows where these are numbers.

    Attributes:
        absent: Severity of a feature without any statistics.
        wants_quantiles: False if statistics are complete without them.
    """

    name = "stats"
    absent: Severity = "error"
    wants_quantiles = True

    def per_episode(self, dataset: DatasetView, mergers: Mapping[str, StatsMerger]) -> Iterator[Finding]:
        """Yield what is wrong with those of the episodes; put the exact ones of each into `mergers`."""
        features = described(dataset)
        missing, faults = MissingStats(), Repeated(self)
        found = dataset.episode_stats(list(features), STAT_KEYS)
        for (where, entries), tables in zip(found, _episode_tables(dataset), strict=False):
            with np.errstate(invalid="ignore"):  # NaN and Inf in rows: the check of rows names them
                exact = {key: moments(table) for key, table in tables.items()}
                for key in exact.keys() & mergers.keys():
                    mergers[key].add(exact[key])
            for key, feature in features.items():
                place = f"{where}, stats/{key}"
                values = numbers_of(entries.get(key, {}))
                problems = list(misshapen(values, feature))
                yield from (self.error(place, problem) for problem in problems)
                if not self.is_complete(where, key, values, missing) or problems:
                    continue
                if feature.is_visual:
                    note_camera(place, key, feature, values, advice(dataset, "computes it anew"), faults)
                else:
                    table, own = tables[key], exact[key]
                    if values["min"].shape != own["min"].shape:  # of each entry, not of the last axis
                        table = table.reshape(len(table), -1)
                        values, own = {name: value.ravel() for name, value in values.items()}, moments(table)
                    problems = [*differences(values, own), *misplaced_quantiles(values, table)]
                    yield from self.differing(place, key, problems, faults)
        yield from faults.findings()
        yield from self.told(dataset, missing)

    def differing(self, place: str, key: str, problems: Iterable[str], faults: Repeated) -> Iterator[Finding]:
        """Yield findings for statistics that the rows do not give; note those of indices, which nobody uses."""
        for problem in problems:
            if key in _PLACE_FEATURES:
                told = f"{problem}; LeRobot leaves those of indices so when it merges or deletes episodes"
                faults.note(key, place, told, "warning")
            else:
                yield self.error(place, problem)

    def is_complete(self, where: str, key: str, values: Mapping[str, Any], missing: MissingStats) -> bool:
        """True if all is there that can be compared; what is not there is noted."""
        if absent := [name for name in MERGED_KEYS if name not in values]:
            missing.note(where, key, absent)
        elif self.wants_quantiles and (absent := [name for name in QUANTILES if name not in values]):
            missing.note(where, key, absent)
            return True
        return not absent

    def told(self, dataset: DatasetView, missing: MissingStats) -> Iterator[Finding]:
        """Yield findings for what was noted as missing."""
        for where, names, sentence in missing.groups():
            if set(names) <= QUANTILES.keys():
                told = f"{sentence}: older and converted datasets have none"
                yield self.warning(where, f"{told}; {advice(dataset, 'adds them')}")
            else:
                severity = self.absent if len(names) == len(MERGED_KEYS) else "error"
                yield Finding(self.name, where, f"{sentence}; {advice(dataset, 'computes them')}", severity)


def advice(dataset: DatasetView, what: str) -> str:
    """Say which command makes statistics right."""
    return f"`robotrove stats {dataset.root}` {what}"


def described(dataset: DatasetView) -> Features:
    """Return the features that have statistics: all but texts."""
    return {key: feature for key, feature in dataset.features.items() if feature.dtype != "string"}


def _episode_tables(dataset: DatasetView) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield the numeric rows of each episode, feature name to (length, *shape), one episode in memory at a time."""
    names = list(dataset.numeric_features)
    if not names:
        raise Damaged(paths_v30.INFO, "no feature is a number")
    lengths = iter(dataset.lengths.tolist())
    needed = next(lengths, 0)
    parts: list[dict[str, NDArray[Any]]] = []
    for data in dataset.data_files():
        for _, batch in dataset.row_batches(data.path, names):
            rows = row_arrays(dataset, data.path, batch)
            total, first = len(rows[names[0]]), 0
            while first < total and needed:
                last = min(total, first + needed)
                parts.append({key: values[first:last] for key, values in rows.items()})
                needed -= last - first
                first = last
                if not needed:
                    yield {key: np.concatenate([part[key] for part in parts]) for key in names}
                    needed, parts = next(lengths, 0), []
                    if data.rows is not None:
                        break  # the check of rows names those that are too many
        if data.rows is not None and parts:
            raise Damaged(data.path, f"has {needed} rows too few for its episode")
