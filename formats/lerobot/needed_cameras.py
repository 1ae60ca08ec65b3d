"""Which cameras of a dataset need their statistics computed from the frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...core.columns import Array
from . import paths
from .camera_recompute import colour_cameras, fault
from .checks.stat_values import numbers_of
from .dataset_stats import covers
from .stats_store import StatsStore
from .view_v30 import DatasetViewV30


def needed_cameras(store: StatsStore[Any], histograms: Mapping[str, Array]) -> dict[str, str]:
    """Return the cameras of which something is missing or impossible, each with what it is, at its first place.

    With v3.0, quantiles of the dataset come from the histogram of all episodes. Where there is none,
    those in meta/stats.json have to do, so that these are looked at too.

    Args:
        store: The statistics of the episodes.
        histograms: Camera to (3, 256) counts, as the dataset has them.
    """
    view = store.view
    cameras = colour_cameras(view.features)
    counts = dict.fromkeys(cameras, 0)
    needed: dict[str, str] = {}
    for episode, (_, entries) in enumerate(store.found(list(cameras))):
        for key in cameras.keys() - needed.keys():
            found = numbers_of(entries.get(key, {}))
            if problem := fault(found, cameras, key):
                needed[key] = f"episode {episode}: {problem}"
            else:
                counts[key] += int(found["count"][0])
    whole: dict[str, Any] = {}
    if isinstance(view, DatasetViewV30) and (view.root / paths.STATS).exists():
        whole = view.json(paths.STATS)
    for key in cameras.keys() - needed.keys():
        if key in histograms and not covers(histograms[key], cameras[key], counts[key]):
            needed[key] = f"{paths.HISTOGRAMS}: is not of these episodes"
        elif key not in histograms and isinstance(view, DatasetViewV30):
            entry = whole.get(key)
            if problem := fault(numbers_of(entry if isinstance(entry, dict) else {}), cameras, key):
                needed[key] = f"{paths.STATS}: {problem}"
    return {key: needed[key] for key in cameras if key in needed}
