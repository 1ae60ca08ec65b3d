"""The rows of an episode as they are in a new dataset: own columns copied, those that depend on the place made anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ...core.columns import Array
from ...core.errors import RobotroveError
from ...core.features import DEFAULT_FEATURES, Feature, Features
from .arrow_rows import rows_of
from .episode_plan import PlacedEpisode
from .record import RowReader
from .schema import data_schema, row_features
from .tasks import TaskTable

# LeRobot takes a frame for that of its time within 1e-4 s (tolerance_s); float32 adds half a step beyond 1,024 s.
_TIME_TOLERANCE_S = 2e-4


class PlacedRows:
    """Reads rows of placed episodes as tables of one schema; close it after use.

    Args:
        features: What the new dataset holds, the default five aside.
        fps: Frames per second.
        tasks: Instructions of the new dataset.
        source_tasks: Per source, its instructions by its own task_index; none for rows that were never placed.
        schema: Columns of the new files, in order; those of version 3.0 by default.
    """

    def __init__(
        self,
        features: Features,
        fps: int,
        tasks: TaskTable,
        source_tasks: Sequence[Sequence[str]],
        schema: pa.Schema | None = None,
    ) -> None:
        self.schema = schema or data_schema(features)
        self._features = row_features(features)
        self._fps = fps
        self._tasks = tasks
        self._source_tasks = source_tasks
        self._lookups = [np.array([tasks.index(task) for task in own], np.int64) for own in source_tasks]
        self._reader = RowReader()

    def tables(self, placed: PlacedEpisode) -> Iterator[pa.Table]:
        """Yield the rows of an episode in order, in as many tables as row groups that they lie in.

        Raises:
            RobotroveError: If rows are missing, incomplete, of another episode or task, or not of the features' types.
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
        made = {
            "timestamp": self._times(frames),
            "frame_index": frames,
            "episode_index": np.full(count, placed.index),
            "index": frames + placed.first_index,
            "task_index": np.full(count, self._tasks.index(placed.files.tasks[0])),
        }
        if self._lookups[placed.source].size:
            said = {name: self._said(piece, name, where) for name in DEFAULT_FEATURES}
            _check_place(said, placed.episode, frames, times, where)
            made["task_index"] = self._task_index(said["task_index"], placed, where)
        made |= {key: made["task_index"] for key, feature in self._features.items() if feature.is_task_index}
        columns = [
            pa.array(made[field.name], field.type)
            if field.name in made
            else _column(piece, field, self._features[field.name], where)
            for field in self.schema
        ]
        return pa.table(columns, schema=self.schema)

    def _times(self, frames: NDArray[np.int64]) -> NDArray[np.floating]:
        """Return times in the precision of the new files; in float64 they are computed as the reference does."""
        is_double = pa.types.is_float64(self.schema.field("timestamp").type)
        return frames * (1 / self._fps) if is_double else (frames / self._fps).astype(np.float32)

    def _said(self, piece: pa.Table, name: str, where: str) -> Array:
        """Return one of the five columns that every dataset has, as it is in the source."""
        # Times are compared as they are: a cast to float32 could bring one nearer to what is expected.
        wide = pa.field(name, pa.float64() if name == "timestamp" else pa.int64())
        feature = Feature("float64", (1,)) if name == "timestamp" else DEFAULT_FEATURES[name]
        column: Array = _column(piece, wide, feature, where).to_numpy()
        return column

    def _task_index(self, own: Array, placed: PlacedEpisode, where: str) -> NDArray[np.int64]:
        texts = self._source_tasks[placed.source]
        for index in np.unique(own).tolist():
            if not 0 <= index < len(texts):
                raise RobotroveError(where, f"task_index is {index}", f"0 to {len(texts) - 1}")
            if texts[index] not in placed.files.tasks:
                raise RobotroveError(
                    where,
                    f"episode {placed.episode} has rows with the task {texts[index]!r}",
                    f"the tasks that meta names for it: {', '.join(map(repr, placed.files.tasks))}",
                )
        indices: NDArray[np.int64] = self._lookups[placed.source][own]
        return indices

    def close(self) -> None:
        """Close the open file."""
        self._reader.close()


def _check_place(
    said: dict[str, Array],
    episode: int,
    frames: NDArray[np.int64],
    times: NDArray[np.float64],
    where: str,
) -> None:
    """Make sure that rows which say what they are, are those of the episode."""
    for name, expected in (("episode_index", episode), ("frame_index", frames)):
        if (wrong := said[name] != expected).any():
            at = int(np.argmax(wrong))
            want = np.broadcast_to(expected, len(wrong))[at]
            raise RobotroveError(
                where,
                f"{at} rows on, {name} is {said[name][at]}",
                f"{want}, by the lengths of the episodes before",
            )
    if (wrong := ~(np.abs(said["timestamp"] - times) <= _TIME_TOLERANCE_S)).any():
        at = int(np.argmax(wrong))
        raise RobotroveError(
            where,
            f"{at} rows on, timestamp is {said['timestamp'][at]}",
            f"{times[at]:.6f}, frame_index / fps: LeRobot finds frames by it",
        )


def _column(piece: pa.Table, field: pa.Field, feature: Feature, where: str) -> pa.Array:
    """Return a column of the type that LeRobot's recorder writes, with a value of the right shape in every row."""
    where = f"{where}, column {field.name}"
    if field.name not in piece.column_names:
        raise RobotroveError(where, "is missing", "every feature of info.json")
    column = piece.column(field.name).combine_chunks()
    is_wrapped = feature.shape == (1,) and pa.types.is_list(field.type)  # a single value as a list of one
    kind = field.type.value_type if is_wrapped else field.type
    if column.type != kind:
        try:
            column = _cast(column, kind)
        except pa.ArrowException as exc:
            raise RobotroveError(where, f"is {column.type}: {exc}", f"{kind}") from exc
    if feature.dtype == "image":
        empty = column.null_count + column.field("bytes").null_count
    elif feature.dtype == "string":
        empty = column.null_count
    else:
        rows_of(column, feature, where)  # refuses what is empty or of another shape
        return pa.ListArray.from_arrays(range(len(column) + 1), column) if is_wrapped else column
    if empty:
        raise RobotroveError(where, f"{empty} values are empty", "a value in every row")
    return column


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Bring a column to the type that LeRobot's recorder writes; other writers use others for the same values."""
    if pa.types.is_nested(column.type) and not pa.types.is_nested(kind) and not column.null_count:
        # A feature of shape (1,) as a list with one value.
        if pc.any(pc.not_equal(pc.list_value_length(column), 1)).as_py():
            raise pa.ArrowInvalid("lists of other lengths than 1")
        column = column.flatten()
    is_narrowing = pa.types.is_floating(column.type) and pa.types.is_floating(kind)
    return column.cast(kind, safe=not is_narrowing)
