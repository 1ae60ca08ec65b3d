"""Episode folder: rows, one mp4 per camera, and metadata of one episode."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ....core.columns import Array
from ....core.episode import Episode
from ....core.errors import EpisodeRejected
from ....core.features import PLACED_COLUMNS, Feature, Features
from ....core.prefetch import prefetch
from ....media.encode.encoder import make_encoder
from ....media.encode.settings import VideoSettings
from ....media.image.images import encode_png
from ....media.remux.clip import Clip
from ....media.video.probe import probe
from ..datasets.episode_location import EpisodeFiles, EpisodeMetadata, EpisodeRecord, Rows, Track
from ..datasets.provenance import ORIGIN_SCHEMA
from ..features.row_schema import data_schema
from ..features.vector import to_arrow
from ..stats.feature_stats import FeatureStats, index_stats, numeric_stats
from ..stats.image_stats import ImageStats

IMAGE_BATCH_ROWS = 32

EPISODE_FILE = "episode.json"
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
        provenance: Stored beside the statistics.
        cpus: Cameras encoded at the same time, with frames read ahead when more than 1.

    Raises:
        EpisodeRejected: If the episode's data are unusable; the folder's content is then worthless.
    """
    cameras = [key for key, feature in features.items() if feature.is_video]
    vectors = {key: _checked(ep, key, feature) for key, feature in features.items() if not feature.is_visual}
    stats: dict[str, FeatureStats] = {}
    for key, values in vectors.items():
        if features[key].dtype != "string":
            stats[key] = numeric_stats(values)
    histograms: dict[str, ImageStats] = {
        key: ImageStats(ep.length) for key, feature in features.items() if feature.is_visual
    }
    files = {key: f"camera_{number}.mp4" for number, key in enumerate(cameras)}
    with ThreadPoolExecutor(max_workers=max(1, min(cpus, len(cameras)))) as pool:
        jobs = [
            pool.submit(_encode, ep, key, features[key], folder / files[key], video, histograms[key], cpus)
            for key in cameras
        ]
        for job in jobs:
            job.result()
    timestamps = (np.arange(ep.length, dtype=np.float64) / ep.fps).astype(np.float32)
    stats["timestamp"] = numeric_stats(timestamps[:, None])
    stats["frame_index"] = index_stats(0, ep.length)
    _write_rows(ep, folder / ROWS_FILE, features, vectors | {"timestamp": timestamps[:, None]}, histograms)
    stats |= {key: image.result() for key, image in histograms.items()}
    entry = {
        "index": index,
        "length": ep.length,
        "task": ep.text,
        "files": files,
        "stats": {f"stats/{key}/{name}": value.tolist() for key, s in stats.items() for name, value in s.items()},
        "histograms": {key: image.histogram.tolist() for key, image in histograms.items()},
        "provenance": dict(provenance),
    }
    (folder / EPISODE_FILE).write_text(json.dumps(entry, ensure_ascii=False))
    return ep.length * len(cameras)


def _checked(ep: Episode, key: str, feature: Feature) -> Array:
    """Load a vector, cast it to its stored dtype and refuse what is not finite."""
    values = ep[key]
    if values.shape != (ep.length, *feature.shape):
        raise EpisodeRejected("wrong_shape", f"{key} has shape {values.shape}, expected {(ep.length, *feature.shape)}")
    if feature.dtype == "string":
        return values
    with np.errstate(over="ignore"):  # what overflows becomes inf and is refused below
        values = values.astype(feature.dtype, copy=False)
    if np.issubdtype(values.dtype, np.floating):
        bad = ~np.isfinite(values.reshape(ep.length, -1))
        if bad.any():
            row, entry = (int(i) for i in np.argwhere(bad)[0])
            name = f"{feature.names[entry]!r}" if feature.names else f"entry {entry}"
            what = values.reshape(ep.length, -1)[row, entry]
            raise EpisodeRejected(
                "non_finite", f"{key} has {what} at row {row}, {name}, and {int(bad.sum()) - 1} more such values"
            )
    return values


def _encode(
    ep: Episode, key: str, feature: Feature, path: Path, video: VideoSettings, stats: ImageStats, cpus: int
) -> None:
    height, width, _ = feature.shape

    def watched() -> Iterator[Array]:
        # One thread reads and decodes ahead while this one encodes, where a second CPU is there for it.
        for batch in prefetch(ep.frames(key)) if cpus > 1 else ep.frames(key):
            stats.add(batch)
            yield batch

    make_encoder(video).encode(path, watched(), width=width, height=height, fps=ep.fps)
    probe(path, expected_frames=ep.length, fps=ep.fps)


def _write_rows(
    ep: Episode,
    path: Path,
    features: Features,
    vectors: Mapping[str, Array],
    histograms: Mapping[str, ImageStats],
) -> None:
    """Write the rows; one row group per episode, several where images would make it large."""
    images = [key for key, feature in features.items() if feature.dtype == "image"]
    schema = data_schema(features)
    for name in PLACED_COLUMNS:
        schema = schema.remove(schema.get_field_index(name))
    frames = {key: _single_frames(ep, key, histograms[key]) for key in images}
    step = IMAGE_BATCH_ROWS if images else ep.length
    with pq.ParquetWriter(path, schema, compression="snappy") as writer:
        for first in range(0, ep.length, step):
            last = min(first + step, ep.length)
            columns: dict[str, pa.Array] = {
                key: to_arrow(values[first:last], schema.field(key).type) for key, values in vectors.items()
            }
            columns["frame_index"] = pa.array(np.arange(first, last))
            for key in images:
                rows = [
                    {"bytes": encode_png(next(frames[key])), "path": f"frame-{i:06d}.png"} for i in range(first, last)
                ]
                columns[key] = pa.array(rows, schema.field(key).type)
            writer.write_table(pa.table([columns[name] for name in schema.names], schema=schema))


def _single_frames(ep: Episode, key: str, stats: ImageStats) -> Iterator[Array]:
    for batch in ep.frames(key):
        stats.add(batch)
        yield from batch


def read_episode(folder: Path) -> EpisodeRecord:
    """Read a committed episode folder."""
    entry = json.loads((folder / EPISODE_FILE).read_text())
    length = entry["length"]
    rows = folder / ROWS_FILE
    clips = {key: Clip(folder / name, 0, length) for key, name in entry["files"].items()}
    tracks = {key: Track(clip, clip.path.stat().st_size) for key, clip in clips.items()}
    files = EpisodeFiles(length, (entry["task"],), Rows(rows, 0, length), rows.stat().st_size, tracks)
    stats = {name: np.array([value], np.float64) for name, value in entry["stats"].items()}
    metas = EpisodeMetadata(stats, pa.Table.from_pylist([entry["provenance"]], schema=ORIGIN_SCHEMA))
    return EpisodeRecord(entry["index"], files, metas, entry["histograms"])
