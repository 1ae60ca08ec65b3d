"""Dataset: a LeRobot dataset on disk, read on demand; one class per version of the format."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from fractions import Fraction
from functools import cached_property, partial
from itertools import islice
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ....core.columns import Array
from ....core.errors import Damaged, DatasetDamaged, EpisodeRejected, RobotroveError, UsageError, naming_dataset, some
from ....core.features import DEFAULT_FEATURES, Feature, Features, cameras, channels, video_cameras
from ....media.remux.clip import Clip, rate_text
from .. import paths_v21, paths_v30
from ..dataset_files import (
    BATCH_ROWS,
    MOST,
    ArrowColumn,
    DatasetFiles,
    check_names,
    count_in,
    leads_inside,
    other_episode,
)
from ..features.feature_kind import NO_PICTURE, FeatureKind, in_rows, kind_of, single_values, stat_shapes, with_stats
from ..stats.feature_stats import STAT_KEYS, Shape
from ..stats.image_stats import CHANNELS
from ..stats.stored_stats import StatColumns
from .episode_location import DataFile, EpisodeLocation, Track, VideoFile
from .row_reader import RowStream

if TYPE_CHECKING:
    from ....media.image.images import ImageDecoder
    from ....media.image.pixels import Pixels
    from ....media.remux.video_index import VideoIndex

Note = Callable[[str], None]

_SUPERSEDED = "subtask_index"  # lerobot 0.6.1, annotations/steerable_pipeline/writer.py
_MOST_GAPS = 1 << 16  # numbers that no task has
_BATCH_VALUES = 1 << 22
_FRAME_BYTES = 1 << 24  # of a batch of frames
_MOST_STREAMS = 8  # data files that are open at a time
_TOO_WIDE = re.compile(r"\{[^}]*(\{|\d{5})")  # in a template: a number of ten thousand digits and more


class Dataset(DatasetFiles, ABC):
    """One dataset on disk, read on demand; memory grows by some bytes per episode only.

    `tasks`, `episodes`, `rows`, `frames` and `stats` give what LeRobot reads. Where the dataset is damaged they raise
    DatasetDamaged, or tell the collector and continue as far as they can; `fps` and `features` always raise. The rest
    gives metadata as they are stored, for checks and makers of datasets, and raises Damaged.

    Args:
        root: Its folder.
        damage: Collector: called with each fault instead of raising it.
        on_file: Called with the relative path of each parquet, JSON lines or video file when it is opened.

    Attributes:
        notes: Sentences on what has been read otherwise than it is stored; a new dataset has it right.
        version: The codebase_version of info.json.
        episodes_path: File or folder that describes the episodes.
        tasks_path: File of the tasks.
        provenance_path: File that says where the episodes come from, if robotrove made the dataset.
        row_columns: Columns of the data files that `measured` has opened.
    """

    version: ClassVar[str]
    episodes_path: ClassVar[str]
    tasks_path: ClassVar[str]
    provenance_path: ClassVar[str]
    _counted: ClassVar[tuple[str, ...]] = ()  # columns that a data file need not have, because its rows are counted

    def __init__(
        self,
        root: Path,
        damage: Callable[[DatasetDamaged], None] | None = None,
        on_file: Callable[[str], None] = lambda path: None,
    ) -> None:
        super().__init__(root, on_file)
        self._damage = damage
        self.notes: list[str] = []
        self._retimed: dict[str, Fraction] = {}  # rates of files at another one than `fps`
        self._shortened: dict[str, None] = {}
        self._told: set[tuple[str, str]] = set()
        self._streams: dict[tuple[str, ...], RowStream] = {}
        self.row_columns: set[str] = set()

    def _report(self, fault: Damaged) -> None:
        """Tell the collector of a fault; raise it if there is none."""
        if isinstance(fault, DatasetDamaged):
            named = fault
        else:
            named = DatasetDamaged(self.root, fault.where, fault.found)
            named.__cause__ = fault
        if self._damage is None:
            raise named
        if (told := (named.place, named.found)) not in self._told:
            self._told.add(told)  # a file is read once for each of its episodes
            self._damage(named)

    def note(self, sentence: str) -> None:
        """Add a sentence to `notes`, unless it is there."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except Damaged as exc:
            self._report(exc)

    @cached_property
    def info(self) -> dict[str, Any]:
        """info.json, as it is."""
        return self.json(paths_v30.INFO)

    def count(self, key: str) -> int:
        """Return a non-negative integer of info.json."""
        with naming_dataset(self.root):
            return count_in(self.info, key, paths_v30.INFO)

    @property
    def fps(self) -> int:
        """Frames per second; a whole number that is written as 30.0 is taken as such."""
        value = self.info.get("fps")
        if isinstance(value, float) and value.is_integer() and value > 0:
            return int(value)
        if type(value) is not int or value < 1:
            raise DatasetDamaged(self.root, paths_v30.INFO, f"fps is {value!r} instead of a positive whole number")
        return value

    @cached_property
    def features(self) -> Features:
        """All features of info.json, in its order, but those that are `absent`."""
        entries = self.info.get("features")
        if not isinstance(entries, dict):
            raise DatasetDamaged(self.root, paths_v30.INFO, "features is not an object")
        return {key: self._feature(key, entry) for key, entry in entries.items() if key not in self.absent}

    @cached_property
    def absent(self) -> dict[str, str]:
        """Features of info.json that have no column or files, and why: LeRobot 0.6 drops one when it annotates."""
        dtypes = {key: entry.get("dtype") for key, entry in self.info["features"].items() if isinstance(entry, dict)}
        if _SUPERSEDED not in dtypes or "language" not in dtypes.values():
            return {}
        if (first := next(self.data_files(), None)) is None:
            return {}
        with self.parquet(first.path) as file:
            is_there = _SUPERSEDED in file.schema_arrow.names
        return {} if is_there else {_SUPERSEDED: "which annotations replaced"}

    def _feature(self, key: str, entry: Any) -> Feature:
        where = f"{paths_v30.INFO}, feature {key}"
        if not isinstance(entry, dict) or not isinstance(entry.get("dtype"), str):
            raise DatasetDamaged(self.root, where, "has no dtype")
        shape = entry.get("shape")
        if not isinstance(shape, list) or not shape or not all(type(size) is int and size > 0 for size in shape):
            raise DatasetDamaged(self.root, where, f"shape is {shape!r} instead of a list of sizes")
        feature = Feature.from_json(entry)
        try:
            kind_of(feature)
        except LookupError:
            raise DatasetDamaged(self.root, where, f"has the unknown dtype {entry['dtype']!r}") from None
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

    @cached_property
    def tasks(self) -> list[str]:
        """Instructions by task_index; the first one also for numbers that no task has."""
        found: dict[int, str] = {}
        with self._reporting():
            for where, index, task in self.numbered_tasks():
                if found.setdefault(index, task) != task:
                    self._report(Damaged(where, f"task_index is {index}, but that is another task in a line before"))
            for fault in self.repeated_tasks():
                self._report(fault)
        if not found:
            return []
        if max(found) >= len(found) + _MOST_GAPS:
            raise DatasetDamaged(self.root, self.tasks_path, f"has a task {max(found)}, but {len(found)} tasks only")
        first = found[min(found)]
        return [found.get(index, first) for index in range(max(found) + 1)]

    @property
    def task_numbers(self) -> set[int]:
        """The task_index of each task; `tasks` also has texts for numbers between them."""
        return {index for _, index, _ in self.numbered_tasks()}

    @cached_property
    def subtasks(self) -> list[str]:
        """Subtasks by subtask_index; none where the dataset has no file of them."""
        path = paths_v21.SUBTASKS if (self.root / paths_v21.SUBTASKS).is_file() else paths_v30.SUBTASKS
        if not (self.root / path).is_file():
            return []
        rows = self.objects(path)
        if strange := set().union(*rows) - {"subtask", "subtask_index", "__index_level_0__"}:
            self.note(f"not in the output: columns {', '.join(sorted(strange))} of {path}")
        numbered = [row for row in rows if isinstance(row.get("subtask_index"), int)]
        texts = {row["subtask_index"]: row.get("subtask", row.get("__index_level_0__")) for row in numbered}
        found = [texts.get(number) for number in range(len(rows))]
        if not is_texts(found):
            raise Damaged(path, "its subtask_index are not the numbers from 0 on, each once and with a text")
        return [str(text) for text in found]

    def episodes(self) -> Iterator[EpisodeLocation]:
        """Yield where each episode lies, in order; an entry that says too little of its episode is skipped.

        Raises:
            DatasetDamaged: If the numbers of episodes do not rise, or an episode has no frames or an unknown task, or
                its rows cannot be found.
        """
        with self._reporting():
            yield from self._located()

    def rows(self, names: Sequence[str], at: EpisodeLocation | None = None) -> Iterator[dict[str, Array]]:
        """Yield rows in order, some at a time; memory does not grow with the length of an episode.

        Rows that lie before those read last cost opening their file again.

        Args:
            names: Features that are columns of the data files.
            at: The episode; the whole dataset by default.

        Yields:
            Feature name to (n, *shape), (n, 1) for single numbers, in the dtype of the file; texts are object arrays of
            that shape, and pictures object arrays (n,) of the bytes of their files.

        Raises:
            UsageError: If a feature is missing, or is a camera stored as video.
            DatasetDamaged: If rows are missing, not what info.json says, or of another episode.
        """
        if strange := [name for name in names if name not in self.row_features | DEFAULT_FEATURES]:
            columns = f"columns of the data files: {', '.join(self.row_features)}"
            todo = "dataset.frames(key, episode) for cameras stored as video" if strange[0] in self.features else ""
            raise UsageError(str(self.root), f"has no column {', '.join(strange)} in its rows", columns, todo)
        if at is not None:
            self._check_own(at)
            with self._reporting():
                yield from self._episode_rows(names, at)
            return
        count = 0
        with self._reporting():
            for data in self.data_files():
                with self._reporting():
                    for _, batch in self.row_batches(data.path, names):
                        yield self.arrays(data.path, batch)
                        count += len(next(iter(batch.values())))
            if names and count != self.starts[-1]:
                raise Damaged("data", f"has {count} rows in all, and the episodes have {self.starts[-1]} frames")

    def _check_own(self, at: EpisodeLocation) -> None:
        if not isinstance(at, EpisodeLocation) or not at.rows.path.is_relative_to(self.root):
            found = (
                "the episode is of another dataset" if isinstance(at, EpisodeLocation) else f"{at!r} is not an episode"
            )
            raise UsageError(str(self.root), found, "an episode of dataset.episodes()")

    def _episode_rows(self, names: Sequence[str], at: EpisodeLocation) -> Iterator[dict[str, Array]]:
        columns = tuple(dict.fromkeys([*names, "episode_index"]))
        # Taken out while it is in use: another iterator over the same columns gets a stream of its own.
        stream = self._streams.pop(columns, None) or RowStream(partial(self.row_batches, names=columns))
        path = at.rows.path.relative_to(self.root).as_posix()
        try:
            for row, batch in stream.read(path, at.rows.first, at.rows.count):
                arrays = self.arrays(path, batch)
                if (arrays["episode_index"] != at.index).any():
                    raise Damaged(path, f"row {row} and those after it are not all of episode {at.index}")
                yield {name: arrays[name] for name in names}
        finally:
            self._streams[columns] = stream
            if len(self._streams) > _MOST_STREAMS:
                del self._streams[next(iter(self._streams))]

    def frames(self, key: str, at: EpisodeLocation, first: int = 0, count: int | None = None) -> Iterator[Pixels]:
        """Yield the frames of a camera in an episode, some at a time; memory does not grow with its length.

        Args:
            key: Camera, stored as video or as pictures.
            at: The episode.
            first: First frame wanted.
            count: Number of frames; to the end of the episode by default.

        Yields:
            (n, height, width, 3) uint8 RGB.

        Raises:
            UsageError: If there is no such camera, or it has no colours.
            DatasetDamaged: If a frame is missing or cannot be decoded.
        """
        self._check_own(at)
        feature = self.cameras.get(key)
        if feature is None or len(feature.shape) != 3 or channels(feature) != CHANNELS:
            found = f"has no colour camera {key!r}"
            raise UsageError(str(self.root), found, f"one of its cameras: {', '.join(self.cameras) or 'it has none'}")
        wanted = range(at.length)[first : None if count is None else first + count]
        with self._reporting():
            frames = (self._filmed if key in self.video_keys else self._pictures)(key, at, wanted)
            while batch := list(islice(frames, max(1, _FRAME_BYTES // prod(feature.shape)))):
                yield np.stack(batch)

    def _filmed(self, key: str, at: EpisodeLocation, wanted: range) -> Iterator[Pixels]:
        from ....media.video.probe import iter_frames  # PyAV, which rows do not need

        try:
            clip = self.track(key, at).clip
            yield from iter_frames(clip.path, clip.first + wanted.start, len(wanted), clip.rate or self.fps)
        except Damaged:
            raise
        except RobotroveError as exc:
            path = at.tracks[key].clip.path.relative_to(self.root).as_posix()
            raise Damaged(path, f"{exc.found}, and episode {at.index} is in it") from exc

    def _pictures(self, key: str, at: EpisodeLocation, wanted: range) -> Iterator[Pixels]:
        from ....media.image.images import ImageDecoder  # PyAV, which rows do not need

        decoder = ImageDecoder()
        rows = replace(at.rows, first=at.rows.first + wanted.start, count=len(wanted))
        pictures = (picture for batch in self.rows([key], replace(at, rows=rows)) for picture in batch[key])
        for row, picture in enumerate(pictures, wanted.start):
            yield decoded(decoder, picture, self.picture_place(key, at, row))

    def stats(self, names: Sequence[str]) -> Iterator[StatColumns]:
        """Yield the statistics of all episodes in order, some at a time, from the metadata alone.

        Args:
            names: Features; texts and indices have no statistics of their own.

        Yields:
            "stats/<feature>/<min, max, mean …>" to (episodes, *shape), NaN for an episode that has none that is usable;
            what none of them has is left out. Shapes are (D,) for numbers, (3, 1, 1) for cameras, (1,) for count.
        """
        if strange := [name for name in names if name not in self.features]:
            raise UsageError(str(self.root), f"has no {', '.join(strange)}", f"features: {', '.join(self.features)}")
        shapes = stat_shapes({name: self.features[name] for name in names})
        shapes = {
            column: s for column, s in shapes.items() if column.removeprefix("stats/").rpartition("/")[0] in names
        }
        with self._reporting():
            for _, columns in self.stat_batches(shapes):
                yield columns

    def row_batches(
        self, path: str, names: Sequence[str], first: int = 0
    ) -> Iterator[tuple[int, dict[str, ArrowColumn]]]:
        """Yield (row, columns) of a data file as `batches` does; wide rows come in smaller batches."""
        if names:
            values = sum(kind.row_values for name, kind in self.kinds.items() if name in names)
            rows = max(1, min(BATCH_ROWS, _BATCH_VALUES // max(values, 1)))
            asked = {name: name in self._counted for name in names}
            wanted = [name for name, is_counted in asked.items() if not is_counted]
            yield from self.batches(path, wanted, rows, optional=[*(asked.keys() - wanted)], first=first)

    def arrays(self, path: str, batch: Mapping[str, ArrowColumn]) -> dict[str, NDArray[Any]]:
        """Return the columns of a batch of a data file as arrays, see `rows`."""
        kinds = {name: kind_of(self.features.get(name) or DEFAULT_FEATURES[name]) for name in batch}
        return {
            name: kinds[name].values(single_values(column, kinds[name].feature), f"{path}, column {name}")
            for name, column in batch.items()
        }

    @cached_property
    def episode_numbers(self) -> NDArray[np.int64]:
        """episode_index of each episode, in order; LeRobot finds files of v2.1 by it."""
        return self.episode_column("episode_index")

    @cached_property
    def has_gaps(self) -> bool:
        """True if the numbers of episodes rise, but are not 0, 1, 2 …."""
        numbers: list[int] = []
        with suppress(Damaged):
            numbers = self.episode_numbers.tolist()
        if numbers == list(range(len(numbers))) or numbers != sorted(set(numbers)):
            return False
        told = f"the {len(numbers)} episodes are numbered {some(numbers)} in {self.episodes_path}"
        self.note(f"{told}; in a new dataset they are numbered from 0 on, and `robotrove trace` gives these numbers")
        return True

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Frames of each episode, as the metadata has them."""
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
    def task_texts(self) -> list[str]:
        """Task texts in the order of their file."""

    def repeated_tasks(self) -> Iterator[Damaged]:
        """Yield the tasks with the text of one before, where LeRobot cannot use such."""
        yield from ()

    @abstractmethod
    def numbered_tasks(self) -> Iterator[tuple[str, int, str]]:
        """Yield (place, task_index, instruction) in the order of their file."""

    @abstractmethod
    def entries(self, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield (place, values) of the metadata of each episode, in order."""

    @abstractmethod
    def episode_column(self, name: str) -> NDArray[np.int64]:
        """Return one whole number of each episode: (episodes,), at least one."""

    @abstractmethod
    def _located(self) -> Iterator[EpisodeLocation]:
        """Yield the episodes as `episodes` does."""

    @abstractmethod
    def track(self, key: str, at: EpisodeLocation) -> Track:
        """Return the frames of a camera in an episode as its video file has them, with size and encoding.

        Raises:
            RobotroveError: If the file is missing, no video at a constant rate, or has too few frames.
        """

    def measured(self, skipped: Container[int] = (), dropped: Container[str] = ()) -> Iterator[EpisodeLocation]:
        """Yield the episodes with sizes and encodings, for a new dataset: opens each file once, and decodes nothing.

        Args:
            skipped: Positions of episodes that the new dataset lacks: they come as `episodes` gives them, and files
                with no other episode are not opened.
            dropped: Cameras that it lacks: of them no file is opened, and their clips come as `episodes` gives them.

        Raises:
            RobotroveError: If a file is missing or holds less than the metadata says; names it.
        """
        check_names(self.features)
        count = frames = 0
        for location in self._measured(skipped, dropped):
            yield location
            count, frames = count + 1, frames + location.length
        for name, found in (("total_episodes", count), ("total_frames", frames)):
            if (said := self.info.get(name, found)) != found:
                raise Damaged(paths_v30.INFO, f"{name} is {said!r}, but {self.episodes_path} has {found}")
        for path, rate in islice(self._retimed.items(), 1):
            told = f"{len(self._retimed)} (first: {path}, {rate_text(rate)} frames per second)"
            self.note(f"video files at another rate, with a frame for each row: {told}; the output has {self.fps}")
        for path in islice(self._shortened, 1):
            told = f"{len(self._shortened)} (first: {path})"
            self.note(f"video files with frames that an edit list hides: {told}; the output has only those shown")

    @abstractmethod
    def _measured(self, skipped: Container[int], dropped: Container[str]) -> Iterator[EpisodeLocation]:
        """Yield the episodes as `measured` does."""

    @abstractmethod
    def stat_batches(self, shapes: Mapping[str, Shape]) -> Iterator[tuple[NDArray[np.int64], StatColumns]]:
        """Yield (lengths, statistics) of all episodes as `stats` does.

        Args:
            shapes: Statistics to read, and the shapes of their values.
        """

    @abstractmethod
    def episode_extras(self) -> Iterator[pa.Table]:
        """Yield what the metadata says of each episode besides what writers of datasets say, in order, some at a time.

        Yields:
            A column episode_index, and one of each key.
        """

    def unknown_stats(self) -> list[str]:
        """Return statistics that are not LeRobot's, or of features that are not in info.json: "feature/statistic"."""
        stored = self.json(paths_v30.STATS) if (self.root / paths_v30.STATS).exists() else {}
        return list(dict.fromkeys(self._unknown_in(stored)))

    def _unknown_in(self, stats: Mapping[str, Any]) -> Iterator[str]:
        known = self.features | DEFAULT_FEATURES
        for key, entry in stats.items():
            names = [name for name in entry if name not in STAT_KEYS] if isinstance(entry, dict) else []
            yield from (f"{key}/{name}" for name in names) if key in known else [key]

    @property
    @abstractmethod
    def task_extras(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each task, and what the metadata says of it besides its number."""

    @abstractmethod
    def episode_stats(
        self, keys: Sequence[str], names: Sequence[str]
    ) -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
        """Yield (place, feature to statistic to nested lists) of each episode in order, as they are stored.

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
        """Return a path by a template of info.json; Damaged if that gives none, or one that is not in the dataset."""
        template = self.info.get(name)
        try:
            if isinstance(template, str) and not _TOO_WIDE.search(template):
                path = template.format(**values)
                if leads_inside(path):
                    return path
                raise Damaged(paths_v30.INFO, f"{name} gives {path}, which leads out of the dataset")
        except (KeyError, IndexError, ValueError, AttributeError, TypeError):
            pass
        raise Damaged(paths_v30.INFO, f"{name} is {template!r} instead of a path with {', '.join(values)}")

    def existing(self, path: str, episode: int) -> Path:
        """Return the full path of a file of an episode.

        Raises:
            Damaged: If it leads out of the dataset by links that are not followed, or there is no such file.
        """
        if not self.is_followed(path):
            raise Damaged(path, f"leads out of the dataset, and episode {episode} should be in it")
        if not os.path.isfile(self.root / path):
            raise Damaged(path, f"does not exist, but episode {episode} should be in it")
        return self.root / path

    def indexed(self, path: str, episode: int) -> tuple[Path, VideoIndex]:
        """Return the full path of a video file of an episode, and its index; raises as `track` does."""
        from ....media.remux.video_index import read_index  # PyAV, which rows do not need

        file = self.existing(path, episode)
        index = read_index(file, self.fps)
        if index.rate:
            self._retimed[path] = index.rate
        if index.is_shortened:
            self._shortened[path] = None
        return file, index

    def clip_track(self, key: str, file: Path, index: VideoIndex, first: int, frames: int) -> Track:
        """Return frames of a camera's file, by its index."""
        return Track(
            Clip(file, first, frames, index.rate),
            index.size(first, frames),
            index.encoding,
            index.is_copyable(first, frames),
            index.unreachable(first, frames, is_depth=self.features[key].is_depth),
            index.is_shortened,
        )

    def _described(
        self, columns: Sequence[str] = ()
    ) -> Iterator[tuple[str, int, int, tuple[str, ...], dict[str, Any]]]:
        """Yield (place, number, length, tasks, more columns) of each episode as the metadata has them, in order."""
        known: set[str] | None = None
        with self._reporting():
            known = set(self.task_texts)
        for episode, (where, row) in enumerate(self.entries(["episode_index", "length", "tasks", *columns])):
            number, length, tasks = (row[name] for name in ("episode_index", "length", "tasks"))
            empty = [name for name, value in row.items() if value is None]
            is_counted = type(length) is int and 0 < length < MOST
            fault = ""
            if number != episode and not (self.has_gaps and number == self.episode_numbers[episode]):
                fault = other_episode(number, episode)
            elif not is_counted:
                fault = f"episode {episode} has length {length!r} instead of a count of at least 1 frame"
            elif empty:
                fault = f"{', '.join(empty)}: the value is missing"
            elif not is_texts(tasks) or not tasks:
                fault = f"tasks of episode {episode} is {tasks!r} instead of a list of texts"
            elif strange := [task for task in tasks if known is not None and task not in known]:
                fault = f"the task of episode {episode} is not in {self.tasks_path}: {strange[0]!r}"
            if fault:
                self._report(Damaged(where, fault))
                if empty or type(number) is not int or not is_counted or not is_texts(tasks):
                    continue
            yield where, number, length, tuple(tasks), row

    def picture_place(self, key: str, at: EpisodeLocation, row: int) -> str:
        """Return the place of a picture in words."""
        return f"{at.rows.path.relative_to(self.root).as_posix()}, column {key}, row {row} of episode {at.index}"


def decoded(decoder: ImageDecoder, picture: Any, where: str) -> Pixels:
    """Return a picture of a data file as (height, width, 3) uint8 RGB; raise Damaged if it is none."""
    if not isinstance(picture, bytes):
        raise Damaged(where, NO_PICTURE)
    try:
        return decoder.decode(picture)
    except EpisodeRejected as exc:
        raise Damaged(where, exc.detail) from exc


def selected(entry: Mapping[str, Any], keys: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return some statistics of some features, as far as they are there."""
    found = {key: entry[key] for key in keys if isinstance(entry.get(key), dict)}
    return {key: {name: stats[name] for name in names if name in stats} for key, stats in found.items()}


def is_texts(value: Any) -> bool:
    """True for a list of texts, such as the tasks of an episode."""
    return isinstance(value, list) and all(isinstance(text, str) for text in value)
