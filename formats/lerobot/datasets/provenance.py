"""Provenance: the table in meta/robotrove that names the recording of each episode."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from itertools import chain, islice
from typing import Any

import pyarrow as pa

from ....core.columns import RowMap
from ....core.errors import Damaged
from ....core.features import DEFAULT_FEATURES
from ..dataset_files import EPISODE_BATCH_ROWS, other_episode
from ..features.feature_kind import stat_shapes
from .dataset import Dataset
from .episode_location import EpisodeMetadata, HeldRows

# The columns of the table, but episode_index.
ORIGIN_SCHEMA = pa.schema(
    [
        ("source_name", pa.string()),
        ("source_key", pa.string()),
        ("source_digest", pa.string()),
        ("source_length", pa.int64()),
        ("first_row", pa.int64()),
        ("last_row", pa.int64()),
        ("success", pa.bool_()),
        ("fps_assumed", pa.bool_()),
        ("run_digest", pa.string()),
        ("robotrove_version", pa.string()),
        ("encoder_version", pa.string()),
        ("row_runs", pa.list_(pa.list_(pa.int64()))),
        ("content_digest", pa.string()),
        ("code_digest", pa.string()),
        ("input_datasets", pa.list_(pa.struct([("dataset", pa.string()), ("episode", pa.int64())]))),
    ]
)
_ADDED = ("row_runs", "content_digest", "code_digest", "input_datasets")  # in 0.2.2, the others in 0.2.3

_TYPES: Mapping[pa.DataType, type] = {pa.string(): str, pa.int64(): int, pa.bool_(): bool}


@dataclass(frozen=True, slots=True)
class ProvenanceRow:
    """Origin of an episode: a row of the provenance table.

    Attributes:
        episode_index: The episode.
        source_name: File it comes from, relative to the root of the sources.
        source_key: Name of the episode inside the file.
        source_digest: sha256 of the episode in the file.
        source_length: Frames in the file.
        first_row: Smallest row of the file's episode that was used.
        last_row: Largest row that was used.
        success: The recorder's label, None without one.
        fps_assumed: True if neither file nor pipeline said the frame rate.
        run_digest: Identity of the run that converted it.
        robotrove_version: Version that converted it.
        encoder_version: Encoder and FFmpeg that made its videos.
        row_runs: Rows that were used, as runs (first, count, step); None for every row from the first to the last.
        content_digest: Second digest, of all numbers and some frames; None where it is not known.
        code_digest: Digest of pipeline and outside code, where changed code was accepted before the episode was
            made, else None.
        input_datasets: Datasets that it was taken from, as {"dataset": name, "episode": number there}; the last one,
            that this dataset was made of, first. None if it comes from the recording.
    """

    episode_index: int
    source_name: str
    source_key: str
    source_digest: str
    source_length: int
    first_row: int
    last_row: int
    success: bool | None
    fps_assumed: bool
    run_digest: str
    robotrove_version: str
    encoder_version: str
    row_runs: tuple[tuple[int, int, int], ...] | None = None
    content_digest: str | None = None
    code_digest: str | None = None
    input_datasets: Sequence[Mapping[str, Any]] | None = None

    @property
    def row_map(self) -> RowMap:
        """Rows of the file's episode that its rows are."""
        return RowMap(self.row_runs or ((self.first_row, max(0, self.last_row - self.first_row + 1), 1),))

    @property
    def label(self) -> str:
        """File and key, for people."""
        return f"{self.source_name}:{self.source_key}"


_COLUMNS = tuple(field.name for field in fields(ProvenanceRow) if field.name not in _ADDED)


def _runs(value: Any, where: str) -> tuple[tuple[int, int, int], ...] | None:
    """Return what a table has as row_runs; raise Damaged if it is something else."""
    if value is None:
        return None
    runs = value if isinstance(value, list | tuple) and value else [value]
    for run in runs:
        if not isinstance(run, list | tuple) or list(map(type, run)) != [int, int, int] or run[1] < 1:
            raise Damaged(where, f"row_runs has {run!r} instead of a run: [first row, count, step]")
    return tuple((first, count, step) for first, count, step in runs)


