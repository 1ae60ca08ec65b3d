"""Cameras: videos and pictures have the frames, size and colours that meta/ says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...core.errors import Damaged, RobotroveError
from ...core.features import frame_size
from ...core.machine import usable_cpus
from ...formats.lerobot import time_limits
from ...formats.lerobot.datasets.dataset import Dataset
from ...formats.lerobot.datasets.episode_location import VideoFile
from ...formats.lerobot.stats.image_stats import ImageStats
from ...media.remux.video_index import survey
from ...media.video.probe import VideoInfo, check_frames, iter_frames, probe, rotation
from ..check import Check, Diagnostic

# Of the mean colour in [0, 1]: lossy coding moves it by far less, another camera or channel order by far more.
_MEAN_TOLERANCE = 0.05
# From here on, float32 times within an episode are coarse enough to be lost when added to its begin in a long file.
_COARSE_S = 128

_BATCH_ROWS = 64  # a picture can take a megabyte


class VideosCheck(Check[Dataset]):
    """Counts, times, keyframes, size and length of every video file; the first and last frame of each episode decode.

    Deep, besides: every packet is looked at, every frame of an episode decodes, and its mean colour is that of its
    statistics. As many files are looked at at a time as there are CPUs.
    """

    name = "videos"

    def run(self, dataset: Dataset, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield what is wrong with the video files."""
        files: list[VideoFile] = []
        means: list[Mapping[int, NDArray[np.float64]] | None] = []
        for key in dataset.video_keys:
            own = list(dataset.video_files(key))
            files += own
            means += [_means(dataset, key) if deep else None] * len(own)
        pool = ThreadPoolExecutor(usable_cpus())
        try:
            found = pool.map(lambda *about: list(self._file(dataset, *about)), files, means)
            for file in files:
                dataset.opened(file.path)
                yield from next(found)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # who interrupts need not wait for long files

    def _file(
        self, dataset: Dataset, file: VideoFile, means: Mapping[int, NDArray[np.float64]] | None
    ) -> Iterator[Diagnostic]:
        """Yield what is wrong with a file; deep if there are `means`, the mean colours of episodes."""
        full = dataset.root / file.path
        if not full.is_file():
            return  # the check of files has said so
        parts = [self._plain(dataset, file)] + ([] if means is None else [self._deep(dataset, file, means)])
        yield from dict.fromkeys(finding for part in parts for finding in self._to_its_end(file, full, part))

    def _to_its_end(self, file: VideoFile, full: Path, part: Iterator[Diagnostic]) -> Iterator[Diagnostic]:
        try:
            yield from part
        except RobotroveError as exc:
            # Causes name the file by its full path; findings by the one inside the dataset.
            cause = str(exc).replace(str(full), "").lstrip(": ").replace("\n ", ";")
            yield self.error(file.path, cause)

    def _plain(self, dataset: Dataset, file: VideoFile) -> Iterator[Diagnostic]:
        full = dataset.root / file.path
        info = survey(full, dataset.fps)
        yield from self._facts(dataset, file, info)
        if turned := rotation(full):
            told = f"its container turns frames by {turned} degrees, and some readers turn them, others do not"
            yield self.warning(file.path, f"{told}: `ffmpeg -display_rotation 0 -i FILE -c copy NEW` removes that")
        _decode_ends(dataset, file, info)

    def _facts(self, dataset: Dataset, file: VideoFile, info: VideoInfo) -> Iterator[Diagnostic]:
        ends = file.firsts + file.lengths
        for at in np.flatnonzero(ends > info.frames).tolist():
            place = f"episode {file.episodes[at]} has its frames at {file.firsts[at]} to {ends[at] - 1}"
            yield self.error(file.path, f"has {info.frames} frames, but {place}")
        if (used := int(file.lengths.sum())) < info.frames:
            yield self.unused(file.path, f"has {info.frames} frames, but its episodes have {used}")
        feature = dataset.features[file.key]
        if len(feature.shape) == 3 and (info.height, info.width) != frame_size(feature):
            height, width = frame_size(feature)
            yield self.error(file.path, f"frames are {info.height}x{info.width} instead of {height}x{width}")
        entry = dataset.info["features"][file.key]
        for problem in dataset.kinds[file.key].file_problems(info.codec, info.pix_fmt, entry):
            yield self.error(file.path, problem)
        yield from self._late(file, dataset.fps)
        for at in np.flatnonzero((file.firsts < info.frames) & ~np.isin(file.firsts, info.keyframes)).tolist():
            message = f"frame {file.firsts[at]}, the first of episode {file.episodes[at]}, is not a keyframe"
            yield self.warning(file.path, f"{message}: it cannot be cut there")

    def unused(self, where: str, message: str) -> Diagnostic:
        """Return the finding for frames of no episode."""
        return self.warning(where, message)

    def _late(self, file: VideoFile, fps: int) -> Iterator[Diagnostic]:
        """Yield episodes past the time where float32 is too coarse; the first of a file is safe (see `time_limits`)."""
        late = (file.firsts > 0) & (file.firsts + file.lengths > time_limits.SAFE_S * fps)
        if not late.any():
            return
        lost = late & (file.lengths > _COARSE_S * fps)
        message = (
            f"{np.count_nonzero(late)} episodes end past {time_limits.SAFE_S:,} s, and LeRobot has times in float32"
        )
        if lost.any():
            yield self.error(file.path, f"{message}: it loses frames of the long ones")
        else:
            yield self.warning(file.path, f"{message}: it just finds the short ones")

    def _deep(
        self, dataset: Dataset, file: VideoFile, means: Mapping[int, NDArray[np.float64]]
    ) -> Iterator[Diagnostic]:
        # What the packets say: the tables, which the plain part reads, may say something else.
        info = probe(dataset.root / file.path, fps=dataset.fps, in_order=False)
        yield from self._facts(dataset, file, info)
        frames, next_frame = iter_frames(dataset.root / file.path, 0, info.frames, dataset.fps), 0
        for at in np.argsort(file.firsts, kind="stable").tolist():
            first, length, episode = int(file.firsts[at]), int(file.lengths[at]), int(file.episodes[at])
            if first < next_frame or first + length > info.frames:
                continue  # reported as such
            stats = ImageStats(length)
            for frame in islice(frames, first - next_frame, first - next_frame + length):
                stats.add(frame[None])
            next_frame = first + length
            if episode not in means:
                continue
            found, expected = stats.result()["mean"].ravel(), means[episode]
            if np.abs(found - expected).max() > _MEAN_TOLERANCE:
                told = f"the mean colour of episode {episode} is {_colour(found)}, but {_colour(expected)}"
                yield self.error(file.path, f"{told} in its statistics")


