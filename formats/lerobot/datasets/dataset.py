"""Datasets on disk, whatever their version: a view reads one, a source gives its episodes to a new dataset."""

from __future__ import annotations

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ....core.columns import Array
from ....core.commit import is_attempt
from ....core.errors import Damaged, in_utf8, printable
from ....core.features import DEFAULT_FEATURES, Feature, Features, cameras, lost_names, video_cameras
from .. import paths_v30
from ..dataset_files import BATCH_ROWS, ArrowColumn, DatasetFiles, Inside, extra_files
from ..features.feature_kind import FeatureKind, in_rows, kind_of, with_stats
from ..stats.image_stats import CHANNELS, LEVELS
from ..stats.stored_stats import StatColumns
from .dataset_info import DatasetInfo
from .episode_location import DataFile, EpisodeFiles, EpisodeMetadata, EpisodePlace, VideoFile
from .provenance import OriginReader, missing_origins

_BATCH_VALUES = 1 << 22

Note = Callable[[str], None]
_LONGEST_NAME = 200  # bytes; a feature's name becomes a folder
# Keys of info.json that the writers of both versions compute themselves.
_MADE = {
    *("codebase_version", "robot_type", "fps", "features", "splits", "data_path", "video_path"),
    *(f"total_{name}" for name in ("episodes", "frames", "tasks", "videos", "chunks")),
    *("chunks_size", "data_files_size_in_mb", "video_files_size_in_mb"),
}