def _chain(value: Any, where: str) -> list[Mapping[str, Any]] | None:
    """Return what a table has as input_datasets; raise Damaged if it is something else."""
    if value is None:
        return None
    steps = value if isinstance(value, list) else [value]
    for step in steps:
        if not isinstance(step, dict) or [type(step.get(name)) for name in ("dataset", "episode")] != [str, int]:
            raise Damaged(where, f"input_datasets has {step!r} instead of a dataset and an episode")
    return steps


def origins(dataset: Dataset) -> Iterator[ProvenanceRow]:
    """Yield the origin of each episode in order, in bounded memory.

    Raises:
        Damaged: If the table is missing or cannot be read.
    """
    for row, (where, values) in enumerate(_entries(dataset)):
        chain = _chain(values.get("input_datasets"), where)
        origin = ProvenanceRow(**values | {"row_runs": _runs(values.get("row_runs"), where), "input_datasets": chain})
        if origin.episode_index != row:
            raise Damaged(where, other_episode(origin.episode_index, row))
        yield origin


def _entries(dataset: Dataset) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (place, columns) of each row of the table, or of each line where it is a file of JSON lines."""
    path = dataset.provenance_path
    if path.endswith(".parquet"):
        for first, batch in dataset.batches(path, _COLUMNS, EPISODE_BATCH_ROWS, optional=_ADDED):
            for row, values in enumerate(zip(*(column.to_pylist() for column in batch.values()), strict=True), first):
                yield f"{path}, row {row}", dict(zip(batch, values, strict=True))
        return
    for where, line in dataset.json_lines(path):
        if missing := [name for name in _COLUMNS if name not in line]:
            raise Damaged(where, f"has no {', '.join(missing)}")
        yield where, {name: line[name] for name in (*_COLUMNS, *_ADDED) if name in line}


def origin_of(dataset: Dataset, episode: int) -> ProvenanceRow | None:
    """Return the origin of one episode, None if the table has no such; raises as `origins` does."""
    return next((origin for origin in origins(dataset) if origin.episode_index == episode), None)


def uneven(dataset: Dataset) -> Damaged:
    """Return the error for a table with fewer or more rows than the dataset has episodes."""
    return Damaged(dataset.provenance_path, "has not one row per episode")


def has_origins(dataset: Dataset) -> bool:
    """Return True if a dataset says where its episodes come from."""
    return (dataset.root / dataset.provenance_path).is_file()


def known_digests(dataset: Dataset) -> Iterator[str]:
    """Yield the digests of the recordings that episodes of a dataset come from, as far as it says so."""
    with suppress(Damaged):
        yield from (origin.source_digest for origin in origins(dataset) if origin.source_digest)


def _known_origins(dataset: Dataset) -> Iterator[pa.Table]:
    """Yield the provenance of the episodes that have one, in order, some at a time; none if there is no table of it.

    Where episodes were deleted, and the others kept their numbers, that of the others.

    Raises:
        Damaged: If the table cannot be read, or its episodes are not numbered 0, 1, 2 ….
    """
    first = 0
    for table in _stored_origins(dataset):
        if dataset.has_gaps:
            own = dataset.episode_numbers - first
            yield table.take(own[(own >= 0) & (own < len(table))])
        else:
            yield table
        first += len(table)


def _stored_origins(dataset: Dataset) -> Iterator[pa.Table]:
    path = dataset.provenance_path
    if not (dataset.root / path).exists():
        return
    if path.endswith(".parquet"):
        yield from _known_columns(dataset, path)
        return
    rows = ({name: getattr(origin, name) for name in ORIGIN_SCHEMA.names} for origin in origins(dataset))
    first = 0
    while batch := list(islice(rows, EPISODE_BATCH_ROWS)):
        yield _table({name: [row[name] for row in batch] for name in ORIGIN_SCHEMA.names}, path, first)
        first += len(batch)


def _known_columns(dataset: Dataset, path: str) -> Iterator[pa.Table]:
    names = ["episode_index", *(name for name in ORIGIN_SCHEMA.names if name not in _ADDED)]
    for first, batch in dataset.batches(path, names, EPISODE_BATCH_ROWS, optional=_ADDED):
        columns = {name: column.to_pylist() for name, column in batch.items()}
        for row, episode in enumerate(columns.pop("episode_index"), start=first):
            if episode != row:
                raise Damaged(f"{path}, row {row}", other_episode(episode, row))
        yield _table(columns, path, first)


def _table(columns: dict[str, list[Any]], path: str, first: int) -> pa.Table:
    columns = dict.fromkeys(_ADDED, [None] * len(columns["source_name"])) | columns
    for name, checked in (("row_runs", _runs), ("input_datasets", _chain)):
        columns[name] = [checked(value, f"{path}, episode {row}") for row, value in enumerate(columns[name], first)]
    for field in ORIGIN_SCHEMA:
        kind = _TYPES.get(field.type)
        if kind and not set(map(type, columns[field.name])) <= {kind, type(None)}:
            for episode, value in enumerate(columns[field.name], start=first):
                if value is not None and type(value) is not kind:
                    where = f"{path}, episode {episode}"
                    raise Damaged(where, f"{field.name} is {value!r} instead of {kind.__name__}")
    return pa.table([pa.array(columns[field.name], field.type) for field in ORIGIN_SCHEMA], schema=ORIGIN_SCHEMA)


def taken_from(provenance: pa.Table, dataset: str, episodes: Sequence[int]) -> pa.Table:
    """Return the provenance of episodes in a dataset that is made of `dataset`, where they have these numbers."""
    at = provenance.schema.get_field_index("input_datasets")
    before = provenance.column(at).to_pylist()
    chains = [[{"dataset": dataset, "episode": number}, *(c or ())] for number, c in zip(episodes, before, strict=True)]
    return provenance.set_column(at, ORIGIN_SCHEMA.field(at), pa.array(chains, ORIGIN_SCHEMA.field(at).type))


def episode_metadata(dataset: Dataset) -> Iterator[EpisodeMetadata]:
    """Yield statistics and provenance of all episodes in order, some at a time, from the metadata alone.

    Episodes that have no provenance come from the dataset itself.

    Raises:
        Damaged: If one of them cannot be read, or is not that of these episodes.
    """
    features = {name: feature for name, feature in dataset.features.items() if name not in DEFAULT_FEATURES}
    known = HeldRows(chain([ORIGIN_SCHEMA.empty_table()], _known_origins(dataset)))
    episode = 0
    for lengths, stats in dataset.stat_batches(stat_shapes(features)):
        found = known.take(len(lengths))
        numbers = dataset.episode_numbers[episode : episode + len(lengths)].tolist()
        rows = [_own(dataset, numbers[row], int(lengths[row])) for row in range(len(found), len(lengths))]
        yield EpisodeMetadata(stats, pa.concat_tables([found, pa.Table.from_pylist(rows, schema=ORIGIN_SCHEMA)]))
        episode += len(lengths)


def _own(dataset: Dataset, episode: int, length: int) -> dict[str, Any]:
    place = {"source_name": _name(dataset), "source_key": f"episode {episode}"}
    return place | {"source_length": length, "first_row": 0, "last_row": length - 1}


def _name(dataset: Dataset) -> str:
    return os.path.basename(os.path.abspath(dataset.root))


def missing_origins(dataset: Dataset, episodes: int) -> str:
    """Say how many of a dataset's episodes have no provenance beside others that do; empty if none is without.

    LeRobot goes on recording to a dataset of ours without touching its provenance.

    Raises:
        Damaged: If the table cannot be read, or there is provenance of more episodes.
    """
    path = dataset.provenance_path
    if not (dataset.root / path).exists():
        return ""
    known = sum(map(len, _known_origins(dataset)))
    if known > episodes:
        raise Damaged(path, f"tells of {known} episodes, more episodes than there are: {episodes}")
    if known == episodes:
        return ""
    beginning = f"{path} ends before episode {known} of {episodes}"
    return f"{beginning}; from there on, the output names {_name(dataset)} as the source"
