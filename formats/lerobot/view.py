"""A LeRobot dataset of either version, as its meta describes it; it may be damaged anywhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...core.errors import Damaged
from ...core.features import Feature, Features
from . import paths
from .arrow_rows import ArrowColumn, kind_of
from .dataset_files import BATCH_ROWS, DatasetFiles

_BATCH_VALUES = 1 << 22


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file of rows.

    Attributes:
        path: Relative to the dataset.
        first: Global index of its first row; None where the files before it say so.
        rows: Number of its rows; None where only the file says so.
    """

    path: str
    first: int | None = None
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class VideoFile:
    """One video file and the episodes that are said to be in it.

    Attributes:
        key: Camera.
        path: Relative to the dataset.
        episodes: (n,) Their numbers.
        firsts: (n,) First frame of each in the file; in any order, not checked.
        lengths: (n,) Frames of each.
    """

    key: str
    path: str
    episodes: NDArray[np.int64]
    firsts: NDArray[np.int64]
    lengths: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class EpisodePlace:
    """Where one episode is.

    Attributes:
        index: Its number.
        length: Frames.
        tasks: Its instructions.
        data: File of its rows, relative to the dataset.
        row: First of them in the file.
        cameras: Camera to its video file, relative to the dataset, and the first frame there.
    """

    index: int
    length: int
    tasks: tuple[str, ...]
    data: str
    row: int
    cameras: Mapping[str, tuple[str, int]]


class DatasetView(DatasetFiles, ABC):
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
        return self.json(paths.INFO)

    def count(self, key: str) -> int:
        """Return a non-negative integer of info.json."""
        value = self.info.get(key)
        if type(value) is not int or value < 0:
            raise Damaged(paths.INFO, f"{key} is {value!r} instead of a count")
        return value

    @property
    def fps(self) -> int:
        """Frames per second; a whole number that is written as 30.0 is taken as such."""
        value = self.info.get("fps")
        if isinstance(value, float) and value.is_integer() and value > 0:
            return int(value)
        if type(value) is not int or value < 1:
            raise Damaged(paths.INFO, f"fps is {value!r} instead of a positive whole number")
        return value

    @cached_property
    def features(self) -> Features:
        """All features of info.json, in its order."""
        entries = self.info.get("features")
        if not isinstance(entries, dict):
            raise Damaged(paths.INFO, "features is no object")
        return {key: self._feature(key, entry) for key, entry in entries.items()}

    @staticmethod
    def _feature(key: str, entry: Any) -> Feature:
        where = f"{paths.INFO}, feature {key}"
        if not isinstance(entry, dict) or not isinstance(entry.get("dtype"), str):
            raise Damaged(where, "has no dtype")
        shape = entry.get("shape")
        if not isinstance(shape, list) or not shape or not all(type(size) is int and size > 0 for size in shape):
            raise Damaged(where, f"shape is {shape!r} instead of a list of sizes")
        if kind_of(entry["dtype"]) == "":
            raise Damaged(where, f"has the unknown dtype {entry['dtype']!r}")
        return Feature.from_json(entry)

    @property
    def video_keys(self) -> list[str]:
        """Cameras stored as video."""
        return [key for key, feature in self.features.items() if feature.is_video]

    @property
    def row_features(self) -> Features:
        """Features that are columns of the data files."""
        return {key: feature for key, feature in self.features.items() if not feature.is_video}

    @property
    def numeric_features(self) -> Features:
        """Features that are numbers in the data files: no camera, no text."""
        return {key: f for key, f in self.features.items() if not f.is_visual and f.dtype != "string"}

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
        raise Damaged(paths.INFO, f"{name} is {template!r} instead of a path with {', '.join(values)}")


def selected(entry: Mapping[str, Any], keys: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return some statistics of some features, as far as they are there."""
    found = {key: entry[key] for key in keys if isinstance(entry.get(key), dict)}
    return {key: {name: stats[name] for name in names if name in stats} for key, stats in found.items()}
