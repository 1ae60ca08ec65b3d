"""Video files: as many frames as their episodes, each at its time, all of them readable, the right pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....core.errors import RobotroveError
from ....media.keyframes import keyframes
from ....media.probe import VideoInfo, iter_frames, probe
from .. import paths
from ..arrow_rows import Damaged
from ..image_stats import ImageStats
from ..view import DatasetView
from .base import Check, Finding
from .files import file_pairs
from .structure import frame_size

# Of the mean colour in [0, 1]: lossy coding moves it by far less, another camera or channel order by far more.
_MEAN_TOLERANCE = 0.05


@dataclass(frozen=True, slots=True)
class _File:
    """One video file and what should be in it.

    Attributes:
        key: Camera.
        path: Relative to the dataset.
        full: Where it is.
        episodes: Episodes in it, in order.
        lengths: Their frames.
    """

    key: str
    path: str
    full: Path
    episodes: NDArray[np.int64]
    lengths: NDArray[np.int64]


class VideosCheck(Check):
    """Counts, times, keyframes, size and length of every video file; the first and last frame of each episode decode.

    Deep: every frame decodes, and the mean colour of each episode is the one in its statistics.
    """

    name = "videos"

    def run(self, dataset: DatasetView, *, deep: bool) -> Iterator[Finding]:
        """Yield what is wrong with the video files."""
        for key in dataset.video_keys:
            means = _means(dataset, key) if deep else {}
            for file in _files(dataset, key):
                if not file.full.is_file():
                    continue  # the check of files has said so
                try:
                    info = probe(file.full, fps=dataset.fps)
                    yield from self._facts(dataset, file, info)
                    if deep:
                        yield from self._pixels(file, info, means)
                    else:
                        _decode_ends(file, info)
                except RobotroveError as exc:
                    # Causes name the file by its full path; findings by the one inside the dataset.
                    cause = str(exc).replace(str(file.full), "").lstrip(": ").replace("\n ", ";")
                    yield self.error(file.path, cause)

    def _facts(self, dataset: DatasetView, file: _File, info: VideoInfo) -> Iterator[Finding]:
        total = int(file.lengths.sum())
        if info.frames != total:
            yield self.error(file.path, f"has {info.frames} frames, but its episodes have {total}")
        feature = dataset.features[file.key]
        if len(feature.shape) == 3 and (info.height, info.width) != frame_size(feature):
            height, width = frame_size(feature)
            yield self.error(file.path, f"frames are {info.height}x{info.width} instead of {height}x{width}")
        seconds = info.frames / dataset.fps
        if len(file.lengths) > 1 and seconds > paths.MAX_VIDEO_S:
            yield self.error(
                file.path,
                f"lasts {seconds:.0f} s; with more than one episode in it, LeRobot loses frames "
                f"past 1,024 s: expected at most {paths.MAX_VIDEO_S:.0f} s",
            )
        seekable = set(keyframes(file.full, dataset.fps))
        for episode, first in zip(file.episodes.tolist(), _starts(file), strict=True):
            if first < info.frames and first not in seekable:
                yield self.error(file.path, f"frame {first}, the first of episode {episode}, is no keyframe")

    def _pixels(self, file: _File, info: VideoInfo, means: Mapping[int, NDArray[np.float64]]) -> Iterator[Finding]:
        frames = iter_frames(file.full, 0, info.frames)
        for episode, length in zip(file.episodes.tolist(), file.lengths.tolist(), strict=True):
            stats, decoded = ImageStats(length), 0
            for frame in islice(frames, length):
                stats.add(frame[None])
                decoded += 1
            if decoded < length or episode not in means:
                continue  # too few frames, or no statistics: reported as such
            found, expected = stats.result()["mean"].ravel(), means[episode]
            if np.abs(found - expected).max() > _MEAN_TOLERANCE:
                told = f"the mean colour of episode {episode} is {_colour(found)}, but {_colour(expected)}"
                yield self.error(file.path, f"{told} in its statistics")
        for _ in frames:  # those of no episode must decode too
            pass


def _files(dataset: DatasetView, key: str) -> Iterator[_File]:
    chunks, files = (dataset.episode_column(f"videos/{key}/{name}") for name in ("chunk_index", "file_index"))
    for chunk, number in file_pairs(dataset, f"videos/{key}"):
        episodes = np.flatnonzero((chunks == chunk) & (files == number))
        path = dataset.video_file(key, chunk, number)
        yield _File(key, path, dataset.opened(path), episodes, dataset.lengths[episodes])


def _starts(file: _File) -> list[int]:
    """Return the first frame of each episode in its file."""
    starts: list[int] = (np.cumsum(file.lengths) - file.lengths).tolist()
    return starts


def _decode_ends(file: _File, info: VideoInfo) -> None:
    """Decode the first and the last frame of each episode; those that are not there have been reported."""
    starts = np.array(_starts(file))
    for frame in np.unique(np.concatenate([starts, starts + file.lengths - 1])).tolist():
        if frame < info.frames:
            for _ in iter_frames(file.full, frame, 1):
                pass


def _means(dataset: DatasetView, key: str) -> dict[int, NDArray[np.float64]]:
    """Return the mean colour in the statistics of each episode, (3,) in [0, 1], where there is one."""
    name = f"stats/{key}/mean"
    means = {}
    try:
        for episode, (_, row) in enumerate(dataset.episodes((name,))):
            mean = np.array(row[name], np.float64).ravel()
            if mean.shape == (3,):
                means[episode] = mean
    except (Damaged, TypeError, ValueError):
        pass  # the check of statistics says what is wrong with them
    return means


def _colour(mean: NDArray[np.float64]) -> str:
    return "(" + ", ".join(f"{value:.2f}" for value in mean) + ")"
