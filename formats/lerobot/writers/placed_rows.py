"""Placed rows: rows of episodes with the indices, times and tasks of the new dataset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ....core.columns import Array
from ....core.errors import RobotroveError, option
from ....core.features import DEFAULT_FEATURES, LISTS, Feature, Features
from ..datasets.episode_location import Rows
from ..datasets.row_reader import RowReader
from ..features.feature_kind import Lookups, data_schema, kind_of, row_kinds, single_values
from ..time_limits import is_lost
from .dataset_plan import DatasetPlan, PlacedEpisode, TaskTable

Unusable: TypeAlias = dict[str, tuple[int, str]]  # column to the number of values, and a sentence on the first

_MOST_ROWS = 1 << 14  # of an episode at least

# LeRobot takes a frame for that of its time within 1e-4 s (tolerance_s); rounding may have added to that.
_TIME_TOLERANCE_S = 2e-4


@dataclass(frozen=True)
class EpisodeRun:
    """Consecutive rows of one file that are whole episodes of one source.

    Attributes:
        episodes: The episodes, at least one.
    """

    episodes: Sequence[PlacedEpisode]

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """First row of each episode in the run, and the number of all rows: (episodes + 1,)."""
        return np.cumsum([0, *(placed.location.length for placed in self.episodes)])

    @property
    def rows(self) -> Rows:
        """Rows in their file."""
        first = self.episodes[0].location.rows
        return Rows(first.path, first.first, int(self.starts[-1]))

    def owners(self, first: int, count: int) -> NDArray[np.int64]:
        """Return the place in `episodes` of the episode of each of `count` rows: (count,)."""
        return np.searchsorted(self.starts, np.arange(first, first + count), side="right") - 1

    def place(self, row: int) -> str:
        """Return the file of a row of the run, and the number of the row there, for people."""
        return f"{self.rows.path}, row {self.rows.first + row}"


def runs(episodes: Iterable[PlacedEpisode]) -> Iterator[EpisodeRun]:
    """Yield all episodes in order in runs as long as memory allows."""
    run: list[PlacedEpisode] = []
    count = 0
    for placed in episodes:
        if run and (not _follows(placed, run[-1]) or count + placed.location.length > _MOST_ROWS):
            yield EpisodeRun(run)
            run, count = [], 0
        run.append(placed)
        count += placed.location.length
    if run:
        yield EpisodeRun(run)


def _follows(placed: PlacedEpisode, last: PlacedEpisode) -> bool:
    rows, before = placed.location.rows, last.location.rows
    if (placed.location.replaces or last.location.replaces) and _relabelling(placed) != _relabelling(last):
        return False
    return (placed.source, rows.path, rows.first) == (last.source, before.path, before.first + before.count)


def _relabelling(placed: PlacedEpisode) -> tuple[str, ...]:
    return placed.location.tasks[0], *placed.location.replaces


class PlacedRows:
    """Reads rows of placed episodes as tables of one schema; close it after use.

    Args:
        features: What the new dataset holds, the default five aside.
        fps: Frames per second.
        plan: Plan of the new dataset; a source with rows that were never placed has no tasks there.
        schema: Columns of the new files, in order; those of version 3.0 by default.

    Attributes:
        unusable: Values in `tables` so far that are NaN or infinite; they are copied as they are.
    """

    def __init__(self, features: Features, fps: int, plan: DatasetPlan, schema: pa.Schema | None = None) -> None:
        self.schema = schema or data_schema(features)
        self._kinds = row_kinds(features)
        self._fps = fps
        self._times_from_index = plan.times == "index"
        self._tasks = TaskTable(plan.tasks)
        self._source_tasks = plan.source_tasks
        self._lookups = [self._tasks.indices(own) for own in plan.source_tasks]
        self._subtask_lookups = [TaskTable(plan.subtasks).indices(own) for own in plan.source_subtasks]
        self._reader = RowReader(self._kinds, plan.names)
        self._names = plan.names
        self.unusable: Unusable = {}

    def tables(self, episodes: Iterable[PlacedEpisode]) -> Iterator[tuple[PlacedEpisode, pa.Table]]:
        """Yield the rows of episodes in order, of each in as many tables as row groups that they lie in.

        Raises:
            RobotroveError: If rows are missing, incomplete, of another episode or task, or not of the features' types.
        """
        for run, first, table in self.pieces(episodes):
            self._note_unusable(table, run, first)
            stop = first + table.num_rows
            groups = self._reader.group_starts - run.rows.first
            cuts = np.unique(np.concatenate([run.starts, groups, [first, stop]]))
            for begin, end in pairwise(cuts[(first <= cuts) & (cuts <= stop)].tolist()):
                owner = int(run.owners(begin, 1)[0])
                yield run.episodes[owner], table.slice(begin - first, end - begin)

    def pieces(self, episodes: Iterable[PlacedEpisode]) -> Iterator[tuple[EpisodeRun, int, pa.Table]]:
        """Yield (run, first row in it, table) of all rows in order; raises as `tables` does."""
        for run in runs(episodes):
            first = 0
            for piece in self._reader.read(run.rows):
                yield run, first, self._checked(piece, run, first)
                first += piece.num_rows

    def _checked(self, piece: pa.Table, run: EpisodeRun, first: int) -> pa.Table:
        """Return the rows of a piece; an error names the row with which its episode begins, not the whole run."""
        try:
            return self._table(piece, run, first)
        except RobotroveError:
            cuts = np.unique(np.clip(run.starts, first, first + piece.num_rows))
            for begin, end in pairwise(cuts.tolist()):
                self._table(piece.slice(begin - first, end - begin), run, begin)
            raise

    def _table(self, piece: pa.Table, run: EpisodeRun, first: int) -> pa.Table:
        owners = run.owners(first, piece.num_rows)
        frames = np.arange(first, first + piece.num_rows) - run.starts[owners]
        times = frames / self._fps
        where = f"{run.rows.path}, row {run.rows.first + first}"

        def of_each(values: Iterable[int]) -> NDArray[np.int64]:
            return np.fromiter(values, np.int64)[owners]

        made = {
            "timestamp": self._times(frames),
            "frame_index": frames,
            "episode_index": of_each(placed.index for placed in run.episodes),
            "index": frames + of_each(placed.first_index for placed in run.episodes),
            "task_index": of_each(self._tasks.index(placed.location.tasks[0]) for placed in run.episodes),
        }
        lookups = self._lists(run.episodes[0])
        if self._lookups[run.episodes[0].source].size:
            # Times of a clock may be of any type, or missing.
            unread = {"frame_index", "timestamp"} if self._times_from_index else {"frame_index"}
            said = {name: self._said(piece, name, where) for name in DEFAULT_FEATURES if name not in unread}
            numbers = {"episode_index": of_each(placed.location.index for placed in run.episodes)}
            if "frame_index" in piece.column_names:
                said["frame_index"] = self._said(piece, "frame_index", where)
                numbers["frame_index"] = frames
            _check_place(said, numbers, None if self._times_from_index else times, run, first)
            made["task_index"] = self._task_index(said["task_index"], lookups[LISTS["tasks"]], owners, run, first)
        columns = [
            pa.array(made[field.name], field.type)
            if field.name in made
            else self._kinds[field.name].renamed(
                self._kinds[field.name].merged(piece, field, lookups, where), self._names
            )
            for field in self.schema
        ]
        return pa.table(columns, schema=self.schema)

    def _note_unusable(self, table: pa.Table, run: EpisodeRun, first: int) -> None:
        for name in (name for name in self.schema.names if name not in DEFAULT_FEATURES):
            kind = self._kinds[name]
            if not (kind.is_numeric and kind.feature.dtype.startswith("float")):
                continue
            column = single_values(table.column(name).combine_chunks(), kind.feature)  # v2.1 may have lists of one
            values = kind.values(column, name)
            wrong = kind.unusable(values)
            if wrong is None or not wrong.any():
                continue
            row, entry = np.argwhere(wrong)[0].tolist()
            owner = int(run.owners(first + row, 1)[0])
            placed, rows_on = run.episodes[owner], first + row - int(run.starts[owner])
            value = values.reshape(len(values), -1)[row, entry]
            where = f"row {rows_on} of episode {placed.location.index} in {placed.location.rows.path}"
            count, sentence = self.unusable.get(name, (0, f"{where}, entry {entry}, is {value}"))
            self.unusable[name] = (count + int(wrong.sum()), sentence)

    def _lists(self, placed: PlacedEpisode) -> Lookups:
        """Return the new number of each text of a source, by list; rows that were never placed number their own."""
        tasks = self._lookups[placed.source]
        if placed.location.replaces:
            is_replaced = [task in placed.location.replaces for task in self._source_tasks[placed.source]]
            tasks = np.where(is_replaced, self._tasks.index(placed.location.tasks[0]), tasks)
        found = {LISTS["tasks"]: tasks if tasks.size else self._tasks.indices(placed.location.tasks)}
        if self._subtask_lookups:
            found[LISTS["subtasks"]] = self._subtask_lookups[placed.source]
        return found

    def _times(self, frames: NDArray[np.int64]) -> NDArray[np.floating]:
        """Return times in the precision of the new files; in float64 they are computed as the reference does."""
        is_double = pa.types.is_float64(self.schema.field("timestamp").type)
        return frames * (1 / self._fps) if is_double else (frames / self._fps).astype(np.float32)

    def _said(self, piece: pa.Table, name: str, where: str) -> Array:
        """Return one of the five columns that every dataset has, as it is in the source."""
        # Times are compared as they are: a cast to float32 could bring one nearer to what is expected.
        wide = pa.field(name, pa.float64() if name == "timestamp" else pa.int64())
        feature = Feature("float64", (1,)) if name == "timestamp" else DEFAULT_FEATURES[name]
        column: Array = kind_of(feature).merged(piece, wide, {}, where).to_numpy()
        return column

    def _task_index(
        self, own: Array, lookup: NDArray[np.int64], owners: NDArray[np.int64], run: EpisodeRun, first: int
    ) -> NDArray[np.int64]:
        source = run.episodes[0].source
        texts = self._source_tasks[source]
        for at in np.flatnonzero((own < 0) | (own >= len(texts)))[:1].tolist():
            raise RobotroveError(run.place(first + at), f"task_index is {own[at]}", f"0 to {len(texts) - 1}")
        _, rows = np.unique(owners * len(texts) + own, return_index=True)  # one row of each task of each episode
        for at in np.sort(rows).tolist():
            placed = run.episodes[owners[at]]
            if texts[own[at]] not in (placed.location.replaces or placed.location.tasks):
                raise RobotroveError(
                    run.place(first + at),
                    f"episode {placed.location.index} has rows with the task {texts[own[at]]!r}",
                    f"the tasks that meta names for it: {', '.join(map(repr, placed.location.tasks))}",
                )
        indices: NDArray[np.int64] = lookup[own]
        return indices

    def writer(self, out: Path) -> pq.ParquetWriter:
        """Return a writer of a file of such rows, to be closed after use."""
        # Numbers of one episode hardly repeat: dictionaries of them would take twice the time, and more room.
        repetitive = [column for key, kind in self._kinds.items() for column in kind.dictionary_columns(key)]
        return pq.ParquetWriter(out, self.schema, compression="snappy", use_dictionary=repetitive)

    def close(self) -> None:
        """Close the open file."""
        self._reader.close()


def _check_place(
    said: Mapping[str, Array],
    expected: Mapping[str, NDArray[np.int64]],
    times: NDArray[np.float64] | None,
    run: EpisodeRun,
    first: int,
) -> None:
    """Make sure that rows which say what they are, are those of their episodes; without `times`, at any time."""
    for name, numbers in expected.items():
        for at in np.flatnonzero(said[name] != numbers)[:1].tolist():
            raise RobotroveError(
                run.place(first + at),
                f"{name} is {said[name][at]}",
                f"{numbers[at]}, by the lengths of the episodes before",
            )
    if times is None:
        return
    for at in np.flatnonzero(is_lost(said["timestamp"], times, _TIME_TOLERANCE_S))[:1].tolist():
        raise RobotroveError(
            run.place(first + at),
            f"timestamp is {said['timestamp'][at]}",
            f"{times[at]:.6f}, frame_index / fps: LeRobot finds frames by it",
            f"if frame k of a clip is that of row k, rerun the command with {option('times', 'index')} (in a "
            f"pipeline, of the block: times: index) and {option('fresh')}: times become frame_index / fps",
        )
