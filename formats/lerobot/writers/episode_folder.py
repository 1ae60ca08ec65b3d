"""Episode folder: rows, one mp4 per camera, and metadata of one episode."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ....core.checksums import read_sealed, sealed, sums_below
from ....core.episode import Episode
from ....core.features import DEFAULT_FEATURES, PLACED_COLUMNS, Features
from ....manifests.shard_progress import EPISODE_FILE
from ....media.encode.settings import VideoSettings
from ....media.remux.clip import Clip
from ..datasets.episode_location import EpisodeLocation, EpisodeMetadata, EpisodeRecord, Rows, Track
from ..datasets.provenance import ORIGIN_SCHEMA
from ..features.feature_kind import FileWriter, RowsWriter, ValuesWriter, data_schema, kind_of

ROWS_FILE = "rows.parquet"


def write_episode(
    ep: Episode,
    folder: Path,
    *,
    index: int,
    features: Features,
    video: VideoSettings,
    provenance: Mapping[str, Any],
    cpus: int,
) -> int:
    """Write one episode, streaming its frames, and return the number of frames encoded.

    Args:
        ep: The episode.
        folder: An empty folder.
        index: The episode's row in the manifest.
        features: What the dataset holds, default features aside.
        video: Encoder settings.
        provenance: Stored beside the statistics, with the digest of the content.
        cpus: Cameras encoded at the same time, with frames read ahead when more than 1.

    Raises:
        EpisodeRejected: If the episode's data are unusable; the folder's content is then worthless.
    """
    columns = {key: kind_of(feature).writer(ep, key) for key, feature in features.items()}
    filmed = [(key, column) for key, column in columns.items() if isinstance(column, FileWriter)]
    files = {key: f"camera_{number}{column.suffix}" for number, (key, column) in enumerate(filmed)}
    with ThreadPoolExecutor(max_workers=max(1, min(cpus, len(filmed)))) as pool:
        jobs = [pool.submit(column.write_file, folder / files[key], video, cpus) for key, column in filmed]
        for job in jobs:
            job.result()
    times = (np.arange(ep.length) / ep.fps).astype(np.float32)[:, None]
    columns["timestamp"] = ValuesWriter(kind_of(DEFAULT_FEATURES["timestamp"]), times)
    columns["frame_index"] = ValuesWriter(kind_of(DEFAULT_FEATURES["frame_index"]), np.arange(ep.length)[:, None])
    rows = {key: column for key, column in columns.items() if isinstance(column, RowsWriter)}
    _write_rows(folder / ROWS_FILE, data_schema(features), rows, ep.length)
    found = {key: column.stats() or {} for key, column in columns.items()}
    entry = {
        "index": index,
        "length": ep.length,
        "tasks": ep.tasks,
        "files": files,
        "stats": {f"stats/{key}/{name}": v.tolist() for key, stats in found.items() for name, v in stats.items()},
        "histograms": {key: seen.tolist() for key, column in columns.items() if (seen := column.histogram) is not None},
        "provenance": {**provenance, "content_digest": ep.content_digest() or None},
        "checksums": sums_below(folder),
    }
    (folder / EPISODE_FILE).write_bytes(sealed(json.dumps(entry, ensure_ascii=False)))
    return ep.length * len(filmed)


def _write_rows(path: Path, schema: pa.Schema, columns: Mapping[str, RowsWriter], length: int) -> None:
    """Write the rows; one row group per episode, several where images would make it large."""
    schema = pa.schema([field for field in schema if field.name not in PLACED_COLUMNS], schema.metadata)
    step = min(length, *(column.batch_rows for column in columns.values()))
    with pq.ParquetWriter(path, schema, compression="snappy") as writer:
        for first in range(0, length, step):
            last = min(first + step, length)
            arrays = [columns[field.name].rows(first, last, field.type) for field in schema]
            writer.write_table(pa.table(arrays, schema=schema))


def read_episode(folder: Path) -> EpisodeRecord:
    """Read a committed episode folder."""
    entry = json.loads(read_sealed(folder / EPISODE_FILE))
    length = entry["length"]
    rows = folder / ROWS_FILE
    clips = {key: Clip(folder / name, 0, length) for key, name in entry["files"].items()}
    tracks = {key: Track(clip, clip.path.stat().st_size) for key, clip in clips.items()}
    location = EpisodeLocation(0, length, tuple(entry["tasks"]), Rows(rows, 0, length), rows.stat().st_size, tracks)
    stats = {name: np.array([value], np.float64) for name, value in entry["stats"].items()}
    metadata = EpisodeMetadata(stats, pa.Table.from_pylist([entry["provenance"]], schema=ORIGIN_SCHEMA))
    return EpisodeRecord(entry["index"], location, metadata, entry["histograms"])
