"""Statistics of a whole dataset, from the dataset alone and in bounded memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import prod
from pathlib import Path

import numpy as np

from ....core.checksums import update_list
from ....core.columns import Array
from ....core.commit import json_text, write_file
from ....core.errors import Damaged
from ....core.features import Feature, frame_size
from .. import paths_v30
from ..stats.exact_quantiles import column_stats
from ..stats.feature_stats import (
    KNOTS,
    MERGED_KEYS,
    QUANTILES,
    STAT_KEYS,
    FeatureStats,
    Floats,
    StatsMerger,
    pooled_quantiles,
)
from ..stats.image_stats import CHANNELS, LEVELS, pixel_step, stats_from_histogram
from ..stats.stats_comparison import numbers_of
from ..stats.stored_stats import is_known
from .dataset import Dataset
from .dataset_v30 import DatasetV30


def row_stats(dataset: Dataset, names: Sequence[str]) -> dict[str, FeatureStats]:
    """Return the exact statistics of numeric features over all rows of a dataset; each on its own, or all at once."""
    return column_stats(lambda: dataset.rows(names))


def dataset_stats(root: Path, numbers: Mapping[str, FeatureStats] | None = None) -> dict[str, FeatureStats]:
    """Return the statistics of every feature but texts, for meta/stats.json of v3.0.

    Those of numbers are exact over all rows, in float64. Those of cameras are exact over all sampled pixels where the
    dataset has their histogram (ours do); where it has none, they are merged from the episodes, and quantiles stay as
    they are in the dataset, or are estimated from those of the episodes. A camera without statistics in an episode
    has none.

    Args:
        root: The dataset.
        numbers: Those of all numeric features, where they are known already.
    """
    dataset = DatasetV30(root)
    return whole_stats(dataset, merged_stats(dataset), histograms(dataset), numbers)


def histograms(dataset: Dataset) -> dict[str, Array]:
    """Return camera key to (3, 256) counts of its sampled pixel values; empty if the dataset has none.

    Raises:
        Damaged: If they are anything else.
    """
    if not (dataset.root / paths_v30.HISTOGRAMS).exists():
        return {}
    found = {}
    for key, counts in dataset.json(paths_v30.HISTOGRAMS).items():
        where = f"{paths_v30.HISTOGRAMS}, {key}"
        try:
            found[key] = np.array(counts, np.int64)
        except (ValueError, TypeError, OverflowError):
            raise Damaged(where, "holds something else than counts") from None
        if found[key].shape != (CHANNELS, LEVELS):
            raise Damaged(where, f"is {found[key].shape} instead of {(CHANNELS, LEVELS)}")
    return found


def whole_stats(
    dataset: Dataset,
    merged: Mapping[str, FeatureStats],
    counts: Mapping[str, Array],
    numbers: Mapping[str, FeatureStats] | None = None,
) -> dict[str, FeatureStats]:
    """Return the statistics of a dataset by feature, in the order of info.json.

    Args:
        dataset: The dataset.
        merged: Min, max, mean, std and count of cameras, as far as they are known.
        counts: Camera key to its histogram; those that are not of all episodes are not used.
        numbers: Those of all numeric features; computed by default.
    """
    if numbers is None:
        numbers = row_stats(dataset, list(dataset.numeric_features))
    before = dataset.json(paths_v30.STATS) if (dataset.root / paths_v30.STATS).exists() else {}
    stats = {}
    for key, feature in dataset.features.items():
        if key in numbers:
            stats[key] = numbers[key]
        elif key not in merged:
            continue
        elif key in counts and covers(counts[key], feature, int(merged[key]["count"][0])):
            stats[key] = stats_from_histogram(counts[key], int(merged[key]["count"][0]))
        else:
            known = numbers_of(before.get(key, {})) or _pooled_quantiles(dataset, key)
            stats[key] = {**merged[key], **{name: value for name, value in known.items() if name not in MERGED_KEYS}}
    return stats


def _pooled_quantiles(dataset: Dataset, key: str) -> dict[str, Floats]:
    """Return the quantiles of a camera as far as those of its episodes tell; empty if one has none."""
    shape = dataset.kinds[key].known_stats_shapes()[0]
    shapes = {f"stats/{key}/{name}": (1,) if name == "count" else shape for name in ("count", *KNOTS)}
    batches = [columns for _, columns in dataset.stat_batches(shapes)]
    if not all(name in columns and is_known(columns[name]).all() for columns in batches for name in shapes):
        return {}
    whole = {name: np.concatenate([columns[name] for columns in batches]) for name in shapes}
    knots = np.stack([whole[f"stats/{key}/{name}"] for name in KNOTS], axis=1).reshape(-1, len(KNOTS), prod(shape))
    found = pooled_quantiles(knots, whole[f"stats/{key}/count"].ravel())
    return {name: values.reshape(shape) for name, values in zip(QUANTILES, found, strict=True)}


def incomplete_cameras(root: Path) -> list[str]:
    """Return the colour cameras of a v3.0 dataset with incomplete statistics in an episode."""
    dataset = DatasetV30(root)
    known: set[str] = set()
    for path in dataset.files(dataset.episodes_path):
        with dataset.parquet(path) as file:
            known |= set(file.schema_arrow.names)
    colours = [key for key, feature in dataset.cameras.items() if not feature.is_depth]
    return [key for key in colours if any(f"stats/{key}/{name}" not in known for name in STAT_KEYS)]


def covers(histogram: Array, feature: Feature, count: int) -> bool:
    """True if a histogram has as many pixels as `count` sampled images; LeRobot adds episodes without touching it."""
    height, width = frame_size(feature)
    step = pixel_step(height, width)
    return int(histogram[0].sum()) == count * -(-height // step) * -(-width // step)


def merged_stats(dataset: DatasetV30) -> dict[str, FeatureStats]:
    """Merge those of the episodes, for cameras with all in LeRobot's shape in every episode; without quantiles."""
    usual = {key: kind.known_stats_shapes()[0] for key, kind in dataset.stat_kinds.items() if not kind.is_numeric}
    shapes = {f"stats/{key}/{name}": shape for key, shape in usual.items() for name in MERGED_KEYS}
    shapes |= {f"stats/{key}/count": (1,) for key in usual}
    merger = StatsMerger()
    mergeable = set(usual)
    for lengths, columns in dataset.stat_batches(shapes):
        # All cameras side by side: one by one, it would take longer than to read them.
        table = {name: np.empty((len(lengths), sum(map(prod, usual.values())))) for name in MERGED_KEYS}
        for key, place in _places(usual).items():
            for name, values in table.items():
                column = columns.get(f"stats/{key}/{name}")
                if column is None or not is_known(column).all():
                    mergeable.discard(key)
                    values[:, place] = 1
                else:
                    values[:, place] = column.reshape(len(lengths), -1)
        for row in range(len(lengths)):
            merger.add({name: values[row] for name, values in table.items()})
    whole = merger.result() if mergeable else {}
    merged = {}
    for key, place in _places(usual).items():
        if key in mergeable:
            merged[key] = {name: values[place].reshape(usual[key]) for name, values in whole.items()}
            merged[key]["count"] = whole["count"][place][:1]
    return merged


def _places(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, slice]:
    """Return where values of these shapes are, put one after the other."""
    ends = list(accumulate(map(prod, shapes.values())))
    return {key: slice(end - prod(shape), end) for (key, shape), end in zip(shapes.items(), ends, strict=True)}


def usable(stats: Mapping[str, FeatureStats]) -> dict[str, FeatureStats]:
    """Return the statistics that JSON can hold: a feature with NaN or infinity in its rows is left out."""
    return {key: entry for key, entry in stats.items() if all(np.isfinite(value).all() for value in entry.values())}


def write_stats(root: Path, stats: Mapping[str, FeatureStats]) -> None:
    """Write meta/stats.json, whole or not at all; a feature with NaN or infinity in its rows is left out."""
    content = {key: {name: value.tolist() for name, value in entry.items()} for key, entry in usable(stats).items()}
    write_file(root / paths_v30.STATS, (json_text(content, indent=4) + "\n").encode())
    update_list(root, [paths_v30.STATS])
