"""Videos that a reader cannot decode everywhere, or cannot seek fast."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...core.errors import RobotroveError
from ...formats.lerobot.datasets.dataset import Dataset
from ...formats.lerobot.datasets.dataset_v21 import DatasetV21
from ...formats.lerobot.datasets.episode_location import VideoFile
from ...formats.lerobot.time_limits import is_lost
from ...media.remux.video_index import encoding_at, read_index
from ...media.video.probe import keyframes
from ..check import Check, Diagnostic, Repeated, converted
from ..dataset.timestamps import column_of
from .gr00t_release import Release

_MOST_FRAMES = 10  # from one keyframe to the next


class DecodingCheck(Check[DatasetV21]):
    """Codecs, and how far keyframes are apart where frames are read one at a time.

    Video backends: N1 has decord by default, which decodes no AV1 (dmlc/decord #319); N1.5 to N1.7
    have torchcodec, which decodes it if its FFmpeg has dav1d or libaom (gr00t/utils/video.py,
    video_utils.py; Isaac-GR00T #361). torchvision_av repeats the first frame of HEVC (#342).
    N1.6 and N1.7 decode whole episodes, N1 and N1.5 one step at a time.
    """

    name = "videos"

    def __init__(self, release: Release) -> None:
        self._release = release

    def run(self, dataset: DatasetV21, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield videos of the cameras in modality.json."""
        for column in dict.fromkeys(column for _, column, _ in self._release.columns(dataset, "video")):
            faults = Repeated(self)
            for file in dataset.video_files(column) if column in dataset.video_keys else ():
                path = dataset.opened(file.path)
                try:
                    self._codec(file, encoding_at(path).codec, faults)
                    if self._release.is_typed:
                        _distance(file, path, dataset.fps, faults)
                except (RobotroveError, OSError):
                    continue  # the check of LeRobot's videos says why
            yield from faults.findings()

    def _codec(self, file: VideoFile, codec: str, faults: Repeated) -> None:
        title, fix = self._release.title, "`writer: {video: {codec: libx264}}` in the pipeline gives H.264"
        if codec == "av1" and self._release == Release.N1:
            told = f"is AV1, which decord, the default of {title}, cannot decode"
            faults.note("av1", file.path, f"{told}; {fix}, or train with `--video-backend torchvision_av`")
        elif codec == "av1":
            told = f"is AV1: {title} decodes it where FFmpeg, which torchcodec uses, can; with decord never"
            faults.note("av1", file.path, f"{told}; {fix}", "warning")
        elif codec == "hevc":
            told = f"is HEVC: with `--video-backend torchvision_av` {title} gets its first frame again and again"
            faults.note("hevc", file.path, f"{told}; {fix}", "warning")


def _distance(file: VideoFile, path: Path, fps: int, faults: Repeated) -> None:
    most = int(np.diff([*keyframes(path, fps), int(file.lengths[0])]).max(initial=0))
    if most > _MOST_FRAMES:
        told = f"has up to {most} frames from one keyframe to the next, and each step in training decodes that far"
        faults.note("far", file.path, f"{told}: slow; `writer: {{video: {{g: 2}}}}` in the pipeline", "warning")


class FetchCheck(Check[Dataset]):
    """Every frame of a video can be fetched alone, by a seek to its time, as training does.

    `decode_video_frames` seeks with torchcodec in mode "approximate", or with PyAV (datasets/video_utils.py,
    0.3.3 to 0.6.1); see `VideoIndex.unreachable`.
    """

    name = "fetch"

    def run(self, dataset: Dataset, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield one error per camera: how many frames, and the first episode that has such."""
        for key in dataset.video_keys:
            total, is_depth = 0, dataset.features[key].is_depth
            lost: list[tuple[int, str, str]] = []
            for file in dataset.video_files(key):
                try:
                    index = read_index(dataset.opened(file.path), dataset.fps)
                except (RobotroveError, OSError):
                    continue  # the check of videos says why
                firsts, lengths = (file.firsts - index.start).tolist(), file.lengths.tolist()
                for episode, first, length in zip(file.episodes.tolist(), firsts, lengths, strict=True):
                    total += length
                    if count := index.unreachable(first, length, is_depth=is_depth):
                        lost.append((count, file.path, f"episode {episode}: {count} of {length}"))
            if lost:
                frames, (_, where, first_of) = sum(count for count, *_ in lost), lost[0]
                told = f"{frames} of {total} frames of {key}, in {len(lost)} of its episodes (the first is {first_of})"
                why = "they are stored after a keyframe that is shown later (open GOP), and it seeks to that one"
                fix = "record depth with `g` 2" if is_depth else f"{_rewritten(dataset)} re-encodes them"
                yield self.error(where, f"LeRobot cannot fetch {told}: {why}; {fix}")


def _rewritten(dataset: Dataset) -> str:
    if isinstance(dataset, DatasetV21):
        return converted(dataset, "v3.0")
    return f"`robotrove aggregate {shlex.quote(str(dataset.root))} -o {shlex.quote(f'{dataset.root}_closed')}`"


class FrameTimesCheck(Check[DatasetV21]):
    """No timestamp is a hair before the time of its frame.

    `get_video` gives the column `timestamp` as it is to torchcodec's `get_frames_played_at`
    (gr00t/utils/video.py, N1.5), which returns the frame that is shown then: for the float32 nearest
    to 0.3 s, which is less, the one before. decord takes the nearest frame.
    """

    name = "frame_times"

    def run(self, dataset: DatasetV21, *, deep: bool) -> Iterator[Diagnostic]:
        """Yield one finding that counts the frames."""
        if not dataset.video_keys:
            return
        fps, early, total, where, shown = dataset.fps, 0, 0, "", ""
        for data in dataset.data_files():
            for first, batch in dataset.row_batches(data.path, ("timestamp", "frame_index")):
                found, frames = (column_of(batch, name, data.path) for name in ("timestamp", "frame_index"))
                times, exact = found.astype(np.float64), frames / fps
                is_early = (times < exact) & ~is_lost(times, exact)  # others: the check of timestamps
                if is_early.any() and not early:
                    row = int(np.argmax(is_early))
                    where, shown = f"{data.path}, row {first + row}", f"{times[row]:.12g} before {exact[row]:.12g}"
                early, total = early + int(np.count_nonzero(is_early)), total + len(times)
        if early:
            told = f"{early} of {total} timestamps are before their frame, such as {shown}"
            yield self.error(where, f"{told}: with torchcodec GR00T N1.5 takes the frame before; {_mend(dataset)}")


def _mend(dataset: DatasetV21) -> str:
    decord = "train with `--video-backend decord`, which takes the nearest (H.264, not AV1)"
    frames = np.arange(dataset.lengths.max())
    if (frames * (1 / dataset.fps) < frames / dataset.fps).any():
        return f"{decord}: at {dataset.fps} fps times in float64 are early too"
    return f"{decord}, or write times in float64 with `downgrader: {{reference_exact: true}}` in the pipeline"
