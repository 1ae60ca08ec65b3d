"""Datasets of v3.0: episodes share files of rows and videos; meta/episodes has their places."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from functools import cached_property
from itertools import pairwise, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ....core.errors import Damaged
from ....media.remux.clip import Clip, rate_text
from .. import paths_v30
from ..dataset_files import BATCH_ROWS, EPISODE_BATCH_ROWS, ArrowColumn, check_templates, count_in
from ..stats.feature_stats import Shape
from ..stats.stored_stats import StatColumns, stat_values
from .dataset import Dataset
from .episode_location import DataFile, EpisodeLocation, Rows, Track, VideoFile, own_columns

if TYPE_CHECKING:
    from ....media.remux.video_index import VideoIndex

_TOLERANCE = 0.25  # frames; sums of durations are off by far less, other frame rates by more
_LONGEST = 2.0**31  # seconds; no file is as long


class DatasetV30(Dataset):
    """One v3.0 dataset."""

    version = paths_v30.CODEBASE_VERSION
    episodes_path = "meta/episodes"
    tasks_path = paths_v30.TASKS
    provenance_path = paths_v30.PROVENANCE
    _held: Sequence[tuple[str, int, dict[str, ArrowColumn]]] = ()

    def files(self, folder: str) -> list[str]:
        """Return the parquet files of `data` or `meta/episodes` in the order in which LeRobot reads them."""
        return [path.relative_to(self.root).as_posix() for path in sorted((self.root / folder).glob("*/*.parquet"))]

    def data_file(self, chunk: int, file: int) -> str:
        """Return the path of a data file."""
        return self.expand("data_path", chunk_index=chunk, file_index=file)

    def video_file(self, key: str, chunk: int, file: int) -> str:
        """Return the path of a video file."""
        return self.expand("video_path", video_key=key, chunk_index=chunk, file_index=file)

    def data_files(self) -> Iterator[DataFile]:
        """See the base class."""
        return map(DataFile, self.files("data"))

    def data_references(self) -> Iterator[str]:
        """See the base class."""
        pairs = np.stack([self.episode_column(f"data/{name}") for name in ("chunk_index", "file_index")], axis=1)
        return (self.data_file(chunk, file) for chunk, file in np.unique(pairs, axis=0).tolist())

    def video_files(self, key: str) -> Iterator[VideoFile]:
        """See the base class."""
        pairs = [self.episode_column(f"videos/{key}/{name}") for name in ("chunk_index", "file_index")]
        begins = self._clipped_seconds(f"videos/{key}/from_timestamp")
        firsts = np.rint(begins * self.fps).astype(np.int64)
        # Episodes of one file side by side, in their order.
        order = np.lexsort((np.arange(len(firsts)), *reversed(pairs)))
        chunks, files = (numbers[order] for numbers in pairs)
        cuts = np.flatnonzero((np.diff(chunks) != 0) | (np.diff(files) != 0)) + 1
        for episodes in np.split(order, cuts):
            path = self.video_file(key, int(pairs[0][episodes[0]]), int(pairs[1][episodes[0]]))
            yield VideoFile(key, path, episodes, firsts[episodes], self.lengths[episodes])

    def entries(self, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """See the base class."""
        for path, first, batch in self.episode_batches(columns, EPISODE_BATCH_ROWS):
            for row, values in enumerate(zip(*(batch[name].to_pylist() for name in columns), strict=True), start=first):
                yield f"{path}, row {row}", dict(zip(columns, values, strict=True))

    def hold(self, columns: Sequence[str]) -> None:
        """Keep columns of meta/episodes in memory, so that its files are opened once for all of them.

        Those that a file does not have are missed when they are asked for.
        """
        self._held = list(self._read_episodes([], EPISODE_BATCH_ROWS, optional=columns))

    def episode_batches(self, columns: Sequence[str], rows: int) -> Iterator[tuple[str, int, dict[str, ArrowColumn]]]:
        """Yield (file, first row, columns) of meta/episodes in order, of at most so many rows."""
        if self._held and all(name in batch for _, _, batch in self._held for name in columns):
            return ((path, first, {name: batch[name] for name in columns}) for path, first, batch in self._held)
        return self._read_episodes(columns, rows)

    def _read_episodes(
        self, columns: Sequence[str], rows: int, *, optional: Sequence[str] = ()
    ) -> Iterator[tuple[str, int, dict[str, ArrowColumn]]]:
        files = self.files(self.episodes_path)
        if not files:
            raise Damaged(self.episodes_path, "holds no parquet file")
        for path in files:
            for first, batch in self.batches(path, columns, rows, optional=optional):
                yield path, first, batch

    def episode_column(self, name: str) -> NDArray[np.int64]:
        """See the base class."""
        return self._column(name, pa.types.is_integer).astype(np.int64)

    def _clipped_seconds(self, name: str) -> NDArray[np.float64]:
        times = self._column(name, _is_number).astype(np.float64)
        # No file is as long; the check of episodes names what is no time.
        return np.nan_to_num(times).clip(-_LONGEST, _LONGEST)

    def _column(self, name: str, has_type: Any) -> NDArray[Any]:
        parts = []
        for path, _, batch in self.episode_batches([name], BATCH_ROWS):
            column = batch[name]
            if column.null_count or not has_type(column.type):
                raise Damaged(path, f"column {name} is {column.type} with {column.null_count} empty values")
            parts.append(column.to_numpy(zero_copy_only=False))
        if not parts:
            raise Damaged(self.episodes_path, "holds no rows")
        return np.concatenate(parts)

    def _located(
        self, places: RowPlaces | FoundRows | None = None, *, in_order: bool = False
    ) -> Iterator[EpisodeLocation]:
        """See the base class; reads the numbers of rows of the data files, and of videos what the metadata says.

        Args:
            places: Finds the rows of the next episode.
            in_order: Each file has the rows of its episodes one after the other: it is not opened.
        """
        names = ["data/chunk_index", "data/file_index"]
        for key in self.video_keys:
            names += [f"videos/{key}/{name}" for name in ("chunk_index", "file_index", "from_timestamp")]
        by_order: RowPlaces | FoundRows | None = None if in_order else places or RowPlaces(self)
        stated = Rows(Path(), 0, 0)
        for where, number, length, tasks, row in self._described(names):
            path = self.data_file(row["data/chunk_index"], row["data/file_index"])
            follows = stated.path == self.root / path
            stated = rows = Rows(self.root / path, stated.first + stated.count if follows else 0, length)
            if by_order is not None:
                try:
                    rows = by_order.take(number, length, path)
                except Damaged as exc:
                    self._report(exc)
                    by_order = None  # what follows is looked for where it is said to be
            tracks = {key: Track(self._clip(key, row, where)) for key in self.video_keys}
            yield EpisodeLocation(number, length, tasks, rows, None, tracks)

    def _clip(self, key: str, row: Mapping[str, Any], where: str) -> Clip:
        chunk, file, begin = (row[f"videos/{key}/{name}"] for name in ("chunk_index", "file_index", "from_timestamp"))
        if not isinstance(begin, int | float) or not abs(begin) < _LONGEST:
            raise Damaged(where, f"videos/{key}/from_timestamp is {begin!r} instead of a time")
        return Clip(self.root / self.video_file(key, chunk, file), round(begin * self.fps), row["length"])

    def track(self, key: str, at: EpisodeLocation) -> Track:
        """See the base class; the index of one file of each camera is kept."""
        if key not in self._windows:
            self._windows[key] = CameraWindows(self, key)
        return self._windows[key].track(self._positions[at.index])

    @cached_property
    def _windows(self) -> dict[str, CameraWindows]:
        return {}

    @cached_property
    def _positions(self) -> dict[int, int]:
        """Position of each episode in meta/episodes; where damage is collected that need not be its number."""
        return {number: at for at, number in enumerate(self.episode_numbers.tolist())}

    def _measured(self, skipped: Container[int], dropped: Container[str]) -> Iterator[EpisodeLocation]:
        """See the base class."""
        check_templates(self.data_file(0, file) for file in (0, 1))
        check_templates(self.video_file(key, 0, file) for key in self.video_keys for file in (0, 1))
        videos = [f"videos/{key}" for key in self.video_keys]
        names = [f"{prefix}/{name}" for prefix in ("data", *videos) for name in ("chunk_index", "file_index")]
        self.hold(["episode_index", "length", "tasks", *names, *(f"{prefix}/from_timestamp" for prefix in videos)])
        cameras = {key: CameraWindows(self, key, skipped) for key in self.video_keys if key not in dropped}
        is_partial = bool(skipped) and not self._has_all_rows()
        places = FoundRows(self, skipped) if is_partial else RowPlaces(self)
        for position, at in enumerate(self._located(places)):
            if position in skipped:
                yield at
                continue
            tracks = {**at.tracks, **{key: camera.track(position) for key, camera in cameras.items()}}
            yield replace(at, row_bytes=places.share(at.length), tracks=tracks)
        self.notes += filter(None, (places.finish(), shifted_note(list(cameras.values()))))

    def _has_all_rows(self) -> bool:
        """Return True if every data file can be opened, and they have as many rows as the episodes have frames."""
        count = 0
        with suppress(Damaged):
            for path in self.files("data"):
                with self.parquet(path) as file:
                    count += file.metadata.num_rows
            return count == int(self.starts[-1])
        return False

    def episode_stats(
        self, keys: Sequence[str], names: Sequence[str]
    ) -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
        """See the base class."""
        optional = {f"stats/{key}/{name}": (key, name) for key in keys for name in names}
        for path, first, batch in self._read_episodes(["episode_index"], EPISODE_BATCH_ROWS, optional=list(optional)):
            rows = len(batch.pop("episode_index"))
            lists = {column: values.to_pylist() for column, values in batch.items()}
            for row in range(rows):
                entry: dict[str, dict[str, Any]] = {key: {} for key in keys}
                for column, values in lists.items():
                    key, name = optional[column]
                    entry[key][name] = values[row]
                yield f"{path}, row {first + row}", entry

    def episode_extras(self) -> Iterator[pa.Table]:
        """See the base class."""
        for path in self.files(self.episodes_path):
            with self.parquet(path) as file:
                own = own_columns(self.features)
                names = [name for name in file.schema_arrow.names if name not in own]
            for _, batch in self.batches(path, ["episode_index", *names], EPISODE_BATCH_ROWS):
                yield pa.table(batch)

    @property
    def task_extras(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """See the base class."""
        own = ("task", "__index_level_0__", "task_index")
        extras = self.task_table.select([name for name in self.task_table.column_names if name not in own])
        return zip(self.task_texts, extras.to_pylist() or repeat({}), strict=False)

    @cached_property
    def task_table(self) -> pa.Table:
        """tasks.parquet, as it is."""
        with self.parquet(paths_v30.TASKS) as file:
            return file.read(use_threads=False)

    @cached_property
    def task_texts(self) -> list[str]:
        """Task texts in the order of tasks.parquet."""
        table = self.task_table
        texts = [name for name in ("task", "__index_level_0__") if name in table.column_names]
        if not texts:
            raise Damaged(paths_v30.TASKS, "has no column task")
        return [str(text) for text in table.column(texts[0]).to_pylist()]

    def numbered_tasks(self) -> Iterator[tuple[str, int, str]]:
        """See the base class; the numbers decide, though LeRobot looks tasks up by row."""
        if "task_index" not in self.task_table.column_names:
            raise Damaged(paths_v30.TASKS, "has no column task_index")
        numbers = self.task_table.column("task_index").to_pylist()
        if numbers != list(range(len(numbers))):
            self.note(f"rows of {paths_v30.TASKS} are not in the order of task_index: LeRobot gives other tasks")
        for row, (index, text) in enumerate(zip(numbers, self.task_texts, strict=True)):
            where = f"{paths_v30.TASKS}, row {row}"
            yield where, count_in({"task_index": index}, "task_index", where), text

    def repeated_tasks(self) -> Iterator[Damaged]:
        """See the base class."""
        first: dict[str, int] = {}
        for row, task in enumerate(self.task_texts):
            if first.setdefault(task, row) != row:
                found = f"the task of row {first[task]} exists twice: {task!r}"
                yield Damaged(f"{paths_v30.TASKS}, row {row}", found)

    def stat_batches(self, shapes: Mapping[str, Shape]) -> Iterator[tuple[NDArray[np.int64], StatColumns]]:
        """See the base class."""
        for _, _, batch in self._read_episodes(["length"], EPISODE_BATCH_ROWS, optional=list(shapes)):
            lengths = batch.pop("length").to_numpy(zero_copy_only=False)
            yield lengths, {name: stat_values(column, name, shapes[name]) for name, column in batch.items()}


class RowPlaces:
    """Deals out the rows of all data files, in the order in which LeRobot reads them, to episodes in order.

    data/chunk_index and data/file_index are not relied on: LeRobot's own converter gets them wrong.
    Opens each file once, for its number of rows.

    Args:
        dataset: The dataset.
    """

    def __init__(self, dataset: DatasetV30) -> None:
        self._dataset = dataset
        self._files = iter(dataset.files("data"))
        self._path, self._full = "", dataset.root
        self._first = self._rows = self._bytes = 0
        self._wrong: list[tuple[int, str]] = []  # episodes and the files that they are said to be in

    def take(self, episode: int, length: int, said: str) -> Rows:
        """Return the rows of the next episode.

        Args:
            episode: Its number.
            length: Its frames.
            said: File that it is in according to meta/episodes.

        Raises:
            Damaged: If they are not there.
        """
        while self._first == self._rows:
            if (path := next(self._files, None)) is None:
                self._wrong.append((episode, said))
                self._check_present()
                raise Damaged(
                    self._path or "data", f"ends before the {length} rows of episode {episode}{self._culprit()}"
                )
            self._open(path, episode)
        if said != self._path:
            self._wrong.append((episode, said))
        stop = self._first + length
        if stop > self._rows:
            self._check_present()
            raise Damaged(
                self._path,
                f"has {self._rows} rows, but episode {episode} should be rows {self._first} to {stop - 1} by the "
                f"lengths in meta/episodes, in this file as a whole{self._culprit()}",
            )
        rows = Rows(self._full, self._first, length)
        self._first = stop
        return rows

    def share(self, length: int) -> int:
        """Return how many bytes of the file of the last episode are those of so many rows."""
        return self._bytes * length // self._rows

    def finish(self) -> str:
        """Say what is wrong in meta/episodes after the last episode; raise Damaged if there are more rows."""
        for path in self._files:
            if self._first == self._rows:
                self._open(path, -1)
        if self._first < self._rows:
            raise Damaged(
                self._path, f"has {self._rows} rows, but by meta/episodes the last episode ends after {self._first}"
            )
        if not self._wrong:
            return ""
        count, first = len(self._wrong), self._wrong[0][0]
        episodes = f"{count} episode{'s' if count > 1 else ''} was wrong (first: episode {first})"
        return f"data/file_index of {episodes}, as left by older LeRobot converters; the output has it right"

    def _check_present(self) -> None:
        """Name the first file that an episode is said to be in and that is not there, now that rows are missing."""
        for episode, said in self._wrong:
            self._dataset.existing(said, episode)

    def _culprit(self) -> str:
        """Name the first episode with another number of rows than meta/episodes says, by the rows themselves."""
        lengths, numbers = self._dataset.lengths, self._dataset.episode_numbers
        counts = np.zeros(len(lengths), np.int64)
        try:
            for path in self._dataset.files("data"):
                for _, batch in self._dataset.batches(path, ["episode_index"]):
                    found = batch["episode_index"].to_numpy(zero_copy_only=False)
                    at = np.searchsorted(numbers, found).clip(max=len(lengths) - 1)
                    counts += np.bincount(at[numbers[at] == found], minlength=len(lengths))
        except (Damaged, TypeError):
            return ""
        differing = np.flatnonzero(counts != lengths)[:1].tolist()
        texts = [f"; episode {numbers[e]} has {counts[e]} rows in all instead of {lengths[e]}" for e in differing]
        return "".join(texts)

    def _open(self, path: str, episode: int) -> None:
        self._full = self._dataset.existing(path, episode)
        with self._dataset.parquet(path) as file:
            self._rows = file.metadata.num_rows
            self._dataset.row_columns.update(file.schema_arrow.names)
        self._path, self._first, self._bytes = path, 0, self._full.stat().st_size


class FoundRows:
    """The rows of episodes by their episode_index, where data files are damaged or rows are missing.

    Args:
        dataset: The dataset.
        skipped: Positions of the episodes without need of rows.
    """

    def __init__(self, dataset: DatasetV30, skipped: Container[int]) -> None:
        self._dataset = dataset
        self._needed = {n for at, n in enumerate(dataset.episode_numbers.tolist()) if at not in skipped}
        self._runs: dict[int, list[Rows]] = {}  # rows of a file side by side
        self._row_bytes: dict[Path, float] = {}
        self._faults: dict[str, Damaged] = {}
        self._last = dataset.root
        for path in dataset.files("data"):
            try:
                self._find(path)
            except Damaged as exc:
                self._faults[path] = exc

    def _find(self, path: str) -> None:
        full, row = self._dataset.root / path, 0
        with self._dataset.parquet(path) as file:
            self._dataset.row_columns.update(file.schema_arrow.names)
            self._row_bytes[full] = full.stat().st_size / max(1, file.metadata.num_rows)
        for _, batch in self._dataset.batches(path, ["episode_index"]):
            numbers = batch["episode_index"].to_numpy(zero_copy_only=False)
            if numbers.dtype.kind not in "iu":
                raise Damaged(path, "episode_index is not a column of whole numbers")
            cuts = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
            for first, stop in pairwise(cuts):
                runs = self._runs.setdefault(int(numbers[first]), [])
                if runs and (runs[-1].path, runs[-1].first + runs[-1].count) == (full, row + first):
                    runs[-1] = replace(runs[-1], count=runs[-1].count + stop - first)
                else:
                    runs.append(Rows(full, row + first, stop - first))
            row += len(numbers)

    def take(self, episode: int, length: int, said: str) -> Rows:
        """Return the rows of an episode, see `RowPlaces.take`; of one that is not needed as the metadata has them."""
        if episode not in self._needed:
            return Rows(self._dataset.root / said, 0, length)
        runs = self._runs.get(episode, [])
        if [rows.count for rows in runs] != [length]:
            self._dataset.existing(said, episode)
            if said in self._faults:
                raise self._faults[said]
            found = sum(rows.count for rows in runs)
            raise Damaged(said, f"has {found} rows of episode {episode} instead of {length} in a row")
        self._last = runs[0].path
        return runs[0]

    def share(self, length: int) -> int:
        """Return how many bytes of the file of the last episode are those of so many rows."""
        return int(self._row_bytes[self._last] * length)

    def finish(self) -> str:
        """Say how the rows were found."""
        told = f"damaged: {', '.join(self._faults)}; " if self._faults else ""
        return (
            f"{told}data files have other rows than {self._dataset.episodes_path}: episodes were found by episode_index"
        )


class CameraWindows:
    """The frames of one camera. Keeps 40 bytes per episode, and the index of one file at a time.

    Args:
        dataset: The dataset.
        key: Camera.
        skipped: Positions of the episodes without need of frames: a file may end before them.

    Raises:
        Damaged: If meta/episodes has no usable place for an episode, or the same frames for two.
    """

    def __init__(self, dataset: DatasetV30, key: str, skipped: Container[int] = ()) -> None:
        self._dataset, self._key, self._skipped = dataset, key, skipped
        self._fps, self._lengths = dataset.fps, dataset.lengths
        self._begins = _checked_seconds(dataset, f"videos/{key}/from_timestamp")
        self._firsts = np.rint(self._begins * self._fps).astype(np.int64)
        pairs = [dataset.episode_column(f"videos/{key}/{name}") for name in ("chunk_index", "file_index")]
        self._pairs, groups = np.unique(np.stack(pairs, axis=1), axis=0, return_inverse=True)
        self._groups = groups.reshape(-1)  # numpy 2.0 gives another shape
        self._order = np.lexsort((self._begins, self._groups))  # episodes of a file side by side, as it has them
        self._bounds = np.searchsorted(self._groups[self._order], np.arange(len(self._pairs) + 1))
        self._open = -1
        self._index: VideoIndex | None = None
        self._file = Path()
        self._offset = 0
        self.shifted: list[str] = []

    def _path(self, episode: int) -> str:
        chunk, file = self._pairs[self._groups[episode]].tolist()
        return self._dataset.video_file(self._key, chunk, file)

    def _check_begins(self, path: str, episodes: NDArray[np.int64]) -> None:
        """Make sure that each episode of a file begins at the time of a frame, after the end of the one before."""
        off = np.abs(self._begins[episodes] * self._fps - self._firsts[episodes]) > _TOLERANCE
        for episode in episodes[off][:1].tolist():
            raise Damaged(
                path,
                f"episode {episode} begins at {self._begins[episode]} s by meta/episodes, not a frame at {self._fps} "
                "frames per second",
            )
        ends = self._firsts[episodes] + self._lengths[episodes]
        for at in np.flatnonzero(ends[:-1] > self._firsts[episodes[1:]])[:1].tolist():
            texts = [
                f"episode {episodes[e]} is frames {self._firsts[episodes[e]]} to {ends[e] - 1}" for e in (at, at + 1)
            ]
            raise Damaged(path, f"by meta/episodes {texts[0]}, and {texts[1]}: they overlap")

    def track(self, episode: int) -> Track:
        """Return the frames of an episode; opens its file unless it is that of the call before.

        Raises:
            RobotroveError: If the file is missing or no video at a constant rate, or has too few frames.
        """
        if self._groups[episode] != self._open:
            self._enter(episode)
        assert self._index is not None
        first, length = int(self._firsts[episode]) - self._offset, int(self._lengths[episode])
        return self._dataset.clip_track(self._key, self._file, self._index, first, length)

    def _enter(self, episode: int) -> None:
        path, group = self._path(episode), int(self._groups[episode])
        episodes = self._order[self._bounds[group] : self._bounds[group + 1]]
        self._index = None  # only one at a time in memory
        self._file, self._index = self._dataset.indexed(path, episode)
        self._offset = 0
        if (rate := self._index.rate) is not None:
            self._count(path, episodes, self._index.frames, rate)
        else:
            self._check_begins(path, episodes)
            self._find(path, episodes, self._index)
        self._open = group

    def _count(self, path: str, episodes: NDArray[np.int64], frames: int, rate: Fraction) -> None:
        """Number the frames of a file at another rate, with as many as its episodes have rows, in their order."""
        ends = np.cumsum(self._lengths[episodes])
        if ends[-1] != frames:
            found = f"has {frames} frames at {rate_text(rate)} per second"
            raise Damaged(path, f"{found}, but its episodes have {ends[-1]} rows")
        self._firsts[episodes] = ends - self._lengths[episodes]

    def _find(self, path: str, episodes: NDArray[np.int64], index: VideoIndex) -> None:
        """Make sure that a file has the frames of its episodes."""
        firsts, ends = self._firsts[episodes], self._firsts[episodes] + self._lengths[episodes]
        # LeRobot looks frames up by their times. Files that begin late were cut by tools that count from there.
        self._offset = index.start
        inside = (firsts >= index.start) & (ends <= index.start + index.frames)
        if not index.start:  # else the episodes tell together where the file counts from
            inside |= np.array([episode in self._skipped for episode in episodes.tolist()])
        if not inside.all():
            if not index.start or firsts.min() < 0 or ends.max() > index.frames:
                raise self._outside(path, int(episodes[~inside].min()), index)
            self._offset = 0
            self.shifted.append(path)

    def _outside(self, path: str, episode: int, index: VideoIndex) -> Damaged:
        begins = f", the first one shown as frame {index.start}" if index.start else ""
        last = self._firsts[episode] + self._lengths[episode] - 1
        expected = f"episode {episode} should be frames {self._firsts[episode]} to {last} of it"
        return Damaged(path, f"has {index.frames} frames{begins}, but {expected} by meta/episodes")


def shifted_note(cameras: Sequence[CameraWindows]) -> str:
    """Say which files do not begin at 0 s though their episodes are counted from there; empty if none."""
    paths = [path for camera in cameras for path in camera.shifted]
    if not paths:
        return ""
    files = f"{len(paths)} video file{'s do' if len(paths) > 1 else ' does'}"
    return f"{files} not begin at 0 s (first: {paths[0]}), though its episodes are counted so; the output is right"


def _checked_seconds(dataset: DatasetV30, name: str) -> NDArray[np.float64]:
    """Return a column of times of meta/episodes: (episodes,)."""
    parts = []
    for path, first, batch in dataset.episode_batches([name], BATCH_ROWS):
        times = batch[name].to_numpy(zero_copy_only=False)
        usable = np.abs(times) < _LONGEST if times.dtype.kind in "fiu" else np.zeros(len(times), bool)
        for at in np.flatnonzero(~usable)[:1].tolist():
            raise Damaged(f"{path}, row {first + at}", f"{name} is {times[at]} instead of a time")
        parts.append(times.astype(np.float64))
    return np.concatenate(parts)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))
