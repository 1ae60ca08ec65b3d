"""Statistics: those that are stored agree with the rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic

import numpy as np
from numpy.typing import NDArray

from ...core.errors import Damaged
from ...core.features import Feature, channels
from ...formats.lerobot import paths_v21, paths_v30
from ...formats.lerobot.dataset_files import count_in, other_episode
from ...formats.lerobot.datasets.dataset import Dataset
from ...formats.lerobot.datasets.dataset_stats import row_stats
from ...formats.lerobot.datasets.dataset_v21 import DatasetV21
from ...formats.lerobot.datasets.dataset_v30 import DatasetV30
from ...formats.lerobot.stats import stats_comparison as comparison
from ...formats.lerobot.stats.feature_stats import MERGED_KEYS, QUANTILES, STAT_KEYS, StatsMerger, moments
from ..check import Check, Diagnostic, Repeated, Severity, View

_COLOURS = 3
_FLAT_STD = 0.01
_WIDE_SPREAD = 0.5

_SHOWN = 3
# LeRobot does not change them all when it merges or deletes episodes, and never uses them.
_PLACE_FEATURES = ("index", "episode_index", "task_index")


def note_camera(
    place: str, key: str, feature: Feature, values: Mapping[str, comparison.Floats], advice: str, faults: Repeated
) -> None:
    """Note what is wrong with a camera's statistics, once for each camera.

    Args:
        place: Where they are.
        key: The camera.
        feature: Its entry in info.json.
        values: Its min, max and std, each (C, 1, 1).
        advice: What to do about a wrong standard deviation.
        faults: Where to note it.
    """
    if feature.is_depth:
        return  # in metres or millimetres, and flat in front of a wall
    if channels(feature) == _COLOURS and (problem := comparison.out_of_range(values)):
        faults.note(f"{key} range", place, problem)
    spread, std = (values["max"] - values["min"]).max(), values["std"].max()
    if std < _FLAT_STD and spread > _WIDE_SPREAD:
        told = f"std is only {std:g} though values differ by {spread:g} (LeRobot 0.4.0 to 0.5.1 has this bug)"
        faults.note(f"{key} std", place, f"{told}; {advice}", "warning")
    elif std < _FLAT_STD:
        faults.note(f"{key} flat", place, f"std is only {std:g}: the pictures are all but uniform", "warning")


@dataclass(slots=True)
class _Group:
    where: str
    features: dict[str, None] = field(default_factory=dict)
    places: int = 0
    last: str = ""


class MissingStats:
    """Gathers the missing statistics of features."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, ...], _Group] = {}

    def note(self, where: str, feature: str, names: Sequence[str]) -> None:
        """Take statistics of a feature that are missing at a place; places come one after the other."""
        group = self._groups.setdefault(tuple(names), _Group(where))
        group.features[feature] = None
        group.places += where != group.last
        group.last = where

    def groups(self) -> Iterator[tuple[str, tuple[str, ...], str]]:
        """Yield (first place, statistics, sentence)."""
        for names, group in self._groups.items():
            features = list(group.features)
            shown = ", ".join(features[:_SHOWN])
            more = f" and {len(features) - _SHOWN} more" if len(features) > _SHOWN else ""
            others = f" (so in {group.places} episodes)" if group.places > 1 else ""
            yield group.where, names, f"has no {', '.join(names)} of {shown}{more}{others}"


class StatsCheck(Check[View], Generic[View]):
    """The statistics of each episode, recomputed from its rows where these are numbers.

    Attributes:
        absent: Severity of a feature without any statistics.
        wants_quantiles: False if statistics are complete without them.
    """

    name = "stats"
    absent: Severity = "error"
    wants_quantiles = True

    def per_episode(self, dataset: Dataset, mergers: Mapping[str, StatsMerger]) -> Iterator[Diagnostic]:
        """Yield what is wrong with those of the episodes; put the exact ones of each into `mergers`."""
        kinds, remedy = dataset.stat_kinds, advice(dataset, "recomputes it")
        missing, faults = MissingStats(), Repeated(self)
        found = dataset.episode_stats(list(kinds), STAT_KEYS)
        for (where, entries), tables in zip(found, _episode_tables(dataset), strict=False):
            with np.errstate(invalid="ignore"):  # NaN and Inf in rows: the check of rows names them
                exact = {key: moments(table) for key, table in tables.items()}
                for key in exact.keys() & mergers.keys():
                    mergers[key].add(exact[key])
            for key, kind in kinds.items():
                place = f"{where}, stats/{key}"
                values = comparison.numbers_of(entries.get(key, {}))
                problems = list(comparison.misshapen(values, kind.known_stats_shapes()))
                yield from (self.error(place, problem) for problem in problems)
                if not values and key in exact and not np.isfinite(exact[key]["mean"]).all():
                    continue  # rows with NaN have none; the check of rows names them
                if not self.is_complete(where, key, values, missing) or problems:
                    continue
                if not kind.is_numeric:
                    note_camera(place, key, kind.feature, values, remedy, faults)
                else:
                    table, own = tables[key], exact[key]
                    if values["min"].shape != own["min"].shape:  # of each entry, not of the last axis
                        table = table.reshape(len(table), -1)
                        values, own = {name: value.ravel() for name, value in values.items()}, moments(table)
                    wrong = [*comparison.differences(values, own, len(table))]
                    wrong += [(problem, False) for problem in comparison.misplaced_quantiles(values, table)]
                    yield from self.differing(place, key, wrong, remedy, faults)
        yield from faults.findings()
        yield from self.told(dataset, missing)

    def differing(
        self, place: str, key: str, problems: Iterable[tuple[str, bool]], remedy: str, faults: Repeated
    ) -> Iterator[Diagnostic]:
        """Yield findings for statistics that the rows do not give; note those of indices, which nobody uses.

        Args:
            place: Where they are.
            key: The feature.
            problems: What is wrong, and True if LeRobot's sums in float32 are the cause, which is noted too.
            remedy: What to do about these.
            faults: Where to note it.
        """
        for problem, is_rounding in problems:
            if key in _PLACE_FEATURES:
                told = f"{problem}; LeRobot leaves those of indices so when it merges or deletes episodes"
                faults.note(key, place, told, "warning")
            elif is_rounding:
                faults.note(f"{key} sums", place, f"{problem} (LeRobot sums in float32); {remedy}", "warning")
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

    def told(self, dataset: Dataset, missing: MissingStats) -> Iterator[Diagnostic]:
        """Yield findings for what was noted as missing."""
        for where, names, sentence in missing.groups():
            if set(names) <= QUANTILES.keys():
                told = f"{sentence}: older and converted datasets have none"
                yield self.warning(where, f"{told}; {advice(dataset, 'adds them')}")
            else:
                severity = self.absent if len(names) == len(MERGED_KEYS) else "error"
                yield Diagnostic(self.name, where, f"{sentence}; {advice(dataset, 'computes them')}", severity)


