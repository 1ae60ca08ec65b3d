"""File planner: decides from sizes and lengths which episode goes to which file, before a byte is written."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .. import paths_v30
from ..datasets.episode_location import EpisodeLocation

MB = 2**20


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """One output file and the run of consecutive episodes in it.

    Attributes:
        key: Camera key, or "" for a data file.
        number: Number of the file among those of its key.
        first: First episode in it.
        last: Episode after its last one.
    """

    key: str
    number: int
    first: int
    last: int

    @property
    def path(self) -> str:
        """Path relative to the dataset."""
        return paths_v30.video_path(self.key, self.number) if self.key else paths_v30.data_path(self.number)


class FilePlanner:
    """Cuts a sequence of episodes into files of one kind, one at a time.

    A file closes before the episode that would take it past its size in bytes, its length in frames
    or its number of episodes, or that is encoded otherwise than those in it; an episode larger than
    that has a file to itself.
    """

    def __init__(
        self, key: str, *, max_bytes: int, max_frames: int | None = None, max_episodes: int | None = None
    ) -> None:
        self._key = key
        self._max_bytes = max_bytes
        self._max_frames = max_frames or sys.maxsize
        self._max_episodes = max_episodes or sys.maxsize
        self._files: list[PlannedFile] = []
        self._number = self._first = self._next = self._bytes = self._frames = 0
        self._kind = self._kept = ""

    def keep(self, path: str, start: int, frames: int) -> str:
        """Place the next episode in the file that it is in already.

        Args:
            path: The file, relative to the dataset.
            start: First row or frame of the episode there.
            frames: Their number.

        Returns:
            What is in the way, a sentence; empty if nothing is.
        """
        if path != self._kept:
            self._close()
            chunk, file = ([0, 0] + [int(digits) for digits in re.findall(r"-(\d+)", path)])[-2:]
            self._number, self._kept = max(self._number, chunk * paths_v30.CHUNKS_SIZE + file), path
        if path != PlannedFile(self._key, self._number, 0, 0).path:
            return f"episode {self._next} is in {path}, which is not named or not numbered as LeRobot does it"
        if start != self._frames:
            return (
                f"episode {self._next} begins at {start} of {path}, where the episodes before it end at {self._frames}"
            )
        self._frames += frames
        self._next += 1
        return ""

    def add(self, size: int, frames: int, kind: str = "") -> None:
        """Place the next episode; only those of one kind can be in the same file."""
        full = (
            self._bytes + size > self._max_bytes
            or self._frames + frames > self._max_frames
            or self._next - self._first == self._max_episodes
        )
        if full or kind != self._kind or self._kept:
            self._close()
        self._kind = kind
        self._bytes += size
        self._frames += frames
        self._next += 1

    def _close(self) -> None:
        if self._next > self._first:
            self._files.append(PlannedFile(self._key, self._number, self._first, self._next))
            self._number += 1
            self._first, self._bytes, self._frames, self._kept = self._next, 0, 0, ""

    def finish(self) -> list[PlannedFile]:
        """Return all files."""
        self._close()
        return self._files


class DatasetPlanner:
    """Plans every data and video file of a dataset of version 3.0.

    Args:
        camera_keys: Cameras stored as video.
        fps: Frames per second.
    """

    def __init__(self, camera_keys: Iterable[str], fps: int) -> None:
        max_frames = int(paths_v30.MAX_VIDEO_S * fps)
        self._data = FilePlanner("", max_bytes=paths_v30.DATA_FILES_MB * MB, max_episodes=paths_v30.DATA_FILE_EPISODES)
        self._videos = {
            key: FilePlanner(key, max_bytes=paths_v30.VIDEO_FILES_MB * MB, max_frames=max_frames) for key in camera_keys
        }

    def add(self, location: EpisodeLocation) -> None:
        """Place the next episode."""
        sizes = location.sizes
        self._data.add(sizes[""], location.length)
        for key, planner in self._videos.items():
            planner.add(sizes[key], location.length, location.tracks[key].kind)

    def keep(self, location: EpisodeLocation, root: Path) -> str:
        """Place the next episode of a dataset with kept files; return the obstacle, if any."""
        places = {self._data: (location.rows.path, location.rows.first)}
        places |= {
            planner: (location.tracks[key].clip.path, location.tracks[key].clip.first)
            for key, planner in self._videos.items()
        }
        problems = [
            planner.keep(path.relative_to(root).as_posix(), first, location.length)
            for planner, (path, first) in places.items()
        ]
        return next(filter(None, problems), "")

    def finish(self) -> list[PlannedFile]:
        """Return all files."""
        return self._data.finish() + [file for planner in self._videos.values() for file in planner.finish()]


class FileCursor:
    """Walks the planned files of one key in episode order, giving each episode its file and start frame."""

    def __init__(self, files: Iterable[PlannedFile]) -> None:
        self._files: Iterator[PlannedFile] = iter(files)
        self._current: PlannedFile | None = None
        self._frame = 0

    def advance(self, episode: int, frames: int) -> tuple[PlannedFile, int]:
        """Return the file of `episode` and its first frame there; call once per episode, in order."""
        if self._current is None or episode >= self._current.last:
            self._current, self._frame = next(self._files), 0
        first = self._frame
        self._frame += frames
        return self._current, first
