"""Video files: as many frames as their episodes, each at its time, and all of them readable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....core.errors import RobotroveError
from ....media.keyframes import keyframes
from ....media.probe import VideoInfo, iter_frames, probe
from .. import paths
from ..view import DatasetView
from .base import Check, Finding
from .files import file_pairs
from .structure import frame_size


class VideosCheck(Check):
    """Counts, times, keyframes, size and length of every video file; first and last frames decode.

    Deep: every frame decodes.
    """

    name = "videos"

    def run(self, dataset: DatasetView, *, deep: bool) -> Iterator[Finding]:
        """Yield what is wrong with the video files."""
        for key in dataset.video_keys:
            columns = [dataset.episode_column(f"videos/{key}/{name}") for name in ("chunk_index", "file_index")]
            for chunk, file in file_pairs(dataset, f"videos/{key}"):
                episodes = np.flatnonzero((columns[0] == chunk) & (columns[1] == file))
                path = dataset.video_file(key, chunk, file)
                full = dataset.opened(path)
                if not full.is_file():
                    continue  # the check of files has said so
                try:
                    yield from self._file(dataset, key, path, full, episodes, deep)
                except RobotroveError as exc:
                    # Causes name the file by its full path; findings by the one inside the dataset.
                    cause = str(exc).replace(str(full), "").lstrip(": ").replace("\n ", ";")
                    yield self.error(path, cause)

    def _file(
        self, dataset: DatasetView, key: str, path: str, full: Path, episodes: NDArray[np.int64], deep: bool
    ) -> Iterator[Finding]:
        lengths = dataset.lengths[episodes]
        info = probe(full, fps=dataset.fps)
        yield from self._facts(dataset, key, path, info, lengths)
        seekable = set(keyframes(full, dataset.fps))
        first = 0
        for episode, length in zip(episodes.tolist(), lengths.tolist(), strict=True):
            if first < info.frames and first not in seekable:
                yield self.error(path, f"frame {first}, the first of episode {episode}, is no keyframe")
            first += length
        if deep:
            yield from self._pixels(dataset, key, path, full, episodes)
            return
        ends = np.cumsum(lengths)
        for frame in sorted({*(ends - lengths).tolist(), *(ends - 1).tolist()}):
            if frame < info.frames:
                for _ in iter_frames(full, frame, 1):
                    pass

    def _pixels(
        self, dataset: DatasetView, key: str, path: str, full: Path, episodes: NDArray[np.int64]
    ) -> Iterator[Finding]:
        """Decode every frame; the mean colour of each episode is the one in its statistics."""
        frames = iter_frames(full)
        for episode in episodes.tolist():
            stats = ImageStats(int(dataset.lengths[episode]))
            for frame in islice(frames, int(dataset.lengths[episode])):
                stats.add(frame[None])
            expected = _means(dataset, key).get(episode)
            if not stats.count or expected is None:
                continue  # too few frames, or no statistics: found elsewhere
            mean = stats.result()["mean"].ravel()
            if np.abs(mean - expected).max() > _MEAN_TOLERANCE:
                told = f"{_colour(expected)} in its statistics"
                yield self.error(path, f"the mean colour of episode {episode} is {_colour(mean)}, but {told}")
        for _ in frames:
            pass

    def _facts(
        self, dataset: DatasetView, key: str, path: str, info: VideoInfo, lengths: NDArray[np.int64]
    ) -> Iterator[Finding]:
        total = int(lengths.sum())
        if info.frames != total:
            yield self.error(path, f"has {info.frames} frames, but its episodes have {total}")
        feature = dataset.features[key]
        if len(feature.shape) == 3 and (info.height, info.width) != frame_size(feature):
            height, width = frame_size(feature)
            yield self.error(path, f"frames are {info.height}x{info.width} instead of {height}x{width}")
        seconds = info.frames / dataset.fps
        if len(lengths) > 1 and seconds > paths.MAX_VIDEO_S:
            yield self.error(
                path,
                f"lasts {seconds:.0f} s; with more than one episode in it, LeRobot loses frames "
                f"past 1,024 s: expected at most {paths.MAX_VIDEO_S:.0f} s",
            )
