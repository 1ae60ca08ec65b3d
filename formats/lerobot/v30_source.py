"""A LeRobot v3.0 dataset as a source of episodes: ours, recorded, merged, or converted from v2.1."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...core.errors import Damaged
from . import paths
from .folder_source import FolderSource, check_templates
from .record import EpisodeFiles
from .source import Note
from .source_stats import stat_batches, stat_shapes
from .stat_columns import StatColumns
from .v30_rows import RowPlaces
from .v30_windows import CameraWindows, shifted_note
from .view_v30 import DatasetViewV30


class V30Source(FolderSource[DatasetViewV30]):
    """A v3.0 dataset that LeRobot or anyone else may have written.

    Args:
        root: Its folder.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(DatasetViewV30(root))

    @cached_property
    def tasks(self) -> list[str]:
        """All instructions by task_index; raises Damaged if that is not the number of the row, or one is repeated."""
        table = self.view.task_table
        if "task_index" not in table.column_names:
            raise Damaged(paths.TASKS, "has no column task_index")
        for row, index in enumerate(table.column("task_index").to_pylist()):
            if index != row:
                raise Damaged(f"{paths.TASKS}, row {row}", f"task_index is {index}; LeRobot looks tasks up by row")
        first: dict[str, int] = {}
        for row, task in enumerate(self.view.tasks):
            if first.setdefault(task, row) != row:
                raise Damaged(f"{paths.TASKS}, row {row}", f"the task of row {first[task]} is there again: {task!r}")
        return self.view.tasks

    def located(self, note: Note) -> Iterator[EpisodeFiles]:
        """Yield where each episode is, in order; see the base class."""
        view = self.view
        if (path := view.data_file(0, 0)) not in self._inside:  # rows are found without it, but by nobody else
            raise Damaged(paths.INFO, f"data_path gives {path}, which leads out of the dataset")
        check_templates(view.data_file(0, file) for file in (0, 1))
        check_templates(view.video_file(key, 0, file) for key in self.facts.camera_keys for file in (0, 1))
        videos = [f"videos/{key}" for key in self.facts.camera_keys]
        places = [f"{prefix}/{name}" for prefix in ("data", *videos) for name in ("chunk_index", "file_index")]
        times = [f"{prefix}/from_timestamp" for prefix in videos]
        view.hold(["episode_index", "length", "tasks", *places, *times])
        cameras = {key: CameraWindows(self, key) for key in self.facts.camera_keys}
        rows = RowPlaces(self)
        for episode, length, tasks, row in self.described(("data/chunk_index", "data/file_index")):
            said = view.data_file(row["data/chunk_index"], row["data/file_index"])
            where, size = rows.take(episode, length, said)
            tracks = {key: camera.track(episode) for key, camera in cameras.items()}
            yield EpisodeFiles(length, tasks, where, size, tracks)
        for sentence in (rows.finish(), shifted_note(list(cameras.values()))):
            if sentence:
                note(sentence)

    def stats(self) -> Iterator[tuple[NDArray[np.int64], StatColumns]]:
        """Yield (lengths, statistics) of all episodes in order, some at a time."""
        return stat_batches(self.view, stat_shapes(self.facts.features))
