"""What a dataset of LeRobot's says of itself, whichever version it is."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from ...core.columns import Array
from ...core.errors import printable
from ...core.features import DEFAULT_FEATURES
from . import paths
from .arrow_rows import Damaged
from .extra_files import Inside, extra_files
from .image_stats import CHANNELS, LEVELS
from .provenance import origins
from .record import EpisodeMeta
from .source import DatasetFacts, DatasetSource
from .view import DatasetView
from .view_v21 import is_texts

_LONGEST_NAME = 200  # bytes; a feature's name becomes a folder
# Columns of the provenance table but episode_index, and what they hold if anything.
_ORIGIN: Mapping[str, type] = {
    **dict.fromkeys(("source_name", "source_key", "source_digest"), str),
    **dict.fromkeys(("source_length", "first_row", "last_row"), int),
    **dict.fromkeys(("success", "fps_assumed"), bool),
    **dict.fromkeys(("run_digest", "robotrove_version", "encoder_version"), str),
}

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
        info = self.view.info
        features = {key: feature for key, feature in self.view.features.items() if key not in DEFAULT_FEATURES}
        for key in features:
            if not key.isprintable() or key in ("", ".", "..") or "/" in key or "\\" in key:
                raise Damaged(f"{paths.INFO}, feature {printable(key)}", "its name cannot be that of a folder")
            if len(key.encode()) > _LONGEST_NAME:
                raise Damaged(f"{paths.INFO}, feature {key[:40]}…", f"its name has more than {_LONGEST_NAME} bytes")
        robot_type = info.get("robot_type")
        if not isinstance(robot_type, str | None):
            raise Damaged(paths.INFO, f"robot_type is {robot_type!r} instead of a text or null")
        videos = {key: _video_info(key, info["features"][key]) for key, f in features.items() if f.is_video}
        run = self.view.json(paths.RUN) if (self.root / paths.RUN).exists() else {}
        return DatasetFacts(features, self.view.fps, robot_type, run, videos)

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
    def stats(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (length, usable statistics) of each episode, in order, reading meta alone."""

    def metas(self) -> Iterator[EpisodeMeta]:
        """Yield what meta says of each episode, in order; raises Damaged where it cannot be read."""
        path = self.view.provenance_path
        known = self._origins() if (self.root / path).exists() else None
        for episode, (length, stats) in enumerate(self.stats()):
            origin = next(known, None) if known else self._new_origin(episode, length)
            if origin is None:
                raise Damaged(path, f"ends before episode {episode}")
            yield EpisodeMeta(stats, origin)
        if known and next(known, None):
            raise Damaged(path, "tells of more episodes than there are")

    def _origins(self) -> Iterator[dict[str, Any]]:
        for origin in origins(self.view):
            values = {name: getattr(origin, name) for name in _ORIGIN}
            for name, value in values.items():
                if value is not None and type(value) is not _ORIGIN[name]:
                    where = f"{self.view.provenance_path}, episode {origin.episode_index}"
                    raise Damaged(where, f"{name} is {value!r} instead of {_ORIGIN[name].__name__}")
            yield values

    def _new_origin(self, episode: int, length: int) -> dict[str, Any]:
        """Return the provenance of an episode of which no more is known than that it is in this dataset."""
        return dict.fromkeys(_ORIGIN) | {
            "source_name": self._name,
            "source_key": f"episode {episode}",
            "source_length": length,
            "first_row": 0,
            "last_row": length - 1,
        }

    @cached_property
    def _name(self) -> str:
        return os.path.basename(os.path.abspath(self.root))


def check_tasks(tasks: list[str], where: str) -> list[str]:
    """Return instructions; raise Damaged if one is there twice or is no text."""
    first: dict[str, int] = {}
    for row, task in enumerate(tasks):
        if not isinstance(task, str):
            raise Damaged(f"{where}, row {row}", f"the task is {task!r} instead of a text")
        if first.setdefault(task, row) != row:
            raise Damaged(f"{where}, row {row}", f"the task of row {first[task]} is there again: {task!r}")
    return tasks


def check_templates(files: Iterable[str]) -> None:
    """Raise Damaged if templates of info.json give the same path for different files."""
    seen = set()
    for path in files:
        if path in seen:
            raise Damaged(paths.INFO, f"data_path or video_path give {path} for more than one file")
        seen.add(path)


def _video_info(key: str, entry: Mapping[str, Any]) -> Mapping[str, Any]:
    info = entry.get("info") or entry.get("video_info") or {}
    if not isinstance(info, dict):
        raise Damaged(f"{paths.INFO}, feature {key}", f"info is {info!r} instead of an object")
    if info.get("is_depth_map") or info.get("video.is_depth_map"):
        raise Damaged(f"{paths.INFO}, feature {key}", "is a depth video; only colour videos can be converted")
    return info
