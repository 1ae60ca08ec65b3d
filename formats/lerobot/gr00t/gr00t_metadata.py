"""experiment_cfg/metadata.json: what checkpoints of GR00T N1 and N1.5 know of the data, which RLinf asks for too.

Keys as in gr00t/data/schema.py of N1 and N1.5 (DatasetMetadata); values are those of meta/stats.json, cut by
meta/modality.json.
"""

from __future__ import annotations

from typing import Any

from ....core.errors import UsageError
from .. import paths_v30
from ..datasets.dataset_v21 import DatasetV21
from .modality import MODALITY, column_of

METADATA = "experiment_cfg/metadata.json"
_STATISTICS = ("max", "min", "mean", "std", "q01", "q99")


def gr00t_metadata(dataset: DatasetV21, tag: str) -> dict[str, Any]:
    """Return the content of metadata.json for one dataset.

    Args:
        dataset: With modality.json and GR00T's stats.json.
        tag: Embodiment tag.

    Raises:
        Damaged: If a file is missing or not what it should be.
        UsageError: If stats.json lacks what modality.json names.
    """
    modality, stats = dataset.json(MODALITY), dataset.json(paths_v30.STATS)
    statistics: dict[str, Any] = {}
    shapes: dict[str, Any] = {}
    for section in ("state", "action"):
        parts = modality[section]
        statistics[section] = {
            key: _statistics(key, column_of(section, key, part), part, stats) for key, part in parts.items()
        }
        shapes[section] = {key: _described(part) for key, part in parts.items()}
    video = {key: _camera(dataset, column_of("video", key, entry)) for key, entry in modality["video"].items()}
    described = {"statistics": statistics, "modalities": {"video": video, **shapes}, "embodiment_tag": tag}
    return {tag: described}


def _statistics(key: str, column: str, part: dict[str, Any], stats: dict[str, Any]) -> dict[str, list[float]]:
    entry = stats.get(column)
    if not isinstance(entry, dict) or any(entry.get(name) is None for name in _STATISTICS):
        raise UsageError(
            f"{paths_v30.STATS}, {column}",
            f"has not all statistics that {key} needs",
            ", ".join(_STATISTICS),
            "robotrove stats DATASET --gr00t",
        )
    return {name: entry[name][part["start"] : part["end"]] for name in _STATISTICS}


def _described(part: dict[str, Any]) -> dict[str, Any]:
    return {
        "absolute": part.get("absolute", True),
        "rotation_type": part.get("rotation_type"),
        "shape": [part["end"] - part["start"]],
        "continuous": True,
    }


def _camera(dataset: DatasetV21, column: str) -> dict[str, Any]:
    height, width, channels = dataset.features[column].shape
    return {"resolution": [width, height], "channels": channels, "fps": float(dataset.fps)}
