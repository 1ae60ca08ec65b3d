"""Statistics of a whole dataset, from the dataset alone and in bounded memory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from ...core.commit import write_file
from ...core.features import Feature, Features
from . import paths
from .arrow_rows import rows_of
from .image_stats import stats_from_histogram
from .quantiles import column_quantiles
from .schema import row_features
from .stats import FeatureStats, StatsMerger

MERGED = ("min", "max", "mean", "std", "count")


def dataset_stats(root: Path) -> dict[str, FeatureStats]:
    """Return the statistics of every feature but strings, for meta/stats.json.

    min, max and count are exact, mean and std merged in float64 in episode order, quantiles exact
    over all rows. Those of cameras are exact over all sampled pixels where the dataset has their
    histogram (ours do); where it has none, quantiles stay as they are in the dataset. A camera of
    which an episode has no statistics has none.
    """
    features = {key: Feature.from_json(entry) for key, entry in _read_json(root / paths.INFO)["features"].items()}
    stats = {key: merger.result() for key, merger in _merged(root, features).items()}
    histograms = _read_json(root / paths.HISTOGRAMS) if (root / paths.HISTOGRAMS).exists() else {}
    before = _read_json(root / paths.STATS) if (root / paths.STATS).exists() else {}
    quantiles = _numeric_quantiles(sorted((root / "data").glob("*/*.parquet")), features)
    for key in stats:
        if key in histograms:
            stats[key] = stats_from_histogram(np.asarray(histograms[key]), int(stats[key]["count"][0]))
        elif key in quantiles:
            stats[key] |= quantiles[key]
        else:
            stats[key] |= {name: np.asarray(v) for name, v in before.get(key, {}).items() if name not in MERGED}
    return stats


def write_stats(root: Path, stats: Mapping[str, FeatureStats]) -> None:
    """Write meta/stats.json, whole or not at all."""
    content = {key: {name: value.tolist() for name, value in entry.items()} for key, entry in stats.items()}
    write_file(root / paths.STATS, (json.dumps(content, indent=4, ensure_ascii=False) + "\n").encode())


def _merged(root: Path, features: Features) -> dict[str, StatsMerger]:
    mergers = {key: StatsMerger() for key, feature in features.items() if feature.dtype != "string"}
    for path in sorted((root / "meta/episodes").glob("*/*.parquet")):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(256, columns=[f"stats/{key}/{name}" for key in mergers for name in MERGED]):
                for row in batch.to_pylist():
                    for key in list(mergers):
                        part = {name: row[f"stats/{key}/{name}"] for name in MERGED}
                        if None in part.values():
                            del mergers[key]
                        else:
                            mergers[key].add({name: np.asarray(value) for name, value in part.items()})
    return mergers


def _numeric_quantiles(files: list[Path], features: Features) -> dict[str, FeatureStats]:
    rows = row_features(features)
    numeric = [key for key, feature in rows.items() if not feature.is_visual and feature.dtype != "string"]

    def batches() -> Iterator[dict[str, np.ndarray[Any, Any]]]:
        for path in files:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(65536, columns=numeric):
                    yield {key: rows_of(batch.column(key), rows[key], str(path)) for key in numeric}

    return column_quantiles(batches)


def _read_json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
