"""GR00T's files beside LeRobot's: stats.json and modality.json, where they exist."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

from ...formats.lerobot import paths_v30
from ...formats.lerobot.datasets.dataset_v21 import DatasetV21
from ...formats.lerobot.gr00t import modality
from ...formats.lerobot.gr00t.gr00t_stats import GR00T_KEYS
from ...formats.lerobot.stats.stats_comparison import numbers_of, unusable
from ..check import Check, Diagnostic


class Gr00tCheck(Check[DatasetV21]):
    """Keys and shapes of stats.json; slices and columns of modality.json, as far as all versions of GR00T agree."""

    name = "gr00t"

    def run(self, dataset: DatasetV21, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield what GR00T (N1 to N1.7) could not use."""
        has_modality = (dataset.root / modality.MODALITY).exists()
        if (dataset.root / paths_v30.STATS).exists():
            yield from self._stats(dataset, has_modality)
        if has_modality:
            content = dataset.json(modality.MODALITY)
            yield from (self.error(place, problem) for place, problem in modality.misfits(content))
            for entry in modality.entries(content):
                yield from self._entry(dataset, entry)

    def _stats(self, dataset: DatasetV21, has_modality: bool) -> Iterator[Diagnostic]:
        content, seen = dataset.json(paths_v30.STATS), dataset.cameras
        for key, feature in dataset.features.items():
            place, entry = f"{paths_v30.STATS}, {key}", content.get(key)
            if not isinstance(entry, dict):
                # N1.6 and N1.7 rewrite the file if a column of floats is missing; LeRobot never reads it.
                if has_modality and feature.dtype.startswith("float"):
                    yield self.warning(place, "is missing: GR00T recomputes the file")
                continue
            is_column = has_modality and key not in seen
            if is_column and (missing := [name for name in GR00T_KEYS if name not in entry]):
                yield self.warning(place, f"has no {', '.join(missing)}: GR00T recomputes the file")
            if is_column and "count" in entry:
                yield self.error(place, "has a count: GR00T N1 and N1.5 slice it like the others, and fail")
            yield from (self.error(place, problem) for problem in unusable_for(dataset, key, entry))

    def _entry(self, dataset: DatasetV21, entry: modality.ModalityEntry) -> Iterator[Diagnostic]:
        column = modality.column_of(entry.section, entry.key, entry.content)
        feature = dataset.features.get(column) if isinstance(column, str) else None
        if feature is None:
            yield self.error(entry.place, f"original_key is {column!r}, which is missing in info.json")
        elif entry.section in modality.VECTORS:
            if problem := modality.slice_problem(entry, column, feature):
                yield self.error(entry.place, problem)
        elif entry.section == "video":
            if column not in dataset.video_keys:
                yield self.error(entry.place, f"original_key is {column!r}, which is {feature} and no video")
            if "original_key" not in entry.content:
                # N1 and N1.5 take the key itself for the name of the feature.
                told = "has no original_key: GR00T N1 and N1.5 look for another feature than N1.6"
                yield self.warning(entry.place, told)
        elif feature.shape != (1,) or not feature.dtype.startswith(("int", "uint")):
            yield self.error(entry.place, f"original_key is {column!r}, which is {feature} instead of one whole number")


def unusable_for(dataset: DatasetV21, key: str, entry: Mapping[str, Any]) -> Iterator[str]:
    """Yield statistics of a feature that are there, but not numbers of its shape."""
    shapes = [(prod(dataset.features[key].shape),), *dataset.kinds[key].known_stats_shapes()]
    return unusable(numbers_of(entry), shapes)
