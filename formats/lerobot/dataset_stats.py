"""Statistics of a whole dataset, from the dataset alone and in bounded memory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ...core.columns import Array
from ...core.commit import write_file
from ...core.features import Feature
from . import paths
from .checks.stat_values import Floats, numbers_of, shapes_of
from .checks.structure import frame_size
from .episode_rows import row_batches
from .image_stats import pixel_step, stats_from_histogram
from .quantiles import as_table, column_quantiles
from .stats import MERGED_KEYS, STAT_KEYS, FeatureStats, StatsMerger
from .view import DatasetView
from .view_v30 import DatasetViewV30


def dataset_stats(root: Path) -> dict[str, FeatureStats]:
    """Return the statistics of every feature but texts, for meta/stats.json of v3.0.

    min, max and count are exact, mean and std merged in float64 in episode order, or computed from
    the rows where an episode has none; quantiles are exact over all rows. Those of cameras are exact
    over all sampled pixels where the dataset has their histogram (ours do); where it has none,
    quantiles stay as they are in the dataset. A camera of which an episode has no statistics has none.
    """
    view = DatasetViewV30(root)
    merged = merged_stats(view)
    missing = [key for key in view.numeric_features if key not in merged]
    merged |= _moments(view, missing) if missing else {}
    content = view.json(paths.HISTOGRAMS) if (root / paths.HISTOGRAMS).exists() else {}
    return whole_stats(view, merged, {key: np.asarray(counts, np.int64) for key, counts in content.items()})


def whole_stats(
    view: DatasetView, merged: Mapping[str, FeatureStats], histograms: Mapping[str, Array]
) -> dict[str, FeatureStats]:
    """Add quantiles to min, max, mean, std and count of a dataset.

    Args:
        view: The dataset.
        merged: Those of all numeric features, and of cameras as far as they are known.
        histograms: Camera key to (3, 256) counts; those that are not of all episodes are not used.

    Returns:
        By feature, in the order of info.json.
    """
    quantiles = column_quantiles(lambda: row_batches(view, list(view.numeric_features)))
    before = view.json(paths.STATS) if (view.root / paths.STATS).exists() else {}
    stats = {}
    for key, feature in view.features.items():
        if key not in merged:
            continue
        if key in quantiles:
            stats[key] = merged[key] | quantiles[key]
        elif key in histograms and covers(histograms[key], feature, int(merged[key]["count"][0])):
            stats[key] = stats_from_histogram(histograms[key], int(merged[key]["count"][0]))
        else:
            known = numbers_of(before.get(key, {}))
            stats[key] = merged[key] | {name: value for name, value in known.items() if name not in MERGED_KEYS}
    return stats


def incomplete_cameras(root: Path) -> list[str]:
    """Return the cameras of a v3.0 dataset of which an episode has no complete statistics."""
    view = DatasetViewV30(root)
    known: set[str] = set()
    for path in view.files(view.episodes_path):
        with view.parquet(path) as file:
            known |= set(file.schema_arrow.names)
    cameras = [key for key, feature in view.features.items() if feature.is_visual]
    return [key for key in cameras if any(f"stats/{key}/{name}" not in known for name in STAT_KEYS)]


def covers(histogram: Array, feature: Feature, count: int) -> bool:
    """True if a histogram has as many pixels as `count` sampled images; LeRobot adds episodes without touching it."""
    height, width = frame_size(feature)
    step = pixel_step(height, width)
    return int(histogram[0].sum()) == count * -(-height // step) * -(-width // step)


def merged_stats(view: DatasetView) -> dict[str, FeatureStats]:
    """Merge those of the episodes, of features of which every episode has all in LeRobot's shape; without quantiles."""
    mergers = {key: StatsMerger() for key, feature in view.features.items() if feature.dtype != "string"}
    for _, entries in view.episode_stats(list(mergers), MERGED_KEYS):
        for key in list(mergers):
            found = numbers_of(entries.get(key, {}))
            if is_mergeable(found, view.features[key]):
                mergers[key].add(found)
            else:
                del mergers[key]
    return {key: merger.result() for key, merger in mergers.items()}


def is_mergeable(found: Mapping[str, Floats], feature: Feature) -> bool:
    """True if all that is merged is there, in the shape in which LeRobot since 0.4 writes it."""
    shape = shapes_of(feature)[0]
    return all(name in found and found[name].shape == ((1,) if name == "count" else shape) for name in MERGED_KEYS)


def _moments(view: DatasetView, keys: Sequence[str]) -> dict[str, FeatureStats]:
    mergers = {key: StatsMerger() for key in keys}
    for batch in row_batches(view, keys):
        for key, rows in batch.items():
            table = as_table(rows).astype(np.float64)
            part = {"min": table.min(axis=0), "max": table.max(axis=0), "mean": table.mean(axis=0)}
            mergers[key].add(part | {"std": table.std(axis=0), "count": np.array([len(rows)])})
    return {key: merger.result() for key, merger in mergers.items()}


def write_stats(root: Path, stats: Mapping[str, FeatureStats]) -> None:
    """Write meta/stats.json, whole or not at all."""
    content = {key: {name: value.tolist() for name, value in entry.items()} for key, entry in stats.items()}
    write_file(root / paths.STATS, (json.dumps(content, indent=4, ensure_ascii=False) + "\n").encode())
