"""The rows of a finished dataset in the order in which LeRobot reads them, dealt out to its episodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import Damaged
from .arrow_rows import ArrowColumn, rows_of
from .view import DatasetView

Rows = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Piece:
    """Some consecutive rows of one episode.

    Attributes:
        episode: Its number.
        path: Data file that they are in, relative to the dataset.
        columns: Feature name to as many values.
    """

    episode: int
    path: str
    columns: Mapping[str, ArrowColumn]


def row_batches(view: DatasetView, names: Sequence[str]) -> Iterator[Rows]:
    """Yield numeric features of all rows as (n, *shape), batch by batch; raises as `episode_pieces`."""
    for data in view.data_files():
        for _, batch in view.row_batches(data.path, names):
            yield row_arrays(view, data.path, batch)


def episode_pieces(view: DatasetView, names: Sequence[str]) -> Iterator[Piece]:
    """Yield the rows of all episodes, each in one or more pieces.

    The dataset must have as many rows as its episodes have frames; `DatasetSource.files` makes sure.

    Raises:
        Damaged: If a file cannot be read, lacks a feature, or has values that are not what info.json says.
    """
    ends = view.starts[1:].tolist()
    episode = row = 0
    for data in view.data_files():
        for _, batch in view.row_batches(data.path, names):
            rows, first = len(batch[names[0]]), 0
            while first < rows:
                count = min(rows - first, ends[episode] - row)
                yield Piece(episode, data.path, {key: column.slice(first, count) for key, column in batch.items()})
                first, row = first + count, row + count
                episode += row == ends[episode]


def episode_tables(view: DatasetView, names: Sequence[str]) -> Iterator[Rows]:
    """Yield numeric features of each episode as (length, *shape), one episode in memory at a time.

    Raises:
        Damaged: As `episode_pieces`, and if a number is NaN or infinite.
    """
    for episode, pieces in groupby(episode_pieces(view, names), key=attrgetter("episode")):
        parts = []
        for piece in pieces:
            parts.append(row_arrays(view, piece.path, piece.columns))
            for key, values in parts[-1].items():
                if values.dtype.kind == "f" and not np.isfinite(values).all():
                    raise Damaged(
                        f"{piece.path}, column {key}", f"episode {episode} has NaN or infinite numbers, of which there "
                        "are no statistics"
                    )  # fmt: skip
        yield {key: np.concatenate([part[key] for part in parts]) for key in names}


def row_arrays(view: DatasetView, path: str, batch: Mapping[str, ArrowColumn]) -> Rows:
    """Return the columns of a batch of a data file as arrays (n, *shape)."""
    return {key: rows_of(column, view.features[key], f"{path}, column {key}") for key, column in batch.items()}
