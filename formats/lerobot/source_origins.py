"""Where the episodes of a dataset come from, as far as it says so; episodes that were added later are its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import pyarrow as pa
from numpy.typing import NDArray

from ...core.errors import Damaged
from .dataset_files import DatasetFiles
from .provenance import ORIGIN_SCHEMA, origins
from .view_v30 import EPISODE_BATCH_ROWS

_TYPES: Mapping[pa.DataType, type] = {pa.string(): str, pa.int64(): int, pa.bool_(): bool}


def known_origins(files: DatasetFiles, path: str) -> Iterator[pa.Table]:
    """Yield the provenance of the episodes that have one, in order, some at a time; none if there is no table of it.

    Raises:
        Damaged: If the table cannot be read, or its episodes are not numbered 0, 1, 2 ….
    """
    if not (files.root / path).exists():
        return
    if path.endswith(".parquet"):
        yield from _known_columns(files, path)
        return
    rows = ({name: getattr(origin, name) for name in ORIGIN_SCHEMA.names} for origin in origins(files, path))
    first = 0
    while batch := list(islice(rows, EPISODE_BATCH_ROWS)):
        yield _table({name: [row[name] for row in batch] for name in ORIGIN_SCHEMA.names}, path, first)
        first += len(batch)


def _known_columns(files: DatasetFiles, path: str) -> Iterator[pa.Table]:
    first = 0
    for batch in files.batches(path, ["episode_index", *ORIGIN_SCHEMA.names], EPISODE_BATCH_ROWS):
        columns = {name: column.to_pylist() for name, column in batch.items()}
        for row, episode in enumerate(columns.pop("episode_index"), start=first):
            if episode != row:
                raise Damaged(f"{path}, row {row}", f"is about episode {episode}")
        yield _table(columns, path, first)
        first += len(columns["source_name"])


def _table(columns: Mapping[str, list[Any]], path: str, first: int) -> pa.Table:
    for field in ORIGIN_SCHEMA:
        kind = _TYPES[field.type]
        if not set(map(type, columns[field.name])) <= {kind, type(None)}:
            for episode, value in enumerate(columns[field.name], start=first):
                if value is not None and type(value) is not kind:
                    where = f"{path}, episode {episode}"
                    raise Damaged(where, f"{field.name} is {value!r} instead of {kind.__name__}")
    return pa.table([pa.array(columns[field.name], field.type) for field in ORIGIN_SCHEMA], schema=ORIGIN_SCHEMA)


class OriginReader:
    """Deals out the provenance of a dataset to its episodes in order; those that have none are the dataset's own.

    Args:
        files: The dataset.
        path: Its table of provenance.
        name: What it is called where it is the source itself.
    """

    def __init__(self, files: DatasetFiles, path: str, name: str) -> None:
        self._name = name
        self._known = known_origins(files, path)
        self._held = ORIGIN_SCHEMA.empty_table()
        self._taken = 0

    def take(self, lengths: NDArray[Any]) -> pa.Table:
        """Return the provenance of the next episodes, which have these lengths; raises as `known_origins`."""
        while len(self._held) < len(lengths) and (more := next(self._known, None)) is not None:
            self._held = pa.concat_tables([self._held, more])
        known, self._held = self._held[: len(lengths)], self._held[len(lengths) :]
        own = [self._own(self._taken + row, int(lengths[row])) for row in range(len(known), len(lengths))]
        self._taken += len(lengths)
        return pa.concat_tables([known, pa.Table.from_pylist(own, schema=ORIGIN_SCHEMA)])

    def _own(self, episode: int, length: int) -> dict[str, Any]:
        return {
            "source_name": self._name,
            "source_key": f"episode {episode}",
            "source_length": length,
            "first_row": 0,
            "last_row": length - 1,
        }


def missing_origins(files: DatasetFiles, path: str, name: str, episodes: int) -> str:
    """Say how many of a dataset's episodes have no provenance beside others that do; empty if none is without.

    LeRobot goes on recording to a dataset of ours without touching its provenance.

    Raises:
        Damaged: As `known_origins`, or if there is provenance of more episodes.
    """
    if not (files.root / path).exists():
        return ""
    known = sum(map(len, known_origins(files, path)))
    if known > episodes:
        raise Damaged(path, f"tells of {known} episodes, more episodes than there are: {episodes}")
    if known == episodes:
        return ""
    return f"{path} ends before episode {known} of {episodes}; from there on, the output names {name} as the source"
