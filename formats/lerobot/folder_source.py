"""What a dataset of LeRobot's says of itself, whichever version it is."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...core.columns import Array
from ...core.errors import Damaged, printable
from . import paths
from .episode_metas import EpisodeMetas
from .extra_files import Inside, extra_files
from .folder_facts import folder_facts, left_out
from .image_stats import CHANNELS, LEVELS
from .record import EpisodeFiles
from .source import DatasetFacts, DatasetSource, Note
from .source_origins import OriginReader, missing_origins
from .stat_columns import StatColumns
from .view import DatasetView
from .view_v21 import is_texts

_View = TypeVar("_View", bound=DatasetView)


class FolderSource(DatasetSource, Generic[_View]):
    """A dataset that anyone may have written.

    Args:
        view: Reads it.
    """

    def __init__(self, view: _View) -> None:
        super().__init__(view.root)
        self.view = view
        self._inside = Inside(view.root)

    @cached_property
    def facts(self) -> DatasetFacts:
        """What is the same for every episode; raises Damaged if info.json cannot be used."""
        return folder_facts(self.view)

    def files(self, note: Note) -> Iterator[EpisodeFiles]:
        """Yield where each episode is, in order; see the base class."""
        sentences: list[str] = []
        count = 0
        for files in self.located(sentences.append):
            yield files
            count += 1
        sentences += [*left_out(self.view, self.facts), self.missing_origins(count)]
        for sentence in filter(None, sentences):
            note(printable(sentence))

    def missing_origins(self, episodes: int) -> str:
        """Say how many of its episodes have no provenance beside others that do; empty if none is without."""
        return missing_origins(self.view, self.view.provenance_path, self._name, episodes)

    @abstractmethod
    def located(self, note: Note) -> Iterator[EpisodeFiles]:
        """Yield where each episode is, as `files` does, from what differs between the versions."""

    def histograms(self) -> dict[str, Array]:
        """Return camera key to (3, 256) counts of its sampled pixel values; empty if the dataset has none."""
        if not (self.root / paths.HISTOGRAMS).exists():
            return {}
        found = {}
        for key, counts in self.view.json(paths.HISTOGRAMS).items():
            try:
                found[key] = np.array(counts, np.int64)
            except (ValueError, TypeError, OverflowError):
                raise Damaged(f"{paths.HISTOGRAMS}, {key}", "holds something else than counts") from None
            if found[key].shape != (CHANNELS, LEVELS):
                raise Damaged(f"{paths.HISTOGRAMS}, {key}", f"is {found[key].shape} instead of {(CHANNELS, LEVELS)}")
        return found

    def extra_files(self) -> list[Path]:
        """Return files of meta/ that are part of neither version, relative to the dataset, sorted."""
        return extra_files(self.root, self._inside)

    def described(self, columns: Sequence[str] = ()) -> Iterator[tuple[int, int, tuple[str, ...], dict[str, Any]]]:
        """Yield (number, length, tasks, more columns) of each episode as meta has them, in order.

        Raises:
            Damaged: If episodes are not numbered 0, 1, 2 …, have no frames, or a task that is not in the list.
        """
        known = set(self.tasks)
        count = frames = 0
        for episode, (where, row) in enumerate(self.view.episodes(["episode_index", "length", "tasks", *columns])):
            if empty := [name for name, value in row.items() if value is None]:
                raise Damaged(where, f"{', '.join(empty)}: there is no value")
            if (number := row.pop("episode_index")) != episode:
                raise Damaged(where, f"is about episode {number!r} instead of {episode}; they are numbered in order")
            if type(length := row.pop("length")) is not int or length < 1:
                raise Damaged(where, f"episode {episode} has length {length!r} instead of at least one frame")
            if not is_texts(tasks := row.pop("tasks")) or not tasks:
                raise Damaged(where, f"tasks of episode {episode} is {tasks!r} instead of a list of texts")
            if strange := [task for task in tasks if task not in known]:
                raise Damaged(where, f"the task of episode {episode} is not in {self.view.tasks_path}: {strange[0]!r}")
            count, frames = count + 1, frames + length
            yield episode, length, tuple(tasks), row
        for name, found in (("total_episodes", count), ("total_frames", frames)):
            if (said := self.view.info.get(name, found)) != found:
                raise Damaged(paths.INFO, f"{name} is {said!r}, but {self.view.episodes_path} has {found}")

    def place(self, path: str, episode: int) -> Path:
        """Return the full path of a file of an episode.

        Raises:
            Damaged: If it leads out of the dataset, or there is no such file.
        """
        if path not in self._inside:
            raise Damaged(path, f"leads out of the dataset, and episode {episode} should be in it")
        if not os.path.isfile(self.root / path):
            raise Damaged(path, f"does not exist, but episode {episode} should be in it")
        return self.root / path

    @abstractmethod
    def stats(self) -> Iterator[tuple[NDArray[np.int64], StatColumns]]:
        """Yield (lengths, statistics as far as there are any) of all episodes, some at a time, reading meta alone."""

    def metas(self) -> Iterator[EpisodeMetas]:
        """Yield what meta says of all episodes, in order; raises Damaged where it cannot be read."""
        origins = OriginReader(self.view, self.view.provenance_path, self._name)
        for lengths, stats in self.stats():
            yield EpisodeMetas(stats, origins.take(lengths))

    @cached_property
    def _name(self) -> str:
        return os.path.basename(os.path.abspath(self.root))


def check_templates(files: Iterable[str]) -> None:
    """Raise Damaged if templates of info.json give the same path for different files."""
    seen = set()
    for path in files:
        if path in seen:
            raise Damaged(paths.INFO, f"data_path or video_path give {path} for more than one file")
        seen.add(path)
