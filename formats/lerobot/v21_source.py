"""A LeRobot v2.1 dataset as a source of episodes: recorded, or made from v3.0 by one of the tools that do so."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import islice, repeat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import Damaged, in_utf8
from ...media.remux.video_index import Clip, VideoIndex, read_index
from . import paths_v21
from .folder_source import FolderSource, check_templates
from .record import EpisodeFiles, Rows, Track
from .source import Note
from .source_stats import stat_columns, stat_shapes
from .stat_columns import StatColumns
from .view_v21 import DatasetViewV21
from .view_v21_in_order import OrderedViewV21
from .view_v30 import EPISODE_BATCH_ROWS

_MOST_GAPS = 1 << 16  # numbers that no task has


class V21Source(FolderSource[DatasetViewV21]):
    """A v2.1 dataset that LeRobot or anyone else may have written.

    Args:
        root: Its folder.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(OrderedViewV21(root))

    @cached_property
    def tasks(self) -> list[str]:
        """All instructions by task_index, read as LeRobot does: in any order, numbers may be left out.

        A number that no task has stands for the first task, so that no other one comes up.

        Raises:
            Damaged: If there are two texts for a number, or what is no number or no text.
        """
        found: dict[int, str] = {}
        for where, line in self.view.json_lines(paths_v21.TASKS):
            index, task = line.get("task_index"), line.get("task")
            if type(index) is not int or index < 0:
                raise Damaged(where, f"task_index is {index!r} instead of a number")
            if not isinstance(task, str) or in_utf8(task) != task:
                raise Damaged(where, f"task is {task!r} instead of a text")
            if found.setdefault(index, task) != task:
                raise Damaged(where, f"task_index is {index}, but that is another task in a line before")
        if not found:
            return []
        first, last = found[min(found)], max(found)
        if last >= len(found) + _MOST_GAPS:
            raise Damaged(paths_v21.TASKS, f"has a task {last}, but {len(found)} tasks only")
        return [found.get(index, first) for index in range(last + 1)]

    def located(self, note: Note) -> Iterator[EpisodeFiles]:
        """Yield where each episode is, in order; see the base class."""
        view, keys = self.view, self.facts.camera_keys
        check_templates(view.data_file(episode) for episode in (0, 1))
        check_templates(view.video_file(key, episode) for key in keys for episode in (0, 1))
        late: list[str] = []
        long: list[str] = []
        for episode, length, tasks, _ in self.described():
            rows = self._rows(episode, length)
            tracks = {}
            for key in keys:
                path = view.video_file(key, episode)
                clip_file = self.place(path, episode)
                index = read_index(clip_file, view.fps)
                first = _first_frame(index, length, path, episode)
                if index.start > 0:
                    late.append(path)
                elif first + length < index.frames:
                    long.append(path)
                size, is_copyable = index.size(first, length), index.is_copyable(first, length)
                tracks[key] = Track(Clip(clip_file, first, length), size, index.encoding, is_copyable)
            yield EpisodeFiles(length, tasks, rows, rows.path.stat().st_size, tracks)
        if late:
            begin = "1 video file begins" if len(late) == 1 else f"{len(late)} video files begin"
            note(f"{begin} later than at 0 s (first: {late[0]}): LeRobot does not find all frames; the output is right")
        if long:
            go_on = "1 video file goes on after its" if len(long) == 1 else f"{len(long)} video files go on after their"
            note(f"{go_on} episode (first: {long[0]}); the frames after it are left out")

    def _rows(self, episode: int, length: int) -> Rows:
        path = self.view.data_file(episode)
        full = self.place(path, episode)
        with self.view.parquet(path) as file:
            found = file.metadata.num_rows
        if found != length:
            raise Damaged(path, f"has {found} rows, but episode {episode} has {length} frames by {paths_v21.EPISODES}")
        return Rows(full, 0, length)

    def stats(self) -> Iterator[tuple[NDArray[np.int64], StatColumns]]:
        """Yield (lengths, statistics) of all episodes in order, some at a time; none if there is no file of them."""
        path = paths_v21.EPISODES_STATS
        shapes = stat_shapes(self.facts.features) if (self.root / path).exists() else {}
        entries = self._stat_entries() if shapes else repeat(None)
        for first in range(0, len(self.view.lengths), EPISODE_BATCH_ROWS):
            lengths = self.view.lengths[first : first + EPISODE_BATCH_ROWS]
            yield lengths, stat_columns(list(islice(entries, len(lengths))), shapes)
        next(entries, None)  # refuses what is left over

    def _stat_entries(self) -> Iterator[Any]:
        path = paths_v21.EPISODES_STATS
        lines = self.view.json_lines(path)
        for episode in range(len(self.view.lengths)):
            if (entry := next(lines, None)) is None:
                raise Damaged(path, f"ends before episode {episode}")
            where, line = entry
            if line.get("episode_index") != episode:
                raise Damaged(where, f"is about episode {line.get('episode_index')!r} instead of {episode}")
            yield line.get("stats")
        for where, _ in lines:
            raise Damaged(where, f"is about an episode that is not in {paths_v21.EPISODES}")


def _first_frame(index: VideoIndex, length: int, path: str, episode: int) -> int:
    """Return the number in its file of the first frame of an episode.

    Frame i of an episode is the one at i/fps: LeRobot looks frames up by their times, and does not see those
    after the episode. `ffmpeg -ss -c copy`, which tools cut episodes of v3.0 with, moves times where frames are not
    stored in the order in which they are shown: the file then begins late, and more often than not with a frame too
    many, at its end or (where the episode began at no keyframe) at its beginning. With the right number of frames it
    is clear which is which; otherwise nothing in the file tells.

    Raises:
        Damaged: If there are too few frames, or it cannot be told which are the episode's.
    """
    if index.start <= 0 and length - index.start <= index.frames:
        return -index.start
    if index.start > 0 and index.frames == length:
        return 0
    begins = f", the first shown at the time of frame {index.start}" if index.start else ""
    doubt = ", and which of them cannot be told; take the v3.0 dataset that it was cut from"
    doubt = doubt if index.frames > length else ""
    raise Damaged(path, f"has {index.frames} frames{begins}, but episode {episode} has {length}{doubt}")
