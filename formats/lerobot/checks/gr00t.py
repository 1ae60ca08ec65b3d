"""What GR00T reads besides LeRobot's files: stats.json and modality.json, if they are there."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from ....core.features import Feature
from .. import paths
from ..gr00t_stats import GR00T_KEYS
from ..view_v21 import DatasetViewV21
from .base import Check, Finding
from .stat_values import NO_NUMBERS, numbers_of, shapes_of

MODALITY = "meta/modality.json"
_VECTORS = {"state": "observation.state", "action": "action"}  # section to the column where none is named


class Gr00tCheck(Check[DatasetViewV21]):
    """Keys and shapes of stats.json; slices and columns of modality.json."""

    name = "gr00t"

    def run(self, dataset: DatasetViewV21, *, deep: bool) -> Iterator[Finding]:
        """Yield what GR00T (N1 to N1.7) could not use."""
        has_modality = (dataset.root / MODALITY).exists()
        if (dataset.root / paths.STATS).exists():
            yield from self._stats(dataset, has_modality)
        if has_modality:
            yield from self._modality(dataset)

    def _stats(self, dataset: DatasetViewV21, has_modality: bool) -> Iterator[Finding]:
        content = dataset.json(paths.STATS)
        for key, feature in dataset.features.items():
            place, entry = f"{paths.STATS}, {key}", content.get(key)
            if not isinstance(entry, dict):
                # N1.6 and N1.7 write the file anew where a column of floats is missing; LeRobot never reads it.
                if has_modality and feature.dtype.startswith("float"):
                    yield self.warning(place, "is missing: GR00T computes the file anew")
                continue
            is_column = has_modality and not feature.is_visual
            if is_column and (missing := [name for name in GR00T_KEYS if name not in entry]):
                yield self.warning(place, f"has no {', '.join(missing)}: GR00T computes the file anew")
            if is_column and "count" in entry:
                yield self.error(place, "has a count: GR00T N1 and N1.5 slice it like the others, and fail")
            shapes = [(prod(feature.shape),), *shapes_of(feature)]
            for name, value in numbers_of(entry).items():
                if value.shape not in (shapes if name != "count" else [(1,)]):
                    was = "no numbers" if value is NO_NUMBERS else f"of shape {value.shape}"
                    yield self.error(place, f"{name} is {was}; expected shape {shapes[0]}")
                elif not np.isfinite(value).all():
                    yield self.error(place, f"{name} holds NaN or Inf")

    def _modality(self, dataset: DatasetViewV21) -> Iterator[Finding]:
        content = dataset.json(MODALITY)
        for section in ("state", "action", "video", "annotation"):
            entries = content.get(section, {})
            if not isinstance(entries, dict):
                yield self.error(f"{MODALITY}, {section}", f"is {entries!r} instead of an object")
                continue
            for key, entry in entries.items():
                place = f"{MODALITY}, {section}.{key}"
                if not isinstance(entry, dict):
                    yield self.error(place, f"is {entry!r} instead of an object")
                else:
                    yield from self._entry(dataset, section, key, entry, place)

    def _entry(
        self, dataset: DatasetViewV21, section: str, key: str, entry: dict[str, Any], place: str
    ) -> Iterator[Finding]:
        default = {"video": f"observation.images.{key}", "annotation": f"annotation.{key}"}
        column = entry.get("original_key", _VECTORS.get(section) or default[section])
        feature = dataset.features.get(column) if isinstance(column, str) else None
        if feature is None:
            yield self.error(place, f"original_key is {column!r}, which is no feature of info.json")
        elif section in _VECTORS:
            yield from self._slice(place, column, feature, entry)
        elif section == "video":
            if not feature.is_video:
                yield self.error(place, f"original_key is {column!r}, which is {feature} and no video")
            if "original_key" not in entry:
                # N1 and N1.5 take the key itself for the name of the feature.
                yield self.warning(place, "has no original_key: GR00T N1 and N1.5 look for another feature than N1.6")
        elif feature.shape != (1,) or not feature.dtype.startswith(("int", "uint")):
            yield self.error(place, f"original_key is {column!r}, which is {feature} instead of one whole number")

    def _slice(self, place: str, column: str, feature: Feature, entry: dict[str, Any]) -> Iterator[Finding]:
        if feature.is_visual or len(feature.shape) != 1:
            yield self.error(place, f"original_key is {column!r}, which is {feature} and no vector")
            return
        start, end = entry.get("start"), entry.get("end")
        if type(start) is not int or type(end) is not int or not 0 <= start < end <= feature.shape[0]:
            found = f"start is {start!r} and end is {end!r}"
            yield self.error(place, f"{found}, which is no part of the {feature.shape[0]} values of {column}")
