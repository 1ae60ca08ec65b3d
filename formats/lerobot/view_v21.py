"""A LeRobot v2.1 dataset: a file per episode, described line by line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import Damaged
from . import paths, paths_v21
from .arrow_rows import ArrowColumn, single_values
from .view import DataFile, DatasetView, EpisodePlace, VideoFile, selected

_MOST = 1 << 53  # of frames, episodes and what else is counted


class DatasetViewV21(DatasetView):
    """One v2.1 dataset."""

    version = paths_v21.CODEBASE_VERSION
    episodes_path = paths_v21.EPISODES
    tasks_path = paths_v21.TASKS
    provenance_path = paths_v21.PROVENANCE

    def data_file(self, episode: int) -> str:
        """Return the path of an episode's rows."""
        return self.expand("data_path", episode_chunk=episode // self._chunks_size, episode_index=episode)

    def video_file(self, key: str, episode: int) -> str:
        """Return the path of an episode's frames."""
        chunk = episode // self._chunks_size
        return self.expand("video_path", episode_chunk=chunk, video_key=key, episode_index=episode)

    @property
    def _chunks_size(self) -> int:
        size = self.count("chunks_size")
        if not size:
            raise Damaged(paths.INFO, "chunks_size is 0")
        return size

    @cached_property
    def numbers(self) -> NDArray[np.int64]:
        """episode_index of each line of episodes.jsonl: LeRobot finds files by it."""
        return self.episode_column("episode_index")

    def data_files(self) -> Iterator[DataFile]:
        """See the base class."""
        for number, first, length in zip(self.numbers, self.starts, self.lengths, strict=False):
            yield DataFile(self.data_file(int(number)), int(first), int(length))

    def data_references(self) -> Iterator[str]:
        """See the base class."""
        return map(self.data_file, np.unique(self.numbers).tolist())

    def video_files(self, key: str) -> Iterator[VideoFile]:
        """See the base class."""
        for episode, number in enumerate(self.numbers.tolist()):
            episodes, firsts = np.array([episode]), np.array([0])
            yield VideoFile(key, self.video_file(key, number), episodes, firsts, self.lengths[episode : episode + 1])

    def episodes(self, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """See the base class."""
        for where, line in self.json_lines(self.episodes_path):
            if missing := [name for name in columns if name not in line]:
                raise Damaged(where, f"has no {', '.join(missing)}")
            yield where, {name: line[name] for name in columns}

    def episode_column(self, name: str) -> NDArray[np.int64]:
        """See the base class."""
        values = np.fromiter(self._whole_numbers(name), np.int64)
        if not len(values):
            raise Damaged(self.episodes_path, "holds no episode")
        return values

    def _whole_numbers(self, name: str) -> Iterator[int]:
        for where, row in self.episodes((name,)):
            if type(row[name]) is not int or not 0 <= row[name] < _MOST:
                raise Damaged(where, f"{name} is {row[name]!r} instead of a count")
            yield row[name]

    def places(self) -> Iterator[EpisodePlace]:
        """See the base class."""
        counts = zip(self.numbers.tolist(), self.lengths.tolist(), strict=True)
        for (number, length), (where, row) in zip(counts, self.episodes(("tasks",)), strict=True):
            if not is_texts(row["tasks"]):
                raise Damaged(where, f"tasks is {row['tasks']!r} instead of a list of texts")
            cameras = {key: (self.video_file(key, number), 0) for key in self.video_keys}
            yield EpisodePlace(number, length, tuple(row["tasks"]), self.data_file(number), 0, cameras)

    def episode_stats(
        self, keys: Sequence[str], names: Sequence[str]
    ) -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
        """See the base class; lines are taken in the order of the file."""
        for where, line in self.json_lines(paths_v21.EPISODES_STATS):
            if not isinstance(line.get("stats"), dict):
                raise Damaged(where, "has no stats")
            yield where, selected(line["stats"], keys, names)

    @cached_property
    def tasks(self) -> list[str]:
        """Task texts in the order of tasks.jsonl."""
        texts = []
        for where, line in self.json_lines(self.tasks_path):
            if not isinstance(line.get("task"), str):
                raise Damaged(where, f"task is {line.get('task')!r} instead of a text")
            texts.append(line["task"])
        return texts

    def row_batches(self, path: str, names: Sequence[str]) -> Iterator[tuple[int, dict[str, ArrowColumn]]]:
        """See the base class; lists of one value come as the values: LeRobot 0.3.3 reads both."""
        for first, batch in super().row_batches(path, names):
            yield first, {name: single_values(column, self.features.get(name)) for name, column in batch.items()}


def is_texts(value: Any) -> bool:
    """True for a list of texts, such as the tasks of an episode."""
    return isinstance(value, list) and all(isinstance(text, str) for text in value)
