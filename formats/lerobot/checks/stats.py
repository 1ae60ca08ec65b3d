"""Statistics: complete, shaped as LeRobot needs them, and those of the rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....core.features import Feature, Features
from .. import paths
from ..arrow_rows import ArrowColumn, rows_of
from ..quantiles import QUANTILES, as_table, column_quantiles, neighbours
from ..stats import STAT_KEYS, FeatureStats, StatsMerger, episode_stats
from ..view import DatasetView
from .base import Check, Finding
from .structure import channels

# Relative to the largest value. LeRobot sums in float32 and takes the variance as E[x²] - E[x]².
_TOLERANCES = {"min": 1e-6, "max": 1e-6, "mean": 1e-4, "std": 1e-3}
_LEROBOT_BINS = 5000  # its quantiles are read off a histogram with so many bins over the range
_FLAT_STD = 0.01
_ORDER = ("min", *QUANTILES, "max")

Floats = NDArray[np.float64]


class StatsCheck(Check):
    """stats.json and the statistics in meta/episodes, recomputed from the rows where these are numbers.

    Deep: quantiles of the dataset are recomputed too.
    """

    name = "stats"

    def run(self, dataset: DatasetView, *, deep: bool) -> Iterator[Finding]:
        """Yield missing, misshapen and wrong statistics."""
        described = {key: feature for key, feature in dataset.features.items() if feature.dtype != "string"}
        mergers = {key: StatsMerger() for key in dataset.numeric_features}
        yield from self._episodes(dataset, described, mergers)
        yield from self._dataset(dataset, described, mergers, deep)

    def _episodes(
        self, dataset: DatasetView, described: Features, mergers: Mapping[str, StatsMerger]
    ) -> Iterator[Finding]:
        present = set(described)
        for path in dataset.files("meta/episodes"):
            with dataset.parquet(path) as file:
                names = set(file.schema_arrow.names)
            for key in described:
                if missing := [name for name in STAT_KEYS if f"stats/{key}/{name}" not in names]:
                    yield self.error(f"{path}, column stats/{key}", f"has no {', '.join(missing)}")
                    present.discard(key)
        columns = [f"stats/{key}/{name}" for key in described if key in present for name in STAT_KEYS]
        rows = dataset.episodes(columns or ["episode_index"])
        for (where, row), tables in zip(rows, _episode_tables(dataset), strict=False):
            with np.errstate(invalid="ignore"):  # NaN and Inf in rows: the check of rows names them
                exact = {key: stats for key, table in tables.items() if (stats := episode_stats(table, described[key]))}
                for key, stats in exact.items():
                    mergers[key].add(stats)
            for key in described:
                if key not in present:
                    continue
                found = {name: _numbers(row[f"stats/{key}/{name}"]) for name in STAT_KEYS}
                place = f"{where}, stats/{key}"
                problems = list(_misshapen(found, described[key]))
                if not problems and key in tables:
                    problems = [*_differences(found, exact[key]), *_misplaced_quantiles(found, tables[key])]
                for problem in problems:
                    yield self.error(place, problem)
                if not problems and described[key].is_visual:
                    yield from self._camera(place, found)

    def _dataset(
        self, dataset: DatasetView, described: Features, mergers: Mapping[str, StatsMerger], deep: bool
    ) -> Iterator[Finding]:
        content = dataset.json(paths.STATS)
        shaped: dict[str, dict[str, Floats]] = {}
        for key in content.keys() - dataset.features.keys():
            yield self.warning(f"{paths.STATS}, {key}", "is no feature of info.json")
        for key, feature in described.items():
            place = f"{paths.STATS}, {key}"
            entry = content.get(key)
            if not isinstance(entry, dict):
                yield self.error(place, "is missing")
                continue
            found = {name: _numbers(entry[name]) for name in STAT_KEYS if name in entry}
            problems = list(_misshapen(found, feature))
            for problem in problems:
                yield self.error(place, problem)
            if problems:
                continue
            shaped[key] = {name: value for name, value in found.items() if value is not None}
            if key in mergers:
                for problem in _differences(found, mergers[key].result()):
                    yield self.error(place, problem)
            else:
                yield from self._camera(place, found)
        if deep:
            yield from self._quantiles(dataset, {key: found for key, found in shaped.items() if key in mergers})

    def _camera(self, place: str, found: Mapping[str, Any]) -> Iterator[Finding]:
        if found["min"].min() < 0 or found["max"].max() > 1:
            yield self.error(place, "its values are not in [0, 1]")
        spread, std = (found["max"] - found["min"]).max(), found["std"].max()
        if std == 0 and spread > 0:
            yield self.error(place, f"std is 0 though values differ by {spread:g} (LeRobot 0.4 has this bug)")
        elif std < _FLAT_STD:
            yield self.warning(place, f"std is only {std:g}: the pictures are all but uniform")

    def _quantiles(self, dataset: DatasetView, stats: Mapping[str, Mapping[str, Floats]]) -> Iterator[Finding]:
        def batches() -> Iterator[dict[str, NDArray[Any]]]:
            for path in dataset.files("data"):
                for _, batch in dataset.row_batches(path, list(stats)):
                    yield _rows(dataset, path, batch)

        for key, exact in column_quantiles(batches).items():
            scale = np.maximum(np.abs(stats[key]["min"]), np.abs(stats[key]["max"]))
            problems = [
                problem
                for name, value in exact.items()
                if (problem := _difference(name, stats[key][name], value, _TOLERANCES["min"] * scale))
            ]
            if problems:
                more = f"; {len(problems)} of {len(exact)} quantiles differ" if len(problems) > 1 else ""
                cause = f"{problems[0]}{more} (LeRobot averages those of the episodes)"
                yield self.warning(f"{paths.STATS}, {key}", cause)


def _rows(dataset: DatasetView, path: str, batch: Mapping[str, ArrowColumn]) -> dict[str, NDArray[Any]]:
    return {key: rows_of(batch[key], dataset.features[key], f"{path}, column {key}") for key in batch}


def _episode_tables(dataset: DatasetView) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield the numeric rows of each episode, feature name to (length, *shape), one episode in memory at a time."""
    names = list(dataset.numeric_features)
    lengths = iter(dataset.lengths.tolist())
    needed = next(lengths, 0)
    parts: list[dict[str, NDArray[Any]]] = []
    for path in dataset.files("data"):
        for _, batch in dataset.row_batches(path, names):
            rows = _rows(dataset, path, batch)
            total, first = len(rows[names[0]]), 0
            while first < total and needed:
                last = min(total, first + needed)
                parts.append({key: values[first:last] for key, values in rows.items()})
                needed -= last - first
                first = last
                if not needed:
                    yield {key: np.concatenate([part[key] for part in parts]) for key in names}
                    needed, parts = next(lengths, 0), []


