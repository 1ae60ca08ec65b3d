"""The episodes of a finished dataset: where the rows and frames of each are, and its rows as arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from ...core.columns import Array
from ...core.errors import RobotroveError
from ...media.join import Clip
from .arrow_rows import Damaged, rows_of, single_values
from .record import RowReader, Rows
from .view import DatasetView


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
            yield {name: self._values(table.column(name).combine_chunks(), name, where) for name in names}

    def _values(self, column: pa.Array, name: str, where: str) -> Array:
        feature = self._dataset.features[name]
        if feature.is_visual:
            if not pa.types.is_struct(column.type):
                raise Damaged(f"{where}, {name}", f"pictures are {column.type}")
            return column.field("bytes").to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]
        return rows_of(single_values(column, feature), feature, f"{where}, {name}")

    def close(self) -> None:
        """Close the open file."""
        self._reader.close()
