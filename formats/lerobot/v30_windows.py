"""Which frames of which video file are an episode's, in a v3.0 dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...core.errors import Damaged
from ...media.remux.video_index import Clip, VideoIndex, read_index
from .dataset_files import BATCH_ROWS
from .folder_source import FolderSource
from .record import Track
from .view_v30 import DatasetViewV30

_TOLERANCE = 0.25  # frames; sums of durations are off by far less, other frame rates by more
_LONGEST = 2.0**31  # seconds


class CameraWindows:
    """The frames of one camera. Keeps 40 bytes per episode, and the index of one file at a time.

    Args:
        source: The dataset.
        key: Camera.

    Raises:
        Damaged: If meta/episodes has no usable place for an episode, or the same frames for two.
    """

    def __init__(self, source: FolderSource[DatasetViewV30], key: str) -> None:
        self._source, self._key, view = source, key, source.view
        self._fps, self._lengths = view.fps, view.lengths
        begins = _seconds(view, f"videos/{key}/from_timestamp")
        self._firsts = np.rint(begins * self._fps).astype(np.int64)
        pairs = [view.episode_column(f"videos/{key}/{name}") for name in ("chunk_index", "file_index")]
        self._pairs, groups = np.unique(np.stack(pairs, axis=1), axis=0, return_inverse=True)
        self._groups = groups.reshape(-1)  # numpy 2.0 gives another shape
        off = np.abs(begins * self._fps - self._firsts) > _TOLERANCE
        for episode in np.flatnonzero(off)[:1].tolist():
            raise Damaged(
                self._path(episode),
                f"episode {episode} begins at {begins[episode]} s by meta/episodes, which is no frame at {self._fps} "
                "frames per second",
            )
        self._ends = self._firsts + self._lengths
        self._check_overlaps()
        self._low = np.full(len(self._pairs), np.iinfo(np.int64).max)
        self._high = np.full(len(self._pairs), np.iinfo(np.int64).min)
        np.minimum.at(self._low, self._groups, self._firsts)
        np.maximum.at(self._high, self._groups, self._ends)
        self._open = -1
        self._index: VideoIndex | None = None
        self._file = Path()
        self._offset = 0
        self.shifted: list[str] = []

    def _path(self, episode: int) -> str:
        chunk, file = self._pairs[self._groups[episode]].tolist()
        return self._source.view.video_file(self._key, chunk, file)

    def _check_overlaps(self) -> None:
        order = np.lexsort((self._firsts, self._groups))
        before, after = order[:-1], order[1:]
        shared = (self._groups[before] == self._groups[after]) & (self._ends[before] > self._firsts[after])
        for at in np.flatnonzero(shared)[:1].tolist():
            texts = [f"episode {e} is frames {self._firsts[e]} to {self._ends[e] - 1}" for e in order[at : at + 2]]
            raise Damaged(self._path(int(order[at])), f"by meta/episodes {texts[0]}, and {texts[1]}: they overlap")

    def track(self, episode: int) -> Track:
        """Return the frames of an episode; opens its file unless it is that of the call before.

        Raises:
            RobotroveError: If the file is missing or no video at a constant rate, or has too few frames.
        """
        if self._groups[episode] != self._open:
            self._enter(episode)
        assert self._index is not None
        first, length = int(self._firsts[episode]) - self._offset, int(self._lengths[episode])
        is_copyable = self._index.is_copyable(first, length)
        clip = Clip(self._file, first, length)
        return Track(clip, self._index.size(first, length), self._index.encoding, is_copyable)

    def _enter(self, episode: int) -> None:
        path, group = self._path(episode), int(self._groups[episode])
        self._index = None  # only one at a time in memory
        self._file = self._source.place(path, episode)
        self._index = index = read_index(self._file, self._fps)
        low, high = int(self._low[group]), int(self._high[group])
        # LeRobot looks frames up by their times. Files that begin late were cut by tools that count from there.
        self._offset = index.start
        if low < self._offset or high - self._offset > index.frames:
            if not index.start or low < 0 or high > index.frames:
                raise self._outside(path, group, index)
            self._offset = 0
            self.shifted.append(path)
        self._open = group

    def _outside(self, path: str, group: int, index: VideoIndex) -> Damaged:
        inside = (self._firsts >= index.start) & (self._ends <= index.start + index.frames)
        episode = int(np.flatnonzero((self._groups == group) & ~inside)[0])
        begins = f", the first of which is shown as frame {index.start}" if index.start else ""
        expected = f"episode {episode} should be frames {self._firsts[episode]} to {self._ends[episode] - 1} of it"
        return Damaged(path, f"has {index.frames} frames{begins}, but {expected} by meta/episodes")


def shifted_note(cameras: Sequence[CameraWindows]) -> str:
    """Say which files do not begin at 0 s though their episodes are counted from there; empty if none."""
    paths = [path for camera in cameras for path in camera.shifted]
    if not paths:
        return ""
    files = f"{len(paths)} video file{'s do' if len(paths) > 1 else ' does'}"
    return f"{files} not begin at 0 s (first: {paths[0]}), though its episodes are counted so; the output is right"


def _seconds(view: DatasetViewV30, name: str) -> NDArray[np.float64]:
    """Return a column of times of meta/episodes: (episodes,)."""
    parts = []
    for path, first, batch in view.episode_batches([name], BATCH_ROWS):
        times = batch[name].to_numpy(zero_copy_only=False)
        usable = np.abs(times) < _LONGEST if times.dtype.kind == "f" else np.zeros(len(times), bool)
        for at in np.flatnonzero(~usable)[:1].tolist():
            raise Damaged(f"{path}, row {first + at}", f"{name} is {times[at]} instead of a time")
        parts.append(times.astype(np.float64))
    return np.concatenate(parts)