def _numbers(value: Any) -> Floats | None:
    try:
        return np.array(value, np.float64)
    except (TypeError, ValueError):
        return None


def _misshapen(found: Mapping[str, Floats | None], feature: Feature) -> Iterator[str]:
    """Yield what makes statistics unusable: absent, not numbers, of another shape, out of order."""
    shape = (channels(feature), 1, 1) if feature.is_visual else (feature.shape[-1],)
    complete = True
    for name in STAT_KEYS:
        expected = (1,) if name == "count" else shape
        value = found.get(name)
        if value is None or value.shape != expected:
            was = "missing" if name not in found else "no numbers" if value is None else f"of shape {value.shape}"
            yield f"{name} is {was}; expected shape {expected}"
            complete = False
        elif not np.isfinite(value).all():
            yield f"{name} holds NaN or Inf"
            complete = False
    if not complete:
        return
    values = {name: value for name, value in found.items() if value is not None}
    slack = 1e-6 * np.maximum(np.abs(values["min"]), np.abs(values["max"])) + 1e-9
    for low, high in pairwise(_ORDER):
        if (values[low] > values[high] + slack).any():
            yield f"{low} is above {high}"
    if (values["mean"] < values["min"] - slack).any() or (values["mean"] > values["max"] + slack).any():
        yield "mean is not between min and max"


def _differences(found: Mapping[str, Floats | None], exact: FeatureStats) -> Iterator[str]:
    """Yield how min, max, mean, std and count differ from exact ones."""
    scale = np.maximum(np.abs(exact["min"]), np.abs(exact["max"]))
    for name, tolerance in (*_TOLERANCES.items(), ("count", 0.0)):
        if problem := _difference(name, found[name], exact[name], tolerance * (0 if name == "count" else scale)):
            yield problem


def _difference(name: str, found: Floats | None, exact: Floats, tolerance: Any) -> str:
    if found is None:
        return ""
    wrong = ~(np.abs(found - exact) <= tolerance)
    if not wrong.any():
        return ""
    at = int(np.argmax(wrong))
    return f"{name}[{at}] is {found[at]:.9g}, but the rows give {exact[at]:.9g}"


def _misplaced_quantiles(found: Mapping[str, Floats | None], rows: NDArray[Any]) -> Iterator[str]:
    """Yield quantiles that no common definition gives.

    Definitions differ by up to one rank, and LeRobot's histogram by one bin; among few rows that are
    far apart this allows more than among many.
    """
    table = np.sort(as_table(rows).astype(np.float64), axis=0)
    low, high = table[0], table[-1]
    slack = (high - low) / _LEROBOT_BINS + 1e-6 * np.maximum(np.abs(low), np.abs(high)) + 1e-9
    lower, upper, _ = neighbours(np.array(list(QUANTILES.values())), len(table))
    for name, first, last in zip(QUANTILES, lower - 1, upper + 1, strict=True):
        value = found[name]
        floor, ceiling = table[max(first, 0)] - slack, table[min(last, len(table) - 1)] + slack
        if value is not None and ((value < floor) | (value > ceiling)).any():
            at = int(np.argmax((value < floor) | (value > ceiling)))
            yield f"{name}[{at}] is {value[at]:.9g}, but the rows give {floor[at]:.9g} to {ceiling[at]:.9g}"
