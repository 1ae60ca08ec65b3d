"""The rows of an episode as they are in a new dataset: own columns copied, those that depend on the place made anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ...core.errors import RobotroveError
from .episode_plan import PlacedEpisode
from .record import PLACED_COLUMNS, RowReader
from .tasks import TaskTable

# LeRobot takes a frame for that of its time within 1e-4 s (tolerance_s); float32 adds half a step beyond 1,024 s.
_TIME_TOLERANCE_S = 2e-4


class PlacedRows:
    """Reads rows of placed episodes as tables of one schema; close it after use.

    Args:
        schema: Columns of the new dataset's data files.
        fps: Frames per second.
        tasks: Instructions of the new dataset.
        source_tasks: Per source, its instructions by its own task_index.
    """

    def __init__(self, schema: pa.Schema, fps: int, tasks: TaskTable, source_tasks: Sequence[Sequence[str]]) -> None:
        self._schema = schema
        self._fps = fps
        self._tasks = tasks
        self._lookups = [np.array([tasks.index(task) for task in own], np.int64) for own in source_tasks]
        self._reader = RowReader()

    def tables(self, placed: PlacedEpisode) -> Iterator[pa.Table]:
        """Yield the rows of an episode in order, in as many tables as row groups that they lie in.

        Raises:
            RobotroveError: If rows are missing, of another episode, or not of the schema's types.
        """
        first = 0
        for piece in self._reader.read(placed.files.rows):
            yield self._table(piece, placed, first)
            first += piece.num_rows

    def _table(self, piece: pa.Table, placed: PlacedEpisode, first: int) -> pa.Table:
        count = piece.num_rows
        frames = np.arange(first, first + count)
        times = frames / self._fps
        where = f"{placed.files.rows.path}, row {placed.files.rows.first + first}"
        _check_place(piece, placed.episode, frames, times, where)
        made = {
            "timestamp": times.astype(np.float32),
            "frame_index": frames,
            "episode_index": np.full(count, placed.index),
            "index": frames + placed.first_index,
            "task_index": self._task_index(piece, placed, where),
        }
        columns = [
            pa.array(made[field.name], field.type) if field.name in made else _column(piece, field, where)
            for field in self._schema
        ]
        return pa.table(columns, schema=self._schema)

    def _task_index(self, piece: pa.Table, placed: PlacedEpisode, where: str) -> NDArray[np.int64]:
        if "task_index" not in piece.column_names:
            return np.full(piece.num_rows, self._tasks.index(placed.files.tasks[0]))
        own = piece.column("task_index").to_numpy()
        lookup = self._lookups[placed.source]
        if len(own) and not (own.min() >= 0 and own.max() < len(lookup)):
            raise RobotroveError(where, f"task_index {own.min()} to {own.max()}", f"0 to {len(lookup) - 1}")
        indices: NDArray[np.int64] = lookup[own]
        return indices

    def close(self) -> None:
        """Close the open file."""
        self._reader.close()


def _check_place(
    piece: pa.Table, episode: int, frames: NDArray[np.int64], times: NDArray[np.float64], where: str
) -> None:
    """Make sure that rows which say what they are, are those of the episode."""
    if not set(PLACED_COLUMNS) <= set(piece.column_names):
        return  # not placed before
    for name, expected in (("episode_index", episode), ("frame_index", frames)):
        found = piece.column(name).to_numpy()
        if (wrong := found != expected).any():
            at = int(np.argmax(wrong))
            want = np.broadcast_to(expected, len(found))[at]
            raise RobotroveError(
                where,
                f"{at} rows on, {name} is {found[at]}",
                f"{want}, by the lengths of the episodes before",
                "mend it",
            )
    found = piece.column("timestamp").to_numpy()
    if (wrong := ~(np.abs(found - times) <= _TIME_TOLERANCE_S)).any():
        at = int(np.argmax(wrong))
        raise RobotroveError(
            where,
            f"{at} rows on, timestamp is {found[at]}",
            f"{times[at]:.6f}, frame_index / fps: LeRobot finds frames by it",
        )


def _column(piece: pa.Table, field: pa.Field, where: str) -> pa.Array:
    if field.name not in piece.column_names:
        raise RobotroveError(where, f"there is no column {field.name}", "every feature of info.json")
    column = piece.column(field.name).combine_chunks()
    if column.type == field.type:
        return column
    try:
        return _cast(column, field.type)
    except pa.ArrowException as exc:
        raise RobotroveError(f"{where}, column {field.name}", f"is {column.type}: {exc}", f"{field.type}") from exc


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Bring a column to the type that LeRobot's recorder writes; other writers use others for the same values."""
    if pa.types.is_list(column.type) and not pa.types.is_nested(kind) and not column.null_count:
        # A feature of shape (1,) as a list with one value.
        if pc.any(pc.not_equal(pc.list_value_length(column), 1)).as_py():
            raise pa.ArrowInvalid("lists of other lengths than 1")
        column = column.flatten()
    is_narrowing = pa.types.is_floating(column.type) and pa.types.is_floating(kind)
    return column.cast(kind, safe=not is_narrowing)