def advice(dataset: Dataset, what: str) -> str:
    """Say which command makes statistics right."""
    return f"`robotrove stats {dataset.root}` {what}"


def _episode_tables(dataset: Dataset) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield the numeric rows of each episode, feature name to (length, *shape), one episode in memory at a time."""
    names = list(dataset.numeric_features)
    if not names:
        raise Damaged(paths_v30.INFO, "no feature is a number")
    lengths = iter(dataset.lengths.tolist())
    needed = next(lengths, 0)
    parts: list[dict[str, NDArray[Any]]] = []
    for data in dataset.data_files():
        for _, batch in dataset.row_batches(data.path, names):
            rows = dataset.arrays(data.path, batch)
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


class StatsV21Check(StatsCheck[DatasetV21]):
    """episodes_stats.jsonl, recomputed from the rows where these are numbers; quantiles may be missing."""

    absent = "warning"
    wants_quantiles = False

    def run(self, dataset: DatasetV21, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield missing, misshapen and wrong statistics."""
        lines = 0
        for where, line in dataset.json_lines(paths_v21.EPISODES_STATS):
            if (number := count_in(line, "episode_index", where)) != lines:
                raise Damaged(where, other_episode(number, lines))
            lines += 1
        if lines != len(dataset.lengths):
            yield self.error(
                paths_v21.EPISODES_STATS, f"has {lines} lines, but there are {len(dataset.lengths)} episodes"
            )
        yield from self.per_episode(dataset, {})


class StatsV30Check(StatsCheck[DatasetV30]):
    """stats.json and the statistics in meta/episodes, recomputed from the rows where these are numbers.

    Deep: quantiles of the dataset are recomputed too.
    """

    def run(self, dataset: DatasetV30, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield missing, misshapen and wrong statistics."""
        mergers = {key: StatsMerger() for key in dataset.numeric_features}
        yield from self.per_episode(dataset, mergers)
        yield from self._dataset(dataset, mergers, deep)

    def _dataset(self, dataset: DatasetV30, mergers: Mapping[str, StatsMerger], deep: bool) -> Iterator[Diagnostic]:
        content = dataset.json(paths_v30.STATS)
        for key in content.keys() - dataset.info["features"].keys():
            yield self.unknown(f"{paths_v30.STATS}, {key}")
        missing, faults, remedy = MissingStats(), Repeated(self), advice(dataset, "recomputes it")
        usable: dict[str, dict[str, comparison.Floats]] = {}
        with np.errstate(invalid="ignore"):  # as in `per_episode`
            means = {key: merger.result()["mean"] for key, merger in mergers.items() if not merger.is_empty}
        lost = {key for key, mean in means.items() if not np.isfinite(mean).all()}
        for key, kind in dataset.stat_kinds.items():
            place, entry = f"{paths_v30.STATS}, {key}", content.get(key)
            values = comparison.numbers_of(entry if isinstance(entry, dict) else {})
            problems = list(comparison.misshapen(values, kind.known_stats_shapes()))
            yield from (self.error(place, problem) for problem in problems)
            if not values and key in lost:
                continue
            if not self.is_complete(paths_v30.STATS, key, values, missing) or problems:
                continue
            if not kind.is_numeric:
                note_camera(place, key, kind.feature, values, remedy, faults)
                continue
            if mergers[key].is_empty:
                continue  # no rows: other checks say so
            exact = mergers[key].result()
            if values["min"].shape == exact["min"].shape:
                wrong = comparison.differences(values, exact, int(dataset.lengths.max()))
                yield from self.differing(place, key, wrong, remedy, faults)
                usable[key] = values
        yield from faults.findings()
        yield from self.told(dataset, missing)
        if deep:
            yield from self._quantiles(dataset, usable)

    def _quantiles(
        self, dataset: DatasetV30, stats: Mapping[str, Mapping[str, comparison.Floats]]
    ) -> Iterator[Diagnostic]:
        for key, exact in row_stats(dataset, list(stats)).items():
            found = {name: stats[key][name] for name in QUANTILES if name in stats[key]}
            tolerances = {name: comparison.allowed(name, exact, comparison.LEROBOT) for name in found}
            differing = (comparison.difference(name, found[name], exact[name], tolerances[name]) for name in found)
            if problems := list(filter(None, differing)):
                more = f"; {len(problems)} of {len(QUANTILES)} quantiles differ" if len(problems) > 1 else ""
                cause = f"{problems[0]}{more} (LeRobot averages those of the episodes)"
                yield self.warning(f"{paths_v30.STATS}, {key}", cause)