class Dataset(DatasetFiles, ABC):
    """One dataset on disk, read on demand; memory grows by some bytes per episode only.

    Properties and methods raise Damaged where the dataset is not what it should be. Arguments as in DatasetFiles.

    Attributes:
        version: The codebase_version of info.json.
        episodes_path: File or folder that describes the episodes.
        tasks_path: File of the tasks.
        provenance_path: File that says where the episodes come from, if robotrove made the dataset.
    """

    version: ClassVar[str]
    episodes_path: ClassVar[str]
    tasks_path: ClassVar[str]
    provenance_path: ClassVar[str]

    @cached_property
    def info(self) -> dict[str, Any]:
        """info.json, as it is."""
        return self.json(paths_v30.INFO)

    def count(self, key: str) -> int:
        """Return a non-negative integer of info.json."""
        value = self.info.get(key)
        if type(value) is not int or value < 0:
            raise Damaged(paths_v30.INFO, f"{key} is {value!r} instead of a count")
        return value

    @property
    def fps(self) -> int:
        """Frames per second; a whole number that is written as 30.0 is taken as such."""
        value = self.info.get("fps")
        if isinstance(value, float) and value.is_integer() and value > 0:
            return int(value)
        if type(value) is not int or value < 1:
            raise Damaged(paths_v30.INFO, f"fps is {value!r} instead of a positive whole number")
        return value

    @cached_property
    def features(self) -> Features:
        """All features of info.json, in its order."""
        entries = self.info.get("features")
        if not isinstance(entries, dict):
            raise Damaged(paths_v30.INFO, "features is no object")
        return {key: self._feature(key, entry) for key, entry in entries.items()}

    @staticmethod
    def _feature(key: str, entry: Any) -> Feature:
        where = f"{paths_v30.INFO}, feature {key}"
        if not isinstance(entry, dict) or not isinstance(entry.get("dtype"), str):
            raise Damaged(where, "has no dtype")
        shape = entry.get("shape")
        if not isinstance(shape, list) or not shape or not all(type(size) is int and size > 0 for size in shape):
            raise Damaged(where, f"shape is {shape!r} instead of a list of sizes")
        feature = Feature.from_json(entry)
        try:
            kind_of(feature)
        except LookupError:
            raise Damaged(where, f"has the unknown dtype {entry['dtype']!r}") from None
        return feature

    @cached_property
    def kinds(self) -> dict[str, FeatureKind]:
        """The kind of each feature."""
        return {key: kind_of(feature) for key, feature in self.features.items()}

    @property
    def stat_kinds(self) -> dict[str, FeatureKind]:
        """The kinds of the features that have statistics."""
        return with_stats(self.features)

    @property
    def cameras(self) -> Features:
        """Features that are cameras, stored as video or as images."""
        return cameras(self.features)

    @property
    def video_keys(self) -> list[str]:
        """Cameras stored as video."""
        return list(video_cameras(self.features))

    @property
    def row_features(self) -> Features:
        """Features that are columns of the data files."""
        return in_rows(self.features)

    @property
    def numeric_features(self) -> Features:
        """Features that are numbers in the data files: no camera, no text."""
        return {key: kind.feature for key, kind in self.kinds.items() if kind.is_numeric}

    def row_batches(self, path: str, names: Sequence[str]) -> Iterator[tuple[int, dict[str, ArrowColumn]]]:
        """Yield (first row, columns) of a data file; wide rows come in smaller batches, none if there are no names."""
        if not names:
            return
        values = sum(prod(feature.shape) for name, feature in self.features.items() if name in names)
        first = 0
        for batch in self.batches(path, names, max(1, min(BATCH_ROWS, _BATCH_VALUES // max(values, 1)))):
            yield first, batch
            first += len(next(iter(batch.values())))

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Frames of each episode, as meta has them."""
        lengths = self.episode_column("length")
        if lengths.min() < 1:
            raise Damaged(self.episodes_path, f"episode {int(lengths.argmin())} has length {lengths.min()}")
        return lengths

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """First global frame of each episode, and the number of all frames: (episodes + 1,)."""
        return np.concatenate([[0], np.cumsum(self.lengths)])

    @property
    @abstractmethod
    def tasks(self) -> list[str]:
        """Task texts in the order of their file."""

    @abstractmethod
    def episodes(self, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield (place, values) of what meta says of each episode, in its order."""

    @abstractmethod
    def episode_column(self, name: str) -> NDArray[np.int64]:
        """Return one whole number of each episode: (episodes,), at least one."""

    @abstractmethod
    def places(self) -> Iterator[EpisodePlace]:
        """Yield where each episode is said to be, in order."""

    @abstractmethod
    def episode_stats(
        self, keys: Sequence[str], names: Sequence[str]
    ) -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
        """Yield (place, feature to statistic to nested lists) of each episode in order.

        What an episode does not have is left out.
        """

    @abstractmethod
    def data_files(self) -> Iterator[DataFile]:
        """Yield the files of rows in the order in which LeRobot reads them."""

    @abstractmethod
    def data_references(self) -> Iterator[str]:
        """Yield the data files that episodes are said to be in, each once."""

    @abstractmethod
    def video_files(self, key: str) -> Iterator[VideoFile]:
        """Yield the video files of a camera that episodes are said to be in, each once; they may not exist."""

    def expand(self, name: str, **values: Any) -> str:
        """Return a path by a template of info.json."""
        template = self.info.get(name)
        try:
            if isinstance(template, str):
                return template.format(**values)
        except (KeyError, IndexError, ValueError, AttributeError, TypeError):
            pass
        raise Damaged(paths_v30.INFO, f"{name} is {template!r} instead of a path with {', '.join(values)}")


class DatasetSource(ABC):
    """A dataset as a sequence of episodes.

    Attributes:
        root: Its folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    @abstractmethod
    def facts(self) -> DatasetInfo:
        """What is the same for every episode; raises Damaged if info.json cannot be used."""

    @property
    @abstractmethod
    def tasks(self) -> list[str]:
        """All instructions by task_index."""

    @abstractmethod
    def files(self, note: Note) -> Iterator[EpisodeFiles]:
        """Yield where each episode is, in order, opening each file once and decoding nothing.

        Args:
            note: Called with a sentence about what is wrong in the dataset and will be right in the output, or
                what the output will not have.

        Raises:
            RobotroveError: If a file is missing or holds less than meta says; names it.
        """

    @abstractmethod
    def metas(self) -> Iterator[EpisodeMetadata]:
        """Yield what meta says of all episodes, in order and some at a time, reading meta alone."""

    @abstractmethod
    def histograms(self) -> dict[str, Array]:
        """Return camera key to (3, 256) counts of its sampled pixel values; empty if the dataset has none."""

    def extra_files(self) -> list[Path]:
        """Return files of meta/ that are no part of the format, relative to the dataset: they are carried over."""
        return []


_View = TypeVar("_View", bound=Dataset)


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
    def facts(self) -> DatasetInfo:
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
        if not (self.root / paths_v30.HISTOGRAMS).exists():
            return {}
        found = {}
        for key, counts in self.view.json(paths_v30.HISTOGRAMS).items():
            try:
                found[key] = np.array(counts, np.int64)
            except (ValueError, TypeError, OverflowError):
                raise Damaged(f"{paths_v30.HISTOGRAMS}, {key}", "holds something else than counts") from None
            if found[key].shape != (CHANNELS, LEVELS):
                raise Damaged(
                    f"{paths_v30.HISTOGRAMS}, {key}", f"is {found[key].shape} instead of {(CHANNELS, LEVELS)}"
                )
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
                raise Damaged(paths_v30.INFO, f"{name} is {said!r}, but {self.view.episodes_path} has {found}")

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

    def metas(self) -> Iterator[EpisodeMetadata]:
        """Yield what meta says of all episodes, in order; raises Damaged where it cannot be read."""
        origins = OriginReader(self.view, self.view.provenance_path, self._name)
        for lengths, stats in self.stats():
            yield EpisodeMetadata(stats, origins.take(lengths))

    @cached_property
    def _name(self) -> str:
        return os.path.basename(os.path.abspath(self.root))


def selected(entry: Mapping[str, Any], keys: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return some statistics of some features, as far as they are there."""
    found = {key: entry[key] for key in keys if isinstance(entry.get(key), dict)}
    return {key: {name: stats[name] for name in names if name in stats} for key, stats in found.items()}


def is_texts(value: Any) -> bool:
    """True for a list of texts, such as the tasks of an episode."""
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def check_templates(files: Iterable[str]) -> None:
    """Raise Damaged if templates of info.json give the same path for different files."""
    seen = set()
    for path in files:
        if path in seen:
            raise Damaged(paths_v30.INFO, f"data_path or video_path give {path} for more than one file")
        seen.add(path)


def folder_facts(view: Dataset) -> DatasetInfo:
    """Return what is the same for every episode of a dataset; raises Damaged if info.json cannot be used."""
    info = view.info
    text = json.dumps(info, ensure_ascii=False)
    if in_utf8(text) != text:
        raise Damaged(paths_v30.INFO, "holds half a character (\\ud800 to \\udfff), which UTF-8 cannot hold")
    features = {key: feature for key, feature in view.features.items() if key not in DEFAULT_FEATURES}
    for key in features:
        _check_name(key)
    robot_type = info.get("robot_type")
    if not isinstance(robot_type, str | None):
        raise Damaged(paths_v30.INFO, f"robot_type is {robot_type!r} instead of a text or null")
    entries = info["features"]
    infos = {
        key: kind_of(feature).stored_info(entries[key], f"{paths_v30.INFO}, feature {key}")
        for key, feature in features.items()
    }
    run = view.json(paths_v30.RUN) if (view.root / paths_v30.RUN).exists() else {}
    lost = {key: names for key in features if (names := lost_names(entries[key]))}
    return DatasetInfo(features, view.fps, robot_type, run, {key: info for key, info in infos.items() if info}, lost)


def left_out(view: Dataset, facts: DatasetInfo) -> Iterator[str]:
    """Say what info.json has that a new dataset will not have."""
    if facts.lost_names:
        yield f"not in the output: the names of {', '.join(facts.lost_names)}, which are not one list of texts"
    if more := [key for key, value in view.info.items() if key not in _MADE and value is not None]:
        yield f"not in the output: {', '.join(more)} of {paths_v30.INFO}"


def _check_name(key: str) -> None:
    where = f"{paths_v30.INFO}, feature {printable(key)}"
    if not key.isprintable() or key in ("", ".", "..") or "/" in key or "\\" in key:
        raise Damaged(where, "its name cannot be that of a folder")
    if len(key.encode()) > _LONGEST_NAME:
        raise Damaged(f"{paths_v30.INFO}, feature {key[:40]}…", f"its name has more than {_LONGEST_NAME} bytes")
    if is_attempt(key):
        raise Damaged(where, "has the name of an unfinished folder, which would be removed; give it another")
