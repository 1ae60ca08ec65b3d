"""The episodes of a finished dataset: where the rows and frames of each are, and its rows as arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from ...core.columns import Array
from ...core.errors import Damaged, RobotroveError
from ...core.features import Feature
from ...media.remux.video_index import Clip
from .arrow_rows import ArrowColumn, rows_of, single_values
from .record import RowReader, Rows
from .view import DatasetView

EPISODE_INDEX = "episode_index"


@dataclass(frozen=True, slots=True)
class StoredEpisode:
    """One episode as meta describes it.

    Attributes:
        index: Number of the episode.
        length: Frames.
        tasks: Its instructions.
        rows: Where its rows are.
        clips: Camera key to where its frames are.
    """

    index: int
    length: int
    tasks: tuple[str, ...]
    rows: Rows
    clips: Mapping[str, Clip]


def stored_episodes(dataset: DatasetView) -> Iterator[StoredEpisode]:
    """Yield the episodes of a dataset in order.

    Raises:
        Damaged: If what meta says of the episodes cannot be read, or a value that leads to an episode is missing.
    """
    for place in dataset.places():
        clips = {key: Clip(dataset.root / path, first, place.length) for key, (path, first) in place.cameras.items()}
        rows = Rows(dataset.root / place.data, place.row, place.length)
        yield StoredEpisode(place.index, place.length, place.tasks, rows, clips)


class StoredRows:
    """Reads the rows of stored episodes; close it after use.

    Args:
        dataset: The dataset that they are in.
    """

    def __init__(self, dataset: DatasetView) -> None:
        self._dataset = dataset
        self._reader = RowReader()

    def pieces(self, rows: Rows, names: Sequence[str]) -> Iterator[dict[str, Array]]:
        """Yield the rows in order as feature name to (n, *shape); pictures as object arrays (n,) of bytes.

        Raises:
            Damaged: If they cannot be read, or are not what info.json says.
        """
        where = rows.path.relative_to(self._dataset.root).as_posix()
        pieces = self._reader.read(rows)
        while True:
            try:
                table = next(pieces, None)
            except (pa.ArrowException, OSError) as exc:
                raise Damaged(where, f"cannot be read as parquet: {exc}") from exc
            except RobotroveError as exc:
                raise Damaged(where, str(exc)) from exc
            if table is None:
                return
            if missing := [name for name in names if name not in table.column_names]:
                raise Damaged(where, f"has no column {', '.join(missing)}")
            features = self._dataset.features
            yield {name: _values(table.column(name).combine_chunks(), features[name], where, name) for name in names}

    def close(self) -> None:
        """Close the open file."""
        self._reader.close()


class StoredStream:
    """Reads columns of stored episodes in the order of their files; memory does not grow with their length.

    An episode that lies before the one read last costs reading its file from the beginning.

    Args:
        dataset: The dataset that they are in.
        names: Its features that are wanted, no cameras.
    """

    def __init__(self, dataset: DatasetView, names: Sequence[str]) -> None:
        self._dataset = dataset
        self._names = (*names, EPISODE_INDEX)
        self._path = ""
        self._batches: Iterator[tuple[int, dict[str, ArrowColumn]]] = iter(())
        self._first = self._end = 0
        self._held: dict[str, ArrowColumn] = {}

    def pieces(self, episode: StoredEpisode) -> Iterator[dict[str, Array]]:
        """Yield the rows of an episode in order as feature name to (n, *shape).

        Raises:
            Damaged: If they cannot be read, are not what info.json says, or are those of another episode.
        """
        path = episode.rows.path.relative_to(self._dataset.root).as_posix()
        row, stop = episode.rows.first, episode.rows.first + episode.rows.count
        if path != self._path or row < self._first:
            self._path, self._first, self._end = path, 0, 0
            self._batches = self._dataset.row_batches(path, self._names)
        while row < stop:
            while row >= self._end:
                self._next(stop)
            count = min(stop, self._end) - row
            columns = {name: column.slice(row - self._first, count) for name, column in self._held.items()}
            features = self._dataset.features
            piece = {name: _values(column, features[name], path, name) for name, column in columns.items()}
            if (piece.pop(EPISODE_INDEX) != episode.index).any():
                raise Damaged(path, f"row {row} and those after it are not all of episode {episode.index}")
            yield piece
            row += count

    def _next(self, stop: int) -> None:
        batch = next(self._batches, None)
        if batch is None:
            raise Damaged(self._path, f"has {self._end} rows, and at least {stop} are said to be in it")
        self._first, self._held = batch
        self._end = self._first + len(self._held[EPISODE_INDEX])


def _values(column: ArrowColumn, feature: Feature, where: str, name: str) -> Array:
    if feature.is_visual:
        if not pa.types.is_struct(column.type):
            raise Damaged(f"{where}, {name}", f"pictures are {column.type}")
        pictures: Array = column.field("bytes").to_numpy(zero_copy_only=False)
        return pictures
    return rows_of(single_values(column, feature), feature, f"{where}, {name}")
