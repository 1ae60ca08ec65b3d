"""Statistics of cameras, recomputed from stored frames where they are missing or wrong."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from ....core.columns import Array
from ....core.features import Features, cameras, channels
from ....media.image.images import ImageDecoder
from ....media.remux.clip import Clip
from ....media.video.probe import iter_frames
from .. import paths_v30
from ..datasets.dataset import Dataset, decoded
from ..datasets.dataset_stats import covers
from ..datasets.dataset_v30 import DatasetV30
from ..features.feature_kind import kind_of
from ..stats.feature_stats import STAT_KEYS
from ..stats.image_stats import CHANNELS, ImageStats, sample_indices
from ..stats.stats_comparison import Floats, misshapen, numbers_of, out_of_range
from .stats_store import StatsStore

_UNSEEN = np.zeros((1, 1, 1, CHANNELS), np.uint8)  # stands for a picture that is not sampled
_WIDE_SPREAD, _FLAT = 0.5, 0.02
# A tenth of the pixels is at q10 or below, a tenth at q90 or above: std is at least sqrt(0.05) = 0.22 of the distance.
_LEAST_STD = 0.2


def colour_cameras(features: Features) -> Features:
    """Return the cameras with computable statistics: those with three channels, not depth."""
    return {
        key: feature
        for key, feature in cameras(features).items()
        if len(feature.shape) == 3 and channels(feature) == CHANNELS
    }


def fault(found: Mapping[str, Floats], features: Features, key: str) -> str:
    """Say what is missing or impossible in the statistics of a camera; empty if nothing is.

    LeRobot 0.4.0 to 0.5.1 squares uint8 values, which overflow: its standard deviations are almost 0.
    """
    if absent := [name for name in STAT_KEYS if name not in found]:
        return f"has no {', '.join(absent)}"
    if problem := next(misshapen(found, kind_of(features[key]).known_stats_shapes()), "") or out_of_range(found):
        return problem
    spread, std = found["max"] - found["min"], found["std"]
    flat = (std < _FLAT * spread) & (spread > _WIDE_SPREAD)
    if ((spread > 0) & (flat | (std <= 0) | (std < _LEAST_STD * (found["q90"] - found["q10"])))).any():
        return (
            f"std {std.min():.3g} is impossible with values from {found['min'].min():.3g} to {found['max'].max():.3g}"
        )
    return ""


def camera_stats(dataset: Dataset, keys: Sequence[str]) -> Iterator[dict[str, ImageStats]]:
    """Yield camera to statistics of the frames that LeRobot would sample, episode by episode.

    Videos are decoded by as many threads as there are CPUs, a few episodes ahead.

    Raises:
        RobotroveError: If a frame is missing or cannot be decoded; names the file.
    """
    videos = [key for key in keys if key in dataset.video_keys]
    pictures = [key for key in keys if key not in videos]
    stored = _picture_stats(dataset, pictures) if pictures else ({} for _ in dataset.lengths)
    filmed = _video_stats(dataset, videos) if videos else ({} for _ in dataset.lengths)
    for own, others in zip(stored, filmed, strict=True):
        yield own | others


def _video_stats(dataset: Dataset, keys: Sequence[str]) -> Iterator[dict[str, ImageStats]]:
    workers = os.cpu_count() or 1
    pool = ThreadPoolExecutor(workers)
    ahead: deque[dict[str, Future[ImageStats]]] = deque()
    try:
        for location in dataset.measured():
            ahead.append({key: pool.submit(_clip_stats, location.tracks[key].clip, dataset.fps) for key in keys})
            if len(ahead) > workers:
                yield {key: future.result() for key, future in ahead.popleft().items()}
        while ahead:
            yield {key: future.result() for key, future in ahead.popleft().items()}
    finally:
        pool.shutdown(cancel_futures=True)


def _clip_stats(clip: Clip, fps: int) -> ImageStats:
    stats = ImageStats(clip.frames)
    for frame in iter_frames(clip.path, clip.first, clip.frames, clip.rate or fps):
        stats.add(frame[None])
    return stats


def _picture_stats(dataset: Dataset, keys: Sequence[str]) -> Iterator[dict[str, ImageStats]]:
    decoder = ImageDecoder()
    for at in dataset.episodes():
        sampled = set(sample_indices(at.length).tolist())
        stats = {key: ImageStats(at.length) for key in keys}
        first = 0
        for batch in dataset.rows(keys, at):
            for key, pictures in batch.items():
                for row, picture in enumerate(pictures, first):
                    if row in sampled:
                        stats[key].add(decoded(decoder, picture, dataset.picture_place(key, at, row))[None])
                    else:
                        stats[key].add(_UNSEEN)
            first += len(pictures)
        yield stats


def needed_cameras(store: StatsStore[Any], histograms: Mapping[str, Array]) -> dict[str, str]:
    """Return the cameras with missing or impossible statistics, each with the problem at its first place.

    With v3.0, quantiles of the dataset come from the histogram of all episodes. Where there is none,
    those in meta/stats.json have to do, so that these are looked at too.

    Args:
        store: The statistics of the episodes.
        histograms: Camera to (3, 256) counts, as the dataset has them.
    """
    dataset = store.dataset
    cameras = colour_cameras(dataset.features)
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
    if isinstance(dataset, DatasetV30) and (dataset.root / paths_v30.STATS).exists():
        whole = dataset.json(paths_v30.STATS)
    for key in cameras.keys() - needed.keys():
        if key in histograms and not covers(histograms[key], cameras[key], counts[key]):
            needed[key] = f"{paths_v30.HISTOGRAMS}: is not of these episodes"
        elif key not in histograms and isinstance(dataset, DatasetV30):
            entry = whole.get(key)
            if problem := fault(numbers_of(entry if isinstance(entry, dict) else {}), cameras, key):
                needed[key] = f"{paths_v30.STATS}: {problem}"
    return {key: needed[key] for key in cameras if key in needed}