def _decode_ends(dataset: Dataset, file: VideoFile, info: VideoInfo) -> None:
    """Decode the first and the last frame of each episode; those that are not there have been reported."""
    ends = np.unique(np.concatenate([file.firsts, file.firsts + file.lengths - 1]))
    check_frames(dataset.root / file.path, ends[(ends >= 0) & (ends < info.frames)].tolist(), dataset.fps)


def _means(dataset: Dataset, key: str) -> dict[int, NDArray[np.float64]]:
    """Return the mean colour in the statistics of each episode, (3,) in [0, 1], where there is one."""
    means = {}
    try:
        for episode, (_, stats) in enumerate(dataset.episode_stats((key,), ("mean",))):
            mean = np.array(stats.get(key, {}).get("mean"), np.float64).ravel()
            if mean.shape == (3,):
                means[episode] = mean
    except (Damaged, TypeError, ValueError):
        pass  # the check of statistics says what is wrong with them
    return means


def _colour(mean: NDArray[np.float64]) -> str:
    return "(" + ", ".join(f"{value:.2f}" for value in mean) + ")"


class VideosV21Check(VideosCheck):
    """As in v3.0, and no more frames than the episode has."""

    def unused(self, where: str, message: str) -> Diagnostic:
        """Return the finding for frames of no episode; GR00T N1.6 refuses such a clip."""
        return self.error(where, message)


class ImagesCheck(Check[Dataset]):
    """Every picture is there, of the size that info.json says."""

    name = "images"

    def run(self, dataset: Dataset, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield pictures that are not what they should be."""
        for key, feature in dataset.cameras.items():
            kind = dataset.kinds[key]
            if not kind.in_rows or len(feature.shape) != 3:
                continue
            for path in (data.path for data in dataset.data_files()):
                try:
                    row = 0
                    for _, batch in dataset.batches(path, (key,), _BATCH_ROWS):
                        for picture in batch[key].to_pylist():
                            if problem := kind.row_problem(picture):
                                yield self.error(f"{path}, row {row}, column {key}", problem)
                            row += 1
                except Damaged as exc:
                    yield self.damaged(exc)
