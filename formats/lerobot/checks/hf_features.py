"""What the metadata of the parquet files says of their columns: LeRobot 0.3.3 reads them by it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ....core.errors import Damaged
from ..datasets.dataset_v21 import DatasetViewV21
from .base import Check, Finding


class HfFeaturesCheck(Check[DatasetViewV21]):
    """Types that its release of `datasets` (2.19 to 3.6) knows, and `Image` for pictures."""

    name = "hf_features"

    def run(self, dataset: DatasetViewV21, *, deep: bool) -> Iterator[Finding]:
        """Yield files that it could not load."""
        pictures = [key for key, feature in dataset.row_features.items() if feature.dtype == "image"]
        for data in dataset.data_files():
            try:
                with dataset.parquet(data.path) as file:
                    described = _features((file.schema_arrow.metadata or {}).get(b"huggingface"))
            except Damaged as exc:
                yield self.damaged(exc)
                continue
            if lists := [key for key, entry in described.items() if _has_list(entry)]:
                cause = f'its metadata has "_type": "List" for {", ".join(lists)}: LeRobot 0.3.3 knows only "Sequence"'
                yield self.error(data.path, cause)
            for key in pictures:
                if described.get(key) != {"_type": "Image"}:
                    cause = 'its metadata does not say "_type": "Image": LeRobot 0.3.3 cannot load it'
                    yield self.error(f"{data.path}, column {key}", cause)


def _features(metadata: bytes | None) -> dict[str, Any]:
    """Return column to type as `datasets` stores them; empty where there is nothing that it could use."""
    try:
        features = json.loads(metadata or b"{}")["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    return features if isinstance(features, dict) else {}


def _has_list(entry: Any) -> bool:
    if isinstance(entry, dict):
        return entry.get("_type") == "List" or any(_has_list(value) for value in entry.values())
    return isinstance(entry, list) and any(_has_list(value) for value in entry)
